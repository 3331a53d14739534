//! Packs elements into leaves: as many into each as have room, each leaf in the form that suits its elements.

use super::{
    elements::{NoNames, Run, Source, copy},
    leaf::{INTS_BEGIN, archive_tuple, encode_floats, encode_ints, encode_mixed, int_width},
};
use crate::{
    error::{Error, Result},
    format::{
        builder::{ValueBuilder, part::Weight},
        copy::Copier,
        frame::{FRAME, Frame, Kind},
        record::{ContainerKind, Node},
        word::Word,
    },
};

/// The largest frame of a node that holds only numbers or bytes: LMDB gives larger values pages of their own.
pub(super) const LARGEST: usize = 2000;
/// The largest frame of a leaf of other elements, if it has more than one: just what has room on a page of its own. Elements that
/// are not small against 2,000 bytes would leave much of shared pages empty.
pub(super) const LARGEST_MIXED: usize = 4080;

/// How many integers are put into a leaf at once, when they have room.
const TOGETHER: usize = 64;

/// A leaf that is not stored yet.
#[derive(Debug)]
pub(super) struct Piece {
    /// What will be stored.
    pub(super) frame: Vec<u8>,
    /// How many elements it has.
    pub(super) len: u64,
}

/// Takes elements one by one, and fills one leaf after another.
pub(super) struct Packer<'a> {
    bytes: bool,
    filling: Filling,
    /// The copier of the source that an element came from last; it knows only what went into the leaf of now.
    copier: Option<(usize, Option<Copier<'a, NoNames>>)>,
    pieces: Vec<Piece>,
}

enum Filling {
    Empty,
    Ints { values: Vec<i64>, least: i64, most: i64 },
    Floats(Vec<f64>),
    Bytes(Vec<u8>),
    Mixed(Box<Mixed>),
}

/// A leaf of anything that is being filled.
struct Mixed {
    builder: ValueBuilder,
    words: Vec<Word>,
    weight: Weight,
}

impl<'a> Packer<'a> {
    /// A packer for the leaves of a list or byte array.
    pub(super) fn new(kind: ContainerKind) -> Self {
        Self {
            bytes: kind == ContainerKind::ByteArray,
            filling: Filling::Empty,
            copier: None,
            pieces: Vec::new(),
        }
    }

    /// How many leaves are full.
    pub(super) fn full(&self) -> usize {
        self.pieces.len()
    }

    /// Takes the leaves out that are full.
    pub(super) fn take_full(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.pieces)
    }

    /// Adds a run of elements. The number tells the sources apart.
    pub(super) fn add(&mut self, number: usize, run: &Run<'a>) -> Result<()> {
        if let Some(bytes) = run.bytes()
            && self.bytes
        {
            return self.add_bytes(bytes);
        }
        if !self.bytes
            && matches!(self.filling, Filling::Empty | Filling::Ints { .. })
            && let Some(ints) = run.ints()?
        {
            return self.add_ints(&ints);
        }
        run.range.clone().try_for_each(|index| self.push(number, &run.source, index))
    }

    /// Adds one element of a source.
    pub(super) fn push(&mut self, number: usize, source: &Source<'a>, index: usize) -> Result<()> {
        let node = source.item(index)?;
        if !self.fits(number, source, node)? {
            self.close()?;
            self.fits(number, source, node)?;
        }
        Ok(())
    }

    /// The leaves.
    pub(super) fn finish(mut self) -> Result<Vec<Piece>> {
        self.close()?;
        Ok(self.pieces)
    }

    fn add_ints(&mut self, ints: &[i64]) -> Result<()> {
        ints.chunks(TOGETHER).try_for_each(|some| self.add_some_ints(some))
    }

    /// Adds a few integers: all at once when the leaf of now has room for them.
    fn add_some_ints(&mut self, ints: &[i64]) -> Result<()> {
        if let Filling::Ints { values, least, most } = &mut self.filling {
            let lower = ints.iter().fold(*least, |least, value| least.min(*value));
            let upper = ints.iter().fold(*most, |most, value| most.max(*value));
            if ints_size(lower, upper, values.len() + ints.len()) <= LARGEST {
                (*least, *most) = (lower, upper);
                values.extend_from_slice(ints);
                return Ok(());
            }
        }
        for value in ints {
            if let Filling::Ints { values, least, most } = &mut self.filling {
                let (lower, upper) = ((*least).min(*value), (*most).max(*value));
                if ints_size(lower, upper, values.len() + 1) <= LARGEST {
                    (*least, *most) = (lower, upper);
                    values.push(*value);
                    continue;
                }
                self.close()?;
            }
            self.filling = Filling::Ints { values: vec![*value], least: *value, most: *value };
        }
        Ok(())
    }

    fn add_bytes(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if !matches!(&self.filling, Filling::Bytes(filled) if filled.len() < LARGEST - FRAME) {
                self.close()?;
                self.filling = Filling::Bytes(Vec::with_capacity(LARGEST - FRAME));
            }
            if let Filling::Bytes(filled) = &mut self.filling {
                let (now, later) = bytes.split_at(bytes.len().min(LARGEST - FRAME - filled.len()));
                filled.extend_from_slice(now);
                bytes = later;
            }
        }
        Ok(())
    }

    /// Puts an element into the leaf that is being filled, unless that has no room; an empty one always has.
    fn fits(&mut self, number: usize, source: &Source<'a>, node: Node<'a>) -> Result<bool> {
        let Self { bytes, filling, copier, .. } = self;
        if *bytes {
            return fits_bytes(filling, node);
        }
        let copied = |builder: &mut ValueBuilder| {
            if copier.as_ref().is_none_or(|(known, _)| *known != number) {
                *copier = Some((number, source.copier()));
            }
            match copier {
                Some((_, copier)) => copy(copier, builder, node),
                None => builder.leaf(node),
            }
        };
        match (&mut *filling, node) {
            (Filling::Empty, Node::Int(value)) => {
                *filling = Filling::Ints { values: vec![value], least: value, most: value };
            }
            (Filling::Empty, Node::Float(value)) => *filling = Filling::Floats(vec![value]),
            (Filling::Ints { values, least, most }, Node::Int(value)) => {
                let (lower, upper) = (value.min(*least), value.max(*most));
                if ints_size(lower, upper, values.len() + 1) > LARGEST {
                    return Ok(false);
                }
                (*least, *most) = (lower, upper);
                values.push(value);
            }
            (Filling::Floats(values), Node::Float(value)) => {
                if FRAME + 8 * (values.len() + 1) > LARGEST {
                    return Ok(false);
                }
                values.push(value);
            }
            (Filling::Mixed(mixed), _) => return mixed.fits(copied),
            _ => {
                let Some(mut mixed) = Mixed::of(filling)? else { return Ok(false) };
                if !mixed.fits(copied)? {
                    return Ok(false);
                }
                *filling = Filling::Mixed(Box::new(mixed));
            }
        }
        Ok(true)
    }

    fn close(&mut self) -> Result<()> {
        self.copier = None;
        let (frame, len) = match std::mem::replace(&mut self.filling, Filling::Empty) {
            Filling::Empty => return Ok(()),
            Filling::Ints { values, least, most } => (encode_ints(&values, least, most), values.len()),
            Filling::Floats(values) => (encode_floats(&values), values.len()),
            Filling::Bytes(bytes) => (Frame::new(Kind::Bytes, &bytes).encode(), bytes.len()),
            Filling::Mixed(mixed) => {
                (encode_mixed(&archive_tuple(mixed.builder, &mixed.words)?)?, mixed.words.len())
            }
        };
        self.pieces.push(Piece { frame, len: len as u64 });
        Ok(())
    }
}

