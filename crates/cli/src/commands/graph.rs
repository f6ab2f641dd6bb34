//! `graph` draws what points at what.

use std::ffi::OsString;
use std::io::{self, Write};
use std::mem::ManuallyDrop;

use ocistow_graph::graph::Graph;
use ocistow_graph::picture::Scope;
use ocistow_graph::{Canvas, Picture, Reach, Selector, Target};
use ocistow_layout::{Error, Kind, Result, Source};

use super::at::{self, At};
use crate::args::Format;
use crate::code::Code;
use crate::document::{Paper, put};
use crate::drawn::{Drawn, dot, html, mermaid, svg};
use crate::location::Location;
use crate::speak::Context;

/// Draw what points at what: indexes, platforms, layers, and what refers to them
///
/// Of a reference: all it needs, and all that refers to that, recursively. Without one: everything index.json leads
/// to. What is not there is drawn as absent, what cannot be read as broken.
///
/// --format dot (the default) is for graphviz, mermaid for texts on code hosts, json for programs. svg is a picture;
/// html is one page with search, zoom and details, which needs nothing else and can be sent as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  A page to look at in a browser:
    ocistow graph ./store --format html -o store.html

  One image in an archive, without configs and layers:
    ocistow graph app.tar:app --no-blobs --format svg -o app.svg

  With graphviz:
    ocistow graph ./store:app | dot -Tpdf > app.pdf

  Everything that is needed and not there:
    ocistow graph ./store --format json | jq -r '.nodes[] | select(.absent) | .reference'")]
pub struct Args {
    #[command(flatten)]
    at: At,
    /// Where to: a file, or - for standard output
    #[arg(short, long, value_name = "FILE|-")]
    output: Option<OsString>,
    /// Replace a file that is there, in one step
    #[arg(long)]
    force: bool,
    /// Draw manifests only, without their configs, layers and blobs
    #[arg(long)]
    no_blobs: bool,
    /// Start at the child of an index for this platform, os[/arch[/variant]][:os.version]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Selector>,
    /// Also look at manifests that lie in the layout and are listed nowhere, as cosign 3 leaves them
    #[arg(long)]
    scan_blobs: bool,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let paper = Paper::read(self.output.as_deref(), self.force)?;
        let location = self.at.read()?;
        let source = at::open(context, &location)?;
        let (graph, start) = self.read(context, &*source, &location)?;
        // The process ends before thousands of manifests would be given back one by one.
        let graph = ManuallyDrop::new(graph);
        // What has a hole in it that is not in the layout is no picture of it.
        graph.unread().verdict()?;
        let progress = context.progress("reading manifests", None);
        let scope = Scope { from: start.as_ref(), blobs: !self.no_blobs };
        let picture = ManuallyDrop::new(Picture::of(&graph, &*source, scope, &progress)?);
        drop(progress);
        if start.is_none() {
            warn_of_unreadable(context, &graph);
        }
        let drawn = Drawn::of(&picture, &location.path, start.as_ref().map(|target| &target.descriptor.digest));
        let canvas = match context.format {
            Format::Svg | Format::Html => Some(self.canvas(&drawn)?),
            _ => None,
        };
        if context.format == Format::Mermaid && picture.lines.len() > mermaid::MOST_EDGES {
            let (edges, most) = (picture.lines.len(), mermaid::MOST_EDGES);
            context.note(&format!(
                "there are {edges} edges, and mermaid draws no more than {most} unless its maxEdges is raised"
            ));
        }
        put(context, &paper, self.force, |out| write(context.format, &drawn, canvas.as_ref(), out))?;
        Ok(Code::Done)
    }

    /// The graph, and what the picture starts from; `None` for everything.
    fn read(&self, context: &Context<'_>, source: &dyn Source, location: &Location) -> Result<(Graph, Option<Target>)> {
        if location.pick.is_empty() && self.platform.is_none() {
            let progress = context.progress("reading manifests", None);
            return Ok((Graph::load(source, at::load(context, self.scan_blobs), &progress)?, None));
        }
        let reach = Reach::Everything { subjects: false };
        let (graph, target) = at::near(context, source, location, self.platform.as_ref(), reach, self.scan_blobs)?;
        Ok((graph, Some(target?)))
    }

    fn canvas(&self, drawn: &Drawn<'_>) -> Result<Canvas> {
        Canvas::of(drawn.picture).map_err(|why| {
            let hint = match self.no_blobs {
                true => "a reference draws only what belongs to it; --format dot has no limit",
                false => {
                    "--no-blobs draws manifests only, a reference only what belongs to it; --format dot has no limit"
                }
            };
            Error::new(Kind::Usage, format!("could not draw {} as a picture", drawn.heading())).because(why).hint(hint)
        })
    }
}

fn write(format: Format, drawn: &Drawn<'_>, canvas: Option<&Canvas>, out: &mut dyn Write) -> io::Result<()> {
    match (format, canvas) {
        (Format::Svg, Some(canvas)) => svg::write(drawn, canvas, out),
        (Format::Html, Some(canvas)) => html::write(drawn, canvas, out),
        (Format::Mermaid, _) => mermaid::write(drawn, out),
        (Format::Json, _) => {
            serde_json::to_writer(&mut *out, &drawn.document())?;
            out.write_all(b"\n")
        }
        _ => dot::write(drawn, out),
    }
}

/// Entries that are no descriptors lead nowhere, so that nothing of them can be drawn.
fn warn_of_unreadable(context: &Context<'_>, graph: &Graph) {
    for (place, entry) in graph.index().entries().iter().enumerate() {
        if let Err(why) = &entry.descriptor {
            context.warn(&format!("entry {place} of index.json is not drawn: {why}"));
        }
    }
}
