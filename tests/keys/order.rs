//! The order of strings, containers and times against models.

use super::*;

/// A string as its code points, surrogates included.
pub(super) fn code_points() -> impl Strategy<Value = Vec<u32>> {
    let edges =
        [0, 1, 0x61, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xffff];
    vec(
        prop_oneof![3 => prop::sample::select(edges.to_vec()), 1 => 0_u32..0x11_0000, 2 => 0_u32..3, 1 => 0x1_0000_u32..0x1_0003],
        0..5,
    )
}

/// What keys are compared to; Rust derives the order that they should have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Model {
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
    pub(super) fn key(&self) -> Key<'static> {
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

pub(super) fn time_of_day(microseconds: u64, fold: u8) -> Time {
    let [hour, minute, second] = [3_600_000_000, 60_000_000, 1_000_000]
        .map(|unit| (microseconds / unit % if unit > 1_000_000_000 { 24 } else { 60 }) as u8);
    Time::new(hour, minute, second, (microseconds % 1_000_000) as u32, fold).unwrap()
}

pub(super) fn any_model() -> impl Strategy<Value = Model> {
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
