//! Every command that writes meets a disk that refuses a call, each in turn: it says so and ends with 1, what was
//! there before is still there, and the next run finishes. Or it got along without that call, and is done.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;

use ocistow_layout::medium::Medium;
use ocistow_testkit::medium::Failing;
use rustix::io::Errno;

mod stage;

use stage::{Shared, clone, crowded, litter, names, room, run, start, state};

/// How a disk fails from its nth call on.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// This call, and none after it.
    Once(Errno),
    /// Whatever takes room, until somebody makes some.
    Full,
    /// Whatever waits for the disk.
    Sync,
}

impl Fault {
    fn at(self, nth: usize) -> impl Fn(usize, &str) -> Option<Errno> + Send + Sync {
        move |call, name| match self {
            Self::Once(errno) => (call == nth).then_some(errno),
            Self::Full => {
                let takes = ["make_dir", "create", "write_at", "link", "link_open", "rename"];
                (call >= nth && takes.contains(&name)).then_some(Errno::NOSPC)
            }
            Self::Sync => (call >= nth && name.starts_with("sync")).then_some(Errno::IO),
        }
    }
}

/// Lets every call of `line` fail in every way. `again` is what a user types after that. Gives the number of failures.
fn refuses(line: &str, again: &str) -> usize {
    let from = start(line);
    let before = state(from.path());
    let after = {
        let base = room();
        clone(from.path(), base.path());
        stage::done(line, base.path());
        state(base.path())
    };
    let mut failures = 0;
    for fault in [Fault::Once(Errno::IO), Fault::Once(Errno::ACCESS), Fault::Full, Fault::Sync] {
        for nth in 0.. {
            let base = room();
            let base = base.path();
            clone(from.path(), base);
            let medium = Arc::new(Failing::new(fault.at(nth)));
            let (code, said) = run(line, base, Some(Box::new(Shared(medium.clone()))));
            let told = format!("{line}, {fault:?} at {nth}: {code} {said}");
            match code {
                0 => assert_eq!(state(base), after, "{told}"),
                // A blob that got its name before the disk gave out is right, and stays.
                1 if line.contains("--repair-from") => assert!([&before, &after].contains(&&state(base)), "{told}"),
                1 => assert_eq!(state(base), before, "{told}"),
                _ => panic!("{told}"),
            }
            assert!(code == 0 || said.contains("error: could not "), "{told}");
            failures += usize::from(code == 1);
            let quick = || Some(Box::new(Failing::new(|_, _| None)) as Box<dyn Medium>);
            let again = if code == 0 { again } else { line };
            let (code, said) = run(again, base, quick());
            assert_eq!(code, 0, "{told}and then {again}: {said}");
            assert_eq!(state(base), after, "{told}and then {again}");
            for layout in ["new", "target", "damaged", "lacking"].iter().filter(|name| base.join(name).is_dir()) {
                assert_eq!(run(&format!("init @/{layout}"), base, quick()).0, 0);
            }
            assert_eq!(litter(base), Vec::<PathBuf>::new(), "{told}and then {again}");
            if medium.made() <= nth {
                break;
            }
        }
    }
    failures
}

/// Lets every call of `line`, which deletes, fail in every way: the names are those of before where it says that it
/// failed, and those of after where it says that it is done. When it is run again, and `gc` after it, what should
/// be gone is gone. Gives the number of failures.
fn deletes(line: &str) -> usize {
    const GC: &str = "gc @/target --grace 0";
    let from = crowded();
    let before = names(from.path());
    let (after, swept) = {
        let base = room();
        clone(from.path(), base.path());
        stage::done(line, base.path());
        let after = names(base.path());
        stage::done(GC, base.path());
        (after, state(base.path()))
    };
    let mut failures = 0;
    for fault in [Fault::Once(Errno::IO), Fault::Once(Errno::ACCESS), Fault::Full, Fault::Sync] {
        for nth in 0.. {
            let base = room();
            let base = base.path();
            clone(from.path(), base);
            let medium = Arc::new(Failing::new(fault.at(nth)));
            let (code, said) = run(line, base, Some(Box::new(Shared(medium.clone()))));
            let told = format!("{line}, {fault:?} at {nth}: {code} {said}");
            let expected = match code {
                0 => &after,
                // Entries that nothing needs go for good before the content they stood for does.
                1 if line.starts_with("gc") && names(base) == after => &after,
                1 => &before,
                _ => panic!("{told}"),
            };
            assert_eq!(names(base), *expected, "{told}");
            assert!(code == 0 || said.contains("error: could not "), "{told}");
            failures += usize::from(code == 1);
            let quick = || Some(Box::new(Failing::new(|_, _| None)) as Box<dyn Medium>);
            let (again, said) = run(line, base, quick());
            let found = again == 0 || again == 3 && code == 0 && line.starts_with("rm");
            assert!(found, "{told}and again: {again} {said}");
            assert_eq!(names(base), after, "{told}and again");
            assert_eq!(run(GC, base, quick()).0, 0);
            assert_eq!(state(base), swept, "{told}and then {GC}");
            assert_eq!(litter(base), Vec::<PathBuf>::new(), "{told}and then {GC}");
            if medium.made() <= nth {
                break;
            }
        }
    }
    failures
}

