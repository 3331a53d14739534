//! The first bytes of keys, in the order in which the kinds sort. They are part of the file format.

pub(in crate::format) const NONE: u8 = 0x05;

pub(in crate::format) const NEGATIVE_INFINITY: u8 = 0x10;
/// At most -2^64.
pub(in crate::format) const NEGATIVE_LARGE: u8 = 0x11;
/// The tags between -2^64 and -1, one for each binary exponent from 63 down to 0.
pub(in crate::format) const NEGATIVE_FIRST: u8 = 0x12;
pub(in crate::format) const NEGATIVE_LAST: u8 = 0x51;
/// Between -1 and 0.
pub(in crate::format) const NEGATIVE_SMALL: u8 = 0x52;
pub(in crate::format) const ZERO: u8 = 0x53;
/// Between 0 and 1.
pub(in crate::format) const POSITIVE_SMALL: u8 = 0x54;
/// The tags between 1 and 2^64, one for each binary exponent from 0 to 63.
pub(in crate::format) const POSITIVE_FIRST: u8 = 0x55;
pub(in crate::format) const POSITIVE_LAST: u8 = 0x94;
/// At least 2^64.
pub(in crate::format) const POSITIVE_LARGE: u8 = 0x95;
pub(in crate::format) const POSITIVE_INFINITY: u8 = 0x96;
/// A complex number off the real axis: the real part, the imaginary part.
pub(in crate::format) const COMPLEX: u8 = 0x97;
pub(in crate::format) const NAN: u8 = 0x98;

pub(in crate::format) const STR: u8 = 0xA0;
pub(in crate::format) const BYTES: u8 = 0xA8;
pub(in crate::format) const TUPLE: u8 = 0xB0;
pub(in crate::format) const FROZEN_SET: u8 = 0xB8;

pub(in crate::format) const DATE: u8 = 0xC0;
pub(in crate::format) const DATE_TIME: u8 = 0xC2;
pub(in crate::format) const AWARE_DATE_TIME: u8 = 0xC4;
pub(in crate::format) const TIME: u8 = 0xC6;
pub(in crate::format) const AWARE_TIME: u8 = 0xC8;
pub(in crate::format) const TIME_DELTA: u8 = 0xCA;
pub(in crate::format) const FIXED_ZONE: u8 = 0xCC;
pub(in crate::format) const NAMED_ZONE: u8 = 0xCE;
pub(in crate::format) const UUID: u8 = 0xD0;
pub(in crate::format) const ELLIPSIS: u8 = 0xD2;
/// The length; if it isn't 0, the first number; if it isn't 1, the step.
pub(in crate::format) const RANGE: u8 = 0xD4;

/// Ends tuples, frozensets and, inside those, strings; less than every tag.
pub(in crate::format) const END: u8 = 0x00;
/// Follows a zero byte that is part of a string inside a tuple or frozenset; greater than every tag.
pub(in crate::format) const ESCAPE: u8 = 0xFF;
