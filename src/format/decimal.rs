//! Reading the text of Python's `Decimal`.

use num_bigint::BigUint;
use num_traits::Pow;

/// The parts of `str(Decimal)`.
pub(super) enum Decimal<'a> {
    /// A number: `whole.fraction * 10**exponent`.
    Finite {
        /// Whether a minus sign stands before it.
        negative: bool,
        /// The digits before the point, at least one.
        whole: &'a str,
        /// The digits after the point, if any.
        fraction: &'a str,
        /// What stands after the `E`.
        exponent: i64,
    },
    /// An infinity.
    Infinite {
        /// Whether a minus sign stands before it.
        negative: bool,
    },
    /// Not a number.
    Nan {
        /// Whether it is one that no operation accepts, not even hashing.
        signaling: bool,
    },
}

impl<'a> Decimal<'a> {
    /// Reads what `str(Decimal)` writes, in contexts with and without `capitals`; anything else is `None`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if text == "Infinity" {
            return Some(Self::Infinite { negative });
        }
        if let Some(payload) = text.strip_prefix("NaN") {
            return are_digits(payload).then_some(Self::Nan { signaling: false });
        }
        if let Some(payload) = text.strip_prefix("sNaN") {
            return are_digits(payload).then_some(Self::Nan { signaling: true });
        }
        let (number, exponent) = match text.split_once(['E', 'e']) {
            Some((number, exponent)) => (number, exponent.parse().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (number, ""),
        };
        (!whole.is_empty() && are_digits(whole) && are_digits(fraction)).then_some(Self::Finite {
            negative,
            whole,
            fraction,
            exponent,
        })
    }
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The value of a row of decimal digits, in about the time that multiplying numbers of that size takes.
pub(super) fn parse_digits(digits: &[u8]) -> BigUint {
    /// As many digits as always fit a word.
    const WORD: usize = 19;
    if digits.len() <= WORD {
        return digits.iter().fold(0, |value: u64, digit| value * 10 + u64::from(digit - b'0')).into();
    }
    let (high, low) = digits.split_at(digits.len() / 2);
    let scale = low.len() as u64;
    ((parse_digits(high) * power_of_five(scale)) << scale) + parse_digits(low)
}

/// `5**exponent`.
pub(super) fn power_of_five(exponent: u64) -> BigUint {
    BigUint::from(5_u32).pow(exponent)
}
