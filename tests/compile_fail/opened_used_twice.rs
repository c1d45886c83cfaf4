//! What k custodians opened makes one generation, not two.

use claviger::ceremony::Setting;
use claviger::ceremony::open::Opened;
use claviger::ceremony::stage::stage;

fn twice(setting: &mut Setting<'_>, opened: Opened) {
    let _ = stage(setting, opened);
    let _ = stage(setting, opened);
}

fn main() {}
