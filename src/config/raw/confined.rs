//! The keys of how a plugin is confined; each may be "inherit", which leaves what the supervisor has.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::de::DeValue;

use super::read::{Entry, Reader};
use super::value::{self, Wrong, mismatch, outside};
use super::{Field, Name};
use crate::config::report::quote;
use crate::supervisor::Sandbox;

/// The word for what is not changed.
const INHERIT: &str = "inherit";

/// The most that anything is limited to: 2^50, a pebibyte.
pub(super) const MOST: u64 = 1 << 50;

/// A key that may be left to the supervisor.
type Inherited<T> = Option<Field<Option<T>>>;

impl Reader<'_, '_> {
    pub(super) fn inherited<T: FromStr + PartialOrd + Display>(
        &mut self,
        entry: &Entry<'_>,
        range: RangeInclusive<T>,
    ) -> Inherited<T> {
        self.inheritable(entry, "a whole number", |value| number(value, &range))
    }

    pub(super) fn inherited_size(&mut self, entry: &Entry<'_>) -> Inherited<u64> {
        self.inheritable(entry, "a size such as \"10MiB\"", |value| {
            value::size_to(value, 0..=MOST, &["0B", "1048576GiB"])
        })
    }

    pub(super) fn inherited_seconds(&mut self, entry: &Entry<'_>) -> Inherited<u64> {
        self.inheritable(entry, "a duration such as \"30s\"", |value| {
            let range = std::time::Duration::from_secs(1)..=super::YEAR;
            value::duration(value, range).map(|time| time.as_secs())
        })
    }

    /// Mode bits as chmod takes them, in octal.
    pub(super) fn umask(&mut self, entry: &Entry<'_>) -> Inherited<u32> {
        let expected = "mode bits such as \"0027\"";
        self.inheritable(entry, expected, |value| {
            let text = value.as_str().ok_or_else(|| mismatch(expected, value))?;
            let digits = text.len() <= 4 && !text.is_empty() && text.chars().all(|c| c.is_digit(8));
            let umask = u32::from_str_radix(text, 8).ok().filter(|umask| digits && *umask <= 0o777);
            umask.ok_or_else(|| format!("{} is no umask: write three octal digits, \"027\"", quote(text)).into())
        })
    }

    /// A user or a group, by name or number.
    pub(super) fn principal(&mut self, entry: &Entry<'_>) -> Inherited<String> {
        let read = match entry.value.as_str() {
            Some(INHERIT) => Ok(None),
            _ => name_or_number(entry.value).map(Some),
        };
        self.field(entry, read)
    }

    /// Users or groups, by name or number.
    pub(super) fn principals(&mut self, entry: &Entry<'_>) -> Option<Field<Vec<Name>>> {
        let expected = "a list of names";
        let read = self.list(entry, expected, |at, value| name_or_number(value).map(|text| Name { at, text }));
        Some(Field { at: entry.at, key: entry.key.clone(), value: read })
    }

    /// Whether capabilities are kept: true for none of them.
    pub(super) fn capabilities(&mut self, entry: &Entry<'_>) -> Option<Field<bool>> {
        self.field(entry, value::choice(entry.value, &[("keep", false), ("none", true)]))
    }

    pub(super) fn sandbox(&mut self, entry: &Entry<'_>) -> Option<Field<Sandbox>> {
        self.field(entry, value::choice(entry.value, &Sandbox::ALL.map(|sandbox| (sandbox.as_str(), sandbox))))
    }

    pub(super) fn ports(&mut self, entry: &Entry<'_>) -> Option<Field<Vec<u16>>> {
        let read = self.list(entry, "a list of ports", |_, port| number(port, &(1..=u16::MAX)));
        Some(Field { at: entry.at, key: entry.key.clone(), value: read })
    }

    /// Names of variables, and patterns of them.
    pub(super) fn variables(&mut self, entry: &Entry<'_>) -> Option<Field<Vec<Name>>> {
        let read = self.list(entry, "a list of variables' names", |at, text| {
            let text = value::text(text)?;
            match glob::Pattern::new(&text) {
                _ if text.is_empty() || text.contains('=') => {
                    Err(format!("{} is no variable's name: a value is given by env", quote(&text)).into())
                }
                Ok(_) => Ok(Name { at, text }),
                Err(why) => Err(format!("{} is no pattern: {}", quote(&text), why.msg).into()),
            }
        });
        Some(Field { at: entry.at, key: entry.key.clone(), value: read })
    }

    /// A path, or a list of them.
    pub(super) fn paths(&mut self, entry: &Entry<'_>) -> Option<Field<Vec<Name>>> {
        match entry.value {
            DeValue::String(_) => {
                let one = value::text(entry.value).map(|text| vec![Name { at: entry.at, text }]);
                self.field(entry, one)
            }
            _ => self.texts(entry),
        }
    }

    fn inheritable<T>(
        &mut self,
        entry: &Entry<'_>,
        expected: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Inherited<T> {
        let read = match entry.value.as_str() {
            Some(INHERIT) => Ok(None),
            Some(word) if word.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                Err(format!("expected {expected}, or {INHERIT:?}, found {}", quote(word)).into())
            }
            _ => read(entry.value).map(Some),
        };
        self.field(entry, read)
    }
}

fn name_or_number(value: &DeValue<'_>) -> Result<String, Wrong> {
    match value {
        DeValue::String(name) if !name.is_empty() => Ok(name.to_string()),
        DeValue::Integer(_) => number(value, &(0..=u32::MAX - 1)).map(|id: u32| id.to_string()),
        _ => Err(mismatch("a name or a number", value)),
    }
}

fn number<T: FromStr + PartialOrd + Display>(value: &DeValue<'_>, range: &RangeInclusive<T>) -> Result<T, Wrong> {
    let integer = value.as_integer().ok_or_else(|| mismatch("a whole number, or \"inherit\"", value))?;
    let found = integer.to_string();
    let number =
        i128::from_str_radix(integer.as_str(), integer.radix()).ok().and_then(|it| it.to_string().parse().ok());
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| outside(range.start(), range.end(), &value::clip(&found)))
}
