//! Where everything in a picture stands: columns from left to right, what belongs to a thing to the right of it.
//!
//! Layouts are nearly trees, so that is how they are drawn: each figure has rows of its own, beside the last of those
//! it belongs to, and what ties it to others is a curve, or a [mark](Route::Mark) where curves would tangle. It
//! takes time and room in proportion to what is drawn.

use std::fmt;

use crate::facts;
use crate::picture::{Bond, Figure, Line, Picture};

/// The most figures that are drawn.
pub const MAX_FIGURES: usize = 10_000;
/// The most lines that are drawn.
pub const MAX_LINES: usize = 30_000;

/// How wide every figure is.
pub const WIDTH: u32 = 256;
/// How wide every mark is.
pub const MARK_WIDTH: u32 = 212;
/// How high a manifest is.
pub const MANIFEST: u32 = 46;
/// How high a blob is.
pub const BLOB: u32 = 26;
/// How high a mark is.
pub const MARK: u32 = 20;

/// Between columns.
const AISLE: u32 = 64;
/// Above the first figure, below the last one, and at both sides.
const MARGIN: u32 = 24;
/// Below a blob or mark.
const AFTER_BLOB: u32 = 6;
/// Below a manifest and all that belongs to it.
const AFTER_MANIFEST: u32 = 14;
/// Below what belongs to nothing, and all that belongs to it.
const AFTER_ROOT: u32 = 26;
/// How far below its upper edge a line of needs leaves a figure, and any line arrives at one.
const PORT: u32 = 13;
/// The same for a line of those who refer to a manifest.
const REFERRER_PORT: u32 = 34;
/// How far right of a figure the lines to what it needs run up and down.
const TRUNK: u32 = 34;
/// The same for the lines of those who refer to it, which lie below those: so the two do not cross.
const REFERRER_TRUNK: u32 = 18;

/// The most lines that meet at one figure as curves.
const MAX_CURVES: usize = 4;
/// The longest way up or down that a curve takes.
const LONGEST_CURVE: u32 = 700;

/// A picture with a place for everything in it, in pixels from the upper left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    /// How wide all of it is.
    pub width: u32,
    /// How high all of it is.
    pub height: u32,
    /// Where the figures stand, in the picture's order.
    pub frames: Vec<Frame>,
    /// How the lines go, in the picture's order.
    pub routes: Vec<Route>,
}

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Its left edge.
    pub x: u32,
    /// Its upper edge.
    pub y: u32,
    /// How high it is; figures are [`WIDTH`] wide, marks [`MARK_WIDTH`].
    pub height: u32,
}

/// A point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// From the left.
    pub x: u32,
    /// From above.
    pub y: u32,
}

/// How a line goes, from what the other end belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Right to the trunk, down, and right.
    Branch {
        /// At the owner's right edge.
        from: Point,
        /// Where it runs down.
        trunk: u32,
        /// At the left edge of what belongs to it.
        to: Point,
    },
    /// Straight over, past others' rows.
    Curve {
        /// At the owner's right edge.
        from: Point,
        /// At the left edge of what belongs to it.
        to: Point,
    },
    /// To a small mark that names what stands elsewhere.
    Mark {
        /// At the owner's right edge.
        from: Point,
        /// Where it runs down.
        trunk: u32,
        /// At the left edge of the mark.
        to: Point,
        /// Where the mark stands.
        frame: Frame,
    },
}

/// Why a picture is not drawn: it would be too large for whoever looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// How many figures it has.
    pub figures: usize,
    /// How many lines it has.
    pub lines: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { figures, lines } = self;
        write!(f, "it has {figures} nodes and {lines} edges, the most are {MAX_FIGURES} and {MAX_LINES}")
    }
}

impl std::error::Error for TooLarge {}

/// What becomes of a line, decided before anything has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Branch,
    Curve,
    Mark,
}

