//! Whatever graph there is, it comes out as it went in, whichever way it crosses: a property over drawn layouts.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use ocistow::world::World;
use ocistow_graph::graph::Standing;
use ocistow_graph::{Graph, Load};
use ocistow_layout::name::Pair;
use ocistow_layout::{Digest, Unwatched, checked};
use ocistow_testkit::{draw, to_dir, world_of};
use proptest::prelude::*;

mod stage;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a line, and gives what came out of it.
fn run(words: &[&str], input: impl Read + Send + 'static) -> Vec<u8> {
    let (out, err) = (Kept::default(), Kept::default());
    let line = std::iter::once("ocistow").chain(words.iter().copied()).map(OsString::from);
    let code = ocistow::run(line, &World::new(out.clone(), err.clone(), input));
    assert_eq!(code, 0, "{words:?}: {}", String::from_utf8_lossy(&err.0.lock().unwrap()));
    let bytes = out.0.lock().unwrap();
    bytes.clone()
}

/// What somebody has who has a layout.
#[derive(Debug, PartialEq)]
struct Had {
    names: BTreeSet<(Pair, Digest)>,
    entries: BTreeSet<Digest>,
    edges: BTreeSet<(Digest, Digest)>,
}

/// Lists of referrers aside: where one was not complete, another takes its place.
fn had(path: &Path) -> Had {
    let source = ocistow_layout::open(path, &Unwatched).unwrap();
    let graph = Graph::load(&*source, Load { threads: 1, scan_blobs: false }, &Unwatched).unwrap();
    let entries = graph.index().entries().iter().enumerate().filter(|(at, _)| graph.standing(*at) != Standing::List);
    let entries: Vec<_> =
        entries.map(|(at, entry)| (entry.pair.clone(), entry.descriptor(at).unwrap().digest.clone())).collect();
    Had {
        names: entries.iter().filter(|(pair, _)| !pair.is_empty()).cloned().collect(),
        entries: entries.into_iter().map(|(_, digest)| digest).collect(),
        edges: graph.edges().map(|edge| (edge.subject.clone(), edge.referrer.clone())).collect(),
    }
}

/// index.json and every blob, each of which is right.
fn bytes_of(path: &Path) -> (Vec<u8>, BTreeMap<Digest, Vec<u8>>) {
    let source = ocistow_layout::open(path, &Unwatched).unwrap();
    let mut blobs = BTreeMap::new();
    let mut names = Vec::new();
    source.names(&mut |digest| names.push(digest)).unwrap();
    for digest in names {
        let bytes = checked::read(&*source, &digest, u64::MAX).unwrap().unwrap();
        blobs.insert(digest, bytes);
    }
    (source.index().unwrap().bytes().to_vec(), blobs)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_layout_comes_out_of_a_bundle_as_it_went_in(steps in prop::collection::vec((0u8..7, 0usize..100), 0..16)) {
        let text = world_of(&steps);
        let room = stage::room();
        let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
        let have = at("have");
        to_dir(&draw(&text).memory, &have).unwrap();
        let before = had(Path::new(&have));
        let (_, blobs) = bytes_of(Path::new(&have));
        let digest = run(&["export", &have, "-q", "-o", &at("first.tar")], io::empty());
        let mut first = None;
        for way in ["bundle", "bundle.tar", "bundle.tar.gz", "bundle.tar.zst", "-"] {
            let there = at(&format!("{way} there"));
            run(&["init", &there], io::empty());
            if way == "-" {
                let piped = run(&["export", &have, "-o", "-"], io::empty());
                run(&["import", "-", &there], io::Cursor::new(piped));
            } else {
                run(&["export", &have, "-o", &at(way)], io::empty());
                run(&["import", &at(way), &there], io::empty());
            }
            let after = Path::new(&there);
            prop_assert_eq!(&had(after), &before, "{}\n{}", way, text);
            let arrived = bytes_of(after);
            let lists = arrived.1.keys().filter(|digest| !blobs.contains_key(digest)).count();
            prop_assert!(lists == 0 || text.contains("fallback"), "{}: {} blobs from nowhere\n{}", way, lists, text);
            let same = first.get_or_insert_with(|| bytes_of(after));
            prop_assert!(arrived == *same, "{} gives another layout\n{}", way, text);
            // Once more changes nothing, and what is exported there is the same bundle.
            if way != "-" {
                run(&["import", &at(way), &there], io::empty());
                prop_assert!(bytes_of(after) == *same, "{} is not the same a second time\n{}", way, text);
            }
            let again = run(&["export", &there, "-q", "-o", &at("again.tar"), "--force"], io::empty());
            prop_assert_eq!(&again, &digest, "{}\n{}", way, text);
            run(&["fsck", "-q", &there], io::empty());
        }
    }
}
