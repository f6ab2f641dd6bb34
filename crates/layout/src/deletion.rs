//! Deleting from a layout in a directory: what goes is moved to the trash first, and unlinked only if index.json is
//! still what was decided on.
//!
//! Other tools know nothing of our locks. One of them may come to need what was found to be of no use while it is
//! being deleted: then it is still in the trash, the caller decides again, and what is needed goes back. The trash of
//! a deletion that was interrupted is treated likewise by the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::Digest;
use crate::directory::{OURS, children, is_dir};
use crate::edit::{Edit, edited};
use crate::error::{Error, Kind, Result};
use crate::holdings::{Holdings, Lying, TRASH_BESIDE, changed, in_trash};
use crate::index::IndexFile;
use crate::source::{Blob, Content, Count, Source};
use crate::transaction::{Options, Transaction};

/// A layout that is deleted from, with nobody else of ours in it. Dropped before [`delete`](Self::delete) is done,
/// everything is as it was.
///
/// What is decided on has to be what is there: `delete` is given the index.json that the caller read, and refuses with
/// Conflict where it has changed. Which blobs nothing needs is decided by the caller, `ocistow_graph::sweep` for one.
///
/// ```
/// use std::time::Duration;
/// use ocistow_layout::deletion::Deletion;
/// use ocistow_layout::transaction::{Options, Transaction};
/// use ocistow_layout::{Digest, Source};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("app");
/// let mut transaction = Transaction::begin(&path, Options::default())?;
/// let blob = transaction.put_bytes(b"of no use")?;
/// transaction.publish_blobs(&[blob])?;
/// drop(transaction); // Else it would be waited for.
///
/// let mut deletion = Deletion::begin(&path, Options::default())?;
/// let decided = deletion.holdings().index()?;
/// assert!(decided.entries().is_empty());
/// let lying = deletion.lying(Duration::ZERO)?;
/// let unneeded: Vec<Digest> = lying.into_iter().filter(|one| one.spared.is_none()).map(|one| one.blob.digest).collect();
/// let left_over = deletion.delete(&decided, &unneeded)?;
/// assert!(left_over.is_none() && deletion.gone().blobs == 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Deletion<'a> {
    holdings: Holdings,
    /// What was moved to the trash and is to go back where this ends early.
    moved: Vec<Digest>,
    /// index.json as it was published last, to be undone where this ends early.
    published: Option<Vec<u8>>,
    gone: Count,
    transaction: Transaction<'a>,
}

impl<'a> Deletion<'a> {
    /// Waits until nobody writes to the layout at `path` or walks through it, and keeps everybody out. NotFound where
    /// there is no layout, Integrity where its marker is not right, Failed where there are no locks.
    pub fn begin(path: &Path, options: Options<'a>) -> Result<Self> {
        let transaction = Transaction::alone(path, options)?;
        let holdings = Holdings::open(path)?;
        Ok(Self { holdings, moved: Vec::new(), published: None, gone: Count::default(), transaction })
    }

    /// What there is, to decide on.
    pub fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// Every blob and whether it may go, as [`Holdings::lying`] has it, by the clock of the file system.
    pub fn lying(&self, grace: Duration) -> Result<Vec<Lying>> {
        self.holdings.lying_by(grace, &|algorithm| {
            let file = self.transaction.touch(algorithm)?;
            let meta = file.metadata().map_err(|why| Error::io("look at", &self.transaction.root, why))?;
            Ok(changed(&meta))
        })
    }

    /// Stages a new blob that an edit needs, verified.
    pub fn put(&self, blob: &Blob, content: Content<'_>) -> Result<()> {
        self.transaction.put(blob, content)
    }

    /// What was deleted so far.
    pub fn gone(&self) -> Count {
        self.gone
    }

    /// Changes index.json, with blobs that its new entries need, each of them [put](Self::put) before; gives what it is
    /// now. Conflict where it is not what this was decided on, however little it differs: decide again.
    pub fn publish(&mut self, decided: &IndexFile, edits: &[Edit], made: &[Blob]) -> Result<IndexFile> {
        if edits.is_empty() {
            return Ok(decided.clone());
        }
        let after = edited(decided, edits)?;
        self.transaction.publish_onto(made, decided, &after)?;
        self.published = Some(after.bytes.clone());
        IndexFile::parse(after.bytes)
    }

