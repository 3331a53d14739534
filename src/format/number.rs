//! The one ordered form of all numbers: an exact binary number, whatever its type was.
//!
//! A number other than zero is `±1.m * 2**e`. The tag gives the sign and, from 1 to 2^64, the exponent; outside of
//! that the exponent follows. Then come the bits of `m` without trailing zeros in groups of 7, one to a byte, above a
//! bit that says whether another one follows. A number whose `m` never ends has its first 19 groups, all of which
//! say so, then a zero byte, which no group can be, and then its numerator and denominator. All bytes after the tag of
//! a negative number are complemented, and those of an exponent below zero are once more.

use num_bigint::{BigInt, BigUint, Sign};
use num_integer::Integer;
use smallvec::{SmallVec, smallvec};

use super::{
    decimal::{self, Decimal},
    key::{KeyBytes, tag},
    scalar::Scalar,
    varint,
};
use crate::error::{Error, Result};

/// The bits of a group.
const GROUP_BITS: u64 = 7;
/// A radix that makes each digit a group.
const GROUP_RADIX: u32 = 1 << GROUP_BITS;
/// How many groups a number gets that would need infinitely many.
const RATIO_GROUPS: u64 = 19;
/// Binary exponents beyond this, either way, are refused.
const MAX_EXPONENT: i64 = 1 << 30;
/// Decimal exponents beyond this, either way, are refused.
const MAX_DECIMAL_EXPONENT: i64 = 1_000_000;
/// Exponents below this, as they stand in a key, take one byte; others this plus one less than the number of bytes
/// that follow.
const LONG_EXPONENT: u8 = 0xF8;

const FLOAT_FRACTION_BITS: i64 = 52;
const FLOAT_MIN_EXPONENT: i64 = -1022;
/// The exponent of the least float above zero.
const FLOAT_LEAST: i64 = FLOAT_MIN_EXPONENT - FLOAT_FRACTION_BITS;

/// What becomes of a NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nan {
    /// It is refused.
    Refuse,
    /// It gets a key, the same for all of them.
    Allow,
}

pub(super) fn put_int(value: i64, out: &mut KeyBytes) {
    put_word(value < 0, value.unsigned_abs(), 0, out);
}

pub(super) fn put_big_int(value: &BigInt, out: &mut KeyBytes) -> Result<()> {
    put_dyadic(value.sign() == Sign::Minus, value.magnitude(), 0, out)
}

pub(super) fn put_float(value: f64, nan: Nan, out: &mut KeyBytes) -> Result<()> {
    if value.is_nan() {
        return put_nan(nan, out);
    }
    if value.is_infinite() {
        put_infinity(value < 0.0, out);
        return Ok(());
    }
    let bits = value.to_bits();
    let fraction = bits & ((1 << FLOAT_FRACTION_BITS) - 1);
    let (magnitude, power) = match (bits >> FLOAT_FRACTION_BITS & 0x7ff).cast_signed() {
        0 => (fraction, FLOAT_LEAST),
        exponent => (fraction | 1 << FLOAT_FRACTION_BITS, FLOAT_LEAST + exponent - 1),
    };
    put_word(value.is_sign_negative(), magnitude, power, out);
    Ok(())
}

pub(super) fn put_complex(re: f64, im: f64, nan: Nan, out: &mut KeyBytes) -> Result<()> {
    if im != 0.0 {
        out.push(tag::COMPLEX);
        put_float(re, nan, out)?;
        return put_float(im, nan, out);
    }
    put_float(re, nan, out)
}

/// `numerator / denominator`, which must be in lowest terms.
pub(super) fn put_fraction(numerator: &BigInt, denominator: &BigInt, out: &mut KeyBytes) -> Result<()> {
    let Some(twos) = denominator.trailing_zeros().filter(|_| denominator.sign() == Sign::Plus) else {
        return Err(Error::InvalidKey("a fraction with a denominator that isn't greater than zero".into()));
    };
    let (negative, magnitude) = (numerator.sign() == Sign::Minus, numerator.magnitude());
    if twos + 1 == denominator.bits() {
        put_dyadic(negative, magnitude, -twos.cast_signed(), out)
    } else {
        put_ratio(negative, magnitude, denominator.magnitude(), out)
    }
}

