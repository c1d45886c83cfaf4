//! What was not made and checked is not committed.

use claviger::ceremony::Setting;
use claviger::ceremony::commit::commit;
use claviger::ceremony::open::Opened;

fn hasty(setting: &mut Setting<'_>, opened: Opened) {
    let _ = commit(setting, opened);
}

fn main() {}
