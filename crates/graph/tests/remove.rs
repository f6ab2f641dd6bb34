//! What removing takes away, what it leaves, and what it refuses.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use ocistow_graph::remove::{Removal, remove, unneeded};
use ocistow_graph::{Asked, Graph, Load};
use ocistow_layout::edit::apply;
use ocistow_layout::index::IndexFile;
use ocistow_layout::memory::Memory;
use ocistow_layout::{Error, Kind, Unwatched};
use ocistow_testkit::{Drawing, draw};

const SCAN: Load = Load { threads: 1, scan_blobs: true };

/// What is asked for: `name`, or `@word` for a drawn thing by its digest.
fn asked(world: &Drawing, name: &str) -> Asked {
    match name.split_once('@') {
        Some(("", word)) => Asked::Digest(world.digest(word)),
        Some((name, word)) => Asked::Name(name.into(), Some(world.digest(word))),
        None => Asked::Name(name.into(), None),
    }
}

fn removal(world: &Drawing, names: &[&str], referrers: bool) -> Result<Removal, Error> {
    let asked: Vec<Asked> = names.iter().map(|name| asked(world, name)).collect();
    remove(&Graph::load(&world.memory, SCAN, &Unwatched)?, &world.memory, &asked, referrers)
}

/// The layout after a removal.
fn after(world: &Drawing, removal: &Removal) -> Memory {
    let mut after = world.memory.clone();
    after.index = apply(&world.index(), &removal.edits).unwrap();
    for (digest, bytes) in &removal.made {
        assert_eq!(after.add(bytes.clone()), *digest);
    }
    for digest in &removal.removed {
        after.blobs.remove(digest);
    }
    after
}

/// `word=tag` of each entry that is left, lists of referrers with what they list.
fn entries(world: &Drawing, layout: &Memory) -> String {
    let index = IndexFile::parse(layout.index.clone()).unwrap();
    let graph = Graph::load(layout, SCAN, &Unwatched).unwrap();
    let mut words: Vec<String> = Vec::new();
    for (place, entry) in index.entries().iter().enumerate() {
        let digest = &entry.descriptor(place).unwrap().digest;
        let tag = entry.pair.tag().unwrap_or_default();
        match graph.lists().iter().any(|list| list.place == place) {
            true => {
                let list = graph.facts(digest).unwrap();
                words.push(format!("[{}]", world.words(list.children().map(|child| &child.digest))));
            }
            false => words.push(format!("{}={}", world.word(digest), &tag[..tag.len().min(7)])),
        }
    }
    words.join(" ")
}

/// What goes, and the entries that are left.
#[track_caller]
fn expect(text: &str, names: &[&str], referrers: bool, removed: &str, left: &str) {
    let world = draw(text);
    let removal = removal(&world, names, referrers).unwrap_or_else(|why| panic!("{}", why.chain()));
    assert_eq!(world.words(&removal.removed), removed);
    let after = after(&world, &removal);
    assert_eq!(entries(&world, &after), left);
}

#[track_caller]
fn refused(text: &str, names: &[&str]) -> (Kind, String) {
    let why = removal(&draw(text), names, false).unwrap_err();
    (why.kind(), why.chain())
}

/// Referrers of what stays that only the index listed: gc keeps them, but who looks for them would find them no more.
#[test]
fn referrers_stay_where_they_are_found_when_an_index_goes_that_listed_them() {
    let text = "image app:1 = base\nimage other = base
                refer sig -> app : application/x.sig\nrefer note -> sig : application/x.note
                refer stale -> other : application/x.sig
                index all:2 = other, sig, note, stale";
    expect(text, &["2"], false, "all", "app=1 sig= note=");
    expect(text, &["2"], true, "all", "app=1 sig= note=");
}

#[test]
fn a_manifest_goes_with_its_last_name() {
    let text = "image app:1 = base\ntag app as 1.0\nimage other:2 = base";
    expect(text, &["1"], false, "", "app=1.0 other=2");
    expect(text, &["1", "1.0"], false, "app", "other=2");
    expect(text, &["@app"], false, "app", "other=2");
    expect(text, &["1@app"], false, "", "app=1.0 other=2");
    expect(text, &["1", "1"], false, "", "app=1.0 other=2");
}

