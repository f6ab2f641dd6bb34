//! What is kept of a layout: it says where to look, and nothing that the layout does not bear out.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ocistow_graph::listing::{Listed, listing};
use ocistow_graph::resolve::{Asked, find, resolve, resolve_in};
use ocistow_graph::{Edge, Following, Graph, Keeper, Load, Node, Reach, Request, plan};
use ocistow_layout::cabinet::Cabinet;
use ocistow_layout::descriptor::Descriptor;
use ocistow_layout::edit::Edit;
use ocistow_layout::medium::{Disk, Medium};
use ocistow_layout::name::Pair;
use ocistow_layout::sizes;
use ocistow_layout::transaction::{Options, Transaction};
use ocistow_layout::{
    Access, Blob, Content, Digest, Error, Found, IndexFile, Marker, Result, Source, Unwatched, stamp::Imprint,
};
use ocistow_testkit::medium::{Counting, Failing};
use ocistow_testkit::{draw, hostile, to_dir, to_tar};
use proptest::prelude::*;
use rustix::io::Errno;
use tempfile::TempDir;

const LOAD: Load = Load { threads: 2, scan_blobs: false };
const ALL: Reach = Reach::Referrers { levels: 60, children: false };

/// Every dialect there is, referrers of referrers, of children, of what is absent, of indexes.
const WORLD: &str = "image amd = base + top [linux/amd64]
                     image arm = base + other [linux/arm64]
                     attest provenance -> amd
                     index app:1.0 = amd, arm, provenance
                     tag app as stable in example.com/app:stable
                     image lone:2 = base [linux/amd64]
                     docker old:3 = base [linux/amd64]
                     ghost gone
                     refer sig -> app : application/x.sig
                     refer named:signature -> app : application/x.sig {by=me}
                     refer sigsig -> sig : application/x.sig
                     refer of-child -> amd : application/spdx+json
                     refer of-gone -> gone : application/x.sig
                     refer in-list -> lone : application/x.sig
                     refer in-olareg -> arm : application/x.sig
                     containerd by-entry -> lone : application/x.note
                     cosign lone.sig
                     cosign app.att
                     fallback lone = in-list
                     olareg arm = in-olareg
                     file text
                     absent in-olareg.file";

/// A layout that counts what is read of it; one of its blobs may lie on a bad sector.
struct Watched<'s> {
    source: &'s dyn Source,
    opened: Mutex<Vec<Digest>>,
    read_index: Mutex<usize>,
    unread: Option<Digest>,
}

impl<'s> Watched<'s> {
    fn of(source: &'s dyn Source) -> Self {
        Self { source, opened: Mutex::default(), read_index: Mutex::default(), unread: None }
    }

    fn opened(&self) -> Vec<Digest> {
        let mut opened = self.opened.lock().unwrap().clone();
        opened.sort();
        opened
    }
}

impl Source for Watched<'_> {
    fn location(&self) -> &str {
        self.source.location()
    }
    fn marker(&self) -> Marker {
        self.source.marker()
    }
    fn index(&self) -> Result<IndexFile> {
        *self.read_index.lock().unwrap() += 1;
        self.source.index()
    }
    fn imprint(&self) -> Result<Option<Imprint>> {
        self.source.imprint()
    }
    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.source.size(digest)
    }
    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        self.source.names(f)
    }
    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        self.opened.lock().unwrap().push(digest.clone());
        if self.unread.as_ref() == Some(digest) {
            return Err(Error::io("read", digest.path(), Errno::IO.into()));
        }
        self.source.open(digest)
    }
    fn access(&self) -> Access {
        self.source.access()
    }
    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        self.source.survey(f)
    }
}

struct Place {
    _dir: TempDir,
    path: PathBuf,
    cache: PathBuf,
}

impl Place {
    /// A drawn layout on the disk, which ocistow has not written to yet.
    fn drawn(text: &str) -> (Self, ocistow_testkit::Drawing) {
        let dir = tempfile::tempdir().unwrap();
        let (path, cache) = (dir.path().join("layout"), dir.path().join("cache"));
        let world = draw(text);
        to_dir(&world.memory, path.clone()).unwrap();
        (Self { _dir: dir, path, cache }, world)
    }

