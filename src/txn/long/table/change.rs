//! Changes of long dicts and sets. Each reads and makes all it needs before it writes anything.

use std::ops::Bound;

use super::{
    Chunk, Found, Header, LAST, Member, Mutable, ORDER, bucket,
    chunk::Nameless,
    chunk_at, find, header, locate, part,
    writer::{LIMIT, Piece, SPLIT, Source, Words, Writer},
};
use crate::{
    error::{Error, Result},
    format::{
        builder::ValueBuilder,
        copy::{Names, Placed, findable_member},
        key::is_str,
        record::{Container, ContainerKind, Node, RecordView},
    },
    store::{Direction, Table},
    txn::{
        changes::Changes,
        long::place::{PartKey, Place},
    },
};

/// Makes an empty dict or set.
///
/// # Errors
///
/// Those of [`Changes::write`].
pub(crate) fn create(tables: &mut impl Changes, place: Place, kind: ContainerKind) -> Result<()> {
    debug_assert!(matches!(kind, ContainerKind::Dict | ContainerKind::Set), "{kind:?}");
    store_header(tables, place, Header { kind, len: 0, changes: 0, next: 0 })
}

/// Adds many members, in their order, as one change. They are keys and values, nodes of `source`, and none of them may
/// be there already, nor come twice.
///
/// # Errors
///
/// `Corrupted`, `TooLarge` for a member that no record has room for, and those of `members`, `mutable` and
/// [`Changes::write`].
pub(crate) fn extend<'a>(
    tables: &mut impl Changes,
    place: Place,
    source: RecordView<'a>,
    names: &impl Names,
    members: impl Iterator<Item = Result<(Node<'a>, Option<Node<'a>>)>>,
    mutable: &mut Mutable<'_>,
) -> Result<()> {
    let mut header = opened(tables, place)?;
    let before = header.len;
    let mut index = Vec::new();
    let mut writer = Writer::new(header.kind, LIMIT, None);
    let mut from = Source::new(source, names);
    for member in members {
        let (key, value) = member?;
        let seq = header.grow()?;
        if let Some(ordered) = findable_member(source, key, names)? {
            index.push((bucket::hash(&ordered), seq));
        }
        let full = writer.push(seq, &mut |builder, turn| {
            let key = from.copy(builder, turn, key, mutable)?;
            Ok((key, value.map(|value| from.copy(builder, turn, value, mutable)).transpose()?))
        })?;
        if let Some(piece) = full {
            store_piece(tables, place, &piece)?;
        }
    }
    if header.len == before {
        return Ok(());
    }
    if let Some(piece) = writer.finish()? {
        store_piece(tables, place, &piece)?;
    }
    // In the order of the keys, so that each page of the table is met once.
    index.sort_unstable();
    for same in index.chunk_by(|one, other| one.0 == other.0) {
        let hash = same[0].0;
        let mut bucket = bucket::read(tables, place, hash)?;
        bucket.extend(same.iter().map(|(_, seq)| *seq));
        store_bucket(tables, place, hash, &bucket)?;
    }
    store_header(tables, place, header.changed())
}

/// Adds a member and answers `true`. When it is there already, a dict's gets the new value, with its first key and in
/// its old place, and a set stays as it is.
///
/// # Errors
///
/// `Corrupted`, `TooLarge` for a member that no record has room for, and those of `mutable` and [`Changes::write`].
pub(crate) fn insert(
    tables: &mut impl Changes,
    place: Place,
    source: RecordView<'_>,
    names: &impl Names,
    member: Member<'_>,
    mutable: &mut Mutable<'_>,
) -> Result<bool> {
    let mut header = opened(tables, place)?;
    if let Some(found) = find(tables, place, member.ordered)? {
        if let Some(value) = member.value {
            let pieces = replaced(&found, source, names, value, mutable)?;
            for piece in &pieces {
                store_piece(tables, place, piece)?;
            }
            store_header(tables, place, header.changed())?;
        }
        return Ok(false);
    }
    let seq = header.grow()?;
    let mut from = Source::new(source, names);
    let pieces = appended(tables, place, header.kind, seq, &mut |builder, turn| {
        let key = from.copy(builder, turn, member.key, mutable)?;
        Ok((key, member.value.map(|value| from.copy(builder, turn, value, mutable)).transpose()?))
    })?;
    let findable = is_str(member.ordered) || findable_member(source, member.key, names)?.is_some();
    let bucket = if findable {
        let hash = bucket::hash(member.ordered);
        let mut bucket = bucket::read(tables, place, hash)?;
        bucket.push(seq);
        Some((hash, bucket))
    } else {
        None
    };
    for piece in &pieces {
        store_piece(tables, place, piece)?;
    }
    if let Some((hash, bucket)) = bucket {
        store_bucket(tables, place, hash, &bucket)?;
    }
    store_header(tables, place, header.changed())?;
    Ok(true)
}

