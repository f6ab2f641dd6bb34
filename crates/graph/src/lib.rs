//! What points at what in an OCI image layout: facts of manifests, referrers, closures, plans, findings.
//!
//! This crate decides and opens no file itself: it reads through [`ocistow_layout::Source`]. Everything it
//! answers is a plain value: a [`Graph`], a [`Plan`], a list of findings.
//!
//! ```
//! use ocistow_graph::{Graph, Load, Request, plan};
//! use ocistow_layout::Unwatched;
//!
//! let world = ocistow_testkit::draw(
//!     "image amd = base [linux/amd64]
//!      image arm = base [linux/arm64]
//!      index app:1.0 = amd, arm
//!      refer sig -> app : application/vnd.example.signature",
//! );
//! let graph = Graph::load(&world.memory, Load { threads: 2, scan_blobs: false }, &Unwatched)?;
//! // Who refers to the image?
//! assert_eq!(graph.referrers(&world.digest("app"))[0].referrer, world.digest("sig"));
//! // What would go into a bundle for one platform?
//! let request = Request { referrers: true, platforms: vec!["linux/amd64".parse()?], ..Request::default() };
//! let plan = plan::export(&graph, &world.memory, &request)?;
//! plan.verdict(false, false)?;
//! let carried: Vec<String> = plan.order().map(|blob| world.word(&blob.digest)).collect();
//! assert!(carried.contains(&"sig".to_owned()) && !carried.contains(&"arm".to_owned()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
pub mod bundle;
pub mod canvas;
mod closure;
pub mod convert;
pub mod diff;
pub mod docker;
pub mod du;
mod evidence;
pub mod facts;
mod findings;
pub mod fsck;
pub mod graph;
mod held;
pub mod import;
pub mod kept;
mod list;
pub mod listed;
pub mod listing;
pub mod made;
mod manifest;
mod merge;
pub mod near;
mod owners;
pub mod picture;
pub mod plan;
pub mod platform;
pub mod remove;
mod rename;
pub mod repair;
pub mod resolve;
mod support;
pub mod sweep;
pub mod tally;
mod whose;

pub use canvas::Canvas;
pub use closure::config_platform;
pub use convert::{Conversion, Family, convert};
pub use facts::{Facts, Form, ManifestKind, Part, Role};
pub use graph::{Dialect, Edge, Graph, Load, Node};
pub use import::{Import, Moved, import};
pub use kept::{Following, Keeper};
pub use list::MAX_TAKEN_OVER;
pub use listed::ReferrersAs;
pub use made::{Artifact, Made};
pub use manifest::Manifest;
pub use near::Reach;
pub use picture::Picture;
pub use plan::{Plan, Request};
pub use platform::Selector;
pub use resolve::{Asked, Target};
