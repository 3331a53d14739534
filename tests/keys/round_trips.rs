//! Scalars and keys come back as they were, and damage is noticed.

use super::{
    numbers::{any_big, any_float},
    order::{any_model, code_points, time_of_day},
    *,
};

pub(super) fn any_zone() -> impl Strategy<Value = Zone<'static>> {
    let offset = || prop_oneof![Just(0), Just(DAY - 1), Just(1 - DAY), -DAY + 1..DAY];
    prop_oneof![
        (offset(), prop::option::of(any::<String>()))
            .prop_map(|(offset, name)| Zone::Fixed { offset, name: name.map(Cow::Owned) }),
        (".+", prop::option::of(offset())).prop_map(|(key, offset)| Zone::Named { key: key.into(), offset }),
    ]
}

/// Any scalar at all, bit for bit.
pub(super) fn any_scalar() -> impl Strategy<Value = Scalar<'static>> {
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

pub(super) fn any_key() -> impl Strategy<Value = Key<'static>> {
    any_scalar().prop_map(Key::Scalar).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Key::Tuple), vec(inner, 0..4).prop_map(Key::FrozenSet),]
    })
}

/// The same key with the members of its frozensets in the order of their exact forms, each once.
pub(super) fn sorted(key: Key<'_>) -> Key<'_> {
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

/// Whatever a decoder accepts must be what the encoder writes.
pub(super) fn check_decoders(data: &[u8]) {
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

pub(super) fn mutate(data: &mut Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) {
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
pub(super) fn check_default_form(key: &Key<'_>) {
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
