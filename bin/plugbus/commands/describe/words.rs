//! A schema, as a person writes types: `{text: string, width?: integer}`, `[string]`, `"good" | "bad"`.

use plugbus::wire::Schema;
use serde_json::Value;

use crate::output::one_line;

/// Deeper than this nobody reads.
const MAX_DEPTH: usize = 4;

/// A type in short; `None` for one that says nothing or takes nothing.
pub(super) fn in_short(schema: Option<&Schema>) -> Option<String> {
    let schema = value(schema?);
    (schema["type"] != "null").then(|| words(&schema, 0))
}

/// A schema is a wrapper around just this.
pub(super) fn value(schema: &Schema) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

/// The fields of an object: name, type in words with its bounds, what it is for, and whether it must be there.
pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let field = |(name, schema_of): (&String, &Value)| Field {
        name: one_line(name),
        what: format!("{}{}", words(schema_of, 0), bounds(schema_of)),
        doc: schema_of["description"].as_str().map(one_line).unwrap_or_default(),
        required: is_required(schema, name),
    };
    properties.map(field).collect()
}

pub(super) struct Field {
    pub(super) name: String,
    pub(super) what: String,
    pub(super) doc: String,
    pub(super) required: bool,
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
}

fn words(schema: &Value, depth: usize) -> String {
    if depth > MAX_DEPTH {
        return "…".into();
    }
    let joined = |parts: &[Value]| parts.iter().map(|part| words(part, depth + 1)).collect::<Vec<_>>().join(" | ");
    if let Some(values) = schema["enum"].as_array() {
        return one_line(&values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | "));
    }
    if let Some(parts) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
        return joined(parts);
    }
    match &schema["type"] {
        Value::String(kind) => of_kind(schema, kind, depth),
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str).map(|kind| of_kind(schema, kind, depth));
            kinds.collect::<Vec<_>>().join(" | ")
        }
        _ => "any".into(),
    }
}

fn of_kind(schema: &Value, kind: &str, depth: usize) -> String {
    match kind {
        "object" => match schema["properties"].as_object() {
            Some(properties) => {
                let field = |(name, part): (&String, &Value)| {
                    let optional = if is_required(schema, name) { "" } else { "?" };
                    format!("{}{optional}: {}", one_line(name), words(part, depth + 1))
                };
                format!("{{{}}}", properties.iter().map(field).collect::<Vec<_>>().join(", "))
            }
            None if schema["additionalProperties"].is_object() => {
                format!("{{*: {}}}", words(&schema["additionalProperties"], depth + 1))
            }
            None => "object".into(),
        },
        "array" => match schema["prefixItems"].as_array() {
            Some(items) => {
                format!("[{}]", items.iter().map(|item| words(item, depth + 1)).collect::<Vec<_>>().join(", "))
            }
            None if schema["items"].is_object() => format!("[{}]", words(&schema["items"], depth + 1)),
            None => "list".into(),
        },
        "string" if schema["contentEncoding"] == "binary" => "bytes".into(),
        kind => one_line(kind),
    }
}

/// What a number or text is held to, where a person would care: ` from 1`, ` from 0 to 255`.
fn bounds(schema: &Value) -> String {
    let end = |key: &str, word: &str| match &schema[key] {
        // What a machine's integers can hold says nothing.
        Value::Number(number) if number.as_f64().is_some_and(|number| number.abs() < 1e9) => {
            format!(" {word} {number}")
        }
        _ => String::new(),
    };
    end("minimum", "from") + &end("maximum", "to")
}

/// Arguments as they could be typed.
pub(super) fn example(schema: Option<&Schema>) -> String {
    let argument = |schema: &Value| match kind(schema) {
        Some("integer" | "number") => "1",
        Some("boolean") => "true",
        Some("array") => "'[]'",
        Some("object") => "'{}'",
        _ => "TEXT",
    };
    let Some(schema) = schema.map(value) else { return " [ARG]...".into() };
    match kind(&schema) {
        Some("null") => String::new(),
        Some("object") if schema["properties"].is_object() => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let required = properties.filter(|(name, _)| is_required(&schema, name));
            required.map(|(name, part)| format!(" {}={}", one_line(name), argument(part))).collect()
        }
        _ => format!(" {}", argument(&schema)),
    }
}

/// The first type that is not `null`.
fn kind(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_in_short() {
        for (schema, short, typed) in [
            (r#"{"type": "string"}"#, Some("string"), " TEXT"),
            (r#"{"type": ["integer", "null"]}"#, Some("integer | null"), " 1"),
            (r#"{"type": "array"}"#, Some("list"), " '[]'"),
            (r#"{"type": "array", "items": {"type": "string"}}"#, Some("[string]"), " '[]'"),
            (r#"{"type": "array", "prefixItems": [{"type": "string"}, {}]}"#, Some("[string, any]"), " '[]'"),
            (r#"{"type": "null"}"#, None, ""),
            (r#"{"enum": ["a", "b"]}"#, Some("\"a\" | \"b\""), " TEXT"),
            (r#"{"anyOf": [{"type": "boolean"}, {"type": "object"}]}"#, Some("boolean | object"), " TEXT"),
            (r#"{"type": "object", "additionalProperties": {"type": "number"}}"#, Some("{*: number}"), " '{}'"),
            (r#"{"type": 7, "properties": []}"#, Some("any"), " TEXT"),
            (
                r#"{"type": "object", "properties": {"text": {"type": "string"}, "width": {"type": "integer"}}, "required": ["text"]}"#,
                Some("{text: string, width?: integer}"),
                " text=TEXT",
            ),
        ] {
            let schema = Schema::from_json(schema).unwrap();
            assert_eq!((in_short(Some(&schema)).as_deref(), example(Some(&schema)).as_str()), (short, typed));
        }
        assert_eq!(in_short(None), None);
    }

    #[test]
    fn bounds_that_mean_something_are_told() {
        let schema = serde_json::json!({"properties": {
            "a": {"type": "integer", "minimum": 1}, "b": {"type": "integer", "minimum": 0, "maximum": 4294967295u32},
        }});
        let told: Vec<_> = fields(&schema).into_iter().map(|field| field.what).collect();
        assert_eq!(told, ["integer from 1", "integer from 0"]);
    }

    #[test]
    fn what_nests_without_end_is_cut() {
        let deep = (0..100).fold(String::from("{}"), |inner, _| format!(r#"{{"type": "array", "items": {inner}}}"#));
        let short = in_short(Some(&Schema::from_json(&deep).unwrap())).unwrap();
        assert_eq!(short, "[[[[[…]]]]]");
    }
}
