//! The swap of index.json, which looks at what came out, and can be undone.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use super::{REPLAYS, Transaction, unique};
use crate::checked::CHUNK;
use crate::directory::OURS;
use crate::edit::{Edited, merge};
use crate::error::{Error, Kind, Result};
use crate::index::IndexFile;
use crate::medium::cannot;
use crate::place::open;

/// What came out when index.json was swapped.
pub(super) enum Out {
    /// It was not swapped, or what came out is lost.
    Nothing,
    /// There was none before.
    None,
    /// A file that lies here.
    At(PathBuf),
}

impl Transaction<'_> {
    /// Undoes the last [`publish_onto`](Self::publish_onto), unless index.json is not `ours` any more: then somebody else
    /// has changed it. As far as the file system lets it.
    pub(crate) fn unpublish(&mut self, ours: &[u8]) {
        let Some(out) = self.swapped.take() else { return };
        let still = |path: &Path| open(path, OFlags::RDONLY).and_then(|file| holds(&file, ours)).is_ok_and(|is| is);
        if still(&self.root.join("index.json")) {
            self.take_back(&out);
            // Somebody else may have changed it right before.
            if let Out::At(old) = &out
                && fs::symlink_metadata(old).is_ok()
                && !still(old)
            {
                self.take_back(&out);
            }
        }
    }

    /// Puts the new index.json in the place of the old one, and waits until that is on the disk. Gives what came out,
    /// and what was put there if that had to be something else than `after` in the end. On `Err` the old one is back
    /// in its place, as far as the file system lets it.
    pub(super) fn swap(
        &self,
        new: PathBuf,
        before: &IndexFile,
        after: &Edited,
        change: &mut dyn FnMut(&IndexFile) -> Result<Edited>,
    ) -> Result<(Out, Option<Vec<u8>>)> {
        let mut out = Out::Nothing;
        let swapped = self.swap_and_look(new, before, after, change, &mut out);
        match swapped.and_then(|instead| self.sync_dir(&self.root).map(|()| instead)) {
            Ok(instead) => Ok((out, instead)),
            Err(why) => {
                self.take_back(&out);
                Err(why)
            }
        }
    }

    /// Swaps, and looks at what came out: as long as that is not what the change was made on, the change is made
    /// again on what is there by then. `out` tells what came out last, on `Err` too.
    fn swap_and_look(
        &self,
        mut new: PathBuf,
        first: &IndexFile,
        decided: &Edited,
        change: &mut dyn FnMut(&IndexFile) -> Result<Edited>,
        out: &mut Out,
    ) -> Result<Option<Vec<u8>>> {
        let at = self.root.join("index.json");
        let failed = |why: io::Error| match why.kind() {
            io::ErrorKind::CrossesDevices => Error::new(Kind::Failed, format!("could not write {}", at.display()))
                .because(format!("its {OURS} is on another file system"))
                .hint("blobs may lie on another one; what index.json is exchanged with has to be where that is"),
            _ => Error::io("write", &at, why).of_kind(Kind::Failed),
        };
        if self.old.is_none() {
            match self.options.medium.rename_new(&new, &at) {
                Ok(()) => {
                    *out = Out::None;
                    return Ok(None);
                }
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
                Err(why) => return Err(failed(why)),
            }
        }
        // What lies there, what is put in its place, and index.json as it would be without us.
        let mut again: Option<(IndexFile, Vec<u8>, IndexFile)> = None;
        for _ in 0..REPLAYS {
            let came_out = self.exchange(&new, &at, out).map_err(failed)?;
            let there = again.as_ref().map_or(first, |(there, ..)| there);
            if holds(&came_out, there.bytes()).map_err(failed)? {
                return Ok(again.map(|(_, ours, _)| ours));
            }
            let afresh = || (first.clone(), decided.bytes.clone(), first.clone());
            let (there, ours, mut theirs) = again.take().unwrap_or_else(afresh);
            // Somebody who does not know our locks wrote in between. What he wrote goes back at once: who reads
            // index.json now, and writes it later, would take it away.
            let now = match out {
                Out::At(old) => {
                    let upon = self.exchange(old, &at, &mut Out::Nothing).map_err(failed)?;
                    *out = Out::Nothing;
                    // Somebody may have written on ours meanwhile.
                    if let Some(upon) = settled(upon, &ours).map_err(failed)? {
                        theirs = merge(&IndexFile::parse(ours)?, upon?, &theirs)?;
                    }
                    open(&at, OFlags::RDONLY).map_err(failed)?
                }
                // It has no name any more.
                _ => came_out,
            };
            let now = settled(now, there.bytes()).map_err(failed)?.unwrap_or_else(|| Ok(there.clone()))?;
            theirs = merge(&there, now.clone(), &theirs)?;
            let edited = change(&theirs)?;
            (new, _) = self.staged_index(&edited.bytes)?;
            again = Some((now, edited.bytes, theirs));
        }
        let what = format!("could not write {}", at.display());
        Err(Error::new(Kind::Failed, what).because("somebody else keeps changing it"))
    }

    /// Puts one file in the place of another; gives that, open, and tells in `out` where it lies.
    fn exchange(&self, new: &Path, at: &Path, out: &mut Out) -> io::Result<File> {
        let medium = self.options.medium;
        match medium.exchange(new, at) {
            Ok(()) => {
                *out = Out::At(new.to_owned());
                open(new, OFlags::RDONLY)
            }
            Err(why) if cannot(&why) => {
                // The old file stays open: what is in it can be read after it lost its name.
                let old = open(at, OFlags::RDONLY)?;
                let kept = self.usual().join(format!("index.json-{}", unique()));
                let kept = medium.link(at, &kept).is_ok().then_some(kept);
                medium.rename(new, at)?;
                *out = kept.map_or(Out::Nothing, Out::At);
                Ok(old)
            }
            Err(why) => Err(why),
        }
    }

    /// Undoes the last swap. What keeps that from being done has kept something before, and was told.
    pub(super) fn take_back(&self, out: &Out) {
        let medium = self.options.medium;
        let at = self.root.join("index.json");
        let undone = match out {
            Out::Nothing => Ok(()),
            Out::None => medium.unlink(&at),
            Out::At(old) => match medium.exchange(old, &at) {
                Err(why) if cannot(&why) => medium.rename(old, &at),
                undone => undone,
            },
        };
        let _ = undone.and_then(|()| medium.sync_dir(&self.root));
    }
}

/// The index in a file, once it parses: tools that write in place may still be at it. `None` where
/// it is what was expected.
fn settled(mut file: File, expected: &[u8]) -> io::Result<Option<Result<IndexFile>>> {
    let mut tries = 0;
    loop {
        if holds(&file, expected)? {
            return Ok(None);
        }
        io::Seek::rewind(&mut file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let index = IndexFile::parse(bytes);
        if index.is_ok() || tries == 3 {
            return Ok(Some(index));
        }
        tries += 1;
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether what is in a file is exactly this.
fn holds(mut file: &File, mut expected: &[u8]) -> io::Result<bool> {
    io::Seek::rewind(&mut file)?;
    let mut buffer = vec![0; CHUNK.min(expected.len() + 1)];
    loop {
        let got = file.read(&mut buffer)?;
        match expected.strip_prefix(&buffer[..got]) {
            Some(rest) if got > 0 => expected = rest,
            Some(rest) => return Ok(rest.is_empty()),
            None => return Ok(false),
        }
    }
}
