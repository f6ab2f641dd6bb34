//! `gc` removes what nothing reaches.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ocistow_graph::Graph;
use ocistow_graph::sweep::{self, Orphan, Sweep, sweep};
use ocistow_layout::deletion::Deletion;
use ocistow_layout::holdings::{Holdings, Lying};
use ocistow_layout::transaction::writable;
use ocistow_layout::{Count, Digest, Error, Kind, Result, Watch};
use serde::{Serialize, Serializer};

use super::at;
use crate::again::Again;
use crate::code::Code;
use crate::location::{self, OnDisk};
use crate::look::Look;
use crate::shown::{bytes, many};
use crate::speak::{Answer, Context};

/// Remove what nothing reaches and is older than the grace
///
/// What any entry of index.json reaches stays, and with it whatever refers to that, in whichever way: also
/// referrers that only lie in blobs/, as cosign 3 leaves them, which are told of. An untagged entry that refers
/// to something goes together with that; it stays as long as that is not here at all. What is
/// younger than the grace stays, with all it needs: other tools write content first and name it later.
///
/// A manifest that is here and cannot be read stops it: nobody can tell what that needs. Nothing is deleted
/// while another ocistow writes to the layout or carries out of it; gc waits its turn, see --lock-timeout.
/// One that is interrupted leaves no harm, and the next finishes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow gc ./store --dry-run
  ocistow gc ./store
  ocistow gc ./store --prune --grace 1d")]
pub struct Args {
    /// The layout
    #[arg(value_name = "PATH", required_unless_present = "path")]
    location: Option<OsString>,
    /// Take PATH as it is, whatever it contains
    #[arg(long, value_name = "PATH", conflicts_with = "location")]
    path: Option<PathBuf>,
    /// Tell what would be removed; write nothing, not even a lock
    #[arg(long)]
    dry_run: bool,
    /// Also drop untagged entries that neither belong to a tagged one nor refer to something that stays, and
    /// those that wait for something that is not here
    #[arg(long)]
    prune: bool,
    /// Also remove sets of volumes of which some are still missing
    #[arg(long)]
    staged: bool,
    /// How old something has to be to go, as 30m or 2d; 0 for no grace
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = crate::duration::parse)]
    grace: Duration,
}

/// How many absent entries are told of.
const MOST_TOLD: usize = 20;

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let path = match (&self.path, &self.location) {
            (Some(path), _) => path.clone(),
            (None, Some(location)) => location::parse_path(location, &OnDisk)?,
            (None, None) => return Err(Error::new(Kind::Usage, "could not tell which layout is meant")),
        };
        drop(at::open_directory(context, &path)?);
        // A look says no to what would be refused.
        writable(&path)?;
        let mut told = Swept { dry_run: self.dry_run, ..Swept::default() };
        let swept =
            if self.dry_run { self.look(context, &path, &mut told) } else { self.act(context, &path, &mut told) };
        match swept {
            Ok(()) => context.answer(&told).map(|()| Code::Done),
            Err(why) => {
                if told.counted {
                    context.answer_failed(&told, &why)?;
                }
                Err(why)
            }
        }
    }

    /// Decides, and changes nothing.
    fn look(&self, context: &Context<'_>, path: &Path, told: &mut Swept) -> Result<()> {
        let progress = context.progress("reading manifests", None);
        let _held = at::hold(context, path, &progress)?;
        let holdings = Holdings::open(path)?;
        let blobs = holdings.lying(self.grace)?;
        told.nothing(&blobs);
        let (_graph, sweep) = self.decide(context, &holdings, &blobs, &progress)?;
        drop(progress);
        tell(context, &sweep, "would go from index.json");
        told.all(sweep);
        Ok(())
    }

    fn act(&self, context: &Context<'_>, path: &Path, told: &mut Swept) -> Result<()> {
        let progress = context.progress("sweeping", None);
        let mut deletion = Deletion::begin(path, context.writing(&progress))?;
        let mut again = Again::new(context);
        let mut dropped = BTreeSet::new();
        loop {
            let blobs = deletion.lying(self.grace)?;
            told.nothing(&blobs);
            let (graph, mut sweep) = self.decide(context, deletion.holdings(), &blobs, &progress)?;
            // What had an entry until an earlier try is no orphan.
            sweep.orphans.retain(|orphan| orphan.stays || !dropped.contains(&orphan.digest));
            dropped.extend(sweep.dropped.iter().cloned());
            tell(context, &sweep, "will go from index.json");
            let removed: Vec<Digest> = sweep.removed.iter().map(|blob| blob.digest.clone()).collect();
            let published = deletion.publish(graph.index(), &sweep.edits, &[]);
            match published.and_then(|now| deletion.delete(&now, &removed)) {
                Err(why) => again.after(why)?,
                Ok(left) => {
                    told.all(sweep);
                    match left {
                        None => break,
                        Some(why) => {
                            told.partly(deletion.gone());
                            return Err(why);
                        }
                    }
                }
            }
        }
        if self.staged { deletion.delete_sets() } else { Ok(()) }
    }

    fn decide(
        &self,
        context: &Context<'_>,
        holdings: &Holdings,
        blobs: &[Lying],
        watch: &dyn Watch,
    ) -> Result<(ManuallyDrop<Graph>, Sweep)> {
        let load = at::load(context, false);
        // The process ends before thousands of manifests would be given back one by one.
        let graph = ManuallyDrop::new(Graph::load(holdings, load, watch)?);
        let options = sweep::Options { prune: self.prune, threads: load.threads };
        let sweep = sweep(&graph, holdings, blobs, options, watch)?;
        Ok((graph, sweep))
    }
}

