//! What points at what in an OCI image layout: facts of manifests, referrers, closures, plans, findings.
//!
//! This crate decides and opens no file itself: it reads through [`ocistow_layout::Source`]. Everything it
//! answers is a plain value.
pub mod bundle;
mod closure;
pub mod docker;
pub mod facts;
pub mod fsck;
pub mod graph;
pub mod import;
mod list;
pub mod plan;
pub mod platform;
mod rename;
pub mod resolve;

pub use closure::config_platform;
pub use facts::{Facts, Form, ManifestKind, Part, Role};
pub use graph::{Dialect, Edge, Graph, Load, Node};
pub use import::{Import, Moved, import};
pub use plan::{Plan, Request};
pub use platform::Selector;
pub use resolve::{Asked, Target};
