//! What one file can have wrong, each with its exact words, and that nothing in a file panics.

use super::*;

/// Loads `a.toml` with each text and compares the problems.
fn check_problems(cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        let files = Files::new(&[("a.toml", text)]);
        assert_eq!(files.problems(&["a.toml"]), *expected, "\n{text}");
    }
}

#[test]
fn toml_errors() {
    check_problems(&[
        ("[bus]\nname = ", &["a.toml:2:8: string values must be quoted, expected literal string"]),
        ("[bus\nname = 'a'", &["a.toml:1:5: unclosed table, expected `]`"]),
        ("[bus]\nname = 'a'\nname = 'b'", &["a.toml:3:1: the key \"name\" is there twice"]),
        (
            "[plugins.x]\ncommand = ['hello']\n[plugins.x]\ncommand = ['hello']",
            &["a.toml:3:10: the key \"x\" is there twice", "a.toml:4:1: the key \"command\" is there twice"],
        ),
        // The parser has four things to say about the second line.
        ("x = [1, 2\ny = 3", &["a.toml:2:1: missing comma between array elements, expected `,`"]),
        // What is no TOML is not checked further: `keep` and `misses` would be guesses.
        (
            "[log]\nkeep = -\n[survey]\nmisses = ]\nmissis = 3",
            &[
                "a.toml:2:8: string values must be quoted, expected literal string",
                "a.toml:4:10: missing array opening, expected `[`",
            ],
        ),
    ]);
}

#[test]
fn unknown_keys() {
    check_problems(&[
        ("[suvrey]\nmisses = 3", &["a.toml:1:2: suvrey: unknown key (did you mean \"survey\"?)"]),
        ("[plugin.x]\ncommand = ['hello']", &["a.toml:1:2: plugin: unknown key (did you mean \"plugins\"?)"]),
        ("survey.intervall = '1s'", &["a.toml:1:8: survey.intervall: unknown key (did you mean \"interval\"?)"]),
        (
            "[survey]\ncolour = 'red'",
            &["a.toml:2:1: survey.colour: unknown key; known here: interval, deadline, misses"],
        ),
        (
            "[plugins.x]\ncommand = ['hello']\nargs = ['a']\nstart-timeout = '1s'\nbackoff = { mni = '1s' }",
            &[
                "a.toml:3:1: plugins.x.args: unknown key (did you mean \"command\"?)",
                "a.toml:4:1: plugins.x.start-timeout: unknown key (did you mean \"start_timeout\"?)",
                "a.toml:5:13: plugins.x.backoff.mni: unknown key (did you mean \"min\"?)",
            ],
        ),
        (
            "[defaults]\ncommand = ['hello']",
            &[
                "a.toml:2:1: defaults.command: unknown key; known here: cwd, user, group, allow, env, pass_env, env_file, umask, \
               replicas, restart, backoff, start_timeout, stop_grace, on_supervisor_exit, orphan_timeout, enabled, success_codes, intensity, \
               wedge_grace, soft_signal, soft_wait, trust, no_new_privs, capabilities, limits, sandbox, \
               sandbox_required, read, write, tcp_listen, tcp_connect, nice, oom_score_adj",
            ],
        ),
        ("bus.\"a b\\u001b\" = 1", &["a.toml:1:5: bus.\"a b\\u{1b}\": unknown key; known here: name, lane, cgroup"]),
    ]);
}

#[test]
fn what_becomes_of_orphans() {
    check_problems(&[
        (
            "[defaults]\non_supervisor_exit = 'stay'",
            &["a.toml:2:22: defaults.on_supervisor_exit: expected \"keep\" or \"stop\", found \"stay\""],
        ),
        (
            "[defaults]\norphan_timeout = 'of'",
            &[
                "a.toml:2:18: defaults.orphan_timeout: expected \"auto\" or \"off\", found \"of\", or a duration such as \
               \"10s\" (did you mean \"off\"?)",
            ],
        ),
        (
            "[defaults]\norphan_timeout = '0s'",
            &["a.toml:2:18: defaults.orphan_timeout: must be 1ms to 1year, not \"0s\""],
        ),
        (
            "[defaults]\non_supervisor_exit = 'stop'\norphan_timeout = 'off'",
            &["a.toml:3:18: defaults.orphan_timeout: on_supervisor_exit = \"stop\" needs a time after which: \
               orphan_timeout must not be \"off\""],
        ),
        ("bus.cgroup = true", &["a.toml:1:14: bus.cgroup: expected \"auto\", \"on\" or \"off\", found true"]),
        (
            "defaults.env.PLUGBUS_ORPHAN_TIMEOUT_MS = '1'",
            &["a.toml:1:14: defaults.env.PLUGBUS_ORPHAN_TIMEOUT_MS: is set by the supervisor: choose another name"],
        ),
    ]);
}

