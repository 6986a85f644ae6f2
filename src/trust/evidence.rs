//! One file that is to be run, opened once: whose it is, what it holds, who signed it.
//!
//! All that is found out is found out about the open file. Its path is only used to open it, and to find the
//! directories and the signature that go with it.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::digest::Digester;
use super::signature::{Checker, Signature, SignatureFlaw, signature_path};
use super::{Digest, PublicKey, owner};

/// How much is read at once.
const PIECE: usize = 256 * 1024;

/// A file that has been as it is for shorter than this may change again without its times telling.
///
/// Its times move with the system's tick, at most ten milliseconds, or with a file server's clock.
const UNSETTLED: Duration = Duration::from_secs(2);

/// File systems whose times are this system's own: ext4, XFS, Btrfs, F2FS, ZFS, tmpfs, overlay; from Linux's `magic.h`
/// and OpenZFS. Elsewhere they may be another machine's, whose clock may be late.
const LOCAL: [u64; 7] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1, 0x0102_1994, 0x794c_7630];

/// What tells one state of one file from any other.
///
/// Nobody sets the time of a change (`ctime`), and whatever changes a file moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// Whether its times say that it has been as it is for long enough; no other clock has run since then.
    ///
    /// A clock that is set forward makes it no younger: whatever changes it later moves `ctime` all the same.
    fn is_old_at(&self, now: SystemTime) -> bool {
        let changed = u64::try_from(self.changed.0).ok().map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        // The part of a second counts as a whole one; whoever changes in the future is not old.
        changed.is_some_and(|changed| {
            now.duration_since(changed).is_ok_and(|age| age >= UNSETTLED + Duration::from_secs(1))
        })
    }

    /// What is at a path now.
    pub(super) fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::of)
    }
}

/// What was found out about files before, and holds as long as they are what they were.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<PathBuf, Knowledge>);

#[derive(Debug)]
struct Knowledge {
    identity: Identity,
    /// Of the signature beside it.
    beside: Option<Identity>,
    /// Since when both have been seen as they are.
    since: Instant,
    /// What it holds, once that was read late enough for any later change to show.
    digest: Option<Digest>,
    /// And that was found to be signed.
    signed: bool,
}

impl Known {
    /// More files than any bus has; whatever forgets them is only slower.
    const MOST: usize = 16 * 1024;

    fn get(&self, path: &Path, identity: Identity, beside: Option<Identity>) -> Option<&Knowledge> {
        self.0.get(path).filter(|known| (known.identity, known.beside) == (identity, beside))
    }

    /// Takes in what was read; whether that holds until the file changes depends on how long it has been as it is, by its
    /// own times or by ours.
    fn learn(&mut self, path: &Path, seen: (Identity, Option<Identity>), began: Began, read: (Digest, bool)) {
        let (identity, beside) = seen;
        let since = self.get(path, identity, beside).map_or(began.at, |known| known.since);
        let is_settled = began.is_old || began.at.saturating_duration_since(since) >= UNSETTLED;
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        let digest = is_settled.then_some(read.0);
        self.0.insert(path.to_owned(), Knowledge { identity, beside, since, digest, signed: read.1 });
    }

