//! The odd layouts of the specification matrix, Appendix C, built from [`crate::fixtures`]. Each says what
//! is expected of whoever reads it. Those not here need no bytes of their own: [`crate::draw`] has words for them.

use ocistow_layout::descriptor::{IMAGE_NAME, REF_NAME};
use ocistow_layout::json::quote;
use ocistow_layout::memory::Memory;
use ocistow_layout::{Descriptor, Digest};

use crate::fixtures::*;

/// F:INDEX and all it needs.
const IMAGE: [Fixture; 7] = [INDEX, IMG_AMD64, IMG_ARM64, CONFIG_AMD64, CONFIG_ARM64, LAYER_GZ, LAYER_TAR];

/// A layout with this index.json and these blobs.
fn layout(index: impl Into<Vec<u8>>, blobs: impl IntoIterator<Item = Fixture>) -> Memory {
    let mut memory = Memory { index: index.into(), ..Memory::default() };
    for blob in blobs {
        memory.add(blob.bytes);
    }
    memory
}

/// An index.json with these entries: a fixture and its annotations.
fn index(entries: &[(Fixture, &[(&str, &str)])]) -> String {
    let entries = entries.iter().map(|(fixture, annotations)| {
        let pairs = annotations.iter().map(|(key, value)| format!("{}:{}", quote(key), quote(value)));
        let pairs = pairs.collect::<Vec<_>>().join(",");
        let annotations = if pairs.is_empty() { pairs } else { format!(",\"annotations\":{{{pairs}}}") };
        let text = fixture.descriptor().text().to_owned();
        format!("{}{annotations}}}", &text[..text.len() - 1])
    });
    let entries = entries.collect::<Vec<_>>().join(",");
    format!("{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[{entries}]}}", INDEX.media_type)
}

/// C-EMPTY: clean.
pub fn empty() -> Memory {
    layout(EMPTY_INDEX.bytes, [])
}

/// C-STRICT: clean; `v1` is F:INDEX, F:REF-ARTIFACT the referrer of F:IMG-AMD64.
pub fn strict() -> Memory {
    layout(INDEX_JSON_STRICT.bytes, IMAGE.into_iter().chain([REF_ARTIFACT, EMPTY_JSON]))
}

const REFERRERS: [Fixture; 6] = [REF_ARTIFACT, REF_OLD, REF_OLD_CONFIG, REF_INDEX, REF_MISSING, EMPTY_JSON];

/// The referrers of F:IMG-AMD64 in [`all_referrers`], [`fallback`], [`olareg`] and [`containerd`].
pub const THREE: [Fixture; 3] = [REF_OLD, REF_INDEX, REF_ARTIFACT];

/// C-ALLREFS: F:IMG-AMD64 has the three of F:REFERRERS-RESPONSE; F:REF-MISSING shows only under its own subject.
pub fn all_referrers() -> Memory {
    let entries =
        [(INDEX, &[(REF_NAME, "v1")][..]), (REF_ARTIFACT, &[]), (REF_OLD, &[]), (REF_INDEX, &[]), (REF_MISSING, &[])];
    layout(index(&entries), IMAGE.into_iter().chain(REFERRERS))
}

/// C-FALLBACK: the same answer as [`all_referrers`].
pub fn fallback() -> Memory {
    let tag = IMG_AMD64.digest().fallback_tag();
    let entries = [(INDEX, &[(REF_NAME, "v1")][..]), (REFERRERS_RESPONSE, &[(REF_NAME, &tag)])];
    layout(index(&entries), IMAGE.into_iter().chain(REFERRERS).chain([REFERRERS_RESPONSE]))
}

/// C-STALE: a fallback tag whose list names nobody that refers: no referrers.
pub fn stale() -> Memory {
    let tag = IMG_AMD64.digest().fallback_tag();
    let entries = [(INDEX, &[(REF_NAME, "v1")][..]), (STALE_FALLBACK, &[(REF_NAME, &tag)])];
    layout(index(&entries), IMAGE.into_iter().chain([STALE_FALLBACK]))
}

/// C-OLAREG: the same answer as [`all_referrers`].
pub fn olareg() -> Memory {
    let subject = IMG_AMD64.digest().to_string();
    let entries =
        [(INDEX, &[(REF_NAME, "v1")][..]), (REFERRERS_RESPONSE, &[("org.olareg.referrer.subject", &subject)])];
    let text = index(&entries);
    let text = format!("{},\"annotations\":{{\"org.olareg.referrer.convert\":\"true\"}}}}", &text[..text.len() - 1]);
    layout(text, IMAGE.into_iter().chain(REFERRERS).chain([REFERRERS_RESPONSE]))
}