    fn keeper(&self) -> Keeper<'static> {
        Keeper::new(Cabinet::of(&self.path, Some(&self.cache), &Disk)).always()
    }

    fn open(&self) -> Box<dyn Source> {
        ocistow_layout::open(&self.path, &Unwatched).unwrap()
    }

    fn near(&self, source: &dyn Source, asked: &Asked, reach: Reach) -> Graph {
        Graph::near(source, std::slice::from_ref(asked), reach, &self.keeper(), LOAD, &Unwatched).unwrap()
    }

    /// Changes the layout as our own commands do.
    fn change(&self, blobs: &[&[u8]], edits: &[Edit]) {
        self.change_on(&Disk, blobs, edits).unwrap();
    }

    fn change_on(&self, medium: &dyn Medium, blobs: &[&[u8]], edits: &[Edit]) -> Result<()> {
        let following = Following { cache: Some(self.cache.clone()), medium };
        let options = Options { medium, follow: Some(&following), ..Options::default() };
        let mut transaction = Transaction::begin(&self.path, options)?;
        let mut order = Vec::new();
        for bytes in blobs {
            let blob = Blob { digest: Digest::of(bytes), size: bytes.len() as u64 };
            transaction.put(&blob, Content::Bytes(bytes))?;
            order.push(blob);
        }
        transaction.publish(&order, edits).map(drop)
    }

    fn kept_files(&self) -> Vec<PathBuf> {
        let own = self.path.join(".ocistow/graph");
        let mut files: Vec<PathBuf> = Vec::new();
        let cached = fs::read_dir(self.cache.join("ocistow")).into_iter().flatten().flatten().map(|entry| entry.path());
        for dir in cached.chain([own]) {
            files.extend(fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        files.retain(|path| !path.ends_with("lock"));
        files.sort();
        files
    }
}

/// All edges that lead to a digest, over any number of referrers.
fn tree(graph: &Graph, digest: &Digest) -> Vec<Edge> {
    let mut found = Vec::new();
    let mut stack = vec![digest.clone()];
    let mut met = std::collections::BTreeSet::new();
    while let Some(next) = stack.pop() {
        if met.insert(next.clone()) {
            found.extend(graph.referrers(&next).iter().cloned());
            stack.extend(graph.referrers(&next).iter().map(|edge| edge.referrer.clone()));
        }
    }
    found.sort();
    found
}

/// What is found by what is kept is what is found by reading everything.
#[track_caller]
fn agrees(place: &Place) {
    let source = place.open();
    let whole = Graph::load(&*source, LOAD, &Unwatched).unwrap();
    let mut asked: Vec<Asked> = vec![Asked::Root, Asked::Place(0), Asked::Name("nothing".into(), None)];
    asked.extend(whole.nodes().keys().map(|digest| Asked::Digest((*digest).clone())));
    asked.extend(whole.edges().map(|edge| Asked::Digest(edge.subject.clone())));
    asked.push(Asked::Digest(Digest::of(b"nobody has it")));
    for entry in whole.index().entries() {
        let Ok(descriptor) = &entry.descriptor else { continue };
        asked.push(Asked::Digest(descriptor.digest.clone()));
        for name in [&entry.pair.reference, &entry.pair.image].into_iter().flatten() {
            asked.push(Asked::Name(name.clone(), None));
            asked.extend(name.rsplit_once(':').map(|(_, tag)| Asked::Name(tag.to_owned(), None)));
        }
    }
    for asked in &asked {
        let expected = resolve(&*source, asked, LOAD, &Unwatched);
        let found = find(&*source, asked, &place.keeper(), LOAD, &Unwatched);
        match (&expected, &found) {
            (Ok(expected), Ok(found)) => assert_eq!(expected.descriptor, found.descriptor, "{asked:?}"),
            (Err(expected), Err(found)) => assert_eq!(expected.chain(), found.chain(), "{asked:?}"),
            _ => panic!("{asked:?}: {expected:?} {found:?}"),
        }
        let digest = match (expected, asked) {
            (Ok(target), _) => target.descriptor.digest,
            (Err(_), Asked::Digest(digest)) => digest.clone(),
            _ => continue,
        };
        let near = place.near(&*source, asked, ALL);
        assert_eq!(tree(&near, &digest), tree(&whole, &digest), "{asked:?}");
        assert_eq!(near.facts(&digest), whole.facts(&digest), "{asked:?}");
        assert_eq!(near.tags_of(&digest), whole.tags_of(&digest), "{asked:?}");
        for (subjects, platforms) in [(false, vec![]), (true, vec![]), (false, vec!["linux/arm64"])] {
            let near = place.near(&*source, asked, Reach::Everything { subjects });
            let planned = |graph: &Graph| {
                let platforms = platforms.iter().map(|text| text.parse().unwrap()).collect();
                let request = Request {
                    // Places are those of the graph's own index.json.
                    targets: vec![resolve_in(graph, &*source, asked).unwrap()],
                    referrers: true,
                    include_subject: subjects,
                    platforms,
                    ..Request::default()
                };
                plan::export(graph, &*source, &request).map_err(|why| why.chain())
            };
            if resolve_in(&whole, &*source, asked).is_ok() {
                assert_eq!(planned(&near), planned(&whole), "{asked:?}");
            }
        }
    }
    let rows = |keeper: &Keeper<'_>| {
        let listing = listing(&*source, false, keeper, LOAD, &Unwatched).unwrap();
        let entry = |row: &Listed| listing.index.entries()[row.place].descriptor(row.place).unwrap().clone();
        let rows = listing.rows.iter().map(|row| (entry(row), Listed { place: 0, ..row.clone() }));
        rows.collect::<Vec<_>>()
    };
    assert_eq!(rows(&place.keeper()), rows(&Keeper::default()));
    let request = || Request { referrers: true, ..Request::default() };
    assert!(plan::export(&whole, &*source, &request()).is_ok());
}

