//! A layout in memory, put where other tools can read it. Plain writing, nothing durable: for tests.

use std::fs;
use std::io;
use std::path::Path;

use ocistow_layout::memory::Memory;

use crate::tar::tar;

/// Writes the layout as a directory, made if it is not there.
pub fn to_dir(layout: &Memory, path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    fs::create_dir_all(path.join("blobs/sha256"))?;
    if let Some(marker) = &layout.marker {
        fs::write(path.join("oci-layout"), marker)?;
    }
    fs::write(path.join("index.json"), &layout.index)?;
    for (digest, bytes) in &layout.blobs {
        let blob = path.join(digest.path());
        fs::create_dir_all(blob.parent().expect("a blob lies in a directory"))?;
        fs::write(blob, bytes)?;
    }
    Ok(())
}

/// The bytes of the layout as an uncompressed tar: `oci-layout`, index.json, then the blobs by digest.
pub fn to_tar(layout: &Memory) -> Vec<u8> {
    let names: Vec<String> = layout.blobs.keys().map(|digest| digest.path()).collect();
    let marker = layout.marker.iter().map(|bytes| ("oci-layout", bytes.as_slice()));
    let index = [("index.json", layout.index.as_slice())];
    let folders = [("blobs/", &[][..]), ("blobs/sha256/", &[])];
    let blobs = names.iter().map(String::as_str).zip(layout.blobs.values().map(Vec::as_slice));
    tar(marker.chain(index).chain(folders).chain(blobs))
}
