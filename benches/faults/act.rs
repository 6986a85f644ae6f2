//! The plugins that faults are done to: this program, started by a supervisor.

use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::time::Duration;

use plugbus::plugin::{Context, Failure, Plugin};

/// What the program is to act as, when it is one of the plugins.
pub(crate) const ACT: &str = "FAULTS_ACT";

/// The socket that is told of every start, before anything else is done.
pub(crate) const BEACON: &str = "FAULTS_BEACON";

pub(crate) fn wanted() -> bool {
    std::env::var_os(ACT).is_some()
}

/// The section of a plugin that acts so.
pub(crate) fn plugin(name: &str, act: &str, more: &str) -> String {
    let own = std::env::current_exe().unwrap();
    crate::support::plugin(name, &[own.to_str().unwrap()], &format!("env.{ACT} = '{act}'\n{more}"))
}

pub(crate) fn run() -> ExitCode {
    if let Some(beacon) = std::env::var_os(BEACON) {
        let socket = UnixDatagram::unbound().unwrap();
        let _ = socket.send_to(&std::process::id().to_le_bytes(), beacon);
    }
    match std::env::var(ACT).unwrap().as_str() {
        "crash" => ExitCode::from(3),
        "beacon" => ExitCode::SUCCESS,
        _ => serve(),
    }
}

fn serve() -> ExitCode {
    let wait = |ms: u64, context: Context| async move {
        let _ = context;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok::<_, Failure>(ms)
    };
    let plugin = Plugin::new("fault", "1.0.0")
        .method("echo", "Gives back what it is given.", |text: String| Ok::<_, Failure>(text))
        .method_async("wait", "Waits that many milliseconds.", wait)
        .method("spin", "Never returns, and takes a whole core.", |(): ()| -> Result<(), Failure> {
            loop {
                std::hint::spin_loop();
            }
        });
    match plugin.serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
