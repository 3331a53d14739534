//! JSON, as Python's `json.loads` takes it: numbers of any size, NaN and the infinities, surrogates on their own.

use std::str::FromStr;

use num_bigint::BigInt;

use crate::{
    format::{
        key::Key,
        scalar::{Scalar, int_bytes},
    },
    object::value::Value,
};

/// How many arrays and objects may stand inside each other.
const DEPTH: usize = 900;
/// How many digits an integer may have: as many as Python takes.
const DIGITS: usize = 4300;
/// Objects of more members than this are sorted to find names that stand there twice.
const FEW: usize = 16;

/// What is wrong with a text.
pub(super) type Refusal = String;

/// The value that a text is.
pub(super) fn parse(text: &str) -> Result<Value, Refusal> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    if parser.at == text.len() { Ok(value) } else { Err(parser.refuse("something follows the value")) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn refuse(&self, what: &str) -> Refusal {
        format!("{what}, at character {}", self.text[..self.at].chars().count() + 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Refusal> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string().map(Value::Scalar),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.constant(),
        }
    }

    fn constant(&mut self) -> Result<Value, Refusal> {
        let constants = [
            ("null", Scalar::None),
            ("true", Scalar::Bool(true)),
            ("false", Scalar::Bool(false)),
            ("NaN", Scalar::Float(f64::NAN)),
            ("Infinity", Scalar::Float(f64::INFINITY)),
        ];
        for (name, value) in constants {
            if self.text[self.at..].starts_with(name) {
                self.at += name.len();
                return Ok(Value::Scalar(value));
            }
        }
        Err(self.refuse("a JSON value is missing"))
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<Value, Refusal> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
            if self.text[self.at..].starts_with("Infinity") {
                self.at += "Infinity".len();
                return Ok(Value::Scalar(Scalar::Float(f64::NEG_INFINITY)));
            }
        }
        let digits = if self.peek() == Some(b'0') {
            self.at += 1;
            1
        } else {
            self.digits()
        };
        if digits == 0 {
            return Err(self.refuse("a number has no digits"));
        }
        let is_fraction = self.fraction() | self.exponent();
        let text = &self.text[from..self.at];
        let scalar = if is_fraction {
            Scalar::Float(text.parse().map_err(|_| self.refuse("a number can't be read"))?)
        } else if let Ok(value) = text.parse() {
            Scalar::Int(value)
        } else if digits > DIGITS {
            return Err(self.refuse(&format!("an integer has {digits} digits; {DIGITS} are possible")));
        } else {
            let value = BigInt::from_str(text).map_err(|_| self.refuse("a number can't be read"))?;
            Scalar::BigInt(int_bytes(&value).into())
        };
        Ok(Value::Scalar(scalar))
    }

    /// Takes a point with the digits behind it, if there are any.
    fn fraction(&mut self) -> bool {
        let from = self.at;
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() > 0 {
                return true;
            }
        }
        self.at = from;
        false
    }

    fn exponent(&mut self) -> bool {
        let from = self.at;
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() > 0 {
                return true;
            }
        }
        self.at = from;
        false
    }

    fn array(&mut self, depth: usize) -> Result<Value, Refusal> {
        self.check_depth(depth)?;
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(items));
                }
                _ => return Err(self.refuse("a comma or a closing bracket is missing")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Refusal> {
        self.check_depth(depth)?;
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Dict(items));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.refuse("a name in quotes is missing"));
            }
            let name = Key::Scalar(self.string()?);
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.refuse("a colon is missing"));
            }
            self.at += 1;
            items.push((name, self.value(depth)?));
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Dict(each_once(items)));
                }
                _ => return Err(self.refuse("a comma or a closing brace is missing")),
            }
        }
    }

    fn check_depth(&self, depth: usize) -> Result<(), Refusal> {
        if depth > DEPTH {
            return Err(self.refuse(&format!("arrays and objects nest more than {DEPTH} levels deep")));
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Scalar<'static>, Refusal> {
        self.at += 1;
        let from = self.at;
        let bytes = self.text.as_bytes();
        // Most strings have no escapes.
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    let text = self.text[from..self.at].to_owned();
                    self.at += 1;
                    return Ok(Scalar::Str(text.into()));
                }
                b'\\' => break,
                0..0x20 => return Err(self.refuse("a string holds a control character")),
                _ => self.at += 1,
            }
        }
        let mut out = bytes[from..self.at].to_vec();
        let mut has_surrogates = false;
        loop {
            match self.peek() {
                None => return Err(self.refuse("a string has no end")),
                Some(b'"') => {
                    self.at += 1;
                    break;
                }
                Some(b'\\') => {
                    self.at += 1;
                    has_surrogates |= self.escape(&mut out)?;
                }
                Some(0..0x20) => return Err(self.refuse("a string holds a control character")),
                Some(byte) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
        if has_surrogates {
            return Ok(Scalar::SurrogateStr(out.into()));
        }
        String::from_utf8(out)
            .map(|text| Scalar::Str(text.into()))
            .map_err(|_| self.refuse("a string is not text"))
    }

    /// Takes what follows a backslash; answers whether it is half of a pair of surrogates.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        let plain = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode(out);
            }
            _ => return Err(self.refuse("an escape is unknown")),
        };
        self.at += 1;
        out.push(plain);
        Ok(false)
    }

    fn unicode(&mut self, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        let mut code = self.four_digits()?;
        if let 0xd800..0xdc00 = code
            && self.text[self.at..].starts_with("\\u")
        {
            let behind = self.at;
            self.at += 2;
            match self.four_digits()? {
                low @ 0xdc00..0xe000 => code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00),
                _ => self.at = behind,
            }
        }
        if let Some(character) = char::from_u32(code) {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(false);
        }
        let (high, middle, low) = (code >> 12, code >> 6 & 0x3f, code & 0x3f);
        out.extend_from_slice(&[0xe0 | high as u8, 0x80 | middle as u8, 0x80 | low as u8]);
        Ok(true)
    }

    fn four_digits(&mut self) -> Result<u32, Refusal> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let mut code = 0;
        for digit in digits {
            let digit = (*digit as char).to_digit(16);
            code = code << 4 | digit.ok_or_else(|| self.refuse("\\u needs four hexadecimal digits"))?;
        }
        if digits.is_empty() {
            return Err(self.refuse("\\u needs four hexadecimal digits"));
        }
        self.at += 4;
        Ok(code)
    }
}