    /// Forgets everything: other keys count now.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// When a file was begun to be read, and whether its times alone said then that it had been as it is for long enough.
#[derive(Debug, Clone, Copy)]
struct Began {
    at: Instant,
    is_old: bool,
}

/// One file, open.
#[derive(Debug)]
pub(super) struct Evidence {
    /// Where it is without any symbolic link.
    real: PathBuf,
    pub(super) file: File,
    pub(super) identity: Identity,
    found: Metadata,
}

/// Why a file does not count.
#[derive(Debug, thiserror::Error)]
pub(super) enum Doubt {
    #[error("{0}")]
    Owner(owner::Flaw),
    #[error("{} {flaw}", .path.display())]
    Signature { path: PathBuf, flaw: SignatureFlaw },
    #[error("{0}")]
    System(io::Error),
}

impl Evidence {
    /// Opens a file; symbolic links are followed once, here.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let real = path.canonicalize()?;
        // Who opens a FIFO would wait for somebody who writes; a link in the place of what was found is none of ours.
        let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&real)?;
        let found = file.metadata()?;
        if found.is_dir() {
            return Err(Errno::ISDIR.into());
        }
        if !found.is_file() {
            return Err(Errno::ACCESS.into());
        }
        Ok(Self { real, file, identity: Identity::of(&found), found })
    }

    /// Takes in how it is now, once nobody writes to it any more: nothing seen before that counts.
    pub(super) fn look_again(&mut self) -> io::Result<()> {
        self.found = self.file.metadata()?;
        self.identity = Identity::of(&self.found);
        Ok(())
    }

    /// Finds who else may change it.
    pub(super) fn check_owner(&self) -> Result<(), Doubt> {
        owner::check(&self.real, &self.found).map_err(Doubt::Owner)
    }

    /// Whether root alone may change it, and it is a part of the system.
    pub(super) fn is_system(&self) -> bool {
        const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/opt", "/nix/store", "/gnu/store"];
        self.found.uid() == 0 && SYSTEM.iter().any(|place| self.real.starts_with(place)) && self.check_owner().is_ok()
    }

    /// When it was last written to, for people.
    pub(super) fn modified(&self) -> Option<String> {
        self.found.modified().ok().map(|time| humantime::format_rfc3339_seconds(time).to_string())
    }

    /// What it holds.
    pub(super) fn digest(&self, known: &mut Known) -> Result<Digest, Doubt> {
        if let Some(digest) = known.get(&self.real, self.identity, None).and_then(|known| known.digest) {
            return Ok(digest);
        }
        let began = self.begin(None);
        let digest = self.read(None)?;
        known.learn(&self.real, (self.identity, None), began, (digest, false));
        Ok(digest)
    }

    /// What it holds, once one of the keys is found to have signed that.
    pub(super) fn signed_digest(&self, keys: &[PublicKey], known: &mut Known) -> Result<Digest, Doubt> {
        let beside = Identity::at(&signature_path(&self.real));
        let knowledge = known.get(&self.real, self.identity, beside).filter(|known| known.signed);
        if let Some(digest) = knowledge.and_then(|known| known.digest) {
            return Ok(digest);
        }
        let began = self.begin(beside);
        let flawed = |flaw| Doubt::Signature { path: self.real.clone(), flaw };
        let signature = Signature::beside(&self.real).map_err(flawed)?;
        let mut checker = signature.checker(keys).map_err(flawed)?;
        let digest = self.read(Some(&mut checker))?;
        checker.finish(self.real.file_name().and_then(|name| name.to_str()).unwrap_or_default()).map_err(flawed)?;
        known.learn(&self.real, (self.identity, beside), began, (digest, true));
        Ok(digest)
    }

    fn begin(&self, beside: Option<Identity>) -> Began {
        let now = SystemTime::now();
        let is_old = self.identity.is_old_at(now)
            // What is beside it is on the same file system, or is not believed.
            && beside.is_none_or(|beside| beside.device == self.identity.device && beside.is_old_at(now))
            && is_local(&self.file);
        Began { at: Instant::now(), is_old }
    }

    fn read(&self, checker: Option<&mut Checker<'_>>) -> Result<Digest, Doubt> {
        let mut digester = Digester::default();
        let mut checker = checker;
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        loop {
            let read = match self.file.read_at(&mut piece, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(Doubt::System)?,
            };
            if read == 0 {
                break;
            }
            digester.add(&piece[..read]);
            if let Some(checker) = &mut checker {
                checker.add(&piece[..read]);
            }
            at += read as u64;
        }
        let digest = digester.finish();
        // Whoever still writes to it may have written while it was read.
        let after = Identity::of(&self.file.metadata().map_err(Doubt::System)?);
        if after == self.identity { Ok(digest) } else { Err(Doubt::System(Errno::TXTBSY.into())) }
    }

    /// Whether it is a script, which the system hands to its interpreter by its path.
    pub(super) fn is_script(&self) -> bool {
        let mut start = [0; 2];
        self.file.read_exact_at(&mut start, 0).is_ok() && start == *b"#!"
    }
}

/// Whether a file's times are this system's own.
fn is_local(file: &File) -> bool {
    let found = rustix::fs::fstatfs(file).ok().and_then(|found| u64::try_from(found.f_type).ok());
    // Some systems have a number with a sign there, which they extend.
    found.is_some_and(|found| LOCAL.contains(&(found & u64::from(u32::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_counts_again_only_if_the_file_was_long_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().canonicalize().unwrap().join("file");
        std::fs::write(&path, "a").unwrap();
        let (identity, digest) = (Identity::at(&path).unwrap(), Digest::of(b"a"));
        let (mut known, start) = (Known::default(), Instant::now());
        let mut learn = |after: Duration| {
            known.learn(&path, (identity, None), Began { at: start + after, is_old: false }, (digest, false));
            known.get(&path, identity, None).and_then(|known| known.digest)
        };
        assert_eq!(learn(Duration::ZERO), None);
        assert_eq!(learn(UNSETTLED - Duration::from_millis(1)), None);
        assert_eq!(learn(UNSETTLED), Some(digest));
        std::fs::write(&path, "b").unwrap();
        let changed = Identity::at(&path).unwrap();
        // On a coarse clock both may look the same, which is why there is a wait.
        if changed != identity {
            assert!(known.get(&path, changed, None).is_none());
        }
        known.clear();
        assert!(known.get(&path, identity, None).is_none());
    }

    #[test]
    fn what_was_read_of_an_old_file_counts_again_at_once() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        std::fs::write(&path, "a").unwrap();
        let evidence = Evidence::open(&path).unwrap();
        let mut known = Known::default();
        evidence.digest(&mut known).unwrap();
        let kept = |known: &Known| known.get(&evidence.real, evidence.identity, None).unwrap().digest;
        assert_eq!(kept(&known), None, "it is new");
        let written = UNIX_EPOCH + Duration::from_secs(evidence.identity.changed.0.try_into().unwrap());
        for (seconds, is_old) in [(-1, false), (0, false), (2, false), (3, true), (1000, true)] {
            let now = if seconds < 0 { written - UNSETTLED } else { written + Duration::from_secs(seconds as u64) };
            assert_eq!(evidence.identity.is_old_at(now), is_old, "{seconds} s later");
        }
        let began = Began { at: Instant::now(), is_old: true };
        known.learn(&evidence.real, (evidence.identity, None), began, (Digest::of(b"a"), false));
        assert_eq!(kept(&known), Some(Digest::of(b"a")));
        // The system's own programs are no younger than that, wherever they are.
        let program = Evidence::open(Path::new("/bin/sh")).unwrap();
        let began = program.begin(None);
        assert_eq!(began.is_old, is_local(&program.file));
        assert!(!program.begin(Some(evidence.identity)).is_old, "its signature is new");
    }
}
