//! `resolve` prints the digest that a reference stands for.

use std::io::{self, Write};

use ocistow_graph::Selector;
use ocistow_layout::Result;

use super::at::{self, At};
use crate::code::Code;
use crate::look::Look;
use crate::node::Node;
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

impl Answer for Node {
    fn text(&self, out: &mut dyn Write, _look: Look) -> io::Result<()> {
        self.brief(out)
    }
    fn brief(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.digest)
    }
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let location = self.at.read()?;
        let source = at::open(context, &location)?;
        let target = at::target(context, &*source, &location, self.platform.as_ref())?;
        context.answer(&Node::of(&location.path, &target.descriptor))?;
        Ok(Code::Done)
    }
}
