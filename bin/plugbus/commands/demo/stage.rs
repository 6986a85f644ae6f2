//! The private place where the demo happens.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::{env, io};

use plugbus::bus::{BusDir, new_instance};
use plugbus::config;
use plugbus::supervisor::SupervisorSpec;

use super::leftovers;
use crate::error::CommandError;

/// The configuration that ships, inside the binary: an installed plugbus has no source tree beside it.
const CONFIG: &str = include_str!("../../../../configs/demo.toml");

/// A directory of the demo's own; removed when dropped.
#[derive(Debug)]
pub(super) struct Stage {
    root: PathBuf,
}

impl Stage {
    /// Makes the directory, for its owner alone.
    pub(super) fn new() -> Result<Self, CommandError> {
        let name = format!("plugbus-demo-{}", new_instance());
        // A temporary directory may be too deep for a socket's path, on macOS for instance.
        let fits = |root: &PathBuf| bus_below(root).endpoint("supervisor", &new_instance()).is_ok();
        let root = Some(env::temp_dir().join(&name)).filter(fits).unwrap_or_else(|| Path::new("/tmp").join(&name));
        let failed = |error| CommandError::system(format!("make the directory {}", root.display()))(error);
        // Fails where the name is taken: nobody can have prepared the place.
        DirBuilder::new().mode(0o700).create(&root).map_err(failed)?;
        let stage = Self { root };
        fs::write(stage.config(), CONFIG).map_err(CommandError::system("write the demo's configuration"))?;
        Ok(stage)
    }

    /// What is to run.
    pub(super) fn spec(&self) -> Result<SupervisorSpec, CommandError> {
        let mut loaded = config::load(&[self.config()]).map_err(CommandError::Config)?;
        if let Some(warning) = loaded.warnings.first() {
            return Err(CommandError::Demo(warning.message.clone()));
        }
        loaded.spec.directory = Some(self.bus().path().to_owned());
        Ok(loaded.spec)
    }

    /// Where its bus is.
    pub(super) fn bus(&self) -> BusDir {
        bus_below(&self.root)
    }

    /// Removes the directory and makes sure that nothing is left.
    pub(super) fn clear(self) -> Result<(), CommandError> {
        let endpoints = leftovers::endpoints(self.bus().path());
        let processes = leftovers::processes(&self.root);
        let root = self.root.clone();
        drop(self);
        let left = [
            (!endpoints.is_empty()).then(|| format!("on the bus: {}", endpoints.join(", "))),
            (!processes.is_empty()).then(|| format!("processes: {}", processes.join(", "))),
            root.exists().then(|| format!("the directory {}", root.display())),
        ];
        match left.into_iter().flatten().collect::<Vec<_>>() {
            left if left.is_empty() => Ok(()),
            left => Err(CommandError::Demo(format!("something is left, {}", left.join("; ")))),
        }
    }

    fn config(&self) -> PathBuf {
        self.root.join("demo.toml")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Something may be written at the very moment it is removed, by a plugin that is being killed.
        for _ in 0..3 {
            match fs::remove_dir_all(&self.root) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                _ => break,
            }
        }
    }
}

fn bus_below(root: &Path) -> BusDir {
    BusDir::at(root.join("bus"))
}
