//! What names objects, and what a record says of those that were made in it.

use super::ContainerKind;
use crate::error::{Error, Result};

/// What names a mutable container for as long as it exists, wherever it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// The record that it was made in.
    pub record: u64,
    /// Its slot there.
    pub slot: u32,
}

/// A reference to an object that doesn't lie in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// What it is.
    pub kind: ContainerKind,
    /// Which one it is.
    pub id: ObjectId,
}

impl Reference {
    /// The bytes of one that is encoded.
    pub(crate) const LENGTH: usize = 13;

    pub(crate) fn encode(self) -> [u8; Self::LENGTH] {
        let mut bytes = [self.kind.number(); Self::LENGTH];
        bytes[1..9].copy_from_slice(&self.id.record.to_le_bytes());
        bytes[9..].copy_from_slice(&self.id.slot.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let wrong = || Error::corrupted("a reference to an object makes no sense");
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().map_err(|_| wrong())?;
        let (Some((kind, rest)), Some(slot)) = (bytes.split_first(), bytes.last_chunk()) else {
            return Err(wrong());
        };
        let record = rest.first_chunk().map(|record| u64::from_le_bytes(*record)).ok_or_else(wrong)?;
        let kind = ContainerKind::from_number(*kind).ok_or_else(wrong)?;
        Ok(Self { kind, id: ObjectId { record, slot: u32::from_le_bytes(*slot) } })
    }
}

/// What a record's slot says of a mutable container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) kind: ContainerKind,
    /// Where its block is; zero when it lies outside the record, or is gone.
    pub(crate) position: u32,
    /// Whether something outside the record refers to it.
    pub(crate) exported: bool,
    /// Whether more than one thing outside ever did.
    pub(crate) shared: bool,
}

impl Slot {
    const KIND: u8 = 0b0011;
    const EXPORTED: u8 = 0b0100;
    const SHARED: u8 = 0b1000;
    /// How many bits of a wide slot are its position.
    pub(in crate::format) const WIDE: u32 = 28;
    /// How many bits of a narrow slot are its position.
    pub(in crate::format) const NARROW: u32 = 12;

    /// A container that is gone.
    pub(crate) const GONE: Self =
        Self { kind: ContainerKind::List, position: 0, exported: false, shared: false };

    pub(in crate::format) fn encode(self, bits: u32) -> u32 {
        let mut flags = self.kind.number();
        if self.exported {
            flags |= Self::EXPORTED;
        }
        if self.shared {
            flags |= Self::SHARED;
        }
        u32::from(flags) << bits | self.position
    }

    /// Where the block of a container of a kind is; nothing when that is not what the slot is, or it does not lie here.
    #[inline]
    pub(in crate::format) fn position_of(slot: u32, bits: u32, kind: ContainerKind) -> Option<u32> {
        let position = slot & ((1 << bits) - 1);
        ((slot >> bits) as u8 & Self::KIND == kind.number() && position != 0).then_some(position)
    }

    #[inline]
    pub(in crate::format) fn decode(slot: u32, bits: u32) -> Self {
        let flags = (slot >> bits) as u8;
        let kind = match flags & Self::KIND {
            0 => ContainerKind::List,
            1 => ContainerKind::Dict,
            2 => ContainerKind::Set,
            _ => ContainerKind::ByteArray,
        };
        Self {
            kind,
            position: slot & ((1 << bits) - 1),
            exported: flags & Self::EXPORTED != 0,
            shared: flags & Self::SHARED != 0,
        }
    }
}
