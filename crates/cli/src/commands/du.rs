//! `du` tells what a layout takes, and for whom.

use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::path::Path;

use clap::ValueEnum;
use ocistow_graph::du::{BlobUsage, Usage, usage};
use ocistow_graph::resolve::shortest;
use ocistow_graph::{Graph, ManifestKind};
use ocistow_layout::{Digest, Error, Kind, Result};
use serde::Serialize;

use super::at::{self, At};
use crate::code::Code;
use crate::look::{Look, Side, columns_at};
use crate::node::reference;
use crate::shown::{bytes, shown};
use crate::speak::{Answer, Context};

/// Tell what a layout or archive takes, and for whom
///
/// TOTAL is what goes along with a root, and is there: what it needs, its referrers, and what those need.
/// UNIQUE is that part of it that no root of another digest has, SHARED the rest. Tags of one digest have the
/// same numbers. Lengths are those of the blobs; no content is read.
///
/// The lines below: "total", what the entries of index.json lead to, each blob once; "of no root", that part
/// of it that no root has, such as a signature whose image is gone; "unreachable", blobs that no entry leads
/// to; "absent", what is needed and not there, platforms that were not carried included; "staged", what
/// writers put aside. With -v every blob follows, the biggest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow du ./store
  ocistow du app.tar -v
  ocistow du ./store --sort unique --format json | jq -r '.roots[:10][] | [.unique, .tag]'")]
pub struct Args {
    #[command(flatten)]
    at: At,
    /// In which order roots are told: index (as ls has them), total or unique, the biggest first
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Order::Index, value_name = "BY")]
    sort: Order,
}

/// An order of roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// That of index.json
    Index,
    /// By all they need
    Total,
    /// By what they need alone
    Unique,
}

/// What a layout takes.
#[derive(Serialize)]
struct Told {
    roots: Vec<Row>,
    total: u64,
    rootless: u64,
    unreachable: u64,
    absent: u64,
    staged: u64,
    counts: Counts,
    /// Every blob, with `-v`.
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs: Option<Vec<Lying>>,
}

/// How many blobs each of the sums is of; of what is staged, how many files.
#[derive(Serialize)]
struct Counts {
    total: u64,
    rootless: u64,
    unreachable: u64,
    absent: u64,
    staged: u64,
}

#[derive(Serialize)]
struct Row {
    reference: String,
    digest: Digest,
    tag: Option<String>,
    name: Option<String>,
    kind: Option<ManifestKind>,
    /// Whether it is not there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    absent: bool,
    total: u64,
    unique: u64,
    shared: u64,
    /// How many blobs the total is of.
    blobs: u64,
    /// What is written to mean this entry alone.
    #[serde(skip)]
    shortest: String,
}

/// A blob.
#[derive(Serialize)]
struct Lying {
    digest: Digest,
    size: u64,
    /// How many roots it goes along with.
    roots: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unreachable: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    absent: bool,
}

impl Lying {
    fn of(blob: BlobUsage) -> Self {
        let BlobUsage { digest, size, there, reached, roots } = blob;
        Self { digest, size, roots, unreachable: !reached, absent: !there }
    }

