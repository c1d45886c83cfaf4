//! `recover`: both rounds, then the reveal.

use crate::credential::CredentialError;
use crate::encoding::{Name, Time};
use crate::transcript::{CeremonyKind, Grant, Which};

use super::plan::{Purpose, following};
use super::reveal::{Target, no_item, reveal};
use super::script::{Script, Step, Walk};
use super::{CeremonyError, Setting, rotate};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The item.
    pub item: Name,
    /// Which of its credentials.
    pub credential: Which,
    /// The incident's number or name.
    pub incident: String,
    /// Why.
    pub reason: String,
    /// For whom: a custodian's name, or another person's.
    pub requester: String,
    /// How long the grant lasts, in seconds.
    pub lasts: i64,
}

/// Recovers an item.
///
/// # Errors
/// [`CeremonyError`].
pub fn recover(setting: &mut Setting<'_>, request: &Request, target: &Target) -> Result<(), CeremonyError> {
    setting.check_tokens()?;
    target.check()?;
    let limit = setting.policy.grant_limit;
    if request.lasts > limit {
        return Err(CeremonyError::GrantTooLong { limit, asked: request.lasts });
    }
    let (parent, sofar) = rotate::settled(setting)?;
    let Some(item) = parent.manifest.item(&request.item) else {
        return Err(no_item(request.item.as_str(), &parent.manifest.items));
    };
    let has_next = item.public.get("made").is_some_and(|made| !made.is_null());
    if request.credential == Which::Next && !has_next {
        return Err(CredentialError::NoNext.into());
    }
    setting.room.say(&format!("The credential is shown {target}."));
    let from = Time::now();
    let grant = Grant {
        item: request.item.clone(),
        credential: request.credential,
        incident: request.incident.clone(),
        reason: request.reason.clone(),
        requester: request.requester.clone(),
        from,
        until: from.plus(request.lasts),
    };
    let purpose = Purpose { kind: CeremonyKind::Recover, grant: Some(grant), admits: Vec::new() };
    let mut walk = Walk::begin(Script::of(CeremonyKind::Recover)?);
    let ratified = rotate::two_rounds(setting, &mut walk, sofar, &mut |setting, sofar| {
        following(setting, &parent, &purpose, sofar)
    })?;
    walk.enter(Step::Reveal, setting.room)?;
    let generation = ratified.generation();
    reveal(setting, ratified, target).map_err(CeremonyError::after_commit(generation))?;
    walk.enter(Step::End, setting.room)?;
    Ok(())
}
