//! Layouts in tar archives: plain ones read in place, compressed ones and pipes in one pass.
//!
//! Every archive is taken as written by an enemy. No name of a member ever becomes a path on disk.

mod compress;
mod offsets;
mod ordered;
mod target;
mod write;

pub use compress::Compression;
pub use write::{ArchiveSink, Existing, Options, StreamSink, widen_pipe};
