//! No PIN gets into a log.

use claviger::secret::Pin;

fn log(pin: &Pin) {
    println!("{pin:?}");
}

fn main() {}
