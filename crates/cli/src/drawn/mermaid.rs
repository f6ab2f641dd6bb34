//! A picture in the language of mermaid, which code hosts draw where it stands in a text.

use std::io::{self, Write};

use super::{Drawn, short, state};
use crate::shown::{bytes, shown};

/// The most edges that mermaid draws where nobody told it otherwise.
pub const MOST_EDGES: usize = 500;

const CLASSES: &str = "  classDef index fill:#ede9fe,stroke:#7c3aed,color:#1e1b4b
  classDef image fill:#dbeafe,stroke:#2563eb,color:#172554
  classDef artifact fill:#ccfbf1,stroke:#0d9488,color:#042f2e
  classDef referrer fill:#ffedd5,stroke:#ea580c,color:#431407
  classDef config fill:#fef9c3,stroke:#ca8a04,color:#422006
  classDef layer fill:#f1f5f9,stroke:#64748b,color:#0f172a
  classDef blob fill:#ecfccb,stroke:#65a30d,color:#1a2e05
  classDef other fill:#fafafa,stroke:#737373,color:#171717
  classDef absent fill:#ffffff,stroke-dasharray:4 3
  classDef broken fill:#fee2e2,stroke:#dc2626,stroke-dasharray:4 3
";

/// Writes it. Nodes are numbered in the picture's order; edges go from what points to what is pointed at.
pub fn write(drawn: &Drawn<'_>, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"flowchart LR\n")?;
    for (at, (figure, label)) in drawn.picture.figures.iter().zip(&drawn.labels).enumerate() {
        let state = state(figure);
        let small = [Some(&*label.word).filter(|word| *word != label.title), state];
        let words = small.into_iter().flatten().map(str::to_owned).chain([bytes(figure.size)]);
        let small = words.collect::<Vec<_>>().join(", ");
        let (title, small, digest) = (inner(&label.title), inner(&small), short(&figure.digest));
        writeln!(out, "  n{at}[\"{title}<br/>{small}<br/>{digest}\"]:::{}", label.hue)?;
        if let Some(state) = state {
            writeln!(out, "  class n{at} {state}")?;
        }
    }
    for line in &drawn.picture.lines {
        let arrow = if line.refers() { "-.->" } else { "-->" };
        writeln!(out, "  n{} {arrow} n{}", line.from, line.to)?;
    }
    out.write_all(CLASSES.as_bytes())
}

/// What stands in a string of the language, so that it means only itself. Quotes, backquotes, percent signs, braces,
/// angle brackets, entities and, behind some words, colons have a meaning somewhere: what is not plain goes as its
/// number.
fn inner(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in shown(text).chars() {
        let plain = c.is_alphanumeric() || !c.is_ascii() || matches!(c, ' ' | '-' | '.' | '/' | ',' | '_' | '+' | '@');
        match plain {
            true => out.push(c),
            false => out += &format!("#{};", u32::from(c)),
        }
    }
    out
}
