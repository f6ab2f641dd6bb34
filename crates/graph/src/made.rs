//! Manifests made here: their bytes, the same for everybody, and how they come into a layout.
//!
//! Members stand in the order, and text is escaped in the way, of oras and of Go's other tools, so that the same
//! artifact has the same digest whoever made it.

use std::collections::{BTreeMap, BTreeSet};

use ocistow_layout::checked::MAX_MANIFEST;
use ocistow_layout::descriptor::{IMAGE_NAME, REF_NAME};
use ocistow_layout::edit::{Edit, apply};
use ocistow_layout::memory::Memory;
use ocistow_layout::name::{Pair, Steps, look_up};
use ocistow_layout::{Blob, Descriptor, Digest, Error, IndexFile, Kind, Platform, Result, Source, Unwatched, json};

use crate::closure::config_platform;
use crate::facts::{DOCKER_CONFIG, Facts, Fault, Form, MAX_DESCRIPTORS, ManifestKind, OCI_CONFIG, Part, Role};
use crate::graph::{
    ATTESTATION, ATTESTED, CONTAINERD_SUBJECT, COSIGN_KIND, COSIGN_KINDS, Graph, Load, OLAREG_SUBJECT,
    PROPOSED_SUBJECT, about,
};
use crate::import::{Import, import};
use crate::list;
use crate::listed::ReferrersAs;
use crate::plan::{Entry, Plan};

/// The media type of the empty config, and of the empty layer.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The content of both.
pub const EMPTY_CONTENT: &[u8] = b"{}";
/// The type of an artifact of which nobody said what it is.
pub const UNKNOWN_ARTIFACT: &str = "application/vnd.unknown.artifact.v1";
/// The longest manifest that registries have to take.
pub const MOST_WELCOME: u64 = 4 << 20;

/// An artifact to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What sort of artifact it is; `None` where its config says so.
    pub artifact_type: Option<String>,
    /// The config.
    pub config: Descriptor,
    /// The layers, in order; none: the empty one (ARTIFACT-3).
    pub layers: Vec<Descriptor>,
    /// What it is about.
    pub subject: Option<Descriptor>,
    /// Free text about it.
    pub annotations: BTreeMap<String, String>,
}

impl Artifact {
    /// Makes its manifest. Usage where nobody could read that, or it would pass for an image (ARTIFACT-1).
    pub fn make(&self) -> Result<Made> {
        let config = &self.config.media_type;
        if [OCI_CONFIG, DOCKER_CONFIG].contains(&config.as_str()) {
            let error = Error::new(Kind::Usage, format!("could not make an artifact with a config of type {config}"));
            return Err(error.because("that is an image's").hint("an artifact's config has a type of its own"));
        }
        let mut text = head(Form::OciManifest, self.artifact_type.as_deref());
        text.push_str(&format!(",\"config\":{}", self.config.text()));
        let empty;
        let layers = match self.layers.as_slice() {
            [] => {
                empty = [empty_descriptor(&BTreeMap::new())];
                &empty
            }
            layers => layers,
        };
        let mut after = String::new();
        if let Some(subject) = &self.subject {
            // What an entry says of it besides is no business of who refers to it.
            let blob = Blob { digest: subject.digest.clone(), size: subject.size };
            let plain = described(&subject.media_type, &blob, &BTreeMap::new());
            after.push_str(&format!(",\"subject\":{}", plain.text()));
        }
        annotate(&mut after, &self.annotations);
        after.push('}');
        Made::of_layers(text, layers, &after)
    }
}

/// An index to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// What sort of artifact it is.
    pub artifact_type: Option<String>,
    /// Its children, in order.
    pub children: Vec<Descriptor>,
    /// Free text about it.
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// Makes it. Usage where nobody could read it.
    pub fn make(&self) -> Result<Made> {
        let mut text = head(Form::OciIndex, self.artifact_type.as_deref());
        list(&mut text, "manifests", &self.children);
        annotate(&mut text, &self.annotations);
        text.push('}');
        Made::of(Form::OciIndex, text)
    }
}

fn head(form: Form, artifact_type: Option<&str>) -> String {
    let mut text = format!("{{\"schemaVersion\":2,\"mediaType\":\"{}\"", form.media_type());
    if let Some(artifact_type) = artifact_type {
        text.push_str(&format!(",\"artifactType\":{}", quote(artifact_type)));
    }
    text
}

/// Writes a member that lists descriptors; there may be many.
fn list(text: &mut String, member: &str, descriptors: &[Descriptor]) {
    text.push_str(&format!(",\"{member}\":["));
    text.reserve(descriptors.iter().map(|one| one.text().len() + 1).sum());
    for (at, one) in descriptors.iter().enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        text.push_str(one.text());
    }
    text.push(']');
}

