//! A picture as SVG: a file of its own, or the part of a page.

use std::io::{self, Write};

use ocistow_graph::Canvas;
use ocistow_graph::canvas::{Frame, MARK, MARK_WIDTH, Point, Route, WIDTH};
use ocistow_graph::picture::{Figure, Line, State};

use super::{Drawn, Label, STROKES, SWATCHES, escaped, lines, plain, short, state};
use crate::shown::{bytes, shown};

/// How a picture looks, in light and in dark.
pub const STYLE: &str = include_str!("picture.css");

/// How much of the file stands above the picture.
const HEAD: u32 = 88;
/// How wide the file is at least: room for the heading.
const LEAST: u32 = 900;
/// How far a line turns its corners.
const CORNER: u32 = 6;

/// Writes it as a file of its own, with a heading and a legend.
pub fn write(drawn: &Drawn<'_>, canvas: &Canvas, out: &mut dyn Write) -> io::Result<()> {
    let (width, height) = (canvas.width.max(LEAST), canvas.height + HEAD);
    let heading = escaped(drawn.heading());
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"picture alone\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 -{HEAD} {width} {height}\" role=\"img\" aria-label=\"{heading}\">"
    )?;
    writeln!(out, "<style>\n{STYLE}</style>")?;
    writeln!(out, "<rect class=\"paper\" y=\"-{HEAD}\" width=\"{width}\" height=\"{height}\"/>")?;
    writeln!(
        out,
        "<text class=\"heading\" x=\"24\" y=\"-56\">{}</text>",
        escaped(&fit(drawn.heading(), LEAST - 80, 17))
    )?;
    writeln!(out, "<text class=\"counts\" x=\"24\" y=\"-36\">{}</text>", drawn.counts())?;
    legend(out)?;
    body(drawn, canvas, out)?;
    out.write_all(b"</svg>\n")
}

fn legend(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"<g class=\"legend\">\n")?;
    let mut x = 24;
    for (class, text) in SWATCHES {
        writeln!(out, "{}<text x=\"{}\" y=\"-14\">{text}</text>", swatch(class, x, -24), x + 20)?;
        x += wide(text) + 38;
    }
    for (class, text) in STROKES {
        let line = format!("<path class=\"line {class}\" d=\"M{x} -18h20\"/>");
        writeln!(out, "{line}<text x=\"{}\" y=\"-14\">{text}</text>", x + 26)?;
        x += wide(text) + 48;
    }
    out.write_all(b"</g>\n")
}

/// How long a text of a legend is.
fn wide(text: &str) -> i32 {
    i32::try_from(length(text, 12)).unwrap_or_default()
}

/// A figure without anything on it, as a legend shows its look.
pub fn swatch(class: &str, x: i32, y: i32) -> String {
    let shape = format!("<rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"14\" height=\"12\" rx=\"3\"/>");
    format!("<g class=\"figure {class}\">{shape}</g>")
}

/// Writes what is in the picture: lines, then marks, then figures, each in the picture's order.
pub fn body(drawn: &Drawn<'_>, canvas: &Canvas, out: &mut dyn Write) -> io::Result<()> {
    let picture = drawn.picture;
    out.write_all(b"<g class=\"lines\">\n")?;
    for (line, route) in picture.lines.iter().zip(&canvas.routes) {
        let class = if line.refers() { "refers" } else { "needs" };
        writeln!(out, "<path class=\"line {class}\" d=\"{}\"/>", path(line, route))?;
    }
    out.write_all(b"</g>\n<g class=\"heads\">\n")?;
    // All who refer to something come in at one point.
    let mut last = None;
    for (line, route) in picture.lines.iter().zip(&canvas.routes).filter(|(line, _)| line.refers()) {
        let (Route::Branch { from, .. } | Route::Curve { from, .. } | Route::Mark { from, .. }) = *route;
        if last.replace(line.to) != Some(line.to) {
            writeln!(out, "<path class=\"head\" d=\"M{} {}l8 -4v8z\"/>", from.x, from.y)?;
        }
    }
    out.write_all(b"</g>\n<g class=\"marks\">\n")?;
    for (line, route) in picture.lines.iter().zip(&canvas.routes) {
        if let Route::Mark { frame, .. } = route {
            let at = line.owned().1;
            mark(&picture.figures[at], &drawn.labels[at], *frame, out)?;
        }
    }
    out.write_all(b"</g>\n<g class=\"figures\">\n")?;
    for ((figure, label), frame) in picture.figures.iter().zip(&drawn.labels).zip(&canvas.frames) {
        self::figure(figure, label, *frame, out)?;
    }
    out.write_all(b"</g>\n")
}

