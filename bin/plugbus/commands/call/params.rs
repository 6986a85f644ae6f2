//! From the arguments at a shell to what the method is given.

use plugbus::wire::Schema;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::input::Input;

/// What the method is given, or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Param {
    Nothing,
    Text(String),
    Binary(Vec<u8>),
    Json(Value),
    List(Vec<Param>),
    Object(Vec<(String, Param)>),
}

impl Serialize for Param {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_unit(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Binary(bytes) => serializer.serialize_bytes(bytes),
            Self::Json(value) => value.serialize(serializer),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Object(fields) => {
                let mut object = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(key, value)| object.serialize_entry(key, value))?;
                object.end()
            }
        }
    }
}

/// Reads the arguments as the method's schema wants them, or all as JSON.
pub(super) fn params(args: &[Input], schema: Option<&Schema>, json: bool) -> Result<Param, String> {
    // A schema is a wrapper around just this.
    let schema = schema.and_then(|schema| serde_json::to_value(schema).ok()).unwrap_or(Value::Null);
    match (args, kind(&schema)) {
        ([], _) => Ok(Param::Nothing),
        ([one], _) if json => as_json(one, "JSON").map(Param::Json),
        (several, _) if json => several.iter().map(|arg| as_json(arg, "JSON").map(Param::Json)).collect_list(),
        (args, Some("object")) => object(args, &schema),
        ([one], Some("array")) if as_json(one, "").is_ok_and(|value| value.is_array()) => value(one, &schema),
        (items, Some("array")) => {
            items.iter().enumerate().map(|(nth, item)| value(item, item_schema(&schema, nth))).collect_list()
        }
        ([one], _) => value(one, &schema),
        (several, _) => several.iter().map(|arg| value(arg, &Value::Null)).collect_list(),
    }
}

trait CollectList: Iterator<Item = Result<Param, String>> + Sized {
    fn collect_list(self) -> Result<Param, String> {
        self.collect::<Result<_, _>>().map(Param::List)
    }
}

impl<I: Iterator<Item = Result<Param, String>>> CollectList for I {}

/// An object as one JSON argument, or as KEY=VALUE arguments.
fn object(args: &[Input], schema: &Value) -> Result<Param, String> {
    if let [one] = args
        && one.key().is_none()
        && one.bytes().trim_ascii_start().starts_with(b"{")
    {
        return as_json(one, "an object").map(Param::Json);
    }
    let mut fields: Vec<(String, Param)> = Vec::new();
    for arg in args {
        let key = arg.key().ok_or_else(|| no_pair(arg, schema))?;
        if fields.iter().any(|(known, _)| known == key) {
            return Err(format!("{key} is given twice"));
        }
        let field = value(arg, &schema["properties"][key]).map_err(|problem| format!("{key}: {problem}"))?;
        fields.push((key.to_owned(), field));
    }
    Ok(Param::Object(fields))
}

fn no_pair(arg: &Input, schema: &Value) -> String {
    let keys = keys(schema);
    let typed = quote(arg);
    format!("the method takes an object{keys}, as one JSON argument or as KEY=VALUE arguments: {typed} is neither")
}

/// The names of an object's fields, to show what could be written.
fn keys(schema: &Value) -> String {
    let names = schema["properties"].as_object().into_iter().flat_map(|properties| properties.keys().cloned());
    match names.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => String::new(),
        names => format!(" with {names}"),
    }
}

/// One argument as its schema wants it.
fn value(arg: &Input, schema: &Value) -> Result<Param, String> {
    let wanted = match kind(schema) {
        Some("integer") => "an integer",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        Some("object") => "an object",
        Some("array") => "a list",
        Some("null") => "null",
        _ if schema["contentEncoding"] == "binary" => return Ok(Param::Binary(arg.bytes().to_vec())),
        _ => return Ok(text(arg)),
    };
    as_json(arg, wanted).map(Param::Json)
}

/// A text; what is no UTF-8 can only be meant as bytes.
fn text(arg: &Input) -> Param {
    match std::str::from_utf8(arg.text()) {
        Ok(text) => Param::Text(text.to_owned()),
        Err(_) => Param::Binary(arg.bytes().to_vec()),
    }
}

fn as_json(arg: &Input, wanted: &str) -> Result<Value, String> {
    serde_json::from_slice(arg.bytes())
        .map_err(|error| format!("the method takes {wanted}, {} is not: {error}", quote(arg)))
}

