//! Staging: content that comes in, verified, put where it waits for its name.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::OFlags;

use super::{Adopt, SYNC_EACH, Stop, Transaction, locked, syncs_whole, unique};
use crate::checked::{CHUNK, pump, verify, wrong_size};
use crate::digest::Digest;
use crate::directory::{OURS, is_dir};
use crate::error::{Error, Kind, Result};
use crate::medium::{OpenDir, cannot};
use crate::place::open;
use crate::source::{Blob, Content, Source};
use crate::writeback::STRETCH;

/// Shorter blobs stay in memory when they were sent to the disk: each that does not keeps a file open for a while.
const WORTH_SENDING: u64 = 4 << 20;

/// Directories for staged files.
#[derive(Default)]
pub(super) struct Stagings {
    /// All that were made.
    pub made: Vec<PathBuf>,
    /// That of each algorithm whose blobs were staged: on the file system they will lie on.
    pub of: BTreeMap<String, Staging>,
}

/// A directory of staged blobs of one algorithm, which have the names there that they will have.
#[derive(Clone)]
pub(super) struct Staging {
    /// Open since before the first write: a sync of the whole file system through it sees every error.
    pub dir: Arc<OpenDir>,
    /// Whether such a sync can be trusted; if not, each file is synced as it is staged.
    pub whole: bool,
}

#[derive(Default)]
pub(super) struct Staged {
    pub blobs: HashMap<Digest, Is>,
    /// Handles of the first few files, to sync each.
    pub open: Vec<Arc<File>>,
    pub count: usize,
}

/// What became of a blob that was put.
#[derive(Clone)]
pub(super) enum Is {
    /// Somebody is at it.
    Coming,
    /// It is staged there, and what it replaces in the end.
    At(Arc<OpenDir>, u64, Over),
    /// The layout has it, and it is right.
    Present(u64),
}

/// What a staged blob goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Nothing,
    Wrong,
}

