//! `rm` removes names and manifests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ocistow_graph::remove::{Removal, check, remove, unneeded};
use ocistow_graph::{Asked, Graph};
use ocistow_layout::deletion::Deletion;
use ocistow_layout::edit::apply;
use ocistow_layout::{Blob, Content, Error, IndexFile, Kind, Result};

use super::at;
use crate::changes::Changes;
use crate::code::Code;
use crate::location::{self, OnDisk, Pick};
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

/// How often somebody else may change what a removal was decided on.
const TRIES: usize = 20;

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let (path, asked) = self.read()?;
        // What can be told by looking needs no lock.
        check(&*at::open_directory(context, &path)?, &asked)?;
        let progress = context.progress("removing", None);
        let mut deletion = Deletion::begin(&path, context.writing(&progress))?;
        let load = || at::load(context, self.referrers);
        let mut tries = 0;
        let mut again = |why: Error| {
            tries += 1;
            if why.kind() != Kind::Conflict || tries > TRIES {
                return Err(why);
            }
            context.log(&format!("{}: deciding again", why.chain()));
            Ok(())
        };
        // First the names, then the blobs: once the names are gone they are not decided on again.
        let (mut changes, mut now, removed) = loop {
            let graph = Graph::load(deletion.holdings(), load(), &progress)?;
            let removal = remove(&graph, deletion.holdings(), &asked, self.referrers)?;
            match publish(&mut deletion, graph.index(), &removal) {
                Err(why) => again(why)?,
                Ok((changes, now)) => {
                    for digest in &removal.left {
                        context.note(&format!("{digest} stays: something that stays needs it"));
                    }
                    break (changes, now, removal.removed);
                }
            }
        };
        let mut blobs = removed.clone();
        let left = loop {
            match deletion.delete(&now, &blobs) {
                Ok(left) => break left,
                Err(why) => again(why)?,
            }
            let graph = Graph::load(deletion.holdings(), load(), &progress)?;
            blobs = unneeded(&graph, &removed)?;
            now = graph.index().clone();
        };
        if let Some(why) = left {
            context.warn(&format!("{}: it is in .ocistow/trash, and gc deletes it", why.chain()));
        }
        drop(deletion);
        drop(progress);
        changes.and_removed(&blobs);
        context.answer(&changes)?;
        Ok(Code::Done)
    }

    /// The layout, and what is meant in it.
    fn read(&self) -> Result<(PathBuf, Vec<Asked>)> {
        let bad = |why: &str| Error::new(Kind::Usage, "could not tell what to remove").because(why.to_owned());
        let (first, rest) = self.names.split_first().ok_or_else(|| bad("nothing was named"))?;
        let location = at::read(Some(first), self.path.as_deref())?;
        let mut picks = vec![location.pick];
        for word in rest {
            let further = if self.path.is_some() { None } else { further(&location.path, word)? };
            picks.push(further.map_or_else(|| location::parse_pick(word), Ok)?);
        }
        if picks.iter().any(|pick| pick.is_empty() || pick.nth.is_some()) {
            return Err(bad("a name or a digest is needed").hint("write PATH:REF or PATH@DIGEST"));
        }
        Ok((location.path, picks.iter().map(at::asked).collect()))
    }
}

/// Takes names out of index.json, and puts new lists into the layout: what that changes, and what index.json is now.
fn publish(deletion: &mut Deletion<'_>, before: &IndexFile, removal: &Removal) -> Result<(Changes, IndexFile)> {
    let mut made = Vec::new();
    for (digest, bytes) in &removal.made {
        let blob = Blob { digest: digest.clone(), size: bytes.len() as u64 };
        deletion.put(&blob, Content::Bytes(bytes))?;
        made.push(blob);
    }
    let after = IndexFile::parse(apply(before, &removal.edits)?)?;
    let changes = Changes::between(before, &after)?;
    Ok((changes, deletion.publish(before, &removal.edits, &made)?))
}

/// What a further argument means that has the layout in front of it too; `None` where it is a bare reference.
fn further(path: &Path, word: &OsString) -> Result<Option<Pick>> {
    let Ok(other) = location::parse(word, &OnDisk) else { return Ok(None) };
    if other.pick.is_empty() || !other.path.exists() {
        return Ok(None);
    }
    if other.path.canonicalize().ok() == path.canonicalize().ok() {
        return Ok(Some(other.pick));
    }
    let what = format!("could not remove {:?} together with what is in {}", word.to_string_lossy(), path.display());
    Err(Error::new(Kind::Usage, what).because("all of it has to be in one layout"))
}
