//! Where a configuration is looked for when none is named.

use std::ffi::OsString;
use std::path::PathBuf;

use super::error::{ConfigError, Problem};

/// The configuration to load when none is named.
///
/// `$PLUGBUS_CONFIG` if it is set, else the first that exists of `./plugbus.toml`,
/// `$XDG_CONFIG_HOME/plugbus/plugbus.toml` (`~/.config` when that is not set) and `/etc/plugbus/plugbus.toml`.
///
/// # Errors
/// There is none; the error names the places.
pub fn default_path() -> Result<PathBuf, ConfigError> {
    choose(|variable| std::env::var_os(variable))
}

fn choose(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, ConfigError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // Named outright, so it is used even if it is missing: another one in its place would surprise.
    if let Some(named) = set("PLUGBUS_CONFIG") {
        return Ok(named);
    }
    // The XDG specification: a relative path in the variable is invalid and ignored.
    let home = set("XDG_CONFIG_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".config")));
    let mut places = vec![PathBuf::from("plugbus.toml")];
    places.extend(home.map(|home| home.join("plugbus/plugbus.toml")));
    places.push(PathBuf::from("/etc/plugbus/plugbus.toml"));
    match places.iter().find(|place| place.exists()) {
        Some(found) => Ok(found.clone()),
        None => Err(not_found(&places).into()),
    }
}

fn not_found(places: &[PathBuf]) -> Problem {
    let others: Vec<_> = places.iter().skip(1).map(|place| place.display().to_string()).collect();
    let message = format!(
        "no configuration: neither this file nor {} exists; write one, or name one with $PLUGBUS_CONFIG",
        others.join(" nor ")
    );
    Problem::of_file(&places[0], message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_exists() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("plugbus/plugbus.toml");
        std::fs::create_dir(home.path().join("plugbus")).unwrap();
        std::fs::write(&file, "").unwrap();
        let dot_config = home.path().join(".config/plugbus");
        std::fs::create_dir_all(&dot_config).unwrap();
        std::fs::write(dot_config.join("plugbus.toml"), "").unwrap();
        let root = home.path().to_str().unwrap();
        let cases: [(&[(&str, &str)], PathBuf); 4] = [
            (&[("PLUGBUS_CONFIG", "/nowhere/x.toml"), ("XDG_CONFIG_HOME", root)], "/nowhere/x.toml".into()),
            (&[("PLUGBUS_CONFIG", ""), ("XDG_CONFIG_HOME", root)], file),
            (&[("HOME", root)], dot_config.join("plugbus.toml")),
            (&[("XDG_CONFIG_HOME", "relative"), ("HOME", root)], dot_config.join("plugbus.toml")),
        ];
        for (environment, expected) in cases {
            let found = choose(|name| environment.iter().find(|(key, _)| *key == name).map(|(_, v)| v.into()));
            assert_eq!(found, Ok(expected), "{environment:?}");
        }
    }

    #[test]
    fn none_found_names_the_places() {
        let error = choose(|name| (name == "HOME").then(|| "/nowhere".into())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "plugbus.toml: no configuration: neither this file nor /nowhere/.config/plugbus/plugbus.toml nor \
             /etc/plugbus/plugbus.toml exists; write one, or name one with $PLUGBUS_CONFIG"
        );
    }
}
