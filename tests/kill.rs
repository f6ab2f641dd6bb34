//! The real program is killed, or asked to stop, at moments that nobody chose.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::change::{Change, Ended, KILLED, program};
use crate::stage::{clone, crowded, done, litter, names, room, run, state};

/// How often each line is killed, and asked to stop.
const KILLS: u32 = 8;
const STOPS: u32 = 4;

/// Numbers by chance, the same for the same seed.
struct Chance(u64);

impl Chance {
    /// Of the seed in `OCISTOW_SEED`, else of the clock.
    fn new() -> (Self, u64) {
        let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |age| u64::from(age.subsec_nanos()));
        let seed = std::env::var("OCISTOW_SEED").map_or(clock, |text| text.parse().expect("OCISTOW_SEED is a number"));
        (Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1), seed)
    }

    /// A moment within `all`.
    fn moment(&mut self, all: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        all.mul_f64(f64::from(u32::try_from(self.0 >> 32).expect("it has 32 bits")) / f64::from(u32::MAX))
    }
}

/// Sends `signal` to a line at moments from its start to its end; `codes`: how it may end then.
fn struck_down(line: &'static str, again: &'static str, times: u32, signal: &str, codes: &[i32]) {
    let change = Change::of(line, again);
    let begun = Instant::now();
    let whole = change.stage();
    let ended = program(line, whole.path(), None).output().expect("it can be started");
    assert!(ended.status.success(), "{line}");
    let all = begun.elapsed();
    let (mut chance, seed) = Chance::new();
    for time in 0..times {
        let base = change.stage();
        let moment = chance.moment(all);
        let child = program(line, base.path(), None).spawn().expect("it can be started");
        thread::sleep(moment);
        // It may have ended meanwhile.
        let _ = Command::new("kill").args([signal, &child.id().to_string()]).output();
        let ended = Ended::of(&child.wait_with_output().expect("it was started"), base.path());
        let how = format!("{signal} after {moment:?} (OCISTOW_SEED={seed}, time {time})");
        assert!(codes.contains(&ended.code), "{line}, {how}: {} {}", ended.code, ended.err);
        // A layout whose making ended is taken for none until somebody goes on with it; nothing waits for its locks.
        change.judge(base.path(), &ended, &how);
    }
}

/// What deletes is killed: the names are those of before or of after, with all they need; and what should be gone is
/// gone once it is run again, and `gc` after it.
#[test]
fn whoever_deletes_survives_being_killed() {
    const GC: &str = "gc @/target --grace 0";
    for line in [GC, "gc @/target --grace 0 --prune", "rm @/target:1", "rm @/target:1 --referrers"] {
        let from = crowded();
        let before = names(from.path());
        let whole = room();
        clone(from.path(), whole.path());
        let begun = Instant::now();
        let ended = program(line, whole.path(), None).output().expect("it can be started");
        assert!(ended.status.success(), "{line}");
        let all = begun.elapsed();
        let after = names(whole.path());
        done(GC, whole.path());
        let swept = state(whole.path());
        let (mut chance, seed) = Chance::new();
        for time in 0..KILLS {
            let base = room();
            clone(from.path(), base.path());
            let moment = chance.moment(all);
            let mut child = program(line, base.path(), None).spawn().expect("it can be started");
            thread::sleep(moment);
            child.kill().and_then(|()| child.wait()).expect("it was started");
            let how = format!("{line}, killed after {moment:?} (OCISTOW_SEED={seed}, time {time})");
            let now = names(base.path());
            assert!(now == before || now == after, "{how}: {now}");
            let (code, said) = run(line, base.path(), None);
            assert!(code == 0 || code == 3 && line.starts_with("rm"), "{how}, and again: {code} {said}");
            assert_eq!(names(base.path()), after, "{how}, and again");
            done(GC, base.path());
            assert_eq!(state(base.path()), swept, "{how}, and then {GC}");
            assert_eq!(litter(base.path()), Vec::<PathBuf>::new(), "{how}");
        }
    }
}

macro_rules! struck_down {
    ($($name:ident: $line:literal $(, then $again:literal)?;)*) => {$(
        mod $name {
            #[test]
            fn survives_being_killed() {
                let again = [$line $(, $again)?];
                super::struck_down($line, again.last().expect("there is one"), super::KILLS, "-KILL", &[0, super::KILLED]);
            }

            /// Before it watches for signals, one that asks to stop ends it as any other.
            #[test]
            fn stops_when_asked_to() {
                let again = [$line $(, $again)?];
                super::struck_down($line, again.last().expect("there is one"), super::STOPS, "-TERM", &[0, 130, super::KILLED]);
            }
        }
    )*};
}

struck_down! {
    init: "init @/new";
    import: "import @/bundle.tar @/target --tag 1=app";
    import_of_a_packed_bundle: "import @/bundle.tar.gz @/target --tag 1=app";
    import_from_a_pipe: "import - @/new < @/bundle.tar";
    export: "export @/source -o @/new.tar", then "export @/source -o @/new.tar --force";
    export_to_a_packed_archive: "export @/source -o @/new.tar.zst", then "export @/source -o @/new.tar.zst --force";
    export_to_a_directory: "export @/source -o @/new";
    copy: "copy @/source:1 @/target:app";
    push: "push @/target:app @/source --title source";
    attach: "attach @/target:1 --artifact-type application/x.note @/bundle.tar.gz --title note";
    manifest_push: "manifest push @/target:again - < @/bundle.json";
    blob_push: "blob push @/new @/bundle.tar.gz";
    index_add: "index add @/target:pair late";
    tag: "tag @/target:1 2";
    untag: "untag @/target:1", then "untag @/target:1 --ignore-missing";
    convert: "convert @/target:1 --to docker --referrers";
    pull: "pull @/target:kit -o @/out-new";
    a_repair: "fsck @/lacking --repair-from @/bundle.tar.gz";
}
