//! What leaves a location: the layout, its graph, and the plan of what is carried.

use std::ffi::OsString;
use std::path::PathBuf;

use ocistow_graph::resolve::{Target, resolve_in};
use ocistow_graph::{Graph, Plan, Request, plan};
use ocistow_layout::lock::{Held, Locks};
use ocistow_layout::{Error, Kind, Result, Source};

use crate::commands::along::Along;
use crate::commands::at;
use crate::location::{self, Location};
use crate::speak::Context;

/// What leaves, decided and not yet carried.
pub struct Outgoing {
    /// Where it is, as the user said it.
    pub path: PathBuf,
    /// The layout.
    pub source: Box<dyn Source>,
    /// What points at what in it.
    pub graph: Graph,
    /// What was named.
    pub targets: Vec<Target>,
    /// What is carried.
    pub plan: Plan,
    /// Nothing is deleted from the layout while this is held.
    _held: Option<Held>,
}

/// Decides what leaves `location`: what it names, the further references, and what goes along. With
/// `everything`, a location without a reference means every entry, else its one root.
pub fn outgoing(
    context: &Context<'_>,
    location: &Location,
    references: &[OsString],
    along: &Along,
    repository: Option<&str>,
    everything: bool,
) -> Result<Outgoing> {
    let progress = context.progress("reading manifests", None);
    let held = match location.path.is_dir() {
        true => {
            Locks::found(&location.path, context.lock_timeout, &progress).map(|locks| locks.content()).transpose()?
        }
        false => None,
    };
    let source = at::open(context, &location.path)?;
    let graph = Graph::load(&*source, at::load(context, false), &progress)?;
    let mut asked = Vec::new();
    if !(everything && location.pick == location::Pick::default()) {
        asked.push(at::asked(&location.pick));
    }
    for reference in references {
        asked.push(at::asked(&location::parse_pick(reference)?));
    }
    let mut targets = Vec::new();
    for asked in &asked {
        targets.push(resolve_in(&graph, &*source, asked)?);
    }
    if references.iter().any(|reference| reference.is_empty()) {
        return Err(Error::new(Kind::Usage, "could not tell what is meant").because("a reference is empty"));
    }
    let request = along.request(targets.clone(), repository.map(str::to_owned));
    let plan = plan::export(&graph, &*source, &request)?;
    drop(progress);
    Ok(Outgoing { path: location.path.clone(), source, graph, targets, plan, _held: held })
}

impl Along {
    /// The flags as a request for these targets.
    pub fn request(&self, targets: Vec<Target>, repository: Option<String>) -> Request {
        Request {
            targets,
            platforms: self.platforms.clone(),
            referrers: !self.no_referrers,
            include_subject: self.include_subject,
            repository,
        }
    }

    /// Says what is absent, and fails where that is not allowed.
    pub fn judge(&self, context: &Context<'_>, plan: &Plan) -> Result<()> {
        plan.verdict(self.allow_missing, self.complete)?;
        for digest in &plan.missing {
            context.warn(&format!("missing-blob: {digest} is needed and not there"));
        }
        for digest in &plan.absent_children {
            context.warn(&format!("absent-child: {digest} is listed by an index and was not carried here"));
        }
        Ok(())
    }
}
