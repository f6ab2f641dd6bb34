//! `tag` gives a manifest more names.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use ocistow_graph::Facts;
use ocistow_graph::graph::is_for_referrers;
use ocistow_layout::directory::Directory;
use ocistow_layout::edit::{Edit, apply};
use ocistow_layout::lock::Held;
use ocistow_layout::name::{Pair, is_ref_name, is_repository, is_tag, split_full};
use ocistow_layout::transaction::{Options, Transaction, settle};
use ocistow_layout::{Descriptor, Digest, Error, IndexFile, Kind, Result, Source, checked};

use super::at;
use crate::changes::Changes;
use crate::code::Code;
use crate::speak::Context;

/// Give a manifest more names; a name that stood for something else moves
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow tag ./store:app app-stable
  ocistow tag ./store:app registry.example/team/app:1.0 1.0
  ocistow tag ./store@sha256:… rescued")]
pub struct Args {
    /// The layout, and what is meant in it: PATH, PATH:REF, PATH@DIGEST or PATH:REF@DIGEST
    #[arg(value_name = "LOC")]
    location: OsString,
    /// The names: tags or full names, host/repository:tag
    #[arg(value_name = "NEW", required = true)]
    new: Vec<String>,
    /// Take PATH as it is, whatever it contains, and LOC as a reference in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let location = at::read(Some(&self.location), self.path.as_deref())?;
        for name in &self.new {
            if self.path.is_none() {
                bare(&location.path, name)?;
            }
            judge(context, name)?;
        }
        let source = at::open_directory(context, &location.path)?;
        // What nothing reaches may be meant: nobody deletes it before it has its name.
        let progress = context.progress("waiting", None);
        let held = at::hold_to_write(context, &location.path, &progress)?;
        drop(progress);
        let target = at::target(context, &*source, &location, None)?;
        let entry = match target.manifest || !target.places.is_empty() {
            true => target.descriptor,
            false => lying(&*source, &target.descriptor.digest, "tag")?,
        };
        let name = |reference: &String| Edit::Name { entry: Box::new(entry.clone()), reference: reference.clone() };
        let edits: Vec<Edit> = self.new.iter().map(name).collect();
        change(context, &location.path, &*source, held.as_ref(), &edits)
    }
}

/// The descriptor of a manifest that nothing refers to but its digest: what an untag or another tool left
/// behind. Usage where the blob is no manifest that says what it is, so that nobody can `act` on it as on one.
pub fn lying(source: &dyn Source, digest: &Digest, act: &str) -> Result<Descriptor> {
    let what = || format!("could not {act} {digest}");
    let no_manifest = || Error::new(Kind::Usage, what()).because("it is a blob, not a manifest");
    let size = source.size(digest)?.ok_or_else(|| Error::new(Kind::NotFound, what()).because("it is not there"))?;
    if size > checked::MAX_MANIFEST {
        return Err(no_manifest());
    }
    let bytes = checked::read(source, digest, checked::MAX_MANIFEST)?.ok_or_else(no_manifest)?;
    let facts = Facts::read("", digest, &bytes).map_err(|_| no_manifest())?;
    Ok(Descriptor::new(facts.form.media_type(), digest.clone(), facts.size))
}

/// Refuses a name that has the layout at `path` in front of it and would have it for ever. A full name may be what a
/// layout is called after.
pub fn bare(path: &Path, name: &str) -> Result<()> {
    let full = split_full(name).is_some_and(|(repository, _)| is_repository(repository));
    match at::in_same(path, OsStr::new(name)) {
        Some(bare) if !full => Err(Error::new(Kind::Usage, format!("could not use {name:?} as a name"))
            .because(format!("it begins with {}, the layout in which it is given", path.display()))
            .hint(format!("write {bare}"))),
        _ => Ok(()),
    }
}

/// Refuses names that fit no grammar, and warns of those that not everybody takes (4.18), or takes for something else.
pub fn judge(context: &Context<'_>, name: &str) -> Result<()> {
    let pair = Pair::written(name);
    let written = pair.reference.as_deref().unwrap_or_default();
    match (is_tag(written), is_ref_name(written)) {
        (true, true) => {}
        (true, false) => context.warn(&format!("{written:?} is no name that umoci takes")),
        (false, true) => context.warn(&format!("{written:?} is no tag that a registry takes")),
        (false, false) => {
            return Err(Error::new(Kind::Usage, format!("could not use {name:?} as a name"))
                .because("it is neither a tag nor a name of an image layout")
                .hint("a tag has letters, digits, '_', '.' and '-', and starts with none of the last two"));
        }
    }
    if is_for_referrers(&pair) {
        let taken = "is a tag for what refers to another manifest: whatever has it is listed and carried as that";
        context.warn(&format!("{written:?} {taken}"));
    }
    Ok(())
}

/// Makes `edits` on the index.json of the layout at `path`, and tells what they changed.
pub fn change(
    context: &Context<'_>,
    path: &Path,
    source: &dyn Source,
    held: Option<&Held>,
    edits: &[Edit],
) -> Result<Code> {
    let changes = {
        // Both may be large, and the transaction reads its own.
        let before = source.index()?;
        let after = IndexFile::parse(apply(&before, edits)?)?;
        let mut changes = Changes::between(&before, &after)?;
        changes.and_kept(&before, edits);
        changes
    };
    let progress = context.progress("waiting", None);
    let options = Options { held, ..context.writing(&progress) };
    if changes.changed.is_empty() {
        settle(&Directory::open(path)?, options.medium)?;
    } else {
        Transaction::within(path, options)?.publish(&[], edits)?;
    }
    drop(progress);
    context.answer(&changes)?;
    Ok(Code::Done)
}
