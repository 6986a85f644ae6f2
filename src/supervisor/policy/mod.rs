//! The decisions of a supervisor, as pure functions.
//!
//! Each takes what happened and what time it is as arguments and answers what should be done; none of them reads
//! a clock, rolls dice or touches a process. [`restart`] says whether, [`backoff`] when, [`intensity`] how often,
//! [`health`] why, [`dependency`] who waits for whom; [`plan`] says what a reload
//! changes.

pub(super) mod backoff;
pub(super) mod dependency;
pub(super) mod health;
pub(super) mod intensity;
pub(super) mod plan;
pub(super) mod restart;
