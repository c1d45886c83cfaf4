//! No evidence is made by anybody but the stage that it stands for.

use claviger::ceremony::commit::Committed;
use claviger::encoding::Digest;
use claviger::transcript::Plan;

fn committed(plan: Plan, id: Digest, manifest: Digest) -> Committed {
    Committed { id, manifest, plan }
}

fn main() {}
