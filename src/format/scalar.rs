//! Immutable leaf values, as the engine holds and stores them.

mod codec;

use std::borrow::Cow;

use num_bigint::BigInt;

use super::temporal::{Date, Time, Zone};

/// A value without parts of its own that could change.
///
/// The invariants stated for each kind are the caller's to keep; [`Scalar::decode`] checks them, except that a
/// fraction is in lowest terms, which can't be checked in linear time. Comparison is of the stored form: floats are
/// equal when their bits are.
#[derive(Clone, Debug)]
pub enum Scalar<'a> {
    /// `None`.
    None,
    /// `...`.
    Ellipsis,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// An integer that doesn't fit 64 bits, as [`int_bytes`] gives it.
    BigInt(Cow<'a, [u8]>),
    /// A float.
    Float(f64),
    /// A complex number.
    Complex {
        /// The real part.
        re: f64,
        /// The imaginary part.
        im: f64,
    },
    /// A string without surrogates.
    Str(Cow<'a, str>),
    /// A string with at least one surrogate, in generalised UTF-8 (Python's `surrogatepass`).
    SurrogateStr(Cow<'a, [u8]>),
    /// A bytes object.
    Bytes(Cow<'a, [u8]>),
    /// A `decimal.Decimal`, as `str` gives it.
    Decimal(Cow<'a, str>),
    /// A `fractions.Fraction` in lowest terms; both parts as [`int_bytes`] gives them.
    Fraction {
        /// The numerator, with the sign.
        numerator: Cow<'a, [u8]>,
        /// The denominator, greater than zero.
        denominator: Cow<'a, [u8]>,
    },
    /// A `datetime.date`.
    Date(Date),
    /// A `datetime.time`.
    Time {
        /// The time of day.
        time: Time,
        /// The zone, if it has one.
        zone: Option<Zone<'a>>,
    },
    /// A `datetime.datetime`.
    DateTime {
        /// The day.
        date: Date,
        /// The time of day.
        time: Time,
        /// The zone, if it has one.
        zone: Option<Zone<'a>>,
    },
    /// A `datetime.timedelta`, normalised as Python does: only the days are negative.
    TimeDelta {
        /// At most 999999999 either way.
        days: i32,
        /// 0 to 86399.
        seconds: u32,
        /// 0 to 999999.
        microseconds: u32,
    },
    /// A time zone as a value of its own.
    Zone(Zone<'a>),
    /// A `uuid.UUID`, as its `bytes`.
    Uuid([u8; 16]),
    /// A `range`: start, stop and step, which are integers; the step isn't zero.
    Range(Box<[Scalar<'a>; 3]>),
    /// A `slice`: start, stop and step, which hold no more than [`MAX_DEPTH`](super::key::MAX_DEPTH) slices inside
    /// each other.
    Slice(Box<[Scalar<'a>; 3]>),
}

impl Scalar<'_> {
    /// The same value, borrowing nothing.
    pub fn into_owned(self) -> Scalar<'static> {
        fn own<T: ToOwned + ?Sized>(value: Cow<'_, T>) -> Cow<'static, T> {
            Cow::Owned(value.into_owned())
        }
        fn own_parts(parts: [Scalar<'_>; 3]) -> Box<[Scalar<'static>; 3]> {
            Box::new(parts.map(Scalar::into_owned))
        }
        match self {
            Self::None => Scalar::None,
            Self::Ellipsis => Scalar::Ellipsis,
            Self::Bool(value) => Scalar::Bool(value),
            Self::Int(value) => Scalar::Int(value),
            Self::BigInt(bytes) => Scalar::BigInt(own(bytes)),
            Self::Float(value) => Scalar::Float(value),
            Self::Complex { re, im } => Scalar::Complex { re, im },
            Self::Str(text) => Scalar::Str(own(text)),
            Self::SurrogateStr(bytes) => Scalar::SurrogateStr(own(bytes)),
            Self::Bytes(bytes) => Scalar::Bytes(own(bytes)),
            Self::Decimal(text) => Scalar::Decimal(own(text)),
            Self::Fraction { numerator, denominator } => {
                Scalar::Fraction { numerator: own(numerator), denominator: own(denominator) }
            }
            Self::Date(date) => Scalar::Date(date),
            Self::Time { time, zone } => Scalar::Time { time, zone: zone.map(Zone::into_owned) },
            Self::DateTime { date, time, zone } => {
                Scalar::DateTime { date, time, zone: zone.map(Zone::into_owned) }
            }
            Self::TimeDelta { days, seconds, microseconds } => {
                Scalar::TimeDelta { days, seconds, microseconds }
            }
            Self::Zone(zone) => Scalar::Zone(zone.into_owned()),
            Self::Uuid(bytes) => Scalar::Uuid(bytes),
            Self::Range(parts) => Scalar::Range(own_parts(*parts)),
            Self::Slice(parts) => Scalar::Slice(own_parts(*parts)),
        }
    }

    /// The integer that this is, if it is one.
    pub(crate) fn as_integer(&self) -> Option<BigInt> {
        match self {
            Self::Int(value) => Some(BigInt::from(*value)),
            Self::BigInt(bytes) => Some(bytes_int(bytes)),
            _ => None,
        }
    }
}

impl From<BigInt> for Scalar<'_> {
    fn from(value: BigInt) -> Self {
        match i64::try_from(&value) {
            Ok(value) => Self::Int(value),
            Err(_) => Self::BigInt(Cow::Owned(int_bytes(&value))),
        }
    }
}

impl PartialEq for Scalar<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) | (Self::Ellipsis, Self::Ellipsis) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Complex { re, im }, Self::Complex { re: other_re, im: other_im }) => {
                re.to_bits() == other_re.to_bits() && im.to_bits() == other_im.to_bits()
            }
            (Self::BigInt(a), Self::BigInt(b))
            | (Self::SurrogateStr(a), Self::SurrogateStr(b))
            | (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Str(a), Self::Str(b)) | (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (
                Self::Fraction { numerator, denominator },
                Self::Fraction { numerator: other_numerator, denominator: other_denominator },
            ) => numerator == other_numerator && denominator == other_denominator,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Time { time, zone }, Self::Time { time: other_time, zone: other_zone }) => {
                time == other_time && zone == other_zone
            }
            (
                Self::DateTime { date, time, zone },
                Self::DateTime { date: other_date, time: other_time, zone: other_zone },
            ) => date == other_date && time == other_time && zone == other_zone,
            (
                Self::TimeDelta { days, seconds, microseconds },
                Self::TimeDelta {
                    days: other_days,
                    seconds: other_seconds,
                    microseconds: other_microseconds,
                },
            ) => days == other_days && seconds == other_seconds && microseconds == other_microseconds,
            (Self::Zone(a), Self::Zone(b)) => a == b,
            (Self::Uuid(a), Self::Uuid(b)) => a == b,
            (Self::Range(a), Self::Range(b)) | (Self::Slice(a), Self::Slice(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Scalar<'_> {}

/// The bytes of an integer: two's complement, little endian, as few as possible but at least one.
pub fn int_bytes(value: &BigInt) -> Vec<u8> {
    value.to_signed_bytes_le()
}

/// The integer that [`int_bytes`] gives these bytes for.
pub fn bytes_int(bytes: &[u8]) -> BigInt {
    BigInt::from_signed_bytes_le(bytes)
}

/// The string with these bytes in generalised UTF-8, or `None` if they are no string.
pub(super) fn string(bytes: Cow<'_, [u8]>) -> Option<Scalar<'_>> {
    let bytes = match bytes {
        Cow::Borrowed(bytes) => match str::from_utf8(bytes) {
            Ok(text) => return Some(Scalar::Str(Cow::Borrowed(text))),
            Err(_) => Cow::Borrowed(bytes),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => return Some(Scalar::Str(Cow::Owned(text))),
            Err(error) => Cow::Owned(error.into_bytes()),
        },
    };
    has_surrogates(&bytes).then_some(Scalar::SurrogateStr(bytes))
}

/// Whether `bytes` are generalised UTF-8 with at least one surrogate.
fn has_surrogates(mut bytes: &[u8]) -> bool {
    let mut found = false;
    while let Err(error) = str::from_utf8(bytes) {
        let [0xed, 0xa0..=0xbf, 0x80..=0xbf, rest @ ..] = &bytes[error.valid_up_to()..] else {
            return false;
        };
        found = true;
        bytes = rest;
    }
    found
}
