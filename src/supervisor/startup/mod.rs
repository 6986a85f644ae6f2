//! What happens before the first plugin is started: what a supervisor that is gone has left is found.
//!
//! Only what this bus's supervisors started is ever touched, and [`records`] say what that is: plugins that people
//! started by hand have cards and no record, and are left alone. Whoever has a unit is taken back ([`claims`]); the
//! rest is ended ([`leftovers`]).

mod claims;
mod copies;
mod inheritance;
mod leftovers;
mod records;

pub(super) use claims::settle;
pub(super) use copies::Copies;
pub(super) use inheritance::{Inherited, find_inheritance};
pub(super) use leftovers::{GRACE, end_leftover, remove_stale_files};
pub(super) use records::InstanceRecord;
