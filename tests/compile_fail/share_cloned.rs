//! A share that was opened has one owner.

use claviger::sharing::CheckedShare;

fn twice(share: CheckedShare) -> [CheckedShare; 2] {
    [share.clone(), share]
}

fn main() {}
