//! The operator's word: what was ordered by hand and holds until it is taken back.
//!
//! It lies over the configuration and outlives reloads and the supervisor, in `state/operator.json`. Knows
//! nothing of units or processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{PluginRequest, PluginSpec};
use crate::bus::{BusDir, read_own, write_whole};

/// A file larger than this is none of ours.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// What was ordered by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Operator {
    /// Plugins that are not to run until they are started.
    pub(super) stopped: BTreeSet<String>,
    /// Plugins that were enabled or disabled, whatever the configuration says.
    pub(super) enabled: BTreeMap<String, bool>,
    /// Plugins of which another number is to run than the configuration says.
    pub(super) scaled: BTreeMap<String, Scaled>,
    /// Plugins that no configuration has.
    pub(super) added: BTreeMap<String, PluginRequest>,
    /// Plugins of the configuration that are to be as if they were not there.
    pub(super) removed: BTreeSet<String>,
}

/// A number of replicas that was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scaled {
    /// What the configuration said then. Once it says something else, that is newer.
    pub(super) configured: u32,
    pub(super) wanted: u32,
}

impl Operator {
    /// Reads what an earlier supervisor was told.
    ///
    /// # Errors
    /// In words, when the file cannot be understood; it is then kept aside, and nothing is remembered.
    pub(super) fn load(dir: &BusDir) -> Result<Self, String> {
        let path = path(dir);
        let problem = match read_own(&path, MAX_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => error.to_string(),
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(operator) => return Ok(operator),
                Err(error) => error.to_string(),
            },
        };
        let aside = path.with_extension("json.bad");
        let kept =
            fs::rename(&path, &aside).map_or_else(|_| String::new(), |()| format!("; kept as {}", aside.display()));
        Err(format!(
            "what was stopped, scaled, added or disabled by hand is forgotten: {}: {problem}{kept}",
            path.display()
        ))
    }

    /// Writes it, whole or not at all; without any order there is no file.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn save(&self, dir: &BusDir) -> io::Result<()> {
        let path = path(dir);
        if *self == Self::default() {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        write_whole(&path, &serde_json::to_vec_pretty(self)?)
    }

    /// Forgets what a newer configuration has overtaken.
    pub(super) fn settle(&mut self, configured: &[PluginSpec]) {
        let find = |name: &str| configured.iter().find(|spec| spec.name == name);
        self.added.retain(|name, _| find(name).is_none());
        self.removed.retain(|name| find(name).is_some());
        let added = &self.added;
        self.scaled.retain(|name, scaled| match (find(name), added.get(name)) {
            (Some(spec), _) => spec.replicas == scaled.configured && scaled.wanted != scaled.configured,
            (None, added) => added.is_some(),
        });
        self.enabled.retain(|name, enabled| match (find(name), added.get(name)) {
            (Some(spec), _) => spec.enabled != *enabled,
            (None, added) => added.is_some(),
        });
        self.stopped.retain(|name| find(name).is_some() || added.contains_key(name));
    }

    /// The plugins as they are to run: the configured ones with every order over them, then the added ones.
    pub(super) fn over(&self, configured: &[PluginSpec], defaults: &PluginSpec) -> Vec<PluginSpec> {
        let configured = configured.iter().filter(|spec| !self.removed.contains(&spec.name)).cloned();
        let added = self.added.values().map(|request| request.spec(defaults));
        configured.chain(added).map(|spec| self.changed(spec)).collect()
    }

    fn changed(&self, mut spec: PluginSpec) -> PluginSpec {
        spec.replicas = self.scaled.get(&spec.name).map_or(spec.replicas, |scaled| scaled.wanted);
        spec.enabled = self.enabled.get(&spec.name).copied().unwrap_or(spec.enabled);
        spec
    }
}

fn path(dir: &BusDir) -> PathBuf {
    dir.state_dir().join("operator.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::unit::sample_spec;

    fn spec(name: &str) -> PluginSpec {
        PluginSpec { name: name.into(), ..sample_spec() }
    }

    fn seen(operator: &Operator, configured: &[PluginSpec]) -> Vec<String> {
        let plugins = operator.over(configured, &sample_spec());
        plugins.iter().map(|spec| format!("{} {} {}", spec.name, spec.replicas, spec.enabled)).collect()
    }

    fn ordered() -> Operator {
        let request =
            |name: &str| PluginRequest { name: name.into(), command: vec!["x".into()], ..Default::default() };
        Operator {
            stopped: ["a", "gone"].map(str::to_owned).into(),
            enabled: [("a".to_owned(), false), ("gone".to_owned(), false)].into(),
            scaled: [("b".to_owned(), Scaled { configured: 1, wanted: 3 })].into(),
            added: [("new".to_owned(), request("new"))].into(),
            removed: ["c", "gone"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn orders_lie_over_the_configuration() {
        let configured = ["a", "b", "c", "d"].map(spec);
        assert_eq!(seen(&ordered(), &configured), ["a 1 false", "b 3 true", "d 1 true", "new 1 true"]);
    }

    #[test]
    fn a_newer_configuration_overtakes_them() {
        let mut operator = ordered();
        let mut b = spec("b");
        b.replicas = 2;
        let mut a = spec("a");
        a.enabled = false;
        let configured = [a, b, spec("new")];
        operator.settle(&configured);
        assert_eq!(operator, Operator { stopped: ["a".to_owned()].into(), ..Operator::default() });
        assert_eq!(seen(&operator, &configured), ["a 1 false", "b 2 true", "new 1 true"]);
    }

    #[test]
    fn they_outlive_the_supervisor_and_what_cannot_be_read_is_kept_aside() {
        let root = tempfile::tempdir().unwrap();
        let dir = BusDir::at(root.path().join("bus"));
        dir.create().unwrap();
        assert_eq!(Operator::load(&dir), Ok(Operator::default()));
        ordered().save(&dir).unwrap();
        assert_eq!(Operator::load(&dir), Ok(ordered()));
        for text in ["", "{", "7", "{\"stopped\": 7}", "{\"scaled\": {\"a\": {\"wanted\": -1}}}"] {
            fs::write(path(&dir), text).unwrap();
            assert!(Operator::load(&dir).unwrap_err().contains("operator.json.bad"), "{text:?}");
            assert_eq!(Operator::load(&dir), Ok(Operator::default()), "{text:?}");
        }
        ordered().save(&dir).unwrap();
        Operator::default().save(&dir).unwrap();
        Operator::default().save(&dir).unwrap();
        assert!(!path(&dir).exists());
    }
}
