//! Archives are read in place, unpacked from gzip and zstd, and from a stream: always alike.
#![allow(clippy::unwrap_used)] // What draws archives for tests may stop a test.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ocistow_layout::archive::{self, Archive, Form};
use ocistow_layout::transaction::{self, Transaction};
use ocistow_layout::{Access, Blob, Content, Digest, Found, Kind, Marker, Source, Unwatched, Watch, checked};
use proptest::prelude::*;

const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;
const BLOCK: usize = 512;

/// A tar being drawn.
#[derive(Clone, Default)]
struct Tar(Vec<u8>);

impl Tar {
    /// With `oci-layout` and `index.json`.
    fn layout() -> Self {
        Self::default().file("oci-layout", MARKER).file("index.json", INDEX)
    }

    fn raw(mut self, header: &[u8], body: &[u8]) -> Self {
        self.0.extend_from_slice(header);
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    fn member(self, flag: u8, name: &[u8], target: &[u8], body: &[u8]) -> Self {
        let header = header(flag, name, target, body.len() as u64);
        self.raw(&header, body)
    }

    /// A file, with a PAX header where the name needs one.
    fn file(self, name: &str, body: &[u8]) -> Self {
        if name.len() > 100 {
            return self.pax(b'x', &[("path", name)]).member(b'0', b"cut", b"", body);
        }
        self.member(b'0', name.as_bytes(), b"", body)
    }

    /// A blob under its right name.
    fn blob(self, body: &[u8]) -> Self {
        self.file(&Digest::of(body).path(), body)
    }

    fn link(self, flag: u8, name: &str, target: &str) -> Self {
        self.member(flag, name.as_bytes(), target.as_bytes(), b"")
    }

    fn directory(self, name: &str) -> Self {
        if name.len() > 100 {
            return self.pax(b'x', &[("path", name)]).member(b'5', b"cut", b"", b"");
        }
        self.member(b'5', name.as_bytes(), b"", b"")
    }

    /// A PAX header for the next member.
    fn pax(self, flag: u8, records: &[(&str, &str)]) -> Self {
        let body: String = records.iter().map(|(key, value)| record(key, value)).collect();
        self.member(flag, b"PaxHeaders/x", b"", body.as_bytes())
    }

    fn end(self) -> Vec<u8> {
        self.blocks(2)
    }

    fn blocks(mut self, n: usize) -> Vec<u8> {
        self.0.resize(self.0.len() + n * BLOCK, 0);
        self.0
    }
}

fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let fits = |n: &usize| n.to_string().len() + rest.len() == *n;
    format!("{}{rest}", (1..9999).find(fits).unwrap())
}

fn header(flag: u8, name: &[u8], target: &[u8], size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000000");
    block[156] = flag;
    block[157..157 + target.len()].copy_from_slice(target);
    block[257..265].copy_from_slice(b"ustar\x0000");
    signed(block)
}