    /// Deletes blobs, wholes before their parts, decided on what index.json is now. Whatever lies in the trash and is not
    /// among them goes back first.
    ///
    /// `Ok` means that they are out of the layout, and that this is on the disk; what could not be unlinked is in the
    /// trash, and why is what comes back. Conflict where index.json has changed: all of it is still there, and whoever
    /// decides again, and deletes that, puts back what is needed after all.
    pub fn delete(&mut self, decided: &IndexFile, blobs: &[Digest]) -> Result<Option<Error>> {
        let goes: BTreeSet<&Digest> = blobs.iter().collect();
        let needed: Vec<Digest> = self.holdings.trash.keys().filter(|digest| !goes.contains(digest)).cloned().collect();
        self.put_back(&needed)?;
        self.throw_away(blobs)?;
        if self.holdings.index()?.bytes() != decided.bytes() {
            let what = format!("could not delete from {}", self.holdings.location());
            return Err(Error::new(Kind::Conflict, what).because("somebody else keeps changing it"));
        }
        // From here on nothing goes back.
        self.moved.clear();
        self.published = None;
        Ok(self.unlink(blobs).err())
    }

    /// Moves blobs to the trash, and waits until that is on the disk: a part is not gone for good before its whole is.
    fn throw_away(&mut self, blobs: &[Digest]) -> Result<()> {
        let mut touched = BTreeSet::new();
        // Where blobs of each algorithm can be moved to.
        let mut ways: BTreeMap<String, PathBuf> = BTreeMap::new();
        for digest in blobs {
            self.transaction.options.watch.go_on()?;
            let from = self.holdings.place(digest);
            let failed = |why| Error::io("delete", &from, why).of_kind(Kind::Failed);
            match fs::symlink_metadata(&from) {
                Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
                Err(why) => return Err(failed(why)),
                Ok(meta) if meta.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
                Ok(_) => {}
            }
            let moved = match ways.get(digest.algorithm()) {
                Some(dir) => {
                    let to = dir.join(digest.encoded());
                    self.transaction.options.medium.rename(&from, &to).map(|()| to)
                }
                None => self.find_way(digest, &from, &mut touched)?,
            };
            match moved {
                // Others sweep too.
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => return Err(failed(why)),
                Ok(to) => {
                    ways.extend(to.parent().map(|dir| (digest.algorithm().to_owned(), dir.to_owned())));
                    self.holdings.trash.insert(digest.clone(), to);
                    self.moved.push(digest.clone());
                }
            }
        }
        touched.extend(ways.into_values());
        touched.iter().try_for_each(|dir| self.transaction.sync_dir(dir))
    }

    /// Moves the first blob of an algorithm: where it came to lie tells where the others go.
    fn find_way(&self, digest: &Digest, from: &Path, touched: &mut BTreeSet<PathBuf>) -> Result<io::Result<PathBuf>> {
        let medium = self.transaction.options.medium;
        // What lies behind a link is somebody else's.
        for dir in [Some(self.transaction.root.join("blobs")), from.parent().map(Path::to_owned)].iter().flatten() {
            is_dir(dir)?;
        }
        let mut refused = Err(io::ErrorKind::CrossesDevices.into());
        for (dirs, to) in in_trash(&self.transaction.root, digest) {
            let mut made = BTreeSet::new();
            for dir in &dirs {
                self.directory(dir, &mut made)?;
            }
            match medium.rename(from, &to) {
                // Another file system lies in between.
                Err(why) if why.kind() == io::ErrorKind::CrossesDevices => {
                    dirs.iter().rev().for_each(|dir| drop(medium.remove_dir(dir)));
                    refused = Err(why);
                }
                moved => {
                    touched.extend(made);
                    return Ok(moved.map(|()| to));
                }
            }
        }
        Ok(refused)
    }

