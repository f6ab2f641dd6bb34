//! Names of entries: tags, full names, and how a reference finds its entry.

use crate::annotations::Annotations;
use crate::descriptor::{Descriptor, IMAGE_NAME, REF_NAME};
use crate::digest::Digest;
use crate::index::IndexFile;

/// The name of an entry of index.json: what is in `io.containerd.image.name` and in `ref.name`. Two
/// entries with the same pair are the same name. An empty string counts as absent (4.8).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// `io.containerd.image.name`, a full name.
    pub image: Option<String>,
    /// `org.opencontainers.image.ref.name`, a tag or any text.
    pub reference: Option<String>,
}

impl Pair {
    /// The name of an entry. A name that is the entry's own digest is none (4.0).
    pub fn of(entry: &Descriptor) -> Self {
        let mut pair = Self::in_annotations(&entry.annotations);
        pair.reference = pair.reference.filter(|name| *name != entry.digest.to_string());
        pair
    }

    /// The name in an entry's annotations.
    pub fn in_annotations(annotations: &Annotations) -> Self {
        let full = |key| annotations.get(key).filter(|name| !name.is_empty()).map(str::to_owned);
        Self { image: full(IMAGE_NAME), reference: full(REF_NAME) }
    }

    /// How we write a reference given by a user: a full name as its tag and the full name beside it,
    /// anything else as it is.
    pub fn written(reference: &str) -> Self {
        match split_full(reference) {
            Some((_, tag)) => Self { image: Some(reference.into()), reference: Some(tag.into()) },
            None => Self { image: None, reference: Some(reference.into()) },
        }
    }

    /// Whether there is no name at all: an untagged entry.
    pub fn is_empty(&self) -> bool {
        self.image.is_none() && self.reference.is_none()
    }

    /// The pair by which names are compared: a full name in `ref.name` counts as the pair it splits
    /// into.
    pub fn key(&self) -> Self {
        match (&self.image, &self.reference) {
            (None, Some(reference)) => Self::written(reference),
            _ => self.clone(),
        }
    }

    /// What it can be set and removed by: the full name where there is one, else the tag; `None` where it has neither.
    pub fn exact(&self) -> Option<&str> {
        self.image.as_deref().or(self.reference.as_deref())
    }

    /// The tag to show: that of a full name which stands alone, wherever it stands, else `ref.name`.
    pub fn tag(&self) -> Option<&str> {
        match (self.image.as_deref(), self.reference.as_deref()) {
            (Some(_), Some(reference)) => Some(reference),
            (None, Some(reference)) => Some(split_full(reference).map_or(reference, |(_, tag)| tag)),
            (image, None) => split_full(image?).map(|(_, tag)| tag),
        }
    }

    /// The full name to show: `io.containerd.image.name`, else one that is in `ref.name` (4.1).
    pub fn full(&self) -> Option<&str> {
        let other = || self.reference.as_deref().filter(|reference| split_full(reference).is_some());
        self.image.as_deref().or_else(other)
    }
}

/// The digest whose fallback tag this is, where it can be told: sha256 only, since longer ones are cut
/// (REFERRERS-13). For others compare [`Digest::fallback_tag`].
pub fn fallback_subject(tag: &str) -> Option<Digest> {
    let hex = tag.strip_prefix("sha256-")?;
    format!("sha256:{hex}").parse().ok()
}

/// Whether `tag` has the shape of any fallback tag: `sha256-` or `sha512-` and 64 hex digits.
pub fn is_fallback_tag(tag: &str) -> bool {
    let hex = tag.strip_prefix("sha256-").or_else(|| tag.strip_prefix("sha512-"));
    hex.is_some_and(|hex| format!("sha256:{hex}").parse::<Digest>().is_ok())
}

/// Whether `text` is a legal tag (2.4).
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(first) if word(*first))
        && bytes.len() <= 128
        && bytes.iter().all(|b| word(*b) || matches!(b, b'.' | b'-'))
}

/// Whether `text` is the name of a repository, with or without a host, as Docker and podman take it in a full name.
pub fn is_repository(text: &str) -> bool {
    let host = |text: &str| {
        let (name, port) = text.split_once(':').unwrap_or((text, "0"));
        let label = |label: &str| {
            let inner = !label.starts_with('-') && !label.ends_with('-');
            inner && !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        name.split('.').all(label) && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    };
    // Small letters and digits; between them `.`, `_`, `__` or any number of `-`.
    let component = |text: &str| {
        let joints = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let joint = |joint: &str| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|b| b == b'-');
        let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        ends(text.bytes().next()) && ends(text.bytes().last()) && joints.into_iter().all(joint)
    };
    let path = match text.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first => {
            if !host(first) {
                return false;
            }
            path
        }
        _ => text,
    };
    text.len() <= 255 && path.split('/').all(component)
}

/// Whether `text` fits the grammar recommended for `ref.name` (2.4).
pub fn is_ref_name(text: &str) -> bool {
    text.split('/').all(|component| {
        let bytes = component.as_bytes();
        let mut at = 0;
        loop {
            let start = at;
            while at < bytes.len() && bytes[at].is_ascii_alphanumeric() {
                at += 1;
            }
            if at == start {
                return false;
            }
            match &bytes[at..] {
                [] => return true,
                [b'-', b'-', ..] => at += 2,
                [b'-' | b'.' | b'_' | b':' | b'@' | b'+', ..] => at += 1,
                _ => return false,
            }
        }
    })
}

