//! Dates, times and time zones, with the ranges that Python allows.

use std::borrow::Cow;

const MICROSECONDS_PER_SECOND: u64 = 1_000_000;
/// The length of a day in microseconds.
pub(crate) const DAY: i64 = 86_400_000_000;
const SECONDS_PER_DAY: u32 = 86_400;
const MAX_TIMEDELTA_DAYS: i32 = 999_999_999;

/// A day of the proleptic Gregorian calendar, as Python's `datetime.date`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to the length of the month.
    pub day: u8,
}

impl Date {
    /// The date, if there is such a day.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let length = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        ((1..=9999).contains(&year) && (1..=length).contains(&day)).then_some(Self { year, month, day })
    }

    /// The number of days since the first of March of the year 0.
    pub(crate) fn day_number(self) -> i64 {
        // Years that begin in March have their leap day at the end, so that the lengths of the months before
        // any month follow one formula.
        let (year, month) = if self.month > 2 {
            (i64::from(self.year), i64::from(self.month) - 3)
        } else {
            (i64::from(self.year) - 1, i64::from(self.month) + 9)
        };
        year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + i64::from(self.day) - 1
    }
}

/// A time of day, as Python's `datetime.time` without its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999999.
    pub microsecond: u32,
    /// 0, or 1 for the second of two moments that a clock shows alike.
    pub fold: u8,
}

impl Time {
    /// The time, if there is such a time of day.
    pub fn new(hour: u8, minute: u8, second: u8, microsecond: u32, fold: u8) -> Option<Self> {
        (hour < 24 && minute < 60 && second < 60 && microsecond < 1_000_000 && fold < 2).then_some(Self {
            hour,
            minute,
            second,
            microsecond,
            fold,
        })
    }

    /// The number of microseconds since midnight.
    pub(crate) fn microseconds(self) -> u64 {
        let minutes = u64::from(self.hour) * 60 + u64::from(self.minute);
        let seconds = minutes * 60 + u64::from(self.second);
        seconds * MICROSECONDS_PER_SECOND + u64::from(self.microsecond)
    }

    /// The time that many microseconds after midnight, if that is on the same day.
    pub(crate) fn from_microseconds(microseconds: u64, fold: u8) -> Option<Self> {
        let seconds = microseconds / MICROSECONDS_PER_SECOND;
        let hour = u8::try_from(seconds / 3600).ok()?;
        let (minute, second) = ((seconds / 60 % 60) as u8, (seconds % 60) as u8);
        Self::new(hour, minute, second, (microseconds % MICROSECONDS_PER_SECOND) as u32, fold)
    }
}

/// The part of a normalised `timedelta` below its days, in microseconds.
pub(crate) fn join_timedelta(seconds: u32, microseconds: u32) -> u64 {
    u64::from(seconds) * MICROSECONDS_PER_SECOND + u64::from(microseconds)
}

/// The seconds and microseconds that [`join_timedelta`] joined, if with `days` they make a normalised `timedelta`.
pub(crate) fn split_timedelta(days: i32, below: u64) -> Option<(u32, u32)> {
    let seconds = u32::try_from(below / MICROSECONDS_PER_SECOND).ok()?;
    let valid = (-MAX_TIMEDELTA_DAYS..=MAX_TIMEDELTA_DAYS).contains(&days) && seconds < SECONDS_PER_DAY;
    valid.then_some((seconds, (below % MICROSECONDS_PER_SECOND) as u32))
}

/// A time zone; offsets are in microseconds east of UTC and always less than a day either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone<'a> {
    /// A `datetime.timezone`.
    Fixed {
        /// The offset.
        offset: i64,
        /// The name, if it was given one.
        name: Option<Cow<'a, str>>,
    },
    /// A `zoneinfo.ZoneInfo`.
    Named {
        /// The key, such as `Europe/Berlin`; never empty.
        key: Cow<'a, str>,
        /// The offset at the moment that the zone is attached to, with fold 0; `None` where the zone has none: at a
        /// time without a date, or when it stands for itself.
        offset: Option<i64>,
    },
}

impl Zone<'_> {
    /// The offset at the moment that the zone is attached to, if it has one.
    pub fn offset(&self) -> Option<i64> {
        match *self {
            Self::Fixed { offset, .. } => Some(offset),
            Self::Named { offset, .. } => offset,
        }
    }

    /// The same zone, borrowing nothing.
    pub fn into_owned(self) -> Zone<'static> {
        match self {
            Self::Fixed { offset, name } => {
                Zone::Fixed { offset, name: name.map(|name| Cow::Owned(name.into_owned())) }
            }
            Self::Named { key, offset } => Zone::Named { key: Cow::Owned(key.into_owned()), offset },
        }
    }
}
