//! A writer is killed after every call that changes the disk, and the power goes at every point with
//! anything unsynced lost: the layout is in its old state or its new one, and the next writer finishes.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use ocistow_layout::directory::Directory;
use ocistow_layout::edit::Edit;
use ocistow_layout::medium::{Disk, Medium};
use ocistow_layout::memory::Memory;
use ocistow_layout::source::Content;
use ocistow_layout::transaction::{Options, Transaction, settle};
use ocistow_layout::{Blob, Digest, Kind, Result, Source, Unwatched, checked};
use ocistow_testkit::medium::{Counting, Recording};
use ocistow_testkit::{draw, to_dir};

const OLD: &str = "image old:1 = base [linux/amd64]";
const NEW: &str = "image old:1 = base [linux/amd64]
                   image new:2 = base + top [linux/arm64]";

fn blobs(of: &Memory) -> Vec<Blob> {
    of.blobs.iter().map(|(digest, bytes)| Blob { digest: digest.clone(), size: bytes.len() as u64 }).collect()
}

/// An empty directory; in memory where there is one, since nothing here is about the disk itself.
fn room() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Brings all of `new` into the layout at `path`.
fn bring(new: &Memory, path: &Path, medium: &dyn Medium) -> Result<()> {
    let mut transaction = Transaction::begin(path, Options { medium, ..Options::default() })?;
    for blob in blobs(new) {
        transaction.put(&blob, Content::Bytes(&new.blobs[&blob.digest]))?;
    }
    let index = new.index()?;
    let edits: Vec<Edit> = index
        .entries()
        .iter()
        .map(|entry| Edit::Set {
            entry: Box::new(entry.descriptor.clone().expect("drawn entries are descriptors")),
            pair: entry.pair.clone(),
            expect: None,
        })
        .collect();
    transaction.publish(&blobs(new), &edits).map(drop)
}

/// The digests that entries of the layout name, after a check that every blob is whole and right, and
/// that everything needed is there. `None` where there is no layout.
fn state(path: &Path) -> Option<Vec<Digest>> {
    let layout = match Directory::open(path) {
        Ok(layout) => layout,
        Err(why) if why.kind() == Kind::NotFound => return None,
        Err(why) => panic!("{}", why.chain()),
    };
    let mut names = Vec::new();
    layout.names(&mut |digest| names.push(digest)).unwrap();
    for digest in &names {
        let content = layout.open(digest).unwrap().expect("it was listed");
        let blob = Blob { digest: digest.clone(), size: content.len() };
        checked::verify(&blob, content, &Unwatched).unwrap_or_else(|why| panic!("{}", why.chain()));
    }
    let index = layout.index().unwrap_or_else(|why| panic!("{}", why.chain()));
    let named: Vec<Digest> = index.descriptors().unwrap().iter().map(|entry| entry.digest.clone()).collect();
    for manifest in &named {
        let bytes = checked::read(&layout, manifest, 1 << 20).unwrap().expect("an entry's manifest is there");
        let text = String::from_utf8(bytes).unwrap();
        for part in text.split('"').filter_map(|word| word.parse::<Digest>().ok()) {
            assert!(layout.size(&part).unwrap().is_some(), "{part} of {manifest} is not there");
        }
    }
    Some(named)
}

fn litter(path: &Path) -> usize {
    fs::read_dir(path.join(".ocistow/staging")).map_or(0, Iterator::count)
}

fn worlds() -> (Memory, Memory) {
    (draw(OLD).memory, draw(NEW).memory)
}

fn set_up(base: &Path, old: Option<&Memory>) {
    if let Some(old) = old {
        to_dir(old, base.join("app")).unwrap();
    }
}

fn killed_everywhere(old: Option<&Memory>) {
    let (_, new) = worlds();
    let dir = room();
    let mut killed = 0;
    for calls in 0.. {
        let base = dir.path().join(calls.to_string());
        let app = base.join("app");
        fs::create_dir(&base).unwrap();
        set_up(&base, old);
        let (before, after) = (state(&app), state_of(&new));
        let medium = Counting::new(calls);
        let done = bring(&new, &app, &medium);
        let now = state(&app);
        assert!(now == before || now == after, "after {calls} calls: {now:?}");
        if done.is_ok() {
            assert_eq!(now, after, "after {calls} calls");
        }
        bring(&new, &app, &Disk).unwrap_or_else(|why| panic!("after {calls} calls: {}", why.chain()));
        assert_eq!(state(&app), after, "after {calls} calls and another run");
        assert_eq!(litter(&app), 0, "after {calls} calls and another run");
        fs::remove_dir_all(&base).unwrap();
        if medium.made() < calls {
            break;
        }
        killed += 1;
    }
    assert!(killed > 30, "only {killed} points");
}

