//! `claviger recover`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Tokens, VaultArguments, open};
use crate::ceremony::recover::{Request, recover};
use crate::ceremony::reveal::Target;
use crate::encoding::Name;
use crate::policy;
use crate::transcript::Which;
use crate::transcript::document::is_text;

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// The vault's copies, then the item's name.
    #[arg(required = true, value_name = "VAULT> <ITEM")]
    pub vault_and_item: Vec<PathBuf>,
    /// The incident's number or name.
    #[arg(long, value_name = "ID")]
    pub incident: String,
    /// Why the credential is needed.
    #[arg(long, value_name = "WHY")]
    pub reason: String,
    /// For whom: a custodian's name, or another person's.
    #[arg(long, value_name = "WHO")]
    pub requester: String,
    /// How long the grant lasts, for example 30m or 2h [default: the policy's limit].
    #[arg(long = "for", value_name = "DURATION")]
    pub lasts: Option<String>,
    /// Write the credential to this new file, mode 0600.
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub out: Option<PathBuf>,
    /// Pass the credential to this shell command on its standard input.
    #[arg(long, value_name = "COMMAND")]
    pub to: Option<String>,
    /// Reveal the next credential: it was installed on the target, and nobody recorded that.
    #[arg(long)]
    pub next: bool,
    /// Which vault it is.
    #[command(flatten)]
    pub vault: VaultArguments,
}

impl Recover {
    /// Runs the command.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(self, tokens: &Tokens) -> Result<(), Failure> {
        let (paths, item) = split_last(&self.vault_and_item)?;
        for (option, text) in
            [("--incident", &self.incident), ("--reason", &self.reason), ("--requester", &self.requester)]
        {
            check_text(option, text)?;
        }
        let lasts = self.lasts.as_deref().map(policy::duration).transpose();
        let lasts = lasts.map_err(|error| Failure::Duration(Box::new(error)))?;
        let target = target(self.out, self.to);
        open::hold(paths, self.vault.expect.as_deref(), tokens, |setting| {
            let lasts = lasts.unwrap_or(setting.policy.grant_limit);
            let credential = if self.next { Which::Next } else { Which::Installed };
            let request = Request {
                item,
                credential,
                incident: self.incident,
                reason: self.reason,
                requester: self.requester,
                lasts,
            };
            Ok(recover(setting, &request, &target)?)
        })
    }
}

/// Where a credential goes.
pub(super) fn target(out: Option<PathBuf>, to: Option<String>) -> Target {
    match (out, to) {
        (Some(path), _) => Target::File(path),
        (None, Some(command)) => Target::Command(command),
        (None, None) => Target::Screen,
    }
}

/// What custodians will be read, and will sign.
fn check_text(option: &str, text: &str) -> Result<(), Failure> {
    if is_text(text) {
        return Ok(());
    }
    let rule = "one line of at most 500 characters, without control characters";
    Err(Failure::Arguments(format!("{option}: expected {rule}")))
}

fn split_last(arguments: &[PathBuf]) -> Result<(&[PathBuf], Name), Failure> {
    let wrong = || Failure::Arguments("expected VAULT (once for each copy), then ITEM".to_owned());
    let (item, paths) = arguments.split_last().ok_or_else(wrong)?;
    let item = super::name(item.to_str().ok_or_else(wrong)?)
        .map_err(|error| Failure::Arguments(format!("ITEM {}: {error}", item.display())))?;
    if paths.is_empty() { Err(wrong()) } else { Ok((paths, item)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_aloud_is_one_line_that_a_terminal_can_show() {
        for good in ["INC-1", "the identity provider is down", "Ausfall, groß"] {
            assert!(check_text("--reason", good).is_ok(), "{good:?}");
        }
        for bad in ["two\nlines", "a\ttab", "\x1b[2K", "\u{202e}turned", &"long ".repeat(101)] {
            let error = check_text("--reason", bad).unwrap_err().to_string();
            assert!(error.starts_with("--reason: expected one line"), "{error}");
        }
    }
}
