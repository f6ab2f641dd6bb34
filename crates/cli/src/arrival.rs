//! A bundle that arrives: read in place, or staged as it comes out of a stream, and planned.

use std::fs::{self, File};
use std::io::{self, Read};

use ocistow_graph::{Graph, Plan, plan};
use ocistow_layout::archive::{Form, pass, sniff};
use ocistow_layout::carry::carry;
use ocistow_layout::directory::is_directory;
use ocistow_layout::lock::Held;
use ocistow_layout::transaction::Transaction;
use ocistow_layout::{Blob, Content, Digest, Done, Error, Kind, Prefer, Result, Source, Writing};

use crate::commands::along::Along;
use crate::commands::at;
use crate::declared;
use crate::location::Location;
use crate::outgoing::tell_of_generated;
use crate::progress::Progress;
use crate::speak::Context;

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// Standard input.
    Input,
    /// An archive or a directory, read as a whole.
    Path(Location),
}

/// A bundle that arrives.
pub struct Arrival {
    /// Where its content still has to be taken from; `None` once it is staged.
    source: Option<Box<dyn Source>>,
    /// What points at what in it.
    pub graph: Graph,
    /// What of it comes in.
    pub plan: Plan,
    /// The bundle's digest.
    pub bundle: Digest,
    /// Nothing is deleted from a directory while this is held.
    _held: Option<Held>,
}

/// What is wanted of a bundle.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// What goes along.
    pub along: &'a Along,
    /// The digest it has to have.
    pub expect: Option<&'a Digest>,
}

impl From {
    /// Whether it can be planned before it is brought in: a directory, or a plain tar. NotFound where it
    /// is not there.
    pub fn in_place(&self) -> Result<bool> {
        let From::Path(Location { path, prefer, .. }) = self else { return Ok(false) };
        let meta = fs::metadata(path).map_err(|why| Error::io("open", path, why))?;
        if !meta.is_file() {
            return Ok(true);
        }
        let mut start = Vec::new();
        let file = File::open(path).map_err(|why| Error::io("open", path, why))?;
        file.take(512).read_to_end(&mut start).map_err(|why| Error::io("read", path, why))?;
        Ok(*prefer == Prefer::Docker || !matches!(sniff(&start), Form::Gzip | Form::Zstd))
    }

    fn location(&self) -> String {
        match self {
            Self::Input => "standard input".to_owned(),
            Self::Path(location) => location.path.display().to_string(),
        }
    }
}

impl Arrival {
    /// Plans a bundle where it lies; nothing of it is brought in yet. Standard input is put into a
    /// temporary file first. Integrity where it is not what it declares, or not what was expected.
    pub fn look(context: &Context<'_>, from: &From, wanted: Wanted<'_>) -> Result<Self> {
        let progress = context.progress("reading", None);
        let (source, held, archive) = match from {
            From::Input => {
                let failed = |why| Error::new(Kind::Failed, "could not read standard input").because(why);
                let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
                io::copy(&mut *context.input(), &mut file).map_err(failed)?;
                (ocistow_layout::open(file.path(), &progress)?, None, true)
            }
            From::Path(location) => {
                let held = at::hold(context, &location.path, &progress)?;
                (at::open(context, location)?, held, !is_directory(&location.path)?)
            }
        };
        drop(progress);
        let (graph, plan, bundle) = planned(context, &*source, archive, wanted)?;
        Ok(Self { source: Some(source), graph, plan, bundle, _held: held })
    }

    /// Stages everything that comes out of a stream, verified, and then plans it. On `Err` what was staged
    /// is worth nothing.
    pub fn stream(
        context: &Context<'_>,
        from: &From,
        wanted: Wanted<'_>,
        transaction: &Transaction<'_>,
        progress: &Progress<'_>,
    ) -> Result<Self> {
        let location = from.location();
        let mut each =
            |blob: Blob, content: Content<'_>| transaction.put(&blob, content).map_err(|why| why.found_in(&location));
        let passed = match from {
            From::Input => pass(&location, &mut *context.input(), progress, &mut each)?,
            From::Path(Location { path, .. }) => {
                let file = File::open(path).map_err(|why| Error::io("open", path, why))?;
                pass(&location, file, progress, &mut each)?
            }
        };
        // Manifests that have to be made before anything can be planned, or links to what was passed over: so it is read as
        // a file after all.
        if (passed.holds_docker() || passed.leads_elsewhere()) && matches!(from, From::Path(_)) {
            return Self::look(context, from, wanted);
        }
        let staged = passed.staged(transaction)?;
        at::judge(context, &location, &staged.marker());
        let (graph, plan, bundle) = planned(context, &staged, true, wanted)?;
        Ok(Self { source: None, graph, plan, bundle, _held: None })
    }

    /// Stages what of it comes in, verified, if it is not staged yet.
    pub fn bring(&self, context: &Context<'_>, transaction: &Transaction<'_>, progress: &Progress<'_>) -> Result<()> {
        let Some(source) = &self.source else { return Ok(()) };
        let blobs: Vec<Blob> = self.plan.order().cloned().collect();
        let incoming = Box::new(Incoming(transaction));
        carry(&**source, incoming, &blobs, &self.plan.inline, context.threads.get(), progress).map(drop)
    }
}

/// What arrives from a source, held against what the bundle itself declares and what was expected.
fn planned(
    context: &Context<'_>,
    source: &dyn Source,
    archive: bool,
    wanted: Wanted<'_>,
) -> Result<(Graph, Plan, Digest)> {
    let progress = context.progress("reading manifests", None);
    let graph = Graph::load(source, at::load(context, false), &progress)?;
    drop(progress);
    graph.unread().verdict()?;
    let bundle = Digest::of(graph.index().bytes());
    if let Some(expected) = wanted.expect.filter(|expected| **expected != bundle) {
        let what = format!("could not accept {} as the bundle {expected}", source.location());
        return Err(Error::new(Kind::Integrity, what).because(format!("its digest is {bundle}")));
    }
    let plan = plan::export(&graph, source, &wanted.along.request(Vec::new(), None))?;
    tell_of_generated(context, source, &plan);
    let everything = wanted.along.takes_everything().then_some(&plan);
    declared::judge(context, source, &graph, everything, archive)?;
    Ok((graph, plan, bundle))
}

/// A transaction that only takes blobs; it is published by somebody else.
pub struct Incoming<'t, 'a>(pub &'t Transaction<'a>);

impl Writing for Incoming<'_, '_> {
    fn put(&self, blob: &Blob, content: Content<'_>) -> Result<()> {
        self.0.put(blob, content)
    }

    fn ordered(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>) -> Result<Done> {
        Ok(Done::default())
    }
}
