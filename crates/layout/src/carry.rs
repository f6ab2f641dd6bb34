//! Carrying blobs from a source into a sink, whatever the two can do: in any order from many threads, in
//! a given order, or as they come by.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};

use crate::checked::{CHUNK, wrong_size};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::source::{Access, Blob, Content, Done, Source, Watch, Writing};
use crate::spread::spread;

/// Puts all of `blobs` from `source` into `writing`, and finishes it.
///
/// Content in `inline` is taken from there, not from the source. `blobs` is in the outline's order, each
/// once. `Ok` means that `writing` verified and published every one of them. On `Err` (Incomplete where
/// the source lacks a blob) no name stands for anything else than before, as [`Writing::finish`] has it; of several
/// failures the first is told, once other threads are done with the blobs they are at. A source of one pass and a sink
/// with an order meet in a temporary file that takes as much as the blobs do.
pub fn carry(
    source: &dyn Source,
    writing: Box<dyn Writing + '_>,
    blobs: &[Blob],
    inline: &BTreeMap<Digest, Vec<u8>>,
    threads: usize,
    watch: &dyn Watch,
) -> Result<Done> {
    let load = Load { source, blobs, inline, watch };
    load.put_all(&*writing, threads).map_err(|why| why.found_in(source.location()))?;
    writing.finish()
}

/// What is to be carried.
struct Load<'a> {
    source: &'a dyn Source,
    blobs: &'a [Blob],
    inline: &'a BTreeMap<Digest, Vec<u8>>,
    watch: &'a dyn Watch,
}

impl<'a> Load<'a> {
    /// Puts all of it.
    fn put_all(&self, writing: &dyn Writing, threads: usize) -> Result<()> {
        match (self.source.access(), writing.ordered()) {
            (Access::Random, false) => self.spread(writing, threads),
            (Access::Random, true) => self.in_order(writing, &|blob| self.source.open(&blob.digest)),
            (Access::OnePass, false) => self.as_they_come(&mut |blob, content| writing.put(blob, content)),
            (Access::OnePass, true) => {
                let spool = self.spool()?;
                self.in_order(writing, &|blob| Ok(spool.content(blob)))
            }
        }
    }

    /// From several threads.
    fn spread(&self, writing: &dyn Writing, threads: usize) -> Result<()> {
        spread(self.blobs, threads, &|blob| {
            writing.put(blob, self.content(blob, &|blob| self.source.open(&blob.digest))?)
        })
    }

    /// One after the other, in the order of the outline.
    fn in_order<'c>(
        &'c self,
        writing: &dyn Writing,
        open: &dyn Fn(&Blob) -> Result<Option<Content<'c>>>,
    ) -> Result<()> {
        self.blobs.iter().try_for_each(|blob| writing.put(blob, self.content(blob, open)?))
    }

    /// The content of one blob, from memory or from where `open` finds it.
    fn content<'c>(&'c self, blob: &Blob, open: &dyn Fn(&Blob) -> Result<Option<Content<'c>>>) -> Result<Content<'c>> {
        self.watch.go_on()?;
        match self.inline.get(&blob.digest) {
            Some(bytes) => Ok(Content::Bytes(bytes)),
            None => open(blob)?.ok_or_else(|| self.missing(&blob.digest)),
        }
    }

    /// In the order of the source, in one pass; what is in memory at the end.
    fn as_they_come(&self, put: &mut dyn FnMut(&Blob, Content<'_>) -> Result<()>) -> Result<()> {
        self.pass(put)?;
        let inline = self.blobs.iter().filter_map(|blob| Some((blob, self.inline.get(&blob.digest)?)));
        for (blob, bytes) in inline {
            self.watch.go_on()?;
            put(blob, Content::Bytes(bytes))?;
        }
        Ok(())
    }

    /// The blobs that come from the source, in its order.
    fn pass(&self, each: &mut dyn FnMut(&Blob, Content<'_>) -> Result<()>) -> Result<()> {
        let coming = self.blobs.iter().filter(|blob| !self.inline.contains_key(&blob.digest));
        let mut wanted: BTreeMap<&Digest, &Blob> = coming.map(|blob| (&blob.digest, blob)).collect();
        let want: BTreeSet<Digest> = wanted.keys().copied().cloned().collect();
        self.source.visit(&want, &mut |found, content| {
            self.watch.go_on()?;
            // Nobody asked for anything else, and each comes once.
            let Some(blob) = wanted.remove(&found.digest) else { return Ok(()) };
            each(blob, content)
        })?;
        match wanted.into_keys().next() {
            Some(absent) => Err(self.missing(absent)),
            None => Ok(()),
        }
    }

    /// Keeps what comes from the source in a file without a name, which is gone however this ends. It is
    /// verified when it is put.
    fn spool(&self) -> Result<Spool> {
        let failed = |why| {
            let what = format!("could not keep content in {}", std::env::temp_dir().display());
            Error::new(Kind::Failed, what).because(why).hint("TMPDIR can name a place with more room")
        };
        let mut file = tempfile::tempfile().map_err(failed)?;
        let mut places = BTreeMap::new();
        let mut at = 0;
        let mut buffer = vec![0; CHUNK];
        self.pass(&mut |blob, content| {
            if content.len() != blob.size {
                return Err(wrong_size(&blob.digest, blob.size, &content.len().to_string()));
            }
            let mut reader = content.reader();
            let mut len = 0;
            loop {
                self.watch.go_on()?;
                let got = match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(got) => got,
                    Err(why) if why.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(why) => {
                        let what = format!("could not read blob {}", blob.digest);
                        return Err(Error::new(Kind::Failed, what).because(why));
                    }
                };
                file.write_all(&buffer[..got]).map_err(failed)?;
                len += got as u64;
            }
            places.insert(blob.digest.clone(), (at, len));
            at += len;
            Ok(())
        })?;
        Ok(Spool { file, places })
    }

    fn missing(&self, digest: &Digest) -> Error {
        let what = format!("blob {digest} is missing");
        Error::new(Kind::Incomplete, what).because(format!("{} does not have it", self.source.location()))
    }
}

/// Content that waits for its turn.
struct Spool {
    file: File,
    /// Where each blob lies, and how much came of it.
    places: BTreeMap<Digest, (u64, u64)>,
}

impl Spool {
    fn content(&self, blob: &Blob) -> Option<Content<'_>> {
        self.places.get(&blob.digest).map(|(at, len)| Content::Extent { file: &self.file, at: *at, len: *len })
    }
}
