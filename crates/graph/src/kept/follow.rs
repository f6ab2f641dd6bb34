//! Keeping up with changes of our own: what they added becomes a segment of its own, and nothing else is read.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use ocistow_layout::cabinet::{Alone, Cabinet, Taking};
use ocistow_layout::directory::Directory;
use ocistow_layout::medium::Medium;
use ocistow_layout::stamp::Stamp;
use ocistow_layout::transaction::{Change, Follow};
use ocistow_layout::{Digest, Unwatched};

use super::build::{Found, Proof};
use super::row::{self, Child, Row};
use super::{
    HEAD, Head, MAX_HEAD, MAX_SPLICES, MAX_TROUBLED, Merged, Named, STEP, Shelf, Splice, write_head, write_segment,
};
use crate::facts::Form;
use crate::graph::{self, CONTAINERD_SUBJECT, Walk};
use crate::kept::segment::Segment;

/// Keeps what is kept of layouts true to the changes that transactions make.
///
/// It never reads a manifest that was read before, and gives up, so that the next look finds out for itself, where a
/// change may have made something unreachable that refers to something.
pub struct Following<'m> {
    /// The user's cache directory.
    pub cache: Option<PathBuf>,
    /// What is written to.
    pub medium: &'m dyn Medium,
}

impl Follow for Following<'_> {
    fn published(&self, layout: &Directory, change: &Change<'_>) {
        for cabinet in Cabinet::of(layout.root(), self.cache.as_deref(), self.medium) {
            if cabinet.open(HEAD).is_none() {
                continue;
            }
            let Taking::Alone(alone) = cabinet.take() else { continue };
            if follow(&cabinet, &alone, layout, change).is_none() {
                // It is found out anew: index.json may even be the same, where only blobs came.
                let head = cabinet.open(HEAD).and_then(|drawer| Head::from_bytes(&drawer.all(MAX_HEAD)?));
                let outdated = head.map(|head| Head { stamp: Stamp::NONE, ..head });
                let told = outdated.is_some_and(|head| write_head(&cabinet, &alone, &head).is_ok());
                if !told {
                    cabinet.clear(&alone, &|_| false);
                }
            }
        }
    }
}

fn follow(cabinet: &Cabinet<'_>, alone: &Alone, layout: &Directory, change: &Change<'_>) -> Option<()> {
    let head = Head::from_bytes(&cabinet.open(HEAD)?.all(MAX_HEAD)?)?;
    let told_of = |hash: &Digest| Digest::of(change.before.bytes()) == *hash;
    if head.odd || head.stamp != change.stamp || !head.hash.as_ref().is_none_or(told_of) {
        return None;
    }
    let open = |named: &Named| Some((named.generation, Segment::open(cabinet.open(&named.name)?, named.check)?));
    let segments = head.segments.iter().map(open).collect::<Option<Vec<_>>>()?;
    let gone = change.after.gone(change.before);
    let mut next = head.clone();
    next.generation += 1;
    let (front, back) = (change.after.front as u64, change.after.back as u64);
    if !gone.is_empty() || back > 0 {
        let replaced = |len: usize| (len as u64).checked_sub(front + back);
        next.splices.push(Splice {
            generation: next.generation,
            at: front,
            removed: replaced(change.before.bytes().len())?,
            inserted: replaced(change.after.bytes.len())?,
        });
    }
    let shelf = Shelf { head: next, segments };
    let mut found = Found::of_change();
    let mut plain = true;
    if !(change.after.come(&mut |text, span| plain = plain && found.enter(text.to_owned(), span)) && plain) {
        return None;
    }
    let mut arrived = HashSet::new();
    let mut called = Called::default();
    for blob in change.blobs {
        let rows = shelf.rows(&row::of_digest(&blob.digest)).ok()?;
        if rows.iter().any(|row| matches!(row, Row::Gist(_))) {
            continue;
        }
        if rows.iter().any(|row| matches!(row, Row::Entry(_))) {
            // What its entry is there for was not known before.
            return None;
        }
        for form in called.by_holders(&shelf, &blob.digest, &rows)? {
            arrived.insert(blob.digest.clone());
            found.want(&blob.digest, form);
        }
    }
    let walk = Walk::new(layout, 1, &Unwatched, &[]).ok()?;
    if !found.learn(walk, Some(&shelf)).ok()?
        || found.unread
        || !found.stands_alone(&shelf)?
        || !nothing_lost(&shelf, &found, gone)?
    {
        return None;
    }
    found.settle();
    let Shelf { head: mut next, segments } = shelf;
    let named = write_segment(cabinet, alone, next.generation, &mut |writer| found.write(writer)).ok()?;
    next.manifests += found.manifests();
    next.troubled.retain(|(digest, _)| !arrived.contains(digest));
    next.troubled.extend(found.troubled());
    next.troubled.truncate(MAX_TROUBLED);
    let next = stacked(cabinet, alone, next, segments, named)?;
    let hash = match Proof::of(cabinet, alone, &change.imprint)? {
        Proof::Stamp => None,
        Proof::Hash => Some(Digest::of(&change.after.bytes)),
    };
    let next = Head { stamp: *change.imprint.stamp(), hash, ..next };
    write_head(cabinet, alone, &next).ok()?;
    cabinet.clear(alone, &|name| name == HEAD || next.segments.iter().any(|segment| segment.name == name));
    Some(())
}

