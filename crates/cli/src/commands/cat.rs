//! `cat` prints a blob's bytes, verified while they are written.

use std::io::Write;
use std::num::NonZeroUsize;

use ocistow_graph::graph::read;
use ocistow_graph::{ManifestKind, Role, Selector, Target};
use ocistow_layout::checked::pump;
use ocistow_layout::title::TITLE;
use ocistow_layout::{Blob, Content, Descriptor, Digest, Error, Kind, Result, Source};

use super::at::{self, At};
use crate::code::Code;
use crate::speak::Context;

/// Print a blob's bytes, verified while they are written
///
/// A blob that is damaged is found out at its end at the latest: trust what was printed only if the
/// command ended well. Where nobody reads it to its end, that is 1, without a word.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow cat ./store@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
  ocistow cat app.tar@sha256:… | tar tzf -
  ocistow cat app.tar:app --platform linux/arm64 --layer 1 | tar tzf -
  ocistow cat ./store:report --title report.pdf > report.pdf")]
pub struct Args {
    #[command(flatten)]
    at: At,
    /// A layer of the manifest, instead of the manifest itself, by its place: 1 is the first
    #[arg(long, value_name = "N", conflicts_with = "title")]
    layer: Option<NonZeroUsize>,
    /// A layer of the manifest by its title, which is the name of a file in an artifact
    #[arg(long, value_name = "NAME")]
    title: Option<String>,
    /// The child of an index for this platform, os[/arch[/variant]][:os.version]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Selector>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        context.only_bytes("cat")?;
        let location = self.at.read()?;
        let of_manifest = self.layer.is_some() || self.title.is_some();
        if location.pick.is_empty() && !of_manifest {
            let what = format!("could not tell which content of {} is meant", location.path.display());
            return Err(Error::new(Kind::Usage, what).hint("write PATH@DIGEST, or PATH:REF for a manifest"));
        }
        let source = at::open(context, &location)?;
        // A blob that is there needs nobody who refers to it.
        if location.pick.reference.is_none()
            && !of_manifest
            && self.platform.is_none()
            && let Some(digest) = &location.pick.digest
            && let Some(content) = source.open(digest)?
        {
            let blob = Blob { digest: digest.clone(), size: content.len() };
            send(context, &blob, content).map_err(|why| why.found_in(source.location()))?;
            return Ok(Code::Done);
        }
        let target = at::target(context, &*source, &location, self.platform.as_ref())?;
        let descriptor = if of_manifest { self.layer_of(&*source, &target)? } else { target.descriptor };
        send_described(context, &*source, &descriptor)?;
        Ok(Code::Done)
    }

    /// The layer that is meant. NotFound where the manifest has none such, Integrity where it has several of the title.
    fn layer_of(&self, source: &dyn Source, target: &Target) -> Result<Descriptor> {
        let digest = &target.descriptor.digest;
        if !target.manifest {
            return Err(Error::new(Kind::Usage, format!("could not find layers in {digest}"))
                .because("it is no manifest")
                .hint("without --layer and --title cat prints a blob"));
        }
        let (node, _) = read(source, &target.descriptor);
        let facts = node.facts(digest)?;
        let layers: Vec<&Descriptor> = facts.of_role(Role::Layer).chain(facts.of_role(Role::Blob)).collect();
        let absent = |which: String, why: String| {
            let error = Error::new(Kind::NotFound, format!("could not find {which} in {digest}")).because(why);
            if facts.kind == ManifestKind::Index { error.hint("--platform picks an image of an index") } else { error }
        };
        let Some(title) = &self.title else {
            let nth = self.layer.map_or(1, NonZeroUsize::get);
            let found = layers.get(nth - 1).copied().cloned();
            return found.ok_or_else(|| absent(format!("layer {nth}"), format!("it has {}", layers.len())));
        };
        let mut called = layers.iter().filter(|layer| layer.annotation(TITLE) == Some(title));
        match (called.next(), called.next()) {
            (Some(one), None) => Ok((*one).clone()),
            (None, _) => Err(absent(format!("{title:?}"), "no layer has that title".to_owned())),
            (Some(_), Some(_)) => Err(Error::new(Kind::Integrity, format!("could not tell which {title:?} is meant"))
                .because(format!("several layers of {digest} have that title"))
                .hint("--layer picks one by its place")),
        }
    }
}

/// Sends the content of a descriptor to standard output, verified. Incomplete where it is missing.
pub fn send_described(context: &Context<'_>, source: &dyn Source, descriptor: &Descriptor) -> Result<()> {
    let blob = Blob { digest: descriptor.digest.clone(), size: descriptor.size };
    if let Some(content) = source.open(&blob.digest)? {
        return send(context, &blob, content).map_err(|why| why.found_in(source.location()));
    }
    match descriptor.embedded() {
        Some(Ok(bytes)) => send(context, &blob, Content::Bytes(&bytes)),
        _ => Err(missing(source, &blob.digest)),
    }
}

/// The error for content that something refers to and that is not there.
pub fn missing(source: &dyn Source, digest: &Digest) -> Error {
    Error::new(Kind::Incomplete, format!("could not read {digest}"))
        .because(format!("{} refers to it and does not have it", source.location()))
}

fn send(context: &Context<'_>, blob: &Blob, content: Content<'_>) -> Result<()> {
    let watch = context.progress("reading", None);
    let mut out = context.content();
    pump(blob, content, &watch, &mut |piece, _| {
        out.write_all(piece)
            .map_err(|why| Error::new(Kind::Failed, format!("could not write {}", blob.digest)).because(why))
    })
}
