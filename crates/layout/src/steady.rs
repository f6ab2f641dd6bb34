//! Files of users, read so that a change meanwhile is noticed.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::checked::CHUNK;
use crate::error::{Error, Kind, Result};
use crate::source::Watch;

/// Everything about a file or directory that a change of it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub fn of(meta: &Metadata) -> Self {
        Self {
            file: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// The error for what changed while it was read.
pub(crate) fn changed(path: &Path) -> Error {
    let what = format!("could not read {}", path.display());
    Error::new(Kind::Failed, what).because("it changed while it was read").hint("try again once nobody writes to it")
}

/// A regular file that is read once, from its start to its end.
pub(crate) struct Steady {
    file: File,
    path: PathBuf,
    before: Stamp,
}

impl Steady {
    /// Opens the file at `path`. NotFound where there is none; Failed where it is no regular file, or, unless links
    /// are followed, a link.
    pub fn open(path: &Path, follow: bool) -> Result<Self> {
        let file = opened(path, follow)?;
        let meta = file.metadata().map_err(|why| Error::io("read", path, why))?;
        if !meta.is_file() {
            return Err(Error::new(Kind::Failed, format!("could not read {}", path.display()))
                .because(if meta.is_dir() { "it is a directory" } else { "it is neither a file nor a directory" }));
        }
        Ok(Self { file, path: path.to_owned(), before: Stamp::of(&meta) })
    }

    /// Opens a regular file that was looked at before. Whatever has changed since then shows once it was read, as if that
    /// had happened meanwhile; what it is then, [`open`](Self::open) tells.
    pub fn looked_at(path: &Path, meta: &Metadata) -> Result<Self> {
        Ok(Self { file: opened(path, true)?, path: path.to_owned(), before: Stamp::of(meta) })
    }

    /// Its length.
    pub fn size(&self) -> u64 {
        self.before.size
    }

    /// What it was when it was opened.
    pub fn stamp(&self) -> Stamp {
        self.before
    }

    /// Reads all of it and hands out each piece. `Ok` means that the pieces are what the file was all the time;
    /// Failed where it changed.
    pub fn read(mut self, watch: &dyn Watch, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let room = usize::try_from(self.size()).unwrap_or(CHUNK).min(CHUNK);
        let mut buffer = vec![0; room];
        let mut left = self.size();
        while left > 0 {
            let piece = &mut buffer[..usize::try_from(left).unwrap_or(room).min(room)];
            self.next(piece, watch)?;
            each(piece)?;
            watch.bytes(piece.len() as u64);
            left -= piece.len() as u64;
        }
        self.unchanged()
    }

    /// The same, with all of it in memory.
    pub fn whole(self, watch: &dyn Watch) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.whole_in(&mut bytes, watch)?;
        Ok(bytes)
    }

    /// The same, in room that was used before.
    pub fn whole_in(mut self, bytes: &mut Vec<u8>, watch: &dyn Watch) -> Result<()> {
        bytes.resize(usize::try_from(self.size()).unwrap_or(usize::MAX), 0);
        for piece in bytes.chunks_mut(CHUNK) {
            self.next(piece, watch)?;
            watch.bytes(piece.len() as u64);
        }
        self.unchanged()
    }

    /// Reads as much as there is room for.
    fn next(&mut self, piece: &mut [u8], watch: &dyn Watch) -> Result<()> {
        watch.go_on()?;
        self.file.read_exact(piece).map_err(|why| match why.kind() {
            io::ErrorKind::UnexpectedEof => changed(&self.path),
            _ => Error::io("read", &self.path, why),
        })
    }

    /// Fails if the file is not what it was when it was opened.
    fn unchanged(mut self) -> Result<()> {
        let failed = |why| Error::io("read", &self.path, why);
        // What is in /proc has content and no size.
        if self.size() == 0 && self.file.read(&mut [0]).map_err(failed)? > 0 {
            let what = format!("could not read {}", self.path.display());
            return Err(Error::new(Kind::Failed, what).because("it has content, but no size").hint("copy it first"));
        }
        // A file that grew has another stamp: it need not be read to its end to see that.
        let after = Stamp::of(&self.file.metadata().map_err(failed)?);
        if after == self.before { Ok(()) } else { Err(changed(&self.path)) }
    }
}

fn opened(path: &Path, follow: bool) -> Result<File> {
    // Non-blocking: a FIFO or a device never makes anybody wait.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    opened.map_err(|why| Error::io("open", path, why))
}
