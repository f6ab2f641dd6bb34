//! What fuzzing starts from: the fixtures of this repository and of the testkit, and whatever was worth keeping of what
//! it found (`crates/fuzz/corpus`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ocistow_layout::memory::Memory;
use ocistow_testkit::fixtures::ALL;
use ocistow_testkit::{odd, to_tar};

/// The longest file of the fixtures that is taken.
const MAX: u64 = 64 << 10;

/// The odd layouts of the testkit.
const ODD: [fn() -> Memory; 24] = [
    odd::empty,
    odd::strict,
    odd::all_referrers,
    odd::fallback,
    odd::stale,
    odd::olareg,
    odd::containerd,
    odd::cosign_blob,
    odd::cosign_tag,
    odd::two_latest,
    odd::duplicate_tag,
    odd::null,
    odd::no_media_type,
    odd::sparse,
    odd::corrupt,
    odd::cut,
    odd::grown,
    odd::ambiguous,
    odd::docker,
    odd::legacy,
    odd::no_subject_size,
    odd::nested,
    odd::sha512,
    odd::traversal,
];

/// Words of every grammar, right and wrong.
const WORDS: [&str; 40] = [
    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "sha256:44136FA355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "sha512:27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd",
    "blake3:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564=",
    "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
    "md5:../../x",
    "latest",
    "sha256-44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a.sig",
    "_x.y-z",
    "1.0.0+build",
    "docker.io/library/alpine:3.20",
    "localhost:5000/a/b:v1",
    "index.docker.io/a/b",
    "a/b@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "application/vnd.oci.image.manifest.v1+json",
    "text/plain; charset=utf-8",
    "./store:app",
    "oci:store:@1",
    "oci-archive:a.tar:v1",
    "docker-archive:a.tar:@0",
    "ocidir://store:v1",
    "docker://alpine",
    "store/a:b/c:d@e",
    "store:v1@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "a/b/../c",
    "./a//b/.",
    "../x",
    "/etc/passwd",
    "name with spaces\\and:more",
    "linux/arm64/v8",
    "windows/amd64:10.0.17763.1",
    "linux",
    "1h30m",
    "500ms",
    "2m3s4ms",
    "2024-02-29T23:59:59.123+01:30",
    "1970-01-01T00:00:00Z",
    "4294967295",
    "\u{202e}a\u{1b}[31m\"\\\n",
];

/// Members of packed directories: what sort, which name, which target.
const DIRECTORIES: [&[u8]; 6] = [
    &[0x72, 0, 0, 0x70, 2, 0],
    &[0x72, 0, 0, 0x72, 2, 0, 0x70, 3, 0, 0x74, 5, 15],
    &[0x72, 0, 0, 0x74, 5, 16, 0x70, 6, 0],
    &[0x72, 0, 0, 0x70, 2, 0, 0x76, 5, 2],
    &[0x72, 0, 0, 0x74, 2, 18, 0x70, 3, 0, 0x70, 11, 0],
    &[0x02, 0, 0, 0x03, 2, 0, 0x70, 3, 0, 0x74, 2, 5, 0x77, 5, 0],
];

/// All seeds of a target, each by name.
pub fn of(target: &str) -> BTreeMap<String, Vec<u8>> {
    let mut seeds = kept(target);
    match target {
        "archive" => {
            seeds.extend(files(&|name| name.contains(".tar")));
            seeds.extend(ODD.iter().enumerate().map(|(n, layout)| (format!("odd-{n}.tar"), to_tar(&layout()))));
            let tar = to_tar(&odd::strict());
            seeds.insert("strict.tar.zst".into(), zstd::bulk::compress(&tar, 1).expect("memory takes it"));
        }
        "documents" => {
            seeds.extend(ALL.iter().map(|fixture| (fixture.name.to_owned(), fixture.bytes.to_vec())));
            seeds.extend(ODD.iter().enumerate().map(|(n, layout)| (format!("odd-{n}.json"), layout().index)));
            seeds.extend(files(&|name| name.ends_with("/index.json")));
        }
        "words" => {
            seeds.extend(WORDS.iter().enumerate().map(|(n, word)| (format!("word-{n}"), word.as_bytes().to_vec())));
        }
        // Drawn from numbers: a few of each sort of step.
        "members" => seeds.extend(drawn(24, &[&[2], &[6]])),
        "graph" => seeds.extend(drawn(32, &[&[0x01], &[0x3f], &[0xff]])),
        "changes" => seeds.extend(drawn(32, &[&[0x01, 4], &[0x10, 5], &[0x02, 1], &[0x0e, 3], &[0x83, 2], &[0x0f, 1]])),
        "output" => {
            for there in 0..10 {
                for (n, members) in DIRECTORIES.iter().enumerate() {
                    seeds.insert(format!("{n}-{there}"), [&[there & 3, there], *members].concat());
                }
            }
        }
        "kept" => {
            let changes = [1u8, 0, 9, 3].into_iter().chain((0..60).map(|n: u8| n.wrapping_mul(7)));
            let changes: Vec<u8> = changes.collect();
            for mode in [0, 1, 4, 9, 0x11, 0x52, 0xa1, 0xf3] {
                seeds.insert(format!("mode-{mode}"), [&[mode], &changes[..]].concat());
                seeds.insert(format!("mode-{mode}-one"), [&[mode], &changes[..4]].concat());
            }
        }
        _ => {}
    }
    seeds
}

/// Steps of three bytes: of each kind a few.
fn drawn(kinds: u8, fronts: &[&[u8]]) -> BTreeMap<String, Vec<u8>> {
    let mut seeds = BTreeMap::new();
    for (at, front) in fronts.iter().enumerate() {
        for kind in 0..kinds {
            let steps = [[0, 10, 0], [0, 11, 0], [0, 1, 0], [kind, 0, 1], [kind, 2, 0x90]].concat();
            seeds.insert(format!("kind-{at}-{kind}"), [*front, &steps[..]].concat());
        }
        for first in (0..kinds).step_by(6) {
            let step = |n: u8| [(first + n * 7) % kinds, n.wrapping_mul(5).wrapping_add(1), n.wrapping_mul(0x33)];
            let steps: Vec<u8> = (0..12).flat_map(step).collect();
            seeds.insert(format!("many-{at}-{first}"), [*front, &steps[..]].concat());
        }
    }
    seeds
}

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// What was worth keeping: found by fuzzing, or what once broke a promise.
fn kept(target: &str) -> BTreeMap<String, Vec<u8>> {
    let mut seeds = BTreeMap::new();
    for entry in fs::read_dir(house().join("corpus").join(target)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        seeds.insert(name, fs::read(entry.path()).expect("a seed can be read"));
    }
    seeds
}

/// Small files of the fixtures.
fn files(wanted: &dyn Fn(&str) -> bool) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![house().join("../../fixtures")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the fixtures are there").flatten() {
            let (path, meta) = (entry.path(), entry.metadata().expect("a fixture is there"));
            if meta.is_dir() {
                folders.push(path);
            } else if meta.len() <= MAX && wanted(&path.to_string_lossy()) {
                let name = path.to_string_lossy().replace(['/', '.'], "-");
                found.insert(name, fs::read(path).expect("a fixture can be read"));
            }
        }
    }
    found
}
