//! `man` writes manual pages.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use ocistow_layout::{Error, Result};
use serde::Serialize;

use crate::args::Cli;
use crate::code::Code;
use crate::document::{Paper, put};
use crate::look::Look;
use crate::speak::{Answer, Context};

/// Print the manual page, or write the pages of all commands to a directory
///
/// The same version gives the same pages. Pages that are there are replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  ocistow man | man -l -
  ocistow man ~/.local/share/man/man1 && man ocistow-export")]
pub struct Args {
    /// The directory, as man1 of a manual; its parent has to exist
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

#[derive(Serialize)]
struct Written {
    location: String,
    pages: Vec<String>,
}

impl Answer for Written {
    fn text(&self, out: &mut dyn Write, _look: Look) -> io::Result<()> {
        writeln!(out, "wrote {} pages to {}", self.pages.len(), self.location)
    }
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let pages = pages();
        let Some(directory) = &self.directory else {
            context.only_bytes("man")?;
            let (_, own) = pages.first().expect("the program has a page");
            context.content_of(|out| out.write_all(own.as_bytes()))?;
            return Ok(Code::Done);
        };
        make(context, directory)?;
        for (name, page) in &pages {
            put(context, &Paper::File(directory.join(name)), true, |out| out.write_all(page.as_bytes()))?;
        }
        let pages = pages.into_iter().map(|(name, _)| name).collect();
        context.answer(&Written { location: directory.display().to_string(), pages })?;
        Ok(Code::Done)
    }
}

/// Makes the directory where there is none.
fn make(context: &Context<'_>, directory: &Path) -> Result<()> {
    match context.world.medium.make_dir(directory) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => Err(Error::io("make", directory, why)),
        _ => Ok(()),
    }
}

/// The pages of the program and of all commands, by the names of their files; its own first.
fn pages() -> Vec<(String, String)> {
    let mut program = Cli::command();
    program.build();
    let mut pages = Vec::new();
    let mut stack = vec![&program];
    while let Some(command) = stack.pop() {
        pages.push(page(command));
        // `help` says what the other pages do.
        let own = |below: &&Command| !below.is_hide_set() && below.get_name() != "help";
        let below: Vec<&Command> = command.get_subcommands().filter(own).collect();
        stack.extend(below.into_iter().rev());
    }
    pages
}

/// The page of a command, and the name of its file.
fn page(command: &Command) -> (String, String) {
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    // It would be filled like a text.
    let man = Man::new(command.clone().after_help(None::<&str>));
    // Nothing says when, and a date that is empty would not even be a word.
    let man = man.date("\"\"").source(concat!("ocistow ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render(&mut page).expect("memory takes what is written to it");
    let mut page = String::from_utf8(page).expect("it is made of text");
    for line in examples.lines() {
        match line.strip_suffix(':').filter(|line| !line.starts_with(' ')) {
            Some(heading) => page.push_str(&format!(".SH {heading}\n.nf\n")),
            None => page.push_str(&format!("{}\n", plain(line))),
        }
    }
    (man.get_filename(), ascii(&page))
}

/// The same in letters that every roff takes, however it is told to read.
fn ascii(page: &str) -> String {
    let letter = |letter: char| match letter.is_ascii() {
        true => letter.to_string(),
        false => format!("\\[u{:04X}]", u32::from(letter)),
    };
    page.chars().map(letter).collect()
}

/// A line that roff prints as it is, so that it can be pasted.
fn plain(line: &str) -> String {
    let mut text = String::new();
    for letter in line.chars() {
        match letter {
            '\\' => text.push_str("\\e"),
            '-' => text.push_str("\\-"),
            '\'' => text.push_str("\\(aq"),
            '`' => text.push_str("\\(ga"),
            '^' => text.push_str("\\(ha"),
            '~' => text.push_str("\\(ti"),
            _ => text.push(letter),
        }
    }
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
