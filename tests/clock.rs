//! Clocks that are wrong, stand still or jump: by faketime, under which a process and the file system disagree about
//! the time; and on a disk whose files are from the future, or from before 1970.

use std::fs::{self, File, FileTimes};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use ocistow_testkit::{Drawing, draw, to_dir};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::change::{Change, Ended, ended, program};
use crate::run::{Peer, shell};
use crate::stage::{clone, crowded, done, names, room, start};

/// Ahead by more than any grace, years ahead and back, before 1970, standing still there, in a hurry.
const CLOCKS: [&str; 6] = ["+2h", "+30y", "-30y", "@1960-01-01 00:00:00", "1960-01-01 00:00:00", "+2h x100000"];
/// No test waits longer than this for a program that does not end, whatever clock that has.
const PATIENCE: &str = "60";
/// What was written this long ago is older than a grace of 10 ms.
const OLDER: Duration = Duration::from_millis(50);

/// What runs a program under this clock; what the file system says of its files stays as it is.
fn under(faketime: &Peer, clock: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", PATIENCE]).arg(faketime.command().get_program());
    command.args(["-m", "--exclude-monotonic", "-f", clock]).env("NO_FAKE_STAT", "1");
    command
}

#[test]
fn whatever_the_clock_says_a_change_is_the_same() {
    let Some(faketime) = Peer::find("faketime") else { return };
    for (line, again) in [
        ("init @/new", None),
        ("import @/bundle.tar @/target --tag 1=app", None),
        ("import - @/new < @/bundle.tar", None),
        ("export @/source -o @/new.tar", Some("export @/source -o @/new.tar --force")),
        ("export @/source -o @/new.tar.zst", Some("export @/source -o @/new.tar.zst --force")),
        ("export @/source -o @/new", None),
        ("copy @/source:1 @/target:app", None),
        ("push @/target:app @/source --title source", None),
        ("attach @/target:1 --artifact-type application/x.note @/bundle.tar.gz --title note", None),
        ("manifest push @/target:again - < @/bundle.json", None),
        ("blob push @/new @/bundle.tar.gz", None),
        ("index create @/target:both 1 late", None),
        ("index add @/target:pair late", None),
        ("tag @/target:1 2", None),
        ("untag @/target:1", Some("untag @/target:1 --ignore-missing")),
        ("rm @/target:late", Some("untag @/target:late --ignore-missing")),
        ("convert @/target:1 --to docker --referrers", None),
        ("pull @/target:kit -o @/out-old", None),
        ("fsck @/lacking --repair-from @/bundle.tar.gz", None),
    ] {
        let change = Change::of(line, again.unwrap_or(line));
        for clock in CLOCKS {
            let base = change.stage();
            let ended = ended(line, base.path(), Some(under(&faketime, clock)));
            assert_eq!(ended.code, 0, "{line}, {clock}: {}", ended.err);
            change.judge(base.path(), &ended, clock);
        }
    }
}

#[test]
fn whatever_the_clock_says_a_look_tells_the_same() {
    let Some(faketime) = Peer::find("faketime") else { return };
    for line in [
        "ls --all @/source",
        "show @/source:1",
        "resolve @/source:1",
        "discover @/source:1",
        "graph @/source",
        "du @/source",
        "diff @/source @/target",
        "fsck @/source",
        "plan @/source:1",
        "ls @/bundle.tar.gz",
        "gc --dry-run --grace 0 @/source",
    ] {
        let from = start(line);
        let right = ended(line, from.path(), None);
        for clock in CLOCKS {
            let Ended { code, out, err } = ended(line, from.path(), Some(under(&faketime, clock)));
            assert_eq!((code, &out, &err), (0, &right.out, &right.err), "{line}, {clock}");
        }
    }
}

/// Ages are told by the clock that gave the files their times.
#[test]
fn a_wrong_clock_makes_nothing_older_or_younger_to_who_deletes() {
    let Some(faketime) = Peer::find("faketime") else { return };
    let from = crowded();
    for (line, goes) in [("gc @/target", false), ("gc @/target --grace 10ms", true), ("gc @/target --grace 0", true)] {
        let right = room();
        clone(from.path(), right.path());
        thread::sleep(OLDER);
        done(line, right.path());
        for clock in CLOCKS {
            let base = room();
            clone(from.path(), base.path());
            thread::sleep(OLDER);
            let ended = ended(&format!("{line} --format json"), base.path(), Some(under(&faketime, clock)));
            let told: Value = serde_json::from_str(&ended.out).expect("it is JSON");
            let (removed, young) = (&told["removed"]["blobs"], &told["kept"]["young"]);
            let told = format!("{line}, {clock}: {} {}{}", ended.code, ended.out, ended.err);
            assert_eq!((ended.code, removed != 0, young != 0), (0, goes, !goes), "{told}");
            assert_eq!(names(base.path()), names(right.path()), "{told}");
        }
    }
}

/// A layout with so many tags that an index of it is kept, and two signatures of which one is listed.
const MANY: &str = "image a:one = base
                    image b:two = base + top
                    refer ours -> a : application/x.sig
                    refer them -> b : application/x.sig
                    hidden them";

