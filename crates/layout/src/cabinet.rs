//! A cabinet: files that somebody keeps to know again what he found out about a layout.
//!
//! What lies in it is a cache: it can be deleted at any time, it is never carried along, and whoever reads it must
//! take it for an enemy's. So nothing in it is ever synced. A cabinet lies in the layout, `.ocistow/graph/`, where
//! that is a layout we have written to; else, and for archives and read-only media, in a cache directory of the
//! user's.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use crate::digest::Digest;
use crate::directory::{OURS, is_dir};
use crate::error::{Error, Kind, Result};
use crate::medium::Medium;
use crate::place::{open, resolved};
use crate::stamp::Stamp;
use crate::transaction::unique;

/// How long a cabinet in the cache directory stays that nobody writes to.
pub const KEPT_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A place for kept files.
#[derive(Clone)]
pub struct Cabinet<'m> {
    dir: PathBuf,
    /// Directories that are made if they are not there, outermost first.
    made: Vec<PathBuf>,
    medium: &'m dyn Medium,
}

/// A kept file, open.
#[derive(Debug)]
pub struct Drawer {
    file: File,
    len: u64,
}

/// A kept file being written, from front to back.
pub struct Filling<'c> {
    file: File,
    at: u64,
    medium: &'c dyn Medium,
}

/// Nobody else writes to the cabinet while this is there.
#[derive(Debug)]
pub struct Alone {
    _file: File,
}

/// What came of taking a cabinet for writing.
#[derive(Debug)]
pub enum Taking {
    /// It is ours.
    Alone(Alone),
    /// Somebody else has it.
    Busy,
    /// Nothing can be written there.
    Not,
}

impl<'m> Cabinet<'m> {
    /// The cabinets there may be for the layout or archive at `path`, the best first: its own, then one in `cache`.
    /// Nothing is made yet.
    pub fn of(path: &Path, cache: Option<&Path>, medium: &'m dyn Medium) -> Vec<Self> {
        let Ok(real) = path.canonicalize() else { return Vec::new() };
        let mut cabinets = Vec::new();
        let ours = real.join(OURS);
        if is_dir(&ours).is_ok_and(|is| is) {
            let dir = ours.join("graph");
            cabinets.push(Self { made: vec![dir.clone()], dir, medium });
        }
        // A user may have his caches behind a link.
        let cache = cache.and_then(|cache| cache.canonicalize().or_else(|_| resolved(cache)).ok());
        if let Some(cache) = cache {
            let name = Digest::of(real.as_os_str().as_encoded_bytes()).encoded();
            let own = cache.join("ocistow");
            let dir = own.join(name);
            cabinets.push(Self { made: vec![cache, own, dir.clone()], dir, medium });
        }
        cabinets
    }

    /// Opens a kept file; `None` where there is none that can be read.
    pub fn open(&self, name: &str) -> Option<Drawer> {
        // The last directory is not followed either: a layout of a stranger's may have anything there.
        if !is_dir(&self.dir).is_ok_and(|is| is) {
            return None;
        }
        let file = open(&self.dir.join(name), OFlags::RDONLY).ok()?;
        Some(Drawer { len: file.metadata().ok()?.len(), file })
    }

    /// Takes the cabinet for writing, made if need be. Never waits.
    pub fn take(&self) -> Taking {
        match self.lock_file() {
            None => Taking::Not,
            Some(file) => match file.try_lock() {
                Ok(()) => Taking::Alone(Alone { _file: file }),
                Err(TryLockError::WouldBlock) => Taking::Busy,
                Err(TryLockError::Error(_)) => Taking::Not,
            },
        }
    }

    fn lock_file(&self) -> Option<File> {
        for dir in &self.made {
            if !is_dir(dir).ok()? {
                match self.medium.make_dir(dir) {
                    Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return None,
                    Ok(()) if *dir == self.dir => self.forget_old(),
                    _ => {}
                }
            }
        }
        let path = self.dir.join("lock");
        let open = || open(&path, OFlags::RDWR);
        match open() {
            Err(why) if why.kind() == io::ErrorKind::NotFound => match self.medium.create(&path) {
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => open().ok(),
                made => made.ok(),
            },
            opened => opened.ok(),
        }
    }

