//! Compressed archives: cut into frames that stand alone, packed on several threads.
//!
//! Each frame is a gzip member or a zstd frame of its own, which every decoder reads as one stream. Where
//! the cuts are depends on the archive's outline only, and each frame on its content only, so that the
//! bytes are the same for any number of threads.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::error::{Error, Kind, Result};
use crate::threads::none;

/// The least of the tar in one frame, but for the last: less would cost ratio.
pub const SHORTEST_FRAME: usize = 1 << 20;
/// The most of the tar in one frame. Every thread holds one of these and what it becomes.
pub const LONGEST_FRAME: usize = 2 << 20;

/// How an archive is compressed. What is compressed already, such as most layers, gains nothing by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// As gzip, level 1 to 9.
    Gzip(u32),
    /// As zstd, level 1 to 22.
    Zstd(i32),
}

impl Compression {
    /// gzip as everybody has it by default.
    pub const GZIP: Self = Self::Gzip(6);
    /// zstd as everybody has it by default.
    pub const ZSTD: Self = Self::Zstd(3);

    /// What the name of a file to write asks for; `None` where it is no archive's name.
    pub fn by_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy();
        let kinds = [(".tar", Self::None), (".tar.gz", Self::GZIP), (".tgz", Self::GZIP), (".tar.zst", Self::ZSTD)];
        kinds.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, compression)| compression)
    }
}

impl FromStr for Compression {
    type Err = Error;

    /// Reads `none`, `gzip`, `zstd`, or one of the latter with `:` and a level.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::new(Kind::Usage, format!("{text:?} is no compression")).because(why);
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let within = |from: u32, to: u32| match level.map(str::parse::<u32>).transpose() {
            Ok(level) if level.is_none_or(|level| (from..=to).contains(&level)) => Ok(level),
            _ => Err(bad(&format!("{name} has the levels {from} to {to}"))),
        };
        match name {
            "none" if level.is_none() => Ok(Self::None),
            "gzip" => Ok(within(1, 9)?.map_or(Self::GZIP, Self::Gzip)),
            "zstd" => Ok(within(1, 22)?.map_or(Self::ZSTD, |level| Self::Zstd(level.cast_signed()))),
            _ => Err(bad("it is none, gzip, gzip:LEVEL, zstd or zstd:LEVEL")),
        }
    }
}

/// One frame, before and after.
#[derive(Default)]
struct Frame {
    plain: Vec<u8>,
    packed: Vec<u8>,
}

/// A frame to pack, and where it goes then.
type Job = (Frame, Sender<io::Result<Frame>>);

/// Packs frames on several threads and gives them out in the order they came in.
pub struct Packer {
    jobs: Sender<Job>,
    away: VecDeque<Receiver<io::Result<Frame>>>,
    threads: usize,
    /// Buffers to use again: fresh memory is slow.
    spare: Vec<Frame>,
}

impl Packer {
    /// Starts the threads; they end when this is dropped.
    pub fn new(compression: Compression, threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let mut started_some = false;
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            let work = move || {
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok((mut frame, back)) = next() {
                    // Nobody waits for it any more if this fails.
                    let _ = back.send(pack(compression, &mut frame).map(|()| frame));
                }
            };
            let started = thread::Builder::new().name("compress".into()).spawn(work);
            match started {
                // Those that there are do it all.
                Err(_) if started_some => break,
                started => drop(started.map_err(none)?),
            }
            started_some = true;
        }
        Ok(Self { jobs, away: VecDeque::new(), threads, spare: Vec::new() })
    }

    /// Takes the content of the next frame and gives an empty buffer for the one after it. Frames that are
    /// ready, or that have to be waited for to keep memory bounded, go to `each`.
    pub fn give(&mut self, plain: Vec<u8>, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Vec<u8>> {
        while self.away.len() >= self.threads {
            self.take(each)?;
        }
        let packed = self.spare.pop().unwrap_or_default();
        let (back, ready) = channel();
        self.jobs.send((Frame { plain, packed: packed.packed }, back)).map_err(|_| gone())?;
        self.away.push_back(ready);
        Ok(packed.plain)
    }

    /// Gives out the frames that are left.
    pub fn finish(mut self, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while !self.away.is_empty() {
            self.take(each)?;
        }
        Ok(())
    }

    /// Waits for the frame that is next.
    fn take(&mut self, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let Some(next) = self.away.pop_front() else { return Ok(()) };
        let mut frame = (next.recv().map_err(|_| gone())?)
            .map_err(|why| Error::new(Kind::Failed, "could not compress the archive").because(why))?;
        each(&frame.packed)?;
        frame.plain.clear();
        frame.packed.clear();
        self.spare.push(frame);
        Ok(())
    }
}

fn gone() -> Error {
    Error::new(Kind::Failed, "could not compress the archive").because("a thread that did ended early")
}

fn pack(compression: Compression, frame: &mut Frame) -> io::Result<()> {
    match compression {
        Compression::None => frame.packed.extend_from_slice(&frame.plain),
        Compression::Gzip(level) => {
            let to = std::mem::take(&mut frame.packed);
            // No time, no name, and 255: written on no system in particular.
            let member = flate2::GzBuilder::new().mtime(0).operating_system(255);
            let level = if compressed_already(&frame.plain)? { 0 } else { level };
            let mut encoder = member.write(to, flate2::Compression::new(level));
            encoder.write_all(&frame.plain)?;
            frame.packed = encoder.finish()?;
        }
        Compression::Zstd(level) => {
            // A new context for each frame: what one packed before may show in what it packs next.
            let mut context = zstd::bulk::Compressor::new(level)?;
            context.include_checksum(true)?;
            frame.packed.reserve(zstd::zstd_safe::compress_bound(frame.plain.len()));
            context.compress_to_buffer(&frame.plain, &mut frame.packed)?;
        }
    }
    Ok(())
}

/// Whether gzip would gain less than a 32nd on some samples of this. Most layers are so, and at the usual
/// level gzip takes ten times as long to find out by itself; zstd is quick at that.
fn compressed_already(plain: &[u8]) -> io::Result<bool> {
    const SAMPLES: usize = 16;
    const SAMPLE: usize = 4 << 10;
    if plain.len() < 2 * SAMPLES * SAMPLE {
        return Ok(false);
    }
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(1));
    for sample in plain.chunks(plain.len() / SAMPLES).map(|stretch| &stretch[..stretch.len().min(SAMPLE)]) {
        encoder.write_all(sample)?;
    }
    let taken = encoder.total_in();
    Ok(encoder.finish()?.len() as u64 > taken - taken / 32)
}
