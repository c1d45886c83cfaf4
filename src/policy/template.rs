//! A policy to start from.

use super::Policy;

impl Policy {
    /// The text of a commented policy: what is decided here, and every default.
    pub fn template(name: &str, owner: &str, threshold: u8, copies: u8) -> String {
        // A TOML basic string and a Rust debug string agree on printable text, quotes and backslashes.
        let (name, owner) = (format!("{name:?}"), format!("{owner:?}"));
        format!(
            r#"# The policy of a claviger vault. Its digest is part of every approval: the custodians sign these bytes.
format = "claviger/v1 policy"

# What people call the vault, and the one person or team that owns it.
name = {name}
owner = {owner}

# How many custodians it takes. More than half of them, and at least two.
threshold = {threshold}

# On how many media a new generation must be read back before the old one is destroyed.
copies = {copies}

# Where the copies are, relative to this file; used when a command names only one VAULT.
# media = ["/media/usb1/vault", "/media/usb2/vault"]
media = []

# The longest time from opening to the end of a grant: 90m, 4h, 2d.
grant_limit = "4h"

# Whoever asks for a credential is not one of those who approve it.
separate_roles = true

# Touching the token for every use of a share key: always, cached (once in 15 seconds), never.
touch = "always"

# Attestation of share keys: recorded, or required (a key without it takes an exception).
attestation = "recorded"

# Attestation roots besides Yubico's, each a certificate in PEM.
attestation_roots = []

# After how many days without proof a custodian's key is overdue, and a generation without rotation.
check_days = 90
rotate_days = 365

# How passwords are made: length * log2(size of the alphabet) must be at least 100.
[password]
length = 24
alphabet = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"#
        )
    }
}
