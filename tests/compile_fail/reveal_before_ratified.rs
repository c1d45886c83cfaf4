//! A generation that is committed and that nobody has closed: its items are not revealed.

use claviger::ceremony::commit::Committed;
use claviger::ceremony::reveal::{Target, reveal};
use claviger::ceremony::{CeremonyError, Setting};

fn hasty(setting: &mut Setting<'_>, committed: Committed) -> Result<(), CeremonyError> {
    reveal(setting, committed, &Target::Screen)
}

fn main() {}
