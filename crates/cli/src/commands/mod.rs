//! The commands, one file each: its arguments and its `run`.

use ocistow_layout::{Error, Kind, Result};

use crate::args::Format;
use crate::code::Code;
use crate::speak::Context;

pub mod along;
pub mod at;
pub mod attach;
pub mod blob;
pub mod cat;
pub mod completions;
pub mod convert;
pub mod copy;
pub mod diff;
pub mod discover;
pub mod du;
pub mod export;
pub mod fsck;
pub mod gc;
pub mod graph;
pub mod import;
pub mod index;
pub mod ingredients;
pub mod init;
pub mod ls;
pub mod man;
pub mod manifest;
pub mod plan;
pub mod pull;
pub mod push;
pub mod resolve;
pub mod rm;
pub mod show;
pub mod tag;
pub mod untag;

/// Every command there is; what each does stands at its arguments.
#[derive(Debug, clap::Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    Ls(ls::Args),
    Show(show::Args),
    Cat(cat::Args),
    Resolve(resolve::Args),
    Discover(discover::Args),
    Graph(graph::Args),
    Du(du::Args),
    Diff(diff::Args),
    Fsck(fsck::Args),
    Export(export::Args),
    Import(import::Args),
    Copy(copy::Args),
    Plan(plan::Args),
    Init(init::Args),
    Push(push::Args),
    Attach(attach::Args),
    Pull(pull::Args),
    Index(index::Args),
    Manifest(manifest::Args),
    Blob(blob::Args),
    Convert(convert::Args),
    Tag(tag::Args),
    Untag(untag::Args),
    Rm(rm::Args),
    Gc(gc::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// Runs it. `Ok` is how it ended; on `Err` nothing that it found was changed.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        self.takes(context.format)?;
        match self {
            Self::Ls(args) => args.run(context),
            Self::Show(args) => args.run(context),
            Self::Cat(args) => args.run(context),
            Self::Resolve(args) => args.run(context),
            Self::Discover(args) => args.run(context),
            Self::Graph(args) => args.run(context),
            Self::Du(args) => args.run(context),
            Self::Diff(args) => args.run(context),
            Self::Fsck(args) => args.run(context),
            Self::Export(args) => args.run(context),
            Self::Import(args) => args.run(context),
            Self::Copy(args) => args.run(context),
            Self::Plan(args) => args.run(context),
            Self::Init(args) => args.run(context),
            Self::Push(args) => args.run(context),
            Self::Attach(args) => args.run(context),
            Self::Pull(args) => args.run(context),
            Self::Index(args) => args.run(context),
            Self::Manifest(args) => args.run(context),
            Self::Blob(args) => args.run(context),
            Self::Convert(args) => args.run(context),
            Self::Tag(args) => args.run(context),
            Self::Untag(args) => args.run(context),
            Self::Rm(args) => args.run(context),
            Self::Gc(args) => args.run(context),
            Self::Completions(args) => args.run(context),
            Self::Man(args) => args.run(context),
        }
    }

    /// Usage where the answer has no such form.
    fn takes(&self, format: Format) -> Result<()> {
        let (form, who) = match format {
            Format::Text | Format::Json => return Ok(()),
            Format::Tree if matches!(self, Self::Discover(_)) => return Ok(()),
            Format::Dot | Format::Mermaid | Format::Svg | Format::Html if matches!(self, Self::Graph(_)) => {
                return Ok(());
            }
            Format::Tree => ("a tree", "discover"),
            Format::Dot | Format::Mermaid | Format::Svg | Format::Html => ("a picture", "graph"),
        };
        Err(Error::new(Kind::Usage, format!("could not print this answer as {form}"))
            .because("it has none")
            .hint(format!("{who} has one; --format takes text or json everywhere")))
    }
}