/// Takes the member with these ordered bytes out, and says whether it was there.
///
/// # Errors
///
/// `Corrupted` and those of [`Changes`].
pub(crate) fn remove(tables: &mut impl Changes, place: Place, ordered: &[u8]) -> Result<bool> {
    let header = opened(tables, place)?;
    let Some(found) = find(tables, place, ordered)? else { return Ok(false) };
    let change = Removal::new(tables, place, header, &found, Some(bucket::hash(ordered)))?;
    change.store(tables, place).map(|()| true)
}

/// Takes the member with this sequence number out, and says whether it was there.
///
/// # Errors
///
/// `Corrupted` and those of [`Changes`].
pub(crate) fn remove_at(tables: &mut impl Changes, place: Place, seq: u64) -> Result<bool> {
    let header = opened(tables, place)?;
    let Some(found) = locate(tables, place, seq)? else { return Ok(false) };
    let chunk = found.open()?;
    let ordered = findable_member(chunk.record(), chunk.key(found.position)?, &Nameless)?;
    let hash = ordered.map(|ordered| bucket::hash(&ordered));
    let change = Removal::new(tables, place, header, &found, hash)?;
    change.store(tables, place).map(|()| true)
}

/// Takes all members out, as one change.
///
/// # Errors
///
/// `Corrupted` and those of [`Changes`].
pub(crate) fn clear(tables: &mut impl Changes, place: Place) -> Result<()> {
    let header = opened(tables, place)?;
    if header.len == 0 {
        return Ok(());
    }
    erase_parts(tables, place)?;
    store_header(tables, place, Header { len: 0, ..header }.changed())
}

/// Deletes the container with all its parts.
///
/// # Errors
///
/// `Corrupted` and those of [`Changes`].
pub(crate) fn free(tables: &mut impl Changes, place: Place) -> Result<()> {
    erase_parts(tables, place)?;
    tables.erase(Table::Objects, place.header())
}

impl Header {
    /// Takes in a new member, and answers its sequence number.
    fn grow(&mut self) -> Result<u64> {
        if self.next == LAST {
            return Err(Error::TooLarge(
                "a dict or set had 2^63 members over time, more than it can number; copy it".into(),
            ));
        }
        let seq = self.next;
        self.next += 1;
        self.len += 1;
        Ok(seq)
    }

    fn changed(self) -> Self {
        Self { changes: self.changes.wrapping_add(1), ..self }
    }
}

/// A member less, before anything is written.
struct Removal {
    header: Header,
    /// The number that the chunk stands under that becomes the pieces.
    own: u64,
    pieces: Vec<Piece>,
    /// The bucket as it will be.
    bucket: Option<(u64, bucket::Bucket)>,
}

impl Removal {
    fn new(
        tables: &impl Changes,
        place: Place,
        header: Header,
        found: &Found<'_>,
        hash: Option<u64>,
    ) -> Result<Self> {
        let gone = || Error::corrupted("a long dict or set has a member that it doesn't know of");
        let len = header.len.checked_sub(1).ok_or_else(gone)?;
        let mut new =
            Self { header: Header { len, ..header }, own: found.own, pieces: Vec::new(), bucket: None };
        if let Some(hash) = hash {
            let mut bucket = bucket::read(tables, place, hash)?;
            let rank = bucket.binary_search(&found.seq).map_err(|_| gone())?;
            bucket.remove(rank);
            new.bucket = Some((hash, bucket));
        }
        let chunk = found.open()?;
        let mut writer = Writer::new(chunk.kind(), LIMIT, Some(found.own));
        let mut from = Source::new(chunk.record(), &Nameless);
        for position in (0..chunk.len()).filter(|position| *position != found.position) {
            new.pieces.extend(copy_member(&mut writer, &mut from, &chunk, position)?);
        }
        new.pieces.extend(writer.finish()?);
        Ok(new)
    }

    fn store(self, tables: &mut impl Changes, place: Place) -> Result<()> {
        if self.pieces.is_empty() {
            tables.erase(Table::Objects, &place.part(&part(ORDER, self.own)))?;
        }
        for piece in &self.pieces {
            store_piece(tables, place, piece)?;
        }
        if let Some((hash, bucket)) = self.bucket {
            store_bucket(tables, place, hash, &bucket)?;
        }
        store_header(tables, place, self.header.changed())
    }
}

