//! Access control lists that are changed.

use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

pub(super) use super::acl::WRITE;
use super::acl::{Grants, List, NAME, VERSION, tag};

/// What may be done with a file; the bits of a mode.
pub(super) const READ: u16 = 4;
pub(super) const SEARCH: u16 = 1;

/// The number in an entry that is about nobody in particular.
const NOBODY: u32 = u32::MAX;

impl List {
    fn to_bytes(&self) -> Vec<u8> {
        let named = |tag: u16, grants: &Grants| grants.iter().map(|(id, may)| (tag, *may, *id)).collect::<Vec<_>>();
        let all = self.own_group | self.users.values().chain(self.groups.values()).fold(0, |all, may| all | may);
        let is_named = !self.users.is_empty() || !self.groups.is_empty();
        // In the order that the kernel wants.
        let entries = [
            vec![(tag::OWNER, self.owner, NOBODY)],
            named(tag::USER, &self.users),
            vec![(tag::OWN_GROUP, self.own_group, NOBODY)],
            named(tag::GROUP, &self.groups),
            is_named.then_some((tag::MASK, all, NOBODY)).into_iter().collect(),
            vec![(tag::OTHERS, self.others, NOBODY)],
        ];
        let entries = entries.into_iter().flatten().flat_map(|(tag, may, id)| {
            let ([t0, t1], [p0, p1], [a, b, c, d]) = (tag.to_le_bytes(), may.to_le_bytes(), id.to_le_bytes());
            [t0, t1, p0, p1, a, b, c, d]
        });
        VERSION.to_le_bytes().into_iter().chain(entries).collect()
    }

    /// Whether everybody may do that.
    pub(super) fn lets_everybody(&self, may: u16) -> bool {
        self.others & may == may
    }
}

/// Has these users, and no others by name, do so much with a file, which is not followed where it is a link.
///
/// # Errors
/// Where it is not there, is another's, or the file system keeps no lists.
pub(super) fn set(path: &Path, users: &Grants) -> io::Result<()> {
    change(path, |list| list.users.clone_from(users))
}

/// Has these users do so much with a file, too.
///
/// # Errors
/// As for [`set`].
pub(super) fn add(path: &Path, users: &Grants) -> io::Result<()> {
    change(path, |list| users.iter().for_each(|(user, may)| *list.users.entry(*user).or_default() |= may))
}

fn change(path: &Path, how: impl FnOnce(&mut List)) -> io::Result<()> {
    // Held, so that what is looked at is what is changed, and no link is followed; a socket cannot be opened otherwise.
    let held = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let itself = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held));
    if rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&held)?.st_mode).is_symlink() {
        return Err(Errno::LOOP.into());
    }
    let before = List::of(Path::new(&itself))?;
    let mut list = before.clone();
    how(&mut list);
    // What a mode took away from all of them is given back together with what is new.
    let masked = list.users.values().any(|may| before.held(*may) != *may);
    if list.users == before.users && !masked {
        return Ok(());
    }
    rustix::fs::setxattr(&itself, NAME, &list.to_bytes(), rustix::fs::XattrFlags::empty())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn users_are_named_one_by_one_and_forgotten_again() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        assert!(List::of(path).unwrap().is_closed());
        set(path, &Grants::from([(4001, READ | SEARCH)])).unwrap();
        add(path, &Grants::from([(4002, SEARCH)])).unwrap();
        let list = List::of(path).unwrap();
        assert_eq!(list.users, Grants::from([(4001, 5), (4002, 1)]));
        assert!(list.is_closed() && mode(path) == 0o750, "{list:?}");
        // A mode takes it from all of them, and whoever says it again gives it back.
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        assert_eq!((List::of(path).unwrap().mask, List::of(path).unwrap().users.len()), (Some(0), 2));
        add(path, &Grants::from([(4002, SEARCH)])).unwrap();
        assert_eq!(List::of(path).unwrap().mask, Some(5));
        set(path, &Grants::new()).unwrap();
        assert_eq!(mode(path), 0o700);
        assert_eq!(rustix::fs::getxattr(path, NAME, &mut [0_u8; 64][..]), Err(Errno::NODATA));
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_nothing_else_is_one() {
        let list = List {
            owner: 7,
            users: Grants::from([(1, 5), (7, 1)]),
            own_group: 4,
            groups: Grants::from([(3, 2)]),
            others: 1,
            mask: Some(7),
        };
        assert_eq!(List::from_bytes(&list.to_bytes()), Some(list.clone()));
        for length in 0..4 {
            assert_eq!(List::from_bytes(&list.to_bytes()[..length]), None);
        }
        assert_eq!(List::from_bytes(&list.to_bytes()[..9]), None);
        assert_eq!(List::from_bytes(&[3, 0, 0, 0]), None);
        assert_eq!(List::from_bytes(&[2, 0, 0, 0, 64, 0, 7, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn a_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(root.path(), &link).unwrap();
        assert!(set(&link, &Grants::from([(4001, READ)])).is_err());
        assert!(List::of(root.path()).unwrap().users.is_empty());
    }
}
