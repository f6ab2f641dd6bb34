//! `discover` tells the tree of what refers to a manifest.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::path::Path;

use ocistow_graph::graph::Graph;
use ocistow_graph::{Dialect, Facts, Reach, Selector, Target};
use ocistow_layout::{Descriptor, Digest, Kind, Result, Source};
use serde::Serialize;

use super::at::{self, At};
use crate::code::Code;
use crate::look::Look;
use crate::node::{Node, alone, reference};
use crate::shown::shown;
use crate::speak::{Answer, Context};

/// The deepest tree that is told: documents nested deeper are refused by those who read them.
const MOST_LEVELS: usize = 50;

/// Show what refers to a manifest: signatures, SBOMs and the like, and what refers to those
///
/// Every way in which referrers are recorded in layouts is read. With -v the tree has annotations, and the
/// way each is recorded.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow discover ./store:app
  ocistow discover app.tar:app --artifact-type application/spdx+json
  ocistow discover ./store:app --platform linux/arm64 --format json
  ocistow discover ./store:app --all-platforms -v")]
pub struct Args {
    #[command(flatten)]
    at: At,
    /// Only referrers of this artifact type, with all that refers to them; repeat for more
    #[arg(long = "artifact-type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only referrers with this annotation, with all that refers to them; repeat for more
    #[arg(long = "annotation", value_name = "KEY[=VALUE]", value_parser = wanted)]
    annotations: Vec<(String, Option<String>)>,
    /// Start at the child of an index for this platform, os[/arch[/variant]][:os.version]
    #[arg(long, value_name = "PLATFORM", conflicts_with = "all_platforms")]
    platform: Option<Selector>,
    /// Also show what refers to each child of an index, and of indexes in it
    #[arg(long)]
    all_platforms: bool,
    /// How many levels of referrers are shown [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    depth: Option<u32>,
    /// Also look at manifests that lie in the layout and are listed nowhere, as cosign 3 leaves them
    #[arg(long)]
    scan_blobs: bool,
}

fn wanted(text: &str) -> std::result::Result<(String, Option<String>), String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if key.is_empty() { Err("it is not KEY or KEY=VALUE".to_owned()) } else { Ok((key.to_owned(), value)) }
}

/// A manifest and what refers to it.
#[derive(Serialize)]
struct Tree {
    #[serde(flatten, serialize_with = "alone")]
    node: Node,
    /// How it is recorded that it refers to what stands above.
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<Dialect>,
    referrers: Vec<Tree>,
    /// The children of an index, with `--all-platforms`; those of one that is listed again stand where it is first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    manifests: Vec<Tree>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let location = self.at.read()?;
        let source = at::open(context, &location)?;
        let levels =
            self.depth.map_or(MOST_LEVELS, |depth| MOST_LEVELS.min(usize::try_from(depth).unwrap_or(MOST_LEVELS)));
        // One more, to see that there is more.
        let reach = Reach::Referrers { levels: levels + 1, children: self.all_platforms };
        let (graph, target) = at::near(context, &*source, &location, self.platform.as_ref(), reach, self.scan_blobs)?;
        // The process ends before thousands of manifests would be given back one by one.
        let graph = ManuallyDrop::new(graph);
        let mut walk = Walk {
            graph: &graph,
            path: &location.path,
            levels,
            seen: BTreeSet::new(),
            listed: BTreeSet::new(),
            cut: false,
        };
        let mut wrong = None;
        let tree = match target {
            Ok(target) => {
                wrong = rightly_named(&graph, &*source, &target.descriptor).err();
                self.from(&mut walk, target)
            }
            // A subject that is not there can still be asked about.
            Err(error) if error.kind() == Kind::NotFound => match &location.pick.digest {
                Some(digest) if location.pick.reference.is_none() => walk.gone(digest).ok_or(error)?,
                _ => return Err(error),
            },
            Err(error) => return Err(error),
        };
        if walk.cut && self.depth.is_none() {
            context
                .warn(&format!("what refers to {} over more than {MOST_LEVELS} levels is not shown", tree.node.digest));
        }
        let tree = self.filtered(tree);
        // Who refers to what is wrong itself is told all the same.
        match wrong {
            None => context.answer_of(&tree, &graph.unread()),
            Some(why) => context.answer_failed(&tree, &why).and(Err(why)),
        }
    }

    fn from(&self, walk: &mut Walk<'_>, target: Target) -> Tree {
        let mut tree = walk.tree(&target.descriptor, None, Depth::default());
        if self.all_platforms {
            tree.manifests = walk.children(&target.descriptor.digest, 0);
        }
        tree
    }

    /// The tree with only those direct referrers that are wanted.
    fn filtered(&self, mut tree: Tree) -> Tree {
        tree.referrers.retain(|referrer| self.wants(&referrer.node));
        tree.manifests = tree.manifests.into_iter().map(|child| self.filtered(child)).collect();
        tree
    }

    fn wants(&self, node: &Node) -> bool {
        let typed = self.types.is_empty() || node.artifact_type.as_ref().is_some_and(|is| self.types.contains(is));
        let annotated = |(key, value): &(String, Option<String>)| match node.annotations.get(key) {
            Some(is) => value.as_ref().is_none_or(|value| value == is),
            None => false,
        };
        typed && self.annotations.iter().all(annotated)
    }
}

