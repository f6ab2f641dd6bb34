//! How something is held by what points to it, which says what its absence means.

use crate::facts::{Part, Role};

/// How a descriptor is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// By index.json.
    Entry,
    /// By an index.
    Child,
    /// By a stored list of referrers, whose own finding says what is not there.
    Listed,
    /// By a manifest that needs it.
    Part,
    /// By a manifest that does not.
    Nondistributable,
}

impl Held {
    /// How a manifest, or a stored list, holds a part.
    pub fn part(part: &Part, is_list: bool) -> Self {
        match part.role {
            Role::Child if is_list => Self::Listed,
            Role::Child => Self::Child,
            _ if part.is_nondistributable() => Self::Nondistributable,
            _ => Self::Part,
        }
    }

    /// Whether what is so held is brought where it is absent: what an index or a list names only into a layout that is
    /// to be complete.
    pub fn brings(self, complete: bool) -> bool {
        match self {
            Self::Entry | Self::Part => true,
            Self::Child | Self::Listed => complete,
            Self::Nondistributable => false,
        }
    }
}