/// The head with one more segment, which is made one with those that are not much longer.
fn stacked(
    cabinet: &Cabinet<'_>,
    alone: &Alone,
    mut head: Head,
    mut segments: Vec<(u64, Segment)>,
    named: Named,
) -> Option<Head> {
    let mut len = named.len;
    segments.push((named.generation, Segment::open(cabinet.open(&named.name)?, named.check)?));
    head.segments.push(named);
    let all = head.splices.len() > MAX_SPLICES;
    let mut first = segments.len() - 1;
    while first > 0 && (all || segments[first - 1].1.len() <= STEP * len) {
        first -= 1;
        len += segments[first].1.len();
    }
    if first + 1 < segments.len() {
        let merged = write_segment(cabinet, alone, head.generation, &mut |writer| {
            let torn = |_| std::io::Error::other("a segment is damaged");
            let mut groups = Merged::new(&head, &segments[first..]).map_err(torn)?;
            while let Some((key, rows)) = groups.next().map_err(torn)? {
                writer.group(&key, &rows)?;
            }
            Ok(())
        });
        let merged = merged.ok()?;
        head.segments.truncate(first);
        head.segments.push(merged);
    }
    let oldest = head.segments.iter().map(|segment| segment.generation).min()?;
    head.splices.retain(|splice| splice.generation > oldest);
    Some(head)
}

/// What indexes call their children, each index looked up once.
#[derive(Default)]
struct Called {
    holders: HashSet<Digest>,
    forms: HashMap<Digest, BTreeSet<Form>>,
}

impl Called {
    /// What those that hold a child call it. `None` where what is kept is damaged.
    fn by_holders(&mut self, shelf: &Shelf, child: &Digest, rows: &[Row]) -> Option<BTreeSet<Form>> {
        for row in rows {
            if let Row::Holder(holder) = row
                && self.holders.insert(holder.clone())
            {
                for Child { digest, form, .. } in shelf.gist(&row::of_digest(holder)).ok()??.children {
                    self.forms.entry(digest).or_default().insert(form);
                }
            }
        }
        Some(self.forms.get(child).cloned().unwrap_or_default())
    }
}

/// Whether everything that refers to something can still be reached without the entries that went. `None` where what is
/// kept is damaged.
fn nothing_lost(shelf: &Shelf, found: &Found, gone: &[ocistow_layout::index::Entry]) -> Option<bool> {
    let mut listed: Option<BTreeSet<Digest>> = None;
    for entry in gone {
        let Ok(descriptor) = &entry.descriptor else { return Some(false) };
        if found.has_entered(&descriptor.digest) {
            continue;
        }
        let claims = graph::cosign(&entry.pair).is_some() || descriptor.annotation(CONTAINERD_SUBJECT).is_some();
        let rows = shelf.rows(&row::of_digest(&descriptor.digest)).ok()?;
        if rows.iter().any(|row| matches!(row, Row::Entry(_))) && !claims {
            continue;
        }
        let gist = rows.into_iter().find_map(|row| if let Row::Gist(gist) = row { Some(gist) } else { None });
        let Some(gist) = gist else { continue };
        if claims || gist.subject.is_some() {
            return Some(false);
        }
        // A list of referrers that was made longer has everything that was in it.
        let listed = listed.get_or_insert_with(|| found.listed());
        if !gist.children.iter().all(|child| listed.contains(&child.digest)) {
            return Some(false);
        }
    }
    Some(true)
}
