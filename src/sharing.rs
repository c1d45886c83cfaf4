//! Splitting a root k-of-n, checking a share, combining k checked shares (`docs/format.md`, 5.1). No I/O.
//!
//! Evaluation, verification and interpolation are `vsss-rs`. That library keeps shares and polynomials in plain values
//! that are not zeroed, so the ones it works on are made and zeroed here. What remains are the scalars that it and the
//! curve library hold on the stack while they compute; nothing here can reach those (`docs/threat-model.md`).

use p256::elliptic_curve::PrimeField;
use p256::elliptic_curve::group::Group;
use p256::{FieldBytes, ProjectivePoint, Scalar};
use sha2::{Digest as _, Sha256};
use vsss_rs::shamir::create_shares_from_polynomial_in_place;
use vsss_rs::{DefaultShare, FeldmanVerifierSet, IdentifierPrimeField, ReadableShareSet, Share, ShareVerifierGroup};
use zeroize::{Zeroize, Zeroizing};

use crate::encoding::{Digest, PublicKey};
use crate::error::{Advice, Exit};
use crate::fault::inspect;
use crate::secret::{self, Root, ShareValue};

#[cfg(test)]
mod tests;

type Element = IdentifierPrimeField<Scalar>;
type Point = ShareVerifierGroup<ProjectivePoint>;
type LibraryShare = DefaultShare<Element, Element>;

/// k of n, with n/2 < k <= n and 2 <= k; n is at most 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    k: u8,
    n: u8,
}

impl Threshold {
    /// k of n.
    ///
    /// # Errors
    /// [`SharingError::Threshold`] unless n/2 < k <= n and 2 <= k: two sets of k must share a custodian, and one custodian
    /// alone must never do.
    pub fn new(k: u8, n: u8) -> Result<Self, SharingError> {
        let good = k >= 2 && k <= n && 2 * u16::from(k) > u16::from(n);
        good.then_some(Self { k, n }).ok_or(SharingError::Threshold { k, n })
    }

    /// How many shares open.
    pub fn k(&self) -> u8 {
        self.k
    }

    /// How many shares there are.
    pub fn n(&self) -> u8 {
        self.n
    }
}

/// What a split makes.
pub struct Split {
    /// The root, fresh and random.
    pub root: Root,
    /// Index (1 to n) and value of every share, in order.
    pub shares: Vec<(u8, ShareValue)>,
    /// What the shares are checked against.
    pub commitments: Commitments,
}

/// The k Feldman commitments, C0 = root*G first. Public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitments(Vec<PublicKey>);

impl Commitments {
    /// The commitments of a manifest, in order.
    ///
    /// # Errors
    /// [`SharingError::CommitmentCount`] unless there are 2 to 255.
    pub fn new(points: Vec<PublicKey>) -> Result<Self, SharingError> {
        let good = (2..=255).contains(&points.len());
        if good { Ok(Self(points)) } else { Err(SharingError::CommitmentCount { found: points.len() }) }
    }

    /// The points, C0 first.
    pub fn points(&self) -> &[PublicKey] {
        &self.0
    }

    /// How many shares open: the number of commitments.
    pub fn k(&self) -> usize {
        self.0.len()
    }

    /// SHA-256 over the compressed points in order.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        for point in &self.0 {
            hash.update(point.to_bytes());
        }
        Digest::from_bytes(hash.finalize().into())
    }

    /// f(index)*G: what the share of `index` has to be the discrete logarithm of.
    ///
    /// # Errors
    /// [`SharingError::Index`] for 0; [`SharingError::Mismatch`] if the commitments leave no share for this index.
    pub fn share_point(&self, index: u8) -> Result<PublicKey, SharingError> {
        let identifier = identifier(index)?;
        let point = FeldmanVerifierSet::<LibraryShare, Point>::evaluate_verifier_at(&self.library(), &identifier)
            .map_err(|_| SharingError::Mismatch { index })?;
        public_key(point.0).ok_or(SharingError::Mismatch { index })
    }

    fn library(&self) -> Vec<Point> {
        let points: Vec<_> = self.0.iter().map(|key| Point::from(key.as_p256().to_projective())).collect();
        FeldmanVerifierSet::<LibraryShare, Point>::with_generator_and_verifiers(
            Point::from(ProjectivePoint::GENERATOR),
            &points,
        )
    }
}

/// A share that matches the commitments it was checked against. Only [`check`] makes one.
pub struct CheckedShare {
    index: u8,
    value: ShareValue,
    commitments: Digest,
}

impl CheckedShare {
    /// Whose share it is.
    pub fn index(&self) -> u8 {
        self.index
    }
}

/// Splits a fresh random root. Every share is checked against the commitments before this returns.
///
/// # Errors
/// [`SharingError::Randomness`], or whatever [`check`] finds wrong with what was made.
pub fn split(threshold: &Threshold) -> Result<Split, SharingError> {
    secret::apart(|| split_random(threshold))
}

