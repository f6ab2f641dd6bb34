//! What archives we write look like, and what is left when writing fails.
// Everything here is a test, also what clippy does not know to be one.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use ocistow_layout::archive::{ArchiveSink, Compression, Existing, Options, StreamSink};
use ocistow_layout::index::EMPTY_INDEX;
use ocistow_layout::medium::{Disk, Medium};
use ocistow_layout::memory::Memory;
use ocistow_layout::source::OCI_LAYOUT;
use ocistow_layout::{Blob, Content, Digest, IndexChange, Kind, Outline, Sink, Watch, Writing};

/// A layout with blobs of these sizes, and one with sha512.
fn layout(sizes: &[usize]) -> Memory {
    let mut layout = Memory::default();
    for (n, size) in sizes.iter().enumerate() {
        layout.add(noise(n as u64, *size));
    }
    let empty = b"{}".to_vec();
    let sha512: Digest = "sha512:27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd".parse().unwrap();
    layout.blobs.insert(sha512, empty);
    layout
}

/// Bytes of which about half can be compressed away.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'a' + (state % 16) as u8
    };
    (0..size).map(|_| next()).collect()
}

fn blobs(layout: &Memory) -> Vec<Blob> {
    layout.blobs.iter().map(|(digest, bytes)| Blob { digest: digest.clone(), size: bytes.len() as u64 }).collect()
}

fn outline(layout: &Memory) -> Outline {
    let members = vec![("manifest.json".to_owned(), b"[]".to_vec())];
    Outline { index: IndexChange::New(layout.index.clone()), members, blobs: blobs(layout) }
}

fn put_all(writing: &dyn Writing, layout: &Memory) {
    for blob in blobs(layout) {
        writing.put(&blob, Content::Bytes(&layout.blobs[&blob.digest])).unwrap();
    }
}

fn write(layout: &Memory, path: &Path, options: Options<'_>) -> Vec<u8> {
    let writing = Box::new(ArchiveSink::new(path, Existing::Replace, options)).begin(outline(layout)).unwrap();
    put_all(&*writing, layout);
    let done = writing.finish().unwrap();
    assert_eq!(done.new.blobs, layout.blobs.len() as u64);
    fs::read(path).unwrap()
}

fn plain(layout: &Memory) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    write(layout, &dir.path().join("a.tar"), Options::default())
}

/// A stream that others can look at, and that may fail after some bytes.
#[derive(Clone)]
struct Stream(Arc<Mutex<Vec<u8>>>, usize);

impl Stream {
    fn new(limit: usize) -> Self {
        Self(Arc::default(), limit)
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap();
        if all.len() + bytes.len() > self.1 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stream(layout: &Memory, options: Options<'_>) -> Vec<u8> {
    let stream = Stream::new(usize::MAX);
    let writing = Box::new(StreamSink::new(Box::new(stream.clone()), options)).begin(outline(layout)).unwrap();
    put_all(&*writing, layout);
    writing.finish().unwrap();
    stream.bytes()
}

/// ARCHIVE-1, ARCHIVE-9.
#[test]
fn members_stand_in_order_and_say_nothing_about_where_they_were_made() {
    let layout = layout(&[1, 512, 0, 513]);
    let bytes = plain(&layout);
    let mut names = Vec::new();
    let mut archive = tar::Archive::new(&bytes[..]);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let directory = name.ends_with('/');
        let header = entry.header();
        assert!(header.as_ustar().is_some(), "{name}");
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0), "{name}");
        assert_eq!((header.username().unwrap(), header.groupname().unwrap()), (Some(""), Some("")), "{name}");
        assert_eq!(header.mode().unwrap(), if directory { 0o755 } else { 0o644 }, "{name}");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let expected = match name.as_str() {
            "oci-layout" => OCI_LAYOUT.to_vec(),
            "index.json" => EMPTY_INDEX.to_vec(),
            "manifest.json" => b"[]".to_vec(),
            _ if directory => Vec::new(),
            name => layout.blobs[&name["blobs/".len()..].replace('/', ":").parse::<Digest>().unwrap()].clone(),
        };
        assert_eq!(content, expected, "{name}");
        names.push(name);
    }
    let mut expected: Vec<String> =
        ["oci-layout", "index.json", "manifest.json", "blobs/", "blobs/sha256/", "blobs/sha512/"]
            .map(str::to_owned)
            .into();
    expected.extend(layout.blobs.keys().map(Digest::path));
    assert_eq!(names, expected);
}

