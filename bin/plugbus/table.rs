//! Rows in columns, for people.

use std::io::{self, Write};

use anstyle::Style;

use crate::output::{DIM, PLAIN};

/// Between two columns.
const GAP: &str = "  ";

/// Before a note below its row.
const INDENT: &str = "    ";

/// On which side of its column a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// One field of a row.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }

    /// The text, or a dash where there is none.
    pub(crate) fn or_dash(text: Option<impl Into<String>>) -> Self {
        match text {
            Some(text) => Self::styled(text, PLAIN),
            None => Self::styled("-", DIM),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, PLAIN)
    }
}

/// A table with a line of headings; every row has as many cells as there are headings, and may have a note.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    headings: [(&'static str, Side); N],
    notes: &'static str,
    rows: Vec<([Cell; N], String)>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(headings: [(&'static str, Side); N]) -> Self {
        Self { headings, notes: "", rows: Vec::new() }
    }

    /// What stands above the notes.
    pub(crate) fn notes(self, notes: &'static str) -> Self {
        Self { notes, ..self }
    }

    pub(crate) fn row(&mut self, cells: [Cell; N], note: String) {
        self.rows.push((cells, note));
    }

    /// Writes the table; the notes go below their rows where a line would be wider than `width`.
    pub(crate) fn write(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
        let headings = (self.headings.map(|(heading, _)| Cell::styled(heading, DIM)), String::new());
        let lines = || std::iter::once(&headings).chain(&self.rows);
        let widths: [usize; N] = std::array::from_fn(|column| {
            lines().map(|(cells, _)| length(&cells[column].text)).max().unwrap_or(0) + GAP.len()
        });
        let longest = self.rows.iter().map(|(_, note)| length(note)).max().unwrap_or(0);
        let beside = width.is_none_or(|width| widths.iter().sum::<usize>() + longest <= width);

        let note = |text: &str, style| Cell::styled(if beside { text } else { "" }, style);
        self.write_cells(out, &headings.0, &widths, &note(self.notes, DIM))?;
        for (cells, text) in &self.rows {
            self.write_cells(out, cells, &widths, &note(text, PLAIN))?;
            if !beside {
                write_below(out, text, width.unwrap_or(usize::MAX))?;
            }
        }
        Ok(())
    }

    fn write_cells(
        &self,
        out: &mut impl Write,
        cells: &[Cell; N],
        widths: &[usize; N],
        note: &Cell,
    ) -> io::Result<()> {
        // Spaces are written only before a text, so that no line ends in them.
        let mut owed = 0;
        for ((Cell { text, style }, (_, side)), width) in cells.iter().zip(&self.headings).zip(widths) {
            let spare = width - GAP.len() - length(text);
            let before = if *side == Side::Right { spare } else { 0 };
            write!(out, "{:owed$}{style}{text}{style:#}", "", owed = owed + before)?;
            owed = spare - before + GAP.len();
        }
        if !note.text.is_empty() {
            let Cell { text, style } = note;
            write!(out, "{:owed$}{style}{text}{style:#}", "")?;
        }
        writeln!(out)
    }
}

/// Writes a note in lines that fit.
fn write_below(out: &mut impl Write, note: &str, width: usize) -> io::Result<()> {
    let room = width.saturating_sub(INDENT.len());
    let mut line = String::new();
    for word in note.split_whitespace() {
        if !line.is_empty() && length(&line) + 1 + length(word) > room {
            writeln!(out, "{INDENT}{line}")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if line.is_empty() { Ok(()) } else { writeln!(out, "{INDENT}{line}") }
}

/// In columns, nearly: names and numbers are ASCII, and so is most of what plugins say.
fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::BAD;

    fn table() -> Table<2> {
        let mut table = Table::new([("NAME", Side::Left), ("N", Side::Right)]).notes("WHY");
        table.row(["text".into(), "7".into()], String::new());
        table.row(["a-longer-one".into(), "1234".into()], "killed by SIGKILL".into());
        table
    }

    fn written(table: &Table<2>, width: Option<usize>) -> String {
        let mut out = Vec::new();
        table.write(&mut out, width).unwrap();
        anstream::adapter::strip_bytes(&out).into_vec().try_into().unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let expected = "\
NAME             N  WHY
text             7
a-longer-one  1234  killed by SIGKILL
";
        assert_eq!(written(&table(), None), expected);
        assert_eq!(written(&table(), Some(37)), expected);
    }

    #[test]
    fn notes_go_below_where_there_is_no_room() {
        let expected = "\
NAME             N
text             7
a-longer-one  1234
    killed by
    SIGKILL
";
        assert_eq!(written(&table(), Some(18)), expected);
        assert!(written(&table(), Some(36)).ends_with("1234\n    killed by SIGKILL\n"));
        assert!(written(&table(), Some(0)).ends_with("    by\n    SIGKILL\n"));
    }

    #[test]
    fn styles_take_no_room() {
        let mut table = table();
        table.row([Cell::styled("text", BAD), Cell::or_dash(None::<String>)], String::new());
        assert!(written(&table, None).ends_with("text             -\n"));
    }
}
