//! Tests with real processes and sockets, one module a behaviour. `support` starts things and waits for them.

#![expect(clippy::unwrap_used, reason = "a test may panic, in what it calls too")]

mod cli;
mod demo;
mod garbage;
mod interop;
mod supervise;
mod support;
