//! Bytes in the place of what is kept of a layout: it may hide, and never invents. An enemy can compute checksums, so
//! those are made right again behind every change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ocistow_graph::listing::listing;
use ocistow_graph::resolve::{Asked, find};
use ocistow_graph::{Edge, Graph, Keeper, Reach};
use ocistow_layout::cabinet::Cabinet;
use ocistow_layout::medium::Disk;
use ocistow_layout::name::{Steps, docker_normal, look_up};
use ocistow_layout::{Descriptor, Digest, IndexFile, Source, Unwatched};
use ocistow_testkit::{draw, to_dir};
use tempfile::TempDir;

use crate::LOAD;

const ALL: Reach = Reach::Referrers { levels: 60, children: true };

/// Every dialect there is, referrers of referrers, of children, of what is absent.
const WORLD: &str = "image amd = base + top [linux/amd64]
                     image arm = base + other [linux/arm64]
                     attest provenance -> amd
                     index app:1.0 = amd, arm, provenance
                     tag app as stable in example.com/app:stable
                     image lone:2 = base [linux/amd64]
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
                     fallback lone = in-list
                     olareg arm = in-olareg
                     sha512 image long:3 = base
                     absent in-olareg.file";

/// A layout on the disk, what is in it, and what is rightly kept of it.
struct Place {
    _dir: TempDir,
    path: PathBuf,
    cache: PathBuf,
    /// The directory of what is kept, and its files.
    cabinet: PathBuf,
    files: BTreeMap<String, Vec<u8>>,
    whole: Graph,
    asked: Vec<Asked>,
}

thread_local! {
    static PLACE: Place = Place::new();
}

impl Place {
    fn new() -> Self {
        let shared = Path::new("/dev/shm");
        let dir = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.unwrap();
        let (path, cache) = (dir.path().join("layout"), dir.path().join("cache"));
        to_dir(&draw(WORLD).memory, &path).unwrap();
        // Once the clock has gone on, the stamp alone tells the layout from a changed one.
        std::thread::sleep(Duration::from_millis(60));
        let source = ocistow_layout::open(&path, &Unwatched).unwrap();
        let keeper = Keeper::new(Cabinet::of(&path, Some(&cache), &Disk)).always();
        let whole = Graph::load(&*source, LOAD, &Unwatched).unwrap();
        for _ in 0..2 {
            Graph::near(&*source, &[Asked::Root], ALL, &keeper, LOAD, &Unwatched).unwrap();
        }
        let cabinet = fs::read_dir(cache.join("ocistow")).unwrap().next().unwrap().unwrap().path();
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&cabinet).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name != "lock" {
                files.insert(name, fs::read(entry.path()).unwrap());
            }
        }
        assert!(files.contains_key("head") && files.len() > 1, "nothing was kept");
        let mut asked = vec![Asked::Root, Asked::Place(0), Asked::Digest(Digest::of(b"nobody has it"))];
        asked.extend(whole.nodes().keys().map(|digest| Asked::Digest((*digest).clone())));
        asked.extend(["1.0", "stable", "2", "3", "signature", "nothing"].map(|name| Asked::Name(name.into(), None)));
        Self { _dir: dir, path, cache, cabinet, files, whole, asked }
    }

    fn keeper(&self) -> Keeper<'static> {
        Keeper::new(Cabinet::of(&self.path, Some(&self.cache), &Disk)).always()
    }

    /// Puts these files in the place of what is kept.
    fn keep(&self, files: &BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(&self.cabinet).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, bytes) in files {
            fs::write(self.cabinet.join(name), bytes).unwrap();
        }
    }
}

/// The body: one byte that says what checksums are made right and what is asked, then four for each change.
pub fn run(bytes: &[u8]) {
    let Some((mode, changes)) = bytes.split_first() else { return };
    if changes.len() > 256 {
        return;
    }
    PLACE.with(|place| {
        let mut files = place.files.clone();
        let segment = files.keys().find(|name| name.starts_with("segment-")).unwrap().clone();
        let (mut head, mut rows) = (files["head"].clone(), files[&segment].clone());
        let changed = match mode & 3 {
            // A head, or the blocks of a segment, of these very bytes.
            0 if mode & 4 == 0 => {
                head.truncate(HEAD_FRONT);
                head.extend_from_slice(changes);
                head.extend([0; 8]);
                true
            }
            0 => {
                rows = whole_segment(changes);
                true
            }
            _ => change(&mut head, &mut rows, changes),
        };
        let signed = mode & 8 == 0;
        if signed {
            sign(&mut head, &mut rows);
        }
        files.insert("head".into(), head);
        files.insert(segment, rows);
        place.keep(&files);
        let invented = |what: &str| panic!("{what} was invented");
        let source = ocistow_layout::open(&place.path, &Unwatched).unwrap();
        let first = usize::from(mode >> 4);
        let reaches = [ALL, Reach::Itself, Reach::Everything { subjects: true }];
        for (asked, reach) in place.asked.iter().cycle().skip(first * 2).zip(reaches) {
            ask(place, &*source, asked, reach, !signed || !changed, &invented);
        }
        if mode & 16 != 0 {
            list(place, &*source);
        }
    });
}

