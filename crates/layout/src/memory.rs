//! A layout in memory: for tests, small bundles, and whoever has no disk.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::checked::pump;
use crate::digest::Digest;
use crate::edit::apply;
use crate::error::{Error, Kind, Result};
use crate::index::{EMPTY_INDEX, IndexFile};
use crate::source::{
    Access, Blob, Content, Done, Found, IndexChange, Marker, OCI_LAYOUT, Outline, Sink, Source, Unwatched, Writing,
};

/// A layout in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// The bytes of `oci-layout`.
    pub marker: Option<Vec<u8>>,
    /// The bytes of index.json.
    pub index: Vec<u8>,
    /// The blobs by name. Nothing keeps a test from putting wrong bytes here.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Default for Memory {
    /// An empty layout.
    fn default() -> Self {
        Self { marker: Some(OCI_LAYOUT.to_vec()), index: EMPTY_INDEX.to_vec(), blobs: BTreeMap::new() }
    }
}

impl Memory {
    /// Adds a blob and gives its sha256 digest.
    pub fn add(&mut self, bytes: impl Into<Vec<u8>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.blobs.insert(digest.clone(), bytes);
        digest
    }
}

impl Source for Memory {
    fn location(&self) -> &str {
        "memory"
    }

    fn marker(&self) -> Marker {
        self.marker.as_deref().map_or(Marker::Absent, Marker::judge)
    }

    fn index(&self) -> Result<IndexFile> {
        IndexFile::parse(self.index.clone())
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.blobs.get(digest).map(|bytes| bytes.len() as u64))
    }

    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        self.blobs.keys().cloned().for_each(f);
        Ok(())
    }

    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        Ok(self.blobs.get(digest).map(|bytes| Content::Bytes(bytes)))
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        for (digest, bytes) in &self.blobs {
            f(Found::Blob(Blob { digest: digest.clone(), size: bytes.len() as u64 }));
        }
        Ok(())
    }
}

/// Writes into a layout in memory that others can look at.
pub struct MemorySink<'m>(pub &'m Mutex<Memory>);

struct MemoryWriting<'m> {
    memory: &'m Mutex<Memory>,
    outline: Outline,
    blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'m> Sink<'m> for MemorySink<'m> {
    fn begin(self: Box<Self>, outline: Outline) -> Result<Box<dyn Writing + 'm>> {
        Ok(Box::new(MemoryWriting { memory: self.0, outline, blobs: Mutex::default() }))
    }
}

impl Writing for MemoryWriting<'_> {
    fn put(&self, blob: &Blob, content: Content<'_>) -> Result<()> {
        let mut bytes = Vec::new();
        pump(blob, content, &Unwatched, &mut |piece, _| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        locked(&self.blobs).insert(blob.digest.clone(), bytes);
        Ok(())
    }

    fn ordered(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>) -> Result<Done> {
        let mut memory = locked(self.memory);
        let blobs = self.blobs.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(absent) = self.outline.blobs.iter().find(|blob| !blobs.contains_key(&blob.digest)) {
            return Err(Error::new(Kind::Failed, format!("blob {} was never written", absent.digest)));
        }
        let index = match &self.outline.index {
            IndexChange::New(bytes) => bytes.clone(),
            IndexChange::Edits(edits) => apply(&memory.index()?, edits)?,
        };
        let mut done = Done::default();
        for blob in &self.outline.blobs {
            match memory.blobs.get(&blob.digest) {
                None => done.new.add(blob.size),
                Some(old) if *old == blobs[&blob.digest] => done.present.add(blob.size),
                Some(_) => done.repaired.add(blob.size),
            }
        }
        memory.blobs.extend(blobs);
        memory.index = index;
        Ok(done)
    }
}
