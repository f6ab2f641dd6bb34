//! What a bundle declares that it carries, held against what it holds.

use ocistow_graph::bundle::carries_mismatch;
use ocistow_graph::{Graph, Plan, Request, plan};
use ocistow_layout::index::CARRIES;
use ocistow_layout::{Error, Kind, Result, Source};

use crate::speak::Context;

/// Holds a bundle to what its own index.json declares, if it does: by `everything`, a plan of all that its entries reach,
/// or one that is made for this. Integrity where an archive does not hold that; a directory, in which others may have
/// written since, is warned of. No blob is read for it.
pub fn judge(
    context: &Context<'_>,
    source: &dyn Source,
    graph: &Graph,
    everything: Option<&Plan>,
    archive: bool,
) -> Result<()> {
    if graph.index().annotation(CARRIES).is_none() {
        return Ok(());
    }
    let made = match everything {
        Some(_) => None,
        None => Some(plan::export(graph, source, &Request { referrers: true, ..Request::default() })?),
    };
    let everything = everything.or(made.as_ref()).expect("one of the two is there");
    let Some(why) = carries_mismatch(graph.index(), everything.order()) else { return Ok(()) };
    let (location, what) = (source.location(), "does not hold what it declares");
    if archive {
        return Err(
            Error::new(Kind::Integrity, format!("could not accept {location}")).because(format!("it {what}: {why}"))
        );
    }
    context.warn(&format!("carries-mismatch: {location} {what}: {why}"));
    Ok(())
}
