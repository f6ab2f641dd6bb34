//! A manifest that was read: what it is and whom it is about at once, all else it says each time somebody asks.
//!
//! A layout has thousands of manifests, and what is understood of one takes several times the memory of its text. So the
//! text is what is kept; whoever asks the same of one manifest many times keeps the answer.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Weak};

use ocistow_layout::descriptor::Glance;
use ocistow_layout::json::{self, Name};
use ocistow_layout::{Descriptor, Digest};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
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
        Self::read_with(media_type, digest, bytes, MAX_DESCRIPTORS, Facts::read_text)
    }

    /// The same, with as many descriptors as there are: for lists of referrers.
    pub fn read_list(media_type: &str, digest: &Digest, bytes: Vec<u8>) -> Result<Self, FactsError> {
        Self::read_with(media_type, digest, bytes, usize::MAX, Facts::read_any)
    }

    /// Reads at a glance what is plain, with as many descriptors, and everything else by `closer`.
    fn read_with(
        media_type: &str,
        digest: &Digest,
        bytes: Vec<u8>,
        most: usize,
        closer: impl Fn(&str, &Digest, &Arc<String>) -> Result<Facts, FactsError>,
    ) -> Result<Self, FactsError> {
        let gist = gist(json::text(&bytes).map_err(FactsError::Json)?, Form::of(media_type), most);
        let text = Arc::new(owned(bytes));
        match gist {
            Some(gist) => Ok(Self { digest: digest.clone(), text, gist }),
            None => Ok(Self::of(&closer(media_type, digest, &text)?, text)),
        }
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

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Holds its text together with whoever else has the same, or lets others do so.
    pub(crate) fn share(&mut self, text: &mut Weak<String>) {
        match text.upgrade() {
            Some(text) => self.text = text,
            None => *text = Arc::downgrade(&self.text),
        }
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
        if self.gist.kind == ManifestKind::Index {
            self.parts(each);
        }
    }

    /// The same of everything it needs, as it stands there.
    pub fn parts<'m>(&'m self, each: &mut dyn FnMut(Glance<'m>)) {
        let mut document = serde_json::Deserializer::from_str(&self.text);
        document.deserialize_map(Parts { shape: self.gist.form.shape(), each }).expect("it was read before");
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

/// The gist of a manifest with config and layers, or of an index, that is as nearly all are, in one pass. `None` of
/// everything else, that which [`Facts::read`] would not take in any case, and of more than `most` descriptors.
fn gist(text: &str, said: Option<Form>, most: usize) -> Option<Gist> {
    let Members { form: own, config, descriptors, artifact_type, subject } = json::parse(text).ok()?;
    if descriptors > most {
        return None;
    }
    // What the descriptor says is believed where the shape is right (MANIFEST-14).
    let form = said.filter(|said| said.shape() == own.shape()).unwrap_or(own);
    let artifact_type = artifact_type.filter(|artifact_type| !artifact_type.is_empty());
    let config = config.map(|config| config.media_type);
    let kind = match &config {
        None => ManifestKind::Index,
        Some(config) if artifact_type.is_none() && [OCI_CONFIG, DOCKER_CONFIG].contains(&&**config) => {
            ManifestKind::Image
        }
        Some(_) => ManifestKind::Artifact,
    };
    // Docker's own forms know no subjects (DOCKER-COMPAT-2).
    let subject = subject.filter(|_| matches!(form, Form::OciManifest | Form::OciIndex));
    let declared = artifact_type.is_some();
    let artifact_type = artifact_type.or(config).as_deref().map(Box::from);
    Some(Gist { form, kind, subject, artifact_type, declared, by_itself: form == own })
}

/// The members of a plain manifest, or of a plain index, which has no config.
struct Members<'a> {
    form: Form,
    config: Option<Glance<'a>>,
    descriptors: usize,
    artifact_type: Option<Cow<'a, str>>,
    subject: Option<Digest>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a plain manifest or index")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let odd = || A::Error::custom("it takes a closer look");
                let (mut form, mut config, mut artifact_type, mut subject) = (None, None, None, None);
                let (mut layers, mut children, mut annotations) = (None, None, false);
                while let Some(Name(name)) = map.next_key()? {
                    let again = match &*name {
                        "mediaType" => {
                            let Name(own) = map.next_value()?;
                            form.replace(Form::of(&own).ok_or_else(odd)?).is_some()
                        }
                        "config" => config.replace(map.next_value::<Glance<'de>>()?).is_some(),
                        "layers" => layers.replace(map.next_value::<Count>()?).is_some(),
                        "manifests" => children.replace(map.next_value::<Count>()?).is_some(),
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
                        // Another shape, or what only another one may have.
                        "fsLayers" | "blobs" | "refers" => true,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            false
                        }
                    };
                    if again {
                        return Err(odd());
                    }
                }
                let form = form.ok_or_else(odd)?;
                let descriptors = match (form.shape(), &config, layers, children) {
                    (Shape::Manifest, Some(_), layers, None) => 1 + layers.map_or(0, |Count(layers)| layers),
                    (Shape::Index, None, None, Some(Count(children))) => children,
                    // Neither, or two at once.
                    _ => return Err(odd()),
                };
                Ok(Members { form, config, descriptors, artifact_type, subject })
            }
        }
        from.deserialize_map(Fields)
    }
}

/// Descriptors, one after the other; none where there is no list of them.
struct Each<'f, 'de>(&'f mut dyn FnMut(Glance<'de>));

impl<'de> DeserializeSeed<'de> for Each<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Each<'_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of descriptors")
    }
    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while let Some(glance) = seq.next_element()? {
            (self.0)(glance);
        }
        Ok(())
    }
}

/// How many descriptors there are in a list.
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut count = 0;
        from.deserialize_seq(Each(&mut |_| count += 1))?;
        Ok(Self(count))
    }
}

/// A document of a shape, of which only the parts matter.
struct Parts<'f, 'de> {
    shape: Shape,
    each: &'f mut dyn FnMut(Glance<'de>),
}

impl<'de> Visitor<'de> for Parts<'_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a manifest")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            match (self.shape, &*name) {
                (Shape::Manifest, "config") => (self.each)(map.next_value()?),
                (Shape::Manifest, "layers") | (Shape::Index, "manifests") | (Shape::Artifact, "blobs") => {
                    map.next_value_seed(Each(&mut *self.each))?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
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
