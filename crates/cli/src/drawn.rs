//! A picture, told: the document of `graph`, and the words that all ways of drawing share.

pub mod dot;
pub mod html;
pub mod mermaid;
pub mod svg;

use std::collections::BTreeSet;
use std::path::Path;

use ocistow_graph::facts::{self, Form};
use ocistow_graph::picture::{Bond, Figure, Role, State};
use ocistow_graph::{Dialect, ManifestKind, Picture};
use ocistow_layout::Digest;
use serde::Serialize;

use crate::node::{Node, reference};
use crate::shown::{bytes, many, shown};

/// The annotation in which a blob has the name of its file.
const TITLE: &str = "org.opencontainers.image.title";

/// What stands for a config where an artifact has none.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A picture and what it is of.
pub struct Drawn<'p> {
    /// The layout, as the user said it.
    pub location: String,
    /// What it starts from, if not from index.json.
    pub reference: Option<String>,
    /// The picture.
    pub picture: &'p Picture,
    /// What is written on each figure.
    pub labels: Vec<Label>,
    path: &'p Path,
}

/// What is written on a figure, for people: not yet fit to print.
pub struct Label {
    /// What it is called.
    pub title: String,
    /// What it is, in a word or as a platform.
    pub word: String,
    /// Its colour, as a class.
    pub hue: &'static str,
    /// Whether the end of what it is called tells most.
    pub tail: bool,
}

/// How figures look, as classes, and what each look stands for.
const SWATCHES: [(&str, &str); 10] = [
    ("index", "index"),
    ("image", "image"),
    ("artifact", "artifact"),
    ("referrer", "referrer"),
    ("config", "config"),
    ("layer", "layer"),
    ("blob", "blob"),
    ("other", "other"),
    ("other absent", "absent"),
    ("other broken", "broken"),
];

/// The same of lines.
const STROKES: [(&str, &str); 2] = [("needs", "needs"), ("refers", "refers to")];

/// The document of `graph`.
#[derive(Serialize)]
pub struct Document<'d> {
    location: &'d str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'d str>,
    nodes: Vec<Spot<'d>>,
    edges: Vec<Edge<'d>>,
}

#[derive(Serialize)]
struct Spot<'d> {
    #[serde(flatten)]
    node: Node,
    kind: Option<ManifestKind>,
    role: Role,
    tags: &'d [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    names: &'d [String],
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<&'d str>,
}

#[derive(Serialize)]
struct Edge<'d> {
    from: &'d Digest,
    to: &'d Digest,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<Dialect>,
}

impl<'p> Drawn<'p> {
    /// A picture of the layout at `path`, or of what belongs to `start` in it.
    pub fn of(picture: &'p Picture, path: &'p Path, start: Option<&Digest>) -> Self {
        let location = path.display().to_string();
        let reference = start.map(|digest| reference(path, digest));
        Self { location, reference, picture, labels: labels(picture), path }
    }

    /// What the picture is of, as its heading says it.
    pub fn heading(&self) -> &str {
        self.reference.as_deref().unwrap_or(&self.location)
    }

    /// The same picture as a document.
    pub fn document(&self) -> Document<'_> {
        let figures = &self.picture.figures;
        let node = |figure: &Figure| Node {
            reference: reference(self.path, &figure.digest),
            media_type: figure.media_type.clone(),
            digest: figure.digest.clone(),
            size: figure.size,
            artifact_type: figure.artifact_type.clone(),
            annotations: figure.annotations.clone(),
            platform: figure.platform.clone(),
            absent: figure.state == State::Absent,
        };
        let spots = figures.iter().map(|figure| Spot {
            node: node(figure),
            kind: figure.kind,
            role: figure.role,
            tags: &figure.tags,
            names: &figure.names,
            broken: match &figure.state {
                State::Broken(why) => Some(why),
                _ => None,
            },
        });
        let edges = self.picture.lines.iter().map(|line| Edge {
            from: &figures[line.from].digest,
            to: &figures[line.to].digest,
            kind: kind(line.bond),
            dialect: match line.bond {
                Bond::Refers { dialect, .. } => Some(dialect),
                Bond::Needs(_) => None,
            },
        });
        Document {
            location: &self.location,
            reference: self.reference.as_deref(),
            nodes: spots.collect(),
            edges: edges.collect(),
        }
    }

    /// How much of what there is: `9 manifests, 4 of them referrers; 17 blobs`.
    pub fn counts(&self) -> String {
        let of = |what: fn(&Figure) -> bool| self.picture.figures.iter().filter(|figure| what(figure)).count();
        let many = |n: usize, one: &str| many(n as u64, one);
        let (manifests, all) = (of(Figure::is_manifest), self.picture.figures.len());
        let mut text = many(manifests, "manifest");
        let referrers = of(|figure| figure.role == Role::Referrer);
        if referrers > 0 {
            text += &format!(", {referrers} of them {}", if referrers == 1 { "a referrer" } else { "referrers" });
        }
        if all > manifests {
            text += &format!("; {}", many(all - manifests, "blob"));
        }
        let (absent, broken) = (of(|it| it.state == State::Absent), of(|it| matches!(it.state, State::Broken(_))));
        for (n, word) in [(absent, "absent"), (broken, "broken")] {
            if n > 0 {
                text += &format!("; {n} {word}");
            }
        }
        text
    }
}

/// What an edge is, as documents say it.
fn kind(bond: Bond) -> &'static str {
    match bond {
        Bond::Needs(facts::Role::Config) => "config",
        Bond::Needs(facts::Role::Layer) => "layer",
        Bond::Needs(facts::Role::Blob) => "blob",
        Bond::Needs(facts::Role::Child) => "child",
        Bond::Refers { .. } => "subject",
    }
}

