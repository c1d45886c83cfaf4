//! Firmware versions, and what is publicly known to be wrong with them (`firmware-notes/advisories.toml`).

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A firmware version as a card states it. Cards of other makers answer with made-up ones: never a proof of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// First number.
    pub major: u8,
    /// Second number.
    pub minor: u8,
    /// Third number.
    pub patch: u8,
}

impl Version {
    /// `major.minor.patch`.
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self { major, minor, patch }
    }
}

/// Not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a firmware version like 5.7.1")]
pub struct VersionError(String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.chars().take(20).collect());
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten().ok_or_else(error);
        let version = Self::new(next()?, next()?, next()?);
        // One written form: `5.07.1` and `5.7.1.2` are none.
        (version.to_string() == text).then_some(version).ok_or_else(error)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What an advisory means for custody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Such a token must not hold a share.
    Refuse,
    /// The custodian decides.
    Warn,
    /// For the record.
    Note,
}

/// A public advisory about a range of firmware versions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advisory {
    /// The publisher's name of it.
    pub id: String,
    /// What it means here.
    pub severity: Severity,
    /// First affected version.
    pub from: Version,
    /// First version that is not affected.
    pub before: Version,
    /// Whether it is about FIPS models only.
    #[serde(default)]
    pub fips: bool,
    /// One or two sentences, lower case without a full stop.
    pub text: String,
    /// Where to read on.
    pub source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisories {
    advisory: Vec<Advisory>,
}

static ADVISORIES: LazyLock<Vec<Advisory>> = LazyLock::new(|| {
    // A test reads the file: a copy that does not parse is never built into a release.
    toml::from_str::<Advisories>(include_str!("../../firmware-notes/advisories.toml"))
        .map(|advisories| advisories.advisory)
        .unwrap_or_default()
});

/// The advisories about a version, the gravest first. `fips`: the card says that it is a FIPS model.
pub fn advisories_for(version: Version, fips: bool) -> Vec<&'static Advisory> {
    let about = |advisory: &&Advisory| (advisory.from..advisory.before).contains(&version) && (fips || !advisory.fips);
    let mut found: Vec<_> = ADVISORIES.iter().filter(about).collect();
    found.sort_by_key(|advisory| match advisory.severity {
        Severity::Refuse => 0,
        Severity::Warn => 1,
        Severity::Note => 2,
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(version: &str, fips: bool) -> Vec<&'static str> {
        advisories_for(version.parse().unwrap(), fips).iter().map(|advisory| advisory.id.as_str()).collect()
    }

    #[test]
    fn the_file_is_read_and_ranges_end_where_they_say() {
        assert_eq!(ids("4.2.5", false), [""; 0]);
        assert_eq!(ids("4.2.6", false), ["YSA-2017-01"]);
        assert_eq!(ids("4.3.5", false), [""; 0]);
        assert_eq!(ids("5.4.3", false), ["YSA-2024-03"]);
        assert_eq!(ids("5.6.9", true), ["YSA-2024-03"]);
        assert_eq!(ids("5.7.0", true), [""; 0]);
        assert_eq!(ids("6.6.6", false), ["CVE-2025-25201"]);
    }

    #[test]
    fn weak_randomness_is_refused_on_fips_models_only() {
        assert_eq!(ids("4.4.4", false), [""; 0]);
        assert_eq!(advisories_for(Version::new(4, 4, 4), true)[0].severity, Severity::Refuse);
    }

    #[test]
    fn a_version_has_one_written_form() {
        assert_eq!("5.7.1".parse(), Ok(Version::new(5, 7, 1)));
        for bad in ["", "5", "5.7", "5.7.1.0", "5.07.1", "v5.7.1", "5.7.256", "5.7.1 "] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
        assert!(Version::new(5, 7, 0) > Version::new(5, 6, 255));
    }
}
