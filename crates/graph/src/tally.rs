//! Findings told one by one as long as they are few; of what is too much only the number is known.
//!
//! An enemy's index has a hundred thousand children that are not there, and each is a finding.

use std::collections::{BTreeMap, BTreeSet};

use crate::fsck::{Pointer, Problem, ProblemKind, Severity};

/// The most findings of one kind about what one manifest points to that are told one by one.
pub const MAX_TOLD_OF_ONE: u64 = 1_000;
/// The most findings of one kind that are told one by one.
pub const MAX_TOLD: u64 = 100_000;

/// Findings in the making.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    told: BTreeSet<Problem>,
    of_kind: BTreeMap<(ProblemKind, Severity), u64>,
    of_one: BTreeMap<(ProblemKind, Severity, Pointer), u64>,
}

impl Tally {
    /// Takes in a finding.
    pub fn enter(&mut self, problem: Problem) {
        let (kind, severity) = (problem.kind, problem.severity);
        let of_kind = self.of_kind.entry((kind, severity)).or_default();
        if *of_kind >= MAX_TOLD {
            *of_kind += 1;
            return;
        }
        // index.json is all of the layout: nothing else is drowned by what it points to.
        if let Some(from @ Pointer::Manifest(_)) = &problem.from {
            let of_one = self.of_one.entry((kind, severity, from.clone())).or_default();
            *of_one += 1;
            if *of_one > MAX_TOLD_OF_ONE {
                return;
            }
        }
        *of_kind += u64::from(self.told.insert(problem));
    }

    /// All findings in order: those that are told, and how many more there are.
    pub fn all(self) -> Vec<Problem> {
        let Self { mut told, of_kind, of_one } = self;
        let rest = |kind, severity, from: Option<Pointer>, more: u64| {
            let message = match &from {
                Some(_) => format!("{more} more like this are found in one manifest"),
                None => format!("{more} more like this are found"),
            };
            let message = message.into();
            Problem { kind, severity, digest: None, path: None, from, message, more: Some(more) }
        };
        let of_one = of_one.into_iter().filter(|(_, count)| *count > MAX_TOLD_OF_ONE);
        told.extend(of_one.map(|((kind, severity, from), n)| rest(kind, severity, Some(from), n - MAX_TOLD_OF_ONE)));
        let of_kind = of_kind.into_iter().filter(|(_, count)| *count > MAX_TOLD);
        told.extend(of_kind.map(|((kind, severity), n)| rest(kind, severity, None, n - MAX_TOLD)));
        told.into_iter().collect()
    }
}
