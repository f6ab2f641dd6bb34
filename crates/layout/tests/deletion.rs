//! Deleting: who waits for whom, what goes back, and what is never touched.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ocistow_layout::deletion::Deletion;
use ocistow_layout::directory::Directory;
use ocistow_layout::edit::Edit;
use ocistow_layout::holdings::{Holdings, Spared};
use ocistow_layout::lock::Locks;
use ocistow_layout::medium::{Disk, Medium};
use ocistow_layout::name::Pair;
use ocistow_layout::transaction::{Options, Transaction, init};
use ocistow_layout::{Blob, Content, Descriptor, Digest, Kind, Result, Source, Unwatched, Watch};
use ocistow_testkit::medium::{Counting, Told};
use ocistow_testkit::{Drawing, draw, to_dir};
use tempfile::TempDir;

const WORLD: &str = "image app:1 = base
     image old = base + top
     hidden old";

fn drawn(text: &str) -> (TempDir, PathBuf, Drawing) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app");
    let world = draw(text);
    to_dir(&world.memory, &path).unwrap();
    (dir, path, world)
}

fn digests(world: &Drawing, names: &[&str]) -> Vec<Digest> {
    names.iter().map(|name| world.digest(name)).collect()
}

/// What of the drawing lies in its place.
fn there(path: &Path, world: &Drawing) -> String {
    let mut digests = Vec::new();
    Directory::open(path).unwrap().names(&mut |digest| digests.push(digest)).unwrap();
    world.words(&digests)
}

/// Every file below the layout whose name is a blob's and that is not in its place.
fn trash(path: &Path) -> usize {
    let blob = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.len() >= 64 && path.components().any(|part| part.as_os_str().to_string_lossy().contains("trash"))
    };
    walkdir::WalkDir::new(path).into_iter().filter(|entry| blob(entry.as_ref().unwrap().path())).count()
}

fn delete(path: &Path, blobs: &[Digest], medium: &dyn Medium) -> Result<()> {
    let mut deletion = Deletion::begin(path, Options { medium, ..Options::default() })?;
    delete_by(&mut deletion, blobs)
}

fn delete_by(deletion: &mut Deletion<'_>, blobs: &[Digest]) -> Result<()> {
    let decided = deletion.holdings().index()?;
    deletion.delete(&decided, blobs)?.map_or(Ok(()), Err)
}

fn locks(path: &Path, patience: u64) -> Locks<'static> {
    Locks::make(path, Some(Duration::from_secs(patience)), &Disk, &Unwatched).unwrap()
}

#[test]
fn whoever_deletes_waits_for_all_who_are_in_and_keeps_out_who_comes() {
    let (_dir, path, _) = drawn(WORLD);
    let inside = [locks(&path, 9).content().unwrap(), locks(&path, 9).content().unwrap()];
    assert_eq!(locks(&path, 0).alone().unwrap_err().kind(), Kind::Failed);
    drop(inside);
    let alone = locks(&path, 0).alone().unwrap();
    assert_eq!(locks(&path, 0).content().unwrap_err().kind(), Kind::Failed);
    assert_eq!(locks(&path, 0).alone().unwrap_err().kind(), Kind::Failed);
    drop(alone);
    locks(&path, 0).content().unwrap();
}

#[test]
fn a_layout_is_the_same_whichever_links_lead_to_it() {
    let (dir, path, _) = drawn(WORLD);
    drop(locks(&path, 0));
    symlink(&path, dir.path().join("link")).unwrap();
    let _held = Locks::found(&dir.path().join("link"), None, &Unwatched).unwrap().unwrap().content().unwrap();
    let impatient = Options { patience: Some(Duration::ZERO), ..Options::default() };
    assert_eq!(Deletion::begin(&path, impatient).err().unwrap().kind(), Kind::Failed, "somebody walks through it");
}

