//! Drafts as bytes, for those that wait until they are stored: in memory, where one piece of it is cheaper than several, or
//! on a disk.

use super::{Block, Draft, DraftKind, Numbers, Pending, PendingKind, UnresolvedRecord, ValueBuilder};
use crate::{
    error::{Error, Result},
    format::{
        record::{ObjectId, Slot},
        varint,
    },
};

const SCALAR: u8 = 0;
const ARCHIVE: u8 = 1;
const RECORD: u8 = 2;
const INTS: u8 = 3;
const FLOATS: u8 = 4;
const UNRESOLVED: u8 = 5;

const INDEXED: u8 = 0b01;
const DICT: u8 = 0b10;

/// Enough for all numbers that say how many of something there are.
const ROOM: usize = 64;
/// Enough for what is said of a text that is to be decided.
const PENDING: usize = 11;

/// What was packed.
#[derive(Clone, Debug)]
pub(crate) enum Unpacked<'a> {
    Draft(Draft),
    /// A small record of which nothing is to be decided but the symbols of names.
    Unresolved(UnresolvedRecord<'a>),
}

impl Unpacked<'_> {
    pub(crate) fn into_owned(self) -> Unpacked<'static> {
        match self {
            Self::Draft(draft) => Unpacked::Draft(draft),
            Self::Unresolved(record) => Unpacked::Unresolved(record.into_owned()),
        }
    }
}

impl Draft {
    /// Appends bytes that [`Unpacked::new`] makes the same of, in this process: they are no part of the file format. The
    /// room that was made for the draft goes to the thread's next value.
    pub(crate) fn pack(self, out: &mut Vec<u8>) {
        match self.0 {
            DraftKind::Scalar(encoded) => {
                out.push(SCALAR);
                out.extend_from_slice(&encoded);
            }
            DraftKind::Archive(bytes) => {
                out.push(ARCHIVE);
                out.extend_from_slice(&bytes);
            }
            DraftKind::Record(mut builder) => {
                debug_assert!(builder.id.is_none() && builder.reached.is_empty(), "only new values wait");
                let kind = out.len();
                out.push(UNRESOLVED);
                if !builder.pack_unresolved(out) {
                    out[kind] = RECORD;
                    builder.pack(out);
                }
                builder.recycle();
            }
            DraftKind::Numbers(Numbers::Ints(ints)) => {
                out.push(INTS);
                out.extend(ints.iter().flat_map(|int| int.to_le_bytes()));
            }
            DraftKind::Numbers(Numbers::Floats(floats)) => {
                out.push(FLOATS);
                out.extend(floats.iter().flat_map(|float| float.to_le_bytes()));
            }
        }
    }
}

impl<'a> Unpacked<'a> {
    /// What was packed.
    pub(crate) fn new(packed: &'a [u8]) -> Result<Self> {
        let mut rest = packed;
        Ok(Self::Draft(Draft(match varint::take_byte(&mut rest)? {
            UNRESOLVED => return Ok(Self::Unresolved(UnresolvedRecord::new(rest))),
            SCALAR => DraftKind::Scalar(rest.into()),
            ARCHIVE => DraftKind::Archive(rest.to_vec()),
            RECORD => DraftKind::Record(Box::new(ValueBuilder::unpack(rest)?)),
            INTS => DraftKind::Numbers(Numbers::Ints(take_numbers(rest, i64::from_le_bytes)?)),
            FLOATS => DraftKind::Numbers(Numbers::Floats(take_numbers(rest, f64::from_le_bytes)?)),
            other => {
                return Err(Error::corrupted(format!("a draft that waits to be stored has kind {other}")));
            }
        })))
    }
}

impl ValueBuilder {
    /// Of a builder whose building has ended, and whose record has no id yet.
    fn pack(&self, out: &mut Vec<u8>) {
        let numbers = self.words.len() + self.slots.len() + self.pending_places.len();
        let others = self.heap.len() + self.blocks.len() + self.texts.len() + PENDING * self.pending.len();
        out.reserve(ROOM + 4 * numbers + others);
        put_words(out, self.words.iter().copied());
        put_words(out, self.slots.iter().map(|slot| slot.encode(Slot::WIDE)));
        put_words(out, self.pending_places.iter().copied());
        varint::put_part(out, &self.heap);
        // Blocks lie one behind the other, each behind its length.
        varint::put(out, self.blocks.len() as u64);
        let flags = |block: &Block| (INDEXED * u8::from(block.indexed)) | (DICT * u8::from(block.dict));
        out.extend(self.blocks.iter().map(flags));
        varint::put_part(out, &self.texts);
        varint::put(out, self.pending.len() as u64);
        for text in &self.pending {
            varint::put(out, text.start as u64);
            varint::put(out, text.end as u64);
            out.push((text.kind == PendingKind::Long).into());
        }
        varint::put(out, self.foreign.len() as u64);
        for (id, seen) in &self.foreign {
            varint::put(out, id.record);
            varint::put(out, id.slot.into());
            out.push(seen.is_some().into());
            if let Some(seen) = seen {
                varint::put_part(out, seen);
            }
        }
    }