#[test]
fn what_is_found_by_it_is_what_reading_everything_finds() {
    let (place, _) = Place::drawn(WORLD);
    agrees(&place);
    assert!(!place.kept_files().is_empty(), "nothing was kept");
    assert!(!place.path.join(".ocistow").exists(), "looking made something in the layout");
}

#[test]
fn children_of_indexes_in_indexes_count_as_named_too() {
    let (place, world) = Place::drawn(
        "image amd = base [linux/amd64]
         index inner = amd
         index middle = inner
         index app:1 = middle
         refer note -> amd : application/x.note
         refer sig -> inner : application/x.sig
         refer sigsig -> note : application/x.sig",
    );
    let source = place.open();
    let whole = Graph::load(&*source, LOAD, &Unwatched).unwrap();
    let near = |children| place.near(&*source, &Asked::Root, Reach::Referrers { levels: 60, children });
    let near = [near(true), near(false)];
    assert!(near.iter().all(|near| !near.is_whole()));
    for name in ["app", "middle", "inner", "amd"] {
        let digest = world.digest(name);
        assert_eq!(tree(&near[0], &digest), tree(&whole, &digest), "{name}");
        assert!(near[0].facts(&digest).is_some(), "{name}");
    }
    assert!(near[1].facts(&world.digest("amd")).is_none(), "nobody asked for it");
}

#[test]
fn archives_have_theirs_in_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cache) = (dir.path().join("layout.tar"), dir.path().join("cache"));
    fs::write(&path, to_tar(&draw(WORLD).memory)).unwrap();
    let place = Place { _dir: dir, path, cache };
    agrees(&place);
    assert!(!place.kept_files().is_empty());
}

#[test]
fn nothing_is_read_again_but_what_is_asked_for() {
    let (place, world) = Place::drawn(WORLD);
    let source = place.open();
    place.near(&*source, &Asked::Root, ALL);
    let counting = Watched::of(&*source);
    place.near(&counting, &Asked::Name("2".into(), None), ALL);
    let mut expected: Vec<Digest> =
        ["lone", "in-list", "by-entry", "lone.sig", "lone.fallback"].map(|word| world.digest(word)).into();
    expected.sort();
    assert_eq!(counting.opened(), expected);
    assert_eq!(*counting.read_index.lock().unwrap(), 0);
}

