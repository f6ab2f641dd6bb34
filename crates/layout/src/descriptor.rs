//! Descriptors: what a document says of the content it points to.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use serde_json::value::RawValue;

use crate::digest::{Digest, DigestError};
use crate::json::{self, JsonError, Object};

/// The annotation that names an entry of index.json.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation in which containerd, Docker and BuildKit keep the full name of an entry.
pub const IMAGE_NAME: &str = "io.containerd.image.name";

/// A descriptor as it was found: what is understood of it, and its exact text.
///
/// Reading is tolerant where tools in the wild are sloppy (4.8): `null` counts as absent, annotations
/// that are no strings are passed over. Unknown members live on in [`text`](Self::text) (DESCRIPTOR-14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What the content is; any text, never judged here (LAYOUT-10).
    pub media_type: String,
    /// The name of the content.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What sort of artifact the descriptor points to, if it says so.
    pub artifact_type: Option<String>,
    /// Free text about the content, or about this reference to it.
    pub annotations: BTreeMap<String, String>,
    /// What the content runs on.
    pub platform: Option<Platform>,
    /// The content itself, base64, not yet checked against the digest (DESCRIPTOR-8).
    pub data: Option<String>,
    text: Box<str>,
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Default, PartialOrd, Ord, serde::Serialize)]
pub struct Platform {
    /// As Go's GOARCH.
    pub architecture: String,
    /// As Go's GOOS.
    pub os: String,
    /// The CPU's variant, as `v7`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system's version, for Windows.
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What the operating system must offer, as `win32k`.
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

impl fmt::Display for Platform {
    /// As the command line takes it: `os/architecture[/variant][:os.version]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if let Some(variant) = &self.variant {
            write!(f, "/{variant}")?;
        }
        if let Some(version) = &self.os_version {
            write!(f, ":{version}")?;
        }
        Ok(())
    }
}

/// Why a JSON value is no descriptor.
#[derive(Debug)]
pub enum DescriptorError {
    /// It is no JSON object.
    Json(JsonError),
    /// A required member is absent (DESCRIPTOR-1).
    Absent(&'static str),
    /// A member is not of its type.
    Wrong(&'static str),
    /// The digest is none.
    Digest(DigestError),
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(why) => write!(f, "the descriptor is {why}"),
            Self::Absent(member) => write!(f, "the descriptor has no {member}"),
            Self::Wrong(member) => write!(f, "the descriptor's {member} is not valid"),
            Self::Digest(why) => write!(f, "the descriptor's digest: {why}"),
        }
    }
}

impl std::error::Error for DescriptorError {}

impl Descriptor {
    /// Reads a descriptor from its JSON text.
    pub fn parse(text: &str) -> Result<Self, DescriptorError> {
        let members: Object = json::parse(text).map_err(DescriptorError::Json)?;
        let string = |name: &'static str| match members.get(name) {
            None => Ok(None),
            Some(raw) => json::parse::<String>(raw.get()).map(Some).map_err(|_| DescriptorError::Wrong(name)),
        };
        let media_type = string("mediaType")?.ok_or(DescriptorError::Absent("mediaType"))?;
        let digest = string("digest")?.ok_or(DescriptorError::Absent("digest"))?;
        let digest = digest.parse().map_err(DescriptorError::Digest)?;
        let size = members.get("size").ok_or(DescriptorError::Absent("size"))?;
        // Signed 64-bit and never negative (DESCRIPTOR-3).
        let size: i64 = json::parse(size.get()).map_err(|_| DescriptorError::Wrong("size"))?;
        let size = u64::try_from(size).map_err(|_| DescriptorError::Wrong("size"))?;
        Ok(Self {
            media_type,
            digest,
            size,
            artifact_type: string("artifactType")?,
            annotations: annotations(members.get("annotations")).ok_or(DescriptorError::Wrong("annotations"))?,
            platform: platform(members.get("platform"))?,
            data: string("data")?,
            text: text.into(),
        })
    }

    /// Makes a new descriptor, with nothing but what is required.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let text = format!("{{\"mediaType\":{},\"digest\":\"{digest}\",\"size\":{size}}}", json::quote(media_type));
        Self::parse(&text).expect("text made of valid parts is a descriptor")
    }

    /// The exact JSON text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The content in `data`, if it is there and right: padded base64 of exactly the bytes that digest
    /// and size say (DESCRIPTOR-8, DESCRIPTOR-9). `Some(Err)` where it is there and wrong, or where the
    /// digest's algorithm is not known.
    pub fn embedded(&self) -> Option<Result<Vec<u8>, DescriptorError>> {
        let data = self.data.as_ref()?;
        let wrong = || DescriptorError::Wrong("data");
        Some(base64::engine::general_purpose::STANDARD.decode(data).map_err(|_| wrong()).and_then(|bytes| {
            let right = bytes.len() as u64 == self.size && self.digest.same_of(&bytes).as_ref() == Some(&self.digest);
            if right { Ok(bytes) } else { Err(wrong()) }
        }))
    }

    /// One annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }
}

/// Reads annotations; those that are no strings are passed over (4.8). `None` where it is no object.
pub fn annotations(raw: Option<&RawValue>) -> Option<BTreeMap<String, String>> {
    let Some(raw) = raw else { return Some(BTreeMap::new()) };
    let members: Object = json::parse(raw.get()).ok()?;
    let pairs = members.0.into_iter();
    Some(pairs.filter_map(|(key, value)| Some((key, json::parse::<String>(value.get()).ok()?))).collect())
}

/// Reads a platform; absent members are empty. `Err` where it is no platform.
pub fn platform(raw: Option<&RawValue>) -> Result<Option<Platform>, DescriptorError> {
    let wrong = || DescriptorError::Wrong("platform");
    let Some(raw) = raw else { return Ok(None) };
    let members: Object = json::parse(raw.get()).map_err(|_| wrong())?;
    let string =
        |name: &str| members.get(name).map(|raw| json::parse::<String>(raw.get()).map_err(|_| wrong())).transpose();
    let full = |text: Option<String>| text.filter(|text| !text.is_empty());
    let features = members.get("os.features").map(|raw| json::parse(raw.get()).map_err(|_| wrong())).transpose()?;
    Ok(Some(Platform {
        architecture: string("architecture")?.unwrap_or_default(),
        os: string("os")?.unwrap_or_default(),
        variant: full(string("variant")?),
        os_version: full(string("os.version")?),
        os_features: features.unwrap_or_default(),
    }))
}
