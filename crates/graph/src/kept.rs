//! The persisted index: what was found out about a layout, kept so that the next one need not read every manifest.
//!
//! It says where to look, and nothing else: under a digest or a name it has the places of entries in index.json, the
//! manifests that refer to it, the indexes that hold it. Whatever it names is then read from the layout itself and
//! checked ([`Graph::near`](crate::Graph::near)), so a wrong or hostile one may hide something, but never invent it. It
//! can be deleted at any time.
//!
//! It is a few immutable *segments* and a small *head*, which says of which index.json they tell (its
//! [`Stamp`]) and which segments there are. The head is replaced atomically; readers take no lock, and see a whole
//! state. Changes of ours add a small segment (`follow`); after a change of somebody else index.json is read again,
//! and only manifests not seen before (`build`).

mod build;
mod follow;
pub(crate) mod row;
mod segment;

use std::collections::BTreeSet;
use std::io;

use ocistow_layout::cabinet::{Alone, Cabinet, Taking};
use ocistow_layout::stamp::{Imprint, Stamp};
use ocistow_layout::{Access, Digest, Hasher, IndexFile, Result, Source, Watch};

pub use self::follow::Following;
use self::row::{Gist, Key, Row, Span, checksum, read_digest, read_number, write_digest, write_number};
use self::segment::{Segment, Writer};
use crate::graph::Load;

/// The length of index.json from which keeping an index is worth it: what is shorter is read as fast.
pub const WORTH_KEEPING: u64 = 64 << 10;
/// The number of manifests from which it is, whatever index.json is like.
pub const WORTH_MANIFESTS: usize = 1000;
/// The longest index.json that is hashed to see whether it is the same.
const WORTH_HASHING: u64 = 8 << 20;
/// The longest head read.
const MAX_HEAD: u64 = 16 << 20;
/// The most changes kept before the segments are written anew.
const MAX_SPLICES: usize = 512;
/// The most absent or broken manifests that are looked at again each time.
pub(crate) const MAX_TROUBLED: usize = 1024;
/// How much longer than what is added a segment must be to be left as it is.
const STEP: u64 = 8;
/// How often a head is read again whose segments have gone meanwhile.
const TRIES: usize = 5;
const MAGIC: &[u8] = b"ocistow index 2\n";
const HEAD: &str = "head";

/// Where indexes are kept.
#[derive(Clone, Default)]
pub struct Keeper<'m> {
    cabinets: Vec<Cabinet<'m>>,
    worth: u64,
}

impl<'m> Keeper<'m> {
    /// One that keeps the index of a layout in the first of these cabinets in which something can be written.
    pub fn new(cabinets: Vec<Cabinet<'m>>) -> Self {
        Self { cabinets, worth: WORTH_KEEPING }
    }

    /// The same for layouts of any size.
    pub fn always(self) -> Self {
        Self { worth: 0, ..self }
    }

    /// The index.json of a source of which something can be kept.
    fn imprint(&self, source: &dyn Source) -> Result<Option<Imprint>> {
        if self.cabinets.is_empty() || source.access() == Access::OnePass || source.generated() {
            return Ok(None);
        }
        source.imprint()
    }

    /// What tells of this index.json.
    fn right(&self, source: &dyn Source, imprint: &Imprint, watch: &dyn Watch) -> Result<Option<Shelf>> {
        for cabinet in &self.cabinets {
            if let Some((shelf, true)) = Shelf::open(cabinet, imprint, watch)?
                && !shelf.healed(source)
            {
                return Ok(Some(shelf));
            }
        }
        Ok(None)
    }
}

/// A place where a text was put for another: old places behind it have moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Splice {
    /// The segments of this generation and later know of it.
    generation: u64,
    at: u64,
    removed: u64,
    inserted: u64,
}

impl Splice {
    /// Where something stands after it; `None` where it went.
    fn moved(&self, span: Span) -> Option<Span> {
        if span.at + u64::from(span.len) <= self.at {
            return Some(span);
        }
        let behind = span.at.checked_sub(self.at + self.removed)?;
        Some(Span { at: (self.at + self.inserted).checked_add(behind)?, ..span })
    }
}

/// A segment as the head has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    name: String,
    check: [u8; 8],
    generation: u64,
    len: u64,
}

