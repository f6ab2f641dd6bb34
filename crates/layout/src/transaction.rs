//! Writing to a layout in a directory: staged, made durable, then published all at once.
//!
//! Everything is first written to `.ocistow/staging/<id>/` and hashed. [`Transaction::publish`] waits until
//! the staged content is on the disk, gives each blob its name, and swaps index.json last, looking at
//! what came out: if somebody who does not know our locks changed it in between, the edits are made
//! again on that. Killed at any point, or with the power gone, the layout is in its old state or its new
//! one.

mod litter;
mod publish;
mod sink;
mod staging;
mod swap;
mod unnamed;
mod view;

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::digest::Digest;
use crate::directory::{Directory, OURS, children, is_dir, is_directory, is_there};
use crate::edit::Edited;
use crate::error::{Error, Kind, Result};
use crate::index::IndexFile;
use crate::lock::{Held, Locks};
use crate::medium::{Disk, Medium};
use crate::place::resolved;
use crate::source::{Blob, Marker, Source, Unwatched, Watch};
use crate::stamp::{Imprint, Stamp};
use crate::writeback::Writeback;
use litter::{clear, clear_litter, empty, litter, unmake, unmake_unless_used};
pub use sink::DirectorySink;
use staging::{Staged, Stagings};
use swap::Out;
pub use unnamed::Unnamed;
pub use view::View;

/// Up to this many staged files are synced one by one, more by syncing the file system.
pub const SYNC_EACH: usize = 64;
/// How much of the large blobs that were staged stays in memory once it was sent to the disk: what is imported
/// is often read next.
const KEPT: u64 = 256 << 20;
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

    /// How long the last step took to wait for the disk.
    pub fn barrier(&self) -> Duration {
        Duration::from_nanos(self.barrier.load(Ordering::Relaxed))
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
        // Where the path ends in a file, that is said by whoever opens it.
        Err(why) if why.kind() != io::ErrorKind::NotADirectory => Err(Error::io("look at", path, why)),
        _ => existing(path, false),
    }
}

/// Waits until index.json as it lies there is on the disk: for who finds nothing to change in what another writer wrote,
/// who may have been killed before he waited. On media that take no writes there is nothing to wait for.
pub fn settle(layout: &Directory, medium: &dyn Medium) -> Result<()> {
    match medium.sync_dir(layout.root()) {
        Err(why) if !matches!(why.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::InvalidInput) => {
            Err(Error::io("sync", layout.root(), why).of_kind(Kind::Failed))
        }
        _ => Ok(()),
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
                Err(Error::new(Kind::Integrity, what)
                    .because("it has an oci-layout but no index.json")
                    .hint("bring index.json back from a copy of the layout; nothing is taken from its blobs till then"))
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
            let real = path.canonicalize().map_err(|why| Error::io("open", path, why))?;
            let inside = children(&real)?;
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

/// Makes an empty layout at `path`; a layout that is there already stays as it is, also where it cannot be written to.
pub fn init(path: &Path, options: Options<'_>) -> Result<()> {
    let made = Transaction::begin(path, options).and_then(|mut transaction| transaction.publish(&[], &[]));
    match made {
        Err(why) if refused(&why) && matches!(existing(path, false), Ok(Some(_))) => Ok(()),
        made => made.map(drop),
    }
}