#[test]
fn wrong_types() {
    check_problems(&[
        ("bus = 5", &["a.toml:1:7: bus: expected a table, found the integer 5"]),
        (
            "bus.lane = 'ngn'",
            &["a.toml:1:12: bus.lane: expected \"direct\" or \"nng\", found \"ngn\" (did you mean \"nng\"?)"],
        ),
        ("bus.name = true", &["a.toml:1:12: bus.name: expected a string, found true"]),
        (
            "survey.interval = 250",
            &["a.toml:1:19: survey.interval: expected a duration such as \"500ms\", found the integer 250"],
        ),
        ("survey.misses = '3'", &["a.toml:1:17: survey.misses: expected a whole number, found the string \"3\""]),
        ("survey.misses = 1.5", &["a.toml:1:17: survey.misses: expected a whole number, found the float 1.5"]),
        (
            "log.max_size = 1000",
            &["a.toml:1:16: log.max_size: expected a size such as \"10MiB\", found the integer 1000"],
        ),
        (
            "[defaults]\nenabled = 'yes'",
            &["a.toml:2:11: defaults.enabled: expected true or false, found the string \"yes\""],
        ),
        (
            "[defaults]\nrestart = 2026-01-01",
            &["a.toml:2:11: defaults.restart: expected \"always\", \"on-failure\" or \"never\", found a date"],
        ),
        ("defaults.backoff = '1s'", &["a.toml:1:20: defaults.backoff: expected a table, found the string \"1s\""]),
        (
            "defaults.backoff.jitter = []",
            &["a.toml:1:27: defaults.backoff.jitter: expected a number from 0 to 1, found an array"],
        ),
        ("plugins = []", &["a.toml:1:11: plugins: expected a table of plugins, found an array"]),
        ("plugins.x = 'hello'", &["a.toml:1:13: plugins.x: expected a table, found the string \"hello\""]),
        ("[[plugins.x]]\ncommand = ['hello']", &["a.toml:1:1: plugins.x: expected a table, found an array"]),
        (
            "plugins.x.command = 'hello -v'",
            &[
                "a.toml:1:21: plugins.x.command: expected a list such as [\"program\", \"argument\"], found the string \
             \"hello -v\": write [\"hello\", \"-v\"]",
            ],
        ),
        (
            "plugins.x.command = ['hello', 5, {}]",
            &[
                "a.toml:1:31: plugins.x.command[1]: expected a string, found the integer 5",
                "a.toml:1:34: plugins.x.command[2]: expected a string, found a table",
            ],
        ),
        (
            "defaults.umask = '0888'",
            &["a.toml:1:18: defaults.umask: \"0888\" is no umask: write three octal digits, \"027\""],
        ),
        ("defaults.tcp_listen = [0]", &["a.toml:1:24: defaults.tcp_listen[0]: must be 1 to 65535, not 0"]),
        (
            "defaults.sandbox = 'strickt'",
            &["a.toml:1:20: defaults.sandbox: expected \"off\", \"standard\" or \"strict\", found \"strickt\" \
               (did you mean \"strict\"?)"],
        ),
        ("defaults.nice = 20", &["a.toml:1:17: defaults.nice: must be -20 to 19, not 20"]),
        (
            "defaults.limits.files = 'many'",
            &["a.toml:1:25: defaults.limits.files: expected a whole number, or \"inherit\", found \"many\""],
        ),
        (
            "defaults.pass_env = ['A=b']",
            &["a.toml:1:22: defaults.pass_env[0]: \"A=b\" is no variable's name: a value is given by env"],
        ),
        ("defaults.env = ['A=b']", &["a.toml:1:16: defaults.env: expected a table of variables, found an array"]),
        ("defaults.env.PORT = 80", &["a.toml:1:21: defaults.env.PORT: expected a string, found the integer 80"]),
    ]);
}

