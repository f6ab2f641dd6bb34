//! Archives of enemies, small as files and large once they are read, go through the program under a limit of memory and
//! of time.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{Read, Write};

use ocistow_layout::Digest;
use ocistow_layout::archive::MAX_REPEATS;
use ocistow_layout::descriptor::REF_NAME;
use ocistow_testkit::hostile::indexes;
use ocistow_testkit::to_tar;

use crate::run::{ocistow, ocistow_reading_within, ocistow_within};

/// The memory that the program may take, whatever comes out of an archive.
const ROOM: u64 = 64 << 20;
/// The seconds of a processor that a command may take. A build that checks every sum takes longer.
const SECONDS: u64 = if cfg!(debug_assertions) { 60 } else { 10 };

thread_local! {
    /// How many archives a test has asked about: the number of the one that did harm tells which it is.
    static BOMBS: Cell<usize> = const { Cell::new(0) };
}

/// What is asked of every archive. `@` is the archive, `#` a place to write to.
const LINES: [&str; 11] = [
    "fsck @",
    "import @ #in",
    "ls --all @",
    "export @ -o #x.tar --force",
    "show @:v1",
    "resolve @:v1",
    "discover @:v1",
    "graph @ --format dot",
    "du @",
    "plan @",
    "import @ #other --dry-run",
];

const BLOCK: usize = 512;
/// How much stands in a piece that is repeated.
const PIECE: usize = 16 << 20;

/// A header, with room for nothing unusual.
fn header(flag: u8, name: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).expect("the name is short");
    header.set_entry_type(tar::EntryType::new(flag));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    member(b'0', name, content)
}

fn member(flag: u8, name: &str, content: &[u8]) -> Vec<u8> {
    let mut member = header(flag, name, content.len() as u64);
    member.extend_from_slice(content);
    member.resize(member.len().next_multiple_of(BLOCK), 0);
    member
}

/// A link, a header by itself.
fn link(name: &str, target: &str) -> Vec<u8> {
    let mut link = tar::Header::new_ustar();
    link.set_path(name).expect("the name is short");
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_link_name(target).expect("the target is short");
    link.set_size(0);
    link.set_cksum();
    link.as_bytes().to_vec()
}

/// A PAX record of `length` bytes.
fn record(key: &str, length: usize) -> Vec<u8> {
    let start = format!("{length} {key}=");
    format!("{start}{}\n", "x".repeat(length - start.len() - 1)).into_bytes()
}

/// A small layout with an image tagged `v1`.
fn layout() -> Vec<u8> {
    let memory = ocistow_testkit::draw("image app:v1 = base").memory;
    let mut tar =
        [file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#), file("index.json", &memory.index)].concat();
    memory.blobs.iter().for_each(|(digest, content)| tar.extend(file(&digest.path(), content)));
    tar
}

/// Draws a layout of manifests tagged `v0` and so on, `size` bytes in all, which say nothing at great length.
fn long_manifests(size: u64, put: &mut dyn FnMut(&[u8], u64)) {
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let (nothing, saying) = (Digest::of(b"{}"), "a".repeat(7 << 20));
    let manifest = |n: u64| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{{"mediaType":"a/b","digest":"{nothing}","size":2}},"layers":[],"annotations":{{"n":"{n}","x":"{saying}"}}}}"#
        )
    };
    let numbers = || 0..size / saying.len() as u64;
    let entries = numbers().map(|n| {
        let text = manifest(n);
        let (digest, length) = (Digest::of(text.as_bytes()), text.len());
        format!(
            r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{length},"annotations":{{"{REF_NAME}":"v{n}"}}}}"#
        )
    });
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.collect::<Vec<_>>().join(","));
    put(&file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#), 1);
    put(&file("index.json", index.as_bytes()), 1);
    put(&file(&nothing.path(), b"{}"), 1);
    for text in numbers().map(manifest) {
        put(&file(&Digest::of(text.as_bytes()).path(), text.as_bytes()), 1);
    }
    put(&end().0, 1);
}

/// What an archive is made of: bytes, and how often they stand there.
type Parts = Vec<(Vec<u8>, u64)>;

