//! What is on tokens, on copies, in documents, and in the memory of running sessions.

pub const MAX_CUSTODIANS: usize = 5;
pub const MAX_COPIES: usize = 3;
/// The founding, those that may be begun, and one in which [`crate::way_on`] tries whether there is a way on.
pub const MAX_CEREMONIES: usize = 6;
pub const MAX_SESSIONS: usize = 2;

/// A ceremony, and the generation that it makes. 0 is the founding: committed, ratified, on every copy.
pub type Id = u8;
/// A set of custodians, copies, ceremonies or keys. A key is named by the ceremony that made it.
pub type Mask = u8;

pub fn has(mask: Mask, member: u8) -> bool {
    mask & (1 << member) != 0
}

pub fn one(member: u8) -> Mask {
    1 << member
}

pub fn members(mask: Mask) -> impl Iterator<Item = u8> {
    (0..8).filter(move |member| has(mask, *member))
}

pub fn count(mask: Mask) -> usize {
    mask.count_ones() as usize
}

/// The non-empty subsets of `mask`.
pub fn subsets(mask: Mask) -> impl Iterator<Item = Mask> {
    (1..=mask).filter(move |subset| subset & !mask == 0)
}

/// A custodian's token: its keys and its anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token {
    /// Share keys that are there.
    pub keys: Mask,
    /// Those of them that do not work.
    pub duds: Mask,
    /// Anchor: the generation that it closed last.
    pub closed: Id,
    /// Anchor: the ceremony that it is in; 0: none.
    pub ceremony: Id,
    /// Anchor: the key that it made in this ceremony; 0: only a place is reserved.
    pub made: Id,
    /// Anchor: the highest number that it has been in.
    pub number: u8,
    /// Documents: the share key that its approval of each ceremony names; 0: it never approved.
    pub approved: [Id; MAX_CEREMONIES],
}

/// A plan, and what became of it. What a copy knows of it is in [`Directory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ceremony {
    /// 0: not begun.
    pub number: u8,
    pub parent: Id,
    /// Where the plan says that it was made durable.
    pub copies: Mask,
    pub abandons: Mask,
    /// Those of them of which no share is on its copies: their keys serve again. The program looks when it begins.
    pub unused: Mask,
    /// Exceptions `ceremony-lost`.
    pub lost: Mask,
    /// The manifest: whose approvals it lists; 0: not staged.
    pub attendees: Mask,
}

/// What a copy has of one ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Directory {
    pub plan: bool,
    pub approvals: Mask,
    /// Envelopes and items.
    pub sealed: bool,
    pub manifest: bool,
    pub commit: bool,
    pub closings: Mask,
}

impl Directory {
    /// Files are only ever added; the sealed ones can be removed.
    pub fn add(&mut self, other: &Self) {
        self.plan |= other.plan;
        self.approvals |= other.approvals;
        self.sealed |= other.sealed;
        self.manifest |= other.manifest;
        self.commit |= other.commit;
        self.closings |= other.closings;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Copy {
    pub ceremonies: [Directory; MAX_CEREMONIES],
}

impl Copy {
    /// As the founding left it.
    pub fn founded(n: usize) -> Self {
        let everybody = ((1u16 << n) - 1) as Mask;
        let (approvals, closings) = (everybody, everybody);
        let mut copy = Self::default();
        copy.ceremonies[0] = Directory { plan: true, approvals, sealed: true, manifest: true, commit: true, closings };
        copy
    }
}

/// What a running program has in memory. A crash forgets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Session {
    /// The copies that it has; 0: there is no session.
    pub copies: Mask,
    pub ceremony: Id,
    /// In round 2.
    pub closing: bool,
    /// Round 1: who has approved.
    pub approved: Mask,
    /// Whose shares it has: of the parent in round 1, of the new generation in round 2.
    pub served: Mask,
    /// On how many copies a closing must stand.
    pub required: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    pub tokens: [Token; MAX_CUSTODIANS],
    pub copies: [Copy; MAX_COPIES],
    pub ceremonies: [Ceremony; MAX_CEREMONIES],
    pub sessions: [Session; MAX_SESSIONS],
    /// A closing destroyed a key of a ceremony with a higher number than its own.
    pub destroyed_higher: bool,
    /// How often a copy was restored from an image.
    pub restored: u8,
}

/// All of it as bytes, hashed at once: field by field takes longer than everything else.
impl std::hash::Hash for State {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        let mut bytes = [0; 320];
        let mut length = 0;
        let mut put = |byte: u8| {
            bytes[length] = byte;
            length += 1;
        };
        for token in &self.tokens {
            [token.keys, token.duds, token.closed, token.ceremony, token.made, token.number]
                .into_iter()
                .for_each(&mut put);
            token.approved.into_iter().for_each(&mut put);
        }
        for copy in &self.copies {
            for Directory { plan, approvals, sealed, manifest, commit, closings } in copy.ceremonies {
                let flags = [plan, sealed, manifest, commit].into_iter().enumerate();
                [flags.fold(0, |flags, (bit, set)| flags | u8::from(set) << bit), approvals, closings]
                    .into_iter()
                    .for_each(&mut put);
            }
        }
        for Ceremony { number, parent, copies, abandons, unused, lost, attendees } in self.ceremonies {
            [number, parent, copies, abandons, unused, lost, attendees].into_iter().for_each(&mut put);
        }
        for Session { copies, ceremony, closing, approved, served, required } in self.sessions {
            [copies, ceremony, u8::from(closing), approved, served, required].into_iter().for_each(&mut put);
        }
        put(u8::from(self.destroyed_higher));
        put(self.restored);
        hasher.write(&bytes[..length]);
    }
}