impl Canvas {
    /// Finds a place for everything. `Err` beyond [`MAX_FIGURES`] or [`MAX_LINES`].
    pub fn of(picture: &Picture) -> Result<Self, TooLarge> {
        let (figures, lines) = (picture.figures.len(), picture.lines.len());
        if figures > MAX_FIGURES || lines > MAX_LINES {
            return Err(TooLarge { figures, lines });
        }
        let below = below(picture);
        let (columns, forward) = columns(picture, &below);
        let mut ways = ways(picture, &columns, &forward);
        let frames = rows(picture, &below, &columns, &ways).0;
        // A curve that would be too long is a mark instead, which takes a row.
        for (way, line) in ways.iter_mut().zip(&picture.lines) {
            let (owner, owned) = line.owned();
            if *way == Way::Curve && frames[owner].y.abs_diff(frames[owned].y) > LONGEST_CURVE {
                *way = Way::Mark;
            }
        }
        let (frames, marks) = rows(picture, &below, &columns, &ways);
        let routes = ways.iter().enumerate().map(|(at, way)| route(picture, &frames, at, *way, marks[at])).collect();
        let all = || frames.iter().chain(marks.iter().flatten());
        let width = all().map(|frame| frame.x + WIDTH).max().unwrap_or(0) + MARGIN;
        let height = all().map(|frame| frame.y + frame.height).max().unwrap_or(0) + MARGIN;
        Ok(Self { width, height, frames, routes })
    }
}

fn route(picture: &Picture, frames: &[Frame], at: usize, way: Way, mark: Option<Frame>) -> Route {
    let line = &picture.lines[at];
    let (owner, owned) = line.owned();
    let (port, trunk) = match line.refers() {
        true => (REFERRER_PORT.min(frames[owner].height - 8), REFERRER_TRUNK),
        false => (PORT, TRUNK),
    };
    let edge = frames[owner].x + WIDTH;
    let from = Point { x: edge, y: frames[owner].y + port };
    let to = Point { x: frames[owned].x, y: frames[owned].y + PORT };
    let trunk = edge + trunk;
    match (way, mark) {
        (Way::Branch, _) => Route::Branch { from, trunk, to },
        (_, Some(frame)) => Route::Mark { from, trunk, to: Point { x: frame.x, y: frame.y + MARK / 2 }, frame },
        (_, None) => Route::Curve { from, to },
    }
}

/// The lines by which others belong to each figure: parts without parts, then children, then referrers, each in the
/// picture's order.
fn below(picture: &Picture) -> Vec<Vec<usize>> {
    let mut below = vec![Vec::new(); picture.figures.len()];
    for (at, line) in picture.lines.iter().enumerate() {
        below[line.owned().0].push(at);
    }
    let rank = |line: &usize| match picture.lines[*line].bond {
        Bond::Needs(facts::Role::Child) => 1,
        Bond::Needs(_) => 0,
        Bond::Refers { .. } => 2,
    };
    for lines in &mut below {
        lines.sort_by_key(rank);
    }
    below
}

/// The column of each figure, right of all it belongs to, and which lines go forward: in a circle, which only an
/// enemy draws, one line goes back.
fn columns(picture: &Picture, below: &[Vec<usize>]) -> (Vec<u32>, Vec<bool>) {
    let count = picture.figures.len();
    let mut owners = vec![0_usize; count];
    for line in &picture.lines {
        owners[line.owned().1] += 1;
    }
    let mut forward = vec![true; picture.lines.len()];
    let mut met = vec![false; count];
    // On the way from where the walk started: whoever leads there goes back.
    let mut open = vec![false; count];
    let mut done = Vec::with_capacity(count);
    // What belongs to nothing first; what is left then is in a circle.
    let starts = (0..count).filter(|at| owners[*at] == 0).chain(0..count);
    for start in starts {
        if met[start] {
            continue;
        }
        // Own stack: figures, and how many of their lines were followed.
        let mut stack = vec![(start, 0)];
        (met[start], open[start]) = (true, true);
        while let Some((at, followed)) = stack.last_mut() {
            let Some(&line) = below[*at].get(*followed) else {
                open[*at] = false;
                done.push(*at);
                stack.pop();
                continue;
            };
            *followed += 1;
            let (_, next) = picture.lines[line].owned();
            if open[next] {
                forward[line] = false;
            } else if !met[next] {
                (met[next], open[next]) = (true, true);
                stack.push((next, 0));
            }
        }
    }
    let mut columns = vec![0; count];
    for &at in done.iter().rev() {
        for &line in below[at].iter().filter(|line| forward[**line]) {
            let (_, next) = picture.lines[line].owned();
            columns[next] = columns[next].max(columns[at] + 1);
        }
    }
    (columns, forward)
}

