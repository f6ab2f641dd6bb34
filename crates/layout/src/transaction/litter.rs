//! What is taken away: a layout that was never finished, and what writers left behind that are no more.

use std::fs;
use std::path::{Path, PathBuf};

use super::Options;
use crate::directory::{MAKING, OURS, children, is_dir, is_there};
use crate::holdings::TRASH_BESIDE;
use crate::lock::Locks;
use crate::medium::{Medium, OpenDir};

/// Removes a directory and the files in it, as far as that goes.
pub(super) fn empty(dir: &Path, medium: &dyn Medium) {
    if let (Ok(open), Ok(files)) = (OpenDir::open(dir), fs::read_dir(dir)) {
        for file in files.flatten() {
            let _ = medium.unlink_in(&open, &file.file_name());
        }
    }
    let _ = medium.remove_dir(dir);
}

/// Takes away what was made of a layout that was never finished. What lay there before stays, and then so does what
/// tells that it is a layout of ours.
pub(super) fn unmake(root: &Path, made: &[PathBuf], made_root: bool, medium: &dyn Medium) {
    for path in made.iter().rev() {
        let _ = if is_dir(path).is_ok_and(|is| is) { medium.remove_dir(path) } else { medium.unlink(path) };
    }
    let ours = |inside: Vec<PathBuf>| inside.iter().all(|path| path.file_name() == Some(OURS.as_ref()));
    if !children(root).is_ok_and(ours) {
        return;
    }
    for dir in ["staging", "lock"] {
        empty(&root.join(OURS).join(dir), medium);
    }
    let _ = medium.unlink(&root.join(OURS).join(MAKING));
    let _ = medium.remove_dir(&root.join(OURS));
    if made_root {
        let _ = medium.remove_dir(root);
    }
}

/// Takes away a layout whose making failed at the start, if nobody else has come to make it. Without all of
/// the locks there is no telling: then only what is empty goes.
pub(super) fn unmake_unless_used(root: &Path, options: Options<'_>) {
    let medium = options.medium;
    let Ok(found) = Locks::found(root, options.patience, options.watch) else { return };
    if let Some(locks) = found {
        if let Some(_alone) = locks.everything_now() {
            unmake(root, &[], true, medium);
        }
        return;
    }
    for dir in [root.join(OURS).join("lock"), root.join(OURS), root.to_owned()] {
        let _ = medium.remove_dir(&dir);
    }
}

/// Takes away what writers left behind that are no more: if nobody holds the layout, every staging is
/// of that sort. Never fails: the litter can wait for the next writer.
pub(super) fn clear_litter(root: &Path, locks: &Locks<'_>, medium: &dyn Medium) {
    let litter = litter(root);
    if litter.is_empty() {
        return;
    }
    if let Some(_alone) = locks.everything_now() {
        clear(litter, medium);
    }
}

/// The stagings in a layout, what else writers put beside its blobs for a while, and the note that it is being made where
/// it has been. What lies in the trash is none of it: only marking tells whether it is still needed.
pub(super) fn litter(root: &Path) -> Vec<PathBuf> {
    let staging = root.join(OURS).join("staging");
    // What cannot be listed stays litter.
    let listed = |dir: &Path| children(dir).unwrap_or_default();
    let mut litter: Vec<PathBuf> = listed(&staging);
    let blobs = root.join("blobs");
    for dir in std::iter::once(blobs.clone()).chain(listed(&blobs)) {
        let ours = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.as_encoded_bytes().starts_with(b".ocistow-") && name != TRASH_BESIDE
        };
        litter.extend(listed(&dir).into_iter().filter(ours));
    }
    let (making, index) = (root.join(OURS).join(MAKING), root.join("index.json"));
    if is_there(&making).is_ok_and(|is| is) && is_there(&index).is_ok_and(|is| is) {
        litter.push(making);
    }
    litter
}

pub(super) fn clear(litter: Vec<PathBuf>, medium: &dyn Medium) {
    for path in litter {
        // What is behind a link is somebody else's.
        if is_dir(&path).is_ok_and(|is| is) { empty(&path, medium) } else { drop(medium.unlink(&path)) }
    }
}
