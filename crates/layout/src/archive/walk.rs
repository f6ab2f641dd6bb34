//! One walk over an archive, from its first header to its last byte.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::archive::header::{BLOCK, Flaw, Headers, Why};
use crate::archive::judge::Name;
use crate::archive::table::{Fate, Maker, Spot, Table, differ};
use crate::archive::tape::Tape;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Kind, Result};
use crate::sieve;
use crate::source::Watch;

/// The most names of blobs in a compressed archive that may be packed as tightly as they like.
pub const MAX_NAMES_FREELY: u64 = 1 << 14;
/// How often names that were there before may stand in an archive again.
pub const MAX_REPEATS: u64 = 1 << 20;
/// What each of more has to take of the compressed archive: its digest has so many bytes, and those cannot be compressed.
pub(crate) const PACKED_A_NAME: u64 = 32;
/// How much is passed over before asking whether to stop.
const STRIDE: u64 = 8 << 20;

/// A name that stands in an archive more than once.
pub(super) struct Doubled {
    /// Where it stands first: judged by whoever can still read that.
    pub first: Spot,
    /// Where it stands again.
    pub again: Spot,
    /// What it is there: the digest by the name's own algorithm where that is known, else by sha256.
    pub digest: Digest,
}

impl Doubled {
    /// The flaw that the two contents are not the same.
    pub fn differ(&self, name: &Name) -> Flaw {
        differ(name, self.first.at - BLOCK, self.again.at - BLOCK)
    }
}

/// What a walk found.
pub(super) struct Walked {
    pub table: Table,
    pub doubled: BTreeMap<Name, Doubled>,
}

/// The content of the member the walk stands at.
pub(super) struct Body<'w> {
    pub tape: &'w mut dyn Tape,
    pub left: &'w mut u64,
}

impl Read for Body<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(*self.left).unwrap_or(usize::MAX).min(buf.len());
        if want == 0 {
            return Ok(0);
        }
        match self.tape.read(&mut buf[..want])? {
            0 => Err(io::Error::new(io::ErrorKind::InvalidData, "the archive is cut here")),
            got => {
                *self.left -= got as u64;
                Ok(got)
            }
        }
    }
}

/// The hasher for content called `name`: by its own algorithm where that is known.
pub(super) fn hasher(name: &Name) -> Hasher {
    match name {
        Name::Blob(digest) => digest.hasher(),
        _ => None,
    }
    .unwrap_or_else(|| Digest::of(b"").hasher().expect("sha256 is known"))
}

/// Walks over the whole archive, judges every member, and hands out the content of every name that
/// matters the first time it comes by. What `hand` leaves unread is passed over. `packed` tells how much was read so far
/// of what the archive was unpacked from.
///
/// `Ok` means that the archive is whole, with an end marker and nothing behind it. Integrity where it
/// is cut or damaged or has a member that must not be; `location` is what its user calls it.
pub(super) fn walk(
    location: &str,
    tape: &mut dyn Tape,
    packed: &dyn Fn() -> u64,
    watch: &dyn Watch,
    hand: &mut dyn FnMut(&Name, Spot, Body<'_>) -> Result<()>,
) -> Result<Walked> {
    let told = |flaw: Flaw| tell(location, flaw);
    let (mut headers, mut maker, mut doubled) = (Headers::default(), Maker::default(), BTreeMap::new());
    let (mut at, mut repeats) = (0, 0);
    loop {
        watch.go_on()?;
        let (header, next) = headers.next(tape, at).map_err(told)?;
        at = next;
        let Some(header) = header else { break };
        let spot = Spot { at, size: header.size };
        let beyond = || Flaw::wrong(header.at, "its size reaches beyond any archive");
        let padded = spot.size.checked_next_multiple_of(BLOCK).ok_or_else(beyond);
        let end = padded.and_then(|padded| at.checked_add(padded).ok_or_else(beyond)).map_err(told)?;
        let (mut left, from) = (spot.size, header.at);
        let fate = maker.take(header, spot).map_err(told)?;
        if maker.names() > sieve::most_digests(packed()) {
            return Err(told(Flaw::wrong(
                from,
                format!(
                    "it has more than {MAX_NAMES_FREELY} blobs, and they are packed more tightly than digests can be; unpacked by itself first, it is read"
                ),
            )));
        }
        match fate {
            Fate::Pass => {}
            Fate::First(name) => hand(&name, spot, Body { tape: &mut *tape, left: &mut left })?,
            Fate::Again(name, first) => {
                repeats += 1;
                if repeats > MAX_REPEATS {
                    return Err(told(Flaw::wrong(
                        from,
                        format!("more than {MAX_REPEATS} names in it were there before"),
                    )));
                }
                let mut body = Body { tape: &mut *tape, left: &mut left };
                let digest = hash(hasher(&name), &mut body, watch).map_err(|flaw| told(Flaw { at, ..flaw }))??;
                let right = match &name {
                    Name::Blob(own) if own.verifiable() => *own == digest,
                    _ => doubled.get(&name).is_none_or(|before: &Doubled| before.digest == digest),
                };
                if !right {
                    return Err(told(differ(&name, first.at - BLOCK, spot.at - BLOCK)));
                }
                doubled.entry(name).or_insert(Doubled { first, again: spot, digest });
            }
        };
        at += spot.size - left;
        while at < end {
            watch.go_on()?;
            let step = (end - at).min(STRIDE);
            let got = tape.skip(step).map_err(|why| told(Flaw::unread(at, why)))?;
            if got < step {
                return Err(told(Flaw::cut(at + got)));
            }
            at += step;
        }
    }
    only_zeros(tape, at, watch).map_err(told)??;
    Ok(Walked { table: maker.finish().map_err(told)?, doubled })
}

/// Hashes all that is left of `body`.
pub(super) fn hash(
    mut hasher: Hasher,
    body: &mut dyn Read,
    watch: &dyn Watch,
) -> std::result::Result<Result<Digest>, Flaw> {
    // An archive may have millions of members of a byte each.
    let mut buffer = vec![0; BLOCK as usize];
    loop {
        if watch.stop() {
            return Ok(Err(Error::interrupted()));
        }
        match body.read(&mut buffer) {
            Ok(0) => return Ok(Ok(hasher.finish())),
            Ok(got) => {
                hasher.update(&buffer[..got]);
                if got == buffer.len() {
                    buffer.resize(64 << 10, 0);
                }
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(Flaw::unread(0, why)),
        }
    }
}

/// Reads to the end, where a compressed stream has its checksum: nothing but zeros may be there.
pub(super) fn only_zeros(tape: &mut dyn Tape, mut at: u64, watch: &dyn Watch) -> std::result::Result<Result<()>, Flaw> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        if watch.stop() {
            return Ok(Err(Error::interrupted()));
        }
        match tape.read(&mut buffer) {
            Ok(0) => return Ok(Ok(())),
            Ok(got) => {
                if let Some(ahead) = buffer[..got].iter().position(|byte| *byte != 0) {
                    return Err(Flaw::wrong(at + ahead as u64, "something follows the end marker"));
                }
                at += got as u64;
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(Flaw::unread(at, why)),
        }
    }
}

/// The error for a flaw of the archive called `location`.
pub(super) fn tell(location: &str, flaw: Flaw) -> Error {
    let what = format!("could not read archive {location}");
    match flaw.why {
        Why::Wrong(why) if flaw.at == 0 => Error::new(Kind::Integrity, what).because(why),
        Why::Wrong(why) => Error::new(Kind::Integrity, what).because(format!("at byte {}: {why}", flaw.at)),
        Why::Unread(why) => Error::new(Kind::Failed, what).because(why),
    }
}
