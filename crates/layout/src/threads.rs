//! Threads, on a machine that may have no more to give.

use std::io;
use std::thread::{self, Builder, Scope, ScopedJoinHandle};

use crate::error::{Error, Kind, Result};

/// Starts a thread. Failed where there is none to be had: whoever can do the work himself does it.
pub fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).map_err(none)
}

/// How many of `threads` so many items are worth, where it takes `fewest` of them to be worth the start of one.
pub fn worth(threads: usize, items: usize, fewest: usize) -> usize {
    threads.clamp(1, items.div_ceil(fewest).max(1))
}

/// Does `work` on stretches of `items`, each in a thread of its own, and gives what came of them, in order. Where there
/// are no more threads, this one does the rest.
pub fn in_stretches<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let mut stretches = items.chunks(items.len().div_ceil(threads.max(1)).max(1));
    thread::scope(|scope| {
        let work = &work;
        let own = stretches.next();
        let others: Vec<_> =
            stretches.map(|stretch| start(scope, move || work(stretch)).map_err(|_| stretch)).collect();
        let mut done: Vec<R> = own.map(work).into_iter().collect();
        done.extend(others.into_iter().map(|other| match other {
            Ok(running) => running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(stretch) => work(stretch),
        }));
        done
    })
}

/// What it is to whoever cannot do without a thread that none was to be had.
pub(crate) fn none(why: io::Error) -> Error {
    Error::new(Kind::Failed, "could not start a thread").because(why)
}
