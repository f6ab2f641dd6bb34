//! Places on a disk that no link leads to: a name, and the directory it is in, held open.
//!
//! Whoever can write to a layout, or to where an artifact is put, can put a link in the place of a directory between
//! our look at it and what we do there. So what is done is done in a directory that was opened without following any
//! link, from the root on; a path that a user gave is [`resolved`] once, before.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// A name in a directory that is held open.
pub(crate) struct Place<'p> {
    pub dir: OwnedFd,
    pub name: &'p OsStr,
}

impl<'p> Place<'p> {
    /// The place `path` stands for. An error where a directory on the way is a link.
    pub fn of(path: &'p Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            // The root of everything, or a path that does not end in a name: it is there.
            return Ok(Self { dir: directory(path, OFlags::PATH)?, name: OsStr::new(".") });
        };
        Ok(Self { dir: directory(parent, OFlags::PATH)?, name })
    }
}

/// The path with every link in it resolved, but for the last name, if that is one: what is there, if anything, is what
/// the path stands for.
pub(crate) fn resolved(path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent == Path::new("") => Ok(Path::new(".").canonicalize()?.join(name)),
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => path.canonicalize(),
    }
}

/// Opens a directory. An error where it is a link, or one on the way to it is.
pub(crate) fn directory(path: &Path, how: OFlags) -> io::Result<OwnedFd> {
    let path = if path == Path::new("") { Path::new(".") } else { path };
    let how = how | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(CWD, path, how, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // Kernels that do not know the call, and sandboxes that do not let it through.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(path, how),
        opened => Ok(opened?),
    }
}

/// The same, one name at a time.
fn step_by_step(path: &Path, how: OFlags) -> io::Result<OwnedFd> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let start = if path.has_root() { "/" } else { "." };
    let mut dir = rustix::fs::open(start, step, Mode::empty())?;
    for part in path.components() {
        if let Component::Normal(_) | Component::ParentDir = part {
            dir = openat(&dir, part.as_os_str(), step, Mode::empty())?;
        }
    }
    Ok(openat(&dir, ".", how, Mode::empty())?)
}

/// Opens a regular file for reading, and for writing too if `how` says so. An error where it is anything else, or where
/// it or a directory on the way is a link. Nobody is waited for.
pub(crate) fn open(path: &Path, how: OFlags) -> io::Result<File> {
    let Place { dir, name } = Place::of(path)?;
    open_in(dir, name, how)
}

/// The same in a directory that is open.
pub(crate) fn open_in(dir: impl AsFd, name: &OsStr, how: OFlags) -> io::Result<File> {
    let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(dir, name, how | careful, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::OpenDir;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_leads_to_a_place() {
        let space = tempfile::tempdir().unwrap();
        let space = space.path().canonicalize().unwrap();
        std::fs::create_dir_all(space.join("a/b")).unwrap();
        std::fs::write(space.join("a/b/file"), "x").unwrap();
        symlink("a", space.join("l")).unwrap();
        symlink("file", space.join("a/b/link")).unwrap();
        let path = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for (inside, there) in [("a", true), ("a/b", true), ("a/b/..", true), ("l", false), ("l/b", false)] {
            assert_eq!(directory(&space.join(inside), OFlags::RDONLY).is_ok(), there, "{inside}");
            assert_eq!(step_by_step(&space.join(inside), path).is_ok(), there, "{inside}, step by step");
        }
        for (inside, there) in [("a/b/file", true), ("a/b/link", false), ("l/b/file", false), ("a/b", false)] {
            assert_eq!(open(&space.join(inside), OFlags::RDONLY).is_ok(), there, "{inside}");
        }
        assert_eq!(resolved(&space.join("l/b/new")).unwrap(), space.join("a/b/new"));
        assert_eq!(resolved(&space.join("l")).unwrap(), space.join("l"));
        assert_eq!(resolved(&space.join("l/..")).unwrap(), space);
        assert_eq!(Place::of(Path::new("/")).unwrap().name, ".");
        assert!(directory(Path::new(""), OFlags::RDONLY).is_ok());
        assert!(OpenDir::open(&space.join("a/b")).is_ok());
        assert!(OpenDir::open(&space.join("l/b")).is_err());
    }
}