pub(super) fn put_decimal(text: &str, nan: Nan, out: &mut KeyBytes) -> Result<()> {
    match Decimal::parse(text) {
        Some(Decimal::Finite { negative, whole, fraction, exponent }) => {
            put_finite_decimal(negative, [whole, fraction].concat().as_bytes(), exponent, fraction.len(), out)
        }
        Some(Decimal::Infinite { negative }) => {
            put_infinity(negative, out);
            Ok(())
        }
        Some(Decimal::Nan { signaling: false }) => put_nan(nan, out),
        Some(Decimal::Nan { signaling: true }) => {
            Err(Error::InvalidKey("a signaling NaN can't be a key: it isn't hashable".into()))
        }
        None => Err(Error::InvalidKey("a Decimal that isn't a decimal number can't be a key".into())),
    }
}

fn put_finite_decimal(
    negative: bool,
    digits: &[u8],
    exponent: i64,
    fraction_digits: usize,
    out: &mut KeyBytes,
) -> Result<()> {
    let zeros = digits.iter().rev().take_while(|&&digit| digit == b'0').count();
    let digits = &digits[..digits.len() - zeros];
    if digits.is_empty() {
        out.push(tag::ZERO);
        return Ok(());
    }
    let exponent =
        exponent.saturating_add_unsigned(zeros as u64).saturating_sub_unsigned(fraction_digits as u64);
    if exponent.unsigned_abs() > MAX_DECIMAL_EXPONENT.unsigned_abs() {
        return Err(Error::InvalidKey(format!(
            "a Decimal with the exponent {exponent} can't be a key: at most {MAX_DECIMAL_EXPONENT} is allowed either way"
        )));
    }
    let tens = exponent.unsigned_abs();
    let mut magnitude = decimal::parse_digits(digits);
    if exponent >= 0 {
        return put_dyadic(negative, &(magnitude * decimal::power_of_five(tens)), exponent, out);
    }
    let fives = tens - remove_fives(&mut magnitude, tens);
    if fives == 0 {
        return put_dyadic(negative, &magnitude, exponent, out);
    }
    let common_twos = magnitude.trailing_zeros().unwrap_or(0).min(tens);
    let denominator = decimal::power_of_five(fives) << (tens - common_twos);
    put_ratio(negative, &(magnitude >> common_twos), &denominator, out)
}

/// Divides `value` by 5 as often as that leaves no remainder, but at most `limit` times; returns how often it did.
fn remove_fives(value: &mut BigUint, limit: u64) -> u64 {
    let mut removed = 0;
    let mut remove = |power: &BigUint, count: u64| {
        if removed + count > limit {
            return false;
        }
        let (quotient, remainder) = value.div_rem(power);
        let divides = remainder == BigUint::ZERO;
        if divides {
            *value = quotient;
            removed += count;
        }
        divides
    };
    // First by powers that double, as long as it works; what is left then has fewer fives than the last of them.
    let mut powers = vec![BigUint::from(5_u32)];
    while let Some(power) = powers.last()
        && remove(power, 1 << (powers.len() - 1))
    {
        powers.push(power * power);
    }
    for (index, power) in powers.iter().enumerate().rev() {
        remove(power, 1 << index);
    }
    removed
}

fn put_nan(nan: Nan, out: &mut KeyBytes) -> Result<()> {
    match nan {
        Nan::Refuse => {
            Err(Error::InvalidKey("NaN can't be a key: it equals nothing, not even itself".into()))
        }
        Nan::Allow => {
            out.push(tag::NAN);
            Ok(())
        }
    }
}

