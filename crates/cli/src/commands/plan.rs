//! `plan`

use std::ffi::OsString;

use ocistow_layout::{Error, Kind, Result};

use super::export::Bundle;
use crate::code::Code;
use crate::speak::Context;

/// Tell what export would carry; nothing is written
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow plan ./store:app
  ocistow plan ./store:app --platform linux/arm64 --format json
  ocistow plan ./store:app --no-referrers -q")]
pub struct Args {
    /// What goes into the bundle.
    #[command(flatten)]
    pub bundle: Bundle,
    /// Where export would write to
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub output: Option<OsString>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, _context: &Context<'_>) -> Result<Code> {
        Err(Error::new(Kind::Failed, "could not plan").because("this build cannot do it yet"))
    }
}
