//! Layouts in tar archives: plain ones read in place, compressed ones and pipes in one pass; all written
//! with the same bytes by everybody.
//!
//! Every archive is taken as written by an enemy. No name of a member ever becomes a path on disk.

mod ahead;
pub(crate) mod compress;
mod docker;
mod header;
pub(crate) mod heading;
mod judge;
pub(crate) mod offsets;
mod ordered;
pub mod pass;
mod streamed;
mod table;
mod tape;
mod target;
pub(crate) mod tree;
mod unpack;
mod walk;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, Scope};

use rustix::fs::OFlags;

use crate::checked;
use crate::digest::Digest;
pub use crate::directory::MAX_MARKER;
use crate::error::{Error, Kind, Result};
use crate::index::{IndexFile, MAX_INDEX};
use crate::json::{self, Array, Object};
use crate::sieve::{self, MAX_FRAME};
use crate::source::{Access, Blob, Content, Found, Marker, Source, Unwatched, Watch};
use crate::stamp::Imprint;
use crate::threads::start;

use ahead::{Ahead, ahead};
pub use compress::Compression;
pub use docker::DockerArchive;
pub use header::{MAX_AHEAD, MAX_HEADERS, MAX_NAME, MAX_PAX};
use judge::Name;
pub use pass::{Passed, pass};
pub use streamed::Streamed;
pub use table::{MAX_ALIASES, MAX_HOPS, MAX_LINKS, MAX_OTHERS, Spot, Table};
use tape::{Place, Stream, Tape};
pub use target::Target;
pub use unpack::{Form, MAX_WINDOW_LOG, sniff};
pub(crate) use walk::PACKED_A_NAME;
pub use walk::{MAX_NAMES_FREELY, MAX_REPEATS};
use walk::{Walked, hasher, tell, walk};
pub use write::{ArchiveSink, Existing, Options, StreamSink, widen_pipe};

/// The longest document of a compressed archive that is kept in memory.
pub const MAX_KEPT: u64 = 1 << 20;
/// The most memory spent on such documents.
pub const MAX_KEPT_ALL: u64 = 32 << 20;

/// The shortest index.json for which a second thread is worth its start.
const LONG_INDEX: u64 = 256 << 10;
/// The most of a plain tar read at once.
const WINDOW: u64 = 256 << 10;
/// How much nobody wants is read along rather than passed over: a header and more.
const WORTH_READING: u64 = 16 << 10;

/// A layout in an archive file.
///
/// A plain tar is read in place. A compressed one was read once, to its end, when it was opened; its
/// documents are kept, anything else costs another pass.
#[derive(Debug)]
pub struct Archive {
    location: String,
    file: File,
    form: Form,
    table: Table,
    marker: Marker,
    /// Of a compressed archive.
    index: Option<Vec<u8>>,
    /// Of a plain one, until somebody asks for it.
    parsed: Mutex<Option<IndexFile>>,
    kept: BTreeMap<Digest, Vec<u8>>,
    /// How long it is where it is compressed: how much of it is read into memory follows from that.
    packed: Option<u64>,
}

impl Archive {
    /// Opens the archive file at `path` and judges all its members.
    ///
    /// Integrity where it is cut, damaged, hostile, or no archive at all; that it holds no layout is
    /// said by [`index`](Source::index).
    pub fn open(path: &Path) -> Result<Self> {
        Self::watched(path, &Unwatched)
    }

    /// The same, watched: a large compressed archive takes its time.
    pub fn watched(path: &Path, watch: &dyn Watch) -> Result<Self> {
        let location = path.display().to_string();
        // Opening a FIFO must not wait for a writer.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|why| Error::io("open", path, why))?;
        let status = file.metadata().map_err(|why| Error::io("look at", path, why))?;
        if !status.is_file() {
            let what = format!("could not read archive {location}");
            return Err(Error::new(Kind::Failed, what)
                .because("it is not a regular file")
                .hint("a stream is read with `import -`"));
        }
        let mut start = [0; header::BLOCK as usize];
        let got = checked::fill(&mut Place::new(&file, status.len()), &mut start);
        let form = sniff(&start[..got.map_err(|why| Error::io("read", path, why))?]);
        form.readable(&location)?;
        match form {
            Form::PlainTar => Self::in_place(location, file, status.len(), watch),
            _ => Self::packed(location, file, form, watch),
        }
    }

