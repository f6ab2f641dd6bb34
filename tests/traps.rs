//! Layouts in directories in which something else lies where a file or a directory should: they are answered or
//! refused at once, and nothing that is not theirs is changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use ocistow_layout::descriptor::REF_NAME;
use ocistow_testkit::{draw, to_dir, to_tar};
use rustix::fs::{CWD, FileType, mknodat};

use crate::run::ocistow_within;

/// The memory and the seconds of a processor that a command may take.
const ROOM: u64 = 64 << 20;
const SECONDS: u64 = if cfg!(debug_assertions) { 60 } else { 10 };

const WORLD: &str = "image app:v1 = base + tools\nrefer sig -> app : application/x.sig\nimage old = base\nhidden old";

/// What is asked of every layout, and done to it. `@` is the layout, `#` a place beside it.
const LINES: [&str; 18] = [
    "ls --all @",
    "show @:v1",
    "discover @:v1",
    "graph @ --format dot",
    "fsck @ --format json",
    "du @",
    "diff @ #good.tar",
    "plan @:v1",
    "export @ -o #out.tar --force",
    "export @ -o #out-dir",
    "tag @:v1 new",
    "blob push @ #good.tar",
    "push @:pushed #good.tar",
    "import #good.tar @",
    "fsck @ --repair-from #good.tar",
    "untag @:new --ignore-missing",
    "rm @:v1 --referrers",
    "gc @ --grace 0 --prune --staged",
];

/// Where files lie in a layout of ours. `*` is the manifest tagged `v1`.
const FILES: [&str; 8] = [
    "index.json",
    "oci-layout",
    "*",
    ".ocistow/lock/gate",
    ".ocistow/lock/content",
    ".ocistow/lock/index",
    ".ocistow/graph/head",
    ".ocistow/graph/lock",
];
/// Where directories lie.
const DIRECTORIES: [&str; 9] = [
    "blobs",
    "blobs/sha256",
    ".ocistow",
    ".ocistow/lock",
    ".ocistow/staging",
    ".ocistow/graph",
    ".ocistow/trash",
    ".ocistow/trash/sha256",
    ".ocistow/sets",
];

/// What is somebody else's, beside the layout: every name and what is in it.
fn theirs(outside: &Path) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
    let all = walkdir::WalkDir::new(outside).into_iter().map(|step| step.expect("it can be listed"));
    let what = |step: walkdir::DirEntry| {
        let meta = step.metadata().expect("it is there");
        let content = if meta.is_file() { fs::read(step.path()).expect("it can be read") } else { Vec::new() };
        (step.into_path(), (meta.mode(), meta.size(), content))
    };
    all.map(what).collect()
}

/// Puts something at a path of a layout and runs everything on it. `set` is given the path, and what it could lead to.
#[track_caller]
fn falls_into_none(what: &str, places: &[&str], set: &dyn Fn(&Path, &Path)) {
    let world = draw(WORLD);
    for place in places {
        let space = tempfile::tempdir().expect("there is room");
        let path = |name: &str| space.path().join(name);
        to_dir(&world.memory, path("layout")).expect("there is room");
        fs::write(path("good.tar"), to_tar(&world.memory)).expect("there is room");
        for inside in ["lock", "staging", "graph", "trash/sha256", "sets"] {
            fs::create_dir_all(path("layout/.ocistow").join(inside)).expect("there is room");
        }
        let manifest = world.digest("app").path();
        let outside = path("outside");
        for directory in [&outside, &outside.join("sha256"), &outside.join("lock"), &outside.join("staging/litter")] {
            fs::create_dir_all(directory).expect("there is room");
            for name in ["gate", "content", "index", "head", "precious", &"a".repeat(64)] {
                fs::write(directory.join(name), "precious").expect("there is room");
            }
        }
        let at = path("layout").join(if *place == "*" { manifest.as_str() } else { place });
        if at.is_dir() {
            fs::remove_dir_all(&at).expect("it is there");
        } else if at.exists() {
            fs::remove_file(&at).expect("it is there");
        }
        set(&at, &outside);
        let before = theirs(&outside);
        for line in LINES {
            let words = line.split(' ').map(|word| match word.strip_prefix('#') {
                Some(name) => path(name).display().to_string(),
                None => word.replace('@', path("layout").to_str().expect("it is UTF-8")),
            });
            let ran = ocistow_within(ROOM, SECONDS, words);
            let said: String = ran.err.chars().take(1000).collect();
            assert!((0..=5).contains(&ran.code), "{place} is {what}: {line} ended with {}: {said}", ran.code);
            assert!(theirs(&outside) == before, "{place} is {what}: {line} changed what is somebody else's");
        }
    }
}

#[test]
fn links_to_elsewhere_are_no_way_out() {
    falls_into_none("a link to a file", &FILES, &|at, outside| {
        symlink(outside.join("precious"), at).expect("there is room");
    });
    falls_into_none("a link to a directory", &DIRECTORIES, &|at, outside| symlink(outside, at).expect("there is room"));
    for places in [&FILES[..], &DIRECTORIES] {
        falls_into_none("a link to itself", places, &|at, _| symlink(at, at).expect("there is room"));
        falls_into_none("a link to nothing yet", places, &|at, outside| {
            symlink(outside.join("new"), at).expect("there is room");
        });
    }
}

#[test]
fn nobody_waits_at_a_pipe_or_a_socket() {
    for places in [&FILES[..], &DIRECTORIES] {
        falls_into_none("a FIFO", places, &|at, _| {
            mknodat(CWD, at, FileType::Fifo, 0o666.into(), 0).expect("there is room");
        });
        falls_into_none("a socket", places, &|at, _| drop(UnixListener::bind(at).expect("there is room")));
    }
}

