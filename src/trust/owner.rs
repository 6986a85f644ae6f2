//! Who else could change a file: by its own permissions, or by those of a directory on the way to it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A file or directory that somebody else may change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} {problem}: {advice}", path = .path.display())]
pub struct Flaw {
    path: PathBuf,
    problem: String,
    advice: String,
}

/// Finds who else may change a file, where it lies at `path`, which has no symbolic link in it.
pub(super) fn check(path: &Path, file: &Metadata) -> Result<(), Flaw> {
    check_one(path, file, false)?;
    for directory in path.ancestors().skip(1).filter(|directory| !directory.as_os_str().is_empty()) {
        // Whoever may not look at it cannot have come through it.
        let Ok(found) = fs::symlink_metadata(directory) else { continue };
        // Whose entries only their owners may move is as good as one's own, for what lies in it is one's own.
        check_one(directory, &found, found.mode() & 0o1000 != 0)?;
    }
    Ok(())
}

fn check_one(path: &Path, found: &Metadata, is_sticky: bool) -> Result<(), Flaw> {
    let flaw = |problem: String, advice: String| Err(Flaw { path: path.to_owned(), problem, advice });
    if !is_trusted(found.uid()) {
        let advice = "chown it to root or to the user of the supervisor".to_owned();
        return flaw(format!("belongs to user {}", found.uid()), advice);
    }
    let mode = found.mode();
    if mode & 0o002 != 0 && !is_sticky {
        return flaw(
            format!("may be changed by anybody (mode {:04o})", mode & 0o7777),
            format!("chmod o-w {}", path.display()),
        );
    }
    if mode & 0o020 != 0 && !is_sticky && (!is_private(found.gid()) || has_access_list(path)) {
        let problem = format!("may be changed by group {} (mode {:04o})", found.gid(), mode & 0o7777);
        return flaw(problem, format!("chmod g-w {}", path.display()));
    }
    Ok(())
}

/// Root may change everything anyway, and so may whoever owns `/`: in a user namespace that is how root looks.
fn is_trusted(user: u32) -> bool {
    static ROOT: OnceLock<u32> = OnceLock::new();
    let own = rustix::process::geteuid().as_raw();
    user == 0 || user == own || user == *ROOT.get_or_init(|| fs::metadata("/").map_or(0, |found| found.uid()))
}

/// Whether a group is the user's own and nobody else is in it, as where the umask is 002.
///
/// From the files alone: of a directory service's groups nobody can be sure who is in them.
fn is_private(group: u32) -> bool {
    let (Ok(groups), Ok(users)) = (fs::read_to_string("/etc/group"), fs::read_to_string("/etc/passwd")) else {
        return false;
    };
    is_alone(group, rustix::process::geteuid().as_raw(), &groups, &users)
}

/// Whether that user alone is in that group, by the texts of `/etc/group` and `/etc/passwd`.
fn is_alone(group: u32, user: u32, groups: &str, users: &str) -> bool {
    let name = |line: &str| line.split(':').next().map(str::to_owned);
    let number = |line: &str, at: usize| line.split(':').nth(at).and_then(|field| field.parse::<u32>().ok());
    // Root may change it anyway.
    let allowed: Vec<_> = users
        .lines()
        .filter(|line| number(line, 2).is_some_and(|id| id == user || id == 0))
        .filter_map(name)
        .collect();
    let mut same = groups.lines().filter(|line| number(line, 2) == Some(group)).peekable();
    let is_known = same.peek().is_some();
    let mut members = same.flat_map(|line| line.split(':').nth(3).unwrap_or_default().split(',').map(str::trim));
    let others_have_it = users.lines().filter(|line| number(line, 3) == Some(group)).filter_map(name);
    is_known
        && members.all(|member| member.is_empty() || allowed.iter().any(|name| name == member))
        && others_have_it.into_iter().all(|name| allowed.contains(&name))
}

/// An access control list shows as permissions of the group, and may name anybody.
fn has_access_list(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        let found = rustix::fs::getxattr(path, c"system.posix_acl_access", &mut [0_u8; 0][..]);
        found.is_ok_and(|size| size > 0)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_group_is_private_when_nobody_else_is_in_it() {
        let users = "root:x:0:0::/:\nann:x:7:7::/:\nbob:x:8:8::/:\n";
        for (groups, expected) in [
            ("ann:x:7:\n", true),
            ("ann:x:7:ann\n", true),
            ("ann:x:7:ann,root\n", true),
            ("ann:x:7:bob\n", false),
            ("ann:x:7:\nalso:x:7:bob\n", false),
            ("bob:x:8:\n", false),
            ("", false),
        ] {
            assert_eq!(is_alone(7, 7, groups, users), expected, "{groups:?}");
        }
        assert!(!is_alone(7, 7, "ann:x:7:\n", &users.replace("bob:x:8:8", "bob:x:8:7")));
    }

    #[test]
    fn whoever_else_may_write_is_named() {
        let root = tempfile::tempdir().unwrap();
        let (directory, file) = (root.path().join("d"), root.path().join("d/f"));
        fs::create_dir(&directory).unwrap();
        fs::write(&file, "").unwrap();
        let file = file.canonicalize().unwrap();
        let judge = |directory_mode: u32, file_mode: u32| {
            fs::set_permissions(&file, fs::Permissions::from_mode(file_mode)).unwrap();
            fs::set_permissions(&directory, fs::Permissions::from_mode(directory_mode)).unwrap();
            check(&file, &fs::metadata(&file).unwrap()).err().map(|flaw| flaw.to_string())
        };
        assert_eq!(judge(0o755, 0o755), None);
        assert!(judge(0o755, 0o757).unwrap().contains("d/f may be changed by anybody (mode 0757): chmod o-w "));
        assert!(judge(0o757, 0o755).unwrap().contains("/d may be changed by anybody"));
        // As /tmp: nobody else can move what is ours there.
        assert_eq!(judge(0o1777, 0o755), None);
    }
}