fn put_infinity(negative: bool, out: &mut KeyBytes) {
    out.push(if negative { tag::NEGATIVE_INFINITY } else { tag::POSITIVE_INFINITY });
}

/// `±magnitude * 2**power`.
fn put_word(negative: bool, magnitude: u64, power: i64, out: &mut KeyBytes) {
    if magnitude == 0 {
        out.push(tag::ZERO);
        return;
    }
    let zeros = magnitude.leading_zeros();
    let mask = put_head(negative, power + 63 - i64::from(zeros), out);
    let mut bits = magnitude << zeros << 1;
    let mut groups = [0; u64::BITS.div_ceil(GROUP_BITS as u32) as usize];
    let mut count = 0;
    loop {
        let group = (bits >> (64 - GROUP_BITS)) as u8;
        bits <<= GROUP_BITS;
        groups[count] = (group << 1 | u8::from(bits != 0)) ^ mask;
        count += 1;
        if bits == 0 {
            break;
        }
    }
    out.extend_from_slice(&groups[..count]);
}

/// `±magnitude * 2**power`.
fn put_dyadic(negative: bool, magnitude: &BigUint, power: i64, out: &mut KeyBytes) -> Result<()> {
    let Some(zeros) = magnitude.trailing_zeros() else {
        out.push(tag::ZERO);
        return Ok(());
    };
    let below_one = magnitude.bits() - 1;
    let exponent = check_exponent(power + below_one.cast_signed())?;
    let mask = put_head(negative, exponent, out);
    // Shifted so that the bits below the first one are a whole number of groups, the last of which isn't zero.
    let needed = (below_one - zeros).next_multiple_of(GROUP_BITS);
    let aligned = if needed >= below_one {
        magnitude << (needed - below_one)
    } else {
        magnitude >> (below_one - needed)
    };
    let digits = aligned.to_radix_be(GROUP_RADIX);
    match &digits[1..] {
        [] => out.push(mask),
        [groups @ .., last] => {
            out.extend(groups.iter().map(|group| (group << 1 | 1) ^ mask));
            out.push((last << 1) ^ mask);
        }
    }
    Ok(())
}

/// `±numerator / denominator` in lowest terms, where the denominator isn't a power of two.
fn put_ratio(negative: bool, numerator: &BigUint, denominator: &BigUint, out: &mut KeyBytes) -> Result<()> {
    const BITS: u64 = 1 + RATIO_GROUPS * GROUP_BITS;
    // The integer part of the quotient, after a shift that gives it as many bits as are needed or one more.
    let shift = (BITS + denominator.bits()).cast_signed() - numerator.bits().cast_signed();
    let quotient = if shift >= 0 {
        (numerator << shift.unsigned_abs()) / denominator
    } else {
        (numerator >> shift.unsigned_abs()) / denominator
    };
    let exponent = check_exponent(quotient.bits().cast_signed() - 1 - shift)?;
    let mask = put_head(negative, exponent, out);
    let digits = (&quotient >> (quotient.bits() - BITS)).to_radix_be(GROUP_RADIX);
    out.extend(digits[1..].iter().map(|group| (group << 1 | 1) ^ mask));
    out.push(mask);
    let exact_start = out.len();
    varint::put_part(out, &numerator.to_bytes_be());
    varint::put_part(out, &denominator.to_bytes_be());
    for byte in &mut out[exact_start..] {
        *byte ^= mask;
    }
    Ok(())
}

fn check_exponent(exponent: i64) -> Result<i64> {
    if exponent.unsigned_abs() > MAX_EXPONENT.unsigned_abs() {
        return Err(Error::TooLarge(format!(
            "a number of about 2**{exponent} can't be a key: at most 2**{MAX_EXPONENT} is allowed, and its inverse"
        )));
    }
    Ok(exponent)
}

