//! OCI image layouts on disk, in archives and in memory.
//!
//! This crate acts: it is the only one that opens a layout's files. It reads every byte through one
//! checked reader ([`checked`]), writes to directories by a [`transaction`] that leaves the old state or
//! the new one, and edits `index.json` as text ([`edit`]), so that what nobody touched keeps its bytes.
//! What points at what is decided elsewhere, in `ocistow-graph`.
//!
//! ```
//! use ocistow_layout::transaction::{Options, Transaction};
//! use ocistow_layout::{Blob, Content, Descriptor, Digest, Source, edit::Edit};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("app");
//! // Write a blob and give it a name…
//! let hello = Blob { digest: Digest::of(b"hello"), size: 5 };
//! let mut transaction = Transaction::begin(&path, Options::default())?;
//! transaction.put(&hello, Content::Bytes(b"hello"))?;
//! let entry = Descriptor::new("text/plain", hello.digest.clone(), hello.size);
//! transaction.publish(&[hello], &[Edit::Name { entry: Box::new(entry), reference: "v1".into() }])?;
//!
//! // …and read it back, verified.
//! let layout = ocistow_layout::open(&path, &ocistow_layout::Unwatched)?;
//! let index = layout.index()?;
//! let digest = &index.descriptors()?[0].digest;
//! assert_eq!(ocistow_layout::checked::read(&*layout, digest, 100)?.as_deref(), Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
pub mod annotations;
pub mod archive;
pub mod cabinet;
pub mod carry;
pub mod checked;
pub mod deletion;
pub mod descriptor;
pub mod digest;
pub mod directory;
pub mod edit;
pub mod error;
pub mod holdings;
pub mod index;
pub mod json;
pub mod lock;
pub mod media_type;
pub mod medium;
pub mod memory;
pub mod name;
#[cfg(feature = "oci-spec")]
pub mod oci;
pub mod output;
pub mod pack;
mod pieces;
mod place;
pub mod salvage;
pub mod sieve;
pub mod sizes;
pub mod source;
pub mod spread;
mod staged;
pub mod stamp;
mod steady;
mod stray;
pub mod threads;
pub mod title;
pub mod transaction;
mod twin;
mod writeback;

use std::path::Path;

pub use carry::carry;
pub use descriptor::{Descriptor, Platform};
pub use digest::{Digest, Hasher};
pub use error::{Error, Kind, Result};
pub use index::IndexFile;
pub use pieces::pieces;
pub use source::{
    Access, Blob, Content, Count, Done, Found, IndexChange, Marker, Outline, Sink, Source, Unwatched, Watch, Writing,
};

/// Opens the layout at `path`, a directory or an archive; what it is is told from the content, never from
/// the name. A docker archive that holds no layout is opened as if it did
/// ([`DockerArchive`](archive::DockerArchive)). NotFound where there is none. Opening a compressed archive reads
/// all of it, watched.
pub fn open(path: &Path, watch: &dyn Watch) -> Result<Box<dyn Source>> {
    open_preferring(Prefer::Layout, path, watch)
}

/// Which of the two is read of an archive that holds a layout and Docker's manifest.json (ARCHIVE-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// The layout.
    Layout,
    /// What manifest.json lists.
    Docker,
}

/// The same as [`open`], for whoever prefers one of the two.
pub fn open_preferring(prefer: Prefer, path: &Path, watch: &dyn Watch) -> Result<Box<dyn Source>> {
    let meta = std::fs::metadata(path).map_err(|why| Error::io("open", path, why))?;
    if meta.is_dir() {
        return Ok(Box::new(directory::Directory::open(path)?));
    }
    let archive = archive::Archive::watched(path, watch)?;
    if prefer == Prefer::Docker && archive.lists_for_docker() || archive.holds_docker()? {
        return Ok(Box::new(archive::DockerArchive::of(archive, watch)?));
    }
    archive.holds_layout()?;
    Ok(Box::new(archive))
}