    fn in_place(location: String, file: File, len: u64, watch: &dyn Watch) -> Result<Self> {
        // A long index.json is parsed while the walk goes on: it stands in front of our bundles. If it is
        // wrong, whoever asks for it is told.
        let (found, long_index) = mpsc::channel();
        let (walked, parsed) = thread::scope(|scope| {
            let (file, location) = (&file, &location);
            let walking = start(scope, move || {
                walk(location, &mut Place::new(file, len), &|| u64::MAX, watch, &mut |name, spot, _| {
                    if *name == Name::Index && (LONG_INDEX..=MAX_INDEX).contains(&spot.size) {
                        // Who listens goes on to listen until this thread is done.
                        let _ = found.send(spot);
                    }
                    Ok(())
                })
            })?;
            let bytes = |spot| index_bytes(location, file, spot);
            let parsed = long_index.recv().ok().and_then(|spot| bytes(spot).and_then(IndexFile::parse).ok());
            let walked = walking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok((walked, parsed))
        })?;
        let mut archive = Self {
            location,
            file,
            form: Form::PlainTar,
            marker: Marker::Absent,
            index: None,
            parsed: Mutex::new(parsed),
            kept: BTreeMap::new(),
            packed: None,
            table: Table::default(),
        };
        archive.settle(walked, watch)?;
        archive.marker = match archive.table.marker {
            Some(spot) if spot.size <= MAX_MARKER => Marker::judge(&archive.bytes(spot)?),
            _ => unmarked(&archive.table),
        };
        Ok(archive)
    }

    fn packed(location: String, file: File, form: Form, watch: &dyn Watch) -> Result<Self> {
        let mut kept: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
        let (mut marker, mut index, mut all) = (None, None, 0);
        let unpacked = form.unpack_counted(At { file: &file, at: 0 });
        let (unpacked, taken) = unpacked.map_err(|why| Error::io("read", &location, why))?;
        let taken = || taken.load(Ordering::Relaxed);
        let mut tape = Stream::buffered(unpacked);
        let walked = walk(&location, &mut tape, &taken, watch, &mut |name, spot, mut body| {
            let unread = |why| tell(&location, header::Flaw::unread(spot.at, why));
            match name {
                Name::Marker if spot.size <= MAX_MARKER => {
                    let mut bytes = Vec::new();
                    body.read_to_end(&mut bytes).map_err(unread)?;
                    marker = Some(bytes);
                }
                Name::Index if spot.size <= MAX_INDEX => {
                    let read = sieve::index(&mut body, spot.size, &taken);
                    index = Some(read.map_err(|why| pass::tell_of_index(&location, spot.at, why))?);
                }
                Name::Blob(digest)
                    if spot.size > 0
                        && spot.size <= MAX_KEPT.min(MAX_KEPT_ALL - all)
                        && all + spot.size <= sieve::unpacked_from(taken()) =>
                {
                    let bytes = document(&mut body).map_err(unread)?;
                    all += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
                    bytes.map(|bytes| kept.insert(digest.clone(), bytes));
                }
                _ => {}
            }
            Ok(())
        })?;
        drop(tape);
        let packed = Some(taken());
        let mut archive = Self {
            location,
            file,
            form,
            marker: Marker::Absent,
            index,
            parsed: Mutex::default(),
            kept,
            packed,
            table: Table::default(),
        };
        archive.settle(walked, watch)?;
        // What these two are links to went by under another name.
        if let (None, Some(spot)) = (&archive.index, archive.table.index)
            && spot.size <= MAX_INDEX
        {
            let (mut linked, taken) = archive.again(spot)?;
            let read = sieve::index(&mut linked, spot.size, &|| taken.load(Ordering::Relaxed));
            let read = read.map_err(|why| pass::tell_of_index(&archive.location, spot.at, why));
            drop(linked);
            archive.index = Some(read?);
        }
        if let (None, Some(spot)) = (&marker, archive.table.marker)
            && spot.size <= MAX_MARKER
        {
            let mut bytes = Vec::new();
            let read = archive.again(spot)?.0.read_to_end(&mut bytes);
            read.map_err(|why| tell(&archive.location, header::Flaw::unread(spot.at, why)))?;
            marker = Some(bytes);
        }
        archive.marker = marker.map_or_else(|| unmarked(&archive.table), |bytes| Marker::judge(&bytes));
        Ok(archive)
    }

    /// What lies at `spot` of a compressed archive, which is unpacked once more as far as that, and how much was taken of
    /// the file so far.
    fn again(&self, spot: Spot) -> Result<(impl Read + '_, Arc<AtomicU64>)> {
        let unpacked = self.form.unpack_counted(At { file: &self.file, at: 0 });
        let (unpacked, taken) = unpacked.map_err(|why| Error::io("read", &self.location, why))?;
        let mut tape = Stream::buffered(unpacked);
        self.forward(&mut tape, spot.at)?;
        Ok((tape.take(spot.size), taken))
    }

