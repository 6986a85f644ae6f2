//! What the pages on security say is held by a test: each test that they name is there.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The words between single backquotes that are paths of tests or modules.
fn named(page: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("{ROOT}/{page}")).unwrap_or_else(|error| panic!("{page}: {error}"));
    let tables = text.lines().filter(|line| line.starts_with('|'));
    let words = tables.flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    let is_path = |word: &String| word.contains("::") && !word.contains(['/', ' ']);
    words.filter(is_path).collect()
}

/// Whether a module of that path exists and has a test of that name, which may end in an ellipsis.
fn exists(name: &str, sources: &[(PathBuf, String)]) -> bool {
    let (modules, last) = name.rsplit_once("::").unwrap();
    let wanted = match last.strip_suffix('…') {
        Some(start) => format!("fn {start}"),
        None => format!("fn {last}("),
    };
    let folders: Vec<_> = modules.split("::").filter(|module| *module != "tests").collect();
    let of_module = |path: &Path| {
        folders
            .iter()
            .all(|folder| path.iter().any(|part| part == *folder || part == format!("{folder}.rs").as_str()))
    };
    let a_module = || {
        let all: Vec<_> = name.split("::").collect();
        sources.iter().any(|(path, _)| path.with_extension("").ends_with(all.join("/")))
            || sources.iter().any(|(path, text)| of_module(path) && text.contains(&format!("mod {last}")))
    };
    sources.iter().any(|(path, text)| of_module(path) && text.contains(&wanted)) || a_module()
}

#[test]
fn every_test_that_a_page_on_security_names_is_there() {
    let mut paths = Vec::new();
    for folder in ["src", "tests/integration"] {
        sources(&Path::new(ROOT).join(folder), &mut paths);
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(ROOT).unwrap().to_owned(), text)
    };
    let sources: Vec<_> = paths.into_iter().map(read).collect();
    for page in ["docs/security.md", "SECURITY.md"] {
        let named = named(page);
        assert!(named.len() > 10, "{page} names only {} tests", named.len());
        let gone: Vec<_> = named.iter().filter(|name| !exists(name, &sources)).collect();
        assert!(gone.is_empty(), "{page} names tests that are not there: {gone:?}");
    }
    assert!(!exists("bus::crowd::tests::no_such_test", &sources));
    assert!(!exists("trust::a_quarter_of_the_descriptors_…", &sources));
}

/// Where code may be `unsafe`: what the `nng` crate lacks, what happens between a fork and an exec, and a program that
/// replaces itself.
const UNSAFE: [&str; 3] = ["src/bus/nng/", "src/supervisor/process/", "bin/plugbus/commands/replace.rs"];

#[test]
fn unsafe_code_is_where_it_may_be() {
    let mut paths = Vec::new();
    ["src", "bin", "macros/src", "examples"]
        .iter()
        .for_each(|folder| sources(&Path::new(ROOT).join(folder), &mut paths));
    assert!(paths.len() > 100, "only {} sources", paths.len());
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let place = path.strip_prefix(ROOT).unwrap().display().to_string();
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        let blocks = lines.iter().enumerate().filter(|(_, line)| {
            !line.starts_with("//")
                && ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| line.contains(word))
        });
        for (at, line) in blocks {
            assert!(UNSAFE.iter().any(|allowed| place.starts_with(allowed)), "{place}:{}: {line}", at + 1);
            let reason =
                lines[..at].iter().rev().take(12).any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
            assert!(reason, "{place}:{}: no reason before {line}", at + 1);
        }
    }
}
