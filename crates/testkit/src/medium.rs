//! Media that fail: a process killed after every call, the power gone with anything unsynced lost, and a disk that
//! refuses a call.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ocistow_layout::medium::{Disk, Medium, OpenDir};
use rustix::io::Errno;

/// The real disk for so many changing calls; after that the process is as good as killed: nothing it
/// does has an effect any more, cleaning up included.
pub struct Counting {
    left: AtomicUsize,
    made: AtomicUsize,
}

impl Counting {
    /// Lets `calls` calls through.
    pub fn new(calls: usize) -> Self {
        Self { left: AtomicUsize::new(calls), made: AtomicUsize::new(0) }
    }

    /// How many calls had an effect.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    fn alive(&self) -> io::Result<Disk> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| io::Error::other("killed here by the test"))?;
        self.made.fetch_add(1, Ordering::SeqCst);
        Ok(Disk)
    }
}

impl Medium for Counting {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.alive()?.make_dir(path)
    }
    fn create(&self, path: &Path) -> io::Result<File> {
        self.alive()?.create(path)
    }
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.alive()?.write_at(file, bytes, at)
    }
    fn share(&self, from: &File, to: &File) -> io::Result<()> {
        self.alive()?.share(from, to)
    }
    fn dress(&self, file: &File, like: &fs::Metadata) -> io::Result<()> {
        self.alive()?.dress(file, like)
    }
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        self.alive()?.set_mode(file, mode)
    }
    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.alive()?.symlink(target, path)
    }
    fn sync_file(&self, _: &File) -> io::Result<()> {
        self.alive().map(drop)
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.alive().map(drop)
    }
    fn sync_all(&self, _: &File) -> io::Result<()> {
        self.alive().map(drop)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.alive()?.link(from, to)
    }
    fn link_open(&self, from: &File, to: &Path) -> io::Result<()> {
        self.alive()?.link_open(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.alive()?.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.alive()?.rename_new(from, to)
    }
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.alive()?.exchange(one, other)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.alive()?.unlink(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.alive()?.remove_dir(path)
    }
    fn create_in(&self, dir: &OpenDir, name: &OsStr) -> io::Result<File> {
        self.alive()?.create_in(dir, name)
    }
    fn link_in(&self, from: (&OpenDir, &OsStr), to: (&OpenDir, &OsStr)) -> io::Result<()> {
        self.alive()?.link_in(from, to)
    }
    fn unlink_in(&self, dir: &OpenDir, name: &OsStr) -> io::Result<()> {
        self.alive()?.unlink_in(dir, name)
    }
}

/// The real disk, but that some calls fail: which, and with what error, is decided by their number and name.
/// Syncing costs nothing. Whoever cleans up after a failure works on a disk that goes on.
pub struct Failing<F> {
    made: AtomicUsize,
    fails: F,
}

impl<F: Fn(usize, &str) -> Option<Errno> + Send + Sync> Failing<F> {
    /// `fails` is given how many calls there were before, and the call's name.
    pub fn new(fails: F) -> Self {
        Self { made: AtomicUsize::new(0), fails }
    }

    /// How many calls there were.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    fn call(&self, name: &str) -> io::Result<Disk> {
        let before = self.made.fetch_add(1, Ordering::SeqCst);
        (self.fails)(before, name).map_or(Ok(Disk), |errno| Err(errno.into()))
    }
}

impl<F: Fn(usize, &str) -> Option<Errno> + Send + Sync> Medium for Failing<F> {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.call("make_dir")?.make_dir(path)
    }
    fn create(&self, path: &Path) -> io::Result<File> {
        self.call("create")?.create(path)
    }
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.call("write_at")?.write_at(file, bytes, at)
    }
    fn share(&self, from: &File, to: &File) -> io::Result<()> {
        self.call("share")?.share(from, to)
    }
    fn dress(&self, file: &File, like: &fs::Metadata) -> io::Result<()> {
        self.call("dress")?.dress(file, like)
    }
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        self.call("set_mode")?.set_mode(file, mode)
    }
    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.call("symlink")?.symlink(target, path)
    }
    fn sync_file(&self, _: &File) -> io::Result<()> {
        self.call("sync_file").map(drop)
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.call("sync_dir").map(drop)
    }
    fn sync_all(&self, _: &File) -> io::Result<()> {
        self.call("sync_all").map(drop)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("link")?.link(from, to)
    }
    fn link_open(&self, from: &File, to: &Path) -> io::Result<()> {
        self.call("link_open")?.link_open(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename")?.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename_new")?.rename_new(from, to)
    }
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.call("exchange")?.exchange(one, other)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.call("unlink")?.unlink(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call("remove_dir")?.remove_dir(path)
    }
    fn create_in(&self, dir: &OpenDir, name: &OsStr) -> io::Result<File> {
        self.call("create")?.create_in(dir, name)
    }
    fn link_in(&self, from: (&OpenDir, &OsStr), to: (&OpenDir, &OsStr)) -> io::Result<()> {
        self.call("link")?.link_in(from, to)
    }
    fn unlink_in(&self, dir: &OpenDir, name: &OsStr) -> io::Result<()> {
        self.call("unlink")?.unlink_in(dir, name)
    }
}