/// The items with the last value of each name, where the name stood first.
fn each_once(items: Vec<(Key<'static>, Value)>) -> Vec<(Key<'static>, Value)> {
    let mut order: Vec<usize> = Vec::new();
    let is_repeated = if items.len() <= FEW {
        items.iter().enumerate().any(|(index, (name, _))| {
            items[..index].iter().any(|(other, _)| bytes_of(other) == bytes_of(name))
        })
    } else {
        order.extend(0..items.len());
        order.sort_unstable_by_key(|index| bytes_of(&items[*index].0));
        order.windows(2).any(|pair| bytes_of(&items[pair[0]].0) == bytes_of(&items[pair[1]].0))
    };
    if !is_repeated {
        return items;
    }
    let mut places = std::collections::HashMap::new();
    let mut once: Vec<(Key<'static>, Value)> = Vec::new();
    for (name, value) in items {
        let place = *places.entry(bytes_of(&name).to_vec()).or_insert(once.len());
        match once.get_mut(place) {
            Some((_, first)) => *first = value,
            None => once.push((name, value)),
        }
    }
    once
}

fn bytes_of<'a>(name: &'a Key<'_>) -> &'a [u8] {
    match name {
        Key::Scalar(Scalar::Str(text)) => text.as_bytes(),
        Key::Scalar(Scalar::SurrogateStr(bytes)) => bytes,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::from(value)
    }

    #[test]
    fn values_are_what_python_makes_of_them() {
        let list = |items: Vec<Value>| Value::List(items);
        let cases = [
            (" [ ] ", list(vec![])),
            ("{}", Value::Dict(vec![])),
            ("[1, -2,0 ,-0]", list(vec![1.into(), (-2).into(), 0.into(), 0.into()])),
            ("[1.0, 1e2, -2.5E-1]", list(vec![1.0.into(), 100.0.into(), (-0.25).into()])),
            ("1e400", f64::INFINITY.into()),
            ("-Infinity", f64::NEG_INFINITY.into()),
            ("9223372036854775807", i64::MAX.into()),
            (r#""a\n\u00e9\ud83d\ude00\/""#, text("a\n\u{e9}\u{1f600}/")),
            (r#""\ud800\u0041""#, Value::Scalar(Scalar::SurrogateStr(b"\xed\xa0\x80A"[..].into()))),
            ("null", Value::NONE),
            ("true", Value::Scalar(Scalar::Bool(true))),
        ];
        for (json, expected) in cases {
            assert_eq!(parse(json).unwrap(), expected, "{json}");
        }
        let big = parse("-9223372036854775809").unwrap();
        let expected = int_bytes(&(BigInt::from(i64::MIN) - 1));
        assert_eq!(big, Value::Scalar(Scalar::BigInt(expected.into())));
    }

    #[test]
    fn the_last_of_equal_names_wins_in_the_place_of_the_first() {
        for count in [2, 40] {
            let members: Vec<_> = (0..count).map(|index| format!("\"{index}\": {index}")).collect();
            let json = format!("{{{}, \"0\": \"last\"}}", members.join(","));
            let Value::Dict(items) = parse(&json).unwrap() else { panic!("it is an object") };
            assert_eq!(items.len(), count);
            assert_eq!(items[0], ("0".into(), text("last")));
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (json, place) in [
            ("", 1),
            ("[1,]", 4),
            ("[1 2]", 4),
            ("01", 2),
            ("1.", 2),
            ("-", 2),
            ("\"a", 3),
            ("\"\u{1}\"", 2),
            ("{1: 2}", 2),
            ("{\"a\" 1}", 6),
            ("nul", 1),
            ("\"\\x\"", 3),
            ("\"\\u12g4\"", 4),
            ("\u{e9}", 1),
            ("[] []", 4),
            ("\"\\u12", 4),
        ] {
            let refusal = parse(json).unwrap_err();
            assert!(refusal.ends_with(&format!("at character {place}")), "{json:?}: {refusal}");
        }
        assert!(parse(&"1".repeat(DIGITS + 1)).unwrap_err().contains("digits"));
        assert!(parse(&"[".repeat(100_000)).unwrap_err().contains("deep"));
        let deepest = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
        assert!(parse(&deepest).unwrap().draft().is_ok());
    }
}