#[test]
fn what_is_absent_is_asked_for_a_few_thousand_times_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cache) = (dir.path().join("layout"), dir.path().join("cache"));
    let layout = hostile::long_list(20_000);
    to_dir(&layout, path.clone()).unwrap();
    let place = Place { _dir: dir, path, cache };
    let source = place.open();
    let counting = Watched::of(&*source);
    place.near(&counting, &Asked::Root, ALL);
    let graph = Graph::load(&counting, LOAD, &Unwatched).unwrap();
    // Two looks at all of it; each thread may ask for a part before any knows better.
    let asked = counting.opened().len();
    assert!(asked <= 2 * (LOAD.threads + 1) * sizes::MANY, "{asked} blobs were asked for");
    let present = |digest: &Digest| matches!(graph.node(digest), Some(Node::Present(_)));
    assert_eq!(layout.blobs.keys().filter(|digest| present(digest)).count(), 2, "the image and the list");
}

fn referrer(subject: &Digest, word: &str) -> (Vec<u8>, Edit) {
    let empty = Digest::of(b"{}");
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/x.{word}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}},"layers":[],"subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{subject}","size":9}}}}"#
    )
    .into_bytes();
    let entry =
        Descriptor::new("application/vnd.oci.image.manifest.v1+json", Digest::of(&manifest), manifest.len() as u64);
    (manifest, Edit::Add { entry: Box::new(entry) })
}

/// Makes sure the layout is one of ours, with an index in it.
fn ours(place: &Place) {
    place.change(&[], &[]);
    place.near(&*place.open(), &Asked::Name("2".into(), None), ALL);
    assert!(place.path.join(".ocistow/graph/head").exists());
}

#[test]
fn a_referrer_that_is_added_costs_reading_itself() {
    let (place, world) = Place::drawn(WORLD);
    ours(&place);
    for round in 0..40 {
        let (manifest, edit) = referrer(&world.digest("lone"), &format!("round{round}"));
        place.change(&[b"{}", &manifest], &[edit]);
        let source = place.open();
        let counting = Watched::of(&*source);
        let near = place.near(&counting, &Asked::Name("2".into(), None), Reach::Itself);
        assert!(near.facts(&world.digest("lone")).is_some());
        assert_eq!(counting.opened(), [world.digest("lone")], "round {round}: it was not followed");
        let near = place.near(&*source, &Asked::Name("2".into(), None), ALL);
        assert!(near.referrers(&world.digest("lone")).iter().any(|edge| edge.referrer == Digest::of(&manifest)));
    }
    let segments = place.kept_files().len();
    assert!(segments < 8, "{segments} files for 40 changes");
    agrees(&place);
}

/// What the layout was known to be is followed by each of our own changes, or found out anew.
#[test]
fn every_change_of_ours_is_kept_up_with() {
    let (place, world) = Place::drawn(WORLD);
    ours(&place);
    let entry = |word: &str| {
        let size = world.memory.blobs[&world.digest(word)].len() as u64;
        Box::new(Descriptor::new("application/vnd.oci.image.manifest.v1+json", world.digest(word), size))
    };
    let name = |word: &str, reference: &str| Edit::Name { entry: entry(word), reference: reference.into() };
    let unname = |reference: &str, keep| Edit::Unname { reference: reference.into(), keep };
    let (manifest, add) = referrer(&world.digest("amd"), "late");
    let steps: Vec<(Vec<&[u8]>, Vec<Edit>)> = vec![
        (vec![], vec![name("lone", "new")]),
        (vec![], vec![name("lone", "1.0")]),
        (vec![], vec![name("amd", "child")]),
        (vec![], vec![name("sig", "example.com/signatures:sig")]),
        (vec![b"{}", &manifest], vec![add]),
        (vec![], vec![unname("signature", true)]),
        (vec![], vec![unname("new", false)]),
        (vec![], vec![unname("3", false), name("old", "4")]),
        (vec![], vec![Edit::Remove { digest: world.digest("sig"), pair: Pair::default() }]),
        (vec![], vec![Edit::Remove { digest: world.digest("sigsig"), pair: Pair::default() }]),
        (vec![], vec![unname(&format!("{}.sig", world.digest("lone").fallback_tag()), false)]),
        (vec![], vec![unname(&world.digest("lone").fallback_tag(), false)]),
        (vec![], vec![unname("stable", false)]),
    ];
    for (blobs, edits) in steps {
        place.change(&blobs, &edits);
        agrees(&place);
    }
}