/// How long the part of a head is that says of which index.json it tells: magic and stamp.
const HEAD_FRONT: usize = 16 + 56;

/// Overwrites, puts in, takes out or cuts bytes at a place.
fn change(head: &mut Vec<u8>, rows: &mut Vec<u8>, changes: &[u8]) -> bool {
    let (changes, _) = changes.as_chunks::<4>();
    for [what, high, low, value] in changes {
        // The stamp stays right, else nothing is believed in any case.
        let (file, from) = if what & 1 == 0 { (&mut *head, HEAD_FRONT) } else { (&mut *rows, 0) };
        let Some(room) = file.len().checked_sub(from).filter(|room| *room > 0) else { continue };
        let at = from + usize::from(u16::from_be_bytes([*high, *low])) % room;
        match what >> 1 & 7 {
            0 => file[at] = *value,
            1 => file[at] ^= 1 << (value & 7),
            2 => file[at] = file[at].wrapping_add(*value),
            3 => file.insert(at, *value),
            4 => drop(file.remove(at)),
            5 => file.truncate(at),
            6 => {
                // One stretch over another: keys and digests that are right, in the wrong place.
                let to = from + usize::from(*value) * 32 % room;
                let stretch = file[at..(at + 32).min(file.len())].to_vec();
                let end = (to + stretch.len()).min(file.len());
                file[to..end].copy_from_slice(&stretch[..end - to]);
            }
            _ => file[at..].iter_mut().take(9).for_each(|byte| *byte = 0xff),
        }
    }
    !changes.is_empty()
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    *Digest::of(bytes).sha256().unwrap().first_chunk().unwrap()
}

/// The length of a segment's end, and of a line in its table.
const TRAILER: usize = 40;
const LINE: usize = 24;

/// A segment of one block.
fn whole_segment(block: &[u8]) -> Vec<u8> {
    let first = block.first_chunk::<8>().copied().unwrap_or_default();
    let table = [&first[..], &[0; 8], &checksum(block)].concat();
    let end = [b"ocistow1", &(block.len() as u64).to_le_bytes()[..], &1u64.to_le_bytes(), &checksum(&table), &[0; 8]]
        .concat();
    [block, &table, &end].concat()
}

/// Makes all checksums right: of blocks, table and end of the segment, in the head, and its own.
fn sign(head: &mut [u8], rows: &mut [u8]) {
    let old = rows.last_chunk::<8>().copied();
    if let Some(at) = rows.len().checked_sub(TRAILER) {
        let number = |from: usize| u64::from_le_bytes(*rows[from..].first_chunk().unwrap());
        let (start, blocks) = (number(at + 8), number(at + 16));
        let start = usize::try_from(start).ok().filter(|start| *start <= at);
        if let Some(start) = start
            && (at - start) as u64 == blocks.saturating_mul(LINE as u64)
        {
            let lines = (at - start) / LINE;
            let place = |rows: &[u8], line: usize| match line < lines {
                true => u64::from_le_bytes(*rows[start + line * LINE + 8..].first_chunk().unwrap()),
                false => start as u64,
            };
            for line in 0..lines {
                let (from, to) = (place(rows, line), place(rows, line + 1));
                if from <= to && to <= start as u64 {
                    let check = checksum(&rows[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()]);
                    rows[start + line * LINE + 16..][..8].copy_from_slice(&check);
                }
            }
            let check = checksum(&rows[start..at]);
            rows[at + 24..at + 32].copy_from_slice(&check);
        }
        let end = rows.len() - 8;
        let check = checksum(&rows[at..end]);
        rows[end..].copy_from_slice(&check);
    }
    // The head names the segment by the checksum that PLACE's segment had.
    let (Some(new), true) = (rows.last_chunk::<8>().copied(), head.len() >= 8) else { return };
    let was = PLACE_CHECK.with(|check| *check);
    for known in [Some(was), old].into_iter().flatten() {
        if let Some(at) = head.windows(8).position(|window| *window == known) {
            head[at..at + 8].copy_from_slice(&new);
        }
    }
    let end = head.len() - 8;
    let check = checksum(&head[..end]);
    head[end..].copy_from_slice(&check);
}

