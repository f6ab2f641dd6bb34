//! `ls` lists the entries of index.json.

use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

use ocistow_graph::listing::{self, listing};
use ocistow_graph::resolve::{of_platform, shortest};
use ocistow_graph::{Form, ManifestKind, Selector};
use ocistow_layout::{Descriptor, Error, Kind, Result, Source};
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
  ocistow ls ./store --filter platform=linux/arm64
  ocistow ls ./store --filter kind=image --filter org.opencontainers.image.version=1.0")]
pub struct Args {
    #[command(flatten)]
    at: At,
    /// Also list fallback and cosign tags, and referrers without a name
    #[arg(long)]
    all: bool,
    /// Only entries of which this is true: KEY is tag, name, kind, digest, mediaType, artifactType, platform
    /// or an annotation; repeat for more
    ///
    /// kind is image, index, artifact or other. A platform is os[/arch[/variant]][:os.version]: what has none in its
    /// entry is judged by its config, an index by what it lists.
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<Filter>,
}

/// What has to be true of an entry that is listed.
#[derive(Debug, Clone)]
enum Filter {
    Kind(ManifestKind),
    Platform(Selector),
    /// Anything else has this text under this key.
    Text(String, String),
}

/// Keys that are no annotations, and whose values may be any text.
const KEYS: [&str; 5] = ["tag", "name", "digest", "mediaType", "artifactType"];

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("it is not KEY=VALUE")?;
        let kinds = [ManifestKind::Image, ManifestKind::Index, ManifestKind::Artifact, ManifestKind::Other];
        match key {
            "kind" => match kinds.into_iter().find(|kind| kind.to_string() == value) {
                Some(kind) => Ok(Self::Kind(kind)),
                None => Err("a kind is image, index, artifact or other".to_owned()),
            },
            "platform" => value.parse().map(Self::Platform).map_err(|why: Error| why.chain()),
            _ => Ok(Self::Text(key.to_owned(), value.to_owned())),
        }
    }
}

impl Filter {
    /// Refuses a key that is no annotation either, as far as anybody can tell: those have a dot, or somebody has them.
    fn judge(&self, rows: &[Row]) -> Result<()> {
        let Self::Text(key, _) = self else { return Ok(()) };
        let had = || rows.iter().any(|row| row.node.annotations.get(key).is_some());
        if KEYS.contains(&key.as_str()) || key.contains('.') || had() {
            return Ok(());
        }
        Err(Error::new(Kind::Usage, format!("could not use the filter {key:?}"))
            .because("there is no such key, and nothing listed has an annotation of that name")
            .hint(format!("there are {}, kind, platform, and annotations", KEYS.join(", "))))
    }

    /// Whether it is true of an entry. Failed where what it takes to know that could not be read.
    fn passes(&self, row: &Row, source: &dyn Source, entry: &Descriptor) -> Result<bool> {
        let (key, value) = match self {
            Self::Kind(kind) => return Ok(row.kind == Some(*kind)),
            Self::Platform(selector) => return is_for(source, entry, row.kind, selector),
            Self::Text(key, value) => (key.as_str(), value),
        };
        let digest = row.node.digest.to_string();
        let is = match key {
            "tag" => row.tag.as_deref(),
            "name" => row.name.as_deref(),
            "digest" => Some(&*digest),
            "mediaType" => Some(&*row.node.media_type),
            "artifactType" => row.node.artifact_type.as_deref(),
            annotation => row.node.annotations.get(annotation),
        };
        Ok(is == Some(&**value))
    }
}

/// Whether an entry is for a platform, or lists what is.
fn is_for(source: &dyn Source, entry: &Descriptor, kind: Option<ManifestKind>, selector: &Selector) -> Result<bool> {
    if let Some(platform) = entry.platform.as_ref().filter(|_| kind != Some(ManifestKind::Index)) {
        return Ok(selector.matches(platform));
    }
    match of_platform(source, entry, selector) {
        Ok(_) => Ok(true),
        Err(why) if why.kind() == Kind::Failed => Err(why),
        // What is absent or broken is for nothing that anybody could tell.
        Err(_) => Ok(false),
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
        let listing = Listing::of(&found, &location.path)?;
        if listing.manifests.is_empty() && !self.all {
            let more = source.index()?.entries().len();
            if more > 0 {
                context.note(&format!("--all lists {more} more: referrers without a name, fallback and cosign tags"));
            }
        }
        let listing = listing.filtered(&self.filters, &*source, &found)?;
        context.answer_of(&listing, &found.unread)
    }
}

impl Listing {
    fn of(found: &listing::Listing, path: &Path) -> Result<Self> {
        let shortest = shortest(&found.index);
        let mut manifests = Vec::with_capacity(found.rows.len());
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

    /// What of it passes all filters.
    fn filtered(self, filters: &[Filter], source: &dyn Source, found: &listing::Listing) -> Result<Self> {
        if filters.is_empty() {
            return Ok(self);
        }
        filters.iter().try_for_each(|filter| filter.judge(&self.manifests))?;
        let mut manifests = Vec::new();
        'row: for (row, listed) in self.manifests.into_iter().zip(&found.rows) {
            let entry = found.index.entries()[listed.place].descriptor(listed.place)?;
            for filter in filters {
                if !filter.passes(&row, source, entry)? {
                    continue 'row;
                }
            }
            manifests.push(row);
        }
        Ok(Self { manifests, ..self })
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
