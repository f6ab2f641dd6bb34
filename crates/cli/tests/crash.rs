//! Every command that writes is killed after every call that changes the disk, and loses the power at every
//! point with anything unsynced gone: the old state or the new one is left, `fsck` finds no error, and
//! the next run finishes without tripping over what lies about.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ocistow_layout::Digest;
use ocistow_layout::medium::Medium;
use ocistow_testkit::medium::{Counting, Recording};

mod stage;

use stage::{Shared, clone, crowded, done, litter, names, room, run, start, state};

fn bits(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 40 & 1 == 1
    }
}

/// Kills `line` after every call, and takes its power at every point: what is there then, told how it came about,
/// goes to `judge`, which says whether it is done. Gives the number of points.
fn at_every_point(line: &str, from: &Path, judge: &mut dyn FnMut(&Path, &str) -> bool) -> usize {
    let mut points = 0;
    for calls in 0.. {
        let base = room();
        clone(from, base.path());
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
    clone(from, real.path());
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
        }
        points += 1;
    }
    points
}

/// What matters of `from` once `line` was done in it.
fn once_done(line: &str, from: &Path, state: fn(&Path) -> BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    let base = room();
    clone(from, base.path());
    done(line, base.path());
    state(base.path())
}

/// Kills `line` after every call and takes its power at every point. `again` is what a user types where it
/// was done: the same, but for names that it has taken. `state` is what matters. Gives the number of points.
fn survives(line: &str, again: &str, state: fn(&Path) -> BTreeMap<PathBuf, String>) -> usize {
    let from = start(line);
    let before = state(from.path());
    let after = once_done(line, from.path(), state);
    assert_ne!(before, after, "{line} changes nothing");
    at_every_point(line, from.path(), &mut |base, told| {
        let now = state(base);
        assert!(now == before || now == after, "{line}, {told}:\n{now:#?}\nis neither\n{before:#?}\nnor\n{after:#?}");
        // As on the real disk, but nobody waits for it.
        let quick = || Some(Box::new(Counting::new(usize::MAX)) as Box<dyn Medium>);
        let again = if now == after { again } else { line };
        let (code, said) = run(again, base, quick());
        assert_eq!(code, 0, "{line}, {told}, and then {again}: {said}");
        assert_eq!(state(base), after, "{line}, {told}, and then {again}");
        // What had nothing left to do has cleared nothing either: the next writer does.
        for layout in ["new", "target", "damaged", "lacking"].iter().filter(|name| base.join(name).is_dir()) {
            assert_eq!(run(&format!("init @/{layout}"), base, quick()).0, 0);
        }
        let left: Vec<PathBuf> = litter(base).into_iter().filter(|path| path.is_dir()).collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "{line}, {told}, and then {again}");
        now == after
    })
}

/// Kills `line`, which deletes, after every call and takes its power at every point: the names are those of before or of
/// after, with all they need; and when it is run again, and `gc` after it, what should be gone is gone. Gives
/// the number of points.
fn deletes(line: &str) -> usize {
    const GC: &str = "gc @/target --grace 0";
    let from = crowded();
    let (before, after, swept) = {
        let base = room();
        clone(from.path(), base.path());
        let before = names(base.path());
        done(line, base.path());
        let after = state(base.path());
        assert_ne!(state(from.path()), after, "{line} changes nothing");
        let names = names(base.path());
        done(GC, base.path());
        (before, (names, after), state(base.path()))
    };
    at_every_point(line, from.path(), &mut |base, told| {
        let now = names(base);
        assert!(now == before || now == after.0, "{line}, {told}:\n{now}");
        let gone = now == after.0 && state(base) == after.1;
        let quick = || Some(Box::new(Counting::new(usize::MAX)) as Box<dyn Medium>);
        let (code, said) = run(line, base, quick());
        // What is gone cannot be removed again.
        let found = code == 0 || code == 3 && line.starts_with("rm");
        assert!(found, "{line}, {told}, and again: {code} {said}");
        assert_eq!(names(base), after.0, "{line}, {told}, and again");
        assert_eq!(run(GC, base, quick()).0, 0);
        assert_eq!(state(base), swept, "{line}, {told}, and then {GC}");
        assert_eq!(litter(base), Vec::<PathBuf>::new(), "{line}, {told}, and then {GC}");
        gone
    })
}

