//! `push` makes an artifact of files.

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use ocistow_graph::made::MOST_WELCOME;
use ocistow_graph::{Made, ReferrersAs};
use ocistow_layout::directory::Directory;
use ocistow_layout::transaction::Transaction;
use ocistow_layout::{Descriptor, Error, Kind, Result, Source};

use super::at;
use super::ingredients::{Ingredients, Recipe, artifact_type};
use super::tag;
use crate::code::Code;
use crate::entering::{Under, enter};
use crate::placed::Placed;
use crate::speak::Context;

/// Make an artifact of files and directories, under a tag
///
/// The layout is made if it is not there. Files are called what their path says where the artifact is pulled;
/// directories are packed. The same content gives the same digest, everywhere and at any time: nothing tells when it
/// was made, unless SOURCE_DATE_EPOCH or an annotation does.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow push ./store:report report.pdf:application/pdf
  ocistow push ./store:site site/ --artifact-type application/vnd.example.site
  ocistow push ./store:model model.bin README.md --annotation org.opencontainers.image.version=1.2
  ocistow push ./store:chart chart.tgz:application/vnd.cncf.helm.chart.content.v1.tar+gzip \\
    --config Chart.json:application/vnd.cncf.helm.config.v1+json")]
pub struct Args {
    /// The layout, and the tag the artifact gets in it; a tag that stood for something else moves
    #[arg(value_name = "LOC:TAG")]
    location: OsString,
    #[command(flatten)]
    ingredients: Ingredients,
    /// What sort of artifact it is [default: application/vnd.unknown.artifact.v1; with a config, what that says]
    #[arg(long, value_name = "TYPE", value_parser = artifact_type)]
    artifact_type: Option<String>,
    /// Take PATH as it is, whatever it contains, and LOC as a tag in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let (path, tag) = target(context, &self.location, self.path.as_deref())?;
        at::to_write(&path)?;
        let recipe = self.ingredients.read(context, &path)?;
        make(context, &path, recipe, self.artifact_type.clone(), Aim::Tag(&tag))
    }
}

/// The layout, and the tag in it, that something gets. Usage where that is no tag, or the layout is an archive.
pub fn target(context: &Context<'_>, location: &OsString, path: Option<&Path>) -> Result<(PathBuf, String)> {
    let location = at::read(Some(location), path)?;
    let needed = |why: &str| {
        let what = format!("could not tell what to call it in {}", location.path.display());
        Error::new(Kind::Usage, what).because(why.to_owned()).hint("write PATH:TAG")
    };
    let tag = match (&location.pick.reference, &location.pick.digest, location.pick.nth) {
        (Some(tag), None, None) => tag.clone(),
        (None, None, None) => return Err(needed("a tag is needed")),
        _ => return Err(needed("a tag is needed, not a digest or a place")),
    };
    tag::judge(context, &tag)?;
    Ok((location.path, tag))
}

/// What becomes of an artifact.
pub enum Aim<'a> {
    /// It gets a tag.
    Tag(&'a str),
    /// It refers to a manifest, which is recorded in this way.
    Subject(&'a Descriptor, ReferrersAs),
}

/// Stages what an artifact needs, makes it, and enters it into the layout at `path`.
pub fn make(
    context: &Context<'_>,
    path: &Path,
    recipe: Recipe,
    artifact_type: Option<String>,
    aim: Aim<'_>,
) -> Result<Code> {
    let (verb, doing, under, subject) = match aim {
        Aim::Tag(tag) => ("pushed", "pushing", Under::Name(tag), None),
        Aim::Subject(subject, way) => ("attached", "attaching", Under::Subject(way), Some(subject)),
    };
    let mut told = recipe.told(verb);
    if let Some(subject) = subject {
        told.push_str(&format!(" to {}", subject.digest));
    }
    let progress = context.progress(doing, None);
    let options = context.writing(&progress);
    let mut transaction = match subject {
        Some(_) => Transaction::within(path, options)?,
        None => Transaction::begin(path, options)?,
    };
    let (mut artifact, staged) = recipe.stage(context, &transaction, artifact_type, &progress)?;
    artifact.subject = subject.cloned();
    // The process ends before thousands of descriptors would be given back one by one.
    let (artifact, staged) = (ManuallyDrop::new(artifact), ManuallyDrop::new(staged));
    let made = ManuallyDrop::new(artifact.make()?);
    if made.facts.size > MOST_WELCOME {
        let size = made.facts.size;
        context.warn(&format!("the manifest has {size} bytes; registries need not take more than {MOST_WELCOME}"));
    }
    let tags = enter(context, path, &mut transaction, &made, &staged, under)?;
    drop(transaction);
    drop(progress);
    answer(context, path, &made, tags, told)
}

/// Tells of a manifest that was entered into the layout at `path`.
pub fn answer(context: &Context<'_>, path: &Path, made: &Made, tags: Vec<String>, told: String) -> Result<Code> {
    let layout = Directory::open(path).ok();
    let layout = layout.as_ref().map(|layout| layout as &dyn Source);
    context.answer(&Placed::of(path, &made.entry(), Some(&made.facts), layout, tags, told))?;
    Ok(Code::Done)
}
