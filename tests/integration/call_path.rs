//! The supervisor is not in the call path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::support::{LONG, Stage, eventually, text_plugin};

#[test]
fn invariant_4_calls_go_on_while_the_supervisor_is_killed_and_away() {
    let mut stage = Stage::spawn(&text_plugin("replicas = 2"));
    eventually("both replicas are ready", || (stage.cards().len() == 2).then_some(()));
    let (over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let (bus, over, calls) = (stage.caller(), Arc::clone(&over), Arc::clone(&calls));
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let result = bus.request("text.revert").timeout(LONG).call::<String, _>("ab");
                    assert_eq!(result.unwrap(), "ba");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let more = |by: u64| {
        let target = calls.load(Ordering::Relaxed) + by;
        eventually("calls go on", || {
            // A caller that has failed has ended.
            assert!(!callers.iter().any(thread::JoinHandle::is_finished), "a call failed");
            (calls.load(Ordering::Relaxed) >= target).then_some(())
        });
    };
    more(200);
    stage.kill_supervisor();
    more(1000);
    // Who comes only now finds the plugins by their cards alone.
    for _ in 0..10 {
        assert_eq!(stage.caller().request("revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().unwrap();
    }
}
