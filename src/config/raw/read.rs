//! Walks one file's TOML and notes every problem on the way instead of stopping at the first.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::value::{self, OnSupervisorExit, OrphanTimeout, Wrong, describe};
use super::{Field, Name, RawBody, RawFile, RawPlugin, Table};
use crate::bus::Lane;
use crate::config::report::{MAX_PROBLEMS, Remark, Report, nearest, quote};
use crate::config::source::{Place, Source};
use crate::supervisor::{AtIntensity, CgroupUse, EventKind, HookSpec, RestartPolicy, SoftSignal};
use crate::trust::Trust;

/// The parser may note an error a byte; past this size a broken file reports only its first.
const MAX_RECOVERED: usize = 64 * 1024;

/// Words people use for a key, where its spelling is too far off to be recognised.
const OTHER_WORDS: [(&str, &str); 14] = [
    ("args", "command"),
    ("arguments", "command"),
    ("program", "command"),
    ("exec", "command"),
    ("environment", "env"),
    ("environment_file", "env_file"),
    ("directory", "cwd"),
    ("working_directory", "cwd"),
    ("instances", "replicas"),
    ("timeout", "start_timeout"),
    ("plugin", "plugins"),
    ("depends_on", "requires"),
    ("needs", "requires"),
    ("success_exit_codes", "success_codes"),
];

/// What one file says; `None` when it is not TOML.
///
/// A file that breaks TOML's rules reports these errors alone: what follows a broken line is guesswork.
pub(in crate::config) fn read(file: usize, source: &Source, report: &mut Report<'_>) -> Option<RawFile> {
    match DeTable::parse(&source.text) {
        Ok(table) => {
            let mut root = RawFile::default();
            Reader { file, report }.fill_table(&mut root, table.get_ref(), "");
            Some(root)
        }
        Err(first) => {
            let all = match source.text.len() {
                0..=MAX_RECOVERED => DeTable::parse_recoverable(&source.text).1,
                _ => vec![first],
            };
            report_syntax(file, source, &all, report);
            None
        }
    }
}

/// One problem a line: the parser's further words about the same line are only echoes of the first.
fn report_syntax(file: usize, source: &Source, errors: &[toml::de::Error], report: &mut Report<'_>) {
    let end = source.text.len();
    let mut spans: Vec<_> = errors.iter().map(|error| (error.span().unwrap_or(end..end), error.message())).collect();
    spans.sort_by_key(|(span, _)| span.start);
    let mut last = 0;
    // Finding a line costs a walk through the file, so what the report would not keep is left here.
    for (span, message) in spans.into_iter().take(MAX_PROBLEMS) {
        let (line, _) = source.line_and_column(span.start);
        if line != last {
            let mut message = message.lines().collect::<Vec<_>>().join("; ");
            if let ("duplicate key", Some(key)) = (message.as_str(), source.text.get(span.clone())) {
                message = format!("the key {} is there twice", quote(key));
            }
            report.problem(Place { file, offset: span.start }, "", message);
        }
        last = line;
    }
}

/// One key with its value.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    /// The last part of its path.
    pub(super) name: &'t str,
    /// The whole path.
    pub(super) key: String,
    /// Where the key is, and where its value.
    key_at: Place,
    pub(super) at: Place,
    pub(super) value: &'t DeValue<'t>,
}

/// Reads values of one file and reports what is wrong with them.
#[derive(Debug)]
pub(super) struct Reader<'r, 's> {
    file: usize,
    report: &'r mut Report<'s>,
}

impl Reader<'_, '_> {
    fn place<T>(&self, spanned: &Spanned<T>) -> Place {
        Place { file: self.file, offset: spanned.span().start }
    }

    fn entry<'t>(&self, parent: &str, key: &'t Spanned<DeString<'t>>, value: &'t Spanned<DeValue<'t>>) -> Entry<'t> {
        Entry {
            name: key.get_ref(),
            key: join(parent, key.get_ref()),
            key_at: self.place(key),
            at: self.place(value),
            value: value.get_ref(),
        }
    }

    fn fill_table<T: Table>(&mut self, target: &mut T, table: &DeTable<'_>, parent: &str) {
        for (key, value) in table {
            let entry = self.entry(parent, key, value);
            if !target.set(self, &entry) {
                let remark = unknown_key(entry.name, &T::keys());
                self.report.problem(entry.key_at, &entry.key, remark);
            }
        }
    }

