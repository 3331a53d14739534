//! The stored form of a scalar: a tag byte and a payload that runs to the end.

use std::borrow::Cow;

use smallvec::{Array, SmallVec};

use super::{Scalar, string};
use crate::{
    error::{Error, Result},
    format::{
        decimal::Decimal,
        key::MAX_DEPTH,
        temporal::{self, DAY, Date, Time, Zone},
        varint,
    },
};

/// The first byte of every stored scalar. These numbers are part of the file format.
mod tag {
    pub(super) const NONE: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const ELLIPSIS: u8 = 3;
    pub(super) const INT: u8 = 4;
    pub(super) const FLOAT: u8 = 5;
    pub(super) const COMPLEX: u8 = 6;
    pub(super) const STR: u8 = 7;
    pub(super) const SURROGATE_STR: u8 = 8;
    pub(super) const BYTES: u8 = 9;
    pub(super) const DECIMAL: u8 = 10;
    pub(super) const FRACTION: u8 = 11;
    pub(super) const DATE: u8 = 12;
    pub(super) const TIME: u8 = 13;
    pub(super) const DATE_TIME: u8 = 14;
    pub(super) const TIME_DELTA: u8 = 15;
    pub(super) const ZONE: u8 = 16;
    pub(super) const UUID: u8 = 17;
    pub(super) const RANGE: u8 = 18;
    pub(super) const SLICE: u8 = 19;
}

/// The first byte of every stored zone; part of the file format too.
mod zone_tag {
    pub(super) const FIXED: u8 = 0;
    pub(super) const FIXED_WITH_NAME: u8 = 1;
    pub(super) const NAMED: u8 = 2;
    pub(super) const NAMED_WITH_OFFSET: u8 = 3;
}

/// The bit of a stored time of day that holds its fold; the microseconds since midnight stand below.
const FOLD_BIT: u32 = 39;

impl<'a> Scalar<'a> {
    /// Appends the stored form. It doesn't say where it ends: the length is the caller's to keep.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.push(tag::NONE),
            Self::Ellipsis => out.push(tag::ELLIPSIS),
            Self::Bool(value) => out.push(if *value { tag::TRUE } else { tag::FALSE }),
            Self::Int(value) => {
                out.push(tag::INT);
                // A byte is spared for each one that only repeats the sign.
                let signs = if *value < 0 { value.leading_ones() } else { value.leading_zeros() };
                out.extend_from_slice(&value.to_le_bytes()[..8 - (signs as usize - 1) / 8]);
            }
            Self::BigInt(bytes) => put_bytes(tag::INT, bytes, out),
            Self::Float(value) => put_bytes(tag::FLOAT, &value.to_le_bytes(), out),
            Self::Complex { re, im } => {
                put_bytes(tag::COMPLEX, &re.to_le_bytes(), out);
                out.extend_from_slice(&im.to_le_bytes());
            }
            Self::Str(text) => put_bytes(tag::STR, text.as_bytes(), out),
            Self::SurrogateStr(bytes) => put_bytes(tag::SURROGATE_STR, bytes, out),
            Self::Bytes(bytes) => put_bytes(tag::BYTES, bytes, out),
            Self::Decimal(text) => put_bytes(tag::DECIMAL, text.as_bytes(), out),
            Self::Fraction { numerator, denominator } => {
                out.push(tag::FRACTION);
                varint::put_part(out, numerator);
                varint::put_part(out, denominator);
            }
            Self::Date(date) => {
                out.push(tag::DATE);
                put_date(*date, out);
            }
            Self::Time { time, zone } => {
                out.push(tag::TIME);
                put_time(*time, zone.as_ref(), out);
            }
            Self::DateTime { date, time, zone } => {
                out.push(tag::DATE_TIME);
                put_date(*date, out);
                put_time(*time, zone.as_ref(), out);
            }
            Self::TimeDelta { days, seconds, microseconds } => {
                put_bytes(tag::TIME_DELTA, &days.to_le_bytes(), out);
                put_u40(temporal::join_timedelta(*seconds, *microseconds), out);
            }
            Self::Zone(zone) => {
                out.push(tag::ZONE);
                put_zone(zone, out);
            }
            Self::Uuid(bytes) => put_bytes(tag::UUID, bytes, out),
            Self::Range(parts) => put_parts(tag::RANGE, parts, out),
            Self::Slice(parts) => put_parts(tag::SLICE, parts, out),
        }
    }

    /// Appends the stored form of a text.
    #[inline]
    pub(crate) fn encode_text(text: &str, out: &mut SmallVec<impl Array<Item = u8>>) {
        out.push(tag::STR);
        out.extend_from_slice(text.as_bytes());
    }

    /// The UTF-8 of a stored text, unchecked; nothing for the stored form of anything else.
    #[inline]
    pub fn text(encoded: &'a [u8]) -> Option<&'a [u8]> {
        encoded.split_first().filter(|(first, _)| **first == tag::STR).map(|(_, utf8)| utf8)
    }

    /// Reads the stored form, borrowing from it.
    ///
    /// # Errors
    ///
    /// Anything that [`Scalar::encode`] doesn't write is [`Error::Corrupted`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        decode_at(bytes, 0)
    }
}

