//! Files of artifacts, written back to a user's disk: below one directory, through no link, all of them or none.
//!
//! Everything is first written to a directory of its own in the target, in the same shape, then held against what is
//! there, and moved only if nothing is in the way. What was moved goes back if a later move fails. A target that is not
//! there yet is written beside its place, and moved as a whole.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::archive::tree::{Branch, Sort, members};
use crate::archive::{Existing, sniff};
use crate::checked::{CHUNK, fill, pump, verify, wrong_digest};
use crate::digest::{Digest, Hasher};
use crate::directory::{is_directory, is_there};
use crate::error::{Error, Kind, Result};
use crate::lock::keep;
use crate::medium::{Medium, cannot};
use crate::place::{self, open, resolved};
use crate::source::{Blob, Content, Watch};
use crate::title::Title;
use crate::transaction::{SYNC_EACH, syncs_whole, unique};

/// What the names of our directories in the target start with.
const OURS: &str = ".ocistow-pull-";

/// How files are written back.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What happens to files that are there.
    pub existing: Existing,
    /// What is written to.
    pub medium: &'a dyn Medium,
    /// Who watches.
    pub watch: &'a dyn Watch,
}

/// Files being written back. Dropped before [`publish`](Self::publish), nothing of it remains.
pub struct Output<'a> {
    /// The target, which need not be there yet.
    root: PathBuf,
    /// Ours, and as long as this is open nobody else's to clear.
    staging: PathBuf,
    _held: File,
    /// Where everything lies as it will lie in the target.
    tree: PathBuf,
    /// The permissions that the umask lets through.
    allowed: u32,
    /// A handle for syncing the whole file system, where that can be trusted.
    whole: Option<File>,
    /// The first few files, to sync each.
    open: Vec<File>,
    files: usize,
    directories: usize,
    /// Directories whose permissions are not those they were made with: set last, so that we can write to them.
    modes: BTreeMap<PathBuf, u32>,
    /// The directory below `tree` that was last seen to be one.
    seen: PathBuf,
    options: Options<'a>,
}

