//! The word that stands for one element of a record: four bits say what it is, the others where or how much.
//!
//! A word has 32 bits, in the archives of small records 16, which are the lower half of the same word.

use super::{name::Name, record::ContainerKind};

pub(super) const TAG_BITS: u32 = 4;
/// One more than the largest payload of a word.
pub(crate) const PAYLOAD_LIMIT: u32 = 1 << (32 - TAG_BITS);

/// What a word is. The numbers are part of the file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// None, a truth value or Ellipsis.
    Constant = 0,
    /// A signed integer that fits the word, with the sign in its lowest bit.
    SmallInt = 1,
    /// The heap offset of a signed integer of 64 bits, as a varint with the sign in its lowest bit.
    Int = 2,
    /// The heap offset of a double.
    Float = 3,
    /// The heap offset of a length and UTF-8.
    Str = 4,
    /// The heap offset of a length and an encoded scalar.
    Scalar = 5,
    /// A symbol's id.
    Symbol = 6,
    /// The heap offset of the 64-bit id of a value in the shared table.
    Shared = 7,
    /// The index of the block of a tuple.
    Tuple = 8,
    /// The index of the block of a frozenset.
    FrozenSet = 9,
    /// The slot of a list.
    List = 10,
    /// The slot of a dict.
    Dict = 11,
    /// The slot of a set.
    Set = 12,
    /// The heap offset of the kind, record and slot of an object that lies elsewhere.
    Object = 13,
    /// The index of the block of an instance of a class.
    Instance = 14,
    /// The slot of a byte array.
    ByteArray = 15,
}

impl Tag {
    /// What the word of a container is.
    #[inline]
    pub(crate) fn of(kind: ContainerKind) -> Self {
        match kind {
            ContainerKind::List => Self::List,
            ContainerKind::Tuple => Self::Tuple,
            ContainerKind::Dict => Self::Dict,
            ContainerKind::Set => Self::Set,
            ContainerKind::FrozenSet => Self::FrozenSet,
            ContainerKind::ByteArray => Self::ByteArray,
            ContainerKind::Instance => Self::Instance,
        }
    }

    /// Whether a word may be a container of its own record.
    #[inline]
    pub(crate) const fn is_container(self) -> bool {
        matches!(
            self,
            Self::Tuple
                | Self::FrozenSet
                | Self::List
                | Self::Dict
                | Self::Set
                | Self::Instance
                | Self::ByteArray
        )
    }
}

/// Moves the sign to the lowest bit, so that integers near zero are small numbers.
pub(crate) const fn fold_sign(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// Undoes [`fold_sign`].
pub(crate) const fn unfold_sign(folded: u64) -> i64 {
    (folded >> 1).cast_signed() ^ -((folded & 1).cast_signed())
}

/// The payloads of [`Tag::Constant`].
pub(crate) mod constant {
    pub(crate) const NONE: u32 = 0;
    pub(crate) const FALSE: u32 = 1;
    pub(crate) const TRUE: u32 = 2;
    pub(crate) const ELLIPSIS: u32 = 3;
    /// From here on, and only while a record is being built: the number of a text whose place is not decided yet.
    pub(crate) const PENDING: u32 = 16;
    /// From here on, and only while a record is being built: the number of a [`Name`](super::super::name::Name).
    pub(crate) const NAMED: u32 = 1 << 27;
}

/// What a word stands for whose place is decided only inside the write transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    /// One of the texts of the builder, by its number.
    Text(u32),
    /// A name that this process knows.
    Name(Name),
}

/// One element of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub(crate) u32);

impl Word {
    #[inline]
    pub(crate) const fn new(tag: Tag, payload: u32) -> Self {
        debug_assert!(payload < PAYLOAD_LIMIT);
        Self(payload << TAG_BITS | tag as u32)
    }

    /// The word of an integer, when it fits.
    #[inline]
    pub(crate) fn small_int(value: i64) -> Option<Self> {
        let folded = fold_sign(value);
        (folded < u64::from(PAYLOAD_LIMIT)).then(|| Self::new(Tag::SmallInt, folded as u32))
    }

    /// The word's 16 bits in the archive of a small record, when they are enough.
    pub(crate) fn narrow(self) -> Option<u16> {
        u16::try_from(self.0).ok()
    }

    /// What it says beside its tag.
    #[inline]
    pub const fn payload(self) -> u32 {
        self.0 >> TAG_BITS
    }

    /// The payload as a signed integer.
    #[inline]
    pub const fn signed(self) -> i64 {
        unfold_sign((self.0 >> TAG_BITS) as u64)
    }

    /// What it is.
    #[inline]
    pub fn tag(self) -> Tag {
        match self.0 & ((1 << TAG_BITS) - 1) {
            0 => Tag::Constant,
            1 => Tag::SmallInt,
            2 => Tag::Int,
            3 => Tag::Float,
            4 => Tag::Str,
            5 => Tag::Scalar,
            6 => Tag::Symbol,
            7 => Tag::Shared,
            8 => Tag::Tuple,
            9 => Tag::FrozenSet,
            10 => Tag::List,
            11 => Tag::Dict,
            12 => Tag::Set,
            13 => Tag::Object,
            14 => Tag::Instance,
            _ => Tag::ByteArray,
        }
    }

    /// The word of a text of the builder, by its number; `None` when that is too large for a word.
    pub(crate) fn pending(text: usize) -> Option<Self> {
        let payload = u32::try_from(text).ok()?.checked_add(constant::PENDING)?;
        (payload < constant::NAMED).then(|| Self::new(Tag::Constant, payload))
    }

    /// The word of a name.
    #[inline]
    pub(crate) const fn named(name: Name) -> Self {
        Self::new(Tag::Constant, constant::NAMED + name.number())
    }

    /// Whether the place of what it stands for is not decided yet.
    #[inline]
    pub(crate) fn is_undecided(self) -> bool {
        self.tag() == Tag::Constant && self.payload() >= constant::PENDING
    }

    /// What it stands for, when the place of that is not decided yet.
    #[inline]
    pub(crate) fn later(self) -> Option<Later> {
        if !self.is_undecided() {
            return None;
        }
        Some(match self.payload().checked_sub(constant::NAMED) {
            Some(number) => Later::Name(Name::of_number(number)),
            None => Later::Text(self.payload() - constant::PENDING),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ints_keep_their_sign_and_stop_at_28_bits() {
        for value in [0, 1, -1, 12345, -(1 << 27), (1 << 27) - 1] {
            assert_eq!(Word::small_int(value).unwrap().signed(), value);
        }
        assert!(Word::small_int(1 << 27).is_none());
        assert!(Word::small_int(-(1 << 27) - 1).is_none());
        assert!(Word::small_int(i64::MIN).is_none());
        for value in [i64::MIN, i64::MAX, 0, -1, 1] {
            assert_eq!(unfold_sign(fold_sign(value)), value);
        }
    }
}
