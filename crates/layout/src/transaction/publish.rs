//! Publishing: blobs get their names, index.json follows, in the order that a crash does no harm to.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::staging::{Is, Over, Staged, Staging};
use super::swap::Out;
use super::{Change, SYNC_EACH, Transaction, existing, locked, unique};
use crate::directory::{MAKING, OURS, children, is_dir, is_there};
use crate::edit::{Edit, Edited, edited};
use crate::error::{Error, Kind, Result};
use crate::index::{EMPTY_INDEX, IndexFile};
use crate::medium::{OpenDir, cannot};
use crate::source::{Blob, Done, OCI_LAYOUT, Source};
use crate::stamp::{Imprint, Stamp};

impl Transaction<'_> {
    /// Publishes the blobs in `order` (the first are published last: wholes stand in front of their parts),
    /// and makes `edits` on index.json as it is by then. Blobs that were put and are not in `order` are
    /// dropped. `Ok` means that all of it is on the disk, and that this transaction is over; the content of a blob that a
    /// tool which does not wait for the disk put there before is as safe as that made it. On `Err` index.json
    /// is what it was, blobs may have come to the layout. After Conflict, where an edit expected something
    /// else, what was put is still there to be published with other edits.
    pub fn publish(&mut self, order: &[Blob], edits: &[Edit]) -> Result<Done> {
        self.publish_by(order, &mut |index| edited(index, edits))
    }

    /// The same, and index.json stays as it is.
    pub fn publish_blobs(&mut self, order: &[Blob]) -> Result<Done> {
        self.publish_by(order, &mut |index| {
            let bytes = index.bytes().to_vec();
            Ok(Edited { front: bytes.len(), back: 0, bytes })
        })
    }

    /// The same for a layout that must not exist yet, with exactly these bytes as its index.json.
    pub fn publish_new(&mut self, order: &[Blob], index: Vec<u8>) -> Result<Done> {
        let what = format!("could not make {}", self.root.display());
        self.publish_by(order, &mut |there| {
            if there.entries().is_empty() {
                return Ok(Edited { bytes: index.clone(), front: 0, back: 0 });
            }
            Err(Error::new(Kind::Conflict, what.clone()).because("somebody else made a layout there"))
        })
    }

    /// The same, with `after` in the place of an index.json that still has to be `decided`: Conflict where somebody
    /// else changed it, however little.
    pub(crate) fn publish_onto(&mut self, order: &[Blob], decided: &IndexFile, after: &Edited) -> Result<Done> {
        let what = format!("could not write {}", self.root.join("index.json").display());
        self.publish_by(order, &mut |now| {
            if now.bytes() == decided.bytes() {
                return Ok(after.clone());
            }
            Err(Error::new(Kind::Conflict, what.clone()).because("somebody else changed it"))
        })
    }

    fn publish_by(&mut self, order: &[Blob], change: &mut dyn FnMut(&IndexFile) -> Result<Edited>) -> Result<Done> {
        let staged = std::mem::take(&mut *locked(&self.staged));
        let published = self.publish_staged(&staged, order, change);
        *locked(&self.staged) = staged;
        if published.is_ok() {
            self.index = None;
        }
        published
    }

    fn publish_staged(
        &mut self,
        staged: &Staged,
        order: &[Blob],
        change: &mut dyn FnMut(&IndexFile) -> Result<Edited>,
    ) -> Result<Done> {
        let mut coming = Vec::new();
        let mut present = BTreeSet::new();
        let mut done = Done::default();
        for blob in order.iter().rev() {
            match staged.blobs.get(&blob.digest) {
                Some(Is::At(dir, size, over)) => {
                    match over {
                        Over::Nothing => done.new.add(*size),
                        Over::Wrong => done.repaired.add(*size),
                    }
                    coming.push((blob, &**dir, *over));
                }
                Some(Is::Present(size)) => {
                    done.present.add(*size);
                    present.insert(blob.digest.algorithm());
                }
                _ => return Err(Error::new(Kind::Failed, format!("blob {} was never written", blob.digest))),
            }
        }
        self.wait_for_disk(staged)?;
        let _index = if self.index.is_none() { Some(self.locks.index(&self._content)?) } else { None };
        let (before, stamp) = self.index_now()?;
        let after = change(&before)?;
        let changed = before.bytes() != after.bytes || self.old.is_none();
        let new = changed.then(|| self.staged_index(&after.bytes)).transpose()?;
        if self.old.is_none() {
            self.place_making()?;
        }
        let mut touched = self.place(&coming)?;
        // Who brought what is there may not have waited for the disk yet, or never got to that.
        let blobs = self.root.join("blobs");
        let own =
            present.into_iter().map(|algorithm| blobs.join(algorithm)).filter(|dir| is_dir(dir).is_ok_and(|is| is));
        let present: Vec<PathBuf> = own.collect();
        if !present.is_empty() {
            touched.insert(blobs);
            touched.extend(present);
        }
        if self.old.is_none() || !changed {
            touched.insert(self.root.clone());
        }
        if self.old.is_none() {
            self.place_marker()?;
        }
        for dir in touched.iter().rev() {
            self.sync_dir(dir)?;
        }
        if self.old.is_none() && self.made_root {
            self.sync_dir(self.root.parent().unwrap_or(Path::new("/")))?;
        }
        // What was put there in the place of `after`, if somebody else wrote in between.
        let mut instead = None;
        let mut file = None;
        if let Some((new, written)) = new {
            let (out, other) = self.swap(new, &before, &after, change)?;
            (self.swapped, instead, file) = (Some(out), other, Some(written));
        }
        // From here on it is done; what follows only keeps it so. regctl, for one, sweeps at its every
        // write what its own idea of index.json does not reach.
        if std::mem::take(&mut self.unmade) {
            // Where that cannot be, the next writer does it.
            let _ = self.options.medium.unlink(&self.root.join(OURS).join(MAKING));
        }
        let swept: Vec<_> = match self.swapped {
            // Nobody can have swept a layout that was not there.
            Some(Out::None) => Vec::new(),
            _ => coming.iter().filter(|(blob, ..)| self.exact(blob).is_none()).copied().collect(),
        };
        if !swept.is_empty()
            && let Err(why) =
                self.place(&swept).and_then(|touched| touched.iter().try_for_each(|dir| self.sync_dir(dir)))
        {
            self.unpublish(instead.as_ref().unwrap_or(&after.bytes));
            return Err(why);
        }
        if let (Some(stamp), None) = (stamp, instead) {
            self.tell(stamp, &before, &after, file, &coming);
        }
        Ok(done)
    }

    /// Tells who keeps track of the layout what was published. `file` is the new index.json; none: it is the old one.
    fn tell(
        &self,
        stamp: Stamp,
        before: &IndexFile,
        after: &Edited,
        file: Option<File>,
        coming: &[(&Blob, &OpenDir, Over)],
    ) {
        let (Some(follow), Some(layout)) = (self.options.follow, &self.old) else { return };
        let imprint = match file {
            Some(file) => Imprint::of(file, 0, after.bytes.len() as u64).ok(),
            None => layout.imprint().ok().flatten(),
        };
        if let Some(after_imprint) = imprint {
            let blobs: Vec<&Blob> = coming.iter().map(|(blob, ..)| *blob).collect();
            follow.published(layout, &Change { stamp, before, imprint: after_imprint, after, blobs: &blobs });
        }
    }

    /// The length of what lies exactly under the blob's name.
    fn exact(&self, blob: &Blob) -> Option<u64> {
        fs::symlink_metadata(self.root.join(blob.digest.path())).ok().map(|meta| meta.len())
    }

    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.options.medium.sync_dir(dir).map_err(|why| Error::io("sync", dir, why).of_kind(Kind::Failed))
    }

    /// The barrier: all staged content is on the disk after this.
    pub(super) fn wait_for_disk(&self, staged: &Staged) -> Result<()> {
        let started = Instant::now();
        let medium = self.options.medium;
        let failed = |why| Error::io("sync", &self.root, why).of_kind(Kind::Failed);
        if staged.count <= SYNC_EACH {
            for file in &staged.open {
                medium.sync_file(file).map_err(failed)?;
            }
        } else {
            let stagings = locked(&self.stagings);
            let used: BTreeMap<&Path, &Staging> =
                stagings.of.values().map(|staging| (staging.dir.path(), staging)).collect();
            for staging in used.values().filter(|staging| staging.whole) {
                medium.sync_all(staging.dir.file()).map_err(failed)?;
            }
        }
        self.barrier.fetch_add(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(())
    }

    /// index.json as it is now, or an empty one for a layout that is being made.
    fn index_now(&mut self) -> Result<(IndexFile, Option<Stamp>)> {
        if self.old.is_none() {
            // Somebody else may have made it since.
            self.old = existing(&self.root, false)?;
        }
        match &self.old {
            Some(old) => old.stamped_index(),
            None => Ok((IndexFile::parse(EMPTY_INDEX.to_vec())?, None)),
        }
    }

    pub(super) fn staged_index(&self, bytes: &[u8]) -> Result<(PathBuf, File)> {
        let medium = self.options.medium;
        let path = self.usual().join(format!("index.json-{}", unique()));
        let failed = |why| Error::io("write", &path, why).of_kind(Kind::Failed);
        let file = medium.create(&path).map_err(failed)?;
        medium.write_at(&file, bytes, 0).map_err(failed)?;
        let at = self.root.join("index.json");
        if is_there(&at)? {
            let like = fs::symlink_metadata(&at).map_err(failed)?;
            if !like.is_file() {
                let what = format!("could not write {}/index.json", self.root.display());
                return Err(Error::new(Kind::Failed, what).because("it is a link; nothing is written through a link"));
            }
            medium.dress(&file, &like).map_err(failed)?;
        }
        medium.sync_file(&file).map_err(failed)?;
        Ok((path, file))
    }

    /// Gives staged blobs their names, in this order; gives back the directories that have to be synced.
    fn place(&self, coming: &[(&Blob, &OpenDir, Over)]) -> Result<BTreeSet<PathBuf>> {
        let medium = self.options.medium;
        let mut touched = BTreeSet::new();
        let blobs = self.root.join("blobs");
        if self.old.is_none() || !coming.is_empty() {
            self.directory(&blobs, &mut touched)?;
        }
        let mut moved = BTreeSet::new();
        if self.old.is_none() {
            moved = self.place_whole(coming, &mut touched)?;
            self.directory(&blobs.join("sha256"), &mut touched)?;
        }
        let mut open: BTreeMap<&str, OpenDir> = BTreeMap::new();
        for (blob, staged, over) in coming {
            let algorithm = blob.digest.algorithm();
            if moved.contains(algorithm) {
                continue;
            }
            let dir = match open.entry(algorithm) {
                Entry::Occupied(open) => open.into_mut(),
                Entry::Vacant(new) => {
                    let dir = blobs.join(algorithm);
                    self.directory(&dir, &mut touched)?;
                    let opened =
                        OpenDir::open(&dir).map_err(|why| Error::io("open", &dir, why).of_kind(Kind::Failed))?;
                    touched.insert(dir);
                    new.insert(opened)
                }
            };
            let name = blob.digest.encoded();
            let name = OsStr::new(&name);
            let (path, to) = (&staged.path().join(name), dir.path().join(name));
            let failed = |why| Error::io("write", &to, why).of_kind(Kind::Failed);
            let linked = match over {
                Over::Nothing => medium.link_in((staged, name), (dir, name)),
                // A wrong blob is replaced in one step, so that a name never stands for nothing.
                Over::Wrong => medium.rename(path, &to),
            };
            match linked {
                Ok(()) => self.note(&to),
                // Moved by an earlier try.
                Err(why) if why.kind() == io::ErrorKind::NotFound && self.exact(blob) == Some(blob.size) => {}
                // Another writer was faster: every writer verifies, foreign ones may not have.
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                    if self.exact(blob) != Some(blob.size) {
                        medium.rename(path, &to).map_err(failed)?;
                    }
                }
                Err(why) if cannot(&why) => {
                    let new = self.exact(blob).is_none();
                    medium.rename(path, &to).map_err(failed)?;
                    if new {
                        self.note(&to);
                    }
                }
                Err(why) => return Err(failed(why)),
            }
        }
        Ok(touched)
    }

    /// Moves whole directories of staged blobs to where none is yet, which takes no longer for many blobs than for one;
    /// gives back the algorithms for which that could be done.
    fn place_whole<'c>(
        &self,
        coming: &[(&'c Blob, &OpenDir, Over)],
        touched: &mut BTreeSet<PathBuf>,
    ) -> Result<BTreeSet<&'c str>> {
        let mut moved = BTreeSet::new();
        let stagings: BTreeMap<&str, &OpenDir> =
            coming.iter().map(|(blob, staged, _)| (blob.digest.algorithm(), *staged)).collect();
        for (algorithm, staged) in stagings {
            let own = || coming.iter().filter(|(blob, ..)| blob.digest.algorithm() == algorithm);
            let to = self.root.join("blobs").join(algorithm);
            // What was staged and is not published has no business there.
            if is_there(&to)? || children(staged.path())?.len() != own().count() {
                continue;
            }
            match self.options.medium.rename_new(staged.path(), &to) {
                Ok(()) => {}
                Err(why) if cannot(&why) || why.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(why) => return Err(Error::io("write", &to, why).of_kind(Kind::Failed)),
            }
            self.note(&to);
            own().for_each(|(blob, ..)| self.note(&to.join(blob.digest.encoded())));
            touched.extend([to, self.root.join("blobs")]);
            moved.insert(algorithm);
        }
        Ok(moved)
    }

    /// Makes a directory of the layout where it is not there. Failed where it is a link: nothing is
    /// written through links.
    fn directory(&self, dir: &Path, touched: &mut BTreeSet<PathBuf>) -> Result<()> {
        if is_dir(dir)? {
            return Ok(());
        }
        match self.options.medium.make_dir(dir) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("make", dir, why).of_kind(Kind::Failed));
            }
            Err(_) => {}
            Ok(()) => self.note(dir),
        }
        touched.insert(dir.to_owned());
        touched.extend(dir.parent().map(Path::to_owned));
        Ok(())
    }

    /// Remembers what is made of a layout that was none before.
    fn note(&self, made: &Path) {
        if self.old.is_none() {
            locked(&self.made).push(made.to_owned());
        }
    }

    /// Notes that a layout is being made here: without that, one that has lost its index.json would pass for it.
    fn place_making(&self) -> Result<()> {
        let medium = self.options.medium;
        let ours = self.root.join(OURS);
        let path = ours.join(MAKING);
        match medium.create(&path) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("write", &path, why).of_kind(Kind::Failed));
            }
            _ => {}
        }
        self.sync_dir(&ours)?;
        self.sync_dir(&self.root)
    }

    fn place_marker(&self) -> Result<()> {
        let medium = self.options.medium;
        let to = self.root.join("oci-layout");
        let path = self.usual().join(format!("oci-layout-{}", unique()));
        let failed = |why| Error::io("write", &to, why).of_kind(Kind::Failed);
        let file = medium.create(&path).map_err(failed)?;
        medium.write_at(&file, OCI_LAYOUT, 0).map_err(failed)?;
        medium.sync_file(&file).map_err(failed)?;
        match medium.rename_new(&path, &to) {
            Ok(()) => self.note(&to),
            // One that was left by a making that was interrupted.
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => medium.rename(&path, &to).map_err(failed)?,
            Err(why) => return Err(failed(why)),
        }
        Ok(())
    }
}