#[test]
fn an_empty_archive_has_the_directories_a_layout_has() {
    let bytes = plain(&Memory::default());
    let names: Vec<_> = (tar::Archive::new(&bytes[..]).entries().unwrap())
        .map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap())
        .collect();
    assert_eq!(names, ["oci-layout", "index.json", "manifest.json", "blobs/", "blobs/sha256/"]);
}

#[test]
fn exactly_two_blocks_of_zeros_stand_at_the_end() {
    let layout = layout(&[100]);
    let bytes = plain(&layout);
    assert_eq!(bytes.len() % 512, 0);
    assert!(bytes[bytes.len() - 1024..].iter().all(|byte| *byte == 0));
    // The sha512 blob of two bytes is last.
    assert_eq!(&bytes[bytes.len() - 1024 - 512..][..3], b"{}\0");
}

#[test]
fn gnu_tar_lists_and_extracts_what_we_write() {
    let layout = layout(&[3_000_000, 10, 512]);
    let dir = tempfile::tempdir().unwrap();
    for (name, compression) in
        [("a.tar", Compression::None), ("a.tar.gz", Compression::GZIP), ("a.tar.zst", Compression::ZSTD)]
    {
        let path = dir.path().join(name);
        write(&layout, &path, Options { compression, ..Options::default() });
        let listed = Command::new("tar").arg("-tf").arg(&path).env("LC_ALL", "C").output().unwrap();
        assert!(listed.status.success() && listed.stderr.is_empty(), "{name}: {listed:?}");
        let to = dir.path().join(format!("{name}.d"));
        fs::create_dir(&to).unwrap();
        let status = Command::new("tar").arg("-xf").arg(&path).arg("-C").arg(&to).status().unwrap();
        assert!(status.success(), "{name}");
        for (digest, bytes) in &layout.blobs {
            assert_eq!(fs::read(to.join(digest.path())).unwrap(), *bytes, "{name}");
        }
        assert_eq!(fs::read(to.join("oci-layout")).unwrap(), OCI_LAYOUT);
    }
}

/// Pads archives of many shapes; the frames of a compressed one are cut at their members.
#[test]
fn bytes_are_the_same_for_any_number_of_threads_and_in_any_order() {
    let layout = layout(&[5_000_000, 700_000, 700_000, 700_000, 1, 2_097_152, 1_500_000, 0]);
    let plain = plain(&layout);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.tar");

    let writing =
        Box::new(ArchiveSink::new(&path, Existing::Keep, Options::default())).begin(outline(&layout)).unwrap();
    assert!(!writing.ordered());
    std::thread::scope(|scope| {
        let all = blobs(&layout);
        let (front, back) = all.split_at(all.len() / 2);
        for half in [back, front] {
            let (writing, layout) = (&writing, &layout);
            let half: Vec<Blob> = half.iter().rev().cloned().collect();
            scope.spawn(move || {
                for blob in half {
                    writing.put(&blob, Content::Bytes(&layout.blobs[&blob.digest])).unwrap();
                }
            });
        }
    });
    writing.finish().unwrap();
    assert!(fs::read(&path).unwrap() == plain, "two threads");
    assert!(stream(&layout, Options::default()) == plain, "a stream");

    for compression in [Compression::Gzip(1), Compression::GZIP, Compression::Zstd(1), Compression::ZSTD] {
        let with = |threads| Options { compression, threads, ..Options::default() };
        let one = stream(&layout, with(1));
        assert!(stream(&layout, with(2)) == one, "{compression:?}, 2 threads");
        assert!(stream(&layout, with(7)) == one, "{compression:?}, 7 threads");
        assert!(write(&layout, &path, with(3)) == one, "{compression:?}, a file");
        let mut unpacked = Vec::new();
        match compression {
            Compression::Gzip(_) => flate2::read::MultiGzDecoder::new(&one[..]).read_to_end(&mut unpacked).unwrap(),
            _ => zstd::Decoder::new(&one[..]).unwrap().read_to_end(&mut unpacked).unwrap(),
        };
        assert!(unpacked == plain, "{compression:?}");
    }
}

