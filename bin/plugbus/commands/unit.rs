//! `plugbus unit`: a unit file for systemd.

use std::env;
use std::io::Write;
use std::path::Path;

use plugbus::config;

use crate::args::Unit;
use crate::error::CommandError;
use crate::output;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, args: &Unit) -> Result<(), CommandError> {
    // A unit with a configuration that does not hold together would only fail later.
    let loaded = settings.configuration(&args.config.config)?;
    let named = match args.config.config.as_slice() {
        [] => vec![config::default_path().map_err(CommandError::Config)?],
        named => named.to_vec(),
    };
    let program = env::current_exe().map_err(CommandError::system("find this program"))?;
    let mut command = format!("{} supervise", quote(&program));
    for path in named {
        let path = std::path::absolute(path).map_err(CommandError::system("find the configuration"))?;
        command += &format!(" -c {}", quote(&path));
    }
    let text = unit_file(&command, &loaded.spec.bus, args);
    output::print_raw(|out| out.write_all(text.as_bytes()))
}

/// One word of a command line, as systemd reads it.
fn quote(path: &Path) -> String {
    let text = path.display().to_string().replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,%$".contains(c);
    if text.chars().all(plain) { text } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}

fn unit_file(command: &str, bus: &str, args: &Unit) -> String {
    let (account, place, target) = if args.user {
        (String::new(), "%t/plugbus", "default.target")
    } else {
        let account = args.account.as_ref().map(|user| format!("User={user}\n")).unwrap_or_default();
        (account, "/run/plugbus", "multi-user.target")
    };
    format!(
        "\
# Made by `plugbus unit`. Install it with
#   plugbus unit > {install}/plugbus.service && systemctl{user} daemon-reload && systemctl{user} enable --now plugbus
[Unit]
Description=plugbus supervisor of the bus {bus}
Documentation=man:systemd.service(5)
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
{account}Environment=PLUGBUS_DIR={place}
RuntimeDirectory=plugbus
RuntimeDirectoryMode=0700
# Plugins and their logs outlive a supervisor that is killed; the next one takes them back.
RuntimeDirectoryPreserve=restart
# `systemctl stop` has the supervisor stop its plugins, in order and with their own grace; systemd kills what is left.
# After a crash of the supervisor alone (SIGKILL, the watchdog) nothing else is killed. `control-group` would signal
# every plugin and the process that writes their logs at the same moment as the supervisor, and `mixed` would kill them
# when it crashes.
KillMode=process
# Longer than any plugin's stop_grace.
TimeoutStopSec={stop}
TimeoutStartSec=60
Restart=on-failure
RestartSec=100ms
# The supervisor's own loop reports to systemd; when it stands still for this long, it is restarted.
WatchdogSec=30
LimitNOFILE=524288
OOMPolicy=continue
OOMScoreAdjust=-100
# With this, /etc is read-only here: what may run is pinned beside the configuration by `plugbus lock`, not by the supervisor.
# Hardening that every plugin inherits. Loosen what one of yours needs in a drop-in: `systemctl edit plugbus`.
NoNewPrivileges=yes
ProtectSystem=full
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=no
ProtectClock=yes
ProtectHostname=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
# cgroup.kill and limits for each plugin, where the supervisor may make cgroups. It is itself in one beside theirs (systemd 254).
Delegate=yes
DelegateSubgroup=plugbus.supervisor

[Install]
WantedBy={target}
",
        install = if args.user { "~/.config/systemd/user" } else { "/etc/systemd/system" },
        user = if args.user { " --user" } else { "" },
        stop = args.stop_timeout.as_secs().max(1),
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn words_are_as_systemd_reads_them() {
        assert_eq!(quote(&PathBuf::from("/usr/bin/plugbus")), "/usr/bin/plugbus");
        assert_eq!(quote(&PathBuf::from("/a b/100%/$x\"")), "\"/a b/100%%/$$x\\\"\"");
    }
}
