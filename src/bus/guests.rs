//! Users who are let in on purpose.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

/// The variable by which a plugin is told whom to let in: users' numbers, with commas between.
#[cfg(feature = "plugin")]
pub(crate) const ALLOWED: &str = "PLUGBUS_ALLOW";

/// Users who are let in at a socket beside those whom every socket trusts; copies are one and the same list.
#[derive(Debug, Clone, Default)]
pub struct Guests(Arc<RwLock<BTreeSet<u32>>>);

impl Guests {
    /// These users, by their numbers.
    #[must_use]
    pub fn of(users: impl IntoIterator<Item = u32>) -> Self {
        let guests = Self::default();
        guests.replace(users);
        guests
    }

    /// From now on these users; whoever is connected stays.
    pub fn replace(&self, users: impl IntoIterator<Item = u32>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = users.into_iter().collect();
    }

    pub(super) fn include(&self, user: u32) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&user)
    }
}
