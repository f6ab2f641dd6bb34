//! The looks of answers to people: columns and colours.

use std::io::{self, Write};

/// How an answer is to look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Whether colours are wanted.
    pub color: bool,
    /// Whether more is wanted than fits on a line.
    pub verbose: bool,
}

impl Look {
    /// The text, as something that matters less.
    pub fn dim(self, text: &str) -> String {
        self.painted("\u{1b}[2m", text)
    }

    /// The text, as what a line is about.
    pub fn bold(self, text: &str) -> String {
        self.painted("\u{1b}[1m", text)
    }

    fn painted(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() { format!("{code}{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// On which side a column is filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Its text stands at the left.
    Left,
    /// Its numbers stand at the right.
    Right,
}

/// Writes rows as columns two spaces apart, the first row as the heading. Nothing is cut, the last
/// column is not padded.
pub fn columns<const N: usize>(out: &mut dyn Write, look: Look, rows: &[[String; N]]) -> io::Result<()> {
    columns_at(out, look, [Side::Left; N], rows)
}

/// The same, each column at its own side.
pub fn columns_at<const N: usize>(
    out: &mut dyn Write,
    look: Look,
    sides: [Side; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for (at, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let filling = " ".repeat(widths[column] - cell.chars().count());
            let (before, behind) = if sides[column] == Side::Right { (&*filling, "") } else { ("", &*filling) };
            let gap = if column + 1 < N { "  " } else { "" };
            line.extend([before, cell, behind, gap]);
        }
        let line = line.trim_end();
        let line = if at == 0 { look.dim(line) } else { line.to_owned() };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let mut out = Vec::new();
        let look = Look { color: false, verbose: false };
        columns(&mut out, look, &[row("TAG", "SIZE"), row("größe", "1"), row("v1", "")]).expect("memory takes all");
        assert_eq!(String::from_utf8(out).expect("it is text"), "TAG    SIZE\ngröße  1\nv1\n");
        let mut out = Vec::new();
        let sides = [Side::Left, Side::Right];
        columns_at(&mut out, look, sides, &[row("TAG", "SIZE"), row("größe", "1"), row("v1", "")]).expect("the same");
        assert_eq!(String::from_utf8(out).expect("it is text"), "TAG    SIZE\ngröße     1\nv1\n");
    }
}
