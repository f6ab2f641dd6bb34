//! A manifest that was read: what it is and whom it is about at once, all else it says each time somebody asks.
//!
//! A layout has thousands of manifests, and what is understood of one takes several times the memory of its text. So the
//! text is what is kept; whoever asks the same of one manifest many times keeps the answer.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ocistow_layout::descriptor::Glance;
use ocistow_layout::json::{self, Name, Object};
use ocistow_layout::{Descriptor, Digest};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::facts::{
    DOCKER_CONFIG, Facts, FactsError, Form, MAX_DESCRIPTORS, ManifestKind, OCI_CONFIG, Shape, told_type,
};

/// A manifest that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its name.
    pub digest: Digest,
    text: Arc<String>,
    gist: Gist,
}

/// What places a manifest in the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gist {
    form: Form,
    kind: ManifestKind,
    subject: Option<Digest>,
    artifact_type: Option<Box<str>>,
    declared: bool,
    by_itself: bool,
}

impl Manifest {
    /// Reads a manifest as [`Facts::read`] does.
    pub fn read(media_type: &str, digest: &Digest, bytes: Vec<u8>) -> Result<Self, FactsError> {
        let text = json::text(&bytes).map_err(FactsError::Json)?;
        match gist(text, Form::of(media_type)) {
            Some(gist) => Ok(Self { text: Arc::new(owned(bytes)), digest: digest.clone(), gist }),
            None => {
                let text = Arc::new(owned(bytes));
                Ok(Self::of(&Facts::read_text(media_type, digest, &text)?, text.clone()))
            }
        }
    }

    /// The same, with as many descriptors as there are: for lists of referrers.
    pub fn read_list(media_type: &str, digest: &Digest, bytes: Vec<u8>) -> Result<Self, FactsError> {
        json::text(&bytes).map_err(FactsError::Json)?;
        let text = Arc::new(owned(bytes));
        Ok(Self::of(&Facts::read_any(media_type, digest, &text)?, text.clone()))
    }

    fn of(facts: &Facts, text: Arc<String>) -> Self {
        let gist = Gist {
            form: facts.form,
            kind: facts.kind,
            subject: facts.subject.as_ref().map(|subject| subject.digest.clone()),
            artifact_type: facts.artifact_type.as_deref().map(Box::from),
            declared: facts.declared_type,
            by_itself: facts.by_itself,
        };
        Self { digest: facts.digest.clone(), gist, text }
    }

    /// What sort of artifact it is.
    pub fn kind(&self) -> ManifestKind {
        self.gist.kind
    }

    /// What it was read as.
    pub fn form(&self) -> Form {
        self.gist.form
    }

    /// The other form that a descriptor says it is, if it does, in words.
    pub(crate) fn called_otherwise(&self, descriptor: &Descriptor) -> Option<(Form, String)> {
        let said = Form::of(&descriptor.media_type).filter(|said| *said != self.form())?;
        Some((said, format!("it is {}, its descriptor says {}", self.form().media_type(), said.media_type())))
    }

    /// Why readers would disagree on what it is, for a descriptor says that it is of another shape.
    pub(crate) fn misnamed_by(&self, descriptor: &Descriptor) -> Option<String> {
        let (_, message) = self.called_otherwise(descriptor).filter(|(said, _)| said.shape() != self.form().shape())?;
        Some(message)
    }

    /// Whether its bytes alone say so: see [`Facts::by_itself`].
    pub fn is_by_itself(&self) -> bool {
        self.gist.by_itself
    }

    /// Whether `said` is another form that a document of its shape may have.
    pub(crate) fn may_be_another(&self, said: Form) -> bool {
        said != self.form() && said.shape() == self.form().shape()
    }

    /// The same, read as that form.
    pub(crate) fn read_as(&self, said: Form) -> Self {
        let facts = Facts::read_any(said.media_type(), &self.digest, &self.text).expect("it was read before");
        Self::of(&facts, self.text.clone())
    }

    /// Its real length.
    pub fn size(&self) -> u64 {
        self.text.len() as u64
    }

    /// What points to it and says no more than that has to.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.form().media_type(), self.digest.clone(), self.size())
    }

    /// The type that is told of it: see [`Facts::told_type`].
    pub fn told_type(&self) -> Option<&str> {
        let (effective, declared) = self.effective_type();
        told_type(self.kind(), effective, declared)
    }

    /// Its effective artifact type, and whether it is its own (REFERRERS-5).
    pub fn effective_type(&self) -> (Option<&str>, bool) {
        (self.gist.artifact_type.as_deref(), self.gist.declared)
    }

    /// What it is about.
    pub fn about(&self) -> Option<&Digest> {
        self.gist.subject.as_ref()
    }

    /// Goes through the children of an index, in its order: what they lead to, which takes far less than all that is said
    /// of them. There are none in anything else.
    pub fn children<'m>(&'m self, each: &mut dyn FnMut(Glance<'m>)) {
        if self.gist.kind != ManifestKind::Index {
            return;
        }
        let object: Object<'m> = json::parse(&self.text).expect("it was read before");
        if let Some(list) = object.get("manifests") {
            let mut list = serde_json::Deserializer::from_str(list.get());
            list.deserialize_seq(Each(each)).expect("it was read before");
        }
    }

    /// Everything it says, read from its text.
    pub fn facts(&self) -> Facts {
        let facts = Facts::read_any(self.gist.form.media_type(), &self.digest, &self.text);
        facts.expect("it was read before")
    }
}

