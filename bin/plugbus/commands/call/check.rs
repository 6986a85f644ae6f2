//! Whether a method will take what it is about to be given.
//!
//! Only what its schema surely forbids is a problem: keywords that are not known here, and what is looser on the
//! wire than in JSON (positions in place of names, bytes in place of a text), are the plugin's to judge.

use plugbus::wire::nearest;
use serde_json::Value;

use super::params::Param;
use super::seen::Seen;

/// More than this many problems nobody reads.
const MOST: usize = 8;

/// What is wrong with a value by a schema, each with the place it is in; empty where it may be sent.
pub(super) fn problems(param: &Param, schema: &Value) -> Vec<String> {
    let mut checker = Checker { root: schema, found: Vec::new() };
    // No arguments at all are not yet a mistake where none is needed.
    let needs_nothing = schema["required"].as_array().is_none_or(Vec::is_empty);
    if *param != Param::Nothing || !(needs_nothing && matches!(kinds(schema)[..], ["object" | "array"])) {
        checker.check(&Seen::of(param), schema, "", 0);
    }
    checker.found.truncate(MOST);
    checker.found
}

/// Fields that the method does not know and most likely passes over, with what may have been meant.
pub(super) fn strangers(param: &Param, schema: &Value) -> Vec<(String, String)> {
    let (Some(known), Seen::Object(fields)) = (schema["properties"].as_object(), Seen::of(param)) else {
        return Vec::new();
    };
    if schema.get("additionalProperties").is_some() {
        return Vec::new();
    }
    let unknown = fields.iter().filter(|(name, _)| !known.contains_key(*name));
    let meant = unknown.filter_map(|(name, _)| {
        let near = nearest(name, known.keys().map(String::as_str));
        Some(((*name).to_owned(), (*near.first()?).to_owned()))
    });
    meant.collect()
}

struct Checker<'a> {
    root: &'a Value,
    found: Vec<String>,
}

impl Checker<'_> {
    fn check(&mut self, seen: &Seen<'_>, schema: &Value, place: &str, depth: usize) {
        // A schema may refer to itself without end; what is typed by hand is not this deep.
        if depth > 32 || self.found.len() >= MOST {
            return;
        }
        if let Some(to) = schema["$ref"].as_str().and_then(|path| self.root.pointer(path.strip_prefix('#')?)) {
            let to = to.clone();
            self.check(seen, &to, place, depth + 1);
        }
        let kinds = kinds(schema);
        if !kinds.is_empty() && kinds.iter().all(|kind| seen.is_not(kind)) {
            let wanted: Vec<_> = kinds.iter().map(|kind| with_article(kind)).collect();
            return self.note(place, format!("must be {}, not {}", wanted.join(" or "), seen.words()));
        }
        self.one_of(seen, schema, place, depth);
        match seen {
            Seen::Number(number) => {
                self.note_some(place, out_of_bounds(number.as_f64(), "", schema, ["minimum", "maximum"]));
            }
            Seen::Text(text) => {
                let length = Some(text.chars().count() as f64);
                self.note_some(place, out_of_bounds(length, " characters", schema, ["minLength", "maxLength"]));
            }
            Seen::List(items) if kinds != ["object"] => self.items(items, schema, place, depth),
            Seen::Object(fields) => self.fields(fields, schema, place, depth),
            _ => {}
        }
    }

    fn one_of(&mut self, seen: &Seen<'_>, schema: &Value, place: &str, depth: usize) {
        if let Some(values) = schema["enum"].as_array()
            && !values.iter().any(|value| seen.equals(value))
        {
            let values: Vec<_> = values.iter().map(Value::to_string).collect();
            self.note(place, format!("must be one of {}, not {}", values.join(", "), seen.words()));
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.check(seen, part, place, depth + 1);
        }
        let any = [&schema["anyOf"], &schema["oneOf"]].into_iter().filter_map(Value::as_array);
        for parts in any.filter(|parts| !parts.is_empty()) {
            let tried = parts.iter().map(|part| {
                let mut inner = Checker { root: self.root, found: Vec::new() };
                inner.check(seen, part, place, depth + 1);
                inner.found
            });
            // Of several, the one that came nearest says best what is wrong.
            let least = tried.min_by_key(Vec::len).unwrap_or_default();
            self.found.extend(least);
        }
    }

    fn items(&mut self, items: &[Seen<'_>], schema: &Value, place: &str, depth: usize) {
        let length = Some(items.len() as f64);
        self.note_some(place, out_of_bounds(length, " items", schema, ["minItems", "maxItems"]));
        for (nth, item) in items.iter().enumerate() {
            let schema = schema["prefixItems"].get(nth).unwrap_or(&schema["items"]);
            self.check(item, schema, &format!("{place}[{nth}]"), depth + 1);
        }
    }

    fn fields(&mut self, fields: &[(&str, Seen<'_>)], schema: &Value, place: &str, depth: usize) {
        let inside = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for name in required.filter(|name| fields.iter().all(|(given, _)| given != name)) {
            self.note(&inside(name), "is missing".into());
        }
        for (name, part) in fields {
            match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(of_field), _) => self.check(part, of_field, &inside(name), depth + 1),
                // Patterns of names are not looked at.
                (None, Value::Bool(false)) if schema.get("patternProperties").is_none() => {
                    let known = schema["properties"].as_object().into_iter().flat_map(|known| known.keys());
                    let near = nearest(name, known.map(String::as_str)).join(", ");
                    let meant = if near.is_empty() { near } else { format!("; did you mean {near}?") };
                    self.note(&inside(name), format!("is not known{meant}"));
                }
                (None, rest) => self.check(part, rest, &inside(name), depth + 1),
            }
        }
    }

    fn note_some(&mut self, place: &str, problem: Option<String>) {
        if let Some(problem) = problem {
            self.note(place, problem);
        }
    }

    fn note(&mut self, place: &str, problem: String) {
        self.found.push(if place.is_empty() { format!("it {problem}") } else { format!("{place} {problem}") });
    }
}