#[test]
fn events() {
    check_problems(&[
        (
            "events.on_event = 'report'",
            &[
                "a.toml:1:19: events.on_event: \"report\" is no plugin's method: write \"plugin.method\", or a command as \
                a list such as [\"program\", \"argument\"]",
            ],
        ),
        (
            "events.kinds = ['fialed']",
            &[
                "a.toml:1:16: events.kinds: expected a list of \"failed\", \"flapping\", \"wedged\", found \"fialed\" \
                (did you mean \"failed\"?)",
            ],
        ),
        (
            "events.on_event = 7",
            &["a.toml:1:19: events.on_event: expected a list such as [\"program\", \"argument\"], \
            found the integer 7"],
        ),
    ]);
}

#[test]
fn values_out_of_range() {
    check_problems(&[
        (
            "bus.name = '../x'",
            &[
                "a.toml:1:12: bus.name: \"../x\" is not a bus name: use a-z, 0-9 and -, start with a letter, at most 32 bytes",
            ],
        ),
        ("survey.interval = '0s'", &["a.toml:1:19: survey.interval: must be 1ms to 1year, not \"0s\""]),
        ("survey.deadline = '2years'", &["a.toml:1:19: survey.deadline: must be 1ms to 1year, not \"2years\""]),
        (
            "survey.deadline = '5 parsecs'",
            &[
                "a.toml:1:19: survey.deadline: \"5 parsecs\" is not a duration: unknown time unit \"parsecs\", supported \
             units: ns, us/µs, ms, sec, min, hours, days, weeks, months, years (and few variations)",
            ],
        ),
        ("survey.misses = 0", &["a.toml:1:17: survey.misses: must be 1 to 1000, not 0"]),
        ("survey.misses = -1", &["a.toml:1:17: survey.misses: must be 1 to 1000, not -1"]),
        (
            "survey.misses = 0x7fffffffffffffff",
            &["a.toml:1:17: survey.misses: must be 1 to 1000, not 0x7fffffffffffffff"],
        ),
        ("log.keep = 101", &["a.toml:1:12: log.keep: must be 0 to 100, not 101"]),
        ("log.max_size = '1B'", &["a.toml:1:16: log.max_size: must be 4KiB to 1024GiB, not \"1B\""]),
        (
            "log.max_size = '99999999999999999999GiB'",
            &["a.toml:1:16: log.max_size: must be 4KiB to 1024GiB, not \"99999999999999999999GiB\""],
        ),
        (
            "log.max_size = '10mib'",
            &[
                "a.toml:1:16: log.max_size: \"10mib\" is not a size: write a whole number and one of B, kB, KiB, MB, MiB, \
             GB, GiB (did you mean \"10MiB\"?)",
            ],
        ),
        (
            "log.max_size = 'MiB'",
            &[
                "a.toml:1:16: log.max_size: \"MiB\" is not a size: write a whole number and one of B, kB, KiB, MB, MiB, \
             GB, GiB",
            ],
        ),
        ("defaults.replicas = 65", &["a.toml:1:21: defaults.replicas: must be 1 to 64, not 65"]),
        ("defaults.backoff.jitter = 1.01", &["a.toml:1:27: defaults.backoff.jitter: must be 0 to 1, not 1.01"]),
        ("defaults.backoff.jitter = nan", &["a.toml:1:27: defaults.backoff.jitter: must be 0 to 1, not nan"]),
        ("defaults.backoff.min = '0s'", &["a.toml:1:24: defaults.backoff.min: must be 1ms to 1year, not \"0s\""]),
        (
            "defaults.restart = 'on_failure'",
            &[
                "a.toml:1:20: defaults.restart: expected \"always\", \"on-failure\" or \"never\", found \"on_failure\" (did \
             you mean \"on-failure\"?)",
            ],
        ),
        (
            "defaults.env.PLUGBUS_NAME = 'x'",
            &["a.toml:1:14: defaults.env.PLUGBUS_NAME: is set by the supervisor: choose another name"],
        ),
        ("defaults.env.'A=B' = 'x'", &["a.toml:1:14: defaults.env.\"A=B\": \"A=B\" is not a variable's name"]),
        (
            "plugins.x.command = ['hello', \"a\\u0000\"]",
            &["a.toml:1:31: plugins.x.command[1]: holds a NUL character, which no program can be given"],
        ),
    ]);
}