/// Writes annotations, sorted, where there are any.
fn annotate(text: &mut String, annotations: &BTreeMap<String, String>) {
    for (at, (key, value)) in annotations.iter().enumerate() {
        text.push_str(if at == 0 { ",\"annotations\":{" } else { "," });
        push_quoted(text, key);
        text.push(':');
        push_quoted(text, value);
    }
    text.push_str(if annotations.is_empty() { "" } else { "}" });
}

/// Writes a JSON string; nearly all can be written as they are.
fn push_quoted(text: &mut String, plain: &str) {
    let as_it_is = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&');
    match plain.bytes().all(as_it_is) {
        true => text.extend(["\"", plain, "\""]),
        false => text.push_str(&quote(plain)),
    }
}

/// A JSON string as Go writes it: safe to be put into HTML.
fn quote(text: &str) -> String {
    let plain = json::quote(text);
    // The first byte of U+2028 and U+2029.
    if !plain.bytes().any(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xE2)) {
        return plain;
    }
    let mut quoted = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted
}

/// The descriptor of a blob, with annotations if there are any.
pub fn described(media_type: &str, blob: &Blob, annotations: &BTreeMap<String, String>) -> Descriptor {
    descriptor(media_type, blob, annotations, "")
}

/// The descriptor of the empty config or layer, with its content in it (2.3).
pub fn empty_descriptor(annotations: &BTreeMap<String, String>) -> Descriptor {
    descriptor(EMPTY, &empty_blob(), annotations, ",\"data\":\"e30=\"")
}

/// The blob of the empty config and layer.
pub fn empty_blob() -> Blob {
    Blob { digest: Digest::of(EMPTY_CONTENT), size: EMPTY_CONTENT.len() as u64 }
}

fn descriptor(media_type: &str, blob: &Blob, annotations: &BTreeMap<String, String>, more: &str) -> Descriptor {
    // Grown bit by bit it would be moved six times.
    let mut text = String::with_capacity(256 + media_type.len());
    text.push_str("{\"mediaType\":");
    push_quoted(&mut text, media_type);
    let Blob { digest, size } = blob;
    text.extend([",\"digest\":\"", &digest.to_string(), "\",\"size\":", &size.to_string()]);
    annotate(&mut text, annotations);
    text.extend([more, "}"]);
    Descriptor::parse(&text).expect("text made of valid parts is a descriptor")
}

/// A manifest that was made, or given, and is to be entered into a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// What it says.
    pub facts: Facts,
}

impl Made {
    /// Takes bytes that are a manifest: they are kept as they are, under the digest that is expected of them, else
    /// under their sha256. Integrity where they are none, lack what a writer has to say though readers do without, or
    /// have another digest; Usage where no digest of that algorithm can be made here.
    pub fn given(bytes: Vec<u8>, expected: Option<&Digest>) -> Result<Self> {
        let made = Self::taken(bytes, expected)?;
        match made.unwritten() {
            Some(why) => Err(Error::new(Kind::Integrity, "could not take the manifest").because(why)),
            None => Ok(made),
        }
    }

    /// What it lacks that a writer has to say (MANIFEST-6, INDEX-1, INDEX-7).
    fn unwritten(&self) -> Option<String> {
        let missing = self.facts.notes.iter().find(|note| matches!(note, Fault::NoList(_)));
        let is_half = |child: &&Descriptor| child.platform.as_ref().is_some_and(|platform| !platform.is_whole());
        let half = || self.facts.children().find(is_half);
        let lacks = |child: &Descriptor| format!("the platform of {} lacks os or architecture", child.digest);
        missing.map(ToString::to_string).or_else(|| half().map(lacks))
    }

    /// The same without that: what somebody else left out may stay so.
    fn taken(bytes: Vec<u8>, expected: Option<&Digest>) -> Result<Self> {
        let what = || Error::new(Kind::Integrity, "could not take the manifest");
        if bytes.len() as u64 > MAX_MANIFEST {
            let why = format!("it has {} bytes, the limit is {MAX_MANIFEST}", bytes.len());
            return Err(what().because(why));
        }
        let digest = match expected.map(|expected| (expected, expected.same_of(&bytes))) {
            None => Digest::of(&bytes),
            Some((expected, Some(found))) if found == *expected => found,
            Some((expected, Some(found))) => {
                return Err(what().because(format!("it should have the digest {expected} and has {found}")));
            }
            Some((expected, None)) => {
                let why = format!("a digest of {} cannot be checked", expected.algorithm());
                return Err(what().because(why).of_kind(Kind::Usage));
            }
        };
        let facts = Facts::read("", &digest, &bytes).map_err(|why| what().because(why))?;
        match facts.faults.first() {
            Some(fault) => Err(what().because(fault.to_string())),
            None if facts.form == Form::DockerSchema1 => {
                Err(what().because("it is of Docker's first schema, which layouts cannot hold"))
            }
            None => Ok(Self { bytes, facts }),
        }
    }

