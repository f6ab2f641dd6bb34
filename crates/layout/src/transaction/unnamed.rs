//! Content that is staged before anybody knows its digest.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::staging::{Is, Staging};
use super::{Transaction, unique};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Kind, Result};
use crate::source::Blob;
use crate::twin::of_both;
use crate::writeback::STRETCH;

/// Content being staged; its digest is that of what was written in the end. Dropped before
/// [`finish`](Self::finish), nothing of it remains.
pub struct Unnamed<'t, 'a> {
    transaction: &'t Transaction<'a>,
    path: PathBuf,
    staging: Staging,
    file: Arc<File>,
    hasher: Hasher,
    size: u64,
    sent: u64,
    staged: bool,
}

impl<'a> Transaction<'a> {
    /// Starts to stage content whose digest is known only once all of it was written.
    pub fn unnamed(&self) -> Result<Unnamed<'_, 'a>> {
        let hasher = Hasher::Sha256(Default::default());
        let staging = self.staging("sha256")?;
        let path = staging.dir.path().join(format!("unnamed-{}", unique()));
        let created = self.options.medium.create(&path);
        let file = Arc::new(created.map_err(|why| Error::io("write", &path, why).of_kind(Kind::Failed))?);
        Ok(Unnamed { transaction: self, path, staging, file, hasher, size: 0, sent: 0, staged: false })
    }

    /// Stages bytes, and gives the blob they are.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Blob> {
        self.put_hashed(Digest::of(bytes), bytes)
    }

    /// The same of two at once, which takes less time. What becomes of one is nothing to the other.
    pub(crate) fn put_both(&self, contents: [&[u8]; 2]) -> [Result<Blob>; 2] {
        let [first, second] = of_both(contents);
        [self.put_hashed(first, contents[0]), self.put_hashed(second, contents[1])]
    }

    /// Stages bytes whose digest was just made of them.
    fn put_hashed(&self, digest: Digest, bytes: &[u8]) -> Result<Blob> {
        let blob = Blob { digest, size: bytes.len() as u64 };
        if self.claim(&blob.digest) {
            let is = self.stage_bytes(&blob, bytes);
            self.settle(&blob.digest, is)?;
        }
        self.options.watch.blob();
        Ok(blob)
    }

    fn stage_bytes(&self, blob: &Blob, bytes: &[u8]) -> Result<(Is, Option<Arc<File>>)> {
        let Some(over) = self.replaces(blob)? else { return Ok((Is::Present(blob.size), None)) };
        let medium = self.options.medium;
        let Staging { dir, whole } = self.staging("sha256")?;
        let name = blob.digest.encoded();
        let name = OsStr::new(&name);
        let failed = |why| Error::io("write", dir.path().join(name), why).of_kind(Kind::Failed);
        let file = Arc::new(medium.create_in(&dir, name).map_err(failed)?);
        let written = medium.write_at(&file, bytes, 0).and_then(|()| match whole {
            true => Ok(()),
            false => medium.sync_file(&file),
        });
        if let Err(why) = written {
            let _ = medium.unlink_in(&dir, name);
            return Err(failed(why));
        }
        self.send_rest(&file, 0, blob.size);
        Ok((Is::At(dir, blob.size, over), self.keeps_open(!whole).then_some(file)))
    }
}

impl Unnamed<'_, '_> {
    /// Writes the next piece of the content.
    pub fn write(&mut self, piece: &[u8]) -> Result<()> {
        let Transaction { options, writeback, .. } = self.transaction;
        options.watch.go_on()?;
        self.hasher.update(piece);
        let written = options.medium.write_at(&self.file, piece, self.size);
        written.map_err(|why| Error::io("write", &self.path, why).of_kind(Kind::Failed))?;
        self.size += piece.len() as u64;
        if self.size - self.sent >= STRETCH {
            writeback.send(&self.file, self.sent, self.size - self.sent);
            self.sent = self.size;
        }
        Ok(())
    }

    /// Gives the content its name: staged as by [`Transaction::put`].
    pub fn finish(mut self) -> Result<Blob> {
        let hasher = std::mem::replace(&mut self.hasher, Hasher::Sha256(Default::default()));
        let blob = Blob { digest: hasher.finish(), size: self.size };
        if self.transaction.claim(&blob.digest) {
            let is = self.named(&blob);
            self.transaction.settle(&blob.digest, is)?;
        }
        self.transaction.options.watch.blob();
        Ok(blob)
    }

    fn named(&mut self, blob: &Blob) -> Result<(Is, Option<Arc<File>>)> {
        let Transaction { options, .. } = self.transaction;
        let Some(over) = self.transaction.replaces(blob)? else { return Ok((Is::Present(blob.size), None)) };
        self.transaction.send_rest(&self.file, self.sent, self.size);
        let failed = |why| Error::io("write", &self.path, why).of_kind(Kind::Failed);
        if !self.staging.whole {
            options.medium.sync_file(&self.file).map_err(failed)?;
        }
        let path = self.path.with_file_name(blob.digest.encoded());
        options.medium.rename(&self.path, &path).map_err(failed)?;
        self.staged = true;
        let keep = self.transaction.keeps_open(!self.staging.whole);
        Ok((Is::At(self.staging.dir.clone(), blob.size, over), keep.then(|| self.file.clone())))
    }
}

impl Drop for Unnamed<'_, '_> {
    fn drop(&mut self) {
        if !self.staged {
            // What cannot be removed here goes with the transaction.
            let _ = self.transaction.options.medium.unlink(&self.path);
        }
    }
}
