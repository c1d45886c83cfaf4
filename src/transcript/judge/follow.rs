//! Whether a manifest follows from its parent, its plan and its approvals (`docs/format.md`, 3.5 and section 4).

use std::collections::BTreeMap;

use crate::encoding::{Digest, Document, Name};
use crate::error::{Advice, Exit};
use crate::transcript::approval::Approval;
use crate::transcript::founding::Founding;
use crate::transcript::manifest::{IndexedShareKey, ItemEntry, Manifest};
use crate::transcript::plan::{ExceptionKind, INBOX_IDENTITY, Plan};
use crate::transcript::signed::Signed;

/// A plan or manifest does not follow from what it says it follows from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The plan is for another vault, or contradicts the founding body.
    #[error("its {member} is not that of the vault")]
    Vault {
        /// Which member of the plan.
        member: &'static str,
    },
    /// The plan contradicts the parent.
    #[error("its {member} does not follow from the generation before")]
    Parent {
        /// Which member of the plan.
        member: &'static str,
    },
    /// A listed approval is not there, or not valid.
    #[error("the approval of {custodian} that it lists is not there, or not valid")]
    Approval {
        /// Whose.
        custodian: String,
    },
    /// An approval is of another plan.
    #[error("the approval of {custodian} is of another plan")]
    OtherPlan {
        /// Whose.
        custodian: String,
    },
    /// Too few approvals.
    #[error("{actual} approvals are listed where {expected} are needed")]
    TooFewApprovals {
        /// How many are needed.
        expected: usize,
        /// How many are listed.
        actual: usize,
    },
    /// A share key is neither the approved nor the earlier one.
    #[error("the share key of {custodian} is not the one that its token made, nor the earlier one")]
    ShareKey {
        /// Whose.
        custodian: String,
    },
    /// An item appeared, vanished or changed without a plan.
    #[error("item {item} does not follow from the generation before and the plan")]
    Item {
        /// Which.
        item: Name,
    },
    /// A refused proposal was never in the plan.
    #[error("the refused proposal {file} is not in the plan")]
    Refused {
        /// Which.
        file: String,
    },
    /// The inbox changed.
    #[error("the inbox recipient does not follow from the generation before and the plan")]
    Inbox,
}

impl Advice for FollowError {
    fn hint(&self) -> Option<String> {
        Some("this generation was not made by the rules; trust the one before, and find out who made this".to_owned())
    }