    fn unpack(packed: &[u8]) -> Result<Self> {
        let rest = &mut &packed[..];
        let mut builder = Self::new();
        builder.words.clear();
        builder.words.extend(take_words(rest)?);
        builder.slots.extend(take_words(rest)?.map(|slot| Slot::decode(slot, Slot::WIDE)));
        builder.pending_places.extend(take_words(rest)?);
        builder.heap.extend_from_slice(varint::take_part(rest)?);
        let blocks = varint::take_part(rest)?;
        let mut next = 1;
        for flags in blocks {
            let len = *builder.words.get(next as usize).ok_or_else(cut_short)?;
            if len as usize > builder.words.len() {
                return Err(cut_short());
            }
            let indexed = flags & INDEXED != 0;
            // All indices are in order when the building has ended.
            let block = Block { at: next + 1, len, indexed, sorted: indexed, dict: flags & DICT != 0 };
            next = block.end();
            builder.blocks.push(block);
        }
        builder.texts.extend_from_slice(varint::take_part(rest)?);
        take_all(rest, &mut builder.pending, |rest| {
            let (start, end) = (take_usize(rest)?, take_usize(rest)?);
            let kind = if varint::take_byte(rest)? == 0 { PendingKind::Name } else { PendingKind::Long };
            Ok(Pending { start, end, kind })
        })?;
        take_all(rest, &mut builder.foreign, |rest| {
            let id = ObjectId { record: varint::take(rest)?, slot: take_u32(rest)? };
            let seen = match varint::take_byte(rest)? {
                0 => None,
                _ => Some(varint::take_part(rest)?.into()),
            };
            Ok((id, seen))
        })?;
        varint::finish(rest)?;
        Ok(builder)
    }
}

fn put_words(out: &mut Vec<u8>, words: impl ExactSizeIterator<Item = u32>) {
    varint::put(out, words.len() as u64);
    let from = out.len();
    out.resize(from + 4 * words.len(), 0);
    let (places, _) = out[from..].as_chunks_mut();
    for (place, word) in places.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

fn take_words<'a>(rest: &mut &'a [u8]) -> Result<impl ExactSizeIterator<Item = u32> + use<'a>> {
    let bytes = take_usize(rest)?.checked_mul(4).and_then(|bytes| rest.split_at_checked(bytes));
    let (words, left) = bytes.ok_or_else(cut_short)?;
    *rest = left;
    Ok(words.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)))
}

fn take_numbers<T>(packed: &[u8], number: fn([u8; 8]) -> T) -> Result<Vec<T>> {
    match packed.as_chunks() {
        (numbers, []) => Ok(numbers.iter().map(|bytes| number(*bytes)).collect()),
        _ => Err(cut_short()),
    }
}

fn take_all<T>(
    rest: &mut &[u8],
    all: &mut Vec<T>,
    mut one: impl FnMut(&mut &[u8]) -> Result<T>,
) -> Result<()> {
    for _ in 0..take_usize(rest)? {
        all.push(one(rest)?);
    }
    Ok(())
}

#[cold]
fn cut_short() -> Error {
    Error::corrupted("a draft that waits to be stored was cut short")
}

fn take_usize(rest: &mut &[u8]) -> Result<usize> {
    varint::take(rest).map(|value| value as usize)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32> {
    varint::take(rest).map(|value| value as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        builder::Role,
        record::{ContainerKind, Reference},
        scalar::Scalar,
    };

    fn check(draft: &Draft) {
        let mut packed = Vec::new();
        draft.clone().pack(&mut packed);
        let Unpacked::Draft(unpacked) = Unpacked::new(&packed).unwrap() else {
            panic!("it is no small record")
        };
        let mut again = Vec::new();
        unpacked.clone().pack(&mut again);
        assert_eq!(packed, again);
        // The building has ended, so nothing but the memory of recent texts differs.
        assert_eq!(format!("{:?}", unpacked.0), format!("{:?}", draft.0));
        for end in 1..packed.len() {
            // What was cut off is noticed, or was the end of a leaf's own bytes.
            if let Ok(Unpacked::Draft(short)) = Unpacked::new(&packed[..end]) {
                assert!(!matches!(short.0, DraftKind::Record(_)), "{end} of {} bytes", packed.len());
            }
        }
    }

    #[test]
    fn leaves_and_records_come_back_as_they_were() {
        check(&Draft::scalar(&Scalar::Int(-5)));
        check(&Draft::scalar(&Scalar::Str("text".into())));
        check(&Draft(DraftKind::Archive(vec![1, 2, 3])));
        check(&Draft::ints((-2000..2000).collect()).unwrap());
        check(&Draft::floats((0..4000).map(|number| f64::from(number) / 3.0).collect()).unwrap());
        let mut builder = ValueBuilder::new();
        let (root, items) = builder.dict(20).unwrap();
        for index in 0..20 {
            let name = builder.name(&format!("name {index}"), items).unwrap();
            builder.set_item(items, index, name);
            builder.index(items, index, format!("ordered {index}").as_bytes());
            let long = "long ".repeat(20 * index);
            let value = match index % 4 {
                0 => builder.float(0.5).unwrap(),
                1 => builder.str(&long, Role::Value).unwrap(),
                2 => {
                    let id = ObjectId { record: 1 << 40, slot: index as u32 };
                    let seen = (index > 9).then(|| [1_u8, 2].as_slice().into());
                    builder.object(Reference { kind: ContainerKind::List, id }, seen).unwrap()
                }
                _ => builder.byte_array(long.as_bytes()).unwrap(),
            };
            builder.set_value(items, index, value);
        }
        check(&builder.finish(root));
    }
}
