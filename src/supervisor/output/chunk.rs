//! Pieces of output on their way from a pipe to a file.

use std::sync::Arc;
use std::time::SystemTime;

use memchr::memchr_iter;
use serde::{Deserialize, Serialize};

use super::Source;

/// The longest line that is kept in one piece, in bytes.
pub(super) const MAX_LINE: usize = 8 * 1024;

/// Which of a process's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::supervisor) enum Stream {
    Out,
    Err,
    /// Neither: what is said of the log itself.
    #[serde(rename = "---")]
    Own,
}

impl Stream {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
            Self::Own => "---",
        }
    }
}

/// Some whole lines of one stream, as they were read together.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) source: Arc<Source>,
    pub(super) stream: Stream,
    pub(super) at: SystemTime,
    pub(super) text: Vec<u8>,
}

impl Chunk {
    /// What was read at this moment.
    pub(super) fn now(source: &Arc<Source>, stream: Stream, text: Vec<u8>) -> Self {
        Self { source: Arc::clone(source), stream, at: SystemTime::now(), text }
    }

    /// The lines, the longest cut in pieces of [`MAX_LINE`].
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        lines_of(&self.text).flat_map(|line| {
            // An empty line has no pieces and is a line all the same.
            let whole = line.is_empty().then_some(line);
            whole.into_iter().chain(line.chunks(MAX_LINE))
        })
    }

    pub(super) fn count_lines(&self) -> u64 {
        self.lines().count().try_into().unwrap_or(u64::MAX)
    }
}

/// The lines of a text, found a machine word at a time.
fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    memchr_iter(b'\n', text).chain([text.len()]).scan(0, |start, end| {
        let line = &text[*start..end];
        *start = end + 1;
        Some(line)
    })
}

/// Cuts a stream of bytes where lines end; keeps the rest, up to [`MAX_LINE`].
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    rest: Vec<u8>,
}

impl LineCutter {
    /// The unfinished line, to be read on to; it goes back with [`feed`](Self::feed).
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.rest)
    }

    /// Takes in an unfinished line with what was read after it; answers all whole lines there are by now.
    pub(super) fn feed(&mut self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let end = memchr::memrchr(b'\n', &bytes).map_or(0, |last| last + 1);
        self.rest = bytes.split_off(end);
        if self.rest.len() >= MAX_LINE {
            // Without an end in sight: pass on whole pieces, so that memory stays bounded.
            let pieces = self.rest.len() - self.rest.len() % MAX_LINE;
            bytes.extend(self.rest.drain(..pieces));
            bytes.push(b'\n');
        }
        // What waits in a queue must not hold more memory than it counts for.
        bytes.shrink_to_fit();
        self.rest.shrink_to(MAX_LINE);
        (!bytes.is_empty()).then_some(bytes)
    }

    /// What is left when the stream ends in the middle of a line.
    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(reads: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut cutter = LineCutter::default();
        let feed = |read: &&[u8]| {
            let rest = cutter.take_rest();
            cutter.feed([&rest, *read].concat())
        };
        let mut fed: Vec<_> = reads.iter().filter_map(feed).collect();
        fed.extend(cutter.finish());
        let source = Arc::new(Source::new("a", "b", Arc::default()));
        fed.into_iter()
            .flat_map(|text| {
                let at = SystemTime::UNIX_EPOCH;
                let chunk = Chunk { source: Arc::clone(&source), stream: Stream::Out, at, text };
                chunk.lines().map(<[u8]>::to_vec).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn lines_come_whole_however_they_are_read() {
        for reads in [
            &[&b"one\ntwo\n\nlast"[..]][..],
            &[b"on", b"e", b"\ntw", b"o\n\n", b"last"],
            &[b"one\n", b"two\n", b"\n", b"la", b"st"],
        ] {
            assert_eq!(lines(reads), [&b"one"[..], b"two", b"", b"last"], "{reads:?}");
        }
        assert!(lines(&[b""]).is_empty());
    }

    #[test]
    fn a_line_without_end_is_cut_and_nothing_of_it_is_lost() {
        let endless = vec![b'x'; 3 * MAX_LINE + 7];
        let mut reads: Vec<_> = endless.chunks(1000).collect();
        reads.push(b"\nnext\n");
        let pieces = lines(&reads);
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE, MAX_LINE, 7, 4]);
    }

    #[test]
    fn any_byte_may_stand_in_a_line() {
        assert_eq!(lines(&[b"a\0b\xff\xfe\r\n"]), [b"a\0b\xff\xfe\r"]);
    }
}
