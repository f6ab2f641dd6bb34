//! Where bodies put their files: one directory for each thread, in memory where there is such a place.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

thread_local! {
    static DIR: TempDir = {
        let shared = Path::new("/dev/shm");
        if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("a directory can be made")
    };
}

/// The path of a file or directory of this name, which is not there.
pub fn path(name: &str) -> PathBuf {
    let path = DIR.with(|dir| dir.path().join(name));
    match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path).expect("ours can be removed"),
        Ok(_) => fs::remove_file(&path).expect("ours can be removed"),
        Err(_) => {}
    }
    path
}

/// The path of a file with these bytes.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = path(name);
    fs::write(&path, bytes).expect("a file can be written");
    path
}
