//! How soon a handler ends when nobody waits for it any more.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plugbus::host::Bus;
use plugbus::plugin::{Failure, Plugin};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use super::support::{Timings, wait_on_bus};
use super::{LONG, show};

/// Tells the plugin from the benchmark.
const ACT: &str = "SUPERVISION_ACT";

/// How often each way to stop waiting is taken.
const TIMES: usize = 200;

pub(crate) fn is_wanted() -> bool {
    std::env::var_os(ACT).is_some()
}

/// The plugin: its method tells a socket when it begins, and when it is dropped.
pub(crate) fn serve() {
    let hold = |ear: PathBuf, _| async move {
        let telling = Telling(UnixDatagram::unbound()?, ear);
        telling.tell();
        std::future::pending::<()>().await;
        drop(telling);
        Ok::<_, Failure>(())
    };
    Plugin::new("hold", "1.0.0").method_async("hold", "Goes on until nobody waits for it.", hold).serve().unwrap();
}

struct Telling(UnixDatagram, PathBuf);

impl Telling {
    fn tell(&self) {
        self.0.send_to(b".", &self.1).unwrap();
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.tell();
    }
}

/// A future that is dropped, Ctrl-C in a shell's call, and a caller that is killed.
pub(crate) fn measure(runtime: &Runtime) {
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let _plugin = wait_on_bus(command.env(ACT, "hold").env("PLUGBUS_DIR", root.path()));
    let ear = Ear::open(root.path());
    let bus = Bus::at(root.path().join("default")).unwrap();
    let dropped = || {
        let (bus, path) = (bus.clone(), ear.path.clone());
        let hold = async move { bus.request("hold.hold").timeout(LONG).call::<(), _>(&path).await };
        let calling = runtime.spawn(hold);
        ear.hear();
        ear.timed(|| calling.abort())
    };
    let ended = |signal| {
        let mut shell = shell(root.path(), &ear.path);
        ear.hear();
        let took = ear.timed(|| kill_process(Pid::from_child(&shell), signal).unwrap());
        shell.wait().unwrap();
        took
    };
    let report = |what: &str, cancel: &dyn Fn() -> Duration| {
        let timings = Timings::from((0..TIMES).map(|_| cancel()).collect());
        show(&format!("{what}, to the end of the handler"), &timings, "50 ms");
    };
    report("a call's future is dropped", &dropped);
    report("Ctrl-C in `plugbus call`", &|| ended(Signal::INT));
    report("kill -9 of the caller", &|| ended(Signal::KILL));
}

/// Where the method tells.
struct Ear {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Ear {
    fn open(root: &Path) -> Self {
        let path = root.join("ear");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Self { socket, path }
    }

    fn hear(&self) {
        self.socket.recv(&mut [0]).unwrap();
    }

    /// From an act until it is heard.
    fn timed(&self, act: impl FnOnce()) -> Duration {
        let begun = Instant::now();
        act();
        self.hear();
        begun.elapsed()
    }
}

fn shell(root: &Path, ear: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
    command.args(["call", "hold.hold", "--timeout", "60s"]).arg(ear).env("PLUGBUS_DIR", root);
    command.stderr(Stdio::null()).spawn().unwrap()
}
