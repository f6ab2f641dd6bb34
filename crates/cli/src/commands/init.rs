//! `init` makes an empty layout.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use ocistow_layout::Result;
use ocistow_layout::transaction::init;
use serde::Serialize;

use super::at;
use crate::code::Code;
use crate::location::{self, OnDisk};
use crate::look::Look;
use crate::speak::{Answer, Context};

/// Make an empty layout; a layout that is there already stays as it is
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  Make a layout to collect images in:
    ocistow init ./store")]
pub struct Args {
    /// The directory; its parent has to exist
    #[arg(value_name = "PATH", required_unless_present = "path")]
    target: Option<OsString>,
    /// Take PATH as it is, whatever it contains
    #[arg(long, value_name = "PATH", conflicts_with = "target")]
    path: Option<PathBuf>,
}

#[derive(Serialize)]
struct Made {
    location: String,
}

impl Answer for Made {
    fn text(&self, _out: &mut dyn Write, _look: Look) -> io::Result<()> {
        Ok(())
    }
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let path = match (&self.path, &self.target) {
            (Some(path), _) => path.clone(),
            (None, target) => location::parse_path(target.as_deref().unwrap_or_default(), &OnDisk)?,
        };
        at::to_write(&path)?;
        let progress = context.progress("waiting", None);
        init(&path, context.writing(&progress))?;
        drop(progress);
        context.answer(&Made { location: path.display().to_string() })?;
        Ok(Code::Done)
    }
}