impl<'a> Output<'a> {
    /// Starts writing to the directory `dir`, or to a new one of that name if its parent is there.
    pub fn begin(dir: &Path, options: Options<'a>) -> Result<Self> {
        let failed = |why| Error::io("write to", dir, why);
        let place = resolved(dir).map_err(failed)?;
        if !is_there(&place)? {
            let around = resolved(place.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
            return Self::staged(&around, place, options);
        }
        let root = dir.canonicalize().map_err(failed)?;
        if !is_directory(&root)? {
            return Err(
                Error::new(Kind::Failed, format!("could not write to {}", dir.display())).because("it is no directory")
            );
        }
        // What was left by one that had just made it new lies beside it.
        root.parent().into_iter().for_each(|around| clear_litter(around, options.medium));
        Self::staged(&root.clone(), root, options)
    }

    /// Starts writing to a directory of ours in `around`.
    fn staged(around: &Path, root: PathBuf, options: Options<'a>) -> Result<Self> {
        clear_litter(around, options.medium);
        let medium = options.medium;
        loop {
            let staging = around.join(format!("{OURS}{}", unique()));
            let failed = |why| Error::io("write to", &root, why).of_kind(Kind::Failed);
            medium.make_dir(&staging).map_err(failed)?;
            let tree = staging.join("tree");
            let begun = hold(&staging).and_then(|held| match held {
                Some(held) => medium.make_dir(&tree).map(|()| Some(held)),
                None => Ok(None),
            });
            let held = match begun {
                Ok(Some(held)) => held,
                // Somebody took it for litter before it was held.
                Ok(None) => continue,
                Err(why) => {
                    sweep(&staging, medium);
                    return Err(failed(why));
                }
            };
            let allowed = match held.metadata() {
                Ok(meta) => meta.mode() & 0o777,
                Err(why) => {
                    sweep(&staging, medium);
                    return Err(failed(why));
                }
            };
            return Ok(Self {
                whole: directory(&staging).ok().filter(syncs_whole),
                seen: tree.clone(),
                root,
                staging,
                _held: held,
                tree,
                allowed,
                open: Vec::new(),
                files: 0,
                directories: 0,
                modes: BTreeMap::new(),
                options,
            });
        }
    }

    /// Writes a file, verified. Integrity where its title is that of the directory everything is written to, or of
    /// something that was written before.
    pub fn file(&mut self, title: &Title, blob: &Blob, content: Content<'_>) -> Result<()> {
        let names: Vec<&[u8]> = title.names().map(str::as_bytes).collect();
        let (path, file) = self.create(&names)?;
        let medium = self.options.medium;
        pump(blob, content, self.options.watch, &mut |piece, at| {
            medium.write_at(&file, piece, at).map_err(|why| unwritten(&path, why))
        })?;
        self.written(&path, file)
    }

    /// Writes the directory that is packed in a blob: a tar, plain or in gzip or zstd. The blob is verified before
    /// anything in it is looked at, and the tar against `tar`, if given, before anything is seen.
    ///
    /// Integrity where the tar is not what it should be, or has members that lie or lead elsewhere.
    pub fn directory(&mut self, title: &Title, blob: &Blob, content: Content<'_>, tar: Option<&Digest>) -> Result<()> {
        let kept;
        let (file, at) = match content {
            Content::Bytes(bytes) => {
                verify(blob, Content::Bytes(bytes), self.options.watch)?;
                return self.unpack(title, blob, bytes, tar);
            }
            Content::Extent { file, at, .. } => (file, at),
            Content::Owned(file, _) => {
                kept = file;
                (&kept, 0)
            }
            stream @ Content::Stream(..) => {
                kept = self.aside(blob, stream)?;
                (&kept, 0)
            }
        };
        let content = || Content::Extent { file, at, len: blob.size };
        verify(blob, content(), self.options.watch)?;
        self.unpack(title, blob, content().reader(), tar)
    }

    /// What cannot be read twice, in a file that can.
    fn aside(&self, blob: &Blob, content: Content<'_>) -> Result<File> {
        let medium = self.options.medium;
        let path = self.staging.join(format!("packed-{}", unique()));
        let file = medium.create(&path).map_err(|why| unwritten(&path, why))?;
        let written = pump(blob, content, self.options.watch, &mut |piece, at| {
            medium.write_at(&file, piece, at).map_err(|why| unwritten(&path, why))
        });
        // It is only needed as long as it is open.
        medium.unlink(&path).map_err(|why| unwritten(&path, why))?;
        written.map(|()| file)
    }

    fn unpack(&mut self, title: &Title, blob: &Blob, packed: impl Read + Send, tar: Option<&Digest>) -> Result<()> {
        let unread = |why| Error::new(Kind::Failed, format!("could not read blob {}", blob.digest)).because(why);
        let mut packed = Hashed { reader: packed, hasher: blob.digest.hasher() };
        let mut start = vec![0; 512];
        let got = fill(&mut packed, &mut start).map_err(unread)?;
        start.truncate(got);
        let form = sniff(&start);
        form.readable(title.as_str())?;
        let mut plain = Hashed {
            reader: form.unpack(Cursor::new(start).chain(&mut packed)).map_err(unread)?,
            hasher: tar.and_then(Digest::hasher),
        };
        let names: Vec<&[u8]> = title.names().map(str::as_bytes).collect();
        self.place(&names, true)?;
        let watch = self.options.watch;
        members(&mut plain, title, watch, &mut |branch, content| self.branch(&names, branch, content))?;
        if let (Some(tar), Some(hasher)) = (tar, plain.hasher.take()) {
            let found = hasher.finish();
            if found != *tar {
                return Err(Error::new(Kind::Integrity, format!("could not unpack {title}"))
                    .because(format!("its tar should have the digest {tar} and has {found}")));
            }
        }
        drop(plain);
        // It was right before; it has to be still.
        io::copy(&mut packed, &mut io::sink()).map_err(unread)?;
        match packed.hasher.map(Hasher::finish).filter(|found| *found != blob.digest) {
            Some(found) => Err(wrong_digest(&blob.digest, &found)),
            None => Ok(()),
        }
    }

    /// Writes one member of a directory.
    fn branch(&mut self, title: &[&[u8]], branch: Branch, content: &mut dyn Read) -> Result<()> {
        let medium = self.options.medium;
        let names = |path: &'_ [Vec<u8>]| -> Vec<Vec<u8>> {
            title.iter().map(|name| name.to_vec()).chain(path.iter().cloned()).collect()
        };
        let own = names(&branch.path);
        let own: Vec<&[u8]> = own.iter().map(Vec::as_slice).collect();
        match branch.sort {
            Sort::Directory => {
                let path = self.place(&own, true)?;
                // Whatever was said of it last holds.
                match branch.mode & self.allowed {
                    mode if mode == self.allowed => drop(self.modes.remove(&path)),
                    mode => drop(self.modes.insert(path, mode)),
                }
            }
            Sort::File => {
                let (path, file) = self.create(&own)?;
                let mut buffer = vec![0; CHUNK];
                let mut at = 0;
                loop {
                    let got = fill(content, &mut buffer).map_err(|why| {
                        let kind = match why.kind() {
                            io::ErrorKind::InvalidData => Kind::Integrity,
                            _ => Kind::Failed,
                        };
                        Error::new(kind, format!("could not unpack {}", self.shown(&path))).because(why)
                    })?;
                    if got == 0 {
                        break;
                    }
                    self.options.watch.go_on()?;
                    medium.write_at(&file, &buffer[..got], at).map_err(|why| unwritten(&path, why))?;
                    at += got as u64;
                }
                let mode = branch.mode & self.allowed;
                if mode != 0o666 & self.allowed {
                    medium.set_mode(&file, mode).map_err(|why| unwritten(&path, why))?;
                }
                self.written(&path, file)?;
            }
            Sort::Link(target) => {
                let path = self.place(&own, false)?;
                let made = medium.symlink(Path::new(OsStr::from_bytes(&target)), &path);
                made.map_err(|why| self.unmade(&path, why))?;
            }
            Sort::Same(other) => {
                let path = self.place(&own, false)?;
                let other = names(&other);
                let other: Vec<&[u8]> = other.iter().map(Vec::as_slice).collect();
                let from = self.there(&other)?;
                match medium.link(&from, &path) {
                    Err(why) if cannot(&why) => self.double(&from, &own)?,
                    linked => linked.map_err(|why| self.unmade(&path, why))?,
                }
            }
        }
        Ok(())
    }