/// The header with its checksum.
fn signed(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut packer = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    packer.include_checksum(true).unwrap();
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// A file of its own with these bytes.
struct Put(PathBuf);

impl Put {
    fn new(bytes: &[u8]) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("ocistow-archive-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// All that can be learned from an archive; all content that can be verified is right.
#[derive(Debug, Clone, PartialEq)]
struct View {
    marker: Marker,
    index: Result<Vec<u8>, Kind>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    found: Vec<Found>,
    asked: Vec<Result<Option<u64>, Kind>>,
}

fn read_file(bytes: &[u8], ask: &[Digest]) -> Result<View, Kind> {
    let file = Put::new(bytes);
    let archive = Archive::open(&file.0).map_err(|why| why.kind())?;
    view(&archive, ask)
}

fn view(archive: &Archive, ask: &[Digest]) -> Result<View, Kind> {
    let (mut names, mut found, mut blobs) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
    archive.names(&mut |digest| assert!(names.insert(digest), "each name comes once")).unwrap();
    archive.survey(&mut |one| found.push(one)).unwrap();
    let visit = archive.visit(&names, &mut |blob, content| {
        let bytes = checked::whole(&blob.digest, content, u64::MAX)?;
        assert!(blobs.insert(blob.digest, bytes).is_none(), "each blob comes once");
        Ok(())
    });
    visit.map_err(|why| why.kind())?;
    assert!(blobs.keys().eq(&names), "all that is named is there");
    for (digest, bytes) in &blobs {
        let again = checked::read(archive, digest, u64::MAX).unwrap();
        assert_eq!(again.as_ref(), Some(bytes), "open and visit agree on {digest}");
    }
    let index = archive.index().map(|index| index.bytes().to_vec()).map_err(|why| why.kind());
    let asked = ask.iter().map(|digest| archive.size(digest).map_err(|why| why.kind())).collect();
    Ok(View { marker: archive.marker(), index, blobs, found, asked })
}

/// What comes out of a stream that is `tar` once it is unpacked: what has gone by as something else is in that.
fn read_stream(bytes: &[u8], tar: &[u8], ask: &[Digest]) -> Result<View, Kind> {
    let mut blobs: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    let passed = archive::pass("-", Trickle(bytes), &Unwatched, &mut |blob, content| {
        let bytes = checked::whole(&blob.digest, content, u64::MAX)?;
        assert!(blobs.insert(blob.digest, bytes).is_none(), "each blob comes once");
        Ok(())
    });
    let passed = passed.map_err(|why| why.kind())?;
    for (name, _) in passed.table.blobs() {
        assert_eq!(passed.table.find(name).is_ok(), blobs.contains_key(name), "what was refused is refused to others");
        passed.table.find(name).map_err(|why| why.kind())?;
    }
    for (alias, own) in passed.table.aliases() {
        let bytes = blobs[own].clone();
        if alias.same_of(&bytes).is_some_and(|found| found != *alias) {
            return Err(Kind::Integrity);
        }
        blobs.insert(alias.clone(), bytes);
    }
    for (name, spot) in passed.table.elsewhere() {
        let bytes = tar[spot.at as usize..][..spot.size as usize].to_vec();
        if name.same_of(&bytes).is_some_and(|found| found != *name) {
            return Err(Kind::Integrity);
        }
        blobs.insert(name.clone(), bytes);
    }
    let mut found = Vec::new();
    passed.table.survey(&mut |one| found.push(one));
    let size = |digest| passed.table.find(digest).map(|spot| spot.map(|spot| spot.size)).map_err(|why| why.kind());
    let asked = ask.iter().map(size).collect();
    let marker = passed.marker();
    let index = passed.index().map(|index| index.bytes().to_vec()).map_err(|why| why.kind());
    Ok(View { marker, index, blobs, found, asked })
}

/// A reader that gives a little at a time, as pipes do.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = buf.len().min(700);
        self.0.read(&mut buf[..want])
    }
}

/// Reads a tar in every way, and shows that all agree.
fn read(tar: &[u8], ask: &[Digest]) -> Result<View, Kind> {
    let place = read_file(tar, ask);
    let stream = |bytes: &[u8]| match (read_stream(bytes, tar, ask), &place) {
        // Whoever needs them has to read it as a file.
        (Ok(View { index: Err(Kind::Failed), blobs, found, asked, .. }), Ok(place)) => {
            Ok(View { marker: place.marker.clone(), index: place.index.clone(), blobs, found, asked })
        }
        (stream, _) => stream,
    };
    assert_eq!(stream(tar), place, "a stream and in place");
    let packed = gzip(tar);
    assert_eq!(read_file(&packed, ask), place, "gzip and in place");
    assert_eq!(stream(&packed), place, "gzip in a stream and in place");
    assert_eq!(read_file(&zstd(tar), ask), place, "zstd and in place");
    place
}

#[track_caller]
fn sees(tar: Tar) -> View {
    read(&tar.end(), &[]).unwrap()
}

#[track_caller]
fn refused(tar: Tar) {
    assert_eq!(read(&tar.end(), &[]), Err(Kind::Integrity));
}

/// What opening the archive says in the end.
fn complaint(bytes: &[u8]) -> String {
    Archive::open(&Put::new(bytes).0).unwrap_err().chain()
}

fn sha512(bytes: &[u8]) -> Digest {
    format!("sha512:{}", "0".repeat(128)).parse::<Digest>().unwrap().same_of(bytes).unwrap()
}

/// ARCHIVE-1, ARCHIVE-3
#[test]
fn members_may_come_in_any_order() {
    let blob = b"{\"a\":1}";
    let members: [fn(Tar) -> Tar; 4] = [
        |tar| tar.file("oci-layout", MARKER),
        |tar| tar.file("index.json", INDEX),
        |tar| tar.blob(b"{\"a\":1}"),
        |tar| tar.directory("blobs/sha256/"),
    ];
    for first in 0..4 {
        for second in 0..4 {
            let mut order = vec![first, second, 0, 1, 2, 3];
            let mut seen = BTreeSet::new();
            order.retain(|n| seen.insert(*n));
            let view = sees(order.iter().fold(Tar::default(), |tar, n| members[*n](tar)));
            assert_eq!(view.marker, Marker::Right);
            assert_eq!(view.index, Ok(INDEX.to_vec()));
            assert_eq!(view.blobs, BTreeMap::from([(Digest::of(blob), blob.to_vec())]));
            assert_eq!(view.found.len(), 1);
        }
    }
}

/// ARCHIVE-4, 4.11
#[test]
fn leading_dots_and_doubled_slashes_are_cleaned() {
    let name = format!("./blobs//sha256/.//{}", Digest::of(b"x").encoded());
    // Python names the root of a tree "/"; nothing lies below it.
    let tar = Tar::default().directory("./").directory("/").file("./oci-layout", MARKER).file(".//index.json", INDEX);
    let view = sees(tar.file(&name, b"x"));
    assert_eq!((view.marker, view.index), (Marker::Right, Ok(INDEX.to_vec())));
    assert!(view.blobs.contains_key(&Digest::of(b"x")));
}

/// ARCHIVE-5
#[test]
fn names_that_could_lead_out_are_refused() {
    let blob = Digest::of(b"x").encoded();
    for name in [
        "../x",
        "../../etc/passwd",
        "/x",
        "//x",
        "blobs/../x",
        "./..",
        "a/b/../../../x",
        "C:\\x",
        "c:x",
        "a\\b",
        "..\\x",
        ".ocistow/../x",
        &format!("blobs/../blobs/{}", &blob[..60]),
    ] {
        for flag in *b"0125" {
            refused(Tar::layout().member(flag, name.as_bytes(), if flag == b'5' { b"" } else { b"y" }, b""));
        }
    }
    refused(Tar::layout().pax(b'x', &[("path", "a\0b")]).file("a", b""));
    refused(Tar::layout().member(b'0', b"", b"", b"x"));
    refused(Tar::layout().member(b'0', b"./", b"", b"x"));
    refused(Tar::layout().member(b'0', b"/", b"", b"x"));
    refused(Tar::layout().link(b'2', "/", "x"));
    sees(Tar::layout().file("..x", b"").file("a/...", b"").file("x..", b""));
}

/// ARCHIVE-5
#[test]
fn devices_fifos_and_sparse_members_are_refused_under_any_name() {
    for name in ["x", ".ocistow/x", "ingest/x", "index.json", &Digest::of(b"").path()] {
        for flag in *b"346SMDNZ" {
            refused(Tar::default().file("oci-layout", MARKER).link(flag, name, ""));
        }
    }
    refused(Tar::layout().pax(b'x', &[("GNU.sparse.major", "1"), ("GNU.sparse.name", "x")]).blob(b"x"));
    refused(Tar::layout().pax(b'g', &[("GNU.sparse.map", "0,1")]).blob(b"x"));
    refused(Tar::layout().pax(b'x', &[("SCHILY.realsize", "1")]).blob(b"x"));
    // Readers disagree on whether content follows these.
    for flag in *b"125" {
        refused(Tar::layout().member(flag, b"x", b"y", b"content"));
    }
}

/// ARCHIVE-6, 4.13
#[test]
fn a_doubled_member_must_have_the_same_content() {
    let odd: Digest = "blake9:abc".parse().unwrap();
    for name in ["index.json", "oci-layout", &Digest::of(INDEX).path(), &sha512(INDEX).path(), &odd.path()] {
        let once = Tar::default().file("x", b"y").file(name, INDEX);
        assert!(read(&once.clone().file(&format!("./{name}"), INDEX).end(), &[]).is_ok(), "{name}");
        let mut other = INDEX.to_vec();
        other[3] ^= 1;
        refused(once.clone().file(name, &other));
        refused(once.clone().file(name, &INDEX[1..]));
        refused(once.clone().file(name, INDEX).file(name, &other));
        refused(once.clone().directory(name));
        refused(Tar::default().directory(name).file(name, INDEX));
        // The first is wrong and the second right.
        refused(Tar::default().file(name, &other).file(name, INDEX));
    }
    let tar = Tar::layout().file("index.json", &[INDEX, b" "].concat()).end();
    assert!(complaint(&tar).contains("at byte 1024 and at byte 2048"), "{}", complaint(&tar));
    let tar = Tar::layout().file("index.json", &vec![b' '; INDEX.len()]).end();
    assert!(complaint(&tar).contains("at byte 1024 and at byte 2048"), "{}", complaint(&tar));
    // Nobody needs these.
    sees(Tar::layout().file("manifest.json", b"1").file("manifest.json", b"22"));
}

/// ARCHIVE-7, 4.12
#[test]
fn links_are_resolved_inside_the_archive() {
    let (own, alias) = (Digest::of(b"content"), sha512(b"content"));
    let both = BTreeMap::from([(own.clone(), b"content".to_vec()), (alias.clone(), b"content".to_vec())]);
    let symbolic = format!("../sha256/{}", own.encoded());
    for (flag, target) in [(b'1', own.path()), (b'1', format!("./{}", own.path())), (b'2', symbolic)] {
        let pax = |tar: Tar| tar.pax(b'x', &[("path", &alias.path()), ("linkpath", &target)]).link(flag, "x", "x");
        assert_eq!(sees(pax(Tar::layout().blob(b"content"))).blobs, both, "a link to what came before");
        assert_eq!(sees(pax(Tar::layout()).blob(b"content")).blobs, both, "a link to what comes later");
    }
    let chain = |hops: usize| {
        let first = if hops == 1 { own.path() } else { "hop1".into() };
        let mut tar = Tar::layout().pax(b'x', &[("path", &alias.path()), ("linkpath", &first)]).link(b'1', "x", "x");
        for hop in 1..hops {
            let next = if hop + 1 == hops { own.path() } else { format!("hop{}", hop + 1) };
            tar = tar.link(b'2', &format!("hop{hop}"), &next);
        }
        let view = read(&tar.blob(b"content").end(), std::slice::from_ref(&alias)).unwrap();
        assert_eq!(view.blobs[&own], b"content");
        view.asked[0]
    };
    assert_eq!(chain(1), Ok(Some(7)));
    assert_eq!(chain(2), Ok(Some(7)));
    assert_eq!(chain(archive::MAX_HOPS), Ok(Some(7)));
    assert_eq!(chain(archive::MAX_HOPS + 1), Err(Kind::Integrity));
}

/// ARCHIVE-7
#[test]
fn a_link_that_leads_nowhere_matters_only_to_who_needs_it() {
    let name = Digest::of(b"content");
    let file = name.path();
    for (flag, target) in [
        (b'2', "../../../outside"),
        (b'2', "/etc/passwd"),
        (b'1', "../outside"),
        (b'1', "/etc/passwd"),
        (b'2', "dangling"),
        (b'1', "dangling"),
        (b'1', file.as_str()),
        (b'1', "other"),
        (b'2', "../../twice"),
        (b'2', "../../both"),
        (b'2', "../../folder"),
        (b'2', "C:\\x"),
        (b'2', ""),
    ] {
        let tar = Tar::layout().link(flag, &file, target).link(b'2', "other", "other").directory("folder/");
        let tar =
            tar.file("twice", b"content").file("twice", b"content").file("both", b"content").link(b'1', "both", "x");
        let view = read(&tar.blob(b"{}").end(), std::slice::from_ref(&name)).unwrap();
        assert_eq!(view.blobs.len(), 1, "{target}");
        assert_eq!(view.asked, [Err(Kind::Integrity)], "{target}");
        assert!(view.found.iter().any(|found| matches!(found, Found::Unfit(path, _) if *path == file)), "{target}");
    }
    let linked = Tar::layout().link(b'2', "blobs/sha512", "sha256").blob(b"content");
    let view = read(&linked.end(), &[sha512(b"content"), name.clone()]).unwrap();
    assert_eq!(view.asked, [Err(Kind::Integrity), Ok(Some(7))], "links to directories are not followed");
    let view = read(&Tar::layout().link(b'2', "blobs", "store").end(), std::slice::from_ref(&name)).unwrap();
    assert_eq!(view.asked, [Err(Kind::Integrity)]);
    let view = sees(Tar::default().file("oci-layout", MARKER).link(b'2', "index.json", "other.json"));
    assert_eq!(view.index, Err(Kind::Integrity));
}

/// ARCHIVE-7, 4.12
#[test]
fn a_link_may_lead_to_any_file_of_the_archive() {
    let name = Digest::of(b"content");
    let file = name.path();
    for (flag, kept, target) in [
        (b'2', "store/x", "../../store/x"),
        (b'1', ".cache/x", ".cache/x"),
        (b'1', "./.cache//x", "./.cache/x"),
        (b'2', "blobs/sha256/no-digest", "no-digest"),
        (b'2', "blobs/loose", "../../hop"),
    ] {
        for later in [false, true] {
            let tar = Tar::layout().blob(b"{}").link(b'2', "hop", "blobs/loose");
            let tar = match later {
                false => tar.file(kept, b"content").link(flag, &file, target),
                true => tar.link(flag, &file, target).file(kept, b"content"),
            };
            let view = read(&tar.end(), std::slice::from_ref(&name)).unwrap();
            assert_eq!(view.asked, [Ok(Some(7))], "{target}");
            assert_eq!(view.blobs[&name], b"content", "{target}");
        }
    }
    refused(Tar::layout().file("store/x", b"other").link(b'2', &file, "../../store/x"));
    // The two files of a layout as links, and as what a blob is a link to.
    let index = Digest::of(INDEX);
    let tar =
        Tar::default().link(b'1', "index.json", "i").link(b'2', "oci-layout", "m").file("m", MARKER).file("i", INDEX);
    let view = sees(tar.clone().link(b'1', &index.path(), "index.json"));
    assert_eq!((view.marker, view.index), (Marker::Right, Ok(INDEX.to_vec())));
    assert_eq!(view.blobs, BTreeMap::from([(index.clone(), INDEX.to_vec())]));
    let view = sees(Tar::default().link(b'2', "index.json", &index.path()).file("oci-layout", MARKER).blob(INDEX));
    assert_eq!(view.index, Ok(INDEX.to_vec()));
    // More names than anybody needs are not kept in mind.
    let long = |n: usize| format!("{n:0>4000}");
    let many = (0..2100).fold(Tar::layout(), |tar, n| tar.file(&long(n), b"content"));
    for (n, found) in [(0, Ok(Some(7))), (2099, Err(Kind::Integrity))] {
        let tar = many.clone().pax(b'x', &[("path", &file), ("linkpath", &long(n))]).link(b'1', "x", "x");
        let archive = Put::new(&tar.end());
        assert_eq!(Archive::open(&archive.0).unwrap().size(&name).map_err(|why| why.kind()), found);
    }
}

#[test]
fn a_link_to_other_content_than_its_name_says_is_refused() {
    let alias = Digest::of(b"something else").path();
    let own = Digest::of(b"content").path();
    refused(Tar::layout().blob(b"content").link(b'1', &alias, &own));
    // GNU tar writes a file that it meets twice as a link to itself.
    assert_eq!(sees(Tar::layout().blob(b"content").link(b'1', &own, &own)).blobs.len(), 1);
    refused(Tar::layout().blob(b"content").blob(b"x").link(b'1', &own, &Digest::of(b"x").path()));
    refused(Tar::layout().blob(b"content").link(b'1', &own, "nowhere"));
}

#[test]
fn a_blob_has_a_bounded_number_of_other_names() {
    let own = Digest::of(b"x").path();
    let tar = (0..40).fold(Tar::layout().blob(b"x"), |tar, n| tar.link(b'1', &format!("blobs/odd/{n}"), &own));
    assert_eq!(sees(tar).blobs.len(), 1 + archive::MAX_ALIASES);
}

/// Each takes memory, and an enemy's next to nothing of the archive: names that count up. Digests are not like that.
#[test]
fn more_blobs_than_there_can_be_digests_in_a_packed_archive_are_refused() {
    let most = archive::MAX_NAMES_FREELY as usize;
    let draw = |count: usize, name: &dyn Fn(usize) -> String| {
        let flag = |n: usize| if n.is_multiple_of(2) { b'0' } else { b'5' };
        (0..count).fold(Tar::layout(), |tar, n| tar.member(flag(n), name(n).as_bytes(), b"", b"")).end()
    };
    let opened = |bytes: &[u8]| {
        let file = Archive::open(&Put::new(bytes).0).map(|archive| {
            let mut names = 0;
            archive.names(&mut |_| names += 1).unwrap();
            names
        });
        let mut passed = 0;
        let counting = &mut |_: Blob, _: Content<'_>| {
            passed += 1;
            Ok(())
        };
        let stream = archive::pass("a stream", bytes, &Unwatched, counting).map(|_| passed);
        let [file, stream] = [file, stream].map(|read| read.map_err(|why| why.kind()));
        assert_eq!(file, stream);
        file
    };
    let counted = |n: usize| format!("blobs/a/{n:07}");
    // What can be no file is kept too.
    let tar = draw(most + 1, &counted);
    assert_eq!(opened(&tar), Ok(most / 2 + 1), "a plain one takes a block for each");
    assert_eq!([gzip(&tar), zstd(&tar)].map(|packed| opened(&packed)), [Err(Kind::Integrity); 2]);
    assert_eq!(opened(&gzip(&draw(most, &counted))), Ok(most / 2));
    let digests = draw(most + 1, &|n| Digest::of(&n.to_ne_bytes()).path());
    assert_eq!([gzip(&digests), zstd(&digests)].map(|packed| opened(&packed)), [Ok(most / 2 + 1); 2]);
}

