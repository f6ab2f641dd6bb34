//! Conversions to and from the types of the `oci-spec` crate, which others pass around.
//!
//! Only for handing values over: those types drop unknown members and keep annotations in no order, so
//! nothing of theirs is ever written under a digest.
//!
//! ```
//! use ocistow_layout::{Descriptor, Digest};
//!
//! let ours = Descriptor::new("application/vnd.oci.empty.v1+json", Digest::of(b"{}"), 2);
//! let theirs = oci_spec::image::Descriptor::try_from(&ours)?;
//! assert_eq!(theirs.size(), 2);
//! assert_eq!(Descriptor::try_from(&theirs)?, ours);
//! # Ok::<(), ocistow_layout::Error>(())
//! ```

use oci_spec::image;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};

fn unlike(what: &str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Integrity, format!("could not convert {what}")).because(why)
}

impl TryFrom<&Descriptor> for image::Descriptor {
    type Error = Error;

    /// Integrity where that crate cannot express the descriptor. Unknown members are lost.
    fn try_from(ours: &Descriptor) -> Result<Self> {
        serde_json::from_str(ours.text()).map_err(|why| unlike("a descriptor", why))
    }
}

impl TryFrom<&image::Descriptor> for Descriptor {
    type Error = Error;

    /// Integrity where the descriptor breaks the specification in a way that crate lets pass.
    fn try_from(theirs: &image::Descriptor) -> Result<Self> {
        let text = serde_json::to_string(theirs).map_err(|why| unlike("a descriptor", why))?;
        Self::parse(&text).map_err(|why| unlike("a descriptor", why))
    }
}

impl TryFrom<&Digest> for image::Digest {
    type Error = Error;

    /// Integrity where that crate takes no such digest.
    fn try_from(ours: &Digest) -> Result<Self> {
        ours.to_string().parse().map_err(|why: oci_spec::OciSpecError| unlike("a digest", why))
    }
}

impl TryFrom<&image::Digest> for Digest {
    type Error = Error;

    /// Integrity where the digest breaks the specification in a way that crate lets pass.
    fn try_from(theirs: &image::Digest) -> Result<Self> {
        theirs.to_string().parse().map_err(|why: crate::digest::DigestError| unlike("a digest", why))
    }
}