    /// The inside of a table, or a problem when it is none.
    fn expect_table<'t>(&mut self, entry: &Entry<'t>, expected: &str) -> Option<&'t DeTable<'t>> {
        let table = entry.value.as_table();
        if table.is_none() {
            let message = format!("expected {expected}, found {}", describe(entry.value));
            self.report.problem(entry.at, &entry.key, message);
        }
        table
    }

    pub(super) fn field<T>(&mut self, entry: &Entry<'_>, read: Result<T, Wrong>) -> Option<Field<T>> {
        let wrong = |wrong| self.report.problem(entry.at, &entry.key, wrong);
        Some(Field { at: entry.at, key: entry.key.clone(), value: read.map_err(wrong).ok() })
    }

    pub(super) fn table<T: Table>(&mut self, entry: &Entry<'_>) -> T {
        let mut target = T::default();
        if let Some(table) = self.expect_table(entry, "a table") {
            self.fill_table(&mut target, table, &entry.key);
        }
        target
    }

    pub(super) fn text(&mut self, entry: &Entry<'_>) -> Option<Field<String>> {
        self.field(entry, value::text(entry.value))
    }

    pub(super) fn boolean(&mut self, entry: &Entry<'_>) -> Option<Field<bool>> {
        self.field(entry, value::boolean(entry.value))
    }

    pub(super) fn whole(&mut self, entry: &Entry<'_>, range: RangeInclusive<u32>) -> Option<Field<u32>> {
        self.field(entry, value::whole(entry.value, range))
    }

    pub(super) fn share(&mut self, entry: &Entry<'_>) -> Option<Field<f64>> {
        self.field(entry, value::share(entry.value))
    }

    pub(super) fn size(&mut self, entry: &Entry<'_>, range: RangeInclusive<u64>) -> Option<Field<u64>> {
        self.field(entry, value::size(entry.value, range))
    }

    pub(super) fn duration(&mut self, entry: &Entry<'_>, range: RangeInclusive<Duration>) -> Option<Field<Duration>> {
        self.field(entry, value::duration(entry.value, range))
    }

    pub(super) fn lane(&mut self, entry: &Entry<'_>) -> Option<Field<Lane>> {
        self.field(entry, value::lane(entry.value))
    }

    pub(super) fn restart(&mut self, entry: &Entry<'_>) -> Option<Field<RestartPolicy>> {
        self.field(entry, value::restart(entry.value))
    }

    /// Who is told of events: a command, empty for nobody, or `plugin.method`.
    pub(super) fn hook(&mut self, entry: &Entry<'_>) -> Option<Field<HookSpec>> {
        if entry.value.as_str().is_some() {
            return self.field(entry, value::method(entry.value).map(HookSpec::Method));
        }
        let command = self.command(entry)?;
        Some(Field { at: command.at, key: command.key, value: command.value.map(HookSpec::Command) })
    }

    pub(super) fn kinds(&mut self, entry: &Entry<'_>) -> Option<Field<Vec<EventKind>>> {
        self.field(entry, value::kinds(entry.value))
    }

    pub(super) fn at_intensity(&mut self, entry: &Entry<'_>) -> Option<Field<AtIntensity>> {
        self.field(entry, value::at_intensity(entry.value))
    }

    pub(super) fn soft_signal(&mut self, entry: &Entry<'_>) -> Option<Field<Option<SoftSignal>>> {
        self.field(entry, value::soft_signal(entry.value))
    }

    pub(super) fn exit_codes(&mut self, entry: &Entry<'_>) -> Option<Field<BTreeSet<u8>>> {
        let read = self.list(entry, "a list of exit codes such as [0, 3]", |_, code| value::exit_code(code));
        Some(Field { at: entry.at, key: entry.key.clone(), value: read.map(|codes| codes.into_iter().collect()) })
    }

    /// Names of other plugins.
    pub(super) fn names(&mut self, entry: &Entry<'_>) -> Option<Field<Vec<Name>>> {
        let read = self.list(entry, "a list of plugins such as [\"db\"]", |at, name| {
            value::text(name).map(|text| Name { at, text })
        });
        Some(Field { at: entry.at, key: entry.key.clone(), value: read })
    }

    pub(super) fn trust(&mut self, entry: &Entry<'_>) -> Option<Field<Trust>> {
        self.field(entry, value::trust(entry.value))
    }

    /// Texts, each with its place.
    pub(super) fn texts(&mut self, entry: &Entry<'_>) -> Option<Field<Vec<Name>>> {
        let read = self.list(entry, "a list of texts", |at, text| value::text(text).map(|text| Name { at, text }));
        Some(Field { at: entry.at, key: entry.key.clone(), value: read })
    }

    /// All items of a list, unless one of them is wrong.
    pub(super) fn list<T>(
        &mut self,
        entry: &Entry<'_>,
        expected: &str,
        read: impl Fn(Place, &DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let Some(items) = entry.value.as_array() else {
            let message = format!("expected {expected}, found {}", describe(entry.value));
            self.report.problem(entry.at, &entry.key, message);
            return None;
        };
        let mut all = Some(Vec::new());
        for (index, item) in items.iter().enumerate() {
            let at = self.place(item);
            match (read(at, item.get_ref()), &mut all) {
                (Ok(item), Some(all)) => all.push(item),
                (Ok(_), None) => {}
                (Err(wrong), _) => {
                    self.report.problem(at, &format!("{}[{index}]", entry.key), wrong);
                    all = None;
                }
            }
        }
        all
    }

    pub(super) fn cgroup(&mut self, entry: &Entry<'_>) -> Option<Field<CgroupUse>> {
        self.field(entry, value::cgroup(entry.value))
    }

    pub(super) fn on_supervisor_exit(&mut self, entry: &Entry<'_>) -> Option<Field<OnSupervisorExit>> {
        self.field(entry, value::on_supervisor_exit(entry.value))
    }

    pub(super) fn orphan_timeout(
        &mut self,
        entry: &Entry<'_>,
        range: RangeInclusive<Duration>,
    ) -> Option<Field<OrphanTimeout>> {
        self.field(entry, value::orphan_timeout(entry.value, range))
    }

    /// A program and its arguments.
    pub(super) fn command(&mut self, entry: &Entry<'_>) -> Option<Field<Vec<String>>> {
        let Some(parts) = entry.value.as_array() else {
            return self.field(entry, Err(value::not_a_command(entry.value)));
        };
        let read = self.list(entry, "a list", |_, part| value::text(part));
        // What is wrong with the program is shown at the program, not where its list opens.
        let at = parts.iter().next().map_or(entry.at, |program| self.place(program));
        Some(Field { at, key: entry.key.clone(), value: read })
    }

    /// Variables for a plugin.
    pub(super) fn env(&mut self, entry: &Entry<'_>) -> BTreeMap<String, Field<String>> {
        let mut read = BTreeMap::new();
        for (name, variable) in self.expect_table(entry, "a table of variables").into_iter().flatten() {
            let variable = self.entry(&entry.key, name, variable);
            if let Err(why) = value::check_variable(variable.name) {
                self.report.problem(variable.key_at, &variable.key, why);
            }
            if let Some(field) = self.text(&variable) {
                read.insert(variable.name.to_owned(), field);
            }
        }
        read
    }

    /// All plugins of the file, in the order in which they stand there.
    pub(super) fn plugins(&mut self, entry: &Entry<'_>) -> Vec<RawPlugin> {
        let mut plugins = Vec::new();
        for (name, plugin) in self.expect_table(entry, "a table of plugins").into_iter().flatten() {
            let plugin = self.entry(&entry.key, name, plugin);
            let table = self.expect_table(&plugin, "a table");
            let mut body = RawBody::default();
            if let Some(table) = table {
                self.fill_table(&mut body, table, &plugin.key);
            }
            plugins.push(RawPlugin {
                name: plugin.name.to_owned(),
                at: plugin.key_at,
                key: plugin.key,
                is_table: table.is_some(),
                command: body.command,
                after: body.after,
                requires: body.requires,
                files: body.files,
                run: body.run,
            });
        }
        // The parser's tables are in the order of their names.
        plugins.sort_by_key(|plugin| plugin.at);
        plugins
    }
}

fn unknown_key(name: &str, known: &[&str]) -> Remark {
    let other_word = OTHER_WORDS.iter().find(|(word, key)| *word == name && known.contains(key));
    let suggestion = other_word.map(|(_, key)| (*key).to_owned()).or_else(|| nearest(name, known));
    let message = match suggestion {
        Some(_) => "unknown key".to_owned(),
        None => format!("unknown key; known here: {}", known.join(", ")),
    };
    Remark { message, suggestion }
}

/// A key's path, its last part in quotes if TOML would want them.
fn join(parent: &str, name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name =
        if name.is_empty() || name.len() > 64 || !name.chars().all(bare) { quote(name) } else { name.to_owned() };
    if parent.is_empty() { name } else { format!("{parent}.{name}") }
}
