//! `fsck`

use ocistow_layout::{Error, Kind, Result};

use super::at::At;
use crate::code::Code;
use crate::speak::Context;

/// Check a layout or archive: every file, every link, every byte
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow fsck ./store
  ocistow fsck app.tar --complete
  ocistow fsck ./store --format json | jq '.problems[] | select(.severity == \"error\")'")]
pub struct Args {
    /// The layout or archive.
    #[command(flatten)]
    pub at: At,
    /// Take platforms of an index that are not there as missing (5)
    #[arg(long, conflicts_with = "allow_missing")]
    pub complete: bool,
    /// Take missing content as a warning
    #[arg(long)]
    pub allow_missing: bool,
}

impl Args {
    /// Runs it.
    pub fn run(&self, _context: &Context<'_>) -> Result<Code> {
        Err(Error::new(Kind::Failed, "could not check").because("this build cannot do it yet"))
    }
}
