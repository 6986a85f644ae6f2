//! Access control lists: what single users may do with a file beside its owner. In the form that the kernel keeps them
//! in (`acl(5)`, `linux/posix_acl_xattr.h`), since the usual library is a C one that few machines have.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;

/// What may be done with a file; the bits of a mode.
pub(super) const WRITE: u16 = 2;

/// What each of some users may do.
pub(super) type Grants = BTreeMap<u32, u16>;

pub(super) const NAME: &CStr = c"system.posix_acl_access";
pub(super) const VERSION: u32 = 2;

/// Whom an entry is about.
pub(super) mod tag {
    pub(in crate::bus::directory) const OWNER: u16 = 1;
    pub(in crate::bus::directory) const USER: u16 = 2;
    pub(in crate::bus::directory) const OWN_GROUP: u16 = 4;
    pub(in crate::bus::directory) const GROUP: u16 = 8;
    pub(in crate::bus::directory) const MASK: u16 = 16;
    pub(in crate::bus::directory) const OTHERS: u16 = 32;
}

/// All that anybody may do with a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct List {
    pub(super) owner: u16,
    pub(super) users: Grants,
    pub(super) own_group: u16,
    pub(super) groups: Grants,
    pub(super) others: u16,
    /// The most that users and groups that are named, and the owner's group, may do; `None` where nobody is named.
    pub(super) mask: Option<u16>,
}

impl List {
    /// Of a file; where it has no list, what its mode says.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut bytes = [0; 4096];
        match rustix::fs::getxattr(path, NAME, &mut bytes) {
            Ok(length) => Self::from_bytes(&bytes[..length]).ok_or_else(|| io::ErrorKind::InvalidData.into()),
            Err(Errno::NODATA | Errno::NOTSUP) => {
                let mode = std::fs::metadata(path)?.mode();
                let bits = |shift: u32| u16::try_from(mode >> shift & 7).unwrap_or_default();
                Ok(Self { owner: bits(6), own_group: bits(3), others: bits(0), ..Self::default() })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, entries) = bytes.split_first_chunk()?;
        let mut list = Self::default();
        for entry in entries.chunks(8) {
            let [t0, t1, p0, p1, id @ ..] = *<&[u8; 8]>::try_from(entry).ok()?;
            let (may, id) = (u16::from_le_bytes([p0, p1]), u32::from_le_bytes(id));
            match u16::from_le_bytes([t0, t1]) {
                tag::OWNER => list.owner = may,
                tag::USER => drop(list.users.insert(id, may)),
                tag::OWN_GROUP => list.own_group = may,
                tag::GROUP => drop(list.groups.insert(id, may)),
                tag::MASK => list.mask = Some(may),
                tag::OTHERS => list.others = may,
                _ => return None,
            }
        }
        (u32::from_le_bytes(*version) == VERSION).then_some(list)
    }

    /// What users and groups that are named really may, and the owner's group.
    pub(super) fn held(&self, may: u16) -> u16 {
        may & self.mask.unwrap_or(u16::MAX)
    }

    /// Whether nobody but its owner can change it, and nobody see it but users who are named.
    pub(super) fn is_closed(&self) -> bool {
        let groups = self.groups.values().chain([&self.own_group]).all(|may| self.held(*may) == 0);
        groups && self.others == 0 && self.users.values().all(|may| self.held(*may) & WRITE == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_could_change_it_or_is_not_named_is_not_closed_out() {
        let closed = List { owner: 7, ..List::default() };
        let with = |change: fn(&mut List)| {
            let mut list = closed.clone();
            change(&mut list);
            list.is_closed()
        };
        assert!(closed.is_closed());
        assert!(with(|list| _ = list.users.insert(1, 5)));
        assert!(!with(|list| _ = list.users.insert(1, WRITE)));
        assert!(!with(|list| _ = list.groups.insert(1, 1)));
        assert!(!with(|list| list.own_group = 4));
        assert!(!with(|list| list.others = 1));
        assert!(with(|list| {
            list.own_group = 4;
            list.mask = Some(0);
        }));
    }
}
