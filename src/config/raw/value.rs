//! Turns one TOML value into one type, or says what was expected and what is there.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use crate::bus::Lane;
use crate::config::report::{Remark, nearest, quote};
use crate::supervisor::{AtIntensity, CgroupUse, EventKind, RestartPolicy, SoftSignal};
use crate::trust::Trust;
use crate::wire::{check_method, check_plugin_name};

/// What is wrong with a value.
pub(super) type Wrong = Remark;

/// Variables that tell a plugin who it is; the supervisor alone sets them.
const RESERVED_VARIABLES: [&str; 8] = [
    "PLUGBUS_PROTOCOL",
    "PLUGBUS_PROTOCOL_MAX",
    "PLUGBUS_BUS_DIR",
    "PLUGBUS_NAME",
    "PLUGBUS_INSTANCE",
    "PLUGBUS_CALL_URL",
    "PLUGBUS_SURVEY_URL",
    "PLUGBUS_ORPHAN_TIMEOUT_MS",
];

const RESTART: [(&str, RestartPolicy); 3] =
    [("always", RestartPolicy::Always), ("on-failure", RestartPolicy::OnFailure), ("never", RestartPolicy::Never)];

const AT_INTENSITY: [(&str, AtIntensity); 2] = [("go-on", AtIntensity::GoOn), ("fail", AtIntensity::Fail)];

/// What a plugin does when its supervisor has gone without stopping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum OnSupervisorExit {
    Keep,
    Stop,
}

/// How long a plugin waits for a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum OrphanTimeout {
    /// As `on_supervisor_exit` has it.
    Auto,
    Off,
    After(Duration),
}

const ON_SUPERVISOR_EXIT: [(&str, OnSupervisorExit); 2] =
    [("keep", OnSupervisorExit::Keep), ("stop", OnSupervisorExit::Stop)];

const CGROUP: [(&str, CgroupUse); 3] = [("auto", CgroupUse::Auto), ("on", CgroupUse::On), ("off", CgroupUse::Off)];

const ORPHAN_TIMEOUT: [(&str, OrphanTimeout); 2] = [("auto", OrphanTimeout::Auto), ("off", OrphanTimeout::Off)];

const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

pub(super) fn text(value: &DeValue<'_>) -> Result<String, Wrong> {
    match value.as_str() {
        Some(text) if text.contains('\0') => Err("holds a NUL character, which no program can be given".into()),
        Some(text) => Ok(text.to_owned()),
        None => Err(mismatch("a string", value)),
    }
}

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Wrong> {
    value.as_bool().ok_or_else(|| mismatch("true or false", value))
}

pub(super) fn whole(value: &DeValue<'_>, range: RangeInclusive<u32>) -> Result<u32, Wrong> {
    let integer = value.as_integer().ok_or_else(|| mismatch("a whole number", value))?;
    u32::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| outside(&range.start(), &range.end(), &clip(&integer.to_string())))
}

/// A part of one: 0 to 1.
pub(super) fn share(value: &DeValue<'_>) -> Result<f64, Wrong> {
    let text = match value {
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        _ => return Err(mismatch("a number from 0 to 1", value)),
    };
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| outside(&0, &1, &clip(&text)))
}

pub(super) fn duration(value: &DeValue<'_>, range: RangeInclusive<Duration>) -> Result<Duration, Wrong> {
    let text = value.as_str().ok_or_else(|| mismatch("a duration such as \"500ms\"", value))?;
    let duration = humantime::parse_duration(text)
        .map_err(|why| Wrong::from(format!("{} is not a duration: {why}", quote(text))))?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let (start, end) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
    Err(outside(&start, &end, &quote(text)))
}

/// A number of bytes, written with a unit.
pub(super) fn size(value: &DeValue<'_>, range: RangeInclusive<u64>) -> Result<u64, Wrong> {
    size_to(value, range, &["4KiB", "1024GiB"])
}

/// The same, with the ends of the range in words.
pub(super) fn size_to(value: &DeValue<'_>, range: RangeInclusive<u64>, ends: &[&str; 2]) -> Result<u64, Wrong> {
    let text = value.as_str().ok_or_else(|| mismatch("a size such as \"10MiB\"", value))?;
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let Some((_, bytes)) = UNITS.iter().find(|(name, _)| *name == unit).filter(|_| digits > 0) else {
        let units: Vec<_> = UNITS.iter().map(|(name, _)| *name).collect();
        let message = format!("{} is not a size: write a whole number and one of {}", quote(text), units.join(", "));
        let same = units.iter().find(|name| name.eq_ignore_ascii_case(unit)).filter(|_| digits > 0 && digits < 20);
        return Err(Wrong { message, suggestion: same.map(|unit| format!("{number}{unit}")) });
    };
    let size = number.parse().ok().and_then(|number: u64| number.checked_mul(*bytes));
    size.filter(|size| range.contains(size)).ok_or_else(|| outside(&ends[0], &ends[1], &quote(text)))
}

pub(super) fn restart(value: &DeValue<'_>) -> Result<RestartPolicy, Wrong> {
    choice(value, &RESTART)
}

