//! How a command speaks: results, warnings and errors, to people or to programs.

use std::error::Error as StdError;
use std::io::{self, BufWriter, Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ocistow_graph::graph::Unread;
use ocistow_graph::{Following, Keeper};
use ocistow_layout::cabinet::Cabinet;
use ocistow_layout::transaction::Options;
use ocistow_layout::{Count, Error, Kind, Result, Watch};
use serde::Serialize;

use crate::args::{Format, Global, When};
use crate::code::Code;
use crate::look::Look;
use crate::progress::{Manner, Progress};
use crate::shown::shown;
use crate::world::{Stream, World};

/// Everything a command needs beside its own arguments.
pub struct Context<'w> {
    /// The streams and the wish to stop.
    pub world: &'w World,
    /// In which form the answer is wanted.
    pub format: Format,
    /// Only the result digest, or nothing.
    pub quiet: bool,
    /// How much is told of the work.
    pub verbose: u8,
    /// How many threads may work.
    pub threads: NonZeroUsize,
    /// How long to wait for a lock; for ever if none.
    pub lock_timeout: Option<Duration>,
    color: When,
    progress: When,
    following: Following<'w>,
    /// Whether standard output carries content, so that the answer goes to stderr.
    aside: AtomicBool,
    answered: AtomicBool,
    /// Whether the last line on stderr is one that will be written over.
    pub(crate) line: Mutex<bool>,
}

/// The result of a command, in the forms it can be told.
pub trait Answer: Serialize {
    /// Tells it to people.
    fn text(&self, out: &mut dyn Write, look: Look) -> io::Result<()>;
    /// Tells the result digest only, or nothing: for `--quiet`.
    fn brief(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Serialize)]
struct Failure {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Failure {
    fn of(error: &Error) -> Self {
        let hint = error.advice().map(str::to_owned);
        Self { code: Code::from(error.kind()).word(), message: error.chain(), hint }
    }
}

impl<'w> Context<'w> {
    /// A context as the global flags want it.
    pub fn new(world: &'w World, global: &Global) -> Self {
        let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            world,
            format: global.format,
            quiet: global.quiet,
            verbose: global.verbose,
            threads: global.threads.unwrap_or_else(all),
            lock_timeout: global.lock_timeout,
            color: global.color,
            progress: global.progress,
            following: Following { cache: world.cache.clone(), medium: &*world.medium },
            aside: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            line: Mutex::new(false),
        }
    }

    /// Sends the answer to stderr from now on: standard output carries content.
    pub fn set_aside(&self) {
        self.aside.store(true, Ordering::Relaxed);
    }

