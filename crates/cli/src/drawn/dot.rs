//! A picture in the language of graphviz.

use std::io::{self, Write};

use ocistow_graph::picture::{Figure, State};

use super::{Drawn, kind, lines, short, state};
use crate::shown::{bytes, shown};

const HEAD: &str = "  rankdir=LR; ranksep=0.7; nodesep=0.12;
  node [shape=box, style=\"filled,rounded\", fontname=\"Helvetica\", fontsize=10, margin=\"0.12,0.05\"];
  edge [color=\"#64748b\", arrowsize=0.6, fontname=\"Helvetica\", fontsize=8];
";

/// Writes it. Nodes are called by their digests; edges go from what points to what is pointed at.
pub fn write(drawn: &Drawn<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "digraph {} {{", quoted(drawn.heading()))?;
    out.write_all(HEAD.as_bytes())?;
    let figures = &drawn.picture.figures;
    for (figure, label) in figures.iter().zip(&drawn.labels) {
        let name = quoted(&figure.digest.to_string());
        // A break between lines is an escape of graphviz's own, so each line is quoted before.
        let small = [state(figure).map(str::to_owned), Some(short(&figure.digest)), Some(bytes(figure.size))];
        let small = small.into_iter().flatten().collect::<Vec<_>>().join("  ");
        let first = match label.title == label.word {
            true => label.title.clone(),
            false => format!("{}  ({})", label.title, label.word),
        };
        let text = format!("{}\\n{}", inner(&first), inner(&small));
        let tip: Vec<String> = lines(label, figure).iter().map(|line| inner(line)).collect();
        writeln!(out, "  {name} [label=\"{text}\", tooltip=\"{}\", {}];", tip.join("\\n"), look(label.hue, figure))?;
    }
    for line in &drawn.picture.lines {
        let [from, to] = [line.from, line.to].map(|at| quoted(&figures[at].digest.to_string()));
        match line.refers() {
            true => writeln!(out, "  {from} -> {to} [color=\"#ea580c\", style=dashed, tooltip=\"subject\"];")?,
            false => writeln!(out, "  {from} -> {to} [tooltip=\"{}\"];", kind(line.bond))?,
        }
    }
    out.write_all(b"}\n")
}

fn look(hue: &str, figure: &Figure) -> String {
    let (fill, edge) = match hue {
        "index" => ("#ede9fe", "#7c3aed"),
        "image" => ("#dbeafe", "#2563eb"),
        "artifact" => ("#ccfbf1", "#0d9488"),
        "referrer" => ("#ffedd5", "#ea580c"),
        "config" => ("#fef9c3", "#ca8a04"),
        "layer" => ("#f1f5f9", "#64748b"),
        "blob" => ("#ecfccb", "#65a30d"),
        _ => ("#fafafa", "#737373"),
    };
    match figure.state {
        State::Present => format!("fillcolor=\"{fill}\", color=\"{edge}\""),
        State::Absent => format!("fillcolor=\"#ffffff\", color=\"{edge}\", style=\"filled,rounded,dashed\""),
        State::Broken(_) => "fillcolor=\"#fee2e2\", color=\"#dc2626\", style=\"filled,rounded,dashed\"".to_owned(),
    }
}

/// A string of the language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", inner(text))
}

/// What stands in a string of the language, so that it means only itself: graphviz takes escapes of its own, and
/// names of characters as HTML has them.
fn inner(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in shown(text).chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '&' => out.push_str("&amp;"),
            _ => out.push(c),
        }
    }
    out
}
