//! Everything a layout in a directory holds: what lies in its place, and what a deletion that was interrupted left
//! in the trash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use crate::digest::Digest;
use crate::directory::{Directory, OURS, asked, children, is_dir, is_directory, leads_nowhere};
use crate::error::{Error, Kind, Result};
use crate::index::IndexFile;
use crate::place::open;
use crate::source::{Access, Blob, Content, Found, Marker, Source};

/// Where what goes is put first, in our own directory: each blob as it lay below `blobs`.
const TRASH: &str = "trash";
/// The same where blobs lie on another file system than that: in `blobs`, or in the directory of an algorithm.
pub(crate) const TRASH_BESIDE: &str = ".ocistow-trash";

/// A layout in a directory, looked at together with its trash: a blob that lies there may be needed again.
pub struct Holdings {
    directory: Directory,
    /// Where what lies in the trash lies.
    pub(crate) trash: BTreeMap<Digest, PathBuf>,
}

/// A blob as it lies in the layout or in its trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lying {
    /// The blob, and the length of its file.
    pub blob: Blob,
    /// Why it stays, whether anything reaches it or not.
    pub spared: Option<Spared>,
}

/// Why a blob is not deleted though nothing reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spared {
    /// It is younger than the grace: whoever wrote it may be about to name it.
    Young,
    /// A link among the blobs leads to it.
    Linked,
}

/// A moment on the clock of a file system, in nanoseconds.
pub(crate) type Moment = i128;

impl Holdings {
    /// Opens the layout in the directory `path`, as [`Directory::open`] does.
    pub fn open(path: &Path) -> Result<Self> {
        let directory = Directory::open(path)?;
        let mut trash = BTreeMap::new();
        let mut add = |algorithm: &Path, dir: &Path| {
            let Some(algorithm) = algorithm.file_name().and_then(|name| name.to_str()) else { return Ok(()) };
            for path in children(dir)? {
                let name = path.file_name().and_then(|name| name.to_str());
                let digest = name.and_then(|name| format!("{algorithm}:{name}").parse().ok());
                if let Some(digest) = digest
                    && fits(&path)?
                {
                    trash.insert(digest, path);
                }
            }
            Ok(())
        };
        for place in places(directory.root()) {
            children(&place)?.iter().try_for_each(|dir| add(dir, dir))?;
        }
        for dir in children(&directory.root().join("blobs"))? {
            add(&dir, &dir.join(TRASH_BESIDE))?;
        }
        Ok(Self { directory, trash })
    }

    /// Every blob, in digest order: what lies in its place, and what lies in the trash only. The age is told by the
    /// ctime and the clock of this machine; nothing is young with a grace of zero. What is in the trash was old when
    /// it was put there. What is named as a blob and is no file of its own is left out. Failed where `blobs`
    /// or the directory of an algorithm is a link.
    pub fn lying(&self, grace: Duration) -> Result<Vec<Lying>> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.lying_by(grace, &|_| Ok(Moment::try_from(now.as_nanos()).unwrap_or(Moment::MAX)))
    }

    /// The same by the clocks of the file systems on which blobs of each algorithm lie.
    pub(crate) fn lying_by(&self, grace: Duration, clock: &dyn Fn(&str) -> Result<Moment>) -> Result<Vec<Lying>> {
        let mut there: BTreeMap<Digest, Lying> = BTreeMap::new();
        let mut links = BTreeSet::new();
        let blobs = self.directory.root().join("blobs");
        // A link is refused, here and below.
        is_dir(&blobs)?;
        for dir in children(&blobs)? {
            let Some(algorithm) = dir.file_name().and_then(|name| name.to_str()) else { continue };
            // Whatever else lies here holds no blobs.
            if algorithm.starts_with('.') || !is_directory(&dir)? || !is_dir(&dir)? {
                continue;
            }
            let mut since = None;
            for entry in fs::read_dir(&dir).map_err(|why| Error::io("list", &dir, why))? {
                let entry = entry.map_err(|why| Error::io("list", &dir, why))?;
                let name = entry.file_name();
                let digest = name.to_str().and_then(|name| format!("{algorithm}:{name}").parse::<Digest>().ok());
                let meta = match entry.metadata() {
                    Ok(meta) => meta,
                    Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
                    Err(why) => return Err(Error::io("look at", entry.path(), why)),
                };
                if meta.is_symlink() {
                    match entry.path().canonicalize() {
                        Ok(real) => drop(links.insert(real)),
                        Err(why) if leads_nowhere(&why) => {}
                        Err(why) => return Err(Error::io("look at", entry.path(), why)),
                    }
                }
                let Some(digest) = digest.filter(|_| meta.is_file()) else { continue };
                let young = !grace.is_zero() && {
                    let since = match since {
                        Some(since) => since,
                        None => *since.insert(before(clock(algorithm)?, grace)),
                    };
                    // What is from the future is young too: a clock that was put back says nothing of its age.
                    changed(&meta) > since
                };
                let blob = Blob { digest: digest.clone(), size: meta.len() };
                there.insert(digest, Lying { blob, spared: young.then_some(Spared::Young) });
            }
        }
        for digest in links.iter().filter_map(|link| named(&blobs, link)) {
            if let Some(lying) = there.get_mut(&digest) {
                lying.spared = Some(Spared::Linked);
            }
        }
        for (digest, path) in &self.trash {
            if !there.contains_key(digest)
                && let Ok(meta) = fs::symlink_metadata(path)
            {
                let blob = Blob { digest: digest.clone(), size: meta.len() };
                there.insert(digest.clone(), Lying { blob, spared: None });
            }
        }
        Ok(there.into_values().collect())
    }

    /// Where a blob lies if it is not in the trash.
    pub(crate) fn place(&self, digest: &Digest) -> PathBuf {
        self.directory.root().join(digest.path())
    }
}

