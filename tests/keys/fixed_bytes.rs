//! The bytes of the file format, held fixed.

use super::*;

pub(super) const DATE: Date = Date { year: 2024, month: 2, day: 29 };
pub(super) const TIME: Time = Time { hour: 23, minute: 59, second: 58, microsecond: 123_456, fold: 1 };

pub(super) fn utc_plus_one() -> Zone<'static> {
    Zone::Fixed { offset: HOUR, name: None }
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
