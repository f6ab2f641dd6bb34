//! Edits of index.json: what nobody touched keeps its bytes.

#![allow(clippy::unwrap_used)]

use ocistow_layout::edit::{Edit, apply};
use ocistow_layout::name::{Pair, Steps, look_up};
use ocistow_layout::{Descriptor, Digest, IndexFile, Kind};

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn index(text: &str) -> IndexFile {
    IndexFile::parse(text.as_bytes().to_vec()).unwrap_or_else(|why| panic!("{}", why.chain()))
}

fn entry(digest: &str) -> Box<Descriptor> {
    Box::new(Descriptor::new("text/plain", digest.parse().unwrap(), 1))
}

fn name(reference: &str, digest: &str) -> Edit {
    Edit::Name { entry: entry(digest), reference: reference.into() }
}

fn edited(text: &str, edits: &[Edit]) -> String {
    String::from_utf8(apply(&index(text), edits).unwrap_or_else(|why| panic!("{}", why.chain()))).unwrap()
}

fn refused(text: &str, edit: Edit) -> Kind {
    apply(&index(text), &[edit]).expect_err("it should be refused").kind()
}

/// An entry as it is written compactly.
fn e(digest: &str, annotations: &str) -> String {
    let annotations =
        if annotations.is_empty() { String::new() } else { format!(",\"annotations\":{{{annotations}}}") };
    format!("{{\"mediaType\":\"text/plain\",\"digest\":\"{digest}\",\"size\":1{annotations}}}")
}

fn r(name: &str) -> String {
    format!("\"org.opencontainers.image.ref.name\":\"{name}\"")
}

fn i(name: &str) -> String {
    format!("\"io.containerd.image.name\":\"{name}\"")
}

fn top(entries: &[String]) -> String {
    format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{}]}}",
        entries.join(",")
    )
}

/// DESCRIPTOR-14, LAYOUT-13: unknown members, odd spelling and white space of everything else survive.
#[test]
fn untouched_text_keeps_its_bytes() {
    let before = format!(
        "{{ \"x\" : [1.50, null],\n  \"schemaVersion\": 2,\n  \"mediaType\": \"application/vnd.oci.image.index.v1+json\",\n  \"manifests\": [\n    {{\"size\":1,  \"digest\":\"{A}\",\"mediaType\":\"text/plain\",\"new\":{{\"deep\":1e3}}, \"annotations\":{{{}}} }}\n  ],\n  \"annotations\": {{\"k\":\"v\"}}\n}}\n",
        r("v1")
    );
    let after = edited(&before, &[name("v2", B)]);
    let added = format!(",\n    {}\n  ],", e(B, &r("v2")));
    assert_eq!(after, before.replacen("\n  ],", &added, 1));
    assert_eq!(edited(&after, &[Edit::Unname { reference: "v2".into(), keep: false }]), before);
}

#[test]
fn a_name_moves_and_keeps_its_spelling() {
    let both = format!("{},{}", i("docker.io/library/app:v1"), r("v1"));
    let before = top(&[e(A, &both), e(B, &r("other"))]);
    assert_eq!(edited(&before, &[name("v1", B)]), top(&[e(B, &both), e(B, &r("other"))]));
    assert_eq!(edited(&before, &[name("docker.io/library/app:v1", B)]), top(&[e(B, &both), e(B, &r("other"))]));
}

/// 4.1: a full name is stored as its tag, with the full name beside it.
#[test]
fn a_full_name_is_split() {
    let after = edited(&top(&[]), &[name("host/app:v1", A)]);
    assert_eq!(after, top(&[e(A, &format!("{},{}", i("host/app:v1"), r("v1")))]));
}

/// 4.2: entries with one name and different digests are never decided by us.
#[test]
fn an_ambiguous_name_is_refused() {
    let before = top(&[e(A, &r("v1")), e(B, &r("v1"))]);
    assert_eq!(refused(&before, name("v1", A)), Kind::Usage);
    assert_eq!(refused(&before, Edit::Unname { reference: "v1".into(), keep: false }), Kind::Usage);
    assert_eq!(refused(&before, Edit::Unname { reference: "nope".into(), keep: false }), Kind::NotFound);
}

#[test]
fn a_set_replaces_only_the_same_pair() {
    let (first, second) = (format!("{},{}", i("h/a:1"), r("1")), format!("{},{}", i("h/b:1"), r("1")));
    let before = top(&[e(A, &first), e(A, &second)]);
    let set = |image: &str| Edit::Set {
        entry: entry(B),
        pair: Pair { image: Some(image.into()), reference: Some("1".into()) },
        expect: None,
    };
    assert_eq!(edited(&before, &[set("h/b:1")]), top(&[e(A, &first), e(B, &second)]));
    assert_eq!(edited(&top(&[e(A, &r("h/b:1"))]), &[set("h/b:1")]), top(&[e(B, &r("h/b:1"))]));
}

