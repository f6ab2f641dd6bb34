//! index.json: the file that decides what a layout holds, read as text with a parsed view.

use std::ops::Range;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::annotations::Annotations;
use crate::descriptor::{Descriptor, DescriptorError, IMAGE_NAME, REF_NAME};
use crate::error::{Error, Kind, Result};
use crate::json::{self, Array, Object};
use crate::name::Pair;
use crate::sieve;

/// The media type of an image index.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// The longest index.json read (4 GiB).
pub const MAX_INDEX: u64 = 4 << 30;
/// The most entries of index.json that are no descriptors (`{}` has two bytes, and what is known of it far more). One
/// with more of them is no index.
pub const MAX_UNFIT: usize = 10_000;
/// The annotation of a bundle's index.json that says which blobs it brings.
pub const CARRIES: &str = "io.ocistow.carries";
/// The annotation of a bundle's index.json that says which blobs it leaves out.
pub const LACKS: &str = "io.ocistow.lacks";
/// The bytes of a new, empty index.json.
pub const EMPTY_INDEX: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// An index.json: exact bytes and parsed view.
#[derive(Debug, Clone)]
pub struct IndexFile {
    /// Shared with the entries.
    text: Arc<String>,
    entries: Vec<Entry>,
    /// What other readers would stumble over.
    notes: Vec<String>,
    /// Where the value of `manifests` stands, if there is one (`null` counts).
    pub(crate) manifests: Option<Range<usize>>,
    /// Whether `mediaType` is there.
    pub(crate) typed: bool,
    /// The value of `annotations`.
    pub(crate) annotations: Option<Range<usize>>,
    /// All top-level members: where name and value stand together, in order.
    pub(crate) members: Vec<(String, Range<usize>)>,
}

/// One element of `manifests`.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where its text stands in the file.
    pub(crate) span: Range<usize>,
    /// The descriptor, or why it is none.
    pub descriptor: std::result::Result<Descriptor, String>,
    /// Its name.
    pub pair: Pair,
}

impl IndexFile {
    /// Reads the bytes of an index.json. Integrity where they are no index: not JSON, trailing bytes,
    /// `manifests` that is no array, or stands there twice. A missing or `null` `manifests` is empty, with a note
    /// (4.7). An element that is no descriptor is kept as an entry that says so.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        Self::parse_or_back(bytes).map_err(|(why, _)| why)
    }

    /// The same; on `Err` the bytes come back.
    pub(crate) fn parse_or_back(bytes: Vec<u8>) -> std::result::Result<Self, (Error, Vec<u8>)> {
        let text = match String::from_utf8(bytes) {
            Ok(text) => Arc::new(text),
            Err(why) => return Err((bad(why.utf8_error().to_string()), why.into_bytes())),
        };
        // Nothing that was read of it keeps it alive then.
        Self::read(&text).map_err(|why| (why, Arc::try_unwrap(text).unwrap_or_default().into_bytes()))
    }

    fn read(text: &Arc<String>) -> Result<Self> {
        json::shallow(text).map_err(|why| bad(why.to_string()))?;
        sieve::short(text).map_err(|why| bad(why.into()))?;
        let mut notes = Vec::new();
        let object: Object = json::parse(text).map_err(|why| bad(why.to_string()))?;
        for name in object.doubled() {
            // Of two lists, readers see one or the other: what the first one needs is no litter (MANIFEST-18).
            if name == "manifests" {
                return Err(bad("it has the member \"manifests\" twice".into()));
            }
            notes.push(format!("index.json has the member {name:?} twice"));
        }
        match object.get("schemaVersion").map(|raw| raw.get()) {
            Some("2") => {}
            _ => notes.push("index.json has no schemaVersion 2".into()),
        }
        match object.get("mediaType").map(|raw| json::parse::<String>(raw.get())) {
            None | Some(Ok(_)) if object.get("layers").is_some() || object.get("config").is_some() => {
                return Err(bad("it has both manifests and layers or config".into()));
            }
            Some(Ok(media_type)) if media_type == INDEX_TYPE => {}
            None => {}
            Some(_) => notes.push("index.json has another mediaType than an image index".into()),
        }
        let mut members = Vec::with_capacity(object.0.len());
        for (name, value) in &object.0 {
            members.push((name.to_string(), json::span(text, value)));
        }
        let manifests = members.iter().rev().find(|(name, _)| name == "manifests").map(|(_, span)| span.clone());
        let mut entries = Vec::new();
        match object.get("manifests") {
            None => notes.push("index.json has no list of manifests".into()),
            Some(raw) => {
                let array: Array = json::parse(raw.get()).map_err(|_| bad("its manifests are no list".into()))?;
                let mut unfit = 0;
                for element in array.0 {
                    let span = json::span(text, element);
                    let descriptor = Descriptor::parse_in(text, span.clone());
                    let pair = descriptor.as_ref().map_or_else(|_| name_of(element), Pair::of);
                    let descriptor = descriptor.map_err(|why: DescriptorError| why.to_string());
                    unfit += usize::from(descriptor.is_err());
                    if unfit > MAX_UNFIT {
                        return Err(bad(format!("more than {MAX_UNFIT} of its entries are no descriptors")));
                    }
                    entries.push(Entry { span, descriptor, pair });
                }
            }
        }
        let annotations = members.iter().rev().find(|(name, _)| name == "annotations").map(|(_, span)| span.clone());
        let typed = object.get("mediaType").is_some();
        Ok(Self { entries, notes, manifests, typed, annotations, members, text: text.clone() })
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The exact text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All entries, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All entries' descriptors, in order. Integrity if one is none.
    pub fn descriptors(&self) -> Result<Vec<&Descriptor>> {
        self.entries.iter().enumerate().map(|(at, entry)| entry.descriptor(at)).collect()
    }

    /// What is odd about the file, though it can be read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// One of its own annotations.
    pub fn annotation(&self, key: &str) -> Option<String> {
        let raw = serde_json::from_str(&self.text[self.annotations.clone()?]).ok();
        Annotations::read(raw)?.get(key).map(str::to_owned)
    }
}

