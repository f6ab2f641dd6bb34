//! What gc and rm say, whom they wait for, and what they never take: run beside writers, readers, and tools that know
//! no locks.

#![allow(clippy::unwrap_used)]

use std::fs;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ocistow_layout::Unwatched;
use ocistow_layout::lock::Locks;
use ocistow_layout::medium::{Disk, Medium};
use ocistow_layout::{Descriptor, Digest};
use ocistow_testkit::medium::{Counting, Told};
use ocistow_testkit::{Drawing, draw, to_dir, to_tar};
use serde_json::json;
use tempfile::TempDir;

mod stage;

use stage::{done, drawn, litter, room, run, told};

const SIGNED: &str = "image amd = base [linux/amd64]
     image arm = base + other [linux/arm64]
     index app:1 = amd, arm
     refer sbom -> app : application/spdx+json
     refer sig -> sbom : application/x.sig
     refer note -> app : application/x.note
     fallback app = note
     image dead = base + deep
     hidden dead
     refer deadsig -> dead : application/x.sig
     refer hid -> amd : application/x.hid
     hidden hid
     image loose = own
     file crumb";

/// The words for everything that lies in its place.
fn there(dir: &TempDir, world: &Drawing) -> String {
    let blobs = dir.path().join("store/blobs");
    let files = walkdir::WalkDir::new(blobs).min_depth(2).into_iter().map(|entry| entry.unwrap().into_path());
    let digests: Vec<Digest> = files
        .map(|path| {
            let algorithm = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            format!("{algorithm}:{}", path.file_name().unwrap().to_str().unwrap()).parse().unwrap()
        })
        .filter(|digest| *digest != Digest::of(b"{}"))
        .collect();
    world.words(&digests)
}

#[test]
fn gc_tells_what_it_removes_and_a_dry_run_tells_the_same_and_touches_nothing() {
    let (dir, world) = drawn(SIGNED);
    let store = dir.path().join("store");
    let removed = ["dead", "dead.config", "deep", "deadsig", "deadsig.file", "crumb"];
    let bytes =
        |words: &[&str]| -> usize { words.iter().map(|word| world.memory.blobs[&world.digest(word)].len()).sum() };
    let (all, whole) = (world.memory.blobs.len(), world.memory.blobs.values().map(Vec::len).sum::<usize>());
    let expected = |dry: bool| {
        json!({
            "removed": { "blobs": removed.len(), "bytes": bytes(&removed) },
            "kept": { "blobs": all - removed.len(), "bytes": whole - bytes(&removed), "young": 0 },
            "orphanReferrers": [world.digest("hid").to_string()],
            "dryRun": dry,
        })
    };
    let before = done("ls --all @/store", dir.path());
    assert_eq!(told("gc @/store --grace 0 --dry-run", dir.path()), (0, expected(true)));
    assert!(!store.join(".ocistow").exists(), "looking makes nothing");
    assert_eq!(done("ls --all @/store", dir.path()), before);
    assert_eq!(told("gc @/store --grace 0", dir.path()), (0, expected(false)));
    assert_eq!(fs::read_dir(store.join("blobs/sha256")).unwrap().count(), all - removed.len());
    let (code, again) = told("gc @/store --grace 0", dir.path());
    assert_eq!((code, &again["removed"]["blobs"]), (0, &json!(0)));
    let said = done("fsck @/store", dir.path());
    assert!(said.contains("\nok: checked 9 manifests, 20 blobs"), "{said}");
    // The signature that only lies in blobs/ is still found.
    assert!(done("discover @/store:1 --platform linux/amd64 --scan-blobs", dir.path()).contains("application/x.hid"));
}

#[test]
fn what_is_young_stays_unless_no_grace_is_wanted() {
    let (dir, world) = drawn(SIGNED);
    let all = world.memory.blobs.len();
    let (code, answer) = told("gc @/store", dir.path());
    assert_eq!((code, &answer["removed"]["blobs"], &answer["kept"]["blobs"]), (0, &json!(0), &json!(all)));
    // What nothing reaches, and the signature of it that has an entry, with its file.
    assert_eq!(answer["kept"]["young"], 6);
    assert!(done("ls --all @/store", dir.path()).contains(&world.digest("deadsig").to_string()));
    let text = done("gc @/store --prune", dir.path());
    assert!(text.contains("kept 26 blobs"), "{text}");
    thread::sleep(std::time::Duration::from_millis(1100));
    let (_, answer) = told("gc @/store --grace 1s", dir.path());
    assert_eq!((&answer["removed"]["blobs"], &answer["kept"]["young"]), (&json!(6), &json!(0)));
}

