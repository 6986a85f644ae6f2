//! The fence around NNG's asynchronous operations.
//!
//! Dropping the last handle of an `nng::Aio` while its callback runs makes that NNG thread wait for itself, and
//! a handful of those hang the whole process. Closing a socket in a callback does the same. So nothing of NNG's
//! is dropped where its owner is dropped: a thread of its own buries it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use nng::AioResult;

type Burial = Box<dyn FnOnce() + Send>;

/// Runs a drop that may block or wait for a callback, away from any callback.
pub(super) fn bury(burial: Burial) {
    static UNDERTAKER: OnceLock<Option<Sender<Burial>>> = OnceLock::new();
    let undertaker = UNDERTAKER.get_or_init(|| {
        let (sender, receiver) = channel::<Burial>();
        let body = move || receiver.iter().for_each(|burial| burial());
        thread::Builder::new().name("plugbus-drop".into()).spawn(body).is_ok().then_some(sender)
    });
    let Some(undertaker) = undertaker else {
        // No thread can be had: leaking a few hundred bytes is better than a hang.
        std::mem::forget(burial);
        return;
    };
    if let Err(unburied) = undertaker.send(burial) {
        std::mem::forget(unburied);
    }
}

/// An asynchronous operation that may be dropped anywhere, even in its own callback.
///
/// Its owner ends what is posted first, by closing the context or the socket. A send is never cancelled: where
/// the cancellation comes between its end and its callback, NNG reports a failed send without its message, and
/// the `nng` crate aborts the process over that.
#[derive(Debug)]
pub(super) struct Aio(Option<nng::Aio>);

impl Aio {
    /// The callback runs on an NNG thread: it may store, wake and post the next operation, nothing else.
    pub(super) fn new<F>(callback: F) -> Result<Self, nng::Error>
    where
        F: Fn(&nng::Aio, AioResult) + Send + Sync + 'static,
    {
        let guarded = move |aio: nng::Aio, result| {
            // A panic that reaches NNG aborts the process.
            if catch_unwind(AssertUnwindSafe(|| callback(&aio, result))).is_err() {
                tracing::error!("a callback panicked");
            }
        };
        nng::Aio::new(guarded).map(|aio| Self(Some(aio)))
    }

    pub(super) fn get(&self) -> &nng::Aio {
        self.0.as_ref().unwrap_or_else(|| unreachable!("taken in drop alone"))
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        if let Some(aio) = self.0.take() {
            bury(Box::new(move || {
                // Until its callback has returned; only then is this the last handle.
                aio.wait();
                drop(aio);
            }));
        }
    }
}

/// A socket or a context that may be dropped anywhere, even in a callback.
#[derive(Debug)]
pub(super) struct Fenced<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Fenced<T> {
    pub(super) fn new(inner: T) -> Self {
        Self(Some(inner))
    }
}

impl<T: Send + 'static> std::ops::Deref for Fenced<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().unwrap_or_else(|| unreachable!("taken in drop alone"))
    }
}

impl<T: Send + 'static> Drop for Fenced<T> {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            bury(Box::new(move || drop(inner)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    use super::*;

    /// Unfenced, the second of these already hangs one of NNG's two task threads, and soon all of NNG.
    #[test]
    fn an_aio_may_be_dropped_in_its_own_callback() {
        super::super::library::init().unwrap();
        for _ in 0..50 {
            let slot: Arc<Mutex<Option<Aio>>> = Arc::default();
            let (done, wait) = mpsc::channel();
            let of_callback = Arc::clone(&slot);
            let aio = Aio::new(move |_, _| {
                drop(of_callback.lock().unwrap().take());
                done.send(()).unwrap();
            });
            let mut held = slot.lock().unwrap();
            let aio = held.insert(aio.unwrap());
            aio.get().sleep(Duration::from_millis(1)).unwrap();
            drop(held);
            wait.recv_timeout(Duration::from_secs(10)).expect("NNG still calls back");
        }
    }
}