/// The uncompressed length of each gzip member.
fn frames(mut packed: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !packed.is_empty() {
        let mut decoder = flate2::bufread::GzDecoder::new(packed);
        let mut frame = Vec::new();
        decoder.read_to_end(&mut frame).unwrap();
        let header = decoder.header().unwrap();
        assert_eq!((header.mtime(), header.operating_system(), header.filename()), (0, 255, None));
        frames.push(frame);
        packed = decoder.into_inner();
    }
    frames
}

#[test]
fn frames_are_of_one_to_two_mebibytes_and_start_with_a_member_where_they_can() {
    const MIB: usize = 1 << 20;
    let layout = layout(&[1_500_000; 6]);
    let packed = stream(&layout, Options { compression: Compression::Gzip(1), ..Options::default() });
    let frames = frames(&packed);
    assert_eq!(frames.len(), 6);
    for frame in &frames[..5] {
        assert!((MIB..=2 * MIB).contains(&frame.len()), "{}", frame.len());
    }
    for frame in &frames[1..] {
        assert_eq!(&frame[257..263], b"ustar\0");
    }
}

#[test]
fn content_that_is_compressed_already_costs_next_to_nothing_and_hides_nothing_else() {
    let mut state = 1_u64;
    let mut random = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let noise: Vec<u8> = (0..3_000_000).map(&mut random).collect();
    let mut half = noise.clone();
    half.iter_mut().skip(1_000_000).for_each(|byte| *byte %= 4);
    let packed = |content: &[u8]| {
        let mut layout = Memory::default();
        layout.add(content);
        let packed = stream(&layout, Options { compression: Compression::GZIP, ..Options::default() });
        assert!(frames(&packed).concat() == plain(&layout));
        packed.len()
    };
    assert!((3_000_000..3_010_000).contains(&packed(&noise)));
    assert!(packed(&half) < 2_000_000);
}

