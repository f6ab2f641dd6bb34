//! Every command that writes is killed after every call that changes the disk, and loses the power at every
//! point with anything unsynced gone: the old state or the new one is left, `fsck` finds no error, and
//! the next run finishes without tripping over what lies about.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ocistow::world::World;
use ocistow_layout::medium::Medium;
use ocistow_testkit::medium::{Counting, Recording};
use ocistow_testkit::{draw, to_dir};
use tempfile::TempDir;

/// What there is before the command runs: a layout to write to, one to read from, and bundles of it.
const TARGET: &str = "image old:1 = base [linux/amd64]
                      refer oldsig -> old : application/x.sig";
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

/// Runs a command line in the directory `base`, which `@` stands for.
fn run(line: &str, base: &Path, medium: Option<Box<dyn Medium>>) -> (u8, String) {
    let said = Kept::default();
    let mut input: Box<dyn io::Read + Send> = Box::new(io::empty());
    let mut words: Vec<&str> = line.split_whitespace().collect();
    if let Some(at) = words.iter().position(|word| *word == "<") {
        input = Box::new(fs::File::open(words[at + 1].replace('@', base.to_str().unwrap())).unwrap());
        words.truncate(at);
    }
    let mut world = World::new(said.clone(), said.clone(), input);
    if let Some(medium) = medium {
        world.medium = medium;
    }
    let words = words.iter().map(|word| OsString::from(word.replace('@', base.to_str().unwrap())));
    let code = ocistow::run(std::iter::once(OsString::from("ocistow")).chain(words), &world);
    let text = String::from_utf8_lossy(&said.0.lock().unwrap()).into_owned();
    (code, text)
}

#[track_caller]
fn done(line: &str, base: &Path) -> String {
    let (code, text) = run(line, base, None);
    assert_eq!(code, 0, "{line}: {text}");
    text
}

/// An empty directory; in memory where there is one, since nothing here is about the disk itself.
fn room() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The directory everything starts from.
fn start() -> TempDir {
    let dir = room();
    to_dir(&draw(TARGET).memory, dir.path().join("target")).unwrap();
    to_dir(&draw(SOURCE).memory, dir.path().join("source")).unwrap();
    done("export @/source -o @/bundle.tar", dir.path());
    done("export @/source -o @/bundle.tar.gz", dir.path());
    dir
}

fn clone(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let options = fs_extra::dir::CopyOptions::new().content_only(true);
    fs_extra::dir::copy(from, to, &options).unwrap();
}

/// What is there, as somebody sees who asks: each layout's entries and what `fsck` says of it, each
/// archive's bytes. Whatever is ours is not looked at.
fn state(base: &Path) -> BTreeMap<PathBuf, String> {
    let mut state = BTreeMap::new();
    for entry in fs::read_dir(base).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "source" || name.starts_with("bundle.") {
            continue;
        }
        if path.is_file() {
            // A temporary file is litter, not state; one under a final name is whole.
            if !name.starts_with('.') {
                done(&format!("fsck -q @/{name}"), base);
                let bytes = fs::read(&path).unwrap();
                state.insert(name.into(), ocistow_layout::Digest::of(&bytes).to_string());
            }
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
            _ => panic!("{name}: {code} {said}"),
        }
    }
    state
}

/// What a run leaves beside layouts and bundles.
fn litter(base: &Path) -> Vec<PathBuf> {
    let mut litter = Vec::new();
    for entry in walkdir::WalkDir::new(base) {
        let path = entry.unwrap().into_path();
        let staged = path.parent().is_some_and(|parent| parent.ends_with(".ocistow/staging"));
        let temporary = path.file_name().is_some_and(|name| name.to_string_lossy().contains(".ocistow-"));
        if staged || temporary {
            litter.push(path);
        }
    }
    litter
}

fn bits(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 40 & 1 == 1
    }
}

/// A medium that is looked at after the world that owned it is gone.
struct Shared<M>(Arc<M>);

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

