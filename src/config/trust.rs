//! Keys that are trusted, and where programs are pinned.

use std::path::{Path, PathBuf};

use super::raw::{Field, Name, RawFile, RawPlugin};
use super::report::{Report, quote};
use super::validate::set;
use crate::trust::{PublicKey, Trust};

/// The file in which programs are pinned, beside the configuration.
const LOCK: &str = "plugbus.lock";

/// Where the programs of a configuration are pinned: beside the first of what was named.
pub(super) fn lock_path(paths: &[impl AsRef<Path>]) -> Option<PathBuf> {
    let first = paths.first()?.as_ref();
    let directory = if first.is_dir() { first } else { first.parent().unwrap_or(Path::new("")) };
    std::path::absolute(directory.join(LOCK)).ok()
}

/// The keys, each as it is or as the path of its file; `None` after a problem.
pub(super) fn keys(field: &Field<Vec<Name>>, report: &mut Report<'_>) -> Option<Vec<PublicKey>> {
    let mut keys = Some(Vec::new());
    for Name { at, text } in field.value.as_ref()? {
        let is_file = text.contains(['/', '.']) && !(text.len() == 56 && text.starts_with("RW"));
        let read = match is_file {
            true => PublicKey::read(&report.source(*at).directory().join(text)),
            false => text.parse(),
        };
        match (read, &mut keys) {
            (Ok(key), Some(keys)) => keys.push(key),
            (Ok(_), None) => {}
            (Err(error), _) => {
                report.problem(*at, &field.key, format!("{} {error}", quote(text)));
                keys = None;
            }
        }
    }
    keys
}

/// Whoever wants signatures has to say whose.
pub(super) fn check(raw: &RawFile, plugins: &[RawPlugin], report: &mut Report<'_>) {
    // Refused keys have been reported.
    if raw.trust.keys.as_ref().is_some_and(|keys| keys.value.as_ref().is_none_or(|keys| !keys.is_empty())) {
        return;
    }
    let wanted = plugins.iter().map(|plugin| &plugin.run.trust).chain([&raw.defaults.trust]).filter_map(set);
    for (field, trust) in wanted {
        if *trust == Trust::Signed {
            let message = "\"signed\" needs a key whose signatures count: name one in [trust] keys";
            report.problem(field.at, &field.key, message);
        }
    }
}