    /// The file of a directory that another member says it is.
    fn there(&mut self, names: &[&[u8]]) -> Result<PathBuf> {
        let mut path = self.tree.clone();
        for (at, name) in names.iter().enumerate() {
            path.push(OsStr::from_bytes(name));
            let meta = fs::symlink_metadata(&path);
            let right = meta.is_ok_and(|meta| if at + 1 < names.len() { meta.is_dir() } else { meta.is_file() });
            if !right {
                return Err(Error::new(Kind::Integrity, format!("could not unpack {}", self.shown(&path)))
                    .because("a hard link leads to it, and it is no file that came before"));
            }
        }
        Ok(path)
    }

    /// A second file with the content of one that was written.
    fn double(&mut self, from: &Path, names: &[&[u8]]) -> Result<()> {
        let failed = |why| Error::io("read", from, why).of_kind(Kind::Failed);
        let mut source = open(from, OFlags::RDONLY).map_err(failed)?;
        let mode = source.metadata().map_err(failed)?.mode() & 0o777;
        let (path, file) = self.create(names)?;
        let (mut buffer, mut at) = (vec![0; CHUNK], 0);
        loop {
            let got = fill(&mut source, &mut buffer).map_err(failed)?;
            if got == 0 {
                break;
            }
            let written = self.options.medium.write_at(&file, &buffer[..got], at);
            written.map_err(|why| unwritten(&path, why))?;
            at += got as u64;
        }
        self.options.medium.set_mode(&file, mode).map_err(|why| unwritten(&path, why))?;
        self.written(&path, file)
    }

