//! index.json: the file that decides what a layout holds, read as text with a parsed view.

use std::ops::Range;

use crate::descriptor::{Descriptor, DescriptorError, IMAGE_NAME, REF_NAME};
use crate::error::{Error, Kind, Result};
use crate::json::{self, Array, Object};
use crate::name::Pair;

/// The media type of an image index.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// The longest index.json read (4 GiB).
pub const MAX_INDEX: u64 = 4 << 30;
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
    text: String,
    entries: Vec<Entry>,
    /// What other readers would stumble over: `(fsck kind, message)`.
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
    /// `manifests` that is no array. A missing or `null` `manifests` is empty, with a note (4.7). An
    /// element that is no descriptor is kept as an entry that says so.
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        let bad = |why: String| Error::new(Kind::Integrity, "could not read index.json").because(why);
        json::text(&bytes).map_err(|why| bad(why.to_string()))?;
        let text = String::from_utf8(bytes).expect("json::text has checked it");
        let mut notes = Vec::new();
        let object: Object = json::parse(&text).map_err(|why| bad(why.to_string()))?;
        if let Some(name) = object.duplicate() {
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
            members.push((name.clone(), json::span(&text, value)));
        }
        let manifests = members.iter().rev().find(|(name, _)| name == "manifests").map(|(_, span)| span.clone());
        let mut entries = Vec::new();
        match object.get("manifests") {
            None => notes.push("index.json has no list of manifests".into()),
            Some(raw) => {
                let array: Array = json::parse(raw.get()).map_err(|_| bad("its manifests are no list".into()))?;
                entries.reserve(array.0.len());
                for element in array.0 {
                    let descriptor = Descriptor::parse(element.get());
                    let pair = descriptor.as_ref().map(Pair::of).unwrap_or_default();
                    let descriptor = descriptor.map_err(|why: DescriptorError| why.to_string());
                    entries.push(Entry { span: json::span(&text, element), descriptor, pair });
                }
            }
        }
        let annotations = members.iter().rev().find(|(name, _)| name == "annotations").map(|(_, span)| span.clone());
        let typed = object.get("mediaType").is_some();
        Ok(Self { entries, notes, manifests, typed, annotations, members, text })
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
        crate::descriptor::annotations(raw)?.remove(key)
    }
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
    let object: Object = json::parse(&text).expect("a descriptor's text is an object");
    let mut annotations = String::new();
    let mut push = |key: &str, value: &str| {
        annotations.push_str(if annotations.is_empty() { "" } else { "," });
        annotations.push_str(&format!("{}:{value}", json::quote(key)));
    };
    // A name that was there keeps its place, so that what is imported is exported with the same bytes.
    let mut left = vec![(IMAGE_NAME, &pair.image), (REF_NAME, &pair.reference)];
    if let Some(old) = object.get("annotations") {
        let old: Object = json::parse(old.get()).expect("a descriptor's annotations are an object");
        for (key, value) in &old.0 {
            if let Some(at) = left.iter().position(|(name, _)| name == key) {
                if let (_, Some(name)) = left.remove(at) {
                    push(key, &json::quote(name));
                }
            } else if key != IMAGE_NAME && key != REF_NAME {
                push(key, value.get());
            }
        }
    }
    for (key, name) in left {
        if let Some(name) = name {
            push(key, &json::quote(name));
        }
    }
    let mut out = String::from("{");
    let mut members: Vec<(&str, String)> = Vec::new();
    for (key, value) in &object.0 {
        if key != "annotations" {
            members.push((key, value.get().to_owned()));
        } else if !annotations.is_empty() {
            members.push((key, format!("{{{annotations}}}")));
        }
    }
    if object.get("annotations").is_none() && !annotations.is_empty() {
        members.retain(|(key, _)| *key != "annotations");
        members.push(("annotations", format!("{{{annotations}}}")));
    }
    for (at, (key, value)) in members.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { "," });
        out.push_str(&format!("{}:{value}", json::quote(key)));
    }
    out.push('}');
    out
}
