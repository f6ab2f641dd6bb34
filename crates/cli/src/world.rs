//! What a command has of the world around it: its streams, whether they are terminals, and the wish
//! that it should stop.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ocistow_layout::medium::{Disk, Medium};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The world of one run.
pub struct World {
    /// Where results go.
    pub out: Stream,
    /// Where everything else goes.
    pub err: Stream,
    /// What `-` reads.
    pub input: Mutex<Box<dyn Read + Send>>,
    /// What is written to.
    pub medium: Box<dyn Medium>,
    /// Set once somebody asked to stop.
    pub stop: Arc<AtomicBool>,
    /// Whether `NO_COLOR` is set.
    pub no_color: bool,
    /// Where what is kept of layouts goes that are not ours to write to.
    pub cache: Option<PathBuf>,
    /// What `SOURCE_DATE_EPOCH` says.
    pub epoch: Option<OsString>,
}

impl World {
    /// A world of these streams, none a terminal, that nobody asks to stop.
    pub fn new(
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
        input: impl Read + Send + 'static,
    ) -> Self {
        Self {
            out: Stream::new(out, false),
            err: Stream::new(err, false),
            input: Mutex::new(Box::new(input)),
            medium: Box::new(Disk),
            stop: Arc::default(),
            no_color: false,
            cache: None,
            epoch: None,
        }
    }

    /// The world of this process. `Err` where its standard input or output cannot be used at all.
    pub fn of_process() -> io::Result<Self> {
        // Bytes go out as they come: std's stdout would cut them at the ends of lines.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        // What std's stdin had read ahead, nobody could wait for.
        let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let stop: Arc<AtomicBool> = Arc::default();
        Ok(Self {
            out: Stream::new(out, io::stdout().is_terminal()),
            err: Stream::new(io::stderr(), io::stderr().is_terminal()),
            input: Mutex::new(Box::new(Patient { input, stop: stop.clone() })),
            medium: Box::new(Disk),
            stop,
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            cache: cache(),
            epoch: std::env::var_os("SOURCE_DATE_EPOCH"),
        })
    }

    /// Whether somebody asked to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The user's cache directory, as the XDG base directory specification has it; `None` where there is no telling.
fn cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))
}

/// An input that may have nothing to give for long: whoever waits for it hears of the wish to stop.
struct Patient<R> {
    input: R,
    stop: Arc<AtomicBool>,
}

impl<R: Read + AsFd> Read for Patient<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("interrupted"));
            }
            let ready = poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&LOOK));
            match ready {
                Ok(0) | Err(Errno::INTR) => {}
                // What cannot be asked is read: it says itself what is wrong with it.
                Ok(_) | Err(_) => return self.input.read(buf),
            }
        }
    }
}

/// One way out. Any number of threads may write to it; each write is whole.
#[derive(Clone)]
pub struct Stream {
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    /// Whether a person is watching.
    pub terminal: bool,
    closed: Arc<AtomicBool>,
}

impl Stream {
    /// A way out through `writer`.
    pub fn new(writer: impl Write + Send + 'static, terminal: bool) -> Self {
        Self { writer: Arc::new(Mutex::new(Box::new(writer))), terminal, closed: Arc::default() }
    }

    /// Whether the other end was found closed.
    pub fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn with(&self, act: impl FnOnce(&mut dyn Write) -> io::Result<usize>) -> io::Result<usize> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut **writer);
        if matches!(&done, Err(why) if why.kind() == io::ErrorKind::BrokenPipe) {
            self.closed.store(true, Ordering::Relaxed);
        }
        done
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self).write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|writer| writer.write(bytes))
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|writer| writer.write_all(bytes).map(|()| bytes.len())).map(drop)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.with(|writer| writer.flush().map(|()| 0)).map(drop)
    }
}
