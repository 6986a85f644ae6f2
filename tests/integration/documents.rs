
/// Where code may be `unsafe`: what the `nng` crate lacks, what happens between a fork and an exec, and a program that
/// replaces itself.
const UNSAFE: [&str; 3] = ["src/bus/nng/", "src/supervisor/process/", "bin/plugbus/commands/replace.rs"];

#[test]
fn unsafe_code_is_where_it_may_be() {
    let mut paths = Vec::new();
    ["src", "bin", "macros/src", "examples"].iter().for_each(|folder| sources(&Path::new(ROOT).join(folder), &mut paths));
    assert!(paths.len() > 100, "only {} sources", paths.len());
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let place = path.strip_prefix(ROOT).unwrap().display().to_string();
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        let blocks = lines.iter().enumerate().filter(|(_, line)| {
            !line.starts_with("//") && ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| line.contains(word))
        });
        for (at, line) in blocks {
            assert!(UNSAFE.iter().any(|allowed| place.starts_with(allowed)), "{place}:{}: {line}", at + 1);
            let reason = lines[..at].iter().rev().take(12).any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
            assert!(reason, "{place}:{}: no reason before {line}", at + 1);
        }
    }
}