fn split_random(threshold: &Threshold) -> Result<Split, SharingError> {
    let k = usize::from(threshold.k);
    // The coefficients, as the library wants them: the root is the value of the first, the others are identifiers.
    let mut polynomial = Zeroizing::new(vec![LibraryShare::default(); k]);
    for (degree, coefficient) in polynomial.iter_mut().enumerate() {
        let place = if degree == 0 { coefficient.value_mut() } else { coefficient.identifier_mut() };
        random_scalar(&mut place.0)?;
    }
    let root = Root::fill(|bytes| write_scalar(&polynomial[0].value.0, bytes));
    inspect::secret("root", root.expose_secret());
    let mut points = Vec::with_capacity(k);
    for (degree, coefficient) in polynomial.iter().enumerate() {
        let scalar = if degree == 0 { &coefficient.value.0 } else { &coefficient.identifier.0 };
        points.extend(public_key(ProjectivePoint::GENERATOR * scalar));
    }
    let commitments = Commitments::new(points)?;

    let mut made = Zeroizing::new(vec![LibraryShare::default(); usize::from(threshold.n)]);
    let identifiers = (1..=threshold.n).map(|index| IdentifierPrimeField(Scalar::from(u64::from(index))));
    create_shares_from_polynomial_in_place(&*polynomial, k, identifiers, &mut made).map_err(SharingError::Library)?;
    let mut shares = Vec::with_capacity(made.len());
    for (index, share) in (1..=threshold.n).zip(made.iter()) {
        let copy = ShareValue::fill(|bytes| write_scalar(&share.value.0, bytes));
        check(&commitments, index, copy)?;
        shares.push((index, ShareValue::fill(|bytes| write_scalar(&share.value.0, bytes))));
    }
    Ok(Split { root, shares, commitments })
}

/// Checks one share against the commitments: f(index)*G = sum of C_j * index^j.
///
/// # Errors
/// [`SharingError::Index`], [`SharingError::Range`] or [`SharingError::Mismatch`]; the share is gone then.
pub fn check(commitments: &Commitments, index: u8, share: ShareValue) -> Result<CheckedShare, SharingError> {
    secret::apart(|| check_share(commitments, index, share))
}

fn check_share(commitments: &Commitments, index: u8, share: ShareValue) -> Result<CheckedShare, SharingError> {
    let identifier = identifier(index)?;
    let value = scalar_of(share.expose_secret()).ok_or(SharingError::Range { index })?;
    let mut candidate = Zeroizing::new(LibraryShare { identifier, value: IdentifierPrimeField(*value) });
    let verdict = commitments.library().verify_share(&*candidate);
    candidate.zeroize();
    verdict.map_err(|_| SharingError::Mismatch { index })?;
    inspect::secret("share", share.expose_secret());
    Ok(CheckedShare { index, value: share, commitments: commitments.digest() })
}

/// Combines k or more checked shares of different custodians; root*G = C0 is checked before the root is returned.
///
/// # Errors
/// [`SharingError::Duplicate`], [`SharingError::Foreign`], [`SharingError::TooFew`], [`SharingError::Root`].
pub fn combine(commitments: &Commitments, shares: Vec<CheckedShare>) -> Result<Root, SharingError> {
    secret::apart(|| combine_checked(commitments, shares))
}

fn combine_checked(commitments: &Commitments, shares: Vec<CheckedShare>) -> Result<Root, SharingError> {
    let digest = commitments.digest();
    let mut seen = [false; 256];
    for share in &shares {
        if share.commitments != digest {
            return Err(SharingError::Foreign { index: share.index });
        }
        if std::mem::replace(&mut seen[usize::from(share.index)], true) {
            return Err(SharingError::Duplicate { index: share.index });
        }
    }
    if shares.len() < commitments.k() {
        return Err(SharingError::TooFew { expected: commitments.k(), found: shares.len() });
    }
    let mut set = Zeroizing::new(vec![LibraryShare::default(); shares.len()]);
    for (place, share) in set.iter_mut().zip(&shares) {
        let value = scalar_of(share.value.expose_secret()).ok_or(SharingError::Range { index: share.index })?;
        *place = LibraryShare { identifier: identifier(share.index)?, value: IdentifierPrimeField(*value) };
    }
    let mut root = Zeroizing::new(Element::default());
    set.combine_in_place(&mut root).map_err(SharingError::Library)?;
    if public_key(ProjectivePoint::GENERATOR * root.0) != commitments.0.first().copied() {
        return Err(SharingError::Root);
    }
    let root = Root::fill(|bytes| write_scalar(&root.0, bytes));
    inspect::secret("root", root.expose_secret());
    Ok(root)
}

fn identifier(index: u8) -> Result<Element, SharingError> {
    if index == 0 { Err(SharingError::Index) } else { Ok(IdentifierPrimeField(Scalar::from(u64::from(index)))) }
}

/// `None` for the identity, which has no written form.
fn public_key(point: ProjectivePoint) -> Option<PublicKey> {
    if bool::from(point.is_identity()) {
        return None;
    }
    p256::PublicKey::from_affine(point.to_affine()).ok().map(PublicKey::from)
}