fn state_of(new: &Memory) -> Option<Vec<Digest>> {
    Some(new.index().unwrap().descriptors().unwrap().iter().map(|entry| entry.digest.clone()).collect())
}

#[test]
fn a_killed_writer_leaves_the_old_layout_or_the_new_one() {
    killed_everywhere(Some(&worlds().0));
}

#[test]
fn a_writer_killed_while_making_a_layout_leaves_none_or_all_of_it() {
    killed_everywhere(None);
}

/// A small generator of bits, the same in every run.
fn bits(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 40 & 1 == 1
    }
}

fn power_lost_everywhere(old: Option<&Memory>) {
    let (_, new) = worlds();
    let dir = room();
    let base = dir.path().join("real");
    fs::create_dir(&base).unwrap();
    set_up(&base, old);
    let (before, after) = (state(&base.join("app")), state_of(&new));
    let medium = Recording::new(&base);
    bring(&new, &base.join("app"), &medium).unwrap();
    let points = medium.points();
    assert!(points > 30, "only {points} points");
    for point in 0..points {
        for seed in 0..12 {
            let lost = dir.path().join(format!("{point}-{seed}"));
            fs::create_dir(&lost).unwrap();
            let mut random = bits(point as u64 * 100 + seed);
            // The two extremes, and something in between.
            medium.after_power_loss(point, &lost, &mut || match seed {
                0 => false,
                1 => true,
                _ => random(),
            });
            let app = lost.join("app");
            let now = if app.exists() { state(&app) } else { None };
            assert!(now == before || now == after, "power lost at {point}, seed {seed}: {now:?}");
            if point == points - 1 {
                assert_eq!(now, after, "what was reported done is lost, seed {seed}");
            }
            bring(&new, &app, &Disk).unwrap_or_else(|why| panic!("at {point}, seed {seed}: {}", why.chain()));
            assert_eq!(state(&app), after, "at {point}, seed {seed} and another run");
            assert_eq!(litter(&app), 0, "at {point}, seed {seed} and another run");
            fs::remove_dir_all(&lost).unwrap();
        }
    }
}

#[test]
fn power_loss_leaves_the_old_layout_or_the_new_one() {
    power_lost_everywhere(Some(&worlds().0));
}

#[test]
fn power_loss_while_making_a_layout_leaves_none_or_all_of_it() {
    power_lost_everywhere(None);
}

/// A writer may be killed, or be about to go on, between giving something its name and waiting until that is on the disk.
#[test]
fn what_another_writer_did_not_sync_is_on_the_disk_once_this_one_says_so() {
    let (old, new) = worlds();
    for index_too in [false, true] {
        let dir = room();
        let (base, lost) = (dir.path().join("real"), dir.path().join("lost"));
        for made in [&base, &lost] {
            fs::create_dir(made).unwrap();
        }
        set_up(&base, Some(&old));
        let app = base.join("app");
        let medium = Recording::new(&base);
        let place = |path: &Path, bytes: &[u8]| {
            let next = app.join("next");
            let file = medium.create(&next).unwrap();
            medium.write_at(&file, bytes, 0).unwrap();
            medium.sync_file(&file).unwrap();
            medium.rename(&next, path).unwrap();
        };
        for (digest, bytes) in new.blobs.iter().filter(|(digest, _)| !old.blobs.contains_key(digest)) {
            place(&app.join(digest.path()), bytes);
        }
        if index_too {
            place(&app.join("index.json"), &new.index);
        }
        bring(&new, &app, &medium).unwrap();
        medium.after_power_loss(medium.points() - 1, &lost, &mut || false);
        assert_eq!(state(&lost.join("app")), state_of(&new), "the index too: {index_too}");
    }
}

#[test]
fn what_is_settled_is_on_the_disk_whoever_wrote_it() {
    for settles in [false, true] {
        let dir = room();
        let (base, lost) = (dir.path().join("real"), dir.path().join("lost"));
        fs::create_dir(&base).unwrap();
        fs::create_dir(&lost).unwrap();
        set_up(&base, Some(&worlds().0));
        let app = base.join("app");
        let medium = Recording::new(&base);
        let next = app.join("next");
        let file = medium.create(&next).unwrap();
        medium.write_at(&file, b"{\"manifests\":[]}", 0).unwrap();
        medium.sync_file(&file).unwrap();
        medium.rename(&next, &app.join("index.json")).unwrap();
        if settles {
            settle(&Directory::open(&app).unwrap(), &medium).unwrap();
        }
        medium.after_power_loss(medium.points() - 1, &lost, &mut || false);
        let index = fs::read(lost.join("app/index.json")).unwrap();
        assert_eq!(index == b"{\"manifests\":[]}", settles);
    }
}
