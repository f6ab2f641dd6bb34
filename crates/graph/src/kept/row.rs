//! What is kept, row by row: where to look for what is known about a digest or a name.
//!
//! Rows are read back from a file that anybody may have written: every read can fail, and what comes out only says
//! where to look.

use ocistow_layout::{Digest, name};

use crate::facts::{Form, ManifestKind};
use crate::graph::About;

/// Under what rows are found: a digest's own bytes where it is a sha256, else a hash of what is looked for.
pub type Key = [u8; 32];

/// The key of everything known about a digest.
pub fn of_digest(digest: &Digest) -> Key {
    digest.sha256().copied().unwrap_or_else(|| hashed("digest", &digest.to_string()))
}

/// The keys under which an entry of this reference is found, by the steps of a look-up.
pub fn of_reference(reference: &str) -> [Key; 3] {
    [of_ref_name(reference), of_image(reference), of_end(reference)]
}

/// The key of entries with this `ref.name`.
pub fn of_ref_name(name: &str) -> Key {
    hashed("reference", name)
}

/// The key of entries with this full name, in any of Docker's spellings.
pub fn of_image(name: &str) -> Key {
    hashed("image", &name::docker_normal(name))
}

/// The key of entries with a full name that ends in this tag.
pub fn of_end(tag: &str) -> Key {
    hashed("end", tag)
}

/// The key of the lists about something: that of the subject, where it can be told.
pub fn of_about(about: &About) -> Key {
    match about {
        About::Subject(subject) => of_digest(subject),
        About::Tag(tag) => match name::fallback_subject(tag) {
            Some(subject) => of_digest(&subject),
            None => hashed("list", tag),
        },
    }
}

/// The key of all entries that are roots or have a name.
pub fn of_listed() -> Key {
    hashed("listed", "")
}

fn hashed(what: &str, text: &str) -> Key {
    *Digest::of(format!("{what} {text}").as_bytes()).sha256().expect("it is a sha256")
}

/// A checksum: enough to tell what was torn or damaged from what was written.
pub fn checksum(bytes: &[u8]) -> [u8; 8] {
    let hash = Digest::of(bytes);
    *hash.sha256().and_then(|raw| raw.first_chunk()).expect("a sha256 is longer than that")
}

/// Where an entry stands in index.json, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its first byte.
    pub at: u64,
    /// Its length.
    pub len: u32,
}

/// One thing that is known under a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// The key's digest is that of a manifest that was read.
    Gist(Gist),
    /// An entry of index.json is found here.
    Entry(Span),
    /// A list of referrers of the key's digest is entered here.
    List(Span),
    /// An entry that `ls` shows, or whose name it has to know.
    Listed(Span, Shown),
    /// A manifest that refers to the key's digest.
    Referrer(Digest),
    /// An index that has the key's digest as a child.
    Holder(Digest),
}

/// What an entry that is listed is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// For itself.
    Root,
    /// It refers to something, and has a name.
    Referrer,
    /// It is a list of referrers.
    List,
    /// It has one of cosign's tags.
    Cosign,
}

/// What is remembered of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gist {
    /// What it was read as.
    pub form: Form,
    /// What it is to people.
    pub kind: ManifestKind,
    /// Its length.
    pub size: u64,
    /// Its effective artifact type, and whether it is its own; `None` where that is too long to be kept.
    pub artifact_type: Option<(Option<String>, bool)>,
    /// What it is about.
    pub subject: Option<Digest>,
    /// The children of an index that are manifests.
    pub children: Vec<Child>,
}

/// A child of an index that is a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    /// Which.
    pub digest: Digest,
    /// What the index says it is.
    pub form: Form,
    /// What the index says it attests.
    pub attests: Option<Digest>,
}

/// The longest artifact type that is kept.
pub const MAX_TYPE: usize = 128;

const KINDS: [ManifestKind; 4] =
    [ManifestKind::Image, ManifestKind::Index, ManifestKind::Artifact, ManifestKind::Other];
const SHOWN: [Shown; 4] = [Shown::Root, Shown::Referrer, Shown::List, Shown::Cosign];

fn code<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let at = all.iter().position(|known| known == one).expect("all there are are listed");
    u8::try_from(at).expect("there are few")
}

impl Row {
    /// Appends the row to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Gist(gist) => {
                out.push(b'G');
                gist.write(out);
            }
            Self::Entry(span) => {
                out.push(b'E');
                span.write(out);
            }
            Self::List(span) => {
                out.push(b'L');
                span.write(out);
            }
            Self::Listed(span, shown) => {
                out.extend([b'S', code(&SHOWN, shown)]);
                span.write(out);
            }
            Self::Referrer(digest) => {
                out.push(b'R');
                write_digest(digest, out);
            }
            Self::Holder(digest) => {
                out.push(b'H');
                write_digest(digest, out);
            }
        }
    }

    /// Reads all rows of a group. `None` where they are none.
    pub fn read_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut rows = Vec::new();
        while !bytes.is_empty() {
            rows.push(Self::read(&mut bytes)?);
        }
        Some(rows)
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(match byte(bytes)? {
            b'G' => Self::Gist(Gist::read(bytes)?),
            b'E' => Self::Entry(Span::read(bytes)?),
            b'L' => Self::List(Span::read(bytes)?),
            b'S' => {
                let shown = *SHOWN.get(usize::from(byte(bytes)?))?;
                Self::Listed(Span::read(bytes)?, shown)
            }
            b'R' => Self::Referrer(read_digest(bytes)?),
            b'H' => Self::Holder(read_digest(bytes)?),
            _ => return None,
        })
    }

    /// Where in index.json it points.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Entry(span) | Self::List(span) | Self::Listed(span, _) => Some(*span),
            _ => None,
        }
    }

    /// The same, pointing elsewhere.
    pub fn moved(self, to: Span) -> Self {
        match self {
            Self::Entry(_) => Self::Entry(to),
            Self::List(_) => Self::List(to),
            Self::Listed(_, shown) => Self::Listed(to, shown),
            other => other,
        }
    }
}

