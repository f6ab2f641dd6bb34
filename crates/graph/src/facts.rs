//! What a manifest says: its kind, its parts, its subject. Read once from checked bytes.

use std::fmt;
use std::sync::Arc;

use ocistow_layout::Descriptor;
use ocistow_layout::annotations::Annotations;
use ocistow_layout::descriptor::DescriptorError;
use ocistow_layout::digest::{Digest, DigestError};
use ocistow_layout::json::{self, Array, JsonError, Object};
use serde_json::value::RawValue;

use crate::made::EMPTY;

/// The most descriptors taken in one manifest (MANIFEST-21); lists of referrers may have more.
pub const MAX_DESCRIPTORS: usize = 100_000;

/// The config of an OCI image.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The config of a Docker image.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The documents understood, each with a media type of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// An OCI image manifest, also of an artifact.
    OciManifest,
    /// An OCI image index.
    OciIndex,
    /// A Docker v2 schema 2 manifest.
    DockerManifest,
    /// A Docker manifest list.
    DockerList,
    /// An ORAS artifact manifest.
    OrasArtifact,
    /// An OCI artifact manifest, withdrawn before 1.1 (ARTIFACT-6).
    OciArtifact,
    /// A Docker schema 1 manifest: recognised, never followed (DOCKER-COMPAT-7).
    DockerSchema1,
}

/// What members a document has, whatever it calls itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `config` and `layers`.
    Manifest,
    /// `manifests`.
    Index,
    /// `blobs`.
    Artifact,
    /// `fsLayers`.
    Schema1,
}

impl Form {
    /// All of them, in an order that is kept: what is persisted counts in it.
    pub const ALL: [Self; 7] = [
        Self::OciManifest,
        Self::OciIndex,
        Self::DockerManifest,
        Self::DockerList,
        Self::OrasArtifact,
        Self::OciArtifact,
        Self::DockerSchema1,
    ];

    /// The form a media type names; `None` for everything that is no manifest: such content is opaque.
    pub fn of(media_type: &str) -> Option<Self> {
        Some(match media_type {
            "application/vnd.oci.image.manifest.v1+json" => Self::OciManifest,
            "application/vnd.oci.image.index.v1+json" => Self::OciIndex,
            "application/vnd.docker.distribution.manifest.v2+json" => Self::DockerManifest,
            "application/vnd.docker.distribution.manifest.list.v2+json" => Self::DockerList,
            "application/vnd.cncf.oras.artifact.manifest.v1+json" => Self::OrasArtifact,
            "application/vnd.oci.artifact.manifest.v1+json" => Self::OciArtifact,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Self::DockerSchema1,
            _ => return None,
        })
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::OrasArtifact => "application/vnd.cncf.oras.artifact.manifest.v1+json",
            Self::OciArtifact => "application/vnd.oci.artifact.manifest.v1+json",
            Self::DockerSchema1 => "application/vnd.docker.distribution.manifest.v1+json",
        }
    }

    /// The shape a document of this form has.
    pub fn shape(self) -> Shape {
        match self {
            Self::OciManifest | Self::DockerManifest => Shape::Manifest,
            Self::OciIndex | Self::DockerList => Shape::Index,
            Self::OrasArtifact | Self::OciArtifact => Shape::Artifact,
            Self::DockerSchema1 => Shape::Schema1,
        }
    }
}

/// What a manifest is to people; the `kind` of `ls` and `show`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ManifestKind {
    /// A container image of one platform.
    Image,
    /// A list of manifests.
    Index,
    /// Anything else with parts.
    Artifact,
    /// Recognised or opaque, with nothing to follow.
    Other,
}

impl fmt::Display for ManifestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::Index => "index",
            Self::Artifact => "artifact",
            Self::Other => "other",
        })
    }
}

/// What a part is to its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// `config`.
    Config,
    /// One of `layers`.
    Layer,
    /// One of an artifact manifest's `blobs`.
    Blob,
    /// One of an index's `manifests`; opaque where its media type is no manifest's (INDEX-5).
    Child,
}

