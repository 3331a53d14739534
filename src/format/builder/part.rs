//! Building of records that are parts of something larger: how large they get, and the way back when it is too large.

use super::{NARROW_WORDS, Placement, ValueBuilder};
use crate::{
    error::{Error, Result},
    format::{
        builder::DraftKind,
        word::{Tag, Word},
    },
};

/// The bytes of an archive's root.
const ROOT: usize = 33;

/// A point in the building of a value that one can go back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    words: usize,
    slots: usize,
    heap: usize,
    blocks: usize,
    pending: usize,
    pending_places: usize,
    texts: usize,
    foreign: usize,
    reached: usize,
}

/// What some of a record takes in its archive, and whether it names anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    words: usize,
    heap: usize,
    /// Heap for the integers that words of 16 bits have no room for.
    spilled: usize,
    /// Whether words of 16 bits are not enough.
    wide: bool,
    /// Whether values of the shared table are named.
    pub(crate) has_shared: bool,
    /// Whether objects that lie elsewhere are named.
    pub(crate) has_links: bool,
}

impl Weight {
    /// Words of which nothing is to be said but that they are there.
    pub(crate) fn of_words(words: usize) -> Self {
        Self { words, ..Self::default() }
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            words: self.words + other.words,
            heap: self.heap + other.heap,
            spilled: self.spilled + other.spilled,
            wide: self.wide || other.wide,
            has_shared: self.has_shared || other.has_shared,
            has_links: self.has_links || other.has_links,
        }
    }

    /// The bytes of the archive of a record that is just this.
    pub(crate) fn archived(self) -> usize {
        if self.wide || self.words > NARROW_WORDS || self.heap > NARROW_WORDS {
            ROOT + 4 * self.words + self.heap
        } else {
            ROOT + 2 * self.words + self.heap + self.spilled
        }
    }

    fn note(&mut self, word: Word) {
        match word.tag() {
            Tag::Shared => self.has_shared = true,
            Tag::Object => self.has_links = true,
            _ => {}
        }
        if word.narrow().is_none() {
            if word.tag() == Tag::SmallInt {
                let bits = u32::BITS - word.payload().leading_zeros();
                self.spilled += bits.div_ceil(7) as usize;
            } else {
                self.wide = true;
            }
        }
    }
}

impl ValueBuilder {
    /// Where the building stands.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            words: self.words.len(),
            slots: self.slots.len(),
            heap: self.heap.len(),
            blocks: self.blocks.len(),
            pending: self.pending.len(),
            pending_places: self.pending_places.len(),
            texts: self.texts.len(),
            foreign: self.foreign.len(),
            reached: self.reached.len(),
        }
    }

    /// Forgets what was made since then.
    pub(crate) fn rewind(&mut self, mark: &Mark) {
        self.words.truncate(mark.words);
        self.slots.truncate(mark.slots);
        // It may lead behind the heap's end now.
        self.recent.forget(self.heap.len());
        self.heap.truncate(mark.heap);
        self.blocks.truncate(mark.blocks);
        self.pending.truncate(mark.pending);
        self.pending_places.truncate(mark.pending_places);
        self.texts.truncate(mark.texts);
        self.foreign.truncate(mark.foreign);
        self.reached.truncate(mark.reached);
    }

    /// What takes the place that was made since then, with words that have none yet.
    pub(crate) fn weigh(&self, since: &Mark, loose: &[Word]) -> Weight {
        let mut weight = Weight {
            words: self.words.len() - since.words + loose.len(),
            heap: self.heap.len() - since.heap,
            ..Weight::default()
        };
        for block in &self.blocks[since.blocks..] {
            for word in &self.words[block.at as usize..block.index_at() as usize] {
                weight.note(Word(*word));
            }
        }
        for word in loose {
            weight.note(*word);
        }
        weight
    }

    /// The archive of a record that has no mutable containers, and no texts whose place is to be decided.
    pub(crate) fn archive_part(self, root: Word) -> Result<Vec<u8>> {
        match self.finish(root).0 {
            DraftKind::Record(builder) if builder.slots.is_empty() && builder.pending.is_empty() => {
                builder.archive(&mut Settled).map(|(archive, _)| archive)
            }
            _ => Err(Error::corrupted("a part of a long container holds what only whole values may")),
        }
    }
}

