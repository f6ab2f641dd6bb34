//! What other tools leave lying in layouts: no blobs, and no strays either (4.9).

/// Whether `path`, in a layout, is something a known tool puts there or leaves behind.
pub fn known(path: &str) -> bool {
    let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let ours = first == ".ocistow" || path == "ocistow" || path == "ocistow/volume.json";
    // Of docker save: the configs, the layers, and a directory for each layer.
    let docker = match rest {
        None => {
            matches!(first, "manifest.json" | "repositories" | "version")
                || first.ends_with(".json")
                || is_hex(first)
                || first.strip_prefix("sha256:").is_some_and(is_hex)
                || first.strip_suffix(".gz").unwrap_or(first).strip_suffix(".tar").is_some_and(is_hex)
        }
        Some(rest) => is_hex(first) && matches!(rest, "VERSION" | "json" | "layer.tar"),
    };
    let uploads = matches!(first, "ingest" | "_uploads" | ".uploads");
    let by_hand = matches!(path, "LICENSE" | "SHA256SUMS");
    ours || docker || uploads || by_hand || path == "index.json.lock" || path.split('/').any(litter)
}

/// Whether this is the name of a temporary file or directory of a known tool.
fn litter(name: &str) -> bool {
    name.starts_with("oci-put-blob")
        || name.starts_with(".umoci-")
        || name.ends_with(".tmp")
        || name.starts_with(".ocistow-")
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4.9
    #[test]
    fn what_tools_leave_is_known_and_the_rest_is_not() {
        let id = "a".repeat(64);
        for path in [
            "manifest.json",
            "repositories",
            "index.json.lock",
            "ingest/x",
            "_uploads/1/data",
            ".uploads/1",
            "oci-put-blob12",
            ".umoci-123/x",
            "index.json.42.tmp",
            "blobs/sha256/aa.1.tmp",
            "version",
            "LICENSE",
            "SHA256SUMS",
            ".ocistow/lock/gate",
            "ocistow/volume.json",
            &format!("{id}/layer.tar"),
            &format!("{id}/VERSION"),
            &format!("{id}.json"),
            &format!("{id}.tar"),
        ] {
            assert!(known(path), "{path}");
        }
        for path in ["notes.txt", "ocistow/other", "x/layer.tar", "x/manifest.json", "index.jsonx", "oci-layout.bak"] {
            assert!(!known(path), "{path}");
        }
    }
}