/// And the same of entries, each of which takes far more memory than text.
#[test]
fn more_entries_than_there_can_be_digests_in_a_packed_archive_are_refused() {
    let most = archive::MAX_NAMES_FREELY as usize;
    let draw = |count: usize, digest: &dyn Fn(usize) -> Digest| {
        let entry = |n: usize| format!(r#"{{"mediaType":"a/b","digest":"{}","size":1}}"#, digest(n));
        let entries: Vec<String> = (0..count).map(entry).collect();
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        Tar::default().file("oci-layout", MARKER).file("index.json", index.as_bytes()).end()
    };
    let listed = |bytes: &[u8]| {
        let file = Archive::open(&Put::new(bytes).0).unwrap().index().map(|index| index.entries().len());
        let passed = archive::pass("a stream", bytes, &Unwatched, &mut |_, _| Ok(())).unwrap();
        let stream = passed.index().map(|index| index.entries().len());
        let [file, stream] = [file, stream].map(|read| read.map_err(|why| why.kind()));
        assert_eq!(file, stream);
        file
    };
    let one = Digest::of(b"x");
    let tar = draw(most + 1, &|_| one.clone());
    assert_eq!(listed(&tar), Ok(most + 1), "a plain one is as long as it is");
    assert_eq!([gzip(&tar), zstd(&tar)].map(|packed| listed(&packed)), [Err(Kind::Integrity); 2]);
    assert_eq!(listed(&gzip(&draw(most, &|_| one.clone()))), Ok(most));
    let digests = draw(most + 1, &|n| Digest::of(&n.to_ne_bytes()));
    assert_eq!([gzip(&digests), zstd(&digests)].map(|packed| listed(&packed)), [Ok(most + 1); 2]);
}

/// 4.9
#[test]
fn what_can_be_no_blob_is_reported_and_refused_to_who_needs_it() {
    let name = Digest::of(b"x");
    let tar = Tar::layout()
        .directory(&format!("{}/", name.path()))
        .file("blobs/sha256/UPPER", b"")
        .file("blobs/loose", b"")
        .file("blobs/sha256/deep/er", b"")
        .file("notes.txt", b"")
        .file("manifest.json", b"[]")
        .file("ingest/x", b"")
        .file(".ocistow/lock/gate", b"")
        .file("blobs/.ocistow-1/x", b"");
    let view = read(&tar.end(), std::slice::from_ref(&name)).unwrap();
    assert_eq!(view.asked, [Err(Kind::Integrity)]);
    let told = |found| match found {
        Found::Unfit(path, _) => path,
        Found::Stray(path) => format!("stray {path}"),
        other => panic!("{other:?}"),
    };
    let paths: BTreeSet<String> = view.found.into_iter().map(told).collect();
    let expected = [&*name.path(), "blobs/sha256/UPPER", "blobs/loose", "blobs/sha256/deep/er", "stray notes.txt"];
    assert_eq!(paths, expected.map(str::to_owned).into());
    // Directories need no members of their own (4.11), so one without blobs lacks nothing.
    assert_eq!(sees(Tar::layout()).found, []);
    let marker = sees(Tar::default().directory("oci-layout/").file("index.json", INDEX)).marker;
    assert!(matches!(marker, Marker::Wrong(_)), "{marker:?}");
    let long = sees(Tar::default().file("oci-layout", &[b' '; 70_000]).file("index.json", INDEX)).marker;
    assert!(matches!(long, Marker::Wrong(_)), "{long:?}");
    let blocked = read(&Tar::layout().file("blobs", b"").end(), &[name]).unwrap();
    assert_eq!(blocked.asked, [Err(Kind::Integrity)]);
}

/// ARCHIVE-2, 4.5
#[test]
fn an_archive_without_a_layout_says_what_it_is() {
    let why = |tar: Tar| {
        let bytes = tar.end();
        assert_eq!(read(&bytes, &[]).unwrap().index, Err(Kind::NotFound));
        let why = Archive::open(&Put::new(&bytes).0).unwrap().index().unwrap_err();
        format!("{} | {}", why.chain(), why.advice().unwrap_or_default())
    };
    assert!(why(Tar::default().file("manifest.json", b"[]")).contains("docker-archive"));
    assert!(why(Tar::default().file("app/oci-layout", MARKER).file("app/index.json", INDEX)).contains("\"app\""));
    assert!(why(Tar::default().file("a/b", b"")).contains("is no OCI layout"));
    assert!(why(Tar::default()).contains("is no OCI layout"));
    assert!(why(Tar::default().file("oci-layout", MARKER)).contains("has no index.json"));
    let bare = sees(Tar::default().file("index.json", INDEX));
    assert_eq!((bare.marker, bare.index), (Marker::Absent, Ok(INDEX.to_vec())));
    assert_eq!(sees(Tar::default().file("index.json", b"{")).index, Err(Kind::Integrity));
}

/// ARCHIVE-8, 4.14
#[test]
fn the_form_is_told_from_the_content() {
    assert_eq!(archive::sniff(&Tar::layout().end()), Form::PlainTar);
    assert_eq!(archive::sniff(&[0; 512]), Form::PlainTar);
    assert_eq!(archive::sniff(&gzip(b"")), Form::Gzip);
    assert_eq!(archive::sniff(&zstd(b"")), Form::Zstd);
    assert_eq!(archive::sniff(b"\x5a\x2a\x4d\x18rest"), Form::Zstd);
    assert_eq!(archive::sniff(b""), Form::Unknown);
    assert_eq!(archive::sniff(&[b'x'; 600]), Form::Unknown);
    for (bytes, name) in [(&b"BZh91AY"[..], "bzip2"), (b"\xfd7zXZ\0\0", "xz")] {
        assert_eq!(read_file(bytes, &[]), Err(Kind::Failed));
        assert_eq!(read_stream(bytes, &[], &[]), Err(Kind::Failed));
        assert!(complaint(bytes).ends_with(&format!("unsupported compression {name}")));
    }
    let nested = gzip(&gzip(&Tar::layout().end()));
    for bytes in [&b""[..], b"{}", &[b'x'; 5000], &gzip(b"no tar"), &nested, &zstd(b"")] {
        assert_eq!(read_file(bytes, &[]), Err(Kind::Integrity));
        assert_eq!(read_stream(bytes, &[], &[]), Err(Kind::Integrity));
    }
}

/// ARCHIVE-20
#[test]
fn long_names_and_sizes_come_from_gnu_and_pax_headers() {
    let blob = Digest::of(b"x");
    let long = format!("{}{}", "./".repeat(60), blob.path());
    let nul = format!("{long}\0");
    let has = |tar: Tar| sees(tar).blobs.contains_key(&blob);
    assert!(has(Tar::layout().member(b'L', b"././@LongLink", b"", nul.as_bytes()).file("cut", b"x")));
    assert!(has(Tar::layout().pax(b'x', &[("mtime", "1.5"), ("path", &long)]).file("cut", b"x")));
    assert!(has(Tar::layout().pax(b'x', &[("path", "a"), ("path", &long)]).file("cut", b"x")));
    assert!(has(Tar::layout().pax(b'g', &[("comment", "git")]).blob(b"x")), "git archive writes these");
    assert!(has(Tar::layout().pax(b'x', &[("path", "")]).blob(b"x")), "an empty value says nothing");
    assert!(!has(Tar::layout().pax(b'x', &[("path", "y")]).blob(b"x")));
    assert!(has(Tar::layout().pax(b'x', &[("path", "y")]).file("z", b"").blob(b"x")), "only for the next");
    // A PAX size stands for the member behind it, not for another header in between.
    let sized = Tar::layout().pax(b'x', &[("size", "1")]).member(b'L', b"l", b"", nul.as_bytes());
    assert!(has(sized.raw(&header(b'0', b"cut", b"", 0), b"x")));
    let mut wide = header(b'0', blob.path().as_bytes(), b"", 0);
    wide[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(has(Tar::layout().raw(&signed(wide), b"x")));
    let link = Tar::layout().blob(b"x").member(b'K', b"l", b"", nul.as_bytes());
    let alias = sha512(b"x").path();
    assert_eq!(sees(link.pax(b'x', &[("path", &alias)]).link(b'1', "cut", "cut")).blobs.len(), 2);
    // The prefix field of ustar.
    let mut split = header(b'0', blob.encoded().as_bytes(), b"", 1);
    split[345..357].copy_from_slice(b"blobs/sha256");
    assert!(has(Tar::layout().raw(&signed(split), b"x")));
}

/// Go and Rust pass over them, GNU tar and Python do not: one archive would be two. And every header would be as long.
#[test]
fn a_record_that_names_all_members_at_once_is_refused() {
    for key in ["path", "linkpath", "size"] {
        refused(Tar::layout().pax(b'g', &[(key, "1")]).blob(b"x"));
        refused(Tar::layout().blob(b"x").pax(b'g', &[("comment", "c"), (key, "1")]));
        let blob = Digest::of(b"x");
        assert!(sees(Tar::layout().pax(b'g', &[(key, "")]).blob(b"x")).blobs.contains_key(&blob), "it says nothing");
    }
}

/// Each costs its length, and none but the last says anything.
#[test]
fn only_so_many_headers_stand_in_front_of_one_member() {
    let ahead = |count: u64, flag: u8| {
        let start = (0..count).fold(Tar::layout(), |tar, _| match flag {
            b'L' => tar.member(b'L', b"l", b"", Digest::of(b"x").path().as_bytes()),
            flag => tar.pax(flag, &[("comment", "nothing")]),
        });
        start.blob(b"x").blob(b"y")
    };
    for flag in [b'x', b'g', b'L'] {
        assert!(sees(ahead(archive::MAX_AHEAD, flag)).blobs.contains_key(&Digest::of(b"x")));
        refused(ahead(archive::MAX_AHEAD + 1, flag));
    }
}

#[test]
fn numbers_and_records_that_make_no_sense_are_refused() {
    let blob = Digest::of(b"x").path();
    for size in [
        &[0xff; 12][..],
        &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        b"-0000000001\0",
        b"00000000009\0",
        b"0x1        \0",
        b"777777777777",
    ] {
        let mut block = header(b'0', blob.as_bytes(), b"", 0);
        block[124..136].copy_from_slice(size);
        refused(Tar::layout().raw(&signed(block), b"x"));
    }
    for records in
        ["x", "5 a=", "99 path=a\n", "0 path=a\n", "9 path=ab\n", "10 path\n\n\n", "10 size=-1\n", "9 size=x\n"]
    {
        refused(Tar::layout().member(b'x', b"p", b"", records.as_bytes()).blob(b"x"));
        refused(Tar::layout().member(b'g', b"p", b"", records.as_bytes()).blob(b"x"));
    }
    refused(Tar::layout().pax(b'x', &[("size", "9223372036854775807")]).blob(b"x"));
    refused(Tar::layout().pax(b'x', &[("size", "18446744073709551616")]).blob(b"x"));
    let name = "n".repeat(archive::MAX_NAME + 1);
    refused(Tar::layout().pax(b'x', &[("path", &name)]).blob(b"x"));
    refused(Tar::layout().pax(b'x', &[("linkpath", &name)]).blob(b"x"));
    refused(Tar::layout().member(b'L', b"l", b"", format!("{name}n").as_bytes()).blob(b"x"));
    let long = vec![b'c'; archive::MAX_PAX as usize];
    let record = [format!("{} c=", long.len() + 11).as_bytes(), &long, b"\n"].concat();
    assert_eq!(record.len(), long.len() + 11);
    refused(Tar::layout().member(b'x', b"p", b"", &record).blob(b"x"));
    assert_eq!(read(&Tar::layout().pax(b'x', &[("path", "y")]).end(), &[]), Err(Kind::Integrity), "nothing follows");
}

/// ARCHIVE-20
#[test]
fn a_blob_above_eight_gibibytes_is_read_in_place() {
    let size: u64 = 9 << 30;
    let name = Digest::of(b"far away");
    let mut wide = header(b'0', name.path().as_bytes(), b"", 0);
    wide[124..128].copy_from_slice(&[0x80, 0, 0, 0]);
    wide[128..136].copy_from_slice(&size.to_be_bytes());
    let plain = header(b'0', name.path().as_bytes(), b"", 0);
    let pax = Tar::layout().pax(b'x', &[("size", &size.to_string())]).raw(&plain, b"");
    for start in [Tar::layout().raw(&signed(wide), b""), pax] {
        let file = Put::new(&start.0);
        let tail = Tar::default().blob(b"behind").end();
        let sparse = std::fs::OpenOptions::new().write(true).open(&file.0).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, &tail, start.0.len() as u64 + size).unwrap();
        let archive = Archive::open(&file.0).unwrap();
        assert_eq!(archive.access(), Access::Random);
        assert_eq!(archive.size(&name).unwrap(), Some(size));
        let content = archive.open(&Digest::of(b"behind")).unwrap().unwrap();
        assert!(matches!(content, Content::Extent { at, len: 6, .. } if at > size));
        assert!(checked::whole(&Digest::of(b"behind"), content, 10).is_ok());
    }
}

/// ARCHIVE-21
#[test]
fn an_index_above_the_limit_is_refused_before_memory_is_spent() {
    let size: u64 = 5 << 30;
    let start = Tar::default().file("oci-layout", MARKER).raw(&header(b'0', b"index.json", b"", size), b"");
    let file = Put::new(&start.0);
    let sparse = std::fs::OpenOptions::new().write(true).open(&file.0).unwrap();
    sparse.set_len(start.0.len() as u64 + size + 1024).unwrap();
    let archive = Archive::open(&file.0).unwrap();
    assert_eq!(archive.index().unwrap_err().kind(), Kind::Integrity);
    let stream = std::fs::File::open(&file.0).unwrap();
    let passed = archive::pass("-", stream, &Unwatched, &mut |_, _| Ok(()));
    assert_eq!(passed.unwrap_err().kind(), Kind::Integrity);
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let mut whole = Tar::layout().blob(&[7; 1000]).pax(b'x', &[("comment", "c")]).blob(b"x").0;
    let content = whole.len();
    whole.resize(content + 2 * BLOCK, 0);
    let good = read(&whole, &[]).unwrap();
    for cut in (0..whole.len()).step_by(BLOCK).flat_map(|at| [at, at + 1, at + 100, at + 511]) {
        let read = read(&whole[..cut], &[]);
        // One block of zeros, and nothing but zeros behind it, is an end too.
        match cut >= content + BLOCK {
            true => assert_eq!(read.as_ref(), Ok(&good), "cut at {cut}"),
            false => assert_eq!(read, Err(Kind::Integrity), "cut at {cut}"),
        }
    }
    assert!(complaint(&whole[..content]).contains("no end marker"));
    for zeros in [1, 511, 513, 10_240, 1 << 20] {
        let mut more = whole.clone();
        more.resize(whole.len() + zeros, 0);
        assert_eq!(read(&more, &[]).as_ref(), Ok(&good), "{zeros} zeros behind the end");
        more.push(1);
        assert_eq!(read(&more, &[]), Err(Kind::Integrity), "something behind {zeros} zeros");
    }
    let joined = [whole.clone(), whole].concat();
    assert_eq!(read(&joined, &[]), Err(Kind::Integrity), "two archives in one file");
}

#[test]
fn a_flipped_bit_in_a_header_never_changes_what_is_read() {
    let tar = Tar::layout().pax(b'x', &[("comment", "c")]).blob(b"content").blob(b"x").end();
    let good = read_file(&tar, &[]).unwrap();
    for start in [0, 4 * BLOCK, 6 * BLOCK] {
        for bit in 0..BLOCK * 8 {
            let mut flipped = tar.clone();
            flipped[start + bit / 8] ^= 1 << (bit % 8);
            let read = read_stream(&flipped, &[], &[]);
            assert!(read == Err(Kind::Integrity) || read.as_ref() == Ok(&good), "bit {bit} at {start}: {read:?}");
            if bit % 9 == 0 {
                assert_eq!(read_file(&flipped, &[]), read, "bit {bit} at {start}");
            }
        }
    }
}

#[test]
fn damage_in_the_packing_is_found_also_behind_the_last_member() {
    let tar = Tar::layout().blob(b"{\"a\":1}").blob(&[5; 3000]).end();
    let good = read(&tar, &[]);
    for (packed, checks) in [(gzip(&tar), 8), (zstd(&tar), 4)] {
        for at in packed.len() - checks..packed.len() {
            let mut wrong = packed.clone();
            wrong[at] ^= 1;
            assert_eq!(read_file(&wrong, &[]), Err(Kind::Integrity), "byte {at}");
            assert_eq!(read_stream(&wrong, &[], &[]), Err(Kind::Integrity), "byte {at}");
        }
        for cut in 1..packed.len() {
            assert_eq!(read_file(&packed[..cut], &[]), Err(Kind::Integrity), "cut at {cut}");
            assert_eq!(read_stream(&packed[..cut], &[], &[]), Err(Kind::Integrity), "cut at {cut}");
        }
        for garbage in [&b"x"[..], b"garbage that goes on", &[0xff; 600]] {
            let long = [&packed, garbage].concat();
            assert_eq!(read_file(&long, &[]), Err(Kind::Integrity), "{garbage:?}");
            assert_eq!(read_stream(&long, &[], &[]), Err(Kind::Integrity), "{garbage:?}");
        }
    }
    let (front, back) = tar.split_at(1500);
    assert_eq!(read_file(&[gzip(front), gzip(back), gzip(b"")].concat(), &[]), good, "gzip in members");
    let skippable = b"\x50\x2a\x4d\x18\x05\0\0\0hello".to_vec();
    let frames = [skippable.clone(), zstd(front), skippable.clone(), zstd(back), skippable].concat();
    assert_eq!(read_file(&frames, &[]), good, "zstd in frames");
    assert_eq!(read_stream(&frames, &[], &[]), good, "zstd in frames");
}

#[test]
fn a_zstd_window_above_the_limit_is_refused_with_its_cause() {
    let mut packer = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    packer.window_log(archive::MAX_WINDOW_LOG + 1).unwrap();
    packer.write_all(&Tar::layout().end()).unwrap();
    packer.flush().unwrap();
    let packed = packer.finish().unwrap();
    assert_eq!(read_file(&packed, &[]), Err(Kind::Integrity));
    assert!(complaint(&packed).contains("window is above 32 MiB"), "{}", complaint(&packed));
}

#[test]
fn a_bomb_is_passed_over() {
    let size: u64 = 256 << 20;
    let name = Digest::of(b"bomb");
    let start = Tar::default().raw(&header(b'0', name.path().as_bytes(), b"", size), b"").0;
    let tail = Tar::layout().end();
    let stream = start.as_slice().chain(io::repeat(0).take(size)).chain(tail.as_slice());
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(stream, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    assert!(packed.len() < 4 << 20);
    let file = Put::new(&packed);
    let archive = Archive::open(&file.0).unwrap();
    assert_eq!(archive.size(&name).unwrap(), Some(size));
    assert_eq!(archive.index().unwrap().bytes(), INDEX);
    let content = archive.open(&name).unwrap().unwrap();
    let found = checked::verify(&Blob { digest: name, size }, content, &Unwatched);
    assert_eq!(found.unwrap_err().kind(), Kind::Integrity);
}

#[test]
fn a_compressed_archive_keeps_its_documents_and_passes_again_for_the_rest() {
    // Too long to be kept, and no two stretches of it alike.
    let numbers = (0..archive::MAX_KEPT as u32 / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
    let large: Vec<u8> = [b'{'].into_iter().chain(numbers).collect();
    let tar = Tar::layout().blob(b"layer").blob(b" \n{\"m\":1}").blob(&large).blob(b"{}").blob(b"").end();
    assert_eq!(read(&tar, &[]).unwrap().blobs[&Digest::of(&large)], large);
    for packed in [gzip(&tar), zstd(&tar)] {
        let file = Put::new(&packed);
        let archive = Archive::open(&file.0).unwrap();
        assert_eq!(archive.access(), Access::OnePass);
        let open = |bytes: &[u8]| archive.open(&Digest::of(bytes)).unwrap().unwrap();
        assert!(matches!(open(b" \n{\"m\":1}"), Content::Bytes(_)));
        assert!(matches!(open(b"{}"), Content::Bytes(_)));
        for bytes in [&b"layer"[..], &large, b""] {
            assert!(matches!(open(bytes), Content::Stream(..)));
            assert_eq!(checked::whole(&Digest::of(bytes), open(bytes), u64::MAX).unwrap(), bytes);
        }
        let wanted = [&b"{}"[..], b"layer", b"absent", &large];
        let want: BTreeSet<Digest> = wanted.iter().map(|bytes| Digest::of(bytes)).collect();
        let mut sizes = Vec::new();
        let visit = archive.visit(&want, &mut |blob, _| {
            sizes.push(blob.size);
            Ok(())
        });
        visit.unwrap();
        assert_eq!(sizes, [5, large.len() as u64, 2], "in the order of the archive, read or not");
        assert!(archive.open(&Digest::of(b"absent")).unwrap().is_none());
    }
}

#[test]
fn a_stream_hands_out_blobs_as_they_come_and_passes_over_what_is_left() {
    let odd: Digest = "blake9:x".parse().unwrap();
    let tar = Tar::default().blob(b"last in name").file(&odd.path(), b"odd").blob(b"{}").file("oci-layout", MARKER);
    let tar = tar.file("index.json", INDEX).blob(b"behind").file(&odd.path(), b"odd").end();
    let mut seen = Vec::new();
    let passed = archive::pass("-", tar.as_slice(), &Unwatched, &mut |blob, content| {
        let mut one = [0];
        content.reader().read_exact(&mut one).unwrap();
        seen.push((blob.digest, one[0]));
        Ok(())
    });
    let expected = [(Digest::of(b"last in name"), b'l'), (odd, b'o'), (Digest::of(b"{}"), b'{')];
    assert_eq!(seen[..3], expected);
    assert_eq!(seen.len(), 4);
    assert_eq!(passed.unwrap().index().unwrap().bytes(), INDEX);
}

#[test]
fn trouble_of_the_medium_is_no_damage_and_a_stop_is_obeyed() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is out"))
        }
    }
    struct Stop;
    impl Watch for Stop {
        fn stop(&self) -> bool {
            true
        }
    }
    // Content that does not shrink, so that the trouble comes behind the first block.
    let noise: Vec<u8> = (0..200u32).flat_map(|n| Digest::of(&n.to_le_bytes()).sha256().unwrap().to_owned()).collect();
    let tar = Tar::layout().blob(&noise).end();
    for packed in [tar.clone(), gzip(&tar), zstd(&tar)] {
        for cut in [0, 1, 20, packed.len() / 2, packed.len() - 1] {
            let stream = packed[..cut].chain(Broken);
            let passed = archive::pass("-", stream, &Unwatched, &mut |blob, content| {
                checked::verify(&blob, content, &Unwatched)
            });
            assert_eq!(passed.unwrap_err().kind(), Kind::Failed, "broken at {cut}");
        }
        let passed = archive::pass("-", packed.as_slice(), &Stop, &mut |_, _| Ok(()));
        assert_eq!(passed.unwrap_err().kind(), Kind::Interrupted);
        assert_eq!(Archive::watched(&Put::new(&packed).0, &Stop).unwrap_err().kind(), Kind::Interrupted);
    }
}

