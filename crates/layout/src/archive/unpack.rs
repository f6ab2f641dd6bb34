//! Telling how an archive is packed, and unpacking it as a stream.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::archive::header::{BLOCK, sums_up};
use crate::error::{Error, Kind, Result};

/// The largest zstd window taken, as a power of two: 32 MiB, which is memory. `zstd` needs more only for what was made
/// with `--ultra -21` and above, or with `--long`: that can be unpacked by itself, and read from a pipe.
pub const MAX_WINDOW_LOG: u32 = 25;

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A tar.
    PlainTar,
    /// gzip
    Gzip,
    /// zstd, skippable frames in front included.
    Zstd,
    /// bzip2, which is not read.
    Bzip2,
    /// xz, which is not read.
    Xz,
    /// None of these.
    Unknown,
}

/// Tells how an archive is packed from its first bytes; 512 are enough (ARCHIVE-8).
pub fn sniff(bytes: &[u8]) -> Form {
    match bytes {
        [0x1f, 0x8b, ..] => Form::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Form::Zstd,
        [b'B', b'Z', b'h', ..] => Form::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Form::Xz,
        _ => match bytes.first_chunk::<{ BLOCK as usize }>() {
            // An empty tar is nothing but zeros; very old ones have no magic.
            Some(block) if &block[257..262] == b"ustar" || *block == [0; BLOCK as usize] || sums_up(block) => {
                Form::PlainTar
            }
            _ => Form::Unknown,
        },
    }
}

impl Form {
    /// Whether archives of this form can be read; `Err` says why not.
    pub(crate) fn readable(self, location: &str) -> Result<()> {
        let what = format!("could not read archive {location}");
        let name = match self {
            Self::PlainTar | Self::Gzip | Self::Zstd => return Ok(()),
            Self::Unknown => {
                return Err(Error::new(Kind::Integrity, what).because("it is neither a tar nor a tar in gzip or zstd"));
            }
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        };
        Err(Error::new(Kind::Failed, what)
            .because(format!("unsupported compression {name}"))
            .hint(format!("unpack it first, for example with `{name} -dk`")))
    }

    /// The unpacked stream, and how much of `reader` it took so far. Damage comes out as an error of kind
    /// `InvalidData`, trouble with `reader` itself as what it was. Reading to the end checks the checksums.
    pub(crate) fn unpack_counted<'r>(
        self,
        reader: impl Read + Send + 'r,
    ) -> io::Result<(Box<dyn Read + Send + 'r>, Arc<AtomicU64>)> {
        let failed = Arc::new(AtomicBool::new(false));
        let taken = Arc::new(AtomicU64::new(0));
        let reader = Medium { reader, failed: Arc::clone(&failed), taken: Arc::clone(&taken) };
        let reader = BufReader::with_capacity(128 << 10, reader);
        let (name, decoder): (_, Box<dyn Read + Send + 'r>) = match self {
            Self::Gzip => ("gzip", Box::new(flate2::bufread::MultiGzDecoder::new(reader))),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                ("zstd", Box::new(decoder))
            }
            _ => return Ok((Box::new(reader), taken)),
        };
        Ok((Box::new(Unpacked { decoder, name, failed }), taken))
    }

    /// The same, and nobody counts.
    pub(crate) fn unpack<'r>(self, reader: impl Read + Send + 'r) -> io::Result<Box<dyn Read + Send + 'r>> {
        self.unpack_counted(reader).map(|(unpacked, _)| unpacked)
    }
}

/// Counts, and remembers that reading itself failed, which decoders do not tell from damage.
struct Medium<R> {
    reader: R,
    failed: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Medium<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buf).inspect_err(|why| {
            self.failed.fetch_or(why.kind() != io::ErrorKind::Interrupted, Ordering::Relaxed);
        })?;
        self.taken.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

struct Unpacked<'r> {
    decoder: Box<dyn Read + Send + 'r>,
    name: &'static str,
    failed: Arc<AtomicBool>,
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buf).map_err(|why| {
            if why.kind() == io::ErrorKind::Interrupted || self.failed.load(Ordering::Relaxed) {
                return why;
            }
            let name = self.name;
            let text = why.to_string();
            let message = if why.kind() == io::ErrorKind::UnexpectedEof {
                format!("the {name} stream is cut")
            } else if text.contains("too much memory") {
                let most = (1u64 << MAX_WINDOW_LOG) >> 20;
                format!("its {name} window is above {most} MiB; `zstd -dc --long=31` unpacks it for a pipe")
            } else {
                format!("the {name} stream is damaged: {text}")
            };
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }
}
