//! The seam: every call that changes the file system goes through here.
//!
//! A test puts another [`Medium`] in its place and stops after every call, makes one fail, or records
//! what was synced and drops the rest.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, linkat, mkdirat, openat, renameat_with, symlinkat, unlinkat,
};

use crate::place::{Place, directory, open_in};

/// What can be changed on a disk. Paths are absolute or relative to the working directory. None of the calls follows a
/// link, neither in the last name of a path nor on the way there: who was given a path resolves it first.
pub trait Medium: Send + Sync {
    /// Makes a directory, mode `0777 & umask`.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a new file, mode `0666 & umask`, open for reading and writing. Fails if there is anything
    /// of that name.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Writes all of `bytes` at `at`.
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes `to`, an empty file, share the content of `from` until one of them changes. Fails where the
    /// file system cannot.
    fn share(&self, from: &File, to: &File) -> io::Result<()>;
    /// Gives `file` the mode and, where allowed, the group of `like`.
    fn dress(&self, file: &File, like: &fs::Metadata) -> io::Result<()>;
    /// Gives an open file or directory these permission bits.
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()>;
    /// Makes a symbolic link at `path` to `target`, which is not looked at. Fails if there is anything of that name.
    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()>;
    /// Waits until the content of `file` is on the disk.
    fn sync_file(&self, file: &File) -> io::Result<()>;
    /// Waits until the names in a directory are on the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Waits until everything on the file system of `file` is on the disk.
    fn sync_all(&self, file: &File) -> io::Result<()>;
    /// Gives the file `from` a second name. Fails if there is anything of that name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives an open file a second name.
    fn link_open(&self, from: &File, to: &Path) -> io::Result<()>;
    /// Moves `from` to `to`, in place of whatever is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves `from` to `to`; fails if there is anything of that name.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Swaps two names in one step. Fails with `Unsupported` or `InvalidInput` where the file system cannot.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// [`create`](Self::create) in a directory that is held open.
    fn create_in(&self, dir: &OpenDir, name: &OsStr) -> io::Result<File> {
        self.create(&dir.path.join(name))
    }
    /// [`link`](Self::link) from one directory that is held open to another.
    fn link_in(&self, from: (&OpenDir, &OsStr), to: (&OpenDir, &OsStr)) -> io::Result<()> {
        self.link(&from.0.path.join(from.1), &to.0.path.join(to.1))
    }
    /// [`unlink`](Self::unlink) in a directory that is held open.
    fn unlink_in(&self, dir: &OpenDir, name: &OsStr) -> io::Result<()> {
        self.unlink(&dir.path.join(name))
    }
}

/// A directory that is held open: for whoever does something with many names in it, and would look for it each time.
#[derive(Debug)]
pub struct OpenDir {
    path: PathBuf,
    file: File,
}

impl OpenDir {
    /// Opens the directory at `path`. An error where it is a link, or one on the way to it is.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: directory(path, OFlags::RDONLY)?.into(), path: path.to_owned() })
    }

    /// Where it was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a regular file in it for reading. An error where it is anything else.
    pub(crate) fn read(&self, name: &OsStr) -> io::Result<File> {
        open_in(&self.file, name, OFlags::RDONLY)
    }

    /// The directory itself, to be synced.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// The real disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Medium for Disk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let at = Place::of(path)?;
        Ok(mkdirat(&at.dir, at.name, Mode::from_raw_mode(0o777))?)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let at = Place::of(path)?;
        create(&at.dir, at.name)
    }

    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn share(&self, from: &File, to: &File) -> io::Result<()> {
        Ok(rustix::fs::ioctl_ficlone(to, from)?)
    }

    fn dress(&self, file: &File, like: &fs::Metadata) -> io::Result<()> {
        if file.metadata()?.gid() != like.gid() {
            // Not ours to give away: the mode is kept, the group is what the directory makes it.
            match std::os::unix::fs::fchown(file, None, Some(like.gid())) {
                Err(why) if why.kind() != io::ErrorKind::PermissionDenied => return Err(why),
                _ => {}
            }
        }
        file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o777))
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        file.set_permissions(fs::Permissions::from_mode(mode))
    }

    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        let at = Place::of(path)?;
        Ok(symlinkat(target, &at.dir, at.name)?)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::from(directory(path, OFlags::RDONLY)?).sync_all()
    }

    fn sync_all(&self, file: &File) -> io::Result<()> {
        Ok(rustix::fs::syncfs(file)?)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (Place::of(from)?, Place::of(to)?);
        Ok(linkat(&from.dir, from.name, &to.dir, to.name, AtFlags::empty())?)
    }

    fn link_open(&self, from: &File, to: &Path) -> io::Result<()> {
        let name = format!("/proc/self/fd/{}", from.as_fd().as_raw_fd());
        let to = Place::of(to)?;
        Ok(linkat(CWD, name, &to.dir, to.name, AtFlags::SYMLINK_FOLLOW)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (Place::of(from)?, Place::of(to)?);
        Ok(rustix::fs::renameat(&from.dir, from.name, &to.dir, to.name)?)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (Place::of(from)?, Place::of(to)?);
        match renameat_with(&from.dir, from.name, &to.dir, to.name, RenameFlags::NOREPLACE) {
            // File systems without the flag: a hard link never replaces either.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                linkat(&from.dir, from.name, &to.dir, to.name, AtFlags::empty())?;
                Ok(unlinkat(&from.dir, from.name, AtFlags::empty())?)
            }
            moved => Ok(moved?),
        }
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        let (one, other) = (Place::of(one)?, Place::of(other)?);
        Ok(renameat_with(&one.dir, one.name, &other.dir, other.name, RenameFlags::EXCHANGE)?)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let at = Place::of(path)?;
        Ok(unlinkat(&at.dir, at.name, AtFlags::empty())?)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let at = Place::of(path)?;
        Ok(unlinkat(&at.dir, at.name, AtFlags::REMOVEDIR)?)
    }

    fn create_in(&self, dir: &OpenDir, name: &OsStr) -> io::Result<File> {
        create(&dir.file, name)
    }

    fn link_in(&self, from: (&OpenDir, &OsStr), to: (&OpenDir, &OsStr)) -> io::Result<()> {
        Ok(linkat(&from.0.file, from.1, &to.0.file, to.1, AtFlags::empty())?)
    }

    fn unlink_in(&self, dir: &OpenDir, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&dir.file, name, AtFlags::empty())?)
    }
}

fn create(dir: impl AsFd, name: &OsStr) -> io::Result<File> {
    let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(dir, name, how, Mode::from_raw_mode(0o666))?.into())
}

/// Whether an error of [`Medium::exchange`], [`Medium::link`] or [`Medium::share`] says that the file system
/// cannot do such a thing, so that another way has to be taken.
pub fn cannot(why: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = why.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::MLINK | Errno::XDEV | Errno::NOTTY)
    ) || why.kind() == io::ErrorKind::Unsupported
}
