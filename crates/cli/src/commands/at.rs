//! The argument that says where: a location, or a literal path and a reference.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use ocistow_graph::resolve::{Asked, Target, find, of_platform, resolve_in};
use ocistow_graph::{Facts, Graph, Load, Reach, Selector};
use ocistow_layout::archive::Compression;
use ocistow_layout::checked::wrong_size;
use ocistow_layout::directory::{Directory, is_directory, is_there};
use ocistow_layout::lock::{Held, Locks};
use ocistow_layout::transaction::writable;
use ocistow_layout::{Descriptor, Error, Kind, Marker, Result, Source, Watch, open_preferring};

use crate::location::{self, Location, OnDisk, Pick};
use crate::speak::Context;

/// Where, and what is meant there.
#[derive(Debug, Clone, clap::Args)]
pub struct At {
    /// A layout or archive, and what is meant in it: PATH, PATH:REF, PATH@DIGEST or PATH:REF@DIGEST
    #[arg(value_name = "LOC", required_unless_present = "path")]
    pub location: Option<OsString>,
    /// Take PATH as it is, whatever it contains, and LOC as a reference in it
    #[arg(long, value_name = "PATH")]
    pub path: Option<PathBuf>,
}

impl At {
    /// The location. Usage where it cannot be read.
    pub fn read(&self) -> Result<Location> {
        read(self.location.as_deref(), self.path.as_deref())
    }
}

/// The location of an argument, or of a literal path and the argument as a reference in it.
pub fn read(argument: Option<&OsStr>, path: Option<&Path>) -> Result<Location> {
    match (path, argument) {
        (Some(path), _) if path.as_os_str().is_empty() => {
            Err(Error::new(Kind::Usage, "could not use --path").because("the path is empty"))
        }
        (Some(path), None) => Ok(Location::whole(location::literal(path, &OnDisk)?)),
        (Some(path), Some(argument)) => {
            let whole = Location::whole(location::literal(path, &OnDisk)?);
            Ok(Location { pick: location::parse_pick(argument)?, ..whole })
        }
        (None, Some(argument)) => location::parse(argument, &OnDisk),
        (None, None) => {
            Err(Error::new(Kind::Usage, "could not tell which layout is meant").because("no LOC was given"))
        }
    }
}

/// A further argument that has a layout in front of it too; `None` where it is a bare reference. Failed where the disk
/// does not say.
pub fn further(word: &OsStr) -> Result<Option<Location>> {
    match location::parse(word, &OnDisk) {
        Err(why) if why.kind() == Kind::Failed => Err(why),
        Err(_) => Ok(None),
        Ok(other) if other.pick.is_empty() || !is_there(&other.path)? => Ok(None),
        Ok(other) => Ok(Some(other)),
    }
}

/// Whether two paths lead to one layout.
pub fn is_same(path: &Path, other: &Path) -> bool {
    path.canonicalize().ok() == other.canonicalize().ok()
}

/// What is meant in the layout at `path` by a word that names that layout once more: `b` by `store:b`. `None` where it
/// is a bare reference, or leads elsewhere.
pub fn in_same(path: &Path, word: &OsStr) -> Option<String> {
    let Location { pick, .. } = further(word).ok()?.filter(|other| is_same(path, &other.path))?;
    let digest = pick.digest.map(|digest| format!("@{digest}"));
    Some(format!("{}{}", pick.reference.unwrap_or_default(), digest.unwrap_or_default()))
}

/// What was not found, with the reason where that is a further reference with the layout in front of it once more.
pub fn leave_away(error: Error, path: &Path, references: &[OsString]) -> Error {
    match references.iter().find_map(|word| in_same(path, word)) {
        Some(bare) if error.kind() == Kind::NotFound => {
            error.hint(format!("further references are of the same layout, which is left away: write {bare}"))
        }
        _ => error,
    }
}

/// What was picked, as graph takes it.
pub fn asked(pick: &Pick) -> Asked {
    match (&pick.reference, &pick.digest, pick.nth) {
        (Some(reference), digest, _) => Asked::Name(reference.clone(), digest.clone()),
        (None, Some(digest), _) => Asked::Digest(digest.clone()),
        (None, None, Some(nth)) => Asked::Place(nth),
        (None, None, None) => Asked::Root,
    }
}

/// Opens the layout at a location for looking. NotFound where there is none; a layout that is not quite one is
/// read with a warning.
pub fn open(context: &Context<'_>, location: &Location) -> Result<Box<dyn Source>> {
    let progress = context.progress("reading", None);
    let source = open_preferring(location.prefer, &location.path, &progress);
    let source = source.map_err(|error| hinted(error, &location.path))?;
    drop(progress);
    judge(context, source.location(), &source.marker());
    Ok(source)
}

/// Keeps others from deleting from the layout at `path` while it is walked through. `None` where it is an archive, or
/// has no locks that can be taken.
pub fn hold(context: &Context<'_>, path: &Path, watch: &dyn Watch) -> Result<Option<Held>> {
    let locks = match is_directory(path)? {
        true => Locks::found(path, context.lock_timeout, watch)?,
        false => None,
    };
    locks.map(|locks| locks.content()).transpose()
}

