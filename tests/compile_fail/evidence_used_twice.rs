//! One use, one reveal.

use claviger::ceremony::Setting;
use claviger::ceremony::close::Ratified;
use claviger::ceremony::reveal::{Target, reveal};

fn twice(setting: &mut Setting<'_>, ratified: Ratified) {
    let _ = reveal(setting, ratified, &Target::Screen);
    let _ = reveal(setting, ratified, &Target::Screen);
}

fn main() {}
