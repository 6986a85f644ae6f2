//! The items that a caller brings: numbered, bounded, and each taken once.

use std::collections::VecDeque;

use crate::wire::{Code, Fault, Put, Taken};

/// Items that wait for the method at most.
const ITEMS: usize = 1024;
/// Bytes that wait at most; a single item may be larger.
const BYTES: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(super) struct Inbound {
    /// Items taken since the stream began.
    taken: u64,
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The caller has no more.
    ended: bool,
}

impl Inbound {
    /// How many are taken for a start.
    pub(super) const CREDIT: u64 = ITEMS as u64;

    fn has_room(&self) -> bool {
        self.queue.len() < ITEMS && self.bytes < BYTES
    }

    /// Whether so much has been read that it is worth answering the one who waits for room.
    pub(super) fn has_much_room(&self) -> bool {
        self.queue.len() <= ITEMS / 2 && self.bytes <= BYTES / 2
    }

    /// Takes what there is room for; `None` where there is none, and the caller has to wait.
    ///
    /// # Errors
    /// `bad_params` where items are missing in between, or follow the last.
    pub(super) fn offer(&mut self, put: &Put<'_>) -> Result<Option<Taken>, Fault> {
        let from = put.from.unwrap_or(self.taken);
        let Some(known) = self.taken.checked_sub(from) else {
            let message = format!("item {} is missing: what was brought begins with {from}", self.taken);
            return Err(Fault::new(Code::BadParams, message));
        };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let (mut news, mut took) = (put.items.iter().skip(known).peekable(), false);
        if self.ended && news.peek().is_some() {
            return Err(Fault::new(Code::BadParams, "an item follows the last one"));
        }
        while self.has_room()
            && let Some(item) = news.next()
        {
            self.bytes += item.bytes().len();
            self.queue.push_back(item.bytes().to_vec());
            (self.taken, took) = (self.taken + 1, true);
        }
        let all = news.peek().is_none();
        self.ended |= put.end && all;
        Ok((took || self.ended || (all && self.has_room())).then(|| self.taken()))
    }

    pub(super) fn taken(&self) -> Taken {
        let credit = if self.bytes < BYTES { ITEMS.saturating_sub(self.queue.len()) as u64 } else { 0 };
        Taken { next: self.taken, credit, end: false }
    }

    /// The next item; `Some(None)` where there is no more.
    pub(super) fn pop(&mut self) -> Option<Option<Vec<u8>>> {
        match self.queue.pop_front() {
            Some(item) => {
                self.bytes -= item.len();
                Some(Some(item))
            }
            None => self.ended.then_some(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Items;

    fn put<'a>(from: Option<u64>, items: &'a [u8], end: bool) -> Put<'a> {
        let items = Items::new(u32::try_from(items.len()).unwrap(), items);
        Put { stream: "s", from, items, end, keep_ms: None }
    }

    fn next(input: &mut Inbound, put: &Put<'_>) -> Option<u64> {
        input.offer(put).unwrap().map(|taken| taken.next)
    }

    #[test]
    fn each_item_is_taken_once() {
        let mut input = Inbound::default();
        assert_eq!(next(&mut input, &put(Some(0), &[0, 1], false)), Some(2));
        assert_eq!(next(&mut input, &put(Some(0), &[0, 1, 2], false)), Some(3));
        assert!(input.offer(&put(Some(4), &[4], false)).is_err());
        assert_eq!(next(&mut input, &put(None, &[3], true)), Some(4));
        assert_eq!(next(&mut input, &put(Some(3), &[3], true)), Some(4));
        assert!(input.offer(&put(None, &[9], false)).is_err());
        let read: Vec<_> = std::iter::from_fn(|| input.pop().unwrap()).collect();
        assert_eq!(read, [[0], [1], [2], [3]]);
    }

    #[test]
    fn no_more_is_taken_than_there_is_room_for() {
        let mut input = Inbound::default();
        let many = vec![7; 2 * ITEMS];
        assert_eq!(next(&mut input, &put(Some(0), &many, true)), Some(Inbound::CREDIT));
        assert_eq!(input.taken().credit, 0);
        assert_eq!(next(&mut input, &put(None, &[7], false)), None);
        assert_eq!(next(&mut input, &put(None, &[], false)), None);
        assert!(!input.has_much_room());
        input.pop();
        // The end counts only with the last item.
        assert_eq!(next(&mut input, &put(None, &[7, 7], true)), Some(Inbound::CREDIT + 1));
        while input.pop().is_some() {}
        assert_eq!(next(&mut input, &put(None, &[7], true)), Some(Inbound::CREDIT + 2));
    }
}
