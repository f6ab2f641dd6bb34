//! What was made here, entering a layout: decided on what is there, and decided again where somebody else was faster.

use std::collections::BTreeMap;
use std::path::Path;

use ocistow_graph::Made;
use ocistow_layout::edit::apply;
use ocistow_layout::index::EMPTY_INDEX;
use ocistow_layout::transaction::{Transaction, writable};
use ocistow_layout::{Blob, Content, IndexFile, Kind, Result, Source};

use crate::commands::export::moved;
use crate::meanwhile::Meanwhile;
use crate::speak::Context;

/// How often somebody else may change what an entering was decided on.
const TRIES: usize = 20;

/// Publishes a manifest, and what it needs as far as that was staged, in the layout at `path`, under `reference` or
/// without a name. Gives the tags it has then. On `Err` nothing that was there before is changed.
pub fn enter(
    context: &Context<'_>,
    path: &Path,
    transaction: &mut Transaction<'_>,
    made: &Made,
    staged: &[Blob],
    reference: Option<&str>,
) -> Result<Vec<String>> {
    transaction.put(&made.blob(), Content::Bytes(&made.bytes))?;
    let mut tries = 0;
    loop {
        let there = writable(path)?;
        let under = there.as_ref().map(|there| there as &dyn Source);
        let index = match under {
            Some(there) => there.index()?,
            None => IndexFile::parse(EMPTY_INDEX.to_vec())?,
        };
        let target = Meanwhile { index, made: BTreeMap::new(), under };
        let import = made.enter(reference, &target)?;
        // Wholes in front: they are published last.
        let mut order = vec![made.blob()];
        for (digest, bytes) in &import.inline {
            let list = Blob { digest: digest.clone(), size: bytes.len() as u64 };
            transaction.put(&list, Content::Bytes(bytes))?;
            order.insert(0, list);
        }
        order.extend(staged.iter().cloned());
        match transaction.publish(&order, &import.edits) {
            Err(why) if why.kind() == Kind::Conflict && tries < TRIES => {
                tries += 1;
                context.log(&format!("{}: deciding again", why.chain()));
            }
            Err(why) => return Err(why),
            Ok(_) => {
                context.log(&format!("waited {:.3} s for the disk", transaction.barrier().as_secs_f64()));
                moved(context, &import.moved);
                let after = IndexFile::parse(apply(&target.index, &import.edits)?)?;
                let own = |entry: &&ocistow_layout::index::Entry| {
                    entry.descriptor.as_ref().is_ok_and(|own| own.digest == made.facts.digest)
                };
                let tags = after.entries().iter().filter(own).filter_map(|entry| entry.pair.tag().map(str::to_owned));
                let mut tags: Vec<String> = tags.collect();
                tags.sort_unstable();
                tags.dedup();
                return Ok(tags);
            }
        }
    }
}
