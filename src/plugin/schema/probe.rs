//! A deserialiser that hands out plain values and notes down what it was asked for.

use serde::de::{Deserializer, Error as _, Visitor};
use serde_json::json;

use super::access::{Entry, Fields, Items, Pick};
use super::error::Refusal;
use super::shape::{Kind, Node};

/// What nests deeper is given nothing: only types that contain themselves come here.
const MAX_DEPTH: usize = 24;

/// One try to deserialise the type.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) number: usize,
    pub(super) has_learnt: bool,
    /// Whether this run has its one thing to try; two would hide each other's outcome.
    tries_something: bool,
    /// The structs and enums around.
    around: Vec<Named>,
    depth: usize,
    /// Within a type that contains itself: nothing is noted down, and all ends as soon as it can.
    is_quiet: bool,
}

/// The name of a type, and those of its fields or variants.
type Named = (&'static str, &'static [&'static str]);

impl Run {
    pub(super) fn new(number: usize) -> Self {
        Self { number, has_learnt: false, tries_something: false, around: Vec::new(), depth: 0, is_quiet: false }
    }

    /// Claims the run for one thing to try; false where it has one.
    pub(super) fn may_try(&mut self) -> bool {
        let free = !self.tries_something && !self.is_quiet;
        self.tries_something |= free;
        self.has_learnt |= free;
        free
    }

    /// Whether another thing could be tried.
    pub(super) fn is_free(&self) -> bool {
        !self.tries_something && !self.is_quiet
    }

    /// Whether lists are to be empty, so that what contains itself ends.
    pub(super) fn is_to_end(&self) -> bool {
        self.is_quiet || self.depth > MAX_DEPTH / 2
    }
}

pub(super) struct Probe<'a> {
    pub(super) node: &'a mut Node,
    pub(super) run: &'a mut Run,
}

impl Probe<'_> {
    /// Goes one level deeper for as long as `inside` runs.
    pub(super) fn inner<T>(self, inside: impl FnOnce(Probe<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        if self.run.depth == MAX_DEPTH {
            return Err(Refusal::custom("too deep"));
        }
        self.run.depth += 1;
        let result = inside(Probe { node: self.node, run: self.run });
        self.run.depth -= 1;
        result
    }

    /// The same for a type with names; one that contains itself is looked at once.
    fn named<T>(self, named: Named, inside: impl FnOnce(Probe<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let Self { node, run } = self;
        let mut unnoticed = Node::default();
        let again = run.around.contains(&named);
        let was_quiet = run.is_quiet;
        run.is_quiet |= again;
        run.around.push(named);
        let result = Probe { node: if again { &mut unnoticed } else { node }, run }.inner(inside);
        run.around.pop();
        run.is_quiet = was_quiet;
        result
    }

    fn is(self, kind: Kind) -> Self {
        self.node.kind = kind;
        self
    }

    /// A struct, or what an enum's variant carries under names.
    pub(super) fn record<'de, V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.named((name, fields), |Probe { node, run }| {
            let record = node.record(name, fields);
            let experiment = record.next_experiment(run);
            let mut given = None;
            let result = visitor.visit_map(Fields { record, run, experiment, next: 0, given: &mut given });
            record.conclude(experiment, given, result.as_ref().err());
            result
        })
    }
}

macro_rules! scalars {
    ($($method:ident => $schema:tt $visit:ident($($value:expr)?);)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.node.kind = Kind::Plain(json!($schema));
            visitor.$visit($($value)?)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Refusal;

    scalars! {
        deserialize_bool => {"type": "boolean"} visit_bool(false);
        deserialize_i8 => {"type": "integer", "minimum": -128, "maximum": 127} visit_i8(1);
        deserialize_i16 => {"type": "integer", "minimum": -32768, "maximum": 32767} visit_i16(1);
        deserialize_i32 => {"type": "integer", "minimum": -2147483648, "maximum": 2147483647} visit_i32(1);
        deserialize_i64 => {"type": "integer"} visit_i64(1);
        deserialize_u8 => {"type": "integer", "minimum": 0, "maximum": 255} visit_u8(1);
        deserialize_u16 => {"type": "integer", "minimum": 0, "maximum": 65535} visit_u16(1);
        deserialize_u32 => {"type": "integer", "minimum": 0, "maximum": 4294967295u32} visit_u32(1);
        deserialize_u64 => {"type": "integer", "minimum": 0} visit_u64(1);
        deserialize_f32 => {"type": "number"} visit_f32(1.0);
        deserialize_f64 => {"type": "number"} visit_f64(1.0);
        deserialize_char => {"type": "string", "minLength": 1, "maxLength": 1} visit_char('a');
        deserialize_str => {"type": "string"} visit_str("");
        deserialize_string => {"type": "string"} visit_str("");
        deserialize_bytes => {"type": "string", "contentEncoding": "binary"} visit_bytes(b"");
        deserialize_byte_buf => {"type": "string", "contentEncoding": "binary"} visit_bytes(b"");
        deserialize_unit => {"type": "null"} visit_unit();
        deserialize_any => {} visit_unit();
        deserialize_ignored_any => {} visit_unit();
        deserialize_identifier => {"type": "string"} visit_str("");
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.node.nullable = true;
        if self.run.is_to_end() { visitor.visit_none() } else { self.inner(|probe| visitor.visit_some(probe)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        self.inner(|probe| visitor.visit_newtype_struct(probe))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if !matches!(self.node.kind, Kind::List(_)) {
            self.node.kind = Kind::List(Box::default());
        }
        let left = usize::from(!self.run.is_to_end());
        visitor.visit_seq(Items { probe: self, left, next: 0 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Refusal> {
        // Long ones are arrays, whose items are all alike.
        const ALIKE: usize = 16;
        let probe = match &self.node.kind {
            Kind::Tuple(_) | Kind::List(_) => self,
            _ if length > ALIKE => self.is(Kind::List(Box::default())),
            _ => self.is(Kind::Tuple(std::iter::repeat_with(Node::default).take(length).collect())),
        };
        visitor.visit_seq(Items { probe, left: length, next: 0 })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if !matches!(self.node.kind, Kind::Map(_)) {
            self.node.kind = Kind::Map(Box::default());
        }
        let left = !self.run.is_to_end();
        visitor.visit_map(Entry { probe: self, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.record(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.named((name, variants), |Probe { node, run }| {
            let choice = node.choice(name, variants);
            let pick = choice.pick(run);
            let result = visitor.visit_enum(Pick { choice, run, pick });
            choice.conclude(pick, result.is_ok());
            result
        })
    }

    fn is_human_readable(&self) -> bool {
        // As rmp-serde, which reads the real parameters.
        false
    }
}
