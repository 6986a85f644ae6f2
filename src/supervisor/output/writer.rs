//! The one thread that writes: log files, the event log and tracing.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Source;
use super::chunk::{Chunk, MAX_LINE};
use super::file::LogFile;
use super::queue::{Batch, Queue, Record};
use super::voice::Voice;
use crate::bus::Publisher;
use crate::supervisor::LogSpec;

/// Log files that are open at once; the one that was not written to for longest is closed for another.
const MAX_OPEN: usize = 64;

/// The file name of the event log; no plugin's, because no plugin may be called `supervisor`.
pub(super) const EVENTS: &str = "supervisor.events.jsonl";

/// Output of one plugin is written together up to about this size.
const MAX_WRITE: usize = 256 * 1024;

/// How soon what was dropped is told in a log that can be written again, when nothing else comes.
const TELL: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    directory: PathBuf,
    spec: LogSpec,
    voice: Voice,
    files: HashMap<String, Kept>,
    /// Counts the writes, to know which file was used last.
    clock: u64,
    /// Where events are told live, in the supervisor.
    publisher: Option<Publisher>,
    /// Lines of these were dropped, which their logs do not tell yet.
    owing: Vec<Arc<Source>>,
}

struct Kept {
    log: LogFile,
    used: u64,
    failing: bool,
}

impl Writer {
    pub(super) fn new(directory: PathBuf, spec: LogSpec, voice: Voice) -> Self {
        Self { directory, spec, voice, files: HashMap::new(), clock: 0, publisher: None, owing: Vec::new() }
    }

    /// One that publishes what it writes to the event log.
    pub(super) fn publishing(self, publisher: Publisher) -> Self {
        Self { publisher: Some(publisher), ..self }
    }

    /// Writes what comes until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Queue) {
        let mut formatted = Vec::new();
        while let Some(batch) = queue.take_within((!self.owing.is_empty()).then_some(TELL)) {
            self.write_batch(&batch, &mut formatted);
            self.tell_dropped();
            // A flood is over some day; its buffer must not stay.
            formatted.shrink_to(64 * 1024);
        }
        if let Some(publisher) = self.publisher.take() {
            publisher.close();
        }
    }

    fn write_batch(&mut self, batch: &Batch, formatted: &mut Vec<u8>) {
        if let Some(spec) = &batch.spec {
            self.spec.clone_from(spec);
        }
        if batch.lost_records > 0 {
            tracing::warn!(lost = batch.lost_records, "events came faster than they could be written");
        }
        for record in &batch.records {
            self.write_record(record);
        }
        self.tell_dropped();
        let mut rest = batch.chunks.as_slices();
        while !(rest.0.is_empty() && rest.1.is_empty()) {
            if rest.0.is_empty() {
                rest = (rest.1, rest.0);
            }
            let together = together(rest.0);
            self.write_chunks(&rest.0[..together], formatted);
            rest.0 = &rest.0[together..];
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
        // After that, so that whoever hears of an event finds it written down.
        if let Some(publisher) = &self.publisher {
            publisher.publish(record.json.as_bytes());
        }
    }

    /// Writes chunks of one plugin at once.
    fn write_chunks(&mut self, chunks: &[Chunk], formatted: &mut Vec<u8>) {
        let Some(first) = chunks.first() else { return };
        formatted.clear();
        for chunk in chunks {
            self.voice.show(chunk);
            format_chunk(chunk, formatted);
        }
        if !self.append(&format!("{}.log", first.source.name), formatted) {
            for chunk in chunks {
                chunk.source.count_dropped(chunk.count_lines());
                self.owe(&chunk.source);
            }
        } else if let Some(owing) = chunks.iter().find(|chunk| chunk.source.owes()) {
            // Dropped on the way here, because the queue was full.
            self.owe(&owing.source);
        }
    }

    fn owe(&mut self, source: &Arc<Source>) {
        if !self.owing.iter().any(|other| Arc::ptr_eq(other, source)) {
            self.owing.push(Arc::clone(source));
        }
    }

    /// Says in the logs what is missing from them.
    fn tell_dropped(&mut self) {
        for source in std::mem::take(&mut self.owing) {
            let dropped = source.take_untold();
            if dropped == 0 {
                continue;
            }
            let now = humantime::format_rfc3339_millis(SystemTime::now());
            let why = "lines dropped: they came faster than they could be written";
            let notice = format!("{now} {} ---| {dropped} {why}\n", source.instance);
            if !self.append(&format!("{}.log", source.name), notice.as_bytes()) {
                source.tell_again(dropped);
                self.owing.push(source);
            }
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
            (Err(error), false) => {
                self.voice.note(true, format!("the log file {name} cannot be written, lines are dropped: {error}"));
            }
            (Ok(()), true) => self.voice.note(false, format!("the log file {name} can be written again")),
            _ => {}
        }
        kept.failing = result.is_err();
        result.is_ok()
    }

    fn make_room(&mut self, name: &str) {
        if self.files.len() < MAX_OPEN || self.files.contains_key(name) {
            return;
        }
        // One whose failure was told must stay, or it would be told again and again.
        let idle = self.files.iter().filter(|(_, kept)| !kept.failing).min_by_key(|(_, kept)| kept.used);
        let oldest = idle.or_else(|| self.files.iter().min_by_key(|(_, kept)| kept.used));
        if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
            self.files.remove(&oldest);
        }
    }
}

