//! What a plugin's process is given.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::environment;
use crate::bus::{ALLOWED, BusDir, BusError, LANE, Lane};
use crate::supervisor::{Account, ConfinementSpec, PluginSpec};
use crate::wire::Protocols;

/// Everything that is needed to start one process.
#[derive(Debug, Clone)]
pub(in crate::supervisor) struct Launch {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) cwd: PathBuf,
    pub(super) env: BTreeMap<String, String>,
    pub(super) confinement: ConfinementSpec,
    /// The directory that has to be there before it can listen, where it runs as another user.
    pub(super) room: Option<Room>,
    /// The very file that is to be executed, already open; `None`: whatever is at the program's path by then.
    pub(super) checked: Option<Arc<File>>,
}

/// A directory that belongs to the user of a plugin.
#[derive(Debug, Clone)]
pub(super) struct Room {
    dir: BusDir,
    plugin: String,
    callers: BTreeSet<u32>,
}

impl Launch {
    /// A plugin's process for one instance: its spec, and the environment that the protocol promises.
    ///
    /// # Errors
    /// [`BusError::PathTooLong`] where the instance's socket path does not fit.
    pub(in crate::supervisor) fn new(
        spec: &PluginSpec,
        instance: &str,
        dir: &BusDir,
        lane: Lane,
    ) -> Result<Self, BusError> {
        let mut command = spec.command.iter().cloned();
        let mut env = spec.env.clone();
        let mut confinement = spec.confinement.clone();
        // Whoever is this user already need not become it.
        confinement.account = confinement.account.filter(Account::is_another);
        let is_another = confinement.account.is_some();
        let call =
            if is_another { dir.room_endpoint(&spec.name, instance) } else { dir.endpoint(&spec.name, instance) };
        env.entry(LANE.into()).or_insert_with(|| lane.name().into());
        // The contract comes last: a config cannot make a plugin listen where nobody looks for it.
        env.extend([
            ("PLUGBUS_PROTOCOL".into(), Protocols::OWN.oldest.to_string()),
            ("PLUGBUS_PROTOCOL_MAX".into(), Protocols::OWN.newest.to_string()),
            ("PLUGBUS_BUS_DIR".into(), dir.path().to_string_lossy().into_owned()),
            ("PLUGBUS_NAME".into(), spec.name.clone()),
            ("PLUGBUS_INSTANCE".into(), instance.to_owned()),
            ("PLUGBUS_CALL_URL".into(), call?.to_string()),
            ("PLUGBUS_SURVEY_URL".into(), dir.survey_endpoint()?.to_string()),
        ]);
        if !spec.allow.is_empty() {
            let allowed: Vec<_> = spec.allow.iter().map(u32::to_string).collect();
            env.insert(ALLOWED.into(), allowed.join(","));
        }
        if let Some(timeout) = spec.orphan_timeout {
            env.insert("PLUGBUS_ORPHAN_TIMEOUT_MS".into(), timeout.as_millis().to_string());
        }
        Ok(Self {
            program: command.next().unwrap_or_default(),
            arguments: command.collect(),
            cwd: spec.cwd.clone(),
            env,
            confinement,
            room: is_another.then(|| Room {
                dir: dir.clone(),
                plugin: spec.name.clone(),
                callers: spec.allow.clone(),
            }),
            checked: None,
        })
    }

    /// Makes what has to be there before its birth.
    ///
    /// # Errors
    /// Where it runs as another user, and this one is not root.
    pub(in crate::supervisor) fn prepare(&self) -> io::Result<()> {
        let (Some(Room { dir, plugin, callers }), Some(account)) = (&self.room, &self.confinement.account) else {
            return Ok(());
        };
        let made = dir.make_room(plugin, account.uid, account.gid, callers);
        made.map_err(|error| io::Error::other(format!("its `user` cannot be set: {error}")))
    }

    /// Lets it read what is in there, however strict its sandbox is.
    pub(in crate::supervisor) fn reading(mut self, place: &Path) -> Self {
        self.confinement.read.push(place.into());
        self
    }

