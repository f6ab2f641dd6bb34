//! `rm` removes names and manifests.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use ocistow_graph::remove::{Removal, check, remove, unneeded};
use ocistow_graph::{Asked, Graph};
use ocistow_layout::deletion::Deletion;
use ocistow_layout::edit::apply;
use ocistow_layout::{Blob, Content, Digest, Error, IndexFile, Kind, Result};

use super::at;
use crate::again::Again;
use crate::changes::Changes;
use crate::code::Code;
use crate::location;
use crate::speak::Context;

/// Remove names and manifests; what only they needed stays until gc
///
/// LOC:REF removes that name. The manifest goes too, unless it has another name or an index that stays lists
/// it; then it only loses the name. LOC@DIGEST removes a manifest with all its names, and fails while an index
/// that stays lists it. What refers to what is removed stays, unless --referrers takes it along; lists of
/// referrers that other tools keep are kept true.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow rm ./store:app-old
  ocistow rm ./store:1.0 1.1 1.2 --referrers && ocistow gc ./store
  ocistow rm ./store@sha256:…")]
pub struct Args {
    /// The layout and a name or digest in it; further ones may leave the layout away
    #[arg(value_name = "LOC:REF|LOC@DIGEST", required = true)]
    names: Vec<OsString>,
    /// Also remove what refers to what is removed, as signatures and SBOMs do, and what refers to that
    #[arg(long)]
    referrers: bool,
    /// Take PATH as it is, whatever it contains, and all arguments as references in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let (path, asked) = self.read()?;
        // What can be told by looking needs no lock.
        check(&*at::open_directory(context, &path)?, &asked)?;
        let progress = context.progress("removing", None);
        let mut deletion = Deletion::begin(&path, context.writing(&progress))?;
        let mut again = Again::new(context);
        let mut taken = self.take_names(context, &mut deletion, &asked, &mut again)?;
        let removed = self.delete(context, &mut deletion, &taken, &mut again)?;
        drop(deletion);
        drop(progress);
        taken.changes.and_removed(&removed);
        context.answer(&taken.changes)?;
        Ok(Code::Done)
    }

    /// Takes names out of index.json.
    fn take_names(
        &self,
        context: &Context<'_>,
        deletion: &mut Deletion<'_>,
        asked: &[Asked],
        again: &mut Again<'_>,
    ) -> Result<Taken> {
        let spared = deletion.lying(Duration::ZERO)?.into_iter().filter(|lying| lying.spared.is_some());
        let linked: BTreeSet<Digest> = spared.map(|lying| lying.blob.digest).collect();
        loop {
            let graph = self.graph(context, deletion)?;
            let removal = remove(&graph, deletion.holdings(), asked, self.referrers)?;
            match publish(deletion, graph.index(), &removal) {
                Err(why) => again.after(why)?,
                Ok((changes, index)) => {
                    for digest in &removal.left {
                        context.note(&format!("{digest} stays: something that stays needs it"));
                    }
                    let (stays, goes) = removal.removed.into_iter().partition(|digest| linked.contains(digest));
                    let stays: Vec<Digest> = stays;
                    for digest in stays {
                        context
                            .warn(&format!("{digest} has no name now and stays: a link among the blobs leads to it"));
                    }
                    return Ok(Taken { changes, index, goes });
                }
            }
        }
    }

    /// Deletes what has no name any more: what of it that was in the end. The names are not decided on again.
    fn delete(
        &self,
        context: &Context<'_>,
        deletion: &mut Deletion<'_>,
        taken: &Taken,
        again: &mut Again<'_>,
    ) -> Result<Vec<Digest>> {
        let (mut index, mut blobs) = (taken.index.clone(), taken.goes.clone());
        loop {
            match deletion.delete(&index, &blobs) {
                Err(why) => again.after(why)?,
                Ok(left) => {
                    if let Some(why) = left {
                        context.warn(&format!("{}: it is in .ocistow/trash, and gc deletes it", why.chain()));
                    }
                    return Ok(blobs);
                }
            }
            let graph = self.graph(context, deletion)?;
            blobs = unneeded(&graph, &taken.goes)?;
            index = graph.index().clone();
        }
    }

    fn graph(&self, context: &Context<'_>, deletion: &Deletion<'_>) -> Result<Graph> {
        let progress = context.progress("reading manifests", None);
        Graph::load(deletion.holdings(), at::load(context, self.referrers), &progress)
    }

    /// The layout, and what is meant in it.
    fn read(&self) -> Result<(PathBuf, Vec<Asked>)> {
        let bad = |why: &str| Error::new(Kind::Usage, "could not tell what to remove").because(why.to_owned());
        let (first, rest) = self.names.split_first().ok_or_else(|| bad("nothing was named"))?;
        let location = at::read(Some(first), self.path.as_deref())?;
        let mut picks = vec![location.pick];
        for word in rest {
            let further = if self.path.is_some() { None } else { at::further(word)? };
            picks.push(match further {
                None => location::parse_pick(word)?,
                Some(other) if at::is_same(&location.path, &other.path) => other.pick,
                Some(_) => {
                    let (word, path) = (word.to_string_lossy(), location.path.display());
                    let what = format!("could not remove {word:?} together with what is in {path}");
                    return Err(Error::new(Kind::Usage, what).because("all of it has to be in one layout"));
                }
            });
        }
        if picks.iter().any(|pick| pick.is_empty() || pick.nth.is_some()) {
            return Err(bad("a name or a digest is needed").hint("write PATH:REF or PATH@DIGEST"));
        }
        Ok((location.path, picks.iter().map(at::asked).collect()))
    }
}

/// What was done to index.json, and what is to be done to blobs.
struct Taken {
    changes: Changes,
    index: IndexFile,
    goes: Vec<Digest>,
}

/// Takes names out of index.json, and puts new lists into the layout: what that changes, and what index.json is now.
fn publish(deletion: &mut Deletion<'_>, before: &IndexFile, removal: &Removal) -> Result<(Changes, IndexFile)> {
    let mut made = Vec::new();
    for (digest, bytes) in &removal.made {
        let blob = Blob { digest: digest.clone(), size: bytes.len() as u64 };
        deletion.put(&blob, Content::Bytes(bytes))?;
        made.push(blob);
    }
    // Not kept: it may be large, and the deletion reads it too.
    let changes = Changes::between(before, &IndexFile::parse(apply(before, &removal.edits)?)?)?;
    Ok((changes, deletion.publish(before, &removal.edits, &made)?))
}
