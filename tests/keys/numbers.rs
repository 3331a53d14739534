//! Numbers of every type against exact fractions.

use super::*;

/// A point of the complex plane, exactly, infinities included.
#[derive(Clone, Debug)]
pub(super) enum Exact {
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

pub(super) fn any_big() -> impl Strategy<Value = BigInt> {
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

pub(super) fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-12_i32..12, -4_i32..4).prop_map(|(value, power)| f64::from(value) * 2_f64.powi(power)),
        prop::num::f64::NORMAL,
        prop::num::f64::SUBNORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE,
        (any::<i32>(), -60_i32..60).prop_map(|(value, power)| f64::from(value) * 2_f64.powi(power)),
    ]
}

/// A real number, spelled as one of all the types there are.
pub(super) fn any_real() -> impl Strategy<Value = (Key<'static>, Exact)> {
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

pub(super) fn any_decimal(
    (negative, digits, point, exponent): (bool, Vec<u8>, usize, i32),
) -> (Key<'static>, Exact) {
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
pub(super) fn small_number() -> impl Strategy<Value = (Key<'static>, (i64, u32))> {
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