    /// Standard output, for content as it is.
    pub fn content(&self) -> &'w Stream {
        &self.world.out
    }

    /// Writes content to standard output. Failed where it cannot be written; that nobody reads any more is no failure.
    pub fn content_of(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        self.tell(|out, _| write(out))
    }

    /// Standard input.
    pub fn input(&self) -> MutexGuard<'w, Box<dyn Read + Send>> {
        self.world.input.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the answer. Failed where it cannot be written.
    pub fn answer<A: Answer>(&self, answer: &A) -> Result<()> {
        self.tell(|out, look| match self.format {
            Format::Json => document(out, answer),
            _ if self.quiet => answer.brief(out),
            _ => answer.text(out, look),
        })
    }

    /// Tells an answer that the command will fail with: in JSON with `error` as one more key. The error
    /// itself has still to be returned, and is not put into a second document.
    pub fn answer_failed<A: Answer>(&self, answer: &A, error: &Error) -> Result<()> {
        self.answer_with(answer, Failure::of(error))
    }

    /// Tells an answer for which the command ends with another code than 0, though it did what it was asked:
    /// in JSON with `error` as one more key, and nowhere else a word of an error. Returns the code.
    pub fn answer_ending<A: Answer>(&self, answer: &A, code: Code, message: &str) -> Result<Code> {
        self.answer_with(answer, Failure { code: code.word(), message: message.to_owned(), hint: None })?;
        Ok(code)
    }

    /// Tells an answer, and fails with it where not all could be read that it should tell of.
    pub fn answer_of<A: Answer>(&self, answer: &A, unread: &Unread) -> Result<Code> {
        let Err(why) = unread.verdict() else { return self.answer(answer).map(|()| Code::Done) };
        self.answer_failed(answer, &why)?;
        Err(why)
    }

    fn answer_with<A: Answer>(&self, answer: &A, error: Failure) -> Result<()> {
        #[derive(Serialize)]
        struct Both<'a, A> {
            #[serde(flatten)]
            answer: &'a A,
            error: Failure,
        }
        self.tell(|out, look| match self.format {
            Format::Json => document(out, &Both { answer, error }),
            _ if self.quiet => Ok(()),
            _ => answer.text(out, look),
        })
    }

    /// Refuses `--format json` for what prints bytes that are not ours.
    pub fn only_bytes(&self, what: &str) -> Result<()> {
        match self.format {
            Format::Json => {
                let why = "it prints content as it is, which is no document of ours";
                Err(Error::new(Kind::Usage, format!("could not use --format json with {what}")).because(why))
            }
            _ => Ok(()),
        }
    }

    /// Tells of something that is not as it should be, though the work goes on.
    pub fn warn(&self, message: &str) {
        self.say("warning:", YELLOW, message);
    }

    /// Tells of something worth knowing, unless quiet.
    pub fn note(&self, message: &str) {
        if !self.quiet {
            self.say("note:", CYAN, message);
        }
    }

    /// Tells of the work itself, for whoever asked with `-v`.
    pub fn log(&self, message: &str) {
        if self.verbose > 0 {
            self.say("log:", "", message);
        }
    }

    /// Watches long work and tells how far it is: `verb` as in "exporting", `total` as far as known.
    pub fn progress(&self, verb: &'static str, total: Option<Count>) -> Progress<'_> {
        let manner = match (self.progress, self.world.err.terminal) {
            (When::Never, _) | (When::Auto, false) => Manner::Silent,
            (When::Auto, true) if self.quiet => Manner::Silent,
            (When::Auto, true) => Manner::Line { after: Duration::from_secs(1) },
            (When::Always, true) => Manner::Line { after: Duration::ZERO },
            (When::Always, false) => Manner::Plain,
        };
        Progress::new(self, verb, total, manner)
    }

    /// How a transaction is to go about it, watched by `watch`.
    pub fn writing<'a>(&'a self, watch: &'a dyn Watch) -> Options<'a> {
        Options {
            medium: &*self.world.medium,
            watch,
            patience: self.lock_timeout,
            follow: Some(&self.following),
            ..Options::default()
        }
    }

    /// Where what is found out about the layout at `path` is kept.
    pub fn keeper(&self, path: &Path) -> Keeper<'_> {
        Keeper::new(Cabinet::of(path, self.world.cache.as_deref(), &*self.world.medium))
    }

    /// Tells why the command failed, and gives its code. Of content that somebody did not want to the end nothing is
    /// told: they know.
    pub(crate) fn fail(&self, error: &Error) -> Code {
        // Somebody asked to stop: that an input then gave nothing more is no trouble of its own.
        let interrupted = Error::interrupted();
        let error = if self.world.stopped() && error.kind() == Kind::Failed { &interrupted } else { error };
        if self.format == Format::Json && !self.answered.load(Ordering::Relaxed) {
            #[derive(Serialize)]
            struct Only {
                error: Failure,
            }
            // Where even that cannot be written, the line on stderr is what is left.
            let _ = self.tell(|out, _| document(out, &Only { error: Failure::of(error) }));
        }
        if self.world.out.closed() && is_broken_pipe(error) {
            return Code::Failed;
        }
        self.say("error:", RED, &error.chain());
        if let Some(hint) = error.advice() {
            self.say("hint:", CYAN, hint);
        }
        Code::from(error.kind())
    }

    fn tell(&self, write: impl FnOnce(&mut dyn Write, Look) -> io::Result<()>) -> Result<()> {
        self.answered.store(true, Ordering::Relaxed);
        let stream = if self.aside.load(Ordering::Relaxed) { &self.world.err } else { &self.world.out };
        let look = Look { color: self.colored(stream), verbose: self.verbose > 0 };
        self.clear_line();
        let mut out = BufWriter::with_capacity(64 << 10, stream);
        match write(&mut out, look).and_then(|()| out.flush()) {
            // Whoever stopped reading has what they wanted; how the command ends is still its own to say.
            Err(_) if stream.closed() => Ok(()),
            told => told.map_err(|why| Error::new(Kind::Failed, "could not write the answer").because(why)),
        }
    }

    fn colored(&self, stream: &Stream) -> bool {
        match self.color {
            When::Always => true,
            When::Never => false,
            When::Auto => stream.terminal && !self.world.no_color,
        }
    }

    fn say(&self, word: &str, color: &str, message: &str) {
        self.clear_line();
        let text = match self.colored(&self.world.err) && !color.is_empty() {
            true => format!("{color}{word}\u{1b}[0m {}\n", shown(message)),
            false => format!("{word} {}\n", shown(message)),
        };
        // There is nowhere left to tell that stderr cannot be written.
        let _ = (&self.world.err).write_all(text.as_bytes());
    }

    pub(crate) fn clear_line(&self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *line) {
            let _ = (&self.world.err).write_all(b"\r\x1b[K");
        }
    }
}

const RED: &str = "\u{1b}[1;31m";
const YELLOW: &str = "\u{1b}[1;33m";
const CYAN: &str = "\u{1b}[1;36m";

/// Whether writing to somebody who reads no more is what went wrong.
fn is_broken_pipe(error: &Error) -> bool {
    let mut next = StdError::source(error);
    while let Some(cause) = next {
        if cause.downcast_ref::<io::Error>().is_some_and(|why| why.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        next = cause.source();
    }
    false
}

fn document(out: &mut dyn Write, answer: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, answer)?;
    out.write_all(b"\n")
}