    fn create(&mut self, names: &[&[u8]]) -> Result<(PathBuf, File)> {
        let path = self.place(names, false)?;
        let file = self.options.medium.create(&path).map_err(|why| self.unmade(&path, why))?;
        Ok((path, file))
    }

    /// Notes that all of a file was written.
    fn written(&mut self, path: &Path, file: File) -> Result<()> {
        self.files += 1;
        if self.whole.is_none() {
            self.options.medium.sync_file(&file).map_err(|why| unwritten(path, why))?;
        } else if self.files + self.directories <= SYNC_EACH {
            self.open.push(file);
        } else {
            self.open.clear();
        }
        Ok(())
    }

    /// Where something of these names is written: the directories around it are there, and are directories. With
    /// `itself` it is a directory too, and is made.
    fn place(&mut self, names: &[&[u8]], itself: bool) -> Result<PathBuf> {
        let path = names.iter().fold(self.tree.clone(), |path, name| path.join(OsStr::from_bytes(name)));
        let directory = match (itself, path.parent()) {
            (false, Some(parent)) if !names.is_empty() => parent,
            (true, _) => path.as_path(),
            _ => {
                return Err(Error::new(Kind::Integrity, "could not write a file called \".\"")
                    .because("that is the directory everything is written to"));
            }
        };
        if names.first().is_some_and(|first| first.starts_with(OURS.as_bytes())) {
            // The next run would take it for litter.
            return Err(Error::new(Kind::Integrity, format!("could not write {}", self.shown(&path)))
                .because(format!("names that start with {OURS} are ours")));
        }
        if directory == self.seen {
            return Ok(path);
        }
        let mut around = self.tree.clone();
        for name in directory.strip_prefix(&self.tree).unwrap_or(Path::new("")) {
            around.push(name);
            match fs::symlink_metadata(&around) {
                Ok(meta) if meta.is_dir() => {}
                Ok(_) => {
                    return Err(Error::new(Kind::Integrity, format!("could not write {}", self.shown(&path)))
                        .because(format!("{} is no directory", self.shown(&around))));
                }
                Err(why) if why.kind() == io::ErrorKind::NotFound => {
                    self.options.medium.make_dir(&around).map_err(|why| self.unmade(&around, why))?;
                    self.directories += 1;
                }
                Err(why) => return Err(self.unmade(&around, why)),
            }
        }
        self.seen = directory.to_owned();
        Ok(path)
    }

