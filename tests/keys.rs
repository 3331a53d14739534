//! The order of keys against exact oracles, the round trips of scalars and keys, and the bytes of the file format.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{borrow::Cow, cmp::Ordering};

use num_bigint::{BigInt, BigUint, Sign};
use num_integer::Integer;
use oocmap::{
    Date, Error, Key, KeyBytes, MAX_DEPTH, Scalar, Time, Zone, encode_bytes, encode_int, encode_str,
    int_bytes,
};
use proptest::{collection::vec, prelude::*};

const DAY: i64 = 86_400_000_000;

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

/// A point of the complex plane, exactly, infinities included.
#[derive(Clone, Debug)]
enum Exact {
    NegativeInfinity,
    /// The denominator is greater than zero.
    Ratio(BigInt, BigInt),
    Infinity,
}

use Exact::{Infinity, NegativeInfinity, Ratio};

impl Exact {
    fn float(value: f64) -> Self {
        if value.is_infinite() {
            return if value > 0.0 { Infinity } else { NegativeInfinity };
        }
        // All digits of any float: none has more than 1074 after the point.
        let digits = format!("{value:.1074}").replace('.', "");
        Ratio(digits.parse().unwrap(), BigInt::from(10).pow(1074))
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Ratio(a, b), Ratio(c, d)) => (a * d).cmp(&(c * b)),
            (NegativeInfinity, NegativeInfinity) | (Infinity, Infinity) => Ordering::Equal,
            (NegativeInfinity, _) | (_, Infinity) => Ordering::Less,
            (_, NegativeInfinity) | (Infinity, _) => Ordering::Greater,
        }
    }

    /// Whether the numbers differ, but by so little that their keys may sort either way.
    fn is_cut_off(&self, other: &Self) -> bool {
        match (self, other) {
            (Ratio(a, b), Ratio(c, d)) => {
                let (left, right) = (a * d, c * b);
                let difference = (&left - &right).magnitude() << 133_u32;
                difference.bits() > 0 && difference < *left.magnitude().max(right.magnitude())
            }
            _ => false,
        }
    }
}

fn any_big() -> impl Strategy<Value = BigInt> {
    prop_oneof![
        4 => (-12_i64..12).prop_map(BigInt::from),
        2 => any::<i64>().prop_map(BigInt::from),
        2 => (0_u32..200, -2_i64..3, any::<bool>()).prop_map(|(power, near, negative)| {
            let value = two_to(power) + near;
            if negative { -value } else { value }
        }),
        1 => (0_i64..=9, 0_u32..40).prop_map(|(digit, power)| digit * BigInt::from(10).pow(power)),
        1 => (any::<bool>(), vec(any::<u8>(), 0..300)).prop_map(|(negative, digits)| {
            BigInt::from_bytes_le(if negative { Sign::Minus } else { Sign::Plus }, &digits)
        }),
    ]
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-12_i32..12, -4_i32..4).prop_map(|(value, power)| f64::from(value) * 2_f64.powi(power)),
        prop::num::f64::NORMAL,
        prop::num::f64::SUBNORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE,
        (any::<i32>(), -60_i32..60).prop_map(|(value, power)| f64::from(value) * 2_f64.powi(power)),
    ]
}

/// A real number, spelled as one of all the types there are.
fn any_real() -> impl Strategy<Value = (Key<'static>, Exact)> {
    let one = || BigInt::from(1);
    prop_oneof![
        any::<bool>()
            .prop_map(move |value| (key(Scalar::Bool(value)), Ratio(BigInt::from(u8::from(value)), one()))),
        any_big().prop_map(move |value| (int(value.clone()), Ratio(value, one()))),
        any_float().prop_map(|value| (float(value), Exact::float(value))),
        (any_float(), prop_oneof![Just(0.0), Just(-0.0)])
            .prop_map(|(re, im)| (key(Scalar::Complex { re, im }), Exact::float(re))),
        (any_big(), any_big()).prop_filter("0 divides nothing", |(_, below)| below.bits() > 0).prop_map(
            |(above, below)| {
                let (above, below) =
                    if below.sign() == Sign::Minus { (-above, -below) } else { (above, below) };
                (fraction(above.clone(), below.clone()), Ratio(above, below))
            }
        ),
        (any::<bool>(), vec(0_u8..10, 1..50), 0_usize..60, -60_i32..60).prop_map(any_decimal),
        Just((decimal("Infinity"), Infinity)),
        Just((decimal("-Infinity"), NegativeInfinity)),
    ]
}

fn any_decimal((negative, digits, point, exponent): (bool, Vec<u8>, usize, i32)) -> (Key<'static>, Exact) {
    let digits: String = digits.into_iter().map(|digit| char::from(b'0' + digit)).collect();
    let (whole, part) = digits.split_at(point.clamp(1, digits.len()));
    let sign = if negative { "-" } else { "" };
    let point = if part.is_empty() { "" } else { "." };
    let written = format!("{sign}{whole}{point}{part}E{exponent:+}");
    let value: BigInt = format!("{sign}{digits}").parse().unwrap();
    let power = exponent - i32::try_from(part.len()).unwrap();
    let scale = BigInt::from(10).pow(power.unsigned_abs());
    let exact = if power >= 0 { Ratio(value * scale, BigInt::from(1)) } else { Ratio(value, scale) };
    (key(Scalar::Decimal(written.into())), exact)
}

