//! A manifest as it was found, or why it is of no use.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use ocistow_layout::json::JsonError;
use ocistow_layout::{Digest, Error, Kind, Result};

use crate::facts::Facts;
use crate::manifest::Manifest;

/// Manifests as they were found.
pub(crate) type Nodes = HashMap<Digest, Node>;

/// A manifest as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Read and checked.
    Present(Box<Manifest>),
    /// Not in the source.
    Absent,
    /// There, but wrong or unreadable. Whoever needs it fails, others go on.
    Broken(Broken),
}

/// What the medium did not give, and why. Nobody knows what it is, what it needs and what it refers to: whatever is said
/// of the rest may lack something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread(pub BTreeMap<Digest, String>);

impl Unread {
    /// Failed where there is any.
    pub fn verdict(&self) -> Result<()> {
        let Some((digest, why)) = self.0.first_key_value() else { return Ok(()) };
        let what = format!("could not read all of it: manifest {digest}{}", more(self.0.len() - 1));
        Err(Error::new(Kind::Failed, what).because(why.clone()))
    }
}

/// How many there are besides.
pub(crate) fn more(count: usize) -> String {
    if count > 0 { format!(" and {count} more") } else { String::new() }
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// Its bytes are not those its digest or size promise.
    Damaged(String),
    /// The medium did not give its bytes: nobody knows whether they are right.
    Unread(String),
    /// Its bytes are right, but are no manifest, or too many to be one (MANIFEST-21).
    Malformed(String),
    /// Its bytes are right, but JSON nested too deeply to be read (MANIFEST-21).
    TooDeep,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) | Self::Unread(why) | Self::Malformed(why) => f.write_str(why),
            Self::TooDeep => JsonError::Depth.fmt(f),
        }
    }
}

impl From<Error> for Broken {
    /// Why content that was to be read is of no use.
    fn from(why: Error) -> Self {
        match why.kind() {
            Kind::Integrity => Self::Damaged(why.chain()),
            _ => Self::Unread(why.chain()),
        }
    }
}

impl Broken {
    /// Whether the bytes themselves are amiss, rather than what they say.
    pub fn is_about_bytes(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Unread(_))
    }

    /// What it is to whoever needs the content: trouble of the medium is no finding about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unread(_) => Kind::Failed,
            _ => Kind::Integrity,
        }
    }
}

impl Node {
    /// The facts, or why there are none: as [`manifest`](Self::manifest).
    pub fn facts(&self, digest: &Digest) -> Result<Facts> {
        self.manifest(digest).map(Manifest::facts)
    }

    /// The manifest, or why there is none: Incomplete, Integrity, or Failed where the medium did not give it.
    pub fn manifest(&self, digest: &Digest) -> Result<&Manifest> {
        let what = || format!("could not read manifest {digest}");
        match self {
            Self::Present(manifest) => Ok(manifest),
            Self::Absent => Err(Error::new(Kind::Incomplete, what()).because("it is missing")),
            Self::Broken(why) => Err(Error::new(why.kind(), what()).because(why.to_string())),
        }
    }
}