/// Somebody who exports into the layout that he exports from.
#[test]
fn who_reads_gets_to_write_while_somebody_waits_for_him_to_be_done() {
    let (_dir, path, _) = drawn(WORLD);
    let locks = || locks(&path, 60);
    let reads = locks().content().unwrap();
    thread::scope(|scope| {
        let deletes = scope.spawn(|| locks().alone().map(drop));
        let gate = fs::OpenOptions::new().read(true).write(true).open(path.join(".ocistow/lock/gate")).unwrap();
        while gate.try_lock_shared().is_ok() {
            gate.unlock().unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        // He keeps the gate shut, and waits.
        drop(locks().content().expect("who is waited for may pass"));
        drop(reads);
        deletes.join().unwrap().expect("then it is his turn");
    });
}

/// With what he holds in his hand he need not even wait until the gate is opened.
#[test]
fn who_shows_what_he_holds_begins_to_write_at_once() {
    let (dir, path, _) = drawn(WORLD);
    let other = dir.path().join("other");
    init(&other, Options::default()).unwrap();
    let held = locks(&path, 60).content().unwrap();
    let elsewhere = locks(&other.canonicalize().unwrap(), 60).content().unwrap();
    thread::scope(|scope| {
        let deletes = scope.spawn(|| locks(&path, 60).alone().map(drop));
        let gate = fs::OpenOptions::new().read(true).write(true).open(path.join(".ocistow/lock/gate")).unwrap();
        while gate.try_lock_shared().is_ok() {
            gate.unlock().unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        let begin =
            |held| Transaction::begin(&path, Options { held, patience: Some(Duration::ZERO), ..Options::default() });
        assert_eq!(begin(Some(&elsewhere)).map(drop).unwrap_err().kind(), Kind::Failed);
        begin(Some(&held)).map(drop).expect("nobody deletes while he holds it");
        assert!(!deletes.is_finished());
        drop(held);
        deletes.join().unwrap().expect("then it is his turn");
    });
}

#[test]
fn whoever_deletes_gets_his_turn_under_a_stream_of_writers() {
    let (_dir, path, _) = drawn(WORLD);
    init(&path, Options::default()).unwrap();
    let (done, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let writes = Transaction::begin(&path, Options::default()).unwrap();
                    thread::sleep(Duration::from_millis(5));
                    drop(writes);
                    written.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        while written.load(Ordering::SeqCst) < 8 {
            thread::sleep(Duration::from_millis(1));
        }
        let turns = (0..10).all(|_| locks(&path, 60).alone().is_ok());
        done.store(true, Ordering::SeqCst);
        assert!(turns);
    });
}

#[test]
fn what_is_deleted_is_gone_and_nothing_else_is_changed() {
    let (_dir, path, world) = drawn(WORLD);
    let index = fs::read(path.join("index.json")).unwrap();
    let old = digests(&world, &["old", "old.config", "top"]);
    let mut deletion = Deletion::begin(&path, Options::default()).unwrap();
    delete_by(&mut deletion, &old).unwrap();
    assert_eq!(deletion.gone().blobs, 3);
    let bytes: usize = old.iter().map(|digest| world.memory.blobs[digest].len()).sum();
    assert_eq!(deletion.gone().bytes, bytes as u64);
    drop(deletion);
    assert_eq!(there(&path, &world), "app app.config base");
    assert_eq!((trash(&path), fs::read(path.join("index.json")).unwrap()), (0, index));
    // What is not there any more is passed over.
    delete(&path, &old, &Disk).unwrap();
}

#[test]
fn an_entry_and_its_blobs_go_in_one_step_and_new_blobs_come() {
    let (_dir, path, world) = drawn(WORLD);
    let mut deletion = Deletion::begin(&path, Options::default()).unwrap();
    let decided = deletion.holdings().index().unwrap();
    let hello = Blob { digest: Digest::of(b"hello"), size: 5 };
    deletion.put(&hello, Content::Bytes(b"hello")).unwrap();
    let pair = decided.entries()[0].pair.clone();
    let edits = [
        Edit::Remove { digest: world.digest("app"), pair },
        Edit::Add { entry: Box::new(Descriptor::new("text/plain", hello.digest.clone(), 5)) },
    ];
    let blobs = digests(&world, &["app"]);
    let made = [hello.clone()];
    let now = deletion.publish(&decided, &edits, &made).unwrap();
    assert!(deletion.delete(&now, &blobs).unwrap().is_none());
    let layout = Directory::open(&path).unwrap();
    assert_eq!(layout.index().unwrap().descriptors().unwrap()[0].digest, hello.digest);
    assert_eq!(fs::read(path.join(hello.digest.path())).unwrap(), b"hello");
    assert!(!path.join(world.digest("app").path()).exists());
}

#[test]
fn what_was_decided_on_another_index_deletes_nothing() {
    let (_dir, path, world) = drawn(WORLD);
    let mut deletion = Deletion::begin(&path, Options::default()).unwrap();
    let decided = deletion.holdings().index().unwrap();
    let changed = format!("{} ", decided.text());
    fs::write(path.join("index.json"), &changed).unwrap();
    let blobs = digests(&world, &["old"]);
    let edits = [Edit::Remove { digest: world.digest("app"), pair: Pair { image: None, reference: Some("1".into()) } }];
    assert_eq!(deletion.publish(&decided, &edits, &[]).unwrap_err().kind(), Kind::Conflict);
    assert_eq!(deletion.delete(&decided, &blobs).unwrap_err().kind(), Kind::Conflict);
    drop(deletion);
    assert_eq!(there(&path, &world), "app app.config base old old.config top");
    assert_eq!(fs::read_to_string(path.join("index.json")).unwrap(), changed);
}

/// Names `digest` in index.json as tools do that know no locks.
fn name(path: &Path, digest: &Digest, size: usize) {
    let text = fs::read_to_string(path.join("index.json")).unwrap();
    let entry = entry(digest, size);
    let with = text.replace("\"manifests\":[", &format!("\"manifests\":[{entry},")).replace(",]", "]");
    fs::write(path.join("index.json"), with).unwrap();
}

fn entry(digest: &Digest, size: usize) -> String {
    format!(r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size}}}"#)
}

