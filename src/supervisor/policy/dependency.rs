//! Who waits for whom.
//!
//! *After* is about order alone: who comes after another is started when that one's start has gone well or badly, and
//! is told to stop before it where both are. *Requires* is about need too: who requires another is started only when
//! that one takes calls, and does not go on without it where it was stopped or has failed. A crash is no such thing: who
//! runs already goes on, and who is to start waits through as many restarts as it takes. Of several replicas one is
//! enough.

use std::collections::HashMap;

use crate::supervisor::unit::UnitState;

/// How a plugin stands for those that depend on it, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::supervisor) enum Standing {
    /// It takes calls.
    Up,
    /// It is on its first way there, or on its way back.
    Starting,
    /// It does not take calls at the moment and will again, without anybody asking.
    Returning,
    /// It does not, until somebody sees to it.
    Down,
}

/// One instance, as far as others care.
#[derive(Debug, Clone, Copy)]
pub(in crate::supervisor) struct Member<'a> {
    pub(in crate::supervisor) name: &'a str,
    pub(in crate::supervisor) after: &'a [String],
    pub(in crate::supervisor) requires: &'a [String],
    pub(in crate::supervisor) state: UnitState,
    pub(in crate::supervisor) standing: Standing,
    /// Whether it was told to stay away.
    pub(in crate::supervisor) leaving: bool,
    /// Whether it has no process that could still need anybody.
    pub(in crate::supervisor) gone: bool,
}

/// What the others let an instance do, in words where they do not let it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Gate {
    /// Those that its start has to wait for.
    pub(in crate::supervisor) waits_for: Option<String>,
    /// Those that it requires and that are down: it must not run.
    pub(in crate::supervisor) lost: Option<String>,
    /// Those that have to be gone before it is told to end.
    pub(in crate::supervisor) held_by: Option<String>,
}

impl Member<'_> {
    fn requires(&self, name: &str) -> bool {
        self.requires.iter().any(|required| required == name)
    }

    fn is_after(&self, name: &str) -> bool {
        self.after.iter().any(|earlier| earlier == name)
    }

    /// Whether a change of one of them may matter to the other.
    pub(in crate::supervisor) fn is_linked(&self, other: &Self) -> bool {
        let depends = |one: &Self, other: &Self| one.requires(other.name) || one.is_after(other.name);
        depends(self, other) || depends(other, self)
    }
}

/// What the others let one of them do.
pub(in crate::supervisor) fn gate<'a>(of: Member<'a>, all: impl Iterator<Item = Member<'a>> + Clone) -> Gate {
    let best = |name: &str| all.clone().filter(|other| other.name == name).min_by_key(|other| other.standing);
    let in_words = |name: &str, found: Option<Member<'_>>| match found {
        Some(other) if other.standing == Standing::Down => format!("{name}, which is {}", other.state),
        Some(_) => name.to_owned(),
        None => format!("{name}, which is not there"),
    };
    let (mut waits_for, mut lost) = (Vec::new(), Vec::new());
    for name in of.requires {
        let found = best(name);
        let standing = found.map_or(Standing::Down, |other| other.standing);
        if standing != Standing::Up {
            waits_for.push(in_words(name, found));
        }
        if standing == Standing::Down {
            lost.push(in_words(name, found));
        }
    }
    for name in of.after.iter().filter(|name| !of.requires(name)) {
        if let Some(other) = best(name).filter(|other| other.standing == Standing::Starting) {
            waits_for.push(in_words(name, Some(other)));
        }
    }
    let holds =
        |other: &Member<'_>| !other.gone && (other.requires(of.name) || other.is_after(of.name) && other.leaving);
    let mut held_by: Vec<_> = all.clone().filter(holds).map(|other| other.name.to_owned()).collect();
    held_by.dedup();
    Gate { waits_for: enumerate(&waits_for), lost: enumerate(&lost), held_by: enumerate(&held_by) }
}

fn enumerate(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(" and "))
}

/// A circle of names, each of which depends on the next and the last on the first.
pub(crate) type Cycle<'a> = Vec<&'a str>;

