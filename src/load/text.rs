//! Files of text: how they are cut into pieces that can be read independently, and what an entry is in them.

use super::{
    delimited::{Ends, Records},
    json,
    sorter::Sorter,
};
use crate::{
    error::{Error, Result},
    format::{
        builder::{Draft, Role, ValueBuilder},
        key::{Key, KeyBytes, encode_str},
        scalar::Scalar,
    },
    object::value::Value,
    sync::Arc,
    txn::entry::EntryKey,
};

/// What a file of text holds, and how its lines become entries.
#[derive(Clone, Debug)]
pub enum TextFormat {
    /// JSON, one value a line: an array of key and value, or with the name of a member an object that has its key in it.
    JsonLines {
        /// The member that is the key.
        key: Option<String>,
    },
    /// A table whose first record names the columns.
    Delimited {
        /// What stands between two fields.
        delimiter: u8,
        /// The column that is the key; the first when none is named.
        key: Option<String>,
    },
}

/// A file of text that is being read.
#[derive(Debug)]
pub struct TextSource {
    /// What errors call it.
    name: Arc<str>,
    format: TextFormat,
    table: Option<Arc<Table>>,
    ends: Ends,
    /// What was read and not yet passed on, and how much of that are whole records.
    text: Vec<u8>,
    whole: usize,
    /// How many lines were passed on.
    lines: u64,
    is_new: bool,
}

impl TextSource {
    /// Begins with a file; `name` is what errors call it.
    pub fn new(name: &str, format: TextFormat) -> Self {
        let delimiter = match format {
            TextFormat::Delimited { delimiter, .. } => delimiter,
            TextFormat::JsonLines { .. } => 0,
        };
        let ends = Ends::new(delimiter);
        let (text, name) = (Vec::new(), name.into());
        Self { name, format, table: None, ends, text, whole: 0, lines: 0, is_new: true }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    ///
    /// `Source` when there is no entry where one is expected; `Io` when there is no room for what does not fit into
    /// memory.
    pub fn feed(&mut self, sorter: &mut Sorter, bytes: &[u8]) -> Result<()> {
        let before = self.text.len();
        self.text.extend_from_slice(bytes);
        let end = match self.format {
            TextFormat::JsonLines { .. } => bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1),
            TextFormat::Delimited { .. } => self.ends.last(bytes),
        };
        if let Some(end) = end {
            self.whole = before + end;
        }
        if self.whole >= sorter.text_limit() { self.pass_on(sorter, false) } else { Ok(()) }
    }

    /// Takes note that the file has ended.
    ///
    /// # Errors
    ///
    /// As [`TextSource::feed`].
    pub fn end(mut self, sorter: &mut Sorter) -> Result<()> {
        self.whole = self.text.len();
        self.pass_on(sorter, true)
    }

    fn pass_on(&mut self, sorter: &mut Sorter, is_last: bool) -> Result<()> {
        let rest = self.text.split_off(self.whole);
        let bytes = std::mem::replace(&mut self.text, rest);
        self.whole = 0;
        let lines = self.lines;
        self.lines += lines_of(&bytes);
        let mut text = Text { name: Arc::clone(&self.name), bytes, from: 0, lines, rows: Rows::Pairs };
        if std::mem::take(&mut self.is_new) && text.bytes.starts_with(b"\xef\xbb\xbf") {
            text.from = 3;
        }
        text.rows = match &self.format {
            TextFormat::JsonLines { key: None } => Rows::Pairs,
            TextFormat::JsonLines { key: Some(key) } => Rows::Objects(key.as_str().into()),
            TextFormat::Delimited { delimiter, key } => {
                let table = match &self.table {
                    Some(table) => Arc::clone(table),
                    None => match Table::take(&mut text, *delimiter, key.as_deref())? {
                        Some(table) => Arc::clone(self.table.insert(Arc::new(table))),
                        // Nothing but blank lines so far.
                        None => return Ok(()),
                    },
                };
                Rows::Table(table)
            }
        };
        sorter.push_text(text, is_last)
    }
}

