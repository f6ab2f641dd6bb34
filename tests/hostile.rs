//! Layouts of enemies go through the program under a limit of memory and of time: they are answered or refused, and
//! nothing else.

use std::fs;

use ocistow_layout::memory::Memory;
use ocistow_testkit::hostile::*;
use ocistow_testkit::{to_dir, to_tar};

use crate::run::ocistow_within;

/// The memory that the program may take beside what documents need.
const ROOM: u64 = 64 << 20;
/// What it may take for each byte of index.json and manifests: what is understood of an entry of index.json is larger
/// than its text, and an import has several of each.
const ROOM_A_BYTE: u64 = 10;
/// The seconds of a processor that a command may take: what grows with the square of a layout takes longer.
const SECONDS: u64 = if cfg!(debug_assertions) { 60 } else { 10 };

/// Names of one list, and entries with names, of which a command that has all of them in hand for each does not end in
/// that time.
const LISTED: usize = if cfg!(debug_assertions) { 4000 } else { 20_000 };
const NAMED: usize = if cfg!(debug_assertions) { 20_000 } else { 100_000 };

/// What is asked of every layout. `@` is the layout, `#` a place to write to.
const LINES: [&str; 22] = [
    "ls --all @",
    "show @:v1",
    "resolve @:v1",
    "resolve @:v1 --platform linux/amd64",
    "discover @:v1",
    "discover @:v1 --format json",
    "discover @:v1 --format tree --all-platforms -v",
    "fsck @ --format json",
    "plan @ --format json",
    "plan @:v1",
    "plan @:v1 --platform linux/amd64",
    "plan @ --platform linux/amd64",
    "du @ -v",
    "diff @:v1 @:v1 --format json",
    "export @ -o #x.tar",
    "import #x.tar #in",
    "import @ #in",
    "import @ #in",
    "copy @:v1 #copy:v1",
    "export #x.tar -o #out",
    "fsck #x.tar",
    "diff @ #x.tar -v",
];

/// What is done to every layout then, in this order.
const CHANGES: [&str; 9] = [
    "tag @:v1 one two",
    "untag @:one",
    "rm @:two",
    "attach @:v1 --artifact-type application/x.note #note --title note",
    "convert @:v1 converted",
    "convert @:v1 docker --to docker",
    "rm @:v1 --referrers",
    "gc @ --grace 0 --prune",
    "import #x.tar @",
];

/// Asks everything of the layout as a directory, and what only looks of it as an archive too, and
/// then changes the directory. `codes`: how lines that start so end, the first of them; others end with 0.
#[track_caller]
fn survives(layout: &Memory, codes: &[(&str, i32)]) {
    let space = tempfile::tempdir().expect("there is room");
    let path = |name: &str| space.path().join(name).to_str().expect("it is UTF-8").to_owned();
    to_dir(layout, path("dir")).expect("there is room");
    fs::write(path("tar"), to_tar(layout)).expect("there is room");
    let documents = layout.index.len() + layout.blobs.values().map(Vec::len).sum::<usize>();
    let memory = |read: u64| ROOM + ROOM_A_BYTE * documents as u64 * read;
    fs::write(path("note"), "note").expect("there is room");
    let refused = codes.iter().any(|(start, _)| *start == "export");
    let lines = LINES.iter().chain(&CHANGES);
    for line in lines.filter(|line| !refused || line.contains('@') && !line.contains("#x.tar")) {
        let places: &[&str] = if line.contains('#') || CHANGES.contains(line) { &["dir"] } else { &["dir", "tar"] };
        for place in places {
            let words = line.split(' ').map(|word| match word.strip_prefix('#') {
                Some(name) => path(name),
                None => word.replace('@', &path(place)),
            });
            // What comes into a layout is read beside what that has then.
            let read = if line.starts_with("import") { 2 } else { 1 };
            let ran = ocistow_within(memory(read), SECONDS, words);
            let code = codes.iter().find(|(start, _)| line.starts_with(start)).map_or(0, |(_, code)| *code);
            // Enemies make long messages.
            let said: String = ran.err.chars().take(1000).collect();
            assert_eq!(ran.code, code, "{line}, {documents} bytes as {place}: {said}");
            if line.contains("json") {
                ran.json();
            }
        }
    }
    assert_eq!(fs::exists(path("x.tar")).expect("it can be asked"), !refused, "what was refused was written");
}