#[test]
fn plugins_that_cannot_be() {
    check_problems(&[
        (
            "[plugins.x]\nreplicas = 2",
            &[
                "a.toml:1:10: plugins.x.command: is missing: say what to run, as in command = [\"program\", \"argument\"]",
            ],
        ),
        (
            "plugins.x.command = []",
            &["a.toml:1:21: plugins.x.command: names no program: write [\"program\", \"argument\"]"],
        ),
        (
            "plugins.x.command = ['', 'a']",
            &["a.toml:1:22: plugins.x.command: names no program: write [\"program\", \"argument\"]"],
        ),
        (
            "[plugins.Text]\ncommand = ['hello']",
            &[
                "a.toml:1:10: plugins.Text: \"Text\" is not a plugin name: use a-z, 0-9 and -, start with a letter, at most \
             32 bytes",
            ],
        ),
        (
            "plugins.supervisor.command = ['hello']",
            &["a.toml:1:9: plugins.supervisor: is the supervisor's own name: choose another"],
        ),
        (
            "[plugins.x]\ncommand = ['hello']\ncwd = '/nowhere/./at/all'",
            &["a.toml:3:7: plugins.x.cwd: \"/nowhere/at/all\" is not a directory: create it or name another"],
        ),
        (
            "[plugins.x]\ncommand = ['hello']\ncwd = 'a.toml/..'",
            &["a.toml:3:7: plugins.x.cwd: \"a.toml/..\" is not a directory: create it or name another"],
        ),
    ]);
}

#[test]
fn users_and_groups_that_are_not_there() {
    check_problems(&[
        (
            "[defaults]\nuser = 'no-such-user'",
            &["a.toml:2:8: defaults.user: there is no user \"no-such-user\" on this machine"],
        ),
        ("[defaults]\ngroup = 'root'", &["a.toml:2:9: defaults.group: needs a `user` beside it"]),
        (
            "[plugins.x]\ncommand = ['x']\nallow.groups = ['no-such-group']",
            &["a.toml:3:17: plugins.x.allow.groups: there is no group \"no-such-group\" on this machine"],
        ),
    ]);
}

#[test]
fn dependencies_that_cannot_be() {
    let hello = "command = ['hello']\n";
    check_problems(&[
        (
            &format!(
                "[plugins.web]\n{hello}requires = ['bd', 'zzzzzz']\nafter = 'db'\n[plugins.db]\n{hello}after = [1]"
            ),
            &[
                "a.toml:3:13: plugins.web.requires: \"bd\" is no plugin of this configuration",
                "a.toml:3:19: plugins.web.requires: \"zzzzzz\" is no plugin of this configuration",
                "a.toml:4:9: plugins.web.after: expected a list of plugins such as [\"db\"], found the string \"db\"",
                "a.toml:7:10: plugins.db.after[0]: expected a string, found the integer 1",
            ],
        ),
        (
            &format!("[plugins.web]\n{hello}requires = ['databse']\n[plugins.database]\n{hello}"),
            &[
                "a.toml:3:13: plugins.web.requires: \"databse\" is no plugin of this configuration (did you mean \"database\"?)",
            ],
        ),
        (
            &format!("[plugins.a]\n{hello}after = ['a']"),
            &["a.toml:3:10: plugins.a.after: a plugin cannot wait for itself"],
        ),
        (
            &format!(
                "[plugins.a]\n{hello}after = ['b']\n[plugins.b]\n{hello}requires = ['c']\n[plugins.c]\n{hello}after = ['x', \
                 'a']\n[plugins.x]\n{hello}after = ['y']\n[plugins.y]\n{hello}requires = ['x']"
            ),
            &[
                "a.toml:3:10: plugins.a.after: a circle: a → b → c → a, so none of them could ever start",
                "a.toml:12:10: plugins.x.after: a circle: x → y → x, so none of them could ever start",
            ],
        ),
        (
            "[defaults]\nafter = ['a']",
            &[
                "a.toml:2:1: defaults.after: unknown key; known here: cwd, user, group, allow, env, pass_env, env_file, umask, \
               replicas, restart, backoff, start_timeout, stop_grace, on_supervisor_exit, orphan_timeout, enabled, success_codes, intensity, wedge_grace, \
               soft_signal, soft_wait, trust, no_new_privs, capabilities, limits, sandbox, \
               sandbox_required, read, write, tcp_listen, tcp_connect, nice, oom_score_adj",
            ],
        ),
    ]);
}

