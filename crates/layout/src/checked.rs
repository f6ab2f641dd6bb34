//! The one reader that verifies: every byte anybody uses has come through here.

use std::cell::RefCell;
use std::io::{self, Read};

use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::source::{Blob, Content, Source, Watch};

/// The longest manifest read (MANIFEST-21).
pub const MAX_MANIFEST: u64 = 8 << 20;
/// How much is read, hashed and written at a time: fits a core's cache.
pub const CHUNK: usize = 256 << 10;

thread_local! {
    /// Fresh memory is slow; each thread has one buffer for its life.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads all of `content`, hands each piece and its offset to `each`, and checks length and digest.
///
/// `Ok` means that what `each` was given, taken together, is the blob; with an algorithm not known here,
/// that its length is right. On `Err` whatever `each` did with the pieces has to be thrown away. Content
/// that claims another length is refused before it is read (DESCRIPTOR-5); never more than one byte
/// beyond the blob's size is read.
pub fn pump(
    blob: &Blob,
    content: Content<'_>,
    watch: &dyn Watch,
    each: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    if content.len() != blob.size {
        return Err(wrong_size(&blob.digest, blob.size, &content.len().to_string()));
    }
    let mut hasher = blob.digest.hasher();
    let mut take = |piece: &[u8], at: u64| -> Result<()> {
        watch.go_on()?;
        if let Some(hasher) = &mut hasher {
            hasher.update(piece);
        }
        each(piece, at)?;
        watch.bytes(piece.len() as u64);
        Ok(())
    };
    match content {
        Content::Bytes(bytes) => {
            let mut at = 0;
            for piece in bytes.chunks(CHUNK) {
                take(piece, at)?;
                at += piece.len() as u64;
            }
        }
        content => {
            // A stream may have more than it claims: one byte too many is how that shows.
            let mut reader: Box<dyn Read + Send> = match content {
                Content::Stream(reader, _) => reader,
                other => other.reader(),
            };
            BUFFER.with_borrow_mut(|buffer| {
                let room = usize::try_from(blob.size).unwrap_or(CHUNK).clamp(1, CHUNK);
                if buffer.len() < room {
                    buffer.resize(room, 0);
                }
                let mut at = 0;
                while at < blob.size {
                    let want = usize::try_from(blob.size - at).unwrap_or(CHUNK).min(CHUNK);
                    let got = fill(&mut reader, &mut buffer[..want]).map_err(|why| unread(&blob.digest, why))?;
                    if got == 0 {
                        return Err(wrong_size(&blob.digest, blob.size, &at.to_string()));
                    }
                    take(&buffer[..got], at)?;
                    at += got as u64;
                }
                match fill(&mut reader, &mut buffer[..1]) {
                    Ok(0) => Ok(()),
                    Ok(_) => Err(wrong_size(&blob.digest, blob.size, "more")),
                    Err(why) => Err(unread(&blob.digest, why)),
                }
            })?;
        }
    }
    if let Some(hasher) = hasher {
        let found = hasher.finish();
        if found != blob.digest {
            return Err(wrong_digest(&blob.digest, &found));
        }
    }
    watch.blob();
    Ok(())
}

/// A stream that finds its own archive cut or damaged says `InvalidData`; the rest is the medium's trouble.
fn unread(digest: &Digest, why: io::Error) -> Error {
    let kind = if why.kind() == io::ErrorKind::InvalidData { Kind::Integrity } else { Kind::Failed };
    Error::new(kind, format!("could not read blob {digest}")).because(why).anywhere()
}

/// Reads until `buffer` is full or the end: how much there was.
pub(crate) fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match reader.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(got)
}

/// The Integrity error for content of the wrong length.
pub fn wrong_size(digest: &Digest, expected: u64, found: &str) -> Error {
    let what = format!("blob {digest} is not whole");
    Error::new(Kind::Integrity, what).because(format!("it should have {expected} bytes and has {found}")).anywhere()
}

/// The Integrity error for content with the wrong digest.
pub fn wrong_digest(expected: &Digest, found: &Digest) -> Error {
    damaged(expected, format!("its content has the digest {found}")).anywhere()
}

/// The Integrity error for content that is not what its name says.
pub(crate) fn damaged(digest: &Digest, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Integrity, format!("blob {digest} is damaged")).because(why)
}

/// Reads a whole blob into memory, verified. `None` where the source does not have it. Integrity where
/// it is longer than `limit`, or wrong.
pub fn read(source: &dyn Source, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
    match source.open(digest)? {
        None => Ok(None),
        Some(content) => whole(digest, content, limit).map(Some),
    }
}

/// The bytes of `content`, verified; the length is checked against what the content claims only.
pub fn whole(digest: &Digest, content: Content<'_>, limit: u64) -> Result<Vec<u8>> {
    let size = content.len();
    if size > limit {
        let what = format!("could not read {digest} as a document");
        return Err(Error::new(Kind::Integrity, what).because(format!("it has {size} bytes, the limit is {limit}")));
    }
    // A claim of length buys no memory by itself.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(1 << 20));
    let blob = Blob { digest: digest.clone(), size };
    pump(&blob, content, &crate::source::Unwatched, &mut |piece, _| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

/// Reads all of `content` and keeps nothing: `Ok` means that it is the blob.
pub fn verify(blob: &Blob, content: Content<'_>, watch: &dyn Watch) -> Result<()> {
    pump(blob, content, watch, &mut |_, _| Ok(()))
}
