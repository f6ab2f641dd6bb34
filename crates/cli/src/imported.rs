//! What was imported, or would be: the answer of `import`.

use std::collections::BTreeSet;
use std::io::{self, Write};

use ocistow_graph::Moved;
use ocistow_layout::{Digest, Done};
use serde::Serialize;

use crate::arrival::Arrival;
use crate::carried::end;
use crate::commands::along::Along;
use crate::landed::Landed;
use crate::look::Look;
use crate::node::Node;
use crate::shown::{bytes, many, shown};
use crate::speak::Answer;

/// What was imported.
#[derive(Debug, Serialize)]
pub struct Imported {
    bundle: Option<Digest>,
    complete: bool,
    roots: Vec<Node>,
    manifests: u64,
    blobs: Blobs,
    bytes: Bytes,
    absent: u64,
    missing: Vec<Digest>,
    moved: Vec<Moved>,
    #[serde(skip)]
    names: Vec<String>,
    #[serde(skip)]
    how: How,
}

/// How it ended, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It came in.
    Done,
    /// It would come in, or be refused.
    Tried,
    /// It was refused, and nothing came in.
    Refused,
}

#[derive(Debug, Serialize)]
struct Blobs {
    new: u64,
    present: u64,
    repaired: u64,
}

#[derive(Debug, Serialize)]
struct Bytes {
    new: u64,
    present: u64,
}

/// How an import ended, and what it did, or would have done.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub how: How,
    /// What became of the roots.
    pub landed: Vec<Landed>,
    /// Which blobs were new.
    pub done: Done,
    /// Names that stood for something else before.
    pub moved: Vec<Moved>,
}

impl Imported {
    /// What came into a layout, or would.
    pub fn of(arrivals: &[Arrival], along: &Along, outcome: Outcome) -> Self {
        let Outcome { how, landed, done, moved } = outcome;
        let (names, roots) = landed.into_iter().map(|Landed { name, node }| (name, node)).unzip();
        let missing: BTreeSet<Digest> =
            arrivals.iter().flat_map(|arrival| arrival.plan.lacks(along.complete)).collect();
        let absent: BTreeSet<&Digest> = arrivals.iter().flat_map(|arrival| &arrival.plan.absent_children).collect();
        let bundle = match arrivals {
            [one] => Some(one.bundle.clone()),
            _ => None,
        };
        Self {
            bundle,
            complete: missing.is_empty(),
            roots,
            manifests: arrivals.iter().map(|arrival| arrival.plan.manifests.len() as u64).sum(),
            blobs: Blobs { new: done.new.blobs, present: done.present.blobs, repaired: done.repaired.blobs },
            bytes: Bytes { new: done.new.bytes, present: done.present.bytes },
            absent: absent.len() as u64,
            missing: missing.into_iter().collect(),
            moved,
            names,
            how,
        }
    }
}

impl Answer for Imported {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        if self.how == How::Refused {
            writeln!(out, "nothing was imported")?;
            return end(out, &self.missing, self.bundle.as_ref());
        }
        for (root, name) in self.roots.iter().zip(&self.names) {
            writeln!(out, "{}  {}", look.bold(&shown(name)), root.digest)?;
        }
        let Blobs { new, present, repaired } = self.blobs;
        let (new, wrong) = (many(new, "blob"), many(repaired, "blob"));
        let (fresh, there) = (bytes(self.bytes.new), bytes(self.bytes.present));
        let tried = self.how == How::Tried;
        match tried {
            true => writeln!(out, "would bring {new}, {fresh}; {present} there already, {there}")?,
            false => writeln!(out, "{new} new, {fresh}; {present} there already, {there}")?,
        }
        if repaired > 0 {
            let [were, replaced] = match (repaired, tried) {
                (1, false) => ["was", "was replaced"],
                (_, false) => ["were", "were replaced"],
                (1, true) => ["is", "would be replaced"],
                (_, true) => ["are", "would be replaced"],
            };
            writeln!(out, "{wrong} {were} there and wrong, and {replaced}")?;
        }
        end(out, &self.missing, self.bundle.as_ref())
    }

    fn brief(&self, out: &mut dyn Write) -> io::Result<()> {
        self.bundle.iter().try_for_each(|bundle| writeln!(out, "{bundle}"))
    }
}
