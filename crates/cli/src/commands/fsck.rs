//! `fsck` checks everything.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use ocistow_graph::fsck::{Checked, Options, Problem, Report, Severity, Unread, examine};
use ocistow_layout::directory::is_directory;
use ocistow_layout::{Digest, Error, Kind, Result, open_preferring};
use serde::Serialize;

use super::at::{self, At};
use crate::code::Code;
use crate::location::Location;
use crate::look::Look;
use crate::mending::mend;
use crate::shown::{bytes, many, shown};
use crate::speak::{Answer, Context};

/// Check a layout or archive: every file, every link, every byte; and mend a layout from others
///
/// Of one kind, the first thousand findings about what one manifest points to are told one by one, and of all the first
/// hundred thousand; of the rest it tells how many there are, in JSON as `more`.
///
/// With --repair-from, what is missing or damaged is taken from other layouts or archives, checked, and what they need
/// in turn; index.json stays as it is, and so does everything that is right. Platforms of an index that are not there,
/// and referrers that only a list names, are brought with --complete only. What is said and how it ends is then about
/// the layout as it is afterwards.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow fsck ./store
  ocistow fsck app.tar --complete
  ocistow fsck ./store --repair-from backup.tar.zst --repair-from ./other
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
    /// Take what is missing or damaged from another layout or archive; repeat for more, the first that has it gives it
    #[arg(long, value_name = "LOC")]
    pub repair_from: Vec<OsString>,
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
        let examined = match self.repair_from.is_empty() {
            true => self.check(context, &location).map(|report| (report, Vec::new())),
            false => mend(context, &location.path, &self.repair_from, self.options(context, &location.path)?),
        };
        let (report, repaired) = match examined {
            Ok(examined) => examined,
            // What is so wrong that nobody can look into it is not all right.
            Err(why) if why.kind() == Kind::Integrity => {
                context.answer_failed(&Findings::default(), &why)?;
                return Err(why);
            }
            Err(why) => return Err(why),
        };
        let (ok, verdict) = (report.ok(), report.verdict());
        let Report { checked, problems, unread } = report;
        let findings = Findings { ok, checked, problems, unread, repaired };
        match verdict {
            Ok(()) => context.answer(&findings).map(|()| Code::Done),
            Err(why) => {
                context.answer_failed(&findings, &why)?;
                Err(why)
            }
        }
    }

    /// Looks at everything, and changes nothing.
    fn check(&self, context: &Context<'_>, location: &Location) -> Result<Report> {
        let path = &location.path;
        let progress = context.progress("checking", None);
        let _held = at::hold(context, path, &progress)?;
        // What is odd about its marker is among the findings.
        let source = open_preferring(location.prefer, path, &progress)?;
        Ok(examine(&*source, self.options(context, path)?, &progress)?.report())
    }

    fn options(&self, context: &Context<'_>, path: &Path) -> Result<Options> {
        Ok(Options {
            threads: context.threads.get(),
            archive: !is_directory(path)?,
            complete: self.complete,
            allow_missing: self.allow_missing,
        })
    }
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Findings {
    ok: bool,
    checked: Checked,
    problems: Vec<Problem>,
    unread: Vec<Unread>,
    repaired: Vec<Digest>,
}

impl Answer for Findings {
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        for digest in &self.repaired {
            writeln!(out, "repaired: {digest}")?;
        }
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
        let (manifests, blobs) = (many(manifests, "manifest"), many(blobs, "blob"));
        writeln!(out, "{verdict}: checked {manifests}, {blobs}, {}", bytes(all))
    }
}