/// Integrity where a manifest is there and is not what names it says.
fn rightly_named(graph: &Graph, source: &dyn Source, descriptor: &Descriptor) -> Result<()> {
    let digest = &descriptor.digest;
    if graph.absent(digest) || graph.node(digest).is_none() {
        return Ok(());
    }
    at::as_long(source, &graph.need(digest)?, descriptor)
}

struct Walk<'g> {
    graph: &'g Graph,
    path: &'g Path,
    levels: usize,
    /// Whose referrers stand in the tree already: cosign's tags can make a manifest refer to several, and
    /// to itself.
    seen: BTreeSet<Digest>,
    /// What an index was seen to list already, and what lists itself.
    listed: BTreeSet<Digest>,
    /// Whether something was left out for being too deep.
    cut: bool,
}

/// How deep something stands in the tree.
#[derive(Debug, Clone, Copy, Default)]
struct Depth {
    /// Among children of indexes.
    nested: usize,
    /// Among referrers, below that.
    level: usize,
}

impl Walk<'_> {
    fn tree(&mut self, descriptor: &Descriptor, dialect: Option<Dialect>, depth: Depth) -> Tree {
        let mut node = Node::of(self.path, descriptor);
        node.absent = self.graph.absent(&descriptor.digest);
        if let Some(facts) = self.graph.facts(&descriptor.digest) {
            node = told(node, &facts, dialect.is_some());
        }
        let referrers = self.referrers(&descriptor.digest, depth);
        Tree { node, dialect, referrers, manifests: Vec::new() }
    }

    /// The children of an index, each with what refers to it and with its own. What was told before is only named: many
    /// ways may lead to one thing.
    fn children(&mut self, index: &Digest, nested: usize) -> Vec<Tree> {
        self.listed.insert(index.clone());
        let Some(facts) = self.graph.facts(index) else { return Vec::new() };
        if nested >= MOST_LEVELS {
            self.cut |= facts.children().next().is_some();
            return Vec::new();
        }
        let depth = Depth { nested: nested + 1, level: 0 };
        let mut children = Vec::new();
        for child in facts.children() {
            if !self.listed.insert(child.digest.clone()) {
                let mut node = Node::of(self.path, child);
                node.absent = self.graph.absent(&child.digest);
                children.push(Tree { node, dialect: None, referrers: Vec::new(), manifests: Vec::new() });
                continue;
            }
            let mut tree = self.tree(child, None, depth);
            tree.manifests = self.children(&child.digest, depth.nested);
            children.push(tree);
        }
        children
    }

    fn referrers(&mut self, subject: &Digest, depth: Depth) -> Vec<Tree> {
        let edges = self.graph.referrers(subject);
        if edges.is_empty() {
            return Vec::new();
        }
        if depth.level >= self.levels || depth.nested + depth.level >= MOST_LEVELS {
            self.cut = true;
            return Vec::new();
        }
        if !self.seen.insert(subject.clone()) {
            return Vec::new();
        }
        let mut trees = Vec::new();
        for edge in edges {
            let descriptor = self.descriptor(&edge.referrer);
            trees.push(self.tree(&descriptor, Some(edge.dialect), Depth { level: depth.level + 1, ..depth }));
        }
        trees
    }

    /// The descriptor of a referrer: made of what it is, else its entry's.
    fn descriptor(&self, digest: &Digest) -> Descriptor {
        if let Some(manifest) = self.graph.manifest(digest) {
            return manifest.descriptor();
        }
        let entries = self.graph.index().entries().iter().filter_map(|entry| entry.descriptor.as_ref().ok());
        let own = entries.into_iter().find(|entry| entry.digest == *digest);
        own.cloned().unwrap_or_else(|| Descriptor::new("application/octet-stream", digest.clone(), 0))
    }

    /// A subject that is not there, if something refers to it.
    fn gone(&mut self, digest: &Digest) -> Option<Tree> {
        let first = self.graph.referrers(digest).first()?;
        let said = self.graph.facts(&first.referrer).and_then(|facts| facts.subject);
        let media_type = said.as_ref().and_then(|subject| subject.media_type.clone()).unwrap_or_default();
        let size = said.and_then(|subject| subject.size).unwrap_or_default();
        let mut node = Node::of(self.path, &Descriptor::new(&media_type, digest.clone(), size));
        node.reference = reference(self.path, digest);
        node.absent = true;
        let referrers = self.referrers(digest, Depth::default());
        Some(Tree { node, dialect: None, referrers, manifests: Vec::new() })
    }
}