fn out_of_bounds(size: Option<f64>, unit: &str, schema: &Value, [least, most]: [&str; 2]) -> Option<String> {
    let size = size?;
    match (schema[least].as_f64(), schema[most].as_f64()) {
        (Some(least), _) if size < least => Some(format!("must be at least {least}{unit}, not {size}")),
        (_, Some(most)) if size > most => Some(format!("must be at most {most}{unit}, not {size}")),
        _ => None,
    }
}

fn kinds(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn with_article(kind: &str) -> String {
    match kind {
        "null" => "nothing".into(),
        "boolean" => "true or false".into(),
        "string" => "a text".into(),
        "array" => "a list".into(),
        "integer" | "object" => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(value: Value, schema: Value) -> String {
        problems(&Param::Json(value), &schema).join("; ")
    }

    fn wrap() -> Value {
        json!({
            "type": "object", "required": ["text", "width"],
            "properties": {
                "text": {"type": "string"}, "width": {"type": "integer", "minimum": 1, "maximum": 65535},
                "fill": {"enum": ["left", "right"]}, "tabs": {"type": ["integer", "null"]},
            },
        })
    }

    #[test]
    fn what_a_schema_forbids_is_named_with_its_place() {
        for (value, problem) in [
            (json!({"text": "a", "width": 2}), ""),
            (json!({"text": "a"}), "width is missing"),
            (json!({}), "text is missing; width is missing"),
            (json!({"text": 7, "width": 2}), "text must be a text, not 7"),
            (json!({"text": "a", "width": "2"}), "width must be an integer, not \"2\""),
            (json!({"text": "a", "width": 2.5}), "width must be an integer, not 2.5"),
            (json!({"text": "a", "width": 0}), "width must be at least 1, not 0"),
            (json!({"text": "a", "width": 70000}), "width must be at most 65535, not 70000"),
            (json!({"text": "a", "width": 2, "fill": "up"}), "fill must be one of \"left\", \"right\", not \"up\""),
            (json!({"text": "a", "width": 2, "tabs": true}), "tabs must be an integer or nothing, not true"),
            (json!("a"), "it must be an object, not \"a\""),
            (json!(null), "it must be an object, not nothing"),
        ] {
            assert_eq!(found(value.clone(), wrap()), problem, "{value}");
        }
        let lists = json!({"type": "array", "items": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}], "minItems": 2}});
        assert_eq!(found(json!([["a", 1], ["b", "c"]]), lists.clone()), "[1][1] must be a number, not \"c\"");
        assert_eq!(found(json!([["a"]]), lists), "[0] must be at least 2 items, not 1");
    }

    #[test]
    fn what_the_plugin_may_take_is_passed() {
        for (value, schema) in [
            (json!({"text": "a", "width": 2, "more": 1, "tabs": null}), wrap()),
            (json!({"text": "a", "width": 2.0}), wrap()),
            (json!(["a", 2]), wrap()),
            (json!("x"), json!({"type": "string", "pattern": "^[0-9]+$", "format": "date"})),
            (json!("x"), json!({"type": "elsewhere", "minimum": "7", "enum": "x", "properties": 7, "items": []})),
            (json!([1, {"a": 2}]), json!({})),
            (json!(7), json!({"anyOf": [{"type": "string"}, {"type": "integer"}]})),
            (json!({"a": {"a": 1}}), json!({"properties": {"a": {"$ref": "#"}}})),
            (json!({"a": 1}), json!({"$ref": "https://elsewhere.example/schema"})),
        ] {
            assert_eq!(found(value.clone(), schema.clone()), "", "{value} {schema}");
        }
        assert_eq!(problems(&Param::Nothing, &json!({"type": "object"})), [""; 0]);
        assert_eq!(problems(&Param::Nothing, &json!({"type": "string"})), ["it must be a text, not nothing"]);
        assert_eq!(problems(&Param::Binary(vec![0xff]), &json!({"type": "string"})), [""; 0]);
    }

    #[test]
    fn choices_and_references() {
        let shape = json!({"anyOf": [
            {"enum": ["Nothing"]},
            {"type": "object", "properties": {"Circle": {"type": "number"}}, "required": ["Circle"], "additionalProperties": false},
        ]});
        assert_eq!(found(json!("Nothing"), shape.clone()), "");
        assert_eq!(found(json!({"Circle": 1.5}), shape.clone()), "");
        assert_ne!(found(json!({"Circel": 1.5}), shape.clone()), "");
        assert_ne!(found(json!("Square"), shape), "");
        let tree =
            json!({"$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "$ref": "#/$defs/tree"});
        assert_eq!(found(json!([[], [[7]]]), tree), "[1][0][0] must be a list, not 7");
    }

    #[test]
    fn a_name_that_is_mistyped_is_told_and_sent() {
        let param = Param::Json(json!({"text": "a", "widht": 2, "zzz": 1}));
        assert_eq!(strangers(&param, &wrap()), [("widht".to_owned(), "width".to_owned())]);
        assert_eq!(
            found(json!({"widht": 2}), json!({"properties": {"width": {}}, "additionalProperties": false})),
            "widht is not known; did you mean width?"
        );
    }
}