#[test]
fn what_somebody_comes_to_need_meanwhile_goes_back() {
    let (_dir, path, world) = drawn(WORLD);
    let old = world.digest("old");
    let size = world.memory.blobs[&old].len();
    let named = AtomicBool::new(false);
    let medium = Told(|call: &str, paths: &[&Path]| {
        let moves = call == "rename" && paths[1].components().any(|part| part.as_os_str() == "trash");
        if moves && !named.swap(true, Ordering::SeqCst) {
            name(&path, &old, size);
        }
        Ok(())
    });
    let mut deletion = Deletion::begin(&path, Options { medium: &medium, ..Options::default() }).unwrap();
    let all = digests(&world, &["old", "old.config", "top"]);
    assert_eq!(delete_by(&mut deletion, &all).unwrap_err().kind(), Kind::Conflict);
    assert_eq!(there(&path, &world), "app app.config base");
    // Whoever decides again sees what lies in the trash.
    assert_eq!(deletion.holdings().size(&old).unwrap(), Some(size as u64));
    delete_by(&mut deletion, &digests(&world, &["top"])).unwrap();
    drop(deletion);
    assert_eq!((there(&path, &world), trash(&path)), ("app app.config base old old.config".into(), 0));
}

/// Whether others change index.json right before it is put back or not, theirs is never lost.
#[test]
fn what_was_published_is_undone_when_it_is_given_up() {
    for exchange in [true, false] {
        for foreign in [None, Some(false), Some(true)] {
            let (_dir, path, world) = drawn(WORLD);
            let mut before = fs::read_to_string(path.join("index.json")).unwrap();
            let old = world.digest("old");
            let swaps = AtomicUsize::new(0);
            let medium = Told(|call: &str, paths: &[&Path]| {
                if call == "exchange" && !exchange {
                    return Err(io::ErrorKind::Unsupported.into());
                }
                let swaps = || swaps.fetch_add(1, Ordering::SeqCst);
                if call == "exchange" && foreign == Some(true) && swaps() == 1 {
                    name(&path, &old, 1);
                }
                let moves = paths.get(1).is_some_and(|to| to.to_str().unwrap().contains("trash"));
                if moves { Err(io::Error::other("no")) } else { Ok(()) }
            });
            let mut deletion = Deletion::begin(&path, Options { medium: &medium, ..Options::default() }).unwrap();
            let decided = deletion.holdings().index().unwrap();
            let pair = decided.entries()[0].pair.clone();
            let edits = [Edit::Remove { digest: world.digest("app"), pair }];
            let now = deletion.publish(&decided, &edits, &[]).unwrap();
            assert!(now.entries().is_empty());
            if foreign == Some(false) {
                name(&path, &old, 1);
            }
            assert_eq!(deletion.delete(&now, &digests(&world, &["app"])).unwrap_err().kind(), Kind::Failed);
            drop(deletion);
            if foreign == Some(false) || foreign == Some(true) && exchange {
                before = now.text().replace("[]", &format!("[{}]", entry(&old, 1)));
            }
            assert_eq!(fs::read_to_string(path.join("index.json")).unwrap(), before, "{exchange} {foreign:?}");
            assert_eq!(there(&path, &world), "app app.config base old old.config top");
        }
    }
}

