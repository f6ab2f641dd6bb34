//! Carrying from every kind of source into every kind of sink.
// Everything here is a test, also what clippy does not know to be one.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ocistow_layout::archive::{ArchiveSink, Compression, Existing, Options, StreamSink};
use ocistow_layout::memory::{Memory, MemorySink};
use ocistow_layout::transaction::{self, DirectorySink};
use ocistow_layout::{
    Access, Blob, Content, Digest, Done, Found, IndexChange, IndexFile, Kind, Marker, Outline, Result, Sink, Source,
    Unwatched, Watch, Writing, carry,
};

/// A layout of blobs of many sizes; the index names none of them, which is nothing to a carrier.
fn layout() -> Memory {
    let mut layout = Memory::default();
    for n in 0..60_u32 {
        let size = if n % 20 == 0 { 3_000_000 } else { n as usize * 37 };
        layout.add(n.to_le_bytes().iter().copied().cycle().take(size).collect::<Vec<u8>>());
    }
    layout
}

fn blobs(layout: &Memory) -> Vec<Blob> {
    layout.blobs.iter().map(|(digest, bytes)| Blob { digest: digest.clone(), size: bytes.len() as u64 }).collect()
}

fn outline(layout: &Memory) -> Outline {
    Outline { index: IndexChange::New(layout.index.clone()), members: vec![], blobs: blobs(layout) }
}

/// Carries everything of `layout`, found in `source`, into an archive at `path`.
fn archive(layout: &Memory, source: &dyn Source, path: &Path, compression: Compression, threads: usize) -> Vec<u8> {
    let options = Options { compression, threads, ..Options::default() };
    let writing = Box::new(ArchiveSink::new(path, Existing::Replace, options)).begin(outline(layout)).unwrap();
    let done = carry(source, writing, &blobs(layout), &BTreeMap::new(), threads, &Unwatched).unwrap();
    assert_eq!(done.new.blobs, layout.blobs.len() as u64);
    fs::read(path).unwrap()
}

/// A memory that can only be passed over, from its last blob to its first.
struct Backwards(Memory);

impl Source for Backwards {
    fn location(&self) -> &str {
        "backwards"
    }
    fn marker(&self) -> Marker {
        self.0.marker()
    }
    fn index(&self) -> Result<IndexFile> {
        self.0.index()
    }
    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.0.size(digest)
    }
    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        self.0.names(f)
    }
    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        panic!("opened {digest} of a source that can only be passed over")
    }
    fn visit(&self, want: &BTreeSet<Digest>, f: &mut dyn FnMut(Blob, Content<'_>) -> Result<()>) -> Result<()> {
        for (digest, bytes) in self.0.blobs.iter().rev().filter(|(digest, _)| want.contains(digest)) {
            let size = bytes.len() as u64;
            f(Blob { digest: digest.clone(), size }, Content::Stream(Box::new(&bytes[..]), size))?;
        }
        Ok(())
    }
    fn access(&self) -> Access {
        Access::OnePass
    }
    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        self.0.survey(f)
    }
}

#[test]
fn an_archive_has_the_same_bytes_whatever_it_was_made_from() {
    let layout = layout();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
        let expected = archive(&layout, &layout, &at("memory"), compression, 1);

        let writing = Box::new(DirectorySink { path: at("dir"), options: transaction::Options::default() });
        let writing = writing.begin(outline(&layout)).unwrap();
        carry(&layout, writing, &blobs(&layout), &BTreeMap::new(), 2, &Unwatched).unwrap();
        archive(&layout, &layout, &at("plain"), Compression::None, 2);
        archive(&layout, &layout, &at("gzip"), Compression::Gzip(1), 2);
        archive(&layout, &layout, &at("zstd"), Compression::Zstd(1), 2);
        for name in ["dir", "plain", "gzip", "zstd"] {
            let source = ocistow_layout::open(&at(name), &Unwatched).unwrap();
            for threads in [1, 2, 5] {
                let bytes = archive(&layout, &*source, &at("again"), compression, threads);
                assert!(bytes == expected, "{compression:?} from {name} by {threads}");
            }
        }
        let bytes = archive(&layout, &Backwards(layout.clone()), &at("again"), compression, 2);
        assert!(bytes == expected, "{compression:?} backwards");
        fs::remove_dir_all(at("dir")).unwrap();
    }
}

#[test]
fn what_went_out_comes_in_again() {
    let layout = layout();
    let dir = tempfile::tempdir().unwrap();
    for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
        let path = dir.path().join("a");
        archive(&layout, &layout, &path, compression, 2);
        let source = ocistow_layout::open(&path, &Unwatched).unwrap();
        assert_eq!(source.marker(), Marker::Right);
        let back = Mutex::new(Memory::default());
        let writing = Box::new(MemorySink(&back)).begin(outline(&layout)).unwrap();
        carry(&*source, writing, &blobs(&layout), &BTreeMap::new(), 2, &Unwatched).unwrap();
        assert!(back.into_inner().unwrap() == layout, "{compression:?}");
    }
}