    /// A manifest of these layers, with its text before and after the list of them. That may be long, and each of it was
    /// read when it became a descriptor: what is around it is read alone.
    fn of_layers(before: String, layers: &[Descriptor], after: &str) -> Result<Self> {
        let around = format!("{before},\"layers\":[]{after}");
        let mut text = before;
        list(&mut text, "layers", layers);
        text.push_str(after);
        let read = Facts::read(Form::OciManifest.media_type(), &Digest::of(text.as_bytes()), around.as_bytes());
        let plain = text.len() as u64 <= MAX_MANIFEST && json::is_unicode(&text);
        match read {
            Ok(mut facts) if plain && facts.parts.len() + layers.len() <= MAX_DESCRIPTORS => {
                facts.size = text.len() as u64;
                facts.parts.extend(layers.iter().map(|layer| Part { role: Role::Layer, descriptor: layer.clone() }));
                debug_assert!(Self::of(Form::OciManifest, text.clone()).is_ok_and(|made| made.facts == facts));
                Ok(Self { bytes: text.into_bytes(), facts })
            }
            _ => Self::of(Form::OciManifest, text),
        }
    }

    /// What was made has to be readable by us and by others.
    fn of(form: Form, text: String) -> Result<Self> {
        let what = || Error::new(Kind::Usage, "could not make the manifest");
        if text.len() as u64 > MAX_MANIFEST {
            let why = format!("it would have {} bytes, the limit is {MAX_MANIFEST}", text.len());
            return Err(what().because(why).hint("a directory is one layer, whatever is in it"));
        }
        let bytes = text.into_bytes();
        match Facts::read(form.media_type(), &Digest::of(&bytes), &bytes) {
            Ok(facts) => Ok(Self { bytes, facts }),
            Err(why) => Err(what().because(why).hint(format!("the most it can list is {MAX_DESCRIPTORS}"))),
        }
    }

    /// Its name and length.
    pub fn blob(&self) -> Blob {
        Blob { digest: self.facts.digest.clone(), size: self.facts.size }
    }

    /// The descriptor of its entry in an index.json, without a name: as oras writes it, with type and annotations
    /// along. Annotations that would mean something else there stay out.
    pub fn entry(&self) -> Descriptor {
        let Facts { form, annotations, .. } = &self.facts;
        let more = [REF_NAME, IMAGE_NAME, OLAREG_SUBJECT, PROPOSED_SUBJECT, CONTAINERD_SUBJECT];
        let means_more =
            |key: &str, value: &str| more.contains(&key) || key == COSIGN_KIND && value.starts_with(COSIGN_KINDS);
        let plain = annotations.iter().filter(|(key, value)| !means_more(key, value));
        let annotations = plain.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        descriptor(form.media_type(), &self.blob(), &annotations, &typed(&self.facts))
    }

    /// Decides how it comes into `target`: under `reference`, which then stands for nothing else, or without a name.
    /// Lists of referrers that `target` has are kept true. As [`import`].
    pub fn enter(&self, reference: Option<&str>, target: &dyn Source) -> Result<Import> {
        let pair = reference.map(Pair::written).unwrap_or_default();
        let names: Vec<(String, String)> =
            reference.map(|name| (name.to_owned(), name.to_owned())).into_iter().collect();
        self.arrive(vec![Entry::named(&self.entry(), pair)], BTreeMap::new(), &names, target)
    }

    /// Decides how it comes into `target` as a referrer, recorded in that way. `others` refer to the same subject: where
    /// `target` has no list yet and one is made, they are in it. As [`import`].
    pub fn attach(&self, way: ReferrersAs, others: &[Facts], target: &dyn Source) -> Result<Import> {
        let Some(subject) = self.facts.subject.as_ref().filter(|_| way != ReferrersAs::Entries) else {
            return self.enter(None, target);
        };
        let mut listed: Vec<&Facts> = others.iter().chain([&self.facts]).collect();
        listed.sort_by(|one, other| one.digest.cmp(&other.digest));
        listed.dedup_by(|one, other| one.digest == other.digest);
        let (entry, bytes) =
            list::under_tag(subject.digest.fallback_tag(), listed.into_iter().map(list::member).collect());
        let digest = entry.descriptor.digest.clone();
        let mut entries = vec![entry];
        if way == ReferrersAs::Both {
            entries.push(Entry::named(&self.entry(), Pair::default()));
        }
        let mut import = self.arrive(entries, BTreeMap::from([(digest.clone(), bytes.clone())]), &[], target)?;
        if !import.dropped.contains(&digest) {
            import.inline.insert(digest, bytes);
        }
        Ok(import)
    }

