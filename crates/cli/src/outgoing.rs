//! What leaves a location: the layout, its graph, and the plan of what is carried.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ocistow_graph::resolve::{Asked, Target, resolve_in};
use ocistow_graph::{Graph, Node, Plan, Reach, Request, plan};
use ocistow_layout::directory::is_directory;
use ocistow_layout::index::CARRIES;
use ocistow_layout::lock::Held;
use ocistow_layout::{Digest, Error, Result, Source};

use crate::commands::along::Along;
use crate::commands::at;
use crate::declared;
use crate::location::Location;
use crate::speak::Context;

/// The most warnings of one kind.
const MOST_WARNED: usize = 1_000;

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
    pub held: Option<Held>,
}

/// Decides what leaves the layout at a location, whatever is meant in it: what was asked for, every entry if nothing was,
/// and what goes along.
pub fn outgoing(
    context: &Context<'_>,
    location: &Location,
    asked: &[Asked],
    along: &Along,
    repository: Option<&str>,
) -> Result<Outgoing> {
    let progress = context.progress("reading manifests", None);
    let path = &location.path;
    let held = at::hold(context, path, &progress)?;
    let source = at::open(context, location)?;
    let load = at::load(context, false);
    let archive = !is_directory(path)?;
    let mut graph = match asked {
        [] => Graph::load(&*source, load, &progress)?,
        asked => {
            let reach = Reach::Everything { subjects: along.include_subject };
            Graph::near(&*source, asked, reach, &context.keeper(path), load, &progress)?
        }
    };
    // Only all of a bundle says whether it is what it declares.
    if archive && !graph.is_whole() && source.index()?.annotation(CARRIES).is_some() {
        graph = Graph::load(&*source, load, &progress)?;
    }
    if !along.no_referrers {
        // One that cannot be read may refer to what is carried.
        let hint = "--no-referrers carries what can be read, without what refers to it";
        graph.unread().verdict().map_err(|why| why.hint(hint))?;
    }
    let mut targets = Vec::new();
    for asked in asked {
        targets.push(resolve_in(&graph, &*source, asked)?);
    }
    let request = along.request(targets.clone(), repository.map(str::to_owned));
    let plan = plan::export(&graph, &*source, &request)?;
    drop(progress);
    if graph.is_whole() {
        let everything = (asked.is_empty() && along.takes_everything()).then_some(&plan);
        declared::judge(context, &*source, &graph, everything, archive)?;
    }
    warn_of_unreadable(context, &graph, &plan);
    tell_of_generated(context, &*source, &plan);
    Ok(Outgoing { path: path.clone(), source, graph, targets, plan, held })
}

/// An untagged entry that is damaged may be a referrer of what is carried: nobody can tell.
fn warn_of_unreadable(context: &Context<'_>, graph: &Graph, plan: &Plan) {
    let untagged = graph.index().entries().iter().filter(|entry| !entry.tagged());
    for descriptor in untagged.filter_map(|entry| entry.descriptor.as_ref().ok()) {
        let left = !plan.broken.contains_key(&descriptor.digest);
        if let Some(Node::Broken(why)) = graph.node(&descriptor.digest).filter(|_| left) {
            context.warn(&format!("{} is left behind: it cannot be read: {why}", descriptor.digest));
        }
    }
}

/// Says the same of many, as far as anybody would read it.
fn warn_of(context: &Context<'_>, kind: &str, digests: &[Digest], what: &str) {
    for digest in digests.iter().take(MOST_WARNED) {
        context.warn(&format!("{kind}: {digest} {what}"));
    }
    if digests.len() > MOST_WARNED {
        context.warn(&format!("{kind}: {} more like this", digests.len() - MOST_WARNED));
    }
}

/// Tells of manifests that nobody made before us, each once (ARCHIVE-18).
pub fn tell_of_generated(context: &Context<'_>, source: &dyn Source, plan: &Plan) {
    let images: BTreeSet<&Digest> = plan.roots.iter().map(|root| &root.digest).collect();
    for digest in images.into_iter().filter(|_| source.generated()) {
        context.note(&format!("{}: manifest was generated, digest {digest}", source.location()));
    }
}

impl Along {
    /// Whether nothing is left out by these flags.
    pub fn takes_everything(&self) -> bool {
        self.platforms.is_empty() && !self.no_referrers && !self.include_subject
    }

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

    /// Why a plan is refused, if it is.
    pub fn refuses(&self, plan: &Plan) -> Option<Error> {
        plan.verdict(self.allow_missing, self.complete).err()
    }

    /// Says what is absent, and fails where that is not allowed.
    pub fn judge(&self, context: &Context<'_>, plan: &Plan) -> Result<()> {
        if let Some(why) = self.refuses(plan) {
            return Err(why);
        }
        warn_of(context, "missing-blob", &plan.missing, "is needed and not there");
        warn_of(context, "absent-child", &plan.absent_children, "is listed by an index and was not carried here");
        let behind = "is of Docker's first schema: its layers stay behind";
        warn_of(context, "docker schema 1", &plan.unfollowed, behind);
        Ok(())
    }
}
