//! A document that a command makes: to standard output, or to a file that appears whole or not at all.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ocistow_layout::archive::{Existing, Target};
use ocistow_layout::{Error, Kind, Result};

use crate::location::{self, OnDisk};
use crate::speak::Context;

/// Where a document goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paper {
    /// Standard output.
    Stream,
    /// A file.
    File(PathBuf),
}

impl Paper {
    /// The paper of `-o`. Usage where the words are no path, or there is something that must not be replaced.
    pub fn read(output: Option<&OsStr>, force: bool) -> Result<Self> {
        let Some(output) = output.filter(|output| *output != "-") else { return Ok(Self::Stream) };
        let path = location::parse_output(output, &OnDisk)?;
        if !force && fs::symlink_metadata(&path).is_ok() {
            let what = format!("could not write {}", path.display());
            return Err(Error::new(Kind::Usage, what).because("it is already there").hint("--force replaces it"));
        }
        Ok(Self::File(path))
    }
}

/// Writes what `write` says to a paper. On `Err` a file has what it had before.
pub fn put(
    context: &Context<'_>,
    paper: &Paper,
    force: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let path = match paper {
        Paper::Stream => return context.content_of(write),
        Paper::File(path) => path,
    };
    let existing = if force { Existing::Replace } else { Existing::Keep };
    let target = Target::begin(path.clone(), existing, &*context.world.medium)?;
    let mut out = BufWriter::with_capacity(256 << 10, Into { target: &target, at: 0 });
    write(&mut out).and_then(|()| out.flush()).map_err(|why| unwritten(path, why))?;
    drop(out);
    target.publish()
}

fn unwritten(path: &Path, why: io::Error) -> Error {
    Error::io("write", path, why).of_kind(Kind::Failed)
}

/// A target, written from its start to its end.
struct Into<'t, 'm> {
    target: &'t Target<'m>,
    at: u64,
}

impl Write for Into<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.target.write_at(bytes, self.at).map_err(io::Error::other)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