    /// Decides how it arrives in `target`, as from a layout that has these entries and nothing else.
    fn arrive(
        &self,
        entries: Vec<Entry>,
        lists: BTreeMap<Digest, Vec<u8>>,
        names: &[(String, String)],
        target: &dyn Source,
    ) -> Result<Import> {
        let mut alone = Memory::default();
        let listed =
            self.facts.subject.is_some() || entries.iter().any(|entry| about(&entry.descriptor, &entry.pair).is_some());
        // Else no list of referrers has to do with it, and nobody will ask for more.
        if listed {
            let texts: Vec<&str> = entries.iter().map(|entry| entry.descriptor.text()).collect();
            alone.index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", texts.join(",")).into_bytes();
            alone.blobs.insert(self.facts.digest.clone(), self.bytes.clone());
            alone.blobs.extend(lists.clone());
        }
        let graph = Graph::load(&alone, Load { threads: 1, scan_blobs: false }, &Unwatched)?;
        let plan = Plan { entries, manifests: vec![self.blob()], inline: lists, ..Plan::default() };
        import(&plan, &graph, target, names)
    }

    /// The same, in the place of what it was made of: `reference` has to stand for `old` still when it is published,
    /// else that ends with Conflict.
    pub fn replace(&self, old: &Digest, reference: &str, target: &dyn Source) -> Result<Import> {
        let mut import = self.enter(Some(reference), target)?;
        let index = target.index()?;
        let places = look_up(&index, reference, Steps::Exact);
        let pairs: BTreeSet<&Pair> = places.into_iter().map(|place| &index.entries()[place].pair).collect();
        import.edits.retain(|edit| !matches!(edit, Edit::Name { .. }));
        import.edits.extend(pairs.into_iter().map(|pair| Edit::Set {
            entry: Box::new(self.entry()),
            pair: pair.clone(),
            expect: Some(Some(old.clone())),
        }));
        Ok(import)
    }
}

/// The descriptor of a manifest as a child of an index: with its platform where it is an image's, which is what the
/// descriptor it was found by says, else its config (DESCRIPTOR-12), if that is a whole one, and its type where it has one.
pub fn child(source: &dyn Source, found: &Descriptor, facts: &Facts) -> Result<Descriptor> {
    let platform = match &found.platform {
        Some(platform) => Some((**platform).clone()),
        None => config_platform(source, facts)?,
    };
    let platform = platform.filter(Platform::is_whole);
    // An attestation is one by these, whichever index it is in.
    let kept = found.annotations.iter().filter(|(key, _)| [ATTESTED, ATTESTATION].contains(key));
    let annotations = kept.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut more = String::new();
    if let Some(platform) = platform {
        let platform = serde_json::to_string(&platform).expect("a platform is made of text");
        more.push_str(&format!(",\"platform\":{platform}"));
    }
    more.push_str(&typed(facts));
    let blob = Blob { digest: facts.digest.clone(), size: facts.size };
    Ok(descriptor(facts.form.media_type(), &blob, &annotations, &more))
}

/// The member of a descriptor that says its type, where that is more than that it is an image or an index.
fn typed(facts: &Facts) -> String {
    let says = facts.declared_type || facts.kind == ManifestKind::Artifact;
    let artifact_type = facts.artifact_type.as_ref().filter(|_| says);
    artifact_type.map_or_else(String::new, |text| format!(",\"artifactType\":{}", quote(text)))
}

/// An index with more children, those it has already left aside. Everything else of its text stays as it is.
pub fn with_children(index: Vec<u8>, children: Vec<Descriptor>) -> Result<Made> {
    let index = IndexFile::parse(index)?;
    let edits: Vec<Edit> = children.into_iter().map(|child| Edit::Add { entry: Box::new(child) }).collect();
    Made::taken(apply(&index, &edits)?, None)
}

/// An index without the children of these digests. NotFound where it has none of a digest.
pub fn without_children(index: Vec<u8>, digests: &[Digest]) -> Result<Made> {
    let index = IndexFile::parse(index)?;
    let mut edits = Vec::new();
    for digest in digests {
        let own =
            index.entries().iter().filter(|entry| entry.descriptor.as_ref().is_ok_and(|own| own.digest == *digest));
        let before = edits.len();
        edits.extend(own.map(|entry| Edit::Remove { digest: digest.clone(), pair: entry.pair.clone() }));
        if edits.len() == before {
            return Err(Error::new(Kind::NotFound, format!("could not remove {digest}: the index does not list it")));
        }
    }
    Made::taken(apply(&index, &edits)?, None)
}