#[test]
fn what_was_moved_goes_back_when_it_is_given_up() {
    struct Stopped(AtomicUsize);
    impl Watch for Stopped {
        fn stop(&self) -> bool {
            self.0.fetch_add(1, Ordering::SeqCst) > 1
        }
    }
    let (_dir, path, world) = drawn(WORLD);
    let watch = Stopped(AtomicUsize::new(0));
    let mut deletion = Deletion::begin(&path, Options { watch: &watch, ..Options::default() }).unwrap();
    let all = digests(&world, &["old", "old.config", "top"]);
    assert_eq!(delete_by(&mut deletion, &all).unwrap_err().kind(), Kind::Interrupted);
    drop(deletion);
    assert_eq!((there(&path, &world), trash(&path)), ("app app.config base old old.config top".into(), 0));
}

/// Kills a deletion after so many calls; whether it was still at work.
fn killed(path: &Path, blobs: &[Digest], calls: usize) -> bool {
    let medium = Counting::new(calls);
    drop(delete(path, blobs, &medium));
    medium.made() == calls
}

#[test]
fn the_trash_of_one_who_was_killed_is_kept_until_somebody_decides_again() {
    let mut met = 0;
    for calls in 0.. {
        let (_dir, path, world) = drawn(WORLD);
        init(&path, Options::default()).unwrap();
        let all = digests(&world, &["old", "old.config", "top"]);
        let at_work = killed(&path, &all, calls);
        let left = trash(&path);
        met += left;
        // A writer clears the litter of others, and this is none.
        drop(Transaction::begin(&path, Options::default()).unwrap());
        assert_eq!(trash(&path), left, "{calls}");
        let holdings = Holdings::open(&path).unwrap();
        let lying = holdings.lying(Duration::from_secs(3600)).unwrap();
        let free = lying.iter().filter(|lying| lying.spared.is_none());
        assert_eq!(free.count(), left, "what lies there was old already");
        let whole = lying.iter().map(|lying| &lying.blob).all(|blob| {
            let content = holdings.open(&blob.digest).unwrap().unwrap();
            ocistow_layout::checked::verify(blob, content, &Unwatched).is_ok()
        });
        assert!(whole, "{calls}");
        if calls % 2 == 0 {
            delete(&path, &all, &Disk).unwrap();
            assert_eq!(there(&path, &world), "app app.config base", "{calls}");
        } else {
            let before = lying.len();
            delete(&path, &[], &Disk).unwrap();
            assert_eq!(Holdings::open(&path).unwrap().lying(Duration::ZERO).unwrap().len(), before, "{calls}");
        }
        assert_eq!(trash(&path), 0, "{calls}");
        if !at_work {
            break;
        }
    }
    assert!(met > 5, "only {met} blobs were ever found in the trash");
}

#[test]
fn what_was_written_again_meanwhile_is_not_written_over() {
    let (_dir, path, world) = drawn(WORLD);
    init(&path, Options::default()).unwrap();
    let all = digests(&world, &["top"]);
    let calls = (0..).find(|calls| {
        killed(&path, &all, *calls);
        trash(&path) > 0
    });
    assert!(calls.is_some());
    fs::write(path.join(all[0].path()), "somebody else's").unwrap();
    delete(&path, &[], &Disk).unwrap();
    assert_eq!(fs::read(path.join(all[0].path())).unwrap(), b"somebody else's");
    assert_eq!(trash(&path), 1, "what was there before is not thrown away for what is something else");
    fs::write(path.join(all[0].path()), &world.memory.blobs[&all[0]]).unwrap();
    delete(&path, &[], &Disk).unwrap();
    assert_eq!(trash(&path), 0);
}

