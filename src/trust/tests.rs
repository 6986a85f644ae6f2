//! Signatures and wardens over real files; races with a real exec are in the supervisor's tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;

/// A directory with a program, and the warden of its bus.
struct Place {
    root: tempfile::TempDir,
    warden: Warden,
}

impl Place {
    fn new(change: impl FnOnce(&mut TrustSpec)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut spec = TrustSpec { lock: Some(root.path().join("plugbus.lock")), ..TrustSpec::default() };
        change(&mut spec);
        let warden = Warden::new(spec, root.path().join("state.lock"));
        let place = Self { root, warden };
        place.write("program", "#!/bin/sh\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn subject(&self, level: Trust, files: &[&str]) -> Subject {
        Subject {
            plugin: "text".into(),
            level,
            command: vec![self.path("program").to_str().unwrap().into()],
            cwd: self.root.path().into(),
            files: files.iter().map(|file| self.path(file)).collect(),
            search: String::new().into(),
        }
    }

    fn refusal(&self, subject: &Subject) -> String {
        match self.warden.admit(subject) {
            Err(NotAdmitted::Refused(words)) => words,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_first_start_pins_and_what_changes_is_refused_until_it_is_accepted() {
    let place = Place::new(|_| ());
    let subject = place.subject(Trust::Locked, &[]);
    let first = place.warden.admit(&subject).unwrap();
    assert!(first.note.unwrap().starts_with("started for the first time; pinned: "));
    assert!(place.warden.admit(&subject).unwrap().note.is_none());
    place.write("program", "#!/bin/sh\nexit 7\n");
    let words = place.refusal(&subject);
    assert!(
        words.contains("/program has changed since it was pinned at 2") && words.contains("plugbus lock text"),
        "{words}"
    );
    assert!(place.warden.would_admit(&subject).is_err());
    let review = place.warden.review(&subject, false).unwrap();
    assert_eq!((review.new, review.changes.len(), review.files), (false, 1, 1));
    place.warden.accept(&[review], false).unwrap();
    assert!(place.warden.admit(&subject).unwrap().note.is_none());
    // Back again is as much of a change.
    place.write("program", "#!/bin/sh\n");
    place.refusal(&subject);
}

#[test]
fn what_belongs_to_it_is_judged_with_it() {
    let place = Place::new(|_| ());
    place.write("lib/a.py", "a");
    let subject = place.subject(Trust::Locked, &["lib"]);
    place.warden.admit(&subject).unwrap();
    place.write("lib/a.py", "b");
    assert!(place.refusal(&subject).contains("/lib/a.py has changed since"));
    place.write("lib/a.py", "a");
    place.warden.admit(&subject).unwrap();
    place.write("lib/b.py", "");
    assert!(place.refusal(&subject).contains("/lib/b.py is new"));
    fs::remove_file(place.path("lib/b.py")).unwrap();
    fs::rename(place.path("lib/a.py"), place.path("a.py")).unwrap();
    place.write("lib/c.py", "a");
    let words = place.refusal(&subject);
    assert!(words.contains("/lib/c.py is new") && words.contains("/lib/a.py is gone that was pinned at"), "{words}");
}

#[test]
fn another_program_in_the_configuration_is_pinned_anew() {
    let place = Place::new(|_| ());
    let mut subject = place.subject(Trust::Locked, &[]);
    place.warden.admit(&subject).unwrap();
    place.write("other", "x");
    subject.command = vec![place.path("other").to_str().unwrap().into()];
    assert!(place.warden.admit(&subject).unwrap().note.unwrap().starts_with("another program than before"));
    assert_eq!(LockFile::read(&place.path("plugbus.lock")).unwrap().plugin("text").unwrap().len(), 1);
}

#[test]
fn for_dev_changes_are_accepted_and_told() {
    let place = Place::new(|spec| spec.accepts_changes = true);
    let subject = place.subject(Trust::Locked, &[]);
    place.warden.admit(&subject).unwrap();
    assert!(place.warden.rebuilt().is_empty());
    place.write("program", "changed");
    assert!(place.warden.rebuilt().is_empty(), "it may still be written to");
    assert_eq!(place.warden.rebuilt(), ["text"]);
    assert!(place.warden.rebuilt().is_empty(), "once is enough");
    let note = place.warden.admit(&subject).unwrap().note.unwrap();
    assert!(note.starts_with("accepted, for --dev: ") && note.contains("has changed since"), "{note}");
    assert!(place.warden.rebuilt().is_empty());
}

#[test]
fn what_others_may_write_is_refused_even_if_it_is_as_pinned() {
    let place = Place::new(|_| ());
    let subject = place.subject(Trust::Locked, &[]);
    place.warden.admit(&subject).unwrap();
    for (path, mode) in [("program", 0o757), ("", 0o757)] {
        fs::set_permissions(place.path(path), fs::Permissions::from_mode(mode)).unwrap();
        assert!(place.refusal(&subject).contains("may be changed by anybody"), "{path}");
        fs::set_permissions(place.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    place.warden.admit(&subject).unwrap();
    // A link may lie anywhere: what counts is where it leads.
    let mut linked = subject.clone();
    linked.plugin = "linked".into();
    linked.command = vec![place.path("link").to_str().unwrap().into()];
    std::os::unix::fs::symlink(place.path("program"), place.path("link")).unwrap();
    place.warden.admit(&linked).unwrap();
    fs::remove_file(place.path("link")).unwrap();
    place.write("elsewhere", "x");
    std::os::unix::fs::symlink(place.path("elsewhere"), place.path("link")).unwrap();
    assert!(place.refusal(&linked).contains("/link has changed since"));
}

#[test]
fn a_lock_file_that_is_broken_refuses_and_says_where() {
    let place = Place::new(|_| ());
    let subject = place.subject(Trust::Locked, &[]);
    place.warden.admit(&subject).unwrap();
    let text = fs::read_to_string(place.path("plugbus.lock")).unwrap();
    fs::write(place.path("plugbus.lock"), text.replace("\nend\n", "\n")).unwrap();
    let words = place.refusal(&subject);
    assert!(words.contains("plugbus.lock: was cut off") && words.contains("`plugbus lock`"), "{words}");
    fs::write(place.path("plugbus.lock"), text.replace("sha256:", "sha256:0")).unwrap();
    assert!(place.refusal(&subject).contains("plugbus.lock:4: a digest has 64 digits"));
    fs::write(place.path("plugbus.lock"), [0xff; 100]).unwrap();
    assert!(place.refusal(&subject).contains("is no text"));
}

#[test]
fn what_cannot_be_had_is_the_systems_word() {
    let place = Place::new(|_| ());
    let mut subject = place.subject(Trust::Locked, &[]);
    for command in ["/no/such/program", "/tmp", "/dev/null", "no-such-program"] {
        subject.command = vec![command.into()];
        assert!(matches!(place.warden.admit(&subject), Err(NotAdmitted::System(_))), "{command}");
    }
    let subject = place.subject(Trust::Locked, &["missing.py"]);
    assert!(place.refusal(&subject).contains("missing.py of its `files` is not there"));
    assert!(!place.path("plugbus.lock").exists());
}

#[test]
fn an_unwritable_place_is_no_reason_not_to_pin() {
    let place = Place::new(|spec| spec.lock = Some("/proc/plugbus.lock".into()));
    let subject = place.subject(Trust::Locked, &[]);
    // Root may write where nobody can.
    if place.warden.writable() == place.path("state.lock") {
        place.warden.admit(&subject).unwrap();
        assert!(place.path("state.lock").exists());
    }
    let nowhere = Place::new(|spec| spec.lock = None);
    nowhere.warden.admit(&nowhere.subject(Trust::Locked, &[])).unwrap();
    assert!(nowhere.path("state.lock").exists());
}

#[cfg(feature = "sign")]
mod signed {
    use super::*;

    fn key(place: &Path, name: &str) -> (PublicKey, SecretKey) {
        let pair = KeyPair::generate(None).unwrap();
        pair.write(&place.join(format!("{name}.key")), &place.join(format!("{name}.pub"))).unwrap();
        let secret = SecretKey::read(&place.join(format!("{name}.key")), None).unwrap();
        assert_eq!(PublicKey::read(&place.join(format!("{name}.pub"))), Ok(pair.public.clone()));
        (pair.public, secret)
    }

    #[test]
    fn a_signature_of_a_trusted_key_is_enough_and_nothing_else_is() {
        let place = Place::new(|_| ());
        let ((public, secret), (_, stranger)) = (key(place.root.path(), "a"), key(place.root.path(), "b"));
        let subject = place.subject(Trust::Signed, &[]);
        assert!(place.refusal(&subject).contains("no key is trusted"));
        place.warden.reconfigure(TrustSpec { keys: vec![public], ..TrustSpec::default() });
        assert!(place.refusal(&subject).contains("has no signature: "));
        secret.sign(&place.path("program")).unwrap();
        assert_eq!(place.warden.admit(&subject).unwrap().words, "signed");
        place.write("program", "#!/bin/sh\n ");
        assert!(place.refusal(&subject).contains("is not what was signed"));
        // Signed anew it is admitted, and nothing has to be accepted.
        secret.sign(&place.path("program")).unwrap();
        place.warden.admit(&subject).unwrap();
        stranger.sign(&place.path("program")).unwrap();
        assert!(place.refusal(&subject).contains("a key that is not trusted"));
        fs::write(signature_path(&place.path("program")), "nonsense").unwrap();
        assert!(place.refusal(&subject).contains("is no signature of minisign"));
    }

    #[test]
    fn the_signature_of_another_file_does_not_count_even_if_it_has_the_same_bytes() {
        let place = Place::new(|_| ());
        let (public, secret) = key(place.root.path(), "a");
        place.warden.reconfigure(TrustSpec { keys: vec![public], ..TrustSpec::default() });
        let subject = place.subject(Trust::Signed, &[]);
        place.write("other", "another program");
        secret.sign(&place.path("other")).unwrap();
        fs::copy(signature_path(&place.path("other")), signature_path(&place.path("program"))).unwrap();
        assert!(place.refusal(&subject).contains("is not what was signed"));
        // Both of them, in the place of what was meant.
        fs::copy(place.path("other"), place.path("program")).unwrap();
        assert!(place.refusal(&subject).contains("was signed under the name \"other\""));
    }

    #[test]
    fn every_file_of_it_needs_one() {
        let place = Place::new(|_| ());
        let (public, secret) = key(place.root.path(), "a");
        place.warden.reconfigure(TrustSpec { keys: vec![public], ..TrustSpec::default() });
        place.write("lib.py", "x");
        secret.sign(&place.path("program")).unwrap();
        let subject = place.subject(Trust::Signed, &["lib.py"]);
        assert!(place.refusal(&subject).contains("lib.py has no signature"));
        secret.sign(&place.path("lib.py")).unwrap();
        place.warden.admit(&subject).unwrap();
        place.write("lib.py", "y");
        assert!(place.refusal(&subject).contains("lib.py is not what was signed"));
    }

    #[test]
    fn keys_of_the_wrong_kind_are_told_apart() {
        let place = Place::new(|_| ());
        key(place.root.path(), "a");
        assert_eq!(PublicKey::read(&place.path("a.key")), Err(KeyError::Secret));
        assert_eq!(PublicKey::read(&place.path("program")), Err(KeyError::NotAKey));
        assert!(matches!(PublicKey::read(&place.path("nothing")), Err(KeyError::Unreadable(_))));
        assert_eq!("RWxxxx".parse::<PublicKey>(), Err(KeyError::NotAKey));
        let other = "AAAA".repeat(14);
        assert_eq!(other.parse::<PublicKey>(), Err(KeyError::NotAKey));
        let words = SecretKey::read(&place.path("a.pub"), None).unwrap_err();
        assert!(words.ends_with("a.pub is no secret key of minisign"), "{words}");
        assert!(SecretKey::read(&place.path("program"), None).is_err());
    }

    #[test]
    fn a_password_keeps_a_key() {
        let place = Place::new(|_| ());
        let (secret, public) = (place.path("k.key"), place.path("k.pub"));
        KeyPair::generate(Some("correct horse")).unwrap().write(&secret, &public).unwrap();
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SecretKey::has_password(&secret), Ok(true));
        assert!(SecretKey::read(&secret, None).unwrap_err().contains("needs its password"));
        assert!(SecretKey::read(&secret, Some("battery")).unwrap_err().contains("Wrong password"));
        SecretKey::read(&secret, Some("correct horse")).unwrap().sign(&place.path("program")).unwrap();
        let keys = [PublicKey::read(&public).unwrap()];
        let signature = Signature::beside(&place.path("program")).unwrap();
        assert_eq!(signature.check(b"#!/bin/sh\n", "program", &keys), Ok(()));
        assert!(signature.comment().contains("\tfile:program\t"));
        // Nothing is ever written over.
        assert!(KeyPair::generate(None).unwrap().write(&secret, &place.path("new.pub")).is_err());
        assert!(!place.path("new.pub").exists());
    }
}