    /// Makes a directory of the trash where it is not there.
    fn directory(&self, dir: &Path, touched: &mut BTreeSet<PathBuf>) -> Result<()> {
        if is_dir(dir)? {
            return Ok(());
        }
        match self.transaction.options.medium.make_dir(dir) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                Err(Error::io("make", dir, why).of_kind(Kind::Failed))
            }
            _ => {
                touched.extend(dir.parent().map(Path::to_owned));
                Ok(())
            }
        }
    }

    /// Moves blobs from the trash to their places, and waits until that is on the disk. What somebody else has put in
    /// its place meanwhile stays in the trash.
    fn put_back(&mut self, digests: &[Digest]) -> Result<()> {
        let medium = self.transaction.options.medium;
        let mut touched = BTreeSet::new();
        for digest in digests {
            let Some(from) = self.holdings.trash.get(digest) else { continue };
            let to = self.holdings.place(digest);
            let failed = |why| Error::io("put back", &to, why).of_kind(Kind::Failed);
            let dir = to.parent().unwrap_or(&to).to_owned();
            for dir in [dir.parent().unwrap_or(&dir), &dir] {
                self.directory(dir, &mut touched)?;
            }
            match medium.rename_new(from, &to) {
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => return Err(failed(why)),
                Ok(()) => drop(touched.insert(dir)),
            }
            self.holdings.trash.remove(digest);
        }
        touched.iter().try_for_each(|dir| self.transaction.sync_dir(dir))
    }

    /// Unlinks everything in the trash, these blobs first and in this order.
    fn unlink(&mut self, blobs: &[Digest]) -> Result<()> {
        let medium = self.transaction.options.medium;
        let listed: Vec<PathBuf> = blobs.iter().filter_map(|digest| self.holdings.trash.remove(digest)).collect();
        let counted = listed.len();
        // What did not go back had its place taken. What is not even as long there may be wrong, and this right.
        let double = |digest: &Digest, path: &Path| {
            let size =
                |path: &Path| fs::symlink_metadata(path).ok().filter(|meta| meta.is_file()).map(|meta| meta.len());
            size(path).is_some() && size(path) == size(&self.holdings.place(digest))
        };
        let doubles: Vec<Digest> =
            self.holdings.trash.iter().filter(|(digest, path)| double(digest, path)).map(|(d, _)| d.clone()).collect();
        let doubles: Vec<PathBuf> = doubles.iter().filter_map(|digest| self.holdings.trash.remove(digest)).collect();
        let (mut touched, mut result) = (BTreeSet::new(), Ok(()));
        for (at, path) in listed.into_iter().chain(doubles).enumerate() {
            self.transaction.options.watch.go_on()?;
            let size = fs::symlink_metadata(&path).map_or(0, |meta| meta.len());
            match medium.unlink(&path) {
                Ok(()) if at < counted => {
                    self.gone.add(size);
                    self.transaction.options.watch.bytes(size);
                    self.transaction.options.watch.blob();
                }
                Err(why) if why.kind() != io::ErrorKind::NotFound => {
                    // The others go all the same.
                    result = result.and(Err(Error::io("delete", &path, why).of_kind(Kind::Failed)));
                }
                _ => {}
            }
            touched.extend(path.parent().map(Path::to_owned));
        }
        for dir in touched {
            result = result.and(self.transaction.sync_dir(&dir));
        }
        self.clear_beside();
        result
    }

    /// Takes away the trash that is beside the blobs, once it is empty: others look there.
    fn clear_beside(&self) {
        let medium = self.transaction.options.medium;
        let blobs = self.transaction.root.join("blobs");
        // What cannot be listed stays until the next deletion.
        let listed = |dir: &Path| children(dir).unwrap_or_default();
        for dir in std::iter::once(blobs.clone()).chain(listed(&blobs)) {
            let trash = dir.join(TRASH_BESIDE);
            if is_dir(&trash).is_ok_and(|is| is) {
                listed(&trash).iter().chain([&trash]).for_each(|dir| drop(medium.remove_dir(dir)));
            }
        }
    }

    /// Takes away the sets of volumes that were staged and are not whole yet.
    pub fn delete_sets(&mut self) -> Result<()> {
        let medium = self.transaction.options.medium;
        let sets = self.transaction.root.join(OURS).join("sets");
        for set in children(&sets)? {
            self.transaction.options.watch.go_on()?;
            for path in walkdir::WalkDir::new(&set).follow_root_links(false).contents_first(true) {
                let path = path.map_err(|why| Error::io("list", &set, why.into()).of_kind(Kind::Failed))?;
                let is_dir = path.file_type().is_dir();
                let gone = if is_dir { medium.remove_dir(path.path()) } else { medium.unlink(path.path()) };
                gone.map_err(|why| Error::io("delete", path.path(), why).of_kind(Kind::Failed))?;
            }
        }
        Ok(())
    }
}

impl Drop for Deletion<'_> {
    /// Puts back what was moved, then index.json. What cannot be put back is in the trash, where the next deletion finds
    /// it.
    fn drop(&mut self) {
        let moved = std::mem::take(&mut self.moved);
        let _ = self.put_back(&moved);
        if let Some(ours) = self.published.take() {
            self.transaction.unpublish(&ours);
        }
    }
}
