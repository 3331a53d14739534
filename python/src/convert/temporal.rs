//! Dates, times, durations and time zones.

use std::borrow::Cow;

use oocmap::{Date, Scalar, Time, Zone};
use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{
        PyDate, PyDateAccess, PyDateTime, PyDelta, PyDeltaAccess, PyTime, PyTimeAccess, PyTuple, PyType,
        PyTzInfo, PyTzInfoAccess,
    },
};

use super::scalar::unsupported;

static TIMEZONE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static ZONE_INFO: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The leaf that an object of the `datetime` or `zoneinfo` module is.
pub(crate) fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Option<Scalar<'static>>> {
    if let Ok(value) = object.cast_exact::<PyDateTime>() {
        return Ok(Some(Scalar::DateTime {
            date: Date {
                year: value.get_year().cast_unsigned() as u16,
                month: value.get_month(),
                day: value.get_day(),
            },
            time: time_of(value),
            zone: attached_zone(value.get_tzinfo(), object)?,
        }));
    }
    if let Ok(value) = object.cast_exact::<PyDate>() {
        return Ok(Some(Scalar::Date(Date {
            year: value.get_year().cast_unsigned() as u16,
            month: value.get_month(),
            day: value.get_day(),
        })));
    }
    if let Ok(value) = object.cast_exact::<PyTime>() {
        return Ok(Some(Scalar::Time {
            time: time_of(value),
            zone: attached_zone(value.get_tzinfo(), object)?,
        }));
    }
    if let Ok(value) = object.cast_exact::<PyDelta>() {
        return Ok(Some(Scalar::TimeDelta {
            days: value.get_days(),
            seconds: value.get_seconds().cast_unsigned(),
            microseconds: value.get_microseconds().cast_unsigned(),
        }));
    }
    if object.cast::<PyTzInfo>().is_ok() {
        return Ok(zone(object, None)?.map(Scalar::Zone));
    }
    Ok(None)
}

fn time_of(value: &impl PyTimeAccess) -> Time {
    Time {
        hour: value.get_hour(),
        minute: value.get_minute(),
        second: value.get_second(),
        microsecond: value.get_microsecond(),
        fold: u8::from(value.get_fold()),
    }
}

/// The zone of a time; its offset is taken with fold 0, by which times are equal and hashed.
fn attached_zone(
    info: Option<Bound<'_, PyTzInfo>>,
    of: &Bound<'_, PyAny>,
) -> PyResult<Option<Zone<'static>>> {
    let Some(info) = info else { return Ok(None) };
    match zone(&info, Some(of))? {
        Some(zone) => Ok(Some(zone)),
        None => Err(unsupported(&info, "a time zone")),
    }
}

fn zone(info: &Bound<'_, PyAny>, of: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Zone<'static>>> {
    let py = info.py();
    let kind = info.get_type();
    if kind.is(TIMEZONE.import(py, "datetime", "timezone")?) {
        let arguments = info.call_method0(intern!(py, "__getinitargs__"))?;
        let arguments = arguments.cast::<PyTuple>()?;
        let name = match arguments.get_item(1) {
            Ok(name) => Some(Cow::Owned(name.extract::<String>()?)),
            Err(_) => None,
        };
        return Ok(Some(Zone::Fixed { offset: microseconds(&arguments.get_item(0)?)?, name }));
    }
    if kind.is(ZONE_INFO.import(py, "zoneinfo", "ZoneInfo")?) {
        let key = info.getattr(intern!(py, "key"))?;
        if key.is_none() {
            return Ok(None);
        }
        let offset = match of {
            None => None,
            Some(of) => {
                let arguments = pyo3::types::PyDict::new(py);
                arguments.set_item(intern!(py, "fold"), 0)?;
                let offset = of
                    .call_method(intern!(py, "replace"), (), Some(&arguments))?
                    .call_method0(intern!(py, "utcoffset"))?;
                if offset.is_none() { None } else { Some(microseconds(&offset)?) }
            }
        };
        return Ok(Some(Zone::Named { key: Cow::Owned(key.extract::<String>()?), offset }));
    }
    Ok(None)
}

fn microseconds(delta: &Bound<'_, PyAny>) -> PyResult<i64> {
    let delta = delta.cast::<PyDelta>()?;
    let seconds = i64::from(delta.get_days()) * 86_400 + i64::from(delta.get_seconds());
    Ok(seconds * 1_000_000 + i64::from(delta.get_microseconds()))
}

/// A leaf of this module as the Python object that it was; other leaves are `None`.
pub(crate) fn to_python_object<'py>(py: Python<'py>, scalar: &Scalar<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match scalar {
        Scalar::Date(date) => PyDate::new(py, i32::from(date.year), date.month, date.day)?.into_any(),
        Scalar::Time { time, zone } => {
            let zone = zone.as_ref().map(|zone| zone_object(py, zone)).transpose()?;
            PyTime::new_with_fold(
                py,
                time.hour,
                time.minute,
                time.second,
                time.microsecond,
                zone.as_ref(),
                time.fold == 1,
            )?
            .into_any()
        }
        Scalar::DateTime { date, time, zone } => {
            let zone = zone.as_ref().map(|zone| zone_object(py, zone)).transpose()?;
            PyDateTime::new_with_fold(
                py,
                i32::from(date.year),
                date.month,
                date.day,
                time.hour,
                time.minute,
                time.second,
                time.microsecond,
                zone.as_ref(),
                time.fold == 1,
            )?
            .into_any()
        }
        Scalar::TimeDelta { days, seconds, microseconds } => {
            PyDelta::new(py, *days, seconds.cast_signed(), microseconds.cast_signed(), false)?.into_any()
        }
        Scalar::Zone(zone) => zone_object(py, zone)?.into_any(),
        _ => py.None().into_bound(py),
    })
}

fn zone_object<'py>(py: Python<'py>, zone: &Zone<'_>) -> PyResult<Bound<'py, PyTzInfo>> {
    let info = match zone {
        Zone::Named { key, .. } => ZONE_INFO.import(py, "zoneinfo", "ZoneInfo")?.call1((key.as_ref(),))?,
        Zone::Fixed { offset, name } => {
            let delta = PyDelta::new(
                py,
                offset.div_euclid(86_400_000_000) as i32,
                (offset.rem_euclid(86_400_000_000) / 1_000_000) as i32,
                (offset.rem_euclid(1_000_000)) as i32,
                false,
            )?;
            let timezone = TIMEZONE.import(py, "datetime", "timezone")?;
            match name {
                None => timezone.call1((delta,))?,
                Some(name) => timezone.call1((delta, name.as_ref()))?,
            }
        }
    };
    Ok(info.cast_into::<PyTzInfo>()?)
}
