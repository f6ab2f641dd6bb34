//! The three locks of a layout in a directory, always taken in the order *gate*, *content*, *index*.
//!
//! A writer holds *content* shared for its whole life and *gate* shared only while taking it; whoever
//! deletes takes *gate* exclusively until it has *content* exclusively. So writers queue behind somebody
//! who deletes, and cannot starve him. But who already holds *content* may have to pass *gate* once more, to
//! write where he reads: so whoever deletes lets those at the gate pass now and then. The files are never
//! deleted while a layout exists.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::directory::{OURS, is_dir, is_there};
use crate::error::{Error, Kind, Result};
use crate::medium::Medium;
use crate::place::open;
use crate::source::Watch;

/// The lock files of one layout.
///
/// [`Transaction`](crate::transaction::Transaction) and [`Deletion`](crate::deletion::Deletion) take what they need
/// themselves. Who walks through a layout on his own, and wants to find at its end what was there at its start, holds
/// *content* meanwhile: others go on writing, and nobody deletes.
///
/// ```
/// use std::time::Duration;
/// use ocistow_layout::lock::Locks;
/// use ocistow_layout::{Kind, Unwatched, deletion::Deletion, transaction::{Options, init}};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("app");
/// init(&path, Options::default())?;
/// let held = Locks::found(&path, None, &Unwatched)?.map(|locks| locks.content()).transpose()?;
/// // … here one blob after the other can be read …
/// let impatient = Options { patience: Some(Duration::ZERO), ..Options::default() };
/// assert_eq!(Deletion::begin(&path, impatient).err().map(|why| why.kind()), Some(Kind::Failed));
/// drop(held);
/// Deletion::begin(&path, impatient)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Locks<'a> {
    layout: PathBuf,
    dir: PathBuf,
    /// How long to wait for somebody else; `None`: as long as it takes.
    patience: Option<Duration>,
    watch: &'a dyn Watch,
}

/// A lock that is held until this is dropped, and every clone of it.
#[derive(Debug, Clone)]
pub struct Held {
    /// `None` where the file system has no locks, which was said by a warning.
    file: Option<Arc<File>>,
}

impl Held {
    /// Nothing held: what is left after letting go.
    pub(crate) fn none() -> Self {
        Self { file: None }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Shared,
    Exclusive,
}

/// How long whoever deletes keeps the gate shut at first; every time he had to open it, twice as long. So
/// nobody waits for long who is waited for, and whoever deletes gets his turn once all work that was begun takes
/// less time than that.
const FIRST_TURN: Duration = Duration::from_secs(1);
/// How long he then lets others pass: longer than those who wait at the gate pause between two looks.
const OPEN: Duration = Duration::from_millis(100);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// What came of waiting for a lock.
enum Taken {
    Held(Held),
    /// The time allowed for this one was over.
    Late,
    /// The file system has no locks.
    NoLocks,
}

/// Somebody's waiting, over all the locks he needs.
struct Wait {
    started: Instant,
    said: bool,
}

impl Wait {
    fn begin() -> Self {
        Self { started: Instant::now(), said: false }
    }
}

impl<'a> Locks<'a> {
    /// The locks of the layout at `root`; makes their files where they are not there. Failed where a link leads
    /// to them.
    pub fn make(root: &Path, patience: Option<Duration>, medium: &dyn Medium, watch: &'a dyn Watch) -> Result<Self> {
        let real = root.canonicalize().map_err(|why| Error::io("open", root, why))?;
        let locks = Self { layout: root.to_owned(), dir: real.join(OURS).join("lock"), patience, watch };
        for dir in [real.join(OURS), locks.dir.clone()] {
            if !is_dir(&dir)? {
                there(&dir, medium.make_dir(&dir))?;
            }
        }
        for name in ["gate", "content", "index"] {
            let path = locks.dir.join(name);
            if !is_there(&path)? {
                there(&path, medium.create(&path).map(drop))?;
            }
        }
        Ok(locks)
    }

