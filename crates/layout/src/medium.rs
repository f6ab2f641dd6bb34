//! The seam: every call that changes the file system goes through here.
//!
//! A test puts another [`Medium`] in its place and stops after every call, makes one fail, or records
//! what was synced and drops the rest.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, RenameFlags};

/// What can be changed on a disk. Paths are absolute or relative to the working directory; none of the
/// calls follows a link in the last component.
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
}

/// The real disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Medium for Disk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        OpenOptions::new().read(true).write(true).create_new(true).custom_flags(no_follow).open(path)
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
        std::os::unix::fs::symlink(target, path)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_all(&self, file: &File) -> io::Result<()> {
        Ok(rustix::fs::syncfs(file)?)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn link_open(&self, from: &File, to: &Path) -> io::Result<()> {
        let name = format!("/proc/self/fd/{}", from.as_fd().as_raw_fd());
        Ok(rustix::fs::linkat(CWD, name, CWD, to, AtFlags::SYMLINK_FOLLOW)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            // File systems without the flag: a hard link never replaces either.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::hard_link(from, to)?;
                fs::remove_file(from)
            }
            Err(why) => Err(why.into()),
        }
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }
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
