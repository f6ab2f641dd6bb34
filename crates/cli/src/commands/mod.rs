//! The commands, one file each: its arguments and its `run`.

use ocistow_layout::Result;

use crate::code::Code;
use crate::speak::Context;

pub mod along;
pub mod at;
pub mod completions;
pub mod copy;
pub mod export;
pub mod fsck;
pub mod import;
pub mod plan;

macro_rules! commands {
    ($($(#[doc = $doc:literal])* $name:ident($module:ident)),* $(,)?) => {
        /// Every command there is.
        #[derive(Debug, clap::Subcommand)]
        pub enum Command {
            $($(#[doc = $doc])* $name($module::Args),)*
        }

        impl Command {
            /// Runs it.
            pub fn run(&self, context: &Context<'_>) -> Result<Code> {
                match self {
                    $(Self::$name(args) => args.run(context),)*
                }
            }
        }
    };
}
