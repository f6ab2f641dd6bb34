//! What lies in a source: every file, and whether its bytes are what their names say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use ocistow_layout::spread::spread;
use ocistow_layout::{Access, Blob, Content, Digest, Error, Found, Kind, Result, Source, Watch, checked};

/// What was found in a source, and every byte of every blob looked at.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// Every blob, right or not, and its length.
    pub there: BTreeMap<Digest, u64>,
    /// Blobs that are not what their names say, and why.
    pub wrong: BTreeMap<Digest, String>,
    /// Blobs the medium did not give, and why.
    pub unread: BTreeMap<Digest, String>,
    /// What lies under the name of a blob and can be none, and why.
    pub unfit: BTreeMap<Digest, String>,
    /// Paths that nothing accounts for, and why.
    pub strays: BTreeMap<String, String>,
    /// Whether a directory for blobs is not there.
    pub no_blobs: bool,
}

impl Evidence {
    /// Surveys a source and hashes all its blobs. `Err` where it cannot be listed, or the watcher asked to stop.
    pub fn gather(source: &dyn Source, threads: usize, watch: &dyn Watch) -> Result<Self> {
        let mut evidence = Self::default();
        source.survey(&mut |found| evidence.enter(found))?;
        evidence.hash(source, threads, watch)?;
        Ok(evidence)
    }

    /// Whether a blob is there and nothing speaks against it.
    pub fn right(&self, digest: &Digest) -> bool {
        self.there.contains_key(digest) && !self.wrong.contains_key(digest) && !self.unread.contains_key(digest)
    }

    /// What is wrong with what lies under a blob's name, if there is something.
    pub fn damaged(&self) -> impl Iterator<Item = &Digest> {
        self.wrong.keys().chain(self.unread.keys()).chain(self.unfit.keys())
    }

    /// Takes note of a blob that was put in its place, verified.
    pub fn mend(&mut self, blob: &Blob) {
        self.there.insert(blob.digest.clone(), blob.size);
        for amiss in [&mut self.wrong, &mut self.unread, &mut self.unfit] {
            amiss.remove(&blob.digest);
        }
    }

    fn enter(&mut self, found: Found) {
        match found {
            Found::Blob(Blob { digest, size }) => drop(self.there.insert(digest, size)),
            Found::NoBlobs => self.no_blobs = true,
            Found::Stray(path) => {
                self.strays.insert(path, "no specification or known tool puts it there".to_owned());
            }
            Found::Unfit(path, why) => match blob_name(&path) {
                Some(digest) => drop(self.unfit.insert(digest, why)),
                None => drop(self.strays.insert(path, why)),
            },
        }
    }

    fn hash(&mut self, source: &dyn Source, threads: usize, watch: &dyn Watch) -> Result<()> {
        let amiss: Mutex<Vec<(Digest, Error)>> = Mutex::default();
        let judge = |blob: &Blob, verified: Result<()>| -> Result<()> {
            match verified {
                Err(why) if why.kind() == Kind::Interrupted => return Err(why),
                Err(why) => {
                    amiss.lock().unwrap_or_else(PoisonError::into_inner).push((blob.digest.clone(), why));
                }
                Ok(()) => {}
            }
            Ok(())
        };
        if source.access() == Access::OnePass {
            let all: BTreeSet<Digest> = self.there.keys().cloned().collect();
            source.visit(&all, &mut |blob: Blob, content: Content<'_>| {
                judge(&blob, checked::verify(&blob, content, watch))
            })?;
        } else {
            let blobs = self.there.iter().map(|(digest, size)| Blob { digest: digest.clone(), size: *size });
            let blobs: Vec<Blob> = blobs.collect();
            spread(&blobs, threads, &|blob| {
                let gone = || Error::new(Kind::NotFound, format!("{} went away", blob.digest));
                let opened = source.open(&blob.digest).and_then(|content| content.ok_or_else(gone));
                judge(blob, opened.and_then(|content| checked::verify(blob, content, watch)))
            })?;
        }
        for (digest, why) in amiss.into_inner().unwrap_or_else(PoisonError::into_inner) {
            match why.kind() {
                Kind::Integrity => drop(self.wrong.insert(digest, why.chain())),
                // Somebody took it away meanwhile: then it is not there.
                Kind::NotFound => drop(self.there.remove(&digest)),
                _ => drop(self.unread.insert(digest, why.chain())),
            }
        }
        Ok(())
    }
}

/// The digest whose blob would lie at a path in the layout.
fn blob_name(path: &str) -> Option<Digest> {
    let (algorithm, encoded) = path.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{encoded}").parse().ok()
}