/// Writes the tag and, unless that tells it, the exponent; returns what all bytes that follow are to be xored with.
fn put_head(negative: bool, exponent: i64, out: &mut KeyBytes) -> u8 {
    let mask = if negative { 0xff } else { 0x00 };
    match exponent {
        0..64 => {
            let step = exponent.unsigned_abs() as u8;
            out.push(if negative { tag::NEGATIVE_LAST - step } else { tag::POSITIVE_FIRST + step });
        }
        64.. => {
            out.push(if negative { tag::NEGATIVE_LARGE } else { tag::POSITIVE_LARGE });
            put_exponent(exponent.unsigned_abs() - 64, mask, out);
        }
        _ => {
            out.push(if negative { tag::NEGATIVE_SMALL } else { tag::POSITIVE_SMALL });
            put_exponent(exponent.unsigned_abs() - 1, !mask, out);
        }
    }
    mask
}

fn put_exponent(value: u64, mask: u8, out: &mut KeyBytes) {
    if value < LONG_EXPONENT.into() {
        out.push(value as u8 ^ mask);
        return;
    }
    let bytes = value.to_be_bytes();
    let skipped = value.leading_zeros() / 8;
    out.push((LONG_EXPONENT + 7 - skipped as u8) ^ mask);
    out.extend(bytes[skipped as usize..].iter().map(|byte| byte ^ mask));
}

/// Reads a number, after its tag, as an integer if it is one and otherwise as a float; one that is neither is
/// refused.
pub(super) fn take(first: u8, input: &mut &[u8]) -> Result<Scalar<'static>> {
    let (negative, exponent) = match first {
        tag::ZERO => return Ok(Scalar::Int(0)),
        tag::NEGATIVE_INFINITY => return Ok(Scalar::Float(f64::NEG_INFINITY)),
        tag::POSITIVE_INFINITY => return Ok(Scalar::Float(f64::INFINITY)),
        tag::NEGATIVE_FIRST..=tag::NEGATIVE_LAST => (true, i64::from(tag::NEGATIVE_LAST - first)),
        tag::POSITIVE_FIRST..=tag::POSITIVE_LAST => (false, i64::from(first - tag::POSITIVE_FIRST)),
        tag::NEGATIVE_LARGE => (true, 64 + take_exponent(input, 0xff)?),
        tag::POSITIVE_LARGE => (false, 64 + take_exponent(input, 0x00)?),
        tag::NEGATIVE_SMALL => (true, -1 - take_exponent(input, 0x00)?),
        tag::POSITIVE_SMALL => (false, -1 - take_exponent(input, 0xff)?),
        other => {
            return Err(Error::corrupted(format!("a key of the kind {other:#04x} without its exact form")));
        }
    };
    if exponent.unsigned_abs() > MAX_EXPONENT.unsigned_abs() {
        return Err(Error::corrupted(format!("a key with the exponent {exponent}, which is too large")));
    }
    let mask = if negative { 0xff } else { 0x00 };
    if let Some(value) = take_integer(input, negative, exponent, mask) {
        return Ok(Scalar::Int(value));
    }
    let digits = take_digits(input, mask)?;
    finite(negative, exponent, &digits).ok_or_else(|| {
        Error::corrupted("a key that is neither an integer nor a float, without its exact form")
    })
}

fn take_exponent(input: &mut &[u8], mask: u8) -> Result<i64> {
    let first = varint::take_byte(input)? ^ mask;
    let Some(more) = first.checked_sub(LONG_EXPONENT) else { return Ok(first.into()) };
    let mut value = 0_u64;
    for index in 0..=more {
        let byte = varint::take_byte(input)? ^ mask;
        if index == 0 && byte < if more == 0 { LONG_EXPONENT } else { 1 } {
            return Err(Error::corrupted("a key with an exponent that isn't in its shortest form"));
        }
        value = value << 8 | u64::from(byte);
    }
    // Within a few of the largest, so that no sum with it overflows.
    Ok(i64::try_from(value).unwrap_or(i64::MAX).min(2 * MAX_EXPONENT))
}