/// A file or a directory, whatever it is called.
type Node = usize;

/// One thing a call did.
#[derive(Clone, Debug)]
enum Deed {
    /// Bytes went into a file.
    Wrote(Node, u64, Vec<u8>),
    /// Names in directories changed, all of them or none: (directory, name, what it stands for).
    Named(Vec<(Node, OsString, Option<Node>)>),
    /// What was written to a file before is on the disk.
    SyncedFile(Node),
    /// What was named in a directory before is on the disk.
    SyncedDir(Node),
    /// All of it is.
    SyncedAll,
}

/// The real disk, with a record of every call below one directory, from which the states can be made that
/// a loss of power may leave behind.
pub struct Recording {
    base: PathBuf,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    /// The files of the start and their content.
    start: Vec<(Node, Vec<u8>)>,
    /// Directories: names as they are now.
    dirs: BTreeMap<Node, BTreeMap<OsString, Node>>,
    /// Directories as they were at the start.
    start_dirs: BTreeMap<Node, BTreeMap<OsString, Node>>,
    /// Symbolic links and where they lead.
    links: BTreeMap<Node, PathBuf>,
    /// Open and named files by (device, inode).
    inodes: BTreeMap<(u64, u64), Node>,
    deeds: Vec<Deed>,
    nodes: usize,
}

const ROOT: Node = 0;

impl Recording {
    /// Starts recording what happens below `base`, which is taken as it is now, all of it on the disk.
    pub fn new(base: &Path) -> Self {
        let base = base.canonicalize().expect("the directory to record is there");
        let mut log = Log { nodes: 1, ..Log::default() };
        log.take(&base, ROOT);
        log.start_dirs = log.dirs.clone();
        Self { base, log: Mutex::new(log) }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directory's node and the name in it.
    fn place(&self, log: &Log, path: &Path) -> (Node, OsString) {
        let parent = path.parent().expect("a path that is changed has a parent");
        let name = path.file_name().expect("a path that is changed has a name").to_owned();
        (self.find(log, parent).expect("the parent is there"), name)
    }

    fn find(&self, log: &Log, path: &Path) -> Option<Node> {
        let real = path.canonicalize().ok()?;
        let inside = real.strip_prefix(&self.base).expect("only what is below the base is changed");
        let mut node = ROOT;
        for name in inside {
            node = *log.dirs.get(&node)?.get(name)?;
        }
        Some(node)
    }

    /// How many points there are at which the power may go.
    pub fn points(&self) -> usize {
        self.log().deeds.len() + 1
    }

    /// Makes, in the empty directory `into`, a state the disk may be in if the power goes after `point` deeds: whatever
    /// was synced is there; of the rest, each deed is there if `keep` says so.
    pub fn after_power_loss(&self, point: usize, into: &Path, keep: &mut dyn FnMut() -> bool) {
        let log = self.log();
        let deeds = &log.deeds[..point];
        let synced = |at: usize| {
            let later = &deeds[at + 1..];
            match &deeds[at] {
                Deed::Wrote(node, ..) => later
                    .iter()
                    .any(|deed| matches!(deed, Deed::SyncedAll) || matches!(deed, Deed::SyncedFile(n) if n == node)),
                Deed::Named(changes) => {
                    // A change of two directories is one step: it is on the disk once one that gained a name is.
                    let gained: BTreeSet<Node> = changes.iter().filter(|c| c.2.is_some()).map(|c| c.0).collect();
                    let all: BTreeSet<Node> = changes.iter().map(|c| c.0).collect();
                    let of = if gained.is_empty() { all } else { gained };
                    later.iter().any(|deed| match deed {
                        Deed::SyncedAll => true,
                        Deed::SyncedDir(dir) => of.contains(dir),
                        _ => false,
                    })
                }
                _ => true,
            }
        };
        let mut files: BTreeMap<Node, Vec<u8>> = log.start.iter().cloned().collect();
        let mut dirs = log.start_dirs.clone();
        for (at, deed) in deeds.iter().enumerate() {
            if !synced(at) && !keep() {
                continue;
            }
            match deed {
                Deed::Wrote(node, offset, bytes) => {
                    let file = files.entry(*node).or_default();
                    let offset = usize::try_from(*offset).expect("tests write small files");
                    file.resize(file.len().max(offset + bytes.len()), 0);
                    file[offset..offset + bytes.len()].copy_from_slice(bytes);
                }
                Deed::Named(changes) => {
                    for (dir, name, node) in changes {
                        let names = dirs.entry(*dir).or_default();
                        match node {
                            Some(node) => drop(names.insert(name.clone(), *node)),
                            None => drop(names.remove(name)),
                        }
                    }
                }
                _ => {}
            }
        }
        let is_dir = |node: &Node| log.dirs.contains_key(node) || log.start_dirs.contains_key(node);
        let mut todo = vec![(ROOT, into.to_owned())];
        while let Some((dir, at)) = todo.pop() {
            for (name, node) in dirs.get(&dir).into_iter().flatten() {
                let path = at.join(name);
                if is_dir(node) {
                    fs::create_dir(&path).expect("the test can write");
                    todo.push((*node, path));
                } else if let Some(target) = log.links.get(node) {
                    std::os::unix::fs::symlink(target, &path).expect("the test can write");
                } else {
                    fs::write(&path, files.get(node).map_or(&[][..], Vec::as_slice)).expect("the test can write");
                }
            }
        }
    }
}

impl Log {
    fn new_node(&mut self) -> Node {
        self.nodes += 1;
        self.nodes - 1
    }

