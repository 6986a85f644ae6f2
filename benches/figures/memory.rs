//! What an idle plugin and an idle connection hold.

use std::time::Duration;

use plugbus::bus::{BusDir, Requester};
use plugbus::wire::RequestHead;

use crate::support::{Plugin, resident_kib};

const CONNECTIONS: u64 = 1_000;
const LONG: Duration = Duration::from_secs(5);

/// In KiB.
pub(crate) struct Memory {
    pub(crate) plugin: u64,
    pub(crate) connection_in_caller: f64,
    pub(crate) connection_in_plugin: f64,
}

/// To be called first: what this program has used and freed would be used again unseen.
pub(crate) fn measure() -> Memory {
    let root = tempfile::tempdir().unwrap();
    let plugin = Plugin::start(root.path());
    std::thread::park_timeout(Duration::from_secs(1));
    let idle = resident_kib(plugin.pid(), "VmRSS");
    let directory = BusDir::at(root.path().join("default"));
    let card = directory.cards().unwrap().remove(0);
    let endpoint = directory.endpoint(&card.name, &card.instance).unwrap();
    let ping = RequestHead::new("$ping", LONG).encode(&()).unwrap();
    let connect = || {
        let requester = Requester::dial(&endpoint).unwrap();
        requester.request_blocking(&ping, LONG).unwrap();
        requester
    };
    let first = connect();
    let anonymous = || [std::process::id(), plugin.pid()].map(|pid| resident_kib(pid, "RssAnon"));
    let before = anonymous();
    let all: Vec<Requester> = (0..CONNECTIONS).map(|_| connect()).collect();
    let after = anonymous();
    drop((first, all));
    let grown = |side: usize| after[side].saturating_sub(before[side]) as f64 / CONNECTIONS as f64;
    Memory { plugin: idle, connection_in_caller: grown(0), connection_in_plugin: grown(1) }
}