/// When a file was last changed, on its file system's clock.
pub(crate) fn changed(meta: &Metadata) -> Moment {
    Moment::from(meta.ctime()) * 1_000_000_000 + Moment::from(meta.ctime_nsec())
}

fn before(now: Moment, grace: Duration) -> Moment {
    now.saturating_sub(Moment::try_from(grace.as_nanos()).unwrap_or(Moment::MAX))
}

/// The directories of the trash in which each algorithm has its own.
fn places(root: &Path) -> [PathBuf; 2] {
    [root.join(OURS).join(TRASH), root.join("blobs").join(TRASH_BESIDE)]
}

/// Where a blob's name is kept in the trash, the best first: each of them on another file system, if there are
/// several. The directories that have to be there, and the name.
pub(crate) fn in_trash(root: &Path, digest: &Digest) -> [(Vec<PathBuf>, PathBuf); 3] {
    let name = digest.encoded();
    let [usual, beside] = places(root);
    let own = root.join("blobs").join(digest.algorithm()).join(TRASH_BESIDE);
    let below = |dir: PathBuf| {
        let sub = dir.join(digest.algorithm());
        (vec![dir, sub.clone()], sub.join(&name))
    };
    [below(usual), below(beside), (vec![own.clone()], own.join(&name))]
}

/// The blob that lies at a path below `blobs`.
fn named(blobs: &Path, path: &Path) -> Option<Digest> {
    let (algorithm, encoded) = path.strip_prefix(blobs).ok()?.to_str()?.split_once('/')?;
    format!("{algorithm}:{encoded}").parse().ok()
}

/// Whether something can go back to its place: a blob that was a link is one again. Failed where the disk does not say.
fn fits(path: &Path) -> Result<bool> {
    Ok(asked(path, fs::symlink_metadata(path))?.is_some_and(|meta| meta.is_file() || meta.is_symlink()))
}

impl Source for Holdings {
    fn location(&self) -> &str {
        self.directory.location()
    }

    fn marker(&self) -> Marker {
        self.directory.marker()
    }

    fn index(&self) -> Result<IndexFile> {
        self.directory.index()
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        match (self.directory.size(digest)?, self.trash.get(digest)) {
            (None, Some(path)) => Ok(fs::symlink_metadata(path).ok().filter(Metadata::is_file).map(|meta| meta.len())),
            (found, _) => Ok(found),
        }
    }

    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        self.directory.names(f)?;
        for digest in self.trash.keys() {
            if self.directory.size(digest)?.is_none() {
                f(digest.clone());
            }
        }
        Ok(())
    }

    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        match (self.directory.open(digest)?, self.trash.get(digest)) {
            (None, Some(path)) => {
                let file =
                    open(path, OFlags::RDONLY).map_err(|why| Error::io("open", path, why).of_kind(Kind::Failed))?;
                let meta = file.metadata().map_err(|why| Error::io("look at", path, why))?;
                Ok(Some(Content::Owned(file, meta.len())))
            }
            (found, _) => Ok(found),
        }
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        self.directory.survey(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_file_system_tells_what_is_young() {
        const HOUR: Moment = 3_600_000_000_000;
        let dir = tempfile::tempdir().unwrap();
        crate::transaction::init(dir.path(), crate::transaction::Options::default()).unwrap();
        let digest = Digest::of(b"hello");
        fs::write(dir.path().join(digest.path()), "hello").unwrap();
        let written = changed(&fs::metadata(dir.path().join(digest.path())).unwrap());
        let holdings = Holdings::open(dir.path()).unwrap();
        let young = |now: Moment, grace: Duration| {
            let lying = holdings.lying_by(grace, &|_| Ok(now)).unwrap();
            lying[0].spared == Some(Spared::Young)
        };
        let grace = Duration::from_secs(3600);
        assert!(young(written + HOUR - 1, grace) && !young(written + HOUR, grace));
        // Clocks are put back; what seems to come from the future was not there long ago for all one can tell.
        assert!(young(written - 48 * HOUR, grace) && young(0, grace));
        assert!(!young(written - 48 * HOUR, Duration::ZERO), "no grace is none");
    }
}
