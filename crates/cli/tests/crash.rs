//! Every command that writes is killed after every call that changes the disk, and loses the power at every
//! point with anything unsynced gone: the old state or the new one is left, `fsck` finds no error, and
//! the next run finishes without tripping over what lies about.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ocistow_layout::medium::Medium;
use ocistow_testkit::medium::{Counting, Recording};

mod stage;

use stage::{Shared, clone, done, litter, room, run, start, state};

fn bits(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 40 & 1 == 1
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
    push_survives: "push @/target:1 @/bundle.tar.gz --title bundle";
    push_of_a_directory_survives: "push @/target:app @/source --title source";
    push_into_a_new_layout_survives: "push @/new:app @/bundle.tar.gz --title bundle";
    attach_survives: "attach @/target:1 --artifact-type application/x.note @/bundle.tar.gz --title note";
    convert_survives: "convert @/target:1 --to docker --referrers";
    convert_to_a_new_name_survives: "convert @/target:1 app --to docker";
    copy_to_an_archive_survives: "copy @/bundle.tar:1 @/new.tar", then "copy @/bundle.tar:1 @/new.tar --force";
}