pub(super) fn at_intensity(value: &DeValue<'_>) -> Result<AtIntensity, Wrong> {
    choice(value, &AT_INTENSITY)
}

pub(super) fn soft_signal(value: &DeValue<'_>) -> Result<Option<SoftSignal>, Wrong> {
    let signals = SoftSignal::ALL.map(|signal| (signal.as_str(), Some(signal)));
    choice(value, &[&[("none", None)], &signals[..]].concat())
}

pub(super) fn trust(value: &DeValue<'_>) -> Result<Trust, Wrong> {
    choice(value, &Trust::ALL.map(|trust| (trust.as_str(), trust)))
}

pub(super) fn lane(value: &DeValue<'_>) -> Result<Lane, Wrong> {
    choice(value, &Lane::ALL.map(|lane| (lane.name(), lane)))
}

pub(super) fn cgroup(value: &DeValue<'_>) -> Result<CgroupUse, Wrong> {
    choice(value, &CGROUP)
}

pub(super) fn on_supervisor_exit(value: &DeValue<'_>) -> Result<OnSupervisorExit, Wrong> {
    choice(value, &ON_SUPERVISOR_EXIT)
}

pub(super) fn orphan_timeout(value: &DeValue<'_>, range: RangeInclusive<Duration>) -> Result<OrphanTimeout, Wrong> {
    match choice(value, &ORPHAN_TIMEOUT) {
        Ok(word) => Ok(word),
        Err(_) if value.as_str().is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit())) => {
            duration(value, range).map(OrphanTimeout::After)
        }
        Err(wrong) => Err(Wrong { message: format!("{}, or a duration such as \"10s\"", wrong.message), ..wrong }),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(value: &DeValue<'_>, choices: &[(&str, T)]) -> Result<T, Wrong> {
    let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
    let expected = match words.split_last() {
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    };
    let text = value.as_str().ok_or_else(|| mismatch(&expected, value))?;
    match choices.iter().find(|(word, _)| *word == text) {
        Some((_, choice)) => Ok(*choice),
        None => Err(Wrong {
            message: format!("expected {expected}, found {}", quote(text)),
            suggestion: nearest(text, choices.iter().map(|(word, _)| word)),
        }),
    }
}

/// A plugin's method.
pub(super) fn method(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = text(value)?;
    match text.split_once('.') {
        Some((plugin, method)) if check_plugin_name(plugin).is_ok() && check_method(method).is_ok() => Ok(text),
        _ => {
            let advice = "write \"plugin.method\", or a command as a list such as [\"program\", \"argument\"]";
            Err(format!("{} is no plugin's method: {advice}", quote(&text)).into())
        }
    }
}

/// A list of kinds of events.
pub(super) fn kinds(value: &DeValue<'_>) -> Result<Vec<EventKind>, Wrong> {
    let names = EventKind::ALL.map(EventKind::as_str);
    let expected = format!("a list of {}", names.map(quote).join(", "));
    let list = value.as_array().ok_or_else(|| mismatch(&expected, value))?;
    let kind = |value: &DeValue<'_>| {
        let text = value.as_str().ok_or_else(|| mismatch(&expected, value))?;
        let kind = EventKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.ok_or_else(|| Wrong {
            message: format!("expected {expected}, found {}", quote(text)),
            suggestion: nearest(text, names.iter()),
        })
    };
    list.iter().map(|value| kind(value.get_ref())).collect()
}

/// What a process can exit with.
pub(super) fn exit_code(value: &DeValue<'_>) -> Result<u8, Wrong> {
    whole(value, 0..=255).and_then(|code| u8::try_from(code).map_err(|error| error.to_string().into()))
}

/// A command that is not a list; a line for a shell is shown as one.
pub(super) fn not_a_command(value: &DeValue<'_>) -> Wrong {
    let wrong = mismatch("a list such as [\"program\", \"argument\"]", value);
    match value.as_str().filter(|line| line.len() <= 64 && !line.trim().is_empty()) {
        Some(line) => {
            let parts: Vec<_> = line.split_whitespace().collect();
            format!("{}: write {parts:?}", wrong.message).into()
        }
        None => wrong,
    }
}

/// Whether a plugin may be given a variable of this name.
pub(super) fn check_variable(name: &str) -> Result<(), Wrong> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(format!("{} is not a variable's name", quote(name)).into());
    }
    if RESERVED_VARIABLES.contains(&name) {
        return Err("is set by the supervisor: choose another name".into());
    }
    Ok(())
}

/// A value as people would call it.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", quote(text)),
        DeValue::Integer(integer) => format!("the integer {}", clip(&integer.to_string())),
        DeValue::Float(float) => format!("the float {}", clip(float.as_str())),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

pub(super) fn mismatch(expected: &str, value: &DeValue<'_>) -> Wrong {
    format!("expected {expected}, found {}", describe(value)).into()
}

pub(super) fn outside(start: &dyn Display, end: &dyn Display, found: &str) -> Wrong {
    format!("must be {start} to {end}, not {found}").into()
}

/// A number has no quotes to be cut within, and may still have a million digits.
pub(super) fn clip(number: &str) -> String {
    number.chars().take(32).collect()
}
