//! Whether NNG still closes what has ended.
//!
//! One thread of NNG lets all connections and sockets of the process go, one after the other. Where it waits for one of
//! them for ever (decision 0002), none goes any more: descriptors pile up, and closing a socket does not return.

use std::io;
use std::thread::{self, JoinHandle};

use nng::{Protocol, Socket};

use super::library;

/// Two sockets inside this process that are connected, and closed to see whether that ends.
#[derive(Debug)]
pub struct Closing(JoinHandle<Result<(), nng::Error>>);

impl Closing {
    /// Begins to close them, on a thread of its own.
    ///
    /// # Errors
    /// Where the system has no room for a thread.
    pub fn begin() -> io::Result<Self> {
        thread::Builder::new().name("plugbus-closing".into()).spawn(connect_and_close).map(Self)
    }

    /// Whether they are closed; takes well under a millisecond where NNG does its work.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

/// An error says that there is no room for sockets, which is not what is looked for.
fn connect_and_close() -> Result<(), nng::Error> {
    if library::init().is_err() {
        return Ok(());
    }
    let (listening, dialing) = (Socket::new(Protocol::Pair0)?, Socket::new(Protocol::Pair0)?);
    let address = format!("inproc://plugbus-closing-{:?}", thread::current().id());
    listening.listen(&address)?;
    dialing.dial(&address)?;
    dialing.close();
    listening.close();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use nng::PipeEvent;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn is_over_within(time: Duration, closing: &Closing) -> bool {
        let deadline = Instant::now() + time;
        while !closing.is_over() && Instant::now() < deadline {
            thread::yield_now();
        }
        closing.is_over()
    }

    #[test]
    fn it_ends_unless_something_else_cannot_be_let_go() {
        library::init().unwrap();
        assert!(is_over_within(LONG, &Closing::begin().unwrap()));

        // The last word about a connection is said by the thread that lets all of them go.
        let (reached, at_it) = mpsc::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let (listening, dialing) = (Socket::new(Protocol::Pair0).unwrap(), Socket::new(Protocol::Pair0).unwrap());
        let notified = listening.pipe_notify(move |_, event| {
            if event == PipeEvent::RemovePost {
                reached.send(()).unwrap();
                let _ = wait.lock().unwrap().recv();
            }
        });
        notified.unwrap();
        listening.listen("inproc://plugbus-stuck").unwrap();
        dialing.dial("inproc://plugbus-stuck").unwrap();
        let end = thread::spawn(move || dialing.close());
        at_it.recv_timeout(LONG).unwrap();
        let closing = Closing::begin().unwrap();
        assert!(!is_over_within(Duration::from_millis(500), &closing));
        go_on.send(()).unwrap();
        assert!(is_over_within(LONG, &closing));
        end.join().unwrap();
    }
}
