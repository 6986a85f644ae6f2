//! What is said to systemd's journal: a priority instead of a time and colours, which it has itself.

use std::env;
use std::fmt;

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Whether standard error is the journal: `$JOURNAL_STREAM` names its device and inode, and may be inherited by
/// somebody whose standard error is something else.
pub(super) fn is_stderr() -> bool {
    let found = || {
        let named = env::var("JOURNAL_STREAM").ok()?;
        let (device, inode) = named.split_once(':')?;
        let stderr = rustix::fs::fstat(std::io::stderr()).ok()?;
        Some(device.parse() == Ok(stderr.st_dev) && inode.parse() == Ok(stderr.st_ino))
    };
    found().unwrap_or(false)
}

/// One line an event, with its priority in front, as sd-daemon(3) has it.
pub(super) struct Format;

impl<S, N> FormatEvent<S, N> for Format
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            tracing::Level::ERROR => 3,
            tracing::Level::WARN => 4,
            tracing::Level::INFO => 6,
            _ => 7,
        };
        let mut text = String::new();
        context.format_fields(Writer::new(&mut text), event)?;
        // A line of its own has no priority unless it is given one.
        for line in text.lines() {
            writeln!(writer, "<{priority}>{line}")?;
        }
        Ok(())
    }
}