/// What the head says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    stamp: Stamp,
    /// The digest of index.json, where its stamp alone does not tell it from another one.
    hash: Option<Digest>,
    /// Whether the layout is of a sort of which nothing is kept.
    odd: bool,
    /// How many changes there were since the first segment.
    generation: u64,
    /// How many manifests it knows.
    manifests: u64,
    segments: Vec<Named>,
    splices: Vec<Splice>,
    /// Manifests that could not be read, and whether they were not there.
    troubled: Vec<(Digest, bool)>,
}

impl Head {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(MAGIC);
        out.extend(self.stamp.to_bytes());
        out.extend([u8::from(self.odd), u8::from(self.hash.is_some())]);
        if let Some(hash) = &self.hash {
            write_digest(hash, &mut out);
        }
        write_number(self.generation, &mut out);
        write_number(self.manifests, &mut out);
        write_number(self.segments.len() as u64, &mut out);
        for segment in &self.segments {
            write_number(segment.name.len() as u64, &mut out);
            out.extend(segment.name.as_bytes());
            out.extend(segment.check);
            write_number(segment.generation, &mut out);
            write_number(segment.len, &mut out);
        }
        write_number(self.splices.len() as u64, &mut out);
        for splice in &self.splices {
            for number in [splice.generation, splice.at, splice.removed, splice.inserted] {
                write_number(number, &mut out);
            }
        }
        write_number(self.troubled.len() as u64, &mut out);
        for (digest, absent) in &self.troubled {
            out.push(u8::from(*absent));
            write_digest(digest, &mut out);
        }
        out.extend(checksum(&out));
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
        if checksum(body) != check {
            return None;
        }
        let rest = &mut body.strip_prefix(MAGIC)?;
        fn one<'b>(rest: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
            let (front, back) = rest.split_at_checked(len)?;
            *rest = back;
            Some(front)
        }
        let stamp = Stamp::from_bytes(one(rest, Stamp::LEN)?.first_chunk()?);
        let odd = one(rest, 1)? == [1];
        let hash = if one(rest, 1)? == [1] { Some(read_digest(rest)?) } else { None };
        let (generation, manifests) = (read_number(rest)?, read_number(rest)?);
        let mut segments = Vec::new();
        for _ in 0..read_number(rest)? {
            let len = usize::try_from(read_number(rest)?).ok()?;
            let name = String::from_utf8(one(rest, len)?.to_vec()).ok()?;
            // Written by whoever wrote the head: it has to stay in the cabinet.
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            if !name.starts_with("segment-") || !name.bytes().all(plain) {
                return None;
            }
            let check = *one(rest, 8)?.first_chunk()?;
            segments.push(Named { name, check, generation: read_number(rest)?, len: read_number(rest)? });
        }
        let mut splices = Vec::new();
        for _ in 0..read_number(rest)? {
            let [generation, at, removed, inserted] =
                [read_number(rest)?, read_number(rest)?, read_number(rest)?, read_number(rest)?];
            at.checked_add(removed)?;
            at.checked_add(inserted)?;
            splices.push(Splice { generation, at, removed, inserted });
        }
        let mut troubled = Vec::new();
        for _ in 0..read_number(rest)? {
            let absent = one(rest, 1)? == [1];
            troubled.push((read_digest(rest)?, absent));
        }
        rest.is_empty().then_some(Self { stamp, hash, odd, generation, manifests, segments, splices, troubled })
    }

    /// Where something stands now that stood there when a segment of this generation was written; `None` where it went.
    fn now(&self, span: Span, generation: u64) -> Option<Span> {
        let later = self.splices.iter().filter(|splice| splice.generation > generation);
        later.into_iter().try_fold(span, |span, splice| splice.moved(span))
    }
}

/// What is kept about a layout, open.
pub(crate) struct Kept {
    shelf: Shelf,
    imprint: Imprint,
}

/// A head and the segments it names, each with its generation.
struct Shelf {
    head: Head,
    segments: Vec<(u64, Segment)>,
}

/// Something kept is damaged: it is of no use, and whoever needs it does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged;

