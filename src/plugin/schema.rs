//! What a type looks like, learnt by letting it deserialise.
//!
//! serde asks a deserialiser for what it wants (`deserialize_struct("Point", ["x", "y"])`), and the probe notes
//! that down and hands out the plainest value there is. So an author's types need no derive but serde's own. A
//! type that refuses the plain value is described as far as it got.

use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde_json::{Map, Value, json};

use crate::wire::Schema;

/// Types that contain themselves end here.
const MAX_DEPTH: u8 = 6;

/// The schema of a parameter type; `None` where it takes anything, or cannot be told.
pub(super) fn of<T: DeserializeOwned>() -> Option<Schema> {
    let (mut found, _) = probe::<T>(None);
    if let Some(properties) = found.get("properties").and_then(Value::as_object) {
        // A field that the type can do without is optional: each is left out once, to see.
        let required = |name: &&String| !probe::<T>(Some(name)).1;
        let required: Vec<String> = properties.keys().filter(required).cloned().collect();
        if !required.is_empty() {
            found["required"] = json!(required);
        }
    }
    let says_something = found.as_object().is_some_and(|schema| !schema.is_empty());
    says_something.then(|| Schema::new(found))
}

/// Describes the type, and says whether it accepted what it was given.
fn probe<T: DeserializeOwned>(leave_out: Option<&str>) -> (Value, bool) {
    let mut found = json!({});
    let accepted = T::deserialize(Probe { found: &mut found, depth: 0, leave_out }).is_ok();
    (found, accepted)
}

struct Probe<'a> {
    found: &'a mut Value,
    depth: u8,
    leave_out: Option<&'a str>,
}

impl<'a> Probe<'a> {
    fn inner<'b>(&self, found: &'b mut Value) -> Result<Probe<'b>, Error> {
        match self.depth {
            MAX_DEPTH => Err(serde::de::Error::custom("too deep")),
            depth => Ok(Probe { found, depth: depth + 1, leave_out: None }),
        }
    }

    fn is(self, found: Value) -> Self {
        *self.found = found;
        self
    }
}

macro_rules! scalars {
    ($($method:ident => $schema:tt $visit:ident($($value:expr)?);)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            *self.found = json!($schema);
            visitor.$visit($($value)?)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    scalars! {
        deserialize_bool => {"type": "boolean"} visit_bool(false);
        deserialize_i8 => {"type": "integer"} visit_i8(1);
        deserialize_i16 => {"type": "integer"} visit_i16(1);
        deserialize_i32 => {"type": "integer"} visit_i32(1);
        deserialize_i64 => {"type": "integer"} visit_i64(1);
        deserialize_u8 => {"type": "integer", "minimum": 0} visit_u8(1);
        deserialize_u16 => {"type": "integer", "minimum": 0} visit_u16(1);
        deserialize_u32 => {"type": "integer", "minimum": 0} visit_u32(1);
        deserialize_u64 => {"type": "integer", "minimum": 0} visit_u64(1);
        deserialize_f32 => {"type": "number"} visit_f32(1.0);
        deserialize_f64 => {"type": "number"} visit_f64(1.0);
        deserialize_char => {"type": "string"} visit_char('a');
        deserialize_str => {"type": "string"} visit_str("");
        deserialize_string => {"type": "string"} visit_str("");
        deserialize_bytes => {"type": "string", "contentEncoding": "binary"} visit_bytes(b"");
        deserialize_byte_buf => {"type": "string", "contentEncoding": "binary"} visit_bytes(b"");
        deserialize_unit => {"type": "null"} visit_unit();
        deserialize_any => {} visit_unit();
        deserialize_ignored_any => {} visit_unit();
        deserialize_identifier => {"type": "string"} visit_str("");
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Items { probe: self.is(json!({"type": "array"})), left: 1 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        let found = json!({"type": "array", "minItems": length, "maxItems": length, "prefixItems": []});
        visitor.visit_seq(Items { probe: self.is(found), left: length })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { probe: self.is(json!({"type": "object"})), fields: [].iter(), current: "" })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let properties: Map<_, _> = fields.iter().map(|field| ((*field).to_owned(), json!({}))).collect();
        let found = json!({"type": "object", "properties": properties});
        visitor.visit_map(Fields { probe: self.is(found), fields: fields.iter(), current: "" })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let first = variants.first().copied().unwrap_or_default();
        visitor.visit_enum(First { probe: self.is(json!({"enum": variants})), variant: first })
    }

    fn is_human_readable(&self) -> bool {
        // As rmp-serde, which reads the real parameters.
        false
    }
}

struct Items<'a> {
    probe: Probe<'a>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut item = json!({});
        let value = seed.deserialize(self.probe.inner(&mut item)?);
        match self.probe.found.get_mut("prefixItems").and_then(Value::as_array_mut) {
            Some(items) => items.push(item),
            None => self.probe.found["items"] = item,
        }
        value.map(Some)
    }
}

struct Fields<'a> {
    probe: Probe<'a>,
    fields: std::slice::Iter<'static, &'static str>,
    current: &'static str,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let leave_out = self.probe.leave_out;
        let Some(field) = self.fields.find(|field| Some(**field) != leave_out) else {
            return Ok(None);
        };
        self.current = field;
        let key: StrDeserializer<'_, Error> = (*field).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let mut found = json!({});
        let value = seed.deserialize(self.probe.inner(&mut found)?);
        self.probe.found["properties"][self.current] = found;
        value
    }
}

/// Takes the first variant; where it carries something, the names of the variants say too little to be said.
struct First<'a> {
    probe: Probe<'a>,
    variant: &'static str,
}

impl<'de> EnumAccess<'de> for First<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: StrDeserializer<'_, Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for First<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let mut ignored = json!({});
        let value = seed.deserialize(self.probe.inner(&mut ignored)?);
        *self.probe.found = json!({});
        value
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        let mut ignored = json!({});
        let value = self.probe.inner(&mut ignored)?.deserialize_tuple(length, visitor);
        *self.probe.found = json!({});
        value
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        let mut ignored = json!({});
        let value = self.probe.inner(&mut ignored)?.deserialize_struct("", fields, visitor);
        *self.probe.found = json!({});
        value
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

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
        branches: Vec<Tree>,
    }

    fn schema<T: DeserializeOwned>() -> Value {
        of::<T>().map_or(Value::Null, |schema| serde_json::from_str(&schema.to_string()).unwrap())
    }

    #[test]
    fn plain_types() {
        assert_eq!(schema::<String>(), json!({"type": "string"}));
        assert_eq!(schema::<Option<u8>>(), json!({"type": "integer", "minimum": 0}));
        assert_eq!(schema::<Vec<f64>>(), json!({"type": "array", "items": {"type": "number"}}));
        assert_eq!(schema::<()>(), json!({"type": "null"}));
        assert_eq!(schema::<HashMap<String, u8>>(), json!({"type": "object"}));
        assert_eq!(schema::<Mood>(), json!({"enum": ["Good", "Bad"]}));
        assert_eq!(schema::<Value>(), Value::Null);
    }

    #[test]
    fn structs_know_their_required_fields() {
        let expected = json!({
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "width": {"type": "integer", "minimum": 0},
                "indent": {"type": "integer", "minimum": 0},
                "hyphenate": {"type": "boolean"},
            },
            "required": ["text", "width"],
        });
        assert_eq!(schema::<Wrap>(), expected);
    }

    #[test]
    fn a_type_that_contains_itself_ends() {
        assert_eq!(schema::<Tree>()["type"], "object");
    }
}
