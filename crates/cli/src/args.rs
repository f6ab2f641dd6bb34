//! The words of the command line: global flags, and what is said when words make no sense.

use std::ffi::OsString;
use std::io::Write;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use ocistow_layout::{Error, Kind};

use crate::code::Code;
use crate::commands::Command;
use crate::speak::Context;
use crate::world::World;

/// A local OCI image-layout store and toolkit that works offline.
///
/// Carries container images, Helm charts, SBOMs, signatures and any other OCI artifact across
/// disconnected networks, looks into layouts and archives on disk, and loses nothing on the way: what
/// refers to an image goes along, and every byte is checked.
///
/// A location LOC is PATH, PATH:REF, PATH@DIGEST or PATH:REF@DIGEST, where PATH is a layout directory or an
/// archive of one (tar, tar.gz, tar.zst).
#[derive(Debug, Parser)]
#[command(
    name = "ocistow",
    bin_name = "ocistow",
    version,
    propagate_version = false,
    styles = STYLES,
    after_help = EXAMPLES
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
EXAMPLES:
  Carry an image with everything that refers to it across a gap:
    ocistow export ./store:app -o app.tar
    ocistow import app.tar ./there

  Look into an archive without unpacking it:
    ocistow ls app.tar
    ocistow discover app.tar:app

  Check that everything arrived:
    ocistow fsck ./there

  Make artifacts of files, and something that refers to them:
    ocistow push ./store:report report.pdf:application/pdf
    ocistow attach ./store:report --artifact-type application/spdx+json sbom.json

EXIT CODES:
  0 done   1 failed   2 usage   3 not found   4 integrity   5 incomplete   7 different
  130 interrupted";

/// Flags that every command takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// In which form the answer is printed: text, json; tree for discover; dot, mermaid, svg or html for graph
    #[arg(long, global = true, value_enum, hide_possible_values = true, default_value_t = Format::Text, value_name = "FORMAT")]
    pub format: Format,
    /// Print only the result digest, or nothing
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Tell more; repeat for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// When to use colours: auto, always or never; NO_COLOR is honoured
    #[arg(long, global = true, value_enum, hide_possible_values = true, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
    /// When to show progress on stderr: auto (on a terminal, for work longer than a second), always or never
    #[arg(long, global = true, value_enum, hide_possible_values = true, default_value_t = When::Auto, value_name = "WHEN")]
    pub progress: When,
    /// How many threads may work [default: all cores]; never changes any output
    #[arg(long, global = true, value_name = "N", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
    /// How long to wait for another process, as 10s or 2m [default: as long as it takes]
    #[arg(long, global = true, value_name = "DURATION", value_parser = crate::duration::parse)]
    pub lock_timeout: Option<Duration>,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs: exactly one document
    Json,
    /// For people, as a tree; only where there is one
    Tree,
    /// For graphviz; only of a graph, as what follows
    Dot,
    /// For mermaid
    Mermaid,
    /// A picture
    Svg,
    /// A page that stands alone
    Html,
}

/// When to do something that depends on who is watching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// When a person watches
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Reads how many threads may work.
fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let number: usize = text.parse().map_err(|why| format!("{why}"))?;
    NonZeroUsize::new(number).ok_or_else(|| "at least one is needed".to_owned())
}

/// Reads the words. On `Err` everything there is to say was said: help and version with
/// [`Code::Done`], a usage error otherwise.
pub(crate) fn parse(words: &[OsString], world: &World) -> Result<Cli, Code> {
    let read = Cli::command().try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches));
    read.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let color = colored(words, world);
            let rendered = error.render();
            let text = if color { rendered.ansi().to_string() } else { rendered.to_string() };
            match (&world.out).write_all(text.as_bytes()) {
                Err(_) if !world.out.closed() => Code::Failed,
                _ => Code::Done,
            }
        }
        _ => Context::new(world, &glimpse(words)).fail(&usage(&error)),
    })
}

/// The usage error, in our own form.
fn usage(error: &clap::Error) -> Error {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        || error.kind() == ErrorKind::MissingSubcommand
    {
        return Error::new(Kind::Usage, "no command was given").hint("ocistow --help lists the commands");
    }
    let rendered = error.render().to_string();
    // clap says "error: what", then, paragraph by paragraph, tips and how it is used.
    let first = rendered.split("\n\n").next().unwrap_or_default();
    let what = first.strip_prefix("error: ").unwrap_or(first);
    let what = what.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let suggested = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .iter()
        .find_map(|kind| match error.get(*kind)? {
            ContextValue::String(text) => Some(text.clone()),
            ContextValue::Strings(texts) => texts.first().cloned(),
            _ => None,
        });
    let hint = match suggested {
        Some(word) => format!("did you mean {word}? --help shows what there is"),
        None => "--help shows how it is used, with examples".to_owned(),
    };
    Error::new(Kind::Usage, what).hint(hint)
}

/// The global flags as far as they can be told from words that make no sense as a whole: an error has to
/// come in the form that was asked for.
fn glimpse(words: &[OsString]) -> Global {
    let color = match value_of(words, "--color").as_deref() {
        Some("always") => When::Always,
        Some("never") => When::Never,
        _ => When::Auto,
    };
    let format = if value_of(words, "--format").as_deref() == Some("json") { Format::Json } else { Format::Text };
    Global { format, quiet: false, verbose: 0, color, progress: When::Never, threads: None, lock_timeout: None }
}

fn value_of(words: &[OsString], flag: &str) -> Option<String> {
    let mut words = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
    let mut found = None;
    while let Some(word) = words.next() {
        if word == flag {
            found = words.next().map(str::to_owned);
        } else if let Some(value) = word.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')) {
            found = Some(value.to_owned());
        }
    }
    found
}

fn colored(words: &[OsString], world: &World) -> bool {
    match glimpse(words).color {
        When::Always => true,
        When::Never => false,
        When::Auto => world.out.terminal && !world.no_color,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_declared_soundly() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("EXAMPLES:"), "{} has no examples", command.get_name());
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
        }
    }
}