/// A small number in two spellings, so that types often meet at the same value.
fn small_number() -> impl Strategy<Value = (Key<'static>, (i64, u32))> {
    // Tenths of powers of two: all but a fifth of them are no binary fractions.
    (-40_i64..40, 0_u32..4, 0_u8..4).prop_map(|(tenths, power, spelling)| {
        let below = 10_i64 << power;
        let spelled = match spelling {
            0 => fraction(tenths, below),
            // The quotient of floats is exact where the value is a binary fraction.
            1 if tenths % 5 == 0 => float(whole(tenths) / whole(below)),
            2 if tenths % below == 0 => int(tenths / below),
            _ => {
                // Four more decimal digits hold any of these exactly.
                let scaled = (tenths * 1000) >> power;
                let exact = scaled << power == tenths * 1000;
                assert!(exact, "1000 is a multiple of 8");
                key(Scalar::Decimal(format!("{scaled}E-4").into()))
            }
        };
        (spelled, (tenths, power))
    })
}

proptest! {
    #[test]
    fn numbers_sort_exactly((left, left_value) in any_real(), (right, right_value) in any_real()) {
        let order = bytes(&left).cmp(&bytes(&right));
        if left_value.is_cut_off(&right_value) {
            prop_assert_ne!(order, Ordering::Equal);
        } else {
            prop_assert_eq!(order, left_value.compare(&right_value));
        }
    }

    #[test]
    fn equal_numbers_have_one_key((left, left_value) in small_number(), (right, right_value) in small_number()) {
        let scaled = |(tenths, power): (i64, u32)| tenths << (4 - power);
        prop_assert_eq!(bytes(&left).cmp(&bytes(&right)), scaled(left_value).cmp(&scaled(right_value)));
    }

    #[test]
    fn floats_are_their_fractions(value in any_float().prop_filter("finite", |value| value.is_finite())) {
        let Ratio(above, below) = Exact::float(value) else { unreachable!() };
        prop_assert_eq!(bytes(&float(value)), bytes(&fraction(above, below)));
    }

    #[test]
    fn decimals_are_their_fractions((written, value) in
        (any::<bool>(), vec(0_u8..10, 1..50), 0_usize..60, -60_i32..60).prop_map(any_decimal))
    {
        let Ratio(above, below) = value else { unreachable!() };
        prop_assert_eq!(bytes(&written), bytes(&fraction(above, below)));
    }

    #[test]
    fn complex_numbers_are_equal_when_their_parts_are(
        left in (any_float(), any_float()),
        right in (any_float(), any_float()),
        same_re: bool,
        same_im: bool,
    ) {
        let right = (if same_re { left.0 } else { right.0 }, if same_im { left.1 } else { right.1 });
        let complex = |(re, im)| bytes(&key(Scalar::Complex { re, im }));
        prop_assert_eq!(complex(left) == complex(right), left == right);
    }

    #[test]
    fn fast_paths_agree(number: i64, string: String, data: Vec<u8>) {
        let mut out = KeyBytes::new();
        encode_int(number, &mut out);
        prop_assert_eq!(&out, &bytes(&key(Scalar::Int(number))));
        // The same number by way of big integers.
        prop_assert_eq!(&out, &bytes(&key(Scalar::BigInt(int_bytes(&number.into()).into()))));
        out.clear();
        encode_str(&string, &mut out);
        prop_assert_eq!(&out, &bytes(&text(&string)));
        out.clear();
        encode_bytes(&data, &mut out);
        prop_assert_eq!(&out, &bytes(&key(Scalar::Bytes(data.into()))));
    }
}

/// A string as its code points, surrogates included.
fn code_points() -> impl Strategy<Value = Vec<u32>> {
    let edges =
        [0, 1, 0x61, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xffff];
    vec(
        prop_oneof![3 => prop::sample::select(edges.to_vec()), 1 => 0_u32..0x11_0000, 2 => 0_u32..3, 1 => 0x1_0000_u32..0x1_0003],
        0..5,
    )
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

/// What keys are compared to; Rust derives the order that they should have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Model {
    None,
    /// Halves.
    Number(i64),
    Str(Vec<u32>),
    Bytes(Vec<u8>),
    Tuple(Vec<Model>),
    Date(u16, u8, u8),
    DateTime(u16, u8, u8, u64),
    Time(u64),
    TimeDelta(i32, u32, u32),
    Uuid([u8; 16]),
}

impl Model {
    fn key(&self) -> Key<'static> {
        key(match self {
            Self::None => Scalar::None,
            Self::Number(halves) if halves % 4 == 0 => Scalar::Int(halves / 2),
            Self::Number(halves) => Scalar::Float(whole(*halves) / 2.0),
            Self::Str(points) => return string_key(points),
            Self::Bytes(data) => Scalar::Bytes(data.clone().into()),
            Self::Tuple(parts) => return Key::Tuple(parts.iter().map(Self::key).collect()),
            Self::Date(year, month, day) => Scalar::Date(Date::new(*year, *month, *day).unwrap()),
            Self::DateTime(year, month, day, time) => Scalar::DateTime {
                date: Date::new(*year, *month, *day).unwrap(),
                time: time_of_day(*time, 0),
                zone: None,
            },
            Self::Time(time) => Scalar::Time { time: time_of_day(*time, 0), zone: None },
            Self::TimeDelta(days, seconds, microseconds) => {
                Scalar::TimeDelta { days: *days, seconds: *seconds, microseconds: *microseconds }
            }
            Self::Uuid(data) => Scalar::Uuid(*data),
        })
    }
}

fn time_of_day(microseconds: u64, fold: u8) -> Time {
    let [hour, minute, second] = [3_600_000_000, 60_000_000, 1_000_000]
        .map(|unit| (microseconds / unit % if unit > 1_000_000_000 { 24 } else { 60 }) as u8);
    Time::new(hour, minute, second, (microseconds % 1_000_000) as u32, fold).unwrap()
}

