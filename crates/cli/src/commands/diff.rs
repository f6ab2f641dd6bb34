//! `diff` compares two layouts, or two references.

use std::ffi::OsString;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::path::PathBuf;

use ocistow_graph::diff::{Difference, Named, Side};
use ocistow_graph::resolve::{Target, resolve_in};
use ocistow_graph::{Graph, Moved};
use ocistow_layout::name::Pair;
use ocistow_layout::{Blob, Count, Digest, Result, Source};
use serde::Serialize;

use super::at;
use crate::code::Code;
use crate::location::Location;
use crate::look::{Look, Side as Fill, columns_at};
use crate::shown::{bytes, shown};
use crate::speak::{Answer, Context};

/// Compare two layouts or archives, or one reference of each
///
/// Without a reference: every name, every entry without one, and every blob that lies there. A blob is the same
/// if digest and length are; fsck says whether its content is right. With a reference on either side only what
/// the two stand for is compared, whatever they are called, with all that goes along: what they need, what
/// refers to them. A side without a reference then means its one root.
///
/// + is what only B has, - what only A has, ~ a name that stands for something else. With -v the blobs follow.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow diff ./store app.tar
  ocistow diff ./store:1.0 ./store:1.1 -v
  ocistow diff -q --exit-code ./store:app ./there:app && echo the same")]
pub struct Args {
    /// What is compared: PATH, PATH:REF, PATH@DIGEST or PATH:REF@DIGEST
    #[arg(value_name = "A", required_unless_present = "path")]
    one: Option<OsString>,
    /// With what
    #[arg(value_name = "B", required_unless_present = "to_path")]
    other: Option<OsString>,
    /// End with 7 if there is a difference
    #[arg(long)]
    exit_code: bool,
    /// Take PATH as the one as it is, whatever it contains, and A as a reference in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
    /// Take PATH as the other as it is, and B as a reference in it
    #[arg(long, value_name = "PATH")]
    to_path: Option<PathBuf>,
}

/// A layout that is compared.
struct Opened {
    location: Location,
    source: Box<dyn Source>,
}

/// What is different.
#[derive(Serialize)]
struct Told {
    tags: Tags,
    untagged: Apart<Vec<Digest>>,
    blobs: Sums,
    bytes: Sums,
    /// The blobs that one side has alone, with `-v`.
    #[serde(skip_serializing_if = "Option::is_none")]
    lists: Option<Apart<Vec<Lying>>>,
}

#[derive(Serialize)]
struct Tags {
    added: Vec<Named>,
    removed: Vec<Named>,
    changed: Vec<Moved>,
}

/// Of each side what it has alone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Apart<T> {
    only_a: T,
    only_b: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sums {
    only_a: u64,
    only_b: u64,
    both: u64,
}

#[derive(Serialize)]
struct Lying {
    digest: Digest,
    size: u64,
}

impl Args {
    /// Where the two are.
    pub fn read(&self) -> Result<[Location; 2]> {
        Ok([
            at::read(self.one.as_deref(), self.path.as_deref())?,
            at::read(self.other.as_deref(), self.to_path.as_deref())?,
        ])
    }

    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let [a, b] = self.read()?;
        let whole = a.pick.is_empty() && b.pick.is_empty();
        let (a, b) = (opened(context, a)?, opened(context, b)?);
        let sides = match whole {
            true => [Side::layout(&*a.source)?, Side::layout(&*b.source)?],
            false => references(context, &a, &b)?,
        };
        for (side, opened) in sides.iter().zip([&a, &b]) {
            warn(context, side, opened);
        }
        let difference = Difference::between(&sides[0], &sides[1]);
        for digest in difference.of_two_lengths() {
            context.warn(&format!("{digest} has another length on each side: one of them is not whole"));
        }
        let same = difference.is_none();
        let told = Told::of(difference, context.verbose > 0);
        if self.exit_code && !same {
            let message = format!("{} and {} are different", a.location, b.location);
            return context.answer_ending(&told, Code::Differs, &message);
        }
        context.answer(&told)?;
        Ok(Code::Done)
    }
}

fn opened(context: &Context<'_>, location: Location) -> Result<Opened> {
    Ok(Opened { source: at::open(context, &location)?, location })
}

