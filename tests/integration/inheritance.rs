//! What a plugin gets of its supervisor's descriptors: none, whenever it is started.

use std::collections::BTreeSet;
use std::fs;

use plugbus::supervisor::UnitState;

use crate::support::{PATIENT, Stage, eventually, plugin, slow_accept};

/// So many that some are started while the connections of others are accepted.
const PLUGINS: usize = 40;

fn sockets_of(pid: u32) -> BTreeSet<String> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = descriptors.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_str()?.to_owned()));
    targets.filter(|target| target.starts_with("socket:")).collect()
}

#[test]
fn a_plugin_holds_no_connection_of_another_to_the_supervisor() {
    let library = slow_accept();
    let section = |nth| plugin(&format!("text-{nth}"), &[env!("CARGO_BIN_EXE_plugbus-text")], "");
    let config = PATIENT.to_owned() + &(0..PLUGINS).map(section).collect::<String>();
    let mut stage = Stage::empty();
    stage.supervise_apart(&config, |command| command.env("LD_PRELOAD", &library));
    let pids = eventually("all are ready", || {
        let plugins = stage.status().plugins;
        plugins
            .iter()
            .map(|plugin| plugin.pid.filter(|_| plugin.state == UnitState::Ready))
            .collect::<Option<Vec<_>>>()
    });
    let own = sockets_of(stage.supervisor_pid());
    let holders: Vec<_> = pids.into_iter().filter(|pid| !sockets_of(*pid).is_disjoint(&own)).collect();
    fs::remove_file(library).unwrap();
    assert!(!own.is_empty() && holders.is_empty(), "{holders:?}");
}
