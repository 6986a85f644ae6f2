//! Tells systemd where the supervisor stands: the few lines of sd_notify that a supervisor needs.
//!
//! A message is a datagram to `$NOTIFY_SOCKET`. Without that variable nobody wants to know, and nothing is done.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use plugbus::supervisor::{Supervisor, UnitState};

/// How often the line that `systemctl status` shows is looked at.
const STATUS: Duration = Duration::from_secs(5);

/// Where systemd listens.
#[derive(Debug)]
pub(crate) struct Notify {
    socket: UnixDatagram,
    to: SocketAddr,
    /// How often systemd wants to hear that all is well; half of the time it waits.
    watchdog: Option<Duration>,
}

impl Notify {
    /// Whoever wants to know, if anybody does.
    pub(crate) fn from_environment() -> Option<Self> {
        let to = address(env::var_os("NOTIFY_SOCKET")?.as_bytes())?;
        let socket = UnixDatagram::unbound().ok()?;
        // A service manager that does not read must not hold a supervisor up.
        socket.set_nonblocking(true).ok()?;
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| is_meant && *usec > 0);
        Some(Self { socket, to, watchdog: watchdog.map(|usec| Duration::from_micros(usec / 2)) })
    }

    /// The supervisor can be called.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    pub(crate) fn reloading(&self) {
        self.send("RELOADING=1\nSTATUS=reading the configuration anew");
    }

    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping plugins");
    }

    /// Keeps systemd informed; never ends. Whoever hears nothing more of a watchdog's word kills and restarts us, so it
    /// is given only after the dispatcher's own loop has come round.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(crate) async fn keep_informed(&self, supervisor: &Supervisor) {
        let mut told = String::new();
        let (mut status, mut watchdog) = (interval(STATUS), interval(self.watchdog.unwrap_or(STATUS)));
        loop {
            tokio::select! {
                _ = status.tick() => {
                    let line = status_line(supervisor).await;
                    if line != told {
                        self.send(&format!("STATUS={line}"));
                        told = line;
                    }
                }
                _ = watchdog.tick(), if self.watchdog.is_some() => {
                    if supervisor.is_well().await.is_ok() {
                        self.send("WATCHDOG=1");
                    }
                }
            }
        }
    }

    fn send(&self, message: &str) {
        // Nobody there any more is nobody's loss.
        let _ = self.socket.send_to_addr(message.as_bytes(), &self.to);
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

async fn status_line(supervisor: &Supervisor) -> String {
    let Ok(report) = supervisor.status().await else { return "stopping".into() };
    let ready = report.plugins.iter().filter(|plugin| plugin.state == UnitState::Ready).count();
    let failed: Vec<_> = report.plugins.iter().filter(|plugin| plugin.state == UnitState::Failed).collect();
    let mut line = format!("{ready} of {} plugins ready", report.plugins.len());
    if let Some(first) = failed.first() {
        line += &format!(", {} failed: {}", failed.len(), first.name);
    }
    line
}

#[cfg(target_os = "linux")]
fn address(name: &[u8]) -> Option<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    match name.split_first()? {
        (b'@', abstract_name) => SocketAddr::from_abstract_name(abstract_name).ok(),
        _ => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name))).ok(),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(name: &[u8]) -> Option<SocketAddr> {
    SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name))).ok()
}
