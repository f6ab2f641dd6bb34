//! The lengths of many blobs of one source: where many are not there, its names are listed once.
//!
//! An enemy's index names a hundred thousand blobs that are not there, and asking a disk for one takes longer than it
//! takes to name it.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::digest::Digest;
use crate::error::Result;
use crate::source::Source;

/// How many blobs may turn out not to be there before all names are listed.
pub const MANY: usize = 1_000;

/// Asks a source for lengths. Any number of threads may ask at once.
pub struct Sizes<'s> {
    source: &'s dyn Source,
    lacking: AtomicUsize,
    names: OnceLock<HashSet<Digest>>,
}

impl<'s> Sizes<'s> {
    /// Asks this source.
    pub fn of(source: &'s dyn Source) -> Self {
        Self { source, lacking: AtomicUsize::new(0), names: OnceLock::new() }
    }

    /// The length of a blob, as [`Source::size`] has it; of what came after all names were listed, `None`.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        if !self.may_have(digest) {
            return Ok(None);
        }
        let size = self.source.size(digest)?;
        if size.is_none() {
            self.lacked(1)?;
        }
        Ok(size)
    }

    /// Whether it is worth asking for a blob: `false` where all names were listed, and this one was not among them.
    pub fn may_have(&self, digest: &Digest) -> bool {
        self.names.get().is_none_or(|names| names.contains(digest))
    }

    /// Takes note that so many more blobs were asked for and are not there. `Err` where that made it worth to list all
    /// names, and they cannot be listed: then each is asked for as before.
    pub fn lacked(&self, more: usize) -> Result<()> {
        let before = self.lacking.fetch_add(more, Ordering::Relaxed);
        if before < MANY && before + more >= MANY {
            let mut names = HashSet::new();
            self.source.names(&mut |digest| {
                names.insert(digest);
            })?;
            self.names.get_or_init(|| names);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::IndexFile;
    use crate::memory::Memory;
    use crate::source::{Access, Content, Found, Marker};

    /// A layout that counts what is asked of it.
    struct Asked(Memory, AtomicUsize);

    impl Source for Asked {
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
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.size(digest)
        }
        fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
            self.0.names(f)
        }
        fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
            self.0.open(digest)
        }
        fn access(&self) -> Access {
            self.0.access()
        }
        fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
            self.0.survey(f)
        }
    }

    #[test]
    fn what_is_not_there_is_asked_for_a_thousand_times_at_most() {
        let mut memory = Memory::default();
        let there: Vec<Digest> = (0..100).map(|n| memory.add(format!("blob {n}").as_bytes())).collect();
        let asked = Asked(memory, AtomicUsize::new(0));
        let sizes = Sizes::of(&asked);
        for n in 0..50 * MANY {
            let absent = Digest::of(format!("absent {n}").as_bytes());
            assert_eq!(sizes.size(&absent).unwrap(), None);
        }
        assert_eq!(asked.1.load(Ordering::Relaxed), MANY);
        for digest in &there {
            assert_eq!(sizes.size(digest).unwrap(), asked.0.size(digest).unwrap());
        }
        assert_eq!(asked.1.load(Ordering::Relaxed), MANY + there.len());
    }
}
