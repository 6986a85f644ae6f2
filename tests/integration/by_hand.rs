//! A plugin that people start by hand, without a supervisor, joins the bus by itself.

use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::support::{LONG, PATIENT, Stage, eventually, misbehaving, signal};

/// Ended when dropped, whatever the test came to.
struct ByHand(Child);

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(stage: &Stage) -> ByHand {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus-text"));
    command.env("PLUGBUS_DIR", stage.scratch()).stdin(Stdio::null()).stderr(Stdio::null());
    ByHand(command.spawn().unwrap())
}

#[test]
fn it_is_called_like_any_other_and_leaves_with_its_card() {
    let stage = Stage::empty();
    let mut plugin = start(&stage);
    let card = eventually("its card", || stage.cards().pop());
    assert_eq!((card.name.as_str(), card.process.pid), ("text", plugin.0.id()));
    let bus = stage.caller();
    assert_eq!(bus.request("revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
    signal(plugin.0.id(), Signal::TERM);
    assert_eq!(eventually("it exits", || plugin.0.try_wait().unwrap()).code(), Some(0));
    let left: Vec<_> =
        std::fs::read_dir(stage.bus().path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("text.")), "{left:?}");
    assert!(bus.request("revert").timeout(LONG).call::<String, _>("ab").is_err());
}

#[test]
fn a_supervisor_that_comes_and_goes_leaves_it_alone() {
    let mut stage = Stage::empty();
    let mut plugin = start(&stage);
    eventually("its card", || stage.cards().pop());
    stage.supervise(&(PATIENT.to_owned() + &misbehaving("other", "", "")));
    stage.ready("other");
    let bus = stage.caller();
    assert_eq!(bus.request("text.revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
    assert!(stage.status().plugins.iter().all(|plugin| plugin.name != "text"));
    stage.stop();
    assert_eq!(bus.request("text.revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
    assert_eq!(plugin.0.try_wait().unwrap(), None);
}
