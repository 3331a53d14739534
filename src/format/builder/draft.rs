//! Values that are ready to be stored.

use smallvec::SmallVec;

use super::ValueBuilder;
use crate::format::scalar::Scalar;

/// A value that is ready to be stored.
#[derive(Clone, Debug)]
pub struct Draft(pub(crate) DraftKind);

/// An encoded scalar; most of those that come by the hundred thousand are short, and need no memory of their own.
pub(crate) type ScalarBytes = SmallVec<[u8; 24]>;

#[derive(Clone, Debug)]
pub(crate) enum DraftKind {
    /// An encoded scalar.
    Scalar(ScalarBytes),
    Record(Box<ValueBuilder>),
    /// A Rust user's own archive.
    Archive(Vec<u8>),
}

impl Draft {
    /// How many bytes it takes, about.
    pub fn size(&self) -> usize {
        match &self.0 {
            DraftKind::Scalar(bytes) => bytes.len(),
            DraftKind::Archive(bytes) => bytes.len(),
            DraftKind::Record(builder) => 4 * builder.words.len() + builder.heap.len(),
        }
    }

    /// A value that is one leaf.
    pub fn scalar(value: &Scalar<'_>) -> Self {
        if let Scalar::Str(text) = value {
            return Self::text(text);
        }
        let mut encoded = Vec::with_capacity(16);
        value.encode(&mut encoded);
        Self(DraftKind::Scalar(ScalarBytes::from_vec(encoded)))
    }

    /// A value that is a text.
    pub fn text(value: &str) -> Self {
        let mut encoded = ScalarBytes::with_capacity(value.len() + 1);
        Scalar::encode_text(value, &mut encoded);
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