/// A chunk with another value in the place of one.
fn replaced(
    found: &Found<'_>,
    source: RecordView<'_>,
    names: &impl Names,
    value: Node<'_>,
    mutable: &mut Mutable<'_>,
) -> Result<Vec<Piece>> {
    let chunk = found.open()?;
    let mut rewrite = |limit| {
        let mut pieces = Vec::new();
        let mut writer = Writer::new(chunk.kind(), limit, Some(found.own));
        let mut from = Source::new(chunk.record(), &Nameless);
        let mut new = Source::new(source, names);
        for position in 0..chunk.len() {
            let full = if position == found.position {
                let key = chunk.key(position)?;
                writer.push(found.seq, &mut |builder, turn| {
                    let key = from.copy(builder, turn, key, &mut refuse)?;
                    Ok((key, Some(new.copy(builder, turn, value, mutable)?)))
                })?
            } else {
                copy_member(&mut writer, &mut from, &chunk, position)?
            };
            pieces.extend(full);
        }
        pieces.extend(writer.finish()?);
        Ok(pieces)
    };
    let pieces: Vec<_> = rewrite(LIMIT)?;
    if pieces.len() > 1 { rewrite(SPLIT) } else { Ok(pieces) }
}

/// The last chunk with a member behind it, or a new chunk.
fn appended(
    tables: &impl Changes,
    place: Place,
    kind: ContainerKind,
    seq: u64,
    copy: &mut dyn FnMut(&mut ValueBuilder, u32) -> Result<Words>,
) -> Result<Vec<Piece>> {
    let end = place.part(&part(ORDER, u64::MAX));
    let mut last = chunk_at(tables, place, Bound::Included(&end), Direction::Backward)?;
    // Where not even three words have room, nothing needs to be tried.
    last = last.filter(|(_, stored)| stored.len() + 6 <= LIMIT);
    let mut pieces = Vec::new();
    let mut writer = Writer::new(kind, LIMIT, last.map(|(own, _)| own));
    if let Some((own, stored)) = last {
        let chunk = Chunk::open(own, stored)?;
        if chunk.kind() != kind || chunk.seq(chunk.len() - 1)? >= seq {
            return Err(Error::corrupted("the last chunk of a long dict or set makes no sense"));
        }
        let mut from = Source::new(chunk.record(), &Nameless);
        for position in 0..chunk.len() {
            pieces.extend(copy_member(&mut writer, &mut from, &chunk, position)?);
        }
    }
    pieces.extend(writer.push(seq, copy)?);
    pieces.extend(writer.finish()?);
    if let Some((own, stored)) = last {
        // It was full already.
        pieces.retain(|piece| piece.own != own || piece.frame != stored);
    }
    Ok(pieces)
}

/// Copies a member of a chunk into another one.
fn copy_member<'a>(
    writer: &mut Writer,
    from: &mut Source<'a, Nameless>,
    chunk: &Chunk<'a>,
    position: usize,
) -> Result<Option<Piece>> {
    let (key, value) = (chunk.key(position)?, chunk.value(position)?);
    writer.push(chunk.seq(position)?, &mut |builder, turn| {
        let key = from.copy(builder, turn, key, &mut refuse)?;
        Ok((key, value.map(|value| from.copy(builder, turn, value, &mut refuse)).transpose()?))
    })
}

/// Answers for mutable containers in chunks, where there are none.
fn refuse(_: &mut ValueBuilder, _: Container) -> Result<Placed> {
    Err(Error::corrupted("a chunk of a long dict or set holds a mutable container"))
}

fn opened(tables: &impl Changes, place: Place) -> Result<Header> {
    header(tables, place)?.ok_or_else(|| Error::corrupted("a long dict or set is missing"))
}

fn store_header(tables: &mut impl Changes, place: Place, header: Header) -> Result<()> {
    tables.write(Table::Objects, place.header(), &header.encode())
}

fn store_piece(tables: &mut impl Changes, place: Place, piece: &Piece) -> Result<()> {
    tables.write(Table::Objects, &place.part(&part(ORDER, piece.own)), &piece.frame)
}

/// Stores a bucket, or deletes the one that there is when nothing is left in it.
fn store_bucket(tables: &mut impl Changes, place: Place, hash: u64, bucket: &[u64]) -> Result<()> {
    let key = bucket::key(place, hash);
    if bucket.is_empty() {
        tables.erase(Table::Objects, &key)
    } else {
        tables.write(Table::Objects, &key, &bucket::encode(bucket))
    }
}

/// Deletes all but the header.
fn erase_parts(tables: &mut impl Changes, place: Place) -> Result<()> {
    let mut last = PartKey::from_slice(place.header());
    loop {
        let next = tables.seek(Table::Objects, Bound::Excluded(&last), Direction::Forward)?;
        let Some((key, _)) = next.filter(|(key, _)| key.starts_with(place.header())) else { return Ok(()) };
        last = PartKey::from_slice(key);
        tables.erase(Table::Objects, &last)?;
    }
}
