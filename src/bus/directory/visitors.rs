//! Users other than its owner in a bus directory: how far the kernel lets them in.
//!
//! Everybody is kept out by modes; whoever is let in is named in access control lists, so that it holds for plugins in any
//! language.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Uid};

use super::acl::{Grants, List};
use super::grants::{self, READ, SEARCH, WRITE};
use super::{BusDir, BusError, Card, Endpoint};

/// Users who are let into a bus directory, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Visitors {
    /// They find the plugins, and call those that are open to them.
    pub(crate) callers: BTreeSet<u32>,
    /// Plugins run as these: they get to the survey, and see nothing.
    pub(crate) residents: BTreeSet<u32>,
}

impl BusDir {
    /// Lets these users in as far as they need it, and no others.
    ///
    /// # Errors
    /// Where the file system keeps no access control lists, or a directory above keeps them out.
    pub(crate) fn open_to(&self, visitors: &Visitors) -> Result<(), BusError> {
        let Visitors { callers, residents } = visitors;
        let mut grants = each(residents, SEARCH);
        grants.extend(each(callers, READ | SEARCH));
        set(&self.path, &grants)?;
        set(&self.path.join("survey.ipc"), &each(residents, READ | WRITE))?;
        if grants.is_empty() { Ok(()) } else { let_pass(&self.path, grants.into_keys().collect()) }
    }

    /// Where an instance listens that runs as another user, which cannot make a socket in the bus directory itself.
    ///
    /// # Errors
    /// [`BusError::PathTooLong`] where the socket path does not fit.
    pub(crate) fn room_endpoint(&self, name: &str, instance: &str) -> Result<Endpoint, BusError> {
        Endpoint::ipc(&self.in_room(name, instance))
    }

    /// Where an instance listens that is there, in a room or not.
    ///
    /// # Errors
    /// [`BusError::PathTooLong`] where the socket path does not fit.
    pub(crate) fn endpoint_of(&self, name: &str, instance: &str) -> Result<Endpoint, BusError> {
        match self.room_endpoint(name, instance) {
            Ok(endpoint) if fs::symlink_metadata(endpoint.path()).is_ok() => Ok(endpoint),
            _ => self.endpoint(name, instance),
        }
    }

    /// Makes the directory in which the instances of a plugin listen that runs as that user.
    ///
    /// # Errors
    /// [`BusError::Io`] where that fails: only root gives directories away.
    pub(crate) fn make_room(
        &self,
        name: &str,
        user: u32,
        group: u32,
        callers: &BTreeSet<u32>,
    ) -> Result<(), BusError> {
        let room = self.room(name);
        match DirBuilder::new().mode(0o700).create(&room) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(BusError::io("create", room, error));
            }
            _ => {}
        }
        let (uid, gid) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        rustix::fs::chownat(CWD, &room, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| BusError::io("give away", &room, error.into()))?;
        set(&room, &each(callers, SEARCH))
    }

    /// Lets these users connect to an instance's socket.
    ///
    /// # Errors
    /// [`BusError::Io`] where there is none, or the file system keeps no access control lists.
    pub(crate) fn open_socket(&self, name: &str, instance: &str, callers: &BTreeSet<u32>) -> Result<(), BusError> {
        set(self.endpoint_of(name, instance)?.path(), &each(callers, READ | WRITE))
    }

    /// Publishes a card as [`publish`](Self::publish) does, and these users can read it.
    ///
    /// # Errors
    /// As for `publish`.
    pub(crate) fn publish_for(&self, card: &Card, readers: &BTreeSet<u32>) -> Result<(), BusError> {
        // Where nobody is named, the file system need not keep any lists.
        self.write_card(card, |draft| grants::set(draft, &each(readers, READ)))
    }

    /// Removes the room of a plugin that is gone; one in which something still lies stays.
    pub(crate) fn remove_room(&self, name: &str) {
        let _ = fs::remove_dir(self.room(name));
    }

    /// All rooms.
    pub(crate) fn rooms(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().filter_map(Result::ok);
        let rooms = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        rooms.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "d")).collect()
    }
}

fn each(users: &BTreeSet<u32>, may: u16) -> Grants {
    users.iter().map(|user| (*user, may)).collect()
}

fn set(path: &Path, grants: &Grants) -> Result<(), BusError> {
    grants::set(path, grants).map_err(|error| BusError::io("let other users in at", path, error))
}

/// Has users get to a directory: through the one above it, which is plugbus's own, and whatever is above that.
fn let_pass(path: &Path, users: BTreeSet<u32>) -> Result<(), BusError> {
    let own = rustix::process::geteuid().as_raw();
    for (height, above) in path.ancestors().skip(1).enumerate() {
        let looked = |error| BusError::io("look at", above, error);
        let list = List::of(above).map_err(looked)?;
        let found = fs::metadata(above).map_err(looked)?;
        if list.lets_everybody(SEARCH) {
            continue;
        }
        if height > 0 || found.uid() != own {
            let problem = format!("has mode {:04o}, other users cannot get to the bus", found.mode() & 0o7777);
            let advice = "choose another $PLUGBUS_DIR".into();
            return Err(BusError::Insecure { path: above.into(), problem, advice });
        }
        // Those of other buses in it stay.
        grants::add(above, &each(&users, SEARCH))
            .map_err(|error| BusError::io("let other users in at", above, error))?;
    }
    Ok(())
}
