//! Large buffers that are used again.
//!
//! New memory costs the kernel a fault for each 4 KiB of it, which is more than to send what is in it.

use std::sync::{Mutex, PoisonError};

use crate::wire::LARGE;

/// A larger one is given back to the system.
pub(crate) const LARGEST: usize = 2 * 1024 * 1024;

/// As many are kept in a process: one on its way, and one that is filled meanwhile.
const KEPT: usize = 2;

static BUFFERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// An empty buffer for a message of that size, with room already where one is kept.
///
/// Nothing is allocated: the size may be a stranger's word.
pub(crate) fn take(size: usize) -> Vec<u8> {
    if size < LARGE {
        return Vec::new();
    }
    let mut kept = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = kept.iter().position(|buffer| buffer.capacity() >= size);
    fits.map(|at| kept.swap_remove(at)).unwrap_or_default()
}

/// Keeps a buffer that is not needed any more, where it is worth it.
pub(crate) fn give(mut buffer: Vec<u8>) {
    if (LARGE..=LARGEST).contains(&buffer.capacity()) {
        buffer.clear();
        let mut kept = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            return kept.push(buffer);
        }
        // The larger ones serve more messages.
        if let Some(least) = kept.iter_mut().min_by_key(|buffer| buffer.capacity())
            && least.capacity() < buffer.capacity()
        {
            std::mem::swap(least, &mut buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_few_large_ones_are_kept() {
        for size in [0, LARGE - 1, LARGEST + 1] {
            give(Vec::with_capacity(size));
        }
        (0..10).for_each(|_| give(Vec::with_capacity(LARGE)));
        let kept = BUFFERS.lock().unwrap();
        assert!(kept.len() <= KEPT && kept.iter().all(|buffer| (LARGE..=LARGEST).contains(&buffer.capacity())));
        drop(kept);
        assert_eq!(take(LARGE - 1).capacity(), 0);
        // Others may have it by now, but a new one is never made.
        assert!(take(LARGEST + 1).capacity() == 0);
    }
}
