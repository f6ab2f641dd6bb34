//! How a bundle says who refers to what.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::collections::BTreeSet;

use ocistow_graph::listed::record;
use ocistow_graph::resolve::{Asked, resolve_in};
use ocistow_graph::{Graph, Load, ReferrersAs, Request, plan};
use ocistow_layout::memory::Memory;
use ocistow_layout::{Digest, IndexFile, Unwatched};
use ocistow_testkit::draw;

/// What a bundle's entries are: words for what they name, and their tags.
fn recorded(drawing: &str, words: &str, way: ReferrersAs) -> (Vec<String>, Vec<Vec<String>>) {
    let world = draw(drawing);
    let graph = Graph::load(&world.memory, Load { threads: 1, scan_blobs: false }, &Unwatched).unwrap();
    let targets = words.split_whitespace().map(|word| {
        let asked = Asked::Digest(world.digest(word));
        resolve_in(&graph, &world.memory, &asked).unwrap()
    });
    let request = Request { targets: targets.collect(), referrers: true, ..Request::default() };
    let mut plan = plan::export(&graph, &world.memory, &request).unwrap();
    record(&mut plan, &graph, &world.memory, way);
    let bundle = IndexFile::parse(plan.bundle_index()).unwrap();
    let mut memory = Memory { index: bundle.bytes().to_vec(), ..Memory::default() };
    for blob in plan.order() {
        let bytes = plan.inline.get(&blob.digest).or_else(|| world.memory.blobs.get(&blob.digest)).unwrap();
        memory.blobs.insert(blob.digest.clone(), bytes.clone());
    }
    let after = Graph::load(&memory, Load { threads: 1, scan_blobs: false }, &Unwatched).unwrap();
    // Whatever the way, the same refers to the same.
    for edge in graph.edges().filter(|edge| memory.blobs.contains_key(&edge.referrer)) {
        assert!(after.referrers(&edge.subject).iter().any(|known| known.referrer == edge.referrer), "{way:?}");
    }
    let entries = plan.entries.iter().filter(|entry| entry.pair.tag().is_none_or(|tag| !tag.starts_with("sha256-")));
    let entries = entries.map(|entry| world.word(&entry.descriptor.digest)).collect::<BTreeSet<_>>();
    let list = |digest: &Digest| {
        let children = after.facts(digest).unwrap().into_children();
        children.map(|child| world.word(&child.digest)).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let mut lists: Vec<Vec<String>> = after.lists().iter().map(|stored| list(&stored.digest)).collect();
    lists.sort();
    (entries.into_iter().collect(), lists)
}

/// REFERRERS-13
#[test]
fn referrers_are_recorded_as_entries_as_tags_or_as_both() {
    let drawing = "image app:1 = base
                   refer sbom -> app : application/spdx+json
                   refer sig -> sbom : application/x.sig
                   refer seen -> app : application/x.note";
    let lists = || vec![vec!["sbom".to_owned(), "seen".to_owned()], vec!["sig".to_owned()]];
    let all: Vec<String> = ["app", "sbom", "seen", "sig"].map(str::to_owned).into();
    for words in ["", "app"] {
        assert_eq!(recorded(drawing, words, ReferrersAs::Entries), (all.clone(), vec![]), "{words:?}");
        assert_eq!(recorded(drawing, words, ReferrersAs::Both), (all.clone(), lists()), "{words:?}");
        assert_eq!(recorded(drawing, words, ReferrersAs::Tags), (vec!["app".to_owned()], lists()), "{words:?}");
    }
    // What is asked for by itself has an entry of its own.
    let sbom = vec!["sbom".to_owned()];
    assert_eq!(recorded(drawing, "sbom", ReferrersAs::Tags), (sbom.clone(), vec![sbom, vec!["sig".to_owned()]]));
}

#[test]
fn a_list_that_is_there_is_not_made_twice() {
    let drawing = "image app:1 = base
                   refer sbom -> app : application/spdx+json
                   refer sig -> app : application/x.sig
                   fallback app = sbom
                   entry sig";
    let one = vec![vec!["sbom".to_owned(), "sig".to_owned()]];
    assert_eq!(recorded(drawing, "", ReferrersAs::Tags).1, one);
    assert_eq!(recorded(drawing, "app", ReferrersAs::Both).1, one);
}