#[test]
fn names_are_not_guessed_at() {
    let text = "image app = base\nname app as example.org/team/app:1\nimage two:x = base\nimage three:x = base";
    expect(text, &["example.org/team/app:1"], false, "app", "two=x three=x");
    assert_eq!(refused(text, &["1"]).0, Kind::NotFound);
    assert_eq!(refused(text, &["x"]).0, Kind::Usage);
    assert_eq!(refused(text, &["example.org/team/app:1@two"]).0, Kind::Integrity);
    let world = draw(&format!("{text}\nghost gone"));
    assert_eq!(removal(&world, &["@gone"], false).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(
        removal(&world, &["@two"], false).unwrap().removed,
        [world.digest("two")],
        "a digest is never ambiguous"
    );
}

#[test]
fn what_a_manifest_that_stays_has_as_a_part_loses_only_its_name() {
    let text = "image amd:amd = base [linux/amd64]
         image arm = base [linux/arm64]
         index app:1 = amd, arm";
    expect(text, &["amd"], false, "", "app=1 amd=");
    let (kind, why) = refused(text, &["@amd"]);
    assert_eq!(kind, Kind::Failed);
    assert!(why.ends_with("it is a part of memory:1"), "{why}");
    assert_eq!(refused(text, &["@base"]).0, Kind::Failed, "a layer is a part too");
    // Not once that goes as well.
    expect(text, &["@amd", "1"], false, "amd app", "");
    expect(text, &["amd", "1"], false, "amd app", "");
}

#[test]
fn holders_are_told_by_name_or_digest() {
    let text = "image amd = base
         index inner = amd
         index outer:1 = inner
         index loose = amd {a=b}
         index dead = amd {c=d}
         hidden dead";
    let world = draw(text);
    let why = removal(&world, &["@amd"], false).unwrap_err().chain();
    for holder in ["inner", "loose"] {
        assert!(why.contains(&format!("memory@{}", world.digest(holder))), "{holder}: {why}");
    }
    assert!(!why.contains(&world.digest("dead").to_string()), "what nothing reaches holds nothing: {why}");
}

#[test]
fn referrers_stay_unless_they_are_asked_for() {
    let text = "image app:1 = base
         refer sbom -> app : application/x.sbom
         refer sig -> sbom : application/x.sig
         refer kept:keep -> app : application/x.note
         containerd old -> app : application/x.old
         cosign app.sig
         refer hid -> app : application/x.hid
         hidden hid
         image other:2 = base
         refer note -> other : application/x.note";
    expect(text, &["1"], false, "app", "sbom= sig= kept=keep old= app.sig=sha256- other=2 note=");
    expect(text, &["1"], true, "app app.sig hid kept old sbom sig", "other=2 note=");
}

/// REFERRERS-16
#[test]
fn lists_lose_what_is_removed_and_go_when_nothing_is_left() {
    let text = "image app:1 = base
         refer sbom -> app : application/x.sbom
         refer sig -> app : application/x.sig
         image other = base
         fallback app = sbom, sig
         olareg app = sig";
    expect(text, &["@sig"], false, "app.fallback app.olareg sig", "app=1 other= [sbom]");
    expect(text, &["@sig", "@sbom"], false, "app.fallback app.olareg sbom sig", "app=1 other=");
    expect(text, &["1"], false, "app", "other= [sbom sig] [sig]");
    expect(text, &["1"], true, "app app.fallback app.olareg sbom sig", "other=");
}

#[test]
fn a_list_that_is_rewritten_keeps_what_it_says_of_the_others() {
    let world = draw(
        "image app:1 = base
         refer sbom -> app : application/x.sbom {by=me}
         refer sig -> app : application/x.sig
         fallback app = sbom, sig",
    );
    let removal = removal(&world, &["@sig"], false).unwrap();
    let made = String::from_utf8(removal.made.values().next().unwrap().clone()).unwrap();
    let old = String::from_utf8(world.memory.blobs[&world.digest("app.fallback")].clone()).unwrap();
    let sbom = old.split_once("\"manifests\":[").unwrap().1.split_once(",{").unwrap().0;
    assert!(made.contains(sbom) && made.contains("\"by\":\"me\""), "{made}");
}

#[test]
fn a_list_under_one_name_twice_becomes_one() {
    let mut world = draw(
        "image app:1 = base
         refer a -> app : application/x.a
         refer b -> app : application/x.b
         refer c -> app : application/x.c
         fallback app = a, b
         olareg app = b, c",
    );
    // The list of olareg under the fallback tag too.
    let tag = format!("\"org.opencontainers.image.ref.name\":\"{}\"", world.digest("app").fallback_tag());
    let index = String::from_utf8(world.memory.index.clone()).unwrap();
    let said = format!("\"org.olareg.referrer.subject\":\"{}\"", world.digest("app"));
    world.memory.index = index.replace(&said, &tag).into_bytes();
    let removal = removal(&world, &["@b"], false).unwrap();
    assert_eq!(entries(&world, &after(&world, &removal)), "app=1 [a c]");
}

#[test]
fn a_referrer_that_something_else_needs_stays() {
    let text = "image app:1 = base
         refer sig -> app : application/x.sig
         index set:2 = sig";
    expect(text, &["1"], true, "app", "set=2");
    let world = draw(text);
    let removal = removal(&world, &["1"], true).unwrap();
    assert_eq!(world.words(&removal.left), "sig");
}

#[test]
fn a_referrer_of_two_goes_with_the_second() {
    let mut world = draw("image one:1 = base\nimage two:2 = base\ncosign one.sbom");
    // The same SBOM under the tag of the other image.
    let (one, two) = (world.digest("one").fallback_tag(), world.digest("two").fallback_tag());
    let index = String::from_utf8(world.memory.index.clone()).unwrap();
    let list = index.split_once("\"manifests\":[").unwrap().1.rsplit_once("]}").unwrap().0;
    let entry = format!("{{{}", list.rsplit_once(",{").unwrap().1);
    let both = format!("{list},{}", entry.replace(&one, &two));
    world.memory.index = index.replace(list, &both).into_bytes();
    let first = removal(&world, &["1"], true).unwrap();
    assert_eq!(world.words(&first.removed), "one");
    world.memory = after(&world, &first);
    assert_eq!(entries(&world, &world.memory), "two=2 one.sbom=sha256-");
    let second = removal(&world, &["2"], true).unwrap();
    assert_eq!(world.words(&second.removed), "one.sbom two");
}

#[test]
fn a_list_can_be_removed_by_its_tag() {
    let world = draw(
        "image app:1 = base
         refer sig -> app : application/x.sig
         fallback app = sig",
    );
    let tag = world.digest("app").fallback_tag();
    let removal = removal(&world, &[&tag], false).unwrap();
    assert_eq!(world.words(&removal.removed), "app.fallback");
    // What it listed was not named, and is still found.
    assert_eq!(entries(&world, &after(&world, &removal)), "app=1 sig=");
}

#[test]
fn wholes_are_removed_before_their_parts() {
    let world = draw("image amd:amd = base\nindex app:1 = amd\nindex outer:2 = app");
    let removal = removal(&world, &["amd", "2", "1"], false).unwrap();
    assert_eq!(removal.removed, ["outer", "app", "amd"].map(|name| world.digest(name)));
}

#[test]
fn a_broken_manifest_can_be_removed_and_stops_the_removal_of_others() {
    let text = "image app:1 = base\nimage other:2 = base\ndamage other";
    expect_removed(text, &["2"], "other");
    expect_removed(text, &["1", "@other"], "app other");
    let (kind, why) = refused(text, &["1"]);
    assert_eq!(kind, Kind::Integrity, "it may need that: {why}");
    // Nothing is deleted where only a name goes.
    expect_removed(&format!("{text}\ntag app as 1.0"), &["1"], "");
}

#[track_caller]
fn expect_removed(text: &str, names: &[&str], removed: &str) {
    let world = draw(text);
    assert_eq!(world.words(&removal(&world, names, false).unwrap().removed), removed);
}

#[test]
fn what_is_absent_or_no_manifest_is_removed_too() {
    let text = "ghost gone\nentry gone\nfile opaque\nentry opaque\nfile crumb\nimage app:1 = base";
    expect(text, &["@gone"], false, "gone", "opaque= app=1");
    expect(text, &["@opaque"], false, "opaque", "gone= app=1");
    expect(text, &["@crumb"], false, "crumb", "gone= opaque= app=1");
}

/// Whoever changed index.json after the decision may need a blob in any way: as a manifest, as a layer, in a list.
#[test]
fn what_any_entry_leads_to_is_needed_still() {
    let world =
        draw("image app:1 = base, top\nrefer sig -> app : application/x.sig\nfallback app = sig\nindex all:2 = app");
    let graph = Graph::load(&world.memory, SCAN, &Unwatched).unwrap();
    let all = ["app", "base", "top", "sig", "all"].map(|word| world.digest(word));
    let absent = ocistow_layout::Digest::of(b"nothing has this");
    let asked: Vec<_> = all.iter().cloned().chain([absent.clone()]).collect();
    assert_eq!(unneeded(&graph, &asked).unwrap(), [absent]);
}
