//! Several files and directories, files that cannot be read, and the programs they name.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn files_that_cannot_be_read() {
    let files = Files::new(&[("plugbus.toml", ""), ("large.toml", &"#".repeat(1024 * 1024 + 1))]);
    files.write("bytes.toml", b"[bus]\nname = '\xc3\xa4\xff'");
    fs::create_dir(files.path("empty")).unwrap();
    assert_eq!(
        files.problems(&[
            "plugbs.toml",
            "/nowhere/x.toml",
            "plugbus.toml",
            "large.toml",
            "bytes.toml",
            "empty",
            "plugbus.toml/x"
        ]),
        [
            "plugbs.toml: no such file: name another, or write it (did you mean \"plugbus.toml\"?)",
            "/nowhere/x.toml: no such file: name another, or write it",
            "large.toml: larger than 1 MiB: split it, or check that this is the right file",
            "bytes.toml:2:10: the byte 0xff is not UTF-8: save the file as UTF-8",
            "empty: a directory without a *.toml file: put one there or name a file",
            "plugbus.toml/x: cannot be read: Not a directory (os error 20)",
        ]
    );
}

#[test]
fn files_lie_over_each_other_in_order() {
    let files = Files::new(&[
        ("plugbus.toml", "[survey]\nmisses = 5\ninterval = '5s'\n[defaults]\nreplicas = 2"),
        ("plugins.d/20.toml", "survey.misses = 7\nplugins.b.command = ['hello']"),
        (
            "plugins.d/10.toml",
            "survey.misses = 6\nplugins.a = { command = ['hello'], cwd = '..' }\n[defaults.backoff]\nmax='9s'",
        ),
        ("plugins.d/.30.toml", "not read"),
        ("plugins.d/README", "not read"),
        ("plugins.d/sub.toml/x.toml", "not read"),
        ("last.toml", "log.keep = 9"),
    ]);
    symlink(files.path("plugins.d/10.toml"), files.path("plugins.d/40.toml")).unwrap();
    let loaded = files.load(&["plugbus.toml", "last.toml"]).unwrap();
    let read = ["plugbus.toml", "plugins.d/10.toml", "plugins.d/20.toml", "last.toml"].map(|name| files.path(name));
    assert_eq!(loaded.files, read);
    let spec = loaded.spec;
    assert_eq!(spec.survey, SurveySpec { misses: 7, interval: 5 * SECOND, deadline: SECOND / 2 });
    assert_eq!(spec.log.keep, 9);
    let plugins: Vec<_> = spec.plugins.iter().map(|p| (p.name.as_str(), p.replicas, p.backoff.max)).collect();
    assert_eq!(plugins, [("a", 2, 9 * SECOND), ("b", 2, 9 * SECOND)]);
    assert_eq!(spec.plugins[0].cwd, files.path("plugins.d/.."));
    assert_eq!(spec.plugins[1].cwd, files.path("plugins.d"));
}

#[test]
fn a_directory_stands_for_its_files_and_drop_ins() {
    let files = Files::new(&[
        ("etc/b.toml", ""),
        ("etc/a.toml", ""),
        ("etc/plugins.d/a.toml", ""),
        ("only/plugins.d/x.toml", ""),
    ]);
    let read = files.load(&["etc", "etc/a.toml", "only"]).unwrap().files;
    assert_eq!(
        read,
        ["etc/a.toml", "etc/b.toml", "etc/plugins.d/a.toml", "only/plugins.d/x.toml"].map(|n| files.path(n))
    );
}

#[test]
fn a_link_to_nowhere_is_said() {
    let files = Files::new(&[("etc/a.toml", "")]);
    symlink("gone.toml", files.path("etc/b.toml")).unwrap();
    assert_eq!(files.problems(&["etc"]), ["etc/b.toml: no such file: name another, or write it"]);
}

#[test]
fn too_many_files() {
    let files = Files::new(&[]);
    (0..258).for_each(|n| files.write(&format!("etc/{n:03}.toml"), b""));
    assert_eq!(files.problems(&["etc"]), ["etc/256.toml: one file too many: a configuration has at most 256"]);
}

#[test]
fn problems_of_several_files_come_together() {
    let files = Files::new(&[
        ("a.toml", "survey.interval = '100ms'\nplugins.x.command = ['hello']\nlog.kep = 1"),
        ("b.toml", "[bus"),
        ("c.toml", "plugins.x.command = ['hello']\nplugins.y = {}"),
    ]);
    // The interval is not held against the default deadline: the broken file might set another.
    assert_eq!(
        files.problems(&["a.toml", "b.toml", "c.toml", "d.toml"]),
        [
            "d.toml: no such file: name another, or write it",
            "a.toml:3:5: log.kep: unknown key (did you mean \"keep\"?)",
            "b.toml:1:5: unclosed table, expected `]`",
            "c.toml:1:9: plugins.x: is defined at a.toml:2:9 already: a plugin belongs to one file, so rename or remove one",
            "c.toml:2:9: plugins.y.command: is missing: say what to run, as in command = [\"program\", \"argument\"]",
        ]
    );
}

#[test]
fn programs_are_found() {
    let files = Files::new(&[(
        "etc/a.toml",
        "plugins.x.command = ['./run', './hello']\nplugins.y.command = ['hello', './hello']",
    )]);
    files.program("etc/run", 0o755);
    let loaded = files.load(&["etc/a.toml"]).unwrap();
    let commands: Vec<_> = loaded.spec.plugins.iter().map(|p| files.relative(&p.command.join(" "))).collect();
    assert_eq!(commands, ["etc/run ./hello", "bin/hello ./hello"]);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn programs_that_cannot_run_are_warnings() {
    let cases = [
        ("helo", "helo", "no program \"helo\" beside plugbus or in $PATH (did you mean \"hello\"?)"),
        ("zzzzzz", "zzzzzz", "no program \"zzzzzz\" beside plugbus or in $PATH"),
        ("plain", "plain", "\"bin/plain\" is not executable: try chmod +x"),
        ("bin/helo", "bin/helo", "\"bin/helo\" does not exist (did you mean \"hello\"?)"),
        ("bin", "bin", "no program \"bin\" beside plugbus or in $PATH"),
        ("./bin", "bin", "\"bin\" is a directory, not a program"),
        ("./bin/plain", "bin/plain", "\"bin/plain\" is not executable: try chmod +x"),
        ("/nowhere/x", "/nowhere/x", "\"/nowhere/x\" does not exist"),
    ];
    for (program, path, message) in cases {
        let files = Files::new(&[("a.toml", &format!("# x\nplugins.x.command = [\n  '{program}', 'a']"))]);
        files.program("bin/plain", 0o644);
        assert_eq!(files.warnings(&["a.toml"]), [format!("a.toml:3:3: plugins.x.command: {message}")]);
        let command = &files.load(&["a.toml"]).unwrap().spec.plugins[0].command;
        assert_eq!(files.relative(&command.join(" ")), format!("{path} a"));
    }
}

#[test]
fn to_require_what_does_not_start_is_a_warning() {
    let plugin = |name: &str, more: &str| format!("[plugins.{name}]\ncommand = ['hello']\n{more}\n");
    let text =
        plugin("web", "requires = ['db']") + &plugin("late", "after = ['db']") + &plugin("db", "enabled = false");
    let files = Files::new(&[("a.toml", &text)]);
    let expected = "a.toml:3:13: plugins.web.requires: db does not start with the supervisor (enabled = false), so web waits \
                    until somebody starts it";
    assert_eq!(files.warnings(&["a.toml"]), [expected]);
}
