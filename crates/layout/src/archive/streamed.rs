//! An archive that came out of a stream and was staged on the way: a source that refuses what the archive in place would
//! refuse.

use crate::archive::DOCKER_IN_A_STREAM;
use crate::archive::pass::{Passed, gone_by};
use crate::archive::table::Table;
use crate::checked::damaged;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::index::IndexFile;
use crate::source::{Access, Blob, Content, Found, Marker, Source};
use crate::transaction::{Transaction, View};

/// What came out of a stream.
pub struct Streamed<'t, 'a> {
    view: View<'t, 'a>,
    table: Table,
    packed: Option<u64>,
}

impl Passed {
    /// The archive as a source, given that each blob of it was put into `transaction` as it came by. `Err` as of
    /// [`Passed::index`], where nothing more can be staged, and NotFound where only Docker's manifest.json lists anything.
    pub fn staged<'t, 'a>(self, transaction: &'t Transaction<'a>) -> Result<Streamed<'t, 'a>> {
        if self.holds_docker() && self.table.index.is_some() {
            let none = Error::new(Kind::NotFound, format!("{} has no layout that lists anything", self.location()));
            return Err(none.hint(DOCKER_IN_A_STREAM));
        }
        let (location, marker, packed) = (self.location().to_owned(), self.marker(), self.packed);
        let (table, index) = self.into_parts()?;
        let view = transaction.view(&location, index, marker);
        for (name, own) in table.aliases() {
            // What came by under another name is this one's content too, if it is: else it is wrong under this one.
            if let Some(content) = view.open(own)? {
                let blob = Blob { digest: name.clone(), size: content.len() };
                transaction.put(&blob, content).or_else(|why| match why.kind() {
                    Kind::Integrity => Ok(()),
                    _ => Err(why),
                })?;
            }
        }
        Ok(Streamed { view, table, packed })
    }
}

impl Streamed<'_, '_> {
    /// Refuses what stands in the archive and was not staged.
    fn judge(&self, digest: &Digest) -> Result<()> {
        if self.table.find(digest)?.is_none() || self.view.size(digest)?.is_some() {
            return Ok(());
        }
        if self.table.is_elsewhere(digest) {
            return Err(gone_by(format!("could not read blob {digest}")));
        }
        Err(damaged(digest, "it is a link, and leads to other content"))
    }
}

impl Source for Streamed<'_, '_> {
    fn location(&self) -> &str {
        self.view.location()
    }

    fn marker(&self) -> Marker {
        self.view.marker()
    }

    fn index(&self) -> Result<IndexFile> {
        self.view.index()
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.judge(digest)?;
        self.view.size(digest)
    }

    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        self.view.names(f)
    }

    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        self.judge(digest)?;
        self.view.open(digest)
    }

    fn access(&self) -> Access {
        self.view.access()
    }

    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        self.view.survey(f)
    }

    fn packed(&self) -> Option<u64> {
        self.packed
    }
}
