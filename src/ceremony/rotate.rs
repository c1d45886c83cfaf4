//! `rotate`: both rounds, no reveal; admits what is in the inbox. Also what `recover` and `rotate` share.

use std::collections::{BTreeMap, BTreeSet};

use crate::encoding::{Digest, Name};
use crate::fault::inspect;
use crate::room::{Room, Way};
use crate::secret;
use crate::transcript::document::is_file_name;
use crate::transcript::{Admission, CeremonyKind, Checked, ExceptionKind, GenerationState, Place, Plan};

use crate::vault::cleanup;
use crate::vault::medium::{Medium, on_one_medium};

use super::branch::to_go_on_over;
use super::close::{Ratified, close};
use super::commit::commit;
use super::open::{Opened, open};
use super::plan::{Purpose, Sofar, exception, following, read_aloud};
use super::script::{Script, Step, Walk};
use super::stage::stage;
use super::{CeremonyError, Setting, left_behind};

/// Rotates the vault and admits the inbox.
///
/// # Errors
/// [`CeremonyError`].
pub fn rotate(setting: &mut Setting<'_>) -> Result<(), CeremonyError> {
    setting.check_tokens()?;
    let (parent, sofar) = settled(setting)?;
    let admits = admissions(setting, &parent)?;
    let purpose = Purpose { kind: CeremonyKind::Rotate, grant: None, admits };
    let mut walk = Walk::begin(Script::of(CeremonyKind::Rotate)?);
    let ratified =
        two_rounds(setting, &mut walk, sofar, &mut |setting, sofar| following(setting, &parent, &purpose, sofar))?;
    for refused in &ratified.generation.manifest.refused {
        setting.room.warn(&format!("inbox/{} did not become an item: {}.", refused.file, refused.reason));
    }
    walk.enter(Step::End, setting.room)?;
    Ok(())
}

/// The generation that the next ceremony consumes: current, and ratified. One that was committed and cannot be finished
/// (a card of its round 1 is gone) can be consumed too: its k shares open, and what comes after closes it as well. That is
/// an exception that k approvals name. So can the last one of a branch of a fork that cannot be settled otherwise.
///
/// # Errors
/// [`CeremonyError::Unfinished`] if people want to finish it first; [`CeremonyError::Judge`] in a fork, if they stop.
pub(super) fn settled(setting: &mut Setting<'_>) -> Result<(GenerationState, Sofar), CeremonyError> {
    let branch = to_go_on_over(setting)?;
    let chosen = branch.is_some();
    let current = match branch {
        Some(branch) => branch,
        None => setting.judgement.current()?.clone(),
    };
    let mut sofar = Sofar::default();
    if !current.ratified {
        let number = current.manifest.plan.number;
        let unfinished = CeremonyError::Unfinished { ceremony: current.ceremony, number };
        setting.room.warn(&format!("{unfinished}."));
        let stop = Way { word: "stop", meaning: "stop here, and finish it with `claviger resume`" };
        let over = Way {
            word: "over",
            meaning: "it cannot be finished (a card that was in it is gone): go on over it; an exception that k custodians approve",
        };
        if !chosen && setting.room.choose("What now?", &[stop, over])? == 0 {
            return Err(unfinished);
        }
        sofar.exceptions.push(exception(
            ExceptionKind::Unratified,
            format!("generation {} ratified", current.generation),
            format!("ceremony number {number} was committed and cannot be finished"),
            current.ceremony.to_string(),
        ));
    }
    Ok((current, sofar))
}

