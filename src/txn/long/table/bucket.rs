//! The hash index of a long dict or set: which members have a hash.

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::INDEX;
use crate::{
    error::{Error, Result},
    format::{
        frame::{Frame, Kind},
        varint,
    },
    store::{ReadTables, Table},
    txn::long::place::{PartKey, Place},
};

/// The sequence numbers of the members that have one hash, in increasing order.
pub(super) type Bucket = SmallVec<[u64; 4]>;

/// The hash of a member.
///
/// The engine's own tests use one that collides all the time, where the ordered bytes are few.
pub(super) fn hash(ordered: &[u8]) -> u64 {
    let hash = xxh3_64(ordered);
    if cfg!(test) && ordered.len() <= 2 { hash & 3 } else { hash }
}

/// Where a bucket stands.
pub(super) fn key(place: Place, hash: u64) -> PartKey {
    place.part(&super::part(INDEX, hash))
}

/// The members that have a hash.
pub(super) fn read(tables: &impl ReadTables, place: Place, hash: u64) -> Result<Bucket> {
    match tables.get(Table::Objects, &key(place, hash))? {
        Some(stored) => decode(stored),
        None => Ok(Bucket::new()),
    }
}

/// The members of a stored bucket.
pub(super) fn decode(stored: &[u8]) -> Result<Bucket> {
    let wrong = || Error::corrupted("the hash index of a long dict or set makes no sense");
    let frame = Frame::decode(stored)?;
    if frame.kind != Kind::Bucket || frame.form.is_some() || frame.payload.is_empty() {
        return Err(wrong());
    }
    let mut rest = frame.payload;
    let mut bucket = Bucket::new();
    while !rest.is_empty() {
        let seq = varint::take(&mut rest)?;
        if bucket.last().is_some_and(|last| *last >= seq) {
            return Err(wrong());
        }
        bucket.push(seq);
    }
    Ok(bucket)
}

/// What is stored of a bucket.
pub(super) fn encode(bucket: &[u64]) -> Vec<u8> {
    let mut payload = SmallVec::<[u8; 32]>::new();
    for seq in bucket {
        varint::put(&mut payload, *seq);
    }
    Frame::new(Kind::Bucket, &payload).encode()
}
