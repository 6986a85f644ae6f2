//! A plugin bus and supervisor without a broker.
//!
//! Plugins are separate processes in any language. Each listens on an NNG REP endpoint of its own, callers
//! connect straight to it and send MessagePack; a supervisor launches plugins, asks all of them at once
//! whether they are alive and getting anywhere, and restarts those that are not.
//!
//! A layer is a folder is a cargo feature: write a plugin with [`plugin`], call one with [`host`], run them
//! with [`supervisor`] and [`config`]. `docs/architecture.md` is the map, `docs/protocol.md` the wire.

pub mod bus;
#[cfg(feature = "trust")]
pub mod trust;
pub mod wire;

#[cfg(feature = "config")]
pub mod config;
/// What is fuzzed, for `fuzz/` and nobody else.
#[cfg(all(target_os = "linux", any(feature = "fuzzing", all(test, feature = "config"))))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "macros")]
pub mod interface;
#[cfg(feature = "plugin")]
pub mod plugin;
#[cfg(feature = "supervisor")]
pub mod supervisor;

#[cfg(feature = "macros")]
pub use interface::interface;

/// What the code that [`macro@interface`] writes needs, and nobody else.
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod __private {
    pub use serde;
}

/// Compiles what the README shows.
#[cfg(all(doctest, feature = "host", feature = "plugin"))]
#[doc = include_str!("../README.md")]
struct Readme;
