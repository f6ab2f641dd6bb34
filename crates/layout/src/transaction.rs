//! Writing to a layout in a directory: staged, made durable, then published all at once.
//!
//! Everything is first written to `.ocistow/staging/<id>/` and hashed. [`Transaction::publish`] waits until
//! the staged content is on the disk, gives each blob its name, and swaps index.json last, looking at
//! what came out: if somebody who does not know our locks changed it in between, the edits are made
//! again on that. Killed at any point, or with the power gone, the layout is in its old state or its new
//! one.

mod unnamed;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::checked::{CHUNK, pump, verify, wrong_size};
use crate::digest::Digest;
use crate::directory::{Directory, OURS, is_dir, is_directory, is_there};
use crate::edit::{Edit, Edited, edited, merge};
use crate::error::{Error, Kind, Result};
use crate::holdings::TRASH_BESIDE;
use crate::index::{EMPTY_INDEX, IndexFile};
use crate::lock::{Held, Locks};
use crate::medium::{Disk, Medium, OpenDir, cannot};
use crate::place::{open, resolved};
use crate::source::{
    Access, Blob, Content, Done, Found, IndexChange, Marker, OCI_LAYOUT, Outline, Sink, Source, Unwatched, Watch,
    Writing,
};
use crate::stamp::{Imprint, Stamp};
use crate::writeback::{STRETCH, Writeback};
pub use unnamed::Unnamed;

/// Up to this many staged files are synced one by one, more by syncing the file system.
pub const SYNC_EACH: usize = 64;
/// How much of the large blobs that were staged stays in memory once it was sent to the disk: what is imported
/// is often read next.
const KEPT: u64 = 256 << 20;
/// Shorter blobs stay in memory when they were sent to the disk: each that does not keeps a file open for a while.
const WORTH_SENDING: u64 = 4 << 20;
/// How often a change of index.json that somebody else wrote over is made again.
pub const REPLAYS: usize = 100;

/// How a transaction goes about it.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What is written to.
    pub medium: &'a dyn Medium,
    /// Who watches.
    pub watch: &'a dyn Watch,
    /// How long to wait for locks; `None`: as long as it takes.
    pub patience: Option<Duration>,
    /// How content that is a file of its own comes in.
    pub adopt: Adopt,
    /// Whether to check what is read. Only ever off between directories, when the user said so.
    pub trust: bool,
    /// Who keeps track of what is in the layout.
    pub follow: Option<&'a dyn Follow>,
    /// What the caller holds of the layout already, as [`Locks::content`] gives it: with that he does not wait for
    /// somebody who deletes, and who waits for him. Of another layout it is of no use, and does no harm.
    pub held: Option<&'a Held>,
}

/// Somebody who keeps track of what is in a layout, and is told of every change that was published.
pub trait Follow: Sync {
    /// A change was published; nobody else publishes one until this comes back. What goes wrong here must not
    /// concern the change, which is done.
    fn published(&self, layout: &Directory, change: &Change<'_>);
}

/// A change that was published.
pub struct Change<'c> {
    /// What index.json was like on the disk before.
    pub stamp: Stamp,
    /// What stood in it.
    pub before: &'c IndexFile,
    /// index.json as it lies on the disk now.
    pub imprint: Imprint,
    /// What stands in it, and how much of that is as it was.
    pub after: &'c Edited,
    /// The blobs that came to the layout.
    pub blobs: &'c [&'c Blob],
}

/// How a file becomes a staged blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopt {
    /// By sharing its extents where the file system can, else by copying.
    Copy,
    /// By a hard link where that is possible, else by copying.
    Link,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            medium: &Disk,
            watch: &Unwatched,
            patience: None,
            adopt: Adopt::Copy,
            trust: false,
            follow: None,
            held: None,
        }
    }
}

/// A layout being written to. Dropped without [`publish`](Self::publish), nothing of it remains.
///
/// ```
/// use ocistow_layout::transaction::{Options, Transaction};
/// use ocistow_layout::{Blob, Content, Descriptor, Digest, Source, edit::Edit};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("app");
/// let bytes = b"hello";
/// let blob = Blob { digest: Digest::of(bytes), size: 5 };
/// let mut transaction = Transaction::begin(&path, Options::default())?;
/// transaction.put(&blob, Content::Bytes(bytes))?;
/// let entry = Descriptor::new("text/plain", blob.digest.clone(), blob.size);
/// let edits = vec![Edit::Name { entry: Box::new(entry), reference: "v1".into() }];
/// transaction.publish(&[blob], &edits)?;
///
/// let layout = ocistow_layout::directory::Directory::open(&path)?;
/// assert_eq!(layout.index()?.entries().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Transaction<'a> {
    pub(crate) root: PathBuf,
    pub(crate) options: Options<'a>,
    /// The layout as it was at the start; `None` where there is none yet.
    old: Option<Directory>,
    /// Whether this transaction made the directory.
    made_root: bool,
    /// Whether there was no layout before, and is none yet.
    unmade: bool,
    id: String,
    stagings: Mutex<Stagings>,
    staged: Mutex<Staged>,
    /// What was made of a layout that was none before, in that order: all that is taken away if it never becomes one.
    made: Mutex<Vec<PathBuf>>,
    writeback: Writeback,
    no_share: AtomicBool,
    no_link: AtomicBool,
    barrier: AtomicU64,
    /// What came out when index.json was swapped last.
    swapped: Option<Out>,
    /// Held from one try to the next, where one was in vain.
    index: Option<Held>,
    locks: Locks<'a>,
    _content: Held,
}

/// Directories for staged files.
#[derive(Default)]
struct Stagings {
    /// All that were made.
    made: Vec<PathBuf>,
    /// That of each algorithm whose blobs were staged: on the file system they will lie on.
    of: BTreeMap<String, Staging>,
}