impl Kept {
    /// What is kept of a source as it is now: made, or brought up to date, where there is none and it is worth it. `None`
    /// where there is none. `Err` where index.json cannot be read, or the watcher asked to stop.
    pub(crate) fn of(source: &dyn Source, keeper: &Keeper<'_>, load: Load, watch: &dyn Watch) -> Result<Option<Self>> {
        let Some(imprint) = keeper.imprint(source)? else { return Ok(None) };
        if let Some(shelf) = keeper.right(source, &imprint, watch)? {
            return Ok((!shelf.head.odd).then_some(Self { shelf, imprint }));
        }
        let known = keeper.cabinets.iter().any(|cabinet| cabinet.open(HEAD).is_some());
        if !known && imprint.len() < keeper.worth {
            return Ok(None);
        }
        build::build(source, imprint, keeper, load, watch)
    }

    /// What is kept of a source as it is now; `None` where that would have to be made or brought up to date. `Err` as
    /// [`of`](Self::of).
    pub(crate) fn ready(source: &dyn Source, keeper: &Keeper<'_>, watch: &dyn Watch) -> Result<Option<Self>> {
        let Some(imprint) = keeper.imprint(source)? else { return Ok(None) };
        let shelf = keeper.right(source, &imprint, watch)?;
        Ok(shelf.filter(|shelf| !shelf.head.odd).map(|shelf| Self { shelf, imprint }))
    }

    /// The manifests that could not be read.
    pub(crate) fn troubled(&self) -> impl Iterator<Item = &Digest> {
        self.shelf.head.troubled.iter().map(|(digest, _)| digest)
    }

    /// Everything known under a key, each once, in order.
    pub(crate) fn rows(&self, key: &Key) -> std::result::Result<Vec<Row>, Damaged> {
        self.shelf.rows(key)
    }

    /// An index.json of some entries only, in the order of the whole one.
    pub(crate) fn index(&self, spans: &BTreeSet<Span>) -> std::result::Result<IndexFile, Damaged> {
        let mut text = String::from(r#"{"schemaVersion":2,"manifests":["#);
        let mut end = 0;
        for (at, span) in spans.iter().enumerate() {
            // No two entries overlap: else a few rows would name one twice, and take any memory.
            let next = span.at.checked_add(span.len.into()).filter(|next| *next <= self.imprint.len());
            end = next.filter(|_| span.at >= end).ok_or(Damaged)?;
            text.push_str(if at == 0 { "" } else { "," });
            text.push_str(&self.text(*span)?);
        }
        text.push_str("]}");
        let index = IndexFile::parse(text.into_bytes()).map_err(|_| Damaged)?;
        // Whatever it was that stood there, it was as many entries.
        let whole = index.entries().len() == spans.len() && index.descriptors().is_ok();
        if whole { Ok(index) } else { Err(Damaged) }
    }

    /// The text of an entry.
    fn text(&self, span: Span) -> std::result::Result<String, Damaged> {
        let mut bytes = vec![0; span.len as usize];
        match self.imprint.read(&mut bytes, span.at) {
            Ok(got) if got == bytes.len() => String::from_utf8(bytes).map_err(|_| Damaged),
            _ => Err(Damaged),
        }
    }
}

impl Shelf {
    /// What a cabinet has, and whether it tells of this index.json. `None` where it has nothing that is whole.
    fn open(cabinet: &Cabinet<'_>, imprint: &Imprint, watch: &dyn Watch) -> Result<Option<(Self, bool)>> {
        for _ in 0..TRIES {
            let Some(drawer) = cabinet.open(HEAD) else { return Ok(None) };
            let Some(head) = drawer.all(MAX_HEAD).and_then(|bytes| Head::from_bytes(&bytes)) else { return Ok(None) };
            let open = |named: &Named| {
                let drawer = cabinet.open(&named.name)?;
                Some((named.generation, Segment::open(drawer, named.check)?))
            };
            // One that has gone was replaced by somebody who wrote another head by now.
            let Some(segments) = head.segments.iter().map(open).collect::<Option<Vec<_>>>() else { continue };
            let right = head.stamp == *imprint.stamp() && same(cabinet, &head, imprint, watch)?;
            return Ok(Some((Self { head, segments }, right)));
        }
        Ok(None)
    }

    /// Whether one of the manifests that were not there has come.
    fn healed(&self, source: &dyn Source) -> bool {
        let absent = self.head.troubled.iter().filter(|(_, absent)| *absent);
        absent.into_iter().any(|(digest, _)| matches!(source.size(digest), Ok(Some(_))))
    }