/// ARCHIVE-24
#[test]
fn wrong_content_ends_no_pass_and_what_is_damaged_around_it_does() {
    let wrong = Digest::of(b"right");
    let tar = Tar::layout().file(&wrong.path(), b"wrong").blob(b"x").end();
    let kept = |bytes: &[u8]| {
        let mut kept = Vec::new();
        let passed = archive::pass("-", bytes, &Unwatched, &mut |blob, content| {
            kept.push(checked::whole(&blob.digest, content, u64::MAX)?);
            Ok(())
        });
        passed.map(|passed| (passed, kept))
    };
    let (passed, others) = kept(&tar).unwrap();
    assert_eq!(others, [b"x"]);
    assert_eq!(passed.table.find(&wrong).unwrap_err().kind(), Kind::Integrity);
    assert_eq!(passed.table.find(&Digest::of(b"x")).unwrap().map(|spot| spot.size), Some(1));
    // A checksum in the packing is wrong, in the middle of that content, and nothing behind it.
    let (front, rest) = tar.split_at(5 * BLOCK + 3);
    for (mut damaged, trailer, rest) in [(gzip(front), 8, gzip(rest)), (zstd(front), 4, zstd(rest))] {
        let at = damaged.len() - trailer;
        damaged[at] ^= 1;
        damaged.extend(rest);
        let why = kept(&damaged).unwrap_err();
        assert_eq!(why.kind(), Kind::Integrity);
        assert!(!why.chain().contains("cut"), "what is told is the damage: {}", why.chain());
    }
}

