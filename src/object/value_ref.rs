//! Borrowed values: views of what lies in the mapped pages, for as long as their transaction lives.

use super::{
    scope::{Scope, Stored, find},
    value::Value,
};
use crate::{
    error::{Error, Result},
    format::{
        key::Key,
        record::{Container, ContainerKind, Node, ObjectId, RecordView, Reference},
        scalar::Scalar,
    },
};

/// How deep a value may nest that is turned into an owned one, where dropping it recurses.
const DEPTH: usize = 1000;

/// A value, borrowed from its transaction.
#[derive(Clone, Copy)]
pub enum ValueRef<'t> {
    /// A leaf; [`LeafRef::decode`] reads it.
    Leaf(LeafRef<'t>),
    /// A container, of which nothing has been read yet.
    Container(ContainerRef<'t>),
    /// An archive of a user's own type; read it with `get_archived`.
    Archive(&'t [u8]),
    /// A mutable container that lies elsewhere in the map.
    Object(Reference),
}

/// A leaf, borrowed from its transaction.
#[derive(Clone, Copy)]
pub struct LeafRef<'t> {
    scope: &'t dyn Scope,
    node: Node<'t>,
}

/// A container, borrowed from its transaction.
#[derive(Clone, Copy)]
pub struct ContainerRef<'t> {
    scope: &'t dyn Scope,
    record: RecordView<'t>,
    container: Container,
}

impl<'t> ValueRef<'t> {
    pub(crate) fn new(scope: &'t dyn Scope, stored: Stored<'t>) -> Result<Self> {
        match stored {
            Stored::Scalar(encoded) => Ok(Self::Leaf(LeafRef { scope, node: Node::Scalar(encoded) })),
            Stored::Archive(bytes) => Ok(Self::Archive(bytes)),
            Stored::Object(reference) => Ok(Self::Object(reference)),
            Stored::Record(record, _) => Ok(Self::from_node(scope, record, record.root()?)),
        }
    }

    fn from_node(scope: &'t dyn Scope, record: RecordView<'t>, node: Node<'t>) -> Self {
        match node {
            Node::Container(container) => Self::Container(ContainerRef { scope, record, container }),
            Node::Object(reference) => Self::Object(reference),
            node => Self::Leaf(LeafRef { scope, node }),
        }
    }

    /// The leaf, decoded.
    ///
    /// # Errors
    ///
    /// `Unsupported` when this is no leaf; `Corrupted` when it is damaged.
    pub fn scalar(&self) -> Result<Scalar<'t>> {
        match self {
            Self::Leaf(leaf) => leaf.decode(),
            _ => Err(Error::Unsupported("the value is no leaf; match on it to see what it is".into())),
        }
    }

    /// The whole value, owned.
    ///
    /// # Errors
    ///
    /// `TooLarge` when it nests too deeply (cycles never end); `Unsupported` for archives; `Corrupted` when it is
    /// damaged.
    pub fn to_value(&self) -> Result<Value> {
        self.to_value_at(0)
    }

    fn to_value_at(self, depth: usize) -> Result<Value> {
        if depth > DEPTH {
            return Err(Error::TooLarge(format!("the value nests more than {DEPTH} levels deep")));
        }
        let container = match self {
            Self::Object(reference) => return Ok(Value::Object(reference)),
            Self::Leaf(leaf) => return Ok(Value::Scalar(leaf.decode()?.into_owned())),
            Self::Archive(_) => {
                return Err(Error::Unsupported(
                    "the value is an archive of a type of its own; read it with get_archived".into(),
                ));
            }
            Self::Container(container) => container,
        };
        let items = || {
            (0..container.len())
                .map(|index| container.item(index)?.to_value_at(depth + 1))
                .collect::<Result<_>>()
        };
        let members = || (0..container.len()).map(|index| container.key(index)).collect::<Result<_>>();
        Ok(match container.kind() {
            ContainerKind::List => Value::List(items()?),
            ContainerKind::Tuple => Value::Tuple(items()?),
            ContainerKind::Instance => Value::Instance(items()?),
            ContainerKind::ByteArray => match container.item(0)?.scalar()? {
                Scalar::Bytes(bytes) => Value::ByteArray(bytes.into_owned()),
                _ => return Err(Error::corrupted("a byte array holds no bytes")),
            },
            ContainerKind::Set => Value::Set(members()?),
            ContainerKind::FrozenSet => Value::FrozenSet(members()?),
            ContainerKind::Dict => Value::Dict(
                (0..container.len())
                    .map(|index| Ok((container.key(index)?, container.value(index)?.to_value_at(depth + 1)?)))
                    .collect::<Result<_>>()?,
            ),
        })
    }
}