    fn rows(&self, key: &Key) -> std::result::Result<Vec<Row>, Damaged> {
        let mut rows = Vec::new();
        for (generation, segment) in &self.segments {
            let from = rows.len();
            segment.get(key, &mut rows).ok_or(Damaged)?;
            if *generation < self.head.generation {
                let found = rows.split_off(from);
                rows.extend(found.into_iter().filter_map(|row| self.head.moved(row, *generation)));
            }
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    /// What is remembered of a manifest.
    fn gist(&self, key: &Key) -> std::result::Result<Option<Gist>, Damaged> {
        let gist = |row| if let Row::Gist(gist) = row { Some(gist) } else { None };
        Ok(self.rows(key)?.into_iter().find_map(gist))
    }
}

impl Head {
    /// A row of a segment as it is now; `None` where what it points to went.
    fn moved(&self, row: Row, generation: u64) -> Option<Row> {
        match row.span() {
            Some(span) => Some(row.moved(self.now(span, generation)?)),
            None => Some(row),
        }
    }
}

/// Whether an index.json of the same stamp is the same one.
fn same(cabinet: &Cabinet<'_>, head: &Head, imprint: &Imprint, watch: &dyn Watch) -> Result<bool> {
    let Some(hash) = &head.hash else { return Ok(true) };
    let now = hashed(imprint, watch)?;
    if now.as_ref() != Some(hash) || !imprint.unchanged() {
        return Ok(false);
    }
    // The next one need not hash it, if by now every change would show.
    if let Taking::Alone(alone) = cabinet.take()
        && cabinet.now(&alone).is_some_and(|now| imprint.settled(&now))
    {
        let still = || cabinet.open(HEAD)?.all(MAX_HEAD);
        if still().is_some_and(|bytes| bytes == head.to_bytes()) {
            // Where it cannot be written, the next one hashes again.
            let _ = write_head(cabinet, &alone, &Head { hash: None, ..head.clone() });
        }
    }
    Ok(true)
}

/// The digest of index.json; `None` where it cannot be read.
fn hashed(imprint: &Imprint, watch: &dyn Watch) -> Result<Option<Digest>> {
    let mut hasher = Hasher::Sha256(Default::default());
    let mut window = vec![0; 256 << 10];
    let mut at = 0;
    while at < imprint.len() {
        watch.go_on()?;
        match imprint.read(&mut window, at) {
            Ok(0) | Err(_) => return Ok(None),
            Ok(got) => {
                hasher.update(&window[..got]);
                at += got as u64;
            }
        }
    }
    Ok(Some(hasher.finish()))
}

fn write_head(cabinet: &Cabinet<'_>, alone: &Alone, head: &Head) -> Result<()> {
    let bytes = head.to_bytes();
    cabinet.put(alone, HEAD, &mut |filling| filling.write(&bytes))
}

/// Writes a segment with what `groups` writes.
fn write_segment(
    cabinet: &Cabinet<'_>,
    alone: &Alone,
    generation: u64,
    groups: &mut dyn FnMut(&mut Writer<'_, '_>) -> io::Result<()>,
) -> Result<Named> {
    let name = cabinet.fresh("segment");
    let mut written = ([0; 8], 0);
    cabinet.put(alone, &name, &mut |filling| {
        let mut writer = Writer::new(filling);
        groups(&mut writer)?;
        written = writer.finish()?;
        Ok(())
    })?;
    let (check, len) = written;
    Ok(Named { name, check, generation, len })
}

/// The groups of several segments as one, in order of keys, with their rows as they are now.
struct Merged<'s> {
    head: &'s Head,
    from: Vec<Run<'s>>,
}

/// What is left of one segment.
struct Run<'s> {
    generation: u64,
    groups: segment::Groups<'s>,
    next: Option<(Key, Vec<Row>)>,
}

impl<'s> Merged<'s> {
    fn new(
        head: &'s Head,
        segments: impl IntoIterator<Item = &'s (u64, Segment)>,
    ) -> std::result::Result<Self, Damaged> {
        let mut from = Vec::new();
        for (generation, segment) in segments {
            let mut groups = segment.groups();
            let next = groups.next().ok_or(Damaged)?;
            from.push(Run { generation: *generation, groups, next });
        }
        Ok(Self { head, from })
    }