/// Everything from the look at the room to the ratified generation. `plan` is asked again when the ceremony must begin
/// again.
pub(super) fn two_rounds(
    setting: &mut Setting<'_>,
    walk: &mut Walk,
    sofar: Sofar,
    plan: &mut dyn FnMut(&mut Setting<'_>, &mut Sofar) -> Result<Plan, CeremonyError>,
) -> Result<Ratified, CeremonyError> {
    setting.copies.set_full_ones_aside(&setting.copies.snapshot()?, &setting.judgement);
    preflight(setting, walk)?;
    let opened = gather(setting, walk, sofar, plan)?;
    walk.enter(Step::Stage, setting.room)?;
    let staged = secret::apart(|| stage(setting, opened))?;
    inspect::stage("staged");
    walk.enter(Step::Commit, setting.room)?;
    let committed = secret::apart(|| commit(setting, staged))?;
    inspect::stage("committed");
    setting.room.say(&format!("Generation {} is written to every copy and read back.", committed.plan.generation));
    walk.enter(Step::Close, setting.room)?;
    let generation = committed.plan.generation;
    let ratified = close(setting, committed).map_err(CeremonyError::after_commit(generation))?;
    finish(setting, &ratified);
    Ok(ratified)
}

/// Round 1, again with a further plan when a token's number or an exception asks for it.
fn gather(
    setting: &mut Setting<'_>,
    walk: &mut Walk,
    mut sofar: Sofar,
    plan: &mut dyn FnMut(&mut Setting<'_>, &mut Sofar) -> Result<Plan, CeremonyError>,
) -> Result<Opened, CeremonyError> {
    loop {
        walk.enter(Step::Plan, setting.room)?;
        let plan = plan(setting, &mut sofar)?;
        agree(setting.room, &plan)?;
        walk.enter(Step::Approve, setting.room)?;
        match open(setting, plan) {
            Err(CeremonyError::Again { above, exception }) => {
                sofar.above = above;
                sofar.exceptions.extend(exception.map(|exception| *exception));
                setting.rejudge()?;
                walk.again();
                setting.room.say(
                    "The ceremony begins again with a new plan. Those who approved the one before approve once more.",
                );
            }
            opened => return opened,
        }
    }
}

/// Shows what the machine tells of itself.
pub(super) fn preflight(setting: &mut Setting<'_>, walk: &mut Walk) -> Result<(), CeremonyError> {
    walk.enter(Step::Preflight, setting.room)?;
    for medium in setting.copies.media() {
        setting.room.say(&describe(&medium));
    }
    for (twin, kept) in setting.copies.twins() {
        let (twin, kept) = (twin.display(), kept.display());
        setting.room.warn(&format!(
            "{twin} has the mark of {kept}: one of the two was copied by hand, and nothing of this ceremony is written to {twin}. Afterwards run `claviger copy sync` with both."
        ));
    }
    for copy in setting.copies.unmarked() {
        setting.room.warn(&format!(
            "{} has no good copy.json that could be read when this began: nothing of this ceremony is written to it. Afterwards run `claviger copy sync` with all copies.",
            copy.display()
        ));
    }
    if let Some((first, second)) = on_one_medium(&setting.copies.paths()) {
        setting.room.warn(&format!(
            "{} and {} are on the same medium: what destroys one destroys both.",
            first.display(),
            second.display()
        ));
    }
    for copy in setting.copies.unavailable() {
        setting.room.warn(&format!(
            "A copy cannot be used: {}: {}. What it misses now it gets with `claviger copy sync`.",
            copy.path.display(),
            copy.why
        ));
    }
    for copy in setting.copies.foreign() {
        setting.room.warn(&format!("{} is a copy of another vault; nothing of it is used.", copy.display()));
    }
    for weakness in &setting.weaknesses {
        setting.room.warn(&format!("{weakness}. This is named in the plan as an exception."));
    }
    Ok(())
}

/// The plan is read aloud; the administrator begins, or not. A plan that breaks a rule is stopped here, before it is written
/// anywhere and before a token is in its ceremony: nobody could read it again, and no document is ever removed.
pub(super) fn agree(room: &mut dyn Room, plan: &Plan) -> Result<(), CeremonyError> {
    plan.check()?;
    for line in read_aloud(plan) {
        room.say(&format!("   {line}"));
    }
    if room.confirm("Is this what shall be done? Begin?")? { Ok(()) } else { Err(CeremonyError::Declined) }
}

/// Says that it is done, and clears what nobody can open any more. What cannot be cleared now is cleared next time.
pub(super) fn finish(setting: &mut Setting<'_>, ratified: &Ratified) {
    let (number, proven) = (ratified.generation(), ratified.generation.closings.len());
    let before = if number == 1 { "" } else { ", and no generation before it can be opened any more" };
    setting.room.say(&format!("Generation {number} is ratified: {proven} custodians have proven it{before}."));
    for warning in left_behind::afterwards(&ratified.generation.manifest) {
        setting.room.warn(&warning);
    }
    let cleaned = setting.copies.snapshot().and_then(|snapshot| cleanup(setting.copies, &snapshot, &setting.judgement));
    match cleaned {
        Ok(cleaned) => {
            for failure in cleaned.failures {
                setting
                    .room
                    .warn(&format!("Old ciphertext is left behind: {}.", crate::error::sentence(&failure.error)));
            }
        }
        Err(error) => setting.room.warn(&format!("Old ciphertext is left behind: {}.", crate::error::sentence(&error))),
    }
    inspect::stage("ratified");
}

fn describe(medium: &Medium) -> String {
    let room = medium.free.map_or_else(String::new, |free| format!(", {} MiB free", free >> 20));
    let writable = match (medium.writable, medium.full) {
        (false, _) => ", CANNOT BE WRITTEN",
        (true, true) => ", FULL: too little room for one more generation",
        (true, false) => "",
    };
    let volatile = if medium.volatile { ", GONE WHEN THE MACHINE IS SWITCHED OFF" } else { "" };
    format!("Copy: {} ({}{room}{writable}{volatile})", medium.path.display(), medium.file_system)
}

/// The proposals of the inbox that can be planned: one for each name, of a known kind. Others are named and left alone.
fn admissions(setting: &mut Setting<'_>, parent: &GenerationState) -> Result<Vec<Admission>, CeremonyError> {
    let mut by_name: BTreeMap<Name, Vec<Admission>> = BTreeMap::new();
    for file in empty_proposals(setting)? {
        setting.room.warn(&format!("{} is left alone: it is empty.", file.escape_debug()));
    }
    for (file, digest) in inbox(setting)? {
        let admission = parse(&file).map(|(name, kind)| Admission {
            replaces: parent.manifest.item(&name).map(|item| item.digest),
            name,
            kind,
            file: file.clone(),
            digest,
        });
        match admission {
            Ok(admission) => by_name.entry(admission.name.clone()).or_default().push(admission),
            Err(reason) => setting.room.warn(&format!("inbox/{} is left alone: {reason}.", file.escape_debug())),
        }
    }
    let mut admits = Vec::new();
    for (name, mut proposals) in by_name {
        if proposals.len() > 1 {
            let files: Vec<&str> = proposals.iter().map(|proposal| proposal.file.as_str()).collect();
            setting.room.warn(&format!(
                "There are several proposals for {name}, and all are left alone: {}. Remove those that are not wanted.",
                files.join(", ")
            ));
        } else {
            admits.extend(proposals.pop());
        }
    }
    Ok(admits)
}

/// What stands in the inboxes and has no bytes.
fn empty_proposals(setting: &Setting<'_>) -> Result<BTreeSet<String>, CeremonyError> {
    let empty = setting.copies.snapshot()?.copies.into_iter().flat_map(|copy| copy.empty);
    Ok(empty.filter(|path| matches!(Place::of(path), Place::Inbox(_))).collect())
}

/// Every file of the inboxes, with its digest.
fn inbox(setting: &Setting<'_>) -> Result<BTreeSet<(String, Digest)>, CeremonyError> {
    let snapshot = setting.copies.snapshot()?;
    let files = snapshot.copies.iter().flat_map(|copy| &copy.files);
    let proposals = files.filter_map(|(path, content)| match Place::of(path) {
        Place::Inbox(file) => Some((file.to_owned(), content.digest())),
        _ => None,
    });
    Ok(proposals.collect())
}

/// Name and kind of a proposal, from its file name: `NAME[.KIND][.ANYTHING].age`.
fn parse(file: &str) -> Result<(Name, Name), String> {
    if !is_file_name(file) {
        return Err("its name has characters that cannot be read aloud".to_owned());
    }
    let stem = file.strip_suffix(".age").ok_or_else(|| "its name does not end in .age".to_owned())?;
    let mut parts = stem.split('.');
    let name = parts.next().unwrap_or_default();
    let kind = parts.next().unwrap_or("opaque");
    let name: Name = name.parse().map_err(|error: crate::encoding::EncodingError| error.to_string())?;
    let kind: Name = kind.parse().map_err(|error: crate::encoding::EncodingError| error.to_string())?;
    crate::credential::Kind::try_from(&kind).map_err(|error| error.to_string())?;
    Ok((name, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_named_by_its_file() {
        let named = |file: &str| parse(file).map(|(name, kind)| format!("{name} {kind}"));
        assert_eq!(named("root.age").unwrap(), "root opaque");
        assert_eq!(named("root.password.1a2b.age").unwrap(), "root password");
        for bad in ["root.opaque", "Root.age", ".age", "root.nonsense.age"] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_that_could_change_what_custodians_read_is_no_proposal() {
        for bad in ["root.opaque.\x1b[2K.age", "root.opaque.\n.age", "root.opaque.\u{202e}.age", "root.opaque.a\\b.age"]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
