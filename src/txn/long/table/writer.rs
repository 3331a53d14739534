//! Makes the chunks of a long dict or set out of members that come in their order.

use smallvec::SmallVec;

use super::{
    Mutable,
    chunk::{HEAD, stride},
};
use crate::{
    error::{Error, Result},
    format::{
        builder::{
            Role, ValueBuilder,
            part::{Mark, Weight},
        },
        copy::{Copier, Names},
        frame::{Frame, Kind},
        record::{ContainerKind, Node, RecordView},
        word::Word,
    },
};

/// The largest chunk of several members, as it is stored. Two of them fill one of LMDB's pages; of larger ones each
/// would get pages of its own.
pub(super) const LIMIT: usize = 2_000;

/// The largest chunk of several members where one chunk becomes several: so there is room in each to grow.
pub(super) const SPLIT: usize = LIMIT * 5 / 8;

/// The bytes of a frame that has no form.
const FRAME: usize = 6;

/// A chunk that is ready to be stored.
#[derive(Debug)]
pub(super) struct Piece {
    /// The sequence number that it stands under.
    pub(super) own: u64,
    /// What is stored.
    pub(super) frame: Vec<u8>,
}

/// Puts one after another into chunks.
pub(super) struct Writer {
    kind: ContainerKind,
    limit: usize,
    /// The sequence number that the next chunk stands under, when that isn't its first member's.
    own: Option<u64>,
    /// How many chunks were finished.
    turn: u32,
    builder: ValueBuilder,
    words: Vec<Word>,
    weight: Weight,
}

/// The words of a member and its value.
pub(super) type Words = (Word, Option<Word>);

impl Writer {
    /// Chunks of at most `limit` bytes, or one member; `own` is the key that the first stands under already.
    pub(super) fn new(kind: ContainerKind, limit: usize, own: Option<u64>) -> Self {
        // Before the members: the root, the block's length, the head.
        let weight = Weight::of_words(2 + HEAD);
        Self { kind, limit, own, turn: 0, builder: ValueBuilder::new(), words: Vec::new(), weight }
    }

    /// Adds a member, and answers the chunk before it if that is now full. `copy` is called a second time when the
    /// member has to go into a new chunk; the number that it is given tells chunks apart.
    pub(super) fn push(
        &mut self,
        seq: u64,
        copy: &mut dyn FnMut(&mut ValueBuilder, u32) -> Result<Words>,
    ) -> Result<Option<Piece>> {
        let mark = self.builder.mark();
        let (mut words, mut weight) = self.member(&mark, seq, copy)?;
        let mut full = None;
        if !self.words.is_empty() && FRAME + weight.archived() > self.limit {
            self.builder.rewind(&mark);
            full = self.take()?;
            let mark = self.builder.mark();
            (words, weight) = self.member(&mark, seq, copy)?;
        }
        self.words.extend(words);
        self.weight = weight;
        Ok(full)
    }

    /// What has not become a chunk yet, if there is anything.
    pub(super) fn finish(mut self) -> Result<Option<Piece>> {
        self.take()
    }

    /// Copies a member, and says how much the chunk weighs with it.
    fn member(
        &mut self,
        mark: &Mark,
        seq: u64,
        copy: &mut dyn FnMut(&mut ValueBuilder, u32) -> Result<Words>,
    ) -> Result<(SmallVec<[Word; 3]>, Weight)> {
        let own = *self.own.get_or_insert(seq);
        let relative = seq.checked_sub(own).and_then(|relative| i64::try_from(relative).ok());
        let relative =
            relative.ok_or_else(|| Error::corrupted("members of a long dict or set lack order"))?;
        let relative = self.builder.int(relative)?;
        let (key, value) = copy(&mut self.builder, self.turn)?;
        let mut words = SmallVec::from_slice(&[relative, key]);
        words.extend(value);
        if words.len() != stride(self.kind) {
            return Err(Error::corrupted("a member of a dict has no value, or one of a set has one"));
        }
        let weight = self.weight.and(self.builder.weigh(mark, &words));
        Ok((words, weight))
    }

    fn take(&mut self) -> Result<Option<Piece>> {
        let fresh = Self::new(self.kind, self.limit, None);
        let Self { own, mut builder, words, weight, turn, .. } = std::mem::replace(self, fresh);
        self.turn = turn + 1;
        let (Some(own), false) = (own, words.is_empty()) else { return Ok(None) };
        let (root, block) = builder.tuple(HEAD + words.len())?;
        let kind = builder.int(i64::from(self.kind.number()))?;
        builder.set_item(block, 0, kind);
        for (index, word) in words.into_iter().enumerate() {
            builder.set_item(block, HEAD + index, word);
        }
        let payload = builder.archive_part(root)?;
        let frame = Frame {
            has_shared: weight.has_shared,
            has_links: weight.has_links,
            ..Frame::new(Kind::Record, &payload)
        };
        Ok(Some(Piece { own, frame: frame.encode() }))
    }
}

/// Where members are copied from.
pub(super) struct Source<'a, N> {
    record: RecordView<'a>,
    names: &'a N,
    copier: Copier<'a, N>,
    turn: u32,
}

impl<'a, N: Names> Source<'a, N> {
    /// Copies out of this record into the chunks of one [`Writer`].
    pub(super) fn new(record: RecordView<'a>, names: &'a N) -> Self {
        Self { record, names, copier: Copier::new(record, names), turn: 0 }
    }

    /// Copies a key, member or value with everything in it.
    pub(super) fn copy(
        &mut self,
        builder: &mut ValueBuilder,
        turn: u32,
        node: Node<'a>,
        mutable: &mut Mutable<'_>,
    ) -> Result<Word> {
        if turn != self.turn {
            // It knows only what is in the chunk before.
            self.copier = Copier::new(self.record, self.names);
            self.turn = turn;
        }
        match node {
            Node::Symbol(symbol) => builder.str(&self.names.name(symbol)?, Role::Member),
            node => self.copier.copy(builder, node, mutable),
        }
    }
}