/// The two references, compared under one name: that of the first, else of the second, if they have any.
fn references(context: &Context<'_>, a: &Opened, b: &Opened) -> Result<[Side; 2]> {
    let progress = context.progress("reading manifests", None);
    let resolved = |opened: &Opened| -> Result<(ManuallyDrop<Graph>, Target)> {
        // The process ends before thousands of manifests would be given back one by one.
        let graph = ManuallyDrop::new(Graph::load(&*opened.source, at::load(context, false), &progress)?);
        let target = resolve_in(&graph, &*opened.source, &at::asked(&opened.location.pick))?;
        graph.unread().verdict()?;
        Ok((graph, target))
    };
    let ((of_a, one), (of_b, other)) = (resolved(a)?, resolved(b)?);
    let name = |graph: &Graph, target: &Target| {
        let pairs = target.places.iter().map(|place| graph.index().entries()[*place].pair.key());
        pairs.into_iter().find(|pair| !pair.is_empty())
    };
    let name: Pair = name(&of_a, &one).or_else(|| name(&of_b, &other)).unwrap_or_default();
    Ok([Side::reference(&of_a, &*a.source, &one, &name)?, Side::reference(&of_b, &*b.source, &other, &name)?])
}

/// Tells what of a side could not be compared.
fn warn(context: &Context<'_>, side: &Side, opened: &Opened) {
    let at = opened.source.location();
    for (place, why) in &side.unreadable {
        context.warn(&format!("{at}: entry {place} of index.json stands for nothing: {why}"));
    }
    for digest in &side.missing {
        context.warn(&format!("{at}: {digest} is needed and not there"));
    }
    for (digest, why) in &side.broken {
        context.warn(&format!("{at}: {digest} cannot be used: {why}"));
    }
}

impl Told {
    fn of(difference: Difference, verbose: bool) -> Self {
        let Difference { added, removed, changed, untagged: [only_a, only_b], only: [of_a, of_b], both } = difference;
        let sum = |blobs: &[Blob]| {
            let mut count = Count::default();
            blobs.iter().for_each(|blob| count.add(blob.size));
            count
        };
        let (a, b) = (sum(&of_a), sum(&of_b));
        let lying = |blobs: Vec<Blob>| blobs.into_iter().map(|Blob { digest, size }| Lying { digest, size }).collect();
        Self {
            tags: Tags { added, removed, changed },
            untagged: Apart { only_a, only_b },
            blobs: Sums { only_a: a.blobs, only_b: b.blobs, both: both.blobs },
            bytes: Sums { only_a: a.bytes, only_b: b.bytes, both: both.bytes },
            lists: verbose.then(|| Apart { only_a: lying(of_a), only_b: lying(of_b) }),
        }
    }
}

/// What a name is called, with what follows it.
fn called(look: Look, tag: Option<&str>, name: Option<&str>) -> String {
    let name = name.or(tag).map(|name| look.bold(&shown(name)) + "  ");
    name.unwrap_or_default()
}

fn told(digest: Option<&Digest>) -> String {
    digest.map_or_else(|| "unreadable".to_owned(), ToString::to_string)
}

impl Answer for Told {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        for (sign, names) in [('-', &self.tags.removed), ('+', &self.tags.added)] {
            for Named { tag, name, digest, absent } in names {
                let absent = if *absent { "  absent" } else { "" };
                let called = called(look, tag.as_deref(), name.as_deref());
                writeln!(out, "{sign} {called}{}{absent}", told(digest.as_ref()))?;
            }
        }
        for Moved { tag, name, from, to } in &self.tags.changed {
            let called = called(look, tag.as_deref(), name.as_deref());
            writeln!(out, "~ {called}{} → {}", told(from.as_ref()), told(to.as_ref()))?;
        }
        for (sign, digests) in [('-', &self.untagged.only_a), ('+', &self.untagged.only_b)] {
            digests.iter().try_for_each(|digest| writeln!(out, "{sign} {digest}  without a name"))?;
        }
        let row = |name: &str, Sums { only_a, only_b, both }: &Sums, told: fn(u64) -> String| {
            [name.to_owned(), told(*only_a), told(*only_b), told(*both)]
        };
        let heading = ["", "ONLY A", "ONLY B", "BOTH"].map(str::to_owned);
        let rows = [heading, row("blobs", &self.blobs, |n| n.to_string()), row("bytes", &self.bytes, bytes)];
        columns_at(out, look, [Fill::Left, Fill::Right, Fill::Right, Fill::Right], &rows)?;
        let Some(Apart { only_a, only_b }) = &self.lists else { return Ok(()) };
        for (sign, blobs) in [('-', only_a), ('+', only_b)] {
            blobs.iter().try_for_each(|blob| writeln!(out, "{sign} {}  {}", blob.digest, bytes(blob.size)))?;
        }
        Ok(())
    }
}
