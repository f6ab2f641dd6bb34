//! Everything that can be learned from an archive, in every way there is to read it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use ocistow_layout::archive::{self, Archive};
use ocistow_layout::{Content, Digest, Found, Kind, Marker, Source, Unwatched, checked};

use crate::scratch;

/// The most that is read of one blob: sparse claims and bombs of compression end here.
const MAX: u64 = 16 << 20;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Its `oci-layout`.
    pub marker: Marker,
    /// The bytes of its index.json.
    pub index: Result<Vec<u8>, Kind>,
    /// Every blob, with content that was checked, or how it is wrong.
    pub blobs: BTreeMap<Digest, Result<Vec<u8>, Kind>>,
    /// What `fsck` is told.
    pub found: Vec<Found>,
}

impl View {
    fn wrong(&self) -> bool {
        self.blobs.values().any(Result::is_err)
    }
}

/// What is read in place, or out of a compressed file.
pub fn in_place(bytes: &[u8]) -> Result<View, Kind> {
    let path = scratch::file("archive", bytes);
    let archive = Archive::open(&path).map_err(|why| why.kind())?;
    let (mut names, mut found, mut blobs) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
    archive.names(&mut |digest| assert!(names.insert(digest), "each name comes once")).unwrap();
    archive.survey(&mut |one| found.push(one)).unwrap();
    let visited = archive.visit(&names, &mut |blob, content| {
        let content = checked::whole(&blob.digest, content, MAX).map_err(|why| why.kind());
        assert!(blobs.insert(blob.digest, content).is_none(), "each blob comes once");
        Ok(())
    });
    visited.map_err(|why| why.kind())?;
    assert!(blobs.keys().eq(&names), "all that is named is there");
    for (digest, content) in &blobs {
        let again = checked::read(&archive, digest, MAX).map_err(|why| why.kind());
        let again = again.map(|content| content.expect("what was visited can be opened"));
        assert_eq!(again, *content, "open and visit agree on {digest}");
        let size = archive.size(digest).map_err(|why| why.kind());
        if let Ok(content) = content {
            assert_eq!(size, Ok(Some(content.len() as u64)));
        }
    }
    let index = archive.index().map(|index| index.bytes().to_vec()).map_err(|why| why.kind());
    Ok(View { marker: archive.marker(), index, blobs, found })
}

/// What comes out of a stream, a little at a time.
pub fn in_one_pass(bytes: &[u8]) -> Result<View, Kind> {
    let mut blobs: BTreeMap<Digest, Result<Vec<u8>, Kind>> = BTreeMap::new();
    let passed = archive::pass("-", Trickle(bytes), &Unwatched, &mut |blob, content: Content<'_>| {
        let content = checked::whole(&blob.digest, content, MAX);
        let (kept, refused) = match content {
            Ok(bytes) => (Ok(bytes), Ok(())),
            Err(why) => (Err(why.kind()), Err(why)),
        };
        assert!(blobs.insert(blob.digest, kept).is_none(), "each blob comes once");
        refused
    });
    let passed = passed.map_err(|why| why.kind())?;
    for (digest, content) in &blobs {
        assert_eq!(
            passed.table.find(digest).is_ok(),
            content.is_ok(),
            "what was refused is refused to others: {digest}"
        );
    }
    for (alias, own) in passed.table.aliases() {
        let content = blobs[own].clone().map_err(|_| Kind::Integrity);
        let right = |bytes: &Vec<u8>| alias.same_of(bytes).is_none_or(|found| found == *alias);
        blobs.insert(
            alias.clone(),
            content.and_then(|bytes| if right(&bytes) { Ok(bytes) } else { Err(Kind::Integrity) }),
        );
    }
    for (name, _) in passed.table.elsewhere() {
        blobs.insert(name.clone(), Err(Kind::Failed));
    }
    let mut found = Vec::new();
    passed.table.survey(&mut |one| found.push(one));
    let marker = passed.marker();
    let index = passed.index().map(|index| index.bytes().to_vec()).map_err(|why| why.kind());
    Ok(View { marker, index, blobs, found })
}

/// A reader that gives a little at a time, as pipes do.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = buf.len().min(700);
        self.0.read(&mut buf[..want])
    }
}

/// Holds two ways of reading one archive against each other. They accept the same and see the same. Where content is
/// wrong, which whoever reads it refuses, either may say so at once: in place of two contents of one name. What links
/// lead to outside of the blobs is Failed to whoever needs it out of a stream.
#[track_caller]
pub fn same(place: &Result<View, Kind>, pass: &Result<View, Kind>, how: &str) {
    let mut pass = pass.clone();
    if let (Ok(place), Ok(pass)) = (place, &mut pass) {
        if pass.index == Err(Kind::Failed) {
            (pass.marker, pass.index) = (place.marker.clone(), place.index.clone());
        }
        for (digest, content) in pass.blobs.iter_mut().filter(|(_, content)| **content == Err(Kind::Failed)) {
            content.clone_from(&place.blobs[digest]);
        }
    }
    let pass = &pass;
    match (place, pass) {
        (Ok(view), Err(kind)) | (Err(kind), Ok(view)) if view.wrong() => assert_eq!(*kind, Kind::Integrity, "{how}"),
        (Ok(place), Ok(pass)) if place.wrong() => {
            assert_eq!((&place.marker, &place.index, &place.found), (&pass.marker, &pass.index, &pass.found), "{how}");
            assert!(place.blobs.keys().eq(pass.blobs.keys()), "{how}");
            for (digest, content) in &pass.blobs {
                // A name for content whose own name is wrong was not looked at: that one was refused before.
                assert!(content.is_err() || place.blobs[digest] == *content, "{how}: {digest}");
            }
        }
        _ => assert_eq!(place, pass, "{how}"),
    }
}

/// Reads a plain tar in every way, packed and as it is: all agree.
pub fn read(tar: &[u8]) -> Result<View, Kind> {
    let place = in_place(tar);
    same(&place, &in_one_pass(tar), "a stream");
    if place.is_ok() || tar.len() < 4096 {
        let packed = gzip(tar);
        same(&place, &in_place(&packed), "gzip");
        same(&place, &in_one_pass(&packed), "gzip in a stream");
        let packed = zstd::bulk::compress(tar, 1).unwrap();
        same(&place, &in_place(&packed), "zstd");
        same(&place, &in_one_pass(&packed), "zstd in a stream");
    }
    if let Err(kind) = &place {
        assert_eq!(*kind, Kind::Integrity, "nothing but its content is wrong with it");
    }
    place
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}
