//! `completions` prints a script for a shell.

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use ocistow_layout::Result;

use crate::code::Code;
use crate::speak::Context;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow completions bash > ~/.local/share/bash-completion/completions/ocistow
  ocistow completions fish > ~/.config/fish/completions/ocistow.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        context.only_bytes("completions")?;
        let mut script = Vec::new();
        generate(self.shell, &mut crate::args::Cli::command(), "ocistow", &mut script);
        context.content_of(|out| out.write_all(&script))?;
        Ok(Code::Done)
    }
}
