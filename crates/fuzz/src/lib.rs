//! What no bytes may break: the bodies of the fuzz targets, which run under libFuzzer (`crates/fuzz/run`) and, over
//! all seeds, in the tests of every day.
//!
//! A body takes any bytes and panics where a promise does not hold. It is more than "does not panic": each holds two
//! ways of doing a thing against each other, or what is answered against an oracle written from the specifications.

// A body ends where a promise is broken: that is its answer.
#![allow(clippy::unwrap_used)]

pub mod archive;
pub mod carried;
pub mod changes;
pub mod documents;
pub mod graph;
pub mod kept;
pub mod members;
pub mod output;
pub mod reading;
pub mod scratch;
pub mod seeds;
pub mod words;

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 8] = [
    ("archive", archive::run),
    ("members", members::run),
    ("documents", documents::run),
    ("words", words::run),
    ("kept", kept::run),
    ("graph", graph::run),
    ("changes", changes::run),
    ("output", output::run),
];

/// How a graph is read here: on one thread, so that the same bytes always go the same way.
pub const LOAD: ocistow_graph::Load = ocistow_graph::Load { threads: 1, scan_blobs: false };
