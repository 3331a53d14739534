//! Long dicts and sets: a hash table whose members keep their order, made of many small entries of the objects table.
//!
//! All keys begin with the container's place, 12 bytes. Numbers in keys are big endian, so that they sort; those in
//! payloads are little endian.
//!
//! | key, behind the place | entry |
//! |---|---|
//! | | the header: a frame of kind 5 |
//! | `01`, sequence number, `u64` | a chunk: a frame of kind 1 |
//! | `02`, hash, `u64` | a bucket: a frame of kind 10 |
//!
//! The **header**'s payload has 25 bytes:
//!
//! | offset | size | |
//! |---|---|---|
//! | 0 | 1 | what it is: 1 dict, 2 set |
//! | 1 | 8 | number of members |
//! | 9 | 8 | number of changes so far, wrapping |
//! | 17 | 8 | the next member's sequence number, at most 2^63 - 1 |
//!
//! Members get sequence numbers in the order of their insertion, which no other member of the container ever has. A
//! **chunk** is a record with id 0 and without slots, whose root is a tuple: the number of the kind as in the header;
//! then for each member its sequence number less the one in the chunk's key, the key or member, and in dicts the
//! value. The numbers increase, within a chunk and from one to the next; a chunk has at least one member, and none
//! whose number is below the one in its key. Keys and members are never symbols. A frame of more than 2,000 bytes has
//! one member.
//!
//! A **bucket** lists the sequence numbers of all members with one hash, increasing, as varints; there is at least
//! one. The hash is the XXH3-64 of the member's ordered key. Members that are NaN or have it inside equal nothing, so
//! they stand in no bucket.

mod bucket;
mod change;
mod check;
mod chunk;
mod writer;

#[cfg(test)]
mod tests;

use std::ops::Bound;

use super::place::Place;
use crate::{
    error::{Error, Result},
    format::{
        builder::ValueBuilder,
        copy::Placed,
        frame::{Frame, Kind},
        record::{Container, ContainerKind, Node},
        varint,
    },
    store::{Direction, ReadTables, Table},
};

pub(crate) use self::{
    change::{clear, create, extend, free, insert, remove, remove_at},
    check::check,
    chunk::Chunk,
};

/// What the keys of chunks have behind the place.
const ORDER: u8 = 1;
/// What the keys of buckets have behind the place.
const INDEX: u8 = 2;

/// The largest next sequence number, so that all of them and their differences are integers of a record.
const LAST: u64 = i64::MAX as u64;

/// Answers where a mutable container goes that is met while a member is copied. It may be asked more than once for
/// one container, as each chunk is a record of its own, and has to answer the same then.
pub(crate) type Mutable<'m> = dyn FnMut(&mut ValueBuilder, Container) -> Result<Placed> + 'm;

/// What a long dict or set says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// A dict or a set.
    pub(crate) kind: ContainerKind,
    /// How many members it has.
    pub(crate) len: u64,
    /// One more with each change.
    pub(crate) changes: u64,
    /// The sequence number of the next new member.
    pub(crate) next: u64,
}

impl Header {
    fn encode(self) -> Vec<u8> {
        let mut payload = vec![self.kind.number()];
        for number in [self.len, self.changes, self.next] {
            payload.extend_from_slice(&number.to_le_bytes());
        }
        Frame::new(Kind::Long, &payload).encode()
    }

    fn decode(stored: &[u8]) -> Result<Self> {
        let wrong = || Error::corrupted("the header of a long dict or set makes no sense");
        let frame = Frame::decode(stored)?;
        if frame.kind != Kind::Long || frame.form.is_some() {
            return Err(wrong());
        }
        let mut rest = frame.payload;
        let kind = ContainerKind::from_number(varint::take_byte(&mut rest)?);
        let kind = kind.filter(|kind| matches!(kind, ContainerKind::Dict | ContainerKind::Set));
        let mut number = || varint::take_array(&mut rest).map(u64::from_le_bytes);
        let header =
            Self { kind: kind.ok_or_else(wrong)?, len: number()?, changes: number()?, next: number()? };
        varint::finish(rest)?;
        if header.len > header.next || header.next > LAST {
            return Err(wrong());
        }
        Ok(header)
    }
}

/// A member, as nodes of one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    /// Its ordered bytes.
    pub(crate) ordered: &'a [u8],
    /// A dict's key, or a set's member itself.
    pub(crate) key: Node<'a>,
    /// The value, in a dict.
    pub(crate) value: Option<Node<'a>>,
}

