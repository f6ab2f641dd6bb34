//! A stage on which commands run: layouts and bundles to start from, a medium in the place of the disk, and what is
//! there afterwards.

#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "not every test needs all of it")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ocistow::world::World;
use ocistow_layout::medium::Medium;
use ocistow_testkit::{Drawing, draw, to_dir};
use serde_json::Value;
use tempfile::TempDir;

/// What there is before the command runs: a layout to write to, one to read from, and bundles of it.
const TARGET: &str = "image old:1 = base [linux/amd64]
                      image late:late = base [linux/arm64]
                      index pair:pair = old
                      refer oldsig -> old : application/x.sig
                      fallback old = oldsig";
const SOURCE: &str = "image amd = base + top [linux/amd64]
                      image arm = base + other [linux/arm64]
                      index app:1 = amd, arm
                      image more:2 = base [linux/amd64]
                      refer sig -> app : application/x.sig
                      refer sbom -> amd : application/spdx+json
                      refer note -> more : application/x.note
                      fallback more = note";

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a command line in the directory `base`, which `@` before a slash stands for; `{old}` is the digest of what is
/// called so in the target. A directory `cache` in `base` is the user's cache; else there is none.
pub fn run(line: &str, base: &Path, medium: Option<Box<dyn Medium>>) -> (u8, String) {
    let at_base = format!("{}/", base.display());
    let said = Kept::default();
    let mut input: Box<dyn io::Read + Send> = Box::new(io::empty());
    let mut words: Vec<&str> = line.split_whitespace().collect();
    if let Some(at) = words.iter().position(|word| *word == "<") {
        input = Box::new(fs::File::open(words[at + 1].replace("@/", &at_base)).unwrap());
        words.truncate(at);
    }
    let mut world = World::new(said.clone(), said.clone(), input);
    if let Some(medium) = medium {
        world.medium = medium;
    }
    world.cache = Some(base.join("cache")).filter(|cache| cache.is_dir());
    let digest = |word: &str| draw(TARGET).digest(word.trim_matches(['{', '}'])).to_string();
    let words = words.iter().map(|word| match word.starts_with('{') {
        true => OsString::from(digest(word)),
        false => OsString::from(word.replace("@/", &at_base)),
    });
    let code = ocistow::run(std::iter::once(OsString::from("ocistow")).chain(words), &world);
    let text = String::from_utf8_lossy(&said.0.lock().unwrap()).into_owned();
    (code, text)
}

/// Runs these words, which may be anything.
pub fn run_words(words: impl IntoIterator<Item = OsString>) -> (u8, String) {
    let said = Kept::default();
    let code = ocistow::run(words, &World::new(said.clone(), said.clone(), io::empty()));
    let text = String::from_utf8_lossy(&said.0.lock().unwrap()).into_owned();
    (code, text)
}

#[track_caller]
pub fn done(line: &str, base: &Path) -> String {
    let (code, text) = run(line, base, None);
    assert_eq!(code, 0, "{line}: {text}");
    text
}

/// An empty directory; in memory where there is one, since nothing here is about the disk itself.
pub fn room() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A layout with much that can go: what nothing reaches, a signature of it, what pruning takes, lists of referrers.
const CROWDED: &str = "image amd = base [linux/amd64]
                       image arm = base + other [linux/arm64]
                       index app:1 = amd, arm
                       refer sbom -> app : application/spdx+json
                       refer sig -> sbom : application/x.sig
                       refer note -> app : application/x.note
                       fallback app = note, sbom
                       image dead = base + deep
                       hidden dead
                       refer deadsig -> dead : application/x.sig
                       image loose = own
                       file crumb";

/// A directory with only a crowded layout in it, the target, for what deletes.
pub fn crowded() -> TempDir {
    let dir = room();
    to_dir(&draw(CROWDED).memory, dir.path().join("target")).unwrap();
    dir
}

/// The names in a layout: its entries, as somebody sees who asks. `fsck` finds no error: all they need is there.
pub fn names(base: &Path) -> String {
    let (code, said) = run("fsck @/target", base, None);
    assert_eq!(code, 0, "{said}");
    done("ls --all --format json @/target", base).replace(base.to_str().unwrap(), "@")
}

/// The directory everything starts from: what a command line names of it.
pub fn start(line: &str) -> TempDir {
    let dir = room();
    to_dir(&draw(TARGET).memory, dir.path().join("target")).unwrap();
    to_dir(&draw(SOURCE).memory, dir.path().join("source")).unwrap();
    done("export @/source -o @/bundle.tar", dir.path());
    done("export @/source -o @/bundle.tar.gz", dir.path());
    done("export @/target -o @/old.tar", dir.path());
    for (name, hurt) in [
        ("damaged", "damage top"),
        ("lacking", "absent app"),
        ("hurt", "damage top\ndamage sig\nabsent app\nabsent other"),
    ] {
        if line.contains(name) {
            to_dir(&draw(&format!("{SOURCE}\n{hurt}")).memory, dir.path().join(name)).unwrap();
        }
    }
    if line.starts_with("pull") {
        pulled(dir.path());
    }
    fs::write(dir.path().join("bundle.json"), done("show --raw @/target:1", dir.path())).unwrap();
    dir
}