/// Every pairing of a source and a sink: what they are called, and how to carry between them.
fn pairings(layout: &Memory, mut with: impl FnMut(&str, &dyn Source, Box<dyn Writing + '_>)) {
    let dir = tempfile::tempdir().unwrap();
    let backwards = Backwards(layout.clone());
    for (name, source) in [("random", layout as &dyn Source), ("one pass", &backwards)] {
        let file = |compression| {
            let options = Options { compression, ..Options::default() };
            Box::new(ArchiveSink::new(dir.path().join("a"), Existing::Keep, options))
        };
        with(&format!("{name}, any order"), source, file(Compression::None).begin(outline(layout)).unwrap());
        with(&format!("{name}, ordered"), source, file(Compression::GZIP).begin(outline(layout)).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{name} left something behind");
    }
}

#[test]
fn a_blob_the_source_lacks_is_named_and_nothing_is_left() {
    let layout = layout();
    let absent = Blob { digest: Digest::of(b"absent"), size: 6 };
    pairings(&layout, |name, source, writing| {
        let mut all = blobs(&layout);
        all.insert(7, absent.clone());
        let why = carry(source, writing, &all, &BTreeMap::new(), 3, &Unwatched).unwrap_err();
        // The sink's outline does not have it either, but it must not come to that.
        assert_eq!(why.kind(), Kind::Incomplete, "{name}: {}", why.chain());
        assert!(why.chain().contains(&absent.digest.to_string()), "{name}: {}", why.chain());
    });
}

#[test]
fn nothing_is_carried_by_no_threads() {
    let layout = Memory::default();
    let to = Mutex::new(Memory::default());
    let writing = Box::new(MemorySink(&to)).begin(outline(&layout)).unwrap();
    carry(&layout, writing, &[], &BTreeMap::new(), 0, &Unwatched).unwrap();
}

#[test]
fn a_wrong_blob_stops_everything_and_nothing_is_left() {
    for wrong in [&b"too short"[..], &[7; 3_000_000], &[7; 4_000_000]] {
        let mut broken = layout();
        let digest = blobs(&broken).into_iter().find(|blob| blob.size == 3_000_000).unwrap().digest;
        let right = broken.clone();
        broken.blobs.insert(digest.clone(), wrong.to_vec());
        pairings(&right, |name, source, writing| {
            let broken: Box<dyn Source> = match source.access() {
                Access::Random => Box::new(broken.clone()),
                Access::OnePass => Box::new(Backwards(broken.clone())),
            };
            let why = carry(&*broken, writing, &blobs(&right), &BTreeMap::new(), 2, &Unwatched).unwrap_err();
            assert_eq!(why.kind(), Kind::Integrity, "{name}: {}", why.chain());
            assert!(why.chain().contains(&digest.to_string()), "{name}: {}", why.chain());
        });
    }
}

#[test]
fn content_known_beforehand_is_not_asked_of_the_source() {
    let layout = layout();
    let mut poorer = layout.clone();
    let known: Vec<Digest> = layout.blobs.keys().step_by(3).cloned().collect();
    let inline: BTreeMap<_, _> =
        known.iter().map(|digest| (digest.clone(), poorer.blobs.remove(digest).unwrap())).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let backwards = Backwards(poorer.clone());
    for compression in [Compression::None, Compression::Zstd(1)] {
        let expected = archive(&layout, &layout, &path, compression, 1);
        for source in [&poorer as &dyn Source, &backwards] {
            let options = Options { compression, ..Options::default() };
            let writing =
                Box::new(ArchiveSink::new(&path, Existing::Replace, options)).begin(outline(&layout)).unwrap();
            carry(source, writing, &blobs(&layout), &inline, 2, &Unwatched).unwrap();
            assert!(fs::read(&path).unwrap() == expected);
        }
    }
}

/// Somebody who says stop after a number of looks.
struct Impatient(AtomicUsize);

impl Watch for Impatient {
    fn stop(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

#[test]
fn whoever_stops_the_carrying_leaves_nothing_behind() {
    let layout = layout();
    for looks in [0, 1, 20] {
        pairings(&layout, |name, source, writing| {
            let watch = Impatient(AtomicUsize::new(looks));
            let why = carry(source, writing, &blobs(&layout), &BTreeMap::new(), 2, &watch).unwrap_err();
            assert_eq!(why.kind(), Kind::Interrupted, "{name}, {looks}");
        });
    }
}

/// Counts how many puts run at once.
struct Crowd {
    inside: AtomicUsize,
    most: Arc<AtomicUsize>,
}

impl Writing for Crowd {
    fn put(&self, blob: &Blob, content: Content<'_>) -> Result<()> {
        self.most.fetch_max(self.inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        assert_eq!(io::copy(&mut content.reader(), &mut io::sink()).unwrap(), blob.size);
        std::thread::sleep(std::time::Duration::from_millis(1));
        self.inside.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
    fn ordered(&self) -> bool {
        false
    }
    fn finish(self: Box<Self>) -> Result<Done> {
        Ok(Done::default())
    }
}

#[test]
fn never_more_threads_than_allowed_put_at_once() {
    let layout = layout();
    for threads in [1, 2, 4] {
        let most = Arc::new(AtomicUsize::new(0));
        let crowd = Box::new(Crowd { inside: AtomicUsize::new(0), most: Arc::clone(&most) });
        carry(&layout, crowd, &blobs(&layout), &BTreeMap::new(), threads, &Unwatched).unwrap();
        assert!((1..=threads).contains(&most.load(Ordering::SeqCst)));
    }
}

#[test]
fn a_stream_can_be_read_while_it_is_written() {
    let layout = layout();
    let dir = tempfile::tempdir().unwrap();
    let expected = archive(&layout, &layout, &dir.path().join("a"), Compression::None, 1);
    let (mut reader, writer) = io::pipe().unwrap();
    ocistow_layout::archive::widen_pipe(&writer);
    let read = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let to: Box<dyn Write + Send> = Box::new(writer);
    let writing = Box::new(StreamSink::new(to, Options::default())).begin(outline(&layout)).unwrap();
    carry(&layout, writing, &blobs(&layout), &BTreeMap::new(), 2, &Unwatched).unwrap();
    assert!(read.join().unwrap() == expected);
}