fn labels(picture: &Picture) -> Vec<Label> {
    let mut refers = vec![None; picture.figures.len()];
    for line in picture.lines.iter().filter(|line| line.refers()) {
        refers[line.from] = Some(line.bond);
    }
    picture.figures.iter().zip(refers).map(|(figure, refers)| label(figure, refers)).collect()
}

/// `refers` is what ties it to what it refers to.
fn label(figure: &Figure, refers: Option<Bond>) -> Label {
    let (hue, word) = match (figure.role, figure.kind) {
        (Role::Config, _) if figure.media_type == EMPTY => ("config", "empty config"),
        (Role::Config, _) => ("config", "config"),
        (Role::Layer, _) => ("layer", "layer"),
        (Role::Blob, _) => ("blob", "blob"),
        (Role::List, _) => ("other", "list"),
        _ if refers.is_some() => ("referrer", "referrer"),
        (_, Some(ManifestKind::Index)) => ("index", "index"),
        (_, Some(ManifestKind::Image)) => ("image", "image"),
        (_, Some(ManifestKind::Artifact)) => ("artifact", "artifact"),
        (Role::Subject, _) => ("other", "subject"),
        _ => match Form::of(&figure.media_type) {
            Some(Form::OciIndex | Form::DockerList) => ("index", "index"),
            Some(Form::OrasArtifact | Form::OciArtifact) => ("artifact", "artifact"),
            Some(Form::DockerSchema1) => ("other", "docker schema 1"),
            Some(_) => ("image", "manifest"),
            None => ("other", "other"),
        },
    };
    let platform = figure.platform.as_ref().map(ToString::to_string);
    let typed = figure.artifact_type.as_deref().map(|artifact_type| brief(artifact_type).to_owned());
    let file = figure.annotations.get(TITLE).map(str::to_owned);
    let titles = match (refers, figure.role) {
        (Some(Bond::Refers { cosign: Some(suffix), .. }), _) => [Some(format!("cosign.{suffix}")), None, None],
        (Some(Bond::Refers { dialect: Dialect::Attestation, .. }), _) => [Some("attestation".to_owned()), None, None],
        (Some(_), _) => [typed, named(figure), None],
        (None, Role::List) => [named(figure), Some("referrers".to_owned()), None],
        (None, Role::Config | Role::Layer | Role::Blob) => [file, None, None],
        (None, _) => [named(figure), platform.clone(), typed.or(file)],
    };
    let title = titles.into_iter().flatten().next().unwrap_or_else(|| word.to_owned());
    let platform = platform.filter(|platform| *platform != title && refers.is_none());
    let tail = refers.is_none() && !figure.names.is_empty();
    let word = platform.unwrap_or_else(|| word.to_owned());
    Label { title: cut(title, LONGEST), word: cut(word, LONGEST), hue, tail }
}

/// The names of an entry: full ones, and tags that are in none of those.
fn named(figure: &Figure) -> Option<String> {
    let split = figure.names.iter().filter_map(|name| Some(name.rsplit_once(':')?.1));
    let split: BTreeSet<&str> = split.collect();
    let tags = figure.tags.iter().map(String::as_str).filter(|tag| !split.contains(tag));
    let full = figure.names.iter().map(|name| {
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        name.strip_prefix("library/").unwrap_or(name)
    });
    let mut names = full.chain(tags);
    let first = names.next()?;
    match names.count() {
        0 => Some(first.to_owned()),
        more => Some(format!("{first} +{more}")),
    }
}

/// A media type without what most have in front.
fn brief(media_type: &str) -> &str {
    let rest = media_type.strip_prefix("application/").unwrap_or(media_type);
    let rest = rest.strip_prefix("vnd.").unwrap_or(rest);
    if rest.is_empty() { media_type } else { rest }
}

/// A digest as people tell it from others: its algorithm and twelve digits.
fn short(digest: &Digest) -> String {
    format!("{}:{}", digest.algorithm(), plain(digest))
}

/// The same without the algorithm.
fn plain(digest: &Digest) -> String {
    digest.encoded().chars().take(12).collect()
}

/// Whether it is there, in a word; nothing where it is.
fn state(figure: &Figure) -> Option<&'static str> {
    match figure.state {
        State::Present => None,
        State::Absent => Some("absent"),
        State::Broken(_) => Some("broken"),
    }
}

/// All there is to say of a figure in a few lines, fit to print.
fn lines(label: &Label, figure: &Figure) -> Vec<String> {
    let mut lines = vec![label.title.clone(), figure.digest.to_string()];
    let typed = figure.artifact_type.iter().filter(|artifact_type| **artifact_type != figure.media_type);
    lines
        .extend(Some(&figure.media_type).filter(|media_type| !media_type.is_empty()).into_iter().chain(typed).cloned());
    lines.push(bytes(figure.size));
    lines.extend(figure.names.iter().chain(&figure.tags).take(MOST_NAMES).cloned());
    match &figure.state {
        State::Present => {}
        State::Absent => lines.push("absent".to_owned()),
        State::Broken(why) => lines.push(format!("broken: {why}")),
    }
    lines.into_iter().map(|line| shown(&cut(line, LONGEST_TOLD)).into_owned()).collect()
}

/// The text, or its start where nobody would read all of it on a figure.
fn cut(text: String, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The longest text on a figure, in characters.
const LONGEST: usize = 80;
/// The longest line told of a figure where it is pointed at.
const LONGEST_TOLD: usize = 200;

/// The most names told of one figure where it is pointed at.
const MOST_NAMES: usize = 10;

/// Text as XML and HTML take it, in content and between quotes: what is not seen as itself, which XML has no way to
/// write either, is spelled out; the rest means only itself.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in shown(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}
