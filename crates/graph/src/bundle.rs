//! A bundle's own index.json, and what it declares.

use ocistow_layout::index::{CARRIES, INDEX_TYPE, IndexFile};
use ocistow_layout::{Blob, Digest, Hasher, json};

use crate::plan::{Entry, Plan};
use ocistow_layout::descriptor::{IMAGE_NAME, REF_NAME};

/// The entries in a bundle's order, exact doubles once.
pub(crate) fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    let key = |entry: &Entry| {
        let said = |name: &str| entry.descriptor.annotation(name).unwrap_or_default().to_owned();
        let text = json::compact(entry.descriptor.text());
        (said(IMAGE_NAME), said(REF_NAME), entry.descriptor.digest.clone(), text)
    };
    entries.sort_by_cached_key(key);
    entries.dedup_by_key(|entry| json::compact(entry.descriptor.text()));
    entries
}

/// The bytes of the index.json of a bundle.
pub(crate) fn index(plan: &Plan) -> Vec<u8> {
    let mut text = format!("{{\"schemaVersion\":2,\"mediaType\":\"{INDEX_TYPE}\",\"manifests\":[");
    for (at, entry) in plan.entries.iter().enumerate() {
        text.push_str(if at == 0 { "" } else { "," });
        text.push_str(&json::compact(entry.descriptor.text()));
    }
    text.push_str(&format!("],\"annotations\":{{\"{CARRIES}\":\"{}\"}}}}", declared(plan.order())));
    text.into_bytes()
}

/// `<blobs> <bytes> sha256:<hash of the sorted lines "digest SP size LF">`
pub fn declared<'b>(blobs: impl Iterator<Item = &'b Blob>) -> String {
    let mut lines: Vec<String> = blobs.map(|blob| format!("{} {}\n", blob.digest, blob.size)).collect();
    lines.sort_unstable();
    lines.dedup();
    let mut hasher = Hasher::Sha256(Default::default());
    let mut bytes = 0u64;
    for line in &lines {
        hasher.update(line.as_bytes());
        let size = line.trim_end().rsplit_once(' ').and_then(|(_, size)| size.parse::<u64>().ok());
        bytes = bytes.saturating_add(size.unwrap_or_default());
    }
    let hash: Digest = hasher.finish();
    format!("{} {bytes} {hash}", lines.len())
}

/// Compares what a bundle's index declares with the blobs its entries reach and it holds: those of a plan
/// of all its entries. `None` where nothing is declared or it agrees; else what differs, for people.
pub fn carries_mismatch<'b>(index: &IndexFile, blobs: impl Iterator<Item = &'b Blob>) -> Option<String> {
    let declared = index.annotation(CARRIES)?;
    let found = self::declared(blobs);
    (declared != found).then(|| format!("index.json declares {declared:?}, but it reaches {found:?}"))
}
