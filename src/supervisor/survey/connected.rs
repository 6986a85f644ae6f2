//! Who is connected to the survey endpoint.

use std::collections::{HashMap, HashSet};

use crate::bus::{Peer, PeerEvent};
use crate::supervisor::process::group_of;

/// The connections at the survey endpoint, by the bus's hints.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct Connected {
    /// Each connection's process and process group, as they were when it connected.
    peers: HashMap<u32, [Option<u32>; 2]>,
    /// How many connections each process and group has.
    ids: HashMap<u32, usize>,
    /// Connections whose process the system does not tell.
    unknown: usize,
    /// Connections that gave an answer in somebody else's name.
    accused: HashSet<u32>,
}

impl Connected {
    pub(in crate::supervisor) fn take(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Joined(peer) => self.join(peer),
            PeerEvent::Left(peer) => self.leave(peer),
        }
    }

    fn join(&mut self, peer: Peer) {
        let group = peer.pid.and_then(group_of).filter(|group| Some(*group) != peer.pid);
        self.unknown += usize::from(peer.pid.is_none());
        for id in [peer.pid, group].into_iter().flatten() {
            *self.ids.entry(id).or_default() += 1;
        }
        self.peers.insert(peer.connection, [peer.pid, group]);
    }

    fn leave(&mut self, peer: Peer) {
        self.accused.remove(&peer.connection);
        let Some(ids) = self.peers.remove(&peer.connection) else { return };
        self.unknown -= usize::from(ids[0].is_none());
        for id in ids.into_iter().flatten() {
            if let Some(count) = self.ids.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    self.ids.remove(&id);
                }
            }
        }
    }

    pub(in crate::supervisor) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether that connection may be that of the process that leads this group.
    pub(in crate::supervisor) fn may_be(&self, peer: Peer, leader: u32) -> bool {
        let Some(ids) = self.peers.get(&peer.connection) else { return false };
        ids[0].is_none() || ids.contains(&Some(leader))
    }

    /// Whether the process that leads this group is connected, or somebody in its group is.
    ///
    /// A connection whose process the system does not tell might be anybody's.
    pub(in crate::supervisor) fn includes(&self, leader: u32) -> bool {
        self.unknown > 0 || self.ids.contains_key(&leader)
    }

    /// Whether this is the first false word of that connection: each is named once.
    pub(in crate::supervisor) fn accuse(&mut self, peer: Peer) -> bool {
        self.accused.insert(peer.connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_process_and_group() {
        let own = std::process::id();
        let peer = |connection, pid| Peer { connection, pid, uid: None };
        let mut connected = Connected::default();
        connected.take(PeerEvent::Joined(peer(1, Some(own))));
        connected.take(PeerEvent::Joined(peer(2, Some(own))));
        assert!(connected.includes(own) && connected.includes(group_of(own).unwrap()) && !connected.includes(1));
        connected.take(PeerEvent::Left(peer(1, Some(own))));
        connected.take(PeerEvent::Left(peer(1, Some(own))));
        assert!(connected.includes(own));
        connected.take(PeerEvent::Left(peer(2, Some(own))));
        assert!(!connected.includes(own) && connected.ids.is_empty());
        connected.take(PeerEvent::Joined(peer(3, None)));
        assert!(connected.includes(own));
        assert!(connected.accuse(peer(3, None)) && !connected.accuse(peer(3, None)));
    }
}