/// The text that bytes are, in no more room than it takes.
fn owned(bytes: Vec<u8>) -> String {
    let mut text = String::from_utf8(bytes).expect("json::text has checked it");
    text.shrink_to_fit();
    text
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts().fmt(f)
    }
}

/// The gist of a manifest with config and layers that is as nearly all are, in one pass. `None` of
/// everything else, that which [`Facts::read`] would not take in any case.
fn gist(text: &str, said: Option<Form>) -> Option<Gist> {
    let Members { form: own, config, artifact_type, subject } = json::parse(text).ok()?;
    // What the descriptor says is believed where the shape is right (MANIFEST-14).
    let form = said.filter(|said| said.shape() == own.shape()).unwrap_or(own);
    let artifact_type = artifact_type.filter(|artifact_type| !artifact_type.is_empty());
    let image = [OCI_CONFIG, DOCKER_CONFIG].contains(&&*config.media_type) && artifact_type.is_none();
    let kind = if image { ManifestKind::Image } else { ManifestKind::Artifact };
    // Docker's own forms know no subjects (DOCKER-COMPAT-2).
    let subject = subject.filter(|_| form == Form::OciManifest);
    let declared = artifact_type.is_some();
    let artifact_type = Some(Box::from(&*artifact_type.unwrap_or(config.media_type)));
    Some(Gist { form, kind, subject, artifact_type, declared, by_itself: form == own })
}

/// The members of a plain manifest.
struct Members<'a> {
    form: Form,
    config: Glance<'a>,
    artifact_type: Option<Cow<'a, str>>,
    subject: Option<Digest>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a plain manifest")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let odd = || A::Error::custom("it takes a closer look");
                let (mut form, mut config, mut artifact_type, mut subject) = (None, None, None, None);
                let (mut layers, mut annotations) = (false, false);
                while let Some(Name(name)) = map.next_key()? {
                    let again = match &*name {
                        "mediaType" => {
                            let Name(own) = map.next_value()?;
                            let own = Form::of(&own).filter(|own| own.shape() == Shape::Manifest).ok_or_else(odd)?;
                            form.replace(own).is_some()
                        }
                        "config" => config.replace(map.next_value::<Glance<'de>>()?).is_some(),
                        "layers" => {
                            map.next_value::<Layers>()?;
                            std::mem::replace(&mut layers, true)
                        }
                        "artifactType" => {
                            let Name(own) = map.next_value()?;
                            artifact_type.replace(own).is_some()
                        }
                        "subject" => {
                            let About(digest) = map.next_value()?;
                            subject.replace(digest).is_some()
                        }
                        "annotations" => {
                            let raw: &RawValue = map.next_value()?;
                            let plain = raw.get().starts_with('{') && !raw.get().as_bytes().contains(&b'\\');
                            std::mem::replace(&mut annotations, true) || !plain
                        }
                        // Another shape, or two at once.
                        "manifests" | "fsLayers" | "blobs" | "refers" => true,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            false
                        }
                    };
                    if again {
                        return Err(odd());
                    }
                }
                let (form, config) = (form.ok_or_else(odd)?, config.ok_or_else(odd)?);
                Ok(Members { form, config, artifact_type, subject })
            }
        }
        from.deserialize_map(Fields)
    }
}

/// Descriptors, one after the other.
struct Each<'f, 'de>(&'f mut dyn FnMut(Glance<'de>));

impl<'de> Visitor<'de> for Each<'_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of descriptors")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while let Some(glance) = seq.next_element()? {
            (self.0)(glance);
        }
        Ok(())
    }
}

/// A list of layers, each of them a descriptor.
struct Layers;

impl<'de> Deserialize<'de> for Layers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut count = 0;
        from.deserialize_seq(Each(&mut |_| count += 1))?;
        // The config is one more.
        if count < MAX_DESCRIPTORS { Ok(Layers) } else { Err(D::Error::custom("too many")) }
    }
}

/// The digest of a subject.
struct About(Digest);

impl<'de> Deserialize<'de> for About {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = About;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a subject")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut digest, mut size, mut media_type) = (None, false, false);
                while let Some(Name(name)) = map.next_key()? {
                    let again = match &*name {
                        "digest" => {
                            let Name(text) = map.next_value()?;
                            digest.replace(text.parse().map_err(A::Error::custom)?).is_some()
                        }
                        "size" => {
                            // Absent, or one that is none, is for the closer look too.
                            let _: i64 = map.next_value::<u64>()?.try_into().map_err(A::Error::custom)?;
                            std::mem::replace(&mut size, true)
                        }
                        "mediaType" => {
                            map.next_value::<IgnoredAny>()?;
                            std::mem::replace(&mut media_type, true)
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            false
                        }
                    };
                    if again {
                        return Err(A::Error::custom("it takes a closer look"));
                    }
                }
                digest.map(About).ok_or_else(|| A::Error::custom("it has no digest"))
            }
        }
        from.deserialize_map(Fields)
    }
}
