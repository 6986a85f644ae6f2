//! One function for each kind of input that comes from outside: any bytes in, no panic, and what was read can be read again.
//!
//! `fuzz/` calls them with what a fuzzer makes up, the tests here with what was once found and with the golden messages.

use crate::bus::{Card, take_apart};
use crate::trust::{LockFile, PublicKey, Signature};
use crate::wire::{Answer, Batch, Close, Next, Progress, Put, Question, Raw, Reply, Request, Shown, Taken};

/// The bytes of a connection: where they are split makes no difference.
pub fn frames(bytes: &[u8]) {
    let at = bytes.first().map_or(0, |first| usize::from(*first)).min(bytes.len());
    let whole = take_apart(&[bytes]);
    let (before, after) = bytes.split_at(at);
    assert!(whole == take_apart(&[before, after]), "it makes a difference that it is split at {at}");
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert!(whole == take_apart(&single), "it makes a difference that bytes come one by one");
}

/// Requests and replies, and how the wire trace shows them.
pub fn messages(bytes: &[u8]) {
    let _ = Shown(bytes).to_string();
    if let Ok(request) = Request::decode(bytes) {
        let again = request.head.encode_raw(request.params);
        let again = Request::decode(&again).map(|again| again.params.bytes().to_vec());
        assert_eq!(again.as_deref(), Ok(request.params.bytes()));
    }
    if let Ok(Reply::Error(fault)) = Reply::decode(bytes) {
        let again = Reply::encode_error(&fault);
        assert!(matches!(Reply::decode(&again), Ok(Reply::Error(again)) if again.code == fault.code), "{fault}");
    }
}

/// Questions of a survey, and their answers.
pub fn survey(bytes: &[u8]) {
    if let Ok(question) = Question::decode(bytes) {
        assert_eq!(Question::decode(&question.encode()).map(|again| again.round), Ok(question.round));
    }
    if let Ok(answer) = Answer::decode(bytes) {
        // One with schemas that cannot be written has nobody who wrote it.
        let Ok(again) = answer.encode() else { return };
        assert_eq!(Answer::decode(&again), Ok(answer));
    }
}

/// What the parameters and the results of streams hold.
pub fn streams(bytes: &[u8]) {
    let Ok(raw) = Raw::new(bytes) else { return };
    let _ =
        (Next::read(raw).is_ok(), Close::read(raw).is_ok(), raw.to::<Taken>().is_ok(), raw.to::<Progress>().is_ok());
    if let Ok(put) = Put::read(raw) {
        let again = put.encode();
        assert!(Raw::new(&again).is_ok_and(|again| Put::read(again).is_ok()));
    }
    if let Ok(batch) = Batch::read(raw) {
        let again = batch.encode_reply();
        assert!(Reply::decode(&again).is_ok());
    }
}

/// Cards of a bus directory.
pub fn cards(bytes: &[u8]) {
    if let Ok(card) = serde_json::from_slice::<Card>(bytes) {
        let again = serde_json::to_vec(&card).unwrap_or_default();
        assert_eq!(serde_json::from_slice::<Card>(&again).ok(), Some(card));
    }
}

/// Files of configuration.
pub fn configuration(bytes: &[u8]) {
    crate::config::take_any(&String::from_utf8_lossy(bytes));
}

/// `plugbus.lock`: what is understood is written so that it is understood in the same way.
pub fn lock_file(bytes: &[u8]) {
    let base = std::path::Path::new("/base");
    let Ok(lock) = LockFile::parse(&String::from_utf8_lossy(bytes), base) else { return };
    let again = LockFile::parse(&lock.render(base), base);
    assert_eq!(again, Ok(lock));
}

/// Signatures and public keys.
pub fn signatures(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(
            key.as_str().parse::<PublicKey>().map(|again| again.as_str().to_owned()).ok().as_deref(),
            Some(key.as_str())
        );
    }
    if let Some(signature) = Signature::parse(bytes) {
        // Made by no key that anybody trusts.
        assert!(signature.check(bytes, "program", &[]).is_err());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    const ROOT: &str = env!("CARGO_MANIFEST_DIR");
    type Target = fn(&[u8]);
    const TARGETS: [(&str, Target); 8] = [
        ("frames", frames),
        ("messages", messages),
        ("survey", survey),
        ("streams", streams),
        ("cards", cards),
        ("configuration", configuration),
        ("lock_file", lock_file),
        ("signatures", signatures),
    ];

    fn files(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }

    fn golden() -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        files(&Path::new(ROOT).join("tests/golden"), &mut found);
        let texts = found.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "hex"));
        let unhex = |path: PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            let digits: String =
                text.lines().flat_map(|line| line.split('#').next()).flat_map(str::split_whitespace).collect();
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
        };
        texts.map(unhex).collect()
    }

    #[test]
    fn what_was_once_found_is_not_found_again() {
        for (name, target) in TARGETS {
            let mut found = Vec::new();
            files(&Path::new(ROOT).join("fuzz/regressions").join(name), &mut found);
            assert!(!found.is_empty(), "{name} has no regressions");
            found.into_iter().for_each(|path| target(&fs::read(path).unwrap()));
        }
    }

    #[test]
    fn golden_messages_cut_off_and_changed_are_read_or_refused() {
        let golden = golden();
        assert!(golden.len() > 50, "only {} messages", golden.len());
        let quick = TARGETS.iter().filter(|(name, _)| *name != "configuration");
        for (_, target) in quick {
            for bytes in &golden {
                (0..=bytes.len()).step_by(3).for_each(|end| target(&bytes[..end]));
                for at in 0..bytes.len() {
                    for wrong in [0x00, 0x7f, 0x80, 0xc1, 0xff] {
                        let mut changed = bytes.clone();
                        changed[at] ^= wrong;
                        target(&changed);
                    }
                }
            }
        }
    }

    #[test]
    fn every_target_is_one_of_the_fuzzer_too() {
        for (name, _) in TARGETS {
            let text = fs::read_to_string(format!("{ROOT}/fuzz/fuzz_targets/{name}.rs")).unwrap();
            assert!(text.contains(&format!("plugbus::fuzzing::{name}(")), "{name}");
        }
    }
}