fn many() -> (TempDir, Drawing) {
    let base = room();
    let tags: String = (0..600).map(|n| format!("\ntag a as tag-{n:03}")).collect();
    let drawing = draw(&format!("{MANY}{tags}"));
    to_dir(&drawing.memory, base.path().join("lay")).expect("there is room");
    (base, drawing)
}

/// Somebody who knows nothing of ours lists another signature, in the same file, and puts its time back: only ctime
/// tells.
fn relisted(layout: &Path, from: &str, to: &str) {
    let path = layout.join("index.json");
    let text = fs::read_to_string(&path).expect("it is there");
    assert!(text.contains(from) && from.len() == to.len(), "{from}");
    let mut file = File::options().write(true).open(&path).expect("it is there");
    file.write_all(text.replace(from, to).as_bytes()).expect("there is room");
    file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).expect("it is ours");
}

#[test]
fn what_is_kept_is_never_stale_whoever_writes_under_whatever_clock() {
    let Some(faketime) = Peer::find("faketime") else { return };
    let (base, drawing) = many();
    let layout = base.path().join("lay");
    let tell = |line: &str, clock: &str| {
        let Ended { code, out, err } = ended(line, base.path(), Some(under(&faketime, clock)));
        assert_eq!(code, 0, "{line}, {clock}: {out}{err}");
        out
    };
    let [first, second] = ["ours", "them"].map(|word| drawing.digest(word).to_string());
    let mut signed = [("one", &first), ("two", &second)];
    tell("init @/lay", "+0");
    for at in 0..CLOCKS.len() {
        let (one, other) = (CLOCKS[at], CLOCKS[(at + 1) % CLOCKS.len()]);
        let [(tag, signature), (bare, foreign)] = signed;
        // Nothing but ctime tells this index.json from the one that they write.
        relisted(&layout, signature, signature);
        // Both look, so that something is kept under both clocks; then a tool of others writes, then one of ours.
        assert!(tell(&format!("discover @/lay:{tag}"), one).contains(signature), "{one}");
        assert!(!tell(&format!("discover @/lay:{bare}"), other).contains(foreign), "{other}");
        assert!(layout.join(".ocistow/graph/head").exists(), "nothing is kept");
        relisted(&layout, signature, foreign);
        assert!(!tell(&format!("discover @/lay:{tag}"), other).contains(signature), "{one}, then {other}");
        assert!(tell(&format!("discover @/lay:{bare}"), one).contains(foreign), "{other}, then {one}");
        tell(&format!("tag @/lay:{bare} new-{at}"), other);
        assert!(tell("ls @/lay", one).contains(&format!(":new-{at} ")), "{other}, then {one}");
        signed.reverse();
    }
    // What is told with all that was kept is told without it.
    let told = tell("ls --all @/lay", "+0");
    fs::remove_dir_all(layout.join(".ocistow/graph")).expect("it is there");
    assert_eq!(tell("ls --all @/lay", "+0"), told);
    tell("fsck @/lay", "+0");
}

/// A clock that somebody sets while a program runs.
struct Settable {
    file: NamedTempFile,
    library: String,
}

