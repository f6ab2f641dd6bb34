//! Somebody who reads index.json as fast as he can, and looks whether all it names is there and right.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::judge::Layout;

/// What was seen.
#[derive(Default)]
pub struct Watched {
    /// How often index.json was another one than before.
    pub looks: usize,
    /// How often that was none.
    pub broken: usize,
    /// What it named that was not there, or wrong, while it was still named.
    pub halves: Vec<String>,
}

/// Reads index.json until it is `over`.
pub fn watch(layout: &Path, over: &AtomicBool) -> Watched {
    let mut watched = Watched::default();
    let (mut last, mut right) = (Vec::new(), BTreeSet::new());
    while !over.load(Ordering::SeqCst) {
        let bytes = fs::read(layout.join("index.json")).unwrap_or_default();
        if bytes == last {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        watched.looks += 1;
        match Layout::parse(&bytes) {
            Err(_) => watched.broken += 1,
            Ok(seen) => {
                let wrong = seen.wrong(layout, &mut right);
                // What was taken away meanwhile is no longer named.
                let still = |entry: &String| Layout::read(layout).is_ok_and(|now| now.entries.contains(entry));
                watched.halves.extend(wrong.into_iter().filter(|(entry, _)| still(entry)).map(|(_, why)| why));
            }
        }
        last = bytes;
    }
    watched
}
