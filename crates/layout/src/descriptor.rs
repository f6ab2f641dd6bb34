//! Descriptors: what a document says of the content it points to.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::annotations::Annotations;
use crate::digest::{Digest, DigestError};
use crate::json::{self, JsonError, Name, Object};

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
    pub annotations: Annotations,
    /// What the content runs on.
    pub platform: Option<Box<Platform>>,
    /// The content itself, base64, not yet checked against the digest (DESCRIPTOR-8).
    pub data: Option<Box<str>>,
    text: Text,
}

/// A stretch of a document, which lives as long as what was read from it.
#[derive(Clone)]
struct Text {
    document: Arc<String>,
    span: Range<usize>,
}

impl Text {
    fn get(&self) -> &str {
        &self.document[self.span.clone()]
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
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

impl Platform {
    /// Whether it has what every platform has to have (INDEX-7).
    pub fn is_whole(&self) -> bool {
        !self.os.is_empty() && !self.architecture.is_empty()
    }
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
    /// A member that is understood stands twice: readers would see different content (MANIFEST-18).
    Twice(&'static str),
    /// The digest is none.
    Digest(DigestError),
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(why) => write!(f, "the descriptor is {why}"),
            Self::Absent(member) => write!(f, "the descriptor has no {member}"),
            Self::Wrong(member) => write!(f, "the descriptor's {member} is not valid"),
            Self::Twice(member) => write!(f, "the descriptor has the member {member:?} twice"),
            Self::Digest(why) => write!(f, "the descriptor's digest: {why}"),
        }
    }
}

impl std::error::Error for DescriptorError {}

impl Descriptor {
    /// Reads a descriptor from its JSON text.
    pub fn parse(text: &str) -> Result<Self, DescriptorError> {
        Self::parse_in(&Arc::new(text.to_owned()), 0..text.len())
    }

    /// Reads a descriptor from its place in a document, which it keeps alive instead of copying its text.
    ///
    /// # Panics
    /// Where `span` is no stretch of text in the document.
    pub fn parse_in(document: &Arc<String>, span: Range<usize>) -> Result<Self, DescriptorError> {
        let members: Members = json::parse(&document[span.clone()]).map_err(DescriptorError::Json)?;
        members.once()?;
        let (media_type, digest, size) = required(members.media_type, members.digest, members.size)?;
        Ok(Self {
            media_type: media_type.into_owned(),
            digest,
            size,
            artifact_type: members.artifact_type.unwrap_or_default().string("artifactType")?,
            annotations: Annotations::read(members.annotations.flatten())
                .ok_or(DescriptorError::Wrong("annotations"))?,
            platform: platform(members.platform.flatten())?.map(Box::new),
            data: members.data.unwrap_or_default().text("data")?.map(Box::from),
            text: Text { document: document.clone(), span },
        })
    }

    /// Makes a new descriptor, with nothing but what is required.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let text = format!("{{\"mediaType\":{},\"digest\":\"{digest}\",\"size\":{size}}}", json::quote(media_type));
        Self::parse(&text).expect("text made of valid parts is a descriptor")
    }

    /// The exact JSON text it was read from.
    pub fn text(&self) -> &str {
        self.text.get()
    }

    /// The content in `data`, if it is there and right: padded base64 of exactly the bytes that digest
    /// and size say (DESCRIPTOR-8, DESCRIPTOR-9). `Some(Err)` where it is there and wrong, or where the
    /// digest's algorithm is not known.
    pub fn embedded(&self) -> Option<Result<Vec<u8>, DescriptorError>> {
        let data = self.data.as_ref()?;
        let wrong = || DescriptorError::Wrong("data");
        Some(base64::engine::general_purpose::STANDARD.decode(&**data).map_err(|_| wrong()).and_then(|bytes| {
            let right = bytes.len() as u64 == self.size && self.digest.same_of(&bytes).as_ref() == Some(&self.digest);
            if right { Ok(bytes) } else { Err(wrong()) }
        }))
    }

    /// One annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key)
    }
}

/// What a descriptor leads to. It is there only where [`Descriptor::parse`] takes the same text.
pub struct Glance<'a> {
    /// What the content is.
    pub media_type: Cow<'a, str>,
    /// The name of the content.
    pub digest: Digest,
    /// Whether it has content in its `data`, right or wrong.
    pub has_data: bool,
    annotations: Option<&'a RawValue>,
}

