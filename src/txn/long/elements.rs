//! Elements on their way into a long sequence or out of it, whatever their number.

use std::{borrow::Cow, ops::Range};

use super::leaf::{Leaf, archive_tuple, unpack_ints};
use crate::{
    error::{Error, Result},
    format::{
        builder::ValueBuilder,
        copy::{Copier, Names, Placed},
        record::{Container, Node, RecordView},
        word::Word,
    },
    sync::Arc,
};

/// Elements that are in no table, in the most compact form that holds all of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Elements {
    /// Integers only.
    Ints(Vec<i64>),
    /// Doubles only.
    Floats(Vec<f64>),
    /// What a byte array holds.
    Bytes(Vec<u8>),
    /// Anything.
    Mixed {
        /// The archive of a record with id 0 and no slots, whose root is a tuple of the elements.
        archive: Vec<u8>,
        /// How many there are.
        len: usize,
    },
}

impl Elements {
    /// No elements.
    pub(crate) const NONE: Self = Self::Ints(Vec::new());

    /// Copies nodes of a record. `mutable` is asked once for each mutable container that is met, and has to answer
    /// with a reference to an object that lies elsewhere.
    ///
    /// # Errors
    ///
    /// `TooLarge` when one record can't hold them all, `Corrupted` when the source is damaged.
    pub(crate) fn of<'a, N: Names>(
        source: RecordView<'a>,
        nodes: impl Iterator<Item = Result<Node<'a>>>,
        names: &'a N,
        mutable: &mut dyn FnMut(&mut ValueBuilder, Container) -> Result<Placed>,
    ) -> Result<Self> {
        let mut copier = Copier::new(source, names);
        let mut collected = Collected::default();
        for node in nodes {
            collected.push(node?, |builder, node| copier.copy(builder, node, mutable))?;
        }
        collected.finish()
    }

    /// Elements of several sources, one after another.
    ///
    /// # Errors
    ///
    /// `TooLarge` when one record can't hold them all, `Corrupted` when a source is damaged.
    pub(crate) fn gather(runs: &[Run<'_>]) -> Result<Self> {
        if let Some(bytes) = runs.iter().map(Run::bytes).collect::<Option<Vec<_>>>()
            && !bytes.is_empty()
        {
            return Ok(Self::Bytes(bytes.concat()));
        }
        let mut collected = Collected::default();
        for run in runs {
            let mut copier = run.source.copier();
            for index in run.range.clone() {
                collected.push(run.source.item(index)?, |builder, node| copy(&mut copier, builder, node))?;
            }
        }
        collected.finish()
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Ints(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Mixed { len, .. } => *len,
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they are read from.
    pub(crate) fn source(&self) -> Result<Source<'_>> {
        Ok(match self {
            Self::Ints(values) => Source::Ints(values),
            Self::Floats(values) => Source::Floats(values),
            Self::Bytes(bytes) => Source::Leaf(Leaf::Bytes(bytes)),
            Self::Mixed { archive, .. } => Source::Leaf(Leaf::of_record(archive)?),
        })
    }
}

impl Leaf<'_> {
    /// A copy of some of its elements.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the range leads outside or the leaf is damaged.
    pub(crate) fn to_elements(self, range: Range<usize>) -> Result<Elements> {
        let run = Run { source: Source::Leaf(self), range };
        if let Some(ints) = run.ints()? {
            return Ok(Elements::Ints(ints.into_owned()));
        }
        Elements::gather(&[run])
    }
}

