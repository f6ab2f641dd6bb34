//! What a transaction was given so far, as a source.

use super::staging::Is;
use super::{Transaction, locked};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::index::IndexFile;
use crate::source::{Access, Blob, Content, Found, Marker, Source};

/// What a transaction was given so far, looked at.
pub struct View<'t, 'a> {
    transaction: &'t Transaction<'a>,
    location: String,
    index: IndexFile,
    marker: Marker,
}

impl Source for View<'_, '_> {
    fn location(&self) -> &str {
        &self.location
    }

    fn marker(&self) -> Marker {
        self.marker.clone()
    }

    fn index(&self) -> Result<IndexFile> {
        Ok(self.index.clone())
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(match locked(&self.transaction.staged).blobs.get(digest) {
            Some(Is::At(_, size, _) | Is::Present(size)) => Some(*size),
            _ => None,
        })
    }

    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        let names: Vec<Digest> = locked(&self.transaction.staged).blobs.keys().cloned().collect();
        names.into_iter().for_each(f);
        Ok(())
    }

    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        let is = locked(&self.transaction.staged).blobs.get(digest).cloned();
        match is {
            Some(Is::At(dir, size, _)) => {
                let file = dir.read(digest.encoded().as_ref());
                let failed = |why| Error::io("read", dir.path().join(digest.encoded()), why);
                Ok(Some(Content::Owned(file.map_err(failed)?, size)))
            }
            Some(Is::Present(_)) => self.transaction.old.as_ref().map_or(Ok(None), |old| old.open(digest)),
            _ => Ok(None),
        }
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        self.names(&mut |digest| {
            if let Ok(Some(size)) = self.size(&digest) {
                f(Found::Blob(Blob { digest, size }));
            }
        })
    }
}

impl<'a> Transaction<'a> {
    /// What was put, as a source with this index.json: for planning on what came out of a pipe.
    pub fn view(&self, location: &str, index: IndexFile, marker: Marker) -> View<'_, 'a> {
        View { transaction: self, location: location.to_owned(), index, marker }
    }
}
