//! Reading keys back from their ordered bytes.

use std::borrow::Cow;

use super::{Key, MAX_DEPTH, SIGN_BIT, tag};
use crate::{
    error::{Error, Result},
    format::{
        number,
        scalar::{self, Scalar},
        temporal::{self, Date, Time},
        varint,
    },
};

impl<'a> Key<'a> {
    /// Reads ordered bytes that stand for themselves, those of keys of which [`Key::is_default_form`] is true,
    /// borrowing from them where that is possible.
    ///
    /// # Errors
    ///
    /// Anything else is [`Error::Corrupted`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        match bytes {
            [tag::STR, rest @ ..] => string(Cow::Borrowed(rest)).map(Key::Scalar),
            [tag::BYTES, rest @ ..] => Ok(Key::Scalar(Scalar::Bytes(Cow::Borrowed(rest)))),
            _ => {
                let mut input = bytes;
                let key = take_key(&mut input, 0)?;
                varint::finish(input)?;
                Ok(key)
            }
        }
    }
}

/// Reads a key that stands inside `depth` others.
fn take_key<'a>(input: &mut &'a [u8], depth: usize) -> Result<Key<'a>> {
    match varint::take_byte(input)? {
        tag::TUPLE | tag::FROZEN_SET if depth == MAX_DEPTH => {
            Err(Error::corrupted(format!("a key nested more than {MAX_DEPTH} deep")))
        }
        tag::TUPLE => {
            let mut parts = Vec::new();
            while !take_end(input) {
                parts.push(take_key(input, depth + 1)?);
            }
            Ok(Key::Tuple(parts))
        }
        tag::FROZEN_SET => {
            let mut members = Vec::new();
            let mut previous: &[u8] = &[];
            while !take_end(input) {
                let start = *input;
                members.push(take_key(input, depth + 1)?);
                let bytes = &start[..start.len() - input.len()];
                if bytes <= previous {
                    return Err(Error::corrupted("a frozenset key whose members are out of order"));
                }
                previous = bytes;
            }
            Ok(Key::FrozenSet(members))
        }
        first => take_scalar(first, input).map(Key::Scalar),
    }
}

fn take_end(input: &mut &[u8]) -> bool {
    match input {
        [tag::END, rest @ ..] => {
            *input = rest;
            true
        }
        _ => false,
    }
}

fn take_scalar<'a>(first: u8, input: &mut &'a [u8]) -> Result<Scalar<'a>> {
    Ok(match first {
        tag::NONE => Scalar::None,
        tag::ELLIPSIS => Scalar::Ellipsis,
        tag::STR => string(take_terminated(input)?)?,
        tag::BYTES => Scalar::Bytes(take_terminated(input)?),
        tag::DATE => Scalar::Date(take_date(input)?),
        tag::TIME => Scalar::Time { time: take_time(input)?, zone: None },
        tag::DATE_TIME => Scalar::DateTime { date: take_date(input)?, time: take_time(input)?, zone: None },
        tag::TIME_DELTA => {
            let days = (u32::from_be_bytes(varint::take_array(input)?) ^ SIGN_BIT).cast_signed();
            let (seconds, microseconds) = temporal::split_timedelta(days, take_u40(input)?)
                .ok_or_else(|| Error::corrupted("a timedelta key out of range"))?;
            Scalar::TimeDelta { days, seconds, microseconds }
        }
        tag::UUID => Scalar::Uuid(varint::take_array(input)?),
        first => number::take(first, input)?,
    })
}

fn string(bytes: Cow<'_, [u8]>) -> Result<Scalar<'_>> {
    scalar::string(bytes).ok_or_else(|| Error::corrupted("a str key that isn't UTF-8"))
}

/// Takes a string that stands inside a tuple or frozenset.
fn take_terminated<'a>(input: &mut &'a [u8]) -> Result<Cow<'a, [u8]>> {
    let mut whole = Cow::Borrowed(&[][..]);
    loop {
        let end = input
            .iter()
            .position(|&byte| byte == tag::END)
            .ok_or_else(|| Error::corrupted("a key with a string that doesn't end"))?;
        let (piece, rest) = input.split_at(end);
        let escaped = matches!(rest, [_, tag::ESCAPE, ..]);
        if whole.is_empty() && !escaped {
            whole = Cow::Borrowed(piece);
        } else {
            whole.to_mut().extend_from_slice(piece);
        }
        if !escaped {
            *input = &rest[1..];
            return Ok(whole);
        }
        whole.to_mut().push(tag::END);
        *input = &rest[2..];
    }
}

fn take_u40(input: &mut &[u8]) -> Result<u64> {
    let mut bytes = [0; 8];
    bytes[3..].copy_from_slice(&varint::take_array::<5>(input)?);
    Ok(u64::from_be_bytes(bytes))
}

fn take_date(input: &mut &[u8]) -> Result<Date> {
    let [year_high, year_low, month, day] = varint::take_array(input)?;
    let year = u16::from_be_bytes([year_high, year_low]);
    Date::new(year, month, day)
        .ok_or_else(|| Error::corrupted(format!("a key with {year}-{month}-{day}, which is no date")))
}

fn take_time(input: &mut &[u8]) -> Result<Time> {
    Time::from_microseconds(take_u40(input)?, 0)
        .ok_or_else(|| Error::corrupted("a key with a time of day of 24 hours or more"))
}