/// The order in which plugins are started, as places in the list; else as it stands there.
///
/// A name may be there several times, and a dependency that is not there counts for nothing.
///
/// # Errors
/// The first circle that is found.
pub(crate) fn start_order<'a, D>(plugins: &[(&'a str, D)]) -> Result<Vec<usize>, Cycle<'a>>
where
    D: Iterator<Item = &'a str> + Clone,
{
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, (name, _)) in plugins.iter().enumerate() {
        places.entry(name).or_default().push(place);
    }
    let next = |place: usize| {
        let named = plugins[place].1.clone().filter_map(|name| places.get(name));
        named.flatten().copied().collect::<Vec<_>>().into_iter()
    };
    let (mut order, mut seen) = (Vec::with_capacity(plugins.len()), vec![false; plugins.len()]);
    for root in 0..plugins.len() {
        // Not by recursion: how deep it goes is the configuration's to say.
        let mut path = vec![];
        if !std::mem::replace(&mut seen[root], true) {
            path.push((root, next(root)));
        }
        while let Some((place, pending)) = path.last_mut() {
            match pending.next() {
                None => {
                    order.push(*place);
                    path.pop();
                }
                Some(dependency) => {
                    if let Some(start) = path.iter().position(|(place, _)| plugins[*place].0 == plugins[dependency].0)
                    {
                        return Err(path[start..].iter().map(|(place, _)| plugins[*place].0).collect());
                    }
                    if !std::mem::replace(&mut seen[dependency], true) {
                        path.push((dependency, next(dependency)));
                    }
                }
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name after,requires state`, as in `web cache,db ready`; `!` before the state: told to stay away.
    fn members(lines: &[&str], check: impl FnOnce(&[Member<'_>])) {
        let split = |names: &str| -> Vec<String> {
            names.split('+').filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        let parsed: Vec<_> = lines
            .iter()
            .map(|line| {
                let mut words = line.split(' ');
                let name = words.next().unwrap();
                let (after, requires) = words.next().unwrap().split_once(',').unwrap();
                let state = words.next().unwrap();
                (name, split(after), split(requires), state.trim_start_matches('!'), state.starts_with('!'))
            })
            .collect();
        let made: Vec<_> = parsed
            .iter()
            .map(|(name, after, requires, state, leaving)| {
                let state = UnitState::ALL.into_iter().find(|known| known.as_str() == *state).unwrap();
                Member {
                    name,
                    after,
                    requires,
                    state,
                    standing: state.standing(!leaving),
                    leaving: *leaving,
                    gone: !state.is_running(),
                }
            })
            .collect();
        check(&made);
    }

    #[track_caller]
    fn gate_of_first(lines: &[&str], waits_for: &str, lost: &str, held_by: &str) {
        members(lines, |members| {
            let found = gate(members[0], members.iter().copied());
            let words = |words: &Option<String>| words.clone().unwrap_or_default();
            assert_eq!(
                [words(&found.waits_for), words(&found.lost), words(&found.held_by)],
                [waits_for, lost, held_by],
                "{lines:?}"
            );
        });
    }

    #[test]
    fn who_requires_waits_until_it_is_up_and_does_not_go_on_when_it_is_down() {
        for (db, waits_for, lost) in [
            ("ready", "", ""),
            ("busy", "", ""),
            ("starting", "db", ""),
            ("draining", "db", ""),
            ("silent", "db", ""),
            ("wedged", "db", ""),
            ("backing-off", "db", ""),
            ("stopping", "db", ""),
            ("!stopping", "db, which is stopping", "db, which is stopping"),
            ("stopped", "db, which is stopped", "db, which is stopped"),
            ("failed", "db, which is failed", "db, which is failed"),
            ("disabled", "db, which is disabled", "db, which is disabled"),
        ] {
            gate_of_first(&["web ,db ready", &format!("db , {db}")], waits_for, lost, "");
        }
        gate_of_first(&["web ,db ready"], "db, which is not there", "db, which is not there", "");
    }

    #[test]
    fn who_comes_after_waits_for_a_start_and_for_nothing_else() {
        for state in UnitState::ALL {
            let waits_for = if state == UnitState::Starting { "db" } else { "" };
            gate_of_first(&["web db, ready", &format!("db , {state}")], waits_for, "", "");
        }
        gate_of_first(&["web db, ready"], "", "", "");
        gate_of_first(&["web db,db ready", "db , starting"], "db", "", "");
    }

    #[test]
    fn of_replicas_one_is_enough() {
        gate_of_first(&["web ,db ready", "db , failed", "db , backing-off", "db , ready"], "", "", "");
        gate_of_first(&["web ,db ready", "db , failed", "db , backing-off"], "db", "", "");
        gate_of_first(
            &["web a,b+c starting", "b , starting", "c , failed", "a , starting"],
            "b and c, which is failed and a",
            "c, which is failed",
            "",
        );
    }

    #[test]
    fn it_is_held_by_those_that_need_it_and_by_those_that_leave_first() {
        gate_of_first(&["db , ready", "web ,db ready", "web ,db stopping", "late db, ready"], "", "", "web");
        gate_of_first(&["db , ready", "web ,db failed", "late db, !stopping"], "", "", "late");
        gate_of_first(&["db , ready", "web ,db stopped", "late db, stopped"], "", "", "");
    }

    fn order(plugins: &[(&'static str, &'static [&'static str])]) -> Result<Vec<usize>, Cycle<'static>> {
        let plugins: Vec<_> = plugins.iter().map(|(name, needs)| (*name, needs.iter().copied())).collect();
        start_order(&plugins)
    }

    #[test]
    fn what_others_need_comes_first_and_else_the_order_stays() {
        assert_eq!(order(&[("a", &[]), ("b", &[]), ("c", &[])]), Ok(vec![0, 1, 2]));
        assert_eq!(
            order(&[("web", &["db", "cache"]), ("cache", &["db"]), ("x", &["nobody"]), ("db", &[])]),
            Ok(vec![3, 1, 0, 2])
        );
        assert_eq!(order(&[("web", &["db"]), ("web", &["db"]), ("db", &[]), ("db", &[])]), Ok(vec![2, 3, 0, 1]));
    }

    #[test]
    fn circles_are_found() {
        assert_eq!(order(&[("a", &["a"])]), Err(vec!["a"]));
        assert_eq!(order(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]), Err(vec!["b", "c"]));
        assert_eq!(order(&[("x", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]), Err(vec!["a", "b", "c"]));
        // Diamonds are none, and a chain may be as long as it likes.
        assert!(order(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"]), ("d", &[])]).is_ok());
        let names: Vec<String> = (0..5000).map(|n| format!("p{n}")).collect();
        let chain: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(n, name)| (name.as_str(), names.get(n + 1).map(String::as_str).into_iter()))
            .collect();
        assert_eq!(start_order(&chain).unwrap()[0], 4999);
    }
}