    /// What a path below the tree will be called.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.tree).unwrap_or(path).display().to_string()
    }

    fn unmade(&self, path: &Path, why: io::Error) -> Error {
        if why.kind() == io::ErrorKind::AlreadyExists {
            return Error::new(Kind::Integrity, format!("could not write {}", self.shown(path)))
                .because("two parts of the artifact are called that");
        }
        unwritten(path, why)
    }

    /// Moves everything to where it belongs, once it is on the disk. Failed where a link, or anything that cannot be
    /// replaced by what comes, is in the way, or a file that is to be kept. On `Err` the target is what it was, as
    /// far as the file system lets it.
    pub fn publish(self) -> Result<()> {
        self.wait_for_disk()?;
        let moves = self.moves()?;
        let mut done = Vec::new();
        let published = self.make(&moves, &mut done);
        if published.is_err() {
            for step in done.iter().rev() {
                self.take_back(step);
            }
        }
        published
    }

    fn wait_for_disk(&self) -> Result<()> {
        let medium = self.options.medium;
        let failed = |why| Error::io("sync", &self.root, why).of_kind(Kind::Failed);
        if let Some(whole) = self.whole.as_ref().filter(|_| self.files + self.directories > SYNC_EACH) {
            return medium.sync_all(whole).map_err(failed);
        }
        for file in &self.open {
            medium.sync_file(file).map_err(failed)?;
        }
        for step in walkdir::WalkDir::new(&self.tree) {
            let step = step.map_err(|why| failed(why.into()))?;
            if step.file_type().is_dir() {
                medium.sync_dir(step.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// What has to be moved: the outermost that is not there yet, and each file that is.
    fn moves(&self) -> Result<Vec<Move>> {
        if !is_there(&self.root)? {
            return Ok(vec![Move { from: self.tree.clone(), to: self.root.clone(), over: false }]);
        }
        let failed = |path: &Path, why| Error::io("look at", path, why).of_kind(Kind::Failed);
        let mut moves = Vec::new();
        let mut stack = vec![PathBuf::new()];
        while let Some(around) = stack.pop() {
            self.options.watch.go_on()?;
            let here = self.tree.join(&around);
            let mut names = Vec::new();
            for entry in fs::read_dir(&here).map_err(|why| failed(&here, why))? {
                names.push(entry.map_err(|why| failed(&here, why))?.file_name());
            }
            names.sort_unstable();
            for name in names {
                let inside = around.join(name);
                let (from, to) = (self.tree.join(&inside), self.root.join(&inside));
                let comes = fs::symlink_metadata(&from).map_err(|why| failed(&from, why))?.file_type();
                let there = match fs::symlink_metadata(&to) {
                    Ok(meta) => meta.file_type(),
                    Err(why) if why.kind() == io::ErrorKind::NotFound => {
                        moves.push(Move { from, to, over: false });
                        continue;
                    }
                    Err(why) => return Err(failed(&to, why)),
                };
                if comes.is_dir() && there.is_dir() {
                    stack.push(inside);
                    continue;
                }
                let same =
                    comes.is_symlink() && there.is_symlink() && fs::read_link(&from).ok() == fs::read_link(&to).ok();
                let what = || Error::new(Kind::Failed, format!("could not write {}", to.display()));
                if there.is_symlink() && !comes.is_symlink() {
                    return Err(what().because("it is a link, and nothing is written through a link"));
                }
                let in_the_way = match (comes.is_dir(), there.is_dir()) {
                    (true, _) => Some("it is no directory, and one has to be there"),
                    (false, true) => Some("it is a directory, and something else has to be there"),
                    (false, false) if !there.is_file() && !there.is_symlink() => Some("it is no regular file"),
                    _ => None,
                };
                if let Some(why) = in_the_way {
                    return Err(what().because(why));
                }
                if self.options.existing == Existing::Keep {
                    return Err(what().because("it is already there, and what is there is to be kept"));
                }
                if !same {
                    moves.push(Move { from, to, over: true });
                }
            }
        }
        Ok(moves)
    }

    /// Moves; what was done is in `done`, on `Err` too.
    fn make(&self, moves: &[Move], done: &mut Vec<Done>) -> Result<()> {
        let medium = self.options.medium;
        for Move { from, to, over } in moves {
            let failed = |why: io::Error| match why.kind() {
                io::ErrorKind::CrossesDevices => Error::new(Kind::Failed, format!("could not write {}", to.display()))
                    .because("another file system is mounted there, and all files appear at once or none does")
                    .hint(format!("pull into another directory than {}, and move the files", self.root.display())),
                _ => Error::io("write", to, why).of_kind(Kind::Failed),
            };
            if !over {
                medium.rename_new(from, to).map_err(failed)?;
                done.push(Done::Moved(from.clone(), to.clone()));
                continue;
            }
            match medium.exchange(from, to) {
                Ok(()) => done.push(Done::Swapped(from.clone(), to.clone())),
                Err(why) if cannot(&why) => {
                    let old = self.staging.join(format!("old-{}", done.len()));
                    let kept = medium.link(to, &old).is_ok().then_some(old);
                    medium.rename(from, to).map_err(failed)?;
                    done.extend(kept.map(|old| Done::Swapped(old, to.clone())));
                }
                Err(why) => return Err(failed(why)),
            }
        }
        // From the innermost: a directory may be closed even to us afterwards.
        for (path, mode) in self.modes.iter().rev() {
            let to = self.root.join(path.strip_prefix(&self.tree).unwrap_or(path));
            // One that was there before stays as it was: it was not moved.
            if fs::symlink_metadata(path).is_err() {
                let set = directory(&to).and_then(|directory| medium.set_mode(&directory, *mode));
                set.map_err(|why| Error::io("write", &to, why).of_kind(Kind::Failed))?;
            }
        }
        let mut parents: Vec<&Path> = moves.iter().filter_map(|step| step.to.parent()).collect();
        parents.sort_unstable();
        parents.dedup();
        for parent in parents {
            medium.sync_dir(parent).map_err(|why| Error::io("sync", parent, why).of_kind(Kind::Failed))?;
        }
        Ok(())
    }

    /// Undoes a move. What keeps that from being done has kept something before, and was told.
    fn take_back(&self, step: &Done) {
        let medium = self.options.medium;
        let _ = match step {
            Done::Moved(from, to) => medium.rename(to, from),
            Done::Swapped(old, to) => match medium.exchange(old, to) {
                Err(why) if cannot(&why) => medium.rename(old, to),
                undone => undone,
            },
        };
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        sweep(&self.staging, self.options.medium);
    }
}

/// Something that goes to its place.
struct Move {
    from: PathBuf,
    to: PathBuf,
    /// Whether there is something that it replaces.
    over: bool,
}

/// Something that went to its place.
enum Done {
    /// From there, where nothing is any more.
    Moved(PathBuf, PathBuf),
    /// And what it replaced is there now.
    Swapped(PathBuf, PathBuf),
}

/// Content being read, and hashed where that can be done.
struct Hashed<R> {
    reader: R,
    hasher: Option<Hasher>,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buf)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buf[..got]);
        }
        Ok(got)
    }
}

