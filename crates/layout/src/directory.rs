//! A layout in a directory, looked at.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::index::{IndexFile, MAX_INDEX};
use crate::source::{Access, Blob, Content, Count, Found, Marker, Source};
use crate::stamp::{Imprint, Stamp};
use crate::{sieve, staged, stray};

/// The directory in a layout in which everything of ours lies.
pub const OURS: &str = ".ocistow";
/// Lies in [`OURS`] from before a new layout gets its `oci-layout` until it has its index.json.
pub(crate) const MAKING: &str = "making";
/// The longest `oci-layout` file read.
pub const MAX_MARKER: u64 = 64 << 10;

/// A layout in a directory. Nothing is changed by looking; links are followed while they stay inside.
pub struct Directory {
    location: String,
    root: PathBuf,
    fd: OwnedFd,
    marker: Marker,
}

/// What lies under a name in the layout.
enum Lies {
    Nothing,
    File(File, u64),
    /// Something that can be no content, and what it is.
    Unfit(&'static str),
}

impl Directory {
    /// Opens the layout in the directory `path`. NotFound where there is no layout: no directory, or
    /// neither `oci-layout` nor index.json in it, or a layout of ours whose making never ended.
    pub fn open(path: &Path) -> Result<Self> {
        let location = path.display().to_string();
        let no_layout = |why: &str| {
            let what = format!("could not open {location}");
            Error::new(Kind::NotFound, what).because(format!("it is no OCI layout: {why}"))
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|why| Error::io("open", path, why.into()))?;
        let root = path.canonicalize().map_err(|why| Error::io("open", path, why))?;
        let mut opened = Self { location: location.clone(), root, fd, marker: Marker::Absent };
        let has_index = !matches!(opened.at("index.json", false)?, Lies::Nothing);
        opened.marker = opened.read_marker()?;
        if opened.marker == Marker::Absent && !has_index {
            return Err(no_layout("it has neither oci-layout nor index.json"));
        }
        if !has_index && is_there(&opened.root.join(OURS).join(MAKING))? {
            return Err(no_layout("its making was interrupted; whatever writes to it makes it whole"));
        }
        Ok(opened)
    }

    /// The real path of the layout's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What lies at a path inside the layout. Links are followed while they stay inside. With `content`
    /// a file is opened for reading, else only looked at.
    fn at(&self, inside: &str, content: bool) -> Result<Lies> {
        let failed = |why: Errno| Error::io("open", self.root.join(inside), why.into()).of_kind(Kind::Failed);
        // Non-blocking: a FIFO or a device that lies where a blob should never makes anybody wait.
        let how = if content { OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY } else { OFlags::PATH };
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = loop {
            match rustix::fs::openat2(&self.fd, inside, how | OFlags::CLOEXEC, Mode::empty(), beneath) {
                // A rename somewhere above while `..` was resolved: ask again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Kernels that do not know the call, and sandboxes that do not let it through.
                Err(Errno::NOSYS | Errno::PERM) => break self.without_openat2(inside, how),
                other => break other,
            }
        };
        let fd = match opened {
            Ok(fd) => fd,
            Err(Errno::NOENT) => {
                let there = rustix::fs::statat(&self.fd, inside, AtFlags::SYMLINK_NOFOLLOW).is_ok();
                return Ok(if there { Lies::Unfit("a link to nothing") } else { Lies::Nothing });
            }
            Err(Errno::XDEV) => return Ok(Lies::Unfit("a link that leaves the layout")),
            Err(Errno::LOOP) => return Ok(Lies::Unfit("a link that goes in circles")),
            Err(Errno::NOTDIR) => return Ok(Lies::Unfit("below something that is no directory")),
            Err(Errno::NXIO) => return Ok(Lies::Unfit("a socket")),
            Err(why) => return Err(failed(why)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(failed)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Lies::File(File::from(fd), u64::try_from(stat.st_size).unwrap_or(0)),
            FileType::Directory => Lies::Unfit("a directory"),
            FileType::Fifo => Lies::Unfit("a FIFO"),
            FileType::Socket => Lies::Unfit("a socket"),
            _ => Lies::Unfit("a device"),
        })
    }