impl<'t> LeafRef<'t> {
    /// The leaf; texts and bytes are borrowed where they lie.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    pub fn decode(&self) -> Result<Scalar<'t>> {
        Ok(match self.node {
            Node::None => Scalar::None,
            Node::Ellipsis => Scalar::Ellipsis,
            Node::Bool(value) => Scalar::Bool(value),
            Node::Int(value) => Scalar::Int(value),
            Node::Float(value) => Scalar::Float(value),
            Node::Str(text) => Scalar::Str(text.to_str()?.into()),
            Node::Scalar(encoded) => Scalar::decode(encoded)?,
            Node::Symbol(symbol) => Scalar::Str(self.scope.symbol(symbol)?.as_ref().to_owned().into()),
            Node::Shared(id) => Scalar::decode(self.scope.shared(id)?)?,
            Node::Container(_) | Node::Object(_) => return Err(Error::corrupted("a leaf is a container")),
        })
    }
}

impl<'t> ContainerRef<'t> {
    /// What it is.
    pub fn kind(&self) -> ContainerKind {
        self.container.kind
    }

    /// What names it, when it can change.
    pub fn reference(&self) -> Option<Reference> {
        let slot = self.container.slot()?;
        Some(Reference { kind: self.container.kind, id: ObjectId { record: self.record.id(), slot } })
    }

    /// How many elements, items or members it has.
    pub fn len(&self) -> usize {
        self.container.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.container.is_empty()
    }

    /// An element of a list or tuple, a member of a set, or a dict's key.
    ///
    /// # Errors
    ///
    /// `InvalidKey` past the end; `Corrupted` when the record is damaged.
    pub fn item(&self, index: usize) -> Result<ValueRef<'t>> {
        self.check(index)?;
        Ok(ValueRef::from_node(self.scope, self.record, self.record.item(self.container, index)?))
    }

    /// The value of a dict's item.
    ///
    /// # Errors
    ///
    /// `InvalidKey` past the end or when this is no dict; `Corrupted` when the record is damaged.
    pub fn value(&self, index: usize) -> Result<ValueRef<'t>> {
        self.check(index)?;
        if self.container.kind != ContainerKind::Dict {
            return Err(Error::InvalidKey("only dicts have values".into()));
        }
        Ok(ValueRef::from_node(self.scope, self.record, self.record.value(self.container, index)?))
    }

    /// The value under a key of a dict.
    ///
    /// # Errors
    ///
    /// `InvalidKey` when this is no dict or the key can't be one; `Corrupted` when the record is damaged.
    pub fn get(&self, key: &Key<'_>) -> Result<Option<ValueRef<'t>>> {
        match find(self.scope, self.record, self.container, key)? {
            Some(index) => self.value(index).map(Some),
            None => Ok(None),
        }
    }

    /// Whether a set has a member, or a dict a key.
    ///
    /// # Errors
    ///
    /// `InvalidKey` when the key can't be one; `Corrupted` when the record is damaged.
    pub fn contains(&self, member: &Key<'_>) -> Result<bool> {
        find(self.scope, self.record, self.container, member).map(|found| found.is_some())
    }

    /// A member of a set or a key of a dict, owned.
    ///
    /// # Errors
    ///
    /// `InvalidKey` past the end; `Corrupted` when the record is damaged.
    pub fn key(&self, index: usize) -> Result<Key<'static>> {
        to_key(self.item(index)?, 0)
    }

    fn check(&self, index: usize) -> Result<()> {
        if index < self.len() {
            return Ok(());
        }
        Err(Error::InvalidKey(format!("index {index} is past the end of a container of {}", self.len())))
    }
}

fn to_key(value: ValueRef<'_>, depth: usize) -> Result<Key<'static>> {
    if depth > DEPTH {
        return Err(Error::corrupted("a key nests without end"));
    }
    match value {
        ValueRef::Leaf(leaf) => Ok(Key::Scalar(leaf.decode()?.into_owned())),
        ValueRef::Container(container) => {
            let parts = (0..container.len())
                .map(|index| to_key(container.item(index)?, depth + 1))
                .collect::<Result<_>>()?;
            match container.kind() {
                ContainerKind::Tuple => Ok(Key::Tuple(parts)),
                ContainerKind::FrozenSet => Ok(Key::FrozenSet(parts)),
                _ => Err(Error::corrupted("a key is a mutable container")),
            }
        }
        ValueRef::Archive(_) | ValueRef::Object(_) => Err(Error::corrupted("a key is no key")),
    }
}