#[test]
fn a_change_of_somebody_else_costs_reading_what_is_new() {
    let (place, world) = Place::drawn(WORLD);
    ours(&place);
    let (manifest, _) = referrer(&world.digest("lone"), "foreign");
    let digest = Digest::of(&manifest);
    fs::write(place.path.join(digest.path()), &manifest).unwrap();
    fs::write(place.path.join(Digest::of(b"{}").path()), b"{}").unwrap();
    let index = fs::read_to_string(place.path.join("index.json")).unwrap();
    let entry = format!(
        r#""manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{}}},"#,
        manifest.len()
    );
    fs::write(place.path.join("index.json"), index.replacen("\"manifests\":[", &entry, 1)).unwrap();
    let source = place.open();
    let counting = Watched::of(&*source);
    place.near(&counting, &Asked::Name("3".into(), None), Reach::Itself);
    let mut expected = [world.digest("old"), digest];
    expected.sort();
    assert_eq!(counting.opened(), expected);
    agrees(&place);
}

#[test]
fn a_blob_that_comes_later_is_seen() {
    let (place, world) = Place::drawn(&format!("{WORLD}\nabsent of-child\nabsent arm"));
    ours(&place);
    agrees(&place);
    for word in ["of-child", "arm"] {
        let bytes = draw(WORLD).memory.blobs[&world.digest(word)].clone();
        place.change(&[&bytes], &[]);
        agrees(&place);
    }
    fs::remove_file(place.path.join(world.digest("arm").path())).unwrap();
    agrees(&place);
    fs::write(place.path.join(world.digest("arm").path()), &draw(WORLD).memory.blobs[&world.digest("arm")]).unwrap();
    agrees(&place);
}

/// A referrer would be hidden until index.json changes.
#[test]
fn what_could_not_be_read_for_a_moment_is_not_kept_as_broken() {
    let (place, world) = Place::drawn(WORLD);
    let source = place.open();
    let asked = Asked::Name("1.0".into(), None);
    let bad = Watched { unread: Some(world.digest("sig")), ..Watched::of(&*source) };
    let near = place.near(&bad, &asked, ALL);
    assert!(near.unread().0.contains_key(&world.digest("sig")));
    let near = place.near(&*source, &asked, ALL);
    assert!(near.unread().0.is_empty());
    let app = world.digest("app");
    let whole = Graph::load(&*source, LOAD, &Unwatched).unwrap();
    assert_eq!(tree(&near, &app), tree(&whole, &app));
}

#[test]
fn what_is_damaged_in_any_place_is_found_out() {
    let (place, world) = Place::drawn(WORLD);
    ours(&place);
    let lone = Asked::Name("2".into(), None);
    let source = place.open();
    let right = tree(&place.near(&*source, &lone, ALL), &world.digest("lone"));
    for kind in ["head", "segment"] {
        for part in 0..40 {
            for cut in [false, true] {
                // What was damaged before was made anew, under another name.
                let is = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(kind);
                let file = place.kept_files().into_iter().find(is).unwrap();
                let mut bytes = fs::read(&file).unwrap();
                let at = bytes.len() * part / 40;
                bytes[at] ^= 0x55;
                bytes.truncate(if cut { at } else { bytes.len() });
                fs::write(&file, &bytes).unwrap();
                let found = tree(&place.near(&*source, &lone, ALL), &world.digest("lone"));
                assert_eq!(found, right, "{kind} at {at}, cut: {cut}");
            }
        }
    }
    agrees(&place);
}

/// A head of another layout, with the stamp of this one: whatever it says, nothing is named that is not there.
#[test]
fn one_that_lies_names_nothing() {
    let (place, world) = Place::drawn(WORLD);
    let (other, _) = Place::drawn(
        "image lone:2 = base [linux/amd64]
         refer evil -> lone : application/x.evil
         refer worse -> evil : application/x.evil",
    );
    ours(&place);
    ours(&other);
    // The stamp stands behind the magic; the checksum is made anew.
    let mut lie = fs::read(other.path.join(".ocistow/graph/head")).unwrap();
    let own = fs::read(place.path.join(".ocistow/graph/head")).unwrap();
    let stamp = b"ocistow index 2\n".len()..b"ocistow index 2\n".len() + 56;
    lie[stamp.clone()].copy_from_slice(&own[stamp]);
    let body = lie.len() - 8;
    let sum = Digest::of(&lie[..body]);
    lie[body..].copy_from_slice(&sum.sha256().unwrap()[..8]);
    for file in fs::read_dir(other.path.join(".ocistow/graph")).unwrap().flatten() {
        fs::copy(file.path(), place.path.join(".ocistow/graph").join(file.file_name())).unwrap();
    }
    fs::write(place.path.join(".ocistow/graph/head"), &lie).unwrap();
    let source = place.open();
    let near = place.near(&*source, &Asked::Digest(world.digest("lone")), ALL);
    let whole = Graph::load(&*source, LOAD, &Unwatched).unwrap();
    for edge in near.edges() {
        assert!(whole.referrers(&edge.subject).contains(edge), "{edge:?}");
    }
}

