//! No evidence is made by anybody but the stage that it stands for.

use claviger::ceremony::close::Ratified;
use claviger::ceremony::commit::Committed;
use claviger::encoding::Digest;
use claviger::sharing::CheckedShare;
use claviger::transcript::{GenerationState, Plan};

fn ratified(generation: GenerationState, shares: Vec<CheckedShare>) -> Ratified {
    Ratified { generation, shares }
}

fn committed(plan: Plan, id: Digest, manifest: Digest) -> Committed {
    Committed { id, manifest, plan }
}

fn main() {}