#[test]
fn an_error_of_the_taker_ends_the_pass_as_it_is() {
    let tar = Tar::layout().blob(b"x").end();
    let passed = archive::pass("-", tar.as_slice(), &Unwatched, &mut |_, _| {
        Err(ocistow_layout::Error::new(Kind::Incomplete, "enough"))
    });
    assert_eq!(passed.unwrap_err().kind(), Kind::Incomplete);
}

#[test]
fn only_a_regular_file_is_opened_and_a_fifo_is_not_waited_for() {
    let fifo = Put::new(b"");
    std::fs::remove_file(&fifo.0).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo.0, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_eq!(Archive::open(&fifo.0).unwrap_err().kind(), Kind::Failed);
    assert_eq!(Archive::open(&std::env::temp_dir()).unwrap_err().kind(), Kind::Failed);
    assert_eq!(Archive::open(Path::new("/dev/zero")).unwrap_err().kind(), Kind::Failed);
    assert_eq!(Archive::open(Path::new("/nowhere/x.tar")).unwrap_err().kind(), Kind::NotFound);
}

/// One member of a drawn archive: good, odd or hostile.
fn member(tar: Tar, sort: u8, a: u8, b: u8) -> Tar {
    let body = [b'{', a % 4];
    let own = Digest::of(&body);
    let other = Digest::of(&[b'{', b % 4]);
    let odd = format!("blobs/odd/{}", a % 2);
    let choice = usize::from(a);
    match sort {
        0..=5 => tar.blob(&body),
        6 => tar.file(&format!("./{}", own.path()), &body),
        7 => tar.file(&own.path(), &[b'{', b % 4]),
        8 => tar.file(&odd, &[b % 2; 3]),
        9 => tar.link(b'1', &own.path(), &other.path()),
        10 => tar.link(b'2', &own.path(), &format!("../sha256/{}", other.encoded())),
        11 => tar.pax(b'x', &[("path", &sha512(&body).path())]).link(b'1', "x", &own.path()),
        12 => tar.link(b'1', &odd, &own.path()),
        13 => tar.link(b'2', &format!("hop{}", a % 3), &format!("hop{}", b % 3)),
        14 => tar.link(b'1', &odd, &format!("hop{}", b % 3)),
        15 => tar.link(b'1', &format!("hop{}", b % 3), &own.path()),
        16 => tar.directory(&own.path()),
        17 => {
            tar.file("index.json", if b.is_multiple_of(8) { b"{\"schemaVersion\":2,\"manifests\":[ ]}" } else { INDEX })
        }
        18 => tar.file("oci-layout", if b.is_multiple_of(8) { b"{}" } else { MARKER }),
        19 => tar.file(["notes", "manifest.json", "a/index.json", "blobs/x", "blobs/sha256/X"][choice % 5], b"?"),
        20 => tar.member(b'L', b"l", b"", own.path().as_bytes()).file("cut", &body),
        21 => tar.pax(b'x', &[("size", "2")]).raw(&header(b'0', own.path().as_bytes(), b"", u64::from(b)), &body),
        22 => tar.link(b"0123456SVMg"[choice % 11], "strange", "x"),
        23 => tar.file(["../x", "/x", "a\\b", "a/.."][choice % 4], b""),
        24 => {
            let target = if b.is_multiple_of(2) { "x" } else { "notes" };
            tar.link(b'2', ["blobs", "blobs/sha256", "index.json", "oci-layout"][choice % 4], target)
        }
        25 => tar.file(["hop0", "notes"][choice % 2], &[b'{', b % 4]),
        26 => tar.link(b'1', &own.path(), ["hop0", "notes", "index.json", "x"][usize::from(b % 4)]),
        _ => tar.pax(b'g', &[("comment", "c")]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// The design's promise: in place and in one pass accept the same, with the same Kind of refusal.
    #[test]
    fn every_way_of_reading_accepts_the_same(
        members in prop::collection::vec((0u8..28, any::<u8>(), any::<u8>()), 0..9),
        hostile in any::<bool>(),
        zeros in 0usize..4,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..3),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let drawn = members.iter().filter(|(sort, ..)| hostile || *sort < 21);
        let tar = drawn.fold(Tar::default(), |tar, (sort, a, b)| member(tar, *sort, *a, *b));
        let mut bytes = tar.blocks(zeros);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        for (at, value, sign) in flips {
            if !bytes.is_empty() && hostile {
                let at = at.index(bytes.len());
                bytes[at] = value;
                let start = at - at % BLOCK;
                if let (true, Some(block)) = (sign, bytes[start..].first_chunk_mut()) {
                    // A header damaged so cleverly that its checksum is right.
                    *block = signed(*block);
                }
            }
        }
        let ask: Vec<Digest> = (0..4).map(|a| Digest::of(&[b'{', a])).chain(["odd:0".parse().unwrap()]).collect();
        if let Err(kind) = read(&bytes, &ask) {
            prop_assert_eq!(kind, Kind::Integrity);
        }
    }

    /// What was staged on the way out of a stream gives and refuses the same content as the archive in place.
    #[test]
    fn what_came_out_of_a_stream_refuses_what_the_archive_in_place_does(
        members in prop::collection::vec((0u8..27, any::<u8>(), any::<u8>()), 0..9),
    ) {
        let drawn = members.iter().filter(|(sort, ..)| *sort < 21 || *sort > 23);
        let tar = drawn.fold(Tar::layout(), |tar, (sort, a, b)| member(tar, *sort, *a, *b)).end();
        let file = Put::new(&tar);
        let Ok(archive) = Archive::open(&file.0) else { return Ok(()) };
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let transaction = Transaction::begin(&dir.path().join("in"), transaction::Options::default()).unwrap();
        let passed = archive::pass("-", Trickle(&tar), &Unwatched, &mut |blob, content| transaction.put(&blob, content));
        // The archive in place is open: so is the stream, but for an index.json that lists nothing beside Docker's.
        let passed = passed.unwrap();
        if passed.holds_docker() {
            return Ok(());
        }
        let leads_elsewhere = passed.leads_elsewhere();
        let links: BTreeMap<Digest, Digest> = passed.table.aliases().map(|(name, own)| (name.clone(), own.clone())).collect();
        let staged = match passed.staged(&transaction) {
            Ok(staged) => staged,
            Err(why) if why.kind() == Kind::Failed && leads_elsewhere => return Ok(()),
            Err(why) => panic!("{}", why.chain()),
        };
        let bodies = (0..4).map(|a| [b'{', a]);
        for digest in bodies.flat_map(|body| [Digest::of(&body), sha512(&body)]) {
            let [place, stream] = [&archive as &dyn Source, &staged]
                .map(|source| checked::read(source, &digest, u64::MAX).map_err(|why| why.kind()));
            // Under its own name it is wrong, so it was not kept for the other.
            let wrong = |own: &Digest| checked::read(&archive, own, u64::MAX).is_err();
            let gone = stream == Err(Kind::Integrity) && links.get(&digest).is_some_and(wrong);
            let went_by = stream == Err(Kind::Failed) && leads_elsewhere;
            prop_assert!(place == stream || gone || went_by, "{digest}: {place:?}, {stream:?}");
        }
    }
}

/// The archives that other tools made, against a listing that is not ours.
#[test]
fn archives_of_other_tools_hold_what_another_reader_lists() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let folders = std::fs::read_dir(fixtures).unwrap().map(|step| step.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|step| step.unwrap().path());
    let mut layouts = 0;
    for path in files.filter(|path| path.is_file()) {
        let bytes = std::fs::read(&path).unwrap();
        let tar = match archive::sniff(&bytes) {
            Form::PlainTar => bytes,
            Form::Gzip => {
                let mut tar = Vec::new();
                flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut tar).unwrap();
                tar
            }
            _ => continue,
        };
        let (mut blobs, mut index) = (BTreeMap::new(), Err(Kind::NotFound));
        for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let (Some(name), true) = (name.strip_prefix("blobs/"), entry.header().entry_type().is_file()) {
                blobs.insert(name.replace('/', ":").parse().unwrap(), content);
            } else if name == "index.json" {
                index = Ok(content);
            }
        }
        let view = read(&tar, &[]).unwrap();
        assert_eq!((&view.blobs, &view.index), (&blobs, &index), "{}", path.display());
        let odd = view.found.iter().filter(|found| !matches!(found, Found::Blob(_)));
        assert_eq!(odd.count(), 0, "{}", path.display());
        layouts += usize::from(index.is_ok());
    }
    assert!(layouts >= 5, "only {layouts} archives were found");
}