    fn state(&self) -> String {
        match (self.absent, self.unreachable, self.roots) {
            (true, ..) => "absent".to_owned(),
            (_, true, _) => "unreachable".to_owned(),
            (_, _, 0) => "of no root".to_owned(),
            (_, _, roots) => roots.to_string(),
        }
    }
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let location = self.at.read()?;
        if !location.pick.is_empty() {
            return Err(Error::new(Kind::Usage, "could not tell what a single entry takes")
                .because("du takes a location without a reference, and tells of all roots")
                .hint("plan tells what goes along with one reference"));
        }
        let source = at::open(context, &location)?;
        let progress = context.progress("reading manifests", None);
        // The process ends before thousands of manifests would be given back one by one.
        let graph = ManuallyDrop::new(Graph::load(&*source, at::load(context, false), &progress)?);
        let usage = usage(&graph, &*source)?;
        drop(progress);
        for (place, entry) in graph.index().entries().iter().enumerate() {
            if let Err(why) = &entry.descriptor {
                context.warn(&format!("entry {place} of index.json is passed over: {why}"));
            }
        }
        for (digest, why) in &usage.broken {
            context.warn(&format!("{digest} cannot be read, so what it needs is not known: {why}"));
        }
        context.answer_of(&self.told(&graph, &location.path, usage, context.verbose > 0), &graph.unread())
    }

    fn told(&self, graph: &Graph, path: &Path, usage: Usage, verbose: bool) -> Told {
        let shortest = shortest(graph.index());
        let mut roots = Vec::new();
        for row in &usage.roots {
            let entry = &graph.index().entries()[row.place];
            let Ok(descriptor) = &entry.descriptor else { continue };
            let digest = descriptor.digest.clone();
            roots.push(Row {
                reference: reference(path, &digest),
                tag: entry.pair.tag().map(str::to_owned),
                name: entry.pair.full().map(str::to_owned),
                kind: graph.kind(&digest),
                absent: graph.absent(&digest),
                total: row.total.bytes,
                unique: row.unique.bytes,
                shared: row.shared().bytes,
                blobs: row.total.blobs,
                shortest: format!("{}{}", path.display(), shortest(row.place)),
                digest,
            });
        }
        match self.sort {
            Order::Index => {}
            Order::Total => roots.sort_by_key(|row| std::cmp::Reverse(row.total)),
            Order::Unique => roots.sort_by_key(|row| std::cmp::Reverse(row.unique)),
        }
        let Usage { total, rootless, unreachable, absent, staged, blobs, .. } = usage;
        let blobs = verbose.then(|| {
            let mut blobs: Vec<Lying> = blobs.into_iter().map(Lying::of).collect();
            blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
            blobs
        });
        Told {
            roots,
            total: total.bytes,
            rootless: rootless.bytes,
            unreachable: unreachable.bytes,
            absent: absent.bytes,
            staged: staged.bytes,
            counts: Counts {
                total: total.blobs,
                rootless: rootless.blobs,
                unreachable: unreachable.blobs,
                absent: absent.blobs,
                staged: staged.blobs,
            },
            blobs,
        }
    }
}

impl Answer for Told {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        let mut rows = vec![["REFERENCE", "TOTAL", "UNIQUE", "SHARED", "BLOBS"].map(str::to_owned)];
        for row in &self.roots {
            let absent = if row.absent { "  absent" } else { "" };
            let reference = format!("{}{absent}", shown(&row.shortest));
            rows.push([reference, bytes(row.total), bytes(row.unique), bytes(row.shared), row.blobs.to_string()]);
        }
        let sums = [
            ("total", self.total, self.counts.total),
            ("of no root", self.rootless, self.counts.rootless),
            ("unreachable", self.unreachable, self.counts.unreachable),
            ("absent", self.absent, self.counts.absent),
            ("staged", self.staged, self.counts.staged),
        ];
        for (at, (name, sum, count)) in sums.into_iter().enumerate() {
            if at == 0 || count > 0 {
                rows.push([name.to_owned(), bytes(sum), String::new(), String::new(), count.to_string()]);
            }
        }
        columns_at(out, look, [Side::Left, Side::Right, Side::Right, Side::Right, Side::Right], &rows)?;
        let Some(blobs) = &self.blobs else { return Ok(()) };
        let mut rows = vec![["DIGEST", "SIZE", "ROOTS"].map(str::to_owned)];
        for blob in blobs {
            rows.push([blob.digest.to_string(), bytes(blob.size), blob.state()]);
        }
        writeln!(out)?;
        columns_at(out, look, [Side::Left, Side::Right, Side::Left], &rows)
    }
}