    /// Has its interpreter run a copy of the script in the place of the script itself.
    ///
    /// A script that is the program has its interpreter in its first line, which is otherwise the system's to read; but
    /// where the copy is, it may not be allowed to execute anything.
    pub(in crate::supervisor) fn running_copy(
        mut self,
        script: &Path,
        copy: &Path,
        interpreter: Option<(String, Option<String>)>,
    ) -> Self {
        let copy = copy.to_string_lossy().into_owned();
        let named = self.arguments.iter().position(|argument| self.cwd.join(argument) == script);
        match (interpreter, named) {
            (_, Some(at)) if self.cwd.join(&self.program) != script => self.arguments[at] = copy,
            (Some((program, argument)), _) => {
                self.program = program;
                self.arguments.splice(..0, argument.into_iter().chain([copy]));
            }
            // Nobody knows how to run it: as it is, its start fails and says why.
            (None, _) => {}
        }
        self
    }

    /// Executes that open file, whatever is at the program's path; `None` leaves it at the path.
    pub(in crate::supervisor) fn executing(self, checked: Option<File>) -> Self {
        Self { checked: checked.map(Arc::new), ..self }
    }

    /// Tells what one spec starts from what another does; the same in every version of this program.
    ///
    /// All that is handed over at the start and cannot be changed afterwards; what the supervisor alone decides by
    /// is left out.
    pub(in crate::supervisor) fn fingerprint(spec: &PluginSpec) -> String {
        let cwd = spec.cwd.to_string_lossy();
        let orphan = spec.orphan_timeout.map(|timeout| timeout.as_millis().to_string());
        let command = spec.command.iter().map(String::as_str);
        let env = spec.env.iter().flat_map(|(name, value)| [name.as_str(), value]);
        let parts = command.chain(["", &cwd]).chain(env).chain(["", orphan.as_deref().unwrap_or_default()]);
        // FNV-1a: it need not withstand anybody, for whoever can change it can change the plugin as well.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        // Nothing of it but what is set, so that those of older versions still are what they were.
        let allowed = (!spec.allow.is_empty()).then(|| format!("allow = {:?}", spec.allow));
        let confined: Vec<_> = spec.confinement.words().into_iter().chain(allowed).collect();
        for part in parts.chain(confined.iter().map(String::as_str)) {
            let bytes = part.len().to_le_bytes();
            for byte in bytes.iter().chain(part.as_bytes()) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        format!("{hash:016x}")
    }

    /// All variables of the process: what is passed on, over it the files' and over these the plugin's own.
    ///
    /// # Errors
    /// Where a file cannot be used, in words.
    pub(super) fn variables(&self) -> io::Result<BTreeMap<OsString, OsString>> {
        let mut variables: BTreeMap<_, _> = environment::passed_on(&self.confinement.pass_env).collect();
        if let Some(account) = &self.confinement.account {
            variables.extend(account.variables().map(|(name, value)| (name.into(), value)));
            // The supervisor's, which is closed to others.
            variables.remove(OsStr::new("XDG_RUNTIME_DIR"));
        }
        for file in &self.confinement.env_file {
            variables.extend(environment::read_file(file)?);
        }
        variables.extend(self.env.iter().map(|(name, value)| (name.into(), value.into())));
        Ok(variables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_changes_with_what_a_process_is_given_and_with_nothing_else() {
        let spec = crate::supervisor::tests::plugin("text", &["program", "argument"]);
        let print = Launch::fingerprint(&spec);
        let changed = |change: fn(&mut PluginSpec)| {
            let mut other = spec.clone();
            change(&mut other);
            Launch::fingerprint(&other)
        };
        assert_eq!(changed(|spec| spec.replicas = 7), print);
        assert_eq!(changed(|spec| spec.start_timeout *= 2), print);
        let others = [
            changed(|spec| spec.command = vec!["program".into()]),
            changed(|spec| spec.command = vec!["programargument".into()]),
            changed(|spec| spec.cwd = "/".into()),
            changed(|spec| drop(spec.env.insert("A".into(), "b".into()))),
            changed(|spec| spec.confinement.pass_env = vec!["A".into()]),
            changed(|spec| spec.confinement.umask = Some(0o27)),
            changed(|spec| spec.confinement.account = Some(Account { uid: 7, ..Account::default() })),
            changed(|spec| _ = spec.allow.insert(7)),
            changed(|spec| spec.confinement.limits.core = Some(0)),
            changed(|spec| spec.orphan_timeout = Some(std::time::Duration::from_secs(1))),
        ];
        let all: std::collections::HashSet<_> = others.iter().chain([&print]).collect();
        assert_eq!(all.len(), others.len() + 1);
    }
}
