//! `convert` makes manifests anew in another form.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use ocistow_graph::{Conversion, Family, Graph, Target, convert};
use ocistow_layout::name::Pair;
use ocistow_layout::transaction::{Options, Transaction};
use ocistow_layout::{Blob, Content, Digest, Result, Source, Watch};

use super::export::moved;
use super::{at, tag};
use crate::again::Again;
use crate::code::Code;
use crate::entering::{Entered, standing};
use crate::location::Location;
use crate::placed::Placed;
use crate::shown::many;
use crate::speak::Context;

/// Make a manifest anew in another form: Docker's as OCI's and back, ORAS and withdrawn artifact forms as OCI's of today
///
/// All children of an index are made anew with it.
/// Configs, layers and blobs stay as they are; only manifests get another digest. The name moves to the new one,
/// unless NEWTAG is given: then the old one keeps it. What is of that form already stays as it is. What the other
/// form has no words for (artifacts, attestations and layers in zstd for Docker) is refused, and so is Docker's first
/// schema, for which layers and config would have to be made anew.
///
/// With --referrers, what refers to what got another digest is made anew for that, lists of referrers included;
/// cosign's artifacts get the tag for the new digest too, BuildKit's attestations go with their index in any case, and
/// what only an entry of containerd's says stays with the old one. Referrers of ORAS's or a withdrawn form get OCI's,
/// also where what they refer to is of that already. Signatures are over digests: sign anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  A Docker image, or list of images, as OCI:
    ocistow convert ./store:app

  The same, with signatures and SBOMs that refer to it, under a name of its own:
    ocistow convert ./store:app app-oci --referrers

  For a registry that knows only Docker's form:
    ocistow convert ./store:app app-docker --to docker

  An ORAS artifact that has no name:
    ocistow convert ./store@sha256:…")]
