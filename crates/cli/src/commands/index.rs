//! `index` makes indexes, and changes what they list.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ocistow_graph::graph::read;
use ocistow_graph::made::{Index, child, with_children, without_children};
use ocistow_graph::resolve::resolve_in;
use ocistow_graph::{Graph, Made, ManifestKind, Target};
use ocistow_layout::name::{Steps, look_up};
use ocistow_layout::transaction::{Options, Transaction};
use ocistow_layout::{Descriptor, Digest, Error, Kind, Result, Source};

use super::ingredients::{annotation, artifact_type};
use super::push::{answer, target};
use super::{at, tag};
use crate::again::Again;
use crate::code::Code;
use crate::entering::{Under, enter};
use crate::location;
use crate::shown::many;
use crate::speak::Context;

/// Make indexes of what is in a layout, and change what they list
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow index create ./store:app app-amd64 app-arm64
  ocistow index add ./store:app app-riscv64
  ocistow index rm ./store:app sha256:…")]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Make an index of manifests of the same layout, under a tag
    ///
    /// Each child gets the platform that its config says. The same children give the same digest.
    #[command(after_help = "\
EXAMPLES:
  ocistow index create ./store:app app-amd64 app-arm64
  ocistow index create ./store:all @sha256:… chart --artifact-type application/vnd.example.release")]
    Create(Create),
    /// Add manifests of the same layout to an index; the tag moves to the new one
    ///
    /// What the index lists already stays as it is, and so does everything else in it.
    #[command(after_help = "\
EXAMPLES:
  ocistow index add ./store:app app-riscv64
  ocistow index add ./store:app --merge app-windows")]
    Add(Add),
    /// Remove manifests from an index; the tag moves to the new one
    ///
    /// The manifests stay in the layout until gc takes what nothing reaches.
    #[command(after_help = "\
EXAMPLES:
  ocistow index rm ./store:app sha256:…")]
    Rm(Rm),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The layout, and the tag the index gets in it; a tag that stood for something else moves
    #[arg(value_name = "LOC:TAG")]
    location: OsString,
    /// What it lists: names or @DIGEST of the same layout
    #[arg(value_name = "REF", required = true)]
    references: Vec<OsString>,
    /// What sort of artifact the index is
    #[arg(long, value_name = "TYPE", value_parser = artifact_type)]
    artifact_type: Option<String>,
    /// An annotation of the index; repeat for more
    #[arg(short, long = "annotation", value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<(String, String)>,
    /// Take PATH as it is, whatever it contains, and LOC as a tag in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The layout, and the tag of the index in it
    #[arg(value_name = "LOC:TAG")]
    location: OsString,
    /// What it lists from now on too: names or @DIGEST of the same layout
    #[arg(value_name = "REF", required_unless_present = "merge")]
    references: Vec<OsString>,
    /// An index of the same layout, all of whose children it lists from now on too; repeat for more
    #[arg(long, value_name = "REF")]
    merge: Vec<OsString>,
    /// Take PATH as it is, whatever it contains, and LOC as a tag in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Rm {
    /// The layout, and the tag of the index in it
    #[arg(value_name = "LOC:TAG")]
    location: OsString,
    /// What it does not list any more
    #[arg(value_name = "DIGEST", required = true)]
    digests: Vec<Digest>,
    /// Take PATH as it is, whatever it contains, and LOC as a tag in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        match &self.act {
            Act::Create(create) => create.run(context),
            Act::Add(add) => add.run(context),
            Act::Rm(rm) => rm.run(context),
        }
    }
}

impl Create {
    fn run(&self, context: &Context<'_>) -> Result<Code> {
        let (path, tag) = target(context, &self.location, self.path.as_deref())?;
        let source = at::open_directory(context, &path)?;
        let mut annotations = std::collections::BTreeMap::new();
        for (key, value) in &self.annotations {
            if annotations.insert(key.clone(), value.clone()).is_some() {
                return Err(Error::new(Kind::Usage, format!("could not use --annotation {key} twice")));
            }
        }
        let progress = context.progress("waiting", None);
        // What is listed stays there until the index is.
        let held = at::hold_to_write(context, &path, &progress)?;
        let graph = load(context, &*source)?;
        let mut children: Vec<Descriptor> = Vec::new();
        for child in listed(&*source, &graph, &self.references)? {
            if children.iter().all(|known| known.digest != child.digest) {
                children.push(child);
            }
        }
        let told = listing(children.len());
        let made = Index { artifact_type: self.artifact_type.clone(), children, annotations }.make()?;
        let options = Options { held: held.as_ref(), ..context.writing(&progress) };
        let mut transaction = Transaction::within(&path, options)?;
        let tags = enter(context, &path, &mut transaction, &made, &[], Under::Name(&tag))?;
        drop(transaction);
        drop(progress);
        answer(context, &path, &made, tags, told)
    }
}

impl Add {
    fn run(&self, context: &Context<'_>) -> Result<Code> {
        change(context, &self.location, self.path.as_ref(), &mut |source, graph, bytes| {
            let mut children = listed(source, graph, &self.references)?;
            for reference in &self.merge {
                children.extend(merged(source, graph, reference)?);
            }
            with_children(bytes, children)
        })
    }
}

