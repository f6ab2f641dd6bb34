//! Bytes as an artifact's packed directory, drawn by its members, written back beside something that is not its own:
//! nothing appears outside of its directory, no link leads out of it, and half of it is written nowhere.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use ocistow_layout::archive::Existing;
use ocistow_layout::medium::Disk;
use ocistow_layout::output::{Options, Output};
use ocistow_layout::title::Title;
use ocistow_layout::{Blob, Content, Digest, Kind, Result, Unwatched};

use crate::members::Tar;
use crate::scratch;

/// Names of members, and what links lead to.
const NAMES: [&str; 24] = [
    "dir",
    "dir/",
    "dir/a",
    "dir/a/b",
    "dir/a/b/c",
    "dir/l",
    "dir/l/x",
    "dir/l/l/x",
    "dir/./a",
    "dir//a",
    "dir/../x",
    "dir/../../outside/x",
    "../outside/x",
    "/outside/x",
    "dirx",
    "a",
    "..",
    "../..",
    "../outside",
    "../../outside/secret",
    ".",
    "",
    "l/../..",
    "dir/é\n",
];

/// The body: one byte of flags, one of what is there before, then three for each member.
pub fn run(bytes: &[u8]) {
    let Some(([flags, there], members)) = bytes.split_first_chunk() else { return };
    let members = &members[..members.len().min(3 * 24)];
    let (members, _) = members.as_chunks::<3>();
    let tar = members.iter().fold(Tar::default(), |tar, [sort, name, target]| {
        let (mode, name, target) = (sort >> 4, NAMES[usize::from(*name) % 24], NAMES[usize::from(*target) % 24]);
        let flag = [b'0', b'0', b'5', b'5', b'2', b'2', b'1', b'3'][usize::from(sort & 7)];
        tar.with_mode(flag, name, target, if flag == b'0' { b"content" } else { b"" }, u32::from(mode) << 5 | 0o400)
    });
    let mut tar = tar.0;
    tar.resize(tar.len() + 1024, 0);
    tar.truncate(tar.len() - usize::from(flags & 8) * 64);

    let room = scratch::path("room");
    prepare(&room, *there);
    let before = seen(&room);
    let existing = if flags & 1 == 0 { Existing::Replace } else { Existing::Keep };
    let written = write(&room.join("out"), &tar, existing, flags & 2 != 0);
    let after = seen(&room);
    let inside = |path: &Path| path.starts_with("out");
    let outside = |seen: &BTreeMap<PathBuf, Seen>| {
        seen.iter().filter(|(path, _)| !inside(path)).map(|(path, seen)| (path.clone(), seen.clone())).collect()
    };
    let (was, is): (BTreeMap<_, _>, BTreeMap<_, _>) = (outside(&before), outside(&after));
    assert_eq!(was, is, "something outside is not as it was");
    match written {
        Err(why) => {
            assert!(matches!(why.kind(), Kind::Integrity | Kind::Failed), "{}", why.chain());
            assert_eq!(before, after, "{}", why.chain());
        }
        Ok(()) => {
            for (path, seen) in after.iter().filter(|(path, _)| inside(path) && !before.contains_key(*path)) {
                assert!(!path.to_string_lossy().contains(".ocistow"), "{} was left behind", path.display());
                assert!(!matches!(seen, Seen::Odd), "{} is nothing that belongs there", path.display());
                // Where a link of the user's own leads is his matter, also of what links to it.
                if let (Seen::Link(target), false) = (seen, before.values().any(|seen| matches!(seen, Seen::Link(_)))) {
                    leads_inside(&room, path, target);
                }
            }
        }
    }
    set_modes(&room);
}

fn write(to: &Path, tar: &[u8], existing: Existing, beside: bool) -> Result<()> {
    let blob = |bytes: &[u8]| Blob { digest: Digest::of(bytes), size: bytes.len() as u64 };
    let title = |text: &str| Title::parse(text).unwrap();
    let options = Options { existing, medium: &Disk, watch: &Unwatched };
    let mut output = Output::begin(to, options)?;
    if beside {
        output.file(&title("dir/a/file"), &blob(b"file"), Content::Bytes(b"file"))?;
    }
    output.directory(&title("dir"), &blob(tar), Content::Bytes(tar), None)?;
    output.publish()
}

/// What is there before: something outside, and in the directory nothing, files in the way, or links that lead out.
fn prepare(room: &Path, there: u8) {
    fs::create_dir_all(room.join("outside")).unwrap();
    fs::write(room.join("outside/secret"), b"secret").unwrap();
    let out = room.join("out");
    if there & 1 == 0 {
        return;
    }
    fs::create_dir(&out).unwrap();
    match there >> 1 & 7 {
        0 => symlink("../outside", out.join("dir")).unwrap(),
        1 => fs::write(out.join("dir"), b"in the way").unwrap(),
        2 => {
            fs::create_dir(out.join("dir")).unwrap();
            symlink("../../outside", out.join("dir/a")).unwrap();
            symlink("../../outside/secret", out.join("dir/l")).unwrap();
        }
        3 => {
            fs::create_dir_all(out.join("dir/a/b")).unwrap();
            fs::write(out.join("dir/l"), b"in the way").unwrap();
        }
        4 => {
            fs::create_dir(out.join("dir")).unwrap();
            fs::hard_link(room.join("outside/secret"), out.join("dir/a")).unwrap();
        }
        _ => {}
    }
}

/// What lies somewhere.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Directory,
    File(Vec<u8>, u64),
    Link(PathBuf),
    Odd,
}

/// Everything in a directory, by its path there.
fn seen(room: &Path) -> BTreeMap<PathBuf, Seen> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(room.join(&folder)) else { continue };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            let meta = entry.metadata().unwrap();
            let what = match meta.file_type() {
                sort if sort.is_dir() => {
                    folders.push(path.clone());
                    Seen::Directory
                }
                sort if sort.is_file() => Seen::File(fs::read(entry.path()).unwrap_or_default(), meta.ino()),
                sort if sort.is_symlink() => Seen::Link(fs::read_link(entry.path()).unwrap()),
                _ => Seen::Odd,
            };
            found.insert(path, what);
        }
    }
    found
}

/// Whatever is behind a link lies in the directory, or nowhere.
fn leads_inside(room: &Path, path: &Path, target: &Path) {
    assert!(target.is_relative(), "{} -> {}", path.display(), target.display());
    if let Ok(real) = room.join(path).canonicalize() {
        let out = room.join("out").canonicalize().unwrap();
        assert!(real.starts_with(&out), "{} leads to {}", path.display(), real.display());
    }
}

/// Makes everything removable again.
fn set_modes(room: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut folders = vec![room.to_owned()];
    while let Some(folder) = folders.pop() {
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o755));
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|sort| sort.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
}