#[test]
fn a_file_is_no_directory_and_the_other_way_round() {
    falls_into_none("a directory", &FILES, &|at, _| fs::create_dir(at).expect("there is room"));
    falls_into_none("a file", &DIRECTORIES, &|at, _| fs::write(at, "x").expect("there is room"));
}

#[test]
fn nothing_is_written_into_a_file_that_has_another_name() {
    falls_into_none("a hard link", &FILES, &|at, outside| {
        fs::hard_link(outside.join("precious"), at).expect("there is room");
    });
}

#[test]
fn holes_of_a_terabyte_cost_neither_memory_nor_time() {
    // What has the name of a blob is hashed to its end.
    let others: Vec<&str> = FILES.into_iter().filter(|file| *file != "*").collect();
    falls_into_none("a terabyte of nothing", &others, &|at, _| {
        File::create(at).expect("there is room").set_len(1 << 40).expect("there is room");
    });
    falls_into_none("a gigabyte of nothing", &["*"], &|at, _| {
        File::create(at).expect("there is room").set_len(1 << 30).expect("there is room");
    });
    falls_into_none("four gigabytes of nothing", &["index.json", ".ocistow/graph/head"], &|at, _| {
        File::create(at).expect("there is room").set_len((4 << 30) - 1).expect("there is room");
    });
}

/// DIGEST-5: nobody can tell that a digest of an unknown algorithm is wrong, so one file is there under any number.
#[test]
fn one_file_under_many_digests_is_held_once() {
    let space = tempfile::tempdir().expect("there is room");
    let path = |name: &str| space.path().join(name);
    let mut layout = draw("").memory;
    let config = layout.add(*b"{}");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{{"mediaType":"a/b","digest":"{config}","size":2}},"layers":[],"annotations":{{"x":"{}"}}}}"#,
        "a".repeat(4 << 20)
    );
    let size = manifest.len();
    let entry = |n: usize| {
        format!(
            r#"{{"mediaType":"{media_type}","digest":"odd:{n}","size":{size},"annotations":{{"{REF_NAME}":"v{n}"}}}}"#
        )
    };
    let entries: Vec<String> = (0..60).map(entry).collect();
    layout.index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(",")).into_bytes();
    to_dir(&layout, path("L")).expect("there is room");
    fs::create_dir(path("L/blobs/odd")).expect("there is room");
    fs::write(path("L/blobs/odd/0"), manifest).expect("there is room");
    for n in 1..60 {
        fs::hard_link(path("L/blobs/odd/0"), path(&format!("L/blobs/odd/{n}"))).expect("there is room");
    }
    let within = |line: &str| {
        let words = line.split(' ').map(PathBuf::from).chain([path("L")]);
        ocistow_within(ROOM, SECONDS, words).ended(0);
    };
    ["ls", "fsck", "plan", "du", "gc --dry-run"].into_iter().for_each(within);
    fs::write(path("L/index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).expect("there is room");
    ["fsck", "gc --dry-run"].into_iter().for_each(within);
    // Nor any length of time.
    for n in 60..300 {
        fs::hard_link(path("L/blobs/odd/0"), path(&format!("L/blobs/odd/{n}"))).expect("there is room");
    }
    let ran = ocistow_within(ROOM, SECONDS, ["gc".as_ref(), "--dry-run".as_ref(), path("L").as_os_str()]).ended(4);
    assert!(ran.err.contains("have digests that cannot be checked"), "{}", ran.err);
    let entries: Vec<String> = (0..300).map(entry).collect();
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    fs::write(path("L/index.json"), index).expect("there is room");
    let ran = ocistow_within(ROOM, SECONDS, ["ls".as_ref(), path("L").as_os_str()]).ended(4);
    assert!(ran.err.contains("have digests that cannot be checked"), "{}", ran.err);
}

#[test]
fn strange_names_are_listed_and_never_printed_as_they_are() {
    use std::os::unix::ffi::OsStrExt;
    let space = tempfile::tempdir().expect("there is room");
    let layout = space.path().join("layout");
    to_dir(&draw(WORLD).memory, &layout).expect("there is room");
    for name in [&b"new\nline"[..], b"\x1b[31mred", b"\xff\xfe", b"\xe2\x80\xaegpj.exe"] {
        for directory in ["", "blobs", "blobs/sha256"] {
            let name = std::ffi::OsStr::from_bytes(name);
            fs::write(layout.join(directory).join(name), "x").expect("there is room");
        }
    }
    let location = layout.to_str().expect("it is UTF-8");
    for line in ["fsck @", "du @", "ls @", "gc @ --grace 0"] {
        let ran = ocistow_within(ROOM, SECONDS, line.split(' ').map(|word| word.replace('@', location)));
        let all = format!("{}{}", ran.text(), ran.err);
        assert!((0..=4).contains(&ran.code), "{ran}");
        assert!(!all.contains(['\x1b', '\u{202e}']) && !all.contains("new\nline"), "{line}: {all:?}");
    }
    let ran = ocistow_within(ROOM, SECONDS, ["fsck", location, "--format", "json"]);
    let problems = ran.json()["problems"].as_array().expect("there are problems").clone();
    let strays = problems
        .iter()
        .filter_map(|problem| problem["path"].as_str())
        .filter(|path| !path.starts_with("blobs/sha256/"));
    assert!(strays.clone().count() >= 8 && !strays.clone().any(|path| path.starts_with('/')), "{ran}");
}
