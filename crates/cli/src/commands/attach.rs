//! `attach` makes an artifact of files that refers to a manifest.

use std::ffi::OsString;
use std::path::PathBuf;

use ocistow_graph::graph::read;
use ocistow_graph::{Node, Selector};
use ocistow_layout::{Descriptor, Error, Kind, Result, Source};

use super::at;
use super::ingredients::{Ingredients, artifact_type};
use super::push::{Aim, make};
use super::tag;
use crate::code::Code;
use crate::destination::Referrers;
use crate::location::Location;
use crate::speak::Context;

/// Make an artifact of files that refers to a manifest: a signature, an SBOM, a report
///
/// It has no tag: discover finds it by what it refers to. Lists of referrers that other tools keep in the layout
/// are kept true.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow attach ./store:app --artifact-type application/spdx+json sbom.json:application/spdx+json
  ocistow attach ./store:app --platform linux/arm64 --artifact-type application/vnd.example.report \\
    report/
  ocistow attach ./store@sha256:… --artifact-type application/vnd.example.note \\
    --annotation org.example.seen=yes
  ocistow attach ./store:app --artifact-type application/spdx+json sbom.json --referrers-as both")]
pub struct Args {
    /// What it refers to: PATH, PATH:REF, PATH@DIGEST or PATH:REF@DIGEST
    #[arg(value_name = "LOC:REF")]
    location: OsString,
    #[command(flatten)]
    ingredients: Ingredients,
    /// What sort of artifact it is
    #[arg(long, value_name = "TYPE", value_parser = artifact_type)]
    artifact_type: String,
    /// Refer to the child of an index for this platform, os[/arch[/variant]][:os.version]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Selector>,
    /// Where it says what it refers to: tags are for regctl and others that look at fallback tags only
    #[arg(long, value_enum, default_value_t = Referrers::Entries, value_name = "WAY")]
    referrers_as: Referrers,
    /// Take PATH as it is, whatever it contains, and LOC as a reference in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let location = at::read(Some(&self.location), self.path.as_deref())?;
        if self.ingredients.is_empty() {
            return Err(Error::new(Kind::Usage, "could not tell what to attach")
                .because("neither a file nor an annotation was given"));
        }
        let recipe = self.ingredients.read(context, &location.path)?;
        let source = at::open_directory(context, &location.path)?;
        let subject = self.subject(context, &*source, &location)?;
        let aim = Aim::Subject(&subject, self.referrers_as.into());
        make(context, &location.path, recipe, Some(self.artifact_type.clone()), aim)
    }

    /// The manifest that is meant. Usage where it is a blob that is none, Integrity where it cannot be read.
    fn subject(&self, context: &Context<'_>, source: &dyn Source, location: &Location) -> Result<Descriptor> {
        let target = at::target(context, source, location, self.platform.as_ref())?;
        if !target.manifest {
            return tag::lying(source, &target.descriptor.digest, "attach to");
        }
        let digest = &target.descriptor.digest;
        match read(source, &target.descriptor).0 {
            Node::Present(manifest) => Ok(manifest.descriptor()),
            Node::Absent => {
                context.warn(&format!("{digest} is not there itself"));
                Ok(target.descriptor)
            }
            broken => broken.manifest(digest).map(|_| target.descriptor.clone()),
        }
    }
}
