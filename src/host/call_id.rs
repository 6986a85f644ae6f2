//! Names for calls, so that they can be cancelled.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::desk::{DESKS, Desks, own_desk};
use crate::bus::new_instance;
use crate::wire::{RequestHead, builtin};

/// Nobody waits for the answer.
const TTL: Duration = Duration::from_secs(1);

/// Gives each call of a bus a name that nobody guesses and nobody else uses.
#[derive(Debug)]
pub(super) struct CallIds {
    prefix: String,
    /// Each group of threads counts its own.
    numbers: Desks<AtomicU64>,
}

impl Default for CallIds {
    fn default() -> Self {
        Self { prefix: new_instance(), numbers: Desks::default() }
    }
}

impl CallIds {
    pub(super) fn next(&self) -> CallId {
        let counted = self.numbers.own().fetch_add(1, Ordering::Relaxed);
        let number = counted.wrapping_mul(DESKS as u64) + own_desk() as u64;
        let mut id = CallId { text: [0; LONGEST], length: 0 };
        id.append(self.prefix.bytes());
        id.append([b'-']);
        let digits = number.max(1).ilog(16);
        let digit = |place| char::from_digit((number >> (4 * place)) as u32 & 0xf, 16).unwrap_or('0') as u8;
        id.append((0..=digits).rev().map(digit));
        id
    }
}

/// A prefix of ten, and 64 bits in hexadecimal.
const LONGEST: usize = 32;

/// The name of one call, made without an allocation: each call needs one.
pub(super) struct CallId {
    text: [u8; LONGEST],
    length: usize,
}

impl CallId {
    fn append(&mut self, bytes: impl IntoIterator<Item = u8>) {
        for (place, byte) in self.text[self.length..].iter_mut().zip(bytes) {
            *place = byte;
            self.length += 1;
        }
    }

    pub(super) fn as_str(&self) -> &str {
        // Nothing but ASCII was appended.
        std::str::from_utf8(&self.text[..self.length]).unwrap_or_default()
    }
}

/// The message that stops the call of that name.
pub(super) fn cancel(id: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Params<'a> {
        id: &'a str,
    }
    // A map with one text in it always serialises.
    RequestHead::new(builtin::CANCEL, TTL).encode(&Params { id }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn no_two_calls_have_one_name_whatever_thread_they_are_made_on() {
        let (ids, names) = (CallIds::default(), Mutex::new(HashSet::new()));
        std::thread::scope(|scope| {
            for _ in 0..2 * DESKS {
                scope.spawn(|| {
                    let own: Vec<String> = (0..1000).map(|_| ids.next().as_str().to_owned()).collect();
                    names.lock().unwrap().extend(own);
                });
            }
        });
        let names = names.into_inner().unwrap();
        assert_eq!(names.len(), 2 * DESKS * 1000);
        assert!(names.iter().all(|name| name.starts_with(&format!("{}-", ids.prefix)) && name.len() <= LONGEST));
    }

    #[test]
    fn the_largest_number_has_room() {
        let ids = CallIds::default();
        ids.numbers.iter().for_each(|number| number.store(u64::MAX / DESKS as u64, Ordering::Relaxed));
        let name = ids.next().as_str().to_owned();
        let number = name.strip_prefix(&format!("{}-", ids.prefix)).unwrap();
        assert!(u64::from_str_radix(number, 16).unwrap() > u64::MAX - DESKS as u64, "{name}");
    }
}
