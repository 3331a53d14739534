//! The exact form of a key, which keeps the types that the ordered bytes don't.

use super::{Key, MAX_DEPTH, deeper};
use crate::{
    error::{Error, Result},
    format::{scalar::Scalar, varint},
};

/// The first bytes of the parts that aren't scalars; they follow on from the tags of scalars and are part of the file
/// format.
const TUPLE: u8 = 0x20;
const FROZEN_SET: u8 = 0x21;

impl<'a> Key<'a> {
    /// Appends the exact form, which, unlike the ordered bytes, gives back the very key. It doesn't say where it
    /// ends: the length is the caller's to keep.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if it is nested more than [`MAX_DEPTH`] deep; then nothing is appended.
    pub fn encode_form(&self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let result = put_form(self, 0, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Reads the exact form, borrowing from it.
    ///
    /// # Errors
    ///
    /// Anything that [`Key::encode_form`] doesn't write is [`Error::Corrupted`].
    pub fn decode_form(bytes: &'a [u8]) -> Result<Self> {
        decode_at(bytes, 0)
    }
}

/// Writes `key` as it stands inside `depth` others.
fn put_form(key: &Key<'_>, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    let (tag, parts) = match key {
        Key::Scalar(scalar) => {
            scalar.encode(out);
            return Ok(());
        }
        Key::Tuple(parts) => (TUPLE, parts),
        Key::FrozenSet(members) => (FROZEN_SET, members),
    };
    let depth = deeper(depth)?;
    out.push(tag);
    varint::put(out, parts.len() as u64);
    let mut buffer = Vec::new();
    for part in parts {
        buffer.clear();
        put_form(part, depth, &mut buffer)?;
        varint::put_part(out, &buffer);
    }
    Ok(())
}

/// Reads a key that stands inside `depth` others.
fn decode_at(bytes: &[u8], depth: usize) -> Result<Key<'_>> {
    match bytes {
        [TUPLE | FROZEN_SET, ..] if depth == MAX_DEPTH => {
            Err(Error::corrupted(format!("a key nested more than {MAX_DEPTH} deep")))
        }
        [TUPLE, rest @ ..] => take_parts(rest, depth + 1).map(Key::Tuple),
        [FROZEN_SET, rest @ ..] => take_parts(rest, depth + 1).map(Key::FrozenSet),
        _ => Scalar::decode(bytes).map(Key::Scalar),
    }
}

fn take_parts(mut input: &[u8], depth: usize) -> Result<Vec<Key<'_>>> {
    let count = varint::take(&mut input)?;
    let mut parts = Vec::new();
    for _ in 0..count {
        parts.push(decode_at(varint::take_part(&mut input)?, depth)?);
    }
    varint::finish(input)?;
    Ok(parts)
}