/// ARCHIVE-20. No byte of such a blob is needed to see its header.
#[test]
fn sizes_of_eight_gibibytes_and_names_too_long_for_ustar_are_in_pax_records() {
    const LARGE: u64 = 8 << 30;
    let digest = |text: String| text.parse::<Digest>().unwrap();
    let sha512 = digest(format!("sha512:{}", "a".repeat(128)));
    let long = digest(format!("{}:{}", "b".repeat(200), "c".repeat(250)));
    // Long, but ustar can split it.
    let split = digest(format!("{}:{}", "d".repeat(100), "e".repeat(90)));
    let sizes = [
        (digest(format!("sha256:{}", "1".repeat(64))), LARGE - 1),
        (digest(format!("sha256:{}", "2".repeat(64))), LARGE),
        (sha512, 5 * LARGE + 7),
        (long, 3),
        (split, 4),
    ];
    let blobs: Vec<Blob> = sizes.iter().map(|(digest, size)| Blob { digest: digest.clone(), size: *size }).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.tar");

    // Each put writes its header first and then fails on content that is not there; what was written is
    // in the temporary file, which is holes for the most part.
    let outline = Outline { index: IndexChange::New(EMPTY_INDEX.to_vec()), members: vec![], blobs: blobs.clone() };
    let writing = Box::new(ArchiveSink::new(&path, Existing::Keep, Options::default())).begin(outline).unwrap();
    for blob in &blobs {
        let nothing = Content::Stream(Box::new(io::empty()), blob.size);
        assert_eq!(writing.put(blob, nothing).unwrap_err().kind(), Kind::Integrity);
    }
    let temporary = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    let file = File::open(temporary).unwrap();
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(&file).entries_with_seek().unwrap() {
        // There is no end marker: what follows the last header was never written.
        let Ok(entry) = entry else { break };
        let pax = entry.header().path_bytes().len() == 100 || entry.header().entry_size().unwrap() == 0;
        found.insert(String::from_utf8(entry.path_bytes().into_owned()).unwrap(), (entry.size(), pax));
    }
    for ((digest, size), pax) in sizes.iter().zip([false, true, true, true, false]) {
        assert_eq!(found.get(&digest.path()), Some(&(*size, pax)), "{digest}");
    }
    drop(writing);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn sizes_that_no_file_can_have_are_refused() {
    let digest = |n: u8| Digest::of(&[n]);
    for sizes in [vec![u64::MAX], vec![1 << 61; 3], vec![i64::MAX as u64]] {
        let blobs = sizes.iter().enumerate().map(|(n, size)| Blob { digest: digest(n as u8), size: *size }).collect();
        let outline = Outline { index: IndexChange::New(vec![]), members: vec![], blobs };
        let sink = Box::new(StreamSink::new(Box::new(io::sink()), Options::default()));
        assert_eq!(sink.begin(outline).err().expect("it is too large").kind(), Kind::Failed);
    }
}

#[test]
fn a_wrong_blob_leaves_no_file_and_ends_a_stream_without_its_end_marker() {
    let layout = layout(&[400_000, 400_000]);
    let dir = tempfile::tempdir().unwrap();
    for compression in [Compression::None, Compression::GZIP, Compression::ZSTD] {
        let options = Options { compression, ..Options::default() };
        let sink = Box::new(ArchiveSink::new(dir.path().join("a"), Existing::Keep, options));
        let writing = sink.begin(outline(&layout)).unwrap();
        let first = &blobs(&layout)[0];
        let wrong = vec![b'x'; first.size as usize];
        let failed = writing.put(first, Content::Bytes(&wrong)).unwrap_err();
        assert_eq!(failed.kind(), Kind::Integrity);
        assert_eq!(writing.finish().unwrap_err().kind(), Kind::Failed);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{compression:?}");

        let stream = Stream::new(usize::MAX);
        let writing = Box::new(StreamSink::new(Box::new(stream.clone()), options)).begin(outline(&layout)).unwrap();
        writing.put(first, Content::Bytes(&wrong)).unwrap_err();
        // A blob that was half written cannot be made good.
        writing.put(first, Content::Bytes(&layout.blobs[&first.digest])).unwrap_err();
        writing.finish().unwrap_err();
        assert!(stream.bytes().len() < 500_000, "{compression:?}");
    }
}

#[test]
fn an_archive_that_lacks_a_blob_is_never_finished() {
    let layout = layout(&[10, 20]);
    let dir = tempfile::tempdir().unwrap();
    for compression in [Compression::None, Compression::GZIP] {
        let options = Options { compression, ..Options::default() };
        let sink = Box::new(ArchiveSink::new(dir.path().join("a"), Existing::Keep, options));
        let writing = sink.begin(outline(&layout)).unwrap();
        let first = &blobs(&layout)[0];
        writing.put(first, Content::Bytes(&layout.blobs[&first.digest])).unwrap();
        assert_eq!(writing.finish().unwrap_err().kind(), Kind::Failed);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn an_existing_file_stays_unless_it_is_to_be_replaced() {
    let layout = layout(&[10]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    fs::write(&path, "precious").unwrap();
    let keep = || Box::new(ArchiveSink::new(&path, Existing::Keep, Options::default()));
    assert_eq!(keep().begin(outline(&layout)).err().expect("it exists").kind(), Kind::Usage);

    // It may also come while the archive is being written.
    fs::remove_file(&path).unwrap();
    let writing = keep().begin(outline(&layout)).unwrap();
    fs::write(&path, "precious").unwrap();
    put_all(&*writing, &layout);
    assert_eq!(writing.finish().unwrap_err().kind(), Kind::Usage);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    write(&layout, &path, Options::default());
    assert_eq!(fs::read(&path).unwrap(), plain(&layout));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn only_regular_files_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    symlink("/dev/null", &link).unwrap();
    for path in [link.as_path(), Path::new("/dev/null"), dir.path()] {
        let sink = Box::new(ArchiveSink::new(path, Existing::Replace, Options::default()));
        assert_eq!(sink.begin(outline(&layout(&[1]))).err().expect("it is no file").kind(), Kind::Failed);
    }
    let nowhere = Box::new(ArchiveSink::new(dir.path().join("no/a.tar"), Existing::Keep, Options::default()));
    assert_eq!(nowhere.begin(outline(&layout(&[1]))).err().expect("no parent").kind(), Kind::NotFound);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn litter_of_killed_writers_is_removed_and_that_of_living_ones_is_not() {
    let layout = layout(&[10]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    fs::write(dir.path().join(".a.tar.ocistow-1-2-3"), "litter").unwrap();
    fs::write(dir.path().join(".b.tar.ocistow-1-2-3"), "another's").unwrap();
    let sink = || Box::new(ArchiveSink::new(&path, Existing::Replace, Options::default()));
    let slow = sink().begin(outline(&layout)).unwrap();
    let fast = sink().begin(outline(&layout)).unwrap();
    for writing in [fast, slow] {
        put_all(&*writing, &layout);
        writing.finish().unwrap();
    }
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".b.tar.ocistow-1-2-3", "a.tar"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0);
}

#[test]
fn a_name_as_long_as_names_can_be_is_written() {
    let dir = tempfile::tempdir().unwrap();
    write(&layout(&[10]), &dir.path().join("n".repeat(255)), Options::default());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Writes, but fails at the n-th call that changes something.
struct Failing {
    left: Mutex<usize>,
    /// Somebody who clears litter, what he holds, and that he takes the first new file for some.
    clearer: Option<Mutex<Vec<File>>>,
}

impl Failing {
    fn step(&self) -> io::Result<()> {
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }
}

impl Medium for Failing {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| Disk.make_dir(path))
    }
    fn create(&self, path: &Path) -> io::Result<File> {
        let file = self.step().and_then(|()| Disk.create(path))?;
        if let Some(mut held) = self.clearer.as_ref().map(|held| held.lock().unwrap())
            && held.is_empty()
        {
            let litter = File::open(path)?;
            litter.lock()?;
            fs::remove_file(path)?;
            held.push(litter);
        }
        Ok(file)
    }
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.step().and_then(|()| Disk.write_at(file, bytes, at))
    }
    fn share(&self, from: &File, to: &File) -> io::Result<()> {
        self.step().and_then(|()| Disk.share(from, to))
    }
    fn dress(&self, file: &File, like: &fs::Metadata) -> io::Result<()> {
        self.step().and_then(|()| Disk.dress(file, like))
    }
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        self.step().and_then(|()| Disk.set_mode(file, mode))
    }
    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| Disk.symlink(target, path))
    }
    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.step().and_then(|()| Disk.sync_file(file))
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| Disk.sync_dir(path))
    }
    fn sync_all(&self, file: &File) -> io::Result<()> {
        self.step().and_then(|()| Disk.sync_all(file))
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step().and_then(|()| Disk.link(from, to))
    }
    fn link_open(&self, from: &File, to: &Path) -> io::Result<()> {
        self.step().and_then(|()| Disk.link_open(from, to))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step().and_then(|()| Disk.rename(from, to))
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step().and_then(|()| Disk.rename_new(from, to))
    }
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.step().and_then(|()| Disk.exchange(one, other))
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        Disk.unlink(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        Disk.remove_dir(path)
    }
}

