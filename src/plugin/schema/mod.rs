//! What a type looks like, learnt by letting it deserialise.
//!
//! serde asks a deserialiser for what it wants (`deserialize_struct("Point", ["x", "y"])`), and the probe notes
//! that down and hands out the plainest value there is. So an author's types need no derive but serde's own. What
//! one value cannot show (other variants, fields that may be left out) takes more of them: each run tries one thing
//! more, until nothing is left to be learnt. A type that refuses the plain values is described as far as it got.
//!
//! `shape` is what is known, `probe` how it is learnt, `plain` what needs no learning.

mod access;
mod error;
mod experiment;
mod plain;
mod probe;
mod shape;
#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;

use self::probe::{Probe, Run};
use self::shape::Node;
use crate::wire::Schema;

pub(super) use self::plain::of_plain;

/// More than this many tries no type is worth: each costs microseconds, when the plugin starts.
const MOST_RUNS: usize = 500;

/// Runs in a row without anything new: variants take turns, so one such run says little.
const IDLE_RUNS: usize = 8;

/// The schema of a type; `None` where it takes anything, or cannot be told.
pub(super) fn of<T: DeserializeOwned>() -> Option<Schema> {
    let mut node = Node::default();
    let mut idle = 0;
    for number in 0..MOST_RUNS {
        let mut run = Run::new(number);
        // What it makes of the values is the author's business; what it asked for is in the node.
        let _ = T::deserialize(Probe { node: &mut node, run: &mut run });
        idle = if run.has_learnt { 0 } else { idle + 1 };
        if node.is_known() || idle > IDLE_RUNS {
            break;
        }
    }
    let found = node.schema();
    let says_something = found.as_object().is_some_and(|schema| !schema.is_empty());
    says_something.then(|| Schema::new(&found)).flatten()
}