/// Changes a layout with an index in it on a disk that stops or refuses, and looks; then somebody changes it who has
/// no such trouble.
#[track_caller]
fn changed_on(medium: &dyn Medium) {
    let (place, world) = Place::drawn("image lone:2 = base\nrefer sig -> lone : application/x.sig");
    place.change(&[], &[]);
    place.near(&*place.open(), &Asked::Name("2".into(), None), ALL);
    let lone = world.digest("lone");
    let (manifest, edit) = referrer(&lone, "late");
    let _ = place.change_on(medium, &[b"{}", &manifest], &[edit]);
    agrees(&place);
    let (manifest, edit) = referrer(&lone, "later");
    place.change(&[b"{}", &manifest], &[edit]);
    let near = place.near(&*place.open(), &Asked::Digest(lone.clone()), ALL);
    assert!(near.referrers(&lone).iter().any(|edge| edge.referrer == Digest::of(&manifest)));
    agrees(&place);
}

#[test]
fn a_writer_that_is_killed_at_any_call_leaves_nothing_wrong_behind() {
    for calls in 0.. {
        let medium = Counting::new(calls);
        changed_on(&medium);
        if medium.made() < calls {
            assert!(calls > 30, "only {calls} calls");
            break;
        }
    }
}

/// Somebody looks, and what he finds out is kept on this medium; whoever looks next has no trouble from that.
#[track_caller]
fn kept_on(medium: &dyn Medium) {
    let (place, _) = Place::drawn("image lone:2 = base\nrefer sig -> lone : application/x.sig");
    let keeper = Keeper::new(Cabinet::of(&place.path, Some(&place.cache), medium)).always();
    let asked = [Asked::Name("2".into(), None)];
    Graph::near(&*place.open(), &asked, ALL, &keeper, LOAD, &Unwatched).unwrap();
    agrees(&place);
}

#[test]
fn a_reader_that_is_killed_or_refused_any_call_leaves_nothing_wrong_behind() {
    for call in 0.. {
        let killed = Counting::new(call);
        kept_on(&killed);
        let refused = Failing::new(move |at, _: &str| (at == call).then_some(Errno::NOSPC));
        kept_on(&refused);
        if killed.made() < call && refused.made() <= call {
            assert!(call > 10, "only {call} calls");
            break;
        }
    }
}

#[test]
fn a_disk_that_refuses_any_call_leaves_nothing_wrong_behind() {
    for errno in [Errno::NOSPC, Errno::ACCESS] {
        for call in 0.. {
            let medium = Failing::new(move |at, _: &str| (at == call).then_some(errno));
            changed_on(&medium);
            if medium.made() <= call {
                assert!(call > 30, "only {call} calls");
                break;
            }
        }
    }
}

#[test]
fn readers_see_a_whole_state_while_it_changes() {
    let (place, world) = Place::drawn(WORLD);
    ours(&place);
    let lone = world.digest("lone");
    let before = place.near(&*place.open(), &Asked::Digest(lone.clone()), ALL).referrers(&lone).len();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..60 {
                let (manifest, edit) = referrer(&lone, &format!("round{round}"));
                place.change(&[b"{}", &manifest], &[edit]);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last = before;
                while last < before + 60 && !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let source = place.open();
                    let now = place.near(&*source, &Asked::Digest(lone.clone()), ALL).referrers(&lone).len();
                    assert!(now >= last, "{now} after {last}");
                    last = now;
                }
            });
        }
    });
    agrees(&place);
}

