//! `ls` lists the entries of index.json.

use std::io::{self, Write};
use std::path::Path;

use ocistow_graph::listing::{self, listing};
use ocistow_graph::resolve::shortest;
use ocistow_graph::{Form, ManifestKind};
use ocistow_layout::{Error, Kind, Result};
use serde::Serialize;

use super::at::{self, At};
use crate::code::Code;
use crate::look::{Look, columns};
use crate::node::Node;
use crate::shown::{bytes, shown};
use crate::speak::{Answer, Context};

/// List what a layout or archive holds
///
/// Each entry of index.json with the shortest location that means it alone. What only serves others is
/// left out unless asked for: fallback and cosign tags, and referrers without a name.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow ls ./store
  ocistow ls app.tar --all
  ocistow ls ./store --filter kind=image --filter org.opencontainers.image.version=1.0")]
pub struct Args {
    #[command(flatten)]
    at: At,
    /// Also list fallback and cosign tags, and referrers without a name
    #[arg(long)]
    all: bool,
    /// Only entries of which this is true: KEY is tag, name, kind, digest, mediaType, artifactType, platform
    /// or an annotation; repeat for more
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = key_value)]
    filters: Vec<(String, String)>,
}

/// Splits `KEY=VALUE`.
fn key_value(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it is not KEY=VALUE".to_owned()),
    }
}

#[derive(Serialize)]
struct Listing {
    location: String,
    manifests: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    node: Node,
    tag: Option<String>,
    name: Option<String>,
    kind: Option<ManifestKind>,
    referrers: usize,
    /// What is written behind the path to mean this entry alone.
    #[serde(skip)]
    shortest: String,
}

impl Row {
    fn passes(&self, (key, value): &(String, String)) -> bool {
        let is = match key.as_str() {
            "tag" => self.tag.clone(),
            "name" => self.name.clone(),
            "kind" => self.kind.map(|kind| kind.to_string()),
            "digest" => Some(self.node.digest.to_string()),
            "mediaType" => Some(self.node.media_type.clone()),
            "artifactType" => self.node.artifact_type.clone(),
            "platform" => self.node.platform.as_ref().map(ToString::to_string),
            annotation => self.node.annotations.get(annotation).cloned(),
        };
        is.as_ref() == Some(value)
    }
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let location = self.at.read()?;
        if !location.pick.is_empty() {
            return Err(Error::new(Kind::Usage, "could not list a single entry")
                .because("ls takes a location without a reference")
                .hint("show tells everything about one entry"));
        }
        let source = at::open(context, &location)?;
        let progress = context.progress("reading manifests", None);
        let (keeper, load) = (context.keeper(&location.path), at::load(context, false));
        let found = listing(&*source, self.all, &keeper, load, &progress)?;
        drop(progress);
        let mut listing = Listing::of(&found, &location.path)?;
        listing.manifests.retain(|row| self.filters.iter().all(|filter| row.passes(filter)));
        context.answer_of(&listing, &found.unread)
    }
}

impl Listing {
    fn of(found: &listing::Listing, path: &Path) -> Result<Self> {
        let shortest = shortest(&found.index);
        let mut manifests = Vec::new();
        for listed in &found.rows {
            let entry = &found.index.entries()[listed.place];
            let mut node = Node::of(path, entry.descriptor(listed.place)?);
            node.artifact_type = listed.artifact_type.clone().or(node.artifact_type);
            node.absent = listed.absent;
            manifests.push(Row {
                node,
                tag: entry.pair.tag().map(str::to_owned),
                name: entry.pair.full().map(str::to_owned),
                kind: listed.kind,
                referrers: listed.referrers,
                shortest: shortest(listed.place),
            });
        }
        Ok(Self { location: path.display().to_string(), manifests })
    }
}

impl Answer for Listing {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        if self.manifests.is_empty() {
            return Ok(());
        }
        let mut rows = vec![["REFERENCE", "KIND", "SIZE", "REFERRERS", "DIGEST"].map(str::to_owned)];
        for row in &self.manifests {
            let kind = match (row.kind, row.node.absent, &row.node.artifact_type) {
                (_, true, _) => "absent".to_owned(),
                (None, false, _) => "broken".to_owned(),
                (Some(ManifestKind::Artifact), _, Some(artifact_type)) => shown(artifact_type).into_owned(),
                (Some(_), ..) if Form::of(&row.node.media_type) == Some(Form::DockerSchema1) => {
                    "docker schema 1".into()
                }
                (Some(kind), ..) => kind.to_string(),
            };
            let reference = shown(&format!("{}{}", self.location, row.shortest)).into_owned();
            let digest = row.node.digest.to_string();
            rows.push([reference, kind, bytes(row.node.size), row.referrers.to_string(), digest]);
        }
        columns(out, look, &rows)
    }

    fn brief(&self, out: &mut dyn Write) -> io::Result<()> {
        self.manifests.iter().try_for_each(|row| writeln!(out, "{}", row.node.digest))
    }
}
