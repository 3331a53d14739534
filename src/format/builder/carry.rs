//! Drafts as bytes of their own, for those that wait on a disk until they are stored.

use super::{Block, Draft, DraftKind, Numbers, Pending, PendingKind, ValueBuilder};
use crate::{
    error::{Error, Result},
    format::{
        record::{ObjectId, Slot},
        varint,
        word::Word,
    },
};

const SCALAR: u8 = 0;
const ARCHIVE: u8 = 1;
const RECORD: u8 = 2;
const INTS: u8 = 3;
const FLOATS: u8 = 4;

const INDEXED: u8 = 0b01;
const DICT: u8 = 0b10;

impl Draft {
    /// Appends bytes that [`Draft::unpack`] makes the same draft of, in this process: they are no part of the file format.
    pub(crate) fn pack(&self, out: &mut Vec<u8>) {
        match &self.0 {
            DraftKind::Scalar(encoded) => {
                out.push(SCALAR);
                out.extend_from_slice(encoded);
            }
            DraftKind::Archive(bytes) => {
                out.push(ARCHIVE);
                out.extend_from_slice(bytes);
            }
            DraftKind::Record(builder) => {
                out.push(RECORD);
                builder.pack(out);
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

    /// The draft that was packed.
    pub(crate) fn unpack(packed: &[u8]) -> Result<Self> {
        let mut rest = packed;
        Ok(Self(match varint::take_byte(&mut rest)? {
            SCALAR => DraftKind::Scalar(rest.into()),
            ARCHIVE => DraftKind::Archive(rest.to_vec()),
            RECORD => DraftKind::Record(Box::new(ValueBuilder::unpack(rest)?)),
            INTS => DraftKind::Numbers(Numbers::Ints(take_numbers(rest, i64::from_le_bytes)?)),
            FLOATS => DraftKind::Numbers(Numbers::Floats(take_numbers(rest, f64::from_le_bytes)?)),
            other => {
                return Err(Error::corrupted(format!("a draft that waits to be stored has kind {other}")));
            }
        }))
    }
}

impl ValueBuilder {
    /// Of a builder whose building has ended, and whose record has no id yet.
    fn pack(&self, out: &mut Vec<u8>) {
        debug_assert!(self.id.is_none() && self.reached.is_empty(), "only new values wait to be stored");
        put_words(out, &self.words);
        varint::put(out, self.slots.len() as u64);
        for slot in &self.slots {
            out.extend_from_slice(&slot.encode(Slot::WIDE).to_le_bytes());
        }
        varint::put_part(out, &self.heap);
        varint::put(out, self.blocks.len() as u64);
        for block in &self.blocks {
            varint::put(out, block.at.into());
            varint::put(out, block.len.into());
            out.push(if block.indexed { INDEXED } else { 0 } | if block.dict { DICT } else { 0 });
        }
        varint::put_part(out, &self.texts);
        varint::put(out, self.pending.len() as u64);
        for text in &self.pending {
            varint::put(out, text.start as u64);
            varint::put(out, text.end as u64);
            out.push((text.kind == PendingKind::Long).into());
        }
        varint::put(out, self.pending_places.len() as u64);
        for (place, word) in &self.pending_places {
            varint::put(out, (*place).into());
            varint::put(out, word.0.into());
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
        let words = take_words(rest)?;
        let slots = take_words(rest)?.into_iter().map(|slot| Slot::decode(slot, Slot::WIDE)).collect();
        let heap = varint::take_part(rest)?.to_vec();
        let blocks = take_all(rest, |rest| {
            let (at, len, flags) = (take_u32(rest)?, take_u32(rest)?, varint::take_byte(rest)?);
            let indexed = flags & INDEXED != 0;
            // All indices are in order when the building has ended.
            Ok(Block { at, len, indexed, sorted: indexed, dict: flags & DICT != 0 })
        })?;
        let texts = varint::take_part(rest)?.to_vec();
        let pending = take_all(rest, |rest| {
            let (start, end) = (take_usize(rest)?, take_usize(rest)?);
            let kind = if varint::take_byte(rest)? == 0 { PendingKind::Name } else { PendingKind::Long };
            Ok(Pending { start, end, kind })
        })?;
        let pending_places = take_all(rest, |rest| Ok((take_u32(rest)?, Word(take_u32(rest)?))))?;
        let foreign = take_all(rest, |rest| {
            let id = ObjectId { record: varint::take(rest)?, slot: take_u32(rest)? };
            let seen = match varint::take_byte(rest)? {
                0 => None,
                _ => Some(varint::take_part(rest)?.into()),
            };
            Ok((id, seen))
        })?;
        varint::finish(rest)?;
        Ok(Self { words, slots, foreign, heap, blocks, pending, pending_places, texts, ..Self::default() })
    }
}

fn put_words(out: &mut Vec<u8>, words: &[u32]) {
    varint::put(out, words.len() as u64);
    out.reserve(4 * words.len());
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn take_words(rest: &mut &[u8]) -> Result<Vec<u32>> {
    let count = take_usize(rest)?;
    let (words, left) = count
        .checked_mul(4)
        .and_then(|bytes| rest.split_at_checked(bytes))
        .ok_or_else(|| Error::corrupted("a draft that waits to be stored was cut short"))?;
    *rest = left;
    let (words, _) = words.as_chunks();
    Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
}

fn take_numbers<T>(packed: &[u8], number: fn([u8; 8]) -> T) -> Result<Vec<T>> {
    match packed.as_chunks() {
        (numbers, []) => Ok(numbers.iter().map(|bytes| number(*bytes)).collect()),
        _ => Err(Error::corrupted("a draft that waits to be stored was cut short")),
    }
}

fn take_all<T>(rest: &mut &[u8], mut one: impl FnMut(&mut &[u8]) -> Result<T>) -> Result<Vec<T>> {
    let count = take_usize(rest)?;
    // Each takes a byte at least, so that a wrong number asks for no more memory than that.
    let mut all = Vec::with_capacity(count.min(rest.len()));
    for _ in 0..count {
        all.push(one(rest)?);
    }
    Ok(all)
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
        draft.pack(&mut packed);
        let unpacked = Draft::unpack(&packed).unwrap();
        let mut again = Vec::new();
        unpacked.pack(&mut again);
        assert_eq!(packed, again);
        // The building has ended, so nothing but the memory of recent texts differs.
        assert_eq!(format!("{:?}", unpacked.0), format!("{:?}", draft.0));
        for end in 1..packed.len() {
            // What was cut off is noticed, or was the end of a leaf's own bytes.
            if let Ok(short) = Draft::unpack(&packed[..end]) {
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