impl Transaction<'_> {
    /// Stages one blob, verified. A blob that the layout already has is hashed where it lies and, if it
    /// is right, only counted; what comes in is verified all the same. Safe to call from several threads;
    /// the second of two calls for one digest only verifies.
    pub fn put(&self, blob: &Blob, content: Content<'_>) -> Result<()> {
        if !self.claim(&blob.digest) {
            return self.check(blob, content);
        }
        let is = self.stage(blob, content);
        self.settle(&blob.digest, is)
    }

    /// Whether the caller is the first to stage a digest; then he has to [`settle`](Self::settle) it.
    pub(super) fn claim(&self, digest: &Digest) -> bool {
        let mut staged = locked(&self.staged);
        let first = !staged.blobs.contains_key(digest);
        if first {
            staged.blobs.insert(digest.clone(), Is::Coming);
        }
        first
    }

    /// Notes what became of a digest that was claimed.
    pub(super) fn settle(&self, digest: &Digest, is: Result<(Is, Option<Arc<File>>)>) -> Result<()> {
        let mut staged = locked(&self.staged);
        match is {
            Ok((is, file)) => {
                if let Is::At(..) = is {
                    staged.count += 1;
                    if staged.count <= SYNC_EACH {
                        staged.open.extend(file);
                    } else {
                        staged.open.clear();
                    }
                }
                if let Some(claimed) = staged.blobs.get_mut(digest) {
                    *claimed = is;
                }
                Ok(())
            }
            Err(why) => {
                staged.blobs.remove(digest);
                Err(why)
            }
        }
    }

    fn check(&self, blob: &Blob, content: Content<'_>) -> Result<()> {
        if self.options.trust && content.len() == blob.size {
            return Ok(());
        }
        verify(blob, content, self.options.watch)
    }

    fn stage(&self, blob: &Blob, content: Content<'_>) -> Result<(Is, Option<Arc<File>>)> {
        let Some(over) = self.replaces(blob)? else {
            self.check(blob, content)?;
            return Ok((Is::Present(blob.size), None));
        };
        let medium = self.options.medium;
        let Staging { dir, whole } = self.staging(blob.digest.algorithm())?;
        let name = blob.digest.encoded();
        let name = OsStr::new(&name);
        let file = self.fill(&dir, name, blob, content).inspect_err(|_| drop(medium.unlink_in(&dir, name)))?;
        if !whole {
            medium.sync_file(&file).map_err(|why| Error::io("sync", dir.path().join(name), why))?;
        }
        Ok((Is::At(dir, blob.size, over), self.keeps_open(!whole).then_some(file)))
    }

    /// Whether a staged file is kept open to be synced by itself in the end.
    pub(super) fn keeps_open(&self, synced: bool) -> bool {
        !synced && locked(&self.staged).count < SYNC_EACH
    }

    /// What a blob goes over in the layout as it was; `None` where it is there and right.
    pub(super) fn replaces(&self, blob: &Blob) -> Result<Option<Over>> {
        let Some(old) = &self.old else { return Ok(Some(Over::Nothing)) };
        match old.open(&blob.digest) {
            Ok(None) => Ok(Some(Over::Nothing)),
            Ok(Some(there)) => {
                let right = there.len() == blob.size
                    && (self.options.trust || verify(blob, there, &Stop(self.options.watch)).is_ok());
                if !right && self.options.watch.stop() {
                    return Err(Error::interrupted());
                }
                Ok((!right).then_some(Over::Wrong))
            }
            // A link that leads nowhere, or out, or what nobody can open: it is replaced. A directory makes the
            // renaming fail.
            Err(_) => Ok(Some(Over::Wrong)),
        }
    }

    /// Makes the staged file.
    fn fill(&self, dir: &OpenDir, name: &OsStr, blob: &Blob, content: Content<'_>) -> Result<Arc<File>> {
        let medium = self.options.medium;
        let path = &dir.path().join(name);
        let failed = |why| Error::io("write", path, why).of_kind(Kind::Failed);
        if content.len() != blob.size {
            return Err(wrong_size(&blob.digest, blob.size, &content.len().to_string()));
        }
        if let Content::Owned(from, _) = &content {
            if self.options.adopt == Adopt::Link && !self.no_link.load(Ordering::Relaxed) {
                match medium.link_open(from, path) {
                    Ok(()) => {
                        let file = Arc::new(open(path, OFlags::RDONLY).map_err(failed)?);
                        return self.adopted(blob, file);
                    }
                    Err(why) if cannot(&why) || why.kind() == io::ErrorKind::NotFound => {
                        self.no_link.store(true, Ordering::Relaxed);
                    }
                    Err(why) => return Err(failed(why)),
                }
            }
            let file = Arc::new(medium.create_in(dir, name).map_err(failed)?);
            if blob.size > 0 && !self.no_share.load(Ordering::Relaxed) {
                match medium.share(from, &file) {
                    Ok(()) => return self.adopted(blob, file),
                    Err(why) if cannot(&why) => self.no_share.store(true, Ordering::Relaxed),
                    Err(why) => return Err(failed(why)),
                }
            }
            return self.copied(file, path, blob, content);
        }
        let file = Arc::new(medium.create_in(dir, name).map_err(failed)?);
        self.copied(file, path, blob, content)
    }

    fn copied(&self, file: Arc<File>, path: &Path, blob: &Blob, content: Content<'_>) -> Result<Arc<File>> {
        let medium = self.options.medium;
        let failed = |why| Error::io("write", path, why).of_kind(Kind::Failed);
        let mut sent = 0;
        let mut write = |piece: &[u8], at: u64| {
            medium.write_at(&file, piece, at).map_err(failed)?;
            let end = at + piece.len() as u64;
            if end - sent >= STRETCH {
                self.writeback.send(&file, sent, end - sent);
                sent = end;
            }
            Ok(())
        };
        if self.options.trust {
            let mut reader = content.reader();
            let mut buffer = vec![0; CHUNK];
            let mut at = 0;
            loop {
                let got = reader.read(&mut buffer).map_err(|why| Error::io("read", blob.digest.path(), why))?;
                if got == 0 {
                    break;
                }
                write(&buffer[..got], at)?;
                at += got as u64;
            }
            if at != blob.size {
                return Err(wrong_size(&blob.digest, blob.size, &at.to_string()));
            }
        } else {
            pump(blob, content, self.options.watch, &mut write)?;
        }
        self.send_rest(&file, sent, blob.size);
        Ok(file)
    }

    /// Starts to bring what was not sent yet of a staged file to the disk.
    pub(super) fn send_rest(&self, file: &Arc<File>, sent: u64, size: u64) {
        match size >= WORTH_SENDING {
            true if size > sent => self.writeback.send(file, sent, size - sent),
            true => {}
            false => self.writeback.send_short(file, size),
        }
    }

    /// Checks a file that shares its content with another one.
    fn adopted(&self, blob: &Blob, file: Arc<File>) -> Result<Arc<File>> {
        let again = file.try_clone().map_err(|why| Error::io("read", blob.digest.path(), why))?;
        let size = again.metadata().map_err(|why| Error::io("read", blob.digest.path(), why))?.len();
        self.check(blob, Content::Extent { file: &again, at: 0, len: size })?;
        Ok(file)
    }

    /// A new, empty file on the file system that blobs of an algorithm lie on.
    pub(crate) fn touch(&self, algorithm: &str) -> Result<File> {
        let path = self.staging(algorithm)?.dir.path().join(format!("touched-{}", unique()));
        self.options.medium.create(&path).map_err(|why| Error::io("write", &path, why).of_kind(Kind::Failed))
    }

    /// Where blobs of an algorithm are staged: on the file system they will lie on.
    pub(super) fn staging(&self, algorithm: &str) -> Result<Staging> {
        let mut stagings = locked(&self.stagings);
        if let Some(staging) = stagings.of.get(algorithm) {
            return Ok(staging.clone());
        }
        let blobs = self.root.join("blobs");
        let mut staging = self.make_staging(&mut stagings, &self.root.join(OURS).join("staging"), algorithm)?;
        let own = blobs.join(algorithm);
        // A name is moved to where the blobs will be moved: a mount in between says so now.
        for dir in [blobs, own] {
            if !is_dir(&dir)? {
                break;
            }
            if !self.can_move(staging.dir.path(), &dir)? {
                staging = self.make_staging(&mut stagings, &dir, algorithm)?;
            }
        }
        stagings.of.insert(algorithm.to_owned(), staging.clone());
        Ok(staging)
    }

    fn can_move(&self, from: &Path, to: &Path) -> Result<bool> {
        let medium = self.options.medium;
        let probe = from.join("probe");
        let moved = to.join(format!(".ocistow-{}.tmp", self.id));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |why| Error::io("write", path, why).of_kind(Kind::Failed)
        };
        medium.create(&probe).map_err(failed(&probe))?;
        match medium.rename(&probe, &moved) {
            Ok(()) => {
                medium.unlink(&moved).map_err(failed(&moved))?;
                Ok(true)
            }
            Err(why) if why.kind() == io::ErrorKind::CrossesDevices => {
                medium.unlink(&probe).map_err(failed(&probe))?;
                Ok(false)
            }
            Err(why) => Err(failed(&moved)(why)),
        }
    }

    /// Makes a directory for staged blobs of an algorithm in `dir`.
    fn make_staging(&self, stagings: &mut Stagings, dir: &Path, algorithm: &str) -> Result<Staging> {
        let at = match dir.starts_with(self.root.join(OURS)) {
            true => dir.join(format!("{}-{algorithm}", self.id)),
            false => dir.join(format!(".ocistow-{}-{algorithm}", self.id)),
        };
        let failed = |why| Error::io("make", &at, why).of_kind(Kind::Failed);
        self.options.medium.make_dir(&at).map_err(failed)?;
        stagings.made.push(at.clone());
        let dir = OpenDir::open(&at).map_err(failed)?;
        Ok(Staging { whole: syncs_whole(dir.file()), dir: Arc::new(dir) })
    }

    /// Makes the directory for everything staged that is no blob.
    pub(super) fn make_usual(&self) -> Result<()> {
        let medium = self.options.medium;
        let usual = self.usual();
        let failed = |path: &Path, why| Error::io("make", path, why).of_kind(Kind::Failed);
        if let Some(staging) = usual.parent()
            && !is_dir(staging)?
        {
            match medium.make_dir(staging) {
                Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(failed(staging, why)),
                _ => {}
            }
        }
        medium.make_dir(&usual).map_err(|why| failed(&usual, why))?;
        locked(&self.stagings).made.push(usual);
        Ok(())
    }

    pub(super) fn usual(&self) -> PathBuf {
        self.root.join(OURS).join("staging").join(&self.id)
    }
}
