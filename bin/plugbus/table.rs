//! Rows in columns, for people.

use std::io::{self, Write};

use anstyle::Style;

use crate::output::{DIM, PLAIN};

/// Between two columns.
const GAP: &str = "  ";

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

/// A table with a line of headings; every row has as many cells as there are headings.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    headings: [(&'static str, Side); N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(headings: [(&'static str, Side); N]) -> Self {
        Self { headings, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    /// Writes the table; the last column is cut where a line would be wider than `width`.
    pub(crate) fn write(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
        let headings = self.headings.map(|(heading, _)| Cell::styled(heading, DIM));
        let widths: [usize; N] = std::array::from_fn(|column| {
            std::iter::once(&headings).chain(&self.rows).map(|row| length(&row[column].text)).max().unwrap_or(0)
        });
        for row in std::iter::once(&headings).chain(&self.rows) {
            self.write_row(out, row, &widths, width)?;
        }
        Ok(())
    }

    fn write_row(
        &self,
        out: &mut impl Write,
        row: &[Cell; N],
        widths: &[usize; N],
        width: Option<usize>,
    ) -> io::Result<()> {
        let mut at = 0;
        // Spaces are written only before a text, so that no line ends in them.
        let mut owed = 0;
        for ((Cell { text, style }, (_, side)), wide) in row.iter().zip(&self.headings).zip(widths) {
            let room = width.map_or(usize::MAX, |width| width.saturating_sub(at));
            let text = if at + wide > width.unwrap_or(usize::MAX) { cut(text, room) } else { text.clone() };
            let spare = wide.saturating_sub(length(&text));
            let before = if *side == Side::Right { spare } else { 0 };
            if !text.is_empty() {
                write!(out, "{:owed$}{style}{text}{style:#}", "", owed = owed + before)?;
                owed = 0;
            }
            owed += if text.is_empty() { *wide } else { spare - before } + GAP.len();
            at += wide + GAP.len();
        }
        writeln!(out)
    }
}

/// In columns, nearly: names and numbers are ASCII, and so is most of what plugins say.
fn length(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, room: usize) -> String {
    if length(text) <= room {
        return text.to_owned();
    }
    match room {
        0 => String::new(),
        room => text.chars().take(room - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::BAD;

    fn table() -> Table<3> {
        let mut table = Table::new([("NAME", Side::Left), ("N", Side::Right), ("WHY", Side::Left)]);
        table.row(["text".into(), "7".into(), "".into()]);
        table.row(["a-longer-one".into(), "1234".into(), "killed by SIGKILL".into()]);
        table
    }

    fn written(table: &Table<3>, width: Option<usize>) -> String {
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
    }

    #[test]
    fn the_last_column_is_cut_to_the_terminal() {
        let narrow = written(&table(), Some(30));
        assert!(narrow.ends_with("a-longer-one  1234  killed by…\n"), "{narrow}");
        assert!(narrow.lines().all(|line| line.chars().count() <= 30), "{narrow}");
        for width in 0..40 {
            written(&table(), Some(width));
        }
    }

    #[test]
    fn styles_take_no_room() {
        let mut table = table();
        table.row([Cell::styled("text", BAD), "8".into(), Cell::or_dash(None::<String>)]);
        assert!(written(&table, None).ends_with("text             8  -\n"));
    }
}