/// All that changes what `v1` is, or takes it along.
const OF_V1: [&str; 5] = ["copy", "tag", "attach", "convert", "rm @:v1"];
/// What takes its other names away, where it got none.
const OF_OTHERS: [&str; 2] = ["untag", "rm @:two"];

fn all<const N: usize>(starts: [&'static str; N], code: i32) -> [(&'static str, i32); N] {
    starts.map(|start| (start, code))
}

fn ambiguous() -> Vec<(&'static str, i32)> {
    let named = all(["show", "resolve", "discover", "plan @:v1", "diff @:v1"], 2);
    [&named[..], &all(OF_V1, 2), &all(OF_OTHERS, 3)].concat()
}

#[test]
fn a_tag_that_stands_many_times_is_ambiguous_and_carried() {
    survives(&one_tag(1000), &ambiguous());
}

#[test]
fn null_is_an_empty_list() {
    survives(&nulls(), &[("plan @ --platform", 3)]);
    let none = all(["show", "resolve", "discover", "plan", "diff @:v1", "export", "import"], 3);
    survives(&null_index(), &[&none[..], &all(OF_V1, 3), &all(OF_OTHERS, 3)].concat());
}

/// Two bytes make an entry, and five a member: neither buys more memory than its text.
#[test]
fn what_is_no_descriptor_and_what_stands_around_is_refused_where_there_is_too_much_of_it() {
    let looks = all(["ls", "show", "resolve", "discover", "fsck", "plan", "du", "diff", "export", "import", "gc"], 4);
    let refused = [&looks[..], &all(OF_V1, 4), &all(OF_OTHERS, 4)].concat();
    survives(&unfit(1_000_000), &refused);
    survives(&members(300_000), &refused);
}

#[test]
fn depth_is_no_recursion() {
    survives(&nested(3000), &[]);
    survives(&chain(3000), &[]);
    let needed = ["show", "resolve @:v1 --platform", "plan", "export", "import", "fsck", "copy", "convert"];
    let missing = all(needed, 5);
    survives(&chain_of_nothing(500), &missing);
}

#[test]
fn what_is_reached_over_many_ways_is_met_once() {
    survives(&diamonds(40), &[]);
    survives(&comb(2000, 1000), &[]);
    survives(&roots_of_one(500, 5000), &[("resolve @:v1 --platform", 3)]);
    survives(&nested_for_platforms(300), &[("resolve @:v1 --platform", 4)]);
}

#[test]
fn long_lists_are_read_and_many_about_one_subject_do_not_multiply() {
    survives(&long_list(3000), &[]);
    survives(&many_lists(1000), &[]);
    survives(&cut_tags(500), &[]);
}

/// MANIFEST-21
#[test]
fn documents_beyond_the_limits_are_refused() {
    let needed = [
        "show",
        "discover",
        "resolve @:v1 --platform",
        "fsck",
        "plan",
        "export",
        "import",
        "copy",
        "attach",
        "convert",
    ];
    let refused = all(needed, 4);
    survives(&children(100_001), &refused);
    survives(&of_length((8 << 20) + 1), &refused);
    survives(&of_depth(65), &refused);
    // As Docker's it is longer.
    survives(&of_length(8 << 20), &[("convert @:v1 docker", 1)]);
    survives(&of_depth(64), &[]);
}

