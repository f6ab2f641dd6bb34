//! An archive written from its front to its end, while other threads compress or write what came before.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::checked::pump;
use crate::error::{Error, Kind, Result};
use crate::source::{Blob, Content, Done, Watch, Writing};
use crate::threads;

use super::compress::{Compression, LONGEST_FRAME, Packer, SHORTEST_FRAME};
use super::offsets::{END_MARKER, Shape, blob_head, padding};
use super::target::Target;
use super::write::{Options, unexpected};

/// How much of a plain archive is written at a time.
const PIECE: usize = 256 << 10;
/// How many pieces may wait for a stream to take them.
const AWAY: usize = 4;
/// How often somebody who waits for a stream looks whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// An archive being written in order.
pub struct Ordered<'a> {
    watch: &'a dyn Watch,
    state: Mutex<State<'a>>,
}

struct State<'a> {
    blobs: Vec<Blob>,
    /// How many of them were put.
    done: usize,
    /// Whether a blob was begun and not ended: there is no way on from there.
    broken: bool,
    outflow: Outflow<'a>,
}

impl<'a> Ordered<'a> {
    /// Writes what stands in front of the blobs.
    pub fn begin(shape: Shape, out: Out<'a>, options: Options<'a>) -> Result<Self> {
        let mut outflow = Outflow::new(out, options)?;
        for member in &shape.front {
            outflow.member(&member.head, member.body.len() as u64)?;
            outflow.write(&member.body)?;
            outflow.write(padding(member.body.len() as u64))?;
        }
        let state = State { blobs: shape.blobs, done: 0, broken: false, outflow };
        Ok(Self { watch: options.watch, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing for Ordered<'_> {
    fn put(&self, blob: &Blob, content: Content<'_>) -> Result<()> {
        let mut state = self.state();
        let state = &mut *state;
        if state.broken || state.blobs.get(state.done) != Some(blob) {
            return Err(unexpected(blob));
        }
        state.broken = true;
        state.outflow.member(&blob_head(blob), blob.size)?;
        pump(blob, content, self.watch, &mut |piece, _| state.outflow.write(piece))?;
        state.outflow.write(padding(blob.size))?;
        state.broken = false;
        state.done += 1;
        Ok(())
    }

    fn ordered(&self) -> bool {
        true
    }

    fn finish(self: Box<Self>) -> Result<Done> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(absent) = state.blobs.get(state.done) {
            return Err(Error::new(Kind::Failed, format!("blob {} was never written", absent.digest)));
        }
        let mut done = Done::default();
        state.blobs.iter().for_each(|blob| done.new.add(blob.size));
        state.outflow.end()?;
        Ok(done)
    }
}

/// The bytes of the tar, on their way through the threads.
struct Outflow<'a> {
    /// What was written and did not go on its way yet.
    piece: Vec<u8>,
    packer: Option<Packer>,
    out: Out<'a>,
    watch: &'a dyn Watch,
}

impl<'a> Outflow<'a> {
    fn new(out: Out<'a>, options: Options<'a>) -> Result<Self> {
        let packer = match options.compression {
            Compression::None => None,
            compression => Some(Packer::new(compression, options.threads)?),
        };
        Ok(Self { piece: Vec::new(), packer, out, watch: options.watch })
    }

