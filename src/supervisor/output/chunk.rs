//! Pieces of output on their way from a pipe to a file.

use std::sync::Arc;
use std::time::SystemTime;

use super::Source;

/// The longest line that is kept in one piece, in bytes.
pub(super) const MAX_LINE: usize = 8 * 1024;

/// Which of a process's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Stream {
    Out,
    Err,
}

impl Stream {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
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
    /// The lines, the longest cut in pieces of [`MAX_LINE`].
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let text = self.text.strip_suffix(b"\n").unwrap_or(&self.text);
        text.split(|byte| *byte == b'\n').flat_map(|line| {
            // An empty line has no pieces and is a line all the same.
            let whole = line.is_empty().then_some(line);
            whole.into_iter().chain(line.chunks(MAX_LINE))
        })
    }

    pub(super) fn count_lines(&self) -> u64 {
        self.lines().count().try_into().unwrap_or(u64::MAX)
    }
}

/// Cuts a stream of bytes where lines end; keeps the rest, up to [`MAX_LINE`].
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    rest: Vec<u8>,
}

impl LineCutter {
    /// Takes in what was read; answers all whole lines there are by now, with their newlines.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let (whole, rest) = bytes.split_at(end);
        let mut lines = Vec::new();
        if !whole.is_empty() {
            lines.reserve_exact(self.rest.len() + whole.len());
            lines.append(&mut self.rest);
            lines.extend_from_slice(whole);
        }
        self.rest.extend_from_slice(rest);
        if self.rest.len() >= MAX_LINE {
            // Without an end in sight: pass on whole pieces, so that memory stays bounded.
            let pieces = self.rest.len() - self.rest.len() % MAX_LINE;
            lines.extend(self.rest.drain(..pieces));
            lines.push(b'\n');
        }
        // A line is rare to be as long as the longest was.
        self.rest.shrink_to(MAX_LINE);
        (!lines.is_empty()).then_some(lines)
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
        let mut fed: Vec<_> = reads.iter().filter_map(|read| cutter.feed(read)).collect();
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