    fn take(&mut self, dir: &Path, node: Node) {
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(dir).expect("the directory to record can be read") {
            let entry = entry.expect("the directory to record can be read");
            let meta = fs::symlink_metadata(entry.path()).expect("what was listed is there");
            let child = self.new_node();
            names.insert(entry.file_name(), child);
            if meta.is_dir() {
                self.take(&entry.path(), child);
            } else {
                self.inodes.insert((meta.dev(), meta.ino()), child);
                self.start.push((child, fs::read(entry.path()).expect("what was listed can be read")));
            }
        }
        self.dirs.insert(node, names);
    }

    fn named(&mut self, changes: Vec<(Node, OsString, Option<Node>)>) {
        for (dir, name, node) in &changes {
            let names = self.dirs.entry(*dir).or_default();
            match node {
                Some(node) => drop(names.insert(name.clone(), *node)),
                None => drop(names.remove(name)),
            }
        }
        self.deeds.push(Deed::Named(changes));
    }

    fn at(&self, place: &(Node, OsString)) -> Option<Node> {
        self.dirs.get(&place.0)?.get(&place.1).copied()
    }

    fn of(&self, file: &File) -> Option<Node> {
        let meta = file.metadata().ok()?;
        self.inodes.get(&(meta.dev(), meta.ino())).copied()
    }
}

impl Medium for Recording {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut log = self.log();
        Disk.make_dir(path)?;
        let (dir, name) = self.place(&log, path);
        let node = log.new_node();
        log.dirs.insert(node, BTreeMap::new());
        log.named(vec![(dir, name, Some(node))]);
        Ok(())
    }
    fn create(&self, path: &Path) -> io::Result<File> {
        let mut log = self.log();
        let file = Disk.create(path)?;
        let (dir, name) = self.place(&log, path);
        let node = log.new_node();
        let meta = file.metadata()?;
        log.inodes.insert((meta.dev(), meta.ino()), node);
        log.named(vec![(dir, name, Some(node))]);
        Ok(file)
    }
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut log = self.log();
        Disk.write_at(file, bytes, at)?;
        let node = log.of(file).expect("only files made here are written to");
        log.deeds.push(Deed::Wrote(node, at, bytes.to_vec()));
        Ok(())
    }
    fn share(&self, _: &File, _: &File) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn dress(&self, file: &File, like: &fs::Metadata) -> io::Result<()> {
        Disk.dress(file, like)
    }
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        Disk.set_mode(file, mode)
    }
    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        let mut log = self.log();
        Disk.symlink(target, path)?;
        let (dir, name) = self.place(&log, path);
        let node = log.new_node();
        log.links.insert(node, target.to_owned());
        log.named(vec![(dir, name, Some(node))]);
        Ok(())
    }
    fn sync_file(&self, file: &File) -> io::Result<()> {
        let mut log = self.log();
        if let Some(node) = log.of(file) {
            log.deeds.push(Deed::SyncedFile(node));
        }
        Ok(())
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut log = self.log();
        let real = path.canonicalize()?;
        if real.starts_with(&self.base) {
            let node = self.find(&log, path).expect("a directory that is synced is there");
            log.deeds.push(Deed::SyncedDir(node));
        }
        Ok(())
    }
    fn sync_all(&self, _: &File) -> io::Result<()> {
        self.log().deeds.push(Deed::SyncedAll);
        Ok(())
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut log = self.log();
        let source = self.place(&log, from);
        Disk.link(from, to)?;
        let (dir, name) = self.place(&log, to);
        let node = log.at(&source);
        log.named(vec![(dir, name, node)]);
        Ok(())
    }
    fn link_open(&self, _: &File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut log = self.log();
        let source = self.place(&log, from);
        Disk.rename(from, to)?;
        let (dir, name) = self.place(&log, to);
        let node = log.at(&source);
        log.named(vec![(source.0, source.1, None), (dir, name, node)]);
        Ok(())
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        if fs::symlink_metadata(to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.rename(from, to)
    }
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        let mut log = self.log();
        let (a, b) = (self.place(&log, one), self.place(&log, other));
        Disk.exchange(one, other)?;
        let (was_a, was_b) = (log.at(&a), log.at(&b));
        log.named(vec![(a.0, a.1, was_b), (b.0, b.1, was_a)]);
        Ok(())
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut log = self.log();
        let (dir, name) = self.place(&log, path);
        Disk.unlink(path)?;
        log.named(vec![(dir, name, None)]);
        Ok(())
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut log = self.log();
        let (dir, name) = self.place(&log, path);
        Disk.remove_dir(path)?;
        log.named(vec![(dir, name, None)]);
        Ok(())
    }
}

