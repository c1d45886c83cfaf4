//! Open, stage, commit, close, reveal.

use claviger::ceremony::close::close;
use claviger::ceremony::commit::commit;
use claviger::ceremony::open::Opened;
use claviger::ceremony::reveal::{Target, reveal};
use claviger::ceremony::stage::stage;
use claviger::ceremony::{CeremonyError, Setting};

fn in_order(setting: &mut Setting<'_>, opened: Opened) -> Result<(), CeremonyError> {
    let staged = stage(setting, opened)?;
    let committed = commit(setting, staged)?;
    let ratified = close(setting, committed)?;
    reveal(setting, ratified, &Target::Screen)
}

fn main() {
    let _ = in_order;
}
