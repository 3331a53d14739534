//! Single cases: equal keys, refused ones, limits, and bytes that nothing encodes.

use super::*;

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

pub(super) fn assert_refused(key: &Key<'_>, expected: &str) {
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

pub(super) fn nested(depth: usize) -> Key<'static> {
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
