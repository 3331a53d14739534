//! A leaf of a long sequence: a run of its elements, as it lies in a page.
//!
//! The kind of its frame says how the elements are stored:
//!
//! | kind | payload |
//! |---|---|
//! | 1, record | a record with id 0 and no slots, whose root is a tuple of the elements |
//! | 7, ints | width `u8`: 1, 2, 4 or 8; base `i64`; the elements, each less the base, in so many bytes |
//! | 8, floats | the elements, 8 bytes each |
//! | 9, bytes | the elements, one byte each |
//!
//! A leaf has at least one element. A byte array has leaves of kind 9 only, and a list none of them.

use crate::{
    error::{Error, Result},
    format::{
        builder::ValueBuilder,
        frame::{Frame, Kind},
        record::{Container, ContainerKind, Node, RecordView},
        word::Word,
    },
};

/// What stands before the elements of a leaf of ints: their width and their base.
pub(super) const INTS_BEGIN: usize = 9;

/// A leaf that is borrowed from where it is stored.
#[derive(Clone, Copy)]
pub(crate) enum Leaf<'a> {
    /// Integers, each stored as what it is more than the base.
    Ints { base: i64, width: usize, data: &'a [u8] },
    /// Doubles.
    Floats(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Anything: the elements of a tuple.
    Mixed(RecordView<'a>, Container),
}

impl<'a> Leaf<'a> {
    /// Checks a leaf, in time that does not depend on its size.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is none.
    pub(crate) fn open(frame: &Frame<'a>) -> Result<Self> {
        let wrong = || Error::corrupted("a leaf of a long sequence makes no sense");
        if frame.form.is_some() || frame.payload.is_empty() {
            return Err(wrong());
        }
        match frame.kind {
            Kind::Ints => {
                let (begin, data) = frame.payload.split_first_chunk::<INTS_BEGIN>().ok_or_else(wrong)?;
                let [width, base @ ..] = *begin;
                let width = usize::from(width);
                if !matches!(width, 1..=8) || data.is_empty() || !data.len().is_multiple_of(width) {
                    return Err(wrong());
                }
                Ok(Self::Ints { base: i64::from_le_bytes(base), width, data })
            }
            Kind::Floats if frame.payload.len().is_multiple_of(8) => Ok(Self::Floats(frame.payload)),
            Kind::Bytes => Ok(Self::Bytes(frame.payload)),
            Kind::Record => match Self::of_record(frame.payload)? {
                Self::Mixed(_, elements) if elements.is_empty() => Err(wrong()),
                leaf => Ok(leaf),
            },
            _ => Err(wrong()),
        }
    }

    /// The elements of a record whose root is a tuple of them.
    pub(super) fn of_record(archive: &'a [u8]) -> Result<Self> {
        let record = RecordView::access(archive)?;
        match record.root()? {
            Node::Container(elements)
                if elements.kind == ContainerKind::Tuple && record.id() == 0 && record.slots() == 0 =>
            {
                Ok(Self::Mixed(record, elements))
            }
            _ => Err(Error::corrupted("the elements of a long sequence are none")),
        }
    }

    /// How many elements it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Ints { width, data, .. } => data.len() / width,
            Self::Floats(data) => data.len() / 8,
            Self::Bytes(data) => data.len(),
            Self::Mixed(_, elements) => elements.len(),
        }
    }

    /// One of the elements; a byte is an integer.
    ///
    /// # Errors
    ///
    /// `Corrupted` when there is no such element, or the leaf is damaged.
    #[inline]
    pub(crate) fn item(&self, index: usize) -> Result<Node<'a>> {
        if index >= self.len() {
            return Err(Error::corrupted("a leaf of a long sequence has fewer elements than its tree says"));
        }
        match *self {
            Self::Ints { base, width, data } => {
                let mut offset = [0; 8];
                offset[..width].copy_from_slice(&data[index * width..][..width]);
                base.checked_add_unsigned(u64::from_le_bytes(offset))
                    .map(Node::Int)
                    .ok_or_else(|| Error::corrupted("an integer of a long sequence has more than 64 bits"))
            }
            Self::Floats(data) => {
                let mut bits = [0; 8];
                bits.copy_from_slice(&data[index * 8..][..8]);
                Ok(Node::Float(f64::from_bits(u64::from_le_bytes(bits))))
            }
            Self::Bytes(data) => Ok(Node::Int(data[index].into())),
            Self::Mixed(record, elements) => record.item(elements, index),
        }
    }
}

