//! What a layout holds, found out without any of the project's own code, so that both can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use flate2::read::GzDecoder;
use ocistow_layout::Digest;
use serde_json::Value;

/// The manifests' fields whose descriptors a walk follows.
const PARTS: [&str; 4] = ["manifests", "layers", "blobs", "config"];

/// The files of a layout directory or of a tar of one, plain or gzip, by name.
pub fn files(location: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    if location.is_dir() {
        for entry in walkdir::WalkDir::new(location) {
            let entry = entry.expect("it can be listed");
            if entry.file_type().is_file() {
                let name = entry.path().strip_prefix(location).expect("it is below").to_str().expect("it is UTF-8");
                files.insert(name.to_owned(), fs::read(entry.path()).expect("it can be read"));
            }
        }
        return files;
    }
    let bytes = fs::read(location).expect("it can be read");
    let plain: Box<dyn std::io::Read> = match bytes.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(GzDecoder::new(bytes.as_slice())),
        _ => Box::new(bytes.as_slice()),
    };
    for entry in tar::Archive::new(plain).entries().expect("it is a tar") {
        let mut entry = entry.expect("it is a tar");
        let name =
            entry.path().expect("it has a name").to_str().expect("it is UTF-8").trim_start_matches("./").to_owned();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("it is whole");
        if entry.header().entry_type().is_file() {
            files.insert(name, bytes);
        }
    }
    files
}

/// The files of the layout that a docker archive is read as (DOCKER-COMPAT-10), told from the files of an
/// archive whose maker named every file by its digest.
pub fn classic(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let mut layout = BTreeMap::new();
    let mut put = |hex: &str, bytes: &[u8], media_type: &str| {
        layout.insert(format!("blobs/sha256/{hex}"), bytes.to_vec());
        format!("{{\"mediaType\":\"{media_type}\",\"digest\":\"sha256:{hex}\",\"size\":{}}}", bytes.len())
    };
    let images: Value = serde_json::from_slice(&files["manifest.json"]).expect("manifest.json is JSON");
    let mut entries = Vec::new();
    for image in images.as_array().expect("it is a list") {
        let config = image["Config"].as_str().expect("it is text");
        let hex = config.trim_start_matches("sha256:").trim_end_matches(".json");
        let config = put(hex, &files[config], "application/vnd.oci.image.config.v1+json");
        let mut layers = Vec::new();
        for layer in image["Layers"].as_array().expect("it is a list") {
            let name = layer.as_str().expect("it is text");
            let (hex, end) = name.split_once(".tar").expect("it is a tar");
            let kind = if end == ".gz" { "+gzip" } else { "" };
            layers.push(put(hex, &files[name], &format!("application/vnd.oci.image.layer.v1.tar{kind}")));
        }
        let manifest = "application/vnd.oci.image.manifest.v1+json";
        let layers = layers.join(",");
        let bytes =
            format!("{{\"schemaVersion\":2,\"mediaType\":\"{manifest}\",\"config\":{config},\"layers\":[{layers}]}}");
        entries.push(put(&Digest::of(bytes.as_bytes()).encoded(), bytes.as_bytes(), manifest));
    }
    let index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entries.join(","));
    layout.insert("index.json".to_owned(), index.into_bytes());
    layout
}

/// The digests of all blobs of a layout's files.
pub fn blobs(files: &BTreeMap<String, Vec<u8>>) -> BTreeSet<String> {
    let names = files.keys().filter_map(|name| name.strip_prefix("blobs/"));
    names.map(|name| name.replacen('/', ":", 1)).collect()
}

/// The digests index.json names, and what they need, that are there.
pub fn reached(files: &BTreeMap<String, Vec<u8>>) -> BTreeSet<String> {
    let index: Value = serde_json::from_slice(&files["index.json"]).expect("index.json is JSON");
    let mut found = BTreeSet::new();
    let mut left = children(&index);
    while let Some(digest) = left.pop() {
        let Some(bytes) = files.get(&format!("blobs/{}", digest.replacen(':', "/", 1))) else { continue };
        if found.insert(digest)
            && let Ok(document @ Value::Object(_)) = serde_json::from_slice(bytes)
        {
            left.extend(children(&document));
        }
    }
    found
}

fn children(document: &Value) -> Vec<String> {
    let parts = PARTS.iter().filter_map(|part| document.get(part));
    let descriptors = parts.flat_map(|part| match part {
        Value::Array(descriptors) => descriptors.iter().collect(),
        one => vec![one],
    });
    descriptors.filter_map(|descriptor| Some(descriptor.get("digest")?.as_str()?.to_owned())).collect()
}
