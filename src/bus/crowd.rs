//! How many connections a socket may have, in all and of one process.
//!
//! Each costs a descriptor, and a process that has none left can neither open a file nor accept anybody. So a part of
//! them is kept back, and no caller alone can take all the rest.

use std::collections::HashMap;

use rustix::process::{Resource, getrlimit};

/// The connections of one socket, counted.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    all: usize,
    of: HashMap<u32, usize>,
}

impl Crowd {
    /// Counts one more connection, where there is room for it.
    pub(super) fn enter(&mut self, process: Option<u32>) -> bool {
        let descriptors =
            getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| most.try_into().unwrap_or(usize::MAX));
        self.enter_within(process, descriptors)
    }

    fn enter_within(&mut self, process: Option<u32>, descriptors: usize) -> bool {
        let of = process.map_or(0, |process| self.of.get(&process).copied().unwrap_or_default());
        if self.all >= descriptors / 4 * 3 || of >= descriptors / 2 {
            return false;
        }
        self.all += 1;
        if let Some(process) = process {
            self.of.insert(process, of + 1);
        }
        true
    }

    /// One of them has gone.
    pub(super) fn leave(&mut self, process: Option<u32>) {
        self.all = self.all.saturating_sub(1);
        let Some(process) = process else { return };
        if let Some(of) = self.of.get_mut(&process) {
            *of -= 1;
            if *of == 0 {
                self.of.remove(&process);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_descriptors_is_kept_and_one_process_has_half() {
        let mut crowd = Crowd::default();
        let entered = |crowd: &mut Crowd, process| {
            std::iter::repeat(()).take_while(|()| crowd.enter_within(process, 100)).count()
        };
        assert_eq!(entered(&mut crowd, Some(7)), 50);
        assert_eq!(entered(&mut crowd, Some(8)), 25);
        assert_eq!(entered(&mut crowd, Some(9)), 0);
        crowd.leave(Some(7));
        assert_eq!(entered(&mut crowd, Some(9)), 1);
        (0..49).for_each(|_| crowd.leave(Some(7)));
        (0..25).for_each(|_| crowd.leave(Some(8)));
        crowd.leave(Some(9));
        assert_eq!((crowd.all, crowd.of.len()), (0, 0));
        assert_eq!(entered(&mut crowd, None), 75);
    }
}
