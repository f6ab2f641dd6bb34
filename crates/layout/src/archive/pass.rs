//! Reading an archive once, from a stream that cannot be rewound.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::thread;

use crate::archive::ahead::ahead;
use crate::archive::header::{BLOCK, Flaw};
use crate::archive::judge::Name;
use crate::archive::table::{Spot, Table};
use crate::archive::tape::Stream;
use crate::archive::unpack::{Form, sniff};
use crate::archive::walk::{self, Body, hasher, tell, walk};
use crate::archive::{MAX_MARKER, holds_docker, lists_nothing, no_layout, unmarked};
use crate::checked::fill;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Kind, Result};
use crate::index::{IndexFile, MAX_INDEX};
use crate::sieve::{self, MAX_FRAME};
use crate::source::{Blob, Content, Marker, Watch};

/// What a pass over an archive leaves behind.
#[derive(Debug)]
pub struct Passed {
    /// What was where. Its aliases are names whose content came by under another name.
    pub table: Table,
    location: String,
    marker: Marker,
    index: Option<Vec<u8>>,
    /// How long it is where it is compressed.
    pub(super) packed: Option<u64>,
}

impl Passed {
    /// Whether something in it is a link to a member that was passed over: reading it as a file finds that.
    pub fn leads_elsewhere(&self) -> bool {
        self.table.elsewhere().next().is_some() || self.linked().is_some()
    }

    /// Which of the files of a layout itself is a link: what it leads to went by as something else.
    fn linked(&self) -> Option<Name> {
        let index = (self.index.is_none() && self.table.index.is_some()).then_some(Name::Index);
        index.or_else(|| (self.marker == Marker::Absent && self.table.marker.is_some()).then_some(Name::Marker))
    }

    /// What messages call it.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The state of its `oci-layout` file.
    pub fn marker(&self) -> Marker {
        self.marker.clone()
    }

    /// Whether it is a docker archive without a layout, or with one that lists nothing: [`open`](crate::open) reads it
    /// from a file.
    pub fn holds_docker(&self) -> bool {
        match &self.index {
            Some(index) => self.table.docker && index.len() <= MAX_FRAME && lists_nothing(index),
            None => holds_docker(&self.table),
        }
    }

    /// Its index.json, as [`Source::index`](crate::source::Source::index) has it.
    pub fn index(self) -> Result<IndexFile> {
        self.into_parts().map(|(_, index)| index)
    }

    /// What was where, and its index.json.
    pub(super) fn into_parts(self) -> Result<(Table, IndexFile)> {
        if let Some(name) = self.linked() {
            return Err(gone_by(format!("could not read {name} of {}", self.location)));
        }
        match self.index {
            Some(bytes) => {
                self.packed.map_or(Ok(()), |packed| sieve::explained(&bytes, packed, &self.location))?;
                Ok((self.table, IndexFile::parse(bytes)?))
            }
            None => Err(no_layout(&self.location, &self.table)),
        }
    }
}

