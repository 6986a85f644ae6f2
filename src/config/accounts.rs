//! Users and groups, by the names that the files give them.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::raw::{Field, Name, RawAllow, RawRun};
use super::report::{Report, quote};
use super::validate::{get, set};
use crate::supervisor::Account;

/// As whom a plugin runs; `None` for the supervisor's own user, an error for a key that names nobody.
///
/// The outer `None` is a value that was refused.
pub(super) fn account(run: &RawRun) -> Option<Result<Option<Account>, Unknown>> {
    let (user, group) = (get(&run.user)?, get(&run.group)?);
    Some(match (user, group) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Unknown::Group("needs a `user` beside it".into())),
        (Some(user), group) => find(&user, group.as_deref()).map(Some),
    })
}

/// What is wrong, and with which key.
#[derive(Debug)]
pub(super) enum Unknown {
    User(String),
    Group(String),
}

/// Who may call a plugin; `None` after a problem.
pub(super) fn allowed(allow: &RawAllow) -> Option<BTreeSet<u32>> {
    let mut users = BTreeSet::new();
    for name in get(&allow.users)? {
        users.insert(user_number(&name.text)?);
    }
    for name in get(&allow.groups)? {
        users.extend(members(&name.text)?);
    }
    Some(users)
}

pub(super) fn check(run: &RawRun, report: &mut Report<'_>) {
    let blamed = |field: &Option<Field<Option<String>>>| field.as_ref().map(|field| (field.at, field.key.clone()));
    let problem = match account(run) {
        Some(Err(Unknown::User(problem))) => blamed(&run.user).zip(Some(problem)),
        Some(Err(Unknown::Group(problem))) => blamed(&run.group).zip(Some(problem)),
        _ => None,
    };
    if let Some(((at, key), problem)) = problem {
        report.problem(at, &key, problem);
    }
    check_names(&run.allow.users, |name| user_number(name).is_some(), "user", report);
    check_names(&run.allow.groups, |name| members(name).is_some(), "group", report);
}

fn check_names(
    field: &Option<Field<Vec<Name>>>,
    is_known: impl Fn(&str) -> bool,
    what: &str,
    report: &mut Report<'_>,
) {
    let Some((field, names)) = set(field) else { return };
    for name in names.iter().filter(|name| !is_known(&name.text)) {
        report.problem(name.at, &field.key, nobody(what, &name.text));
    }
}

fn nobody(what: &str, name: &str) -> String {
    format!("there is no {what} {} on this machine", quote(name))
}

fn find(user: &str, group: Option<&str>) -> Result<Account, Unknown> {
    let unknown = || Unknown::User(nobody("user", user));
    let known = known_user(user);
    let uid = known.as_ref().map(|user| user.uid.as_raw()).or_else(|| user.parse().ok()).ok_or_else(unknown)?;
    let gid = match (group, &known) {
        (Some(group), _) => group_number(group).ok_or_else(|| Unknown::Group(nobody("group", group)))?,
        (None, Some(known)) => known.gid.as_raw(),
        (None, None) => return Err(Unknown::User(format!("{} has no entry, so it needs a `group`", quote(user)))),
    };
    let Some(known) = known else { return Ok(Account { uid, gid, name: user.into(), ..Account::default() }) };
    let name = CString::new(known.name.as_bytes()).ok();
    let groups = name.and_then(|name| getgrouplist(&name, Gid::from_raw(gid)).ok()).unwrap_or_default();
    let groups = groups.into_iter().map(Gid::as_raw).filter(|group| *group != gid).collect();
    Ok(Account { uid, gid, groups, name: known.name, home: known.dir, shell: known.shell })
}

fn known_user(user: &str) -> Option<User> {
    let by_name = User::from_name(user).ok().flatten();
    by_name.or_else(|| User::from_uid(Uid::from_raw(user.parse().ok()?)).ok().flatten())
}

/// A number needs no entry.
fn user_number(user: &str) -> Option<u32> {
    known_user(user).map(|user| user.uid.as_raw()).or_else(|| user.parse().ok())
}

fn group_number(group: &str) -> Option<u32> {
    let known = Group::from_name(group).ok().flatten();
    known.map(|group| group.gid.as_raw()).or_else(|| group.parse().ok())
}

/// Those who are in a group: named in it, or having it as their own, as far as `/etc/passwd` knows.
fn members(group: &str) -> Option<BTreeSet<u32>> {
    let by_number = || Group::from_gid(Gid::from_raw(group.parse().ok()?)).ok().flatten();
    let known = Group::from_name(group).ok().flatten().or_else(by_number)?;
    let mut users: BTreeSet<_> = known.mem.iter().filter_map(|name| user_number(name)).collect();
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    for line in text.lines() {
        let mut numbers = line.split(':').skip(2).map(|field| field.parse::<u32>().ok());
        if let (Some(Some(user)), Some(Some(own))) = (numbers.next(), numbers.next())
            && own == known.gid.as_raw()
        {
            users.insert(user);
        }
    }
    Some(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let root = find("root", None).unwrap();
        assert_eq!((root.uid, root.gid, root.name.as_str()), (0, 0, "root"));
        assert_eq!(find("0", None).unwrap(), root);
        // Every system has it, and it is nobody's number twice.
        let nobody = known_user("nobody").unwrap().uid.as_raw();
        assert_eq!(user_number("nobody"), Some(nobody));
        let account = find("nobody", Some("0")).unwrap();
        assert_eq!((account.uid, account.gid), (nobody, 0));
        assert!(!account.groups.contains(&0), "it is its own group already: {account:?}");
    }

    #[test]
    fn a_number_without_an_entry_needs_a_group() {
        assert!(
            matches!(find("3999999999", None), Err(Unknown::User(problem)) if problem.contains("needs a `group`"))
        );
        let account = find("3999999999", Some("3999999998")).unwrap();
        assert_eq!((account.uid, account.gid, account.groups), (3_999_999_999, 3_999_999_998, vec![]));
        assert!(matches!(find("no-such-user", None), Err(Unknown::User(_))));
        assert!(matches!(find("root", Some("no-such-group")), Err(Unknown::Group(_))));
    }

    #[test]
    fn whose_own_group_it_is_belongs_to_it() {
        assert!(members("0").unwrap().contains(&0));
        assert_eq!(members("no-such-group"), None);
    }
}
