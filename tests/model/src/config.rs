//! What is checked: how many of everything, and which rule is broken on purpose.

/// How many of everything there is, and what may happen.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Custodians.
    pub n: usize,
    /// Threshold.
    pub k: usize,
    /// Copies of the vault.
    pub copies: usize,
    /// On how many copies the policy wants a commit.
    pub policy_copies: usize,
    /// Ceremonies that may be begun after the founding.
    pub ceremonies: usize,
    /// Sessions of the program at the same time, on different copies.
    pub sessions: usize,
    /// People may declare ceremonies lost (`ceremony-lost`), rightly or not.
    pub lost: bool,
    /// People may go on with fewer copies than the policy asks for (`copies`).
    pub few_copies: bool,
    /// A medium may fail in the middle of a session.
    pub media_fail: bool,
    /// How often a copy that no session has may be exchanged for what the founding left on it: a medium that was restored from
    /// an image, or another directory with its mark, copied by hand before. The other medium is gone.
    pub restored: u8,
    /// Share keys that a card may make and that do not work.
    pub duds: usize,
    /// Fewer places to be cut off at: every write reaches every copy or none, and an attendance of round 1 is cut off after
    /// the new key, or not. For going deeper.
    pub coarse: bool,
    /// Only whole attendances: a session crashes between them. For more custodians.
    pub whole: bool,
    /// The rule that is broken; none: the protocol as it is.
    pub mistake: Option<Mistake>,
}

impl Bounds {
    /// `k` of `n` on `copies` copies, the policy satisfied with one, one session at a time, lost ceremonies declared.
    pub const fn new(k: usize, n: usize, copies: usize, ceremonies: usize) -> Self {
        Self {
            n,
            k,
            copies,
            policy_copies: 1,
            ceremonies,
            sessions: 1,
            lost: true,
            few_copies: false,
            media_fail: false,
            restored: 0,
            duds: 0,
            coarse: false,
            whole: false,
            mistake: None,
        }
    }

    pub(crate) fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { n, k, copies, policy_copies, ceremonies, sessions, .. } = self;
        write!(f, "{k}-of-{n}, {ceremonies} ceremonies, {copies} copies (policy {policy_copies}), {sessions} at once")?;
        for (set, word) in [
            (self.lost, "lost ceremonies"),
            (self.few_copies, "too few copies"),
            (self.media_fail, "failing media"),
            (self.restored > 0, "restored copies"),
            (self.duds > 0, "keys that do not work"),
            (self.coarse, "fewer cuts"),
            (self.whole, "whole attendances"),
        ] {
            if set {
                write!(f, ", {word}")?;
            }
        }
        Ok(())
    }
}

/// One rule, broken. Each must be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// Round 1 makes room for the new key by destroying others than the one it is about to use.
    OverwritesInRound1,
    /// A token moves to a ceremony of a lower number.
    MovesToALowerNumber,
    /// A token closes in a ceremony that it left for one of a higher number.
    GoesBack,
    /// A ceremony is declared abandoned though a copy that it was planned on is missing.
    AbandonsWhatMayBeCommitted,
    /// Merging brings a ceremony without COMMIT also to copies that it was not begun on.
    SpreadsWhatWasBegun,
    /// A token destroys its old keys before it has opened the new generation.
    ClosesBeforeProving,
    /// Shown when k custodians have proven the new generation, though the one before still opens.
    RevealsBeforeRatified,
    /// `unratified`: k closings alone make a generation ratified.
    RatifiedWithoutExtinction,
    /// A generation counts as extinct for a ratification also by what was closed on another branch.
    CountsClosingsOfOtherBranches,
    /// Only the parent of a ratified generation has to be extinct, not all before it.
    RatifiedWithParentExtinct,
    /// The share key of an abandoned ceremony serves again though shares were sealed to it.
    ReusesKeyWithShare,
    /// Round 2 begins when COMMIT stands anywhere.
    CommitCountedTooEarly,
    /// Of two committed children the one with the higher number is followed.
    BranchByNumber,
    /// A token that closed a generation, and has joined another ceremony since, closes the former once more.
    ClosesAgainAfterMovingOn,
    /// In a fork people choose among the children of the last common generation, not among what followed those.
    FinishesOnlyTheFirstOfABranch,
    /// In a fork nothing may be begun.
    StopsAtAFork,
    /// A token that closed a generation of a branch is held to the line up to the fork.
    LineEndsAtTheFork,
}