/// An artifact of a directory and a file, and a directory in which an older one lies.
fn pulled(base: &Path) {
    let files = [("kit/a", "a"), ("kit/in/b", "b"), ("kit/in/deep/c", "c"), ("kit/tool", "run"), ("note", "n")];
    for (dir, added) in [("files", ""), ("out-old", " of before")] {
        for (name, text) in files {
            // One of them is new.
            if name != "kit/in/deep/c" || added.is_empty() {
                let path = base.join(dir).join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{text}{added}")).unwrap();
            }
        }
    }
    fs::set_permissions(base.join("files/kit/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    done("push @/target:kit @/files/kit --title kit", base);
    let mut manifest: serde_json::Value = serde_json::from_str(&done("show --raw @/target:kit", base)).unwrap();
    let note = done("blob push -q @/target @/files/note", base);
    let titled = serde_json::json!({"org.opencontainers.image.title": "note"});
    let layer = serde_json::json!({"mediaType": "text/plain", "digest": note.trim(), "size": 1, "annotations": titled});
    manifest["layers"].as_array_mut().unwrap().push(layer);
    fs::write(base.join("bundle.kit.json"), manifest.to_string()).unwrap();
    done("manifest push @/target:kit @/bundle.kit.json", base);
}

pub fn clone(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let options = fs_extra::dir::CopyOptions::new().content_only(true);
    fs_extra::dir::copy(from, to, &options).unwrap();
}

/// A room with a layout `store`, and what is in it.
pub fn drawn(text: &str) -> (TempDir, Drawing) {
    let dir = room();
    let drawing = draw(text);
    to_dir(&drawing.memory, dir.path().join("store")).unwrap();
    (dir, drawing)
}

/// The one document that a command gives, and its exit code. What it says beside that is dropped.
#[track_caller]
pub fn told(line: &str, base: &Path) -> (u8, Value) {
    let (line, input) = line.split_at(line.find(" <").unwrap_or(line.len()));
    let (code, said) = run(&format!("{line} --format json{input}"), base, None);
    let documents: Vec<&str> = said.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(documents.len(), 1, "{line}: {said}");
    (code, serde_json::from_str(documents[0]).unwrap())
}

/// What is there, as somebody sees who asks: each layout's entries and what `fsck` says of it, each
/// archive's bytes. Whatever is ours is not looked at.
pub fn state(base: &Path) -> BTreeMap<PathBuf, String> {
    let mut state = BTreeMap::new();
    for entry in fs::read_dir(base).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if ["source", "files"].contains(&&*name) || name.starts_with("bundle.") {
            continue;
        }
        if path.is_file() {
            // A temporary file is litter, not state; one under a final name is whole.
            if !name.starts_with('.') {
                // A picture is no archive.
                if !name.ends_with(".mermaid") {
                    done(&format!("fsck -q @/{name}"), base);
                }
                let bytes = fs::read(&path).unwrap();
                state.insert(name.into(), ocistow_layout::Digest::of(&bytes).to_string());
            }
            continue;
        }
        if name.starts_with("out") {
            state.extend(written(base, &path));
            continue;
        }
        let (code, said) = run(&format!("fsck @/{name}"), base, None);
        match code {
            // No layout yet: the same as nothing there.
            3 => {}
            0 => {
                let said = done(&format!("ls --all --format json @/{name}"), base);
                state.insert(name.into(), said.replace(base.to_str().unwrap(), "@"));
            }
            4 | 5 if ["damaged", "lacking"].contains(&&*name) => {
                state.insert(name.into(), said);
            }
            _ => panic!("{name}: {code} {said}"),
        }
    }
    state
}

/// The files that were written back to a directory. What has a name of ours is litter.
fn written(base: &Path, dir: &Path) -> BTreeMap<PathBuf, String> {
    let ours = |entry: &walkdir::DirEntry| entry.file_name().to_string_lossy().starts_with(".ocistow-");
    let all = walkdir::WalkDir::new(dir).min_depth(1).into_iter().filter_entry(|entry| !ours(entry));
    let files = all.map(|entry| entry.unwrap().into_path()).filter(|path| path.is_file());
    files.map(|path| (path.strip_prefix(base).unwrap().to_owned(), fs::read_to_string(&path).unwrap())).collect()
}

/// What a run leaves beside layouts and bundles.
pub fn litter(base: &Path) -> Vec<PathBuf> {
    let mut litter = Vec::new();
    for entry in walkdir::WalkDir::new(base) {
        let path = entry.unwrap().into_path();
        let staged = path.parent().is_some_and(|parent| parent.ends_with(".ocistow/staging"));
        let staged = staged || path.is_file() && path.components().any(|part| part.as_os_str() == "trash");
        let temporary = path.file_name().is_some_and(|name| name.to_string_lossy().contains(".ocistow-"));
        if staged || temporary {
            litter.push(path);
        }
    }
    litter
}

/// A medium that is looked at after the world that owned it is gone.
pub struct Shared<M>(pub Arc<M>);

impl<M: Medium> Medium for Shared<M> {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.0.make_dir(path)
    }
    fn create(&self, path: &Path) -> io::Result<fs::File> {
        self.0.create(path)
    }
    fn write_at(&self, file: &fs::File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_at(file, bytes, at)
    }
    fn share(&self, from: &fs::File, to: &fs::File) -> io::Result<()> {
        self.0.share(from, to)
    }
    fn dress(&self, file: &fs::File, like: &fs::Metadata) -> io::Result<()> {
        self.0.dress(file, like)
    }
    fn set_mode(&self, file: &fs::File, mode: u32) -> io::Result<()> {
        self.0.set_mode(file, mode)
    }
    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.0.symlink(target, path)
    }
    fn sync_file(&self, file: &fs::File) -> io::Result<()> {
        self.0.sync_file(file)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)
    }
    fn sync_all(&self, file: &fs::File) -> io::Result<()> {
        self.0.sync_all(file)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.link(from, to)
    }
    fn link_open(&self, from: &fs::File, to: &Path) -> io::Result<()> {
        self.0.link_open(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename_new(from, to)
    }
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.0.exchange(one, other)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.0.unlink(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)
    }
}