/// The placement of records in which nothing is left to decide.
pub(crate) struct Settled;

impl Placement for Settled {
    fn symbol(&mut self, _: &str) -> Result<Option<u32>> {
        Ok(None)
    }

    fn share(&mut self, _: &[u8]) -> Result<Option<u64>> {
        Ok(None)
    }

    fn record_id(&mut self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        builder::Role,
        record::{ContainerKind, ObjectId, Reference},
    };

    /// Some of everything that a record may hold, its size known in advance to the byte.
    fn fill(builder: &mut ValueBuilder, seed: u16, wide: bool) -> Vec<Word> {
        let number = i64::from(seed);
        let mut words = vec![
            builder.int(number % 100).unwrap(),
            builder.int(number * 1_000).unwrap(),
            builder.int(number << 40).unwrap(),
            builder.float(0.5).unwrap(),
            builder.str(&"x".repeat(usize::from(seed) % 50), Role::Member).unwrap(),
            Word::new(Tag::Symbol, if wide { 60_000 } else { 6 }),
        ];
        let (word, block) = builder.frozenset(20).unwrap();
        for index in 0..20 {
            let member = builder.int(number * 300).unwrap();
            builder.set_item(block, index, member);
            builder.index(block, index, &index.to_le_bytes());
        }
        words.push(word);
        words
    }

    fn archive(mut builder: ValueBuilder, words: &[Word]) -> Vec<u8> {
        let (root, block) = builder.tuple(words.len()).unwrap();
        for (index, word) in words.iter().enumerate() {
            builder.set_item(block, index, *word);
        }
        builder.archive_part(root).unwrap()
    }

    #[test]
    fn the_weight_is_the_size_and_what_was_rewound_leaves_no_trace() {
        for wide in [false, true] {
            let mut builder = ValueBuilder::new();
            let (mut words, mut weight) = (Vec::new(), Weight::of_words(2));
            for seed in 0..12 {
                let mark = builder.mark();
                let _ = fill(&mut builder, seed + 1_000, true);
                builder.rewind(&mark);
                let added = fill(&mut builder, seed, wide);
                weight = weight.and(builder.weigh(&mark, &added));
                words.extend(added);
            }
            let mut plain = ValueBuilder::new();
            let again: Vec<Word> = (0..12).flat_map(|seed| fill(&mut plain, seed, wide)).collect();
            let bytes = archive(builder, &words);
            assert_eq!(bytes.len(), weight.archived(), "wide: {wide}");
            assert_eq!(bytes.len(), archive(plain, &again).len());
            assert!(!weight.has_shared && !weight.has_links);
        }
    }

    #[test]
    fn what_is_named_is_noted_inside_tuples_too() {
        let mut builder = ValueBuilder::new();
        let mark = builder.mark();
        let (word, block) = builder.tuple(1).unwrap();
        let id = ObjectId { record: 1, slot: 0 };
        let object = builder.object(Reference { kind: ContainerKind::List, id }, None).unwrap();
        builder.set_item(block, 0, object);
        let weight = builder.weigh(&mark, &[word]);
        assert!(weight.has_links && !weight.has_shared);
        let shared = Word::new(Tag::Shared, 0);
        assert!(builder.weigh(&builder.mark(), &[shared]).has_shared);
    }

    #[test]
    fn a_part_with_a_list_of_its_own_is_refused() {
        let mut builder = ValueBuilder::new();
        let (word, _) = builder.list(0).unwrap();
        assert!(builder.archive_part(word).is_err());
    }
}