#[test]
fn layouts_of_all_sorts_of_oddness_are_read_as_without() {
    use ocistow_testkit::odd;
    let all = [
        odd::empty(),
        odd::strict(),
        odd::all_referrers(),
        odd::fallback(),
        odd::stale(),
        odd::olareg(),
        odd::containerd(),
        odd::cosign_blob(),
        odd::cosign_tag(),
        odd::two_latest(),
        odd::duplicate_tag(),
        odd::null(),
        odd::no_media_type(),
        odd::sparse(),
        odd::corrupt(),
        odd::cut(),
        odd::grown(),
        odd::ambiguous(),
        odd::docker(),
        odd::legacy(),
        odd::no_subject_size(),
        odd::nested(),
        odd::sha512(),
        odd::traversal(),
    ];
    for layout in all {
        let dir = tempfile::tempdir().unwrap();
        let (path, cache) = (dir.path().join("layout"), dir.path().join("cache"));
        to_dir(&layout, path.clone()).unwrap();
        let place = Place { _dir: dir, path, cache };
        let Ok(source) = ocistow_layout::open(&place.path, &Unwatched) else { continue };
        let Ok(whole) = Graph::load(&*source, LOAD, &Unwatched) else { continue };
        for digest in whole.nodes().keys() {
            let near = place.near(&*source, &Asked::Digest((*digest).clone()), ALL);
            assert_eq!(tree(&near, digest), tree(&whole, digest), "{}", place.path.display());
        }
    }
}

/// MANIFEST-14: what a manifest is depends on all who point to it, those included that come later.
#[test]
fn what_descriptors_disagree_on_is_told_as_without() {
    use ocistow_testkit::{
        fixtures::{DOCKER_S2, IMG_AMD64, INDEX},
        odd,
    };
    let (oci, docker, index) = (IMG_AMD64.media_type, DOCKER_S2.media_type, INDEX.media_type);
    let types: [&[&str]; 5] = [&[], &[oci], &[docker], &[index, docker, oci], &[""]];
    for own in [oci, docker] {
        for (entries, children) in types.iter().flat_map(|one| types.iter().map(move |other| (*one, *other))) {
            let dir = tempfile::tempdir().unwrap();
            let (path, cache) = (dir.path().join("layout"), dir.path().join("cache"));
            let (layout, digest) = odd::called(own, entries, children);
            to_dir(&layout, path.clone()).unwrap();
            let place = Place { _dir: dir, path, cache };
            let same = |when: &str| {
                let source = place.open();
                let whole = Graph::load(&*source, LOAD, &Unwatched).unwrap();
                for asked in [IMG_AMD64.digest(), digest.clone()] {
                    let near = place.near(&*source, &Asked::Digest(asked.clone()), ALL);
                    let called = format!("{own} called {entries:?} and {children:?}, {when}");
                    assert_eq!(tree(&near, &asked), tree(&whole, &asked), "{called}");
                }
            };
            same("at first");
            for (media_type, name) in [(docker, "d"), (oci, "o")] {
                let size = layout.blobs[&digest].len() as u64;
                let pair = Pair { image: None, reference: Some(name.into()) };
                let entry = Box::new(Descriptor::new(media_type, digest.clone(), size));
                place.change(&[], &[Edit::Set { entry, pair, expect: None }]);
                same(name);
            }
        }
    }
}

/// MANIFEST-14: the same of a child that was absent and arrives.
#[test]
fn a_child_that_arrives_is_what_its_index_calls_it() {
    use ocistow_testkit::{
        fixtures::{DOCKER_S2, IMG_AMD64},
        odd,
    };
    let (oci, docker) = (IMG_AMD64.media_type, DOCKER_S2.media_type);
    for (own, called) in [(oci, oci), (oci, docker), (docker, oci), (docker, docker)] {
        let dir = tempfile::tempdir().unwrap();
        let (path, cache) = (dir.path().join("layout"), dir.path().join("cache"));
        let (mut layout, digest) = odd::called(own, &[], &[called]);
        let bytes = layout.blobs.remove(&digest).unwrap();
        to_dir(&layout, path.clone()).unwrap();
        let place = Place { _dir: dir, path, cache };
        let subject = IMG_AMD64.digest();
        assert_eq!(place.near(&*place.open(), &Asked::Digest(subject.clone()), ALL).referrers(&subject), []);
        place.change(&[&bytes], &[]);
        let source = place.open();
        let whole = Graph::load(&*source, LOAD, &Unwatched).unwrap();
        let near = place.near(&*source, &Asked::Digest(subject.clone()), ALL);
        assert_eq!(tree(&near, &subject), tree(&whole, &subject), "{own} called {called}");
        assert_eq!(whole.referrers(&subject).len(), usize::from(called == oci));
        assert_eq!(near.is_whole(), own != called, "{own} called {called}");
    }
}

