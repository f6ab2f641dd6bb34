//! Sources and sinks: where content comes from and where it goes.
//!
//! A directory, an archive and memory are all both. Everything above this stands on these traits.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::digest::Digest;
use crate::edit::Edit;
use crate::error::{Error, Result};
use crate::index::IndexFile;
use crate::stamp::Imprint;

/// A blob by name and length.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blob {
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// How a source can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Any blob at any time, from several threads.
    Random,
    /// From the front to the end; [`Source::open`] costs a pass.
    OnePass,
}

/// The state of the `oci-layout` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    /// There and of version 1.0.0.
    Right,
    /// Not there: readable with a warning, never written to (4.5).
    Absent,
    /// There but not what it has to be (LAYOUT-2, LAYOUT-3), and why.
    Wrong(String),
}

impl Marker {
    /// Judges the bytes of an `oci-layout` file.
    pub fn judge(bytes: &[u8]) -> Self {
        use crate::json::{self, Object};
        let read = json::text(bytes).and_then(json::parse::<Object>);
        let version = match &read {
            Err(why) => return Self::Wrong(why.to_string()),
            Ok(members) => members.get("imageLayoutVersion").map(|raw| json::parse::<String>(raw.get())),
        };
        match version {
            None => Self::Wrong("it has no imageLayoutVersion".into()),
            Some(Err(_)) => Self::Wrong("its imageLayoutVersion is no string".into()),
            Some(Ok(version)) if version == "1.0.0" => Self::Right,
            Some(Ok(version)) => Self::Wrong(format!("its imageLayoutVersion is {version:?}, not \"1.0.0\"")),
        }
    }
}

/// The exact bytes of the `oci-layout` file we write (LAYOUT-2).
pub const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The content of one blob, not verified. Whoever reads it hashes it: see [`crate::checked`].
pub enum Content<'a> {
    /// A stretch of an open file.
    Extent {
        /// The file.
        file: &'a File,
        /// Where the content starts.
        at: u64,
        /// Its length.
        len: u64,
    },
    /// A file of its own, from its start, and its length.
    Owned(File, u64),
    /// Bytes in memory.
    Bytes(&'a [u8]),
    /// Whatever comes out, and the length it claims.
    Stream(Box<dyn Read + Send + 'a>, u64),
}

impl<'a> Content<'a> {
    /// The length in bytes: a claim, until the content was read.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        match self {
            Self::Extent { len, .. } | Self::Owned(_, len) | Self::Stream(_, len) => *len,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// A reader from the start, over at most the claimed length.
    pub fn reader(self) -> Box<dyn Read + Send + 'a> {
        match self {
            Self::Extent { file, at, len } => Box::new(ExtentReader { file, at, left: len }),
            Self::Owned(file, len) => Box::new(file.take(len)),
            Self::Bytes(bytes) => Box::new(bytes),
            Self::Stream(reader, len) => Box::new(reader.take(len)),
        }
    }
}

/// Reads a stretch of a file without moving the file's own position, so that threads can share it.
struct ExtentReader<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for ExtentReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if want == 0 {
            return Ok(0);
        }
        let got = self.file.read_at(&mut buf[..want], self.at)?;
        self.at += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

/// Somewhere OCI content is kept: looked at without changing it.
pub trait Source: Send + Sync {
    /// What users call it: the path as they gave it.
    fn location(&self) -> &str;

    /// The state of its `oci-layout` file.
    fn marker(&self) -> Marker;

    /// Its index.json: exact bytes and parsed view. `Err` of kind NotFound where there is none, Integrity
    /// where it does not parse.
    fn index(&self) -> Result<IndexFile>;

    /// The length of a blob as the source has it, or `None` where it is absent. Integrity where there is
    /// something under the name that can be no blob (a directory, a link that leaves).
    fn size(&self, digest: &Digest) -> Result<Option<u64>>;

    /// Names every blob, in any order, each once. Names that are no digests are passed over.
    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()>;

    /// Opens a blob; `None` where it is absent. The content is not verified.
    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>>;