#[test]
fn gc_says_why_it_deletes_nothing() {
    let (dir, world) = drawn(SIGNED);
    let all = world.memory.blobs.len();
    fs::write(dir.path().join("store").join(world.digest("arm").path()), "{").unwrap();
    for line in ["gc @/store --grace 0", "gc @/store --grace 0 --prune", "gc @/store --dry-run"] {
        let (code, answer) = told(line, dir.path());
        assert_eq!((code, &answer["error"]["code"]), (4, &json!("integrity")), "{line}");
        assert_eq!((&answer["removed"]["blobs"], &answer["kept"]["blobs"]), (&json!(0), &json!(all)), "{line}");
    }
    assert_eq!(fs::read_dir(dir.path().join("store/blobs/sha256")).unwrap().count(), all);
    fs::write(dir.path().join("a.tar"), to_tar(&world.memory)).unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    for (line, code) in [
        ("gc @/a.tar", 2),
        ("gc @/store:1", 2),
        ("gc", 2),
        ("gc @/none", 3),
        ("gc @/none --dry-run", 3),
        ("gc @/empty", 3),
        ("gc @/store --grace soon", 2),
    ] {
        assert_eq!(run(line, dir.path(), None).0, code, "{line}");
    }
    assert_eq!(fs::read_dir(dir.path().join("empty")).unwrap().count(), 0);
}

#[test]
fn gc_waits_for_those_who_are_at_work_and_not_longer_than_it_is_told() {
    let (dir, _) = drawn(SIGNED);
    let locks = Locks::make(&dir.path().join("store"), None, &Disk, &Unwatched).unwrap();
    let held = locks.content().unwrap();
    for line in ["gc @/store --lock-timeout 50ms", "rm @/store:1 --lock-timeout 50ms"] {
        let (code, said) = run(line, dir.path(), None);
        assert_eq!(code, 1, "{line}: {said}");
        assert!(said.contains("could not get hold of"), "{said}");
    }
    // Looking waits for nobody.
    assert_eq!(run("gc @/store --dry-run --lock-timeout 50ms", dir.path(), None).0, 0);
    thread::scope(|scope| {
        let gc = scope.spawn(|| run("gc @/store", dir.path(), None));
        thread::sleep(std::time::Duration::from_millis(50));
        drop(held);
        assert_eq!(gc.join().unwrap().0, 0);
    });
}

