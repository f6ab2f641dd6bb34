//! index.json read into memory no further than it looks like one: length by itself buys no memory.

use std::io::{self, Read};

use crate::archive::{MAX_NAMES_FREELY, PACKED_A_NAME};
use crate::checked::CHUNK;
use crate::error::{self, Error, Kind};
use crate::json::MAX_DEPTH;

/// The most that may stand around the entries of an index.json: each of its own members takes far more memory than text.
pub const MAX_FRAME: usize = 1 << 20;
/// The longest entry of an index.json.
pub const MAX_ENTRY: usize = 16 << 20;
/// What stands around an entry anyway: a comma, and the white space of those who indent.
const AROUND: usize = 64;
/// The longest document of a compressed archive that may be any number of times longer than what it was unpacked from.
pub const MAX_UNPACKED_FREELY: u64 = 4 << 20;
/// How many times longer a longer one may be: digests cannot be compressed, and there is one in every entry.
pub const MAX_UNPACKED_TIMES: u64 = 32;
/// How much text the manifests of a compressed archive may have in all, of whatever length that is.
pub const MAX_TEXT_FREELY: u64 = 16 << 20;
/// How many times longer than the archive more of it may be: images of one repository differ in little more than digests.
pub const MAX_TEXT_TIMES: u64 = 64;

/// Whether a short text may be an index, as [`index`] judges a longer one while it is read. Short ones are read as they
/// are, so that what is not an index.json ends nothing but the reading of it.
pub(crate) fn short(text: &str) -> Result<(), &'static str> {
    if text.len() as u64 <= MAX_UNPACKED_FREELY { Sieve::default().take(text.as_bytes()) } else { Ok(()) }
}

/// Reads an index.json of `size` bytes. A longer one than [`MAX_UNPACKED_FREELY`]: an error of kind `InvalidData` where
/// it is none, as far as that can be told from what stands where, or where there is far more of it than of the archive
/// it was unpacked from, of which `packed` tells how much was read: then no more of it is read, and no memory spent on
/// it. Whether it is an index is told by whoever parses it.
pub(crate) fn index(reader: &mut dyn Read, size: u64, packed: &dyn Fn() -> u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(CHUNK).min(CHUNK));
    let (mut sieve, mut sieved) = (Sieve::default(), 0);
    loop {
        let got = reader.take(CHUNK as u64).read_to_end(&mut bytes)?;
        if got == 0 {
            return Ok(bytes);
        }
        // A short one may have grown since it was measured: then all of it is.
        if size.max(bytes.len() as u64) > MAX_UNPACKED_FREELY {
            sieve.take(&bytes[sieved..]).map_err(bad)?;
            sieved = bytes.len();
        }
        if bytes.len() as u64 > unpacked_from(packed()) {
            return Err(bad(&format!(
                "it is more than {MAX_UNPACKED_TIMES} times as long as what it was unpacked from; unpacked by itself first, it is read"
            )));
        }
        // In steps, but no further than it goes: a file may have lost its end since it was measured.
        let left = usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(bytes.len());
        if bytes.capacity() - bytes.len() < CHUNK && left > 0 {
            bytes.reserve_exact(left.min(bytes.len().max(CHUNK)) + 1);
        }
    }
}

/// How much a compressed archive may be unpacked to for memory, of which so much was read.
pub(crate) fn unpacked_from(packed: u64) -> u64 {
    MAX_UNPACKED_FREELY.max(packed.saturating_mul(MAX_UNPACKED_TIMES))
}

/// Whether an index.json out of a compressed archive of `packed` bytes lists no more than that explains. Integrity where it
/// does: each entry takes far more memory than text.
pub(crate) fn explained(index: &[u8], packed: u64, location: &str) -> error::Result<()> {
    let (mut sieve, most) = (Sieve::default(), most_digests(packed));
    // No entry and the comma behind it are shorter than this; and what is no index is told by whoever parses it.
    let few = index.len() as u64 / "{},".len() as u64 <= most;
    if few || sieve.take(index).is_err() || sieve.entries as u64 <= most {
        return Ok(());
    }
    Err(Error::new(Kind::Integrity, format!("could not read index.json of {location}")).because(format!(
        "it has more than {MAX_NAMES_FREELY} entries, and they are packed more tightly than digests can be; unpacked by itself first, it is read"
    )))
}