/// What becomes of each line: every figure hangs on one branch, and other lines are curves where they are few and
/// go to the next column from things that are alike.
fn ways(picture: &Picture, columns: &[u32], forward: &[bool]) -> Vec<Way> {
    let count = picture.figures.len();
    let mut branch: Vec<Option<usize>> = vec![None; count];
    let mut meeting = vec![0_usize; count];
    let next_column = |at: usize| {
        let (owner, owned) = picture.lines[at].owned();
        forward[at] && columns[owned] == columns[owner] + 1
    };
    for (at, line) in picture.lines.iter().enumerate() {
        let (_, owned) = line.owned();
        meeting[owned] += 1;
        if next_column(at) {
            // A referrer hangs on its subject, also where a list has it as a child.
            let better = branch[owned].is_none_or(|known| line.refers() && !picture.lines[known].refers());
            branch[owned] = if better { Some(at) } else { branch[owned] };
        }
    }
    // What an index or a list has as a child, and hangs on its subject, is only named there.
    let alike = |owned: usize, line: &Line| branch[owned].is_some_and(|at| picture.lines[at].refers() == line.refers());
    let way = |(at, line): (usize, &Line)| {
        let (_, owned) = line.owned();
        if branch[owned] == Some(at) {
            Way::Branch
        } else if next_column(at) && meeting[owned] <= MAX_CURVES && alike(owned, line) {
            Way::Curve
        } else {
            Way::Mark
        }
    };
    picture.lines.iter().enumerate().map(way).collect()
}

/// Where figures stand, and the marks of those lines that have one.
fn rows(picture: &Picture, below: &[Vec<usize>], columns: &[u32], ways: &[Way]) -> (Vec<Frame>, Vec<Option<Frame>>) {
    let x = |column: u32| MARGIN + column * (WIDTH + AISLE);
    let height = |figure: &Figure| if figure.is_manifest() { MANIFEST } else { BLOB };
    let mut frames: Vec<Frame> = picture
        .figures
        .iter()
        .zip(columns)
        .map(|(figure, column)| Frame { x: x(*column), y: 0, height: height(figure) })
        .collect();
    let mut marks = vec![None; picture.lines.len()];
    let mut hangs = vec![false; frames.len()];
    for (line, _) in picture.lines.iter().zip(ways).filter(|(_, way)| **way == Way::Branch) {
        hangs[line.owned().1] = true;
    }
    let mut y = MARGIN;
    for root in (0..frames.len()).filter(|at| !hangs[*at]) {
        frames[root].y = y;
        // Own stack, as above.
        let mut stack = vec![(root, 0)];
        while let Some((at, followed)) = stack.last_mut() {
            let at = *at;
            let Some(&line) = below[at].get(*followed) else {
                let after = if picture.figures[at].is_manifest() { AFTER_MANIFEST } else { AFTER_BLOB };
                // What belongs to it may end above its own lower edge, with a gap of its own.
                y = y.max(frames[at].y + frames[at].height + after);
                stack.pop();
                continue;
            };
            *followed += 1;
            let (_, owned) = picture.lines[line].owned();
            match ways[line] {
                Way::Branch => {
                    frames[owned].y = y;
                    stack.push((owned, 0));
                }
                Way::Mark => {
                    marks[line] = Some(Frame { x: x(columns[at] + 1), y: y + 3, height: MARK });
                    y += MARK + AFTER_BLOB;
                }
                Way::Curve => {}
            }
        }
        y += AFTER_ROOT - AFTER_MANIFEST;
    }
    (frames, marks)
}