    fn culprits(&self) -> Vec<String> {
        match self {
            Self::Approval { custodian } | Self::OtherPlan { custodian } | Self::ShareKey { custodian } => {
                vec![custodian.clone()]
            }
            Self::Vault { .. }
            | Self::Parent { .. }
            | Self::TooFewApprovals { .. }
            | Self::Item { .. }
            | Self::Refused { .. }
            | Self::Inbox => Vec::new(),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Verification
    }
}

/// Checks that `plan` may follow `parent` (`None`: that it may found the vault).
///
/// # Errors
/// [`FollowError`], the first rule that is broken.
pub fn check_plan_follows(
    founding: &Founding,
    parent: Option<(&Manifest, Digest)>,
    plan: &Plan,
) -> Result<(), FollowError> {
    let vault = |holds: bool, member| if holds { Ok(()) } else { Err(FollowError::Vault { member }) };
    let follows = |holds: bool, member| if holds { Ok(()) } else { Err(FollowError::Parent { member }) };
    vault(plan.vault == founding.digest(), "vault")?;
    vault(plan.practice == founding.practice, "practice")?;
    let Some((parent, digest)) = parent else {
        follows(plan.parent.is_none() && plan.generation == 1, "parent")?;
        vault(plan.k == founding.k, "k")?;
        vault(plan.roster == founding.roster, "roster")?;
        vault(plan.policy == founding.policy, "policy")?;
        follows(leaves_behind_what_was_there(None, plan), "exceptions")?;
        return plan.admits.iter().try_for_each(|admission| follows(admission.replaces.is_none(), "admits"));
    };
    follows(plan.parent == Some(digest), "parent")?;
    follows(parent.generation().checked_add(1) == Some(plan.generation), "generation")?;
    follows(plan.number > parent.plan.number, "number")?;
    follows(plan.k == parent.plan.k, "k")?;
    follows(plan.roster == parent.plan.roster, "roster")?;
    for admission in &plan.admits {
        let replaced = parent.item(&admission.name).map(|item| item.digest);
        follows(admission.replaces == replaced, "admits")?;
    }
    follows(leaves_behind_what_was_there(Some(parent), plan), "exceptions")?;
    follows(plan.grant.as_ref().is_none_or(|grant| parent.item(&grant.item).is_some()), "grant")
}

/// Checks that `candidate` follows from `parent` (with the digest of its manifest; `None` for generation 1), its plan
/// and the valid `approvals`, by index. COMMIT and closings are not its subject.
///
/// # Errors
/// [`FollowError`], the first rule that is broken.
pub fn check_manifest_follows(
    founding: &Founding,
    parent: Option<(&Manifest, Digest)>,
    candidate: &Manifest,
    approvals: &BTreeMap<u8, Signed<Approval>>,
) -> Result<(), FollowError> {
    check_plan_follows(founding, parent, &candidate.plan)?;
    check_approvals(candidate, approvals)?;
    let parent = parent.map(|(manifest, _)| manifest);
    check_share_keys(parent, candidate, approvals)?;
    check_items(parent, candidate)?;
    let is_new = candidate.plan.excepts(ExceptionKind::ItemLost, INBOX_IDENTITY);
    let follows = |parent: &Manifest| (parent.inbox_recipient != candidate.inbox_recipient) == is_new;
    if parent.is_none_or(follows) { Ok(()) } else { Err(FollowError::Inbox) }
}

/// > An exception `item-lost` names an item of the parent that the grant does not name, or the inbox identity.
fn leaves_behind_what_was_there(parent: Option<&Manifest>, plan: &Plan) -> bool {
    let granted = |subject: &str| plan.grant.as_ref().is_some_and(|grant| grant.item.as_str() == subject);
    let was_there = |subject: &str| {
        let item = |parent: &Manifest| parent.items.iter().any(|item| item.name.as_str() == subject);
        parent.is_some_and(|parent| subject == INBOX_IDENTITY || item(parent))
    };
    let mut lost = plan.exceptions.iter().filter(|exception| exception.kind == ExceptionKind::ItemLost);
    lost.all(|exception| was_there(&exception.subject) && !granted(&exception.subject))
}

fn custodian(manifest: &Manifest, index: u8) -> String {
    manifest.plan.custodian(index).map_or_else(|| format!("number {index}"), |entry| entry.name.to_string())
}

fn check_approvals(candidate: &Manifest, approvals: &BTreeMap<u8, Signed<Approval>>) -> Result<(), FollowError> {
    let plan = &candidate.plan;
    for listed in &candidate.approvals {
        let custodian = custodian(candidate, listed.index);
        let Some(approval) = approvals.get(&listed.index).filter(|approval| approval.digest() == listed.digest) else {
            return Err(FollowError::Approval { custodian });
        };
        if approval.body().plan != *plan || approval.body().index != listed.index {
            return Err(FollowError::OtherPlan { custodian });
        }
    }
    let expected = if plan.generation == 1 { plan.n() } else { usize::from(plan.k) };
    let actual = candidate.approvals.len();
    if actual < expected { Err(FollowError::TooFewApprovals { expected, actual }) } else { Ok(()) }
}

fn check_share_keys(
    parent: Option<&Manifest>,
    candidate: &Manifest,
    approvals: &BTreeMap<u8, Signed<Approval>>,
) -> Result<(), FollowError> {
    for key in &candidate.share_keys {
        let attends = candidate.approvals.iter().any(|listed| listed.index == key.index);
        let expected = if attends {
            approvals.get(&key.index).map(|approval| IndexedShareKey::new(key.index, approval.body().share_key.clone()))
        } else {
            parent.and_then(|parent| parent.share_key(key.index)).cloned()
        };
        if expected.as_ref() != Some(key) {
            return Err(FollowError::ShareKey { custodian: custodian(candidate, key.index) });
        }
    }
    Ok(())
}

/// > The items of a manifest are those of its parent (same name, kind and admitted), less those that the plan's exceptions
/// > `item-lost` name, with the plan's `admits` (less `refused`) added or replaced; nothing else.
fn check_items(parent: Option<&Manifest>, candidate: &Manifest) -> Result<(), FollowError> {
    let mut expected: BTreeMap<&Name, (&Name, u64)> = BTreeMap::new();
    for item in parent.map_or(&[][..], |parent| &parent.items) {
        if !candidate.plan.excepts(ExceptionKind::ItemLost, item.name.as_str()) {
            expected.insert(&item.name, (&item.kind, item.admitted));
        }
    }
    let is_refused = |file: &str, digest: Digest| {
        candidate.refused.iter().any(|refused| refused.file == file && refused.digest == digest)
    };
    // Without the inbox identity no proposal can have been opened.
    let opens = !candidate.plan.excepts(ExceptionKind::ItemLost, INBOX_IDENTITY);
    for admission in &candidate.plan.admits {
        if opens && !is_refused(&admission.file, admission.digest) {
            expected.insert(&admission.name, (&admission.kind, candidate.generation()));
        }
    }
    for refused in &candidate.refused {
        let planned = candidate.plan.admits.iter().any(|a| a.file == refused.file && a.digest == refused.digest);
        if !planned {
            return Err(FollowError::Refused { file: refused.file.clone() });
        }
    }
    for ItemEntry { name, kind, admitted, .. } in &candidate.items {
        if expected.remove(name) != Some((kind, *admitted)) {
            return Err(FollowError::Item { item: name.clone() });
        }
    }
    match expected.into_keys().next() {
        Some(item) => Err(FollowError::Item { item: item.clone() }),
        None => Ok(()),
    }
}