impl Settable {
    fn of(faketime: &Peer, clock: &str) -> Self {
        let library = faketime.done(Path::new("/"), &["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).text();
        let watch = Self { file: NamedTempFile::new().expect("there is room"), library };
        watch.set(clock);
        watch
    }

    fn set(&self, clock: &str) {
        fs::write(self.file.path(), format!("{clock}\n")).expect("there is room");
    }

    fn program(&self, line: &str, base: &Path) -> Command {
        let mut timeout = Command::new("timeout");
        timeout.args(["-s", "KILL", PATIENCE]);
        let mut program = program(line, base, Some(timeout));
        program.env("LD_PRELOAD", self.library.trim()).env("FAKETIME_TIMESTAMP_FILE", self.file.path());
        program
            .env("FAKETIME_FAKEPID", "7")
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        program
    }
}

/// Starts an import from a pipe that has only half of its input, and waits until it is at it.
fn half_imported(watch: &Settable, base: &Path) -> (std::process::Child, Vec<u8>) {
    let bundle = fs::read(base.join("bundle.tar")).expect("it is there");
    let mut import = watch.program("import - @/target --tag 1=app", base);
    let mut import = import.stdin(Stdio::piped()).spawn().expect("it can be started");
    let half = bundle.len() / 2;
    import.stdin.as_mut().expect("it is a pipe").write_all(&bundle[..half]).expect("it reads");
    let staging = base.join("target/.ocistow/staging");
    let patience = Instant::now() + Duration::from_secs(60);
    while fs::read_dir(&staging).map_or(0, |staged| staged.count()) == 0 {
        assert!(Instant::now() < patience, "it never starts");
        thread::sleep(Duration::from_millis(5));
    }
    (import, bundle[half..].to_vec())
}

#[test]
fn a_clock_that_jumps_under_running_programs_changes_nothing_of_what_they_do() {
    let Some(faketime) = Peer::find("faketime") else { return };
    let change = Change::of("import @/bundle.tar @/target --tag 1=app", "import @/bundle.tar @/target --tag 1=app");
    // Who waits ends when he said he would, not when the clock says so.
    for (from, to, patience, code) in [
        ("+0", "-30y", "1500ms", 1),
        ("-30y", "+30y", "1h", 0),
        ("+2h", "@1960-01-01 00:00:00", "1500ms", 1),
        ("@1960-01-01 00:00:00", "+0", "1h", 0),
    ] {
        let base = change.stage();
        let watch = Settable::of(&faketime, from);
        let (mut import, rest) = half_imported(&watch, base.path());
        let wait = format!("gc @/target --grace 0 --lock-timeout {patience}");
        let mut gc = watch.program(&wait, base.path()).spawn().expect("it can be started");
        let mut said = String::new();
        BufReader::new(gc.stderr.take().expect("it is a pipe")).read_line(&mut said).expect("it is text");
        assert!(said.starts_with("warning: waiting for another ocistow"), "{from}, {to}: {said}");
        watch.set(to);
        let early = if code == 0 { None } else { gc.wait().expect("it was started").code() };
        thread::sleep(OLDER);
        import.stdin.take().expect("it is a pipe").write_all(&rest).expect("it reads");
        let ended = Ended::of(&import.wait_with_output().expect("it was started"), base.path());
        assert_eq!(ended.code, 0, "{from}, {to}: {}", ended.err);
        let gc = early.or_else(|| gc.wait().expect("it was started").code());
        assert_eq!(gc, Some(code), "{from}, {to}");
        change.judge(base.path(), &ended, &format!("{from}, then {to}"));
    }
}

/// In containers everybody may be process 1, and a clock that was never set may stand where it stood for the other.
#[test]
fn two_writers_of_one_process_id_at_one_moment_are_two() {
    let Some(faketime) = Peer::find("faketime") else { return };
    let change = Change::of("import @/bundle.tar @/target --tag 1=app", "import @/bundle.tar @/target --tag 1=app");
    let base = change.stage();
    let watch = Settable::of(&faketime, "1960-01-01 00:00:00");
    let (mut import, rest) = half_imported(&watch, base.path());
    let tag = watch.program("tag @/target:late later", base.path()).output();
    let tag = Ended::of(&tag.expect("it can be started"), base.path());
    assert_eq!(tag.code, 0, "{}", tag.err);
    import.stdin.take().expect("it is a pipe").write_all(&rest).expect("it reads");
    let ended = Ended::of(&import.wait_with_output().expect("it was started"), base.path());
    assert_eq!(ended.code, 0, "{}", ended.err);
}

/// The clock of the disk was put back, or forward, after everything on it was written.
#[test]
fn files_from_the_future_and_from_before_1970_are_looked_at_and_swept_as_any_others() {
    for (day, young) in [("20360101", true), ("19600101", false)] {
        let Some(_unshare) = Peer::find_for_disks() else { return };
        let (Some(_), Some(_)) = (Peer::find("mke2fs"), Peer::find("debugfs")) else { return };
        let (base, drawing) = many();
        let [ours, them] = ["ours", "them"].map(|word| drawing.digest(word));
        clone(crowded().path(), base.path());
        done("init @/lay", base.path());
        let script = format!(
            r#"
            mkdir disk; mv target lay disk/
            mke2fs -q -t ext4 -d disk image 32M
            find disk -mindepth 1 -printf "set_inode_field /%P ctime {day}\n" >times
            debugfs -w -f times image >/dev/null 2>&1
            mount -o loop image disk
            test "$(stat -c %z disk/lay/index.json | cut -c-4)" = {year}
            has() {{ ocistow discover disk/lay:$1 >told; grep -q $2 told; }}
            lacks() {{ ocistow discover disk/lay:$1 >told; test -z "$(grep $2 told)"; }}
            has one {ours}; has one {ours}; lacks two {them}
            test -e disk/lay/.ocistow/graph/head
            sed s/{ours}/{them}/ disk/lay/index.json >index.json
            cat index.json >disk/lay/index.json; touch -d @0 disk/lay/index.json
            has two {them}; lacks one {ours}
            ocistow tag disk/lay:two new; has new {them}
            ocistow gc disk/target --dry-run --format json >dry.json
            ocistow gc disk/target --format json >gc.json
            ocistow fsck disk/target -q; ocistow fsck disk/lay -q"#,
            year = &day[..4]
        );
        shell(base.path(), &format!("HOME=/nonexistent unshare -m sh -euc '{script}'")).ended(0);
        for answer in ["dry.json", "gc.json"] {
            let told: Value =
                serde_json::from_slice(&fs::read(base.path().join(answer)).expect("it is there")).expect("it is JSON");
            let (removed, kept) = (&told["removed"]["blobs"], &told["kept"]["young"]);
            assert_eq!((removed == 0, kept != 0), (young, young), "{day}, {answer}: {told}");
        }
    }
}