#[test]
fn a_medium_that_fails_at_any_step_leaves_the_old_file_or_the_new_one() {
    let layout = layout(&[10, 3_000_000]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    for compression in [Compression::None, Compression::Zstd(1)] {
        let whole = stream(&layout, Options { compression, ..Options::default() });
        let mut failures = 0;
        for steps in 0.. {
            fs::write(&path, "old").unwrap();
            let medium = Failing { left: Mutex::new(steps), clearer: None };
            let options = Options { compression, medium: &medium, ..Options::default() };
            let sink = Box::new(ArchiveSink::new(&path, Existing::Replace, options));
            let wrote = sink.begin(outline(&layout)).and_then(|writing| {
                for blob in blobs(&layout) {
                    writing.put(&blob, Content::Bytes(&layout.blobs[&blob.digest]))?;
                }
                writing.finish()
            });
            let now = fs::read(&path).unwrap();
            assert!(now == b"old" || now == whole, "step {steps}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "step {steps}");
            match wrote {
                Ok(_) => {
                    assert!(now == whole);
                    break;
                }
                Err(why) => assert!(why.chain().contains("no storage space"), "{}", why.chain()),
            }
            failures += 1;
        }
        assert!(failures > 4);
    }
}

/// Who clears litter holds it while he does; he may have listed a file before whoever made it could lock it.
#[test]
fn a_new_file_that_somebody_takes_for_litter_is_left_to_him() {
    let layout = layout(&[10]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let medium = Failing { left: Mutex::new(usize::MAX), clearer: Some(Mutex::default()) };
    write(&layout, &path, Options { medium: &medium, ..Options::default() });
    assert_eq!(fs::read(&path).unwrap(), stream(&layout, Options::default()));
}

#[test]
fn a_stream_that_breaks_ends_the_writing_with_its_cause() {
    let layout = layout(&[3_000_000, 3_000_000]);
    for compression in [Compression::None, Compression::Gzip(1)] {
        let options = Options { compression, ..Options::default() };
        let broken = Stream::new(600_000);
        let writing = Box::new(StreamSink::new(Box::new(broken.clone()), options)).begin(outline(&layout)).unwrap();
        let mut last =
            blobs(&layout).iter().try_for_each(|blob| writing.put(blob, Content::Bytes(&layout.blobs[&blob.digest])));
        if last.is_ok() {
            last = writing.finish().map(drop);
        }
        let why = last.expect_err("the stream broke");
        let cause = std::error::Error::source(&why).unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(cause.kind(), io::ErrorKind::BrokenPipe);
        assert!(broken.bytes().len() <= 600_000);
    }
}

/// Somebody who says stop after some bytes.
struct Impatient(Mutex<u64>);

impl Watch for Impatient {
    fn bytes(&self, n: u64) {
        let mut left = self.0.lock().unwrap();
        *left = left.saturating_sub(n);
    }

    fn stop(&self) -> bool {
        *self.0.lock().unwrap() == 0
    }
}

#[test]
fn whoever_stops_the_writing_leaves_nothing_behind() {
    let layout = layout(&[3_000_000]);
    let dir = tempfile::tempdir().unwrap();
    for compression in [Compression::None, Compression::Gzip(1)] {
        let watch = Impatient(Mutex::new(1_000_000));
        let options = Options { compression, watch: &watch, ..Options::default() };
        let sink = Box::new(ArchiveSink::new(dir.path().join("a"), Existing::Keep, options));
        let writing = sink.begin(outline(&layout)).unwrap();
        let stopped =
            blobs(&layout).iter().try_for_each(|blob| writing.put(blob, Content::Bytes(&layout.blobs[&blob.digest])));
        assert_eq!(stopped.unwrap_err().kind(), Kind::Interrupted);
        drop(writing);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_reader_that_reads_no_more_does_not_keep_anybody_from_stopping() {
    /// A pipe that nobody reads.
    struct Stuck;
    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                std::thread::park();
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let layout = layout(&[3_000_000]);
    let watch = Impatient(Mutex::new(1_000_000));
    let options = Options { watch: &watch, ..Options::default() };
    let writing = Box::new(StreamSink::new(Box::new(Stuck), options)).begin(outline(&layout)).unwrap();
    let stopped =
        blobs(&layout).iter().try_for_each(|blob| writing.put(blob, Content::Bytes(&layout.blobs[&blob.digest])));
    assert_eq!(stopped.unwrap_err().kind(), Kind::Interrupted);
}

#[test]
fn compressions_are_told_from_words_and_names() {
    let read = |text: &str| text.parse::<Compression>().map_err(|why| why.kind());
    assert_eq!(read("none"), Ok(Compression::None));
    assert_eq!(read("gzip"), Ok(Compression::Gzip(6)));
    assert_eq!(read("gzip:1"), Ok(Compression::Gzip(1)));
    assert_eq!(read("zstd"), Ok(Compression::Zstd(3)));
    assert_eq!(read("zstd:19"), Ok(Compression::Zstd(19)));
    for bad in ["", "none:1", "gzip:0", "gzip:10", "gzip:", "gzip:x", "zstd:23", "zstd:-1", "xz", "GZIP"] {
        assert_eq!(read(bad), Err(Kind::Usage), "{bad:?}");
    }
    let named = |name: &str| Compression::by_name(Path::new(name));
    assert_eq!(named("a/b.tar"), Some(Compression::None));
    assert_eq!(named("b.tar.gz"), Some(Compression::GZIP));
    assert_eq!(named("b.tgz"), Some(Compression::GZIP));
    assert_eq!(named("b.tar.zst"), Some(Compression::ZSTD));
    for directory in ["b", "b.tar/c", "tar", "b.tar.bz2", "b.gz", "b.zip"] {
        assert_eq!(named(directory), None, "{directory}");
    }
}
