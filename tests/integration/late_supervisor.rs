//! Survey rounds in which the supervisor itself was late count against nobody.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{LONG, QUICK, Stage, signal, text_plugin};

/// Longer than any plugin may be silent with [`QUICK`].
const AWAY: Duration = Duration::from_secs(2);

#[test]
fn invariant_5_a_supervisor_that_was_stopped_restarts_nobody() {
    let stage = Stage::spawn(&(QUICK.to_owned() + &text_plugin("replicas = 3")));
    let before = stage.ready("text");
    let bus = stage.caller();
    for _ in 0..2 {
        signal(stage.supervisor_pid(), Signal::STOP);
        let since = Instant::now();
        while since.elapsed() < AWAY {
            assert_eq!(bus.request("text.revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
        }
        signal(stage.supervisor_pid(), Signal::CONT);
        // By now it has had time to judge the round in which it was away, and more.
        (0..5).for_each(|_| drop(stage.survey()));
    }
    let status = stage.status();
    assert!(status.void_rounds > 0, "no round was found void: {status:?}");
    assert!(status.plugins.iter().all(|plugin| plugin.restarts == 0), "{:?}", status.plugins);
    assert_eq!(stage.plugin("text").pid, before.pid);
}
