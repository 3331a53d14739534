//! Where the parts of a long container stand in the objects table.

use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    format::{
        frame::{Frame, Kind},
        record::{ContainerKind, ObjectId},
    },
};

/// A key of the objects table.
pub(crate) type PartKey = SmallVec<[u8; 24]>;

/// The place of a long container. All its parts have keys that begin with its id, and its header has just that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place([u8; Self::LENGTH]);

impl Place {
    const LENGTH: usize = 12;

    pub(crate) fn new(id: ObjectId) -> Self {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&id.record.to_be_bytes());
        bytes[8..].copy_from_slice(&id.slot.to_be_bytes());
        Self(bytes)
    }

    /// The key of the container's header.
    pub(crate) fn header(&self) -> &[u8] {
        &self.0
    }

    /// The key of one of its parts.
    pub(crate) fn part(&self, rest: &[u8]) -> PartKey {
        let mut key = PartKey::from_slice(&self.0);
        key.extend_from_slice(rest);
        key
    }
}

/// The kind of a long container, from its stored header.
pub(crate) fn kind_of(header: &[u8]) -> Result<ContainerKind> {
    let frame = Frame::decode(header)?;
    match (frame.kind, frame.payload.first().copied().and_then(ContainerKind::from_number)) {
        (Kind::Long, Some(kind)) => Ok(kind),
        _ => Err(Error::corrupted("the header of a long container makes no sense")),
    }
}