fn put_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn put_u40(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes()[..5]);
}

fn put_date(date: Date, out: &mut Vec<u8>) {
    out.extend_from_slice(&date.year.to_le_bytes());
    out.extend_from_slice(&[date.month, date.day]);
}

fn put_time(time: Time, zone: Option<&Zone<'_>>, out: &mut Vec<u8>) {
    put_u40(time.microseconds() | u64::from(time.fold) << FOLD_BIT, out);
    if let Some(zone) = zone {
        put_zone(zone, out);
    }
}

fn put_zone(zone: &Zone<'_>, out: &mut Vec<u8>) {
    let (tag, offset, text) = match zone {
        Zone::Fixed { offset, name: None } => (zone_tag::FIXED, Some(*offset), ""),
        Zone::Fixed { offset, name: Some(name) } => (zone_tag::FIXED_WITH_NAME, Some(*offset), &**name),
        Zone::Named { key, offset: None } => (zone_tag::NAMED, None, &**key),
        Zone::Named { key, offset } => (zone_tag::NAMED_WITH_OFFSET, *offset, &**key),
    };
    out.push(tag);
    if let Some(offset) = offset {
        // Zigzag: the sign becomes the lowest bit.
        varint::put(out, (offset << 1 ^ offset >> 63).cast_unsigned());
    }
    out.extend_from_slice(text.as_bytes());
}

fn put_parts(tag: u8, parts: &[Scalar<'_>; 3], out: &mut Vec<u8>) {
    out.push(tag);
    let mut buffer = Vec::new();
    for part in parts {
        buffer.clear();
        part.encode(&mut buffer);
        varint::put_part(out, &buffer);
    }
}

/// Reads a scalar that stands inside `depth` slices.
fn decode_at(mut input: &[u8], depth: usize) -> Result<Scalar<'_>> {
    let input = &mut input;
    let scalar = match varint::take_byte(input)? {
        tag::NONE => Scalar::None,
        tag::FALSE => Scalar::Bool(false),
        tag::TRUE => Scalar::Bool(true),
        tag::ELLIPSIS => Scalar::Ellipsis,
        tag::INT => int(take_rest(input))?,
        tag::FLOAT => Scalar::Float(f64::from_le_bytes(varint::take_array(input)?)),
        tag::COMPLEX => {
            let re = f64::from_le_bytes(varint::take_array(input)?);
            Scalar::Complex { re, im: f64::from_le_bytes(varint::take_array(input)?) }
        }
        tag::STR => Scalar::Str(Cow::Borrowed(take_text(input)?)),
        tag::SURROGATE_STR => match string(Cow::Borrowed(take_rest(input))) {
            Some(scalar @ Scalar::SurrogateStr(_)) => scalar,
            _ => return Err(Error::corrupted("a string with surrogates that has none or isn't UTF-8")),
        },
        tag::BYTES => Scalar::Bytes(Cow::Borrowed(take_rest(input))),
        tag::DECIMAL => {
            let text = take_text(input)?;
            if Decimal::parse(text).is_none() {
                return Err(Error::corrupted("a Decimal that isn't a decimal number"));
            }
            Scalar::Decimal(Cow::Borrowed(text))
        }
        tag::FRACTION => fraction(input)?,
        tag::DATE => Scalar::Date(take_date(input)?),
        tag::TIME => Scalar::Time { time: take_time(input)?, zone: take_optional_zone(input)? },
        tag::DATE_TIME => Scalar::DateTime {
            date: take_date(input)?,
            time: take_time(input)?,
            zone: take_optional_zone(input)?,
        },
        tag::TIME_DELTA => {
            let days = i32::from_le_bytes(varint::take_array(input)?);
            let (seconds, microseconds) = temporal::split_timedelta(days, take_u40(input)?)
                .ok_or_else(|| Error::corrupted("a timedelta out of range"))?;
            Scalar::TimeDelta { days, seconds, microseconds }
        }
        tag::ZONE => Scalar::Zone(take_zone(input)?),
        tag::UUID => Scalar::Uuid(varint::take_array(input)?),
        tag::RANGE => range(input)?,
        tag::SLICE if depth == MAX_DEPTH => return Err(Error::corrupted("slices nested too deeply")),
        tag::SLICE => Scalar::Slice(take_parts(input, depth + 1)?),
        unknown => return Err(Error::corrupted(format!("a value with the unknown tag {unknown}"))),
    };
    varint::finish(input)?;
    Ok(scalar)
}

fn take_rest<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    std::mem::take(input)
}