    /// Hands out the wanted blobs that are there in the source's own order, in one pass, each once. A source
    /// of random access has no order of its own; it may read what lies together at once.
    fn visit(&self, want: &BTreeSet<Digest>, f: &mut dyn FnMut(Blob, Content<'_>) -> Result<()>) -> Result<()> {
        for digest in want {
            if let Some(content) = self.open(digest)? {
                f(Blob { digest: digest.clone(), size: content.len() }, content)?;
            }
        }
        Ok(())
    }

    /// How it can be read.
    fn access(&self) -> Access;

    /// Everything found, as values, in any order, also in a broken source: for `fsck`. `Err` only where the source
    /// cannot be listed.
    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()>;

    /// Its index.json as it lies on the disk now, for whoever remembers what is in it. `None` where it does not lie
    /// there as it is, or reading a blob means reading all of them.
    fn imprint(&self) -> Result<Option<Imprint>> {
        Ok(None)
    }

    /// What writers put aside and have not published, or not deleted yet: files and their lengths. Only
    /// directories have any.
    fn staged(&self) -> Result<Count> {
        Ok(Count::default())
    }

    /// How long it is where it is compressed; `None` elsewhere. What comes out of it may be a thousand times longer, and
    /// buys no memory by that: see [`sieve`](crate::sieve).
    fn packed(&self) -> Option<u64> {
        None
    }

    /// Whether its manifests were made by us from something else (ARCHIVE-18): other tools make others, and
    /// signatures of those do not hold.
    fn generated(&self) -> bool {
        false
    }
}

/// One thing found in a source by [`Source::survey`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file that is named as a blob.
    Blob(Blob),
    /// Something below `blobs/` that cannot be a blob: a name that is no digest, a directory, a device, a
    /// link that leaves or dangles. The path in the layout, and why.
    Unfit(String, String),
    /// A file no specification or known tool puts there.
    Stray(String),
    /// A directory has no `blobs` in it (LAYOUT-1); in an archive, directories need no members.
    NoBlobs,
}

/// What becomes of index.json.
pub enum IndexChange {
    /// These exact bytes: for archives and new directories.
    New(Vec<u8>),
    /// These edits, made on whatever is there by then: for directories that exist.
    Edits(Vec<Edit>),
}

/// What will be written, all known before the first byte is.
pub struct Outline {
    /// What becomes of index.json.
    pub index: IndexChange,
    /// Further members of an archive, right behind index.json: (name, bytes).
    pub members: Vec<(String, Vec<u8>)>,
    /// The blobs, each once, in the order an archive has them; parts need not come first, since the sink
    /// publishes parts before wholes by the reverse of this order (manifests stand in front).
    pub blobs: Vec<Blob>,
}

/// Somewhere content can be written to.
pub trait Sink<'a> {
    /// Starts writing. Nothing is visible under a final name before [`Writing::finish`].
    fn begin(self: Box<Self>, outline: Outline) -> Result<Box<dyn Writing + 'a>>;
}

/// Content being written. Dropping it without [`finish`](Self::finish) leaves nothing behind that a
/// later run trips over.
pub trait Writing: Send + Sync {
    /// Writes one blob of the outline, verified: `Ok` means that the bytes written are the blob's. May be
    /// called from several threads at once unless [`ordered`](Self::ordered). On `Err` the whole writing is of no use.
    fn put(&self, blob: &Blob, content: Content<'_>) -> Result<()>;

    /// Whether blobs have to be put in the order of the outline, one at a time.
    fn ordered(&self) -> bool;

    /// Makes what was written durable and visible, all or nothing, index.json last. Fails if a blob of the outline was not put.
    fn finish(self: Box<Self>) -> Result<Done>;
}

/// What a finished writing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Blobs that were not there before, and their bytes.
    pub new: Count,
    /// Blobs that were there and right.
    pub present: Count,
    /// Blobs that were there and wrong.
    pub repaired: Count,
}

/// A number of blobs and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// How many.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Count {
    /// Counts one more blob. What an enemy says of its length does not overflow.
    pub fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Somebody who watches long work and may ask it to stop.
pub trait Watch: Sync {
    /// `n` more bytes were dealt with.
    fn bytes(&self, _n: u64) {}
    /// One more blob was dealt with.
    fn blob(&self) {}
    /// Whether to stop; the work then ends with [`Kind::Interrupted`](crate::error::Kind::Interrupted).
    fn stop(&self) -> bool {
        false
    }
    /// Interrupted where the work is to stop.
    fn go_on(&self) -> Result<()> {
        if self.stop() { Err(Error::interrupted()) } else { Ok(()) }
    }
    /// Something the user should know, though the work goes on.
    fn warn(&self, _message: &str) {}
}

/// Nobody watches.
pub struct Unwatched;
impl Watch for Unwatched {}
