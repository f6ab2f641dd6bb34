//! The file that an archive or a document is written to: beside its target, and moved there when it is whole.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Kind, Result};
use crate::lock::keep;
use crate::medium::{Medium, cannot};
use crate::place::{open, resolved};
use crate::transaction::unique;
use crate::writeback::{STRETCH, Writeback};

use super::write::Existing;

/// How much of the target's name the temporary file has: both fit the limit of a file name.
const MAX_STEM: usize = 180;

/// How much of an archive stays in memory once it was sent to the disk: a bundle is made to be carried away,
/// not to be read here again.
const KEPT: u64 = 64 << 20;

/// A file that will be the target. Dropped before [`publish`](Self::publish), it is removed.
pub struct Target<'a> {
    /// What its user calls it.
    path: PathBuf,
    /// Where that is.
    place: PathBuf,
    temporary: PathBuf,
    file: Arc<File>,
    /// How much was written of each stretch that is not whole.
    stretches: Mutex<BTreeMap<u64, u64>>,
    writeback: Writeback,
    existing: Existing,
    medium: &'a dyn Medium,
    published: bool,
}

impl<'a> Target<'a> {
    /// Makes the temporary file. Usage where the target exists and is to be kept, Failed where it is
    /// anything but a regular file. Removes what writers that were killed left for the same target.
    pub fn begin(path: PathBuf, existing: Existing, medium: &'a dyn Medium) -> Result<Self> {
        match fs::symlink_metadata(&path) {
            Ok(_) if existing == Existing::Keep => return Err(exists(&path)),
            // A rename would put a file where somebody needs a device, or what a link stands for.
            Ok(there) if !there.is_file() => {
                let what = format!("could not replace {}", path.display());
                return Err(Error::new(Kind::Failed, what).because("it is no regular file"));
            }
            Ok(_) => {}
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(Error::io("write", &path, why)),
        }
        let Some(name) = path.file_name() else {
            return Err(Error::new(Kind::Usage, format!("{:?} is no name of a file", path.display().to_string())));
        };
        let place = resolved(&path).map_err(|why| Error::io("write", &path, why))?;
        let stem = [b".", &name.as_bytes()[..name.len().min(MAX_STEM)], b".ocistow-"].concat();
        clear_litter(parent(&place), &stem, medium);
        loop {
            let own = [&stem, unique().as_bytes()].concat();
            let temporary = parent(&place).join(OsStr::from_bytes(&own));
            let file = medium.create(&temporary).map_err(|why| Error::io("write", &path, why))?;
            if !keep(&file, || file.metadata().is_ok_and(|meta| meta.nlink() == 0)) {
                continue;
            }
            let (file, stretches) = (Arc::new(file), Mutex::default());
            let writeback = Writeback::keeping(KEPT);
            return Ok(Self { path, place, temporary, file, stretches, writeback, existing, medium, published: false });
        }
    }

    /// Writes at a place.
    pub fn write_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.medium.write_at(&self.file, bytes, at).map_err(|why| self.failed(why))?;
        self.done(at, bytes.len() as u64);
        Ok(())
    }

    /// Notes that nothing more will be written there. Whole stretches are sent to the disk.
    pub fn done(&self, mut at: u64, mut len: u64) {
        while len > 0 {
            let stretch = at / STRETCH;
            let here = len.min((stretch + 1) * STRETCH - at);
            let mut stretches = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
            let written = stretches.entry(stretch).or_default();
            *written += here;
            if *written >= STRETCH {
                stretches.remove(&stretch);
                drop(stretches);
                self.writeback.send(&self.file, stretch * STRETCH, STRETCH);
            }
            at += here;
            len -= here;
        }
    }

    /// Waits until the content is on the disk, gives the file its name, and waits for that too. On `Err` what was
    /// there before is back under that name.
    pub fn publish(mut self) -> Result<()> {
        self.medium.sync_file(&self.file).map_err(|why| self.failed(why))?;
        let replaced = self.existing == Existing::Replace && self.exchanged()?;
        if !replaced {
            let moved = match self.existing {
                Existing::Replace => self.medium.rename(&self.temporary, &self.place),
                Existing::Keep => self.medium.rename_new(&self.temporary, &self.place),
            };
            moved.map_err(|why| match why.kind() {
                io::ErrorKind::AlreadyExists => exists(&self.path),
                _ => self.failed(why),
            })?;
        }
        let synced = self.medium.sync_dir(parent(&self.place)).map_err(|why| self.failed(why));
        match (&synced, replaced) {
            (Ok(()), false) => self.published = true,
            // What was replaced is what has the temporary name now, and goes with it.
            (Ok(()), true) => {}
            (Err(_), true) => drop(self.medium.exchange(&self.temporary, &self.place)),
            (Err(_), false) => drop(self.medium.rename(&self.place, &self.temporary)),
        }
        synced
    }

    /// Swaps the new file with the one that is there; `false` where there is none, or that cannot be done here.
    fn exchanged(&self) -> Result<bool> {
        match self.medium.exchange(&self.temporary, &self.place) {
            Ok(()) => Ok(true),
            Err(why) if why.kind() == io::ErrorKind::NotFound || cannot(&why) => Ok(false),
            Err(why) => Err(self.failed(why)),
        }
    }

    fn failed(&self, why: io::Error) -> Error {
        Error::io("write", &self.path, why).of_kind(Kind::Failed)
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed is litter, which the next writer removes.
            let _ = self.medium.unlink(&self.temporary);
        }
    }
}

fn exists(path: &Path) -> Error {
    let what = format!("could not write {}", path.display());
    Error::new(Kind::Usage, what).because("it exists").hint("--force replaces it")
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Removes temporary files that nobody holds. Never fails: litter can wait.
fn clear_litter(dir: &Path, stem: &[u8], medium: &dyn Medium) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_name().as_bytes().starts_with(stem) {
            continue;
        }
        if let Ok(file) = open(&entry.path(), rustix::fs::OFlags::RDONLY)
            && file.try_lock().is_ok()
        {
            let _ = medium.unlink(&entry.path());
        }
    }
}
