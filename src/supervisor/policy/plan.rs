//! What a new list of plugins changes, and nothing but that.

use crate::supervisor::PluginSpec;

/// One plugin's part of a reload.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::supervisor) enum Step {
    /// It is new.
    Add(PluginSpec),
    /// It is no longer there.
    Remove(String),
    /// It is another one than before.
    Update { spec: PluginSpec, what: Difference },
}

/// In what way a plugin differs from what it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Difference {
    /// Its processes would be started differently: they have to be started anew.
    pub(in crate::supervisor) launch: bool,
    /// It is looked after differently, which a process does not notice.
    pub(in crate::supervisor) policy: bool,
    /// From how many replicas to how many.
    pub(in crate::supervisor) replicas: Option<(u32, u32)>,
    /// Whether it is to run with the supervisor, where that changed.
    pub(in crate::supervisor) enabled: Option<bool>,
}

/// The steps from one list of plugins to another, in the order of the new one; what is to go goes first.
pub(in crate::supervisor) fn plan(old: &[PluginSpec], new: &[PluginSpec]) -> Vec<Step> {
    let find = |list: &[PluginSpec], name: &str| list.iter().position(|spec| spec.name == name);
    let gone = old.iter().filter(|spec| find(new, &spec.name).is_none());
    let mut steps: Vec<_> = gone.map(|spec| Step::Remove(spec.name.clone())).collect();
    steps.extend(new.iter().filter_map(|spec| match find(old, &spec.name) {
        None => Some(Step::Add(spec.clone())),
        Some(before) => {
            let what = difference(&old[before], spec);
            (what != Difference::default()).then(|| Step::Update { spec: spec.clone(), what })
        }
    }));
    steps
}

fn difference(old: &PluginSpec, new: &PluginSpec) -> Difference {
    let launch = !old.launches_like(new);
    // All that is left once what has words of its own is made equal.
    let mut rest = old.clone();
    rest.launch_like(new);
    (rest.replicas, rest.enabled) = (new.replicas, new.enabled);
    Difference {
        launch,
        policy: rest != *new,
        replicas: (old.replicas != new.replicas).then_some((old.replicas, new.replicas)),
        enabled: (old.enabled != new.enabled).then_some(new.enabled),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::supervisor::RestartPolicy;
    use crate::supervisor::unit::sample_spec;

    fn spec(name: &str, change: impl FnOnce(&mut PluginSpec)) -> PluginSpec {
        let mut spec = PluginSpec { name: name.into(), ..sample_spec() };
        change(&mut spec);
        spec
    }

    #[test]
    fn nothing_changed_is_nothing_to_do_in_whatever_order() {
        let (a, b) = (spec("a", |_| ()), spec("b", |_| ()));
        assert_eq!(plan(&[a.clone(), b.clone()], &[a.clone(), b.clone()]), []);
        assert_eq!(plan(&[a.clone(), b.clone()], &[b, a]), []);
    }

    #[test]
    fn each_change_is_what_it_is_and_touches_nobody_else() {
        let old = ["a", "b", "c", "d", "e", "f"].map(|name| spec(name, |_| ()));
        let new = [
            spec("new", |_| ()),
            spec("b", |_| ()),
            spec("c", |spec| spec.command.push("-v".into())),
            spec("d", |spec| (spec.restart, spec.stop_grace) = (RestartPolicy::Never, Duration::ZERO)),
            spec("e", |spec| spec.replicas = 3),
            spec("f", |spec| {
                spec.enabled = false;
                spec.env.insert("A".into(), "b".into());
            }),
        ];
        let steps: Vec<_> = plan(&old, &new)
            .into_iter()
            .map(|step| match step {
                Step::Add(spec) => format!("add {}", spec.name),
                Step::Remove(name) => format!("remove {name}"),
                Step::Update { spec, what: Difference { launch, policy, replicas, enabled } } => {
                    format!("{} launch {launch} policy {policy} {replicas:?} {enabled:?}", spec.name)
                }
            })
            .collect();
        let expected = [
            "remove a",
            "add new",
            "c launch true policy false None None",
            "d launch false policy true None None",
            "e launch false policy false Some((1, 3)) None",
            "f launch true policy false None Some(false)",
        ];
        assert_eq!(steps, expected);
    }
}
