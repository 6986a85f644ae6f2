//! The others: built from `benches/peers` with their own tools, or left out with a word.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::contestant::{Contestant, Kind};

/// How a peer is built.
enum Tool {
    Go,
    Cargo { program: &'static str },
    Python,
}

/// One row of the list below.
struct Peer {
    name: &'static str,
    folder: &'static str,
    tool: Tool,
    /// The words before `one` or `many`.
    arguments: &'static [&'static str],
    many: bool,
    kind: Kind,
}

const PEERS: &[Peer] = &[
    go("hashicorp go-plugin 1.8.0, gRPC", "go-plugin", &["grpc"]),
    go("hashicorp go-plugin 1.8.0, net/rpc", "go-plugin", &["netrpc"]),
    go("Go net/rpc, Unix socket", "net-rpc", &["caller"]),
    go("pie (stdin and stdout, gob)", "pie", &["caller"]),
    go("mangos 3.4.2, REQ and REP, ipc", "mangos", &["caller"]),
    go("NATS micro 1.55.0", "nats", &["caller"]),
    rust("tonic 0.14, gRPC, Unix socket", "tonic", "tonic-peer", &[]),
    rust("MessagePack over stdio as in nushell", "stdio", "stdio", &["threads"]),
    Peer {
        kind: Kind::Bare,
        many: false,
        ..rust("stdio in lockstep (no plugin system)", "stdio", "stdio", &["lockstep"])
    },
    Peer {
        name: "pynng 0.9.0, REQ and REP, ipc",
        folder: "pynng",
        tool: Tool::Python,
        arguments: &[],
        many: false,
        kind: Kind::Peer,
    },
];

const fn go(name: &'static str, folder: &'static str, arguments: &'static [&'static str]) -> Peer {
    Peer { name, folder, tool: Tool::Go, arguments, many: true, kind: Kind::Peer }
}

const fn rust(
    name: &'static str,
    folder: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
) -> Peer {
    Peer { name, folder, tool: Tool::Cargo { program }, arguments, many: true, kind: Kind::Peer }
}

pub(crate) fn all() -> impl Iterator<Item = Contestant> {
    PEERS.iter().map(|peer| {
        let built = peer.build();
        let mut contestant = Contestant::new(peer.name, peer.kind, built.as_ref().map_or(Path::new(""), |it| it));
        contestant.many = peer.many;
        if let Tool::Python = peer.tool {
            contestant.arguments.push(peer.sources().join("peer.py").display().to_string());
        }
        contestant.arguments.extend(peer.arguments.iter().map(|word| (*word).to_owned()));
        contestant.skipped = built.err();
        contestant
    })
}

impl Peer {
    fn sources(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(self.folder)
    }

    /// Its program, or why there is none.
    fn build(&self) -> Result<PathBuf, String> {
        eprintln!("building {}", self.name);
        if self.folder == "nats" {
            run(Command::new("nats-server").arg("--version"), "no nats-server")?;
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers");
        match self.tool {
            Tool::Go => {
                let program = target.join(self.folder);
                let mut command = Command::new("go");
                command.args(["build", "-o"]).arg(&program).arg(".").current_dir(self.sources());
                run(&mut command, "no go")?;
                Ok(program)
            }
            Tool::Cargo { program } => {
                let target = target.join("rust");
                let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
                command.args(["build", "--release", "--locked", "--target-dir"]).arg(&target);
                run(command.current_dir(self.sources()), "no cargo")?;
                Ok(target.join("release").join(program))
            }
            Tool::Python => {
                let python = target.with_file_name("venv").join("bin/python");
                run(Command::new(&python).args(["-c", "import pynng"]), "no target/venv (make setup)")?;
                Ok(python)
            }
        }
    }
}

fn run(command: &mut Command, missing: &str) -> Result<(), String> {
    let output = command.output().map_err(|_| missing.to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("does not build: {}", said.lines().last().unwrap_or_default()))
}
