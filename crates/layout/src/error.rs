//! What went wrong, in words a user can act on, and of which kind it is.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure this is; the command line turns each into one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// I/O, permission, or refused because it would break something.
    Failed,
    /// The caller asked for something that cannot be meant: bad or ambiguous words.
    Usage,
    /// The thing asked for is not there.
    NotFound,
    /// Content is not what its digest, its size or the specifications say.
    Integrity,
    /// Content that is required is missing.
    Incomplete,
    /// Somebody else changed what this was decided on: decide again.
    Conflict,
    /// Stopped because the caller asked for it.
    Interrupted,
}

/// A failure: what could not be done to what, and why.
///
/// `Display` gives the first half; the cause is the [`source`](StdError::source) and is never
/// repeated in the first half.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    hint: Option<String>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    /// Whether it is about content and does not say where that lies.
    anywhere: bool,
}

impl Error {
    /// Makes a failure of `kind` from a sentence such as "could not read blob sha256:…".
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: None, cause: None, anywhere: false }
    }

    /// Makes an I/O failure: "could not `act` `path`", of kind [`Kind::Failed`], or
    /// [`Kind::NotFound`] where the path does not exist.
    pub fn io(act: &str, path: impl AsRef<Path>, cause: io::Error) -> Self {
        let kind = match cause.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Failed,
        };
        Self::new(kind, format!("could not {act} {}", path.as_ref().display())).because(cause)
    }

    /// What work ends with that was asked to stop: see [`Watch::go_on`](crate::Watch::go_on).
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// Adds the cause.
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what the user can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure of content, which does not say where that lies: whoever knows says it with [`Error::found_in`].
    pub(crate) fn anywhere(mut self) -> Self {
        self.anywhere = true;
        self
    }

    /// Says where the content lies that a failure is about, where that was not said: "could not read `location`: …".
    pub fn found_in(self, location: &str) -> Self {
        if !self.anywhere {
            return self;
        }
        let hint = self.hint.clone();
        Self { hint, ..Self::new(self.kind, format!("could not read {location}")).because(self) }
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the user can do about it, if anything is known.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The same failure, of another kind.
    pub fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The sentence with every cause behind it: "what: why: why".
    pub fn chain(&self) -> String {
        let mut text = self.what.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