#[test]
fn a_set_that_expected_something_else_is_a_conflict() {
    let before = top(&[e(A, &r("v1"))]);
    let pair = Pair { image: None, reference: Some("v1".into()) };
    let set = |expect: Option<&str>| Edit::Set {
        entry: entry(B),
        pair: pair.clone(),
        expect: Some(expect.map(|digest| digest.parse::<Digest>().unwrap())),
    };
    assert_eq!(refused(&before, set(Some(B))), Kind::Conflict);
    assert_eq!(refused(&before, set(None)), Kind::Conflict);
    assert_eq!(edited(&before, &[set(Some(A))]), top(&[e(B, &r("v1"))]));
}

#[test]
fn a_referrer_that_loses_its_last_name_stays_untagged() {
    let before = top(&[e(A, &r("sig")), e(A, &r("also"))]);
    let unname = |reference: &str| Edit::Unname { reference: reference.into(), keep: true };
    assert_eq!(edited(&before, &[unname("sig")]), top(&[e(A, &r("also"))]));
    assert_eq!(edited(&before, &[unname("sig"), unname("also")]), top(&[e(A, "")]));
}

#[test]
fn an_untagged_entry_is_added_once() {
    let add = || Edit::Add { entry: entry(A) };
    assert_eq!(edited(&top(&[]), &[add(), add()]), top(&[e(A, "")]));
    assert_eq!(edited(&top(&[e(A, &r("v1"))]), &[add()]), top(&[e(A, &r("v1"))]));
}

/// 4.6, 4.7: what others leave out is put right by the first edit, and only then.
#[test]
fn null_lists_and_missing_media_types_are_mended() {
    let mended = "{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"schemaVersion\":2,\"manifests\":";
    for before in ["{\"schemaVersion\":2,\"manifests\":null}", "{\"schemaVersion\":2,\"manifests\":[]}"] {
        assert_eq!(edited(before, &[name("v1", A)]), format!("{mended}[{}]}}", e(A, &r("v1"))));
        assert_eq!(edited(before, &[]), format!("{mended}[]}}"));
    }
    assert!(edited("{\"schemaVersion\":2}", &[name("v1", A)]).contains(&e(A, &r("v1"))));
    assert!(edited("{}", &[]).contains("\"manifests\":[]"));
}

/// cli.md, Bundles: the two keys never stay in a directory we change.
#[test]
fn the_annotations_of_a_bundle_go() {
    let before = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{}],\"annotations\":{{\"io.ocistow.carries\":\"1 1 sha256:x\",\"k\":\"v\"}}}}",
        e(A, "")
    );
    assert!(edited(&before, &[name("v1", A)]).ends_with("\"annotations\":{\"k\":\"v\"}}"));
}

#[test]
fn entries_leave_from_every_place() {
    let entries = [e(A, &r("a")), e(B, &r("b")), e(A, &r("c"))];
    for spaced in [false, true] {
        let text = |which: &[&String]| {
            let list: Vec<String> = which.iter().map(|entry| (*entry).clone()).collect();
            if spaced { top(&list).replace("},{\"media", "},\n {\"media") } else { top(&list) }
        };
        let all = text(&[&entries[0], &entries[1], &entries[2]]);
        let unname = |name: &str| Edit::Unname { reference: name.into(), keep: false };
        assert_eq!(edited(&all, &[unname("a")]), text(&[&entries[1], &entries[2]]));
        assert_eq!(edited(&all, &[unname("b")]), text(&[&entries[0], &entries[2]]));
        assert_eq!(edited(&all, &[unname("c")]), text(&[&entries[0], &entries[1]]));
        assert_eq!(edited(&all, &[unname("a"), unname("b"), unname("c")]), top(&[]));
        assert_eq!(edited(&all, &[unname("c"), name("c", A)]), all);
    }
}

/// 4.1: the steps of a look-up, the first with a hit wins.
#[test]
fn references_are_looked_up_in_steps() {
    let layout = index(&top(&[
        e(A, &r("v1")),
        e(B, &format!("{},{}", i("docker.io/library/app:v2"), r("v2"))),
        e(B, &r("host/a/b:v3")),
        e(A, &r("host/other:v3")),
    ]));
    let find = |reference: &str| look_up(&layout, reference, Steps::Find);
    assert_eq!(find("v1"), [0]);
    assert_eq!(find("app:v2"), [1]);
    assert_eq!(find("docker.io/library/app:v2"), [1]);
    assert_eq!(find("v3"), [2, 3]);
    assert_eq!(find("nope"), [0; 0]);
    assert_eq!(look_up(&layout, "v3", Steps::Exact), [0; 0]);
}

