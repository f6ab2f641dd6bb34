//! `copy`

use std::ffi::OsString;
use std::path::PathBuf;

use ocistow_layout::{Error, Kind, Result};

use super::along::Along;
use super::at;
use crate::code::Code;
use crate::location::Location;
use crate::speak::Context;

/// Copy one reference, and what goes along, from one location to another
///
/// A destination without a reference keeps the name. What is written is told by its name, as with export;
/// nothing is ever added to an archive that is there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow copy ./store:app ./other
  ocistow copy app.tar:app ./store:app-new
  ocistow copy ./store:app app.tar.gz --platform linux/arm64
  ocistow copy ./store:app ./other --link")]
pub struct Args {
    /// What is copied: PATH, PATH:REF, PATH@DIGEST or PATH:REF@DIGEST
    #[arg(value_name = "SRC")]
    source: OsString,
    /// Where to: PATH or PATH:REF
    #[arg(value_name = "DST")]
    target: OsString,
    /// Take PATH as the source as it is, whatever it contains, and SRC as a reference in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
    /// Take PATH as the destination as it is, and DST as a reference in it
    #[arg(long, value_name = "PATH")]
    to_path: Option<PathBuf>,
    /// What goes along.
    #[command(flatten)]
    pub along: Along,
    /// Replace an archive that is there, in one step
    #[arg(long)]
    pub force: bool,
    /// Between directories, take content unchecked
    #[arg(long)]
    pub trust: bool,
    /// Between directories, make hard links instead of copies
    #[arg(long)]
    pub link: bool,
}

impl Args {
    /// Where from and where to. Usage where the destination is picked by digest or place.
    pub fn read(&self) -> Result<(Location, Location)> {
        let source = at::read(Some(&self.source), self.path.as_deref())?;
        let target = at::read(Some(&self.target), self.to_path.as_deref())?;
        if target.pick.digest.is_some() || target.pick.nth.is_some() {
            return Err(Error::new(Kind::Usage, format!("could not copy to {}", target.path.display()))
                .because("a destination has a name, not a digest or a place"));
        }
        Ok((source, target))
    }

    /// Runs it.
    pub fn run(&self, _context: &Context<'_>) -> Result<Code> {
        self.read()?;
        Err(Error::new(Kind::Failed, "could not copy").because("this build cannot do it yet"))
    }
}