#[test]
fn rm_tells_names_and_manifests_and_leaves_the_rest_to_gc() {
    let (dir, world) = drawn(SIGNED);
    let app = world.digest("app").to_string();
    let list = world.digest("app.fallback");
    let (code, answer) = told("rm @/store:1 --referrers", dir.path());
    let changed = answer["changed"].as_array().unwrap();
    assert_eq!((code, changed.len()), (0, 2), "{answer}");
    let by_tag = |tag: &str| changed.iter().find(|change| change["tag"] == tag).unwrap().clone();
    assert_eq!(by_tag("1"), json!({"tag": "1", "name": null, "from": app, "to": null}));
    let tag = world.digest("app").fallback_tag();
    assert_eq!(by_tag(&tag), json!({"tag": tag, "name": null, "from": list.to_string(), "to": null}));
    let removed: Vec<Digest> =
        answer["removed"].as_array().unwrap().iter().map(|digest| digest.as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(world.words(&removed), "app app.fallback note sbom sig");
    let left = "amd amd.config arm arm.config base crumb dead dead.config deadsig deadsig.file deep hid hid.file loose \
                loose.config note.file other own sbom.file sig.file";
    assert_eq!(there(&dir, &world), left);
    done("gc @/store --grace 0", dir.path());
    assert_eq!(there(&dir, &world), "loose loose.config own");
}

#[test]
fn rm_takes_several_of_one_layout_and_refuses_what_cannot_be_meant() {
    let (dir, world) =
        drawn("image a:a = base\nimage b:b = base\nimage c:c = base\nindex all:all = a\nimage d:d = base");
    to_dir(&world.memory, dir.path().join("other")).unwrap();
    let [a, b] = ["a", "b"].map(|name| world.digest(name));
    for (line, code, why) in [
        ("rm @/store", 2, "a name or a digest is needed"),
        ("rm @/store:a @/other:b", 2, "in one layout"),
        ("rm @/store:a @/store", 3, "no such name"),
        ("rm @/store:none", 3, "there is no such name\nhint: there are a, all, b, c, d"),
        (&format!("rm @/store@sha256:{}", "0".repeat(64)), 3, "could not find"),
        (&format!("rm @/store:a@{b}"), 4, "a names"),
        (&format!("rm @/store@{a}"), 1, "it is a part of"),
        (&format!("rm @/store:b @{a}"), 1, "store:all"),
    ] {
        let (got, said) = run(line, dir.path(), None);
        assert_eq!(got, code, "{line}: {said}");
        assert!(said.contains(why), "{line}: {said}");
    }
    done(&format!("rm @/store:all a @/store:b @{}", world.digest("c")), dir.path());
    assert_eq!(there(&dir, &world), "a.config b.config base c.config d d.config");
    assert!(done("fsck @/store", dir.path()).contains("\nok: "));
    done("rm --path @/store d", dir.path());
    assert_eq!(done("ls --all @/store", dir.path()), "");
}

/// A tool that knows no locks names something right when it is moved away.
fn naming(store: PathBuf, named: Descriptor) -> Box<dyn Medium> {
    let done = AtomicBool::new(false);
    Box::new(Told(move |call: &str, paths: &[&Path]| {
        let moves = call == "rename" && paths[1].components().any(|part| part.as_os_str() == "trash");
        if moves && !done.swap(true, Ordering::SeqCst) {
            let index = store.join("index.json");
            let text = fs::read_to_string(&index)?;
            let own = named.text().trim_end_matches('}');
            let entry = format!(r#"{own},"annotations":{{"org.opencontainers.image.ref.name":"new"}}}}"#);
            fs::write(&index, text.replace("\"manifests\":[", &format!("\"manifests\":[{entry},")))?;
        }
        Ok(())
    }))
}

#[test]
fn what_another_tool_names_while_it_is_deleted_stays_with_all_it_needs() {
    for (line, name, left) in [
        (
            "gc @/store --grace 0",
            "dead",
            "amd amd.config arm arm.config base dead dead.config deadsig deadsig.file deep",
        ),
        ("gc @/store --grace 0 --prune", "loose", "loose loose.config"),
        ("rm @/store@<app>", "app", "app"),
        ("rm @/store:1 --referrers", "sig", "sig"),
    ] {
        let (dir, world) = drawn(SIGNED);
        let digest = world.digest(name);
        let medium = naming(dir.path().join("store"), world.descriptor(name).clone());
        let line = line.replace("<app>", &world.digest("app").to_string());
        let (code, said) = run(&line, dir.path(), Some(medium));
        assert_eq!(code, 0, "{line}: {said}");
        let there = there(&dir, &world);
        for word in left.split_whitespace() {
            assert!(there.split(' ').any(|there| there == word), "{line}: {word} is gone of {there}");
        }
        assert!(!there.contains("crumb") || line.starts_with("rm"), "{line}: the rest goes all the same");
        done("fsck @/store", dir.path());
        assert_eq!(done("resolve @/store:new", dir.path()).trim(), digest.to_string());
        assert_eq!(litter(dir.path()), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_layout_is_as_good_as_before_while_a_killed_gc_lies_in_it() {
    let (dir, world) = drawn(&SIGNED.replace("refer deadsig -> dead : application/x.sig", ""));
    let shown = |dir: &TempDir| {
        let line = ["ls --all @/store", "discover @/store:1", "show @/store:1", "plan @/store:1"];
        line.map(|line| done(line, dir.path())).join("")
    };
    let before = shown(&dir);
    let calls = (1..80).find(|calls| {
        run("gc @/store --grace 0", dir.path(), Some(Box::new(Counting::new(*calls))));
        fs::read_dir(dir.path().join("store/.ocistow/trash/sha256")).is_ok_and(|files| files.count() > 0)
    });
    assert!(calls.is_some());
    assert!(!litter(dir.path()).is_empty());
    assert_eq!(shown(&dir), before);
    assert!(done("fsck @/store", dir.path()).contains("\nok: "));
    // A look sees what is left to do.
    let (_, answer) = told("gc @/store --dry-run", dir.path());
    assert!(answer["removed"]["blobs"].as_u64().unwrap() > 0, "{answer}");
    done("tag @/store:1 2", dir.path());
    done("copy @/store:1 @/copy", dir.path());
    done("gc @/store --grace 0", dir.path());
    assert_eq!(litter(dir.path()), Vec::<PathBuf>::new());
    assert!(!there(&dir, &world).contains("dead"));
}

#[test]
fn writers_lose_nothing_to_a_gc_that_runs_again_and_again() {
    const WRITERS: usize = 3;
    const ROUNDS: usize = 50;
    let dir = room();
    let base = dir.path();
    done("init @/store", base);
    let (left, swept) = (AtomicUsize::new(WRITERS), AtomicUsize::new(0));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let left = &left;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // All have a layer in common, which is garbage whenever nobody has named it yet.
                    let text = format!(
                        "image app:w{writer}r{round} = base + own{writer}x{round}
                         refer sig -> app : application/x.sig"
                    );
                    let from = format!("from{writer}x{round}");
                    to_dir(&draw(&text).memory, base.join(&from)).unwrap();
                    let line = match round % 3 {
                        0 => format!("import @/{from} @/store"),
                        1 => format!("copy @/{from}:w{writer}r{round} @/store"),
                        _ => format!("export @/{from} -o @/store"),
                    };
                    done(&line, base);
                    fs::remove_dir_all(base.join(&from)).unwrap();
                    if round % 5 == 4 {
                        done(&format!("rm @/store:w{writer}r{} --referrers", round - 1), base);
                    }
                }
                left.fetch_sub(1, Ordering::SeqCst);
            });
        }
        while left.load(Ordering::SeqCst) > 0 {
            let (_, answer) = told("gc @/store --grace 0", base);
            swept.fetch_add(usize::try_from(answer["removed"]["blobs"].as_u64().unwrap()).unwrap(), Ordering::SeqCst);
        }
    });
    let (_, answer) = told("gc @/store --grace 0", base);
    let all = swept.into_inner() + usize::try_from(answer["removed"]["blobs"].as_u64().unwrap()).unwrap();
    // Of each image that was removed its config and a layer.
    assert_eq!(all, WRITERS * ROUNDS / 5 * 2);
    for writer in 0..WRITERS {
        for round in 0..ROUNDS {
            let code = run(&format!("resolve @/store:w{writer}r{round}"), base, None).0;
            assert_eq!(code, if round % 5 == 3 { 3 } else { 0 }, "w{writer}r{round}");
        }
    }
    let said = done("fsck @/store", base);
    assert!(said.starts_with("ok: "), "{said}");
}

