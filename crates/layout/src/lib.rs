//! OCI image layouts on disk, in archives and in memory.
pub mod archive;
pub mod checked;
pub mod descriptor;
pub mod digest;
pub mod edit;
pub mod error;
pub mod index;
pub mod json;
pub mod memory;
pub mod name;
pub mod source;
pub mod stray;

pub use descriptor::{Descriptor, Platform};
pub use digest::{Digest, Hasher};
pub use error::{Error, Kind, Result};
pub use index::IndexFile;
pub use source::{
    Access, Blob, Content, Count, Done, Found, IndexChange, Marker, Outline, Sink, Source, Unwatched, Watch, Writing,
};
