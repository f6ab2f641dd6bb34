//! `untag` removes names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ocistow_graph::Node;
use ocistow_graph::graph::{Broken, read};
use ocistow_layout::edit::Edit;
use ocistow_layout::name::{Steps, look_up};
use ocistow_layout::{Descriptor, Error, IndexFile, Kind, Result, Source};

use super::{at, tag};
use crate::code::Code;
use crate::location::{Location, Pick};
use crate::speak::Context;

/// Remove names; an entry goes with its last name, its content stays until gc
///
/// An entry that refers to something else, as a signature does, stays without a name.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow untag ./store:app-old
  ocistow untag ./store:1.0 1.1 1.2
  ocistow untag ./store:maybe --ignore-missing")]
pub struct Args {
    /// The layout and a name in it; further ones may leave the layout away
    #[arg(value_name = "LOC:TAG", required = true)]
    names: Vec<OsString>,
    /// Pass over names that are not there
    #[arg(long)]
    ignore_missing: bool,
    /// Take PATH as it is, whatever it contains, and all arguments as names in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let (path, references) = self.read()?;
        let source = at::open_directory(context, &path)?;
        let index = source.index()?;
        let mut edits = Vec::new();
        for reference in references {
            let places = look_up(&index, &reference, Steps::Exact);
            match places.first() {
                Some(&first) => {
                    let keep = refers(&*source, index.entries()[first].descriptor(first)?)?;
                    edits.push(Edit::Unname { reference, keep });
                }
                None if self.ignore_missing => context.note(&format!("there is no {reference}")),
                None => return Err(unknown(&path, &index, &reference)),
            }
        }
        // The same name twice is removed once.
        edits.dedup();
        tag::change(context, &path, &*source, None, &edits)
    }

    /// The layout, and the names in it.
    fn read(&self) -> Result<(PathBuf, Vec<String>)> {
        let bad = |why: &str| Error::new(Kind::Usage, "could not tell which names are meant").because(why.to_owned());
        let (first, rest) = self.names.split_first().ok_or_else(|| bad("none was given"))?;
        let location = at::read(Some(first), self.path.as_deref())?;
        let mut references = match (location.pick.reference, location.pick.digest) {
            (Some(reference), None) => vec![reference],
            _ => return Err(bad("a name is needed, not a digest or a place").hint("write PATH:TAG")),
        };
        for word in rest {
            let text = word.to_str().ok_or_else(|| bad("a name is not UTF-8"))?;
            references.push(match self.path {
                Some(_) => text.to_owned(),
                None => further(&location.path, word)?.unwrap_or_else(|| text.to_owned()),
            });
        }
        let mut seen = std::collections::BTreeSet::new();
        references.retain(|reference| seen.insert(reference.clone()));
        Ok((location.path, references))
    }
}

/// The name in a further argument that has the layout in front of it too; `None` where it is a bare name.
fn further(path: &Path, word: &OsString) -> Result<Option<String>> {
    let Some(Location { path: other, pick: Pick { reference: Some(reference), digest, .. }, .. }) = at::further(word)?
    else {
        return Ok(None);
    };
    let refused = |why: &str| {
        let what = format!("could not untag {:?} together with names of {}", word.to_string_lossy(), path.display());
        Err(Error::new(Kind::Usage, what).because(why.to_owned()))
    };
    match at::is_same(path, &other) {
        false => refused("all names have to be of one layout"),
        true if digest.is_some() => refused("a name is needed, not a digest"),
        true => Ok(Some(reference)),
    }
}

/// Whether an entry refers to another manifest, so that it means something without a name.
fn refers(source: &dyn Source, entry: &Descriptor) -> Result<bool> {
    if entry.annotation("io.containerd.manifest.subject").is_some() {
        return Ok(true);
    }
    Ok(match read(source, entry).0 {
        Node::Present(manifest) => manifest.about().is_some(),
        // It may be one: nobody could tell.
        node @ Node::Broken(Broken::Unread(_)) => node.manifest(&entry.digest)?.about().is_some(),
        Node::Absent | Node::Broken(_) => false,
    })
}

fn unknown(path: &Path, index: &IndexFile, reference: &str) -> Error {
    let mut there: Vec<&str> = index.entries().iter().filter_map(|entry| entry.pair.exact()).collect();
    there.sort_unstable();
    there.dedup();
    let more = if there.len() > 10 { ", …" } else { "" };
    there.truncate(10);
    let error = Error::new(Kind::NotFound, format!("could not untag {}:{reference}", path.display()))
        .because("there is no such name");
    if there.is_empty() { error } else { error.hint(format!("there are {}{more}", there.join(", "))) }
}