/// Something a manifest needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is to the manifest.
    pub role: Role,
    /// What the manifest says of it.
    pub descriptor: Descriptor,
}

impl Part {
    /// Whether it has to be read as a manifest itself.
    pub fn is_manifest(&self) -> bool {
        self.role == Role::Child && Form::of(&self.descriptor.media_type).is_some()
    }

    /// Whether its absence is normal: a layer that must not be distributed (LAYERS-12).
    pub fn is_nondistributable(&self) -> bool {
        self.role == Role::Layer && is_nondistributable(&self.descriptor.media_type)
    }
}

/// Whether `media_type` does not say what content is, so that only the content can: it is empty, or what old registries
/// called every manifest (MANIFEST-17, DOCKER-COMPAT-9).
pub fn says_nothing(media_type: &str) -> bool {
    ["", "application/json"].contains(&media_type)
}

/// Whether `media_type` is that of a layer that must not be distributed, OCI's or Docker's
/// (DOCKER-COMPAT-6).
pub fn is_nondistributable(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
}

/// The manifest another one is about: a weak link, never a part (MANIFEST-10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Which manifest.
    pub digest: Digest,
    /// Its length, if it is said: cosign's own examples leave it out (COSIGN-7).
    pub size: Option<u64>,
    /// Its media type, if it is said.
    pub media_type: Option<String>,
}

/// What one manifest says. A plain value: it depends on the manifest's bytes alone, but where they do
/// not name their own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub digest: Digest,
    /// Its real length.
    pub size: u64,
    /// What it was read as.
    pub form: Form,
    /// Whether its bytes alone say so: no descriptor was asked.
    pub by_itself: bool,
    /// What it is to people.
    pub kind: ManifestKind,
    /// `artifactType`, else the config's media type (REFERRERS-5).
    pub artifact_type: Option<String>,
    /// Whether `artifactType` is the manifest's own.
    pub declared_type: bool,
    /// What it is about. Always `None` for Docker's forms (DOCKER-COMPAT-2).
    pub subject: Option<Subject>,
    /// What it needs, in its own order: config first.
    pub parts: Vec<Part>,
    /// Its own annotations.
    pub annotations: Annotations,
    /// What a strict reader would refuse though we can read it: `media-type-mismatch` or `bad-manifest`.
    pub faults: Vec<Fault>,
    /// What is odd, but legal or common.
    pub notes: Vec<Fault>,
}

/// Something wrong with a manifest that can be read all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Its own `mediaType` names another form than what it is read as.
    MediaType(String),
    /// A member is not as it should be, or stands twice.
    Member(String),
    /// It does not have this list, which readers take for an empty one (4.7, MANIFEST-6).
    NoList(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType(why) | Self::Member(why) => f.write_str(why),
            Self::NoList(member) => write!(f, "it has no list of {member}"),
        }
    }
}