fn figure(figure: &Figure, label: &Label, frame: Frame, out: &mut dyn Write) -> io::Result<()> {
    let Frame { x, y, height } = frame;
    let digest = &figure.digest;
    let classes = [Some(label.hue), state(figure)].into_iter().flatten().collect::<Vec<_>>().join(" ");
    write!(out, "<a class=\"figure {classes}\" id=\"{digest}\" href=\"#{digest}\" transform=\"translate({x} {y})\">")?;
    write!(out, "<title>{}</title>", tip(figure, label))?;
    write!(out, "<rect class=\"box\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>")?;
    write!(out, "<rect class=\"bar\" x=\"5\" y=\"5\" width=\"4\" height=\"{}\" rx=\"2\"/>", height - 10)?;
    let size = match figure.state {
        State::Present => bytes(figure.size),
        _ => state(figure).unwrap_or_default().to_owned(),
    };
    let right = WIDTH - 10;
    if figure.is_manifest() {
        let word = fit(&label.word, 90, 11);
        let room = WIDTH - 34 - length(&word, 11);
        let title = if label.tail { fit_tail(&label.title, room, 14) } else { fit(&label.title, room, 14) };
        write!(out, "<text class=\"name\" x=\"16\" y=\"19\">{}</text>", escaped(&title))?;
        if label.word != label.title {
            write!(out, "<text class=\"word\" x=\"{right}\" y=\"19\">{}</text>", escaped(&word))?;
        }
        write!(out, "<text class=\"digest\" x=\"16\" y=\"36\">{}</text>", short(digest))?;
        write!(out, "<text class=\"size\" x=\"{right}\" y=\"36\">{size}</text>")?;
    } else {
        // What has no name of its own is told from others by its digest.
        let named = label.title != label.word;
        let room = WIDTH - 34 - length(&size, 11) - if named { 0 } else { 88 };
        write!(out, "<text class=\"part\" x=\"16\" y=\"17\">{}</text>", escaped(&fit(&label.title, room, 12)))?;
        if !named {
            write!(out, "<text class=\"digest end\" x=\"{}\" y=\"17\">{}</text>", right - 62, plain(digest))?;
        }
        write!(out, "<text class=\"size\" x=\"{right}\" y=\"17\">{size}</text>")?;
    }
    out.write_all(b"</a>\n")
}

/// A mark names what stands elsewhere.
fn mark(figure: &Figure, label: &Label, frame: Frame, out: &mut dyn Write) -> io::Result<()> {
    let Frame { x, y, .. } = frame;
    let digest = &figure.digest;
    write!(out, "<a class=\"mark {}\" href=\"#{digest}\" transform=\"translate({x} {y})\">", label.hue)?;
    write!(out, "<title>{}</title>", tip(figure, label))?;
    write!(out, "<rect class=\"box\" width=\"{MARK_WIDTH}\" height=\"{MARK}\" rx=\"10\"/>")?;
    write!(
        out,
        "<text class=\"part\" x=\"12\" y=\"14\">\u{2197} {}</text>",
        escaped(&fit(&label.title, MARK_WIDTH - 118, 12))
    )?;
    writeln!(out, "<text class=\"digest\" x=\"{}\" y=\"14\">{}</text></a>", MARK_WIDTH - 90, plain(digest))
}

fn tip(figure: &Figure, label: &Label) -> String {
    lines(label, figure).iter().map(|line| escaped(line)).collect::<Vec<_>>().join("\n")
}

/// The way of a line; one of needs ends in an arrow of its own.
fn path(line: &Line, route: &Route) -> String {
    let (way, to) = match *route {
        Route::Branch { from, trunk, to } | Route::Mark { from, trunk, to, .. } => (elbow(from, trunk, to), to),
        Route::Curve { from, to } => {
            let (one, other) = (from.x + 40, to.x.saturating_sub(40));
            (format!("M{} {}C{one} {} {other} {} {} {}", from.x, from.y, from.y, to.y, to.x, to.y), to)
        }
    };
    match line.refers() {
        true => way,
        false => format!("{way}M{} {}l6 3.5l-6 3.5", to.x - 7, f64::from(to.y) - 3.5),
    }
}

fn elbow(from: Point, trunk: u32, to: Point) -> String {
    let (Point { x, y }, corner) = (from, CORNER.min(from.y.abs_diff(to.y) / 2));
    if corner == 0 {
        return format!("M{x} {y}H{trunk}V{}H{}", to.y, to.x);
    }
    let (before, after) = if to.y > y { (to.y - corner, y + corner) } else { (to.y + corner, y - corner) };
    format!(
        "M{x} {y}H{}Q{trunk} {y} {trunk} {after}V{before}Q{trunk} {} {} {}H{}",
        trunk - corner,
        to.y,
        trunk + corner,
        to.y,
        to.x
    )
}

/// As much of the text as has room, as it is shown.
fn fit(text: &str, room: u32, size: u32) -> String {
    let text = shown(text);
    if length(&text, size) <= room {
        return text.into_owned();
    }
    let room = room.saturating_sub(size);
    let mut cut = String::new();
    let mut taken = 0;
    for c in text.chars() {
        taken += width(c) * size;
        if taken > room * 100 {
            break;
        }
        cut.push(c);
    }
    cut + "…"
}

/// As much of the end of the text as has room, as it is shown.
fn fit_tail(text: &str, room: u32, size: u32) -> String {
    let turned = |text: &str| text.chars().rev().collect::<String>();
    let text = shown(text);
    if length(&text, size) <= room { text.into_owned() } else { turned(&fit(&turned(&text), room, size)) }
}

/// About how long a text is in letters of a size. Nobody knows the reader's fonts.
fn length(text: &str, size: u32) -> u32 {
    text.chars().map(|c| width(c) * size).fold(0, u32::saturating_add).div_ceil(100)
}

/// About how wide a letter is, in hundredths of its size.
fn width(c: char) -> u32 {
    match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '(' | ')' | '[' | ']' => 36,
        'f' | 't' | 'r' | ' ' | '/' | '-' | '"' => 42,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '—' | '…' => 98,
        'A'..='Z' | '+' | '=' | '<' | '>' | '#' | '~' => 76,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' => 104,
        '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ffe6}' | '\u{1f000}'.. => 128,
        _ => 64,
    }
}
