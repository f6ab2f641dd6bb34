//! `plan` tells what `export` would carry.

use std::ffi::OsString;

use ocistow_layout::Result;

use super::export::Bundle;
use crate::carried::Carried;
use crate::code::Code;
use crate::speak::Context;

/// Tell what export would carry; nothing is written
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow plan ./store:app
  ocistow plan ./store:app --platform linux/arm64 --format json
  ocistow plan ./store:app --no-referrers -q")]
pub struct Args {
    /// What goes into the bundle.
    #[command(flatten)]
    pub bundle: Bundle,
    /// Where export would write to
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub output: Option<OsString>,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let outgoing = self.bundle.gather(context)?;
        self.bundle.members(context, &outgoing)?;
        let bundle = Some(outgoing.plan.bundle());
        let answer = Carried::of(&outgoing, &self.bundle.along, bundle, "would carry");
        match self.bundle.along.judge(context, &outgoing.plan) {
            Ok(()) => context.answer(&answer).map(|()| Code::Done),
            Err(why) => {
                context.answer_failed(&answer, &why)?;
                Err(why)
            }
        }
    }
}