/// Where a member is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'t> {
    /// Its sequence number.
    pub(crate) seq: u64,
    /// The one that its chunk stands under.
    pub(crate) own: u64,
    /// The chunk, as it is stored.
    pub(crate) chunk: &'t [u8],
    /// The position in the chunk.
    pub(crate) position: usize,
}

impl<'t> Found<'t> {
    /// The chunk, to read key and value at the position from.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the chunk is damaged.
    pub(crate) fn open(&self) -> Result<Chunk<'t>> {
        Chunk::open(self.own, self.chunk)
    }
}

/// What the container says of itself; `None` when there is none.
///
/// # Errors
///
/// `Corrupted`, also when it is no dict or set.
pub(crate) fn header(tables: &impl ReadTables, place: Place) -> Result<Option<Header>> {
    tables.get(Table::Objects, place.header())?.map(Header::decode).transpose()
}

/// Finds the member with these ordered bytes.
///
/// # Errors
///
/// `Corrupted`.
pub(crate) fn find<'t>(
    tables: &'t impl ReadTables,
    place: Place,
    ordered: &[u8],
) -> Result<Option<Found<'t>>> {
    for seq in bucket::read(tables, place, bucket::hash(ordered))? {
        let found = locate(tables, place, seq)?
            .ok_or_else(|| Error::corrupted("the hash index of a long dict or set leads to no member"))?;
        if found.open()?.matches(found.position, ordered)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The chunk with the first member whose sequence number is at least `seq`, or with the last whose is at most `seq`,
/// with the number that it stands under. [`Chunk::position`] says where in it.
///
/// # Errors
///
/// `Corrupted`.
pub(crate) fn chunk_from(
    tables: &impl ReadTables,
    place: Place,
    seq: u64,
    backward: bool,
) -> Result<Option<(u64, &[u8])>> {
    let wanted = place.part(&part(ORDER, seq));
    let Some((own, stored)) = chunk_at(tables, place, Bound::Included(&wanted), Direction::Backward)? else {
        // Chunks further on only hold what is further on.
        return if backward {
            Ok(None)
        } else {
            chunk_at(tables, place, Bound::Included(&wanted), Direction::Forward)
        };
    };
    let chunk = Chunk::open(own, stored)?;
    if backward {
        if chunk.seq(0)? <= seq {
            return Ok(Some((own, stored)));
        }
    } else if chunk.seq(chunk.len() - 1)? >= seq {
        return Ok(Some((own, stored)));
    }
    // Those that were wanted of this chunk are gone.
    let key = place.part(&part(ORDER, own));
    let direction = if backward { Direction::Backward } else { Direction::Forward };
    let Some((own, stored)) = chunk_at(tables, place, Bound::Excluded(&key), direction)? else {
        return Ok(None);
    };
    if backward && Chunk::open(own, stored)?.seq(0)? > seq {
        return Err(Error::corrupted("members of a long dict or set lack order"));
    }
    Ok(Some((own, stored)))
}

/// The member with a sequence number.
fn locate(tables: &impl ReadTables, place: Place, seq: u64) -> Result<Option<Found<'_>>> {
    let wanted = place.part(&part(ORDER, seq));
    let Some((own, chunk)) = chunk_at(tables, place, Bound::Included(&wanted), Direction::Backward)? else {
        return Ok(None);
    };
    let position = Chunk::open(own, chunk)?.position_of(seq)?;
    Ok(position.map(|position| Found { seq, own, chunk, position }))
}

/// The first chunk from a key on.
fn chunk_at<'t>(
    tables: &'t impl ReadTables,
    place: Place,
    from: Bound<&[u8]>,
    direction: Direction,
) -> Result<Option<(u64, &'t [u8])>> {
    let entry = tables.seek(Table::Objects, from, direction)?;
    Ok(entry.and_then(|(key, stored)| match part_of(place, key) {
        Some((ORDER, own)) => Some((own, stored)),
        _ => None,
    }))
}

/// What a part's key has behind the place.
fn part(what: u8, number: u64) -> [u8; 9] {
    let mut part = [what; 9];
    part[1..].copy_from_slice(&number.to_be_bytes());
    part
}

/// Undoes [`part`], for a key of this container.
fn part_of(place: Place, key: &[u8]) -> Option<(u8, u64)> {
    let (what, number) = key.strip_prefix(place.header())?.split_first()?;
    Some((*what, u64::from_be_bytes(number.try_into().ok()?)))
}