/// A member of `size` bytes, all of them `filling`.
fn filled(name: &str, filling: &[u8], size: u64) -> Parts {
    let piece = filling.repeat(PIECE / filling.len());
    let whole = size / piece.len() as u64;
    vec![(header(b'0', name, whole * piece.len() as u64), 1), (piece, whole)]
}

fn end() -> (Vec<u8>, u64) {
    (vec![0; 2 * BLOCK], 1)
}

/// Puts pieces of an archive one behind the other, each so often.
type Draw<'d> = dyn Fn(&mut dyn FnMut(&[u8], u64)) + 'd;

/// A way of packing.
type Pack = fn(&[u8]) -> Vec<u8>;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(bytes, flate2::Compression::best()).read_to_end(&mut packed).expect("memory takes it");
    packed
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes it")
}

/// Asks everything of the archive made of these parts, packed in each of these ways. It ends with one of these codes.
#[track_caller]
fn survives(packs: &[Pack], parts: &[(Vec<u8>, u64)], codes: &[i32]) {
    survives_drawn(packs, &|put| parts.iter().for_each(|(bytes, times)| put(bytes, *times)), codes);
}

/// The same of an archive that is too long to be held in memory.
#[track_caller]
fn survives_drawn(packs: &[Pack], draw: &Draw<'_>, codes: &[i32]) {
    let space = tempfile::tempdir().expect("there is room");
    let path = |name: &str| space.path().join(name).to_str().expect("it is UTF-8").to_owned();
    for pack in packs {
        let mut archive = File::create(path("x")).expect("there is room");
        draw(&mut |bytes, times| {
            let packed = pack(bytes);
            (0..times).try_for_each(|_| archive.write_all(&packed)).expect("there is room");
        });
        // What a smaller bomb does to some it does to the others.
        let lines = if packs.len() > 1 { LINES.len() } else { 4 };
        ask(&LINES[..lines], &path("x"), &path, codes);
    }
}

#[track_caller]
fn ask(lines: &[&str], archive: &str, path: &dyn Fn(&str) -> String, codes: &[i32]) {
    let number = BOMBS.get() + 1;
    BOMBS.set(number);
    for line in lines {
        let words = line.split(' ').map(|word| match word.strip_prefix('#') {
            Some(name) => path(name),
            None => word.replace('@', archive),
        });
        let ran = ocistow_within(ROOM, SECONDS, words);
        let said: String = ran.err.chars().take(1000).collect();
        let of = fs::metadata(archive).map_or(0, |meta| meta.len());
        assert!(codes.contains(&ran.code), "bomb {number}, of {of} bytes: {line} ended with {}: {said}", ran.code);
        for made in ["in", "other"] {
            drop(fs::remove_dir_all(path(made)));
        }
    }
}

