//! What points at what in an OCI image layout: facts of manifests, referrers, closures, plans, findings.
//!
//! This crate decides and opens no file itself: it reads through [`ocistow_layout::Source`]. Everything it
//! answers is a plain value.
pub mod facts;
pub mod fsck;
pub mod graph;
pub mod plan;
pub mod platform;
pub mod resolve;

pub use facts::{Facts, Form, ManifestKind, Part, Role};
pub use graph::{Dialect, Edge, Graph, Load, Node};
pub use plan::{Plan, Request};
pub use platform::Selector;
pub use resolve::{Asked, Target};