/// Why bytes are no manifest that can be read.
#[derive(Debug)]
pub enum FactsError {
    /// They are no JSON object, or nested too deeply.
    Json(JsonError),
    /// Two shapes in one document: readers would disagree on what it is (MANIFEST-15).
    Ambiguous(&'static str, &'static str),
    /// Nothing in them says what they are.
    Shapeless,
    /// A member stands twice that says what it needs or what it is about: readers would see different content
    /// (MANIFEST-18).
    Twice(&'static str),
    /// A required member is absent.
    Absent(&'static str),
    /// A member is not of its type.
    Wrong(&'static str),
    /// A member holds something that is no descriptor.
    Part(&'static str, DescriptorError),
    /// The subject has no valid digest.
    Subject(DigestError),
    /// More than [`MAX_DESCRIPTORS`].
    TooMany(usize),
}

impl fmt::Display for FactsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(why) => write!(f, "it is {why}"),
            Self::Ambiguous(one, other) => write!(f, "it is ambiguous: it has both {one} and {other}"),
            Self::Twice(member) => write!(f, "it is ambiguous: it has the member {member:?} twice"),
            Self::Shapeless => f.write_str("it has neither config, layers, manifests nor blobs"),
            Self::Absent(member) => write!(f, "it has no {member}"),
            Self::Wrong(member) => write!(f, "its {member} is not valid"),
            Self::Part(member, why) => write!(f, "in its {member}, {why}"),
            Self::Subject(why) => write!(f, "in its subject, {why}"),
            Self::TooMany(n) => write!(f, "it has {n} descriptors, the limit is {MAX_DESCRIPTORS}"),
        }
    }
}

impl std::error::Error for FactsError {}

/// Members that say what a document needs and what it is about: of one that stands twice, readers see one or the other.
const LEADING: [&str; 7] = ["config", "layers", "manifests", "blobs", "fsLayers", "subject", "refers"];
/// Members that a strict reader refuses where they stand twice, though what is needed stays the same (MANIFEST-18).
const TELLING: [&str; 4] = ["schemaVersion", "mediaType", "artifactType", "annotations"];

/// Of an effective artifact type, what is told: an image's only where it is declared.
pub(crate) fn told_type<T>(kind: ManifestKind, effective: Option<T>, declared: bool) -> Option<T> {
    effective.filter(|_| declared || kind != ManifestKind::Image)
}

impl Facts {
    /// Reads a manifest whose bytes have been checked against `digest`. `media_type` is what the descriptor
    /// says of it: it is believed where the document has that shape (MANIFEST-14); else the document's own
    /// word is, and where there is none it is guessed (MANIFEST-17).
    pub fn read(media_type: &str, digest: &Digest, bytes: &[u8]) -> Result<Self, FactsError> {
        Self::read_text(media_type, digest, &document(bytes)?)
    }

    /// The same for a text, which the descriptors in it keep alive.
    pub(crate) fn read_text(media_type: &str, digest: &Digest, text: &Arc<String>) -> Result<Self, FactsError> {
        let facts = Self::read_any(media_type, digest, text)?;
        if facts.parts.len() > MAX_DESCRIPTORS {
            return Err(FactsError::TooMany(facts.parts.len()));
        }
        Ok(facts)
    }

    /// The same, with as many descriptors as there are: for lists of referrers.
    pub fn read_list(media_type: &str, digest: &Digest, bytes: &[u8]) -> Result<Self, FactsError> {
        Self::read_any(media_type, digest, &document(bytes)?)
    }

