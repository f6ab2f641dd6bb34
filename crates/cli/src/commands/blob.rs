//! `blob push` stores content as it is.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use ocistow_layout::pack::{stage_file, stage_stream};
use ocistow_layout::transaction::Transaction;
use ocistow_layout::{Blob, Content, Descriptor, Digest, Error, Kind, Result};

use super::at;
use crate::code::Code;
use crate::placed::Placed;
use crate::progress::Progress;
use crate::shown::bytes;
use crate::speak::Context;

/// Plumbing for blobs: push stores one
#[derive(Debug, clap::Args)]
#[command(after_help = PUSH)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

const PUSH: &str = "\
EXAMPLES:
  ocistow blob push ./store layer.tar
  gzip -c layer.tar | ocistow blob push ./store -
  ocistow blob push ./store@sha256:… layer.tar";

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Store a file's content as a blob
    ///
    /// Nothing refers to it until a manifest does: gc takes it once it is an hour old. A digest in LOC is what the
    /// content has to have.
    #[command(after_help = PUSH)]
    Push(Push),
}

#[derive(Debug, clap::Args)]
struct Push {
    /// The layout, and the digest that is expected: PATH or PATH@DIGEST
    #[arg(value_name = "LOC")]
    location: OsString,
    /// The file; - reads standard input
    #[arg(value_name = "FILE|-")]
    file: OsString,
    /// Take PATH as it is, whatever it contains, and LOC as @DIGEST
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        match &self.act {
            Act::Push(push) => push.run(context),
        }
    }
}

impl Push {
    fn run(&self, context: &Context<'_>) -> Result<Code> {
        let location = at::read(Some(&self.location), self.path.as_deref())?;
        if location.pick.reference.is_some() || location.pick.nth.is_some() {
            return Err(Error::new(Kind::Usage, format!("could not push a blob to {}", location.path.display()))
                .because("a blob has no tag")
                .hint("write PATH, or PATH@DIGEST"));
        }
        let path = &location.path;
        at::to_write(path)?;
        if self.file != "-" {
            // Before a layout is made for it.
            let meta = Path::new(&self.file).metadata();
            meta.map_err(|why| Error::io("open", Path::new(&self.file), why))?;
        }
        let progress = context.progress("pushing", None);
        let mut transaction = Transaction::begin(path, context.writing(&progress))?;
        let blob = self.stage(context, &transaction, location.pick.digest.as_ref(), &progress)?;
        transaction.publish(std::slice::from_ref(&blob), &[])?;
        drop(transaction);
        drop(progress);
        let descriptor = Descriptor::new("application/octet-stream", blob.digest.clone(), blob.size);
        let told = format!("pushed a blob of {}", bytes(blob.size));
        context.answer(&Placed::of(path, &descriptor, None, None, Vec::new(), told))?;
        Ok(Code::Done)
    }

    /// Stages the content. Integrity where it has another digest than is expected.
    fn stage(
        &self,
        context: &Context<'_>,
        transaction: &Transaction<'_>,
        expected: Option<&Digest>,
        progress: &Progress<'_>,
    ) -> Result<Blob> {
        let file = Path::new(&self.file);
        let input = self.file == "-";
        let sha256 = expected.is_none_or(|expected| expected.sha256().is_some());
        if sha256 {
            let blob = match input {
                true => stage_stream(transaction, &mut *context.input(), progress)?,
                false => stage_file(transaction, file, progress)?,
            };
            return match expected.filter(|expected| **expected != blob.digest) {
                Some(expected) => Err(self.refused(expected, &format!("its digest is {}", blob.digest))),
                None => Ok(blob),
            };
        }
        // By another algorithm: the file is read once more than it would have to be, by the one that verifies.
        let expected = expected.expect("it is not sha256");
        if input || !expected.verifiable() {
            let what = format!("could not push a blob as {expected}");
            let why = if input { "standard input is hashed by sha256 only" } else { "its algorithm is not known here" };
            return Err(Error::new(Kind::Usage, what).because(why));
        }
        let failed = |why| Error::io("read", file, why);
        let opened = File::open(file).map_err(failed)?;
        let blob = Blob { digest: expected.clone(), size: opened.metadata().map_err(failed)?.len() };
        transaction.put(&blob, Content::Owned(opened, blob.size)).map_err(|why| match why.kind() {
            Kind::Integrity => self.refused(expected, "its digest is another one"),
            _ => why,
        })?;
        Ok(blob)
    }

    fn refused(&self, expected: &Digest, why: &str) -> Error {
        let name = if self.file == "-" { "standard input".into() } else { self.file.to_string_lossy() };
        Error::new(Kind::Integrity, format!("could not push {name} as {expected}")).because(why)
    }
}
