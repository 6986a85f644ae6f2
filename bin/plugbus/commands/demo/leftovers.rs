//! Looking for what should not be there any more.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// How long a process that was killed may take to go.
const PATIENCE: Duration = Duration::from_secs(5);

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(5);

/// Sockets and cards in a bus directory: a supervisor that stopped left none.
pub(super) fn endpoints(bus: &Path) -> Vec<String> {
    let names = fs::read_dir(bus).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".ipc") || name.ends_with(".json")).collect()
}

/// Processes that were started for a bus below `root`, and are there after a patient wait.
pub(super) fn processes(root: &Path) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let running = running(root);
        if running.is_empty() || Instant::now() > deadline {
            return running;
        }
        // Nobody unparks this thread: it is the pause between two looks.
        thread::park_timeout(LOOK);
    }
}

/// Whatever has the directory in its environment, as every plugin has; nothing where there is no `/proc`.
fn running(root: &Path) -> Vec<String> {
    let root = root.as_os_str().as_encoded_bytes();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.windows(root.len()).any(|part| part == root)
        })
        .map(|pid| pid.to_string())
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_of_the_bus_is_found() {
        let root = tempfile::tempdir().unwrap();
        assert!(running(root.path()).is_empty());
        let mut cat = Command::new("cat")
            .env("PLUGBUS_BUS_DIR", root.path().join("bus"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Until it has been given its own environment, it is a copy of this process.
        while running(root.path()).is_empty() {}
        assert_eq!(running(root.path()), [cat.id().to_string()]);
        drop(cat.stdin.take());
        cat.wait().unwrap();
        assert!(processes(root.path()).is_empty());
    }

    #[test]
    fn sockets_and_cards_are_found() {
        let bus = tempfile::tempdir().unwrap();
        for name in ["text.x.ipc", "text.x.json", "lock"] {
            fs::write(bus.path().join(name), "").unwrap();
        }
        let mut found = endpoints(bus.path());
        found.sort();
        assert_eq!(found, ["text.x.ipc", "text.x.json"]);
        assert!(endpoints(Path::new("/nowhere")).is_empty());
    }
}
