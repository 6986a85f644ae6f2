//! What others wrote and this machine may have: NNG's nngcat, nanomsg's nanocat, Python with pynng, Go with mangos.
//!
//! A test that needs one of them asks here and ends early where it is missing, which is said aloud. With
//! `PLUGBUS_TEST_REQUIRE_ALL=1` in the environment, missing is failing.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// nngcat, of the Debian package nng-utils.
pub(crate) fn nngcat() -> Option<Command> {
    let found = runs(Command::new("nngcat").arg("--version"));
    found.then(|| Command::new("nngcat")).or_else(|| missing("nngcat (Debian: nng-utils)"))
}

/// nanocat, of the Debian package nanomsg-utils.
pub(crate) fn nanocat() -> Option<Command> {
    let found = runs(Command::new("nanocat").arg("--help"));
    found.then(|| Command::new("nanocat")).or_else(|| missing("nanocat (Debian: nanomsg-utils)"))
}

/// A Python with pynng and msgpack.
pub(crate) fn python() -> Option<Command> {
    static FOUND: OnceLock<Option<OsString>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let named = env::var_os("PLUGBUS_TEST_PYTHON").into_iter();
        let others = [Path::new(ROOT).join("target/venv/bin/python").into(), "python3".into()];
        named.chain(others).find(|python| runs(Command::new(python).args(["-c", "import pynng, msgpack"])))
    });
    let Some(python) = found else {
        return missing("Python with pynng and msgpack (examples/python/requirements.txt)");
    };
    let mut command = Command::new(python);
    // The examples are run from the source tree, where no compiled files belong.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

/// The program in `tests/interop/mangos`, built on first use.
pub(crate) fn mangos() -> Option<Command> {
    static BUILT: OnceLock<Result<PathBuf, &str>> = OnceLock::new();
    match BUILT.get_or_init(build_mangos) {
        Ok(program) => Some(Command::new(program)),
        Err(what) => missing(what),
    }
}

fn build_mangos() -> Result<PathBuf, &'static str> {
    let go = |arguments: &[&str]| {
        let mut command = Command::new("go");
        command.args(arguments).current_dir(Path::new(ROOT).join("tests/interop/mangos"));
        command.env("GOFLAGS", "-mod=readonly -buildvcs=false").env("GOTOOLCHAIN", "local");
        command
    };
    if !runs(&mut go(&["version"])) {
        return Err("Go (Debian: golang)");
    }
    if !runs(&mut go(&["mod", "download"])) {
        return Err("the Go modules of tests/interop/mangos, which could not be downloaded");
    }
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mangos");
    let built = go(&["build", "-o"]).arg(&program).arg(".").output().expect("go runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Ok(program)
}

/// Builds what makes the wall clock jump.
pub(crate) fn jumping_clock() -> PathBuf {
    preloaded("wall_clock")
}

/// Builds what makes a process slow between accepting a connection and marking it close-on-exec.
pub(crate) fn slow_accept() -> PathBuf {
    preloaded("slow_accept")
}

/// A library for LD_PRELOAD; there is a C compiler wherever this project was built.
fn preloaded(name: &str) -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{}.so", std::process::id()));
    let source = Path::new(ROOT).join(format!("tests/plugins/{name}.c"));
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let built =
        Command::new(compiler).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

fn runs(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Says that a test is not run. The test runner hides what `eprintln!` prints, not what is written like this.
pub(crate) fn missing<T>(what: &str) -> Option<T> {
    assert!(env::var_os("PLUGBUS_TEST_REQUIRE_ALL").is_none_or(|value| value != "1"), "missing: {what}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: this machine lacks {what}");
    None
}
