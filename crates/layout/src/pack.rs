//! What users have on their disk, staged as blobs: files as they are, directories as deterministic tars in gzip.
//!
//! A packed directory says nothing of who packed it, when, and where: names in order, permission bits, links and
//! content are all there is in it. It is cut into pieces that are compressed on several threads, always at the same
//! places.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::archive::compress::{Compression, LONGEST_FRAME, Packer};
use crate::archive::heading::{Heading, Sort};
use crate::archive::offsets::{END_MARKER, padding};
use crate::archive::tree::link_inside;
use crate::checked::{CHUNK, fill};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Kind, Result};
use crate::source::{Blob, Watch};
use crate::steady::{Stamp, Steady, changed};
use crate::threads::{start, worth};
use crate::title::Title;
use crate::transaction::{Transaction, Unnamed};

/// Stages the file at `path`. NotFound where there is none, Failed where it is no regular file, or changes while it
/// is read: then nothing of it is staged. Safe to call from several threads.
pub fn stage_file(transaction: &Transaction<'_>, path: &Path, watch: &dyn Watch) -> Result<Blob> {
    let mut room = Vec::new();
    match read_or_stage(transaction, path.into(), &mut room, watch)? {
        Some(blob) => Ok(blob),
        None => transaction.put_bytes(&room),
    }
}

/// A file to be staged.
#[derive(Debug, Clone, Copy)]
pub struct Looked<'f> {
    /// Where it is.
    pub path: &'f Path,
    /// What it was when somebody looked at it: where it still is that, nobody has to look again before it is read.
    pub meta: Option<&'f Metadata>,
}

impl<'f> From<&'f Path> for Looked<'f> {
    fn from(path: &'f Path) -> Self {
        Self { path, meta: None }
    }
}

/// Stages what is too long to be read at once; the rest is read into `room`.
fn read_or_stage(
    transaction: &Transaction<'_>,
    Looked { path, meta }: Looked<'_>,
    room: &mut Vec<u8>,
    watch: &dyn Watch,
) -> Result<Option<Blob>> {
    // Whatever is not as it was is looked at again.
    if let Some(meta) = meta.filter(|meta| meta.is_file() && meta.len() <= CHUNK as u64)
        && Steady::looked_at(path, meta).and_then(|file| file.whole_in(room, watch)).is_ok()
    {
        return Ok(None);
    }
    let file = Steady::open(path, true)?;
    if file.size() <= CHUNK as u64 {
        file.whole_in(room, watch)?;
        return Ok(None);
    }
    let mut unnamed = transaction.unnamed()?;
    file.read(watch, &mut |piece| unnamed.write(piece))?;
    unnamed.finish().map(Some)
}

/// Stages all that a stream gives, and gives the blob that is.
pub fn stage_stream(transaction: &Transaction<'_>, stream: &mut dyn Read, watch: &dyn Watch) -> Result<Blob> {
    let mut unnamed = transaction.unnamed()?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let got = fill(stream, &mut buffer)
            .map_err(|why| Error::new(Kind::Failed, "could not read what is to be staged").because(why))?;
        if got == 0 {
            return unnamed.finish();
        }
        unnamed.write(&buffer[..got])?;
        watch.bytes(got as u64);
    }
}

/// Reads the file at `path` into memory. As [`stage_file`]; Usage where it is longer than `limit`.
pub fn read_file(path: &Path, limit: u64, watch: &dyn Watch) -> Result<Vec<u8>> {
    let file = Steady::open(path, true)?;
    if file.size() > limit {
        let why = format!("it has {} bytes, the limit is {limit}", file.size());
        return Err(Error::new(Kind::Usage, format!("could not read {}", path.display())).because(why));
    }
    file.whole(watch)
}

/// The fewest files for which a second thread is worth its start.
const WORTH_A_THREAD: usize = 8;