/// The real disk, but that somebody is told of every call before it is made, by its name and paths, and may do
/// something or refuse it.
pub struct Told<F>(pub F);

impl<F: Fn(&str, &[&Path]) -> io::Result<()> + Send + Sync> Told<F> {
    fn call(&self, name: &str, paths: &[&Path]) -> io::Result<Disk> {
        (self.0)(name, paths).map(|()| Disk)
    }
}

impl<F: Fn(&str, &[&Path]) -> io::Result<()> + Send + Sync> Medium for Told<F> {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.call("make_dir", &[path])?.make_dir(path)
    }
    fn create(&self, path: &Path) -> io::Result<File> {
        self.call("create", &[path])?.create(path)
    }
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.call("write_at", &[])?.write_at(file, bytes, at)
    }
    fn share(&self, from: &File, to: &File) -> io::Result<()> {
        self.call("share", &[])?.share(from, to)
    }
    fn dress(&self, file: &File, like: &fs::Metadata) -> io::Result<()> {
        self.call("dress", &[])?.dress(file, like)
    }
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        self.call("set_mode", &[])?.set_mode(file, mode)
    }
    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.call("symlink", &[target, path])?.symlink(target, path)
    }
    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.call("sync_file", &[])?.sync_file(file)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call("sync_dir", &[path])?.sync_dir(path)
    }
    fn sync_all(&self, file: &File) -> io::Result<()> {
        self.call("sync_all", &[])?.sync_all(file)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("link", &[from, to])?.link(from, to)
    }
    fn link_open(&self, from: &File, to: &Path) -> io::Result<()> {
        self.call("link_open", &[to])?.link_open(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename", &[from, to])?.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call("rename_new", &[from, to])?.rename_new(from, to)
    }
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.call("exchange", &[one, other])?.exchange(one, other)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.call("unlink", &[path])?.unlink(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call("remove_dir", &[path])?.remove_dir(path)
    }
    fn create_in(&self, dir: &OpenDir, name: &OsStr) -> io::Result<File> {
        self.call("create", &[&dir.path().join(name)])?.create_in(dir, name)
    }
    fn link_in(&self, from: (&OpenDir, &OsStr), to: (&OpenDir, &OsStr)) -> io::Result<()> {
        self.call("link", &[&from.0.path().join(from.1), &to.0.path().join(to.1)])?.link_in(from, to)
    }
    fn unlink_in(&self, dir: &OpenDir, name: &OsStr) -> io::Result<()> {
        self.call("unlink", &[&dir.path().join(name)])?.unlink_in(dir, name)
    }
}