    fn next(&mut self) -> std::result::Result<Option<(Key, Vec<Row>)>, Damaged> {
        let keys = self.from.iter().filter_map(|run| run.next.as_ref().map(|(key, _)| *key));
        let Some(least) = keys.min() else { return Ok(None) };
        let mut rows = Vec::new();
        for run in &mut self.from {
            if let Some((_, own)) = run.next.take_if(|(key, _)| *key == least) {
                rows.extend(own.into_iter().filter_map(|row| self.head.moved(row, run.generation)));
                run.next = run.groups.next().ok_or(Damaged)?;
            }
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(Some((least, rows)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocistow_layout::Unwatched;
    use ocistow_layout::medium::Disk;
    use proptest::prelude::*;

    fn head() -> Head {
        Head {
            stamp: Stamp::from_bytes(&[7; Stamp::LEN]),
            hash: Some(Digest::of(b"x")),
            odd: false,
            generation: 3,
            manifests: 4,
            segments: vec![Named { name: "segment-1".into(), check: [5; 8], generation: 0, len: 6 }],
            splices: vec![Splice { generation: 2, at: 10, removed: 4, inserted: 6 }],
            troubled: vec![(Digest::of(b"y"), true)],
        }
    }

    #[test]
    fn a_head_comes_back_and_a_damaged_one_does_not() {
        let bytes = head().to_bytes();
        assert_eq!(Head::from_bytes(&bytes), Some(head()));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Head::from_bytes(&damaged), None);
            assert_eq!(Head::from_bytes(&bytes[..at]), None);
        }
    }

    /// Whoever writes what is kept can compute its checksums, and point anywhere.
    #[test]
    fn no_entry_is_named_twice_by_places_that_overlap() {
        let dir = tempfile::tempdir().unwrap();
        let (path, cache) = (dir.path().join("layout"), dir.path().join("cache"));
        let mut layout = ocistow_testkit::draw("image one:1 = base\nimage two:2 = base").memory;
        layout.index = String::from_utf8(layout.index).unwrap().replace("{\"mediaType", "  {\"mediaType").into_bytes();
        ocistow_testkit::to_dir(&layout, &path).unwrap();
        let source = ocistow_layout::open(&path, &Unwatched).unwrap();
        let keeper = Keeper::new(Cabinet::of(&path, Some(&cache), &Disk)).always();
        let load = Load { threads: 1, scan_blobs: false };
        let kept = Kept::of(&*source, &keeper, load, &Unwatched).unwrap().unwrap();
        let listed = kept.rows(&row::of_listed()).unwrap();
        let entries: BTreeSet<Span> = listed.iter().filter_map(Row::span).collect();
        let first = *entries.first().unwrap();
        let named = |spans: &[Span]| kept.index(&spans.iter().copied().collect()).map(|index| index.entries().len());
        assert_eq!(named(&entries.iter().copied().collect::<Vec<_>>()), Ok(2));
        for other in [
            Span { at: first.at - 1, len: first.len + 1 },
            Span { at: first.at, len: first.len + 1 },
            Span { at: first.at + 1, len: 1 },
        ] {
            assert_eq!(named(&[first, other]), Err(Damaged), "{other:?}");
        }
        // Nor is memory taken for what does not end in index.json.
        for beyond in [Span { at: first.at, len: u32::MAX }, Span { at: u64::MAX, len: 2 }] {
            assert_eq!(named(&[beyond]), Err(Damaged));
        }
    }

    #[test]
    fn places_move_with_what_was_put_in_front_of_them() {
        let now = |at, len| head().now(Span { at, len }, 0).map(|span| span.at);
        assert_eq!(now(0, 10), Some(0));
        assert_eq!(now(5, 6), None);
        assert_eq!(now(10, 4), None);
        assert_eq!(now(12, 9), None);
        assert_eq!(now(14, 2), Some(16));
        assert_eq!(head().now(Span { at: 12, len: 9 }, 2), Some(Span { at: 12, len: 9 }));
    }

    proptest! {
        #[test]
        fn no_head_makes_reading_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut whole = Vec::from(MAGIC);
            whole.append(&mut bytes);
            whole.extend(checksum(&whole));
            let _ = Head::from_bytes(&whole);
        }
    }
}