/// Integers that are stored as what they are more than a base, all at once.
pub(super) fn unpack_ints(base: i64, width: usize, data: &[u8]) -> Result<Vec<i64>> {
    fn unpack<const WIDTH: usize>(base: i64, data: &[u8]) -> Option<Vec<i64>> {
        let (offsets, _) = data.as_chunks::<WIDTH>();
        let mut is_large = false;
        let values = offsets.iter().map(|offset| {
            let mut bytes = [0; 8];
            bytes[..WIDTH].copy_from_slice(offset);
            let (value, overflows) = base.overflowing_add_unsigned(u64::from_le_bytes(bytes));
            is_large |= overflows;
            value
        });
        // Told at the end only, so that nothing stands in the way of many at once.
        let values = values.collect();
        (!is_large).then_some(values)
    }
    match width {
        1 => unpack::<1>(base, data),
        2 => unpack::<2>(base, data),
        3 => unpack::<3>(base, data),
        4 => unpack::<4>(base, data),
        5 => unpack::<5>(base, data),
        6 => unpack::<6>(base, data),
        7 => unpack::<7>(base, data),
        _ => unpack::<8>(base, data),
    }
    .ok_or_else(|| Error::corrupted("an integer of a long sequence has more than 64 bits"))
}

/// How many bytes hold each number up to `span`.
pub(super) fn int_width(span: u64) -> usize {
    (u64::BITS - (span | 1).leading_zeros()).div_ceil(8) as usize
}

/// The stored bytes of a leaf of integers between `least` and `most`.
pub(super) fn encode_ints(values: &[i64], least: i64, most: i64) -> Vec<u8> {
    fn offsets<const WIDTH: usize>(values: &[i64], least: i64, data: &mut [u8]) {
        let (places, _) = data.as_chunks_mut::<WIDTH>();
        for (place, value) in places.iter_mut().zip(values) {
            place.copy_from_slice(&value.abs_diff(least).to_le_bytes()[..WIDTH]);
        }
    }
    let width = int_width(most.abs_diff(least));
    let mut payload = vec![0; INTS_BEGIN + width * values.len()];
    payload[0] = width as u8;
    payload[1..INTS_BEGIN].copy_from_slice(&least.to_le_bytes());
    let data = &mut payload[INTS_BEGIN..];
    match width {
        1 => offsets::<1>(values, least, data),
        2 => offsets::<2>(values, least, data),
        3 => offsets::<3>(values, least, data),
        4 => offsets::<4>(values, least, data),
        5 => offsets::<5>(values, least, data),
        6 => offsets::<6>(values, least, data),
        7 => offsets::<7>(values, least, data),
        _ => offsets::<8>(values, least, data),
    }
    Frame::new(Kind::Ints, &payload).encode()
}

/// The stored bytes of a leaf of doubles.
pub(super) fn encode_floats(values: &[f64]) -> Vec<u8> {
    let payload: Vec<u8> = values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
    Frame::new(Kind::Floats, &payload).encode()
}

/// The archive of a record whose root is a tuple of what the words stand for.
pub(super) fn archive_tuple(mut builder: ValueBuilder, words: &[Word]) -> Result<Vec<u8>> {
    let (root, block) = builder.tuple(words.len())?;
    for (index, word) in words.iter().enumerate() {
        builder.set_item(block, index, *word);
    }
    builder.archive_part(root)
}

/// The stored bytes of a leaf of anything.
pub(super) fn encode_mixed(archive: &[u8]) -> Result<Vec<u8>> {
    let named = RecordView::access(archive)?.named()?;
    let frame = Frame {
        has_shared: !named.shared.is_empty(),
        has_links: named.has_links(),
        ..Frame::new(Kind::Record, archive)
    };
    Ok(frame.encode())
}
