//! `plugbus logs`: what plugins printed, with or without a supervisor.

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use plugbus::host::CallError;
use plugbus::wire::nearest;
use serde::Serialize;

use super::signals::until_interrupted;
use crate::args::Logs;
use crate::error::CommandError;
use crate::output::{self, BOLD, DIM, FAIR, PLAIN, visible};
use crate::settings::Settings;
use crate::tail::{Follower, Print};

pub(super) fn run(settings: &Settings, args: &Logs) -> Result<(), CommandError> {
    let directory = settings.logs()?;
    let wanted = args.plugins.clone();
    if !args.range.follow {
        check_names(&directory, &wanted)?;
    }
    let find = move || logs(&directory, &wanted);
    let mut follower = Follower::new(find, args.range);
    let print = LogPrint { json: args.json };
    match args.range.follow {
        true => until_interrupted(follower.follow(&print, std::future::pending::<()>)),
        false => follower.print_all(&print),
    }
}

/// The logs of these plugins, or all.
fn logs(directory: &Path, wanted: &[String]) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.strip_suffix(".log")?.to_owned();
            (wanted.is_empty() || wanted.contains(&name)).then(|| (name, entry.path()))
        })
        .collect();
    found.sort();
    found
}

fn check_names(directory: &Path, wanted: &[String]) -> Result<(), CommandError> {
    let known = logs(directory, &[]);
    let known: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
    match wanted.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let nearest = nearest(name, known).into_iter().map(str::to_owned).collect();
            Err(CallError::NoSuchPlugin { name: name.clone(), nearest }.into())
        }
    }
}

struct LogPrint {
    json: bool,
}

/// A line of a log, taken apart.
#[derive(Debug, PartialEq, Serialize)]
struct LogLine<'a> {
    at: &'a str,
    plugin: &'a str,
    instance: &'a str,
    /// `out`, `err`, or `---` for what is said of the log itself.
    stream: &'a str,
    text: &'a str,
}

impl<'a> LogLine<'a> {
    /// `TIME INSTANCE STREAM| TEXT`; whatever is not like that is all text.
    fn parse(plugin: &'a str, line: &'a str) -> Self {
        let parts = || {
            let (head, text) = line.split_once("| ").or_else(|| Some((line.strip_suffix('|')?, "")))?;
            let mut head = head.split(' ');
            let (at, instance, stream) = (head.next()?, head.next()?, head.next()?);
            (head.next().is_none() && is_stamp(at)).then_some(Self { at, plugin, instance, stream, text })
        };
        parts().unwrap_or(Self { at: "", plugin, instance: "", stream: "", text: line })
    }
}

pub(super) fn is_stamp(text: &str) -> bool {
    text.len() == 24 && text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with('Z')
}

impl Print for LogPrint {
    fn stamp<'a>(&self, line: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(line.get(..24)?).ok().filter(|stamp| is_stamp(stamp))
    }

    fn wants(&self, _: &[u8]) -> bool {
        true
    }

    fn selects(&self) -> bool {
        false
    }

    fn print(&self, lines: &mut VecDeque<(String, Vec<u8>)>) -> Result<(), CommandError> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.json {
            return output::print_raw(|out| {
                lines.drain(..).try_for_each(|(plugin, line)| {
                    serde_json::to_writer(&mut *out, &LogLine::parse(&plugin, &String::from_utf8_lossy(&line)))?;
                    writeln!(out)
                })
            });
        }
        let mut text = Vec::new();
        for (plugin, line) in lines.drain(..) {
            // Writing to a Vec cannot fail.
            let _ = write_line(&mut text, &LogLine::parse(&plugin, &String::from_utf8_lossy(&line)));
        }
        output::print(|out| out.write_all(&text))
    }
}

fn write_line(out: &mut Vec<u8>, line: &LogLine<'_>) -> std::io::Result<()> {
    let LogLine { at, plugin, instance, stream, text } = line;
    // What a plugin prints may hold anything, and a terminal obeys.
    let text = if output::is_terminal() { visible(text) } else { (*text).to_owned() };
    if at.is_empty() {
        return writeln!(out, "{BOLD}{plugin}{BOLD:#} {text}");
    }
    let style = if *stream == "out" { PLAIN } else { FAIR };
    writeln!(out, "{DIM}{at}{DIM:#} {BOLD}{plugin}{BOLD:#} {DIM}{instance}{DIM:#} {stream}| {style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let line = LogLine::parse("a", "2026-11-22T18:00:00.000Z k3 err| x| y");
        assert_eq!((line.instance, line.stream, line.text), ("k3", "err", "x| y"));
        let line = LogLine::parse("a", "2026-11-22T18:00:00.000Z k3 out| ");
        assert_eq!((line.stream, line.text), ("out", ""));
        for garbage in ["", "x", "a b c| d", "2026-11-22T18:00:00.000Z k3 and more err| x"] {
            assert_eq!(LogLine::parse("a", garbage).text, garbage);
        }
    }

    #[test]
    fn only_whole_stamps_order_lines() {
        let print = LogPrint { json: false };
        assert_eq!(print.stamp(b"2026-11-22T18:00:00.000Z k3 err| x"), Some("2026-11-22T18:00:00.000Z"));
        assert_eq!(print.stamp(b"2026-11-22T18:00:00.000"), None);
        assert_eq!(print.stamp(&[0xff; 40]), None);
    }
}
