//! Draws OCI image layouts as text, for tests.
//!
//! A test says in a few lines what its world looks like, acts once, and compares with words:
//!
//! ```
//! use ocistow_testkit::draw;
//!
//! let world = draw(
//!     "image amd = base + tools [linux/amd64]
//!      image arm = base + tools [linux/arm64/v8]
//!      index app:1.0 = amd, arm
//!      refer sbom -> app : application/spdx+json
//!      refer sig -> sbom : application/x.sig {by=me}
//!      cosign amd.sig
//!      absent arm.config",
//! );
//! let index = world.index();
//! let entries: Vec<_> = index.descriptors().unwrap().iter().map(|entry| world.word(&entry.digest)).collect();
//! assert_eq!(entries, ["app", "sbom", "sig", "amd.sig"]);
//! assert!(world.memory.blobs.contains_key(&world.digest("base")));
//! assert!(!world.memory.blobs.contains_key(&world.digest("arm.config")));
//! ```
//!
//! The same text gives the same bytes, always. Text that cannot be drawn panics and names its line: a
//! mistake in a test is no finding.
//!
//! # The language
//!
//! One thing to a line; `#` starts a comment that takes the whole line. A NAME is the word by which the rest
//! of the drawing and the test call a thing; what is named must stand above. `:TAG` behind a name tags it
//! (any text without spaces, it goes into `org.opencontainers.image.ref.name` as it is).
//!
//! | line | what it draws |
//! |---|---|
//! | `layer NAME [SIZE] [: TYPE]` | a layer: a tar with the one file NAME of SIZE bytes; only needed where size or type matter |
//! | `file NAME [SIZE] [: TYPE]` | a blob that is no tar |
//! | `image NAME[:TAG] = LAYER + LAYER [os/arch/variant]` | an image manifest and its config `NAME.config`; without a platform its config says linux/amd64 and its index says nothing |
//! | `docker NAME[:TAG] = …`, `list NAME[:TAG] = …` | the same as `image` and `index` in Docker's media types |
//! | `index NAME[:TAG] = CHILD, CHILD` | an index |
//! | `artifact NAME[:TAG] [= FILE + FILE] : TYPE` | an artifact without a subject; without files it has one, `NAME.file` |
//! | `refer NAME[:TAG] -> SUBJECT [= FILE + FILE] : TYPE` | an artifact with a subject |
//! | `attest NAME -> IMAGE` | a BuildKit attestation, to be listed as a child of the index that holds IMAGE |
//! | `containerd NAME -> SUBJECT : TYPE` | an artifact whose subject only its entry of index.json knows |
//! | `cosign SUBJECT.sig` (`.att`, `.sbom`) | an artifact that only its tag `sha256-<hex>.sig` ties to its subject |
//! | `fallback SUBJECT = REFERRER, REFERRER` | the list of referrers `SUBJECT.fallback` under the fallback tag; those it lists are no entries; a second one is `SUBJECT.fallback.2` |
//! | `olareg SUBJECT = REFERRER, REFERRER` | the same as olareg writes it, `SUBJECT.olareg` |
//! | `ghost NAME [SIZE]` | a manifest that nobody has, to be pointed at |
//! | `tag NAME as TAG [in FULLNAME]` | one more tag; FULLNAME goes into `io.containerd.image.name` |
//! | `name NAME as FULLNAME` | an entry that has only `io.containerd.image.name` |
//! | `entry NAME` | an untagged entry for something that would have none |
//! | `hidden NAME` | no untagged entry: the manifest lies only in `blobs/` |
//! | `absent NAME` | the blob is not there |
//! | `damage NAME` | one bit of the blob is wrong |
//! | `cut NAME` | the blob's last byte is not there |
//!
//! `image`, `index` and the like also take `-> SUBJECT`, and `{key=value, key=value}` at the end of the line
//! as the manifest's annotations. `sha512` in front of a line names its manifest by sha512.
//!
//! A manifest without a tag gets an untagged entry of index.json, unless an index or a list above or below
//! holds it. Layers may be named where they are used; the layers of images are tars, those of artifacts are
//! not. Two images are never the same, whatever their layers: the config has the name in it.

pub mod crowd;
pub mod docker;
mod draw;
pub mod fixtures;
pub mod hostile;
pub mod medium;
pub mod odd;
mod source;
mod steps;
mod tar;
mod write;
mod xml;

pub use draw::{Drawing, draw};
pub use source::{OnePass, Unreadable};
pub use steps::world_of;
pub use write::{to_dir, to_tar};
pub use xml::{Element, elements};
