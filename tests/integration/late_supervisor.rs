//! Survey rounds in which the supervisor itself was late count against nobody.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{LONG, Stage, misbehaving, signal, text_plugin};

/// Whoever misses a second round in a row is silent; there is always a round that waits for who does not answer.
const STRICT: &str = "[survey]\ninterval = '1s'\ndeadline = '1s'\nmisses = 2\n";

/// Longer than any plugin may be silent.
const AWAY: Duration = Duration::from_millis(3500);

#[test]
fn invariant_5_a_supervisor_that_was_stopped_restarts_nobody() {
    let stage = Stage::spawn(&(STRICT.to_owned() + &text_plugin("") + &misbehaving("other", "", "")));
    let (frozen, other) = (stage.ready("text"), stage.ready("other"));
    let bus = stage.caller();
    signal(frozen.pid.unwrap(), Signal::STOP);
    stage.until("text", |plugin| plugin.missed == 1);
    // The round that is under way finds its time run out, and an answer missing.
    signal(stage.supervisor_pid(), Signal::STOP);
    let since = Instant::now();
    while since.elapsed() < AWAY {
        assert_eq!(bus.request("other.echo").timeout(LONG).call::<String, _>("ab").unwrap(), "ab");
    }
    signal(stage.supervisor_pid(), Signal::CONT);
    signal(frozen.pid.unwrap(), Signal::CONT);
    let after = stage.until("text", |plugin| plugin.missed == 0);
    let status = stage.status();
    assert!(status.void_rounds > 0, "no round was found void: {status:?}");
    assert_eq!((after.pid, after.restarts), (frozen.pid, 0));
    assert_eq!((stage.plugin("other").pid, stage.plugin("other").restarts), (other.pid, 0));
    assert!(stage.reasons("text", "silent").is_empty());
}