#[test]
fn a_reader_finds_all_it_began_with() {
    let (dir, _) = drawn(SIGNED);
    let base = dir.path();
    done("init @/store", base);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                done("untag @/store:1 --ignore-missing", base);
                done("gc @/store --grace 0", base);
                to_dir(&draw(SIGNED).memory, base.join("from")).unwrap();
                done("import @/from @/store", base);
            }
        });
        let mut whole = 0;
        for _ in 0..50 {
            // Exported as it is: with the image, or without; never a part of it.
            match run("export @/store -o @/out.tar --force", base, None) {
                (0, _) => {
                    let said = done("fsck @/out.tar", base);
                    whole += usize::from(done("ls @/out.tar", base).contains(":1 ") && said.contains("ok: "));
                }
                (code, said) => panic!("{code} {said}"),
            }
        }
        stop.store(true, Ordering::SeqCst);
        assert!(whole > 0);
    });
}

/// Exporting into the layout that is exported from holds it twice, and gc waits in between.
#[test]
fn copies_within_a_layout_and_gc_wait_for_each_other_and_come_to_an_end() {
    let (dir, _) = drawn(SIGNED);
    let base = dir.path();
    done("init @/store", base);
    thread::scope(|scope| {
        let copies = scope.spawn(|| {
            for n in 0..25 {
                done(&format!("copy @/store:1 @/store:c{n} --lock-timeout 60s"), base);
                done(&format!("tag @/store:1 t{n} --lock-timeout 60s"), base);
            }
        });
        while !copies.is_finished() {
            done("gc @/store --grace 0 --lock-timeout 60s", base);
        }
        copies.join().unwrap();
    });
    assert_eq!(done("ls @/store", base).lines().count(), 1 + 1 + 25 + 25 + 1);
}