    /// Takes cabinets out of the cache directory that nobody has written to for long: what they were about may be gone.
    fn forget_old(&self) {
        let Some(own) = self.made.get(1).filter(|_| self.made.len() == 3) else { return };
        for cabinet in fs::read_dir(own).into_iter().flatten().flatten() {
            let (name, path) = (cabinet.file_name(), cabinet.path());
            let ours = name.len() == 64 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit);
            let written =
                fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_dir).and_then(|meta| meta.modified().ok());
            let old = written.is_some_and(|at| at.elapsed().is_ok_and(|age| age > KEPT_FOR));
            if ours && old {
                for file in fs::read_dir(&path).into_iter().flatten().flatten() {
                    let _ = self.medium.unlink(&file.path());
                }
                let _ = self.medium.remove_dir(&path);
            }
        }
    }

    /// Writes a kept file; it gets its name, in the place of what had it, when `fill` is done. On `Err` there is
    /// what was there before.
    pub fn put(
        &self,
        _alone: &Alone,
        name: &str,
        fill: &mut dyn FnMut(&mut Filling<'_>) -> io::Result<()>,
    ) -> Result<()> {
        let path = self.dir.join(name);
        let failed = |why| Error::io("write", &path, why).of_kind(Kind::Failed);
        let new = self.dir.join(format!("{name}-{}.tmp", unique()));
        let mut filling = Filling { file: self.medium.create(&new).map_err(failed)?, at: 0, medium: self.medium };
        let put = fill(&mut filling).and_then(|()| self.medium.rename(&new, &path));
        put.map_err(|why| {
            drop(self.medium.unlink(&new));
            failed(why)
        })
    }

    /// A name that nothing here has.
    pub fn fresh(&self, stem: &str) -> String {
        format!("{stem}-{}", unique())
    }

    /// Takes kept files away, but those that `keep` names.
    pub fn clear(&self, _alone: &Alone, keep: &dyn Fn(&str) -> bool) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name != "lock" && name.to_str().is_some_and(|name| !keep(name)) {
                // What cannot be taken away is in nobody's way.
                let _ = self.medium.unlink(&entry.path());
            }
        }
    }

    /// What a file is like that is changed just now: the time by the clock of the cabinet's file system.
    pub fn now(&self, _alone: &Alone) -> Option<Stamp> {
        let path = self.dir.join(format!("now-{}.tmp", unique()));
        let file = self.medium.create(&path).ok()?;
        let now = Stamp::of(&file);
        let _ = self.medium.unlink(&path);
        now.ok()
    }
}

impl Drawer {
    /// Its length.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buffer` from `at`. `Err` where it ends before that.
    pub fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }

    /// All of it; `None` where it is longer than `limit`, or cannot be read.
    pub fn all(&self, limit: u64) -> Option<Vec<u8>> {
        let len = usize::try_from(self.len).ok().filter(|_| self.len <= limit)?;
        let mut bytes = vec![0; len];
        self.read(&mut bytes, 0).ok().map(|()| bytes)
    }
}

impl Filling<'_> {
    /// Writes what comes next.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.medium.write_at(&self.file, bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// How much was written.
    pub fn len(&self) -> u64 {
        self.at
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.at == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::Disk;

    fn alone(cabinet: &Cabinet<'_>) -> Alone {
        match cabinet.take() {
            Taking::Alone(alone) => alone,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_layout_of_others_has_its_cabinet_in_the_cache_and_nothing_is_made_by_looking() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, cache) = (dir.path().join("layout"), dir.path().join("cache"));
        fs::create_dir(&layout).unwrap();
        let cabinets = Cabinet::of(&layout, Some(&cache), &Disk);
        assert_eq!(cabinets.len(), 1);
        assert!(cabinets[0].open("head").is_none() && !cache.exists());
        let held = alone(&cabinets[0]);
        assert!(matches!(cabinets[0].take(), Taking::Busy));
        cabinets[0].put(&held, "head", &mut |filling| filling.write(b"x")).unwrap();
        assert_eq!(cabinets[0].open("head").unwrap().all(10).unwrap(), b"x");
        assert!(cabinets[0].open("head").unwrap().all(0).is_none());
        assert_eq!(fs::read_dir(&layout).unwrap().count(), 0);
    }

    #[test]
    fn one_of_ours_has_its_own_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("layout");
        fs::create_dir_all(layout.join(OURS)).unwrap();
        let cabinet = &Cabinet::of(&layout, None, &Disk)[0];
        std::os::unix::fs::symlink(dir.path(), layout.join(OURS).join("graph")).unwrap();
        assert!(matches!(cabinet.take(), Taking::Not));
        fs::remove_file(layout.join(OURS).join("graph")).unwrap();
        let held = alone(cabinet);
        fs::write(dir.path().join("secret"), b"x").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), layout.join(OURS).join("graph/head")).unwrap();
        assert!(cabinet.open("head").is_none());
        cabinet.put(&held, "head", &mut |filling| filling.write(b"y")).unwrap();
        assert_eq!(fs::read(dir.path().join("secret")).unwrap(), b"x");
        cabinet.clear(&held, &|_| false);
        assert!(cabinet.open("head").is_none());
    }

    #[test]
    fn cabinets_that_nobody_writes_to_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, cache) = (dir.path().join("layout"), dir.path().join("cache"));
        fs::create_dir(&layout).unwrap();
        let old = cache.join("ocistow").join("a".repeat(64));
        let other = cache.join("ocistow").join("notes");
        for dir in [&old, &other] {
            fs::create_dir_all(dir).unwrap();
            fs::write(dir.join("head"), b"").unwrap();
            let long_ago = std::time::SystemTime::now() - KEPT_FOR - Duration::from_secs(60);
            File::open(dir).unwrap().set_modified(long_ago).unwrap();
        }
        drop(alone(&Cabinet::of(&layout, Some(&cache), &Disk)[0]));
        assert!(!old.exists() && other.exists());
    }
}