/// Splits a full name `host/repository:tag` into (`host/repository`, `tag`). A full name has a `/`
/// before the last `:` and a legal tag behind it; anything else is `None`.
pub fn split_full(name: &str) -> Option<(&str, &str)> {
    let (repository, tag) = name.rsplit_once(':')?;
    let full = repository.contains('/') && !repository.ends_with('/') && is_tag(tag);
    // `a/b@sha256:…` is a name by digest, not by tag.
    (full && !repository.contains('@')).then_some((repository, tag))
}

/// A name as Docker would spell it out, for comparison only (4.17): `alpine` is
/// `docker.io/library/alpine:latest`.
pub fn docker_normal(name: &str) -> String {
    let (host, rest) = match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", name),
    };
    let host = if matches!(host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { host };
    let library = if host == "docker.io" && !rest.contains('/') { "library/" } else { "" };
    let last = rest.rsplit('/').next().unwrap_or(rest);
    let latest = if last.contains(':') || last.contains('@') { "" } else { ":latest" };
    format!("{host}/{library}{rest}{latest}")
}

/// How far a look-up goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// All three steps: to look something up.
    Find,
    /// The first two: names that are set or removed are not guessed at.
    Exact,
}

/// The places in `index` of the entries that `reference` names, by the first step with a hit: equal to
/// `ref.name`; equal to `io.containerd.image.name`, Docker's short forms spelled out; for a legal tag,
/// full names that end in `:reference` (4.1). Empty where there is none. The entries may have
/// different digests: whether that is an error is the caller's to say.
pub fn look_up(index: &IndexFile, reference: &str, steps: Steps) -> Vec<usize> {
    let places = |hit: &dyn Fn(&Pair) -> bool| -> Vec<usize> {
        index.entries().iter().enumerate().filter(|(_, entry)| hit(&entry.pair)).map(|(at, _)| at).collect()
    };
    let found = places(&|pair| pair.reference.as_deref() == Some(reference));
    if !found.is_empty() {
        return found;
    }
    let normal = docker_normal(reference);
    let found =
        places(&|pair| pair.image.as_deref().is_some_and(|name| name == reference || docker_normal(name) == normal));
    if !found.is_empty() || steps == Steps::Exact || !is_tag(reference) {
        return found;
    }
    let ends = |name: &Option<String>| name.as_deref().and_then(split_full).is_some_and(|(_, tag)| tag == reference);
    places(&|pair| ends(&pair.reference) || ends(&pair.image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_those_that_docker_takes() {
        let long = "a".repeat(255);
        for text in [
            "app",
            "team/app",
            "example.com/app",
            "example.com:5000/a/b",
            "localhost/app",
            "Host/app",
            "EXAMPLE.com/a",
            "a.b/c",
            "a_b",
            "a__b",
            "a--b",
            "a-b.c/d0",
            "127.0.0.1:1/x",
            &long,
        ] {
            assert!(is_repository(text), "{text}");
        }
        for text in [
            "",
            "App",
            "a/B",
            "a:tag",
            "a/b:tag",
            "example.com/",
            "/a",
            "a//b",
            "a b",
            "-a",
            "a-",
            "a.",
            "a..b",
            "a___b",
            "a._b",
            "ex_ample.com/a",
            "example..com/a",
            "example.com:/a",
            "example.com:x/a",
            "é",
            "a@sha256:0",
            &format!("{long}a"),
        ] {
            assert!(!is_repository(text), "{text}");
        }
    }

    /// Vectors B.2.
    #[test]
    fn tags_and_ref_names_follow_their_grammars() {
        let hex = "a".repeat(64);
        let both = ["latest", "v1.0", "V1", "a--b", &format!("sha256-{hex}"), &format!("sha256-{hex}.sig")];
        for text in both {
            assert!(is_tag(text) && is_ref_name(text), "{text}");
        }
        assert!(is_tag(&"a".repeat(128)) && !is_tag(&"a".repeat(129)) && is_ref_name(&"a".repeat(129)));
        for text in ["_x", "x_", "x-", "x.", "a..b", "a__b", "a---b"] {
            assert!(is_tag(text) && !is_ref_name(text), "{text}");
        }
        for text in ["1.0.0+build", "docker.io/library/alpine:3", "a:b", "a/b", &format!("app@sha256:{hex}")] {
            assert!(!is_tag(text) && is_ref_name(text), "{text}");
        }
        for text in ["", ".hidden", "-x", "a b", "lib/a/", "é"] {
            assert!(!is_tag(text) && !is_ref_name(text), "{text}");
        }
    }

    #[test]
    fn docker_short_names_are_spelled_out() {
        assert_eq!(docker_normal("alpine"), "docker.io/library/alpine:latest");
        assert_eq!(docker_normal("alpine:3"), "docker.io/library/alpine:3");
        assert_eq!(docker_normal("index.docker.io/a/b:3"), "docker.io/a/b:3");
        assert_eq!(docker_normal("localhost:5000/a"), "localhost:5000/a:latest");
    }

    #[test]
    fn full_names_split_at_the_tag() {
        assert_eq!(split_full("host:5000/a/b:v1"), Some(("host:5000/a/b", "v1")));
        assert_eq!(split_full("a/b:v1"), Some(("a/b", "v1")));
        for not in ["v1", "a:v1", "a/b", "host:5000/a", "a/b@sha256:00", "a/:v1"] {
            assert_eq!(split_full(not), None, "{not}");
        }
    }
}
