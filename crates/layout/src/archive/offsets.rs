//! The shape of a tar, known before a byte of it is written: every member's header and place.
//!
//! Sizes fix all offsets, so that any thread can write any blob at its place, and the same outline
//! makes the same bytes: no clock, no user, no umask in it (ARCHIVE-9).

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result};
use crate::source::{Blob, IndexChange, OCI_LAYOUT, Outline};

use super::header::BLOCK;

/// What stands at the end: two blocks of zeros. An archive without them is not whole.
pub const END_MARKER: [u8; 2 * BLOCK as usize] = [0; 2 * BLOCK as usize];
/// The first size that a ustar header has no digits for (ARCHIVE-20).
pub const BEYOND_USTAR: u64 = 8 << 30;

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
        let file = |name: &str, body: Vec<u8>| Member { head: head(name, body.len() as u64, Sort::File), body };
        let mut front = vec![file("oci-layout", OCI_LAYOUT.to_vec()), file("index.json", index)];
        front.extend(outline.members.into_iter().map(|(name, body)| file(&name, body)));
        let mut directories: BTreeSet<String> = ["blobs/".to_owned(), "blobs/sha256/".to_owned()].into();
        directories.extend(outline.blobs.iter().map(|blob| format!("blobs/{}/", blob.digest.algorithm())));
        front.extend(directories.iter().map(|name| Member { head: head(name, 0, Sort::Directory), body: Vec::new() }));

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
    head(&blob.digest.path(), blob.size, Sort::File)
}

/// The zeros behind a content of this length.
pub fn padding(size: u64) -> &'static [u8] {
    &END_MARKER[..(size.next_multiple_of(BLOCK) - size) as usize]
}

#[derive(Clone, Copy)]
enum Sort {
    File,
    Directory,
    /// Records that the next header has no room for.
    Pax,
}

/// The headers of a member: one ustar header, and PAX records before it only where the name or the
/// size need them.
fn head(name: &str, size: u64, sort: Sort) -> Vec<u8> {
    let mut records = Vec::new();
    let split = split(name);
    if split.is_none() {
        records.extend(record("path", name));
    }
    if size >= BEYOND_USTAR {
        records.extend(record("size", &size.to_string()));
    }
    let mut head = Vec::new();
    if !records.is_empty() {
        let last = name.rsplit('/').find(|part| !part.is_empty()).unwrap_or(name);
        head.extend(ustar((b"", cut(&format!("PaxHeaders.0/{last}"))), records.len() as u64, Sort::Pax));
        head.extend(&records);
        head.extend(padding(records.len() as u64));
    }
    let fits = if size < BEYOND_USTAR { size } else { 0 };
    head.extend(ustar(split.unwrap_or((b"", cut(name))), fits, sort));
    head
}

/// The room for a name in a ustar header, and for what stands before it.
const NAME: usize = 100;
const PREFIX: usize = 155;

/// A name as ustar has it: what is before some slash and what is behind it. `None` where it does not fit.
fn split(name: &str) -> Option<(&[u8], &[u8])> {
    let name = name.as_bytes();
    if name.len() <= NAME {
        return Some((b"", name));
    }
    let slash = (1..name.len().min(PREFIX + 1)).rev().find(|at| name[*at] == b'/' && at + 1 < name.len())?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (rest.len() <= NAME).then_some((prefix, rest))
}

/// As much of a name as a header has room for, for readers that do not know PAX.
fn cut(name: &str) -> &[u8] {
    &name.as_bytes()[..name.len().min(NAME)]
}

fn ustar((prefix, name): (&[u8], &[u8]), size: u64, sort: Sort) -> [u8; BLOCK as usize] {
    let mut header = tar::Header::new_ustar();
    let (mode, flag) = match sort {
        Sort::File => (0o644, tar::EntryType::Regular),
        Sort::Directory => (0o755, tar::EntryType::Directory),
        Sort::Pax => (0o644, tar::EntryType::XHeader),
    };
    header.set_entry_type(flag);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.name[..name.len()].copy_from_slice(name);
        ustar.prefix[..prefix.len()].copy_from_slice(prefix);
    }
    header.set_cksum();
    *header.as_bytes()
}

/// One PAX record: its own length in front of it, in decimal digits that count themselves.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while rest.len() + length.to_string().len() != length {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}").into_bytes()
}