fn any_model() -> impl Strategy<Value = Model> {
    let date = || (prop_oneof![Just(1_u16), 1999_u16..2002, Just(9999)], 1_u8..=12, 1_u8..=28);
    let time = || prop_oneof![Just(0), Just(DAY.unsigned_abs() - 1), 0..DAY.unsigned_abs()];
    let leaf = prop_oneof![
        1 => Just(Model::None),
        3 => (-9_i64..9).prop_map(Model::Number),
        1 => (-1_000_000_000_000..1_000_000_000_000_i64).prop_map(Model::Number),
        3 => code_points().prop_map(Model::Str),
        3 => vec(prop_oneof![Just(0), Just(1), Just(255), any::<u8>()], 0..5).prop_map(Model::Bytes),
        1 => date().prop_map(|(year, month, day)| Model::Date(year, month, day)),
        1 => (date(), time()).prop_map(|((year, month, day), time)| Model::DateTime(year, month, day, time)),
        1 => time().prop_map(Model::Time),
        1 => (prop_oneof![-3..3, -999_999_999..=999_999_999], 0_u32..86_400, 0_u32..1_000_000)
            .prop_map(|(days, seconds, microseconds)| Model::TimeDelta(days, seconds, microseconds)),
        1 => any::<[u8; 16]>().prop_map(Model::Uuid),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| vec(inner, 0..4).prop_map(Model::Tuple))
}

proptest! {
    #[test]
    fn strings_sort_by_code_point(left in code_points(), right in code_points()) {
        prop_assert_eq!(bytes(&string_key(&left)).cmp(&bytes(&string_key(&right))), left.cmp(&right));
    }

    #[test]
    fn tuples_sort_by_their_parts(left in vec(any_model(), 0..4), right in vec(any_model(), 0..4), shared in 0_usize..4) {
        // Unrelated tuples mostly differ at once, so some parts are made the same.
        let right: Vec<_> = left.iter().take(shared).cloned().chain(right).collect();
        let (left, right) = (Model::Tuple(left), Model::Tuple(right));
        prop_assert_eq!(bytes(&left.key()).cmp(&bytes(&right.key())), left.cmp(&right));
    }

    #[test]
    fn kinds_sort_one_after_the_other(left in any_model(), right in any_model()) {
        prop_assert_eq!(bytes(&left.key()).cmp(&bytes(&right.key())), left.cmp(&right));
    }

    #[test]
    fn prefixes_bound_strings(prefix in code_points(), other in code_points(), extended: bool) {
        let points = if extended { [&prefix[..], &other].concat() } else { other };
        let bounds = string_key(&prefix).prefix_bounds().unwrap();
        prop_assert_eq!(bounds.contains(&bytes(&string_key(&points))), points.starts_with(&prefix));
    }

    #[test]
    fn prefixes_bound_bytes(
        prefix in vec(prop_oneof![Just(0), Just(255), any::<u8>()], 0..4),
        other in vec(prop_oneof![Just(0), Just(255), any::<u8>()], 0..6),
        extended: bool,
    ) {
        let data = if extended { [&prefix[..], &other].concat() } else { other };
        let bounds = key(Scalar::Bytes(prefix.clone().into())).prefix_bounds().unwrap();
        prop_assert_eq!(bounds.contains(&bytes(&key(Scalar::Bytes(data.clone().into())))), data.starts_with(&prefix));
        prop_assert!(!bounds.contains(&bytes(&string_key(&[0x61]))));
    }

    #[test]
    fn prefixes_bound_tuples(prefix in vec(any_model(), 0..3), other in vec(any_model(), 0..4), extended: bool) {
        let parts = if extended { [&prefix[..], &other].concat() } else { other };
        let bounds = Model::Tuple(prefix.clone()).key().prefix_bounds().unwrap();
        prop_assert_eq!(bounds.contains(&bytes(&Model::Tuple(parts.clone()).key())), parts.starts_with(&prefix));
    }

    #[test]
    fn the_end_of_a_part_shows(left in any_model(), right in any_model()) {
        // What begins with another part goes on with a byte that begins no part.
        let nested = |model: &Model| {
            let whole = bytes(&Model::Tuple(vec![model.clone()]).key());
            whole[1..whole.len() - 1].to_vec()
        };
        if let Some(rest) = nested(&right).strip_prefix(&nested(&left)[..]) {
            prop_assert!(left == right || rest[0] == 0xff);
        }
    }

    #[test]
    fn frozensets_are_equal_in_any_order(members in vec(any_model(), 0..6), turn in 0_usize..6, other in vec(any_model(), 0..6)) {
        let set = |members: &[Model]| bytes(&Key::FrozenSet(members.iter().map(Model::key).collect()));
        let mut turned = members.clone();
        turned.rotate_left(turn.min(members.len()));
        turned.extend(members.first().cloned());
        prop_assert_eq!(set(&members), set(&turned));
        let sorted = |members: &[Model]| {
            let mut members = members.to_vec();
            members.sort();
            members.dedup();
            members
        };
        prop_assert_eq!(set(&members) == set(&other), sorted(&members) == sorted(&other));
    }

    #[test]
    fn aware_datetimes_sort_by_moment(
        left in (2019_u16..=2021, 1_u8..=12, 1_u8..=28, 0..DAY.unsigned_abs(), -DAY + 1..DAY),
        right in (2019_u16..=2021, 1_u8..=12, 1_u8..=28, 0..DAY.unsigned_abs(), -DAY + 1..DAY),
        same: bool,
    ) {
        let moment = |(year, month, day, time, offset): (u16, u8, u8, u64, i64)| {
            let lengths = |year: u16| [31, if year == 2020 { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let years: i64 = (2019..year).flat_map(lengths).sum();
            let months: i64 = lengths(year)[..usize::from(month) - 1].iter().sum();
            (years + months + i64::from(day)) * DAY + time.cast_signed() - offset
        };
        let encode = |(year, month, day, time, offset): (u16, u8, u8, u64, i64)| bytes(&key(Scalar::DateTime {
            date: Date::new(year, month, day).unwrap(),
            time: time_of_day(time, 1),
            zone: Some(Zone::Named { key: offset.to_string().into(), offset: Some(offset) }),
        }));
        // The same moment by another clock, if that is on the same day.
        let shifted = (left.3 / 2, left.4 - (left.3 - left.3 / 2).cast_signed());
        let right = if same && shifted.1 > -DAY { (left.0, left.1, left.2, shifted.0, shifted.1) } else { right };
        prop_assert_eq!(encode(left).cmp(&encode(right)), moment(left).cmp(&moment(right)));
    }

    #[test]
    fn aware_times_sort_by_moment(
        left in (0..DAY.unsigned_abs(), -DAY + 1..DAY),
        right in (0..DAY.unsigned_abs(), -DAY + 1..DAY),
    ) {
        let encode = |(time, offset)| bytes(&key(Scalar::Time {
            time: time_of_day(time, 0),
            zone: Some(Zone::Fixed { offset, name: None }),
        }));
        let moment = |(time, offset): (u64, i64)| time.cast_signed() - offset;
        prop_assert_eq!(encode(left).cmp(&encode(right)), moment(left).cmp(&moment(right)));
    }

    #[test]
    fn ranges_are_equal_when_their_numbers_are(
        left in (-4_i64..4, -4_i64..4, prop_oneof![-4_i64..0, 1_i64..5]),
        right in (-4_i64..4, -4_i64..4, prop_oneof![-4_i64..0, 1_i64..5]),
    ) {
        let numbers = |(start, stop, step): (i64, i64, i64)| {
            let in_range = move |&number: &i64| if step > 0 { number < stop } else { number > stop };
            std::iter::successors(Some(start), move |number| Some(number + step)).take_while(in_range).collect::<Vec<_>>()
        };
        let encode = |(start, stop, step): (i64, i64, i64)| bytes(&range(start, stop, step));
        prop_assert_eq!(encode(left) == encode(right), numbers(left) == numbers(right));
    }
}

fn range(start: i64, end: i64, step: i64) -> Key<'static> {
    key(Scalar::Range(Box::new([start, end, step].map(Scalar::Int))))
}

fn any_zone() -> impl Strategy<Value = Zone<'static>> {
    let offset = || prop_oneof![Just(0), Just(DAY - 1), Just(1 - DAY), -DAY + 1..DAY];
    prop_oneof![
        (offset(), prop::option::of(any::<String>()))
            .prop_map(|(offset, name)| Zone::Fixed { offset, name: name.map(Cow::Owned) }),
        (".+", prop::option::of(offset())).prop_map(|(key, offset)| Zone::Named { key: key.into(), offset }),
    ]
}