/// Whoever gives a name to what nothing reaches has it, or is told that it is not there.
#[test]
fn what_is_rescued_by_its_digest_is_whole_or_gone() {
    for round in 0..20 {
        let (dir, world) = drawn("image app:1 = base\nimage dead = deep\nhidden dead");
        let base = dir.path();
        done("init @/store", base);
        let code = thread::scope(|scope| {
            let gc = scope.spawn(|| done("gc @/store --grace 0", base));
            if round % 2 == 0 {
                thread::yield_now();
            }
            let (code, said) = run(&format!("tag @/store@{} rescued", world.digest("dead")), base, None);
            assert!(code == 0 || code == 3, "{said}");
            gc.join().unwrap();
            code
        });
        done("fsck @/store", base);
        assert_eq!(run("resolve @/store:rescued", base, None).0, code);
    }
}

#[test]
fn gc_refuses_a_layout_it_would_have_to_leave() {
    let (dir, _) = drawn(SIGNED);
    let store = dir.path().join("store");
    fs::rename(store.join("blobs"), dir.path().join("blobs")).unwrap();
    std::os::unix::fs::symlink("../blobs", store.join("blobs")).unwrap();
    for line in ["gc @/store --grace 0", "gc @/store --grace 0 --dry-run"] {
        let (code, said) = run(line, dir.path(), None);
        assert!(code == 1 || code == 4, "{line}: {code} {said}");
        fs::write(store.join("oci-layout"), "{}").unwrap();
        assert_eq!(run(line, dir.path(), None).0, 4, "{line}");
        fs::write(store.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
    assert_eq!(fs::read_dir(dir.path().join("blobs/sha256")).unwrap().count(), draw(SIGNED).memory.blobs.len());
}

/// sha512 names kept as links to what sha256 names, as some tools do.
#[test]
fn what_is_needed_by_way_of_a_link_is_not_taken() {
    let (dir, world) = drawn("image app:1 = base\nimage old:2 = base");
    let store = dir.path().join("store");
    let zeros: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
    let linked = zeros.same_of(&world.memory.blobs[&world.digest("old")]).unwrap();
    fs::create_dir(store.join("blobs/sha512")).unwrap();
    let to = std::path::Path::new("../sha256").join(world.digest("old").encoded());
    std::os::unix::fs::symlink(to, store.join(linked.path())).unwrap();
    let index = fs::read_to_string(store.join("index.json")).unwrap();
    let old = world.descriptor("old").text();
    let entry = old.replace(&world.digest("old").to_string(), &linked.to_string());
    let named =
        format!("{},\"annotations\":{{\"org.opencontainers.image.ref.name\":\"512\"}}}}", &entry[..entry.len() - 1]);
    fs::write(store.join("index.json"), index.replace("\"manifests\":[", &format!("\"manifests\":[{named},"))).unwrap();
    let said = done("rm @/store:2", dir.path());
    assert!(said.contains("a link among the blobs leads to it"), "{said}");
    done("gc @/store --grace 0", dir.path());
    done("show --raw @/store:512", dir.path());
    done("fsck @/store", dir.path());
    assert_eq!(there(&dir, &world).replace(&linked.to_string(), "linked"), "app app.config base old old.config linked");
}
