//! What is typed, as a schema looks at it.

use serde_json::{Number, Value};

use super::params::Param;

/// A value, however it was typed.
pub(super) enum Seen<'a> {
    Null,
    Bool(bool),
    Number(&'a Number),
    Text(&'a str),
    Bytes,
    List(Vec<Seen<'a>>),
    Object(Vec<(&'a str, Seen<'a>)>),
}

impl<'a> Seen<'a> {
    pub(super) fn of(param: &'a Param) -> Self {
        match param {
            Param::Nothing => Self::Null,
            Param::Text(text) => Self::Text(text),
            Param::Binary(_) => Self::Bytes,
            Param::Json(value) => Self::of_json(value),
            Param::List(items) => Self::List(items.iter().map(Self::of).collect()),
            Param::Object(fields) => {
                Self::Object(fields.iter().map(|(key, part)| (&**key, Self::of(part))).collect())
            }
        }
    }

    fn of_json(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.iter().map(Self::of_json).collect()),
            Value::Object(fields) => {
                Self::Object(fields.iter().map(|(key, part)| (&**key, Self::of_json(part))).collect())
            }
        }
    }

    /// The value in words, short enough for a message.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Bool(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) if text.chars().count() > 40 => {
                format!("{:?}…", text.chars().take(40).collect::<String>())
            }
            Self::Text(text) => format!("{text:?}"),
            Self::Bytes => "bytes".into(),
            Self::List(_) => "a list".into(),
            Self::Object(_) => "an object".into(),
        }
    }

    /// Whether it surely is none of that type of JSON Schema's.
    pub(super) fn is_not(&self, kind: &str) -> bool {
        match kind {
            "null" => !matches!(self, Self::Null),
            "boolean" => !matches!(self, Self::Bool(_)),
            "number" => !matches!(self, Self::Number(_)),
            // 1.0 is an integer to JSON Schema.
            "integer" => !matches!(self, Self::Number(number) if number.as_f64().is_none_or(|n| n.fract() == 0.0)),
            "string" => !matches!(self, Self::Text(_) | Self::Bytes),
            "array" => !matches!(self, Self::List(_) | Self::Bytes),
            // Many readers take a struct's fields in order, too.
            "object" => !matches!(self, Self::Object(_) | Self::List(_)),
            _ => false,
        }
    }

    pub(super) fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            (Self::Text(a), Value::String(b)) => a == b,
            // Not looked into: the plugin does.
            (Self::Bytes, Value::String(_)) => true,
            (Self::List(_) | Self::Object(_), Value::Array(_) | Value::Object(_)) => true,
            _ => false,
        }
    }
}
