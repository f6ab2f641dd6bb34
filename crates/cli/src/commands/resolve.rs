//! `resolve` prints the digest that a reference stands for.

use std::io::{self, Write};

use ocistow_graph::Selector;
use ocistow_layout::Result;
use serde::Serialize;

use super::at::{self, At};
use crate::code::Code;
use crate::look::Look;
use crate::node::{Node, alone};
use crate::speak::{Answer, Context};

/// Print the digest that a reference stands for
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow resolve ./store:app
  ocistow resolve app.tar:app --platform linux/arm64")]
pub struct Args {
    #[command(flatten)]
    at: At,
    /// The child of an index for this platform, os[/arch[/variant]][:os.version]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Selector>,
}

/// What a reference stands for.
#[derive(Serialize)]
#[serde(transparent)]
struct Resolved {
    #[serde(serialize_with = "alone")]
    node: Node,
}

impl Answer for Resolved {
    fn text(&self, out: &mut dyn Write, _look: Look) -> io::Result<()> {
        self.brief(out)
    }
    fn brief(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.node.digest)
    }
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let location = self.at.read()?;
        let source = at::open(context, &location)?;
        let target = at::target(context, &*source, &location, self.platform.as_ref())?;
        let descriptor = &target.descriptor;
        let mut node = Node::of(&location.path, descriptor);
        // What a reference stands for is no less so where nobody can tell whether it is there.
        node.absent =
            matches!(source.size(&descriptor.digest), Ok(None)) && !matches!(descriptor.embedded(), Some(Ok(_)));
        context.answer(&Resolved { node })?;
        Ok(Code::Done)
    }
}
