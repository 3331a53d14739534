//! Small records that wait until they are stored, nearly as they will be: where the symbols of names go, there are the
//! numbers that the names have in this process, and there is no id yet.

use std::borrow::Cow;

use super::{Block, INDEXED_FROM, NARROW_WORDS, Placement, ValueBuilder};
use crate::{
    error::{Error, Result},
    format::{
        copy::{Copier, Names, Placed},
        name::Name,
        record::{ContainerKind, RecordView, Slot},
        word::{Later, Tag, Word},
    },
    sync::Arc,
};

/// The archive of such a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnresolvedRecord<'a>(Cow<'a, [u8]>);

impl<'a> UnresolvedRecord<'a> {
    /// Of what [`ValueBuilder::pack_unresolved`] made.
    pub(super) fn new(archive: &'a [u8]) -> Self {
        Self(Cow::Borrowed(archive))
    }

    pub(crate) fn into_owned(self) -> UnresolvedRecord<'static> {
        UnresolvedRecord(Cow::Owned(self.0.into_owned()))
    }

    /// The archive as it is stored, with other bytes in front; `None` when a name has no symbol yet, or one that has no room
    /// there, so that [`UnresolvedRecord::builder`] has to be asked.
    pub(crate) fn archive_behind(
        &self,
        front: &[u8],
        placement: &mut impl Placement,
    ) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::with_capacity(front.len() + self.0.len());
        bytes.extend_from_slice(front);
        bytes.extend_from_slice(&self.0);
        let payload = &mut bytes[front.len()..];
        let view = RecordView::access(payload)?;
        let (slots, words) = (view.slots_in(payload), view.words_in(payload));
        let has_slots = !slots.is_empty();
        let (before, words) = payload.split_at_mut(words.start);
        let slots = before.get(slots).unwrap_or_default().as_chunks().0.iter();
        for dict in slots.filter_map(|slot| position(*slot, ContainerKind::Dict)) {
            for key in keys_at(words, dict).ok_or_else(misplaced)? {
                let word = Word(u16::from_le_bytes(*key).into());
                if word.tag() == Tag::Symbol {
                    let symbol = placement.existing_symbol(Name::of_number(word.payload()));
                    let Some(word) = symbol.and_then(|symbol| Word::new(Tag::Symbol, symbol).narrow()) else {
                        return Ok(None);
                    };
                    *key = word.to_le_bytes();
                }
            }
        }
        if has_slots {
            RecordView::put_id(&mut bytes, placement.record_id());
        }
        Ok(Some(bytes))
    }

    /// A builder of the same value, whose building has ended.
    pub(crate) fn builder(&self) -> Result<ValueBuilder> {
        let record = RecordView::access(&self.0)?;
        match widened(record) {
            Some(builder) => Ok(builder),
            None => copied(record),
        }
    }
}

/// The builder that an archive was made of; `None` when some of that is lost, such as half the hash of a member.
fn widened(record: RecordView<'_>) -> Option<ValueBuilder> {
    let mut builder = ValueBuilder::new();
    builder.words.clear();
    builder.words.extend(record.narrow_words());
    builder.slots.extend(record.narrow_slots());
    builder.heap.extend_from_slice(record.heap());
    let words = builder.words.len() as u32;
    // Slots come in the order of their blocks.
    let mut slots = builder.slots.iter().peekable();
    let mut next = 1;
    while next < words {
        let len = builder.words[next as usize];
        let kind = slots.next_if(|slot| slot.position == next).map(|slot| slot.kind);
        if len > INDEXED_FROM && kind != Some(ContainerKind::List) {
            return None;
        }
        let dict = kind == Some(ContainerKind::Dict);
        let block = Block { at: next + 1, len, indexed: false, sorted: false, dict };
        next = block.end();
        builder.blocks.push(block);
    }
    if next != words || slots.next().is_some() {
        return None;
    }
    builder.name_keys();
    Some(builder)
}

/// A builder of a copy.
fn copied(record: RecordView<'_>) -> Result<ValueBuilder> {
    let mut builder = ValueBuilder::new();
    let root =
        Copier::new(record, &Numbered).copy(&mut builder, record.root()?, &mut |builder, container| {
            let (word, block) = builder.container(container.kind, container.len())?;
            Ok(Placed::Here(word, block))
        })?;
    builder.name_keys();
    Ok(builder.ended(root))
}

/// Where the block of a container of a kind is, by the bytes of a slot.
fn position(slot: [u8; 2], kind: ContainerKind) -> Option<usize> {
    let position = Slot::position_of(u16::from_le_bytes(slot).into(), Slot::NARROW, kind);
    position.map(|position| position as usize)
}

/// The words of a dict's keys, of which there are as many as the word in front says.
fn keys_at(words: &mut [u8], position: usize) -> Option<&mut [[u8; 2]]> {
    let (len, rest) = words.get_mut(2 * position..)?.split_first_chunk_mut()?;
    rest.as_chunks_mut().0.get_mut(..u16::from_le_bytes(*len).into())
}