thread_local! {
    static PLACE_CHECK: [u8; 8] = PLACE.with(|place| {
        let segment = place.files.iter().find(|(name, _)| name.starts_with("segment-")).unwrap().1;
        *segment.last_chunk::<8>().unwrap()
    });
}

/// All edges that lead to a digest, over any number of referrers.
pub(crate) fn tree(graph: &Graph, digest: &Digest) -> BTreeSet<Edge> {
    let mut found = BTreeSet::new();
    let (mut stack, mut met) = (vec![digest.clone()], BTreeSet::new());
    while let Some(next) = stack.pop() {
        if met.insert(next.clone()) {
            found.extend(graph.referrers(&next).iter().cloned());
            stack.extend(graph.referrers(&next).iter().map(|edge| edge.referrer.clone()));
        }
    }
    found
}

/// What is answered is what is in the layout, or less; all of it where damage must have been found out.
fn ask(place: &Place, source: &dyn Source, asked: &Asked, reach: Reach, all: bool, invented: &dyn Fn(&str)) {
    let whole = &place.whole;
    let found = find(source, asked, &place.keeper(), LOAD, &Unwatched);
    let right = ocistow_graph::resolve::resolve_in(whole, source, asked);
    if all {
        let digest = |found: &ocistow_layout::Result<ocistow_graph::Target>| {
            found.as_ref().map(|target| target.descriptor.clone()).map_err(|why| why.chain())
        };
        assert_eq!(digest(&found), digest(&right), "{asked:?}");
    }
    let digest = match (&found, asked) {
        (Ok(target), _) => {
            if !means(whole, asked, &target.descriptor) {
                invented(&format!("{asked:?} as {}", target.descriptor.text()));
            }
            target.descriptor.digest.clone()
        }
        (Err(_), Asked::Digest(digest)) => digest.clone(),
        _ => return,
    };
    let near = Graph::near(source, std::slice::from_ref(asked), reach, &place.keeper(), LOAD, &Unwatched).unwrap();
    for (digest, node) in near.nodes() {
        if whole.node(digest).is_some_and(|known| known != node) {
            invented(&format!("what {digest} says"));
        }
    }
    let (near_tree, whole_tree) = (tree(&near, &digest), tree(whole, &digest));
    if let Some(edge) = near_tree.difference(&whole_tree).next() {
        invented(&format!("{edge:?}"));
    }
    if all && reach != Reach::Itself {
        assert_eq!(near_tree, whole_tree, "{asked:?}");
    }
    for tag in near.tags_of(&digest) {
        if !whole.tags_of(&digest).contains(&tag) {
            invented(&format!("the tag {tag}"));
        }
    }
}

/// Whether something may be meant: by an entry of index.json under this very name, or by its digest.
fn means(whole: &Graph, asked: &Asked, descriptor: &Descriptor) -> bool {
    let entries = whole.index().entries();
    let is = |entry: &ocistow_layout::index::Entry| {
        entry.descriptor.as_ref().is_ok_and(|own| own.digest == descriptor.digest && own.size == descriptor.size)
    };
    match asked {
        Asked::Name(name, _) => entries.iter().filter(|entry| is(entry)).any(|entry| {
            let alone =
                format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entry.descriptor.as_ref().unwrap().text());
            let alone = IndexFile::parse(alone.into_bytes()).unwrap();
            !look_up(&alone, name, Steps::Find).is_empty()
                || entry.pair.image.as_deref().is_some_and(|image| docker_normal(image) == docker_normal(name))
        }),
        Asked::Digest(digest) => descriptor.digest == *digest,
        _ => entries.iter().any(is),
    }
}

/// What `ls` shows are entries of index.json, none more often than it stands there.
fn list(place: &Place, source: &dyn Source) {
    let listing = listing(source, false, &place.keeper(), LOAD, &Unwatched).unwrap();
    let entries = place.whole.index().entries().iter().flat_map(|entry| &entry.descriptor);
    let mut known: Vec<&str> = entries.map(Descriptor::text).collect();
    for row in &listing.rows {
        let text = listing.index.entries()[row.place].descriptor(row.place).unwrap().text();
        let at = known.iter().position(|known| *known == text);
        known.swap_remove(at.unwrap_or_else(|| panic!("{text} was invented")));
    }
}