    /// The locks of a layout that is only looked at; `None` where they were never all made or
    /// cannot be opened for writing (read-only media). Failed where the disk, or the system, does not say.
    pub fn found(root: &Path, patience: Option<Duration>, watch: &'a dyn Watch) -> Result<Option<Self>> {
        let ours = match root.canonicalize() {
            Ok(real) => real.join(OURS),
            Err(why) if trouble(&why) => return Err(Error::io("open", root, why)),
            Err(_) => return Ok(None),
        };
        let locks = Self { layout: root.to_owned(), dir: ours.join("lock"), patience, watch };
        let real = [&ours, &locks.dir].into_iter().all(|dir| is_dir(dir).is_ok_and(|is| is));
        for name in ["gate", "content"].iter().filter(|_| real) {
            match locks.open(name) {
                Err(why) if trouble(&why) => return Err(Error::io("open", locks.dir.join(name), why)),
                Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
        Ok(real.then_some(locks))
    }

    /// For whoever writes, or walks through the content: nothing is deleted while this is held.
    pub fn content(&self) -> Result<Held> {
        let _gate = self.take("gate", Mode::Shared)?;
        self.take("content", Mode::Shared)
    }

    /// The same for somebody who may have it already: then he waits for nobody. Whoever deletes waits for him, so to
    /// wait at the gate would keep everybody until the gate is opened once more.
    pub fn content_beside(&self, held: Option<&Held>) -> Result<Held> {
        let own = |file: &Arc<File>| -> io::Result<bool> {
            let (is, ours) = (file.metadata()?, std::fs::metadata(self.dir.join("content"))?);
            Ok((is.dev(), is.ino()) == (ours.dev(), ours.ino()))
        };
        match held {
            Some(held) if held.file.as_ref().is_some_and(|file| own(file).unwrap_or(false)) => Ok(held.clone()),
            _ => self.content(),
        }
    }

    /// For whoever deletes: nobody else writes to the layout or walks through it while this is held. Failed where
    /// the file system has no locks.
    pub fn alone(&self) -> Result<Held> {
        let no_locks = || {
            let what = format!("could not delete from {}", self.layout.display());
            Error::new(Kind::Failed, what)
                .because("it is on a file system without locks: somebody may be writing to it")
        };
        let mut wait = Wait::begin();
        let mut turn = FIRST_TURN;
        loop {
            let Taken::Held(gate) = self.wait("gate", Mode::Exclusive, &mut wait, None)? else {
                return Err(no_locks());
            };
            match self.wait("content", Mode::Exclusive, &mut wait, Some(turn))? {
                Taken::Held(content) => return Ok(content),
                Taken::NoLocks => return Err(no_locks()),
                Taken::Late => {}
            }
            drop(gate);
            thread::sleep(OPEN);
            turn = turn.saturating_mul(2);
        }
    }

    /// For whoever replaces index.json: he holds [`content`](Self::content), or is [`alone`](Self::alone).
    pub fn index(&self, _content: &Held) -> Result<Held> {
        self.take("index", Mode::Exclusive)
    }

    /// The whole layout, if nobody else holds any of it just now.
    pub fn everything_now(&self) -> Option<[Held; 2]> {
        let now = |name| {
            let file = self.open(name).ok()?;
            file.try_lock().ok()?;
            // What was taken away between opening and locking keeps nobody out.
            (file.metadata().ok()?.nlink() > 0).then(|| Held { file: Some(Arc::new(file)) })
        };
        Some([now("gate")?, now("content")?])
    }

    fn open(&self, name: &str) -> io::Result<File> {
        open(&self.dir.join(name), OFlags::RDWR)
    }

    fn take(&self, name: &str, mode: Mode) -> Result<Held> {
        if let Taken::Held(held) = self.wait(name, mode, &mut Wait::begin(), None)? {
            return Ok(held);
        }
        self.watch.warn(&format!(
            "{} is on a file system without locks: nobody else may write to it now",
            self.layout.display()
        ));
        Ok(Held { file: None })
    }

    /// Waits for one lock, no longer than `turn`.
    fn wait(&self, name: &str, mode: Mode, wait: &mut Wait, turn: Option<Duration>) -> Result<Taken> {
        let path = self.dir.join(name);
        let failed = |why| Error::io("lock", &path, why).of_kind(Kind::Failed);
        let began = Instant::now();
        let mut pause = Duration::from_millis(1);
        let mut file = self.open(name).map_err(failed)?;
        loop {
            let tried = match mode {
                Mode::Shared => file.try_lock_shared(),
                Mode::Exclusive => file.try_lock(),
            };
            match tried {
                // A layout whose making failed is taken away with its locks: then this one is worth nothing.
                Ok(()) if file.metadata().map_err(failed)?.nlink() == 0 => {
                    file = self.open(name).map_err(failed)?;
                    continue;
                }
                Ok(()) => return Ok(Taken::Held(Held { file: Some(Arc::new(file)) })),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(why)) if no_locks(&why) => return Ok(Taken::NoLocks),
                Err(TryLockError::Error(why)) => return Err(failed(why)),
            }
            self.watch.go_on()?;
            let waited = wait.started.elapsed();
            if self.patience.is_some_and(|patience| waited >= patience) {
                let what = format!("could not get hold of {}", self.layout.display());
                return Err(Error::new(Kind::Failed, what).because("somebody else is still writing to it"));
            }
            if turn.is_some_and(|turn| began.elapsed() >= turn) {
                return Ok(Taken::Late);
            }
            if !wait.said && waited >= Duration::from_secs(1) {
                wait.said = true;
                self.watch.warn(&format!("waiting for another ocistow to be done with {}", self.layout.display()));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Locks what was just made beside a layout or archive, so that nobody takes it for litter. `false` where somebody did
/// before: he holds it, or it is `gone`. Where there are no locks, nothing is cleared.
pub(crate) fn keep(made: &File, gone: impl FnOnce() -> bool) -> bool {
    match made.try_lock() {
        Ok(()) => !gone(),
        Err(why) => !matches!(why, TryLockError::WouldBlock),
    }
}

fn there(path: &Path, made: io::Result<()>) -> Result<()> {
    match made {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::io("make", path, why).of_kind(Kind::Failed))
        }
        _ => Ok(()),
    }
}

/// Whether something went wrong that says nothing of what is there.
fn trouble(why: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = why.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::IO | Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

fn no_locks(why: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = why.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS)) || why.kind() == io::ErrorKind::Unsupported
}