/// Any scalar at all, bit for bit.
fn any_scalar() -> impl Strategy<Value = Scalar<'static>> {
    let date = || {
        (1_u16..=9999, 1_u8..=12, 1_u8..=31)
            .prop_filter_map("no such day", |(year, month, day)| Date::new(year, month, day))
    };
    let time = || (0..DAY.unsigned_abs(), 0_u8..2).prop_map(|(time, fold)| time_of_day(time, fold));
    let leaf = prop_oneof![
        Just(Scalar::None),
        Just(Scalar::Ellipsis),
        any::<bool>().prop_map(Scalar::Bool),
        any_big().prop_map(Scalar::from),
        any::<u64>().prop_map(|bits| Scalar::Float(f64::from_bits(bits))),
        any_float().prop_map(Scalar::Float),
        any::<[u64; 2]>()
            .prop_map(|[re, im]| Scalar::Complex { re: f64::from_bits(re), im: f64::from_bits(im) }),
        code_points().prop_map(|points| leaf_of(string_key(&points))),
        any::<Vec<u8>>().prop_map(|data| Scalar::Bytes(data.into())),
        "-?([0-9]{1,30}(\\.[0-9]{1,9})?(E[+-][0-9]{1,4})?|Infinity|s?NaN[0-9]{0,5})"
            .prop_map(|text| Scalar::Decimal(text.into())),
        (any_big(), 1_i64..).prop_map(|(above, below)| leaf_of(fraction(above, below))),
        date().prop_map(Scalar::Date),
        (time(), prop::option::of(any_zone())).prop_map(|(time, zone)| Scalar::Time { time, zone }),
        (date(), time(), prop::option::of(any_zone())).prop_map(|(date, time, zone)| Scalar::DateTime {
            date,
            time,
            zone
        }),
        (-999_999_999..=999_999_999, 0_u32..86_400, 0_u32..1_000_000)
            .prop_map(|(days, seconds, microseconds)| Scalar::TimeDelta { days, seconds, microseconds }),
        any_zone().prop_map(Scalar::Zone),
        any::<[u8; 16]>().prop_map(Scalar::Uuid),
        (any_big(), any_big(), any_big().prop_filter("no step", |step| step.bits() > 0))
            .prop_map(|(start, stop, step)| Scalar::Range(Box::new([start, stop, step].map(Scalar::from)))),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        (inner.clone(), inner.clone(), inner)
            .prop_map(|(start, stop, step)| Scalar::Slice(Box::new([start, stop, step])))
    })
}

fn leaf_of(key: Key<'static>) -> Scalar<'static> {
    match key {
        Key::Scalar(scalar) => scalar,
        other => panic!("{other:?} is no leaf"),
    }
}

fn any_key() -> impl Strategy<Value = Key<'static>> {
    any_scalar().prop_map(Key::Scalar).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Key::Tuple), vec(inner, 0..4).prop_map(Key::FrozenSet),]
    })
}