pub struct Args {
    /// The layout, and what is meant in it: PATH, PATH:REF, PATH@DIGEST or PATH:REF@DIGEST
    #[arg(value_name = "LOC")]
    location: OsString,
    /// What the new one is called; the old one then keeps its name
    #[arg(value_name = "NEWTAG")]
    new: Option<String>,
    /// Whose form it gets
    #[arg(long, value_enum, default_value_t = To::Oci, value_name = "FORM")]
    to: To,
    /// Also make what refers to it anew, so that it refers to the new one, in the form of today
    #[arg(long)]
    referrers: bool,
    /// Take PATH as it is, whatever it contains, and LOC as a reference in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

/// Whose form a manifest gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// OCI 1.1
    Oci,
    /// Docker's second schema
    Docker,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let location = at::read(Some(&self.location), self.path.as_deref())?;
        if let Some(new) = &self.new {
            if self.path.is_none() {
                tag::bare(&location.path, new)?;
            }
            tag::judge(context, new)?;
        }
        let source = at::open_directory(context, &location.path)?;
        // What it is made of stays there until it is published.
        let progress = context.progress("converting", None);
        let held = at::hold_to_write(context, &location.path, &progress)?;
        let mut conversion = self.decide(&*source, &location, context, &progress)?;
        let entered = if conversion.count() == 0 && self.new.is_none() {
            Entered::after(&source.index()?, &[], &conversion.new.digest)?
        } else {
            let options = Options { held: held.as_ref(), ..context.writing(&progress) };
            let mut transaction = Transaction::within(&location.path, options)?;
            let mut again = Again::new(context);
            loop {
                match self.act(context, &*source, &mut transaction, &conversion) {
                    Err(why) => again.undisturbed_after(why, &mut transaction)?,
                    Ok(entered) => break entered,
                }
                conversion = self.decide(&*source, &location, context, &progress)?;
            }
        };
        drop(progress);
        self.tell(context, &conversion);
        answer(context, &location.path, &conversion, &entered, self.new.as_deref())
    }

    fn decide(
        &self,
        source: &dyn Source,
        location: &Location,
        context: &Context<'_>,
        watch: &dyn Watch,
    ) -> Result<Conversion> {
        let graph = Graph::load(source, at::load(context, false), watch)?;
        if self.referrers {
            // One that cannot be read may refer to it.
            graph.unread().verdict()?;
        }
        let mut target = ocistow_graph::resolve::resolve_in(&graph, source, &at::asked(&location.pick))?;
        if !target.manifest {
            let descriptor = tag::lying(source, &target.descriptor.digest, "convert")?;
            target = Target { descriptor, manifest: true, ..target };
        }
        let family = match self.to {
            To::Oci => Family::Oci,
            To::Docker => Family::Docker,
        };
        convert(&graph, source, &target, family, self.referrers)
    }

    /// Publishes what was decided. Gives the entries that it has then. On `Err` nothing that was there before is changed.
    fn act(
        &self,
        context: &Context<'_>,
        source: &dyn Source,
        transaction: &mut Transaction<'_>,
        conversion: &Conversion,
    ) -> Result<Entered> {
        let target = standing(Some(source))?;
        let entering = conversion.enter(self.new.as_deref(), &target)?;
        let mut order: Vec<Blob> = Vec::new();
        for (blob, bytes) in &entering.written {
            transaction.put(blob, Content::Bytes(bytes))?;
            order.push(blob.clone());
        }
        transaction.publish(&order, &entering.import.edits)?;
        context.log(&format!("waited {:.3} s for the disk", transaction.barrier().as_secs_f64()));
        moved(context, &entering.import.moved);
        Entered::after(&target.index, &entering.import.edits, &conversion.new.digest)
    }

    /// Tells what became of those who refer to the old one.
    fn tell(&self, context: &Context<'_>, conversion: &Conversion) {
        let Conversion { old, new, absent, attached, replaced, left, .. } = conversion;
        if !replaced.is_empty() {
            let count = replaced.len();
            let what = if count == 1 { "manifest that refers to it was" } else { "manifests that refer to it were" };
            context.note(&format!("{count} {what} of a withdrawn form; signatures over the old ones do not apply"));
        }
        if conversion.root().is_none() {
            return;
        }
        if !absent.is_empty() {
            let count = absent.len();
            let (are, stay) = if count == 1 { ("child is", "stays") } else { ("children are", "stay") };
            context.warn(&format!("{count} {are} not there and {stay} listed as before"));
        }
        if !attached.is_empty() {
            let count = attached.len();
            let what = if count == 1 { "manifest refers" } else { "manifests refer" };
            context.warn(&format!(
                "{count} {what} to the new digests now; signatures over {} do not apply to {}: sign anew",
                old.digest, new.digest
            ));
        }
        if !left.is_empty() {
            let count = left.len();
            let what = if count == 1 { "manifest refers" } else { "manifests refer" };
            let more = match self.referrers {
                true => "; they do not say so themselves, so nothing was made of them",
                false => "; --referrers makes them refer to the new ones",
            };
            context.note(&format!("{count} {what} to the old digests still{more}"));
        }
    }
}

fn answer(
    context: &Context<'_>,
    path: &Path,
    conversion: &Conversion,
    entered: &Entered,
    new: Option<&str>,
) -> Result<Code> {
    // It is done, whether it can be looked at once more or not.
    let layout = at::open_directory(context, path).ok();
    let told = match (conversion.root(), conversion.count()) {
        (None, 0) => "is of that form already".to_owned(),
        (None, count) => format!("is of that form already, {}", made(count)),
        (Some(_), 1) => from(&conversion.old.digest),
        (Some(_), count) => format!("{}, {}", from(&conversion.old.digest), made(count)),
    };
    let read = || Some(ocistow_graph::graph::read(&**layout.as_ref()?, &conversion.new).0);
    let facts = match conversion.root() {
        Some(made) => Some(made.facts.clone()),
        None => read().and_then(|node| node.facts(&conversion.new.digest).ok()),
    };
    let pair = new.map_or_else(|| Pair::of(&conversion.new), Pair::written);
    let entry = entered.called(&pair).unwrap_or(&conversion.new);
    context.answer(&Placed::of(path, entry, facts.as_ref(), layout.as_deref(), entered.tags(), told))?;
    Ok(Code::Done)
}

fn made(count: usize) -> String {
    format!("{} made", many(count as u64, "manifest"))
}

fn from(old: &Digest) -> String {
    format!("converted from {old}")
}
