//! What may lie in a bus directory, and what may not.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::bus::new_instance;

fn card(name: &str) -> Card {
    let instance = new_instance();
    let url = format!("ipc:///x/{name}");
    let process = ProcessId::own();
    Card {
        name: name.into(),
        instance,
        version: "1".into(),
        process,
        protocol: 1,
        protocol_max: None,
        url,
        methods: vec![],
    }
}

#[test]
fn cards_come_and_go() {
    let root = tempfile::tempdir().unwrap();
    let dir = BusDir::at(root.path().join("bus"));
    assert!(matches!(dir.cards(), Err(BusError::NoBus(_))));
    dir.create().unwrap();
    let (a, b) = (card("a"), card("b"));
    dir.publish(&b).unwrap();
    dir.publish(&a).unwrap();
    fs::write(dir.path().join("half.json"), "{\"name\":").unwrap();
    fs::write(dir.path().join("liar.x.json"), serde_json::to_vec(&a).unwrap()).unwrap();
    assert_eq!(dir.cards().unwrap(), [a.clone(), b.clone()]);
    dir.withdraw(&a.name, &a.instance);
    assert_eq!(dir.cards().unwrap(), [b]);
}

#[test]
fn a_directory_that_others_can_enter_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let dir = BusDir::at(root.path().join("bus"));
    assert!(matches!(dir.check(), Err(BusError::NoBus(_))));
    dir.create().unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let error = dir.create().unwrap_err().to_string();
    assert!(error.contains("mode 0755") && error.contains("chmod 700"), "{error}");
    symlink(root.path(), root.path().join("link")).unwrap();
    assert!(matches!(BusDir::at(root.path().join("link")).check(), Err(BusError::Insecure { .. })));
}

#[test]
fn one_supervisor_a_bus() {
    let root = tempfile::tempdir().unwrap();
    let dir = BusDir::at(root.path().join("bus"));
    dir.create().unwrap();
    let lock = dir.lock().unwrap();
    let error = dir.lock().unwrap_err().to_string();
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    drop(lock);
    dir.lock().unwrap();
}

#[test]
fn what_belongs_to_the_bus_may_not_be_a_link_or_open_to_others() {
    for part in ["state", "log"] {
        let root = tempfile::tempdir().unwrap();
        let dir = BusDir::at(root.path().join("bus"));
        dir.create().unwrap();
        fs::set_permissions(dir.path().join(part), PermissionsExt::from_mode(0o770)).unwrap();
        let error = dir.create().unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("mode 0770"), "{error}");
        fs::remove_dir(dir.path().join(part)).unwrap();
        symlink(root.path(), dir.path().join(part)).unwrap();
        assert!(matches!(dir.create(), Err(BusError::Insecure { .. })), "{part} may be a link");
    }
}

#[test]
fn a_lock_that_was_planted_is_refused_and_what_it_leads_to_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = BusDir::at(root.path().join("bus"));
    dir.create().unwrap();
    let (precious, lock) = (root.path().join("precious"), dir.path().join("lock"));
    fs::write(&precious, "kept").unwrap();
    symlink(&precious, &lock).unwrap();
    let error = dir.lock().unwrap_err().to_string();
    assert!(error.contains("lock is not a plain file"), "{error}");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
    fs::remove_file(&lock).unwrap();
    fs::write(&lock, "").unwrap();
    fs::set_permissions(&lock, PermissionsExt::from_mode(0o666)).unwrap();
    let error = dir.lock().unwrap_err().to_string();
    assert!(error.contains("mode 0666") && error.contains("chmod 600"), "{error}");
}

#[test]
fn a_card_that_others_may_have_written_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let dir = BusDir::at(root.path().join("bus"));
    dir.create().unwrap();
    let cards = ["good", "linked", "open", "foreign", "large"].map(card);
    cards.iter().for_each(|card| dir.publish(card).unwrap());
    assert_eq!(dir.cards().unwrap().len(), 5);
    let [_, linked, open, foreign, large] = cards.each_ref().map(|card| dir.file(&card.name, &card.instance, "json"));
    let elsewhere = root.path().join("elsewhere.json");
    fs::rename(&linked, &elsewhere).unwrap();
    symlink(&elsewhere, &linked).unwrap();
    fs::set_permissions(&open, PermissionsExt::from_mode(0o622)).unwrap();
    let text = [fs::read(&large).unwrap(), vec![b' '; 1 << 20]].concat();
    fs::write(&large, text).unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(&foreign, Some(65534), None).unwrap();
    } else {
        let _ = writeln!(io::stderr(), "not root: no file of another user is tried");
    }
    let left: Vec<_> = dir.cards().unwrap().into_iter().map(|card| card.name).collect();
    assert_eq!(left, if root { vec!["good"] } else { vec!["foreign", "good"] });
}

#[test]
fn a_link_in_the_place_of_a_draft_is_not_written_through() {
    let root = tempfile::tempdir().unwrap();
    let dir = BusDir::at(root.path().join("bus"));
    dir.create().unwrap();
    let (precious, card) = (root.path().join("precious"), card("text"));
    fs::write(&precious, "kept").unwrap();
    symlink(&precious, dir.file(&card.name, &card.instance, "new")).unwrap();
    assert!(dir.publish(&card).is_err());
    assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
    // It is out of the way now.
    dir.publish(&card).unwrap();
}

#[test]
fn a_card_that_nobody_would_read_is_not_written() {
    let root = tempfile::tempdir().unwrap();
    let dir = BusDir::at(root.path().join("bus"));
    dir.create().unwrap();
    let wordy = Card { version: "x".repeat(1 << 20), ..card("text") };
    let error = dir.publish(&wordy).unwrap_err().to_string();
    assert!(error.contains("it may have 1048576"), "{error}");
    assert_eq!(dir.cards().unwrap(), []);
}

#[test]
fn more_cards_than_anybody_has_are_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let dir = BusDir::at(root.path().join("bus"));
    dir.create().unwrap();
    for number in 0..MAX_CARDS + 5 {
        let card = Card { instance: format!("i{number}"), ..card("many") };
        fs::write(dir.file("many", &card.instance, "json"), serde_json::to_vec(&card).unwrap()).unwrap();
    }
    assert_eq!(dir.cards().unwrap().len(), MAX_CARDS);
}