/// A scalar in [1, order-1], drawn until it is in range (SP 800-56A, 5.6.1.2.2).
fn random_scalar(scalar: &mut Scalar) -> Result<(), SharingError> {
    let mut bytes = Zeroizing::new([0; 32]);
    loop {
        getrandom::fill(&mut *bytes).map_err(SharingError::Randomness)?;
        if let Some(drawn) = scalar_of(&bytes) {
            *scalar = *drawn;
            return Ok(());
        }
    }
}

/// `None` if the bytes, big-endian, are not in [1, order-1].
pub(crate) fn scalar_of(bytes: &[u8; 32]) -> Option<Zeroizing<Scalar>> {
    let mut encoded = FieldBytes::from(*bytes);
    let scalar = Option::from(Scalar::from_repr(encoded)).map(Zeroizing::new);
    encoded.zeroize();
    scalar.filter(|scalar: &Zeroizing<Scalar>| **scalar != Scalar::ZERO)
}

fn write_scalar(scalar: &Scalar, bytes: &mut [u8; 32]) {
    let mut encoded = scalar.to_repr();
    bytes.copy_from_slice(&encoded);
    encoded.zeroize();
}

/// Shares that do not fit. An index is a custodian's place on the roster, from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharingError {
    /// k and n do not go together.
    #[error("{k} of {n} is no threshold: it takes at least 2, more than half, and at most 255")]
    Threshold {
        /// The threshold asked for.
        k: u8,
        /// The number of custodians.
        n: u8,
    },
    /// Not 2 to 255 commitments.
    #[error("{found} commitments, where there are 2 to 255")]
    CommitmentCount {
        /// How many there were.
        found: usize,
    },
    /// Shares are counted from 1.
    #[error("a share has index 0, and indices begin at 1")]
    Index,
    /// Zero, or not below the order of P-256.
    #[error("the share of custodian {index} is not a number in the range of shares")]
    Range {
        /// Whose share.
        index: u8,
    },
    /// Not the share that was dealt.
    #[error("the share of custodian {index} does not match the commitments of this generation")]
    Mismatch {
        /// Whose share.
        index: u8,
    },
    /// Checked, but against the commitments of another split.
    #[error("the share of custodian {index} was checked against other commitments")]
    Foreign {
        /// Whose share.
        index: u8,
    },
    /// One custodian's share twice.
    #[error("the share of custodian {index} was given twice")]
    Duplicate {
        /// Whose share.
        index: u8,
    },
    /// Fewer than k.
    #[error("{found} shares where {expected} are needed")]
    TooFew {
        /// k.
        expected: usize,
        /// How many there were.
        found: usize,
    },
    /// k checked shares did not give the root: a mistake of the program.
    #[error("the combined root does not match its commitment")]
    Root,
    /// The operating system has no randomness to give.
    #[error("the operating system gave no random bytes")]
    Randomness(#[source] getrandom::Error),
    /// The sharing library refused what it should have taken: a mistake of the program.
    #[error("the sharing library refused its input: {0}")]
    Library(vsss_rs::Error),
}

impl SharingError {
    /// The custodian whose share it is about, by index.
    pub fn index(&self) -> Option<u8> {
        match self {
            Self::Range { index } | Self::Mismatch { index } | Self::Foreign { index } | Self::Duplicate { index } => {
                Some(*index)
            }
            Self::Threshold { .. }
            | Self::CommitmentCount { .. }
            | Self::Index
            | Self::TooFew { .. }
            | Self::Root
            | Self::Randomness(_)
            | Self::Library(_) => None,
        }
    }
}

impl Advice for SharingError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Threshold { .. } => "change `threshold` in the policy, or the number of custodians",
            Self::CommitmentCount { .. } | Self::Index => "this copy of the vault is damaged: use another copy",
            Self::Range { .. } | Self::Mismatch { .. } | Self::Foreign { .. } => {
                "go on with another custodian, and try this one again with another copy of the vault"
            }
            Self::Duplicate { .. } => "take out that token and insert one of another custodian",
            Self::TooFew { .. } => "more custodians have to attend",
            Self::Randomness(_) => "restart the machine, or use another one",
            Self::Root | Self::Library(_) => {
                "nothing was changed; try another machine or version, and report this with the version of the program"
            }
        };
        Some(hint.to_owned())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Threshold { .. } => Exit::Refused,
            Self::Duplicate { .. } | Self::TooFew { .. } => Exit::Person,
            Self::Randomness(_) => Exit::Usage,
            Self::CommitmentCount { .. }
            | Self::Index
            | Self::Range { .. }
            | Self::Mismatch { .. }
            | Self::Foreign { .. }
            | Self::Root
            | Self::Library(_) => Exit::Verification,
        }
    }
}

static_assertions::assert_not_impl_any!(CheckedShare: Clone, Copy, std::fmt::Debug, PartialEq, serde::Serialize);