/// What elements are read from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Ints(&'a [i64]),
    Floats(&'a [f64]),
    Leaf(Leaf<'a>),
}

impl<'a> Source<'a> {
    #[inline]
    pub(super) fn item(&self, index: usize) -> Result<Node<'a>> {
        let outside = || Error::corrupted("a run of elements is shorter than expected");
        match self {
            Self::Ints(values) => values.get(index).map(|value| Node::Int(*value)).ok_or_else(outside),
            Self::Floats(values) => values.get(index).map(|value| Node::Float(*value)).ok_or_else(outside),
            Self::Leaf(leaf) => leaf.item(index),
        }
    }

    /// Copies its elements into one builder, when they need that.
    pub(super) fn copier(&self) -> Option<Copier<'a, NoNames>> {
        match self {
            Self::Leaf(Leaf::Mixed(record, _)) => Some(Copier::new(*record, &NoNames)),
            _ => None,
        }
    }
}

/// Some of the elements of a source.
#[derive(Clone)]
pub(crate) struct Run<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) range: Range<usize>,
}

impl<'a> Run<'a> {
    /// The integers that they are, when the source is one of integers.
    pub(super) fn ints(&self) -> Result<Option<Cow<'a, [i64]>>> {
        Ok(match self.source {
            Source::Ints(values) => values.get(self.range.clone()).map(Cow::Borrowed),
            Source::Leaf(Leaf::Ints { base, width, data }) => {
                match data.get(self.range.start * width..self.range.end * width) {
                    Some(data) => Some(Cow::Owned(unpack_ints(base, width, data)?)),
                    None => None,
                }
            }
            _ => None,
        })
    }

    /// The bytes that they are, when the source is one of bytes.
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self.source {
            Source::Leaf(Leaf::Bytes(data)) => data.get(self.range.clone()),
            _ => None,
        }
    }
}

/// Copies an element that refers to no names and holds no mutable containers.
pub(super) fn copy<'a>(
    copier: &mut Option<Copier<'a, NoNames>>,
    builder: &mut ValueBuilder,
    node: Node<'a>,
) -> Result<Word> {
    match copier {
        Some(copier) => copier.copy(builder, node, &mut |_, _| {
            Err(Error::corrupted("an element of a long sequence holds a mutable container"))
        }),
        None => builder.leaf(node),
    }
}

/// The names of nothing: only members of sets and dicts have to be told, and those of frozensets are no symbols.
pub(super) struct NoNames;

impl Names for NoNames {
    fn name(&self, symbol: u32) -> Result<Arc<str>> {
        Err(Error::corrupted(format!("a frozenset has symbol {symbol} for a member")))
    }
}

/// Elements that come one by one.
enum Collected {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Mixed(Box<ValueBuilder>, Vec<Word>),
}

impl Default for Collected {
    fn default() -> Self {
        Self::Ints(Vec::new())
    }
}

impl Collected {
    fn push<'a>(
        &mut self,
        node: Node<'a>,
        copy: impl FnOnce(&mut ValueBuilder, Node<'a>) -> Result<Word>,
    ) -> Result<()> {
        match (&mut *self, node) {
            (Self::Ints(values), Node::Int(value)) => values.push(value),
            (Self::Floats(values), Node::Float(value)) => values.push(value),
            (Self::Ints(values), Node::Float(value)) if values.is_empty() => {
                *self = Self::Floats(vec![value]);
            }
            (Self::Mixed(builder, words), node) => words.push(copy(builder, node)?),
            _ => {
                let mut builder = ValueBuilder::new();
                let mut words = match self {
                    Self::Ints(values) => {
                        values.iter().map(|value| builder.int(*value)).collect::<Result<_>>()?
                    }
                    Self::Floats(values) => {
                        values.iter().map(|value| builder.float(*value)).collect::<Result<_>>()?
                    }
                    Self::Mixed(_, words) => std::mem::take(words),
                };
                words.push(copy(&mut builder, node)?);
                *self = Self::Mixed(Box::new(builder), words);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Elements> {
        Ok(match self {
            Self::Ints(values) => Elements::Ints(values),
            Self::Floats(values) => Elements::Floats(values),
            Self::Mixed(builder, words) => {
                Elements::Mixed { archive: archive_tuple(*builder, &words)?, len: words.len() }
            }
        })
    }
}