/// Takes an integer of at most 56 bits, as most keys are that are numbers; nothing, and takes nothing, when it is none.
fn take_integer(input: &mut &[u8], negative: bool, exponent: i64, mask: u8) -> Option<i64> {
    if !(0..56).contains(&exponent) {
        return None;
    }
    let (mut word, mut width) = (1_u64, 0);
    for (index, byte) in input.iter().enumerate().take(8) {
        let byte = byte ^ mask;
        word = word << GROUP_BITS | u64::from(byte >> 1);
        width += GROUP_BITS.cast_signed();
        if byte & 1 == 0 {
            let is_whole = exponent >= width - i64::from(word.trailing_zeros());
            if !is_whole || byte == 0 && index > 0 {
                return None;
            }
            *input = &input[index + 1..];
            let magnitude = shift(word, exponent - width).cast_signed();
            return Some(if negative { -magnitude } else { magnitude });
        }
    }
    None
}

/// The first one and the groups below it.
fn take_digits(input: &mut &[u8], mask: u8) -> Result<SmallVec<[u8; 16]>> {
    let mut digits = smallvec![1];
    loop {
        let byte = varint::take_byte(input)? ^ mask;
        digits.push(byte >> 1);
        if byte & 1 == 0 {
            return if byte == 0 && digits.len() > 2 {
                Err(Error::corrupted("a key that is no binary number, without its exact form"))
            } else {
                Ok(digits)
            };
        }
    }
}

/// The number with the given digits, the first of which stands for `2**exponent`.
fn finite(negative: bool, exponent: i64, digits: &[u8]) -> Option<Scalar<'static>> {
    let width = (digits.len() as u64 - 1) * GROUP_BITS;
    let unused = digits.last().map_or(0, |last| u64::from(last.trailing_zeros()).min(GROUP_BITS));
    let below_one = (width - unused).cast_signed();
    let width = width.cast_signed();
    if exponent < 64 && width < 64 {
        let word = digits.iter().fold(0, |word, &digit| word << GROUP_BITS | u64::from(digit));
        if exponent < below_one {
            return float(negative, exponent, word, width, below_one);
        }
        let magnitude = shift(word, exponent - width);
        let value = if negative {
            0_i64.checked_sub_unsigned(magnitude)
        } else {
            0_i64.checked_add_unsigned(magnitude)
        };
        if let Some(value) = value {
            return Some(Scalar::Int(value));
        }
    }
    if exponent < below_one {
        return None;
    }
    let digits = BigUint::from_radix_be(digits, GROUP_RADIX)?;
    let by = exponent - width;
    let magnitude = if by >= 0 { digits << by.unsigned_abs() } else { digits >> by.unsigned_abs() };
    let sign = if negative { Sign::Minus } else { Sign::Plus };
    Some(BigInt::from_biguint(sign, magnitude).into())
}

/// The float that is exactly `±word * 2**(exponent - width)`, where the first one of `word` has `width` bits below it,
/// `below_one` of which are needed.
fn float(negative: bool, exponent: i64, word: u64, width: i64, below_one: i64) -> Option<Scalar<'static>> {
    if below_one > FLOAT_FRACTION_BITS || exponent - below_one < FLOAT_LEAST {
        return None;
    }
    let bits = if exponent < FLOAT_MIN_EXPONENT {
        shift(word, exponent - width - FLOAT_LEAST)
    } else {
        // The first one isn't stored but adds 1 to the exponent when it is left in its place.
        let exponent = (exponent - FLOAT_MIN_EXPONENT).cast_unsigned();
        shift(word, FLOAT_FRACTION_BITS - width) + (exponent << FLOAT_FRACTION_BITS)
    };
    let value = f64::from_bits(bits);
    Some(Scalar::Float(if negative { -value } else { value }))
}

/// `word * 2**by`.
fn shift(word: u64, by: i64) -> u64 {
    if by >= 0 { word << by } else { word >> -by }
}
