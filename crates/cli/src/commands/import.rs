//! `import`

use std::ffi::OsString;
use std::path::PathBuf;

use ocistow_layout::{Digest, Error, Kind, Result};

use super::along::Along;
use crate::code::Code;
use crate::location::{self, OnDisk};
use crate::speak::Context;

/// Bring bundles into a layout, every byte checked
///
/// A bundle is an archive or a directory that holds a layout; - reads an archive from standard input. The
/// layout is made if it is not there. No name is seen before everything under it has arrived and was
/// checked; an import that fails changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow import app.tar ./store
  ocistow import app.tar ./store --tag app=app-new --no-move
  ssh there ocistow export ./store:app -o - | ocistow import - ./store
  ocistow import app.tar.zst ./store --expect sha256:… --dry-run")]
pub struct Args {
    /// The bundles, and behind them the layout they come into
    #[arg(value_names = ["FILE|DIR|-", "LAYOUT"], num_args = 1.., required = true)]
    words: Vec<OsString>,
    /// Take PATH as the layout as it is, whatever it contains, and all arguments as bundles
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
    /// Bring what the bundle calls OLD in under the name NEW; repeat for more
    #[arg(long = "tag", value_name = "OLD=NEW", value_parser = renamed)]
    pub renames: Vec<(String, String)>,
    /// What goes along.
    #[command(flatten)]
    pub along: Along,
    /// Fail if a name would come to stand for something else
    #[arg(long)]
    pub no_move: bool,
    /// Also check content that only the layout has
    #[arg(long)]
    pub recheck: bool,
    /// Fail unless the bundle's digest is this one
    #[arg(long, value_name = "DIGEST")]
    pub expect: Option<Digest>,
    /// Tell what would be done; write nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn renamed(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err("it is not OLD=NEW".to_owned()),
    }
}

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// Standard input.
    Input,
    /// An archive or a directory.
    Path(PathBuf),
}

impl Args {
    /// The bundles, and the layout. Usage where one of them is not there or has a reference.
    pub fn read(&self) -> Result<(Vec<From>, PathBuf)> {
        let missing = || {
            Error::new(Kind::Usage, "could not tell bundles and layout apart")
                .because("a bundle and a layout are needed")
                .hint("write ocistow import FILE LAYOUT")
        };
        let (bundles, layout) = match (&self.path, self.words.split_last()) {
            (Some(path), _) if !path.as_os_str().is_empty() => (self.words.as_slice(), path.clone()),
            (None, Some((layout, bundles))) if !bundles.is_empty() => (bundles, location::parse_path(layout, &OnDisk)?),
            _ => return Err(missing()),
        };
        let mut from = Vec::new();
        for bundle in bundles {
            from.push(match bundle.to_str() {
                Some("-") if from.contains(&From::Input) => {
                    return Err(Error::new(Kind::Usage, "could not read standard input twice"));
                }
                Some("-") => From::Input,
                _ => From::Path(location::parse_path(bundle, &OnDisk)?),
            });
        }
        Ok((from, layout))
    }

    /// Runs it.
    pub fn run(&self, _context: &Context<'_>) -> Result<Code> {
        self.read()?;
        Err(Error::new(Kind::Failed, "could not import").because("this build cannot do it yet"))
    }
}
