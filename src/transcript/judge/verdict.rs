//! How the verdict is reached.

use super::{Judgement, Snapshot};

pub(super) fn verdict(_snapshot: &Snapshot) -> Judgement {
    todo!()
}