macro_rules! deletes {
    ($($name:ident: $line:literal;)*) => {$(
        #[test]
        fn $name() {
            let failures = deletes($line);
            assert!(failures > 10, "only {failures} failures");
        }
    )*};
}

deletes! {
    gc_fails_whole: "gc @/target --grace 0";
    gc_that_prunes_fails_whole: "gc @/target --grace 0 --prune";
    rm_fails_whole: "rm @/target:1";
    rm_with_referrers_fails_whole: "rm @/target:1 --referrers";
}

/// One test a command, so that they run beside each other.
macro_rules! refuses {
    ($($name:ident: $line:literal $(, then $again:literal)?;)*) => {$(
        #[test]
        fn $name() {
            let again = [$line $(, $again)?];
            let failures = refuses($line, again.last().unwrap());
            assert!(failures > 10, "only {failures} failures");
        }
    )*};
}

refuses! {
    init_fails_whole: "init @/new";
    tag_fails_whole: "tag @/target:1 2";
    untag_fails_whole: "untag @/target:1", then "untag @/target:1 --ignore-missing";
    import_fails_whole: "import @/bundle.tar @/target --tag 1=app";
    import_of_a_new_layout_fails_whole: "import @/bundle.tar @/new";
    import_of_a_packed_bundle_fails_whole: "import @/bundle.tar.gz @/target --tag 1=app";
    import_from_a_pipe_fails_whole: "import - @/new < @/bundle.tar";
    export_to_an_archive_fails_whole: "export @/source -o @/new.tar", then "export @/source -o @/new.tar --force";
    export_over_an_archive_fails_whole: "export @/source:2 -o @/old.tar --force";
    export_to_a_packed_archive_fails_whole:
        "export @/source -o @/new.tar.zst", then "export @/source -o @/new.tar.zst --force";
    export_to_a_directory_fails_whole: "export @/source -o @/new";
    export_into_a_layout_fails_whole: "export @/source:2 -o @/target";
    graph_to_a_file_fails_whole:
        "graph @/source --format mermaid -o @/new.mermaid",
        then "graph @/source --format mermaid -o @/new.mermaid --force";
    push_fails_whole: "push @/target:1 @/bundle.tar.gz --title bundle";
    push_of_a_directory_fails_whole: "push @/target:app @/source --title source";
    push_into_a_new_layout_fails_whole: "push @/new:app @/bundle.tar.gz --title bundle";
    attach_fails_whole: "attach @/target:1 --artifact-type application/x.note @/bundle.tar.gz --title note";
    attach_with_a_list_fails_whole: "attach @/target:1 --artifact-type application/x.note @/bundle.tar.gz --title note --referrers-as tags";
    manifest_push_fails_whole: "manifest push @/target:again - < @/bundle.json";
    index_create_fails_whole: "index create @/target:1 pair late";
    index_add_fails_whole: "index add @/target:pair late";
    convert_fails_whole: "convert @/target:1 --to docker --referrers";
    convert_to_a_new_name_fails_whole: "convert @/target:1 app --to docker";
    index_rm_fails_whole: "index rm @/target:pair {old}";
    copy_to_an_archive_fails_whole: "copy @/bundle.tar:1 @/new.tar", then "copy @/bundle.tar:1 @/new.tar --force";
    blob_push_into_a_new_layout_fails_whole: "blob push @/new @/bundle.tar.gz";
    import_of_a_directory_fails_whole: "import @/source @/target --tag 1=app";
    copy_fails_whole: "copy @/source:1 @/target:app";
    copy_by_links_fails_whole: "copy @/source:1 @/target:app --link";
    pull_fails_whole: "pull @/target:kit -o @/out-new";
    pull_over_what_is_there_fails_whole: "pull @/target:kit -o @/out-old";
    mending_what_is_damaged_fails_whole: "fsck @/damaged --repair-from @/source";
    mending_what_is_missing_fails_whole: "fsck @/lacking --repair-from @/bundle.tar.gz";
}
