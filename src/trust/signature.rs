//! Signatures in the format of minisign: Ed25519 over the file's BLAKE2b, with a comment that is signed as well.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::bus::read_start;

/// A signature larger than this is none.
const MAX_SIGNATURE: u64 = 16 * 1024;

/// A key larger than this is none.
const MAX_KEY: u64 = 4096;

/// How many characters a public key has, and a secret one.
const KEY_LENGTH: usize = 56;
const SECRET_LENGTH: usize = 212;

/// A key whose signatures can be checked.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: minisign_verify::PublicKey,
    text: String,
}

/// Why something is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is something else.
    #[error("is no public key of minisign: one begins with RW and has 56 characters")]
    NotAKey,
    /// It is what nobody should be given.
    #[error("is a secret key: name the public one, and keep this one to yourself")]
    Secret,
    /// A file with it cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

impl PublicKey {
    /// Reads a key from a file as minisign and `plugbus keygen` write it.
    ///
    /// # Errors
    /// [`KeyError`], without the file's name.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = read_start(path, MAX_KEY).map_err(|error| KeyError::Unreadable(error.to_string()))?;
        let text = String::from_utf8(text).map_err(|_| KeyError::NotAKey)?;
        text.lines().find(|line| !line.trim().is_empty() && !line.contains(':')).ok_or(KeyError::NotAKey)?.parse()
    }

    /// The key as it is configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.starts_with("RW") && text.len() == SECRET_LENGTH {
            return Err(KeyError::Secret);
        }
        if text.len() != KEY_LENGTH {
            return Err(KeyError::NotAKey);
        }
        let key = minisign_verify::PublicKey::from_base64(text).map_err(|_| KeyError::NotAKey)?;
        Ok(Self { key, text: text.to_owned() })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where the signature of a file lies, as minisign has it: beside it.
#[must_use]
pub fn signature_path(file: &Path) -> PathBuf {
    let mut name = file.file_name().map(OsString::from).unwrap_or_default();
    name.push(".minisig");
    file.with_file_name(name)
}

/// A signature, not yet checked.
#[derive(Clone)]
pub struct Signature {
    signature: minisign_verify::Signature,
}

/// Why a file counts as not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFlaw {
    /// There is none.
    #[error("has no signature: {} is not there", .0.display())]
    Missing(PathBuf),
    /// There is something else in its place.
    #[error("has no signature: {} {problem}", .path.display())]
    Unusable {
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with what is there.
        problem: String,
    },
    /// It was made with a key that does not count.
    #[error("is signed with a key that is not trusted here")]
    UnknownKey,
    /// It is not the signature of these bytes.
    #[error("is not what was signed: it was changed, or this is the signature of another file")]
    Wrong,
    /// It is a signature of these bytes, under another name.
    #[error("was signed under the name {0:?}: another program in its place is not what was meant")]
    OtherName(String),
}

impl Signature {
    /// Reads the signature that lies beside a file.
    ///
    /// # Errors
    /// [`SignatureFlaw::Missing`] and [`SignatureFlaw::Unusable`].
    pub fn beside(file: &Path) -> Result<Self, SignatureFlaw> {
        let path = signature_path(file);
        let unusable = |path, problem: &str| SignatureFlaw::Unusable { path, problem: problem.to_owned() };
        if !fs::metadata(&path).is_ok_and(|found| found.is_file()) {
            return Err(SignatureFlaw::Missing(path));
        }
        match read_start(&path, MAX_SIGNATURE) {
            Err(error) => Err(unusable(path, &error.to_string())),
            Ok(text) => Self::parse(&text).ok_or_else(|| unusable(path, "is no signature of minisign")),
        }
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let signature = minisign_verify::Signature::decode(std::str::from_utf8(text).ok()?).ok()?;
        Some(Self { signature })
    }

    /// What whoever signed said about it; to be believed once the signature was checked.
    #[must_use]
    pub fn comment(&self) -> &str {
        self.signature.trusted_comment()
    }

    /// The name under which the file was signed, where the comment says so as minisign's does.
    fn name(&self) -> Option<&str> {
        self.comment().split('\t').find_map(|field| field.strip_prefix("file:"))
    }

    /// Begins to check the bytes of a file of that name.
    ///
    /// # Errors
    /// [`SignatureFlaw::UnknownKey`] where none of the keys made it.
    pub(super) fn checker<'a>(&'a self, keys: &'a [PublicKey]) -> Result<Checker<'a>, SignatureFlaw> {
        let made = keys.iter().filter_map(|key| key.key.verify_stream(&self.signature).ok()).collect::<Vec<_>>();
        match made.as_slice() {
            // One of the old kind, without a hash, is of a key as well, but cannot be checked piece by piece.
            [] => Err(SignatureFlaw::UnknownKey),
            _ => Ok(Checker { signature: self, made }),
        }
    }

    /// Checks whole bytes of a file of that name.
    ///
    /// # Errors
    /// [`SignatureFlaw`] says why it does not count.
    pub fn check(&self, bytes: &[u8], name: &str, keys: &[PublicKey]) -> Result<(), SignatureFlaw> {
        let mut checker = self.checker(keys)?;
        checker.add(bytes);
        checker.finish(name)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature").field("comment", &self.comment()).finish()
    }
}

/// A signature that is being checked, piece by piece; two keys may have the same number.
pub(super) struct Checker<'a> {
    signature: &'a Signature,
    made: Vec<minisign_verify::StreamVerifier<'a>>,
}

impl Checker<'_> {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.made.iter_mut().for_each(|made| made.update(bytes));
    }

    pub(super) fn finish(mut self, name: &str) -> Result<(), SignatureFlaw> {
        if !self.made.iter_mut().any(|made| made.finalize().is_ok()) {
            return Err(SignatureFlaw::Wrong);
        }
        match self.signature.name() {
            Some(signed) if signed != name => Err(SignatureFlaw::OtherName(signed.to_owned())),
            _ => Ok(()),
        }
    }
}