fn lines_of(text: &[u8]) -> u64 {
    text.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// What a line is.
#[derive(Debug)]
enum Rows {
    Pairs,
    Objects(Arc<str>),
    Table(Arc<Table>),
}

/// A piece of a file, of whole records.
#[derive(Debug)]
pub(super) struct Text {
    name: Arc<str>,
    bytes: Vec<u8>,
    /// Where its first record begins.
    from: usize,
    /// How many lines of the file come before it.
    lines: u64,
    rows: Rows,
}

/// What is done with each entry.
pub(super) type Push<'a> = dyn FnMut(&EntryKey, Draft) -> Result<()> + 'a;

impl Text {
    /// Does something with each of its entries.
    pub(super) fn read(&self, push: &mut Push<'_>) -> Result<()> {
        let bytes = &self.bytes[self.from..];
        let text = std::str::from_utf8(bytes)
            .map_err(|error| self.refuse(self.from + error.valid_up_to(), "it is not UTF-8"))?;
        match &self.rows {
            Rows::Table(table) => self.read_table(table, text, push),
            Rows::Pairs => self.read_lines(text, push, pair_of),
            Rows::Objects(key) => self.read_lines(text, push, |value| item_of(value, key)),
        }
    }

    fn read_lines(
        &self,
        text: &str,
        push: &mut Push<'_>,
        entry_of: impl Fn(Value) -> Result<(Key<'static>, Value), String>,
    ) -> Result<()> {
        let mut at = self.from;
        for line in text.split_inclusive('\n') {
            let entry = || {
                let (key, value) = entry_of(json::parse(line)?)?;
                let key = EntryKey::new(&key).map_err(|error| error.to_string())?;
                Ok((key, value.draft().map_err(|error| error.to_string())?))
            };
            if !line.trim_ascii().is_empty() {
                let (key, draft) = entry().map_err(|what: String| self.refuse(at, &what))?;
                push(&key, draft)?;
            }
            at += line.len();
        }
        Ok(())
    }

    fn read_table(&self, table: &Table, text: &str, push: &mut Push<'_>) -> Result<()> {
        let mut records = Records::new(text, table.delimiter);
        loop {
            let began = self.from + records.at;
            let Some(at) = records.next().map_err(|what| self.refuse(began, &what))? else { return Ok(()) };
            let (key, draft) = table.entry(&records).map_err(|what| self.refuse(self.from + at, &what))?;
            push(&key, draft)?;
        }
    }

    /// The error that what stands at a place is not what it should be.
    fn refuse(&self, at: usize, what: &str) -> Error {
        let line = self.lines + lines_of(&self.bytes[..at]) + 1;
        Error::Source(format!("{}, line {line}: {what}", self.name))
    }
}

/// A line that is an array of key and value.
fn pair_of(value: Value) -> Result<(Key<'static>, Value), String> {
    match value {
        Value::List(pair) => match <[Value; 2]>::try_from(pair) {
            Ok([key, value]) => Ok((key_of(key)?, value)),
            Err(other) => {
                Err(format!("an array of {} elements, where key and value are expected", other.len()))
            }
        },
        Value::Dict(_) => Err("an object, which needs key=, the name of the member that is its key".into()),
        Value::Scalar(_) => Err("neither an array of key and value nor an object".into()),
        _ => Err("a value of an unknown kind".into()),
    }
}

/// A line that is an object with its key in it.
fn item_of(value: Value, name: &str) -> Result<(Key<'static>, Value), String> {
    let Value::Dict(mut members) = value else {
        return Err(format!("no object; key={name:?} names the member of one"));
    };
    let is_key = |(member, _): &(Key<'_>, Value)| *member == Key::from(name);
    let place =
        members.iter().position(is_key).ok_or_else(|| format!("the object has no member {name:?}"))?;
    let (_, key) = members.remove(place);
    Ok((key_of(key)?, Value::Dict(members)))
}

/// A value as a key; JSON has no tuples, so that arrays stand for them.
fn key_of(value: Value) -> Result<Key<'static>, String> {
    match value {
        Value::Scalar(scalar) => Ok(Key::Scalar(scalar)),
        Value::List(parts) => parts.into_iter().map(key_of).collect::<Result<_, _>>().map(Key::Tuple),
        _ => Err("an object can't be a key, nor a part of one".into()),
    }
}

/// The columns of a table.
#[derive(Debug)]
struct Table {
    delimiter: u8,
    key: usize,
    /// The names of the other columns, with their ordered bytes.
    others: Vec<(String, KeyBytes)>,
}

impl Table {
    /// Takes the names of the columns off a text; nothing when it has only blank lines.
    fn take(text: &mut Text, delimiter: u8, key: Option<&str>) -> Result<Option<Self>> {
        let content = std::str::from_utf8(&text.bytes[text.from..])
            .map_err(|error| text.refuse(text.from + error.valid_up_to(), "it is not UTF-8"))?;
        let mut records = Records::new(content, delimiter);
        let at = match records.next() {
            Ok(Some(at)) => text.from + at,
            Ok(None) => return Ok(None),
            Err(what) => return Err(text.refuse(text.from, &what)),
        };
        let names: Result<Vec<String>, String> =
            (0..records.len()).map(|index| records.field(index).map(str::to_owned)).collect();
        let table = names.and_then(|names| Self::new(names, delimiter, key));
        let table = table.map_err(|what| text.refuse(at, &what))?;
        text.from += records.at;
        Ok(Some(table))
    }

    fn new(mut names: Vec<String>, delimiter: u8, key: Option<&str>) -> Result<Self, String> {
        if names.len() < 2 {
            return Err("the first record names one column; a key and a value are two at least".into());
        }
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(format!("two columns are named {name:?}"));
            }
        }
        let key = match key {
            None => 0,
            Some(key) => names
                .iter()
                .position(|name| name == key)
                .ok_or_else(|| format!("there is no column {key:?}; there are {names:?}"))?,
        };
        names.remove(key);
        let ordered = |name: String| {
            let mut bytes = KeyBytes::new();
            encode_str(&name, &mut bytes);
            (name, bytes)
        };
        Ok(Self { delimiter, key, others: names.into_iter().map(ordered).collect() })
    }

    fn entry(&self, records: &Records<'_>) -> Result<(EntryKey, Draft), String> {
        let expected = self.others.len() + 1;
        if records.len() != expected {
            return Err(format!("{} fields, where the first record has {expected}", records.len()));
        }
        let mut ordered = KeyBytes::new();
        encode_str(records.field(self.key)?, &mut ordered);
        let key = EntryKey::from_ordered(ordered).map_err(|error| error.to_string())?;
        let draft = self.draft(records).map_err(|error| error.to_string())?;
        Ok((key, draft))
    }

    fn draft(&self, records: &Records<'_>) -> Result<Draft> {
        let field = |other: usize| {
            let index = other + usize::from(other >= self.key);
            records.field(index).map_err(Error::Source)
        };
        if self.others.len() == 1 {
            return Ok(Draft::scalar(&Scalar::Str(field(0)?.into())));
        }
        let mut builder = ValueBuilder::new();
        let (root, items) = builder.dict(self.others.len())?;
        for (index, (name, ordered)) in self.others.iter().enumerate() {
            let word = builder.name(name, items)?;
            builder.set_item(items, index, word);
            builder.index(items, index, ordered);
            let word = builder.str(field(index)?, Role::Value)?;
            builder.set_value(items, index, word);
        }
        Ok(builder.finish(root))
    }
}