/// How much text the manifests of a compressed archive of `packed` bytes may have in all.
pub fn most_text(packed: u64) -> u64 {
    MAX_TEXT_FREELY.max(packed.saturating_mul(MAX_TEXT_TIMES))
}

/// How many digests there may be in it, each counted once: that much of a digest cannot be compressed.
pub fn most_digests(packed: u64) -> u64 {
    MAX_NAMES_FREELY.max(packed / PACKED_A_NAME)
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Where it stands in the text.
#[derive(Default)]
struct Sieve {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Whether anything but white space was met.
    begun: bool,
    /// How much stood around entries so far, how many there were, and how long the one is that is being read.
    frame: usize,
    entries: usize,
    entry: usize,
}

impl Sieve {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while let Some((byte, rest)) = bytes.split_first() {
            let mut taken = 1;
            if self.in_string {
                if std::mem::take(&mut self.escaped) {
                    // Whatever it is.
                } else {
                    let plain = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(bytes.len());
                    match bytes.get(plain) {
                        Some(b'"') => self.in_string = false,
                        Some(_) => self.escaped = true,
                        None => {}
                    }
                    taken = (plain + 1).min(bytes.len());
                }
            } else {
                match byte {
                    b' ' | b'\t' | b'\n' | b'\r' => {}
                    b'{' | b'[' => {
                        if self.depth == 2 {
                            self.entries += 1;
                            self.entry = 0;
                        }
                        self.depth += 1;
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    b'"' => self.in_string = true,
                    b':' | b',' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E' => {}
                    _ => return Err("not valid JSON: there is something that belongs into a string"),
                }
                if !self.begun && !byte.is_ascii_whitespace() {
                    if *byte != b'{' {
                        return Err("not valid JSON: it does not start with {");
                    }
                    self.begun = true;
                }
                if self.depth > MAX_DEPTH {
                    return Err("JSON nested too deep");
                }
            }
            let stretch = if self.depth > 2 { &mut self.entry } else { &mut self.frame };
            *stretch += taken;
            if self.entry > MAX_ENTRY || self.frame > MAX_FRAME + self.entries.saturating_mul(AROUND) {
                return Err("what stands around its entries, or in one, is too long");
            }
            bytes = if taken == 1 { rest } else { &bytes[taken..] };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        index(&mut &*bytes, bytes.len() as u64, &|| u64::MAX)
    }

    #[test]
    fn what_is_an_index_comes_through_as_it_is() {
        let entry = format!("\n    {{\"a\":\"\\\"[{{\",\"b\":[[1.5E+2,true]],\"c\":\"{}\"}}", "x".repeat(200));
        let text = format!(" {{ \"manifests\" : [{}\n], \"x\":null}} ", vec![entry; 20_000].join(","));
        assert_eq!(read(text.as_bytes()).unwrap(), text.as_bytes());
        let said_longer = index(&mut text.as_bytes(), u64::MAX, &|| u64::MAX).unwrap();
        assert_eq!(said_longer, text.as_bytes());
        assert!(said_longer.capacity() < text.len() * 3);
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn what_is_none_is_read_no_further() {
        for (start, filling) in [
            ("", "\0"),
            ("", " "),
            ("", "["),
            ("x", "x"),
            ("{\"x\":\"", "a"),
            ("{\"x\":\"", "\\"),
            ("{\"x\":{\"y\":\"", "a"),
            ("{\"manifests\":[{\"x\":\"", "a"),
            ("{\"manifests\":[{\"x\":[", "1,"),
            ("{\"manifests\":[", "1,"),
            ("{", "\"x\":1,"),
        ] {
            let mut endless = start.as_bytes().chain(Repeat(filling.as_bytes(), 0));
            let refused = index(&mut endless, 4 << 30, &|| u64::MAX);
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData, "{start}{filling}…");
        }
    }

    #[test]
    fn what_was_unpacked_from_next_to_nothing_is_read_no_further() {
        let mut endless =
            b"{\"manifests\":[".chain(Repeat(b"{\"mediaType\":\"a/b\",\"digest\":\"a:b\",\"size\":1},", 0));
        let refused = index(&mut endless, 4 << 30, &|| 1000);
        assert!(refused.unwrap_err().to_string().contains("32 times"));
    }

    struct Repeat(&'static [u8], usize);

    impl Read for Repeat {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            buf.iter_mut().for_each(|byte| {
                *byte = self.0[self.1 % self.0.len()];
                self.1 += 1;
            });
            Ok(buf.len())
        }
    }
}