/// The same for a command that decides on what is in the layout now and then writes to it; to be given to the
/// transaction. `None` where nothing can be written: the transaction will say so.
pub fn hold_to_write(context: &Context<'_>, path: &Path, watch: &dyn Watch) -> Result<Option<Held>> {
    let layout = writable(path).ok().flatten().and_then(|_| path.canonicalize().ok());
    let locks = layout.and_then(|root| Locks::make(&root, context.lock_timeout, &*context.world.medium, watch).ok());
    locks.map(|locks| locks.content()).transpose()
}

/// Warns of a layout whose marker is not right.
pub fn judge(context: &Context<'_>, location: &str, marker: &Marker) {
    match marker {
        Marker::Right => {}
        Marker::Absent => context.warn(&format!("{location} has no oci-layout file; it is only read")),
        Marker::Wrong(why) => context.warn(&format!("{location}: the oci-layout file is wrong: {why}")),
    }
}

/// Opens the layout at `path` for looking before it is written to. Usage where it is an archive: nothing is
/// ever added to one.
pub fn open_directory(context: &Context<'_>, path: &Path) -> Result<Box<dyn Source>> {
    if is_there(path)? && !is_directory(path)? {
        let what = format!("could not write to {}", path.display());
        return Err(Error::new(Kind::Usage, what)
            .because("it is a file, and only layouts in directories are written to")
            .hint("import takes an archive into a layout"));
    }
    open(context, &Location::whole(path.to_owned()))
}

/// The layout at `path` as a command that takes directories only would write to it, `None` where it would make one.
/// Usage where that would get the name of an archive, and as [`writable`] has it.
pub fn to_write(path: &Path) -> Result<Option<Directory>> {
    if Compression::by_name(path).is_some() && !is_there(path)? {
        return Err(Error::new(Kind::Usage, format!("could not make {}", path.display()))
            .because("its name is that of an archive, and only layouts in directories are written to")
            .hint("name a directory; export makes an archive of one"));
    }
    writable(path)
}

/// A digest that is not valid ends up in the path or the reference: says so.
fn hinted(error: Error, path: &Path) -> Error {
    let text = path.to_string_lossy();
    let looks = ["@sha256", "@sha512"].iter().any(|mark| text.contains(mark));
    if error.kind() == Kind::NotFound && looks {
        return error.hint("what stands behind the @ is no valid digest, so it was taken as part of the path");
    }
    error
}

/// Integrity where a manifest has another length than whoever names it says (DESCRIPTOR-5).
pub fn as_long(source: &dyn Source, facts: &Facts, said: &Descriptor) -> Result<()> {
    match facts.size == said.size {
        true => Ok(()),
        false => Err(wrong_size(&said.digest, said.size, &facts.size.to_string()).found_in(source.location())),
    }
}

/// How the graph is read.
pub fn load(context: &Context<'_>, scan_blobs: bool) -> Load {
    Load { threads: context.threads.get(), scan_blobs }
}

/// What the location means, and with `platform` its child for that.
pub fn target(
    context: &Context<'_>,
    source: &dyn Source,
    location: &Location,
    platform: Option<&Selector>,
) -> Result<Target> {
    let progress = context.progress("reading manifests", None);
    let keeper = context.keeper(&location.path);
    let target = find(source, &asked(&location.pick), &keeper, load(context, false), &progress)?;
    drop(progress);
    match platform {
        None => Ok(target),
        Some(selector) => for_platform(source, target, selector),
    }
}

/// The graph around what the location means, and that, with `platform` its child for that.
pub fn near(
    context: &Context<'_>,
    source: &dyn Source,
    location: &Location,
    platform: Option<&Selector>,
    reach: Reach,
    scan_blobs: bool,
) -> Result<(Graph, Result<Target>)> {
    let progress = context.progress("reading manifests", None);
    let (keeper, load) = (context.keeper(&location.path), load(context, scan_blobs));
    let around = |asked: &Asked| Graph::near(source, std::slice::from_ref(asked), reach, &keeper, load, &progress);
    let asked = asked(&location.pick);
    let graph = around(&asked)?;
    let target = match (resolve_in(&graph, source, &asked), platform) {
        (Ok(target), Some(selector)) => for_platform(source, target, selector)?,
        (target, _) => return Ok((graph, target)),
    };
    // What is around the whole need not be around its child.
    let digest = target.descriptor.digest.clone();
    let graph = if graph.is_whole() { graph } else { around(&Asked::Digest(digest))? };
    Ok((graph, Ok(target)))
}

/// The one manifest of `target` for a platform.
pub fn for_platform(source: &dyn Source, target: Target, selector: &Selector) -> Result<Target> {
    let descriptor = of_platform(source, &target.descriptor, selector)?;
    if descriptor.digest == target.descriptor.digest {
        return Ok(target);
    }
    Ok(Target { descriptor, places: Vec::new(), manifest: true })
}
