//! `manifest push` stores the bytes of a manifest as they are.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use ocistow_graph::{Graph, Made, Request, Target, plan};
use ocistow_layout::checked::MAX_MANIFEST;
use ocistow_layout::pack::read_file;
use ocistow_layout::transaction::Transaction;
use ocistow_layout::{Blob, Content, Digest, Error, IndexFile, Kind, Result, Source};

use super::along::Along;
use super::push::answer;
use super::{at, tag};
use crate::code::Code;
use crate::entering::{Under, enter, standing};
use crate::shown::bytes;
use crate::speak::Context;

/// Plumbing for manifests: push stores one as it is
#[derive(Debug, clap::Args)]
#[command(after_help = PUSH)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

const PUSH: &str = "\
EXAMPLES:
  ocistow manifest push ./store:app manifest.json
  ocistow show --raw app.tar:app | ocistow manifest push ./store:app -
  ocistow manifest push ./store@sha256:… manifest.json";

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Store a manifest or index, byte for byte, with a tag or without
    ///
    /// What it needs has to be in the layout: push blobs first, children of an index may come later. A digest in LOC
    /// is what its bytes have to have.
    #[command(after_help = PUSH)]
    Push(Push),
}

#[derive(Debug, clap::Args)]
struct Push {
    /// The layout, and the tag it gets in it, or the digest it has to have: PATH, PATH:TAG, PATH@DIGEST
    #[arg(value_name = "LOC")]
    location: OsString,
    /// The file; - reads standard input
    #[arg(value_name = "FILE|-")]
    file: OsString,
    /// Take missing content as a warning
    #[arg(long)]
    allow_missing: bool,
    /// Take PATH as it is, whatever it contains, and LOC as a tag or @DIGEST in it
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
        if location.pick.nth.is_some() {
            return Err(Error::new(Kind::Usage, "could not use a place").because("a manifest gets a tag, or none"));
        }
        let tag = location.pick.reference.as_deref();
        tag.map(|tag| tag::judge(context, tag)).transpose()?;
        let path = &location.path;
        let there = at::to_write(path)?;
        let made = Made::given(document(context, &self.file)?, location.pick.digest.as_ref())?;
        made.facts.notes.iter().for_each(|note| context.warn(&note.to_string()));
        let embedded = self.needs(context, &made, there.as_ref().map(|there| there as &dyn Source))?;
        let progress = context.progress("pushing", None);
        let mut transaction = Transaction::begin(path, context.writing(&progress))?;
        let mut staged = Vec::new();
        for (digest, bytes) in &embedded {
            let blob = Blob { digest: digest.clone(), size: bytes.len() as u64 };
            transaction.put(&blob, Content::Bytes(bytes))?;
            staged.push(blob);
        }
        let under = tag.map_or(Under::Nothing, Under::Name);
        let tags = enter(context, path, &mut transaction, &made, &staged, under)?;
        drop(transaction);
        drop(progress);
        let told = format!("pushed {} of {}", article(made.facts.kind), bytes(made.facts.size));
        answer(context, path, &made, tags, told)
    }

    /// What the manifest needs and is only in it as `data`. Fails where it needs what is not there, as `import` does.
    fn needs(
        &self,
        context: &Context<'_>,
        made: &Made,
        there: Option<&dyn Source>,
    ) -> Result<BTreeMap<Digest, Vec<u8>>> {
        let mut layout = standing(there)?;
        let digest = &made.facts.digest;
        let descriptor = made.entry();
        layout.index = IndexFile::parse(format!("{{\"manifests\":[{}]}}", descriptor.text()).into_bytes())?;
        layout.made.insert(digest.clone(), made.bytes.clone());
        let progress = context.progress("reading manifests", None);
        let graph = Graph::load(&layout, at::load(context, false), &progress)?;
        let target = Target { descriptor, places: vec![0], manifest: true };
        let plan = plan::export(&graph, &layout, &Request { targets: vec![target], ..Request::default() })?;
        drop(progress);
        let along = Along {
            platforms: Vec::new(),
            no_referrers: true,
            include_subject: false,
            allow_missing: self.allow_missing,
            complete: false,
        };
        along.judge(context, &plan)?;
        Ok(plan.inline)
    }
}

fn article(kind: ocistow_graph::ManifestKind) -> &'static str {
    use ocistow_graph::ManifestKind::{Artifact, Image, Index, Other};
    match kind {
        Image => "an image",
        Index => "an index",
        Artifact => "an artifact",
        Other => "a manifest",
    }
}

/// The bytes of a document in a file, or on standard input.
fn document(context: &Context<'_>, file: &OsStr) -> Result<Vec<u8>> {
    if file != "-" {
        let progress = context.progress("reading", None);
        return read_file(Path::new(file), MAX_MANIFEST, &progress);
    }
    let mut bytes = Vec::new();
    let read = context.input().by_ref().take(MAX_MANIFEST + 1).read_to_end(&mut bytes);
    read.map_err(|why| Error::new(Kind::Failed, "could not read standard input").because(why))?;
    Ok(bytes)
}
