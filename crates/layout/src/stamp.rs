//! What index.json was like on the disk: how it is known, without reading it, to be the same as before.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use rustix::fs::fstatfs;

/// Where a file lies, how long it is and when it was changed. Two looks that give the same stamp saw the same
/// content, if the file was [settled](Imprint::settled) at the first of them.
///
/// `ctime` is what nobody can set: two archives with `mtime` 0 that are unpacked over each other differ in
/// nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    ctime: (i64, i64),
    mtime: (i64, i64),
}

impl Stamp {
    /// The stamp of no file.
    pub const NONE: Self = Self { dev: 0, ino: 0, size: 0, ctime: (0, 0), mtime: (0, 0) };

    /// How many bytes a stamp is written in.
    pub const LEN: usize = 56;

    /// The stamp of an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.len(),
            ctime: (meta.ctime(), meta.ctime_nsec()),
            mtime: (meta.mtime(), meta.mtime_nsec()),
        })
    }

    /// The stamp as bytes.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let Self { dev, ino, size, ctime, mtime } = self;
        let numbers = [*dev, *ino, *size].map(u64::to_le_bytes);
        let times = [ctime.0, ctime.1, mtime.0, mtime.1].map(i64::to_le_bytes);
        let mut bytes = [0; Self::LEN];
        for (to, from) in bytes.chunks_exact_mut(8).zip(numbers.iter().chain(&times)) {
            to.copy_from_slice(from);
        }
        bytes
    }

    /// The stamp that was written as these bytes.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let number = |at: usize| u64::from_le_bytes(words[at]);
        let time = |at: usize| i64::from_le_bytes(words[at]);
        Self { dev: number(0), ino: number(1), size: number(2), ctime: (time(3), time(4)), mtime: (time(5), time(6)) }
    }

    /// Nanoseconds since the epoch of the last change.
    fn changed(&self) -> i128 {
        i128::from(self.ctime.0) * 1_000_000_000 + i128::from(self.ctime.1)
    }
}

/// How far the clocks of two local file systems may be apart: they tick together, but keep times as coarse as they like.
pub const TICK: Duration = Duration::from_millis(20);
/// The same for file systems that are far away or not known.
pub const COARSE_TICK: Duration = Duration::from_secs(2);

/// index.json as it lies in a file on the disk, open, and its stamp. In an archive it is a stretch of the
/// archive, whose stamp this then is.
#[derive(Debug)]
pub struct Imprint {
    file: File,
    at: u64,
    len: u64,
    stamp: Stamp,
}

impl Imprint {
    /// The imprint of `len` bytes from `at` of an open file.
    pub fn of(file: File, at: u64, len: u64) -> io::Result<Self> {
        let stamp = Stamp::of(&file)?;
        Ok(Self { file, at, len, stamp })
    }

    /// What the file was like when this was made.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The length of index.json.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Reads from `at` of index.json until `buffer` is full or index.json ends; how much there was.
    pub fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let want = left.min(buffer.len());
        let mut got = 0;
        while got < want {
            match self.file.read_at(&mut buffer[got..want], self.at + at + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            }
        }
        Ok(got)
    }

    /// Whether the file is still what it was when this was made.
    pub fn unchanged(&self) -> bool {
        Stamp::of(&self.file).is_ok_and(|now| now == self.stamp)
    }

    /// Whether every later change of the file will show in its stamp: at `now`, the stamp of something changed just now,
    /// the clock had gone on since it was changed. Where it is not settled, only comparing its content tells.
    pub fn settled(&self, now: &Stamp) -> bool {
        let margin = match (self.is_local(), now.dev == self.stamp.dev) {
            // The same clock, as coarse as it may be: one that is put back does not meet the same nanosecond again.
            (true, true) => Duration::ZERO,
            (true, false) => TICK,
            (false, _) => COARSE_TICK,
        };
        now.changed() - self.stamp.changed() > i128::try_from(margin.as_nanos()).unwrap_or(i128::MAX)
    }

    /// Whether it is on a file system of this machine, whose clock is that of the kernel.
    pub fn is_local(&self) -> bool {
        // ext, xfs, btrfs, tmpfs, overlay, f2fs, bcachefs, erofs, squashfs
        const LOCAL: [u64; 9] = [
            0xEF53,
            0x5846_5342,
            0x9123_683E,
            0x0102_1994,
            0x794C_7630,
            0xF2F5_2010,
            0xCA45_1A4E,
            0xE0F5_E1E2,
            0x7371_7368,
        ];
        let kind = fstatfs(&self.file).map(|stat| u64::from_ne_bytes(stat.f_type.to_ne_bytes()) & 0xFFFF_FFFF);
        kind.is_ok_and(|kind| LOCAL.contains(&kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_from_its_bytes() {
        let stamp = Stamp { dev: 1, ino: 2, size: 3, ctime: (-4, 5), mtime: (6, 7) };
        assert_eq!(Stamp::from_bytes(&stamp.to_bytes()), stamp);
    }

    /// A clock that was put back, before or after: only the content tells then.
    #[test]
    fn a_file_from_the_future_is_not_settled_and_one_from_before_the_epoch_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.json");
        std::fs::write(&path, b"{}").unwrap();
        let imprint = |seconds: i64| {
            let mut imprint = Imprint::of(File::open(&path).unwrap(), 0, 2).unwrap();
            imprint.stamp.ctime.0 += seconds;
            imprint
        };
        let now = *imprint(0).stamp();
        assert!(!imprint(3600).settled(&now) && !imprint(i64::from(i32::MAX)).settled(&now));
        assert!(imprint(-3600).settled(&now) && imprint(-2 * now.ctime.0).settled(&now));
    }

    #[test]
    fn a_file_that_just_changed_is_not_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.json");
        std::fs::write(&path, b"{}").unwrap();
        let imprint = Imprint::of(File::open(&path).unwrap(), 0, 2).unwrap();
        assert!(!imprint.settled(imprint.stamp()));
        std::thread::sleep(TICK * 2);
        let later = dir.path().join("later");
        std::fs::write(&later, b"").unwrap();
        assert!(imprint.settled(&Stamp::of(&File::open(&later).unwrap()).unwrap()));
        assert!(imprint.unchanged());
        std::fs::write(&path, b"[]").unwrap();
        assert!(!imprint.unchanged());
    }
}
