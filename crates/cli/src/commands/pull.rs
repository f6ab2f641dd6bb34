//! `pull` writes an artifact's files back to the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ocistow_graph::graph::read;
use ocistow_graph::{Facts, Form, ManifestKind, Role, Selector};
use ocistow_layout::archive::Existing;
use ocistow_layout::checked::wrong_size;
use ocistow_layout::output::{Options, Output};
use ocistow_layout::title::{TITLE, Title};
use ocistow_layout::{Blob, Content, Descriptor, Digest, Error, Kind, Result, Source};
use serde::Serialize;

use super::at::{self, At};
use super::cat::missing;
use super::ingredients::{UNPACK, UNPACKED};
use crate::code::Code;
use crate::look::Look;
use crate::node::Node;
use crate::shown::{bytes, many, shown};
use crate::speak::{Answer, Context};

/// Write an artifact's files back to the disk, by their titles
///
/// Nothing is written outside of the directory, or through a link in it; all files appear, or none. Directories that
/// push packed are unpacked.
///
/// A new directory appears with all that is in it. In one that is there, files are replaced one after the other once all
/// that is new is on the disk: a pull that is killed just then, or loses its power, leaves some of them old and some
/// new, each of them whole; pulling again makes all of them new.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow pull ./store:report
  ocistow pull app.tar:site -o ./www
  ocistow pull ./store@sha256:… -o ./sbom --keep")]
pub struct Args {
    #[command(flatten)]
    at: At,
    /// The directory to write to; its parent has to exist
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// The child of an index for this platform, os[/arch[/variant]][:os.version]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Selector>,
    /// Take missing content as a warning, and write what is there
    #[arg(long)]
    allow_missing: bool,
    /// Fail if a file is there already, and change nothing
    #[arg(long)]
    keep: bool,
}

/// A file of an artifact.
struct Part<'f> {
    descriptor: &'f Descriptor,
    title: Title,
    /// Whether it is a packed directory, and the digest of its tar.
    packed: Option<Option<Digest>>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let location = self.at.read()?;
        let progress = context.progress("pulling", None);
        let _held = at::hold(context, &location.path, &progress)?;
        let source = at::open(context, &location)?;
        let target = at::target(context, &*source, &location, self.platform.as_ref())?;
        let digest = &target.descriptor.digest;
        let what = || format!("could not pull {digest}");
        if !target.manifest {
            return Err(Error::new(Kind::Usage, what()).because("it is no manifest").hint("cat prints a blob"));
        }
        let (node, _) = read(&*source, &target.descriptor);
        let facts = node.facts(digest)?;
        at::as_long(&*source, &facts, &target.descriptor)?;
        if facts.kind == ManifestKind::Index {
            return Err(Error::new(Kind::Usage, what())
                .because("it is an index")
                .hint("--platform picks a child of it, PATH@DIGEST any"));
        }
        if facts.form == Form::DockerSchema1 {
            // DOCKER-COMPAT-7.
            return Err(Error::new(Kind::Failed, what())
                .because("it is of Docker's first schema, which says nothing of files")
                .hint("show --raw prints it, cat @DIGEST a layer"));
        }
        let mut parts = parts(&facts)?;
        let all = facts.of_role(Role::Layer).chain(facts.of_role(Role::Blob)).count();
        if parts.len() < all {
            let without = all - parts.len();
            let have = if without == 1 { "has no title and is no file" } else { "have no title and are no files" };
            context.note(&format!("{without} of {} {have}; cat --layer prints one", many(all as u64, "layer")));
        }
        // What is missing is known before anything is written.
        let missing = lacking(&*source, &facts)?;
        if let Some(why) = refused(digest, &missing).filter(|_| !self.allow_missing) {
            return Err(why);
        }
        for digest in &missing {
            context.warn(&format!("missing-blob: {digest} is needed and not there"));
        }
        parts.retain(|part| !missing.contains(&part.descriptor.digest));
        if !parts.is_empty() {
            let existing = if self.keep { Existing::Keep } else { Existing::Replace };
            let options = Options { existing, medium: &*context.world.medium, watch: &progress };
            let mut output = Output::begin(&self.output, options)?;
            write(&*source, &parts, &mut output).map_err(|why| why.found_in(source.location()))?;
            output.publish()?;
        }
        drop(progress);
        let mut answer = Pulled::of(&location.path, &target.descriptor, &facts, &parts, &self.output);
        answer.missing = missing;
        context.answer(&answer)?;
        Ok(Code::Done)
    }
}

