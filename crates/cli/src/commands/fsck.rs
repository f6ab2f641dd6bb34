//! `fsck` checks everything, and mends from elsewhere what it can.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ocistow_graph::fsck::{Checked, Examination, Options, Problem, Report, Severity, Unread, examine};
use ocistow_graph::repair::{self, Remains, Tried};
use ocistow_layout::directory::Directory;
use ocistow_layout::lock::Held;
use ocistow_layout::salvage::{Salvaged, salvage};
use ocistow_layout::transaction::Transaction;
use ocistow_layout::{Digest, Error, Kind, Result, Source, Watch};
use serde::Serialize;

use super::at::{self, At};
use crate::code::Code;
use crate::location::{self, OnDisk};
use crate::look::Look;
use crate::meanwhile::Meanwhile;
use crate::shown::{bytes, shown};
use crate::speak::{Answer, Context};

/// Check a layout or archive: every file, every link, every byte; and mend a layout from others
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
        let (report, repaired) = match self.repair_from.is_empty() {
            true => (self.check(context, &location.path)?, Vec::new()),
            false => self.mend(context, &location.path)?,
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

    fn options(&self, context: &Context<'_>, archive: bool) -> Options {
        let threads = context.threads.get();
        Options { threads, archive, complete: self.complete, allow_missing: self.allow_missing }
    }

    /// Looks at everything, and changes nothing.
    fn check(&self, context: &Context<'_>, path: &Path) -> Result<Report> {
        let progress = context.progress("checking", None);
        let _held = at::hold(context, path, &progress)?;
        // What is odd about its marker is among the findings.
        let source = ocistow_layout::open(path, &progress)?;
        Ok(examine(&*source, self.options(context, !path.is_dir()), &progress)?.report())
    }

    /// Looks at everything, mends what can be mended, and tells how the layout is afterwards.
    fn mend(&self, context: &Context<'_>, path: &Path) -> Result<(Report, Vec<Digest>)> {
        drop(at::open_directory(context, path)?);
        let others = self.others(context, path)?;
        let progress = context.progress("checking and repairing", None);
        // Nothing is deleted from the layout from here on: a transaction holds it as a reader does.
        let mut transaction = Transaction::begin(path, context.writing(&progress))?;
        let layout = Directory::open(path)?;
        let mut examination = examine(&layout, self.options(context, false), &progress)?;
        let tried = stage(context, &examination, &layout, &others, &transaction, &progress)?;
        let staged = tried.order();
        if !staged.is_empty() {
            transaction.publish_blobs(&staged)?;
            // The blobs are those of the index.json that was examined, which others may have changed since.
            let index = examination.index().filter(|_| tried.changes_the_graph()).cloned();
            let as_it_was = index.map(|index| Meanwhile { index, made: Default::default(), under: Some(&layout) });
            let as_it_was = as_it_was.as_ref().map(|source| source as &dyn Source);
            examination.mended(&staged, as_it_was, &progress)?;
        }
        drop(transaction);
        let mut repaired: Vec<Digest> = staged.into_iter().map(|blob| blob.digest).collect();
        repaired.sort();
        Ok((examination.report(), repaired))
    }

    /// The locations to mend from, opened. Usage where one of them is the layout itself.
    fn others(&self, context: &Context<'_>, path: &Path) -> Result<Vec<Other>> {
        let mut others = Vec::new();
        for word in &self.repair_from {
            let other = location::parse_path(word, &OnDisk)?;
            if other.canonicalize().ok() == path.canonicalize().ok() {
                return Err(Error::new(Kind::Usage, format!("could not repair {} from itself", path.display())));
            }
            others.push(Other::open(context, other)?);
        }
        Ok(others)
    }
}

/// A location to mend from.
struct Other {
    source: Box<dyn Source>,
    /// Nothing is deleted from a directory while this is held.
    _held: Option<Held>,
}

impl Other {
    fn open(context: &Context<'_>, path: PathBuf) -> Result<Self> {
        let progress = context.progress("reading", None);
        let held = at::hold(context, &path, &progress)?;
        drop(progress);
        Ok(Self { source: at::open(context, &path)?, _held: held })
    }
}

/// Stages everything that the others have and the layout needs, and says what they have not.
fn stage(
    context: &Context<'_>,
    examination: &Examination,
    layout: &Directory,
    others: &[Other],
    transaction: &Transaction<'_>,
    watch: &dyn Watch,
) -> Result<Tried> {
    let sources: Vec<&dyn Source> = others.iter().map(|other| &*other.source).collect();
    let mut tried = Tried::default();
    let remains = loop {
        let repair = repair::plan(examination, layout, &sources, &tried, watch)?;
        tried.begin(&repair);
        if repair.is_empty() {
            break repair.remains;
        }
        for (place, (source, take)) in sources.iter().zip(&repair.take).enumerate() {
            let Salvaged { staged, refused, blocked } =
                salvage(*source, transaction, take, context.threads.get(), watch)?;
            staged.into_iter().for_each(|blob| tried.staged(blob));
            refused.into_iter().for_each(|(digest, why)| tried.refused(digest, place, why.chain()));
            blocked.into_iter().for_each(|(digest, why)| tried.blocked(digest, why.chain()));
        }
    };
    for ((digest, place), why) in tried.refusals() {
        context.warn(&format!("could not take {digest} from {}: {why}", sources[*place].location()));
    }
    let mut nowhere = 0;
    for (digest, why) in &remains {
        match why {
            Remains::Nowhere => nowhere += 1,
            // That was said above.
            Remains::Refused => {}
            Remains::Blocked(why) => context.warn(&format!("could not repair {digest}: {why}")),
            Remains::Unverifiable => context.warn(&format!(
                "could not repair {digest}: its algorithm is not known here, so nobody can tell the right one"
            )),
        }
    }
    if nowhere > 0 {
        let blobs = if nowhere == 1 { "1 blob that is".to_owned() } else { format!("{nowhere} blobs that are") };
        context.note(&format!("{blobs} missing or damaged cannot be found where --repair-from says"));
    }
    Ok(tried)
}

/// What was found.
#[derive(Debug, Serialize)]
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
        writeln!(out, "{verdict}: checked {manifests} manifests, {blobs} blobs, {}", bytes(all))
    }
}
