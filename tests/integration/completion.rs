//! What the shells offer when somebody presses Tab; those that are installed here.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Bench;

/// The bench's environment and the program under test on the path.
fn shell(bus: &Bench, program: &str, args: &[&str]) -> Command {
    let own = Path::new(env!("CARGO_BIN_EXE_plugbus")).parent().unwrap();
    let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    let foreign = std::env::vars().filter(|(name, _)| name.starts_with("PLUGBUS_"));
    for (name, _) in foreign {
        command.env_remove(name);
    }
    command.env("PATH", path).env("PLUGBUS_DIR", bus.path()).env("HOME", bus.path()).current_dir(bus.path());
    command.args(args).stdin(Stdio::null());
    command
}

/// What bash completes the last word with.
fn bash(bus: &Bench, words: &[&str]) -> Vec<String> {
    let script = r#"
        source <(plugbus completions bash) || exit 1
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
        _clap_complete_plugbus plugbus "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let ran = shell(bus, "bash", &["--noprofile", "--norc", "-c", script, "bash"]).args(words).output().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{words:?}: {ran:?}");
    String::from_utf8(ran.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_offers_what_is_on_the_bus() {
    let bus = Bench::with_text();
    let instance = bus.json(&["describe", "text"])[0]["instances"][0].as_str().unwrap().to_owned();
    for (words, offered) in [
        (&["plugbus", "call", "text.rev"][..], &["text.revert", "text.revert_each"][..]),
        (&["plugbus", "call", "slow_r"], &["slow_revert"]),
        (&["plugbus", "call", "supervisor.resta"], &["supervisor.restart"]),
        (&["plugbus", "call", "text.wrap", "w"], &["width="]),
        (&["plugbus", "call", "--instance", &instance[..3]], &[&instance]),
        (&["plugbus", "describe", "text.w"], &["text.wrap"]),
        (&["plugbus", "restart", "t"], &["text"]),
        (&["plugbus", "logs", "t"], &["text"]),
        (&["plugbus", "--bus", "d"], &["default"]),
        (&["plugbus", "--bus", "other", "call", "re"], &[]),
        (&["plugbus", "comp"], &["completions"]),
        (&["plugbus", "call", "--unch"], &["--unchecked"]),
    ] {
        assert_eq!(bash(&bus, words), offered, "{words:?}");
    }
    bus.expect(&["stop", "text"], 0);
    assert_eq!(bash(&bus, &["plugbus", "start", "t"]), ["text"], "known to the supervisor, though it does not run");
}

#[test]
fn without_a_bus_nothing_is_offered_and_nothing_is_said() {
    let bus = Bench::empty();
    for words in
        [&["plugbus", "call", "re"][..], &["plugbus", "restart", "t"], &["plugbus", "--bus", "../x", "call", "re"]]
    {
        assert_eq!(bash(&bus, words), [""; 0], "{words:?}");
    }
}

/// What a shell that is asked by a script of its own completes `plugbus call text.r` with; nothing where it is not there.
fn offered(bus: &Bench, program: &str, args: &[&str]) -> Option<String> {
    let ran = shell(bus, program, args).output().ok()?;
    assert!(ran.status.success(), "{ran:?}");
    Some(String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[test]
fn fish_and_zsh_offer_methods_with_what_they_are_for() {
    let bus = Bench::with_text();
    let fish = "plugbus completions fish | source; complete -C 'plugbus call text.rev'";
    if let Some(found) = offered(&bus, "fish", &["--no-config", "-c", fish]) {
        assert!(found.starts_with("text.revert\tReverses a text"), "{found}");
    }
    // Pressing Tab takes a terminal; what is looked at is what the script would be given.
    let zsh = "autoload -Uz compinit && compinit -u; source <(plugbus completions zsh) || exit 1; \
               (( $+functions[_clap_dynamic_completer_plugbus] )) && \
               PLUGBUS_COMPLETE=zsh _CLAP_COMPLETE_INDEX=2 plugbus -- plugbus call text.rev";
    if let Some(found) = offered(&bus, "zsh", &["-f", "-c", zsh]) {
        assert!(found.starts_with("text.revert:Reverses a text"), "{found}");
    }
}