/// Stages several files from several threads, and gives what `each` makes of its place in `files` and its blob, there
/// and then, in the same order. As [`stage_file`].
pub fn stage_files<T: Send>(
    transaction: &Transaction<'_>,
    files: &[Looked<'_>],
    threads: usize,
    watch: &dyn Watch,
    each: impl Fn(usize, Blob) -> T + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut staged = Vec::new();
        let mut came = |at: usize, blob: Result<Blob>| {
            if blob.is_err() {
                // Nobody needs those behind it any more.
                next.store(files.len(), Ordering::Relaxed);
            }
            staged.push((at, blob.map(|blob| each(at, blob))));
        };
        // Two are hashed at once: the first waits for the second.
        let (mut waiting, mut rooms) = (None, [Vec::new(), Vec::new()]);
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(at) else { break };
            let [first, second] = &mut rooms;
            let room = if waiting.is_none() { &mut *first } else { &mut *second };
            match (read_or_stage(transaction, *file, room, watch).transpose(), waiting) {
                (Some(blob), _) => came(at, blob),
                (None, None) => waiting = Some(at),
                (None, Some(before)) => {
                    let [one, other] = transaction.put_both([first, second]);
                    came(before, one);
                    came(at, other);
                    waiting = None;
                }
            }
        }
        if let Some(at) = waiting {
            came(at, transaction.put_bytes(&rooms[0]));
        }
        staged
    };
    let mut staged = thread::scope(|scope| {
        let others = worth(threads, files.len(), WORTH_A_THREAD) - 1;
        // Where there are no more threads, those that there are do it all.
        let running: Vec<_> = (0..others).map_while(|_| start(scope, work).ok()).collect();
        let mut staged = work();
        for thread in running {
            staged.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        staged
    });
    // What was left out stands behind what failed.
    staged.sort_unstable_by_key(|(at, _)| *at);
    staged.into_iter().map(|(_, staged)| staged).collect()
}

/// How a directory is packed.
#[derive(Clone, Copy)]
pub struct Packing<'a> {
    /// The time everything in it gets, in seconds since 1970.
    pub mtime: u64,
    /// How many threads compress; the bytes are the same for any number.
    pub threads: usize,
    /// Who watches.
    pub watch: &'a dyn Watch,
}

/// A directory that was staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The tar in gzip.
    pub blob: Blob,
    /// The digest of the tar itself.
    pub tar: Digest,
}

/// Stages the directory at `path`, whose members will be called `title` and what is behind that.
///
/// Links stay links; Failed where one may lead out of the directory, where something is neither file, directory nor
/// link, or where anything changes while it is read: then nothing of it is staged. NotFound where it was removed.
pub fn stage_directory(
    transaction: &Transaction<'_>,
    path: &Path,
    title: &Title,
    packing: Packing<'_>,
) -> Result<Packed> {
    // A working directory that was removed can still be opened, and is empty.
    path.canonicalize().map_err(|why| Error::io("read", path, why))?;
    let mut tar = Tar::begin(transaction, packing)?;
    let mut open: Vec<(PathBuf, Stamp)> = Vec::new();
    for step in walkdir::WalkDir::new(path).sort_by_file_name() {
        packing.watch.go_on()?;
        let step = step.map_err(|why| unlisted(path, why))?;
        let unread = |why: io::Error| match why.kind() {
            // It was listed a moment ago.
            io::ErrorKind::NotFound if step.depth() > 0 => changed(step.path()),
            _ => Error::io("read", step.path(), why),
        };
        while open.len() > step.depth() {
            left(open.pop())?;
        }
        let inside = step.path().strip_prefix(path).unwrap_or(Path::new(""));
        let name = member_name(title, inside);
        // The directory itself may be given by a link; no other link is followed.
        let meta = match step.depth() {
            0 => fs::metadata(path),
            _ => fs::symlink_metadata(step.path()),
        };
        let meta = meta.map_err(unread)?;
        let mode = meta.mode() & 0o777;
        let member = |sort| Heading { name: &name, sort, mode, mtime: packing.mtime };
        if meta.is_dir() {
            open.push((step.path().to_owned(), Stamp::of(&meta)));
            tar.write(&member(Sort::Directory).head())?;
        } else if meta.is_symlink() {
            let target = fs::read_link(step.path()).map_err(unread)?;
            let target = target.as_os_str().as_bytes();
            if !link_inside(target, step.depth()) {
                let shown = String::from_utf8_lossy(target).into_owned();
                return Err(unfit(step.path(), &format!("it is a link to {shown:?}, which may lead out of {title}")));
            }
            tar.write(&member(Sort::Link(target)).head())?;
        } else if meta.is_file() {
            let gone = |why: Error| if why.kind() == Kind::NotFound { changed(step.path()) } else { why };
            let file = Steady::open(step.path(), false).map_err(gone)?;
            if file.stamp() != Stamp::of(&meta) {
                return Err(changed(step.path()));
            }
            let size = file.size();
            tar.write(&member(Sort::File(size)).head())?;
            file.read(packing.watch, &mut |piece| tar.write(piece))?;
            tar.write(padding(size))?;
        } else {
            return Err(unfit(step.path(), "it is neither a file, a directory nor a link"));
        }
    }
    while !open.is_empty() {
        left(open.pop())?;
    }
    tar.finish()
}