#[test]
fn blobs_on_other_disks_are_deleted_by_way_of_a_trash_there() {
    for apart in [&["blobs"][..], &["blobs/sha256"], &["blobs", "blobs/sha256"]] {
        let (_dir, path, world) = drawn(WORLD);
        let apart: Vec<PathBuf> = apart.iter().map(|name| path.canonicalize().unwrap().join(name)).collect();
        let disk = |path: &Path| apart.iter().filter(|mount| path.starts_with(mount)).count();
        let calls = AtomicUsize::new(usize::MAX);
        let medium = Told(|call: &str, paths: &[&Path]| {
            let left = calls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            left.map_err(|_| io::Error::other("killed"))?;
            match paths {
                [from, to] if call != "exchange" && disk(from.parent().unwrap()) != disk(to.parent().unwrap()) => {
                    Err(io::ErrorKind::CrossesDevices.into())
                }
                _ => Ok(()),
            }
        });
        let all = digests(&world, &["old", "old.config", "top"]);
        // One that was killed leaves it where it is found again.
        let mut left = 0;
        for n in 0.. {
            calls.store(n, Ordering::SeqCst);
            let done = delete(&path, &all, &medium);
            drop(Transaction::begin(&path, Options::default()).unwrap());
            left = left.max(trash(&path));
            if calls.load(Ordering::SeqCst) > 0 {
                done.unwrap();
                break;
            }
            calls.store(usize::MAX, Ordering::SeqCst);
            delete(&path, &[], &medium).unwrap();
            assert_eq!(there(&path, &world).split(' ').count() + trash(&path), 6 - missing(&path, &all), "{n}");
        }
        assert_eq!(left, 3, "{apart:?}");
        assert_eq!(there(&path, &world), "app app.config base", "{apart:?}");
        let beside = |name: &str| name.starts_with(".ocistow");
        let litter = walkdir::WalkDir::new(path.join("blobs")).into_iter().filter_map(|entry| entry.ok());
        let litter: Vec<_> = litter.filter(|entry| beside(entry.file_name().to_str().unwrap())).collect();
        assert!(litter.is_empty(), "{apart:?} {litter:?}");
    }
}

/// How many of these are gone for good.
fn missing(path: &Path, blobs: &[Digest]) -> usize {
    let holdings = Holdings::open(path).unwrap();
    blobs.iter().filter(|digest| holdings.size(digest).unwrap().is_none()).count()
}

#[test]
fn nothing_is_deleted_through_a_link() {
    for linked in ["blobs", "blobs/sha256", ".ocistow/trash", ".ocistow/trash/sha256"] {
        let (dir, path, world) = drawn(WORLD);
        let outside = dir.path().join("outside");
        let at = path.join(linked);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        match at.exists() {
            true => fs::rename(&at, &outside).unwrap(),
            false => fs::create_dir(&outside).unwrap(),
        }
        fs::create_dir_all(outside.join("sha256")).unwrap();
        fs::write(outside.join("sha256").join("a".repeat(64)), "precious").unwrap();
        symlink(&outside, &at).unwrap();
        let files =
            || walkdir::WalkDir::new(&outside).into_iter().filter(|e| e.as_ref().unwrap().file_type().is_file());
        let before = files().count();
        let mut deletion = Deletion::begin(&path, Options::default()).unwrap();
        if linked.starts_with("blobs") {
            assert_eq!(deletion.lying(Duration::ZERO).unwrap_err().kind(), Kind::Failed, "{linked}");
        }
        let blobs = digests(&world, &["old", "top"]);
        assert_eq!(delete_by(&mut deletion, &blobs).unwrap_err().kind(), Kind::Failed, "{linked}");
        drop(deletion);
        assert_eq!(files().count(), before, "{linked}");
    }
}