/// One test a command, so that they run beside each other; each knows how many points it has at least.
macro_rules! deletes {
    ($($name:ident: $least:literal, $line:literal;)*) => {
        const DELETES: &[usize] = &[$($least),*];
        $(
            #[test]
            fn $name() {
                let points = deletes($line);
                eprintln!("{}: {points} points", $line);
                assert!(points >= $least, "only {points} points");
            }
        )*
    };
}

deletes! {
    gc_survives: 60, "gc @/target --grace 0";
    gc_that_prunes_survives: 70, "gc @/target --grace 0 --prune";
    rm_survives: 40, "rm @/target:1";
    rm_with_referrers_survives: 50, "rm @/target:1 --referrers";
}

/// The same for what adds and changes.
macro_rules! survives {
    ($($name:ident: $least:literal, $line:literal $(, then $again:literal)?;)*) => {
        const SURVIVES: &[usize] = &[$($least),*];
        $(
            #[test]
            fn $name() {
                let again = [$line $(, $again)?];
                let points = survives($line, again.last().unwrap(), state);
                eprintln!("{}: {points} points", $line);
                assert!(points >= $least, "only {points} points");
            }
        )*
    };
}

#[test]
fn there_are_a_thousand_points_and_more() {
    let points: usize = SURVIVES.iter().chain(DELETES).sum();
    assert!(points >= 1000, "only {points} points");
}

survives! {
    init_survives: 40, "init @/new";
    export_with_lists_into_a_layout_survives: 80, "export @/source:2 -o @/target --referrers-as both";
    tag_survives: 20, "tag @/target:1 2";
    untag_survives: 20, "untag @/target:1", then "untag @/target:1 --ignore-missing";
    import_survives: 180, "import @/bundle.tar @/target --tag 1=app";
    import_of_a_new_layout_survives: 150, "import @/bundle.tar @/new";
    import_of_a_packed_bundle_survives: 180, "import @/bundle.tar.gz @/target --tag 1=app";
    import_from_a_pipe_survives: 150, "import - @/new < @/bundle.tar";
    import_of_a_directory_survives: 180, "import @/source @/target --tag 1=app";
    export_to_an_archive_survives: 90, "export @/source -o @/new.tar", then "export @/source -o @/new.tar --force";
    export_to_a_packed_archive_survives:
        10, "export @/source -o @/new.tar.zst", then "export @/source -o @/new.tar.zst --force";
    export_over_an_archive_survives: 50, "export @/source:2 -o @/old.tar --force";
    export_to_a_directory_survives: 200, "export @/source -o @/new";
    export_into_a_layout_survives: 80, "export @/source:2 -o @/target";
    graph_to_a_file_survives:
        10, "graph @/source --format mermaid -o @/new.mermaid",
        then "graph @/source --format mermaid -o @/new.mermaid --force";
    copy_survives: 140, "copy @/source:1 @/target:app";
    copy_by_links_survives: 130, "copy @/source:1 @/target:app --link";
    push_survives: 50, "push @/target:1 @/bundle.tar.gz --title bundle";
    push_of_a_directory_survives: 60, "push @/target:app @/source --title source";
    push_into_a_new_layout_survives: 70, "push @/new:app @/bundle.tar.gz --title bundle";
    attach_survives: 60, "attach @/target:1 --artifact-type application/x.note @/bundle.tar.gz --title note";
    attach_with_a_list_survives:
        60, "attach @/target:1 --artifact-type application/x.note @/bundle.tar.gz --title note --referrers-as tags";
    manifest_push_survives: 20, "manifest push @/target:again - < @/bundle.json";
    index_create_survives: 50, "index create @/target:1 pair late";
    index_add_survives: 50, "index add @/target:pair late";
    index_rm_survives: 40, "index rm @/target:pair {old}", then "init @/target";
    convert_survives: 60, "convert @/target:1 --to docker --referrers";
    convert_to_a_new_name_survives: 50, "convert @/target:1 app --to docker";
    pull_survives: 50, "pull @/target:kit -o @/out-new";
    copy_to_an_archive_survives: 70, "copy @/bundle.tar:1 @/new.tar", then "copy @/bundle.tar:1 @/new.tar --force";
    mending_what_is_damaged_survives: 30, "fsck @/damaged --repair-from @/source";
    mending_what_is_damaged_from_a_packed_bundle_survives: 30, "fsck @/damaged --repair-from @/bundle.tar.gz";
    mending_what_is_missing_survives: 30, "fsck @/lacking --repair-from @/bundle.tar";
}

