//! What `stats` shows, as a table or as JSON.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use plugbus::bus::Card;
use plugbus::host::CallError;
use plugbus::wire::MethodStats;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::output::{BAD, DIM, FAIR, PLAIN, one_line};
use crate::span::span;
use crate::table::{Cell, Side, Table};

/// The counters of a bus at one moment.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) methods: Vec<Row>,
    /// Instances that did not answer.
    missing: Vec<Missing>,
    #[serde(skip)]
    taken: Instant,
}

/// A method of a plugin, or of one of its instances.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) plugin: String,
    pub(super) instance: Option<String>,
    pub(super) method: String,
    pub(super) stats: MethodStats,
    /// Calls a second since the picture before.
    rate: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Missing {
    plugin: String,
    instance: String,
    error: String,
}

impl Default for View {
    fn default() -> Self {
        Self { methods: Vec::new(), missing: Vec::new(), taken: Instant::now() }
    }
}

impl Row {
    pub(super) fn new(plugin: String, instance: Option<String>, method: String, stats: MethodStats) -> Self {
        Self { plugin, instance, method, stats, rate: None }
    }

    fn key(&self) -> (&str, &str, Option<&str>) {
        (&self.plugin, &self.method, self.instance.as_deref())
    }

    /// Calls that were answered, whatever with.
    fn calls(&self) -> u64 {
        self.stats.done.saturating_add(self.errors())
    }

    /// Errors that callers were given, `busy` among them.
    fn errors(&self) -> u64 {
        let told = self.stats.codes.values().fold(0u64, |sum, count| sum.saturating_add(*count));
        told.max(self.stats.failed)
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let latency = &self.stats.latency;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("plugin", &self.plugin)?;
        if let Some(instance) = &self.instance {
            map.serialize_entry("instance", instance)?;
        }
        map.serialize_entry("method", &self.method)?;
        map.serialize_entry("calls", &self.calls())?;
        map.serialize_entry("done", &self.stats.done)?;
        map.serialize_entry("failed", &self.stats.failed)?;
        map.serialize_entry("codes", &self.stats.codes)?;
        if let Some(rate) = self.rate {
            map.serialize_entry("per_second", &rate)?;
        }
        for (name, percent) in [("p50_us", 50), ("p90_us", 90), ("p99_us", 99)] {
            map.serialize_entry(name, &latency.percentile_us(percent))?;
        }
        map.serialize_entry("max_us", &latency.max_us)?;
        map.serialize_entry("sum_us", &latency.sum_us)?;
        map.serialize_entry("buckets", &latency.buckets)?;
        map.end()
    }
}

impl View {
    pub(super) fn add_missing(&mut self, card: &Card, error: &CallError) {
        let (plugin, instance) = (card.name.clone(), card.instance.clone());
        self.missing.push(Missing { plugin, instance, error: error.to_string() });
    }

    pub(super) fn sort(&mut self) {
        self.methods.sort_by(|a, b| a.key().cmp(&b.key()));
    }

    /// Works out how many calls a second there were since the picture before.
    pub(super) fn compare(&mut self, before: &Self) {
        let seconds = self.taken.saturating_duration_since(before.taken).as_secs_f64();
        for row in &mut self.methods {
            let then = before.methods.iter().find(|then| then.key() == row.key()).map_or(0, Row::calls);
            // Less than before after a restart: the counters began anew.
            let calls = row.calls().checked_sub(then).unwrap_or_else(|| row.calls());
            row.rate = (seconds > 0.0).then(|| calls as f64 / seconds);
        }
    }

    /// Writes it for people.
    pub(super) fn write(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
        if self.methods.is_empty() && self.missing.is_empty() {
            return writeln!(out, "{DIM}no method was called yet{DIM:#}");
        }
        if !self.methods.is_empty() {
            self.table().write(out, width)?;
        }
        for Missing { plugin, instance, error } in &self.missing {
            writeln!(out, "{BAD}{plugin}.{instance} does not say: {}{BAD:#}", one_line(error))?;
        }
        Ok(())
    }

    fn table(&self) -> Table<8> {
        let mut table = Table::new([
            ("METHOD", Side::Left),
            ("CALLS", Side::Right),
            ("ERRORS", Side::Right),
            ("PER SECOND", Side::Right),
            ("P50", Side::Right),
            ("P90", Side::Right),
            ("P99", Side::Right),
            ("MAX", Side::Right),
        ])
        .notes("ERRORS BY CODE");
        for row in &self.methods {
            let latency = &row.stats.latency;
            let percentile = |percent| Cell::or_dash(latency.percentile_us(percent).map(micros));
            let errors = row.errors();
            let instance = row.instance.as_ref().map(|instance| format!(" {instance}")).unwrap_or_default();
            let cells = [
                one_line(&format!("{}.{}{instance}", row.plugin, row.method)).into(),
                row.calls().to_string().into(),
                Cell::styled(errors.to_string(), if errors > 0 { FAIR } else { PLAIN }),
                Cell::or_dash(row.rate.map(|rate| format!("{rate:.0}"))),
                percentile(50),
                percentile(90),
                percentile(99),
                Cell::or_dash((!latency.is_empty()).then(|| micros(latency.max_us))),
            ];
            let codes: Vec<_> = row.stats.codes.iter().map(|(code, count)| format!("{code} {count}")).collect();
            table.row(cells, one_line(&codes.join(", ")));
        }
        table
    }
}

/// As [`span`], and finer: a call may take a few microseconds.
fn micros(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} µs"),
        _ => span(Duration::from_micros(micros)),
    }
}