/// How many chunks at the beginning are of one plugin and fit in one write.
fn together(chunks: &[Chunk]) -> usize {
    let Some(first) = chunks.first() else { return 0 };
    let mut bytes = 0;
    let fits = |chunk: &&Chunk| {
        bytes += chunk.text.len();
        chunk.source.name == first.source.name && bytes <= MAX_WRITE
    };
    chunks.iter().take_while(fits).count().max(1)
}

/// Adds the lines with what stands before each: when, whose, and where it was said.
fn format_chunk(chunk: &Chunk, formatted: &mut Vec<u8>) {
    let at = humantime::format_rfc3339_millis(chunk.at);
    let prefix = format!("{at} {} {}| ", chunk.source.instance, chunk.stream.as_str());
    let is_text = std::str::from_utf8(&chunk.text).is_ok();
    // Lines of an ordinary length; more is made room for as it comes.
    formatted.reserve(chunk.text.len() + chunk.text.len() / 2);
    let mut cut = false;
    for line in chunk.lines() {
        formatted.extend_from_slice(prefix.as_bytes());
        // A piece of a longer line may begin or end within a character.
        let may_be_cut = std::mem::replace(&mut cut, line.len() == MAX_LINE) || cut;
        if is_text && !may_be_cut {
            formatted.extend_from_slice(line);
        } else {
            formatted.extend_from_slice(String::from_utf8_lossy(line).as_bytes());
        }
        formatted.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::chunk::{MAX_LINE, Stream};
    use super::super::voice::Listener;
    use super::*;

    const SPEC: LogSpec = LogSpec { max_size: 1 << 20, keep: 1, max_age: Duration::MAX };

    fn writer(directory: PathBuf) -> Writer {
        Writer::new(directory, SPEC, Voice::new(Listener::Tracing))
    }

    fn chunk(source: &Arc<Source>, text: &[u8]) -> Chunk {
        let at = SystemTime::UNIX_EPOCH;
        Chunk { source: Arc::clone(source), stream: Stream::Err, at, text: text.into() }
    }

    fn write(writer: &mut Writer, chunks: Vec<Chunk>) {
        let batch = Batch { chunks: chunks.into(), ..Batch::default() };
        writer.write_batch(&batch, &mut Vec::new());
        writer.tell_dropped();
    }

    #[test]
    fn lines_say_when_who_and_where() {
        let root = tempfile::tempdir().unwrap();
        let mut writer = writer(root.path().into());
        let source = Arc::new(Source::new("text", "k3", Arc::default()));
        write(&mut writer, vec![chunk(&source, b"a\0b\n\n\xff!\n"), chunk(&source, "é\nlast".as_bytes())]);
        let text = fs::read_to_string(root.path().join("text.log")).unwrap();
        let prefix = "1970-01-01T00:00:00.000Z k3 err| ";
        assert_eq!(text, format!("{prefix}a\0b\n{prefix}\n{prefix}\u{fffd}!\n{prefix}é\n{prefix}last\n"));
    }

    #[test]
    fn a_line_that_is_cut_within_a_character_leaves_the_log_a_text() {
        let root = tempfile::tempdir().unwrap();
        let mut writer = writer(root.path().into());
        let source = Arc::new(Source::new("text", "k3", Arc::default()));
        let long = "é".repeat(MAX_LINE) + "\n";
        write(&mut writer, vec![chunk(&source, &[b"x", long.as_bytes()].concat())]);
        assert!(fs::read_to_string(root.path().join("text.log")).is_ok(), "logs are UTF-8");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_as_soon_as_it_can() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("log");
        fs::write(&directory, "in the way").unwrap();
        let mut writer = writer(directory.clone());
        let source = Arc::new(Source::new("text", "k3", Arc::default()));
        write(&mut writer, vec![chunk(&source, b"1\n2\n"), chunk(&source, b"3\n")]);
        fs::remove_file(&directory).unwrap();
        // Although nothing more is printed.
        writer.tell_dropped();
        let text = fs::read_to_string(directory.join("text.log")).unwrap();
        assert!(text.contains("k3 ---| 3 lines dropped"), "{text}");
        assert!(writer.owing.is_empty() && source.told().dropped == 3);
    }

    #[test]
    fn few_files_are_open_at_once() {
        let root = tempfile::tempdir().unwrap();
        let mut writer = writer(root.path().into());
        for number in 0..MAX_OPEN + 10 {
            assert!(writer.append(&format!("{number}.log"), b"x\n"));
        }
        assert_eq!(writer.files.len(), MAX_OPEN);
        assert!(writer.append("0.log", b"y\n"));
        assert_eq!(fs::read_to_string(root.path().join("0.log")).unwrap(), "x\ny\n");
    }
}
