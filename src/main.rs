//! Parse, run, say the error with its hint, exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;
use claviger::cli::{Arguments, answers_version};
use claviger::error::Advice;

/// Every heap block is zeroed when it is freed, also those that libraries free.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    if answers_version() {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    claviger::process::harden_once();
    claviger::fault::say_switches();
    let outcome = claviger::secret::apart(|| arguments.run());
    claviger::fault::inspect::stage("end");
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            claviger::report::remark(&format!("error: {}", claviger::error::sentence(&failure)));
            if let Some(hint) = failure.hint() {
                claviger::report::remark(&format!("hint: {hint}"));
            }
            ExitCode::from(failure.exit() as u8)
        }
    }
}