impl Mixed {
    /// What was filled so far in the form that holds anything, unless that is too large.
    fn of(filling: &Filling) -> Result<Option<Self>> {
        // The root and the length of the tuple that it is, which comes last.
        let weight = Weight::of_words(2);
        let mut mixed = Self { builder: ValueBuilder::new(), words: Vec::new(), weight };
        match filling {
            Filling::Ints { values, .. } => {
                for value in values {
                    if !mixed.fits(|builder| builder.int(*value))? {
                        return Ok(None);
                    }
                }
            }
            Filling::Floats(values) => {
                for value in values {
                    if !mixed.fits(|builder| builder.float(*value))? {
                        return Ok(None);
                    }
                }
            }
            Filling::Empty | Filling::Bytes(_) | Filling::Mixed(_) => {}
        }
        Ok(Some(mixed))
    }

    /// Puts an element in, unless there are some and it has no room beside them.
    fn fits(&mut self, copied: impl FnOnce(&mut ValueBuilder) -> Result<Word>) -> Result<bool> {
        let mark = self.builder.mark();
        let word = copied(&mut self.builder)?;
        let weight = self.weight.and(self.builder.weigh(&mark, &[word]));
        if FRAME + weight.archived() > LARGEST_MIXED && !self.words.is_empty() {
            self.builder.rewind(&mark);
            return Ok(false);
        }
        self.weight = weight;
        self.words.push(word);
        Ok(true)
    }
}

/// The frame of so many integers between two.
fn ints_size(least: i64, most: i64, len: usize) -> usize {
    FRAME + INTS_BEGIN + int_width(most.abs_diff(least)) * len
}

fn fits_bytes(filling: &mut Filling, node: Node<'_>) -> Result<bool> {
    let byte = match node {
        Node::Int(value) => u8::try_from(value).ok(),
        _ => None,
    };
    let byte =
        byte.ok_or_else(|| Error::Unsupported("a byte array holds integers from 0 to 255 only".into()))?;
    match filling {
        Filling::Bytes(filled) if filled.len() == LARGEST - FRAME => return Ok(false),
        Filling::Bytes(filled) => filled.push(byte),
        _ => *filling = Filling::Bytes(vec![byte]),
    }
    Ok(true)
}

/// Packs elements into as few leaves as go in that order.
pub(super) fn pack(kind: ContainerKind, runs: &[Run<'_>]) -> Result<Vec<Piece>> {
    let mut packer = Packer::new(kind);
    for (number, run) in runs.iter().enumerate() {
        packer.add(number, run)?;
    }
    packer.finish()
}

/// Packs elements of which new ones end the `begin`; when there are too many for one leaf, leaves end there too.
///
/// Where elements are added in order, at the end or elsewhere, the leaves are full therefore.
pub(super) fn pack_around(kind: ContainerKind, begin: &[Run<'_>], end: Run<'_>) -> Result<Vec<Piece>> {
    let mut packer = Packer::new(kind);
    for (number, run) in begin.iter().enumerate() {
        packer.add(number, run)?;
    }
    let full = packer.full();
    packer.add(begin.len(), &end)?;
    let mut pieces = packer.finish()?;
    if pieces.len() > full + 1 {
        pieces.truncate(full);
        let done: u64 = pieces.iter().map(|piece| piece.len).sum();
        pieces.extend(pack(kind, &without(begin, done as usize))?);
        pieces.extend(pack(kind, &[end])?);
    }
    Ok(pieces)
}

/// The runs without so many of their first elements.
fn without<'a>(runs: &[Run<'a>], mut count: usize) -> Vec<Run<'a>> {
    let mut rest = Vec::new();
    for run in runs {
        let skipped = count.min(run.range.len());
        count -= skipped;
        rest.push(Run { source: run.source, range: run.range.start + skipped..run.range.end });
    }
    rest
}