/// The argument for a message; what came through a pipe may be long.
fn quote(arg: &Input) -> String {
    let text = String::from_utf8_lossy(arg.text());
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The first type that is not `null`.
fn kind(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    }
}

fn item_schema(schema: &Value, nth: usize) -> &Value {
    schema["prefixItems"].get(nth).unwrap_or(&schema["items"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::input;
    use super::*;

    fn inputs(args: &[&str], schema: Option<&Schema>, stdin: &[u8]) -> Vec<Input> {
        let args: Vec<_> = args.iter().map(Into::into).collect();
        input::read(&args, schema.and_then(Schema::kind).as_deref() == Some("object"), stdin).unwrap()
    }

    fn read(args: &[&str], schema: &str, json: bool) -> Result<Value, String> {
        let schema = (!schema.is_empty()).then(|| Schema::from_json(schema).unwrap());
        let args = inputs(args, schema.as_ref().filter(|_| !json), b"");
        params(&args, schema.as_ref(), json).map(|param| serde_json::to_value(param).unwrap())
    }

    const INTEGER: &str = r#"{"type": "integer"}"#;
    const LIST: &str = r#"{"type": "array", "items": {"type": "integer"}}"#;
    const POINT: &str = r#"{"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]}"#;
    const WRAP: &str =
        r#"{"type": "object", "properties": {"text": {"type": "string"}, "width": {"type": "integer"}}}"#;

    #[test]
    fn texts_unless_the_schema_says_otherwise() {
        for (args, schema, expected) in [
            (&[][..], "", json!(null)),
            (&["1"], "", json!("1")),
            (&["a", "1"], "", json!(["a", "1"])),
            (&["1"], r#"{"type": "string"}"#, json!("1")),
            (&["a", "b"], r#"{"type": "string"}"#, json!(["a", "b"])),
            (&["good"], r#"{"enum": ["good", "bad"]}"#, json!("good")),
            (&["-1"], INTEGER, json!(-1)),
            (&["1.5"], r#"{"type": "number"}"#, json!(1.5)),
            (&["true"], r#"{"type": "boolean"}"#, json!(true)),
            (&["[1, 2]"], LIST, json!([1, 2])),
            (&["1", "2"], LIST, json!([1, 2])),
            (&["1"], LIST, json!([1])),
            (&["1", "2"], POINT, json!(["1", 2])),
            (&[r#"{"text": "a", "width": 2}"#], WRAP, json!({"text": "a", "width": 2})),
            (&["text=a=b", "width=2", "more=3"], WRAP, json!({"text": "a=b", "width": 2, "more": "3"})),
        ] {
            assert_eq!(read(args, schema, false), Ok(expected), "{args:?} {schema}");
        }
    }

    #[test]
    fn json_where_it_is_asked_for() {
        assert_eq!(read(&[r#""a""#], "", true), Ok(json!("a")));
        assert_eq!(read(&["1", r#"{"a": null}"#], "", true), Ok(json!([1, {"a": null}])));
        assert_eq!(read(&[], "", true), Ok(json!(null)));
        assert!(read(&["a"], "", true).is_err());
    }

    #[test]
    fn mistakes_say_what_is_taken() {
        for (args, schema, expected) in [
            (&["ten"][..], INTEGER, "the method takes an integer, \"ten\" is not"),
            (&["text=a", "width=ten"], WRAP, "width: the method takes an integer, \"ten\" is not"),
            (&["just text"], WRAP, "the method takes an object with text, width, as one JSON argument or"),
            (&["text=a", "text=b"], WRAP, "text is given twice"),
        ] {
            let problem = read(args, schema, false).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn standard_input_loses_one_newline_as_text_and_none_as_bytes() {
        let piped = |text: &[u8], schema: Option<&Schema>| params(&inputs(&["-"], schema, text), schema, false);
        assert_eq!(piped(b"two\n\n", None), Ok(Param::Text("two\n".into())));
        let binary = Schema::from_json(r#"{"type": "string", "contentEncoding": "binary"}"#).unwrap();
        assert_eq!(piped(b"two\n", Some(&binary)), Ok(Param::Binary(b"two\n".into())));
        assert_eq!(piped(&[0xff, 10], None), Ok(Param::Binary(vec![0xff, 10])));
        assert_eq!(params(&inputs(&["two\n"], None, b""), None, false), Ok(Param::Text("two\n".into())));
    }
}
