//! Files that are no part of a layout, but that tools leave in one (4.9).

/// Whether a path inside a layout is something that other tools, or ours, are known to leave there. Such
/// files are passed over, and not worth a finding.
pub fn left_by_tools(inside: &str) -> bool {
    let parts: Vec<&str> = inside.split('/').collect();
    let tmp = |name: &str| name.ends_with(".tmp") || name.starts_with(".ocistow-") || name.starts_with("oci-put-blob");
    match parts.as_slice() {
        // Ours, docker save, oras, olareg, zot, umoci, BuildKit, and by hand.
        [".ocistow", ..] | ["ocistow", "volume.json"] => true,
        ["manifest.json" | "repositories" | "index.json.lock" | "version" | "LICENSE" | "SHA256SUMS"] => true,
        ["ingest" | "_uploads" | ".uploads", ..] => true,
        ["ocistow"] => true,
        [first, ..] if first.starts_with(".umoci-") || tmp(first) => true,
        // Temporary files of regclient and containers/image among the blobs.
        ["blobs", name, ..] if tmp(name) => true,
        ["blobs", _, name, ..] if tmp(name) => true,
        // What docker save wrote before it wrote layouts: <id>.json, <id>/{json,layer.tar,VERSION}.
        [name] => is_hex(name.strip_suffix(".json").unwrap_or(name)),
        [id, "json" | "layer.tar" | "VERSION"] => is_hex(id),
        _ => false,
    }
}

fn is_hex(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
