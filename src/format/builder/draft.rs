//! Values that are ready to be stored.

use smallvec::SmallVec;

use super::ValueBuilder;
use crate::{
    error::Result,
    format::{
        record::{ContainerKind, SURELY_LONG_WORDS},
        scalar::Scalar,
    },
};

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
    /// A list that is too long for a record, so that it need not be put into one first.
    Numbers(Numbers),
}

/// Numbers of one kind.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
}

impl Numbers {
    /// How many there are.
    fn len(&self) -> usize {
        match self {
            Self::Ints(ints) => ints.len(),
            Self::Floats(floats) => floats.len(),
        }
    }

    /// The same as a list in a record.
    ///
    /// # Errors
    ///
    /// `TooLarge` when a record can't hold them.
    pub(crate) fn in_record(&self) -> Result<ValueBuilder> {
        let mut builder = ValueBuilder::new();
        let (root, block) = builder.container(ContainerKind::List, self.len())?;
        for index in 0..self.len() {
            let word = match self {
                Self::Ints(ints) => builder.int(ints[index])?,
                Self::Floats(floats) => builder.float(floats[index])?,
            };
            builder.set_item(block, index, word);
        }
        Ok(builder.ended(root))
    }
}

impl Draft {
    /// A list of so many numbers is stored without a record in between.
    pub const MANY_NUMBERS: usize = SURELY_LONG_WORDS;

    /// How many bytes it takes, about.
    pub fn size(&self) -> usize {
        match &self.0 {
            DraftKind::Scalar(bytes) => bytes.len(),
            DraftKind::Archive(bytes) => bytes.len(),
            DraftKind::Record(builder) => 4 * builder.words.len() + builder.heap.len(),
            DraftKind::Numbers(numbers) => 8 * numbers.len(),
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

    /// A value that is a list of integers.
    ///
    /// # Errors
    ///
    /// Those of [`ValueBuilder::int`], for short lists; long ones go into no record.
    pub fn ints(ints: Vec<i64>) -> Result<Self> {
        Self::numbers(Numbers::Ints(ints))
    }

    /// A value that is a list of doubles.
    ///
    /// # Errors
    ///
    /// Those of [`ValueBuilder::float`], for short lists; long ones go into no record.
    pub fn floats(floats: Vec<f64>) -> Result<Self> {
        Self::numbers(Numbers::Floats(floats))
    }

    fn numbers(numbers: Numbers) -> Result<Self> {
        Ok(Self(if numbers.len() >= Self::MANY_NUMBERS {
            DraftKind::Numbers(numbers)
        } else {
            DraftKind::Record(Box::new(numbers.in_record()?))
        }))
    }
}
