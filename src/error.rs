//! What every error of the program can say besides its message.

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// A check did not hold: a signature, a digest, a share.
    Verification = 1,
    /// The command line, the environment or the machine.
    Usage = 2,
    /// A token or a person: wrong PIN, pulled card, wrong card, a declined question.
    Person = 3,
    /// Stopped on the way; `claviger resume` goes on.
    Resumable = 4,
    /// The policy or a rule of the ceremony does not allow it.
    Refused = 5,
}

/// The advice that goes with an error. Every error type of the library has it.
pub trait Advice: std::error::Error {
    /// What the person can do now: one or two sentences in lower case without a full stop.
    fn hint(&self) -> Option<String>;

    /// The custodians or tokens that the error is about, by name.
    fn culprits(&self) -> Vec<String> {
        Vec::new()
    }

    /// How the process ends if nobody handles the error.
    fn exit(&self) -> Exit;
}

/// An error and what caused it as one sentence, without the full stop: `the reader X failed: the card was reset`.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Transparent wrappers say the same as what they wrap.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// What people read of each error, for tests: text, hint, exit code.
#[cfg(test)]
pub(crate) fn told<E: Advice>(errors: &[E]) -> String {
    let told = |error: &E| {
        let hint = error.hint().unwrap_or_else(|| "none".to_owned());
        format!("error: {error}\nhint: {hint}\nexit: {}\n", error.exit() as u8)
    };
    errors.iter().map(told).collect::<Vec<_>>().join("\n")
}
