//! Keys, and the bytes that sort as they do.

mod decode;
mod form;
pub(super) mod tag;

use std::ops::Range;

use num_bigint::{BigUint, Sign};
use num_integer::Integer;
use smallvec::SmallVec;

use super::{
    number::{self, Nan},
    scalar::{Scalar, bytes_int},
    temporal::{DAY, Date, Zone, join_timedelta},
};
use crate::error::{Error, Result};

/// How many tuples, frozensets and slices may stand inside each other.
pub const MAX_DEPTH: usize = 256;

/// Flipped in signed integers, so that they sort as unsigned ones do.
const SIGN_BIT: u32 = 1 << 31;

/// The bytes of a key.
pub type KeyBytes = SmallVec<[u8; 64]>;

/// An immutable, hashable value that things are found by.
///
/// Its bytes are equal when Python says that the keys are, whatever their types, and sort as Python sorts them;
/// between kinds that Python doesn't compare they sort by kind: `None`, numbers, strings, bytes, tuples, frozensets,
/// then the rest. There are these limits:
///
/// - numbers that aren't binary fractions, such as 1/3, sort by their first 134 bits when those differ and otherwise
///   in some fixed order;
/// - frozensets sort by their least members, not by inclusion;
/// - aware datetimes are compared by their moment even if they have the same zone, and so are aware times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A leaf; anything but a slice.
    Scalar(Scalar<'a>),
    /// A tuple.
    Tuple(Vec<Key<'a>>),
    /// A frozenset, with its members in any order.
    FrozenSet(Vec<Key<'a>>),
}

impl Key<'_> {
    /// Appends the ordered bytes; on an error nothing is appended.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`] for NaN, for what isn't hashable (a slice, a signaling NaN) and for decimals with
    /// exponents of more than a million; [`Error::TooLarge`] for what is nested more than [`MAX_DEPTH`] deep and for
    /// numbers beyond 2^(2^30) or its inverse.
    pub fn encode(&self, out: &mut KeyBytes) -> Result<()> {
        self.encode_with(Nan::Refuse, out)
    }

    /// As [`encode`](Self::encode), but all NaNs share one key instead of being refused.
    ///
    /// # Errors
    ///
    /// The others of [`encode`](Self::encode).
    pub fn encode_allowing_nan(&self, out: &mut KeyBytes) -> Result<()> {
        self.encode_with(Nan::Allow, out)
    }

    fn encode_with(&self, nan: Nan, out: &mut KeyBytes) -> Result<()> {
        let start = out.len();
        let result = match self {
            Self::Scalar(Scalar::Str(text)) => {
                encode_str(text, out);
                Ok(())
            }
            Self::Scalar(Scalar::SurrogateStr(bytes)) => {
                put_raw(tag::STR, bytes, out);
                Ok(())
            }
            Self::Scalar(Scalar::Bytes(bytes)) => {
                encode_bytes(bytes, out);
                Ok(())
            }
            other => put_key(other, 0, nan, out),
        };
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// The range of bytes in which exactly the keys lie that begin with this one: the strings or bytes objects that
    /// begin with these characters or bytes, or the tuples that begin with these elements.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`] for other kinds, which have no prefixes, and those of [`encode`](Self::encode).
    pub fn prefix_bounds(&self) -> Result<Range<KeyBytes>> {
        let mut start = KeyBytes::new();
        self.encode(&mut start)?;
        let mut end = start.clone();
        match self {
            Self::Scalar(Scalar::Str(_) | Scalar::SurrogateStr(_) | Scalar::Bytes(_)) => {
                // The least that is greater than everything beginning so; the tag can always be increased.
                while end.last() == Some(&u8::MAX) {
                    end.pop();
                }
                if let Some(last) = end.last_mut() {
                    *last += 1;
                }
            }
            Self::Tuple(_) => {
                start.pop();
                // The next byte is a tag or the end of the tuple, but it is an escape where a zero byte that seems to
                // end the last element is a character of a longer string.
                end.pop();
                end.push(tag::ESCAPE);
            }
            _ => {
                return Err(Error::InvalidKey(
                    "a prefix must be a str, a bytes or a tuple; use a range for other keys".into(),
                ));
            }
        }
        Ok(start..end)
    }

    /// Whether [`Key::decode`] gives back this very key, types included, from its ordered bytes; if not, they need
    /// the exact form of [`Key::encode_form`] beside them. (The members of a frozenset may come in another order.)
    pub fn is_default_form(&self) -> bool {
        match self {
            Self::Tuple(parts) | Self::FrozenSet(parts) => parts.iter().all(Self::is_default_form),
            Self::Scalar(scalar) => match scalar {
                Scalar::None
                | Scalar::Ellipsis
                | Scalar::Int(_)
                | Scalar::BigInt(_)
                | Scalar::Str(_)
                | Scalar::SurrogateStr(_)
                | Scalar::Bytes(_)
                | Scalar::Date(_)
                | Scalar::TimeDelta { .. }
                | Scalar::Uuid(_) => true,
                // Whole floats become integers.
                Scalar::Float(value) => value.is_infinite() || (value.is_finite() && value.fract() != 0.0),
                Scalar::Time { time, zone } | Scalar::DateTime { time, zone, .. } => {
                    zone.is_none() && time.fold == 0
                }
                Scalar::Bool(_)
                | Scalar::Complex { .. }
                | Scalar::Decimal(_)
                | Scalar::Fraction { .. }
                | Scalar::Zone(_)
                | Scalar::Range(_)
                | Scalar::Slice(_) => false,
            },
        }
    }

    /// The same key, borrowing nothing.
    pub fn into_owned(self) -> Key<'static> {
        let own = |parts: Vec<Key<'_>>| parts.into_iter().map(Key::into_owned).collect();
        match self {
            Self::Scalar(scalar) => Key::Scalar(scalar.into_owned()),
            Self::Tuple(parts) => Key::Tuple(own(parts)),
            Self::FrozenSet(members) => Key::FrozenSet(own(members)),
        }
    }
}

impl<'a> From<Scalar<'a>> for Key<'a> {
    fn from(scalar: Scalar<'a>) -> Self {
        Self::Scalar(scalar)
    }
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(text: &'a str) -> Self {
        Self::Scalar(Scalar::Str(text.into()))
    }
}

