//! Admits a subject or refuses it, and remembers what it has seen.
//!
//! Everything here reads files, so it belongs on a thread that may block.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::evidence::{Doubt, Evidence, Identity, Known};
use super::subject::{Parts, Puzzle};
use super::verdict::{Findings, refuse};
use super::{
    Admission, CheckedFile, Digest, LockError, LockFile, NotAdmitted, Pin, Review, Subject, Trust, TrustSpec, stamp,
};

/// Keeps others from writing to an open file until it is closed, where the system can.
type Hold = fn(&File) -> io::Result<()>;

/// Judges the programs of one bus.
#[derive(Debug)]
pub struct Warden {
    spec: Mutex<TrustSpec>,
    /// Where pins are kept that cannot be kept where they belong.
    fallback: PathBuf,
    hold: Hold,
    known: Mutex<Known>,
    /// Of each plugin, the files that it was last admitted with.
    admitted: Mutex<HashMap<String, Admitted>>,
    /// Two replicas that start for the first time find the same pins.
    pinning: Mutex<()>,
}

/// The files of a plugin.
#[derive(Debug, Clone)]
struct Admitted {
    /// As they were when it was admitted.
    files: Vec<(PathBuf, Option<Identity>)>,
    /// As they were when they were last looked at, where that was something else.
    changed: Option<Vec<Option<Identity>>>,
}

impl Warden {
    /// A warden who keeps pins at `fallback` where there is no better place.
    #[must_use]
    pub fn new(spec: TrustSpec, fallback: PathBuf) -> Self {
        Self {
            spec: Mutex::new(spec),
            fallback,
            hold: |_| Ok(()),
            known: Mutex::default(),
            admitted: Mutex::default(),
            pinning: Mutex::default(),
        }
    }

    /// Has files held while they are looked at, by whoever knows how.
    #[must_use]
    pub fn with_hold(mut self, hold: Hold) -> Self {
        self.hold = hold;
        self
    }

    /// Judges by something else from now on.
    pub fn reconfigure(&self, spec: TrustSpec) {
        let mut current = locked(&self.spec);
        if *current != spec {
            *current = spec;
            locked(&self.known).clear();
        }
    }

    /// Looks at a subject and says whether it may be run; what was never seen before is pinned.
    ///
    /// # Errors
    /// [`NotAdmitted`] says why it may not.
    pub fn admit(&self, subject: &Subject) -> Result<Admission, NotAdmitted> {
        self.judge(subject, true)
    }

    /// As [`admit`](Self::admit), and nothing comes of it.
    ///
    /// # Errors
    /// As for [`admit`](Self::admit).
    pub fn would_admit(&self, subject: &Subject) -> Result<(), NotAdmitted> {
        self.judge(subject, false).map(drop)
    }

    /// What has changed of a plugin since it was pinned; with `anew`, whatever was pinned does not count.
    ///
    /// # Errors
    /// In words, where its files cannot be looked at, or nobody should pin them as they are.
    pub fn review(&self, subject: &Subject, anew: bool) -> Result<Review, String> {
        let found = self.find(subject, None).map_err(|refusal| match refusal {
            NotAdmitted::Refused(words) => words,
            NotAdmitted::System(error) => {
                format!("{}: {error}", subject.command.first().map(String::as_str).unwrap_or_default())
            }
        })?;
        let pins = match anew {
            true => None,
            false => self.pins(&subject.plugin).map_err(|error| error.to_string())?,
        };
        Ok(Review {
            plugin: subject.plugin.clone(),
            new: pins.is_none(),
            changes: found.changes(&pins.unwrap_or_default()),
            files: found.files.len(),
            found: found.digests(),
        })
    }

    /// Pins what was reviewed; with `anew`, that and nothing else.
    ///
    /// # Errors
    /// Where the lock file cannot be written.
    pub fn accept(&self, reviews: &[Review], anew: bool) -> Result<(), LockError> {
        let now = stamp::now();
        let pin =
            |lock: &mut LockFile| reviews.iter().for_each(|review| lock.pin(&review.plugin, &review.found, &now));
        if anew {
            let mut lock = LockFile::default();
            pin(&mut lock);
            return lock.write(&self.writable());
        }
        LockFile::update(&self.writable(), pin)
    }