/// Digests of an enemy, which need no content: the table of blocks tells none of them from another.
#[test]
fn digests_that_start_alike_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cache) = (dir.path().join("layout"), dir.path().join("cache"));
    to_dir(&ocistow_testkit::hostile::indexes(2, 300), path.clone()).unwrap();
    let place = Place { _dir: dir, path, cache };
    let source = place.open();
    let whole = Graph::load(&*source, LOAD, &Unwatched).unwrap();
    for (digest, node) in whole.nodes() {
        let near = place.near(&*source, &Asked::Digest(digest.clone()), ALL);
        assert_eq!(near.node(digest), Some(node), "{digest}");
    }
}

/// Found by fuzzing: what is looked up by other keys than it is read by was not found at the first time.
#[test]
fn referrers_with_longer_digests_are_found_from_the_first_time_on() {
    for n in 0..8 {
        let (place, world) = Place::drawn(&format!(
            "image app:{n} = base [linux/amd64]
             sha512 refer sig -> app : application/x.sig
             sha512 refer sigsig -> sig : application/x.sig
             sha512 image long:long = base
             refer of-long -> long : application/x.sig"
        ));
        let (source, app) = (place.open(), world.digest("app"));
        let near = place.near(&*source, &Asked::Digest(app.clone()), ALL);
        assert_eq!(tree(&near, &app).len(), 2, "{n}");
        let counting = Watched::of(&*source);
        place.near(&counting, &Asked::Digest(app), Reach::Itself);
        assert_eq!(counting.opened().len(), 1, "{n}: nothing has to be read again");
        agrees(&place);
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

#[test]
fn layouts_of_other_tools_are_read_as_without() {
    let mut tried = 0;
    let mut stack = vec![fixtures()];
    while let Some(path) = stack.pop() {
        let inside: Vec<PathBuf> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
        stack.extend(inside.iter().filter(|path| path.is_dir()).cloned());
        if !inside.iter().any(|path| path.ends_with("index.json")) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let place = Place { cache: dir.path().join("cache"), _dir: dir, path };
        let source = place.open();
        let whole = Graph::load(&*source, LOAD, &Unwatched).unwrap();
        for digest in whole.nodes().keys() {
            let near = place.near(&*source, &Asked::Digest((*digest).clone()), ALL);
            assert_eq!(tree(&near, digest), tree(&whole, digest), "{}", place.path.display());
            tried += 1;
        }
    }
    assert!(tried > 20, "only {tried} manifests");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Random graphs, drawn line by line.
    #[test]
    fn random_layouts_are_found_as_they_are_read(picks in proptest::collection::vec((0usize..8, 0usize..100), 1..24)) {
        let mut lines = vec!["image m0:t0 = base [linux/amd64]".to_owned(), "image m1 = base + more [linux/arm64]".to_owned()];
        let mut listed = std::collections::BTreeSet::new();
        for (what, which) in picks {
            let (here, on) = (lines.len(), format!("m{}", which % lines.len()));
            let line = match what {
                0 => format!("image m{here}:t{here} = base [linux/amd64]"),
                1 => format!("index m{here}:t{here} = {on}"),
                2 => format!("index m{here} = {on}, m0"),
                3 | 4 => format!("refer m{here} -> {on} : application/x.a"),
                5 => format!("refer m{here}:t{here} -> {on} : application/x.b"),
                6 => format!("containerd m{here} -> {on} : application/x.c"),
                _ => {
                    if !listed.insert(on.clone()) {
                        continue;
                    }
                    format!("refer m{here} -> {on} : application/x.d\nfallback {on} = m{here}")
                }
            };
            lines.push(line);
        }
        let (place, _) = Place::drawn(&lines.join("\n"));
        agrees(&place);
    }
}
