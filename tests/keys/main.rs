//! The order of keys against exact oracles, the round trips of scalars and keys, and the bytes of the file format.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod edges;
mod fixed_bytes;
mod numbers;
mod order;
mod round_trips;

use std::{borrow::Cow, cmp::Ordering};

use num_bigint::{BigInt, BigUint, Sign};
use num_integer::Integer;
use oocmap::{
    Date, Error, Key, KeyBytes, MAX_DEPTH, Scalar, Time, Zone, encode_bytes, encode_int, encode_str,
    int_bytes,
};
use proptest::{collection::vec, prelude::*};

const DAY: i64 = 86_400_000_000;
const NOON: Time = Time { hour: 12, minute: 0, second: 0, microsecond: 0, fold: 0 };
const HOUR: i64 = 3_600_000_000;

fn bytes(key: &Key<'_>) -> KeyBytes {
    let mut out = KeyBytes::new();
    key.encode(&mut out).unwrap();
    out
}

fn key(scalar: Scalar<'_>) -> Key<'_> {
    scalar.into()
}

fn int(value: impl Into<BigInt>) -> Key<'static> {
    key(Scalar::from(value.into()))
}

fn two_to(power: u32) -> BigInt {
    BigInt::from(1) << power
}

fn float(value: f64) -> Key<'static> {
    key(Scalar::Float(value))
}

/// The float with this value, which must be a whole number that floats have.
#[expect(clippy::cast_precision_loss, reason = "checked")]
fn whole(value: i64) -> f64 {
    assert!(value.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS);
    value as f64
}

fn decimal(text: &str) -> Key<'_> {
    key(Scalar::Decimal(text.into()))
}

fn text(value: &str) -> Key<'_> {
    key(Scalar::Str(value.into()))
}

fn fraction(numerator: impl Into<BigInt>, denominator: impl Into<BigInt>) -> Key<'static> {
    let (numerator, denominator) = (numerator.into(), denominator.into());
    let common = numerator.gcd(&denominator);
    key(Scalar::Fraction {
        numerator: int_bytes(&(numerator / &common)).into(),
        denominator: int_bytes(&(denominator / common)).into(),
    })
}

fn berlin(offset: Option<i64>) -> Zone<'static> {
    Zone::Named { key: "Europe/Berlin".into(), offset }
}

fn hex(data: &[u8]) -> String {
    BigUint::from_bytes_be(&[&[1], data].concat()).to_str_radix(16).split_off(1)
}

fn range(start: i64, end: i64, step: i64) -> Key<'static> {
    key(Scalar::Range(Box::new([start, end, step].map(Scalar::Int))))
}

fn leaf_of(key: Key<'static>) -> Scalar<'static> {
    match key {
        Key::Scalar(scalar) => scalar,
        other => panic!("{other:?} is no leaf"),
    }
}

fn stored(scalar: &Scalar<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    scalar.encode(&mut out);
    out
}

fn form(key: &Key<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    key.encode_form(&mut out).unwrap();
    out
}

fn assert_corrupted<T: std::fmt::Debug>(result: &Result<T, Error>) {
    assert!(matches!(result, Err(Error::Corrupted(_))), "{result:?}");
}

fn string_key(points: &[u32]) -> Key<'static> {
    if let Some(text) = points.iter().map(|&point| char::from_u32(point)).collect::<Option<String>>() {
        return key(Scalar::Str(text.into()));
    }
    let mut encoded = Vec::new();
    for &point in points {
        match char::from_u32(point) {
            Some(char) => encoded.extend(char.encode_utf8(&mut [0; 4]).bytes()),
            None => encoded.extend(
                [0xe0 | point >> 12, 0x80 | point >> 6 & 0x3f, 0x80 | point & 0x3f].map(|byte| byte as u8),
            ),
        }
    }
    key(Scalar::SurrogateStr(encoded.into()))
}
