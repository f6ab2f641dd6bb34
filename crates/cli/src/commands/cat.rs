//! `cat` prints a blob's bytes, verified while they are written.

use std::io::Write;

use ocistow_layout::checked::pump;
use ocistow_layout::{Blob, Content, Descriptor, Digest, Error, Kind, Result, Source};

use super::at::{self, At};
use crate::code::Code;
use crate::speak::Context;

/// Print a blob's bytes, verified while they are written
///
/// A blob that is damaged is found out at its end at the latest: trust what was printed only if the
/// command ended well.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow cat ./store@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
  ocistow cat app.tar@sha256:… | tar tzf -")]
pub struct Args {
    #[command(flatten)]
    at: At,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        context.only_bytes("cat")?;
        let location = self.at.read()?;
        if location.pick.is_empty() {
            let what = format!("could not tell which content of {} is meant", location.path.display());
            return Err(Error::new(Kind::Usage, what).hint("write PATH@DIGEST, or PATH:REF for a manifest"));
        }
        let source = at::open(context, &location.path)?;
        // A blob that is there needs nobody who refers to it.
        if location.pick.reference.is_none()
            && let Some(digest) = &location.pick.digest
            && let Some(content) = source.open(digest)?
        {
            let blob = Blob { digest: digest.clone(), size: content.len() };
            send(context, &blob, content)?;
            return Ok(Code::Done);
        }
        let target = at::target(context, &*source, &location, None)?;
        send_described(context, &*source, &target.descriptor)?;
        Ok(Code::Done)
    }
}

/// Sends the content of a descriptor to standard output, verified. Incomplete where it is missing.
pub fn send_described(context: &Context<'_>, source: &dyn Source, descriptor: &Descriptor) -> Result<()> {
    let blob = Blob { digest: descriptor.digest.clone(), size: descriptor.size };
    if let Some(content) = source.open(&blob.digest)? {
        return send(context, &blob, content);
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