/// Reads an archive in one pass: a tar, plain or in gzip or zstd, from anything. Each blob is handed out
/// once, as it comes by, in the order of the archive; what `each` leaves unread is passed over. Content that `each`
/// refuses with Integrity does not end the pass: it matters only to whoever needs it, and the table refuses it to him.
///
/// `Ok` means that the stream is whole to its last byte, that nothing in it is hostile, and that a name
/// that stood in it twice had the same content, *given that `each` verified what it was handed*: only the
/// second content of a known algorithm is verified here. On `Err` whatever `each` kept has to be thrown
/// away. Nothing is known of tags before the end: index.json may come last. `location` is what messages
/// call the archive.
pub fn pass(
    location: &str,
    reader: impl Read + Send,
    watch: &dyn Watch,
    each: &mut dyn FnMut(Blob, Content<'_>) -> Result<()>,
) -> Result<Passed> {
    let unread = |why: io::Error| Error::new(Kind::Failed, format!("could not read archive {location}")).because(why);
    let mut raw = Stream::buffered(reader);
    let mut start = vec![0; BLOCK as usize];
    let got = fill(&mut raw, &mut start).map_err(unread)?;
    start.truncate(got);
    let form = sniff(&start);
    form.readable(location)?;
    let (unpacked, taken) = form.unpack_counted(io::Cursor::new(start).chain(raw)).map_err(unread)?;
    let taken = || taken.load(Ordering::Relaxed);
    let (mut marker, mut index) = (None, None);
    // Names of algorithms nobody here knows: without this nobody could tell whether a second one is the same.
    let mut unverifiable: BTreeMap<Digest, Digest> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut take = |name: &Name, spot: Spot, mut body: Body<'_>| match name {
        Name::Marker if spot.size > MAX_MARKER => Ok(()),
        Name::Marker => {
            marker = Some(keep(location, spot.at, body)?);
            Ok(())
        }
        Name::Index if spot.size > MAX_INDEX => Err(too_long(location, spot.size)),
        Name::Index => {
            let read = sieve::index(&mut body, spot.size, &taken);
            index = Some(read.map_err(|why| tell_of_index(location, spot.at, why))?);
            Ok(())
        }
        Name::Blob(digest) => {
            let blob = Blob { digest: digest.clone(), size: spot.size };
            let mut body = Sound { body, sound: true };
            let mut hasher = (!digest.verifiable()).then(|| hasher(name));
            let taken = match &mut hasher {
                None => each(blob, Content::Stream(Box::new(&mut body), spot.size)),
                Some(hasher) => each(blob, Content::Stream(Box::new(Hashing { body: &mut body, hasher }), spot.size)),
            };
            match taken {
                // The blob is wrong, and not the archive.
                Err(why) if why.kind() == Kind::Integrity && body.sound => wrong.push(spot.at),
                taken => taken?,
            }
            if let Some(hasher) = hasher {
                let all = walk::hash(hasher, &mut body, watch).map_err(|flaw| tell(location, flaw))??;
                unverifiable.insert(digest.clone(), all);
            }
            Ok(())
        }
    };
    let walked = match form {
        Form::PlainTar => walk(location, &mut Stream::buffered(unpacked), &taken, watch, &mut take),
        _ => thread::scope(|scope| walk(location, &mut Stream::new(ahead(scope, unpacked)?), &taken, watch, &mut take)),
    }?;
    for (name, doubled) in &walked.doubled {
        let first = match name {
            // The second is right: it was held against its name.
            Name::Blob(_) if wrong.binary_search(&doubled.first.at).is_ok() => {
                return Err(tell(location, doubled.differ(name)));
            }
            Name::Marker => marker.as_deref().map(Digest::of),
            Name::Index => index.as_deref().map(Digest::of),
            Name::Blob(digest) => unverifiable.get(digest).cloned(),
        };
        if first.is_some_and(|first| first != doubled.digest) {
            return Err(tell(location, doubled.differ(name)));
        }
    }
    let mut table = walked.table;
    table.wrong = wrong;
    let marker = match (marker, table.marker) {
        (Some(bytes), _) => Marker::judge(&bytes),
        (None, Some(spot)) if spot.size <= MAX_MARKER => Marker::Absent,
        (None, _) => unmarked(&table),
    };
    Ok(Passed { marker, table, location: location.into(), index, packed: (form != Form::PlainTar).then(taken) })
}

/// The error for a link to what was passed over in a stream.
pub(super) fn gone_by(what: String) -> Error {
    Error::new(Kind::Failed, what)
        .because("it is a link to what had gone by in the stream; it can be read if that is saved as a file")
}

/// All of a body, in memory that grows only with what is really there.
fn keep(location: &str, at: u64, mut body: Body<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).map_err(|why| tell(location, Flaw::unread(at, why)))?;
    Ok(bytes)
}

/// What is wrong with an index.json that could not be read to its end.
pub(super) fn tell_of_index(location: &str, at: u64, why: io::Error) -> Error {
    let said = why.to_string();
    match tell(location, Flaw::unread(at, why)) {
        error if error.kind() == Kind::Integrity => {
            Error::new(Kind::Integrity, format!("could not read index.json of {location}")).because(said)
        }
        error => error,
    }
}

/// The Integrity error for an index.json above the limit.
pub(super) fn too_long(location: &str, size: u64) -> Error {
    Error::new(Kind::Integrity, format!("could not read index.json of {location}"))
        .because(format!("it has {size} bytes, the limit is {MAX_INDEX}"))
}

/// A body that remembers whether the stream gave what was asked of it.
struct Sound<'w> {
    body: Body<'w>,
    sound: bool,
}

impl Read for Sound<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.body.read(buf);
        self.sound &= !got.as_ref().is_err_and(|why| why.kind() != io::ErrorKind::Interrupted);
        got
    }
}

/// A body whose bytes are hashed as they are read.
pub(super) struct Hashing<'h, R> {
    pub body: R,
    pub hasher: &'h mut Hasher,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.body.read(buf)?;
        self.hasher.update(&buf[..got]);
        Ok(got)
    }
}