/// A directory of staged blobs of one algorithm, which have the names there that they will have.
#[derive(Clone)]
struct Staging {
    /// Open since before the first write: a sync of the whole file system through it sees every error.
    dir: Arc<OpenDir>,
    /// Whether such a sync can be trusted; if not, each file is synced as it is staged.
    whole: bool,
}

#[derive(Default)]
struct Staged {
    blobs: BTreeMap<Digest, Is>,
    /// Handles of the first few files, to sync each.
    open: Vec<Arc<File>>,
    count: usize,
}

/// What became of a blob that was put.
#[derive(Clone)]
enum Is {
    /// Somebody is at it.
    Coming,
    /// It is staged there, and what it replaces in the end.
    At(Arc<OpenDir>, u64, Over),
    /// The layout has it, and it is right.
    Present(u64),
}

/// What a staged blob goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Nothing,
    Wrong,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Transaction<'a> {
    /// Starts writing to the layout at `path`. Where there is none, its directory is made if the parent
    /// exists, and the layout by [`publish`](Self::publish). Usage where `path` is a directory with
    /// something else in it, or no directory; Integrity where the layout has no right `oci-layout`.
    /// Waits for whoever is deleting from the layout.
    pub fn begin(path: &Path, options: Options<'a>) -> Result<Self> {
        let medium = options.medium;
        let place = resolved(path).map_err(|why| Error::io("make", path, why))?;
        let mut tries = 0;
        let begun = loop {
            tries += 1;
            let made_root = match medium.make_dir(&place) {
                Ok(()) => true,
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => false,
                Err(why) => return Err(Error::io("make", path, why)),
            };
            match Self::in_directory(path, made_root, options) {
                Ok(begun) => break begun,
                Err(why) => {
                    if made_root {
                        unmake_unless_used(&place, options);
                    }
                    // Somebody who gave up making it has taken it away meanwhile.
                    if !vanished(&why) || tries == REPLAYS {
                        return Err(why);
                    }
                }
            }
        };
        begun.make_usual()?;
        Ok(begun)
    }

    /// The same for a change of what is in the layout: NotFound where there is none, or none any more.
    pub fn within(path: &Path, options: Options<'a>) -> Result<Self> {
        let gone = || {
            Error::new(Kind::NotFound, format!("could not write to {}", path.display()))
                .because("there is no OCI layout any more")
        };
        // Nothing is made where nothing is.
        existing(path, false)?.ok_or_else(gone)?;
        let begun = Self::begin(path, options)?;
        if begun.old.is_none() { Err(gone()) } else { Ok(begun) }
    }

    /// Starts writing to the layout at `path` with nobody else in it: for whoever deletes. NotFound where there is
    /// none. Waits until everybody is done who writes to it or walks through it.
    pub(crate) fn alone(path: &Path, options: Options<'a>) -> Result<Self> {
        let none = || {
            let what = format!("could not write to {}", path.display());
            Error::new(Kind::NotFound, what).because("it is no OCI layout")
        };
        existing(path, false)?.ok_or_else(none)?;
        let root = path.canonicalize().map_err(|why| Error::io("open", path, why))?;
        let locks = Locks::make(&root, options.patience, options.medium, options.watch)?;
        let content = locks.alone()?;
        // As it is now that nobody else is left.
        let old = existing(path, false)?.ok_or_else(none)?;
        clear(litter(&root), options.medium);
        let begun = Self::with(root, Some(old), false, options, locks, content);
        begun.make_usual()?;
        Ok(begun)
    }

    fn in_directory(path: &Path, made_root: bool, options: Options<'a>) -> Result<Self> {
        let root = path.canonicalize().map_err(|why| Error::io("open", path, why))?;
        let old = existing(path, made_root)?;
        let locks = Locks::make(&root, options.patience, options.medium, options.watch)?;
        clear_litter(&root, &locks, options.medium);
        let content = locks.content_beside(options.held)?;
        // Whoever takes a layout away takes its locks first: from now on nobody can, and all of them are there.
        let locks = Locks::make(&root, options.patience, options.medium, options.watch)?;
        Ok(Self::with(root, old, made_root, options, locks, content))
    }

    fn with(
        root: PathBuf,
        old: Option<Directory>,
        made_root: bool,
        options: Options<'a>,
        locks: Locks<'a>,
        content: Held,
    ) -> Self {
        Self {
            root,
            options,
            unmade: old.is_none(),
            old,
            made_root,
            id: unique(),
            stagings: Mutex::default(),
            staged: Mutex::default(),
            made: Mutex::default(),
            writeback: Writeback::keeping(KEPT),
            no_share: AtomicBool::new(false),
            no_link: AtomicBool::new(false),
            barrier: AtomicU64::new(0),
            swapped: None,
            index: None,
            locks,
            _content: content,
        }
    }

    /// The layout as it was when this began; `None` where there was none.
    pub fn before(&self) -> Option<&Directory> {
        self.old.as_ref()
    }

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
    fn claim(&self, digest: &Digest) -> bool {
        let mut staged = locked(&self.staged);
        let first = !staged.blobs.contains_key(digest);
        if first {
            staged.blobs.insert(digest.clone(), Is::Coming);
        }
        first
    }

    /// Notes what became of a digest that was claimed.
    fn settle(&self, digest: &Digest, is: Result<(Is, Option<Arc<File>>)>) -> Result<()> {
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
                staged.blobs.insert(digest.clone(), is);
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
    fn keeps_open(&self, synced: bool) -> bool {
        !synced && locked(&self.staged).count < SYNC_EACH
    }

    /// What a blob goes over in the layout as it was; `None` where it is there and right.
    fn replaces(&self, blob: &Blob) -> Result<Option<Over>> {
        let Some(old) = &self.old else { return Ok(Some(Over::Nothing)) };
        match old.open(&blob.digest) {
            Ok(None) => Ok(Some(Over::Nothing)),
            Ok(Some(there)) => {
                let right = there.len() == blob.size
                    && (self.options.trust || verify(blob, there, &Stop(self.options.watch)).is_ok());
                if !right && self.options.watch.stop() {
                    return Err(Error::new(Kind::Interrupted, "interrupted"));
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
    fn send_rest(&self, file: &Arc<File>, sent: u64, size: u64) {
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
    fn staging(&self, algorithm: &str) -> Result<Staging> {
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
    fn make_usual(&self) -> Result<()> {
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

    /// What was put, as a source with this index.json: for planning on what came out of a pipe.
    pub fn view(&self, location: &str, index: IndexFile, marker: Marker) -> View<'_, 'a> {
        View { transaction: self, location: location.to_owned(), index, marker }
    }

    /// How long the last step took to wait for the disk.
    pub fn barrier(&self) -> Duration {
        Duration::from_nanos(self.barrier.load(Ordering::Relaxed))
    }

    /// Publishes the blobs in `order` (the first are published last: wholes stand in front of their parts),
    /// and makes `edits` on index.json as it is by then. Blobs that were put and are not in `order` are
    /// dropped. `Ok` means that all of it is on the disk, and that this transaction is over. On `Err` index.json
    /// is what it was, blobs may have come to the layout. After Conflict, where an edit expected something
    /// else, what was put is still there to be published with other edits.
    pub fn publish(&mut self, order: &[Blob], edits: &[Edit]) -> Result<Done> {
        self.publish_by(order, &mut |index| edited(index, edits))
    }

    /// The same, and index.json stays as it is.
    pub fn publish_blobs(&mut self, order: &[Blob]) -> Result<Done> {
        self.publish_by(order, &mut |index| {
            let bytes = index.bytes().to_vec();
            Ok(Edited { front: bytes.len(), back: 0, bytes })
        })
    }

    /// The same for a layout that must not exist yet, with exactly these bytes as its index.json.
    pub fn publish_new(&mut self, order: &[Blob], index: Vec<u8>) -> Result<Done> {
        let what = format!("could not make {}", self.root.display());
        self.publish_by(order, &mut |there| {
            if there.entries().is_empty() {
                return Ok(Edited { bytes: index.clone(), front: 0, back: 0 });
            }
            Err(Error::new(Kind::Conflict, what.clone()).because("somebody else made a layout there"))
        })
    }

    /// Keeps every other transaction from publishing until this one has, or is dropped: for whoever decides on what
    /// nobody may add to meanwhile, or decides again after Conflict, so that he is not overtaken for ever. Waits for the
    /// disk first: what was put is on it then. What has to be read or staged at length is better done before. Tools that
    /// know no locks may still change index.json.
    pub fn keep_index(&mut self) -> Result<()> {
        if self.index.is_none() {
            self.wait_for_disk(&locked(&self.staged))?;
            self.index = Some(self.locks.index(&self._content)?);
        }
        Ok(())
    }

    /// Why nothing can be put under a blob's name, if that is so: a directory lies there, or a link leads there.
    pub fn blocked(&self, digest: &Digest) -> Option<Error> {
        let blobs = self.root.join("blobs");
        let own = blobs.join(digest.algorithm());
        let at = own.join(digest.encoded());
        match is_dir(&blobs).and_then(|_| is_dir(&own)) {
            Err(why) => Some(why),
            Ok(_) if fs::symlink_metadata(&at).is_ok_and(|meta| meta.is_dir()) => {
                let what = format!("could not write {}", at.display());
                Some(Error::new(Kind::Failed, what).because("a directory lies there"))
            }
            Ok(_) => None,
        }
    }

    /// The same, with `after` in the place of an index.json that still has to be `decided`: Conflict where somebody
    /// else changed it, however little.
    pub(crate) fn publish_onto(&mut self, order: &[Blob], decided: &IndexFile, after: &Edited) -> Result<Done> {
        let what = format!("could not write {}", self.root.join("index.json").display());
        self.publish_by(order, &mut |now| {
            if now.bytes() == decided.bytes() {
                return Ok(after.clone());
            }
            Err(Error::new(Kind::Conflict, what.clone()).because("somebody else changed it"))
        })
    }

    /// Undoes the last [`publish_onto`](Self::publish_onto), unless index.json is not `ours` any more: then somebody else
    /// has changed it. As far as the file system lets it.
    pub(crate) fn unpublish(&mut self, ours: &[u8]) {
        let Some(out) = self.swapped.take() else { return };
        let still = |path: &Path| open(path, OFlags::RDONLY).and_then(|file| holds(&file, ours)).is_ok_and(|is| is);
        if still(&self.root.join("index.json")) {
            self.take_back(&out);
            // Somebody else may have changed it right before.
            if let Out::At(old) = &out
                && fs::symlink_metadata(old).is_ok()
                && !still(old)
            {
                self.take_back(&out);
            }
        }
    }

    fn publish_by(&mut self, order: &[Blob], change: &mut dyn FnMut(&IndexFile) -> Result<Edited>) -> Result<Done> {
        let staged = std::mem::take(&mut *locked(&self.staged));
        let published = self.publish_staged(&staged, order, change);
        *locked(&self.staged) = staged;
        if published.is_ok() {
            self.index = None;
        }
        published
    }

    fn publish_staged(
        &mut self,
        staged: &Staged,
        order: &[Blob],
        change: &mut dyn FnMut(&IndexFile) -> Result<Edited>,
    ) -> Result<Done> {
        let mut coming = Vec::new();
        let mut done = Done::default();
        for blob in order.iter().rev() {
            match staged.blobs.get(&blob.digest) {
                Some(Is::At(dir, size, over)) => {
                    match over {
                        Over::Nothing => done.new.add(*size),
                        Over::Wrong => done.repaired.add(*size),
                    }
                    coming.push((blob, &**dir, *over));
                }
                Some(Is::Present(size)) => done.present.add(*size),
                _ => return Err(Error::new(Kind::Failed, format!("blob {} was never written", blob.digest))),
            }
        }
        self.wait_for_disk(staged)?;
        let _index = if self.index.is_none() { Some(self.locks.index(&self._content)?) } else { None };
        let (before, stamp) = self.index_now()?;
        let after = change(&before)?;
        let changed = before.bytes() != after.bytes || self.old.is_none();
        let new = changed.then(|| self.staged_index(&after.bytes)).transpose()?;
        if self.old.is_none() {
            // That `.ocistow` is there is how a layout is known whose making never ended: it comes first.
            self.sync_dir(&self.root)?;
        }
        let mut touched = self.place(&coming)?;
        if self.old.is_none() {
            self.place_marker()?;
            touched.insert(self.root.clone());
        }
        for dir in touched.iter().rev() {
            self.sync_dir(dir)?;
        }
        if self.old.is_none() && self.made_root {
            self.sync_dir(self.root.parent().unwrap_or(Path::new("/")))?;
        }
        // What was put there in the place of `after`, if somebody else wrote in between.
        let mut instead = None;
        let mut file = None;
        if let Some((new, written)) = new {
            let (out, other) = self.swap(new, &before, &after, change)?;
            (self.swapped, instead, file) = (Some(out), other, Some(written));
        }
        // From here on it is done; what follows only keeps it so. regctl, for one, sweeps at its every
        // write what its own idea of index.json does not reach.
        self.unmade = false;
        let swept: Vec<_> = match self.swapped {
            // Nobody can have swept a layout that was not there.
            Some(Out::None) => Vec::new(),
            _ => coming.iter().filter(|(blob, ..)| self.exact(blob).is_none()).copied().collect(),
        };
        if !swept.is_empty()
            && let Err(why) =
                self.place(&swept).and_then(|touched| touched.iter().try_for_each(|dir| self.sync_dir(dir)))
        {
            self.unpublish(instead.as_ref().unwrap_or(&after.bytes));
            return Err(why);
        }
        if let (Some(stamp), None) = (stamp, instead) {
            self.tell(stamp, &before, &after, file, &coming);
        }
        Ok(done)
    }

    /// Tells who keeps track of the layout what was published. `file` is the new index.json; none: it is the old one.
    fn tell(
        &self,
        stamp: Stamp,
        before: &IndexFile,
        after: &Edited,
        file: Option<File>,
        coming: &[(&Blob, &OpenDir, Over)],
    ) {
        let (Some(follow), Some(layout)) = (self.options.follow, &self.old) else { return };
        let imprint = match file {
            Some(file) => Imprint::of(file, 0, after.bytes.len() as u64).ok(),
            None => layout.imprint().ok().flatten(),
        };
        if let Some(after_imprint) = imprint {
            let blobs: Vec<&Blob> = coming.iter().map(|(blob, ..)| *blob).collect();
            follow.published(layout, &Change { stamp, before, imprint: after_imprint, after, blobs: &blobs });
        }
    }

    /// The length of what lies exactly under the blob's name.
    fn exact(&self, blob: &Blob) -> Option<u64> {
        fs::symlink_metadata(self.root.join(blob.digest.path())).ok().map(|meta| meta.len())
    }

    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.options.medium.sync_dir(dir).map_err(|why| Error::io("sync", dir, why).of_kind(Kind::Failed))
    }

    /// The barrier: all staged content is on the disk after this.
    fn wait_for_disk(&self, staged: &Staged) -> Result<()> {
        let started = Instant::now();
        let medium = self.options.medium;
        let failed = |why| Error::io("sync", &self.root, why).of_kind(Kind::Failed);
        if staged.count <= SYNC_EACH {
            for file in &staged.open {
                medium.sync_file(file).map_err(failed)?;
            }
        } else {
            let stagings = locked(&self.stagings);
            let used: BTreeMap<&Path, &Staging> =
                stagings.of.values().map(|staging| (staging.dir.path(), staging)).collect();
            for staging in used.values().filter(|staging| staging.whole) {
                medium.sync_all(staging.dir.file()).map_err(failed)?;
            }
        }
        self.barrier.fetch_add(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(())
    }

    /// index.json as it is now, or an empty one for a layout that is being made.
    fn index_now(&mut self) -> Result<(IndexFile, Option<Stamp>)> {
        if self.old.is_none() {
            // Somebody else may have made it since.
            self.old = existing(&self.root, false)?;
        }
        match &self.old {
            Some(old) => old.stamped_index(),
            None => Ok((IndexFile::parse(EMPTY_INDEX.to_vec())?, None)),
        }
    }

    fn staged_index(&self, bytes: &[u8]) -> Result<(PathBuf, File)> {
        let medium = self.options.medium;
        let path = self.usual().join(format!("index.json-{}", unique()));
        let failed = |why| Error::io("write", &path, why).of_kind(Kind::Failed);
        let file = medium.create(&path).map_err(failed)?;
        medium.write_at(&file, bytes, 0).map_err(failed)?;
        let at = self.root.join("index.json");
        if is_there(&at)? {
            let like = fs::symlink_metadata(&at).map_err(failed)?;
            if !like.is_file() {
                let what = format!("could not write {}/index.json", self.root.display());
                return Err(Error::new(Kind::Failed, what).because("it is a link; nothing is written through a link"));
            }
            medium.dress(&file, &like).map_err(failed)?;
        }
        medium.sync_file(&file).map_err(failed)?;
        Ok((path, file))
    }

    fn usual(&self) -> PathBuf {
        self.root.join(OURS).join("staging").join(&self.id)
    }

    /// Gives staged blobs their names, in this order; gives back the directories that have to be synced.
    fn place(&self, coming: &[(&Blob, &OpenDir, Over)]) -> Result<BTreeSet<PathBuf>> {
        let medium = self.options.medium;
        let mut touched = BTreeSet::new();
        let blobs = self.root.join("blobs");
        if self.old.is_none() || !coming.is_empty() {
            self.directory(&blobs, &mut touched)?;
        }
        let mut moved = BTreeSet::new();
        if self.old.is_none() {
            moved = self.place_whole(coming, &mut touched)?;
            self.directory(&blobs.join("sha256"), &mut touched)?;
        }
        let mut open: BTreeMap<&str, OpenDir> = BTreeMap::new();
        for (blob, staged, over) in coming {
            let algorithm = blob.digest.algorithm();
            if moved.contains(algorithm) {
                continue;
            }
            let dir = match open.entry(algorithm) {
                Entry::Occupied(open) => open.into_mut(),
                Entry::Vacant(new) => {
                    let dir = blobs.join(algorithm);
                    self.directory(&dir, &mut touched)?;
                    let opened =
                        OpenDir::open(&dir).map_err(|why| Error::io("open", &dir, why).of_kind(Kind::Failed))?;
                    touched.insert(dir);
                    new.insert(opened)
                }
            };
            let name = blob.digest.encoded();
            let name = OsStr::new(&name);
            let (path, to) = (&staged.path().join(name), dir.path().join(name));
            let failed = |why| Error::io("write", &to, why).of_kind(Kind::Failed);
            let linked = match over {
                Over::Nothing => medium.link_in((staged, name), (dir, name)),
                // A wrong blob is replaced in one step, so that a name never stands for nothing.
                Over::Wrong => medium.rename(path, &to),
            };
            match linked {
                Ok(()) => self.note(&to),
                // Moved by an earlier try.
                Err(why) if why.kind() == io::ErrorKind::NotFound && self.exact(blob) == Some(blob.size) => {}
                // Another writer was faster: every writer verifies, foreign ones may not have.
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                    if self.exact(blob) != Some(blob.size) {
                        medium.rename(path, &to).map_err(failed)?;
                    }
                }
                Err(why) if cannot(&why) => {
                    let new = self.exact(blob).is_none();
                    medium.rename(path, &to).map_err(failed)?;
                    if new {
                        self.note(&to);
                    }
                }
                Err(why) => return Err(failed(why)),
            }
        }
        Ok(touched)
    }

    /// Moves whole directories of staged blobs to where none is yet, which takes no longer for many blobs than for one;
    /// gives back the algorithms for which that could be done.
    fn place_whole<'c>(
        &self,
        coming: &[(&'c Blob, &OpenDir, Over)],
        touched: &mut BTreeSet<PathBuf>,
    ) -> Result<BTreeSet<&'c str>> {
        let mut moved = BTreeSet::new();
        let stagings: BTreeMap<&str, &OpenDir> =
            coming.iter().map(|(blob, staged, _)| (blob.digest.algorithm(), *staged)).collect();
        for (algorithm, staged) in stagings {
            let own = || coming.iter().filter(|(blob, ..)| blob.digest.algorithm() == algorithm);
            let to = self.root.join("blobs").join(algorithm);
            // What was staged and is not published has no business there.
            if is_there(&to)? || children(staged.path()).count() != own().count() {
                continue;
            }
            match self.options.medium.rename_new(staged.path(), &to) {
                Ok(()) => {}
                Err(why) if cannot(&why) || why.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(why) => return Err(Error::io("write", &to, why).of_kind(Kind::Failed)),
            }
            self.note(&to);
            own().for_each(|(blob, ..)| self.note(&to.join(blob.digest.encoded())));
            touched.extend([to, self.root.join("blobs")]);
            moved.insert(algorithm);
        }
        Ok(moved)
    }

    /// Makes a directory of the layout where it is not there. Failed where it is a link: nothing is
    /// written through links.
    fn directory(&self, dir: &Path, touched: &mut BTreeSet<PathBuf>) -> Result<()> {
        if is_dir(dir)? {
            return Ok(());
        }
        match self.options.medium.make_dir(dir) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("make", dir, why).of_kind(Kind::Failed));
            }
            Err(_) => {}
            Ok(()) => self.note(dir),
        }
        touched.insert(dir.to_owned());
        touched.extend(dir.parent().map(Path::to_owned));
        Ok(())
    }

    /// Remembers what is made of a layout that was none before.
    fn note(&self, made: &Path) {
        if self.old.is_none() {
            locked(&self.made).push(made.to_owned());
        }
    }

    fn place_marker(&self) -> Result<()> {
        let medium = self.options.medium;
        let to = self.root.join("oci-layout");
        let path = self.usual().join(format!("oci-layout-{}", unique()));
        let failed = |why| Error::io("write", &to, why).of_kind(Kind::Failed);
        let file = medium.create(&path).map_err(failed)?;
        medium.write_at(&file, OCI_LAYOUT, 0).map_err(failed)?;
        medium.sync_file(&file).map_err(failed)?;
        match medium.rename_new(&path, &to) {
            Ok(()) => self.note(&to),
            // One that was left by a making that was interrupted.
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => medium.rename(&path, &to).map_err(failed)?,
            Err(why) => return Err(failed(why)),
        }
        Ok(())
    }

    /// Puts the new index.json in the place of the old one, and waits until that is on the disk. Gives what came out,
    /// and what was put there if that had to be something else than `after` in the end. On `Err` the old one is back
    /// in its place, as far as the file system lets it.
    fn swap(
        &self,
        new: PathBuf,
        before: &IndexFile,
        after: &Edited,
        change: &mut dyn FnMut(&IndexFile) -> Result<Edited>,
    ) -> Result<(Out, Option<Vec<u8>>)> {
        let mut out = Out::Nothing;
        let swapped = self.swap_and_look(new, before, after, change, &mut out);
        match swapped.and_then(|instead| self.sync_dir(&self.root).map(|()| instead)) {
            Ok(instead) => Ok((out, instead)),
            Err(why) => {
                self.take_back(&out);
                Err(why)
            }
        }
    }

    /// Swaps, and looks at what came out: as long as that is not what the change was made on, the change is made
    /// again on what is there by then. `out` tells what came out last, on `Err` too.
    fn swap_and_look(
        &self,
        mut new: PathBuf,
        first: &IndexFile,
        decided: &Edited,
        change: &mut dyn FnMut(&IndexFile) -> Result<Edited>,
        out: &mut Out,
    ) -> Result<Option<Vec<u8>>> {
        let at = self.root.join("index.json");
        let failed = |why: io::Error| match why.kind() {
            io::ErrorKind::CrossesDevices => Error::new(Kind::Failed, format!("could not write {}", at.display()))
                .because(format!("its {OURS} is on another file system"))
                .hint("blobs may lie on another one; what index.json is exchanged with has to be where that is"),
            _ => Error::io("write", &at, why).of_kind(Kind::Failed),
        };
        if self.old.is_none() {
            match self.options.medium.rename_new(&new, &at) {
                Ok(()) => {
                    *out = Out::None;
                    return Ok(None);
                }
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
                Err(why) => return Err(failed(why)),
            }
        }
        // What lies there, what is put in its place, and index.json as it would be without us.
        let mut again: Option<(IndexFile, Vec<u8>, IndexFile)> = None;
        for _ in 0..REPLAYS {
            let came_out = self.exchange(&new, &at, out).map_err(failed)?;
            let there = again.as_ref().map_or(first, |(there, ..)| there);
            if holds(&came_out, there.bytes()).map_err(failed)? {
                return Ok(again.map(|(_, ours, _)| ours));
            }
            let afresh = || (first.clone(), decided.bytes.clone(), first.clone());
            let (there, ours, mut theirs) = again.take().unwrap_or_else(afresh);
            // Somebody who does not know our locks wrote in between. What he wrote goes back at once: who reads
            // index.json now, and writes it later, would take it away.
            let now = match out {
                Out::At(old) => {
                    let upon = self.exchange(old, &at, &mut Out::Nothing).map_err(failed)?;
                    *out = Out::Nothing;
                    // Somebody may have written on ours meanwhile.
                    if let Some(upon) = settled(upon, &ours).map_err(failed)? {
                        theirs = merge(&IndexFile::parse(ours)?, upon?, &theirs)?;
                    }
                    open(&at, OFlags::RDONLY).map_err(failed)?
                }
                // It has no name any more.
                _ => came_out,
            };
            let now = settled(now, there.bytes()).map_err(failed)?.unwrap_or_else(|| Ok(there.clone()))?;
            theirs = merge(&there, now.clone(), &theirs)?;
            let edited = change(&theirs)?;
            (new, _) = self.staged_index(&edited.bytes)?;
            again = Some((now, edited.bytes, theirs));
        }
        let what = format!("could not write {}", at.display());
        Err(Error::new(Kind::Failed, what).because("somebody else keeps changing it"))
    }

    /// Puts one file in the place of another; gives that, open, and tells in `out` where it lies.
    fn exchange(&self, new: &Path, at: &Path, out: &mut Out) -> io::Result<File> {
        let medium = self.options.medium;
        match medium.exchange(new, at) {
            Ok(()) => {
                *out = Out::At(new.to_owned());
                open(new, OFlags::RDONLY)
            }
            Err(why) if cannot(&why) => {
                // The old file stays open: what is in it can be read after it lost its name.
                let old = open(at, OFlags::RDONLY)?;
                let kept = self.usual().join(format!("index.json-{}", unique()));
                let kept = medium.link(at, &kept).is_ok().then_some(kept);
                medium.rename(new, at)?;
                *out = kept.map_or(Out::Nothing, Out::At);
                Ok(old)
            }
            Err(why) => Err(why),
        }
    }

    /// Undoes the last swap. What keeps that from being done has kept something before, and was told.
    fn take_back(&self, out: &Out) {
        let medium = self.options.medium;
        let at = self.root.join("index.json");
        let undone = match out {
            Out::Nothing => Ok(()),
            Out::None => medium.unlink(&at),
            Out::At(old) => match medium.exchange(old, &at) {
                Err(why) if cannot(&why) => medium.rename(old, &at),
                undone => undone,
            },
        };
        let _ = undone.and_then(|()| medium.sync_dir(&self.root));
    }
}

/// What came out when index.json was swapped.
enum Out {
    /// It was not swapped, or what came out is lost.
    Nothing,
    /// There was none before.
    None,
    /// A file that lies here.
    At(PathBuf),
}

/// The index in a file, once it parses: tools that write in place may still be at it. `None` where
/// it is what was expected.
fn settled(mut file: File, expected: &[u8]) -> io::Result<Option<Result<IndexFile>>> {
    let mut tries = 0;
    loop {
        if holds(&file, expected)? {
            return Ok(None);
        }
        io::Seek::rewind(&mut file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let index = IndexFile::parse(bytes);
        if index.is_ok() || tries == 3 {
            return Ok(Some(index));
        }
        tries += 1;
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether what is in a file is exactly this.
fn holds(mut file: &File, mut expected: &[u8]) -> io::Result<bool> {
    io::Seek::rewind(&mut file)?;
    let mut buffer = vec![0; CHUNK.min(expected.len() + 1)];
    loop {
        let got = file.read(&mut buffer)?;
        match expected.strip_prefix(&buffer[..got]) {
            Some(rest) if got > 0 => expected = rest,
            Some(rest) => return Ok(rest.is_empty()),
            None => return Ok(false),
        }
    }
}

impl Drop for Transaction<'_> {
    /// Takes the staged files away, and a directory that was made for nothing.
    fn drop(&mut self) {
        let medium = self.options.medium;
        for staging in &locked(&self.stagings).made {
            empty(staging, medium);
        }
        if self.unmade && existing(&self.root, false).is_ok_and(|old| old.is_none()) {
            // Only if nobody else has come to use it meanwhile; our own hold on it has to go first.
            self._content = Held::none();
            if let Some(_alone) = self.locks.everything_now() {
                unmake(&self.root, &locked(&self.made), self.made_root, medium);
            }
        }
    }
}

/// Removes a directory and the files in it, as far as that goes.
fn empty(dir: &Path, medium: &dyn Medium) {
    if let (Ok(open), Ok(files)) = (OpenDir::open(dir), fs::read_dir(dir)) {
        for file in files.flatten() {
            let _ = medium.unlink_in(&open, &file.file_name());
        }
    }
    let _ = medium.remove_dir(dir);
}

/// Takes away what was made of a layout that was never finished. What lay there before stays, and then so does what
/// tells that it is a layout of ours.
fn unmake(root: &Path, made: &[PathBuf], made_root: bool, medium: &dyn Medium) {
    for path in made.iter().rev() {
        let _ = if is_dir(path).is_ok_and(|is| is) { medium.remove_dir(path) } else { medium.unlink(path) };
    }
    if children(root).any(|path| path.file_name() != Some(OURS.as_ref())) {
        return;
    }
    for dir in ["staging", "lock"] {
        empty(&root.join(OURS).join(dir), medium);
    }
    let _ = medium.remove_dir(&root.join(OURS));
    if made_root {
        let _ = medium.remove_dir(root);
    }
}

/// Takes away a layout whose making failed at the start, if nobody else has come to make it. Without all of
/// the locks there is no telling: then only what is empty goes.
fn unmake_unless_used(root: &Path, options: Options<'_>) {
    let medium = options.medium;
    let Ok(found) = Locks::found(root, options.patience, options.watch) else { return };
    if let Some(locks) = found {
        if let Some(_alone) = locks.everything_now() {
            unmake(root, &[], true, medium);
        }
        return;
    }
    for dir in [root.join(OURS).join("lock"), root.join(OURS), root.to_owned()] {
        let _ = medium.remove_dir(&dir);
    }
}

/// Takes away what writers left behind that are no more: if nobody holds the layout, every staging is
/// of that sort. Never fails: the litter can wait for the next writer.
fn clear_litter(root: &Path, locks: &Locks<'_>, medium: &dyn Medium) {
    let litter = litter(root);
    if litter.is_empty() {
        return;
    }
    if let Some(_alone) = locks.everything_now() {
        clear(litter, medium);
    }
}

/// The stagings in a layout, and what else writers put beside its blobs for a while. What lies in the trash is none of
/// it: only marking tells whether it is still needed.
fn litter(root: &Path) -> Vec<PathBuf> {
    let staging = root.join(OURS).join("staging");
    let mut litter: Vec<PathBuf> = children(&staging).collect();
    let blobs = root.join("blobs");
    for dir in std::iter::once(blobs.clone()).chain(children(&blobs)) {
        let ours = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.as_encoded_bytes().starts_with(b".ocistow-") && name != TRASH_BESIDE
        };
        litter.extend(children(&dir).filter(ours));
    }
    litter
}

fn clear(litter: Vec<PathBuf>, medium: &dyn Medium) {
    for path in litter {
        // What is behind a link is somebody else's.
        if is_dir(&path).is_ok_and(|is| is) { empty(&path, medium) } else { drop(medium.unlink(&path)) }
    }
}

pub(crate) fn children(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let real = fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir());
    let inside = real.then(|| fs::read_dir(dir).ok()).flatten();
    inside.into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Whether something went wrong because a file or directory was not there.
fn vanished(error: &Error) -> bool {
    cause(error) == Some(io::ErrorKind::NotFound)
}

/// Whether something went wrong because nothing may be written there.
fn refused(error: &Error) -> bool {
    matches!(cause(error), Some(io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied))
}

fn cause(error: &Error) -> Option<io::ErrorKind> {
    let cause = std::error::Error::source(error)?.downcast_ref::<io::Error>()?;
    Some(cause.kind())
}

/// The layout at `path` as a transaction would find it, `None` where it would make one; nothing is touched. `Err` as
/// [`Transaction::begin`] has it, as far as that can be told by looking.
pub fn writable(path: &Path) -> Result<Option<Directory>> {
    match fs::symlink_metadata(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
            fs::metadata(parent).map(|_| None).map_err(|why| Error::io("make", path, why))
        }
        _ => existing(path, false),
    }
}

/// The layout at `path`, or `None` where one can be made: an empty directory, or one in which making
/// one was interrupted.
fn existing(path: &Path, just_made: bool) -> Result<Option<Directory>> {
    if just_made {
        return Ok(None);
    }
    match Directory::open(path) {
        Ok(old) => match old.marker() {
            Marker::Right if !is_there(&path.join("index.json"))? => {
                let what = format!("could not write to {}", path.display());
                Err(Error::new(Kind::Integrity, what).because("it has an oci-layout but no index.json"))
            }
            Marker::Right => Ok(Some(old)),
            Marker::Absent => {
                let what = format!("could not write to {}", path.display());
                Err(Error::new(Kind::Integrity, what)
                    .because("it has an index.json but no oci-layout")
                    .hint("if it is a layout, give it the file oci-layout with {\"imageLayoutVersion\":\"1.0.0\"}"))
            }
            Marker::Wrong(why) => {
                let what = format!("could not write to {}", path.display());
                Err(Error::new(Kind::Integrity, what).because(format!("its oci-layout is not valid: {why}")))
            }
        },
        Err(why) if !is_directory(path)? => match why.kind() {
            Kind::NotFound | Kind::Failed if is_there(path)? => {
                let what = format!("could not write to {}", path.display());
                Err(Error::new(Kind::Usage, what).because("it is no directory"))
            }
            _ => Err(why),
        },
        Err(why) if why.kind() == Kind::NotFound => {
            // Listed once: somebody else may be taking away what he gave up making.
            let inside: Vec<PathBuf> = children(path).collect();
            if inside.is_empty() || inside.iter().any(|path| path.file_name() == Some(OURS.as_ref())) {
                return Ok(None);
            }
            let what = format!("could not write to {}", path.display());
            Err(Error::new(Kind::Usage, what).because("it is neither an OCI layout nor an empty directory"))
        }
        Err(why) => Err(why),
    }
}

/// Whether a sync of the whole file system that a file is on reports every error (Linux 5.8 on file systems that are
/// known to).
pub(crate) fn syncs_whole(file: &File) -> bool {
    const TRUSTED: [u64; 5] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630];
    let Ok(release) = fs::read_to_string("/proc/sys/kernel/osrelease") else { return false };
    let mut numbers = release.split(['.', '-']).map_while(|part| part.trim().parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else { return false };
    let Ok(stat) = rustix::fs::fstatfs(file) else { return false };
    let kind = u64::from_ne_bytes(stat.f_type.to_ne_bytes()) & 0xFFFF_FFFF;
    (major, minor) >= (5, 8) && TRUSTED.contains(&kind)
}

/// A name nobody else uses: who, by chance, and a number. Containers that write to one layout may all be process 1, and
/// their clocks need not run.
pub(crate) fn unique() -> String {
    static CHANCE: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{:x}-{count}", std::process::id(), *CHANCE)
}

/// Somebody who may stop the work but counts nothing.
pub(crate) struct Stop<'a>(pub &'a dyn Watch);

impl Watch for Stop<'_> {
    fn stop(&self) -> bool {
        self.0.stop()
    }
}

/// What a transaction was given so far, looked at.
pub struct View<'t, 'a> {
    transaction: &'t Transaction<'a>,
    location: String,
    index: IndexFile,
    marker: Marker,
}

impl Source for View<'_, '_> {
    fn location(&self) -> &str {
        &self.location
    }

    fn marker(&self) -> Marker {
        self.marker.clone()
    }

    fn index(&self) -> Result<IndexFile> {
        Ok(self.index.clone())
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(match locked(&self.transaction.staged).blobs.get(digest) {
            Some(Is::At(_, size, _) | Is::Present(size)) => Some(*size),
            _ => None,
        })
    }

    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        let names: Vec<Digest> = locked(&self.transaction.staged).blobs.keys().cloned().collect();
        names.into_iter().for_each(f);
        Ok(())
    }

    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        let is = locked(&self.transaction.staged).blobs.get(digest).cloned();
        match is {
            Some(Is::At(dir, size, _)) => {
                let file = dir.read(digest.encoded().as_ref());
                let failed = |why| Error::io("read", dir.path().join(digest.encoded()), why);
                Ok(Some(Content::Owned(file.map_err(failed)?, size)))
            }
            Some(Is::Present(_)) => self.transaction.old.as_ref().map_or(Ok(None), |old| old.open(digest)),
            _ => Ok(None),
        }
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        self.names(&mut |digest| {
            if let Ok(Some(size)) = self.size(&digest) {
                f(Found::Blob(Blob { digest, size }));
            }
        })
    }
}

