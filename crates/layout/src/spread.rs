//! Work on many blobs from several threads, the biggest first.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::{Error, Result};
use crate::source::Blob;
use crate::threads::start;

/// Calls `work` for each of `blobs`, from up to `threads` threads; the small ones fill the gaps at the end. Nothing new
/// is begun after a failure; of several the first is told, once other threads are done with the blobs they are at.
pub fn spread(blobs: &[Blob], threads: usize, work: &(dyn Fn(&Blob) -> Result<()> + Sync)) -> Result<()> {
    let mut order: Vec<&Blob> = blobs.iter().collect();
    order.sort_by_key(|blob| Reverse(blob.size));
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let first: Mutex<Option<Error>> = Mutex::new(None);
    let through = || {
        while !failed.load(Ordering::Relaxed) {
            let Some(blob) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            if let Err(why) = work(blob) {
                failed.store(true, Ordering::Relaxed);
                first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(order.len()) {
            // Where there are no more threads, those that there are do it all.
            if start(scope, through).is_err() {
                break;
            }
        }
        through();
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
