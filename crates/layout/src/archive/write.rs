//! Writing an archive: to a file, in place and from many threads, or to a stream, in order.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::checked::pump;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::medium::{Disk, Medium};
use crate::source::{Blob, Content, Done, Outline, Sink, Unwatched, Watch, Writing};

use super::compress::Compression;
use super::header::BLOCK;
use super::offsets::{END_MARKER, Shape, blob_head};
use super::ordered::{Ordered, Out};
use super::target::Target;

/// How an archive is written.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How it is compressed.
    pub compression: Compression,
    /// How many threads compress. Never changes a byte of the archive.
    pub threads: usize,
    /// What is written to.
    pub medium: &'a dyn Medium,
    /// Who watches.
    pub watch: &'a dyn Watch,
}

impl Default for Options<'_> {
    fn default() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self { compression: Compression::None, threads, medium: &Disk, watch: &Unwatched }
    }
}

/// What becomes of a file that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the writing fails.
    Keep,
    /// A regular file is replaced in one step; anything else stays, and the writing fails.
    Replace,
}

/// Writes a new archive file.
///
/// It appears under its name whole and on the disk, or not at all. A plain archive can be written from
/// several threads, blobs in any order; a compressed one is [`ordered`](Writing::ordered).
///
/// ```
/// use ocistow_layout::archive::{ArchiveSink, Existing, Options};
/// use ocistow_layout::index::EMPTY_INDEX;
/// use ocistow_layout::{Blob, Content, Digest, IndexChange, Outline, Sink};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("app.tar");
/// let blob = Blob { digest: Digest::of(b"hello"), size: 5 };
/// let index = IndexChange::New(EMPTY_INDEX.to_vec());
/// let outline = Outline { index, members: vec![], blobs: vec![blob.clone()] };
/// let writing = Box::new(ArchiveSink::new(&path, Existing::Keep, Options::default())).begin(outline)?;
/// writing.put(&blob, Content::Bytes(b"hello"))?;
/// writing.finish()?;
/// assert!(path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ArchiveSink<'a> {
    path: PathBuf,
    existing: Existing,
    options: Options<'a>,
}

impl<'a> ArchiveSink<'a> {
    /// An archive at `path`. Nothing is touched yet.
    pub fn new(path: impl Into<PathBuf>, existing: Existing, options: Options<'a>) -> Self {
        Self { path: path.into(), existing, options }
    }
}

impl<'a> Sink<'a> for ArchiveSink<'a> {
    fn begin(self: Box<Self>, outline: Outline) -> Result<Box<dyn Writing + 'a>> {
        let shape = Shape::of(outline)?;
        let target = Target::begin(self.path, self.existing, self.options.medium)?;
        match self.options.compression {
            Compression::None => Ok(Box::new(InPlace::begin(shape, target, self.options.watch)?)),
            _ => Ok(Box::new(Ordered::begin(shape, Out::file(target), self.options)?)),
        }
    }
}

/// Writes an archive to a stream, for `-o -`. What came out ends with an end marker only if all of it was
/// right; else it ends somewhere before.
pub struct StreamSink<'a> {
    to: Box<dyn Write + Send>,
    options: Options<'a>,
}

impl<'a> StreamSink<'a> {
    /// An archive into `to`, which another thread writes to.
    pub fn new(to: Box<dyn Write + Send>, options: Options<'a>) -> Self {
        Self { to, options }
    }
}

impl<'a> Sink<'a> for StreamSink<'a> {
    fn begin(self: Box<Self>, outline: Outline) -> Result<Box<dyn Writing + 'a>> {
        Ok(Box::new(Ordered::begin(Shape::of(outline)?, Out::stream(self.to)?, self.options)?))
    }
}

/// Makes a pipe as wide as the kernel lets everybody have it, which more than doubles its speed. Anything
/// else stays as it is.
pub fn widen_pipe(fd: impl AsFd) {
    const WIDE: usize = 1 << 20;
    let _ = rustix::pipe::fcntl_setpipe_size(fd, WIDE);
}

/// A plain archive being written in place.
struct InPlace<'a> {
    target: Target<'a>,
    watch: &'a dyn Watch,
    blobs: BTreeMap<Digest, Slot>,
    end: u64,
}

/// Where a blob goes, and whether it is there.
struct Slot {
    size: u64,
    start: u64,
    put: AtomicBool,
}

impl<'a> InPlace<'a> {
    fn begin(shape: Shape, target: Target<'a>, watch: &'a dyn Watch) -> Result<Self> {
        let mut at = 0;
        for member in shape.front {
            for piece in [&member.head, &member.body] {
                target.write_at(piece, at)?;
                at += piece.len() as u64;
            }
            at += pad(&target, at);
        }
        let mut blobs = BTreeMap::new();
        for (blob, start) in shape.blobs.into_iter().zip(shape.starts) {
            blobs.insert(blob.digest, Slot { size: blob.size, start, put: AtomicBool::new(false) });
        }
        Ok(Self { target, watch, blobs, end: shape.end })
    }
}

impl Writing for InPlace<'_> {
    fn put(&self, blob: &Blob, content: Content<'_>) -> Result<()> {
        let slot = self.blobs.get(&blob.digest).filter(|slot| slot.size == blob.size);
        let slot = slot.ok_or_else(|| unexpected(blob))?;
        let head = blob_head(blob);
        self.target.write_at(&head, slot.start)?;
        let start = slot.start + head.len() as u64;
        pump(blob, content, self.watch, &mut |piece, at| self.target.write_at(piece, start + at))?;
        pad(&self.target, start + blob.size);
        slot.put.store(true, Ordering::Release);
        Ok(())
    }

    fn ordered(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>) -> Result<Done> {
        let mut done = Done::default();
        for (digest, slot) in &self.blobs {
            if !slot.put.load(Ordering::Acquire) {
                return Err(Error::new(Kind::Failed, format!("blob {digest} was never written")));
            }
            done.new.add(slot.size);
        }
        self.target.write_at(&END_MARKER, self.end)?;
        self.target.publish()?;
        Ok(done)
    }
}

/// Leaves out the padding of a member that ends there: what was never written to reads as zeros. How much it was.
fn pad(target: &Target<'_>, end: u64) -> u64 {
    let padding = end.next_multiple_of(BLOCK) - end;
    target.done(end, padding);
    padding
}

/// The failure of a caller that does not keep to its outline.
pub(super) fn unexpected(blob: &Blob) -> Error {
    Error::new(Kind::Failed, format!("blob {} was not to be written now", blob.digest))
}
