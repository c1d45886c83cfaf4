//! Secrets are not compared in variable time.

use claviger::secret::Root;

fn same(a: &Root, b: &Root) -> bool {
    a == b
}

fn main() {}
