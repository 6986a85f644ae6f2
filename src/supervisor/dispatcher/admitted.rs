//! Looks at a program and executes that very one: no path is looked at in between.

use std::path::Path;

use crate::supervisor::process::{Launch, SpawnError, Spawned, Tree, spawn};
use crate::supervisor::startup::Copies;
use crate::trust::{Admission, CheckedFile, NotAdmitted, Subject, Warden};

/// Why there is no process.
#[derive(Debug)]
pub(super) enum NoProcess {
    Spawn(SpawnError),
    /// Its program is not trusted, for this reason in words.
    Refused(String),
}

impl From<SpawnError> for NoProcess {
    fn from(error: SpawnError) -> Self {
        Self::Spawn(error)
    }
}

/// A program that may be started, and a launch that executes it.
#[derive(Debug)]
pub(super) struct Admitted {
    launch: Launch,
    /// Keeps its files as they are, by having them open.
    admission: Admission,
}

impl Admitted {
    /// Has the warden look at it; blocks while it reads files.
    ///
    /// # Errors
    /// As for the start of a process, and [`NoProcess::Refused`].
    pub(super) fn look(warden: &Warden, subject: &Subject, launch: Launch) -> Result<Self, NoProcess> {
        match warden.admit(subject) {
            Ok(mut admission) => Ok(Self { launch: launch.executing(admission.program.take()), admission }),
            Err(NotAdmitted::System(error)) => Err(SpawnError::diagnose(&error, &launch).into()),
            Err(refused) => Err(NoProcess::Refused(refused.to_string())),
        }
    }

    /// By what it is trusted.
    pub(super) fn words(&self) -> &str {
        &self.admission.words
    }

    /// What somebody should know of it.
    pub(super) fn note(&self) -> Option<&str> {
        self.admission.note.as_deref()
    }

    /// Starts what was looked at; what an interpreter runs, it runs from copies in that place.
    ///
    /// # Errors
    /// As for the start of any process.
    pub(super) fn spawn(self, tree: Tree, copies: &Path) -> Result<Spawned, NoProcess> {
        let Self { mut launch, admission } = self;
        let Admission { files, script, .. } = &admission;
        if let Some(script) = script {
            launch = launch.reading(copies);
            let copies = Copies::make(copies, files).map_err(|error| SpawnError::diagnose(&error, &launch))?;
            let interpreter = files.iter().find(|file| file.path == *script).and_then(CheckedFile::interpreter);
            launch = launch.running_copy(script, &copies.of(script), interpreter);
        }
        launch.prepare().map_err(|error| SpawnError::diagnose(&error, &launch))?;
        Ok(spawn(&launch, tree)?)
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::{Seek, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::bus::{BusDir, Lane, new_instance};
    use crate::supervisor::process::hold;
    use crate::supervisor::unit::{ExitState, sample_spec};
    use crate::trust::{Trust, TrustSpec};

    /// What is pinned exits with 0, what is put in its place with 1.
    const GOOD: &str = "/bin/true";
    const BAD: &str = "/bin/false";

    /// How often a start is raced; `PLUGBUS_RACES=10000` for the figure in docs/security.md.
    fn races() -> u32 {
        std::env::var("PLUGBUS_RACES").ok().and_then(|races| races.parse().ok()).unwrap_or(200)
    }

    fn write(path: &Path, bytes: &[u8]) {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Puts one program in the place of the other: another file, and the same file with other bytes.
    fn swap(root: &Path, good: &[u8], bad: &[u8], over: &AtomicBool) {
        let (program, draft) = (root.join("program"), root.join("draft"));
        for turn in 0_u32.. {
            if over.load(Ordering::Relaxed) {
                return;
            }
            for bytes in [bad, good] {
                write(&draft, bytes);
                fs::rename(&draft, &program).unwrap();
            }
            // Long enough for it to be found as pinned, and short enough to be gone again before it is executed.
            std::thread::park_timeout(Duration::from_micros(fastrand::u64(..2000)));
            if turn % 4 > 0 {
                continue;
            }
            // Fails while it is executed: that it is not written to then is the system's own rule.
            for bytes in [bad, good] {
                if let Ok(mut file) = OpenOptions::new().write(true).open(&program) {
                    file.write_all(bytes).unwrap();
                    file.rewind().unwrap();
                }
            }
            std::thread::park_timeout(Duration::from_micros(fastrand::u64(..2000)));
        }
    }

    /// Ends the other side of a race, also where this side has failed.
    struct Ends<'a>(&'a AtomicBool);

    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    async fn end(mut spawned: Spawned) -> ExitState {
        spawned.process.exited().await;
        let exit = spawned.process.exit().await;
        spawned.process.end_tree().await;
        exit
    }

    #[test]
    fn whatever_is_swapped_when_nothing_but_what_was_checked_is_executed() {
        let root = tempfile::tempdir().unwrap();
        let [good, bad] = [GOOD, BAD].map(|path| fs::read(path).unwrap());
        let length = good.len().max(bad.len());
        let [good, bad] = [good, bad].map(|mut bytes| {
            bytes.resize(length, 0);
            bytes
        });
        write(&root.path().join("program"), &good);
        let dir = BusDir::at(root.path().join("bus"));
        dir.create().unwrap();
        let mut spec = sample_spec();
        spec.trust = Trust::Locked;
        spec.command = vec![root.path().join("program").to_str().unwrap().into()];
        let lock = TrustSpec { lock: Some(root.path().join("plugbus.lock")), ..TrustSpec::default() };
        let warden = Warden::new(lock, root.path().join("state.lock")).with_hold(hold);
        warden.admit(&spec.subject()).unwrap();
        let over = AtomicBool::new(false);
        let (mut ran, mut refused, mut busy) = (0, 0, 0);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| swap(root.path(), &good, &bad, &over));
            let _ends = Ends(&over);
            // One that finds it being written to is none: nobody was deceived, and nothing was started.
            while ran + refused < races() {
                let instance = new_instance();
                let launch = Launch::new(&spec, &instance, &dir, Lane::Direct).unwrap();
                let tree = Tree::marked(dir.path(), &instance);
                let _entered = runtime.enter();
                let looked = Admitted::look(&warden, &spec.subject(), launch);
                match looked.and_then(|admitted| admitted.spawn(tree, Path::new("/no/copies"))) {
                    Ok(spawned) => {
                        assert_eq!(runtime.block_on(end(spawned)), ExitState::Code(0), "not what was checked");
                        ran += 1;
                    }
                    Err(NoProcess::Refused(_)) => refused += 1,
                    Err(NoProcess::Spawn(_)) => busy += 1,
                }
            }
        });
        // Otherwise there was no race.
        assert!(ran > 0 && refused > 0, "{ran} ran, {refused} were refused, {busy} were being written to");
        if let Ok(told) = std::env::var("PLUGBUS_RACES_TOLD") {
            fs::write(told, format!("{ran} ran, {refused} were refused, {busy} were being written to\n")).unwrap();
        }
    }
}