    /// Forgets what was pinned of plugins; answers of which there was something.
    ///
    /// # Errors
    /// Where a lock file cannot be read or written.
    pub fn forget<'a>(&self, plugins: impl Iterator<Item = &'a str> + Clone) -> Result<Vec<String>, LockError> {
        let mut forgotten = Vec::new();
        for path in self.places().into_iter().filter(|path| path.exists()) {
            forgotten.extend(LockFile::update(&path, |lock| {
                plugins.clone().filter(|plugin| lock.forget(plugin)).map(str::to_owned).collect::<Vec<_>>()
            })?);
        }
        Ok(forgotten)
    }

    /// Every plugin of which something is pinned.
    ///
    /// # Errors
    /// Where a lock file cannot be read.
    pub fn pinned(&self) -> Result<Vec<String>, LockError> {
        let mut names = Vec::new();
        for path in self.places() {
            names.extend(LockFile::read(&path)?.names().map(str::to_owned));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Where pins are written.
    #[must_use]
    pub fn writable(&self) -> PathBuf {
        let place = locked(&self.spec).lock.clone();
        let is_writable = |path: &PathBuf| {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
        };
        place.filter(is_writable).unwrap_or_else(|| self.fallback.clone())
    }

    /// Plugins whose files are others than when they were admitted, and have been the same since the last such look.
    ///
    /// Each is told once. A file that is not there at the moment is being made.
    #[must_use]
    pub fn rebuilt(&self) -> Vec<String> {
        let admitted = locked(&self.admitted).clone();
        let mut rebuilt = Vec::new();
        for (name, Admitted { files, changed }) in admitted {
            let now: Vec<_> = files.iter().map(|(path, _)| Identity::at(path)).collect();
            let differs = files.iter().zip(&now).any(|((_, was), is)| was != is) && now.iter().all(Option::is_some);
            let told = differs && changed.as_ref() == Some(&now);
            let mut admitted = locked(&self.admitted);
            // Admitted anew meanwhile, what was seen here is about the files of before.
            let Some(entry) = admitted.get_mut(&name).filter(|entry| entry.files == files) else { continue };
            entry.changed = differs.then(|| now.clone());
            if told {
                entry.files.iter_mut().zip(now).for_each(|((_, was), is)| *was = is);
                entry.changed = None;
                rebuilt.push(name);
            }
        }
        rebuilt.sort();
        rebuilt
    }

    /// Where pins may be, those that count first.
    fn places(&self) -> Vec<PathBuf> {
        locked(&self.spec).lock.iter().chain([&self.fallback]).cloned().collect()
    }

    fn pins(&self, plugin: &str) -> Result<Option<BTreeMap<PathBuf, Pin>>, LockError> {
        for path in self.places() {
            if let Some(pins) = LockFile::read(&path)?.plugin(plugin) {
                return Ok(Some(pins.clone()));
            }
        }
        Ok(None)
    }

    fn judge(&self, subject: &Subject, for_good: bool) -> Result<Admission, NotAdmitted> {
        let spec = locked(&self.spec).clone();
        let (words, note, found) = match subject.level {
            Trust::Any => return self.wave_through(subject, &spec),
            Trust::Signed if spec.keys.is_empty() => {
                return Err(refuse("a signature is wanted, and no key is trusted: name one in [trust] keys".into()));
            }
            Trust::Signed => {
                let found = self.find(subject, Some(&spec.keys))?;
                ("signed".to_owned(), None, found)
            }
            Trust::Locked => {
                let found = self.find(subject, None)?;
                let (words, note) = self.compare(subject, &found, spec.accepts_changes, for_good)?;
                (words, note, found)
            }
        };
        if for_good {
            self.remember(
                subject,
                found.files.iter().map(|(path, evidence, _)| (path.clone(), Some(evidence.identity))),
            );
        }
        let mut admission = Admission { words, note, ..Admission::default() };
        for (path, evidence, digest) in found.files {
            // A script is run by its path, whoever executes it.
            if path == found.parts.program && !evidence.is_script() {
                admission.program = Some(evidence.file);
            } else {
                admission.files.push(CheckedFile { path, file: evidence.file, digest });
            }
        }
        let is_read = |path: &&Path| admission.files.iter().any(|file| file.path == **path);
        if !subject.files.is_empty() {
            admission.script = Some(found.parts.main()).filter(is_read).map(Path::to_owned);
        }
        Ok(admission)
    }

    /// Nothing is looked at, but for what is to be restarted when it is rebuilt.
    fn wave_through(&self, subject: &Subject, spec: &TrustSpec) -> Result<Admission, NotAdmitted> {
        if spec.accepts_changes
            && let Ok(Parts { program, script, files }) = subject.parts()
        {
            let files = [program].into_iter().chain(script).chain(files);
            self.remember(subject, files.map(|path| (path.clone(), Identity::at(&path))));
        }
        Ok(Admission { words: Trust::Any.to_string(), ..Admission::default() })
    }

    fn remember(&self, subject: &Subject, files: impl Iterator<Item = (PathBuf, Option<Identity>)>) {
        let admitted = Admitted { files: files.collect(), changed: None };
        locked(&self.admitted).insert(subject.plugin.clone(), admitted);
    }

    /// Opens and looks at every file of a subject; signatures are wanted where there are keys.
    fn find(&self, subject: &Subject, keys: Option<&[super::PublicKey]>) -> Result<Findings, NotAdmitted> {
        let parts = subject.parts().map_err(|puzzle| match puzzle {
            Puzzle::Program(error) => NotAdmitted::System(error),
            Puzzle::File(path, problem) => refuse(format!("{} of its `files` {problem}", path.display())),
        })?;
        let mut files = Vec::new();
        let program = Evidence::open(&parts.program).map_err(NotAdmitted::System)?;
        let rest = parts.script.iter().chain(&parts.files).filter(|path| **path != parts.program);
        let mut wanted = vec![(parts.program.clone(), program)];
        for path in rest {
            let evidence = Evidence::open(path).map_err(|error| refuse(format!("{}: {error}", path.display())))?;
            if !wanted.iter().any(|(known, _)| known == path) {
                wanted.push((path.clone(), evidence));
            }
        }
        // An interpreter of the system's is changed by every update of the system; the plugin is what it runs.
        let has_more = wanted.len() > 1 && parts.script.is_some();
        for (path, mut evidence) in wanted {
            if path == parts.program && has_more && evidence.is_system() {
                continue;
            }
            let digest = self.look_at(&path, &mut evidence, keys)?;
            files.push((path, evidence, digest));
        }
        Ok(Findings { parts, files })
    }

    fn look_at(
        &self,
        path: &Path,
        evidence: &mut Evidence,
        keys: Option<&[super::PublicKey]>,
    ) -> Result<Digest, NotAdmitted> {
        if let Some(problem) = super::lock::unfit(path) {
            return Err(refuse(format!("{path:?} cannot be pinned: {problem}")));
        }
        let doubted = |doubt: Doubt| match doubt {
            Doubt::System(error) => NotAdmitted::System(error),
            doubt => refuse(doubt.to_string()),
        };
        (self.hold)(&evidence.file).and_then(|()| evidence.look_again()).map_err(NotAdmitted::System)?;
        evidence.check_owner().map_err(doubted)?;
        let mut known = locked(&self.known);
        match keys {
            Some(keys) => evidence.signed_digest(keys, &mut known).map_err(doubted),
            None => evidence.digest(&mut known).map_err(doubted),
        }
    }

    /// Compares with what is pinned; answers by what it is trusted, and what somebody should know.
    fn compare(
        &self,
        subject: &Subject,
        found: &Findings,
        accepts_changes: bool,
        for_good: bool,
    ) -> Result<(String, Option<String>), NotAdmitted> {
        let _alone = locked(&self.pinning);
        let unlocked = |error: LockError| refuse(format!("what is pinned is not known: {error}"));
        let pins = self.pins(&subject.plugin).map_err(unlocked)?;
        let name = &subject.plugin;
        let why = match &pins {
            None => "started for the first time".to_owned(),
            // The configuration names another program, and whoever writes that decides what runs.
            Some(pins) if !pins.contains_key(found.parts.main()) => "another program than before".to_owned(),
            Some(pins) => {
                let changes = found.changes(pins);
                if changes.is_empty() {
                    let since = pins.values().map(|pin| pin.since.as_str()).max().unwrap_or_default();
                    return Ok((format!("locked, pinned at {since}"), None));
                }
                let words = changes.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let more = changes.len().saturating_sub(3);
                let more = if more > 0 { format!("; and {more} more") } else { String::new() };
                if !accepts_changes {
                    let advice = format!("if that is meant, `plugbus lock {name}` accepts it");
                    return Err(refuse(format!("{words}{more}; {advice}")));
                }
                format!("accepted, for --dev: {words}{more}")
            }
        };
        let (now, place) = (stamp::now(), self.writable());
        if for_good {
            let pinned = LockFile::update(&place, |lock| lock.pin(name, &found.digests(), &now));
            pinned.map_err(|error| refuse(format!("cannot be pinned: {error}")))?;
        }
        let files = found.files.iter().map(|(path, _, digest)| format!("{} {}", path.display(), digest.short()));
        let mut note = format!("{why}; pinned: {}", files.take(3).collect::<Vec<_>>().join(", "));
        if place == self.fallback {
            note += &format!(" (in {}, for want of a better place; `plugbus lock` knows one)", place.display());
        }
        Ok((format!("locked, pinned at {now}"), Some(note)))
    }
}

/// Nothing is left half done under these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
