//! Progress on stderr, for work that takes longer than a second.

use std::io::Write;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ocistow_layout::{Count, Watch};

use crate::shown::{bytes, many};
use crate::speak::Context;

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Not at all.
    Silent,
    /// On one line that is written over, and cleared in the end.
    Line {
        /// Work shorter than this shows nothing.
        after: Duration,
    },
    /// A line every second, and one in the end if there was anything to do.
    Plain,
}

/// Watches one piece of work. Dropping it ends the telling.
pub struct Progress<'c> {
    context: &'c Context<'c>,
    verb: &'static str,
    total: Option<Count>,
    manner: Manner,
    start: Instant,
    /// Milliseconds from the start to the next telling.
    next: AtomicU64,
    blobs: AtomicU64,
    bytes: AtomicU64,
}

impl<'c> Progress<'c> {
    pub(crate) fn new(context: &'c Context<'c>, verb: &'static str, total: Option<Count>, manner: Manner) -> Self {
        let first = match manner {
            Manner::Silent => u64::MAX,
            Manner::Line { after } => u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
            Manner::Plain => 1000,
        };
        Self {
            context,
            verb,
            total,
            manner,
            start: Instant::now(),
            next: AtomicU64::new(first),
            blobs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    fn tick(&self) {
        let next = self.next.load(Ordering::Relaxed);
        if next == u64::MAX {
            return;
        }
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        let pause = if self.manner == Manner::Plain { 1000 } else { 100 };
        let mine = || self.next.compare_exchange(next, now + pause, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if now >= next && mine() {
            self.show();
        }
    }

    fn show(&self) {
        let count = Count { blobs: self.blobs.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) };
        let text = line(self.verb, count, self.total, self.start.elapsed());
        let mut open = self.context.line.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match self.manner {
            Manner::Line { .. } => format!("\r{text}\u{1b}[K"),
            _ => format!("{text}\n"),
        };
        *open = self.manner != Manner::Plain;
        // Progress that cannot be written is no reason to stop the work.
        let _ = (&self.context.world.err).write_all(text.as_bytes());
    }
}

/// One line of progress: `exporting: 12/40 blobs, 1.2 MB of 3.4 MB, 80.0 MB/s`.
fn line(verb: &str, done: Count, total: Option<Count>, elapsed: Duration) -> String {
    let rate = u64::try_from(u128::from(done.bytes) * 1000 / elapsed.as_millis().max(1)).unwrap_or(u64::MAX);
    let (blobs, amount) = match total {
        Some(total) => (
            format!("{}/{} blobs", done.blobs, total.blobs),
            format!("{} of {}", bytes(done.bytes), bytes(total.bytes)),
        ),
        None => (many(done.blobs, "blob"), bytes(done.bytes)),
    };
    format!("{verb}: {blobs}, {amount}, {}/s", bytes(rate))
}

impl Watch for Progress<'_> {
    fn bytes(&self, n: u64) {
        self.bytes.fetch_add(n, Ordering::Relaxed);
        self.tick();
    }

    fn blob(&self) {
        self.blobs.fetch_add(1, Ordering::Relaxed);
        self.tick();
    }

    fn stop(&self) -> bool {
        self.context.world.stopped()
    }

    fn warn(&self, message: &str) {
        self.context.warn(message);
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        match self.manner {
            Manner::Silent => {}
            Manner::Line { .. } => self.context.clear_line(),
            Manner::Plain => {
                let nothing = self.blobs.load(Ordering::Relaxed) == 0 && self.bytes.load(Ordering::Relaxed) == 0;
                if !nothing {
                    self.show();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_blobs_bytes_and_rate() {
        let done = Count { blobs: 12, bytes: 1_200_000 };
        let total = Count { blobs: 40, bytes: 3_400_000 };
        let two = Duration::from_secs(2);
        assert_eq!(line("exporting", done, Some(total), two), "exporting: 12/40 blobs, 1.2 MB of 3.4 MB, 600.0 kB/s");
        let one = Count { blobs: 1, bytes: 5 };
        assert_eq!(line("checking", one, None, Duration::ZERO), "checking: 1 blob, 5 B, 5.0 kB/s");
    }
}
