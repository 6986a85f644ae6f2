//! What all calls of one served plugin share: who it is, what is counted, and the bus it calls others on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::ledger::Ledger;
use crate::host::{Bus, CallError};

/// Whose calls they are, and where these go from.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) instance: String,
    pub(super) ledger: Arc<Ledger>,
    directory: PathBuf,
    /// Opened by the first call that makes one.
    bus: OnceLock<Bus>,
}

impl Home {
    pub(super) fn new(instance: &str, directory: &Path, ledger: Arc<Ledger>) -> Self {
        Self { instance: instance.to_owned(), ledger, directory: directory.to_owned(), bus: OnceLock::new() }
    }

    /// The bus of this plugin, opened once.
    pub(super) fn bus(&self) -> Result<&Bus, CallError> {
        match self.bus.get() {
            Some(bus) => Ok(bus),
            None => {
                let bus = Bus::at(&self.directory)?;
                Ok(self.bus.get_or_init(|| bus))
            }
        }
    }
}