#[test]
fn a_staged_set_that_is_a_link_goes_and_what_it_leads_to_stays() {
    let (dir, path, _) = drawn(WORLD);
    let outside = dir.path().join("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("deep/precious"), "mine").unwrap();
    fs::write(outside.join("file"), "mine").unwrap();
    fs::create_dir_all(path.join(".ocistow/sets/own/deep")).unwrap();
    symlink(&outside, path.join(".ocistow/sets/own/deep/link")).unwrap();
    symlink(&outside, path.join(".ocistow/sets/directory")).unwrap();
    symlink(outside.join("file"), path.join(".ocistow/sets/file")).unwrap();
    symlink("nowhere", path.join(".ocistow/sets/nothing")).unwrap();
    Deletion::begin(&path, Options::default()).unwrap().delete_sets().unwrap();
    assert_eq!(fs::read_dir(path.join(".ocistow/sets")).unwrap().count(), 0);
    let left: Vec<_> = ["deep/precious", "file"].map(|name| fs::read(outside.join(name)).unwrap_or_default()).into();
    assert_eq!(left, [b"mine", b"mine"]);
}

#[test]
fn what_a_link_leads_to_and_what_is_no_file_is_spared() {
    let (_dir, path, world) = drawn(WORLD);
    let sha512 = path.join("blobs/sha512");
    fs::create_dir(&sha512).unwrap();
    symlink(Path::new("../sha256").join(world.digest("top").encoded()), sha512.join("b".repeat(128))).unwrap();
    fs::create_dir(path.join("blobs/sha256").join("c".repeat(64))).unwrap();
    fs::write(path.join("blobs/sha256/not-a-digest"), "").unwrap();
    fs::write(path.join("blobs/README"), "").unwrap();
    let lying = Holdings::open(&path).unwrap().lying(Duration::ZERO).unwrap();
    let spared: Vec<_> = lying.iter().filter(|lying| lying.spared.is_some()).collect();
    assert_eq!((lying.len(), spared.len()), (6, 1));
    assert_eq!((&spared[0].blob.digest, spared[0].spared), (&world.digest("top"), Some(Spared::Linked)));
}

#[test]
fn what_is_younger_than_the_grace_is_spared() {
    let (_dir, path, _) = drawn(WORLD);
    let young = |grace: Duration| {
        let deletion = Deletion::begin(&path, Options::default()).unwrap();
        let [own, looked] = [deletion.lying(grace).unwrap(), deletion.holdings().lying(grace).unwrap()];
        assert_eq!(own, looked, "by the clock of the disk, or by that of this machine");
        own.iter().filter(|lying| lying.spared == Some(Spared::Young)).count()
    };
    assert_eq!(young(Duration::from_secs(3600)), 6);
    assert_eq!(young(Duration::from_secs(u64::MAX)), 6);
    assert_eq!(young(Duration::ZERO), 0);
    let written = Instant::now();
    thread::sleep(Duration::from_millis(1100).saturating_sub(written.elapsed()));
    assert_eq!(young(Duration::from_secs(1)), 0);
}

#[test]
fn only_a_layout_that_is_there_and_right_is_deleted_from() {
    let dir = tempfile::tempdir().unwrap();
    let begin = |path: &Path| Deletion::begin(path, Options::default()).map(drop).map_err(|why| why.kind());
    assert_eq!(begin(&dir.path().join("none")), Err(Kind::NotFound));
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(begin(&empty), Err(Kind::NotFound));
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    let (_dir, path, _) = drawn(WORLD);
    for marker in [Some("{}"), None] {
        match marker {
            Some(text) => fs::write(path.join("oci-layout"), text).unwrap(),
            None => fs::remove_file(path.join("oci-layout")).unwrap(),
        }
        assert_eq!(begin(&path), Err(Kind::Integrity));
        assert!(!path.join(".ocistow").exists());
    }
}

#[test]
fn staged_sets_go_only_when_they_are_asked_for() {
    let (_dir, path, _) = drawn(WORLD);
    let set = path.join(".ocistow/sets/one/blobs/sha256");
    fs::create_dir_all(&set).unwrap();
    fs::write(set.join("a"), "").unwrap();
    symlink("/", path.join(".ocistow/sets/one/root")).unwrap();
    let mut deletion = Deletion::begin(&path, Options::default()).unwrap();
    delete_by(&mut deletion, &[]).unwrap();
    assert!(set.join("a").exists());
    deletion.delete_sets().unwrap();
    assert_eq!(fs::read_dir(path.join(".ocistow/sets")).unwrap().count(), 0);
}
