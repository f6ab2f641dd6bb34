//! Where content goes: a stream, an archive or a directory, told by the name.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use ocistow_graph::{Graph, Moved, Plan, ReferrersAs, import};
use ocistow_layout::archive::{self, ArchiveSink, Compression, Existing, StreamSink};
use ocistow_layout::carry::carry;
use ocistow_layout::directory::{Directory, is_directory, is_there};
use ocistow_layout::lock::Held;
use ocistow_layout::transaction::{Adopt, Options, Transaction, writable};
use ocistow_layout::{Blob, Content, Digest, Done, Error, Kind, Result, Sink, Source};

use crate::again::Again;
use crate::arrival::Incoming;
use crate::entering::Entered;
use crate::location::{self, Location, OnDisk};
use crate::progress::Progress;
use crate::speak::Context;

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stream(Compression),
    /// A new archive.
    Archive(PathBuf, Compression),
    /// A new layout, or one that is merged into.
    Directory(PathBuf),
}

/// How it is written: flags that `export` and `copy` share.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Manner {
    /// How an archive is compressed: none, gzip or zstd, with :LEVEL if wanted [default: as its name says]
    #[arg(long, value_name = "HOW")]
    pub compress: Option<Compression>,
    /// Replace an archive that is there, in one step
    #[arg(long)]
    pub force: bool,
    /// Where it says who refers to what: tags are for regctl and others that look at fallback tags only
    #[arg(long, value_enum, default_value_t = Referrers::Entries, value_name = "WAY")]
    pub referrers_as: Referrers,
    /// Between directories, take content unchecked
    #[arg(long)]
    pub trust: bool,
    /// Between directories, make hard links instead of copies
    #[arg(long)]
    pub link: bool,
}

/// Where it is recorded who refers to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Referrers {
    /// In untagged entries of index.json, as oras does
    Entries,
    /// In lists under tags sha256-…, as regctl does
    Tags,
    /// In both
    Both,
}

impl From<Referrers> for ReferrersAs {
    fn from(way: Referrers) -> Self {
        match way {
            Referrers::Entries => Self::Entries,
            Referrers::Tags => Self::Tags,
            Referrers::Both => Self::Both,
        }
    }
}

impl Destination {
    /// The destination of `-o`. Usage where a directory would be compressed, or where the words mean something in a
    /// layout that is there.
    pub fn read(output: &OsStr, compress: Option<Compression>) -> Result<Self> {
        if output == "-" {
            return Ok(Self::Stream(compress.unwrap_or(Compression::None)));
        }
        let destination = Self::at(location::parse_output(output, &OnDisk)?, compress)?;
        if let Self::Directory(path) = &destination
            && !is_there(path)?
            && let Ok(Location { path: layout, pick, .. }) = location::parse(output, &OnDisk)
            && !pick.is_empty()
            && Directory::open(&layout).is_ok()
        {
            return Err(Error::new(Kind::Usage, format!("could not write to {}", path.display()))
                .because(format!("{} is a layout, and -o takes a path, without a reference", layout.display()))
                .hint("copy takes PATH:REF as its destination"));
        }
        Ok(destination)
    }

    /// The destination at a path.
    pub fn at(path: PathBuf, compress: Option<Compression>) -> Result<Self> {
        // What is a directory stays one, whatever it is called.
        let named = match Compression::by_name(&path) {
            Some(_) if is_directory(&path)? => None,
            named => named,
        };
        match (named, compress) {
            (Some(named), compress) => Ok(Self::Archive(path, compress.unwrap_or(named))),
            (None, None | Some(Compression::None)) => Ok(Self::Directory(path)),
            (None, Some(_)) => {
                let what = Error::new(Kind::Usage, format!("could not compress {}", path.display()));
                Err(match is_directory(&path)? {
                    true => what.because("it is a directory").hint("an archive needs a name at which nothing lies"),
                    false => what
                        .because("its name is that of a directory")
                        .hint("an archive's name ends in .tar, .tar.gz, .tgz or .tar.zst"),
                })
            }
        }
    }

    /// Fails early where the destination cannot be written to, before long work is done for it.
    pub fn check(&self, source: &dyn Source, manner: Manner) -> Result<()> {
        if manner.trust || manner.link {
            let flag = if manner.trust { "--trust" } else { "--link" };
            let from_directory = fs::metadata(source.location()).is_ok_and(|meta| meta.is_dir());
            if !from_directory || !matches!(self, Self::Directory(_)) {
                return Err(Error::new(Kind::Usage, format!("could not use {flag}"))
                    .because("it is for copies between directories"));
            }
        }
        match self {
            Self::Archive(path, _) if !manner.force && is_there(path)? => {
                Err(Error::new(Kind::Usage, format!("could not write {}", path.display()))
                    .because("it is already there")
                    .hint("--force replaces it"))
            }
            Self::Directory(path) if is_there(path)? && !is_directory(path)? => {
                Err(Error::new(Kind::Usage, format!("could not write to {}", path.display()))
                    .because("it is a file, and its name is not that of an archive")
                    .hint("an archive's name ends in .tar, .tar.gz, .tgz or .tar.zst"))
            }
            _ => Ok(()),
        }
    }

    /// Warns where a directory is made under a name that others give to archives.
    pub fn warn(&self, context: &Context<'_>) -> Result<()> {
        if let Self::Directory(path) = self
            && looks_packed(path)
            && !is_there(path)?
        {
            let path = path.display();
            context
                .warn(&format!("{path} becomes a directory: names of archives end in .tar, .tar.gz, .tgz or .tar.zst"));
        }
        Ok(())
    }