impl From<i64> for Key<'_> {
    fn from(value: i64) -> Self {
        Self::Scalar(Scalar::Int(value))
    }
}

/// Appends the ordered bytes of an integer.
pub fn encode_int(value: i64, out: &mut KeyBytes) {
    number::put_int(value, out);
}

/// Appends the ordered bytes of a string that isn't part of a tuple or frozenset.
pub fn encode_str(value: &str, out: &mut KeyBytes) {
    put_raw(tag::STR, value.as_bytes(), out);
}

/// Appends the ordered bytes of a bytes object that isn't part of a tuple or frozenset.
pub fn encode_bytes(value: &[u8], out: &mut KeyBytes) {
    put_raw(tag::BYTES, value, out);
}

/// Whether these are the ordered bytes of a string; the rest of them is its generalised UTF-8.
pub(crate) fn is_str(ordered: &[u8]) -> bool {
    ordered.first() == Some(&tag::STR)
}

fn put_raw(tag: u8, bytes: &[u8], out: &mut KeyBytes) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

/// Writes `key` as it stands inside `depth` others.
fn put_key(key: &Key<'_>, depth: usize, nan: Nan, out: &mut KeyBytes) -> Result<()> {
    match key {
        Key::Scalar(scalar) => put_scalar(scalar, nan, out),
        Key::Tuple(parts) => {
            let depth = deeper(depth)?;
            out.push(tag::TUPLE);
            for part in parts {
                put_key(part, depth, nan, out)?;
            }
            out.push(tag::END);
            Ok(())
        }
        Key::FrozenSet(members) => {
            let depth = deeper(depth)?;
            let encode = |member| {
                let mut bytes = KeyBytes::new();
                put_key(member, depth, nan, &mut bytes).map(|()| bytes)
            };
            let mut encoded = members.iter().map(encode).collect::<Result<Vec<_>>>()?;
            encoded.sort_unstable();
            encoded.dedup();
            out.push(tag::FROZEN_SET);
            for bytes in encoded {
                out.extend_from_slice(&bytes);
            }
            out.push(tag::END);
            Ok(())
        }
    }
}

fn deeper(depth: usize) -> Result<usize> {
    if depth == MAX_DEPTH {
        return Err(Error::TooLarge(format!("a key can't be nested more than {MAX_DEPTH} deep")));
    }
    Ok(depth + 1)
}