    /// The same, with as many descriptors as there are.
    pub(crate) fn read_any(media_type: &str, digest: &Digest, text: &Arc<String>) -> Result<Self, FactsError> {
        let object: Object = json::parse(text).map_err(FactsError::Json)?;
        let mut notes = Vec::new();
        let mut faults = Vec::new();
        for name in object.doubled() {
            if let Some(member) = LEADING.into_iter().find(|member| *member == name) {
                return Err(FactsError::Twice(member));
            }
            if TELLING.contains(&name) {
                faults.push(Fault::Member(format!("it has the member {name:?} twice")));
            }
        }
        if !json::is_unicode(text) {
            faults.push(Fault::Member("it has half of a surrogate pair, which is no text".into()));
        }
        let own_type = string(&object, "mediaType")?;
        let own = own_type.as_deref().and_then(Form::of);
        let form = self::form(&object, own, Form::of(media_type))?;
        let by_itself = own == Some(form) || self::form(&object, own, None).is_ok_and(|itself| itself == form);
        match own_type.filter(|own_type| !own_type.is_empty() && own != Some(form)) {
            Some(claimed) if own.is_some_and(|own| own.shape() != form.shape()) => {
                faults
                    .push(Fault::MediaType(format!("it calls itself {claimed}, but has the members of another form")));
            }
            Some(claimed) => {
                let read = form.media_type();
                notes.push(Fault::MediaType(format!("it calls itself {claimed}, and is read as {read}")));
            }
            None => {}
        }
        let shape = form.shape();
        match object.get("schemaVersion").map(RawValue::get) {
            Some("2") => {}
            _ if matches!(shape, Shape::Artifact | Shape::Schema1) => {}
            _ => faults.push(Fault::Member("its schemaVersion is not 2".into())),
        }
        // Room for exactly what there is: a layout has many manifests.
        let mut list =
            |member: &'static str, role: Role, config: Option<Descriptor>| -> Result<Vec<Part>, FactsError> {
                let array = match object.get(member) {
                    Some(raw) => json::parse(raw.get()).map_err(|_| FactsError::Wrong(member))?,
                    None => Array(Vec::new()),
                };
                let mut parts = Vec::with_capacity(array.0.len() + usize::from(config.is_some()));
                parts.extend(config.map(|descriptor| Part { role: Role::Config, descriptor }));
                for element in array.0 {
                    let descriptor = Descriptor::parse_in(text, json::span(text, element));
                    let descriptor = descriptor.map_err(|why| FactsError::Part(member, why))?;
                    parts.push(Part { role, descriptor });
                }
                if object.get(member).is_none() && role != Role::Blob {
                    notes.push(Fault::NoList(member));
                }
                Ok(parts)
            };
        let mut config_type = None;
        let parts = match shape {
            Shape::Manifest => {
                let raw = object.get("config").ok_or(FactsError::Absent("config"))?;
                let config = Descriptor::parse_in(text, json::span(text, raw));
                let config = config.map_err(|why| FactsError::Part("config", why))?;
                config_type = Some(config.media_type.clone());
                list("layers", Role::Layer, Some(config))?
            }
            Shape::Index => list("manifests", Role::Child, None)?,
            Shape::Artifact => list("blobs", Role::Blob, None)?,
            Shape::Schema1 => Vec::new(),
        };
        let declared = string(&object, "artifactType")?.filter(|text| !text.is_empty());
        if form == Form::OciManifest && declared.is_none() && config_type.as_deref() == Some(EMPTY) {
            notes.push(Fault::Member("its config is the empty one, and it has no artifactType".into()));
        }
        let kind = match shape {
            Shape::Index => ManifestKind::Index,
            Shape::Schema1 => ManifestKind::Other,
            Shape::Manifest
                if declared.is_none()
                    && config_type.as_deref().is_some_and(|t| t == OCI_CONFIG || t == DOCKER_CONFIG) =>
            {
                ManifestKind::Image
            }
            Shape::Manifest | Shape::Artifact => ManifestKind::Artifact,
        };
        let subject = match form {
            Form::DockerManifest | Form::DockerList | Form::DockerSchema1 => None,
            // The first release candidate called it `refers` (ARTIFACT-6).
            Form::OciArtifact => object.get("subject").or_else(|| object.get("refers")),
            _ => object.get("subject"),
        };
        let subject = subject.map(self::subject).transpose()?;
        Ok(Self {
            digest: digest.clone(),
            size: text.len() as u64,
            form,
            by_itself,
            kind,
            declared_type: declared.is_some(),
            artifact_type: declared.or(config_type),
            subject,
            parts,
            annotations: Annotations::read(object.get("annotations")).ok_or(FactsError::Wrong("annotations"))?,
            faults,
            notes,
        })
    }

    /// The type that is told of it: an image's only where it is declared.
    pub fn told_type(&self) -> Option<&str> {
        told_type(self.kind, self.artifact_type.as_deref(), self.declared_type)
    }

    /// The descriptors of its children, for an index.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        self.parts.iter().filter(|part| part.role == Role::Child).map(|part| &part.descriptor)
    }

    /// The same, of facts that nobody needs any more.
    pub fn into_children(self) -> impl Iterator<Item = Descriptor> {
        self.parts.into_iter().filter(|part| part.role == Role::Child).map(|part| part.descriptor)
    }

    /// The descriptor of its config.
    pub fn config(&self) -> Option<&Descriptor> {
        self.parts.iter().find(|part| part.role == Role::Config).map(|part| &part.descriptor)
    }

    /// The parts of one role.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Descriptor> {
        self.parts.iter().filter(move |part| part.role == role).map(|part| &part.descriptor)
    }
}

