//! What all processes of an instance together may use up: the controllers of its cgroup.
//!
//! The kernel lets a group hand controllers on only while nobody is in it, and the supervisor is in the one above its
//! plugins'. So where there is something to limit it moves into a group of its own beside theirs, once.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Once;

use super::cgroup::{Cgroup, SUPERVISOR};
use super::table::Row;
use crate::supervisor::confinement::TotalSpec;

/// How long a share of processor time is reckoned over, in microseconds: what systemd takes.
const PERIOD: u64 = 100_000;

/// Holds the members of a group to these limits; where that cannot be, it is an error where it is `required`, and told once.
///
/// # Errors
/// In words that name the key.
pub(super) fn limit(group: Option<&Cgroup>, total: &TotalSpec, required: bool) -> io::Result<()> {
    let files = [
        ("total_memory", "memory", "memory.max", total.memory.map(|bytes| bytes.to_string())),
        ("total_processes", "pids", "pids.max", total.processes.map(|count| count.to_string())),
        (
            "total_cpu",
            "cpu",
            "cpu.max",
            total.cpu.map(|percent| format!("{} {PERIOD}", u64::from(percent) * PERIOD / 100)),
        ),
    ];
    for (key, controller, file, value) in files {
        let Some(value) = value else { continue };
        let set = set(group, controller, file, &value)
            .map_err(|problem| format!("its `limits.{key}` cannot be set: {problem}"));
        match set {
            Err(problem) if required => return Err(io::Error::other(problem)),
            Err(problem) => tell_once(&problem),
            Ok(()) => {}
        }
    }
    if let (Some(group), Some(_)) = (group, total.memory) {
        // It is gone as a whole, and started anew, where the kernel would have left it without one of its parts.
        let _ = fs::write(group.path().join("memory.oom.group"), "1");
    }
    Ok(())
}

fn set(group: Option<&Cgroup>, controller: &str, file: &str, value: &str) -> Result<(), String> {
    let group = group.ok_or("there are no cgroups of version 2 here")?;
    let above = group.path().parent().ok_or("there is no group above its own")?;
    hand_on(above, controller)?;
    fs::write(group.path().join(file), value).map_err(|error| format!("{file}: {error}"))
}

/// Has a group hand a controller on to those below it.
fn hand_on(group: &Path, controller: &str) -> Result<(), String> {
    let listed = |file: &str| {
        let text = fs::read_to_string(group.join(file)).unwrap_or_default();
        text.split_whitespace().any(|word| word == controller)
    };
    if listed("cgroup.subtree_control") {
        // A supervisor that follows another may have been started where that one was first.
        return vacate(group).map_err(|error| format!("{}: {error}", group.display()));
    }
    if !listed("cgroup.controllers") {
        return Err(format!(
            "{} has no controller {controller}: as a service, that takes Delegate=yes",
            group.display()
        ));
    }
    let give = || fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
    vacate(group).and_then(|()| give()).map_err(|error| format!("{}: {error}", group.display()))
}

/// Leaves a group to those below it. With anybody in it, the kernel refuses to hand on the memory, and to let a process into a
/// group below it when the processor or the number of processes is handed on.
///
/// # Errors
/// Where others are in it, too.
fn vacate(group: &Path) -> io::Result<()> {
    let members = || fs::read_to_string(group.join("cgroup.procs"));
    // The one at the top of the tree, which has no type, is no group like others.
    if !group.join("cgroup.type").exists() || members()?.is_empty() {
        return Ok(());
    }
    move_aside(group)?;
    match members()?.is_empty() {
        true => Ok(()),
        false => Err(io::Error::other("others are in it beside the supervisor: run that as a service")),
    }
}

/// Moves this process and its helpers out of the way.
fn move_aside(group: &Path) -> io::Result<()> {
    let aside = group.join(SUPERVISOR);
    match fs::create_dir(&aside) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let own = std::process::id();
    let members = fs::read_to_string(group.join("cgroup.procs"))?;
    for pid in members.lines().filter_map(|pid| pid.parse().ok()) {
        if pid == own || Row::read(pid).is_some_and(|row| row.parent == own) {
            fs::write(aside.join("cgroup.procs"), pid.to_string())?;
        }
    }
    Ok(())
}

fn tell_once(problem: &str) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| tracing::warn!("{problem}; plugins run without, and with sandbox_required they do not start"));
}