/// The same key with the members of its frozensets in the order of their exact forms, each once.
fn sorted(key: Key<'_>) -> Key<'_> {
    match key {
        Key::Tuple(parts) => Key::Tuple(parts.into_iter().map(sorted).collect()),
        Key::FrozenSet(members) => {
            let mut members: Vec<_> = members.into_iter().map(sorted).collect();
            members.sort_by_key(form);
            members.dedup();
            Key::FrozenSet(members)
        }
        leaf @ Key::Scalar(_) => leaf,
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

/// Whatever a decoder accepts must be what the encoder writes.
fn check_decoders(data: &[u8]) {
    match Scalar::decode(data) {
        Ok(scalar) => assert_eq!(stored(&scalar), data),
        error => assert_corrupted(&error),
    }
    match Key::decode_form(data) {
        Ok(key) => assert_eq!(form(&key), data),
        error => assert_corrupted(&error),
    }
    match Key::decode(data) {
        Ok(key) => assert_eq!(&bytes(&key)[..], data),
        error => assert_corrupted(&error),
    }
}

fn mutate(data: &mut Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) {
    for (index, change, byte) in changes {
        match change {
            0 if !data.is_empty() => _ = data.remove(index.index(data.len())),
            1 => data.insert(index.index(data.len() + 1), *byte),
            2 => data.truncate(index.index(data.len() + 1)),
            _ if !data.is_empty() => {
                let at = index.index(data.len());
                data[at] ^= byte;
            }
            _ => {}
        }
    }
}

/// Keys that say so must come back from their ordered bytes, and others must not.
fn check_default_form(key: &Key<'_>) {
    let mut out = KeyBytes::new();
    if key.encode_allowing_nan(&mut out).is_ok() {
        let comes_back = Key::decode(&out).is_ok_and(|back| sorted(back) == sorted(key.clone()));
        assert_eq!(key.is_default_form(), comes_back);
    }
}

proptest! {
    // There are many kinds, each with its own edges.
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn default_scalars_come_back_and_no_others(scalar in any_scalar()) {
        check_default_form(&scalar.into());
    }
}

proptest! {
    #[test]
    fn scalars_come_back(scalar in any_scalar()) {
        let data = stored(&scalar);
        prop_assert_eq!(&Scalar::decode(&data).unwrap(), &scalar);
        prop_assert_eq!(&scalar.clone().into_owned(), &scalar);
        prop_assert_eq!(stored(&scalar.into_owned()), data);
    }

    #[test]
    fn scalars_are_equal_when_their_bytes_are(left in any_scalar(), right in any_scalar()) {
        prop_assert_eq!(left == right, stored(&left) == stored(&right));
    }

    #[test]
    fn forms_come_back(key in any_key()) {
        let data = form(&key);
        prop_assert_eq!(&Key::decode_form(&data).unwrap(), &key);
        prop_assert_eq!(&key.clone().into_owned(), &key);
    }

    #[test]
    fn default_forms_come_back_and_no_others(key in any_key()) {
        check_default_form(&key);
    }

    #[test]
    fn models_come_back(model in any_model()) {
        let key = model.key();
        let encoded = bytes(&key);
        prop_assert_eq!(bytes(&Key::decode(&encoded).unwrap()), encoded.clone());
        prop_assert!(!key.is_default_form() || Key::decode(&encoded).unwrap() == key);
    }

    #[test]
    fn decoders_take_any_bytes(data: Vec<u8>) {
        check_decoders(&data);
    }

    #[test]
    fn decoders_take_mutated_bytes(key in any_key(), changes in vec(any::<(prop::sample::Index, u8, u8)>(), 1..4)) {
        let changes: Vec<_> = changes.into_iter().map(|(index, change, byte)| (index, change % 5, byte)).collect();
        let mut data = form(&key);
        mutate(&mut data, &changes);
        check_decoders(&data);
        let mut data = KeyBytes::new();
        if key.encode(&mut data).is_ok() {
            let mut data = data.to_vec();
            mutate(&mut data, &changes);
            check_decoders(&data);
        }
    }
}

fn hex(data: &[u8]) -> String {
    BigUint::from_bytes_be(&[&[1], data].concat()).to_str_radix(16).split_off(1)
}

const DATE: Date = Date { year: 2024, month: 2, day: 29 };
const TIME: Time = Time { hour: 23, minute: 59, second: 58, microsecond: 123_456, fold: 1 };
const NOON: Time = Time { hour: 12, minute: 0, second: 0, microsecond: 0, fold: 0 };
const HOUR: i64 = 3_600_000_000;

fn utc_plus_one() -> Zone<'static> {
    Zone::Fixed { offset: HOUR, name: None }
}

fn berlin(offset: Option<i64>) -> Zone<'static> {
    Zone::Named { key: "Europe/Berlin".into(), offset }
}

#[test]
fn stored_bytes_are_held_fixed() {
    let cases = [
        (Scalar::None, "00"),
        (Scalar::Bool(false), "01"),
        (Scalar::Bool(true), "02"),
        (Scalar::Ellipsis, "03"),
        (Scalar::Int(0), "0400"),
        (Scalar::Int(127), "047f"),
        (Scalar::Int(128), "048000"),
        (Scalar::Int(-128), "0480"),
        (Scalar::Int(-129), "047fff"),
        (Scalar::Int(i64::MIN), "040000000000000080"),
        (Scalar::from(BigInt::from(u64::MAX)), "04ffffffffffffffff00"),
        (Scalar::Float(-0.0), "050000000000000080"),
        (Scalar::Complex { re: 1.0, im: -2.5 }, "06000000000000f03f00000000000004c0"),
        (Scalar::Str("aß".into()), "0761c39f"),
        (leaf_of(string_key(&[0x61, 0xd800])), "0861eda080"),
        (Scalar::Bytes(b"\x00\xff"[..].into()), "0900ff"),
        (Scalar::Decimal("-1.50E-7".into()), "0a2d312e3530452d37"),
        (leaf_of(fraction(-1, 300)), "0b01ff022c01"),
        (Scalar::Date(DATE), "0ce807021d"),
        (Scalar::Time { time: TIME, zone: None }, "0dc0bdba1d94"),
        (Scalar::Time { time: NOON, zone: Some(utc_plus_one()) }, "0d00b0eb0e0a0080909de91a"),
        (Scalar::DateTime { date: DATE, time: TIME, zone: None }, "0ee807021dc0bdba1d94"),
        (
            Scalar::DateTime { date: DATE, time: NOON, zone: Some(berlin(Some(-HOUR))) },
            "0ee807021d00b0eb0e0a03ff8f9de91a4575726f70652f4265726c696e",
        ),
        (Scalar::TimeDelta { days: -1, seconds: 86_399, microseconds: 999_999 }, "0fffffffffff5fd71d14"),
        (Scalar::Zone(Zone::Fixed { offset: -HOUR, name: Some("X".into()) }), "1001ff8f9de91a58"),
        (Scalar::Zone(berlin(None)), "10024575726f70652f4265726c696e"),
        (Scalar::Uuid(*b"0123456789abcdef"), "1130313233343536373839616263646566"),
        (leaf_of(range(1, 300, -2)), "1202040103042c010204fe"),
        (
            Scalar::Slice(Box::new([Scalar::None, Scalar::Int(5), Scalar::Str("x".into())])),
            "130100020405020778",
        ),
    ];
    for (scalar, expected) in cases {
        assert_eq!(hex(&stored(&scalar)), expected, "{scalar:?}");
    }
}

#[test]
fn form_bytes_are_held_fixed() {
    let parts = || vec![int(1), text("a")];
    assert_eq!(hex(&form(&Key::Tuple(parts()))), "2002020401020761");
    assert_eq!(hex(&form(&Key::FrozenSet(parts()))), "2102020401020761");
    assert_eq!(hex(&form(&int(-2))), "04fe");
}

#[test]
fn key_bytes_are_held_fixed() {
    let cases = [
        (key(Scalar::None), "05"),
        (float(f64::NEG_INFINITY), "10"),
        (int(-two_to(64)), "11ffff"),
        (int(i64::MIN), "12ff"),
        (int(-1000), "480b"),
        (int(-2), "50ff"),
        (int(-1), "51ff"),
        (float(-0.75), "52007f"),
        (decimal("-0.1"), "5203663298cc663298cc663298cc663298cc663298fffefefef5"),
        (int(0), "53"),
        (float(5e-324), "5406fbce00"),
        (decimal("0.1"), "54fc99cd673399cd673399cd673399cd673399cd67000101010a"),
        (float(0.25), "54fe00"),
        (key(Scalar::Bool(true)), "5500"),
        (float(1.5), "5580"),
        (int(1000), "5ef4"),
        (int(u64::MAX), "94fffffffffffffffffe"),
        (int(BigInt::from(10).pow(20)), "95025b7975f1b5c710"),
        (int(two_to(311)), "95f700"),
        (int(two_to(312)), "95f8f800"),
        (float(f64::INFINITY), "96"),
        (key(Scalar::Complex { re: 0.0, im: -1.0 }), "975351ff"),
        (text(""), "a0"),
        (text("a\0ß"), "a06100c39f"),
        (string_key(&[0x61, 0xd800]), "a061eda080"),
        (key(Scalar::Bytes(b"\x00\xff"[..].into())), "a800ff"),
        (Key::Tuple(vec![]), "b000"),
        (
            Key::Tuple(vec![text("a\0"), key(Scalar::Bytes(b""[..].into())), int(-1)]),
            "b0a06100ff00a80051ff00",
        ),
        (Key::FrozenSet(vec![int(2), int(1), Key::Tuple(vec![]), float(1.0)]), "b855005600b00000"),
        (key(Scalar::Date(DATE)), "c007e8021d"),
        (key(Scalar::DateTime { date: DATE, time: TIME, zone: None }), "c207e8021d141dbabdc0"),
        (key(Scalar::DateTime { date: DATE, time: TIME, zone: Some(utc_plus_one()) }), "c400e2ea97e287d9c0"),
        (key(Scalar::Time { time: TIME, zone: None }), "c6141dbabdc0"),
        (key(Scalar::Time { time: NOON, zone: Some(berlin(Some(HOUR))) }), "c81d562f6c00"),
        (key(Scalar::TimeDelta { days: -1, seconds: 86_399, microseconds: 999_999 }), "ca7fffffff141dd75fff"),
        (key(Scalar::Zone(utc_plus_one())), "cc14f46b0400"),
        (key(Scalar::Zone(berlin(None))), "ce4575726f70652f4265726c696e00"),
        (key(Scalar::Uuid(*b"0123456789abcdef")), "d030313233343536373839616263646566"),
        (key(Scalar::Ellipsis), "d2"),
        (range(5, 5, 1), "d453"),
        (range(1, 2, 7), "d455005500"),
        (range(1, 6, 2), "d4568055005600"),
    ];
    for (key, expected) in cases {
        assert_eq!(hex(&bytes(&key)), expected, "{key:?}");
    }
    let mut nan = KeyBytes::new();
    float(f64::NAN).encode_allowing_nan(&mut nan).unwrap();
    assert_eq!(hex(&nan), "98");
}

#[test]
fn numbers_of_all_types_are_one_key() {
    let complex = |re| key(Scalar::Complex { re, im: -0.0 });
    let alike = [
        vec![
            int(1),
            float(1.0),
            key(Scalar::Bool(true)),
            decimal("1.00"),
            decimal("1E+0"),
            fraction(1, 1),
            complex(1.0),
        ],
        vec![
            int(0),
            float(-0.0),
            key(Scalar::Bool(false)),
            decimal("-0E+9999999"),
            fraction(0, 1),
            complex(-0.0),
        ],
        vec![decimal("0.1"), fraction(1, 10), decimal("1000E-4")],
        vec![decimal("-0.5"), float(-0.5), fraction(-1, 2)],
        vec![float(5e-324), fraction(1, two_to(1074))],
        vec![decimal("Infinity"), float(f64::INFINITY), complex(f64::INFINITY)],
        vec![
            decimal("1E+30"),
            decimal("1e+30"),
            int(BigInt::from(10).pow(30)),
            decimal("1000000000000000000000000000000"),
        ],
        vec![float(1e300), int(format!("{:.0}", 1e300).parse::<BigInt>().unwrap())],
    ];
    for (index, group) in alike.iter().enumerate() {
        for (other_index, other_group) in alike.iter().enumerate() {
            for (left, right) in
                group.iter().flat_map(|left| other_group.iter().map(move |right| (left, right)))
            {
                assert_eq!(bytes(left) == bytes(right), index == other_index, "{left:?} {right:?}");
            }
        }
    }
}

#[test]
fn fractions_that_differ_late_differ() {
    let power = BigInt::from(3).pow(200);
    let third = fraction(1, 3);
    let more: BigInt = (&power / 3) + 1;
    assert_ne!(bytes(&third), bytes(&fraction(more, power)));
    // Just after the cut: a binary fraction that begins with the same 133 bits.
    let near: BigInt = two_to(300) / 3;
    assert_ne!(bytes(&third), bytes(&fraction(near, two_to(300))));
}

#[test]
fn a_time_in_a_zone_without_an_offset_is_naive() {
    let time = |zone| bytes(&key(Scalar::Time { time: NOON, zone }));
    assert_eq!(time(Some(berlin(None))), time(None));
    assert_ne!(time(Some(berlin(Some(0)))), time(None));
    let zone = |name: Option<&'static str>| {
        bytes(&key(Scalar::Zone(Zone::Fixed { offset: HOUR, name: name.map(Cow::from) })))
    };
    assert_eq!(zone(None), zone(Some("CET")));
}