/// Kills `line` after every call and takes its power at every point. `again` is what a user types after
/// that: the same, but for names that a finished run has taken. Gives the number of points.
fn survives(line: &str, again: &str) -> usize {
    let from = start();
    let before = state(from.path());
    let after = {
        let base = room();
        clone(from.path(), base.path());
        done(line, base.path());
        state(base.path())
    };
    assert_ne!(before, after, "{line} changes nothing");
    let judge = |base: &Path, told: &str| {
        let now = state(base);
        assert!(now == before || now == after, "{line}, {told}:\n{now:#?}\nis neither\n{before:#?}\nnor\n{after:#?}");
        // As on the real disk, but nobody waits for it.
        let quick = || Some(Box::new(Counting::new(usize::MAX)) as Box<dyn Medium>);
        let (code, said) = run(again, base, quick());
        assert_eq!(code, 0, "{line}, {told}, and then {again}: {said}");
        assert_eq!(state(base), after, "{line}, {told}, and then {again}");
        // What had nothing left to do has cleared nothing either: the next writer does.
        for layout in ["new", "target"].iter().filter(|name| base.join(name).is_dir()) {
            assert_eq!(run(&format!("init @/{layout}"), base, quick()).0, 0);
        }
        let left: Vec<PathBuf> = litter(base).into_iter().filter(|path| path.is_dir()).collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "{line}, {told}, and then {again}");
        now == after
    };
    let mut points = 0;
    for calls in 0.. {
        let base = room();
        clone(from.path(), base.path());
        let medium = Arc::new(Counting::new(calls));
        let (code, said) = run(line, base.path(), Some(Box::new(Shared(medium.clone()))));
        let there = judge(base.path(), &format!("killed after {calls} calls"));
        assert!(code != 0 || there, "{line} said it was done after {calls} calls: {said}");
        if medium.made() < calls {
            break;
        }
        points += 1;
    }
    let real = room();
    clone(from.path(), real.path());
    let medium = Arc::new(Recording::new(real.path()));
    let (code, said) = run(line, real.path(), Some(Box::new(Shared(medium.clone()))));
    assert_eq!(code, 0, "{said}");
    let all = medium.points();
    for point in 0..all {
        // Nothing unsynced, all of it, and something in between.
        for seed in 0..4 {
            let base = room();
            let mut random = bits(point as u64 * 100 + seed);
            medium.after_power_loss(point, base.path(), &mut || match seed {
                0 => false,
                1 => true,
                _ => random(),
            });
            let there = judge(base.path(), &format!("power lost at {point} of {all}, seed {seed}"));
            assert!(point + 1 < all || there, "{line} was done and is lost, seed {seed}");
            points += 1;
        }
    }
    points
}

/// One test a command, so that they run beside each other.
macro_rules! survives {
    ($($name:ident: $line:literal $(, then $again:literal)?;)*) => {$(
        #[test]
        fn $name() {
            let again = [$line $(, $again)?];
            let points = survives($line, again.last().unwrap());
            assert!(points > 25, "only {points} points");
        }
    )*};
}

survives! {
    init_survives: "init @/new";
    tag_survives: "tag @/target:1 2";
    untag_survives: "untag @/target:1", then "untag @/target:1 --ignore-missing";
    import_survives: "import @/bundle.tar @/target --tag 1=app";
    import_of_a_new_layout_survives: "import @/bundle.tar @/new";
    import_of_a_packed_bundle_survives: "import @/bundle.tar.gz @/target --tag 1=app";
    import_from_a_pipe_survives: "import - @/new < @/bundle.tar";
    import_of_a_directory_survives: "import @/source @/target --tag 1=app";
    export_to_an_archive_survives: "export @/source -o @/new.tar", then "export @/source -o @/new.tar --force";
    export_to_a_packed_archive_survives:
        "export @/source -o @/new.tar.zst", then "export @/source -o @/new.tar.zst --force";
    export_to_a_directory_survives: "export @/source -o @/new";
    export_into_a_layout_survives: "export @/source:2 -o @/target";
    copy_survives: "copy @/source:1 @/target:app";
    copy_by_links_survives: "copy @/source:1 @/target:app --link";
    copy_to_an_archive_survives: "copy @/bundle.tar:1 @/new.tar", then "copy @/bundle.tar:1 @/new.tar --force";
}