/// The bombs of `size` bytes, and with `headers` headers.
fn bombs(packs: &[Pack], size: u64, headers: u64) {
    let survives = |parts: &[(Vec<u8>, u64)], codes: &[i32]| survives(packs, parts, codes);
    // What nobody needs is passed over, whatever it is called. Where it has the name of a blob, it is not that.
    let passed = |name: &str, codes: &[i32]| {
        survives(&[vec![(layout(), 1)], filled(name, &[0], size), vec![end()]].concat(), codes);
    };
    passed("notes.txt", &[0]);
    passed(&Digest::of(b"other").path(), &[0, 4]);
    survives(&[(layout(), 1), end(), (vec![0; PIECE], size / PIECE as u64)], &[0]);
    // What is needed is no larger than it has to be.
    survives(&[filled("oci-layout", &[0], size), vec![end()]].concat(), &[3]);
    let marker = file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    for filling in
        ["\0", " ", "[", "{\"manifests\":[],\"a\":\"b\",", "{\"mediaType\":\"a/b\",\"digest\":\"a:b\",\"size\":1},"]
    {
        let index = filled("index.json", filling.as_bytes(), size);
        survives(&[vec![(marker.clone(), 1)], index, vec![end()]].concat(), &[4]);
    }
    for (front, filling) in [
        ("{\"manifests\":[", "{\"mediaType\":\"a/b\",\"digest\":\"a:b\",\"size\":1},"),
        ("{\"manifests\":[],\"x\":\"", "a"),
        ("{\"manifests\":[{\"x\":\"", "a"),
    ] {
        let piece = filling.as_bytes().repeat(PIECE / filling.len());
        let whole = size / piece.len() as u64;
        let length = front.len() as u64 + whole * piece.len() as u64;
        let start = [marker.clone(), header(b'0', "index.json", length), front.as_bytes().to_vec()].concat();
        let padding = vec![0; (BLOCK as u64 - length % BLOCK as u64) as usize];
        survives(&[(start, 1), (piece, whole), (padding, 1), end()], &[4]);
    }
    // Nor has a short one more entries than it has digests, which are as long packed as they are.
    let entries = vec![r#"{"mediaType":"a/b","digest":"a:b","size":1}"#; 60_000].join(",");
    let index = file("index.json", format!("{{\"manifests\":[{entries}]}}").as_bytes());
    survives(&[(marker.clone(), 1), (index, 1), end()], &[4]);
    // Headers in front of a member, with records that are kept for it, those that are not, and those that are too long.
    let (passed, kept, long) =
        (record("comment", 1 << 20), record("linkpath", 4096).repeat(256), record("path", 1 << 20));
    for (records, for_one, for_all) in [(passed, 0, 0), (kept, 0, 4), (long, 4, 4)] {
        for (flag, code) in [(b'x', for_one), (b'g', for_all)] {
            let pax = (member(flag, "pax", &records), size >> 20);
            let members = (header(b'0', "x", 0).repeat(1 << 12), headers >> 12);
            survives(&[(layout(), 1), pax, members, end()], &[code]);
        }
    }
    let name = [header(b'L', "long", 4096), vec![b'x'; 4096]].concat();
    survives(&[(layout(), 1), (name.repeat(64), headers / 64), end()], &[4]);
    // Many members.
    let many = |member: Vec<u8>, codes: &[i32]| {
        survives(&[(layout(), 1), (member.repeat(1 << 12), headers >> 12), end()], codes);
    };
    many(header(b'0', "x", 0), &[0]);
    many(header(b'5', "x", 0), &[0]);
    many(file(&Digest::of(b"x").path(), b"x"), if headers > MAX_REPEATS { &[4] } else { &[0] });
    many(link(&Digest::of(b"x").path(), "y"), &[0, 4]);
    // The same, each under a name of its own.
    let named = |member: &dyn Fn(u64) -> Vec<u8>, codes: &[i32]| {
        let draw = |put: &mut dyn FnMut(&[u8], u64)| {
            put(&layout(), 1);
            for first in (0..headers).step_by(1 << 12) {
                put(&(first..first + (1 << 12)).flat_map(member).collect::<Vec<u8>>(), 1);
            }
            put(&end().0, 1);
        };
        survives_drawn(packs, &draw, codes);
    };
    named(&|n| header(b'0', &format!("x/{n}"), 0), &[0]);
    named(&|n| header(b'5', &format!("x/{n}"), 0), &[0]);
    named(&|n| header(b'0', &format!("blobs/a/{n}"), 0), &[4]);
    named(&|n| header(b'0', &format!("blobs/sha256/{n:064}"), 0), &[4]);
    named(&|n| header(b'5', &format!("blobs/a/{n}"), 0), &[4]);
    named(&|n| header(b'0', &format!("blobs/a/b/{n}"), 0), &[0]);
    named(&|n| link(&format!("blobs/a/{n}"), "y"), &[0, 4]);
    named(&|n| link(&format!("blobs/a/{n}"), &Digest::of(b"app").path()), &[0, 4]);
    // What is asked of one manifest alone may be answered.
    survives_drawn(packs, &|put| long_manifests(size, put), &[0, 4]);
    survives(&[(to_tar(&indexes(2, 50_000)), 1)], &[0, 4]);
}

#[test]
fn what_comes_out_of_an_archive_buys_no_memory() {
    bombs(&[gzip], 96 << 20, 5 << 12);
    bombs(&[zstd], 96 << 20, 5 << 12);
}

#[test]
#[ignore = "takes half an hour unless it was built with --release"]
fn four_gibibytes_out_of_an_archive_buy_neither_memory_nor_time() {
    bombs(&[gzip, zstd], 4 << 30, 7 << 20);
}

/// Whichever way it is read; and a layout of the same manifests that is no archive of a few kilobytes is a layout.
#[test]
fn what_manifests_say_is_held_no_further_than_the_archive_explains() {
    let space = tempfile::tempdir().expect("there is room");
    let path = |name: &str| space.path().join(name).to_str().expect("it is UTF-8").to_owned();
    let why = "say far more than what they were unpacked from can hold";
    let size = 80 << 20;
    let draws: [&Draw<'_>; 2] = [&|put| long_manifests(size, put), &|put| put(&to_tar(&indexes(1, 40_000)), 1)];
    for draw in draws {
        let mut plain = Vec::new();
        draw(&mut |bytes, times| (0..times).for_each(|_| plain.extend_from_slice(bytes)));
        for pack in [gzip, zstd] {
            fs::write(path("x"), pack(&plain)).expect("there is room");
            for line in ["ls @", "fsck @", "import @ #in", "export @ -o #out.tar"] {
                let words = line.replace('@', &path("x")).replace('#', &path(""));
                let ran = ocistow_within(ROOM, SECONDS, words.split(' ')).ended(4);
                let said = ran.text() + &ran.err;
                assert!(said.contains(why), "{line}: {said}");
            }
            let input = File::open(path("x")).expect("it is there");
            let ran = ocistow_reading_within(ROOM, SECONDS, input, ["import", "-", &path("in")]).ended(4);
            assert!(ran.err.contains(why), "{}", ran.err);
            assert!(!fs::exists(path("in")).expect("it can be asked"), "a layout was made");
        }
        fs::write(path("x"), &plain).expect("there is room");
        for line in ["ls @", "import @ #in", "fsck #in"] {
            let words = line.replace('@', &path("x")).replace('#', &path(""));
            ocistow_within(ROOM + size, SECONDS, words.split(' ')).ended(0);
        }
        fs::remove_dir_all(path("in")).expect("it was made");
    }
}

/// Who packs such manifests is told that they have to be unpacked.
#[test]
fn an_archive_that_is_packed_too_tightly_is_warned_of() {
    let space = tempfile::tempdir().expect("there is room");
    let path = |name: &str| space.path().join(name).to_str().expect("it is UTF-8").to_owned();
    let mut archive = File::create(path("x.tar")).expect("there is room");
    long_manifests(24 << 20, &mut |bytes, times| {
        (0..times).try_for_each(|_| archive.write_all(bytes)).expect("there is room");
    });
    let export = |to: &str| ocistow(["export", &path("x.tar"), "-o", &path(to)]).ended(0).err;
    assert!(!export("same.tar").contains("packed so tightly"), "nothing is packed");
    assert!(export("tight.tar.gz").contains("packed so tightly"));
    ocistow(["import", &path("tight.tar.gz"), &path("in")]).ended(4);
    let mut unpacked = File::create(path("unpacked.tar")).expect("there is room");
    let tight = File::open(path("tight.tar.gz")).expect("it was written");
    std::io::copy(&mut flate2::read::MultiGzDecoder::new(tight), &mut unpacked).expect("it is whole");
    ocistow(["import", &path("unpacked.tar"), &path("in")]).ended(0);
}

#[test]
fn an_archive_in_an_archive_is_not_looked_into() {
    let zeros = gzip(&vec![0; PIECE]);
    let inner = [gzip(&layout()), zeros.repeat(64)].concat();
    survives(&[gzip, zstd], &[(inner, 1)], &[4]);
}

/// Holes in a file cost nothing but their length.
#[test]
fn holes_in_a_plain_archive_buy_no_memory() {
    let space = tempfile::tempdir().expect("there is room");
    let path = |name: &str| space.path().join(name).to_str().expect("it is UTF-8").to_owned();
    let size: u64 = (4 << 30) - 1;
    for (name, codes) in [("index.json", &[4][..]), ("oci-layout", &[3]), ("notes.txt", &[3])] {
        let mut archive = File::create(path("x")).expect("there is room");
        archive.write_all(&header(b'0', name, size)).expect("there is room");
        archive.set_len(BLOCK as u64 + size.next_multiple_of(BLOCK as u64) + 2 * BLOCK as u64).expect("there is room");
        ask(&LINES, &path("x"), &path, codes);
    }
}