/// Fails if a directory changed since it was entered: names may have come that nobody saw.
fn left(directory: Option<(PathBuf, Stamp)>) -> Result<()> {
    let Some((path, before)) = directory else { return Ok(()) };
    match fs::metadata(&path) {
        Ok(meta) if Stamp::of(&meta) == before => Ok(()),
        Ok(_) => Err(changed(&path)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Err(changed(&path)),
        Err(why) => Err(Error::io("read", &path, why)),
    }
}

fn unfit(path: &Path, why: &str) -> Error {
    Error::new(Kind::Failed, format!("could not pack {}", path.display())).because(why.to_owned())
}

fn unlisted(path: &Path, why: walkdir::Error) -> Error {
    let at = why.path().unwrap_or(path).to_owned();
    if why.depth() > 0 && why.io_error().is_some_and(|why| why.kind() == io::ErrorKind::NotFound) {
        return changed(&at);
    }
    let whole = why.to_string();
    Error::io("list", at, why.into_io_error().unwrap_or_else(|| io::Error::other(whole)))
}

/// What something in the directory is called in the tar.
fn member_name(title: &Title, inside: &Path) -> Vec<u8> {
    let inside = inside.as_os_str().as_bytes();
    match (title.is_root(), inside.is_empty()) {
        (_, true) => title.as_str().as_bytes().to_vec(),
        (true, false) => inside.to_vec(),
        (false, false) => [title.as_str().as_bytes(), b"/", inside].concat(),
    }
}

/// A tar on its way through the compressing threads into the staging.
struct Tar<'t, 'a> {
    hasher: Hasher,
    /// What was written and did not go on its way yet.
    piece: Vec<u8>,
    packer: Packer,
    staged: Unnamed<'t, 'a>,
}

impl<'t, 'a> Tar<'t, 'a> {
    fn begin(transaction: &'t Transaction<'a>, packing: Packing<'_>) -> Result<Self> {
        let packer = Packer::new(Compression::GZIP, packing.threads)?;
        let hasher = Hasher::Sha256(Default::default());
        Ok(Self { hasher, piece: Vec::new(), packer, staged: transaction.unnamed()? })
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        while !bytes.is_empty() {
            if self.piece.len() == LONGEST_FRAME {
                self.send()?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(LONGEST_FRAME - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let full = std::mem::take(&mut self.piece);
        self.piece = self.packer.give(full, &mut |frame| self.staged.write(frame))?;
        Ok(())
    }

    fn finish(mut self) -> Result<Packed> {
        self.write(&END_MARKER)?;
        self.send()?;
        let Self { hasher, packer, mut staged, .. } = self;
        packer.finish(&mut |frame| staged.write(frame))?;
        Ok(Packed { blob: staged.finish()?, tar: hasher.finish() })
    }
}
