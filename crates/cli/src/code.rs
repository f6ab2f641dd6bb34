//! Exit codes: what a script learns from how a command ended.

use ocistow_layout::Kind;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Done, or the answer is yes.
    Done = 0,
    /// I/O, permission, or refused because it would break something.
    Failed = 1,
    /// Bad flag, bad or ambiguous reference.
    Usage = 2,
    /// No such layout, tag, digest or file.
    NotFound = 3,
    /// Content is not what it has to be.
    Integrity = 4,
    /// Content that is required is missing.
    Incomplete = 5,
    /// Accepted, not whole yet.
    Partial = 6,
    /// Compared, and different.
    Differs = 7,
    /// Stopped from outside.
    Interrupted = 130,
}

impl Code {
    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Integrity => "integrity",
            Self::Incomplete => "incomplete",
            Self::Partial => "partial",
            Self::Differs => "differs",
            Self::Interrupted => "interrupted",
        }
    }

    /// The number for it.
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl From<Kind> for Code {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Failed | Kind::Conflict => Self::Failed,
            Kind::Usage => Self::Usage,
            Kind::NotFound => Self::NotFound,
            Kind::Integrity => Self::Integrity,
            Kind::Incomplete => Self::Incomplete,
            Kind::Interrupted => Self::Interrupted,
        }
    }
}
