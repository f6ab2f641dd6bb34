//! `show` tells what a manifest is and needs, or prints its bytes.

use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::path::Path;

use ocistow_graph::graph::Graph;
use ocistow_graph::{Form, ManifestKind, Reach, Role, Selector, Target, config_platform};
use ocistow_layout::{Descriptor, Error, Kind, Result, Source};
use serde::Serialize;

use super::at::{self, At};
use super::cat::{missing, send_described};
use crate::code::Code;
use crate::look::Look;
use crate::node::{Node, Subject};
use crate::shown::{bytes, shown};
use crate::speak::{Answer, Context};

/// Show a manifest: what it is, what it needs, what it refers to
///
/// With --raw and --config trust what was printed only if the command ended well. Where nobody reads it to its end, that
/// is 1, without a word.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow show ./store:app
  ocistow show app.tar:app --platform linux/arm64
  ocistow show ./store:app --raw | sha256sum
  ocistow show ./store:app --platform linux/arm64 --config")]
pub struct Args {
    #[command(flatten)]
    at: At,
    /// The child of an index for this platform, os[/arch[/variant]][:os.version]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Selector>,
    /// Print the manifest's exact bytes
    #[arg(long, conflicts_with = "config")]
    raw: bool,
    /// Print the config's exact bytes
    #[arg(long)]
    config: bool,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    node: Node,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    kind: ManifestKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Node>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<Node>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<Vec<Node>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs: Option<Vec<Node>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Subject>,
    referrers: usize,
    /// Whether it is of Docker's first schema (DOCKER-COMPAT-7).
    #[serde(skip)]
    first_schema: bool,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        if self.raw || self.config {
            context.only_bytes(if self.raw { "show --raw" } else { "show --config" })?;
        }
        let location = self.at.read()?;
        let source = at::open(context, &location)?;
        if self.raw || self.config {
            let target = at::target(context, &*source, &location, self.platform.as_ref())?;
            let descriptor = if self.raw { target.descriptor } else { config(&*source, &target)? };
            send_described(context, &*source, &descriptor)?;
            return Ok(Code::Done);
        }
        let reach = Reach::Referrers { levels: 1, children: false };
        let (graph, target) = at::near(context, &*source, &location, self.platform.as_ref(), reach, false)?;
        // The process ends before thousands of manifests would be given back one by one.
        let graph = ManuallyDrop::new(graph);
        // One that cannot be read may refer to it.
        context.answer_of(&shown_of(&graph, &*source, &location.path, &target?)?, &graph.unread())
    }
}

/// The config of a manifest. NotFound where it has none.
fn config(source: &dyn Source, target: &Target) -> Result<Descriptor> {
    let digest = &target.descriptor.digest;
    let (node, _) = ocistow_graph::graph::read(source, &target.descriptor);
    let facts = node.facts(digest)?;
    let none = || {
        let error = Error::new(Kind::NotFound, format!("could not find a config of {digest}"));
        match facts.kind {
            ManifestKind::Index => error.because("it is an index").hint("--platform picks an image of it"),
            _ => error.because("it has none"),
        }
    };
    facts.config().cloned().ok_or_else(none)
}

fn shown_of(graph: &Graph, source: &dyn Source, path: &Path, target: &Target) -> Result<Shown> {
    let descriptor = &target.descriptor;
    let digest = &descriptor.digest;
    let node = Node::of(path, descriptor);
    let (tags, names, referrers) = (graph.tags_of(digest), graph.names_of(digest), graph.referrers(digest).len());
    if !target.manifest {
        if source.size(digest)?.is_none() && !matches!(descriptor.embedded(), Some(Ok(_))) {
            return Err(missing(source, digest));
        }
        let kind = ManifestKind::Other;
        let (config, layers, manifests, blobs, subject, first_schema) = Default::default();
        return Ok(Shown {
            node,
            tags,
            names,
            kind,
            config,
            layers,
            manifests,
            blobs,
            subject,
            referrers,
            first_schema,
        });
    }
    let facts = graph.need(digest)?;
    at::as_long(source, &facts, descriptor)?;
    let mut node = node.typed(facts.told_type());
    node.annotations = facts.annotations.clone();
    node.platform = match &descriptor.platform {
        Some(platform) => Some((**platform).clone()),
        None => config_platform(source, &facts)?,
    };
    let parts = |role: Role| -> Result<Option<Vec<Node>>> {
        let mut nodes = Vec::new();
        for part in facts.of_role(role) {
            let mut node = Node::of(path, part);
            let embedded = || matches!(part.embedded(), Some(Ok(_)));
            node.absent = source.size(&part.digest)?.is_none() && !embedded();
            nodes.push(node);
        }
        Ok(Some(nodes).filter(|nodes| !nodes.is_empty()))
    };
    let subject = Subject::of(&facts, source, path)?;
    Ok(Shown {
        node,
        tags,
        names,
        kind: facts.kind,
        config: parts(Role::Config)?.and_then(|mut nodes| nodes.pop()),
        layers: parts(Role::Layer)?,
        manifests: parts(Role::Child)?,
        blobs: parts(Role::Blob)?,
        subject,
        referrers,
        first_schema: facts.form == Form::DockerSchema1,
    })
}

impl Answer for Shown {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        writeln!(out, "{}", look.bold(&shown(&self.node.reference)))?;
        let mut line = |name: &str, value: &str| writeln!(out, "{}{}", look.dim(&format!("{name:<15}")), shown(value));
        let first = if self.first_schema { " (docker schema 1, unsupported)" } else { "" };
        line("kind", &format!("{}{first}", self.kind))?;
        line("media type", &self.node.media_type)?;
        if let Some(artifact_type) = &self.node.artifact_type {
            line("artifact type", artifact_type)?;
        }
        if let Some(platform) = &self.node.platform {
            line("platform", &platform.to_string())?;
        }
        line("size", &bytes(self.node.size))?;
        for tag in &self.tags {
            line("tag", tag)?;
        }
        for name in &self.names {
            line("name", name)?;
        }
        if let Some(subject) = &self.subject {
            line("subject", &format!("{}{}", subject.digest, if subject.absent { "  absent" } else { "" }))?;
        }
        line("referrers", &self.referrers.to_string())?;
        if !self.node.annotations.is_empty() {
            writeln!(out, "{}", look.dim("annotations"))?;
            for (key, value) in self.node.annotations.iter() {
                writeln!(out, "  {} = {}", shown(key), shown(value))?;
            }
        }
        let config = self.config.as_ref().map(std::slice::from_ref);
        let lists = [
            ("config", config),
            ("layers", self.layers.as_deref()),
            ("blobs", self.blobs.as_deref()),
            ("manifests", self.manifests.as_deref()),
        ];
        for (name, nodes) in lists {
            let Some(nodes) = nodes else { continue };
            writeln!(out, "{}", look.dim(name))?;
            nodes.iter().try_for_each(|node| part(out, node))?;
        }
        Ok(())
    }

    fn brief(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.node.digest)
    }
}

/// One part on a line of its own.
fn part(out: &mut dyn Write, node: &Node) -> io::Result<()> {
    let what = match &node.platform {
        Some(platform) => platform.to_string(),
        None => node.artifact_type.clone().unwrap_or_else(|| node.media_type.clone()),
    };
    let title = node.annotations.get("org.opencontainers.image.title").map(|title| format!("  {}", shown(title)));
    let absent = if node.absent { "  absent" } else { "" };
    let (size, title) = (bytes(node.size), title.unwrap_or_default());
    writeln!(out, "  {}  {size:>9}  {}{title}{absent}", node.digest, shown(&what))
}
