//! Who may be at the other end of a connection.
//!
//! The kernel says who that is: to whoever listens, the one who connected; to whoever dials, the one who listens.
//! Nobody can claim to be somebody else, and both lanes and the survey ask the same question.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::geteuid;

use super::process_id::group_of;
use super::{Endpoint, Guests};

/// Connections of this process that were refused.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// How many connections this process has refused since its start.
///
/// They were of another user, of another process than the one that a card names, or too many.
#[must_use]
pub fn refused_connections() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

/// Who may be at the other end of the connections of one socket.
#[derive(Debug)]
pub(super) struct Counterpart {
    endpoint: Endpoint,
    /// The owner of the socket's directory: whoever can put another socket there need not be kept out.
    owner: Option<u32>,
    /// Who is let in on purpose.
    guests: Guests,
    /// The process that has to be there, or one of the group that it leads.
    process: Option<u32>,
}

impl Counterpart {
    /// Anybody's process whom this user trusts: its own, root's, and those of the bus directory's owner.
    pub(super) fn at(endpoint: &Endpoint) -> Self {
        let directory = endpoint.path().parent().and_then(|directory| fs::metadata(directory).ok());
        let owner = directory.map(|directory| directory.uid());
        Self { endpoint: endpoint.clone(), owner, guests: Guests::default(), process: None }
    }

    /// And these users.
    pub(super) fn welcoming(self, guests: &Guests) -> Self {
        Self { guests: guests.clone(), ..self }
    }

    /// And no other process than that one, or one of the group that it leads.
    pub(super) fn expecting(self, process: Option<u32>) -> Self {
        Self { process, ..self }
    }

    /// Whether the connection may stand; one that may not is counted, and told.
    pub(super) fn admits(&self, uid: Option<u32>, pid: Option<u32>) -> bool {
        let user = uid.is_some_and(|uid| self.trusts(uid));
        let admitted = user && self.is_expected(pid);
        if !admitted {
            self.refused(pid, if user { "not the process it should be" } else { "another user's" });
        }
        admitted
    }

    /// Counts a connection that was refused, and tells it.
    pub(super) fn refused(&self, pid: Option<u32>, why: &str) {
        let count = REFUSED.fetch_add(1, Ordering::Relaxed) + 1;
        // Whoever tries again and again does not fill the log.
        if count.is_power_of_two() {
            tracing::warn!(endpoint = %self.endpoint, ?pid, count, "refused a connection: {why}");
        }
    }

    fn trusts(&self, uid: u32) -> bool {
        // Asked each time: a program may give up being root after its start.
        uid == 0 || uid == geteuid().as_raw() || self.owner == Some(uid) || self.guests.include(uid)
    }

    fn is_expected(&self, pid: Option<u32>) -> bool {
        let (Some(expected), Some(pid)) = (self.process, pid) else { return true };
        // A plugin may be a script whose child listens: what a supervisor starts leads a group.
        expected == pid || group_of(pid) == Some(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counterpart(owner: Option<u32>) -> Counterpart {
        Counterpart { endpoint: "ipc:///x/y".parse().unwrap(), owner, guests: Guests::default(), process: None }
    }

    #[test]
    fn root_oneself_and_the_owner_of_the_directory_are_trusted() {
        let own = geteuid().as_raw();
        let (owner, stranger) = (own + 4001, own + 4002);
        for (uid, owned_by, trusted) in [
            (Some(0), None, true),
            (Some(own), None, true),
            (Some(owner), Some(owner), true),
            (Some(stranger), Some(owner), false),
            (Some(stranger), None, false),
            (None, Some(owner), false),
        ] {
            assert_eq!(counterpart(owned_by).admits(uid, Some(1)), trusted, "{uid:?} in a directory of {owned_by:?}");
        }
    }

    #[test]
    fn guests_are_let_in_as_long_as_they_are_on_the_list() {
        let (guest, other) = (geteuid().as_raw() + 4001, geteuid().as_raw() + 4002);
        let guests = Guests::of([guest]);
        let counterpart = counterpart(None).welcoming(&guests);
        assert!(counterpart.admits(Some(guest), Some(1)) && !counterpart.admits(Some(other), Some(1)));
        guests.replace([other]);
        assert!(!counterpart.admits(Some(guest), Some(1)) && counterpart.admits(Some(other), Some(1)));
    }

    #[test]
    fn the_process_that_was_named_or_one_of_its_group() {
        let own = std::process::id();
        let group = group_of(own).unwrap();
        for (expected, pid, admitted) in [
            (None, Some(own), true),
            (Some(own), Some(own), true),
            (Some(group), Some(own), true),
            (Some(u32::MAX - 1), Some(own), false),
            (Some(own), Some(1), false),
            (Some(own), Some(u32::MAX), false),
        ] {
            let counterpart = counterpart(None).expecting(expected);
            assert_eq!(counterpart.admits(Some(0), pid), admitted, "{expected:?}, {pid:?}");
        }
    }
}