    /// For kernels and sandboxes that do not know openat2: the same answer by resolving first. Somebody
    /// who swaps links in between can make it open another regular file; its digest is still checked.
    fn without_openat2(&self, inside: &str, how: OFlags) -> std::result::Result<OwnedFd, Errno> {
        let errno = |why: io::Error| Errno::from_io_error(&why).unwrap_or(Errno::IO);
        let real = self.root.join(inside).canonicalize().map_err(errno)?;
        if !real.starts_with(&self.root) {
            return Err(Errno::XDEV);
        }
        rustix::fs::open(real, how | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    }

    fn unfit(&self, digest: &Digest, what: &str) -> Error {
        let said = format!("could not read blob {digest} in {}", self.location);
        Error::new(Kind::Integrity, said).because(format!("it is {what}"))
    }

    /// What the file oci-layout says.
    fn read_marker(&self) -> Result<Marker> {
        let read = || match self.at("oci-layout", true)? {
            Lies::Nothing => Ok((Marker::Absent, Vec::new())),
            Lies::Unfit(what) => Ok((Marker::Wrong(format!("it is {what}")), Vec::new())),
            Lies::File(_, size) if size > MAX_MARKER => Ok((Marker::Wrong(format!("it has {size} bytes")), Vec::new())),
            Lies::File(file, size) => {
                let failed = |why| Error::io("read", self.root.join("oci-layout"), why);
                let mut bytes = Vec::new();
                file.take(size).read_to_end(&mut bytes).map_err(failed)?;
                Ok((Marker::judge(&bytes), bytes))
            }
        };
        // regctl rewrites it in place whenever it writes at all.
        let mut last = read()?;
        for _ in 0..3 {
            if !matches!(last.0, Marker::Wrong(_)) {
                break;
            }
            thread::sleep(Duration::from_millis(20));
            let again = read()?;
            if again == last {
                break;
            }
            last = again;
        }
        Ok(last.0)
    }

    /// The bytes of index.json as they are now, and the stamp they have, if they kept it while they were read.
    fn index_bytes(&self) -> Result<(Vec<u8>, Option<Stamp>)> {
        let bad = |why: &str| {
            Error::new(Kind::Integrity, format!("could not read {}/index.json", self.location)).because(why)
        };
        match self.at("index.json", true)? {
            Lies::Nothing if !is_there(&self.root)? => {
                Err(Error::new(Kind::NotFound, format!("could not read {}/index.json", self.location))
                    .because("the layout has gone"))
            }
            Lies::Nothing => Err(bad("there is none")),
            Lies::Unfit(what) => Err(bad(&format!("it is {what}"))),
            Lies::File(_, size) if size > MAX_INDEX => {
                Err(bad(&format!("it has {size} bytes, the limit is {MAX_INDEX}")))
            }
            Lies::File(file, size) => {
                let failed = |why| Error::io("read", self.root.join("index.json"), why);
                let stamp = Stamp::of(&file).map_err(failed)?;
                let bytes =
                    sieve::index(&mut (&file).take(MAX_INDEX), size, &|| u64::MAX).map_err(|why| match why {
                        why if why.kind() == io::ErrorKind::InvalidData => bad(&why.to_string()),
                        why => failed(why),
                    })?;
                let kept = Stamp::of(&file).is_ok_and(|now| now == stamp);
                Ok((bytes, kept.then_some(stamp)))
            }
        }
    }

    /// index.json as it is now, and its stamp, if it did not change while it was read.
    pub(crate) fn stamped_index(&self) -> Result<(IndexFile, Option<Stamp>)> {
        // oras and BuildKit rewrite index.json in place: what does not parse may be half-written (4.9).
        let (mut bytes, mut stamp) = self.index_bytes()?;
        let mut tries = 0;
        let why = loop {
            let (why, read) = match IndexFile::parse_or_back(bytes) {
                Ok(index) => return Ok((index, stamp)),
                Err(back) => back,
            };
            if tries == 3 {
                break why;
            }
            tries += 1;
            thread::sleep(Duration::from_millis(50));
            (bytes, stamp) = self.index_bytes()?;
            if bytes == read {
                break why;
            }
        };
        Err(Error::new(Kind::Integrity, format!("could not read {}/index.json", self.location))
            .because(std::error::Error::source(&why).map_or_else(|| why.to_string(), ToString::to_string)))
    }

    /// All names of digests in all directories below `blobs`. Writers put other things beside them for a while, and what
    /// is no directory, or a link to none, has no names in it: neither ends the list.
    fn blob_names(&self, f: &mut dyn FnMut(Digest)) -> io::Result<()> {
        let algorithms = match fs::read_dir(self.root.join("blobs")) {
            Ok(algorithms) => algorithms,
            Err(why) if leads_nowhere(&why) => return Ok(()),
            Err(why) => return Err(why),
        };
        for algorithm in algorithms {
            let algorithm = algorithm?;
            let Ok(name) = algorithm.file_name().into_string() else { continue };
            let inside = match fs::read_dir(algorithm.path()) {
                Ok(inside) => inside,
                Err(why) if leads_nowhere(&why) => continue,
                Err(why) => return Err(why),
            };
            for blob in inside {
                let Ok(encoded) = blob?.file_name().into_string() else { continue };
                if let Ok(digest) = format!("{name}:{encoded}").parse() {
                    f(digest);
                }
            }
        }
        Ok(())
    }

    /// What a file is to a survey.
    fn judge(&self, inside: &str, dir: bool) -> Result<Option<Found>> {
        if let Some(["blobs", algorithm, encoded]) = inside.split('/').collect::<Vec<_>>().first_chunk::<3>().copied() {
            if inside.split('/').count() > 3 {
                return Ok((!stray::known(inside)).then(|| Found::Stray(inside.into())));
            }
            return Ok(match format!("{algorithm}:{encoded}").parse::<Digest>() {
                Err(_) if stray::known(inside) => None,
                Err(why) => Some(Found::Unfit(inside.into(), why.to_string())),
                Ok(digest) => Some(match self.at(inside, false)? {
                    Lies::File(_, size) => Found::Blob(Blob { digest, size }),
                    Lies::Unfit(what) => Found::Unfit(inside.into(), format!("it is {what}")),
                    Lies::Nothing => return Ok(None),
                }),
            });
        }
        let expected = matches!(inside, "oci-layout" | "index.json") || dir;
        Ok((!expected && !stray::known(inside)).then(|| Found::Stray(inside.into())))
    }
}

impl Source for Directory {
    fn location(&self) -> &str {
        &self.location
    }

