//! Copies values out of records into a record that is being built, without recursion.

use rustc_hash::FxHashMap;

use super::{
    builder::{Block, ValueBuilder},
    key::{Key, KeyBytes},
    record::{Container, ContainerKind, Node, RecordView},
    scalar::Scalar,
    word::{Tag, Word},
};
use crate::{
    error::{Error, Result},
    sync::Arc,
};

/// Tells the names of symbols.
pub(crate) trait Names {
    /// The name of a symbol.
    fn name(&self, symbol: u32) -> Result<Arc<str>>;
}

/// Copies values of one record into one builder; what the record holds once is copied once.
pub(crate) struct Copier<'a, N> {
    source: RecordView<'a>,
    names: &'a N,
    known: FxHashMap<u32, Word>,
    pending: Vec<(Container, Block)>,
}

impl<'a, N: Names> Copier<'a, N> {
    pub(crate) fn new(source: RecordView<'a>, names: &'a N) -> Self {
        Self { source, names, known: FxHashMap::default(), pending: Vec::new() }
    }

    /// Copies a value, with everything in it. `mutable` is asked, once for each mutable container that is met, for its
    /// word; `None` makes another container with another slot.
    pub(crate) fn copy(
        &mut self,
        builder: &mut ValueBuilder,
        node: Node<'a>,
        mutable: &mut dyn FnMut(&mut ValueBuilder, Container) -> Result<Placed>,
    ) -> Result<Word> {
        let word = self.word(builder, node, mutable)?;
        self.finish(builder, mutable)?;
        Ok(word)
    }

    /// Says what stands for a container, of which nothing is copied.
    pub(crate) fn place(&mut self, container: Container, word: Word) {
        self.known.insert(container.position(), word);
    }

    fn finish(
        &mut self,
        builder: &mut ValueBuilder,
        mutable: &mut dyn FnMut(&mut ValueBuilder, Container) -> Result<Placed>,
    ) -> Result<()> {
        while let Some((container, block)) = self.pending.pop() {
            for index in 0..container.len() {
                let item = self.source.item(container, index)?;
                if block.is_indexed() {
                    builder.index(block, index, &ordered_member(self.source, item, self.names)?);
                }
                let word = self.word(builder, item, mutable)?;
                builder.set_item(block, index, word);
                if container.kind == ContainerKind::Dict {
                    let value = self.source.value(container, index)?;
                    let word = self.word(builder, value, mutable)?;
                    builder.set_value(block, index, word);
                }
            }
        }
        Ok(())
    }

    fn word(
        &mut self,
        builder: &mut ValueBuilder,
        node: Node<'a>,
        mutable: &mut dyn FnMut(&mut ValueBuilder, Container) -> Result<Placed>,
    ) -> Result<Word> {
        let Node::Container(container) = node else { return builder.leaf(node) };
        if let Some(word) = self.known.get(&container.position()) {
            return Ok(*word);
        }
        let (word, block) = if container.kind.is_mutable() {
            match mutable(builder, container)? {
                Placed::Elsewhere(word) => (word, None),
                Placed::Here(word, block) => (word, Some(block)),
            }
        } else {
            let (word, block) = builder.immutable(container.kind, container.len())?;
            (word, Some(block))
        };
        self.known.insert(container.position(), word);
        if let Some(block) = block {
            self.pending.push((container, block));
        }
        Ok(word)
    }
}

/// Where the copy of a mutable container goes.
pub(crate) enum Placed {
    /// Nothing of it is copied.
    Elsewhere(Word),
    /// Its elements are copied into this block.
    Here(Word, Block),
}

impl ValueBuilder {
    /// Copies what is no container.
    pub(crate) fn leaf(&mut self, node: Node<'_>) -> Result<Word> {
        match node {
            Node::None => Ok(self.none()),
            Node::Ellipsis => Ok(self.ellipsis()),
            Node::Bool(value) => Ok(self.bool(value)),
            Node::Int(value) => self.int(value),
            Node::Float(value) => self.float(value),
            Node::Str(text) => self.sized(Tag::Str, text.as_bytes()),
            Node::Scalar(encoded) => self.sized(Tag::Scalar, encoded),
            Node::Symbol(symbol) => Ok(Word::new(Tag::Symbol, symbol)),
            Node::Shared(id) => self.out_of_line(Tag::Shared, &id.to_le_bytes()),
            Node::Object(reference) => self.refer(reference),
            Node::Container(_) => Err(Error::corrupted("a leaf is a container")),
        }
    }
}

/// The ordered bytes of a dict's key or a set's member.
pub(crate) fn ordered_member<'a>(
    record: RecordView<'a>,
    member: Node<'a>,
    names: &impl Names,
) -> Result<KeyBytes> {
    let mut ordered = KeyBytes::new();
    member_key(record, member, names)?.encode_allowing_nan(&mut ordered)?;
    Ok(ordered)
}

/// The ordered bytes of a dict's key or a set's member, unless NaN is in it, so that nothing equals it.
pub(crate) fn findable_member<'a>(
    record: RecordView<'a>,
    member: Node<'a>,
    names: &impl Names,
) -> Result<Option<KeyBytes>> {
    let mut ordered = KeyBytes::new();
    match member_key(record, member, names)?.encode(&mut ordered) {
        Ok(()) => Ok(Some(ordered)),
        Err(Error::InvalidKey(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn member_key<'a>(record: RecordView<'a>, member: Node<'a>, names: &impl Names) -> Result<Key<'a>> {
    match member {
        Node::Symbol(symbol) => Ok(Key::Scalar(Scalar::Str(names.name(symbol)?.as_ref().to_owned().into()))),
        node => record.key(node, 0),
    }
}