fn bad(why: String) -> Error {
    Error::new(Kind::Integrity, "could not read index.json").because(why)
}

/// The name of an entry that is no descriptor: whoever asks for it learns what is wrong.
fn name_of(entry: &RawValue) -> Pair {
    let members: Option<Object> = json::parse(entry.get()).ok();
    let annotations = members.and_then(|members| Annotations::read(members.get("annotations")));
    annotations.map(|annotations| Pair::in_annotations(&annotations)).unwrap_or_default()
}

impl Entry {
    /// The descriptor, or an Integrity error that names the entry by its place.
    pub fn descriptor(&self, at: usize) -> Result<&Descriptor> {
        let what = || format!("could not read entry {at} of index.json");
        self.descriptor.as_ref().map_err(|why| Error::new(Kind::Integrity, what()).because(why.clone()))
    }

    /// Whether the entry has a name.
    pub fn tagged(&self) -> bool {
        !self.pair.is_empty()
    }
}

/// The text of an entry: that of `descriptor` with the names of `pair` in its annotations and no other
/// names. Everything else of the text stays as it is, but for white space.
pub fn entry_text(descriptor: &Descriptor, pair: &Pair) -> String {
    let text = json::compact(descriptor.text());
    if Pair::of(descriptor) == *pair {
        return text;
    }
    let object: Object = json::parse(&text).expect("a descriptor's text is an object");
    let mut names = vec![(IMAGE_NAME, pair.image.as_deref()), (REF_NAME, pair.reference.as_deref())];
    let mut annotations: Vec<String> = Vec::new();
    if let Some(old) = object.get("annotations") {
        let old: Object = json::parse(old.get()).expect("a descriptor's annotations are an object");
        for (key, value) in &old.0 {
            // A new name stands where the old one stood.
            let new = match names.iter().position(|(name, _)| name == key) {
                Some(at) => names.swap_remove(at).1.map(json::quote),
                None if key == IMAGE_NAME || key == REF_NAME => None,
                None => Some(value.get().to_owned()),
            };
            annotations.extend(new.map(|new| format!("{}:{new}", json::quote(key))));
        }
    }
    names.sort_unstable();
    let missing = names.into_iter().filter_map(|(key, name)| Some((key, name?)));
    annotations.extend(missing.map(|(key, name)| format!("{}:{}", json::quote(key), json::quote(name))));
    let annotations = (!annotations.is_empty()).then(|| format!("{{{}}}", annotations.join(",")));
    let mut members: Vec<(&str, String)> = Vec::new();
    for (key, value) in &object.0 {
        if key != "annotations" {
            members.push((key, value.get().to_owned()));
        } else if let Some(annotations) = &annotations
            && members.iter().all(|(key, _)| *key != "annotations")
        {
            members.push((key, annotations.clone()));
        }
    }
    if let Some(annotations) = annotations
        && members.iter().all(|(key, _)| *key != "annotations")
    {
        members.push(("annotations", annotations));
    }
    let mut out = String::from("{");
    for (at, (key, value)) in members.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { "," });
        out.push_str(&format!("{}:{value}", json::quote(key)));
    }
    out.push('}');
    out
}