/// A layout in a directory as a sink.
pub struct DirectorySink<'a> {
    /// Where.
    pub path: PathBuf,
    /// How.
    pub options: Options<'a>,
}

struct DirectoryWriting<'a> {
    transaction: Transaction<'a>,
    outline: Outline,
}

impl<'a> Sink<'a> for DirectorySink<'a> {
    /// As [`Transaction::begin`]. Members beside the layout are written by archives only.
    fn begin(self: Box<Self>, outline: Outline) -> Result<Box<dyn Writing + 'a>> {
        let transaction = Transaction::begin(&self.path, self.options)?;
        Ok(Box::new(DirectoryWriting { transaction, outline }))
    }
}

impl Writing for DirectoryWriting<'_> {
    fn put(&self, blob: &Blob, content: Content<'_>) -> Result<()> {
        self.transaction.put(blob, content)
    }

    fn ordered(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>) -> Result<Done> {
        let Self { mut transaction, outline } = *self;
        match outline.index {
            IndexChange::New(bytes) => transaction.publish_new(&outline.blobs, bytes),
            IndexChange::Edits(edits) => transaction.publish(&outline.blobs, &edits),
        }
    }
}

/// Makes an empty layout at `path`; a layout that is there already stays as it is, also where it cannot be written to.
pub fn init(path: &Path, options: Options<'_>) -> Result<()> {
    let made = Transaction::begin(path, options).and_then(|mut transaction| transaction.publish(&[], &[]));
    match made {
        Err(why) if refused(&why) && matches!(existing(path, false), Ok(Some(_))) => Ok(()),
        made => made.map(drop),
    }
}