impl Rm {
    fn run(&self, context: &Context<'_>) -> Result<Code> {
        change(context, &self.location, self.path.as_ref(), &mut |_, _, bytes| without_children(bytes, &self.digests))
    }
}

/// What becomes of an index, whose bytes these are, in a layout.
type Change<'c> = dyn FnMut(&dyn Source, &Graph, Vec<u8>) -> Result<Made> + 'c;

/// Changes the index that a tag stands for, and moves the tag; again for as long as somebody else changes it meanwhile.
fn change(context: &Context<'_>, location: &OsString, path: Option<&PathBuf>, change: &mut Change<'_>) -> Result<Code> {
    let (path, tag) = target(context, location, path.map(PathBuf::as_path))?;
    let source = at::open_directory(context, &path)?;
    let progress = context.progress("waiting", None);
    // What is listed stays there until the index is.
    let held = at::hold_to_write(context, &path, &progress)?;
    let decide = &mut || -> Result<(Digest, usize, Made)> {
        let graph = load(context, &*source)?;
        let (old, bytes) = index(&*source, &graph, &tag)?;
        let left = graph.referrers(&old).len();
        Ok((old, left, change(&*source, &graph, bytes)?))
    };
    let (mut old, mut left, mut made) = decide()?;
    let options = Options { held: held.as_ref(), ..context.writing(&progress) };
    let mut transaction = Transaction::within(&path, options)?;
    let mut again = Again::new(context);
    let tags = loop {
        match enter(context, &path, &mut transaction, &made, &[], Under::InPlaceOf(&tag, &old)) {
            Err(why) => again.undisturbed_after(why, &mut transaction)?,
            Ok(tags) => break tags,
        }
        (old, left, made) = decide()?;
    };
    drop(transaction);
    drop(progress);
    if left > 0 && made.facts.digest != old {
        let what = if left == 1 { "manifest refers" } else { "manifests refer" };
        context.note(&format!("{left} {what} to {old}, which {tag} was; none to what it is now"));
    }
    let told = listing(made.facts.children().count());
    answer(context, &path, &made, tags, told)
}

fn listing(children: usize) -> String {
    format!("lists {}", many(children as u64, "manifest"))
}

fn load(context: &Context<'_>, source: &dyn Source) -> Result<Graph> {
    let progress = context.progress("reading manifests", None);
    Graph::load(source, at::load(context, false), &progress)
}

/// The index that a tag stands for by the steps for what is set: its digest and its bytes. NotFound where there is no
/// such tag, Usage where it stands for several or for something else.
fn index(source: &dyn Source, graph: &Graph, tag: &str) -> Result<(Digest, Vec<u8>)> {
    let what = || format!("could not change {}:{tag}", source.location());
    let mut found: Option<&Descriptor> = None;
    for place in look_up(graph.index(), tag, Steps::Exact) {
        let entry = graph.index().entries()[place].descriptor(place)?;
        if found.is_some_and(|found| found.digest != entry.digest) {
            return Err(Error::new(Kind::Usage, what()).because("it stands for several different digests"));
        }
        found = Some(entry);
    }
    let found = found.ok_or_else(|| Error::new(Kind::NotFound, what()).because("there is no such tag"))?;
    let (node, bytes) = read(source, found);
    match node.manifest(&found.digest)?.kind() {
        ManifestKind::Index => Ok((found.digest.clone(), bytes)),
        kind => Err(Error::new(Kind::Usage, what()).because(format!("it is no index, but an {kind}"))),
    }
}

/// What a further reference means. NotFound where it means nothing.
fn meant(source: &dyn Source, graph: &Graph, reference: &OsString) -> Result<Target> {
    let asked = at::asked(&location::parse_pick(reference)?);
    resolve_in(graph, source, &asked)
        .map_err(|why| at::leave_away(why, Path::new(source.location()), std::slice::from_ref(reference)))
}

/// The children of an index that is meant, as it lists them. Usage where it is none.
fn merged(source: &dyn Source, graph: &Graph, reference: &OsString) -> Result<Vec<Descriptor>> {
    let target = meant(source, graph, reference)?;
    let digest = &target.descriptor.digest;
    let node = read(source, &target.descriptor).0;
    let facts = node.facts(digest)?;
    match facts.kind {
        ManifestKind::Index => Ok(facts.into_children().collect()),
        kind => Err(Error::new(Kind::Usage, format!("could not merge {digest}"))
            .because(format!("it is no index, but an {kind}"))
            .hint("without --merge it is listed itself")),
    }
}

/// The manifests that are meant, as children of an index. NotFound, Usage, Incomplete and Integrity where one is not
/// there, no manifest, or cannot be read.
fn listed(source: &dyn Source, graph: &Graph, references: &[OsString]) -> Result<Vec<Descriptor>> {
    let mut children = Vec::new();
    for reference in references {
        let target = meant(source, graph, reference)?;
        let found = match target.manifest {
            true => target.descriptor,
            false => tag::lying(source, &target.descriptor.digest, "list")?,
        };
        let facts = match graph.facts(&found.digest) {
            Some(facts) => facts,
            None => read(source, &found).0.facts(&found.digest)?,
        };
        children.push(child(source, &found, &facts)?);
    }
    Ok(children)
}