fn put_scalar(scalar: &Scalar<'_>, nan: Nan, out: &mut KeyBytes) -> Result<()> {
    match scalar {
        Scalar::None => out.push(tag::NONE),
        Scalar::Ellipsis => out.push(tag::ELLIPSIS),
        Scalar::Bool(value) => number::put_int((*value).into(), out),
        Scalar::Int(value) => number::put_int(*value, out),
        Scalar::BigInt(bytes) => return number::put_big_int(&bytes_int(bytes), out),
        Scalar::Float(value) => return number::put_float(*value, nan, out),
        Scalar::Complex { re, im } => return number::put_complex(*re, *im, nan, out),
        Scalar::Decimal(text) => return number::put_decimal(text, nan, out),
        Scalar::Fraction { numerator, denominator } => {
            return number::put_fraction(&bytes_int(numerator), &bytes_int(denominator), out);
        }
        Scalar::Str(text) => put_terminated(tag::STR, text.as_bytes(), out),
        Scalar::SurrogateStr(bytes) => put_terminated(tag::STR, bytes, out),
        Scalar::Bytes(bytes) => put_terminated(tag::BYTES, bytes, out),
        Scalar::Date(date) => {
            out.push(tag::DATE);
            put_date(*date, out);
        }
        Scalar::Time { time, zone } => match zone.as_ref().and_then(Zone::offset) {
            None => {
                out.push(tag::TIME);
                put_u40(time.microseconds(), out);
            }
            Some(offset) => {
                out.push(tag::AWARE_TIME);
                // May be before midnight or after the next one; a day more makes it positive.
                put_u40((time.microseconds().cast_signed() - offset + DAY).cast_unsigned(), out);
            }
        },
        Scalar::DateTime { date, time, zone } => match zone.as_ref().and_then(Zone::offset) {
            None => {
                out.push(tag::DATE_TIME);
                put_date(*date, out);
                put_u40(time.microseconds(), out);
            }
            Some(offset) => {
                out.push(tag::AWARE_DATE_TIME);
                // Counted from the year 0, so that it is positive even a day before the year 1.
                let local = date.day_number() * DAY + time.microseconds().cast_signed();
                out.extend_from_slice(&(local - offset).to_be_bytes());
            }
        },
        Scalar::TimeDelta { days, seconds, microseconds } => {
            out.push(tag::TIME_DELTA);
            out.extend_from_slice(&(days.cast_unsigned() ^ SIGN_BIT).to_be_bytes());
            put_u40(join_timedelta(*seconds, *microseconds), out);
        }
        Scalar::Zone(Zone::Fixed { offset, .. }) => {
            out.push(tag::FIXED_ZONE);
            put_u40((offset + DAY).cast_unsigned(), out);
        }
        Scalar::Zone(Zone::Named { key, .. }) => put_terminated(tag::NAMED_ZONE, key.as_bytes(), out),
        Scalar::Uuid(bytes) => put_raw(tag::UUID, bytes, out),
        Scalar::Range(parts) => return put_range(parts, out),
        Scalar::Slice(_) => {
            return Err(Error::InvalidKey("a slice can't be a key: it isn't hashable".into()));
        }
    }
    Ok(())
}

/// Writes a string so that its end shows.
fn put_terminated(tag: u8, bytes: &[u8], out: &mut KeyBytes) {
    out.push(tag);
    let mut pieces = bytes.split(|&byte| byte == tag::END);
    out.extend_from_slice(pieces.next().unwrap_or_default());
    for piece in pieces {
        out.extend_from_slice(&[tag::END, tag::ESCAPE]);
        out.extend_from_slice(piece);
    }
    out.push(tag::END);
}

fn put_u40(value: u64, out: &mut KeyBytes) {
    out.extend_from_slice(&value.to_be_bytes()[3..]);
}

fn put_date(date: Date, out: &mut KeyBytes) {
    out.extend_from_slice(&date.year.to_be_bytes());
    out.extend_from_slice(&[date.month, date.day]);
}

/// Writes what Python compares ranges by: the length; the first number, if there is one; the step, if there is a
/// second one.
fn put_range(parts: &[Scalar<'_>; 3], out: &mut KeyBytes) -> Result<()> {
    let [Some(start), Some(end), Some(step)] = parts.each_ref().map(Scalar::as_integer) else {
        return Err(Error::InvalidKey("a range of something else than integers can't be a key".into()));
    };
    let span = match step.sign() {
        Sign::Plus => end - &start,
        Sign::Minus => &start - end,
        Sign::NoSign => return Err(Error::InvalidKey("a range with a step of zero can't be a key".into())),
    };
    let length =
        if span.sign() == Sign::Plus { span.magnitude().div_ceil(step.magnitude()) } else { BigUint::ZERO };
    out.push(tag::RANGE);
    let several = length > BigUint::from(1_u32);
    let some = length != BigUint::ZERO;
    number::put_big_int(&length.into(), out)?;
    if some {
        number::put_big_int(&start, out)?;
    }
    if several {
        number::put_big_int(&step, out)?;
    }
    Ok(())
}
