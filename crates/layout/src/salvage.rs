//! Taking what can be had of some blobs out of a source that may be damaged itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::checked::verify;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::source::{Access, Blob, Source, Watch};
use crate::spread::spread;
use crate::transaction::Transaction;

/// What came of the blobs that were asked for: each is in one of the three.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// Staged, verified.
    pub staged: Vec<Blob>,
    /// The source does not have it as it has to be, and why.
    pub refused: Vec<(Digest, Error)>,
    /// The layout has no place for it, and why.
    pub blocked: Vec<(Digest, Error)>,
}

/// Stages as many of `blobs` as `source` has right. What it has wrong, or what its medium does not give, is passed over
/// and told. `Err` where the transaction cannot go on, a source of one pass gives out, or the watcher asked to stop.
pub fn salvage(
    source: &dyn Source,
    transaction: &Transaction<'_>,
    blobs: &[Blob],
    threads: usize,
    watch: &dyn Watch,
) -> Result<Salvaged> {
    let mut blocked = Vec::new();
    let mut free = Vec::new();
    for blob in blobs {
        match transaction.blocked(&blob.digest) {
            Some(why) => blocked.push((blob.digest.clone(), why)),
            None => free.push(blob.clone()),
        }
    }
    let amiss: Mutex<BTreeMap<Digest, Error>> = Mutex::default();
    let refuse = |digest: &Digest, why: Error| match why.kind() {
        Kind::Interrupted => Err(why),
        _ => {
            amiss.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone(), why);
            Ok(())
        }
    };
    let gone = |digest: &Digest| Error::new(Kind::NotFound, format!("{digest} went away"));
    if source.access() == Access::OnePass {
        let mut wanted: BTreeMap<&Digest, &Blob> = free.iter().map(|blob| (&blob.digest, blob)).collect();
        let want: BTreeSet<Digest> = free.iter().map(|blob| blob.digest.clone()).collect();
        source.visit(&want, &mut |found, content| {
            let Some(blob) = wanted.remove(&found.digest) else { return Ok(()) };
            match transaction.put(blob, content) {
                Err(why) if why.kind() == Kind::Integrity => refuse(&blob.digest, why),
                put => put,
            }
        })?;
        wanted.into_keys().try_for_each(|digest| refuse(digest, gone(digest)))?;
    } else {
        let open = |blob: &Blob| source.open(&blob.digest)?.ok_or_else(|| gone(&blob.digest));
        spread(&free, threads, &|blob| {
            let content = match open(blob) {
                Ok(content) => content,
                Err(why) => return refuse(&blob.digest, why),
            };
            match transaction.put(blob, content) {
                Err(why) if why.kind() == Kind::Integrity => refuse(&blob.digest, why),
                // Whose trouble that is, only the source can tell.
                Err(why) if why.kind() == Kind::Failed => match open(blob).and_then(|from| verify(blob, from, watch)) {
                    Ok(()) => Err(why),
                    Err(why) => refuse(&blob.digest, why),
                },
                put => put,
            }
        })?;
    }
    let amiss = amiss.into_inner().unwrap_or_else(PoisonError::into_inner);
    free.retain(|blob| !amiss.contains_key(&blob.digest));
    Ok(Salvaged { staged: free, refused: amiss.into_iter().collect(), blocked })
}