fn assert_refused(key: &Key<'_>, expected: &str) {
    let mut out = KeyBytes::from_slice(b"before");
    let error = key.encode(&mut out).unwrap_err();
    assert!(matches!(error, Error::InvalidKey(_)), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
    assert_eq!(&out[..], b"before");
}

#[test]
fn keys_without_a_place_are_refused() {
    for nan in [float(f64::NAN), key(Scalar::Complex { re: 0.0, im: f64::NAN }), decimal("-NaN12")] {
        assert_refused(&nan, "NaN can't be a key");
        assert_refused(&Key::Tuple(vec![int(1), nan.clone()]), "NaN can't be a key");
        assert_refused(&Key::FrozenSet(vec![int(1), nan.clone()]), "NaN can't be a key");
        nan.encode_allowing_nan(&mut KeyBytes::new()).unwrap();
    }
    assert_refused(&decimal("sNaN"), "signaling");
    assert!(decimal("sNaN").encode_allowing_nan(&mut KeyBytes::new()).is_err());
    assert_refused(&key(Scalar::Slice(Box::new([Scalar::None, Scalar::None, Scalar::None]))), "slice");
    assert_refused(&decimal("1E+1000001"), "exponent 1000001");
    assert_refused(&decimal("-1E-1000001"), "exponent -1000001");
    assert_refused(&decimal("1E-9223372036854775808"), "exponent -9223372036854775808");
    assert_refused(&decimal("one"), "isn't a decimal number");
    assert_refused(&range(0, 1, 0), "step of zero");
    assert!(matches!(int(1).prefix_bounds(), Err(Error::InvalidKey(_))));
}

fn nested(depth: usize) -> Key<'static> {
    (0..depth).fold(
        int(1),
        |key, level| if level % 2 == 0 { Key::Tuple(vec![key]) } else { Key::FrozenSet(vec![key]) },
    )
}

