//! `copy` carries one reference between two locations.

use std::ffi::OsString;
use std::path::PathBuf;

use ocistow_graph::listed::record;
use ocistow_layout::name::Pair;
use ocistow_layout::{Error, Kind, Result};

use super::along::Along;
use super::export::moved;
use super::{at, tag};
use crate::code::Code;
use crate::destination::{Cargo, Destination, Manner, write};
use crate::entering::Entered;
use crate::location::Location;
use crate::outgoing::{Outgoing, outgoing};
use crate::placed::Placed;
use crate::shown::{bytes, many};
use crate::speak::Context;

/// Copy one reference, and what goes along, from one location to another
///
/// A destination without a reference keeps the name. What is written is told by its name, as with export;
/// nothing is ever added to an archive that is there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow copy ./store:app ./other
  ocistow copy app.tar:app ./store:app-new
  ocistow copy ./store:app app.tar.gz --platform linux/arm64
  ocistow copy ./store:app ./other --link")]
pub struct Args {
    /// What is copied: PATH, PATH:REF, PATH@DIGEST or PATH:REF@DIGEST
    #[arg(value_name = "SRC")]
    source: OsString,
    /// Where to: PATH or PATH:REF
    #[arg(value_name = "DST")]
    target: OsString,
    /// Take PATH as the source as it is, whatever it contains, and SRC as a reference in it
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
    /// Take PATH as the destination as it is, and DST as a reference in it
    #[arg(long, value_name = "PATH")]
    to_path: Option<PathBuf>,
    /// What goes along.
    #[command(flatten)]
    pub along: Along,
    /// How it is written.
    #[command(flatten)]
    pub manner: Manner,
}

impl Args {
    /// Where from and where to. Usage where the destination is picked by digest or place.
    pub fn read(&self) -> Result<(Location, Location)> {
        let source = at::read(Some(&self.source), self.path.as_deref())?;
        let target = at::read(Some(&self.target), self.to_path.as_deref())?;
        if target.pick.digest.is_some() || target.pick.nth.is_some() {
            return Err(Error::new(Kind::Usage, format!("could not copy to {}", target.path.display()))
                .because("a destination has a name, not a digest or a place"));
        }
        Ok((source, target))
    }

    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let (from, to) = self.read()?;
        to.pick.reference.as_deref().map(|name| tag::judge(context, name)).transpose()?;
        let destination = Destination::at(to.path.clone(), self.manner.compress)?;
        let mut outgoing = outgoing(context, &from, &[at::asked(&from.pick)], &self.along, None)?;
        destination.check(&*outgoing.source, self.manner)?;
        destination.warn(context)?;
        record(&mut outgoing.plan, &outgoing.graph, &*outgoing.source, self.manner.referrers_as.into());
        let root = outgoing.targets.first().expect("a copy has one target").descriptor.digest.clone();
        let mut renames = Vec::new();
        if let Some(reference) = &to.pick.reference {
            outgoing.plan.name_root(&root, &Pair::written(reference));
            renames.push((reference.clone(), reference.clone()));
        }
        let Outgoing { source, graph, plan, held, .. } = &outgoing;
        let (members, held) = (Vec::new(), held.as_ref());
        let cargo = Cargo { source: &**source, graph, plan, members, renames, held, root: Some(&root) };
        if let Err(why) = self.along.judge(context, plan) {
            context.answer_failed(&copied(&to, &outgoing, &cargo.alone(), "would copy"), &why)?;
            return Err(why);
        }
        let written = write(context, &cargo, &destination, self.manner)?;
        moved(context, &written.moved);
        context.answer(&copied(&to, &outgoing, &written.entered, "copied"))?;
        Ok(Code::Done)
    }
}

/// What was copied, as the target has it, or would be: `verb` says which.
fn copied(to: &Location, outgoing: &Outgoing, entered: &Entered, verb: &str) -> Placed {
    let Outgoing { graph, plan, targets, source, .. } = outgoing;
    let target = &targets.first().expect("a copy has one target").descriptor;
    let pair = to.pick.reference.as_deref().map_or_else(|| Pair::of(target), Pair::written);
    let entry = entered.called(&pair).unwrap_or(target);
    let count = plan.count();
    let told = format!("{verb} {}, {}", many(count.blobs, "blob"), bytes(count.bytes));
    let facts = graph.facts(&target.digest);
    Placed::of(&to.path, entry, facts.as_ref(), Some(&**source), entered.tags(), told)
}
