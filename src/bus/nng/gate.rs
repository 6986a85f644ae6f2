//! Keeps operations on a socket's contexts apart from its closing.
//!
//! NNG 1.12.4 has a race in `nni_ctx_rele`: where a context is used while its socket is closed, the user is the one
//! to take it apart, and does so after the closing thread was told that it may go on and free the socket. Then a lock
//! is taken that is no more, and NNG aborts the process.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, TryLockError};

#[derive(Debug, Default)]
pub(super) struct Gate(RwLock<()>);

impl Gate {
    /// Keeps the socket open for as long as the guard lives, a moment; `None` where it is about to be closed.
    pub(super) fn pass(&self) -> Option<RwLockReadGuard<'_, ()>> {
        match self.0.try_read() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Closes the socket while nobody is within.
    pub(super) fn close(&self, close: impl FnOnce()) {
        let _closed = self.0.write().unwrap_or_else(PoisonError::into_inner);
        close();
    }
}
