//! What was made here, entering a layout: decided on what is there, and decided again where somebody else was faster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ocistow_graph::{Asked, Graph, Import, Made, Reach, ReferrersAs};
use ocistow_layout::edit::{Edit, entries};
use ocistow_layout::index::EMPTY_INDEX;
use ocistow_layout::name::Pair;
use ocistow_layout::transaction::{Transaction, writable};
use ocistow_layout::{Blob, Content, Descriptor, Digest, IndexFile, Result, Source, Unwatched};

use crate::again::Again;
use crate::commands::at;
use crate::commands::export::moved;
use crate::meanwhile::Meanwhile;
use crate::speak::Context;

/// The name that something gets.
#[derive(Debug, Clone, Copy)]
pub enum Under<'n> {
    /// None.
    Nothing,
    /// None: it is found by what it refers to, which is recorded in this way.
    Subject(ReferrersAs),
    /// This reference, whatever it stood for.
    Name(&'n str),
    /// This reference, in the place of what it was made of: Conflict where that is not there any more.
    InPlaceOf(&'n str, &'n Digest),
}

/// Publishes a manifest, and what it needs as far as that was staged, in the layout at `path`. Gives the tags it has
/// then. On `Err` nothing that was there before is changed.
pub fn enter(
    context: &Context<'_>,
    path: &Path,
    transaction: &mut Transaction<'_>,
    made: &Made,
    staged: &[Blob],
    under: Under<'_>,
) -> Result<Vec<String>> {
    transaction.put(&made.blob(), Content::Bytes(&made.bytes))?;
    let mut again = Again::new(context);
    if made.facts.subject.is_some() {
        // Somebody may be making the list that it has to be in.
        transaction.keep_index()?;
    }
    loop {
        let there = writable(path)?;
        let target = standing(there.as_ref().map(|there| there as &dyn Source))?;
        let import = match under {
            Under::Nothing | Under::Subject(ReferrersAs::Entries) => made.enter(None, &target)?,
            Under::Subject(way) => attach(context, path, made, way, &target)?,
            Under::Name(reference) => made.enter(Some(reference), &target)?,
            Under::InPlaceOf(reference, old) => made.replace(old, reference, &target)?,
        };
        // Wholes in front: they are published last.
        let mut order = Vec::new();
        for (digest, bytes) in &import.inline {
            let list = Blob { digest: digest.clone(), size: bytes.len() as u64 };
            transaction.put(&list, Content::Bytes(bytes))?;
            order.push(list);
        }
        order.push(made.blob());
        order.extend(staged.iter().cloned());
        let tags = Entered::after(&target.index, &import.edits, &made.facts.digest)?.tags();
        // It may be large, and is read again.
        drop(target);
        match transaction.publish(&order, &import.edits) {
            Err(why) if matches!(under, Under::InPlaceOf(..)) => return Err(why),
            Err(why) => again.undisturbed_after(why, transaction)?,
            Ok(_) => {
                context.log(&format!("waited {:.3} s for the disk", transaction.barrier().as_secs_f64()));
                moved(context, &import.moved);
                return Ok(tags);
            }
        }
    }
}

/// Decides how a referrer comes in with a list of all that refer to the same.
fn attach(context: &Context<'_>, path: &Path, made: &Made, way: ReferrersAs, target: &Meanwhile<'_>) -> Result<Import> {
    let Some((there, subject)) = target.under.zip(made.facts.subject.as_ref()) else {
        return made.attach(way, &[], target);
    };
    let (asked, reach) = ([Asked::Digest(subject.digest.clone())], Reach::Referrers { levels: 1, children: false });
    let graph = Graph::near(there, &asked, reach, &context.keeper(path), at::load(context, false), &Unwatched)?;
    graph.unread().verdict()?;
    let edges = graph.referrers(&subject.digest).iter().filter_map(|edge| graph.facts(&edge.referrer));
    // What only a tag or an entry says, no list does (REFERRERS-15).
    let own = edges.filter(|facts| facts.subject.as_ref().is_some_and(|own| own.digest == subject.digest));
    made.attach(way, &own.collect::<Vec<_>>(), target)
}

/// A layout as it stands; an empty one where there is none.
pub fn standing(there: Option<&dyn Source>) -> Result<Meanwhile<'_>> {
    let index = match there {
        Some(there) => there.index()?,
        None => IndexFile::parse(EMPTY_INDEX.to_vec())?,
    };
    Ok(Meanwhile { index, made: BTreeMap::new(), under: there })
}

/// What a digest is in a layout: its entries there.
#[derive(Debug, Clone, Default)]
pub struct Entered(pub Vec<Descriptor>);

impl Entered {
    /// What it is once `edits` are made.
    pub fn after(index: &IndexFile, edits: &[Edit], digest: &Digest) -> Result<Self> {
        entries(index, edits, digest).map(Self)
    }

    /// Its tags, sorted, each once.
    pub fn tags(&self) -> Vec<String> {
        let tags = self.0.iter().filter_map(|entry| Pair::of(entry).tag().map(str::to_owned));
        tags.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The entry of that name; else one with that tag, else the first, so that whoever is told of it is told what is there.
    pub fn called(&self, pair: &Pair) -> Option<&Descriptor> {
        let same = self.0.iter().find(|entry| Pair::of(entry).key() == pair.key());
        let alike = || self.0.iter().find(|entry| pair.tag().is_some() && Pair::of(entry).tag() == pair.tag());
        same.or_else(alike).or_else(|| self.0.first())
    }
}
