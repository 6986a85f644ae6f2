//! What a connection of a replier has to write: small replies in one piece, each large one as it is.

use std::collections::VecDeque;
use std::thread::ThreadId;
use std::time::Instant;

use super::connection::LARGE;
use super::frame;
use crate::bus::{Outgoing, buffers};

/// Gathered replies go out when they are this many bytes, for the other side to start reading.
pub(super) const GATHERED: usize = 64 * 1024;

/// What a connection without anything to do may keep of its buffers.
const KEPT: usize = 4 * 1024;

#[derive(Debug, Default)]
pub(super) struct Outbound {
    pieces: VecDeque<Outgoing<'static>>,
    /// Of the first piece.
    written: usize,
    /// In all pieces.
    bytes: usize,
    spare: Vec<u8>,
    /// The last piece is a reply as it was given, to which nothing is added.
    sealed: bool,
    /// The thread that flushes when it has handed everything out.
    pub(super) gathers: Option<ThreadId>,
    /// Since when the peer has not taken a byte, while the socket is full.
    pub(super) stuck: Option<Instant>,
    /// What comes is not reported: somebody waits for it.
    pub(super) in_silence: bool,
    /// Nothing follows but the answers to what was handed out.
    pub(super) ends: bool,
    pub(super) closed: bool,
}

impl Outbound {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that are not written.
    pub(super) fn waiting(&self) -> usize {
        self.bytes - self.written
    }

    /// Has a reply wait of which that much has been written; if any, nothing else waits.
    pub(super) fn push(&mut self, header: &[u8], body: Outgoing<'_>, written: usize) {
        let head = frame::head(header.len() + body.len());
        let before = head.len() + header.len();
        if written < before {
            let mut skipped = written;
            for part in [&head[..], header] {
                let skip = skipped.min(part.len());
                self.append(&part[skip..]);
                skipped -= skip;
            }
        }
        if body.len() <= LARGE {
            self.append(&body[written.saturating_sub(before)..]);
        } else if written < before + body.len() {
            if self.is_empty() {
                self.written = written.saturating_sub(before);
            }
            self.bytes += body.len();
            self.pieces.push_back(body.into_kept());
            self.sealed = true;
        } else if let Outgoing::Owned(body) = body {
            buffers::give(body);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.sealed || self.pieces.back().is_none_or(|last| last.len() >= GATHERED) {
            self.pieces.push_back(std::mem::take(&mut self.spare).into());
            self.sealed = false;
        }
        if let Some(Outgoing::Owned(last)) = self.pieces.back_mut() {
            last.extend_from_slice(bytes);
            self.bytes += bytes.len();
        }
    }

    /// What is to be written next.
    pub(super) fn next(&self) -> Option<&[u8]> {
        self.pieces.front().map(|piece| piece.get(self.written..).unwrap_or_default())
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.pieces.front().is_some_and(|piece| piece.len() <= self.written)
            && let Some(piece) = self.pieces.pop_front()
        {
            self.bytes -= piece.len();
            self.written = 0;
            if self.pieces.is_empty() {
                self.sealed = false;
            }
            match piece {
                Outgoing::Owned(mut piece) if piece.capacity() <= KEPT => {
                    piece.clear();
                    self.spare = piece;
                }
                Outgoing::Owned(piece) => buffers::give(piece),
                Outgoing::Borrowed(_) | Outgoing::Shared(_) => {}
            }
        }
    }

    /// Nobody will read it.
    pub(super) fn clear(&mut self) {
        (self.pieces, self.spare) = (VecDeque::new(), Vec::new());
        (self.written, self.bytes, self.sealed) = (0, 0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"\x80\0\0\x01";

    fn frame(body: &[u8]) -> Vec<u8> {
        [&frame::head(HEADER.len() + body.len())[..], HEADER, body].concat()
    }

    fn rest(mut outbound: Outbound, step: usize) -> Vec<u8> {
        let mut rest = Vec::new();
        while let Some(next) = outbound.next() {
            let now = next.len().min(step);
            rest.extend_from_slice(&next[..now]);
            outbound.wrote(now);
            assert_eq!(
                outbound.waiting(),
                outbound.pieces.iter().map(|piece| piece.len()).sum::<usize>() - outbound.written
            );
        }
        rest
    }

    #[test]
    fn replies_go_out_whole_and_in_order_however_they_are_written() {
        let large = vec![7; 3 * LARGE];
        for step in [1_000, GATHERED, 10 * GATHERED] {
            let mut outbound = Outbound::default();
            let bodies = [&b"a"[..], b"", &large, &large, b"behind", &large[..LARGE], &large, b"last"];
            for (body, shared) in bodies.iter().zip([false, true, false, true, true, false, false, true]) {
                let text = str::from_utf8(body).unwrap().into();
                outbound.push(HEADER, if shared { Outgoing::Shared(text) } else { (*body).into() }, 0);
            }
            assert!(rest(outbound, step) == bodies.iter().flat_map(|body| frame(body)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn of_a_reply_that_has_left_in_part_the_rest_follows() {
        for body in [&b"small"[..], &[7; 3 * LARGE]] {
            let whole = frame(body);
            for written in [0, 1, 9, 12, 13, 14, whole.len() - 1, whole.len()] {
                let mut outbound = Outbound::default();
                outbound.push(HEADER, body.into(), written);
                assert!(rest(outbound, GATHERED) == whole[written..], "{written} of {}", whole.len());
            }
        }
    }

    #[test]
    fn a_connection_that_has_nothing_to_write_keeps_little() {
        let mut outbound = Outbound::default();
        for body in [&[0; 100][..], &[0; 2 * LARGE], &[0; LARGE], &[0; 100]] {
            outbound.push(HEADER, body.into(), 0);
        }
        while let Some(next) = outbound.next() {
            let all = next.len();
            outbound.wrote(all);
        }
        assert!(outbound.is_empty() && outbound.waiting() == 0 && outbound.spare.capacity() <= KEPT);
    }
}