/// The parts of an artifact that are not there, though it needs them: files or not. Integrity where one has another
/// length than is said.
fn lacking(source: &dyn Source, facts: &Facts) -> Result<BTreeSet<Digest>> {
    let mut lacking = BTreeSet::new();
    for part in &facts.parts {
        let Descriptor { digest, size, .. } = &part.descriptor;
        match source.size(digest)? {
            Some(found) if found == *size => {}
            Some(found) => return Err(wrong_size(digest, *size, &found.to_string()).found_in(source.location())),
            None if matches!(part.descriptor.embedded(), Some(Ok(_))) => {}
            // A file is wanted, whatever its type says.
            None if part.is_nondistributable() && part.descriptor.annotation(TITLE).is_none() => {}
            None => drop(lacking.insert(digest.clone())),
        }
    }
    Ok(lacking)
}

/// Why an artifact that lacks something is not pulled.
fn refused(digest: &Digest, missing: &BTreeSet<Digest>) -> Option<Error> {
    let first = missing.first()?;
    let more = if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
    let error = Error::new(Kind::Incomplete, format!("could not find {first}{more}"));
    Some(error.because(format!("{digest} needs it")).hint("--allow-missing goes on without"))
}

/// The files of an artifact, in its order. Integrity where a title is none, or two are the same.
fn parts(facts: &Facts) -> Result<Vec<Part<'_>>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut titles = BTreeSet::new();
    for descriptor in facts.of_role(Role::Layer).chain(facts.of_role(Role::Blob)) {
        let Some(text) = descriptor.annotation(TITLE) else { continue };
        let bad = |why: String| Error::new(Kind::Integrity, format!("could not pull {}", facts.digest)).because(why);
        let title = Title::parse(text).map_err(|why| bad(format!("a layer has the title {text:?}: {why}")))?;
        if !titles.insert(title.clone()) {
            return Err(bad(format!("two layers have the title {text:?}")));
        }
        let packed = match descriptor.annotation(UNPACK) {
            Some("true") => {
                let tar = descriptor.annotation(UNPACKED).map(str::parse::<Digest>).transpose();
                Some(tar.map_err(|why| bad(format!("the layer {text:?} has a wrong {UNPACKED}: {why}")))?)
            }
            _ => None,
        };
        parts.push(Part { descriptor, title, packed });
    }
    Ok(parts)
}

/// Writes all files, each verified, in the source's own order.
fn write(source: &dyn Source, parts: &[Part<'_>], output: &mut Output<'_>) -> Result<()> {
    let mut by_digest: BTreeMap<&Digest, Vec<&Part<'_>>> = BTreeMap::new();
    for part in parts {
        by_digest.entry(&part.descriptor.digest).or_default().push(part);
    }
    let want: BTreeSet<Digest> = by_digest.keys().map(|digest| (*digest).clone()).collect();
    let mut left = Vec::new();
    source.visit(&want, &mut |blob, content| {
        let Some((first, rest)) = by_digest.remove(&blob.digest).and_then(|mut parts| {
            let first = (!parts.is_empty()).then(|| parts.remove(0))?;
            Some((first, parts))
        }) else {
            return Ok(());
        };
        left.extend(rest);
        one(output, first, content)
    })?;
    // The same content under further titles, and what is only there as `data`.
    for part in left.into_iter().chain(by_digest.into_values().flatten()) {
        let digest = &part.descriptor.digest;
        match source.open(digest)? {
            Some(content) => one(output, part, content)?,
            None => match part.descriptor.embedded() {
                Some(Ok(bytes)) => one(output, part, Content::Bytes(&bytes))?,
                _ => return Err(missing(source, digest)),
            },
        }
    }
    Ok(())
}

fn one(output: &mut Output<'_>, part: &Part<'_>, content: Content<'_>) -> Result<()> {
    let blob = Blob { digest: part.descriptor.digest.clone(), size: part.descriptor.size };
    match &part.packed {
        None => output.file(&part.title, &blob, content),
        Some(tar) => output.directory(&part.title, &blob, content, tar.as_ref()),
    }
}

/// What was pulled.
#[derive(Debug, Serialize)]
struct Pulled {
    #[serde(flatten)]
    node: Node,
    files: Vec<File>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    missing: BTreeSet<Digest>,
}

#[derive(Debug, Serialize)]
struct File {
    path: String,
    #[serde(flatten)]
    node: Node,
}

impl Pulled {
    fn of(layout: &Path, descriptor: &Descriptor, facts: &Facts, parts: &[Part<'_>], output: &Path) -> Self {
        let file = |part: &Part<'_>| {
            let path = if part.title.is_root() { output.to_owned() } else { output.join(part.title.as_str()) };
            File { path: path.display().to_string(), node: Node::of(layout, part.descriptor) }
        };
        let mut node = Node::of(layout, descriptor).typed(facts.told_type());
        node.annotations = facts.annotations.clone();
        Self { node, files: parts.iter().map(file).collect(), missing: BTreeSet::new() }
    }
}

impl Answer for Pulled {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        for file in &self.files {
            writeln!(out, "{}  {}", look.bold(&shown(&file.path)), bytes(file.node.size))?;
        }
        if self.files.is_empty() { writeln!(out, "there are no files in it") } else { Ok(()) }
    }

    fn brief(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.node.digest)
    }
}
