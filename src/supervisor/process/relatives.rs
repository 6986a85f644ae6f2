//! Who belongs to an instance, or to a bus, by what the process table says.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::children::is_own;
use super::table::{Given, Row, children, is_executing, pids, sees};
use super::tree::Mark;
use crate::bus::ProcessId;
use crate::wire::check_plugin_name;

/// A process that some supervisor started as a plugin of a bus, or that came of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Stray {
    pub(in crate::supervisor) process: ProcessId,
    pub(in crate::supervisor) name: String,
    pub(in crate::supervisor) instance: String,
    /// It leads a process group, as whatever a supervisor starts does.
    pub(in crate::supervisor) leads: bool,
}

/// All processes of a bus, those first that started first.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct Strays {
    pub(in crate::supervisor) found: Vec<Stray>,
    /// Somebody is just executing a program, and nothing can be said of it.
    pub(in crate::supervisor) executing: bool,
}

/// Whoever was started on this bus and lives.
///
/// For processes whose supervisor was killed before it could write down who they are. It held a lock until then,
/// and a child shares that until its program is executed: whoever holds the lock now finds the new environment.
pub(in crate::supervisor) fn started_on(bus: &Path) -> Strays {
    let mut strays = Strays::default();
    let own = line_of_descent();
    for row in pids().filter(|pid| !own.contains(pid)).filter_map(Row::read).filter(|row| !row.exited) {
        // Who it is comes first: if the pid is another's by the time the variables are read, that is no longer it.
        let Some(given) = Given::read(row.id.pid) else { continue };
        let leads = row.group == row.id.pid;
        if let Some((name, instance)) = on_bus(&given, bus) {
            if row.id.is_alive() && sees(row.id.pid, bus) {
                strays.found.push(Stray { process: row.id, name, instance, leads });
            }
        } else {
            strays.executing |= leads && given.is_empty() && row.id.is_alive();
        }
    }
    strays.found.sort_by_key(|stray| (stray.process.start_time, stray.process.pid));
    strays
}

fn on_bus(given: &Given, bus: &Path) -> Option<(String, String)> {
    (given.get("PLUGBUS_BUS_DIR")? == bus.as_os_str().as_bytes()).then_some(())?;
    let text = |variable| String::from_utf8(given.get(variable)?.to_vec()).ok();
    let (name, instance) = (text("PLUGBUS_NAME")?, text("PLUGBUS_INSTANCE")?);
    let is_instance = !instance.is_empty() && instance.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // Both become parts of paths.
    (check_plugin_name(&name).is_ok() && is_instance).then_some((name, instance))
}

/// Who belongs to an instance.
#[derive(Debug, Default)]
pub(super) struct Relatives {
    pub(super) found: Vec<ProcessId>,
    /// Somebody is just executing a program, and may be one: it bears no mark for the moment.
    pub(super) executing: bool,
}

/// Whoever bears an instance's mark and lives, with all that descends from those.
///
/// `leader` is the instance's own process, exited and not yet reaped: its session and its group are still its own.
pub(super) fn relatives(mark: &Mark, leader: Option<ProcessId>, is_below_us: bool) -> Relatives {
    if is_below_us {
        let relatives = relatives_among(&below_us(), mark, leader);
        if !relatives.found.is_empty() {
            return relatives;
        }
        // The system's list of children may lack some while others of them exit: nobody is told to be gone by it.
    }
    relatives_among(&pids().filter_map(row_of).collect(), mark, leader)
}

fn relatives_among(rows: &HashMap<u32, Row>, mark: &Mark, leader: Option<ProcessId>) -> Relatives {
    let own = line_of_descent();
    let mut executing = false;
    let mut is_member = |row: &Row| {
        if own.contains(&row.id.pid) {
            return false;
        }
        let of_leader = leader.is_some_and(|leader| [row.session, row.group].contains(&leader.pid));
        of_leader
            || Given::read(row.id.pid).is_some_and(|given| {
                executing |= !row.exited && given.is_empty() && is_executing(row.id.pid);
                bears(&given, mark)
            })
    };
    let mut members: HashMap<u32, bool> = rows.values().map(|row| (row.id.pid, is_member(row))).collect();
    // Whoever descends from a member is one, whatever it was given; each pass goes one generation down.
    while rows.values().any(|row| {
        let inherits = members.get(&row.parent) == Some(&true) && !own.contains(&row.id.pid);
        inherits && members.insert(row.id.pid, true) == Some(false)
    }) {}
    let found = rows.values().filter(|row| members[&row.id.pid] && !row.exited).map(|row| row.id).collect();
    Relatives { found, executing }
}

