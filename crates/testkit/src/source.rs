//! Layouts in memory that are hard to read: on a bad disk, or from a stream.

use std::collections::BTreeSet;
use std::io::{self, Read};

use ocistow_layout::memory::Memory;
use ocistow_layout::{Access, Blob, Content, Digest, Found, IndexFile, Marker, Result, Source};

/// A layout of which some blobs are there and cannot be read, as on a disk with bad sectors.
pub struct Unreadable {
    /// What would be there.
    pub memory: Memory,
    /// What cannot be read of it.
    pub blobs: BTreeSet<Digest>,
}

/// What reading a bad sector gives.
struct Bad;

impl Read for Bad {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(rustix::io::Errno::IO.into())
    }
}

impl Source for Unreadable {
    fn location(&self) -> &str {
        self.memory.location()
    }
    fn marker(&self) -> Marker {
        self.memory.marker()
    }
    fn index(&self) -> Result<IndexFile> {
        self.memory.index()
    }
    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.memory.size(digest)
    }
    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        self.memory.names(f)
    }
    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        Ok(match self.memory.open(digest)? {
            Some(content) if self.blobs.contains(digest) => Some(Content::Stream(Box::new(Bad), content.len())),
            content => content,
        })
    }
    fn access(&self) -> Access {
        self.memory.access()
    }
    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        self.memory.survey(f)
    }
}

/// A layout that can only be read from the front: opening a blob of it panics.
pub struct OnePass(pub Memory);

impl Source for OnePass {
    fn location(&self) -> &str {
        self.0.location()
    }
    fn marker(&self) -> Marker {
        self.0.marker()
    }
    fn index(&self) -> Result<IndexFile> {
        self.0.index()
    }
    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.0.size(digest)
    }
    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        self.0.names(f)
    }
    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        panic!("opened {digest} in a source of one pass")
    }
    fn visit(&self, want: &BTreeSet<Digest>, f: &mut dyn FnMut(Blob, Content<'_>) -> Result<()>) -> Result<()> {
        self.0.visit(want, f)
    }
    fn access(&self) -> Access {
        Access::OnePass
    }
    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        self.0.survey(f)
    }
}
