use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

#[derive(Deserialize)]
#[allow(dead_code, reason = "only described")]
struct Wrap {
    text: String,
    width: std::num::NonZeroU16,
    indent: Option<u8>,
    #[serde(default)]
    hyphenate: bool,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only described")]
enum Mood {
    Good,
    Bad,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only described")]
struct Tree {
    name: String,
    branches: Vec<Tree>,
    parent: Option<Box<Tree>>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only described")]
enum Shape {
    Nothing,
    Circle(f64),
    Line(i64, i64),
    Named { label: String, mood: Option<Mood> },
    Group(Vec<Shape>),
}

/// Takes a date and no other text.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Date;

impl TryFrom<String> for Date {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() { Err("no date") } else { Ok(Self) }
    }
}

fn schema<T: DeserializeOwned>() -> Value {
    of::<T>().map_or(Value::Null, |schema| serde_json::from_str(&schema.to_string()).unwrap())
}

#[test]
fn plain_types() {
    assert_eq!(schema::<String>(), json!({"type": "string"}));
    assert_eq!(schema::<Option<u8>>(), json!({"type": ["integer", "null"], "minimum": 0, "maximum": 255}));
    assert_eq!(schema::<Vec<f64>>(), json!({"type": "array", "items": {"type": "number"}}));
    assert_eq!(schema::<()>(), json!({"type": "null"}));
    let map = json!({"type": "object", "additionalProperties": {"type": "boolean"}});
    assert_eq!(schema::<HashMap<String, bool>>(), map);
    let pair = json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2, "maxItems": 2});
    assert_eq!(schema::<(String, i64)>(), pair);
    assert_eq!(schema::<Mood>(), json!({"title": "Mood", "type": "string", "enum": ["Good", "Bad"]}));
    assert_eq!(schema::<Value>(), Value::Null);
}

#[test]
fn structs_know_their_required_fields() {
    let expected = json!({
        "title": "Wrap",
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "width": {"type": "integer", "minimum": 0, "maximum": 65535},
            "indent": {"type": ["integer", "null"], "minimum": 0, "maximum": 255},
            "hyphenate": {"type": "boolean"},
        },
        "required": ["text", "width"],
    });
    assert_eq!(schema::<Wrap>(), expected);
    assert_eq!(schema::<Vec<Option<Wrap>>>()["items"]["required"], json!(["text", "width"]));
    assert_eq!(schema::<HashMap<String, Wrap>>()["additionalProperties"], expected);
}

#[test]
fn enums_show_what_each_variant_carries() {
    let found = schema::<Shape>();
    let any = found["anyOf"].as_array().unwrap();
    assert_eq!(any[0], json!({"type": "string", "enum": ["Nothing"]}));
    assert_eq!(any[1]["properties"]["Circle"], json!({"type": "number"}));
    assert_eq!(any[2]["properties"]["Line"]["prefixItems"], json!([{"type": "integer"}, {"type": "integer"}]));
    let named = &any[3]["properties"]["Named"];
    assert_eq!(named["properties"]["mood"]["enum"], json!(["Good", "Bad", null]));
    assert_eq!(named["required"], json!(["label"]));
    assert_eq!((&any[4]["required"], &any[4]["properties"]["Group"]), (&json!(["Group"]), &json!({"type": "array"})));
    assert_eq!(any.len(), 5);
}

#[test]
fn a_type_that_contains_itself_ends() {
    let found = schema::<Tree>();
    assert_eq!(found["required"], json!(["name", "branches"]));
    assert_eq!(found["properties"]["branches"], json!({"type": "array"}));
}

#[test]
fn what_takes_no_plain_value_hides_nothing_else() {
    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only described")]
    struct Appointment {
        who: String,
        when: Date,
        place: Option<String>,
    }
    let found = schema::<Appointment>();
    assert_eq!(found["properties"]["place"], json!({"type": ["string", "null"]}));
    assert_eq!(found["required"], json!(["who", "when"]));
}

#[test]
fn other_names_of_a_field_are_left_out_and_it_is_never_required() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only described")]
    struct Renamed {
        #[serde(alias = "a_width", alias = "w")]
        width: u8,
        text: String,
    }
    let found = schema::<Renamed>();
    let names: Vec<_> = found["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((names, &found["required"]), (vec!["text", "width"], &json!(["text"])));
    assert_eq!(found.get("additionalProperties"), None, "`w` is accepted");
}

#[test]
fn who_takes_nothing_unknown_says_so() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only described")]
    struct Strict {
        text: String,
    }
    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only described")]
    enum Open {
        Known,
        #[serde(other)]
        Other,
    }
    assert_eq!(schema::<Strict>()["additionalProperties"], json!(false));
    assert_eq!(schema::<Open>(), json!({"title": "Open", "type": "string", "examples": ["Known", "Other"]}));
}

#[test]
fn results_that_are_plain_need_not_be_readable() {
    let plain = |schema: Option<Schema>| schema.map(|schema| schema.to_string());
    assert_eq!(plain(of_plain::<&'static str>()).as_deref(), Some(r#"{"type":"string"}"#));
    assert_eq!(plain(of_plain::<Vec<String>>()).as_deref(), Some(r#"{"items":{"type":"string"},"type":"array"}"#));
    assert_eq!(plain(of_plain::<Option<bool>>()).as_deref(), Some(r#"{"type":["boolean","null"]}"#));
    assert_eq!(plain(of_plain::<()>()).as_deref(), Some(r#"{"type":"null"}"#));
    assert_eq!(plain(of_plain::<Value>()), None);
}
