//! Whether what plugins say of each other, `after` and `requires`, holds together.

use super::raw::{Field, Name, RawPlugin};
use super::report::{Remark, Report, nearest, quote};
use super::source::Place;
use super::validate::set;
use crate::supervisor::start_order;

/// Every name must be there, and no plugin may wait for itself in the end.
pub(super) fn check(plugins: &[RawPlugin], report: &mut Report<'_>) {
    for plugin in plugins {
        for (field, name) in names(plugin) {
            check_name(plugin, (field, name), plugins, report);
        }
    }
    check_circles(plugins, report);
}

/// All names of others that a plugin has.
fn names(plugin: &RawPlugin) -> impl Iterator<Item = (&Field<Vec<Name>>, &Name)> {
    let fields = [&plugin.requires, &plugin.after].into_iter().filter_map(set);
    fields.flat_map(|(field, names)| names.iter().map(move |name| (field, name)))
}

fn check_name(
    plugin: &RawPlugin,
    (field, name): (&Field<Vec<Name>>, &Name),
    plugins: &[RawPlugin],
    report: &mut Report<'_>,
) {
    let Some(other) = plugins.iter().find(|other| other.name == name.text) else {
        let others = plugins.iter().map(|other| &other.name).filter(|other| **other != plugin.name);
        let suggestion = nearest(&name.text, others);
        let message = format!("{} is no plugin of this configuration", quote(&name.text));
        report.problem(name.at, &field.key, Remark { message, suggestion });
        return;
    };
    let is_enabled = |plugin: &RawPlugin| set(&plugin.run.enabled).is_some_and(|(_, enabled)| *enabled);
    let is_required = set(&plugin.requires).is_some_and(|(required, _)| required.key == field.key);
    if is_required && is_enabled(plugin) && !is_enabled(other) {
        let message = format!(
            "{} does not start with the supervisor (enabled = false), so {} waits until somebody starts it",
            other.name, plugin.name
        );
        report.warning(name.at, &field.key, message);
    }
}

fn check_circles(plugins: &[RawPlugin], report: &mut Report<'_>) {
    let mut needs: Vec<(&str, Vec<&str>)> = plugins
        .iter()
        .map(|plugin| (plugin.name.as_str(), names(plugin).map(|(_, name)| name.text.as_str()).collect()))
        .collect();
    loop {
        let named: Vec<_> = needs.iter().map(|(name, needs)| (*name, needs.iter().copied())).collect();
        let Err(circle) = start_order(&named) else { return };
        let (first, second) = (circle[0], circle[1 % circle.len()]);
        report_circle(plugins, &circle, report);
        // What else is wrong is found without this one.
        for (name, needs) in &mut needs {
            if *name == first {
                needs.retain(|need| *need != second);
            }
        }
    }
}

fn report_circle(plugins: &[RawPlugin], circle: &[&str], report: &mut Report<'_>) {
    let (first, second) = (circle[0], circle[1 % circle.len()]);
    let link = |plugin: &RawPlugin| -> Option<(Place, String)> {
        let (field, name) = names(plugin).find(|(_, name)| name.text == second)?;
        Some((name.at, field.key.clone()))
    };
    let Some((at, key)) = plugins.iter().filter(|plugin| plugin.name == first).find_map(link) else { return };
    let message = match circle.len() {
        1 => "a plugin cannot wait for itself".to_owned(),
        _ => format!("a circle: {} → {first}, so none of them could ever start", circle.join(" → ")),
    };
    report.problem(at, &key, message);
}