    /// Writes the headers of a member, in a new frame if the old one is long enough and the whole member
    /// does not fit into it.
    fn member(&mut self, head: &[u8], size: u64) -> Result<()> {
        let fits = (LONGEST_FRAME.saturating_sub(self.piece.len() + head.len()) as u64) >= size;
        if self.packer.is_some() && self.piece.len() >= SHORTEST_FRAME && !fits {
            self.send()?;
        }
        self.write(head)
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        let longest = if self.packer.is_some() { LONGEST_FRAME } else { PIECE };
        while !bytes.is_empty() {
            if self.piece.len() == longest {
                self.send()?;
            }
            // All of it at once: growing by and by would copy.
            self.piece.reserve_exact(longest - self.piece.len());
            let (now, later) = bytes.split_at(bytes.len().min(longest - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let Self { piece, packer, out, watch } = self;
        let full = std::mem::take(piece);
        *piece = match packer {
            None => out.give(full, *watch)?,
            Some(packer) => packer.give(full, &mut |frame| out.write(frame, *watch))?,
        };
        Ok(())
    }

    /// Writes the end marker, and waits until everything is where it belongs.
    fn end(mut self) -> Result<()> {
        self.write(&END_MARKER)?;
        self.send()?;
        if let Some(packer) = self.packer.take() {
            packer.finish(&mut |frame| self.out.write(frame, self.watch))?;
        }
        self.out.finish(self.watch)
    }
}

/// Where the bytes end up.
pub enum Out<'a> {
    /// In a file, and where the next one goes.
    File(Target<'a>, u64),
    /// In a stream that another thread writes to.
    Stream(Stream),
}

impl<'a> Out<'a> {
    /// Into a file, from its start.
    pub fn file(target: Target<'a>) -> Self {
        Self::File(target, 0)
    }

    /// Into a stream.
    pub fn stream(to: Box<dyn Write + Send>) -> Result<Self> {
        Stream::new(to).map(Self::Stream)
    }

    fn write(&mut self, bytes: &[u8], watch: &dyn Watch) -> Result<()> {
        match self {
            Self::File(target, at) => {
                target.write_at(bytes, *at)?;
                *at += bytes.len() as u64;
                Ok(())
            }
            Self::Stream(stream) => {
                let mut buffer = stream.buffer(watch)?;
                buffer.extend_from_slice(bytes);
                stream.send(buffer)
            }
        }
    }

    /// Takes a full buffer and gives an empty one.
    fn give(&mut self, bytes: Vec<u8>, watch: &dyn Watch) -> Result<Vec<u8>> {
        if let Self::Stream(stream) = self {
            let empty = stream.buffer(watch)?;
            stream.send(bytes)?;
            return Ok(empty);
        }
        self.write(&bytes, watch)?;
        let mut bytes = bytes;
        bytes.clear();
        Ok(bytes)
    }

    fn finish(self, watch: &dyn Watch) -> Result<()> {
        match self {
            Self::File(target, _) => target.publish(),
            Self::Stream(stream) => stream.finish(watch),
        }
    }
}

/// A stream that another thread writes to. Dropped, it is not waited for: whoever should read it may
/// have stopped reading.
pub struct Stream {
    to: Sender<Vec<u8>>,
    back: Receiver<io::Result<Vec<u8>>>,
    away: usize,
}

impl Stream {
    fn new(mut to: Box<dyn Write + Send>) -> Result<Self> {
        let (send, pieces) = channel::<Vec<u8>>();
        let (done, back) = channel();
        let work = move || {
            for mut piece in pieces {
                let written = to.write_all(&piece);
                piece.clear();
                let failed = written.is_err();
                if done.send(written.map(|()| piece)).is_err() || failed {
                    return;
                }
            }
            let _ = done.send(to.flush().map(|()| Vec::new()));
        };
        let started = thread::Builder::new().name("write".into()).spawn(work);
        started.map_err(threads::none)?;
        Ok(Self { to: send, back, away: 0 })
    }

    /// An empty buffer: a new one, or one that the stream has taken.
    fn buffer(&mut self, watch: &dyn Watch) -> Result<Vec<u8>> {
        if self.away < AWAY {
            return Ok(Vec::new());
        }
        self.away -= 1;
        taken(&self.back, watch)
    }

    fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.away += 1;
        if self.to.send(bytes).is_ok() {
            return Ok(());
        }
        // The thread is gone: what it said last is why.
        Err(self.back.iter().find_map(std::result::Result::err).map_or_else(ended, unwritten))
    }

    fn finish(self, watch: &dyn Watch) -> Result<()> {
        let Self { to, back, away } = self;
        drop(to);
        // One more than there were pieces: the last says that the stream was flushed.
        (0..=away).try_for_each(|_| taken(&back, watch).map(drop))
    }
}

/// Waits until the stream took a piece.
fn taken(back: &Receiver<io::Result<Vec<u8>>>, watch: &dyn Watch) -> Result<Vec<u8>> {
    loop {
        match back.recv_timeout(LOOK) {
            Ok(taken) => {
                return taken.map_err(unwritten);
            }
            Err(RecvTimeoutError::Timeout) if watch.stop() => return Err(Error::interrupted()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(ended()),
        }
    }
}

fn unwritten(why: io::Error) -> Error {
    Error::new(Kind::Failed, "could not write the archive").because(why)
}

fn ended() -> Error {
    Error::new(Kind::Failed, "could not write the archive").because("the thread that wrote it ended early")
}
