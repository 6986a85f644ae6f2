//! The one thread that writes: log files, the event log and tracing.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use super::chunk::Chunk;
use super::file::LogFile;
use super::queue::{Batch, Queue, Record};
use crate::supervisor::LogSpec;

/// Log files that are open at once; the one that was not written to for longest is closed for another.
const MAX_OPEN: usize = 64;

/// The file name of the event log; no plugin's, because no plugin may be called `supervisor`.
const EVENTS: &str = "supervisor.events.jsonl";

pub(super) struct Writer {
    directory: PathBuf,
    spec: LogSpec,
    files: HashMap<String, Kept>,
    /// Counts the writes, to know which file was used last.
    clock: u64,
}

struct Kept {
    log: LogFile,
    used: u64,
    failing: bool,
}

impl Writer {
    pub(super) fn new(directory: PathBuf, spec: LogSpec) -> Self {
        Self { directory, spec, files: HashMap::new(), clock: 0 }
    }

    /// Writes what comes until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Queue) {
        let mut formatted = Vec::new();
        while let Some(batch) = queue.take() {
            self.write_batch(&batch, &mut formatted);
            // A flood is over some day; its buffer must not stay.
            formatted.shrink_to(64 * 1024);
        }
    }

    fn write_batch(&mut self, batch: &Batch, formatted: &mut Vec<u8>) {
        if batch.lost_records > 0 {
            tracing::warn!(lost = batch.lost_records, "events came faster than they could be written");
        }
        for record in &batch.records {
            self.write_record(record);
        }
        for chunk in &batch.chunks {
            self.write_chunk(chunk, formatted);
        }
    }

    fn write_record(&mut self, record: &Record) {
        if record.is_warning {
            tracing::warn!(target: "plugbus::events", "{}", record.words);
        } else {
            tracing::info!(target: "plugbus::events", "{}", record.words);
        }
        let line = format!("{}\n", record.json);
        self.append(EVENTS, line.as_bytes());
    }

    fn write_chunk(&mut self, chunk: &Chunk, formatted: &mut Vec<u8>) {
        formatted.clear();
        let at = humantime::format_rfc3339_millis(chunk.at);
        let source = &chunk.source;
        let prefix = format!("{at} {} {}| ", source.instance, chunk.stream.as_str());
        let dropped = source.take_untold();
        if dropped > 0 {
            let now = humantime::format_rfc3339_millis(SystemTime::now());
            let notice = "lines dropped: they came faster than they could be written";
            // Writing to a Vec cannot fail.
            let _ = writeln!(formatted, "{now} {} ---| {dropped} {notice}", source.instance);
        }
        let traced = tracing::enabled!(target: "plugbus::output", tracing::Level::INFO);
        for line in chunk.lines() {
            formatted.extend_from_slice(prefix.as_bytes());
            match std::str::from_utf8(line) {
                Ok(_) => formatted.extend_from_slice(line),
                Err(_) => formatted.extend_from_slice(String::from_utf8_lossy(line).as_bytes()),
            }
            formatted.push(b'\n');
            if traced {
                let text = String::from_utf8_lossy(line);
                tracing::info!(target: "plugbus::output", plugin = source.name, stream = chunk.stream.as_str(), "{text}");
            }
        }
        if !self.append(&format!("{}.log", source.name), formatted) {
            source.tell_again(dropped);
            source.count_dropped(chunk.count_lines());
        }
    }

    /// Whether it was written.
    fn append(&mut self, name: &str, lines: &[u8]) -> bool {
        self.clock += 1;
        self.make_room(name);
        let path = self.directory.join(name);
        let new = || Kept { log: LogFile::new(path), used: 0, failing: false };
        let kept = self.files.entry(name.into()).or_insert_with(new);
        kept.used = self.clock;
        let result = kept.log.append(lines, &self.spec);
        match (&result, kept.failing) {
            (Err(error), false) => tracing::error!(%error, name, "a log file cannot be written; lines are dropped"),
            (Ok(()), true) => tracing::info!(name, "the log file can be written again"),
            _ => {}
        }
        kept.failing = result.is_err();
        result.is_ok()
    }

    fn make_room(&mut self, name: &str) {
        if self.files.len() < MAX_OPEN || self.files.contains_key(name) {
            return;
        }
        let oldest = self.files.iter().min_by_key(|(_, kept)| kept.used).map(|(name, _)| name.clone());
        if let Some(oldest) = oldest {
            self.files.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::super::Source;
    use super::super::chunk::Stream;
    use super::*;

    const SPEC: LogSpec = LogSpec { max_size: 1 << 20, keep: 1 };

    fn chunk(source: &Arc<Source>, text: &[u8]) -> Chunk {
        let at = SystemTime::UNIX_EPOCH;
        Chunk { source: Arc::clone(source), stream: Stream::Err, at, text: text.into() }
    }

    #[test]
    fn lines_say_when_who_and_where() {
        let root = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(root.path().into(), SPEC);
        let source = Arc::new(Source::new("text", "k3", Arc::default()));
        writer.write_chunk(&chunk(&source, b"a\0b\n\n\xff!\n"), &mut Vec::new());
        let text = fs::read_to_string(root.path().join("text.log")).unwrap();
        let prefix = "1970-01-01T00:00:00.000Z k3 err| ";
        assert_eq!(text, format!("{prefix}a\0b\n{prefix}\n{prefix}\u{fffd}!\n"));
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_later() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("log");
        fs::write(&directory, "in the way").unwrap();
        let mut writer = Writer::new(directory.clone(), SPEC);
        let source = Arc::new(Source::new("text", "k3", Arc::default()));
        writer.write_chunk(&chunk(&source, b"1\n2\n"), &mut Vec::new());
        fs::remove_file(&directory).unwrap();
        writer.write_chunk(&chunk(&source, b"3\n"), &mut Vec::new());
        let text = fs::read_to_string(directory.join("text.log")).unwrap();
        assert!(text.contains("k3 ---| 2 lines dropped") && text.ends_with("k3 err| 3\n"), "{text}");
    }

    #[test]
    fn few_files_are_open_at_once() {
        let root = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(root.path().into(), SPEC);
        for number in 0..MAX_OPEN + 10 {
            assert!(writer.append(&format!("{number}.log"), b"x\n"));
        }
        assert_eq!(writer.files.len(), MAX_OPEN);
        assert!(writer.append("0.log", b"y\n"));
        assert_eq!(fs::read_to_string(root.path().join("0.log")).unwrap(), "x\ny\n");
    }
}
