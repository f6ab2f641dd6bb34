//! A layout as it will be once what was decided so far is done.

use std::collections::BTreeMap;

use ocistow_layout::{Access, Content, Digest, Found, IndexFile, Marker, Result, Source};

/// A layout that is about to change: another index.json, and documents that were made for it.
pub struct Meanwhile<'a> {
    /// Its index.json.
    pub index: IndexFile,
    /// What was made.
    pub made: BTreeMap<Digest, Vec<u8>>,
    /// The layout as it is, if there is one.
    pub under: Option<&'a dyn Source>,
}

impl Source for Meanwhile<'_> {
    fn location(&self) -> &str {
        self.under.map_or("a new layout", Source::location)
    }

    fn marker(&self) -> Marker {
        Marker::Right
    }

    fn index(&self) -> Result<IndexFile> {
        Ok(self.index.clone())
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        match (self.made.get(digest), self.under) {
            (Some(bytes), _) => Ok(Some(bytes.len() as u64)),
            (None, Some(under)) => under.size(digest),
            (None, None) => Ok(None),
        }
    }

    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        self.made.keys().cloned().for_each(&mut *f);
        let mut unmade = |digest| {
            if !self.made.contains_key(&digest) {
                f(digest);
            }
        };
        self.under.map_or(Ok(()), |under| under.names(&mut unmade))
    }

    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        match (self.made.get(digest), self.under) {
            (Some(bytes), _) => Ok(Some(Content::Bytes(bytes))),
            (None, Some(under)) => under.open(digest),
            (None, None) => Ok(None),
        }
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        self.under.map_or(Ok(()), |under| under.survey(f))
    }
}
