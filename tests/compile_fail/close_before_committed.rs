//! Round 2 destroys share keys: not before the next generation is committed.

use claviger::ceremony::Setting;
use claviger::ceremony::close::close;
use claviger::ceremony::stage::Staged;

fn hasty(setting: &mut Setting<'_>, staged: Staged) {
    let _ = close(setting, staged);
}

fn main() {}