impl Glance<'_> {
    /// One annotation's value, as [`Descriptor::annotation`] has it.
    pub fn annotation(&self, key: &str) -> Option<String> {
        let annotations = self.annotations?;
        // Without escapes a key stands there as it is.
        if !annotations.get().contains(key) && !annotations.get().as_bytes().contains(&b'\\') {
            return None;
        }
        Annotations::read(Some(annotations))?.get(key).map(str::to_owned)
    }
}

impl<'de> Deserialize<'de> for Glance<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Members::deserialize(from)?.glance().map_err(serde::de::Error::custom)
    }
}

impl<'a> Members<'a> {
    fn once(&self) -> Result<(), DescriptorError> {
        self.twice.map_or(Ok(()), |member| Err(DescriptorError::Twice(member)))
    }

    fn glance(self) -> Result<Glance<'a>, DescriptorError> {
        self.once()?;
        let (media_type, digest, _) = required(self.media_type, self.digest, self.size)?;
        self.artifact_type.unwrap_or_default().text("artifactType")?;
        let has_data = self.data.unwrap_or_default().text("data")?.is_some();
        platform(self.platform.flatten())?;
        let annotations = self.annotations.flatten();
        match annotations.map(RawValue::get) {
            // An object whose names have no escapes needs no second look.
            None => {}
            Some(text) if text.starts_with('{') && !text.as_bytes().contains(&b'\\') => {}
            Some(_) => {
                Annotations::read(annotations).ok_or(DescriptorError::Wrong("annotations"))?;
            }
        }
        Ok(Glance { media_type, digest, has_data, annotations })
    }
}

/// What every descriptor has to have.
fn required<'a>(
    media_type: Option<Value<'a>>,
    digest: Option<Value<'a>>,
    size: Option<Value<'a>>,
) -> Result<(Cow<'a, str>, Digest, u64), DescriptorError> {
    let media_type = media_type.unwrap_or_default().text("mediaType")?.ok_or(DescriptorError::Absent("mediaType"))?;
    let digest = digest.unwrap_or_default().text("digest")?.ok_or(DescriptorError::Absent("digest"))?;
    let digest = digest.parse().map_err(DescriptorError::Digest)?;
    // Signed 64-bit and never negative (DESCRIPTOR-3).
    let size = match size.unwrap_or_default() {
        Value::Absent => return Err(DescriptorError::Absent("size")),
        Value::Number(size) if i64::try_from(size).is_ok() => size,
        _ => return Err(DescriptorError::Wrong("size")),
    };
    Ok((media_type, digest, size))
}

/// The members of a descriptor that are there; `null` counts as absent later on. Read in one pass: layouts have many
/// descriptors.
#[derive(Default)]
struct Members<'a> {
    /// One that stands twice.
    twice: Option<&'static str>,
    media_type: Option<Value<'a>>,
    digest: Option<Value<'a>>,
    size: Option<Value<'a>>,
    artifact_type: Option<Value<'a>>,
    data: Option<Value<'a>>,
    annotations: Option<Option<&'a RawValue>>,
    platform: Option<Option<&'a RawValue>>,
}

/// The value of a member that should be a string or a number.
#[derive(Default)]
enum Value<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Number(u64),
    Other,
}

impl<'a> Value<'a> {
    fn text(self, member: &'static str) -> Result<Option<Cow<'a, str>>, DescriptorError> {
        match self {
            Self::Absent => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::Number(_) | Self::Other => Err(DescriptorError::Wrong(member)),
        }
    }

    fn string(self, member: &'static str) -> Result<Option<String>, DescriptorError> {
        Ok(self.text(member)?.map(Cow::into_owned))
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Value::Absent)
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Value::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Value::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Value::Number(number))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Value::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Value::Other)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Value::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value::Other)
            }
        }
        from.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                let known = |raw: &'de RawValue| (raw.get() != "null").then_some(raw);
                while let Some(Name(name)) = map.next_key()? {
                    let again = match &*name {
                        "mediaType" => members.media_type.replace(map.next_value()?).map(|_| "mediaType"),
                        "digest" => members.digest.replace(map.next_value()?).map(|_| "digest"),
                        "size" => members.size.replace(map.next_value()?).map(|_| "size"),
                        "artifactType" => members.artifact_type.replace(map.next_value()?).map(|_| "artifactType"),
                        "data" => members.data.replace(map.next_value()?).map(|_| "data"),
                        "annotations" => members.annotations.replace(known(map.next_value()?)).map(|_| "annotations"),
                        "platform" => members.platform.replace(known(map.next_value()?)).map(|_| "platform"),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            None
                        }
                    };
                    members.twice = members.twice.or(again);
                }
                Ok(members)
            }
        }
        from.deserialize_map(Fields)
    }
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
