//! What an archive is read from: a file in which one can jump, or a stream in which one cannot.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

/// Bytes in order, some of which can be passed over.
pub(super) trait Tape: Read + Send {
    /// Passes over `n` bytes: how many of them there were.
    fn skip(&mut self, n: u64) -> io::Result<u64>;
}

/// The window in which headers are read.
const WINDOW: usize = 4 << 10;
/// The window while members are small, so that one read brings many headers.
const WIDE: usize = 64 << 10;

/// A file read through a window, without moving its own position.
pub(super) struct Place<'f> {
    file: &'f File,
    len: u64,
    at: u64,
    window: Vec<u8>,
    /// Where the window stands in the file.
    from: u64,
    wide: bool,
}

impl<'f> Place<'f> {
    /// From the start of a file of `len` bytes.
    pub fn new(file: &'f File, len: u64) -> Self {
        Self { file, len, at: 0, window: Vec::new(), from: 0, wide: true }
    }
}

impl Read for Place<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let within = |window: &[u8], from: u64, at: u64| {
            at.checked_sub(from).is_some_and(|ahead| ahead < window.len() as u64).then(|| (at - from) as usize)
        };
        if within(&self.window, self.from, self.at).is_none() {
            if buf.len() >= WIDE {
                let got = self.file.read_at(buf, self.at)?;
                self.at += got as u64;
                return Ok(got);
            }
            self.window.resize(if self.wide { WIDE } else { WINDOW }, 0);
            self.from = self.at;
            let got = self.file.read_at(&mut self.window, self.at);
            self.window.truncate(*got.as_ref().unwrap_or(&0));
            got?;
        }
        let Some(start) = within(&self.window, self.from, self.at) else { return Ok(0) };
        let got = buf.len().min(self.window.len() - start);
        buf[..got].copy_from_slice(&self.window[start..start + got]);
        self.at += got as u64;
        Ok(got)
    }
}

impl Tape for Place<'_> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let n = n.min(self.len.saturating_sub(self.at));
        self.at += n;
        self.wide = n < WIDE as u64 / 4;
        Ok(n)
    }
}

/// A stream that is read once.
pub(super) struct Stream<R>(R);

impl<R: BufRead> Stream<R> {
    pub fn new(reader: R) -> Self {
        Self(reader)
    }
}

impl<R: Read> Stream<BufReader<R>> {
    /// Of a reader that hands out little, or is costly to ask.
    pub fn buffered(reader: R) -> Self {
        Self(BufReader::with_capacity(128 << 10, reader))
    }
}

impl<R: BufRead> Read for Stream<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<R: BufRead + Send> Tape for Stream<R> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let mut left = n;
        while left > 0 {
            let got = match self.0.fill_buf() {
                Ok(bytes) => bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                Err(why) => return Err(why),
            };
            if got == 0 {
                break;
            }
            self.0.consume(got);
            left -= got as u64;
        }
        Ok(n - left)
    }
}
