//! From the README's text to the commands in it and what they should print.

use std::io::Write;
use std::process::{Command, Stdio};

/// A command of the README, and what it should print.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    /// Where the command starts, counted from 1.
    pub(crate) line: usize,
    pub(crate) command: String,
    /// The lines of standard output; empty when the README says nothing of them.
    pub(crate) prints: Vec<String>,
}

impl Step {
    pub(crate) fn in_background(&self) -> bool {
        self.command.ends_with('&') && !self.command.ends_with("&&")
    }

    /// Whether `output` is what the README says; anything is when it says nothing.
    pub(crate) fn is_satisfied_by(&self, output: &str) -> bool {
        let mut lines = output.lines();
        self.prints.is_empty()
            || self.prints.iter().all(|wanted| lines.next().is_some_and(|line| fits(wanted, line)))
                && lines.next().is_none()
    }
}

/// Whether `line` is `pattern`, in which `…` stands for any text.
fn fits(pattern: &str, line: &str) -> bool {
    match pattern.split_once('…') {
        None => pattern == line,
        Some((start, rest)) => line.strip_prefix(start).is_some_and(|line| {
            line.char_indices().map(|(at, _)| at).chain([line.len()]).any(|at| fits(rest, &line[at..]))
        }),
    }
}

/// The commands of all blocks tagged `sh`, in order.
pub(crate) fn steps(markdown: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut lines = markdown.lines().zip(1..);
    while let Some((fence, line)) = lines.next() {
        let Some(tag) = fence.trim_start().strip_prefix("```") else { continue };
        let block: Vec<(&str, usize)> =
            lines.by_ref().take_while(|(text, _)| !text.trim_start().starts_with("```")).collect();
        // What follows a comma is for rustdoc, which compiles the blocks of Rust.
        match tag.split(',').next().unwrap_or_default() {
            "sh" => steps.extend(commands(&block)?),
            "console" | "text" | "rust" | "toml" | "python" => {}
            _ => return Err(format!("README.md:{line}: a block is tagged sh, console, text, rust, toml or python")),
        }
    }
    Ok(steps)
}

fn commands(block: &[(&str, usize)]) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = block.iter();
    while let Some(&(text, line)) = lines.next() {
        if let Some(printed) = text.strip_prefix("# prints:") {
            let step = steps.last_mut().ok_or(format!("README.md:{line}: no command printed this"))?;
            step.prints.push(printed.strip_prefix(' ').unwrap_or(printed).to_owned());
        } else if !text.trim().is_empty() && !text.starts_with('#') {
            let mut command = text.to_owned();
            while !is_complete(&command) {
                let (more, _) = lines.next().ok_or(format!("README.md:{line}: bash sees no end of: {command}"))?;
                command = format!("{command}\n{more}");
            }
            steps.push(Step { line, command, prints: Vec::new() });
        }
    }
    Ok(steps)
}

/// Whether bash would start on `command` rather than wait for another line of it.
fn is_complete(command: &str) -> bool {
    if command.ends_with('\\') {
        return false;
    }
    let mut bash = Command::new("bash")
        .args(["--norc", "-n"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash");
    let sent = bash.stdin.take().expect("its stdin is a pipe").write_all(format!("{command}\n").as_bytes());
    sent.expect("bash reads all of a command");
    // A here-document without its end is a warning only.
    let verdict = bash.wait_with_output().expect("bash ends");
    verdict.status.success() && verdict.stderr.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(line: usize, command: &str, prints: &[&str]) -> Step {
        Step { line, command: command.to_owned(), prints: prints.iter().map(|&line| line.to_owned()).collect() }
    }

    #[test]
    fn commands_come_from_sh_blocks_with_what_they_print() {
        let text = "one `sh`\n```sh\n# why\nfirst\n# prints: a\n# prints:\n\nsecond \\\n  more &\n```\n```toml\nx = 1\n```\n";
        assert_eq!(steps(text), Ok(vec![step(4, "first", &["a", ""]), step(8, "second \\\n  more &", &[])]));
    }

    #[test]
    fn a_command_goes_on_to_where_bash_sees_its_end() {
        let text = "```sh\ncat >x <<'END'\nfirst\nEND\nfor a in 1 2; do\n  echo $a\ndone\n```\n";
        assert_eq!(
            steps(text),
            Ok(vec![step(2, "cat >x <<'END'\nfirst\nEND", &[]), step(5, "for a in 1 2; do\n  echo $a\ndone", &[])])
        );
        assert!(steps("```sh\necho 'no end\n```\n").is_err_and(|problem| problem.starts_with("README.md:2:")));
    }

    #[test]
    fn a_block_without_a_known_tag_is_refused() {
        for tag in ["", "bash", "sh "] {
            let problem = steps(&format!("text\n```{tag}\nmake\n```\n"));
            assert!(problem.is_err_and(|problem| problem.starts_with("README.md:2:")), "{tag:?}");
        }
    }

    #[test]
    fn only_a_single_ampersand_at_the_end_means_background() {
        assert!(step(1, "a &", &[]).in_background());
        assert!(!step(1, "a && b", &[]).in_background());
    }

    #[test]
    fn output_is_compared_line_for_line() {
        let cases = [
            (&[][..], "anything", true),
            (&["a"][..], "a\n", true),
            (&["a"], "a\nb\n", false),
            (&["a", "b"], "a\n", false),
            (&["pid … up"], "pid 12 up\n", true),
            (&["pid … up…"], "pid 12 down\n", false),
            (&["…"], "\n", true),
        ];
        for (prints, output, fit) in cases {
            assert_eq!(step(1, "x", prints).is_satisfied_by(output), fit, "{prints:?} {output:?}");
        }
    }
}
