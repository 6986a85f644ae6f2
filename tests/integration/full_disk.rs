//! Disks without room: a log directory, and the bus directory itself, that cannot be written to for a while.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{LONG, PATIENT, QUICK, Stage, eventually, misbehaving, missing, signal, text_plugin};

/// A tmpfs; `None` where this user may not mount one.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "plugbus-test"]).arg(at);
        mount.stderr(std::process::Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        if mounted { Some(Self(at)) } else { missing("the right to mount a file system") }
    }

    fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        assert!(mount.args(["-o", &format!("remount,{options}")]).arg(self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_or_read_only_disk_holds_no_plugin_up_and_is_written_to_again_when_it_is_well() {
    let mut stage = Stage::empty();
    let log_dir = stage.bus().log_dir();
    let Some(disk) = SmallDisk::mount(&log_dir, "size=128k,mode=700") else {
        return;
    };
    let more = "[log]\nmax_size = '1GiB'\n";
    let config = PATIENT.to_owned() + &misbehaving("loud", "flood", "") + &text_plugin("") + more;
    stage.supervise_apart(&config, |command| command);
    stage.ready("loud");
    let printed = || stage.caller().request("loud.printed").timeout(LONG).call::<u64, _>(&()).unwrap();
    let flows = || {
        let target = printed() + 100_000;
        eventually("the flood goes on", || (printed() > target).then_some(()));
    };
    let dropped = || stage.plugin("loud").dropped_lines;
    // Full: the flood fills it in no time.
    stage.until("loud", |plugin| plugin.dropped_lines > 10_000);
    flows();
    disk.remount("size=512k");
    let log = log_dir.join("loud.log");
    eventually("it is written to again", || (fs::metadata(&log).ok()?.len() > 128 << 10).then_some(()));
    // Another disk in its place, on which nothing may be written.
    let read_only = SmallDisk::mount(&log_dir, "ro").unwrap();
    let before = dropped();
    stage.until("loud", |plugin| plugin.dropped_lines > before);
    flows();
    drop(read_only);
    disk.remount("size=1g");
    let (well, before) = (std::time::Instant::now(), fs::metadata(&log).unwrap().len());
    eventually("it is written to again", || (fs::metadata(&log).ok()?.len() > before + (512 << 10)).then_some(()));
    assert!(well.elapsed().as_secs() < 5, "took {:?}", well.elapsed());
    eventually("what is missing is told", || stage.log("loud.log").contains("lines dropped").then_some(()));
    let restarts = (stage.ready("text").restarts, stage.ready("loud").restarts);
    assert_eq!(restarts, (0, 0), "{}", stage.said());
    signal(stage.ready("loud").pid.unwrap(), Signal::KILL);
}

#[test]
fn who_could_not_be_found_for_want_of_room_is_found_once_there_is_some() {
    let mut stage = Stage::empty();
    let bus = stage.bus().path().to_owned();
    let Some(_disk) = SmallDisk::mount(&bus, "size=1m,mode=700") else {
        return;
    };
    let config = QUICK.to_owned() + &text_plugin("backoff = { min = '1ms', max = '10ms' }");
    stage.supervise_apart(&config, |command| command);
    let mut plugin = stage.ready("text");
    let path = stage.bus().log_dir().join("filler");
    let mut filler = File::create(&path).unwrap();
    // What its card took is free for the next one, so the disk is filled again before each try.
    eventually("a card finds no room", || {
        while filler.write_all(&[0; 1024]).is_ok() {}
        signal(plugin.pid.unwrap(), Signal::KILL);
        eventually("its card is gone", || {
            stage.cards().iter().all(|card| Some(card.process.pid) != plugin.pid).then_some(())
        });
        while filler.write_all(&[0; 1024]).is_ok() {}
        plugin = stage.ready_again(&plugin);
        stage.said().contains("callers cannot find it").then_some(())
    });
    assert_eq!(stage.cards(), []);
    drop(filler);
    fs::remove_file(path).unwrap();
    eventually("it is found", || {
        stage.caller().request("text.revert").timeout(LONG).call::<String, _>("ab").ok().filter(|ba| ba == "ba")
    });
    // It is told right after its card was written.
    eventually("that is told", || stage.said().contains("callers can find it now").then_some(()));
    assert_eq!(stage.ready("text").pid, plugin.pid, "it was not restarted for that");
}
