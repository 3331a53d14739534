//! The frame around every stored value: format, kind, checksum, the key's own form.

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::varint;
use crate::error::{Error, Result};

/// The format of the frame and of what it holds.
const FORMAT: u8 = 1;
const CHECKSUM: std::ops::Range<usize> = 2..6;
/// The bytes of a frame without a form, before its payload.
pub(crate) const FRAME: usize = 6;

const KIND: u8 = 0b0000_1111;
const HAS_FORM: u8 = 0b0001_0000;
const HAS_SHARED: u8 = 0b0010_0000;
const HAS_LINKS: u8 = 0b0100_0000;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// One scalar, as the scalar codec writes it.
    Scalar = 0,
    /// A record: a whole nested value.
    Record = 1,
    /// The id of a value in the shared table.
    Shared = 2,
    /// A Rust user's own archive.
    Archive = 3,
    /// A reference to an object.
    Object = 4,
    /// What a long container says of itself.
    Long = 5,
    /// An inner node of a long sequence.
    Branch = 6,
    /// A leaf of integers.
    Ints = 7,
    /// A leaf of doubles.
    Floats = 8,
    /// A leaf of bytes.
    Bytes = 9,
    /// Where the members of a long dict or set stand that have one hash.
    Bucket = 10,
}

/// A stored value, taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    /// The key as it was first given, when its ordered bytes don't say it all.
    pub(crate) form: Option<&'a [u8]>,
    /// Whether values in the shared table are named in here, which have to be let go with it.
    pub(crate) has_shared: bool,
    /// Whether objects of other records are named in here, or parts of the record lie outside it.
    pub(crate) has_links: bool,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// A frame around something that names nothing else.
    pub(crate) fn new(kind: Kind, payload: &'a [u8]) -> Self {
        Self { kind, form: None, has_shared: false, has_links: false, payload }
    }

    /// The bytes that are stored.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode_in(&mut bytes);
        bytes
    }

    /// Puts the bytes that are stored in the place of what was in there.
    pub(crate) fn encode_in(&self, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.reserve(FRAME + self.form.map_or(0, |form| form.len() + 5) + self.payload.len());
        put_front(bytes, self.form);
        bytes.extend_from_slice(self.payload);
        seal(bytes, Self { payload: &[], ..*self });
    }

    /// The payload of stored bytes that are a scalar and nothing else, as most are; nothing for all others, whether sound or
    /// not.
    #[inline]
    pub(crate) fn plain_scalar(bytes: &'a [u8]) -> Option<&'a [u8]> {
        const PLAIN: [u8; 2] = [FORMAT, Kind::Scalar as u8];
        if bytes.starts_with(&PLAIN) { bytes.get(FRAME..) } else { None }
    }

    /// Takes stored bytes apart, without reading the payload.
    ///
    /// # Errors
    ///
    /// `Corrupted` when they are none that this engine writes.
    #[inline]
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self> {
        let (&[format, flags, ..], Some(mut rest)) = (bytes, bytes.get(FRAME..)) else {
            return Err(Error::corrupted("a stored value is shorter than its frame"));
        };
        if format != FORMAT {
            return Err(Error::corrupted(format!("a stored value has format {format}")));
        }
        let kind = match flags & KIND {
            0 => Kind::Scalar,
            1 => Kind::Record,
            2 => Kind::Shared,
            3 => Kind::Archive,
            4 => Kind::Object,
            5 => Kind::Long,
            6 => Kind::Branch,
            7 => Kind::Ints,
            8 => Kind::Floats,
            9 => Kind::Bytes,
            10 => Kind::Bucket,
            other => return Err(Error::corrupted(format!("a stored value has kind {other}"))),
        };
        if flags & !(KIND | HAS_FORM | HAS_SHARED | HAS_LINKS) != 0 {
            return Err(Error::corrupted(format!("a stored value has unknown flags {flags:08b}")));
        }
        let form = if flags & HAS_FORM == 0 {
            None
        } else {
            let length = varint::take(&mut rest)?;
            let (form, payload) = usize::try_from(length)
                .ok()
                .and_then(|length| rest.split_at_checked(length))
                .ok_or_else(|| Error::corrupted("a key's form is longer than its entry"))?;
            rest = payload;
            Some(form)
        };
        Ok(Self {
            kind,
            form,
            has_shared: flags & HAS_SHARED != 0,
            has_links: flags & HAS_LINKS != 0,
            payload: rest,
        })
    }
}

/// What goes in front of a payload that is to be framed where it lies; [`seal`] has to follow.
pub(crate) fn front(form: Option<&[u8]>) -> Front {
    let mut bytes = Front::new();
    put_front(&mut bytes, form);
    bytes
}

/// The bytes in front of a payload.
pub(crate) type Front = SmallVec<[u8; 32]>;

fn put_front(bytes: &mut impl Extend<u8>, form: Option<&[u8]>) {
    bytes.extend([0; FRAME]);
    if let Some(form) = form {
        varint::put_part(bytes, form);
    }
}

/// Makes a frame of bytes that begin with its [`front`]: of the form only whether there is one is looked at, and of the
/// payload nothing.
pub(crate) fn seal(bytes: &mut [u8], frame: Frame<'_>) {
    let mut flags = frame.kind as u8;
    if frame.has_shared {
        flags |= HAS_SHARED;
    }
    if frame.has_links {
        flags |= HAS_LINKS;
    }
    if frame.form.is_some() {
        flags |= HAS_FORM;
    }
    bytes[..2].copy_from_slice(&[FORMAT, flags]);
    reseal(bytes);
}

/// Puts the checksum into the bytes of a frame whose payload has been changed.
pub(crate) fn reseal(bytes: &mut [u8]) {
    let checksum = checksum(bytes);
    bytes[CHECKSUM].copy_from_slice(&checksum);
}

/// Whether stored bytes still are what was written.
pub(crate) fn is_intact(bytes: &[u8]) -> bool {
    bytes.len() >= FRAME && bytes[CHECKSUM] == checksum(bytes)
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let seed = u64::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    (xxh3_64_with_seed(&bytes[FRAME..], seed) as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_and_each_flipped_bit_is_seen() {
        for form in [None, Some(&b"form"[..])] {
            let frame = Frame {
                form,
                has_shared: true,
                has_links: form.is_some(),
                ..Frame::new(Kind::Record, b"payload")
            };
            let bytes = frame.encode();
            let read = Frame::decode(&bytes).unwrap();
            assert_eq!((read.kind, read.form, read.has_shared), (frame.kind, form, true));
            assert_eq!(read.payload, b"payload");
            assert!(is_intact(&bytes));
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(!is_intact(&damaged), "bit {bit}");
                let _ = Frame::decode(&damaged);
            }
        }
    }
}
