//! The same figures as bar charts, in SVG that reads well on light and on dark paper.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::contestant::{Contestant, Kind, PLACES, Place};
use crate::table::{median, per_second};

const LEFT: f64 = 270.0;
const BARS: f64 = 380.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 62.0;
const GROUP: f64 = 40.0;
const BAR: f64 = 14.0;
const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 16px; font-weight: 600; }
.note { fill: #57606a; font-size: 12px; }
.ours { font-weight: 600; }
.free { fill: #0969da; }
.core { fill: #bf8700; }
line { stroke: #8c959f; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #8d96a0; }
  .free { fill: #58a6ff; }
  .core { fill: #d29922; }
}";

/// Bars of one contestant, free and on one core.
struct Group<'a> {
    name: &'a str,
    ours: bool,
    values: [Option<f64>; 2],
}

pub(crate) fn write(all: &[Contestant], directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    let micros = |one: &Contestant, place| median(Some(one), place).map(|seconds| seconds * 1e6);
    let rate = |one: &Contestant, place: Place| one.seen(place).rate();
    let mut call = groups(all, micros);
    call.sort_by(|one, other| first(one).total_cmp(&first(other)));
    let title = "One call, median; shorter is better";
    fs::write(directory.join("call.svg"), chart(title, &call, |value| format!("{value:.1} µs"))).unwrap();
    let mut callers = groups(all, rate);
    callers.sort_by(|one, other| first(other).total_cmp(&first(one)));
    let title = "64 callers on one connection, calls a second; longer is better";
    fs::write(directory.join("callers.svg"), chart(title, &callers, per_second)).unwrap();
}

/// Those for whom there is something to show.
fn groups(all: &[Contestant], value: impl Fn(&Contestant, Place) -> Option<f64>) -> Vec<Group<'_>> {
    let all = all.iter().filter(|one| one.kind.is_of_calls()).map(|one| {
        let ours = matches!(one.kind, Kind::Blocking | Kind::Async);
        Group { name: one.name.trim_matches('*'), ours, values: PLACES.map(|place| value(one, place)) }
    });
    all.filter(|group| group.values.iter().any(Option::is_some)).collect()
}

fn first(group: &Group<'_>) -> f64 {
    group.values[0].unwrap_or_default()
}

fn chart(title: &str, groups: &[Group<'_>], show: impl Fn(f64) -> String) -> String {
    let most = groups.iter().flat_map(|group| group.values).flatten().fold(f64::MIN_POSITIVE, f64::max);
    let (width, height) = (LEFT + BARS + RIGHT, TOP + GROUP * groups.len() as f64 + 8.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n<style>\n{STYLE}\n</style>\n"
    );
    text(&mut svg, (10.0, 24.0), "title", title);
    for (x, class, word) in [(LEFT, "free", "free"), (LEFT + 70.0, "core", "both on one core")] {
        bar(&mut svg, (x, 36.0), 12.0, class);
        text(&mut svg, (x + 18.0, 47.0), "note", word);
    }
    for (nth, group) in groups.iter().enumerate() {
        let y = TOP + GROUP * nth as f64;
        let class = if group.ours { "ours" } else { "" };
        let name = escaped(group.name);
        let x = LEFT - 10.0;
        let _ =
            writeln!(svg, "<text x=\"{x}\" y=\"{}\" text-anchor=\"end\" class=\"{class}\">{name}</text>", y + 20.0);
        for (value, (class, offset)) in group.values.iter().zip([("free", 1.0), ("core", 17.0)]) {
            let Some(value) = value else { continue };
            let length = (value / most * BARS).max(1.0);
            bar(&mut svg, (LEFT, y + offset), length, class);
            text(&mut svg, (LEFT + length + 6.0, y + offset + 11.5), "note", &show(*value));
        }
    }
    let _ = writeln!(svg, "<line x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"{TOP}\" y2=\"{}\"/>\n</svg>", height - 8.0);
    svg
}

fn bar(svg: &mut String, (x, y): (f64, f64), length: f64, class: &str) {
    let _ = writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" class=\"{class}\"/>");
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, words: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" class=\"{class}\">{}</text>", escaped(words));
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;")
}