/// INDEX-1, MANIFEST-15, MANIFEST-20 and friends.
#[test]
fn what_is_no_index_is_refused() {
    for bad in [
        "",
        "[]",
        "nonsense",
        "{\"manifests\":{}}",
        "{\"manifests\":[]} {\"x\":1}",
        "{\"manifests\":[],\"layers\":[]}",
        "{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[],\"config\":{}}",
        "\u{feff}{\"manifests\":[]}",
        &format!("{{\"x\":{}1{}}}", "[".repeat(70), "]".repeat(70)),
        &"[".repeat(1_000_000),
    ] {
        let refused = IndexFile::parse(bad.as_bytes().to_vec()).map(drop).expect_err(bad);
        assert_eq!(refused.kind(), Kind::Integrity, "{bad}");
    }
    assert!(IndexFile::parse(vec![0xFF, 0xFE]).is_err());
}

/// B.1, DESCRIPTOR-1, DESCRIPTOR-3, MANIFEST-18: an entry that is no descriptor is kept, and named by its place.
#[test]
fn hostile_entries_are_kept_and_named() {
    for bad in [
        "{\"mediaType\":\"a/b\",\"digest\":\"sha256:../../etc/passwd\",\"size\":1}",
        "{\"mediaType\":\"a/b\",\"digest\":\"sha256:aa\",\"size\":1}",
        &format!("{{\"mediaType\":\"a/b\",\"digest\":\"{A}\",\"size\":-1}}"),
        &format!("{{\"mediaType\":\"a/b\",\"digest\":\"{A}\",\"size\":1.5}}"),
        &format!("{{\"mediaType\":\"a/b\",\"digest\":\"{A}\",\"size\":9223372036854775808}}"),
        &format!("{{\"digest\":\"{A}\",\"size\":1}}"),
        &format!("{{\"mediaType\":\"a/b\",\"digest\":\"{B}\",\"size\":1,\"digest\":\"{A}\"}}"),
        &format!("{{\"mediaType\":\"a/b\",\"digest\":\"{A}\",\"size\":1,\"annotations\":{{}},\"annotations\":{{}}}}"),
        "3",
        "null",
    ] {
        let layout = index(&top(&[e(A, &r("v1")), bad.to_owned()]));
        let why = layout.descriptors().expect_err(bad);
        assert_eq!(why.kind(), Kind::Integrity);
        assert!(why.to_string().contains("entry 1"), "{why}");
        let after = apply(&layout, &[name("v2", B)]).unwrap();
        assert!(String::from_utf8(after).unwrap().contains(bad), "{bad} is kept");
    }
}

/// DESCRIPTOR-1: each that is required is missed by its name, in the entry that lacks it.
#[test]
fn what_an_entry_lacks_is_named() {
    let members = [("mediaType", "\"a/b\"".to_owned()), ("digest", format!("\"{A}\"")), ("size", "1".to_owned())];
    for (lacking, _) in &members {
        for null in [false, true] {
            let pairs = members.iter().filter(|(name, _)| null || name != lacking).map(|(name, value)| {
                let value = if name == lacking { "null" } else { value };
                format!("\"{name}\":{value}")
            });
            let entry = format!("{{{}}}", pairs.collect::<Vec<_>>().join(","));
            let why = index(&top(&[e(A, &r("v1")), entry])).descriptors().expect_err(lacking).chain();
            assert!(why.contains("entry 1") && why.ends_with(&format!("the descriptor has no {lacking}")), "{why}");
        }
    }
}

/// A name that went is free for what comes.
#[test]
fn edits_are_made_one_after_the_other() {
    let before = top(&[e(A, &r("v1"))]);
    let unname = || Edit::Unname { reference: "v1".into(), keep: true };
    let set =
        || Edit::Set { entry: entry(B), pair: Pair { image: None, reference: Some("v1".into()) }, expect: Some(None) };
    assert_eq!(edited(&before, &[unname(), set()]), top(&[e(A, ""), e(B, &r("v1"))]));
    assert_eq!(edited(&before, &[name("v2", B), name("v2", A)]), top(&[e(A, &r("v1")), e(A, &r("v2"))]));
    assert_eq!(refused(&before, set()), Kind::Conflict);
}

#[test]
fn a_hundred_thousand_edits_are_made_at_once() {
    let digest = |n: usize| format!("sha256:{n:064x}");
    let edits: Vec<Edit> = (0..100_000)
        .map(|n| match n % 2 {
            0 => Edit::Add { entry: entry(&digest(n)) },
            _ => Edit::Set {
                entry: entry(&digest(n)),
                pair: Pair { image: None, reference: Some(format!("t{n}")) },
                expect: Some(None),
            },
        })
        .collect();
    let after = index(&edited(&top(&[]), &edits));
    assert_eq!(after.entries().len(), 100_000);
}

/// MANIFEST-18: parsers do not agree on which of two members of one name counts.
#[test]
fn two_lists_of_manifests_are_refused() {
    for (text, right) in [
        (r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#, false),
        (r#"{"schemaVersion":2,"manifests":null,"a":1,"a":1,"manifests":[]}"#, false),
        (r#"{"schemaVersion":2,"manifests":[],"a":1,"a":1}"#, true),
    ] {
        assert_eq!(IndexFile::parse(text.into()).is_ok(), right, "{text}");
    }
}