fn misplaced() -> Error {
    Error::corrupted("a record that waits to be stored points outside itself")
}

/// The names by their numbers, as if those were symbols.
struct Numbered;

impl Names for Numbered {
    fn name(&self, symbol: u32) -> Result<Arc<str>> {
        Ok(Name::of_number(symbol).text().into())
    }
}

impl ValueBuilder {
    /// Appends the archive of an [`UnresolvedRecord`]; answers `false`, having appended nothing, when the record is none. The
    /// building has ended.
    pub(super) fn pack_unresolved(&mut self, out: &mut Vec<u8>) -> bool {
        let is_small = self.words.len() <= NARROW_WORDS && self.heap.len() <= NARROW_WORDS;
        if !is_small || self.may_be_long() || !self.foreign.is_empty() || !self.awaits_symbols() {
            return false;
        }
        for place in &self.pending_places {
            let word = &mut self.words[*place as usize];
            if let Some(Later::Name(name)) = Word(*word).later() {
                *word = Word::new(Tag::Symbol, name.number()).0;
            }
        }
        let (mut slots, mut words) = std::mem::take(&mut self.halves);
        if !self.narrow(&mut slots, &mut words) {
            self.halves = (slots, words);
        } else if self.write(&[], 0, false, (slots, words), out).is_ok() {
            return true;
        }
        for place in &self.pending_places {
            let word = &mut self.words[*place as usize];
            *word = Word::named(Name::of_number(Word(*word).payload())).0;
        }
        false
    }

    /// Puts the names back into the place of their numbers.
    fn name_keys(&mut self) {
        for block in self.blocks.iter().filter(|block| block.dict) {
            for at in block.at..block.at + block.len {
                let word = Word(self.words[at as usize]);
                if word.tag() == Tag::Symbol {
                    self.words[at as usize] = Word::named(Name::of_number(word.payload())).0;
                    self.pending_places.push(at);
                }
            }
        }
    }

    /// Whether all that is to be decided are names that are keys of dicts, and each just once; and none has a symbol already.
    fn awaits_symbols(&self) -> bool {
        let mut named = 0;
        for block in self.blocks.iter().filter(|block| block.dict) {
            for word in &self.words[block.at as usize..(block.at + block.len) as usize] {
                match Word(*word).later() {
                    Some(Later::Name(_)) => named += 1,
                    None if Word(*word).tag() == Tag::Symbol => return false,
                    _ => {}
                }
            }
        }
        // Whoever put something undecided into another place, or twice into one, has more places noted.
        named == self.pending_places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        builder::{Draft, Role, Unpacked},
        key::KeyBytes,
        name::known,
        record::Node,
        scalar::Scalar,
    };

    /// Gives names symbols from a number on, in the order in which they are first asked for.
    struct Symbols {
        first: u32,
        names: Vec<Name>,
    }

    impl Symbols {
        fn from(first: u32) -> Self {
            Self { first, names: Vec::new() }
        }
    }

    impl Placement for Symbols {
        fn symbol(&mut self, _: &str) -> Result<Option<u32>> {
            Ok(None)
        }

        fn named(&mut self, name: Name) -> Result<Option<u32>> {
            if !self.names.contains(&name) {
                self.names.push(name);
            }
            Ok(self.existing_symbol(name))
        }

        fn existing_symbol(&mut self, name: Name) -> Option<u32> {
            self.names.iter().position(|known| *known == name).map(|at| self.first + at as u32)
        }

        fn share(&mut self, _: &[u8]) -> Result<Option<u64>> {
            Ok(None)
        }

        fn record_id(&mut self) -> u64 {
            0x1122_3344_5566_7788
        }
    }

    fn put(builder: &mut ValueBuilder, block: Block, index: usize, key: &str, value: Word) {
        let name = builder.known_name(known(key), block).unwrap();
        builder.set_item(block, index, name);
        let mut ordered = KeyBytes::new();
        crate::encode_str(key, &mut ordered);
        builder.index(block, index, &ordered);
        builder.set_value(block, index, value);
    }

    /// A value with some of everything that a small record may hold; its dicts have so many keys.
    fn value(keys: usize) -> (ValueBuilder, Word) {
        let mut builder = ValueBuilder::new();
        let (root, items) = builder.dict(keys).unwrap();
        for (index, number) in (0..keys).zip(0_i64..) {
            let word = match index % 8 {
                0 => builder.str("a text", Role::Value).unwrap(),
                1 => builder.int(number << 40).unwrap(),
                2 => builder.float(0.5).unwrap(),
                // It has itself in it, further down.
                3 => root,
                4 => {
                    let (word, block) = builder.dict(keys).unwrap();
                    for (index, number) in (0..keys).zip(0_i64..) {
                        let value = builder.int(-5 - number * 700).unwrap();
                        put(&mut builder, block, index, &format!("name {index}"), value);
                    }
                    word
                }
                5 => builder.byte_array(b"bytes").unwrap(),
                6 => {
                    let (word, block) = builder.tuple(6).unwrap();
                    let (list, within) = builder.list(1).unwrap();
                    builder.set_item(within, 0, list);
                    for index in 0..6 {
                        builder.set_item(block, index, list);
                    }
                    word
                }
                _ => {
                    let (word, block) = builder.frozenset(20).unwrap();
                    for (index, number) in (0_i64..20).enumerate() {
                        let key = crate::Key::Scalar(Scalar::Int(number * 9));
                        let mut ordered = KeyBytes::new();
                        key.encode(&mut ordered).unwrap();
                        builder.index(block, index, &ordered);
                        let member = builder.member(&key).unwrap();
                        builder.set_item(block, index, member);
                    }
                    word
                }
            };
            put(&mut builder, items, index, &format!("name {index}"), word);
        }
        (builder, root)
    }