impl Span {
    fn write(self, out: &mut Vec<u8>) {
        write_number(self.at, out);
        write_number(self.len.into(), out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let at = read_number(bytes)?;
        let len = read_number(bytes)?.try_into().ok()?;
        at.checked_add(u64::from(len))?;
        Some(Self { at, len })
    }
}

impl Gist {
    fn write(&self, out: &mut Vec<u8>) {
        let (known, declared, text) = match &self.artifact_type {
            None => (0, false, None),
            Some((text, declared)) => (1, *declared, text.as_deref()),
        };
        let flags =
            known | u8::from(declared) << 1 | u8::from(text.is_some()) << 2 | u8::from(self.subject.is_some()) << 3;
        out.extend([code(&Form::ALL, &self.form), code(&KINDS, &self.kind), flags]);
        write_number(self.size, out);
        if let Some(text) = text {
            write_text(text, out);
        }
        if let Some(subject) = &self.subject {
            write_digest(subject, out);
        }
        write_number(self.children.len() as u64, out);
        for child in &self.children {
            out.extend([code(&Form::ALL, &child.form), u8::from(child.attests.is_some())]);
            write_digest(&child.digest, out);
            if let Some(attests) = &child.attests {
                write_digest(attests, out);
            }
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let form = *Form::ALL.get(usize::from(byte(bytes)?))?;
        let kind = *KINDS.get(usize::from(byte(bytes)?))?;
        let flags = byte(bytes)?;
        let flag = |at: u8| flags >> at & 1 == 1;
        let size = read_number(bytes)?;
        let text = if flag(2) { Some(read_text(bytes)?) } else { None };
        let artifact_type = flag(0).then_some((text, flag(1)));
        let subject = if flag(3) { Some(read_digest(bytes)?) } else { None };
        let mut children = Vec::new();
        for _ in 0..read_number(bytes)? {
            let form = *Form::ALL.get(usize::from(byte(bytes)?))?;
            let attests = byte(bytes)? == 1;
            let digest = read_digest(bytes)?;
            let attests = if attests { Some(read_digest(bytes)?) } else { None };
            children.push(Child { digest, form, attests });
        }
        Some(Self { form, kind, size, artifact_type, subject, children })
    }
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

/// Seven bits to a byte, the lowest first.
pub fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads what [`write_number`] wrote.
pub fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let next = byte(bytes)?;
        let bits = u64::from(next & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if next < 0x80 {
            return Some(number);
        }
    }
    None
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_number(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn read_text(bytes: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(read_number(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

/// Appends a digest to `out`.
pub fn write_digest(digest: &Digest, out: &mut Vec<u8>) {
    match digest.sha256() {
        Some(raw) => {
            out.push(0);
            out.extend_from_slice(raw);
        }
        None => {
            out.push(1);
            write_text(&digest.to_string(), out);
        }
    }
}

/// Reads what [`write_digest`] wrote.
pub fn read_digest(bytes: &mut &[u8]) -> Option<Digest> {
    match byte(bytes)? {
        0 => {
            let (raw, rest) = bytes.split_first_chunk::<32>()?;
            *bytes = rest;
            Some(Digest::from_sha256(*raw))
        }
        1 => read_text(bytes)?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> Vec<Row> {
        let sha512: Digest = format!("sha512:{}", "a".repeat(128)).parse().unwrap();
        let child = Child { digest: sha512.clone(), form: Form::DockerList, attests: Some(Digest::of(b"it")) };
        let gist = Gist {
            form: Form::OciIndex,
            kind: ManifestKind::Index,
            size: 1 << 40,
            artifact_type: Some((Some("application/x".into()), true)),
            subject: Some(sha512.clone()),
            children: vec![child.clone(), Child { attests: None, ..child }],
        };
        let plain = Gist { artifact_type: None, subject: None, children: Vec::new(), ..gist.clone() };
        let span = Span { at: u64::MAX - 9, len: 9 };
        let mut rows = vec![Row::Gist(gist), Row::Gist(plain), Row::Entry(span), Row::List(span)];
        rows.extend(SHOWN.map(|shown| Row::Listed(span, shown)));
        rows.extend([Row::Referrer(sha512), Row::Holder(Digest::of(b"x"))]);
        rows
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let mut bytes = Vec::new();
        rows().iter().for_each(|row| row.write(&mut bytes));
        assert_eq!(Row::read_all(&bytes), Some(rows()));
        for cut in 1..bytes.len() {
            if let Some(read) = Row::read_all(&bytes[..cut]) {
                assert_eq!(read, rows()[..read.len()]);
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Row::read_all(&bytes);
        }

        #[test]
        fn damaged_rows_are_read_or_refused(at in 0usize..600, to in any::<u8>()) {
            let mut bytes = Vec::new();
            rows().iter().for_each(|row| row.write(&mut bytes));
            let at = at % bytes.len();
            bytes[at] = to;
            let _ = Row::read_all(&bytes);
        }
    }
}
