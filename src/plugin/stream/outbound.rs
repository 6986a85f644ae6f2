//! The items that wait for their caller: numbered, bounded, and kept until they are known to have arrived.

use std::collections::VecDeque;

use crate::wire::{Batch, Fault, Items, MAX_MESSAGE, Progress};

/// Items that a method may be ahead of its caller, unless its author says otherwise.
const ITEMS: usize = 1024;
/// Bytes that it may be ahead; a single item may be larger.
const BYTES: usize = 256 * 1024;
/// Bytes of one batch, where the caller names no number.
const BATCH: usize = 64 * 1024;
/// What a batch may need beside its items, progress and error included.
const BESIDE: usize = 64 * 1024;

/// The largest item that fits into a message.
pub(super) const LARGEST: usize = MAX_MESSAGE - BESIDE;

#[derive(Debug)]
pub(super) struct Outbound {
    /// The number of the first item of `last`.
    first: u64,
    /// What was sent and may have been lost on the way.
    last: Vec<u8>,
    last_count: u32,
    /// What was not sent yet, one item after the other.
    waiting: VecDeque<u8>,
    lengths: VecDeque<usize>,
    progress: Option<Progress>,
    ended: Option<Result<(), Fault>>,
    ahead: usize,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            first: 0,
            last: Vec::new(),
            last_count: 0,
            waiting: VecDeque::new(),
            lengths: VecDeque::new(),
            progress: None,
            ended: None,
            ahead: ITEMS,
        }
    }
}

impl Outbound {
    /// Sets how many items may wait.
    pub(super) fn set_ahead(&mut self, items: usize) {
        self.ahead = items.clamp(1, ITEMS);
    }

    pub(super) fn has_room(&self) -> bool {
        self.lengths.len() < self.ahead && self.waiting.len() < BYTES
    }

    /// Whether so much has been taken that it is worth waking the one who waits for room.
    pub(super) fn has_much_room(&self) -> bool {
        self.lengths.len() <= self.ahead / 2 && self.waiting.len() <= BYTES / 2
    }

    pub(super) fn push(&mut self, item: &[u8]) {
        self.waiting.extend(item);
        self.lengths.push_back(item.len());
    }

    pub(super) fn set_progress(&mut self, progress: Progress) {
        self.progress = Some(progress);
    }

    pub(super) fn end(&mut self, outcome: Result<(), Fault>) {
        self.ended.get_or_insert(outcome);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// How it went, once it has ended.
    pub(super) fn outcome(&self) -> Option<&Result<(), Fault>> {
        self.ended.as_ref()
    }

    /// Notes what has arrived; whether the batch before is asked for again.
    ///
    /// # Errors
    /// The number of the item that follows, where another one is asked for.
    pub(super) fn turn_to(&mut self, from: Option<u64>) -> Result<bool, u64> {
        let next = self.first + u64::from(self.last_count);
        match from {
            Some(from) if from == self.first && self.last_count > 0 => Ok(true),
            Some(from) if from != next => Err(next),
            _ => {
                (self.first, self.last_count) = (next, 0);
                self.last.clear();
                // One large item must not be paid for as long as the stream lasts.
                self.last.shrink_to(2 * BATCH);
                Ok(false)
            }
        }
    }

    /// Whether there is anything to tell.
    pub(super) fn has_news(&self) -> bool {
        !self.lengths.is_empty() || self.progress.is_some() || self.ended.is_some()
    }

    /// Takes as many items as are asked for; a single one may have more than so many bytes.
    pub(super) fn take(&mut self, max: Option<u64>, bytes: Option<u64>) {
        let max = max.map_or(ITEMS, |max| usize::try_from(max).unwrap_or(ITEMS).min(ITEMS));
        let bytes = bytes.map_or(BATCH, |bytes| usize::try_from(bytes).unwrap_or(LARGEST).min(LARGEST));
        let (mut count, mut sum) = (0, 0);
        while let Some(length) =
            self.lengths.front().filter(|length| count < max && (count == 0 || sum + **length <= bytes))
        {
            (count, sum) = (count + 1, sum + length);
            self.lengths.pop_front();
        }
        // Two copies: byte by byte, this is what a stream of large items costs.
        let (front, back) = self.waiting.as_slices();
        let in_front = sum.min(front.len());
        self.last.extend_from_slice(&front[..in_front]);
        self.last.extend_from_slice(&back[..sum - in_front]);
        self.waiting.drain(..sum);
        if self.waiting.is_empty() {
            self.waiting.shrink_to(BYTES);
        }
        self.last_count = u32::try_from(count).unwrap_or(u32::MAX);
    }

    /// The reply with what was taken last; whether it is the end.
    pub(super) fn reply(&mut self) -> (Vec<u8>, bool) {
        let end = self.ended.clone().filter(|_| self.lengths.is_empty());
        let is_end = end.is_some();
        let items = Items::new(self.last_count, &self.last);
        let batch = Batch { from: self.first, items, progress: self.progress.take(), end };
        (batch.encode_reply(), is_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Code, Raw, Reply};

    fn read(out: &mut Outbound) -> (u64, Vec<u64>, Option<Result<(), Code>>) {
        let (reply, _) = out.reply();
        let Ok(Reply::Result(result)) = Reply::decode(&reply) else { panic!("{reply:x?}") };
        let batch = Batch::read(result).unwrap();
        let items = batch.items.iter().map(|item: Raw<'_>| item.to().unwrap()).collect();
        (batch.from, items, batch.end.map(|end| end.map_err(|fault| fault.code)))
    }

    #[test]
    fn items_come_in_order_and_again_when_they_were_lost() {
        let mut out = Outbound::default();
        (0..10).for_each(|item| out.push(&[item]));
        assert_eq!(out.turn_to(Some(0)), Ok(false));
        out.take(Some(3), None);
        assert_eq!(read(&mut out), (0, vec![0, 1, 2], None));
        assert_eq!(out.turn_to(Some(0)), Ok(true));
        assert_eq!(read(&mut out), (0, vec![0, 1, 2], None));
        for wrong in [1, 2, 4, u64::MAX] {
            assert_eq!(out.turn_to(Some(wrong)), Err(3));
        }
        assert_eq!(out.turn_to(Some(3)), Ok(false));
        out.end(Err(Fault::new(Code::Failed, "torn")));
        out.take(Some(5), None);
        assert_eq!(read(&mut out), (3, vec![3, 4, 5, 6, 7], None));
        assert_eq!(out.turn_to(None), Ok(false));
        out.take(None, None);
        assert_eq!(read(&mut out), (8, vec![8, 9], Some(Err(Code::Failed))));
    }

    #[test]
    fn nobody_is_far_ahead_and_a_large_item_passes_alone() {
        let mut out = Outbound::default();
        let item = crate::wire::to_vec(&"x".repeat(100_000)).unwrap();
        let mut pushed = 0;
        while out.has_room() {
            out.push(&item);
            pushed += 1;
        }
        assert_eq!(pushed, 3);
        out.turn_to(None).unwrap();
        out.take(None, None);
        assert_eq!(out.last_count, 1);
        assert!(out.has_room() && !out.has_much_room());
        let mut small = Outbound::default();
        small.set_ahead(2);
        small.push(&[1]);
        assert!(small.has_room());
        small.push(&[2]);
        assert!(!small.has_room());
    }
}
