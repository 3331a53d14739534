//! Owned values, for Rust programs to store and to get back whole.

use crate::{
    error::{Error, Result},
    format::{
        builder::{Block, Draft, Role, ValueBuilder},
        key::{Key, KeyBytes},
        record::Reference,
        scalar::Scalar,
        word::Word,
    },
};

/// How deep a value may nest on its way in from Rust, where dropping one recurses.
const DEPTH: usize = 1000;

/// A value of the map, owned.
///
/// # Examples
///
/// ```
/// use oocmap::Value;
///
/// let value = Value::from_iter([("name", Value::from("Ada")), ("born", Value::from(1815))]);
/// assert!(matches!(value, Value::Dict(items) if items.len() == 2));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A leaf.
    Scalar(Scalar<'static>),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A dict: its items in order, each key once.
    Dict(Vec<(Key<'static>, Value)>),
    /// A set: each member once.
    Set(Vec<Key<'static>>),
    /// A frozenset: each member once.
    FrozenSet(Vec<Key<'static>>),
    /// A byte array.
    ByteArray(Vec<u8>),
    /// An instance of a class: what names the class, then its state.
    Instance(Vec<Value>),
    /// An object that is in the map already.
    Object(Reference),
}

impl Value {
    /// None.
    pub const NONE: Self = Self::Scalar(Scalar::None);

    /// The value, ready to be stored.
    ///
    /// # Errors
    ///
    /// `TooLarge` when it is too large or nested too deeply.
    pub fn draft(&self) -> Result<Draft> {
        if let Self::Scalar(scalar) = self {
            return Ok(Draft::scalar(scalar));
        }
        let mut builder = ValueBuilder::new();
        let root = add(&mut builder, self, 0)?;
        Ok(builder.finish(root))
    }
}

fn add(builder: &mut ValueBuilder, value: &Value, depth: usize) -> Result<Word> {
    if depth > DEPTH {
        return Err(Error::TooLarge(format!("a value nests more than {DEPTH} levels deep")));
    }
    match value {
        Value::Scalar(scalar) => builder.scalar(scalar, Role::Value),
        Value::List(items) => {
            let (word, block) = builder.list(items.len())?;
            add_items(builder, block, items, depth)?;
            Ok(word)
        }
        Value::Tuple(items) => {
            let (word, block) = builder.tuple(items.len())?;
            add_items(builder, block, items, depth)?;
            Ok(word)
        }
        Value::Dict(items) => {
            let (word, block) = builder.dict(items.len())?;
            for (index, (key, value)) in items.iter().enumerate() {
                let key_word = match key {
                    Key::Scalar(Scalar::Str(name)) => builder.name(name, block)?,
                    key => builder.member(key)?,
                };
                builder.set_item(block, index, key_word);
                index_member(builder, block, index, key)?;
                let value = add(builder, value, depth + 1)?;
                builder.set_value(block, index, value);
            }
            Ok(word)
        }
        Value::Set(members) => {
            let (word, block) = builder.set(members.len())?;
            add_members(builder, block, members)?;
            Ok(word)
        }
        Value::ByteArray(bytes) => builder.byte_array(bytes),
        Value::Instance(items) => {
            let (word, block) = builder.instance(items.len())?;
            add_items(builder, block, items, depth)?;
            Ok(word)
        }
        Value::Object(reference) => builder.object(*reference, None),
        Value::FrozenSet(members) => {
            let (word, block) = builder.frozenset(members.len())?;
            add_members(builder, block, members)?;
            Ok(word)
        }
    }
}

fn add_items(builder: &mut ValueBuilder, block: Block, items: &[Value], depth: usize) -> Result<()> {
    for (index, item) in items.iter().enumerate() {
        let word = add(builder, item, depth + 1)?;
        builder.set_item(block, index, word);
    }
    Ok(())
}

fn add_members(builder: &mut ValueBuilder, block: Block, members: &[Key<'_>]) -> Result<()> {
    for (index, member) in members.iter().enumerate() {
        let word = builder.member(member)?;
        builder.set_item(block, index, word);
        index_member(builder, block, index, member)?;
    }
    Ok(())
}

fn index_member(builder: &mut ValueBuilder, block: Block, index: usize, member: &Key<'_>) -> Result<()> {
    if block.is_indexed() {
        let mut ordered = KeyBytes::new();
        member.encode_allowing_nan(&mut ordered)?;
        builder.index(block, index, &ordered);
    }
    Ok(())
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Scalar(Scalar::Str(text.to_owned().into()))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Scalar(Scalar::Int(value))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Scalar(Scalar::Float(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Scalar(Scalar::Bool(value))
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(items)
    }
}

impl<'a> FromIterator<(&'a str, Value)> for Value {
    /// A dict with these items, of which the keys have to differ.
    fn from_iter<I: IntoIterator<Item = (&'a str, Value)>>(items: I) -> Self {
        Self::Dict(
            items
                .into_iter()
                .map(|(key, value)| (Key::Scalar(Scalar::Str(key.to_owned().into())), value))
                .collect(),
        )
    }
}