    /// Takes over what a walk found, once every name that stands twice was seen to have one content.
    fn settle(&mut self, walked: Walked, watch: &dyn Watch) -> Result<()> {
        self.table = walked.table;
        let mut doubled: Vec<_> = walked.doubled.into_iter().collect();
        doubled.sort_by_key(|(_, doubled)| doubled.first.at);
        self.reel(|reel| {
            doubled.iter().try_for_each(|(name, doubled)| {
                reel.hand(doubled.first, &mut |content| {
                    let found = walk::hash(hasher(name), &mut content.reader(), watch);
                    if found.map_err(|flaw| tell(&self.location, flaw))?? != doubled.digest {
                        return Err(tell(&self.location, doubled.differ(name)));
                    }
                    Ok(())
                })
            })
        })
    }

    /// Lends a reel, which has threads that end with it.
    fn reel<'a>(&'a self, f: impl for<'s> FnOnce(&mut Reel<'s, 'a>) -> Result<()>) -> Result<()> {
        thread::scope(|scope| f(&mut Reel { archive: self, open: None, scope }))
    }

    /// NotFound where there is no layout in it: no index.json.
    pub fn holds_layout(&self) -> Result<()> {
        if self.table.index.is_none() { Err(no_layout(&self.location, &self.table)) } else { Ok(()) }
    }

    /// Whether it is a docker archive without a layout, or with one that lists nothing: then [`DockerArchive`] reads it.
    pub fn holds_docker(&self) -> Result<bool> {
        match (&self.index, self.table.index) {
            (_, Some(spot)) if !self.table.docker || spot.size > MAX_FRAME as u64 => Ok(false),
            (Some(bytes), Some(_)) => Ok(lists_nothing(bytes)),
            (None, Some(spot)) => Ok(lists_nothing(&self.bytes(spot)?)),
            (_, None) => Ok(holds_docker(&self.table)),
        }
    }

    /// Whether Docker's manifest.json is in it, whatever else is.
    pub fn lists_for_docker(&self) -> bool {
        self.table.docker
    }

    /// The unpacked stream.
    fn unpacked(&self) -> Result<Box<dyn Read + Send + '_>> {
        let unpacked = self.form.unpack(At { file: &self.file, at: 0 });
        unpacked.map_err(|why| Error::io("read", &self.location, why))
    }

    fn forward(&self, tape: &mut dyn Tape, n: u64) -> Result<()> {
        let got = tape.skip(n).map_err(|why| tell(&self.location, header::Flaw::unread(0, why)))?;
        if got < n {
            let what = format!("could not read archive {}", self.location);
            return Err(Error::new(Kind::Failed, what).because("it was changed while it was read"));
        }
        Ok(())
    }

    fn extent(&self, spot: Spot) -> Content<'_> {
        Content::Extent { file: &self.file, at: spot.at, len: spot.size }
    }

    /// All bytes of a spot of a plain tar.
    fn bytes(&self, spot: Spot) -> Result<Vec<u8>> {
        spot_bytes(&self.location, &self.file, spot)
    }
}

fn spot_bytes(location: &str, file: &File, spot: Spot) -> Result<Vec<u8>> {
    // A claim of length buys little memory by itself.
    let mut bytes = Vec::with_capacity(usize::try_from(spot.size).unwrap_or(0).min(1 << 20));
    let read = Content::Extent { file, at: spot.at, len: spot.size }.reader().read_to_end(&mut bytes);
    read.map_err(|why| Error::io("read", location, why))?;
    Ok(bytes)
}

/// The bytes of an index.json in a plain tar.
fn index_bytes(location: &str, file: &File, spot: Spot) -> Result<Vec<u8>> {
    let mut reader = Content::Extent { file, at: spot.at, len: spot.size }.reader();
    let read = sieve::index(&mut reader, spot.size, &|| u64::MAX);
    read.map_err(|why| pass::tell_of_index(location, spot.at, why))
}

impl Source for Archive {
    fn location(&self) -> &str {
        &self.location
    }

    fn marker(&self) -> Marker {
        self.marker.clone()
    }

