//! The shape of a tar, known before a byte of it is written: every member's header and place.
//!
//! Sizes fix all offsets, so that any thread can write any blob at its place, and the same outline
//! makes the same bytes: no clock, no user, no umask in it (ARCHIVE-9).

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result};
use crate::source::{Blob, IndexChange, OCI_LAYOUT, Outline};

use super::header::BLOCK;
use super::heading::{Heading, Sort};

/// What stands at the end: two blocks of zeros. An archive without them is not whole.
pub const END_MARKER: [u8; 2 * BLOCK as usize] = [0; 2 * BLOCK as usize];

/// One of the members in front of the blobs.
pub struct Member {
    /// Its headers.
    pub head: Vec<u8>,
    /// Its content, to be followed by [`padding`].
    pub body: Vec<u8>,
}

/// Everything about a tar but the blobs' content.
pub struct Shape {
    /// The members before the first blob, in order.
    pub front: Vec<Member>,
    /// The blobs, in order.
    pub blobs: Vec<Blob>,
    /// Where the headers of each blob start.
    pub starts: Vec<u64>,
    /// Where the end marker starts.
    pub end: u64,
}

impl Shape {
    /// The shape of the archive with this outline. Fails where the blobs are more than any file can hold,
    /// and for edits: nothing is ever added to an archive.
    pub fn of(outline: Outline) -> Result<Self> {
        let IndexChange::New(index) = outline.index else {
            return Err(Error::new(Kind::Failed, "could not edit an archive").because("archives are only made new"));
        };
        let file = |name: &str, body: Vec<u8>| Member { head: head(name, Sort::File(body.len() as u64)), body };
        let mut front = vec![file("oci-layout", OCI_LAYOUT.to_vec()), file("index.json", index)];
        front.extend(outline.members.into_iter().map(|(name, body)| file(&name, body)));
        let mut directories: BTreeSet<String> = ["blobs/".to_owned(), "blobs/sha256/".to_owned()].into();
        directories.extend(outline.blobs.iter().map(|blob| format!("blobs/{}/", blob.digest.algorithm())));
        front.extend(directories.iter().map(|name| Member { head: head(name, Sort::Directory), body: Vec::new() }));

        let lengths = front.iter().map(|member| length(member.head.len(), member.body.len() as u64));
        let mut at: u64 = lengths.sum();
        let mut starts = Vec::with_capacity(outline.blobs.len());
        let mut seen = BTreeSet::new();
        for blob in &outline.blobs {
            starts.push(at);
            if !seen.insert(&blob.digest) {
                let what = format!("could not write blob {} into an archive", blob.digest);
                return Err(Error::new(Kind::Failed, what).because("the outline has it twice"));
            }
            // Sizes are claims of whoever made the manifests: none of them may wrap around.
            at = (blob.size < LONGEST)
                .then(|| at + length(blob_head(blob).len(), blob.size))
                .filter(|after| *after < LONGEST)
                .ok_or_else(|| Error::new(Kind::Failed, "could not write an archive of 2^62 bytes or more"))?;
        }
        Ok(Self { front, blobs: outline.blobs, starts, end: at })
    }
}

/// More than any file system holds in a file, and twice this still fits.
const LONGEST: u64 = 1 << 62;

/// How much a member takes in the archive.
fn length(head: usize, body: u64) -> u64 {
    head as u64 + body.next_multiple_of(BLOCK)
}

/// The headers of a blob.
pub fn blob_head(blob: &Blob) -> Vec<u8> {
    head(&blob.digest.path(), Sort::File(blob.size))
}

/// The zeros behind a content of this length.
pub fn padding(size: u64) -> &'static [u8] {
    &END_MARKER[..(size.next_multiple_of(BLOCK) - size) as usize]
}

fn head(name: &str, sort: Sort<'_>) -> Vec<u8> {
    Heading::plain(name, sort).head()
}