impl State {
    pub fn founded(n: usize, copies: usize) -> Self {
        let everybody = ((1u16 << n) - 1) as Mask;
        let mut state = Self {
            tokens: [Token::default(); MAX_CUSTODIANS],
            copies: [Copy::default(); MAX_COPIES],
            ceremonies: [Ceremony::default(); MAX_CEREMONIES],
            sessions: [Session::default(); MAX_SESSIONS],
            destroyed_higher: false,
            restored: 0,
        };
        state.ceremonies[0] = Ceremony { number: 1, attendees: everybody, ..Ceremony::default() };
        for token in &mut state.tokens[..n] {
            (token.keys, token.number) = (one(0), 1);
        }
        state.copies[..copies].fill(Copy::founded(n));
        state
    }

    /// Those that were begun, the founding first.
    pub fn begun(&self) -> impl Iterator<Item = Id> + use<> {
        0..self.ceremonies.iter().filter(|ceremony| ceremony.number > 0).count() as Id
    }

    pub fn ceremony(&self, id: Id) -> &Ceremony {
        &self.ceremonies[usize::from(id)]
    }

    pub fn token(&self, token: u8) -> &Token {
        &self.tokens[usize::from(token)]
    }

    pub fn token_mut(&mut self, token: u8) -> &mut Token {
        &mut self.tokens[usize::from(token)]
    }

    /// The generations before this one, the nearest first.
    pub fn ancestors(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        let parent = |id: Id| (id != 0).then(|| self.ceremony(id).parent);
        std::iter::successors(parent(id), move |id| parent(*id))
    }

    pub fn is_before(&self, earlier: Id, later: Id) -> bool {
        self.ancestors(later).any(|ancestor| ancestor == earlier)
    }

    /// Position in the line: 1 for the founding.
    pub fn generation(&self, id: Id) -> usize {
        1 + self.ancestors(id).count()
    }

    /// The key that the manifest of `id` names for a custodian: its own if it attended, or else the parent's.
    pub fn share_key(&self, id: Id, token: u8) -> Id {
        let mut id = id;
        while id != 0 {
            if has(self.ceremony(id).attendees, token) {
                return self.token(token).approved[usize::from(id)];
            }
            id = self.ceremony(id).parent;
        }
        0
    }

    /// Whether the token has a key that opens its share of this generation.
    pub fn can_open(&self, id: Id, token: u8) -> bool {
        let key = self.share_key(id, token);
        let token = self.token(token);
        has(token.keys, key) && !has(token.duds, key)
    }

    /// How many tokens can open their shares of this generation, whatever any document says.
    pub fn openers(&self, id: Id, n: usize) -> usize {
        (0..n as u8).filter(|token| self.can_open(id, *token)).count()
    }

    /// Copies that no session has.
    pub fn free_copies(&self, copies: usize) -> Mask {
        let taken = self.sessions.iter().fold(0, |taken, session| taken | session.copies);
        ((1u16 << copies) - 1) as Mask & !taken
    }
}
