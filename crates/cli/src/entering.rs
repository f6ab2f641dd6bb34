//! What was made here, entering a layout: decided on what is there, and decided again where somebody else was faster.

use std::collections::BTreeMap;
use std::path::Path;

use ocistow_graph::Made;
use ocistow_layout::edit::apply;
use ocistow_layout::index::{EMPTY_INDEX, Entry};
use ocistow_layout::transaction::{Transaction, writable};
use ocistow_layout::{Blob, Content, Digest, IndexFile, Result, Source};

use crate::again::Again;
use crate::commands::export::moved;
use crate::meanwhile::Meanwhile;
use crate::speak::Context;

/// The name that something gets.
#[derive(Debug, Clone, Copy)]
pub enum Under<'n> {
    /// None.
    Nothing,
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
    loop {
        let there = writable(path)?;
        let target = standing(there.as_ref().map(|there| there as &dyn Source))?;
        let import = match under {
            Under::Nothing => made.enter(None, &target)?,
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
        match transaction.publish(&order, &import.edits) {
            Err(why) if matches!(under, Under::InPlaceOf(..)) => return Err(why),
            Err(why) => again.undisturbed_after(why, transaction)?,
            Ok(_) => {
                context.log(&format!("waited {:.3} s for the disk", transaction.barrier().as_secs_f64()));
                moved(context, &import.moved);
                let after = IndexFile::parse(apply(&target.index, &import.edits)?)?;
                return Ok(tags(&after, &made.facts.digest));
            }
        }
    }
}

/// A layout as it stands; an empty one where there is none.
pub fn standing(there: Option<&dyn Source>) -> Result<Meanwhile<'_>> {
    let index = match there {
        Some(there) => there.index()?,
        None => IndexFile::parse(EMPTY_INDEX.to_vec())?,
    };
    Ok(Meanwhile { index, made: BTreeMap::new(), under: there })
}

/// The tags of a digest, sorted, each once.
pub fn tags(index: &IndexFile, digest: &Digest) -> Vec<String> {
    let own = |entry: &&Entry| entry.descriptor.as_ref().is_ok_and(|own| own.digest == *digest);
    let tags = index.entries().iter().filter(own).filter_map(|entry| entry.pair.tag().map(str::to_owned));
    let mut tags: Vec<String> = tags.collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}
