//! Values that are ready to be stored.

use super::ValueBuilder;
use crate::format::scalar::Scalar;

/// A value that is ready to be stored.
#[derive(Clone, Debug)]
pub struct Draft(pub(crate) DraftKind);

#[derive(Clone, Debug)]
pub(crate) enum DraftKind {
    /// An encoded scalar.
    Scalar(Vec<u8>),
    Record(Box<ValueBuilder>),
    /// A Rust user's own archive.
    Archive(Vec<u8>),
}

impl Draft {
    /// How many bytes it takes, about.
    pub fn size(&self) -> usize {
        match &self.0 {
            DraftKind::Scalar(bytes) | DraftKind::Archive(bytes) => bytes.len(),
            DraftKind::Record(builder) => 4 * builder.words.len() + builder.heap.len(),
        }
    }

    /// A value that is one leaf.
    pub fn scalar(value: &Scalar<'_>) -> Self {
        let text = if let Scalar::Str(text) = value { text.len() } else { 0 };
        let mut encoded = Vec::with_capacity(text + 16);
        value.encode(&mut encoded);
        Self(DraftKind::Scalar(encoded))
    }

    /// The same in no more memory than it needs, for one that waits together with many others.
    #[must_use]
    pub fn compact(self) -> Self {
        Self(match self.0 {
            DraftKind::Record(builder) => DraftKind::Record(Box::new(builder.compact())),
            other => other,
        })
    }
}