    fn index(&self) -> Result<IndexFile> {
        if let Some(parsed) = self.parsed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(parsed);
        }
        match (&self.index, self.table.index) {
            (_, Some(spot)) if spot.size > MAX_INDEX => Err(pass::too_long(&self.location, spot.size)),
            (Some(bytes), _) => {
                self.packed.map_or(Ok(()), |packed| sieve::explained(bytes, packed, &self.location))?;
                IndexFile::parse(bytes.clone())
            }
            (None, Some(spot)) => IndexFile::parse(index_bytes(&self.location, &self.file, spot)?),
            (None, None) => Err(no_layout(&self.location, &self.table)),
        }
    }

    fn imprint(&self) -> Result<Option<Imprint>> {
        let (Form::PlainTar, Some(spot)) = (self.form, self.table.index) else { return Ok(None) };
        // Whoever asks for this remembers, and seldom needs the whole.
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let failed = |why| Error::io("read", &self.location, why);
        let file = self.file.try_clone().map_err(failed)?;
        Imprint::of(file, spot.at, spot.size).map(Some).map_err(failed)
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.table.find(digest)?.map(|spot| spot.size))
    }

    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        self.table.blobs().for_each(|(digest, _)| f(digest.clone()));
        self.table.aliases().for_each(|(digest, _)| f(digest.clone()));
        self.table.elsewhere().for_each(|(digest, _)| f(digest.clone()));
        Ok(())
    }

    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        let Some(spot) = self.table.find(digest)? else { return Ok(None) };
        if let Some(bytes) = self.kept(digest) {
            return Ok(Some(Content::Bytes(bytes)));
        }
        if self.form == Form::PlainTar {
            return Ok(Some(self.extent(spot)));
        }
        Ok(Some(Content::Stream(Box::new(self.again(spot)?.0), spot.size)))
    }

    fn visit(&self, want: &BTreeSet<Digest>, f: &mut dyn FnMut(Blob, Content<'_>) -> Result<()>) -> Result<()> {
        let mut found = Vec::new();
        for digest in want {
            if let Some(spot) = self.table.find(digest)? {
                found.push((spot, digest));
            }
        }
        found.sort_by_key(|(spot, digest)| (spot.at, *digest));
        if self.form == Form::PlainTar {
            return self.together(&found, f);
        }
        // One member under several names takes as many rounds.
        while !found.is_empty() {
            let (mut round, mut later): (Vec<(Spot, &Digest)>, Vec<_>) = (Vec::new(), Vec::new());
            for (spot, digest) in found {
                match round.last() {
                    Some((last, _)) if last.at == spot.at && spot.size > 0 => later.push((spot, digest)),
                    _ => round.push((spot, digest)),
                }
            }
            found = later;
            self.reel(|reel| {
                round.into_iter().try_for_each(|(spot, digest)| {
                    let blob = Blob { digest: digest.clone(), size: spot.size };
                    match self.kept(digest) {
                        Some(bytes) => f(blob, Content::Bytes(bytes)),
                        None => reel.hand(spot, &mut |content| f(blob.clone(), content)),
                    }
                })
            })?;
        }
        Ok(())
    }

    fn access(&self) -> Access {
        match self.form {
            Form::PlainTar => Access::Random,
            _ => Access::OnePass,
        }
    }

    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        self.table.survey(f);
        Ok(())
    }

    fn packed(&self) -> Option<u64> {
        self.packed
    }
}