    /// Whether this is an archive, to a file or a stream.
    pub fn is_archive(&self) -> bool {
        !matches!(self, Self::Directory(_))
    }
}

/// Whether a name is one of an archive as others write them, or of one in capital letters.
fn looks_packed(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
    let ends = [".tar", ".tgz", ".txz", ".tbz", ".tbz2", ".tlz", ".tzst", ".zip", ".7z"];
    stem.ends_with(".tar") || ends.iter().any(|end| name.ends_with(end))
}

/// What was written.
pub struct Written {
    /// The digest of the bundle, where one was made.
    pub bundle: Option<Digest>,
    /// Names that stood for something else before.
    pub moved: Vec<Moved>,
    /// What was new and what was not.
    pub done: Done,
    /// What the cargo's root is there, among what was there before.
    pub entered: Entered,
}

/// What is written.
pub struct Cargo<'a> {
    /// Where content comes from.
    pub source: &'a dyn Source,
    /// What the plan was made from.
    pub graph: &'a Graph,
    /// What is carried.
    pub plan: &'a Plan,
    /// What an archive gets beside the layout.
    pub members: Vec<(String, Vec<u8>)>,
    /// What comes into a layout that exists under another name: (old, new).
    pub renames: Vec<(String, String)>,
    /// What keeps others from deleting from where it comes from.
    pub held: Option<&'a Held>,
    /// What is told of by the entries that it gets.
    pub root: Option<&'a Digest>,
}

impl Cargo<'_> {
    /// What the root is where nothing else is.
    pub fn alone(&self) -> Entered {
        let entries = self.plan.entries.iter().map(|entry| &entry.descriptor);
        Entered(entries.filter(|entry| Some(&entry.digest) == self.root).cloned().collect())
    }
}

/// Carries the cargo to its destination. On `Err` the destination has no new name.
pub fn write(context: &Context<'_>, cargo: &Cargo<'_>, to: &Destination, manner: Manner) -> Result<Written> {
    let Cargo { source, plan, members, .. } = cargo;
    let verb = if to.is_archive() { "exporting" } else { "copying" };
    let progress = context.progress(verb, Some(plan.count()));
    let threads = context.threads.get();
    let packing =
        |compression| archive::Options { compression, threads, medium: &*context.world.medium, watch: &progress };
    let sink: Box<dyn Sink<'_> + '_> = match to {
        Destination::Stream(compression) => {
            if let Ok(pipe) = std::io::stdout().as_fd().try_clone_to_owned() {
                archive::widen_pipe(&pipe);
            }
            Box::new(StreamSink::new(Box::new(context.content().clone()), packing(*compression)))
        }
        Destination::Archive(path, compression) => {
            let existing = if manner.force { Existing::Replace } else { Existing::Keep };
            Box::new(ArchiveSink::new(path, existing, packing(*compression)))
        }
        Destination::Directory(path) => return enter(context, cargo, path, manner, &progress),
    };
    let outline = plan.outline(members.clone());
    let blobs = outline.blobs.clone();
    let writing = sink.begin(outline)?;
    let done = carry(*source, writing, &blobs, &plan.inline, threads, &progress)?;
    if let Destination::Archive(path, compression) = to
        && *compression != Compression::None
        && fs::metadata(path).is_ok_and(|meta| plan.is_packed_too_tightly(meta.len()))
    {
        let path = path.display();
        context.warn(&format!("{path} is packed so tightly that it has to be unpacked by itself before it is read"));
    }
    Ok(Written { bundle: Some(plan.bundle()), moved: Vec::new(), done, entered: cargo.alone() })
}

/// Carries the cargo into a layout in a directory, which is made where there is none. What becomes of its index.json is
/// decided once all is carried, and again where somebody else was faster.
fn enter(
    context: &Context<'_>,
    cargo: &Cargo<'_>,
    path: &Path,
    manner: Manner,
    progress: &Progress<'_>,
) -> Result<Written> {
    let Cargo { source, graph, plan, renames, held, root, .. } = cargo;
    // What would be refused then is refused now.
    if let Some(target) = writable(path)? {
        import(plan, graph, &target, renames)?;
    }
    let adopt = if manner.link { Adopt::Link } else { Adopt::Copy };
    let options = Options { adopt, trust: manner.trust, held: *held, ..context.writing(progress) };
    let mut transaction = Transaction::begin(path, options)?;
    let carried: Vec<Blob> = plan.order().cloned().collect();
    carry(*source, Box::new(Incoming(&transaction)), &carried, &plan.inline, context.threads.get(), progress)?;
    let mut again = Again::new(context);
    // Somebody may be making a list that what arrives has to be in.
    transaction.keep_index()?;
    loop {
        let (published, bundle, moved, entered) = match writable(path)? {
            None => {
                let published = transaction.publish_new(&carried, plan.bundle_index());
                (published, Some(plan.bundle()), Vec::new(), cargo.alone())
            }
            Some(target) => {
                let import = import(plan, graph, &target, renames)?;
                for (digest, bytes) in &import.inline {
                    let list = Blob { digest: digest.clone(), size: bytes.len() as u64 };
                    transaction.put(&list, Content::Bytes(bytes))?;
                }
                let order = plan.blobs_into(&import);
                let entered = root.map(|root| Entered::after(&target.index()?, &import.edits, root)).transpose()?;
                (transaction.publish(&order, &import.edits), None, import.moved, entered.unwrap_or_default())
            }
        };
        match published {
            Ok(done) => return Ok(Written { bundle, moved, done, entered }),
            Err(why) => again.after(why)?,
        }
    }
}
