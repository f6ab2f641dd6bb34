//! A layout is mended: what it lacks comes from other locations.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use ocistow_graph::fsck::{Examination, Options, Report, examine};
use ocistow_graph::repair::{self, Remains, Tried};
use ocistow_layout::directory::Directory;
use ocistow_layout::lock::Held;
use ocistow_layout::salvage::{Salvaged, salvage};
use ocistow_layout::transaction::Transaction;
use ocistow_layout::{Digest, Error, Kind, Result, Source, Watch};

use crate::commands::at;
use crate::location::{self, Location, OnDisk};
use crate::meanwhile::Meanwhile;
use crate::speak::Context;

/// Looks at everything in the layout at `path`, mends what can be mended from the locations that the words say, and
/// tells how the layout is afterwards and what was repaired, sorted. On `Err` blobs may have been repaired; index.json
/// never changes.
pub fn mend(context: &Context<'_>, path: &Path, words: &[OsString], options: Options) -> Result<(Report, Vec<Digest>)> {
    drop(at::open_directory(context, path)?);
    let others = others(context, path, words)?;
    let progress = context.progress("checking and repairing", None);
    // Nothing is deleted from the layout from here on: a transaction holds it as a reader does.
    let mut transaction = Transaction::within(path, context.writing(&progress))?;
    let layout = Directory::open(path)?;
    let mut examination = examine(&layout, options, &progress)?;
    let tried = stage(context, &examination, &layout, &others, &transaction, &progress)?;
    let staged = tried.order();
    if !staged.is_empty() {
        transaction.publish_blobs(&staged)?;
        // What was examined is the index.json of then, which others may have changed since.
        let index = examination.index().filter(|_| tried.changes_the_graph()).cloned();
        let then = index.map(|index| Meanwhile { index, made: BTreeMap::new(), under: Some(&layout) });
        examination.mended(&staged, then.as_ref().map(|then| then as &dyn Source), &progress)?;
    }
    let mut repaired: Vec<Digest> = staged.into_iter().map(|blob| blob.digest).collect();
    repaired.sort();
    Ok((examination.report(), repaired))
}

/// A location to mend from.
struct Other {
    source: Box<dyn Source>,
    /// Nothing is deleted from a directory while this is held.
    _held: Option<Held>,
}

/// The locations to mend from, opened. Usage where one of them is the layout itself.
fn others(context: &Context<'_>, path: &Path, words: &[OsString]) -> Result<Vec<Other>> {
    let locations = words.iter().map(|word| location::parse_whole(word, &OnDisk)).collect::<Result<Vec<Location>>>()?;
    let real = path.canonicalize().ok();
    if locations.iter().any(|other| other.path.canonicalize().ok() == real) {
        return Err(Error::new(Kind::Usage, format!("could not repair {} from itself", path.display())));
    }
    let mut others = Vec::new();
    for other in locations {
        let progress = context.progress("reading", None);
        let held = at::hold(context, &other.path, &progress)?;
        drop(progress);
        others.push(Other { source: at::open(context, &other)?, _held: held });
    }
    Ok(others)
}

/// Stages everything that the others have and the layout needs, and says what they have not.
fn stage(
    context: &Context<'_>,
    examination: &Examination,
    layout: &Directory,
    others: &[Other],
    transaction: &Transaction<'_>,
    watch: &dyn Watch,
) -> Result<Tried> {
    let sources: Vec<&dyn Source> = others.iter().map(|other| &*other.source).collect();
    let mut tried = Tried::default();
    let remains = loop {
        let repair = repair::plan(examination, layout, &sources, &tried, watch)?;
        tried.begin(&repair);
        if repair.is_empty() {
            break repair.remains;
        }
        for (place, (source, take)) in sources.iter().zip(&repair.take).enumerate() {
            let salvaged = salvage(*source, transaction, take, context.threads.get(), watch)?;
            let Salvaged { staged, refused, blocked } = salvaged;
            staged.into_iter().for_each(|blob| tried.staged(blob));
            refused.into_iter().for_each(|(digest, why)| tried.refused(digest, place, why.chain()));
            blocked.into_iter().for_each(|(digest, why)| tried.blocked(digest, why.chain()));
        }
    };
    for ((digest, place), why) in tried.refusals() {
        context.warn(&format!("could not take {digest} from {}: {why}", sources[*place].location()));
    }
    tell_of_what_remains(context, &remains);
    Ok(tried)
}

/// Says why what is not repaired is not, where nothing else said so.
fn tell_of_what_remains(context: &Context<'_>, remains: &BTreeMap<Digest, Remains>) {
    let mut nowhere = 0;
    for (digest, why) in remains {
        match why {
            Remains::Nowhere => nowhere += 1,
            // That was said of each location.
            Remains::Refused => {}
            Remains::Blocked(why) => context.warn(&format!("could not repair {digest}: {why}")),
            Remains::Unverifiable => context.warn(&format!(
                "could not repair {digest}: its algorithm is not known here, so nobody can tell the right one"
            )),
        }
    }
    if nowhere > 0 {
        let blobs = if nowhere == 1 { "1 blob that is".to_owned() } else { format!("{nowhere} blobs that are") };
        context.note(&format!("{blobs} missing or damaged cannot be found where --repair-from says"));
    }
}
