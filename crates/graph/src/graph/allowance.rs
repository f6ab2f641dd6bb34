//! How much is held of the manifests of one source: neither what was compressed nor what has many names buys memory by that.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use ocistow_layout::{Digest, Error, Kind, Result, Source, sieve};

use crate::manifest::Manifest;

/// How many bytes of manifests are read whose digests nobody can check: one file may be there under any number of those.
pub const MAX_UNCHECKED: u64 = 1 << 30;

/// What is held of a source, and how much may be.
pub(crate) struct Allowance<'s> {
    source: &'s dyn Source,
    text: AtomicU64,
    most_text: u64,
    /// The digests that manifests name, as a number each; only of what was compressed.
    named: Mutex<HashSet<u64>>,
    keys: RandomState,
    most_named: usize,
    /// How many bytes had digests that cannot be checked, and their texts, each held once as long as anybody does.
    unchecked: AtomicU64,
    texts: Mutex<HashMap<Digest, Weak<String>>>,
}

impl<'s> Allowance<'s> {
    pub fn of(source: &'s dyn Source) -> Self {
        let packed = source.packed();
        let most_named = packed.and_then(|packed| usize::try_from(sieve::most_digests(packed)).ok());
        Self {
            source,
            text: AtomicU64::new(0),
            most_text: packed.map_or(u64::MAX, sieve::most_text),
            named: Mutex::default(),
            keys: RandomState::new(),
            most_named: most_named.unwrap_or(usize::MAX),
            unchecked: AtomicU64::new(0),
            texts: Mutex::default(),
        }
    }

    /// Takes in a manifest that was read and is to be held.
    pub fn hold(&self, manifest: &mut Manifest) {
        self.text.fetch_add(manifest.size(), Ordering::Relaxed);
        if !manifest.digest.verifiable() {
            self.unchecked.fetch_add(manifest.size(), Ordering::Relaxed);
            let text = Digest::of(manifest.text().as_bytes());
            manifest.share(lock(&self.texts).entry(text).or_default());
        }
        if self.most_named < usize::MAX {
            let mut named = lock(&self.named);
            manifest.parts(&mut |part| {
                // One more than there may be is enough.
                if named.len() <= self.most_named {
                    named.insert(self.keys.hash_one(part.digest));
                }
            });
        }
    }

    /// Integrity where too much is held, or would be with so many bytes more.
    pub fn fits(&self, more: u64) -> Result<()> {
        let text = self.text.load(Ordering::Relaxed).saturating_add(more);
        let named = || self.most_named < usize::MAX && lock(&self.named).len() > self.most_named;
        let why = if text > self.most_text || named() {
            "they say far more than what they were unpacked from can hold; unpacked by itself first, that is read"
                .into()
        } else if self.unchecked.load(Ordering::Relaxed) > MAX_UNCHECKED {
            format!("more than {MAX_UNCHECKED} bytes of them have digests that cannot be checked")
        } else {
            return Ok(());
        };
        let what = format!("could not read the manifests of {}", self.source.location());
        Err(Error::new(Kind::Integrity, what).because(why))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