    fn drafted((builder, root): (ValueBuilder, Word)) -> Draft {
        builder.finish(root)
    }

    fn packed(draft: Draft) -> Vec<u8> {
        let mut packed = b"in front".to_vec();
        draft.pack(&mut packed);
        packed.split_off(8)
    }

    fn named(packed: &[u8]) -> UnresolvedRecord<'_> {
        match Unpacked::new(packed).unwrap() {
            Unpacked::Unresolved(record) => record,
            Unpacked::Draft(draft) => panic!("{draft:?} is no small record"),
        }
    }

    /// Everything in a record, in the order in which it is met.
    fn show(payload: &[u8]) -> Vec<String> {
        let record = RecordView::access(payload).unwrap();
        let (mut shown, mut met) = (Vec::new(), Vec::new());
        let mut next = vec![record.root().unwrap()];
        while let Some(node) = next.pop() {
            let Node::Container(container) = node else {
                shown.push(format!("{node:?}"));
                continue;
            };
            if let Some(at) = met.iter().position(|known| *known == container.position()) {
                shown.push(format!("the container that was met as number {at}"));
                continue;
            }
            met.push(container.position());
            shown.push(format!("{:?} of {}", container.kind, container.len()));
            next.extend((0..container.words()).rev().map(|at| record.element(container, at).unwrap()));
        }
        shown
    }

    #[test]
    fn what_waited_is_stored_as_if_it_had_not() {
        for keys in [0, 1, 7, 8, 16, 17, 40] {
            let (builder, root) = value(keys);
            let mut symbols = Symbols::from(0);
            let at_once = builder.ended(root).archive_behind(b"front", &mut symbols).unwrap().0;
            let packed = packed(drafted(value(keys)));
            let waited = named(&packed).archive_behind(b"front", &mut symbols).unwrap();
            assert_eq!(waited, Some(at_once), "{keys} keys");
        }
    }

    #[test]
    fn names_without_symbols_and_large_symbols_are_placed_by_a_builder() {
        for keys in [0, 1, 7, 8, 16, 17, 40] {
            for first in [4090, 1 << 20] {
                let packed = packed(drafted(value(keys)));
                let record = named(&packed);
                let mut symbols = Symbols::from(first);
                let placed = |symbols: &mut Symbols| {
                    let built = record.builder().unwrap().archive(symbols).unwrap().0;
                    record.archive_behind(&[], symbols).unwrap().unwrap_or(built)
                };
                assert_eq!(record.archive_behind(&[], &mut symbols).unwrap().is_none(), keys > 0);
                let first = placed(&mut symbols);
                let (builder, root) = value(keys);
                let at_once = builder.ended(root).archive(&mut symbols).unwrap().0;
                assert_eq!(show(&first), show(&at_once), "{keys} keys");
                assert_eq!(placed(&mut symbols), first, "what a record holds is not changed by asking");
            }
        }
    }

    #[test]
    fn other_records_wait_as_drafts_and_come_back_as_they_were() {
        let name = Word::named(known("name 1"));
        let odd: [&dyn Fn(&mut ValueBuilder) -> Word; 4] = [
            &|_| name,
            &|builder| {
                let (word, block) = builder.list(1).unwrap();
                builder.set_item(block, 0, name);
                word
            },
            &|builder| {
                let (word, block) = builder.dict(1).unwrap();
                let text = builder.str(&"long".repeat(100), Role::Value).unwrap();
                put(builder, block, 0, "name 1", text);
                word
            },
            &|builder| {
                let (word, block) = builder.list(1).unwrap();
                let text = builder.str(&"long".repeat(5000), Role::Member).unwrap();
                builder.set_item(block, 0, text);
                word
            },
        ];
        for make in odd {
            let drafted = || {
                let mut builder = ValueBuilder::new();
                let root = make(&mut builder);
                builder.finish(root)
            };
            match Unpacked::new(&packed(drafted())).unwrap() {
                Unpacked::Draft(draft) => assert_eq!(format!("{draft:?}"), format!("{:?}", drafted())),
                Unpacked::Unresolved(record) => panic!("{record:?} is not all that there is"),
            }
        }
    }
}