/// Whatever a manifest says, its text is what is kept of it; and of what is not there only so much is told.
#[test]
fn what_many_manifests_say_takes_little_more_than_their_text() {
    let space = tempfile::tempdir().expect("there is room");
    let path = space.path().join("tar");
    for (layout, code) in [(indexes(10, 8000), 0), (layers(10, 20_000), 5)] {
        fs::write(&path, to_tar(&layout)).expect("there is room");
        let documents = layout.index.len() + layout.blobs.values().map(Vec::len).sum::<usize>();
        // Less than all commands may take: the program itself, and what is understood of one manifest.
        let memory = (ROOM >> 1) + (ROOM_A_BYTE >> 1) * documents as u64;
        for (command, code) in [("ls", 0), ("fsck", code)] {
            let words = [command.as_ref(), path.as_os_str()];
            let ran = ocistow_within(memory, SECONDS, words);
            assert_eq!(ran.code, code, "{command}, {documents} bytes: {}", ran.err);
        }
    }
}

/// A hundred lists are made of one; thousands of a longer one would take gigabytes.
#[test]
fn a_list_is_not_copied_for_any_number_of_subjects() {
    survives(&one_list_lacking(100, 300), &[]);
    survives(&one_list_lacking(200, 500), &all(["plan @ ", "export", "import"], 4));
}

#[test]
fn a_list_under_many_names_is_read_once() {
    survives(&one_list(LISTED, 1500), &[]);
    survives(&one_list_for_olareg(LISTED, 1500), &[]);
}

#[test]
fn names_are_looked_for_once_however_many_are_given() {
    let space = tempfile::tempdir().expect("there is room");
    let layout = names(NAMED);
    to_dir(&layout, space.path().join("dir")).expect("there is room");
    let path = space.path().join("dir").to_str().expect("it is UTF-8").to_owned();
    let given: Vec<String> = (0..2000).map(|n| format!("n{n}")).collect();
    for (command, place) in [("tag", "v1"), ("untag", "v1")] {
        let words = [command.to_owned(), format!("{path}:{place}")].into_iter().chain(given.iter().cloned());
        // Entries as short as these take more.
        let memory = ROOM + 2 * ROOM_A_BYTE * layout.index.len() as u64;
        let ran = ocistow_within(memory, SECONDS, words);
        assert_eq!(ran.code, 0, "{command}: {}", ran.err);
    }
}

#[test]
fn circles_of_referrers_end() {
    survives(&circle(500), &[]);
    survives(&all_of_all(40), &[]);
    survives(&attestations(500), &all(["resolve @:v1 --platform", "plan @:v1 --platform", "plan @ --platform"], 3));
}

/// The same where it hurts: a list of a hundred megabytes, twenty thousand entries of one tag, and the rest ten times
/// as large. Not for a build that checks every sum.
#[test]
#[ignore = "takes an hour unless it was built with --release"]
fn all_of_it_at_full_size() {
    survives(&long_list(500_000), &[]);
    survives(&one_tag(20_000), &ambiguous());
    survives(&chain(20_000), &[]);
    survives(&nested(20_000), &[]);
    survives(&comb(20_000, 10_000), &[]);
    survives(&roots_of_one(20_000, 100_000), &[("resolve @:v1 --platform", 3)]);
    survives(&nested_for_platforms(3000), &[("resolve @:v1 --platform", 4)]);
    survives(&many_lists(10_000), &[]);
    survives(&cut_tags(10_000), &[]);
    survives(&children(100_000), &[("resolve @:v1 --platform", 3)]);
    survives(&indexes(10, 50_000), &[("resolve @:v1 --platform", 3)]);
    let lacking = all(["plan", "export", "import", "fsck", "copy"], 5);
    survives(&layers(10, 99_000), &[&lacking[..], &all(["convert @:v1 docker"], 1)].concat());
    survives(&annotations(10, 600_000), &[]);
    survives(&one_list(20_000, 5000), &[]);
    survives(&one_list_for_olareg(20_000, 1000), &[]);
    survives(&circle(10_000), &[]);
    survives(&all_of_all(400), &[]);
    survives(&attestations(10_000), &all(["resolve @:v1 --platform", "plan @:v1 --platform", "plan @ --platform"], 3));
}