/// C-CONTAINERD: the same answer as [`all_referrers`].
pub fn containerd() -> Memory {
    let subject = IMG_AMD64.digest().to_string();
    let of = &[("io.containerd.manifest.subject", subject.as_str())][..];
    let entries = [(INDEX, &[(REF_NAME, "v1")][..]), (REF_ARTIFACT, of), (REF_OLD, of), (REF_INDEX, of)];
    layout(index(&entries), IMAGE.into_iter().chain(REFERRERS))
}

/// C-COSIGN-BLOB: F:COSIGN-BUNDLE is found only with `--scan-blobs`.
pub fn cosign_blob() -> Memory {
    let blobs = [COSIGN_BUNDLE, COSIGN_BUNDLE_BLOB, EMPTY_JSON];
    layout(index(&[(INDEX, &[(REF_NAME, "v1")])]), IMAGE.into_iter().chain(blobs))
}

/// C-COSIGN-TAG: F:COSIGN-SIG is a referrer of F:IMG-AMD64.
pub fn cosign_tag() -> Memory {
    let tag = format!("{}.sig", IMG_AMD64.digest().fallback_tag());
    let entries = [(INDEX, &[(REF_NAME, "v1")][..]), (COSIGN_SIG, &[(REF_NAME, &tag)])];
    layout(index(&entries), IMAGE.into_iter().chain([COSIGN_SIG, COSIGN_CONFIG, COSIGN_PAYLOAD]))
}

/// C-TWO-LATEST: `latest` is ambiguous; `a` and `docker.io/library/b:latest` resolve.
pub fn two_latest() -> Memory {
    let entries = [
        (IMG_AMD64, &[(IMAGE_NAME, "docker.io/library/a:latest"), (REF_NAME, "latest")][..]),
        (IMG_ARM64, &[(IMAGE_NAME, "docker.io/library/b:latest"), (REF_NAME, "latest")]),
    ];
    layout(index(&entries), IMAGE)
}

/// C-DUP-TAG: `v1` is ambiguous; `ls` shows both.
pub fn duplicate_tag() -> Memory {
    layout(index(&[(IMG_AMD64, &[(REF_NAME, "v1")]), (IMG_ARM64, &[(REF_NAME, "v1")])]), IMAGE)
}