    fn marker(&self) -> Marker {
        self.marker.clone()
    }

    fn index(&self) -> Result<IndexFile> {
        self.stamped_index().map(|(index, _)| index)
    }

    fn imprint(&self) -> Result<Option<Imprint>> {
        match self.at("index.json", true)? {
            Lies::File(file, size) if size <= MAX_INDEX => {
                let imprint = Imprint::of(file, 0, size);
                imprint.map(Some).map_err(|why| Error::io("read", self.root.join("index.json"), why))
            }
            _ => Ok(None),
        }
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.at(&digest.path(), false)? {
            Lies::Nothing => Ok(None),
            Lies::File(_, size) => Ok(Some(size)),
            Lies::Unfit(what) => Err(self.unfit(digest, what)),
        }
    }

    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        self.blob_names(f).map_err(|why| Error::io("list", self.root.join("blobs"), why))
    }

    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        match self.at(&digest.path(), true)? {
            Lies::Nothing => Ok(None),
            Lies::File(file, size) => Ok(Some(Content::Owned(file, size))),
            Lies::Unfit(what) => Err(self.unfit(digest, what)),
        }
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        let mut walk = walkdir::WalkDir::new(&self.root).min_depth(1).into_iter();
        let mut blobs = false;
        while let Some(step) = walk.next() {
            let step = match step {
                Ok(step) => step,
                // Somebody took it away meanwhile.
                Err(why) if why.depth() > 0 && gone(&why) => continue,
                Err(why) => {
                    let path = why.path().unwrap_or(&self.root).to_owned();
                    return Err(Error::io("list", path, plain(why)));
                }
            };
            let inside = step.path().strip_prefix(&self.root).unwrap_or(step.path());
            let Some(inside) = inside.to_str() else {
                f(Found::Stray(inside.display().to_string()));
                continue;
            };
            if step.file_type().is_dir() && inside == OURS {
                walk.skip_current_dir();
                continue;
            }
            blobs |= inside == "blobs" && !step.file_type().is_file();
            let depth = inside.split('/').count();
            if step.file_type().is_symlink() && depth <= 2 && (inside == "blobs" || inside.starts_with("blobs/")) {
                self.survey_linked(inside, f)?;
                continue;
            }
            // No link leads to a file that this walk meets: its length is all there is to ask.
            if let Some(digest) = blob_at(inside).filter(|_| step.file_type().is_file()) {
                match step.metadata() {
                    Ok(meta) => f(Found::Blob(Blob { digest, size: meta.len() })),
                    Err(why) if gone(&why) => {}
                    Err(why) => return Err(Error::io("look at", step.path(), plain(why))),
                }
                continue;
            }
            let dir = step.file_type().is_dir();
            if let Some(found) = self.judge(inside, dir)? {
                f(found);
                if dir {
                    walk.skip_current_dir();
                }
            }
        }
        if !blobs {
            f(Found::NoBlobs);
        }
        Ok(())
    }

