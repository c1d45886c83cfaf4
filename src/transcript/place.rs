//! What a path in a copy stands for (`docs/format.md`, section 2).

use super::plan::INBOX_IDENTITY;
use crate::encoding::{Digest, Name};

/// What a path in a copy stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place<'a> {
    /// `vault.json`.
    Vault,
    /// `policy.toml`.
    Policy,
    /// `copy.json`.
    CopyMark,
    /// A file in `generations/<directory>/`.
    Generation(&'a str, GenerationFile<'a>),
    /// `records/<digest>.json` or `.sig`.
    Record(Digest, Half),
    /// `inbox/<file>.age`.
    Inbox(&'a str),
    /// Ends in `.part`: unfinished, and ignored.
    Part,
    /// Nothing that a vault has.
    Unknown,
}

/// A file of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GenerationFile<'a> {
    /// `plan.json`.
    Plan,
    /// `approvals/<stem>.json` or `.sig`.
    Approval(&'a str, Half),
    /// `manifest.json`.
    Manifest,
    /// `shares/<stem>.age`.
    Share(&'a str),
    /// `items/<name>.age`.
    Item(&'a str),
    /// `inbox-identity.age`.
    InboxIdentity,
    /// `COMMIT`.
    Commit,
    /// `closings/<stem>.json` or `.sig`.
    Closing(&'a str, Half),
}

/// Which of the two files of a signed document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    /// The document, `.json`.
    Body,
    /// The signature, `.sig`.
    Signature,
}

impl<'a> Place<'a> {
    /// Classifies a path, `/` between components.
    pub fn of(path: &'a str) -> Self {
        if path.ends_with(".part") {
            return Self::Part;
        }
        let known = match path.split_once('/') {
            None => match path {
                "vault.json" => Some(Self::Vault),
                "policy.toml" => Some(Self::Policy),
                "copy.json" => Some(Self::CopyMark),
                _ => None,
            },
            Some(("generations", rest)) => rest.split_once('/').and_then(|(directory, file)| {
                is_generation_directory(directory).then_some(())?;
                Some(Self::Generation(directory, GenerationFile::of(file)?))
            }),
            Some(("records", file)) => half(file).and_then(|(stem, half)| Some(Self::Record(stem.parse().ok()?, half))),
            Some(("inbox", file)) => (file.ends_with(".age") && !file.contains('/')).then_some(Self::Inbox(file)),
            Some(_) => None,
        };
        known.unwrap_or(Self::Unknown)
    }

    /// Whether the file is ciphertext: of these only size and digest are read.
    pub fn is_sealed(&self) -> bool {
        match self {
            Self::Inbox(_) => true,
            Self::Generation(_, file) => file.is_sealed(),
            Self::Vault | Self::Policy | Self::CopyMark | Self::Record(..) | Self::Part | Self::Unknown => false,
        }
    }
}

impl<'a> GenerationFile<'a> {
    /// Classifies a path in the directory of a generation.
    pub fn of(path: &'a str) -> Option<Self> {
        match path.split_once('/') {
            None => match path {
                "plan.json" => Some(Self::Plan),
                "manifest.json" => Some(Self::Manifest),
                "COMMIT" => Some(Self::Commit),
                INBOX_IDENTITY => Some(Self::InboxIdentity),
                _ => None,
            },
            Some(("approvals", file)) => half(file).map(|(stem, half)| Self::Approval(stem, half)),
            Some(("closings", file)) => half(file).map(|(stem, half)| Self::Closing(stem, half)),
            Some(("shares", file)) => file.strip_suffix(".age").filter(|stem| !stem.contains('/')).map(Self::Share),
            Some(("items", file)) => {
                file.strip_suffix(".age").filter(|name| name.parse::<Name>().is_ok()).map(Self::Item)
            }
            Some(_) => None,
        }
    }

    /// Its path in the directory of a generation.
    pub fn path(&self) -> String {
        match self {
            Self::Plan => "plan.json".to_owned(),
            Self::Manifest => "manifest.json".to_owned(),
            Self::Commit => "COMMIT".to_owned(),
            Self::InboxIdentity => INBOX_IDENTITY.to_owned(),
            Self::Approval(stem, half) => format!("approvals/{stem}.{}", half.extension()),
            Self::Closing(stem, half) => format!("closings/{stem}.{}", half.extension()),
            Self::Share(stem) => format!("shares/{stem}.age"),
            Self::Item(name) => format!("items/{name}.age"),
        }
    }

    /// What an exception for a lost file calls it: the item's name, or [`INBOX_IDENTITY`]; `None` for what the next
    /// generation does not carry.
    pub fn lost_subject(&self) -> Option<&'a str> {
        match self {
            Self::Item(name) => Some(name),
            Self::InboxIdentity => Some(INBOX_IDENTITY),
            _ => None,
        }
    }

    /// Whether the file is ciphertext.
    pub fn is_sealed(&self) -> bool {
        match self {
            Self::Share(_) | Self::Item(_) | Self::InboxIdentity => true,
            Self::Plan | Self::Manifest | Self::Commit | Self::Approval(..) | Self::Closing(..) => false,
        }
    }
}

impl Half {
    /// Without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Body => "json",
            Self::Signature => "sig",
        }
    }
}

fn half(file: &str) -> Option<(&str, Half)> {
    let body = file.strip_suffix(".json").map(|stem| (stem, Half::Body));
    let found = body.or_else(|| file.strip_suffix(".sig").map(|stem| (stem, Half::Signature)));
    found.filter(|(stem, _)| !stem.is_empty() && !stem.contains('/'))
}

/// Whether `name` is six or more digits, perhaps followed by `-` and eight hex digits.
pub fn is_generation_directory(name: &str) -> bool {
    let (number, id) = name.split_once('-').map_or((name, None), |(number, id)| (number, Some(id)));
    let digits = (6..=16).contains(&number.len()) && number.bytes().all(|c| c.is_ascii_digit());
    let hex = |id: &str| id.len() == 8 && id.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    digits && id.is_none_or(hex)
}

/// The name of the directory of a generation, before any other ceremony took it: six decimal digits.
pub fn generation_directory(generation: u64) -> String {
    format!("{generation:06}")
}

/// The name where another ceremony took the first one.
pub fn crowded_directory(generation: u64, ceremony: &Digest) -> String {
    format!("{generation:06}-{}", ceremony.short())
}