/// What a manifest itself says: a referrer's effective type, as registries list it (REFERRERS-5).
fn told(mut node: Node, facts: &Facts, refers: bool) -> Node {
    node.annotations = facts.annotations.clone();
    if refers {
        node.artifact_type = facts.artifact_type.clone();
        return node;
    }
    node.typed(facts.told_type())
}

impl Answer for Tree {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        writeln!(out, "{}", look.bold(&shown(&self.node.reference)))?;
        self.below(out, look, "")
    }

    fn brief(&self, out: &mut dyn Write) -> io::Result<()> {
        self.manifests.iter().try_for_each(|child| child.brief(out))?;
        self.referrers.iter().try_for_each(|referrer| writeln!(out, "{}", referrer.node.digest))
    }
}

impl Tree {
    fn below(&self, out: &mut dyn Write, look: Look, margin: &str) -> io::Result<()> {
        let count = self.referrers.len() + self.manifests.len();
        for (at, tree) in self.referrers.iter().chain(&self.manifests).enumerate() {
            let (branch, trunk) = if at + 1 < count { ("├── ", "│   ") } else { ("└── ", "    ") };
            let what = match (&tree.node.artifact_type, &tree.node.platform) {
                (Some(artifact_type), _) if tree.dialect.is_some() => artifact_type.clone(),
                (_, Some(platform)) => platform.to_string(),
                (Some(artifact_type), None) => artifact_type.clone(),
                (None, None) => tree.node.media_type.clone(),
            };
            let absent = if tree.node.absent { "  absent" } else { "" };
            let what = look.bold(&shown(&what));
            writeln!(out, "{}{what}  {}{absent}", look.dim(&format!("{margin}{branch}")), tree.node.digest)?;
            let inner = format!("{margin}{trunk}");
            if look.verbose {
                tree.details(out, look, &inner)?;
            }
            tree.below(out, look, &inner)?;
        }
        Ok(())
    }

    fn details(&self, out: &mut dyn Write, look: Look, margin: &str) -> io::Result<()> {
        let trunk = if self.referrers.is_empty() { "    " } else { "│   " };
        let margin = look.dim(&format!("{margin}{trunk}"));
        if let Some(dialect) = self.dialect {
            let word = serde_json::to_value(dialect).unwrap_or_default();
            writeln!(out, "{margin}recorded as {}", word.as_str().unwrap_or_default())?;
        }
        for (key, value) in self.node.annotations.iter() {
            writeln!(out, "{margin}{} = {}", shown(key), shown(value))?;
        }
        Ok(())
    }
}