/// The text of a manifest, for those that will share it.
fn document(bytes: &[u8]) -> Result<Arc<String>, FactsError> {
    Ok(Arc::new(json::text(bytes).map_err(FactsError::Json)?.to_owned()))
}

fn string(object: &Object, member: &'static str) -> Result<Option<String>, FactsError> {
    object.get(member).map(|raw| json::parse(raw.get()).map_err(|_| FactsError::Wrong(member))).transpose()
}

/// What the document is: its members decide its shape, then what the descriptor says, then its own word.
fn form(object: &Object, own: Option<Form>, said: Option<Form>) -> Result<Form, FactsError> {
    let has = |member: &'static str| object.get(member).map(|_| member);
    let manifest = has("config").or(has("layers"));
    let index = has("manifests");
    let schema1 = has("fsLayers");
    let both = [manifest, index, schema1];
    let mut found = both.iter().flatten();
    if let (Some(one), Some(other)) = (found.next(), found.next()) {
        return Err(FactsError::Ambiguous(one, other));
    }
    let of_shape = |shape: Shape| [said, own].into_iter().flatten().find(|form| form.shape() == shape);
    if let Some(member) = manifest.or(index) {
        // An artifact manifest has neither: one that does would be read in two ways.
        if let Some(artifact) = own.filter(|own| own.shape() == Shape::Artifact) {
            return Err(FactsError::Ambiguous(artifact.media_type(), member));
        }
    }
    if manifest.is_some() {
        let docker = || {
            let config: Object = json::parse(object.get("config")?.get()).ok()?;
            let config_type: String = json::parse(config.get("mediaType")?.get()).ok()?;
            config_type.starts_with("application/vnd.docker.").then_some(Form::DockerManifest)
        };
        return Ok(of_shape(Shape::Manifest).or_else(docker).unwrap_or(Form::OciManifest));
    }
    if index.is_some() {
        return Ok(of_shape(Shape::Index).unwrap_or(Form::OciIndex));
    }
    if schema1.is_some() {
        return Ok(Form::DockerSchema1);
    }
    // Only lists may be absent: an artifact without blobs, an index with `null` (4.7).
    let said = said.filter(|said| own.is_none_or(|own| own.shape() == said.shape()));
    match said.or(own) {
        Some(form @ (Form::OrasArtifact | Form::OciArtifact)) => Ok(form),
        Some(form @ (Form::OciIndex | Form::DockerList)) => Ok(form),
        _ if object.get("blobs").is_some() => Ok(of_shape(Shape::Artifact).unwrap_or(Form::OciArtifact)),
        Some(Form::OciManifest | Form::DockerManifest) => Err(FactsError::Absent("config")),
        _ => Err(FactsError::Shapeless),
    }
}

fn subject(raw: &RawValue) -> Result<Subject, FactsError> {
    let object: Object = json::parse(raw.get()).map_err(|_| FactsError::Wrong("subject"))?;
    let doubled = object.doubled();
    if let Some(member) = ["digest", "mediaType", "size"].into_iter().find(|member| doubled.contains(member)) {
        return Err(FactsError::Part("subject", DescriptorError::Twice(member)));
    }
    let digest = string(&object, "digest")?.ok_or(FactsError::Wrong("subject"))?;
    let digest = digest.parse().map_err(FactsError::Subject)?;
    // Cosign's own examples leave it out (COSIGN-7); one that is there is one (DESCRIPTOR-3).
    let wrong = || FactsError::Part("subject", DescriptorError::Wrong("size"));
    let signed = |raw: &RawValue| json::parse(raw.get()).ok().filter(|size| i64::try_from(*size).is_ok());
    let size = object.get("size").map(|raw| signed(raw).ok_or_else(wrong)).transpose()?;
    Ok(Subject { digest, size, media_type: string(&object, "mediaType").unwrap_or_default() })
}
