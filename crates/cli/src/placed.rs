//! A manifest that is where it should be: the answer of `copy`, `push`, `attach` and whatever else puts one somewhere.

use std::io::{self, Write};
use std::path::Path;

use ocistow_graph::Facts;
use ocistow_layout::{Descriptor, Source};
use serde::Serialize;

use crate::look::Look;
use crate::node::{Node, Subject};
use crate::shown::shown;
use crate::speak::Answer;

/// What was put into a layout.
#[derive(Debug, Serialize)]
pub struct Placed {
    #[serde(flatten)]
    node: Node,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Subject>,
    /// What people are told besides.
    #[serde(skip)]
    told: String,
}

impl Placed {
    /// What a descriptor, and the manifest itself where it was read, tell of something in the layout at `path`.
    /// Whether its subject is there is said of `source`, if that can still be looked at.
    pub fn of(
        path: &Path,
        descriptor: &Descriptor,
        facts: Option<&Facts>,
        source: Option<&dyn Source>,
        tags: Vec<String>,
        told: String,
    ) -> Self {
        let node = Node::of(path, descriptor);
        let subject = facts.and_then(|facts| Subject::after(facts, source, path));
        let node = node.typed(facts.and_then(Facts::told_type));
        Self { node, tags, subject, told }
    }
}

/// How many of its names are told to people.
const MOST_NAMED: usize = 4;

impl Answer for Placed {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        let (named, more) = self.tags.split_at(self.tags.len().min(MOST_NAMED));
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        match named.is_empty() {
            false => writeln!(out, "{}{more}  {}", look.bold(&shown(&named.join(", "))), self.node.digest)?,
            true => writeln!(out, "{}", look.bold(&self.node.digest.to_string()))?,
        }
        if self.told.is_empty() { Ok(()) } else { writeln!(out, "{}", shown(&self.told)) }
    }

    fn brief(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.node.digest)
    }
}
