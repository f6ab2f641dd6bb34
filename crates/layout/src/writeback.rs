//! Sending what is written to the disk while more comes.
//!
//! The wait at the end is then short. And of a large writing only so much stays in memory as is of use:
//! the rest is given back, and what is written next finds memory that the machine has at hand. Fresh memory
//! can be slower than the disk.

use std::collections::VecDeque;
use std::fs::File;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Advice, fadvise};

/// How much of a file is sent at a time. What is shorter than this is left to the sync at the end.
pub const STRETCH: u64 = 16 << 20;

/// Stretches of files on their way to the disk.
pub struct Writeback {
    keep: u64,
    sent: Mutex<Sent>,
}

#[derive(Default)]
struct Sent {
    /// Oldest first.
    stretches: VecDeque<(Arc<File>, u64, u64)>,
    bytes: u64,
}

impl Writeback {
    /// Keeps the latest `keep` bytes that were sent in memory, beside what the kernel keeps by itself.
    pub fn keeping(keep: u64) -> Self {
        Self { keep, sent: Mutex::default() }
    }

    /// Starts to bring a short file to the disk and does not wait for it: sent by whoever wrote them, many of them are
    /// there sooner than by the sync at the end.
    pub fn send_short(&self, file: &File, len: u64) {
        unneeded(file, 0, len);
    }

    /// Starts to bring a stretch to the disk and does not wait for it. Changes nothing that can be read, so
    /// it is no call of the [`Medium`](crate::medium::Medium); where it is not possible nothing happens.
    pub fn send(&self, file: &Arc<File>, at: u64, len: u64) {
        // To Linux, that dirty pages are not needed means to write them back; clean ones it takes away.
        unneeded(file, at, len);
        let mut back = Vec::new();
        {
            let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.stretches.push_back((file.clone(), at, len));
            sent.bytes += len;
            while sent.bytes > self.keep
                && let Some(oldest) = sent.stretches.pop_front()
            {
                sent.bytes -= oldest.2;
                back.push(oldest);
            }
        }
        for (file, at, len) in back {
            unneeded(&file, at, len);
        }
    }
}

fn unneeded(file: &File, at: u64, len: u64) {
    // Advice is not owed to anybody: without it all is as right, only slower.
    let _ = fadvise(file, at, NonZeroU64::new(len), Advice::DontNeed);
}
