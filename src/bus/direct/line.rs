//! Frames that wait to be written, many of them in one piece: one write sends a piece.
//!
//! A frame of which nothing has been written can be taken out again; then the other side cannot have it.

use std::collections::VecDeque;

use super::frame::{self, HEAD};

/// A piece with this many bytes takes no more frames.
const PIECE: usize = 16 * 1024;

/// What an empty line keeps of its memory.
const KEPT: usize = 8 * 1024;

#[derive(Debug, Default)]
pub(super) struct Line {
    pieces: VecDeque<Piece>,
    spare: Piece,
}

/// Frames one behind the other.
#[derive(Debug, Default)]
pub(super) struct Piece {
    bytes: Vec<u8>,
    written: usize,
    /// Of the first frame only the rest is here.
    begun: bool,
    /// The id of each, and where it ends.
    frames: Vec<(u32, usize)>,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Lines up a request of which that many bytes have been written; if any, it is the first.
    pub(super) fn push(&mut self, id: u32, body: &[u8], written: usize) {
        if self.pieces.back().is_none_or(|last| last.bytes.len() >= PIECE) {
            self.pieces.push_back(std::mem::take(&mut self.spare));
        }
        let Some(piece) = self.pieces.back_mut() else { return };
        let (head, id_bytes) = (frame::head(4 + body.len()), id.to_be_bytes());
        piece.bytes.reserve(HEAD + 4 + body.len());
        let mut skipped = written;
        for part in [&head[..], &id_bytes, body] {
            let skip = skipped.min(part.len());
            piece.bytes.extend_from_slice(&part[skip..]);
            skipped -= skip;
        }
        piece.begun |= written > 0;
        piece.frames.push((id, piece.bytes.len()));
    }

    pub(super) fn take(&mut self) -> Option<Piece> {
        self.pieces.pop_front()
    }

    /// Takes a piece back that was taken, or was written as the first: what is left of it stays in front.
    pub(super) fn put_back(&mut self, mut piece: Piece) {
        if !piece.is_written() {
            return self.pieces.push_front(piece);
        }
        if piece.bytes.capacity() <= 2 * PIECE {
            piece.bytes.clear();
            piece.frames.clear();
            self.spare = Piece { written: 0, begun: false, ..piece };
        }
        if self.pieces.is_empty() {
            self.spare.bytes.shrink_to(KEPT);
            self.spare.frames.shrink_to(KEPT / 64);
        }
    }

    /// Takes a frame out of which nothing has been written.
    pub(super) fn remove(&mut self, id: u32) {
        self.pieces.iter_mut().for_each(|piece| piece.remove_where(|other| other == id));
        self.pieces.retain(|piece| !piece.is_written());
    }

    /// The ids of all frames, which are not here any more.
    pub(super) fn clear(&mut self) -> Vec<u32> {
        self.spare = Piece::default();
        self.pieces.drain(..).flat_map(|piece| piece.frames).map(|(id, _)| id).collect()
    }
}

impl Piece {
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
    }

    pub(super) fn is_written(&self) -> bool {
        self.written >= self.bytes.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.frames.iter().map(|(id, _)| *id)
    }

    /// The ids of the frames of which nothing has been written.
    pub(super) fn untouched(&self) -> impl Iterator<Item = u32> {
        let starts = std::iter::once(0).chain(self.frames.iter().map(|(_, end)| *end));
        let frames = self.frames.iter().zip(starts).skip(usize::from(self.begun));
        frames.filter(|(_, start)| *start >= self.written).map(|((id, _), _)| *id)
    }

    /// Takes out those frames, where nothing of them has been written.
    pub(super) fn remove_where(&mut self, gone: impl Fn(u32) -> bool) {
        if !self.untouched().any(&gone) {
            return;
        }
        let (mut start, mut kept) = (0, 0);
        let (bytes, untouched) = (&mut self.bytes, self.written.max(usize::from(self.begun)));
        self.frames.retain_mut(|(id, end)| {
            let range = start..*end;
            start = *end;
            if range.start >= untouched && gone(*id) {
                return false;
            }
            bytes.copy_within(range.clone(), kept);
            kept += range.len();
            *end = kept;
            true
        });
        bytes.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lined_up(bodies: &[&[u8]]) -> Line {
        let mut line = Line::default();
        bodies.iter().zip(1..).for_each(|(body, id)| line.push(id, body, 0));
        line
    }

    fn bytes(line: &mut Line) -> Vec<u8> {
        std::iter::from_fn(|| line.take()).flat_map(|piece| piece.rest().to_vec()).collect()
    }

    fn frames(bodies: &[(u32, &[u8])]) -> Vec<u8> {
        let frame = |(id, body): &(u32, &[u8])| [&frame::head(4 + body.len())[..], &id.to_be_bytes(), body].concat();
        bodies.iter().flat_map(frame).collect()
    }

    #[test]
    fn what_is_lined_up_goes_out_in_order_and_small_frames_together() {
        let large = vec![7; PIECE];
        let mut line = lined_up(&[b"a", b"", &large, b"behind"]);
        assert_eq!(line.pieces.len(), 2);
        assert_eq!(bytes(&mut line), frames(&[(1, b"a"), (2, b""), (3, &large), (4, b"behind")]));
        line.push(5, b"partly", HEAD + 2);
        line.push(6, b"not at all", 0);
        line.remove(5);
        let mut piece = line.take().unwrap();
        assert_eq!(piece.untouched().collect::<Vec<_>>(), [6]);
        assert_eq!(*piece.rest(), frames(&[(5, b"partly"), (6, b"not at all")])[HEAD + 2..]);
        piece.remove_where(|_| true);
        assert_eq!(*piece.rest(), frames(&[(5, b"partly")])[HEAD + 2..]);
    }

    #[test]
    fn a_frame_is_taken_out_unless_a_part_of_it_is_gone() {
        for (id, left) in [(1, vec![2, 3]), (2, vec![1, 3]), (3, vec![1, 2]), (9, vec![1, 2, 3])] {
            let mut line = lined_up(&[b"one", b"two", b"three"]);
            line.remove(id);
            let bodies = [&b"one"[..], b"two", b"three"];
            let kept: Vec<_> = left.iter().map(|id| (*id, bodies[*id as usize - 1])).collect();
            assert_eq!(bytes(&mut line), frames(&kept));
        }
        let mut line = lined_up(&[b"one", b"two", b"three"]);
        let mut piece = line.take().unwrap();
        piece.wrote(HEAD + 4 + 3 + 1);
        assert_eq!(piece.untouched().collect::<Vec<_>>(), [3]);
        piece.remove_where(|_| true);
        line.put_back(piece);
        line.push(4, b"four", 0);
        assert_eq!(bytes(&mut line), [&frames(&[(2, b"two")])[1..], &frames(&[(4, b"four")])].concat());
    }

    #[test]
    fn the_memory_of_a_burst_is_not_kept() {
        let mut line = lined_up(&[&[0; 100], &[0; PIECE], &[0; 10 * PIECE]]);
        while let Some(mut piece) = line.take() {
            piece.wrote(piece.rest().len());
            line.put_back(piece);
        }
        assert!(line.spare.bytes.capacity() <= KEPT, "{}", line.spare.bytes.capacity());
        assert!(line.is_empty());
    }
}