/// The blobs of a layout, by name; what writers try out moving with is none.
fn blobs(layout: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let files = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap());
    let blobs = files.filter(|file| !file.file_name().as_encoded_bytes().starts_with(b".ocistow-"));
    blobs.map(|file| (file.file_name(), fs::read(file.path()).unwrap())).collect()
}

/// A blob that nothing leads to is no entry: what matters is whether it can be had.
fn state_and_blob(base: &Path) -> BTreeMap<PathBuf, String> {
    let bundle = Digest::of(&fs::read(base.join("bundle.tar.gz")).unwrap());
    let there = base.join("target").join(bundle.path()).is_file();
    // Which looks at all blobs there are.
    let mut state = state(base);
    state.insert("blob".into(), there.to_string());
    state
}

#[test]
fn blob_push_survives() {
    let line = "blob push @/target @/bundle.tar.gz";
    let points = survives(line, line, state_and_blob);
    assert!(points > 25, "only {points} points");
}

/// Blobs get their names one by one: wherever that ends, each is as it was, or right.
#[test]
fn mending_many_blobs_leaves_each_as_it_was_or_right() {
    let line = "fsck @/hurt --repair-from @/bundle.tar";
    let from = start(line);
    let (before, right) = (blobs(&from.path().join("hurt")), blobs(&from.path().join("source")));
    let mut between = 0;
    at_every_point(line, from.path(), &mut |base, told| {
        let hurt = base.join("hurt");
        let now = blobs(&hurt);
        for (name, bytes) in &now {
            assert!([before.get(name), right.get(name)].contains(&Some(bytes)), "{name:?}, {told}");
        }
        assert!(before.keys().all(|name| now.contains_key(name)), "{told}");
        let quick = Box::new(Counting::new(usize::MAX)) as Box<dyn Medium>;
        let (code, said) = run(line, base, Some(quick));
        assert_eq!((code, blobs(&hurt)), (0, right.clone()), "{told}: {said}");
        between += usize::from(now != before && now != right);
        now == right
    });
    assert!(between > 2, "only {between} states in between");
}

/// Files that are there are replaced one by one: wherever that ends, each is the old one or the new one, all of it.
#[test]
fn a_pull_over_files_that_are_there_leaves_each_as_it_was_or_new() {
    let line = "pull @/target:kit -o @/out-old";
    let from = start(line);
    fs::write(from.path().join("out-old/kit/own"), "nobody's business").unwrap();
    let before = state(from.path());
    let after = once_done(line, from.path(), state);
    let mut between = 0;
    at_every_point(line, from.path(), &mut |base, told| {
        let now = state(base);
        for path in before.keys().chain(after.keys()).chain(now.keys()) {
            assert!([before.get(path), after.get(path)].contains(&now.get(path)), "{path:?}, {told}: {now:#?}");
        }
        let (code, said) = run(line, base, Some(Box::new(Counting::new(usize::MAX))));
        assert_eq!((code, state(base)), (0, after.clone()), "{told}: {said}");
        assert_eq!(litter(base), Vec::<PathBuf>::new(), "{told}");
        between += usize::from(now != before && now != after);
        now == after
    });
    assert!(between > 2, "only {between} states in between");
}
