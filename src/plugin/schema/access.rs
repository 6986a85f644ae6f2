//! What is inside lists, maps, structs and enums, handed out part by part.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer as _, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::error::Refusal;
use super::experiment::Experiment;
use super::probe::{Probe, Run};
use super::shape::{Choice, Kind, Node, Record, Variant};

/// A name that nobody gives to a field or variant.
const UNKNOWN: &str = "\0";

fn word(text: &str) -> StrDeserializer<'_, Refusal> {
    serde::de::value::StrDeserializer::new(text)
}

pub(super) struct Items<'a> {
    pub(super) probe: Probe<'a>,
    pub(super) left: usize,
    pub(super) next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut unnoticed = Node::default();
        let node = match &mut self.probe.node.kind {
            Kind::List(item) => &mut **item,
            Kind::Tuple(items) => items.get_mut(self.next).unwrap_or(&mut unnoticed),
            _ => &mut unnoticed,
        };
        self.next += 1;
        Probe { node, run: self.probe.run }.inner(|probe| seed.deserialize(probe)).map(Some)
    }
}

/// The one entry of a map.
pub(super) struct Entry<'a> {
    pub(super) probe: Probe<'a>,
    pub(super) left: bool,
}

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        if !std::mem::take(&mut self.left) {
            return Ok(None);
        }
        // JSON's keys are texts, whatever this one is.
        let mut unnoticed = Node::default();
        Probe { node: &mut unnoticed, run: self.probe.run }.inner(|probe| seed.deserialize(probe)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Refusal> {
        let mut unnoticed = Node::default();
        let node = match &mut self.probe.node.kind {
            Kind::Map(value) => &mut **value,
            _ => &mut unnoticed,
        };
        Probe { node, run: self.probe.run }.inner(|probe| seed.deserialize(probe))
    }
}

/// The fields of a struct, save those that this run leaves out.
pub(super) struct Fields<'a> {
    pub(super) record: &'a mut Record,
    pub(super) run: &'a mut Run,
    pub(super) experiment: Experiment,
    pub(super) next: usize,
    /// The field that was given last.
    pub(super) given: &'a mut Option<usize>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        if self.experiment == Experiment::Stranger && self.given.is_none() && self.next == 0 {
            self.next = usize::MAX;
            return seed.deserialize(word(UNKNOWN)).map(Some);
        }
        if self.next == usize::MAX {
            self.next = 0;
        }
        while let Some(field) = self.record.fields.get(self.next) {
            if !self.experiment.leaves_out(self.next, field) {
                *self.given = Some(self.next);
                self.next += 1;
                return seed.deserialize(word(field.name)).map(Some);
            }
            self.next += 1;
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Refusal> {
        let mut unnoticed = Node::default();
        let field = self.given.and_then(|at| self.record.fields.get_mut(at));
        let Some(field) = field else {
            return Probe { node: &mut unnoticed, run: self.run }.inner(|probe| seed.deserialize(probe));
        };
        let tried_before = self.run.is_free();
        let value = Probe { node: &mut field.node, run: self.run }.inner(|probe| seed.deserialize(probe));
        // What a run tries inside may be refused without the field being to blame.
        field.refuses |= value.is_err() && tried_before && self.run.is_free();
        value
    }
}

/// The one variant of an enum that this run tries; none of them, where strangers are tried.
pub(super) struct Pick<'a> {
    pub(super) choice: &'a mut Choice,
    pub(super) run: &'a mut Run,
    pub(super) pick: Option<usize>,
}

impl<'de, 'a> EnumAccess<'de> for Pick<'a> {
    type Error = Refusal;
    type Variant = Carried<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Carried<'a>), Refusal> {
        let variant = self.pick.and_then(|at| self.choice.variants.get_mut(at));
        let name = variant.as_ref().map_or(UNKNOWN, |variant| variant.name);
        Ok((seed.deserialize(word(name))?, Carried { variant, run: self.run }))
    }
}

/// What a variant carries.
pub(super) struct Carried<'a> {
    variant: Option<&'a mut Variant>,
    run: &'a mut Run,
}

impl Carried<'_> {
    fn payload<T>(self, inside: impl FnOnce(Probe<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut unnoticed = Node::default();
        let node = match self.variant {
            Some(variant) => variant.payload.get_or_insert_default(),
            None => &mut unnoticed,
        };
        Probe { node, run: self.run }.inner(inside)
    }
}

impl<'de> VariantAccess<'de> for Carried<'_> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refusal> {
        self.payload(|probe| seed.deserialize(probe))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.payload(|probe| probe.deserialize_tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let name = self.variant.as_ref().map_or("", |variant| variant.name);
        self.payload(|probe| probe.record(name, fields, visitor))
    }
}