/// C-NULL: empty, with a warning; the first `tag` leaves a list and a `mediaType`.
pub fn null() -> Memory {
    layout(*br#"{"schemaVersion":2,"manifests":null}"#, IMAGE)
}

/// C-NOMT: clean, with a warning.
pub fn no_media_type() -> Memory {
    let text = index(&[(INDEX, &[(REF_NAME, "v1")])]);
    layout(text.replacen(&format!("\"mediaType\":\"{}\",", INDEX.media_type), "", 1), IMAGE)
}

/// C-SPARSE: the absent child is a warning.
pub fn sparse() -> Memory {
    let mut memory = strict();
    memory.blobs.remove(&IMG_ARM64.digest());
    memory
}

/// C-CORRUPT: a layer with one byte changed (same size).
pub fn corrupt() -> Memory {
    let mut memory = strict();
    memory.blobs.entry(LAYER_GZ.digest()).and_modify(|bytes| bytes[20] ^= 1);
    memory
}

/// C-CORRUPT: a layer cut short.
pub fn cut() -> Memory {
    let mut memory = strict();
    memory.blobs.entry(LAYER_GZ.digest()).and_modify(|bytes| bytes.truncate(31));
    memory
}

/// C-CORRUPT: a layer with a byte too much.
pub fn grown() -> Memory {
    let mut memory = strict();
    memory.blobs.entry(LAYER_GZ.digest()).and_modify(|bytes| bytes.push(0));
    memory
}

/// C-AMBIG: a document that is a manifest and an index at once is refused.
pub fn ambiguous() -> Memory {
    layout(index(&[(AMBIGUOUS, &[(REF_NAME, "v1")])]), IMAGE.into_iter().chain([AMBIGUOUS]))
}

/// C-DOCKER: walked, bytes kept.
pub fn docker() -> Memory {
    let blobs = [DOCKER_LIST, DOCKER_S2, CONFIG_AMD64, LAYER_GZ];
    layout(index(&[(DOCKER_LIST, &[(REF_NAME, "v1")])]), blobs)
}

/// MANIFEST-14: C-STRICT with F:REF-ARTIFACT calling itself `own`, and one descriptor of it for each of the other types:
/// `entries` of index.json, tagged `0`, `1` and so on, and `children` of an index `i` each. Returns the layout and the
/// referrer's digest.
pub fn called(own: &str, entries: &[&str], children: &[&str]) -> (Memory, Digest) {
    let mut memory = layout("", IMAGE.into_iter().chain([EMPTY_JSON]));
    let text = String::from_utf8_lossy(REF_ARTIFACT.bytes).replacen(REF_ARTIFACT.media_type, own, 1);
    let digest = memory.add(text.as_bytes());
    let descriptor = |media_type: &str, more: &str| {
        format!("{{\"mediaType\":{},\"digest\":\"{digest}\",\"size\":{}{more}}}", quote(media_type), text.len())
    };
    let name = |name: &str| format!(",\"annotations\":{{{}:{}}}", quote(REF_NAME), quote(name));
    let mut all = vec![INDEX.descriptor().text().replacen('}', &format!("{}}}", name("v1")), 1)];
    for (at, media_type) in entries.iter().enumerate() {
        all.push(descriptor(media_type, &name(&at.to_string())));
    }
    for (at, media_type) in children.iter().enumerate() {
        let child = descriptor(media_type, "");
        let index = format!("{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[{child}]}}", INDEX.media_type);
        let text =
            Descriptor::new(INDEX.media_type, memory.add(index.as_bytes()), index.len() as u64).text().to_owned();
        all.push(text.replacen('}', &format!("{}}}", name(&format!("i{at}"))), 1));
    }
    memory.index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", all.join(",")).into_bytes();
    (memory, digest)
}

/// C-LEGACY: three referrers of F:IMG-AMD64 in manifests nobody writes any more; their blob is reachable.
pub fn legacy() -> Memory {
    let old = [OCI_ARTIFACT_RC1, OCI_ARTIFACT_RC2, ORAS_ARTIFACT];
    let entries = [(INDEX, &[(REF_NAME, "v1")][..]), (old[0], &[]), (old[1], &[]), (old[2], &[])];
    layout(index(&entries), IMAGE.into_iter().chain(old).chain([EMPTY_JSON]))
}

/// C-NOSIZE: a referrer all the same.
pub fn no_subject_size() -> Memory {
    let entries = [(INDEX, &[(REF_NAME, "v1")][..]), (REF_NO_SIZE, &[])];
    layout(index(&entries), IMAGE.into_iter().chain([REF_NO_SIZE, EMPTY_JSON]))
}

/// C-NESTED: two levels; the XML blob is a leaf.
pub fn nested() -> Memory {
    layout(index(&[(INDEX_NESTED, &[(REF_NAME, "v1")])]), IMAGE.into_iter().chain([INDEX_NESTED, EMPTY_BLOB]))
}

/// C-512: clean; the image lies below `blobs/sha512/`.
pub fn sha512() -> Memory {
    let blobs = [INDEX_SHA512, CONFIG_AMD64, LAYER_GZ];
    let mut memory = layout(index(&[(INDEX_SHA512, &[(REF_NAME, "v1")])]), blobs);
    let digest = concat!(
        "sha512:b909bee7b86cfc385104cd5360717026b1eb00a525eb93b910419a1dba1ce153",
        "9a39207ac2668c6116d3ac79c7c4602a766c4e94cc09fd1357381c60439e680b"
    );
    memory.blobs.insert(digest.parse().expect("it is a digest"), IMG_AMD64.bytes.to_vec());
    memory
}

/// C-TRAVERSAL: index.json with a digest that is none and would leave the layout as a path.
pub fn traversal() -> Memory {
    let text = index(&[(INDEX, &[(REF_NAME, "v1")])]);
    layout(text.replacen(&INDEX.digest().to_string(), "sha256:../../etc", 1), IMAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixtures_are_wired_as_the_matrix_says() {
        let all = index(&[(INDEX, &[(REF_NAME, "v1")])]);
        assert!(INDEX_JSON_STRICT.bytes.starts_with(&all.as_bytes()[..all.len() - 2]));
        for (digest, bytes) in strict().blobs.iter().chain(&sha512().blobs).chain(&all_referrers().blobs) {
            assert_eq!(digest.same_of(bytes).as_ref(), Some(digest));
        }
        assert_eq!(
            corrupt().blobs.iter().filter(|(digest, bytes)| digest.same_of(bytes).as_ref() != Some(digest)).count(),
            1
        );
        assert!(String::from_utf8_lossy(&traversal().index).contains("../../etc"));
        assert!(!String::from_utf8_lossy(&no_media_type().index).contains("\"schemaVersion\":2,\"mediaType\""));
    }
}
