//! What runs is what was checked: digests, signatures, pins, and who else could have changed a file.
//!
//! Knows files; nothing of processes, of a configuration's text, or of the terminal. A [`Subject`] is what is about to
//! be started; the [`Warden`] looks at its files, each opened once (`evidence`), and admits or refuses it by its
//! [`Trust`]: by `plugbus.lock` (`lock`) or by signatures in the format of minisign (`signature`). What it admits, it
//! hands over open, so that the very file that was looked at can be executed. `docs/security.md` says what that is
//! worth; `docs/decisions/0018` why it is done so.

mod change;
mod checked;
mod digest;
mod evidence;
mod level;
mod lock;
mod owner;
#[cfg(feature = "sign")]
mod secret;
mod signature;
mod stamp;
mod subject;
#[cfg(test)]
mod tests;
mod verdict;
mod warden;

pub use change::Change;
pub use checked::CheckedFile;
pub use digest::Digest;
pub use level::{Trust, TrustSpec};
pub use lock::{LockError, LockFile, Pin};
pub use owner::Flaw;
#[cfg(feature = "sign")]
pub use secret::{KeyPair, SecretKey};
pub use signature::{KeyError, PublicKey, Signature, SignatureFlaw, signature_path};
pub use subject::Subject;
pub use verdict::{Admission, NotAdmitted, Review};
pub use warden::Warden;
