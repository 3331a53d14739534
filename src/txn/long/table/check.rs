//! Verifies all of a long dict or set.

use std::ops::Bound;

use super::{Chunk, Header, INDEX, ORDER, bucket, chunk::Nameless, find, part_of, writer::LIMIT};
use crate::{
    error::{Error, Result},
    format::{
        copy::{findable_member, ordered_member},
        frame::{Frame, is_intact},
    },
    store::{Direction, ReadTables, Table},
    txn::long::place::{PartKey, Place},
};

/// Verifies every part, and counts them. `visit_chunk` is shown each chunk, to verify the record in it and what that
/// names.
///
/// # Errors
///
/// `Corrupted` with the first thing that is wrong, and those of `visit_chunk`.
pub(crate) fn check(
    tables: &impl ReadTables,
    place: Place,
    visit_chunk: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let stored = tables.get(Table::Objects, place.header())?;
    let stored = stored.ok_or_else(|| Error::corrupted("a long dict or set is missing"))?;
    intact(stored)?;
    let header = Header::decode(stored)?;
    let mut seen = Seen::default();
    let mut parts = 1;
    let mut last = PartKey::from_slice(place.header());
    loop {
        let entry = tables.seek(Table::Objects, Bound::Excluded(&last), Direction::Forward)?;
        let Some((key, stored)) = entry.filter(|(key, _)| key.starts_with(place.header())) else { break };
        last = PartKey::from_slice(key);
        parts += 1;
        intact(stored)?;
        match part_of(place, key) {
            Some((ORDER, own)) => {
                visit_chunk(stored)?;
                seen.chunk(tables, place, &header, own, stored)?;
            }
            Some((INDEX, _)) => seen.indexed += bucket::decode(stored)?.len() as u64,
            _ => return Err(Error::corrupted("a part of a long dict or set has an unknown key")),
        }
    }
    if seen.members != header.len {
        let (found, said) = (seen.members, header.len);
        return Err(Error::corrupted(format!("a long dict or set has {found} members, not {said}")));
    }
    // Each findable member was found, and buckets say nothing twice, so any more would be of no member.
    if seen.indexed != seen.findable {
        return Err(Error::corrupted("the hash index of a long dict or set has too much in it"));
    }
    Ok(parts)
}

/// What was met so far.
#[derive(Default)]
struct Seen {
    members: u64,
    findable: u64,
    indexed: u64,
    /// The least sequence number that may come next.
    next: u64,
}

impl Seen {
    fn chunk(
        &mut self,
        tables: &impl ReadTables,
        place: Place,
        header: &Header,
        own: u64,
        stored: &[u8],
    ) -> Result<()> {
        let wrong = |what: &str| Err(Error::corrupted(format!("a chunk of a long dict or set {what}")));
        let chunk = Chunk::open(own, stored)?;
        let record = chunk.record();
        if chunk.kind() != header.kind || record.id() != 0 {
            return wrong("is of something else");
        }
        if stored.len() > LIMIT && chunk.len() > 1 {
            return wrong("is too large");
        }
        let (frame, named) = (Frame::decode(stored)?, record.named()?);
        if frame.has_shared == named.shared.is_empty() || frame.has_links != named.has_links() {
            return wrong("is wrong about what it names");
        }
        if own < self.next {
            return wrong("lacks order");
        }
        for position in 0..chunk.len() {
            let seq = chunk.seq(position)?;
            if seq < self.next || seq >= header.next {
                return wrong("lacks order");
            }
            self.next = seq + 1;
            self.members += 1;
            let key = chunk.key(position)?;
            // Fails for what can't be a member, where the other takes it for NaN.
            ordered_member(record, key, &Nameless)?;
            if let Some(ordered) = findable_member(record, key, &Nameless)? {
                self.findable += 1;
                if find(tables, place, &ordered)?.is_none_or(|found| found.seq != seq) {
                    return wrong("has a member that its key doesn't lead to");
                }
            }
        }
        Ok(())
    }
}

fn intact(stored: &[u8]) -> Result<()> {
    if is_intact(stored) { Ok(()) } else { Err(Error::corrupted("the checksum is wrong")) }
}
