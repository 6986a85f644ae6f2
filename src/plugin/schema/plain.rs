//! Result types that need no learning: those of the standard library that are plain values, and lists of them.

use std::any::TypeId;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::of;
use crate::wire::Schema;

/// The schema of a type that may only be able to serialise; `None` for an author's own.
///
/// A result is never read by its plugin, so it is not asked to be readable: `&'static str` is a result like any.
pub(in super::super) fn of_plain<R: 'static>() -> Option<Schema> {
    let wanted = TypeId::of::<R>();
    macro_rules! look {
        ($($plain:ty as $known:ty),*) => {
            $(if let Some(wrap) = wrapper::<$plain>(wanted) {
                let known = of::<$known>().and_then(|schema| serde_json::to_value(schema).ok());
                return known.and_then(|known| Schema::new(&wrap(known)));
            })*
        };
    }
    look!(
        String as String, &'static str as String, Cow<'static, str> as String, Box<str> as String,
        Arc<str> as String, char as char, bool as bool, () as (), u8 as u8, u16 as u16, u32 as u32, u64 as u64,
        usize as usize, i8 as i8, i16 as i16, i32 as i32, i64 as i64, isize as isize, f32 as f32, f64 as f64
    );
    None
}

/// How the wanted type is made of a plain one: the type itself, an option, a list, a map.
fn wrapper<T: 'static>(wanted: TypeId) -> Option<fn(Value) -> Value> {
    let is = |id: TypeId| wanted == id;
    if is(TypeId::of::<T>()) {
        return Some(|plain| plain);
    }
    if is(TypeId::of::<Option<T>>()) {
        return Some(super::shape::or_null);
    }
    if is(TypeId::of::<Vec<T>>()) {
        return Some(|plain| json!({"type": "array", "items": plain}));
    }
    if is(TypeId::of::<BTreeMap<String, T>>()) || is(TypeId::of::<HashMap<String, T>>()) {
        return Some(|plain| json!({"type": "object", "additionalProperties": plain}));
    }
    None
}