fn unwritten(path: &Path, why: io::Error) -> Error {
    Error::io("write", path, why).of_kind(Kind::Failed)
}

/// A handle of a directory, not of what a link there leads to.
fn directory(path: &Path) -> io::Result<File> {
    place::directory(path, OFlags::RDONLY).map(File::from)
}

/// Holds a directory of ours, so that nobody takes it for litter. `None` where somebody did.
fn hold(staging: &Path) -> io::Result<Option<File>> {
    let held = match directory(staging) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        held => held?,
    };
    let kept = keep(&held, || fs::symlink_metadata(staging).is_err());
    Ok(kept.then_some(held))
}

/// Takes away what runs left behind that were killed. Never fails: litter can wait.
fn clear_litter(root: &Path, medium: &dyn Medium) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().as_bytes().starts_with(OURS.as_bytes())
            && let Ok(litter) = directory(&entry.path())
            && litter.try_lock().is_ok()
        {
            sweep(&entry.path(), medium);
        }
    }
}

/// Takes away a directory with everything in it, as far as that goes; no link is followed.
fn sweep(dir: &Path, medium: &dyn Medium) {
    for step in walkdir::WalkDir::new(dir).follow_root_links(false).contents_first(true).into_iter().flatten() {
        let _ = match step.file_type().is_dir() {
            true => medium.remove_dir(step.path()),
            false => medium.unlink(step.path()),
        };
    }
}
