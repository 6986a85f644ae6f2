//! What is known of a type, and how that is written as JSON Schema.

use serde_json::{Map, Value, json};

/// A type, or a part of one.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Whether it may be nil.
    pub(super) nullable: bool,
    pub(super) kind: Kind,
}

#[derive(Debug, Default)]
pub(super) enum Kind {
    /// Anything, or not yet looked at.
    #[default]
    Any,
    Plain(Value),
    List(Box<Node>),
    Tuple(Vec<Node>),
    /// Keys that are data.
    Map(Box<Node>),
    Record(Record),
    Choice(Choice),
}

/// A struct.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) title: &'static str,
    pub(super) fields: Vec<Field>,
    /// Whether it refuses fields that it does not know.
    pub(super) strict: Option<bool>,
    /// Whether all fields were given to it once.
    pub(super) seen: bool,
}

#[derive(Debug, Default)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) node: Node,
    /// Whether it does not take the plain value.
    pub(super) refuses: bool,
    /// Another name for a field, which is not shown.
    pub(super) is_alias: bool,
    /// Whether it is refused without this field; known only once that was tried.
    pub(super) required: Option<bool>,
}

/// An enum.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) title: &'static str,
    pub(super) variants: Vec<Variant>,
    /// Whether it takes variants that are not listed.
    pub(super) open: Option<bool>,
}

#[derive(Debug, Default)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    pub(super) tried: bool,
    /// Whether it took its plain value.
    pub(super) accepted: bool,
    /// What it carries.
    pub(super) payload: Option<Node>,
}

impl Node {
    /// The record that is here; one is put here where something else was.
    pub(super) fn record(&mut self, title: &'static str, fields: &'static [&'static str]) -> &mut Record {
        if !matches!(self.kind, Kind::Record(_)) {
            let fields = fields.iter().map(|name| Field { name, ..Field::default() }).collect();
            self.kind = Kind::Record(Record { title, fields, strict: None, seen: false });
        }
        match &mut self.kind {
            Kind::Record(record) => record,
            _ => unreachable!("it was just put here"),
        }
    }

    /// The choice that is here; one is put here where something else was.
    pub(super) fn choice(&mut self, title: &'static str, variants: &'static [&'static str]) -> &mut Choice {
        if !matches!(self.kind, Kind::Choice(_)) {
            let variants = variants.iter().map(|name| Variant { name, ..Variant::default() }).collect();
            self.kind = Kind::Choice(Choice { title, variants, open: None });
        }
        match &mut self.kind {
            Kind::Choice(choice) => choice,
            _ => unreachable!("it was just put here"),
        }
    }

    /// Whether nothing is left to be learnt.
    pub(super) fn is_known(&self) -> bool {
        match &self.kind {
            Kind::Any | Kind::Plain(_) => true,
            Kind::List(item) | Kind::Map(item) => item.is_known(),
            Kind::Tuple(items) => items.iter().all(Self::is_known),
            Kind::Record(record) => record.strict.is_some() && record.fields.iter().all(Field::is_known),
            Kind::Choice(choice) => choice.open.is_some() && choice.variants.iter().all(Variant::is_known),
        }
    }

    pub(super) fn schema(&self) -> Value {
        let found = match &self.kind {
            Kind::Any => return json!({}),
            Kind::Plain(schema) => schema.clone(),
            Kind::List(item) => with(json!({"type": "array"}), "items", item),
            Kind::Map(item) => with(json!({"type": "object"}), "additionalProperties", item),
            Kind::Tuple(items) => {
                let (length, items): (_, Vec<_>) = (items.len(), items.iter().map(Self::schema).collect());
                json!({"type": "array", "prefixItems": items, "minItems": length, "maxItems": length})
            }
            Kind::Record(record) => record.schema(),
            Kind::Choice(choice) => choice.schema(),
        };
        if self.nullable { or_null(found) } else { found }
    }
}

/// Adds the schema of a part, where it says something.
fn with(mut schema: Value, key: &str, part: &Node) -> Value {
    let part = part.schema();
    if part != json!({}) {
        schema[key] = part;
    }
    schema
}

pub(super) fn or_null(mut schema: Value) -> Value {
    let Some(kind) = schema.get("type").and_then(Value::as_str).map(str::to_owned) else {
        return json!({"anyOf": [schema, {"type": "null"}]});
    };
    if kind != "null" {
        schema["type"] = json!([kind, "null"]);
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    schema
}

impl Field {
    fn is_known(&self) -> bool {
        self.is_alias || self.required.is_some() && self.node.is_known()
    }
}

impl Record {
    fn schema(&self) -> Value {
        let shown = || self.fields.iter().filter(|field| !field.is_alias);
        let properties: Map<_, _> = shown().map(|field| (field.name.to_owned(), field.node.schema())).collect();
        let mut schema = json!({"type": "object", "properties": properties});
        let required: Vec<_> = shown().filter(|field| field.required == Some(true)).map(|field| field.name).collect();
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        // Other names would be refused by who believes the schema.
        if self.strict == Some(true) && self.fields.iter().all(|field| !field.is_alias) {
            schema["additionalProperties"] = json!(false);
        }
        titled(schema, self.title)
    }
}

impl Variant {
    pub(super) fn is_known(&self) -> bool {
        self.tried && self.payload.as_ref().is_none_or(Node::is_known)
    }

    fn schema(&self, payload: &Node) -> Value {
        let (name, payload) = (self.name, payload.schema());
        json!({"type": "object", "properties": {name: payload}, "required": [name], "additionalProperties": false})
    }
}

impl Choice {
    fn schema(&self) -> Value {
        let units = self.variants.iter().filter(|variant| variant.payload.is_none());
        let units: Vec<_> = units.map(|variant| variant.name).collect();
        let open = self.open == Some(true);
        let of_units = match open {
            // Others are taken as well.
            true => json!({"type": "string", "examples": units}),
            false => json!({"type": "string", "enum": units}),
        };
        let carrying = self.variants.iter().filter_map(|variant| Some(variant.schema(variant.payload.as_ref()?)));
        let mut any: Vec<_> = carrying.collect();
        if any.is_empty() {
            return titled(of_units, self.title);
        }
        if !units.is_empty() {
            any.insert(0, of_units);
        }
        titled(json!({"anyOf": any}), self.title)
    }
}

fn titled(mut schema: Value, title: &str) -> Value {
    if !title.is_empty() {
        schema["title"] = json!(title);
    }
    schema
}