impl Archive {
    /// Hands out contents of a plain tar, in the order of their spots. Small ones that lie close together
    /// are read at once: a layout's manifests, for one.
    fn together(&self, found: &[(Spot, &Digest)], f: &mut dyn FnMut(Blob, Content<'_>) -> Result<()>) -> Result<()> {
        let mut window = Vec::new();
        let mut rest = found;
        while let Some((first, _)) = rest.first() {
            let (mut end, mut count) = (first.at, 0);
            for (spot, _) in rest {
                let after = end.max(spot.at + spot.size);
                if after - first.at > WINDOW || spot.at > end + WORTH_READING {
                    break;
                }
                (end, count) = (after, count + 1);
            }
            let (near, far) = rest.split_at(count.max(1));
            rest = far;
            let mut read: &[u8] = &[];
            if near.len() > 1 {
                let len = (end - first.at) as usize;
                if window.len() < len {
                    window.resize(len, 0);
                }
                let mut place = At { file: &self.file, at: first.at };
                let got = checked::fill(&mut place, &mut window[..len])
                    .map_err(|why| Error::io("read", &self.location, why))?;
                read = &window[..got];
            }
            for (spot, digest) in near {
                let blob = Blob { digest: (*digest).clone(), size: spot.size };
                // What is cut off by now is left to whoever reads it.
                let start = (spot.at - first.at) as usize;
                match read.get(start..).and_then(|bytes| bytes.get(..usize::try_from(spot.size).ok()?)) {
                    Some(bytes) => f(blob, Content::Bytes(bytes))?,
                    None => f(blob, self.extent(*spot))?,
                }
            }
        }
        Ok(())
    }

    /// The content of a document that was kept.
    fn kept(&self, digest: &Digest) -> Option<&Vec<u8>> {
        self.kept.get(digest).or_else(|| self.kept.get(self.table.own(digest)?))
    }
}

/// Reads an archive's contents in their order, over one unpacking at most.
struct Reel<'s, 'a> {
    archive: &'a Archive,
    /// The unpacked stream and where in it this stands, once something had to be unpacked.
    open: Option<(Stream<Ahead>, u64)>,
    /// Where unpacking has its own thread.
    scope: &'s Scope<'s, 'a>,
}

impl Reel<'_, '_> {
    /// Hands out the content at `spot`, which must not lie before any handed out earlier.
    fn hand(&mut self, spot: Spot, f: &mut dyn FnMut(Content<'_>) -> Result<()>) -> Result<()> {
        let archive = self.archive;
        if archive.form == Form::PlainTar {
            return f(archive.extent(spot));
        }
        let (tape, at) = match &mut self.open {
            Some(open) => open,
            closed => closed.insert((Stream::new(ahead(self.scope, archive.unpacked()?)?), 0)),
        };
        archive.forward(tape, spot.at - *at)?;
        let mut content = tape.take(spot.size);
        f(Content::Stream(Box::new(&mut content), spot.size))?;
        *at = spot.at + (spot.size - content.limit());
        Ok(())
    }
}

/// A file read from the front without moving its own position.
struct At<'f> {
    file: &'f File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buf, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

/// The whole body if it looks like a JSON object, else `None`, with some of it read.
fn document(body: &mut dyn Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; 64];
    let mut got = 0;
    loop {
        match bytes[..got].trim_ascii_start() {
            [b'{', ..] => break,
            [] if got < bytes.len() => match body.read(&mut bytes[got..]) {
                Ok(0) => return Ok(None),
                Ok(n) => got += n,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            },
            _ => return Ok(None),
        }
    }
    bytes.truncate(got);
    body.read_to_end(&mut bytes)?;
    bytes.shrink_to_fit();
    Ok(Some(bytes))
}

/// The state of the marker where its bytes could not be kept.
fn unmarked(table: &Table) -> Marker {
    match (table.marker, table.unfit(&Name::Marker)) {
        (Some(spot), _) => Marker::Wrong(format!("it has {} bytes", spot.size)),
        (None, Some(why)) => Marker::Wrong(why.into()),
        (None, None) => Marker::Absent,
    }
}

/// Whether an index.json lists nothing at all: Docker's manifest.json beside it may list more (ARCHIVE-16, 4.10).
fn lists_nothing(index: &[u8]) -> bool {
    let Ok(text) = json::text(index) else { return false };
    let no = |text: &str| matches!(text, "" | "null") || json::parse::<Array>(text).is_ok_and(|list| list.0.is_empty());
    let object = || json::parse::<Object>(text).ok();
    no(text.trim()) || object().is_some_and(|object| object.get("manifests").is_none_or(|list| no(list.get())))
}

/// Whether there is Docker's manifest.json and nothing called index.json (ARCHIVE-2).
fn holds_docker(table: &Table) -> bool {
    table.docker && table.index.is_none() && table.unfit(&Name::Index).is_none()
}

const DOCKER_IN_A_STREAM: &str = "it is a docker-archive, and those are read from a file, not from a stream";

/// Why there is no index.json.
fn no_layout(location: &str, table: &Table) -> Error {
    if let Some(why) = table.unfit(&Name::Index) {
        let what = format!("could not read index.json of {location}");
        return Error::new(Kind::Integrity, what).because(why.to_owned());
    }
    if table.marker.is_some() || table.unfit(&Name::Marker).is_some() {
        return Error::new(Kind::NotFound, format!("could not open {location}")).because("it has no index.json");
    }
    let none = |more: &str| {
        let what = format!("could not open {location}");
        Error::new(Kind::NotFound, what).because(format!("it is no OCI layout{more}"))
    };
    if let Some(below) = &table.below {
        return none(&format!(": its layout lies below the directory {below:?}"))
            .hint(format!("pack it again from inside that directory: tar -C {below:?} -cf NEW.tar ."));
    }
    if table.repositories && !table.docker {
        return none(": it is an archive of Docker before 1.10, whose images have no configs")
            .hint("load it into a docker or podman that is not too old, and save it again");
    }
    if table.docker {
        return none("").hint(DOCKER_IN_A_STREAM);
    }
    none("")
}
