//! Threads, on a machine that may have no more to give.

use std::io;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::error::{Error, Kind, Result};

/// Starts a thread. Failed where there is none to be had: whoever can do the work himself does it.
pub fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).map_err(none)
}

/// What it is to whoever cannot do without a thread that none was to be had.
pub(crate) fn none(why: io::Error) -> Error {
    Error::new(Kind::Failed, "could not start a thread").because(why)
}
