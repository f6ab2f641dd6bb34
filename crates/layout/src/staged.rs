//! What writers put aside in a layout's directory: staged content, volumes of sets that are not whole, and
//! what is about to be deleted.

use std::io;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use crate::directory::{OURS, plain};
use crate::error::{Error, Result};
use crate::source::Count;

/// The directories in [`OURS`] that hold content.
const ASIDE: [&str; 3] = ["staging", "sets", "trash"];
/// What stagings on another disk are called, in `blobs` or in a directory of it.
const BESIDE: &[u8] = b".ocistow-";

/// Counts the files that lie aside in the layout at `root`, and their lengths. No link is followed, and what
/// goes away meanwhile is passed over: writers and `gc` go on.
pub(crate) fn staged(root: &Path) -> Result<Count> {
    let mut count = Count::default();
    let aside = |step: &DirEntry| step.depth() != 1 || ASIDE.iter().any(|name| step.file_name() == *name);
    files(&root.join(OURS), aside, &mut count)?;
    let blobs = root.join("blobs");
    let beside = |step: &DirEntry| {
        let inside = step.path().strip_prefix(&blobs).unwrap_or(step.path());
        let ours = inside.iter().take(2).any(|name| name.as_encoded_bytes().starts_with(BESIDE));
        ours || step.depth() < 2 && step.file_type().is_dir()
    };
    files(&blobs, beside, &mut count)?;
    Ok(count)
}

/// Counts the files below `top` that `within` lets through, directory by directory.
fn files(top: &Path, within: impl FnMut(&DirEntry) -> bool, count: &mut Count) -> Result<()> {
    let walk = WalkDir::new(top).follow_root_links(false).into_iter().filter_entry(within);
    for step in walk {
        let length = match step {
            Ok(step) if step.depth() > 0 && step.file_type().is_file() => step.metadata().map(|meta| meta.len()),
            Ok(_) => continue,
            Err(why) => Err(why),
        };
        match length {
            Ok(length) => count.add(length),
            Err(why) if why.io_error().is_some_and(|why| why.kind() == io::ErrorKind::NotFound) => {}
            Err(why) => {
                let path = why.path().unwrap_or(top).to_owned();
                return Err(Error::io("look at", path, plain(why)));
            }
        }
    }
    Ok(())
}
