//! Secret keys, and signing with them, so that minisign can check what was signed here and the other way round.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ct_codecs::{Base64, Decoder};

use super::{KeyError, PublicKey, signature_path, stamp};
use crate::bus::{read_start, write_whole};

/// A key larger than this is none.
const MAX_KEY: u64 = 4096;

/// How a secret key begins, in the file's second line: Ed25519, then how it is encrypted, then its checksum's kind.
const WITH_PASSWORD: &str = "RWRTY0Iy";
const WITHOUT_PASSWORD: &str = "RWQAAEIy";

/// A key that signs.
pub struct SecretKey {
    key: minisign::SecretKey,
}

/// A new key, and the public one that goes with it.
#[derive(Debug)]
pub struct KeyPair {
    /// For whoever signs.
    pub secret: SecretKey,
    /// For everybody.
    pub public: PublicKey,
    /// The files of both, as minisign has them.
    secret_text: String,
    public_text: String,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey")
    }
}

impl KeyPair {
    /// Makes a key; with a password, its file is of use to nobody without it.
    ///
    /// # Errors
    /// In words, where the system has no randomness or memory to give.
    pub fn generate(password: Option<&str>) -> Result<Self, String> {
        let words = |error: minisign::PError| error.to_string();
        let pair = match password {
            Some(password) => minisign::KeyPair::generate_encrypted_keypair(Some(password.to_owned())),
            None => minisign::KeyPair::generate_unencrypted_keypair(),
        };
        let pair = pair.map_err(words)?;
        let secret_text = pair.sk.to_box(Some("plugbus secret key")).map_err(words)?.into_string();
        let public_text = pair.pk.to_box().map_err(words)?.into_string();
        let public = pair.pk.to_base64().parse().map_err(|error: KeyError| error.to_string())?;
        Ok(Self { secret: SecretKey { key: pair.sk }, public, secret_text, public_text })
    }

    /// Writes both files; neither may exist, and the secret one is its owner's alone.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, secret: &Path, public: &Path) -> io::Result<()> {
        let create = |path: &Path, mode| OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        let mut file = create(secret, 0o600)?;
        file.write_all(self.secret_text.as_bytes())?;
        let written = create(public, 0o644).and_then(|mut file| file.write_all(self.public_text.as_bytes()));
        // A secret key without its public one would be in the way of the next try.
        written.inspect_err(|_| drop(fs::remove_file(secret)))
    }
}

impl SecretKey {
    /// Whether the key in a file can be used only with a password.
    ///
    /// # Errors
    /// In words, where it is no secret key.
    pub fn has_password(path: &Path) -> Result<bool, String> {
        let text = read_text(path)?;
        match text.lines().nth(1) {
            Some(line) if line.starts_with(WITH_PASSWORD) => Ok(true),
            Some(line) if line.starts_with(WITHOUT_PASSWORD) => Ok(false),
            _ => Err(format!("{} is no secret key of minisign", path.display())),
        }
    }

    /// Reads a key as minisign and `plugbus keygen` write it.
    ///
    /// # Errors
    /// In words, where it is no secret key, or the password is not the right one.
    pub fn read(path: &Path, password: Option<&str>) -> Result<Self, String> {
        let has_password = Self::has_password(path)?;
        let text = read_text(path)?;
        let boxed = minisign::SecretKeyBox::from(text.clone());
        let key = match (has_password, password) {
            (true, None) => return Err(format!("{} needs its password", path.display())),
            (true, Some(password)) => boxed.into_secret_key(Some(password.to_owned())),
            // That of Debian's minisign has no checksum; what is wrong with it is found when it signs.
            (false, _) => decode(&text).and_then(|bytes| minisign::SecretKey::from_bytes(&bytes)),
        };
        let key = key.map_err(|error| format!("{} cannot be used: {error}", path.display()))?;
        Ok(Self { key })
    }

    /// Signs a file under its own name, beside it; answers nothing but that.
    ///
    /// # Errors
    /// In words.
    pub fn sign(&self, file: &Path) -> Result<(), String> {
        let words = |problem: String| format!("{}: {problem}", file.display());
        let name = file.file_name().and_then(|name| name.to_str()).filter(|name| !name.contains(char::is_control));
        let name = name.ok_or_else(|| words("has a name that no signature can hold".into()))?;
        let opened = File::open(file).map_err(|error| words(error.to_string()))?;
        if !opened.metadata().is_ok_and(|found| found.is_file()) {
            return Err(words("is not a file".into()));
        }
        let now = stamp::seconds();
        let comment = format!("timestamp:{now}\tfile:{name}\thashed");
        let public = minisign::PublicKey::from_secret_key(&self.key).map_err(|error| words(error.to_string()))?;
        let signed = minisign::sign(Some(&public), &self.key, opened, Some(&comment), Some("signature of plugbus"));
        let text = signed.map_err(|error| words(error.to_string()))?.into_string();
        let path = signature_path(file);
        write_whole(&path, text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
        // Whoever may run the program has to be able to read its signature.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(&path, mode).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn decode(text: &str) -> Result<Vec<u8>, minisign::PError> {
    let line = text.lines().nth(1).unwrap_or_default();
    Base64::decode_to_vec(line, None).map_err(Into::into)
}

fn read_text(path: &Path) -> Result<String, String> {
    let text = read_start(path, MAX_KEY).map_err(|error| format!("{}: {error}", path.display()))?;
    String::from_utf8(text).map_err(|_| format!("{} is no secret key of minisign", path.display()))
}