fn bears(given: &Given, mark: &Mark) -> bool {
    given.get("PLUGBUS_INSTANCE") == Some(mark.instance.as_bytes())
        && given.get("PLUGBUS_BUS_DIR") == Some(mark.bus.as_os_str().as_bytes())
}

fn row_of(pid: u32) -> Option<(u32, Row)> {
    Row::read(pid).map(|row| (pid, row))
}

/// Descendants of this process, but for what belongs to an instance whose leader lives.
fn below_us() -> HashMap<u32, Row> {
    let mut rows = HashMap::new();
    let mut parents = vec![std::process::id()];
    while let Some(parent) = parents.pop() {
        for (pid, row) in children(parent).into_iter().filter(|pid| !is_own(*pid)).filter_map(row_of) {
            if rows.insert(pid, row).is_none() {
                parents.push(pid);
            }
        }
    }
    rows
}

/// This process and those it descends from: a supervisor may have been started by somebody's plugin.
fn line_of_descent() -> Vec<u32> {
    let mut line = vec![std::process::id()];
    while let Some(row) = line.last().and_then(|pid| Row::read(*pid)).filter(|row| !line.contains(&row.parent)) {
        line.push(row.parent);
    }
    line
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::super::tests::{Ends, EndsTree};
    use super::super::tree::Tree;
    use super::*;
    use crate::bus::new_instance;

    fn sleeper(bus: &Path, instance: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Ends {
        let mut command = Command::new("sleep");
        command.arg("1000").env("PLUGBUS_BUS_DIR", bus).env("PLUGBUS_NAME", "text").env("PLUGBUS_INSTANCE", instance);
        Ends(change(&mut command).spawn().unwrap())
    }

    #[test]
    fn whoever_was_started_on_a_bus_is_found_by_what_it_was_given() {
        let root = tempfile::tempdir().unwrap();
        let instance = new_instance();
        let leader = sleeper(root.path(), &instance, |command| command.process_group(0));
        let group = leader.id().try_into().unwrap();
        let follower = sleeper(root.path(), &instance, |command| command.process_group(group));
        let _stranger = sleeper(Path::new("/elsewhere"), &instance, |command| command.process_group(0));
        // A spawn may return while the child's program is still being made ready.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let strays = loop {
            let strays = started_on(root.path());
            if strays.found.len() == 2 {
                break strays;
            }
            assert!(std::time::Instant::now() < end, "{strays:?}");
        };
        let found: Vec<_> = strays.found.iter().map(|stray| (stray.process.pid, stray.leads)).collect();
        assert_eq!(found, [(leader.id(), true), (follower.id(), false)]);
        assert_eq!((strays.found[0].name.as_str(), &strays.found[0].instance), ("text", &instance));
        let mark = Mark { bus: root.path().into(), instance };
        for is_below_us in [false, true] {
            let mut members: Vec<_> = relatives(&mark, None, is_below_us).found.iter().map(|id| id.pid).collect();
            members.sort_unstable();
            let mut expected = [leader.id(), follower.id()];
            expected.sort_unstable();
            assert_eq!(members, expected);
        }
    }

    #[test]
    fn whoever_descends_from_a_member_is_one_though_it_was_given_nothing() {
        let root = tempfile::tempdir().unwrap();
        let instance = new_instance();
        let mut command = Command::new("sh");
        command.args(["-c", "env -i setsid sleep 1000 & wait"]).env("PLUGBUS_BUS_DIR", root.path());
        let mut shell = Ends(command.env("PLUGBUS_INSTANCE", &instance).spawn().unwrap());
        let _end = EndsTree(Tree::marked(root.path(), &instance));
        let mark = Mark { bus: root.path().into(), instance };
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let sleeper = loop {
            let found = relatives(&mark, None, false).found;
            let sleeper = found.iter().find(|id| super::super::table::program(id.pid) == "sleep").copied();
            if let Some(sleeper) = sleeper {
                assert!(found.iter().any(|id| id.pid == shell.id()));
                break sleeper;
            }
            assert!(std::time::Instant::now() < end, "{found:?}");
        };
        assert!(super::super::system::kill_verified(sleeper));
        shell.wait().unwrap();
    }
}