#[test]
fn restarts_that_cannot_be() {
    check_problems(&[
        (
            "defaults.success_codes = 0",
            &[
                "a.toml:1:26: defaults.success_codes: expected a list of exit codes such as [0, 3], found the integer 0",
            ],
        ),
        (
            "defaults.success_codes = [0, 256, 'SIGTERM']",
            &[
                "a.toml:1:30: defaults.success_codes[1]: must be 0 to 255, not 256",
                "a.toml:1:35: defaults.success_codes[2]: expected a whole number, found the string \"SIGTERM\"",
            ],
        ),
        ("defaults.intensity.restarts = 0", &["a.toml:1:31: defaults.intensity.restarts: must be 1 to 1000, not 0"]),
        (
            "defaults.intensity.then = 'give-up'",
            &["a.toml:1:27: defaults.intensity.then: expected \"go-on\" or \"fail\", found \"give-up\""],
        ),
        (
            "defaults.soft_signal = 'SIGQIT'",
            &[
                "a.toml:1:24: defaults.soft_signal: expected \"none\", \"SIGABRT\", \"SIGHUP\", \"SIGINT\", \"SIGQUIT\", \
                 \"SIGUSR1\" or \"SIGUSR2\", found \"SIGQIT\" (did you mean \"SIGQUIT\"?)",
            ],
        ),
    ]);
}

#[test]
fn durations_that_do_not_fit_together() {
    check_problems(&[
        (
            "survey.interval = '250ms'",
            &[
                "a.toml:1:19: survey.interval: 250ms is shorter than survey.deadline (500ms, the default): a round has to \
             end before the next one begins",
            ],
        ),
        (
            "[survey]\ninterval = '250ms'\ndeadline = '300ms'",
            &[
                "a.toml:3:12: survey.deadline: 300ms is longer than survey.interval (250ms, a.toml:2:12): a round has to \
             end before the next one begins",
            ],
        ),
        // Said once, though both plugins inherit it.
        (
            "defaults.backoff.min = '2m'\nplugins.x.command = ['hello']\nplugins.y.command = ['hello']",
            &[
                "a.toml:1:24: defaults.backoff.min: 2m is longer than defaults.backoff.max (1m, the default): the first \
             wait is the shortest",
            ],
        ),
        (
            "plugins.x = { command = ['hello'], backoff.max = '1ms' }",
            &[
                "a.toml:1:50: plugins.x.backoff.max: 1ms is shorter than defaults.backoff.min (100ms, the default): the \
             first wait is the shortest",
            ],
        ),
        // A refused value is not compared, and neither is the default in its place.
        (
            "[survey]\ninterval = '250ms'\ndeadline = 1",
            &["a.toml:3:12: survey.deadline: expected a duration such as \"500ms\", found the integer 1"],
        ),
    ]);
}

#[test]
fn problems_are_bounded() {
    let files = Files::new(&[("a.toml", &(0..5000).map(|n| format!("key{n} = 1\n")).collect::<String>())]);
    let error = files.load(&["a.toml"]).unwrap_err();
    assert_eq!((error.problems.len(), error.more), (100, 4900));
    assert!(error.to_string().ends_with("\n... and 4900 more"));
    let error = Files::new(&[("a.toml", &"]\n".repeat(30_000))]).load(&["a.toml"]).unwrap_err();
    assert_eq!(error.problems.len(), 100);
    let long = format!("bus.name = '{0}'\n{0} = 1", "ä".repeat(200_000));
    let error = Files::new(&[("a.toml", &long)]).load(&["a.toml"]).unwrap_err();
    assert!(error.to_string().len() < 2000, "{}", error.to_string().len());
}

#[test]
fn no_input_panics() {
    let text =
        format!("{DEFAULTS}{}", include_str!("../../../configs/demo.toml").replace("[survey]", "[plugins.x.env]"));
    let mut random = Random(1);
    let check = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let sources = [Source { path: "built in".into(), text: DEFAULTS.into() }, Source { path: "a".into(), text }];
        if let Err(error) = compile(&sources, vec![], &Programs::new([])) {
            assert!(!error.problems.is_empty() && error.problems.iter().all(|problem| problem.line.is_some()));
        }
    };
    (0..text.len()).step_by(37).for_each(|end| check(&text.as_bytes()[..end]));
    let pieces = [
        "[",
        "]",
        "{",
        "}",
        "=",
        "\"",
        "'''",
        "\n",
        ".",
        "-",
        "0x",
        "é",
        "\0",
        "99999999999999999999",
        "#",
        "1e999",
        "inf",
        "[[",
        "\\u",
    ];
    for _ in 0..400 {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            let cut = random.below(12).min(bytes.len() - at);
            bytes.splice(at..at + cut, pieces[random.below(pieces.len())].bytes());
        }
        check(&bytes);
    }
    for deep in
        ["[".repeat(100_000), "a.".repeat(100_000), "{a=".repeat(50_000), format!("x = {}", "[".repeat(200_000))]
    {
        check(deep.as_bytes());
    }
}

/// Xorshift: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}