/// Tells what is not in the answer.
fn tell(context: &Context<'_>, sweep: &Sweep, goes: &str) {
    for digest in sweep.absent.iter().take(MOST_TOLD) {
        context.warn(&format!(
            "missing-blob: {digest} is an entry and not here: what it needs cannot be told from other blobs"
        ));
    }
    match &sweep.dropped[..] {
        [] => {}
        [digest] => context.note(&format!("the untagged entry {digest} {goes}")),
        digests => {
            context.note(&format!("{} untagged entries {goes}; -v says which", digests.len()));
            digests.iter().for_each(|digest| context.log(&format!("the untagged entry {digest} {goes}")));
        }
    }
}

/// What was removed, or would be.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Swept {
    removed: Count,
    kept: Kept,
    #[serde(rename = "orphanReferrers", serialize_with = "digests")]
    orphans: Vec<Orphan>,
    dry_run: bool,
    /// Whether there is anything to tell yet.
    #[serde(skip)]
    counted: bool,
}

#[derive(Debug, Default, Serialize)]
struct Kept {
    #[serde(flatten)]
    all: Count,
    young: u64,
}

fn digests<S: Serializer>(orphans: &[Orphan], to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_seq(orphans.iter().map(|orphan| &orphan.digest))
}

impl Swept {
    /// Everything stays, as far as it is known yet.
    fn nothing(&mut self, blobs: &[Lying]) {
        (self.kept.all, self.counted) = (Count::default(), true);
        blobs.iter().for_each(|lying| self.kept.all.add(lying.blob.size));
    }

    /// Only so much was deleted in the end; the rest is in the trash.
    fn partly(&mut self, gone: Count) {
        self.removed = gone;
    }

    fn all(&mut self, sweep: Sweep) {
        self.removed = Count::default();
        sweep.removed.iter().for_each(|blob| self.removed.add(blob.size));
        self.kept = Kept { all: sweep.kept, young: sweep.young };
        self.orphans = sweep.orphans;
    }
}

impl Answer for Swept {
    fn text(&self, out: &mut dyn Write, _: Look) -> io::Result<()> {
        let Self { removed, kept, .. } = self;
        let verb = if self.dry_run { "would remove" } else { "removed" };
        writeln!(out, "{verb} {}, {}", many(removed.blobs, "blob"), bytes(removed.bytes))?;
        writeln!(out, "kept {}, {}", many(kept.all.blobs, "blob"), bytes(kept.all.bytes))?;
        if kept.young > 0 {
            let are = if kept.young == 1 { "it is" } else { "they are" };
            writeln!(out, "{} of them nothing reaches, and {are} too young to go", kept.young)?;
        }
        for Orphan { digest, subject, stays } in &self.orphans {
            let fate = if *stays { "stays with it" } else { "goes" };
            writeln!(out, "orphan referrer: {digest} of {subject}: no entry or list leads to it; it {fate}")?;
        }
        Ok(())
    }
}
