//! `fsck` checks everything.

use std::io::{self, Write};

use ocistow_graph::fsck::{Checked, Options, Problem, Report, Severity, Unread, examine};
use ocistow_layout::{Error, Kind, Result};
use serde::Serialize;

use super::at::{self, At};
use crate::code::Code;
use crate::look::Look;
use crate::shown::{bytes, shown};
use crate::speak::{Answer, Context};

/// Check a layout or archive: every file, every link, every byte
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow fsck ./store
  ocistow fsck app.tar --complete
  ocistow fsck ./store --format json | jq '.problems[] | select(.severity == \"error\")'")]
pub struct Args {
    /// The layout or archive.
    #[command(flatten)]
    pub at: At,
    /// Take platforms of an index that are not there as missing (5)
    #[arg(long)]
    pub complete: bool,
    /// Take missing content as a warning
    #[arg(long)]
    pub allow_missing: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    ok: bool,
    checked: Checked,
    problems: Vec<Problem>,
    unread: Vec<Unread>,
    repaired: [(); 0],
}

impl Answer for Findings {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        for problem in &self.problems {
            let kind = serde_json::to_value(problem.kind)?;
            let kind = kind.as_str().unwrap_or_default();
            let severity = match problem.severity {
                Severity::Error => look.bold("error"),
                Severity::Warning => "warning".to_owned(),
            };
            let digest = problem.digest.as_ref().map(ToString::to_string);
            // Many messages name the blob themselves.
            let named = digest.as_ref().is_some_and(|digest| problem.message.contains(digest.as_str()));
            let what = problem.path.as_deref().or(digest.as_deref()).filter(|_| !named);
            let what = what.map_or_else(String::new, |what| format!("{what}: "));
            let from = problem.from.as_ref().map_or_else(String::new, |from| format!(" (from {from})"));
            writeln!(out, "{severity}: {kind}: {}{}{}", shown(&what), shown(&problem.message), shown(&from))?;
        }
        for Unread { path, message } in &self.unread {
            writeln!(out, "{}: {}: {}", look.bold("unread"), shown(path), shown(message))?;
        }
        let Checked { manifests, blobs, bytes: all } = self.checked;
        let verdict = if self.ok { "ok" } else { "not ok" };
        writeln!(out, "{verdict}: checked {manifests} manifests, {blobs} blobs, {}", bytes(all))
    }
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let location = self.at.read()?;
        if !location.pick.is_empty() {
            return Err(Error::new(Kind::Usage, "could not check one reference")
                .because("fsck checks all of a layout")
                .hint(format!("write ocistow fsck {}", location.path.display())));
        }
        let progress = context.progress("checking", None);
        let archive = !location.path.is_dir();
        let _held = at::hold(context, &location.path, &progress)?;
        // What is odd about its marker is among the findings.
        let source = ocistow_layout::open(&location.path, &progress)?;
        let threads = context.threads.get();
        let options = Options { threads, archive, complete: self.complete, allow_missing: self.allow_missing };
        let report = examine(&*source, options, &progress)?.report();
        drop(progress);
        let verdict = report.verdict();
        let ok = report.ok();
        let Report { checked, problems, unread } = report;
        let findings = Findings { ok, checked, problems, unread, repaired: [] };
        match verdict {
            Ok(()) => context.answer(&findings).map(|()| Code::Done),
            Err(why) => {
                context.answer_failed(&findings, &why)?;
                Err(why)
            }
        }
    }
}
