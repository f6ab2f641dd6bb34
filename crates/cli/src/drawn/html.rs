//! A picture as a page that stands alone: nothing in it comes from outside, and nothing that a layout says can run.

use std::io::{self, Write};

use base64::Engine as _;
use ocistow_graph::Canvas;
use ocistow_layout::Digest;

use super::svg::{self, STYLE, swatch};
use super::{Drawn, STROKES, SWATCHES, escaped};

const PAGE: &str = include_str!("page.html");
const PAGE_STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Writes it. The picture is seen without its script; that adds search, zoom and details.
pub fn write(drawn: &Drawn<'_>, canvas: &Canvas, out: &mut dyn Write) -> io::Result<()> {
    let style = format!("\n{STYLE}{PAGE_STYLE}");
    let script = format!("\n{SCRIPT}");
    // Markers are looked for in our own page only: what is put in their places is never looked at again.
    for piece in PAGE.split("{{") {
        let (marker, rest) = piece.split_once("}}").unwrap_or(("", piece));
        match marker {
            "heading" => out.write_all(escaped(drawn.heading()).as_bytes())?,
            "counts" => out.write_all(drawn.counts().as_bytes())?,
            "style" => out.write_all(style.as_bytes())?,
            "style-hash" => out.write_all(hash(&style).as_bytes())?,
            "script" => out.write_all(script.as_bytes())?,
            "script-hash" => out.write_all(hash(&script).as_bytes())?,
            "legend" => legend(out)?,
            "width" => write!(out, "{}", canvas.width)?,
            "height" => write!(out, "{}", canvas.height)?,
            "picture" => svg::body(drawn, canvas, out)?,
            "document" => out.write_all(document(drawn)?.as_bytes())?,
            _ => {}
        }
        out.write_all(rest.as_bytes())?;
    }
    Ok(())
}

fn legend(out: &mut dyn Write) -> io::Result<()> {
    let item = |width: u32, drawn: &str, text: &str| {
        format!(
            "<li><svg class=\"picture\" width=\"{width}\" height=\"14\" aria-hidden=\"true\">{drawn}</svg>{text}</li>\n"
        )
    };
    for (class, text) in SWATCHES {
        let swatch = swatch(class, 1, 1);
        out.write_all(item(16, &swatch, text).as_bytes())?;
    }
    for (class, text) in STROKES {
        let stroke = format!("<path class=\"line {class}\" d=\"M1 7h22\"/>");
        out.write_all(item(24, &stroke, text).as_bytes())?;
    }
    Ok(())
}

/// What a policy of content names a text in the page by.
fn hash(text: &str) -> String {
    let digest = Digest::of(text.as_bytes());
    let raw = digest.sha256().expect("Digest::of makes sha256");
    format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(raw))
}

/// The document, so that it cannot end the element it stands in: in JSON these letters stand only within strings,
/// and can be written as numbers there.
fn document(drawn: &Drawn<'_>) -> io::Result<String> {
    let text = serde_json::to_string(&drawn.document())?;
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out += &format!("\\u{:04x}", u32::from(c)),
            _ => out.push(c),
        }
    }
    Ok(out)
}