#[test]
fn depth_is_limited() {
    let deepest = nested(MAX_DEPTH);
    assert_eq!(Key::decode(&bytes(&deepest)).unwrap(), deepest);
    assert_eq!(Key::decode_form(&form(&deepest)).unwrap(), deepest);

    let deeper = nested(MAX_DEPTH + 1);
    assert!(matches!(deeper.encode(&mut KeyBytes::new()), Err(Error::TooLarge(_))));
    assert!(matches!(deeper.encode_form(&mut Vec::new()), Err(Error::TooLarge(_))));
    let around = |data: &[u8]| [&[0xb0], data, &[0]].concat();
    assert_corrupted(&Key::decode(&around(&bytes(&deepest))));
    assert_corrupted(&Key::decode(&vec![0xb0; 100_000]));

    let slices = (0..=MAX_DEPTH)
        .fold(Scalar::None, |inner, _| Scalar::Slice(Box::new([inner, Scalar::None, Scalar::None])));
    assert_corrupted(&Scalar::decode(&stored(&slices)));
}

#[test]
fn huge_integers_come_back() {
    let power = int(two_to(3_400_000));
    assert_eq!(hex(&bytes(&power)), "95fa33e10000");
    assert_eq!(Key::decode(&bytes(&power)).unwrap(), power);
    // About a million decimal digits with no pattern.
    let digits: Vec<u8> =
        (0..415_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let value = BigInt::from_bytes_le(Sign::Minus, &digits);
    let key = int(value.clone());
    assert_eq!(Key::decode(&bytes(&key)).unwrap(), key);
    assert!(bytes(&key) < bytes(&int(value + 1)));
}

#[test]
fn long_decimals_are_exact() {
    // 2**-k has k digits after the point, all of which count.
    let power = 3000;
    let digits = BigInt::from(5).pow(power).to_string();
    let binary = fraction(1, two_to(power));
    assert_eq!(bytes(&decimal(&format!("{digits}E-{power}"))), bytes(&binary));
    assert_ne!(bytes(&decimal(&format!("{digits}1E-{}", power + 1))), bytes(&binary));
    // Fives that stop short of the exponent.
    let below = BigInt::from(10).pow(power + 7);
    assert_eq!(
        bytes(&decimal(&format!("{digits}E-{}", power + 7))),
        bytes(&fraction(BigInt::from(5).pow(power), below))
    );
    assert_eq!(bytes(&decimal("7E+20000")), bytes(&int(7 * BigInt::from(10).pow(20000))));
}

#[test]
fn integers_beyond_any_use_are_refused_before_they_are_built() {
    assert_corrupted(&Key::decode(&[0x95, 0xfb, 0x40, 0x00, 0x00, 0x01, 0x00]));
    assert_corrupted(&Key::decode(&[0x95, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00]));
    assert_corrupted(&Key::decode(&[0x54, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00]));
}

#[test]
fn damage_is_noticed() {
    let scalars: &[&[u8]] = &[
        b"",
        b"\x00\x00",
        b"\x04",
        b"\x04\x01\x00",
        b"\x04\xff\xff",
        b"\x04\x80\xff",
        b"\x04\x7f\x00",
        b"\x05\x00\x00\x00\x00\x00\x00\x00",
        b"\x07\xff",
        b"\x07\xed\xa0\x80",
        b"\x08a",
        b"\x08\xed\xa0\x80\xff",
        b"\x08\xed\xa0",
        b"\x0a",
        b"\x0a1.",
        b"\x0a.5",
        b"\x0a1E",
        b"\x0a1E+99999999999999999999",
        b"\x0ainf",
        b"\x0aNaNx",
        b"\x0b\x01\x01\x01\x00",
        b"\x0b\x01\x01\x01\xff",
        b"\x0b\x01\x01\x02\x02\x00",
        b"\x0b\x81\x00\x01\x01\x02",
        b"\x0c\x00\x00\x01\x01",
        b"\x0c\x10\x27\x01\x01",
        b"\x0c\xe7\x07\x02\x1d",
        b"\x0c\xe8\x07\x0d\x01",
        b"\x0c\xe8\x07\x01\x00",
        b"\x0d\x00\x60\xd7\x1d\x14",
        b"\x0d\x00\x00\x00\x00\x00\x04",
        b"\x0d\x00\x00\x00\x00\x00\x02",
        b"\x0d\x00\x00\x00\x00\x00\x00\x80\x80\x80\x80\x80\x80\x01",
        b"\x0f\x00\xca\x9a\x3b\x00\x00\x00\x00\x00",
        b"\x0f\x00\x00\x00\x00\x00\x60\xd7\x1d\x14",
        b"\x11\x00",
        b"\x12\x02\x04\x00\x02\x04\x01\x02\x04\x00",
        b"\x12\x01\x00\x02\x04\x01\x02\x04\x01",
        b"\x13\x01\x00\x01\x00",
        b"\x14",
        b"\xff",
    ];
    for data in scalars {
        assert_corrupted(&Scalar::decode(data));
    }
    let keys: &[&[u8]] = &[
        b"",
        b"\x00",
        b"\x05\x00",
        b"\x53\x00",
        b"\x55",
        b"\x55\x01",
        b"\x55\x01\x00",
        b"\x95\xf8\x00\x00",
        b"\x95\xf8\xf7\x00",
        b"\x95\xf9\x00\xff\x00",
        b"\x97\x53\x55\x00",
        b"\x98",
        b"\xa0\xff",
        b"\xb0\x05",
        b"\xb0\xa0a",
        b"\xb0\xa0a\x00",
        b"\xb8\x53\x05\x00",
        b"\xb8\x05\x05\x00",
        b"\xc0\x00\x00\x01\x01",
        b"\xc6\x14\x1d\xd7\x60\x00",
        b"\xcc\x14\x1d\xd7\x60\x00",
        b"\xd4\x53",
        b"\xff",
    ];
    for data in keys {
        assert_corrupted(&Key::decode(data));
    }
    let forms: &[&[u8]] = &[
        b"",
        b"\x20",
        b"\x20\x01",
        b"\x20\x00\x00",
        b"\x21\x02\x01\x00",
        b"\x20\xff\xff\xff\xff\x0f",
        b"\x20\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02",
    ];
    for data in forms {
        assert_corrupted(&Key::decode_form(data));
    }
}

#[test]
fn fractions_that_no_float_holds_do_not_come_back() {
    let below =
        |power: u32, above: u64| Key::decode(&bytes(&fraction(above, two_to(power)))).map(Key::into_owned);
    assert_eq!(below(1074, 1).unwrap(), float(5e-324));
    assert_corrupted(&below(1075, 1));
    assert_corrupted(&below(1075, 3));
    assert_eq!(below(1, (1 << 53) - 1).unwrap(), float(4_503_599_627_370_495.5));
    assert_corrupted(&below(1, (1 << 53) + 1));
    assert_corrupted(&below(70, (1 << 63) + 1));
}

#[test]
fn days_follow_each_other() {
    let moment = |date| {
        let zone = Some(Zone::Fixed { offset: 0, name: None });
        let encoded = bytes(&key(Scalar::DateTime { date, time: NOON, zone }));
        i64::from_be_bytes(encoded[1..].try_into().unwrap())
    };
    let days =
        |year| (1..=12).flat_map(move |month| (1..=31).filter_map(move |day| Date::new(year, month, day)));
    // The calendar repeats after 400 years.
    let moments: Vec<_> = (1..=401).flat_map(days).map(moment).collect();
    assert_eq!(moments.len(), 146_097 + 365);
    assert!(moments.windows(2).all(|pair| pair[1] - pair[0] == DAY));
    let last = moment(Date::new(9999, 12, 31).unwrap());
    // As Python's date.toordinal() has it.
    assert_eq!(last - moments[0], (3_652_059 - 1) * DAY);
}
