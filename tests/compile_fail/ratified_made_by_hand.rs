//! Nobody but `close` says that a generation is ratified.

use claviger::ceremony::close::Ratified;
use claviger::sharing::CheckedShare;
use claviger::transcript::GenerationState;

fn ratified(generation: GenerationState, shares: Vec<CheckedShare>) -> Ratified {
    Ratified { generation, shares }
}

fn main() {}
