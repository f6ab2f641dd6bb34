//! What `ls` tells of each entry of index.json: what it is, what it is there for, how many refer to it.

use std::collections::BTreeSet;

use ocistow_layout::{Descriptor, IndexFile, Kind, Result, Source, Watch};

use crate::facts::{Form, ManifestKind, told_type};
use crate::graph::{self, Broken, Graph, Load, Node, Standing, Unread, embedded};
use crate::kept::row::{self, Gist, Row, Shown, Span};
use crate::kept::{Damaged, Keeper, Kept};
use crate::manifest::Manifest;

/// The entries of a layout that are listed.
#[derive(Debug, Clone)]
pub struct Listing {
    /// index.json; where not all are listed, it may lack entries that have no name and are not listed.
    pub index: IndexFile,
    /// What is listed, in the order of index.json.
    pub rows: Vec<Listed>,
    /// What could not be read: its kind and type are not known, nor whom it refers to.
    pub unread: Unread,
}

/// An entry that is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its place in [`Listing::index`].
    pub place: usize,
    /// What it is there for.
    pub standing: Standing,
    /// What sort of manifest it is; `None` where it is absent or broken.
    pub kind: Option<ManifestKind>,
    /// Whether it is not there.
    pub absent: bool,
    /// The artifact type that the manifest itself gives: an image's only where it is declared.
    pub artifact_type: Option<String>,
    /// How many manifests refer to it.
    pub referrers: usize,
}

/// Lists the entries of a layout: all of them, or only those that do not just serve others, which are fallback and
/// cosign tags, and referrers without a name. Kinds, types and counts come from what `keeper` keeps, if there is
/// anything. `Err` as [`Graph::load`]; Integrity where an entry that is listed is no descriptor.
pub fn listing(source: &dyn Source, all: bool, keeper: &Keeper<'_>, load: Load, watch: &dyn Watch) -> Result<Listing> {
    if !all
        && let Some(kept) = Kept::of(source, keeper, load, watch)?
        && let Ok(listing) = from_kept(source, &kept)
    {
        return Ok(listing);
    }
    let graph = Graph::load(source, load, watch)?;
    let mut rows = Vec::new();
    for (place, entry) in graph.index().entries().iter().enumerate() {
        let standing = graph.standing(place);
        if all || shown(standing, entry.tagged()) {
            let digest = &entry.descriptor(place)?.digest;
            let typed = graph.manifest(digest).and_then(Manifest::told_type);
            rows.push(Listed {
                place,
                standing,
                kind: graph.kind(digest),
                absent: graph.absent(digest),
                artifact_type: typed.map(str::to_owned),
                referrers: graph.referrers(digest).len(),
            });
        }
    }
    let unread = graph.unread();
    Ok(Listing { index: graph.into_index(), rows, unread })
}

fn shown(standing: Standing, tagged: bool) -> bool {
    match standing {
        Standing::Root => true,
        Standing::Referrer => tagged,
        Standing::List | Standing::Cosign => false,
    }
}

fn from_kept(source: &dyn Source, kept: &Kept) -> std::result::Result<Listing, Damaged> {
    let listed = |row: Row| if let Row::Listed(span, shown) = row { Some((span, shown)) } else { None };
    let mut entries: Vec<(Span, Shown)> = kept.rows(&row::of_listed())?.into_iter().filter_map(listed).collect();
    entries.sort_unstable();
    entries.dedup_by_key(|(span, _)| *span);
    let spans: BTreeSet<Span> = entries.iter().map(|(span, _)| *span).collect();
    let index = kept.index(&spans)?;
    let (mut rows, mut unread) = (Vec::new(), Unread::default());
    for (place, (entry, (_, is))) in index.entries().iter().zip(&entries).enumerate() {
        let standing = match is {
            Shown::Root => Standing::Root,
            Shown::Referrer => Standing::Referrer,
            Shown::List => Standing::List,
            Shown::Cosign => Standing::Cosign,
        };
        if shown(standing, entry.tagged()) {
            let descriptor = entry.descriptor.as_ref().map_err(|_| Damaged)?;
            let known = kept.rows(&row::of_digest(&descriptor.digest))?;
            rows.push(from_rows(source, descriptor, place, standing, known, &mut unread));
        }
    }
    Ok(Listing { index, rows, unread })
}

/// What the rows about an entry's digest say; what they do not know is read.
fn from_rows(
    source: &dyn Source,
    descriptor: &Descriptor,
    place: usize,
    standing: Standing,
    rows: Vec<Row>,
    unread: &mut Unread,
) -> Listed {
    let referrers = rows.iter().filter(|row| matches!(row, Row::Referrer(_))).count();
    let is = |kind, absent, artifact_type| Listed { place, standing, kind, absent, artifact_type, referrers };
    let size = source.size(&descriptor.digest);
    if let Err(why) = &size
        && why.kind() == Kind::Failed
    {
        unread.0.insert(descriptor.digest.clone(), why.chain());
        return is(None, false, None);
    }
    if Form::of(&descriptor.media_type).is_none() {
        let there = matches!(size, Ok(Some(_))) || embedded(descriptor).is_some();
        return is(there.then_some(ManifestKind::Other), !there, None);
    }
    let known = rows.into_iter().find_map(|row| if let Row::Gist(gist) = row { Some(gist) } else { None });
    let (kind, (artifact_type, declared)) = match known {
        // It was there; whether it still is, its length tells.
        Some(_) if matches!(size, Ok(None)) => return is(None, true, None),
        Some(Gist { kind, artifact_type: Some(typed), size: was, .. }) if matches!(size, Ok(Some(now)) if now == was) => {
            (kind, typed)
        }
        _ => match graph::read(source, descriptor).0 {
            Node::Present(manifest) => {
                let (artifact_type, declared) = manifest.effective_type();
                (manifest.kind(), (artifact_type.map(str::to_owned), declared))
            }
            Node::Absent => return is(None, true, None),
            Node::Broken(why) => {
                if let Broken::Unread(why) = why {
                    unread.0.insert(descriptor.digest.clone(), why);
                }
                return is(None, false, None);
            }
        },
    };
    is(Some(kind), false, told_type(kind, artifact_type, declared))
}