    fn staged(&self) -> Result<Count> {
        staged::staged(&self.root)
    }
}

impl Directory {
    /// `blobs` or `blobs/<algorithm>` that is a link: what is behind it, if it stays inside.
    fn survey_linked(&self, inside: &str, f: &mut dyn FnMut(Found)) -> Result<()> {
        let at = self.root.join(inside);
        let real = match at.canonicalize() {
            Ok(real) if real.starts_with(&self.root) && is_directory(&real)? => real,
            Err(why) if is_there(&at)? && fs::metadata(&at).is_ok() => return Err(Error::io("look at", at, why)),
            _ => {
                f(Found::Unfit(inside.into(), "it is a link that leads to no directory inside".into()));
                return Ok(());
            }
        };
        let depth = 3 - inside.split('/').count();
        for step in walkdir::WalkDir::new(&real).min_depth(depth).max_depth(depth).sort_by_file_name() {
            let step = step.map_err(|why| Error::io("list", &real, plain(why)))?;
            let name = step.path().strip_prefix(&real).ok().and_then(Path::to_str).unwrap_or_default();
            if let Some(found) = self.judge(&format!("{inside}/{name}"), false)? {
                f(found);
            }
        }
        Ok(())
    }
}

/// Whether there is a directory. Failed where there is something else, a link to one included: nothing
/// is written through links.
pub(crate) fn is_dir(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(true),
        Ok(_) => {
            let what = format!("could not write below {}", path.display());
            Err(Error::new(Kind::Failed, what)
                .because("it is no directory of its own; nothing is written through a link"))
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(why) => Err(Error::io("look at", path, why)),
    }
}

/// What lies in a directory, in no order; nothing where there is none of its own: no link is followed. Failed where the
/// disk does not say.
pub(crate) fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |why| Error::io("list", dir, why);
    if !asked(dir, fs::symlink_metadata(dir))?.is_some_and(|meta| meta.is_dir()) {
        return Ok(Vec::new());
    }
    match fs::read_dir(dir) {
        Ok(inside) => inside.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect(),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(why) => Err(failed(why)),
    }
}

/// Whether there is anything under a name. Failed where the disk does not say.
pub fn is_there(path: &Path) -> Result<bool> {
    asked(path, fs::symlink_metadata(path)).map(|meta| meta.is_some())
}

/// Whether there is a directory, or a link to one. Failed where the disk does not say.
pub fn is_directory(path: &Path) -> Result<bool> {
    asked(path, fs::metadata(path)).map(|meta| meta.is_some_and(|meta| meta.is_dir()))
}

/// Whether there is nothing behind a path, or nothing that has anything in it.
pub(crate) fn leads_nowhere(why: &io::Error) -> bool {
    let errno = why.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

/// What asking for a file gave; `None` where there is none.
pub(crate) fn asked(path: &Path, meta: io::Result<fs::Metadata>) -> Result<Option<fs::Metadata>> {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    match meta {
        Err(why) if matches!(why.kind(), NotFound | NotADirectory | InvalidInput | InvalidFilename) => Ok(None),
        meta => meta.map(Some).map_err(|why| Error::io("look at", path, why)),
    }
}

/// The digest whose blob lies at a path inside the layout.
fn blob_at(inside: &str) -> Option<Digest> {
    let (algorithm, encoded) = inside.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{encoded}").parse().ok()
}

/// Whether a walk failed for something that was taken away.
fn gone(why: &walkdir::Error) -> bool {
    why.io_error().is_some_and(|why| why.kind() == io::ErrorKind::NotFound)
}

/// The cause alone: the path is said by whoever tells of it.
pub(crate) fn plain(why: walkdir::Error) -> io::Error {
    let whole = why.to_string();
    why.into_io_error().unwrap_or_else(|| io::Error::other(whole))
}