fn take_text<'a>(input: &mut &'a [u8]) -> Result<&'a str> {
    str::from_utf8(take_rest(input))
        .map_err(|error| Error::corrupted(format!("text that isn't UTF-8 ({error})")))
}

fn take_u40(input: &mut &[u8]) -> Result<u64> {
    let mut bytes = [0; 8];
    bytes[..5].copy_from_slice(&varint::take_array::<5>(input)?);
    Ok(u64::from_le_bytes(bytes))
}

/// Makes sure that these are the bytes of an integer in their shortest form.
fn check_int(bytes: &[u8]) -> Result<()> {
    match bytes {
        [] | [.., 0..=0x7f, 0] | [.., 0x80..=0xff, 0xff] => {
            Err(Error::corrupted("an integer that isn't in its shortest form"))
        }
        _ => Ok(()),
    }
}

fn int(bytes: &[u8]) -> Result<Scalar<'_>> {
    check_int(bytes)?;
    if bytes.len() > 8 {
        return Ok(Scalar::BigInt(Cow::Borrowed(bytes)));
    }
    let negative = bytes.last().is_some_and(|&top| top >= 0x80);
    let mut whole = [if negative { 0xff } else { 0 }; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    Ok(Scalar::Int(i64::from_le_bytes(whole)))
}

fn fraction<'a>(input: &mut &'a [u8]) -> Result<Scalar<'a>> {
    let (numerator, denominator) = (varint::take_part(input)?, varint::take_part(input)?);
    check_int(numerator)?;
    check_int(denominator)?;
    if matches!(denominator, [0] | [.., 0x80..=0xff]) {
        return Err(Error::corrupted("a fraction whose denominator isn't greater than zero"));
    }
    Ok(Scalar::Fraction { numerator: Cow::Borrowed(numerator), denominator: Cow::Borrowed(denominator) })
}

fn take_date(input: &mut &[u8]) -> Result<Date> {
    let [year_low, year_high, month, day] = varint::take_array(input)?;
    let year = u16::from_le_bytes([year_low, year_high]);
    Date::new(year, month, day)
        .ok_or_else(|| Error::corrupted(format!("{year}-{month}-{day}, which is no date")))
}

fn take_time(input: &mut &[u8]) -> Result<Time> {
    let value = take_u40(input)?;
    Time::from_microseconds(value & ((1 << FOLD_BIT) - 1), (value >> FOLD_BIT) as u8)
        .ok_or_else(|| Error::corrupted("a time of day of 24 hours or more"))
}

fn take_optional_zone<'a>(input: &mut &'a [u8]) -> Result<Option<Zone<'a>>> {
    if input.is_empty() { Ok(None) } else { take_zone(input).map(Some) }
}

fn take_zone<'a>(input: &mut &'a [u8]) -> Result<Zone<'a>> {
    let tag = varint::take_byte(input)?;
    Ok(match tag {
        zone_tag::FIXED => Zone::Fixed { offset: take_offset(input)?, name: None },
        zone_tag::FIXED_WITH_NAME => {
            Zone::Fixed { offset: take_offset(input)?, name: Some(Cow::Borrowed(take_text(input)?)) }
        }
        zone_tag::NAMED => Zone::Named { key: take_zone_key(input)?, offset: None },
        zone_tag::NAMED_WITH_OFFSET => {
            let offset = Some(take_offset(input)?);
            Zone::Named { key: take_zone_key(input)?, offset }
        }
        unknown => return Err(Error::corrupted(format!("a zone with the unknown tag {unknown}"))),
    })
}

fn take_offset(input: &mut &[u8]) -> Result<i64> {
    let zigzag = varint::take(input)?;
    let offset = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
    if offset.unsigned_abs() < DAY.unsigned_abs() {
        Ok(offset)
    } else {
        Err(Error::corrupted("an offset from UTC of a day or more"))
    }
}

fn take_zone_key<'a>(input: &mut &'a [u8]) -> Result<Cow<'a, str>> {
    match take_text(input)? {
        "" => Err(Error::corrupted("a zone with an empty name")),
        key => Ok(Cow::Borrowed(key)),
    }
}

fn range<'a>(input: &mut &'a [u8]) -> Result<Scalar<'a>> {
    let mut part = || match varint::take_part(input)? {
        [tag::INT, bytes @ ..] => int(bytes),
        _ => Err(Error::corrupted("a range with a part that isn't an integer")),
    };
    let parts = [part()?, part()?, part()?];
    if parts[2] == Scalar::Int(0) {
        return Err(Error::corrupted("a range with a step of zero"));
    }
    Ok(Scalar::Range(Box::new(parts)))
}

fn take_parts<'a>(input: &mut &'a [u8], depth: usize) -> Result<Box<[Scalar<'a>; 3]>> {
    let mut part = || decode_at(varint::take_part(input)?, depth);
    Ok(Box::new([part()?, part()?, part()?]))
}
