//! Splitting a root k-of-n, checking a share, combining k checked shares (`docs/format.md`, 5.1). No I/O.

use crate::encoding::{Digest, PublicKey};
use crate::secret::{Root, ShareValue};

/// k of n, with n/2 < k <= n, 2 <= k, n <= 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    k: u8,
    n: u8,
}

/// What a split makes.
pub struct Split {
    /// The root, fresh and random.
    pub root: Root,
    /// Index (1..=n) and value of every share, in order.
    pub shares: Vec<(u8, ShareValue)>,
    /// What the shares are checked against.
    pub commitments: Commitments,
}

/// The k Feldman commitments C0 = root*G, C1, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitments(Vec<PublicKey>);

/// A share that matches the commitments. Made by [`check`] only.
pub struct CheckedShare {
    index: u8,
    value: ShareValue,
    commitments: Digest,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharingError {}

impl Threshold {
    pub fn new(k: u8, n: u8) -> Result<Self, SharingError> { todo!() }
    pub fn k(&self) -> u8 { self.k }
    pub fn n(&self) -> u8 { self.n }
}

impl Commitments {
    pub fn new(points: Vec<PublicKey>) -> Result<Self, SharingError> { todo!() }
    pub fn points(&self) -> &[PublicKey] { &self.0 }
    pub fn k(&self) -> u8 { todo!() }
    /// SHA-256 over the compressed points in order.
    pub fn digest(&self) -> Digest { todo!() }
    /// f(index)*G.
    pub fn share_point(&self, index: u8) -> Result<PublicKey, SharingError> { todo!() }
}

impl CheckedShare {
    pub fn index(&self) -> u8 { self.index }
}

pub fn split(threshold: &Threshold) -> Result<Split, SharingError> { todo!() }
pub fn check(commitments: &Commitments, index: u8, share: ShareValue) -> Result<CheckedShare, SharingError> { todo!() }
pub fn combine(commitments: &Commitments, shares: Vec<CheckedShare>) -> Result<Root, SharingError> { todo!() }
