//! A chunk of a long dict or set: some of its members, in their order, as they lie in a page.

use crate::{
    error::{Error, Result},
    format::{
        copy::Names,
        frame::{Frame, Kind},
        key::{KeyBytes, is_str},
        record::{Container, ContainerKind, Node, RecordView},
    },
    sync::Arc,
};

/// How many words stand before the members.
pub(super) const HEAD: usize = 1;

/// The words of one member: its sequence number, itself, and in a dict its value.
pub(super) fn stride(kind: ContainerKind) -> usize {
    if kind == ContainerKind::Dict { 3 } else { 2 }
}

/// The names that chunks have need of: none, as neither their members nor anything in them is a symbol.
pub(super) struct Nameless;

impl Names for Nameless {
    fn name(&self, symbol: u32) -> Result<Arc<str>> {
        Err(Error::corrupted(format!("a member of a long dict or set is symbol {symbol}")))
    }
}

/// Members that follow each other.
#[derive(Clone, Copy)]
pub(crate) struct Chunk<'a> {
    own: u64,
    kind: ContainerKind,
    record: RecordView<'a>,
    words: Container,
    len: usize,
}

impl<'a> Chunk<'a> {
    /// Takes a stored chunk apart, in constant time; `own` is the sequence number in its key.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is none, or empty.
    pub(crate) fn open(own: u64, stored: &'a [u8]) -> Result<Self> {
        let wrong = || Error::corrupted("a chunk of a long dict or set makes no sense");
        let frame = Frame::decode(stored)?;
        if frame.kind != Kind::Record || frame.form.is_some() {
            return Err(wrong());
        }
        let record = RecordView::access(frame.payload)?;
        let Node::Container(words) = record.root()? else { return Err(wrong()) };
        if words.kind != ContainerKind::Tuple || words.is_empty() || record.slots() > 0 {
            return Err(wrong());
        }
        let Node::Int(number) = record.item(words, 0)? else { return Err(wrong()) };
        let kind = u8::try_from(number).ok().and_then(ContainerKind::from_number);
        let kind = kind.filter(|kind| matches!(kind, ContainerKind::Dict | ContainerKind::Set));
        let kind = kind.ok_or_else(wrong)?;
        let members = words.len() - HEAD;
        if members == 0 || !members.is_multiple_of(stride(kind)) {
            return Err(wrong());
        }
        Ok(Self { own, kind, record, words, len: members / stride(kind) })
    }

    /// What the chunk is of.
    pub(crate) fn kind(&self) -> ContainerKind {
        self.kind
    }

    /// The record that the nodes are of.
    pub(crate) fn record(&self) -> RecordView<'a> {
        self.record
    }

    /// How many members it has, at least one.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The sequence number of the member at a position.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the chunk is damaged.
    pub(crate) fn seq(&self, position: usize) -> Result<u64> {
        let relative = match self.word(position, 0)? {
            Node::Int(relative) => u64::try_from(relative).ok(),
            _ => None,
        };
        relative
            .and_then(|relative| self.own.checked_add(relative))
            .ok_or_else(|| Error::corrupted("a member of a long dict or set has no sequence number"))
    }

    /// The key or member at a position; never a symbol.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the chunk is damaged.
    pub(crate) fn key(&self, position: usize) -> Result<Node<'a>> {
        match self.word(position, 1)? {
            Node::Symbol(_) => Err(Error::corrupted("a member of a long dict or set is a symbol")),
            node => Ok(node),
        }
    }

    /// The value at a position, which members of sets have none of.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the chunk is damaged.
    pub(crate) fn value(&self, position: usize) -> Result<Option<Node<'a>>> {
        if self.kind == ContainerKind::Dict { self.word(position, 2).map(Some) } else { Ok(None) }
    }

    /// The position of the first member whose sequence number is at least `seq`; the length when there is none.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the chunk is damaged.
    pub(crate) fn position(&self, seq: u64) -> Result<usize> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            if self.seq(middle)? < seq {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The position of the member that has this sequence number.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the chunk is damaged.
    pub(crate) fn position_of(&self, seq: u64) -> Result<Option<usize>> {
        let position = self.position(seq)?;
        Ok((position < self.len && self.seq(position)? == seq).then_some(position))
    }

    /// Whether the member at a position equals one with these ordered bytes; NaN equals nothing.
    pub(super) fn matches(&self, position: usize, ordered: &[u8]) -> Result<bool> {
        match self.key(position)? {
            Node::Str(text) => Ok(is_str(ordered) && ordered.get(1..) == Some(text.as_bytes())),
            node => {
                let mut own = KeyBytes::new();
                match self.record.key(node, 0)?.encode(&mut own) {
                    Ok(()) => Ok(own.as_slice() == ordered),
                    Err(Error::InvalidKey(_)) => Ok(false),
                    Err(error) => Err(error),
                }
            }
        }
    }

    fn word(&self, position: usize, part: usize) -> Result<Node<'a>> {
        debug_assert!(position < self.len);
        self.record.item(self.words, HEAD + position * stride(self.kind) + part)
    }
}
