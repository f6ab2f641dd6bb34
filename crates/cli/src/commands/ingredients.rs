//! What goes into an artifact: files, types and annotations, as `push` and `attach` take them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ocistow_graph::Artifact;
use ocistow_graph::made::{EMPTY, EMPTY_CONTENT, UNKNOWN_ARTIFACT, described, empty_blob, empty_descriptor};
use ocistow_layout::checked::MAX_MANIFEST;
use ocistow_layout::directory::{is_directory, is_there};
use ocistow_layout::media_type::is_media_type;
use ocistow_layout::pack::{Looked, Packing, read_file, stage_directory, stage_file, stage_files};
use ocistow_layout::threads::{in_stretches, worth};
use ocistow_layout::title::{TITLE, Title, TitleError};
use ocistow_layout::transaction::Transaction;
use ocistow_layout::{Blob, Content, Descriptor, Error, Kind, Result, Unwatched, Watch};

use crate::instant::{epoch, is_rfc3339, rfc3339};
use crate::speak::Context;

/// What a file is if nobody says what.
const FILE: &str = "application/vnd.oci.image.layer.v1.tar";
/// What a directory is if nobody says what.
const DIRECTORY: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// What a config is if nobody says what.
const CONFIG: &str = "application/vnd.unknown.config.v1+json";
/// What the tar of a packed directory has to be.
pub const UNPACKED: &str = "io.deis.oras.content.digest";
/// That a layer is a packed directory.
pub const UNPACK: &str = "io.deis.oras.content.unpack";
/// The fewest files that are worth a thread to look at them.
const WORTH_A_THREAD: usize = 200;
/// When something was made.
const CREATED: &str = "org.opencontainers.image.created";

/// What goes into an artifact.
#[derive(Debug, Clone, clap::Args)]
pub struct Ingredients {
    /// A file or directory, with a media type if wanted; directories are packed as tar.gz, the same bytes everywhere
    #[arg(value_name = "FILE[:MEDIATYPE]")]
    files: Vec<OsString>,
    /// An annotation of the manifest; repeat for more
    #[arg(short, long = "annotation", value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<(String, String)>,
    /// Annotations of manifest, config and files, as JSON: {"$manifest":{…},"$config":{…},"FILE":{…}}
    #[arg(long, value_name = "FILE")]
    annotation_file: Option<PathBuf>,
    /// A config, instead of the empty one
    #[arg(long, value_name = "FILE:MEDIATYPE")]
    config: Option<OsString>,
    /// What the one file is called where the artifact is pulled [default: its path]
    #[arg(long, value_name = "NAME")]
    title: Option<String>,
}

/// Reads an annotation: `KEY=VALUE`.
pub fn annotation(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it is not KEY=VALUE")?;
    is_key(key).then(|| (key.to_owned(), value.to_owned())).ok_or_else(|| BAD_KEY.to_owned())
}

const BAD_KEY: &str = "a key of an annotation is not empty and has neither spaces nor control characters";

/// Whether a text can be the key of an annotation.
fn is_key(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// What goes into an artifact, read and judged; nothing of it is opened yet.
#[derive(Debug)]
pub struct Recipe {
    layers: Vec<Layer>,
    config: Option<(PathBuf, String)>,
    config_annotations: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    mtime: u64,
}

#[derive(Debug)]
struct Layer {
    path: PathBuf,
    media_type: String,
    title: Title,
    /// What it was when it was judged.
    meta: Metadata,
    annotations: BTreeMap<String, String>,
}

/// Annotations as a file has them: by what they are of.
type Annotations = BTreeMap<String, BTreeMap<String, String>>;

impl Ingredients {
    /// Reads all of it, for the layout at `layout`. NotFound where a file is not there; Usage where something cannot
    /// be meant.
    pub fn read(&self, context: &Context<'_>, layout: &Path) -> Result<Recipe> {
        let mut from_file = match &self.annotation_file {
            Some(path) => annotations_in(path)?,
            None => Annotations::new(),
        };
        let mut annotations = from_file.remove("$manifest").unwrap_or_default();
        let config_annotations = from_file.remove("$config").unwrap_or_default();
        let mut given = BTreeSet::new();
        for (key, value) in &self.annotations {
            if !given.insert(key) {
                return Err(Error::new(Kind::Usage, format!("could not use --annotation {key} twice")));
            }
            annotations.insert(key.clone(), value.clone());
        }
        let epoch = epoch(context)?;
        match (annotations.get(CREATED), epoch) {
            (Some(created), _) if !is_rfc3339(created) => {
                let why = format!("{CREATED} is a moment as 2006-01-02T15:04:05Z");
                return Err(Error::new(Kind::Usage, format!("could not use {created:?} as an annotation")).because(why));
            }
            (None, Some(epoch)) => drop(annotations.insert(CREATED.into(), rfc3339(epoch))),
            _ => {}
        }
        let config = self.config.as_deref().map(config).transpose()?;
        let layers = self.layers(layout, &mut from_file, context.threads.get())?;
        for unused in from_file.keys() {
            context.warn(&format!("the annotations of {unused:?} are for no file that was named"));
        }
        Ok(Recipe { layers, config, config_annotations, annotations, mtime: epoch.unwrap_or(0) })
    }

    fn layers(&self, layout: &Path, from_file: &mut Annotations, threads: usize) -> Result<Vec<Layer>> {
        if self.title.is_some() && self.files.len() != 1 {
            return Err(Error::new(Kind::Usage, "could not use --title")
                .because(format!("it is the title of one file, and there are {}", self.files.len()))
                .hint("--annotation-file gives several files titles of their own"));
        }
        let mut layers: Vec<Layer> = Vec::with_capacity(self.files.len());
        let mut unused: BTreeSet<String> = from_file.keys().cloned().collect();
        let look = |files: &[OsString]| files.iter().map(fs::metadata).collect::<Vec<_>>();
        let looked = in_stretches(&self.files, worth(threads, self.files.len(), WORTH_A_THREAD), look);
        for (argument, found) in self.files.iter().zip(looked.into_iter().flatten()) {
            let (path, media_type, meta) = match found {
                // Nearly always: one look is enough.
                Ok(meta) => (PathBuf::from(argument), None, meta),
                Err(_) => {
                    let (path, media_type) = file(argument)?;
                    let meta = fs::metadata(&path).map_err(|why| Error::io("open", &path, why))?;
                    (path, media_type, meta)
                }
            };
            if !meta.is_file() && !meta.is_dir() {
                return Err(Error::new(Kind::Usage, format!("could not use {}", path.display()))
                    .because("it is neither a file nor a directory"));
            }
            if meta.is_dir() && lies_in(layout, &path) {
                return Err(Error::new(Kind::Usage, format!("could not pack {}", path.display()))
                    .because(format!("the layout {} lies in it", layout.display())));
            }
            let called = path.to_string_lossy();
            let mut annotations = from_file.get(&*called).cloned().unwrap_or_default();
            unused.remove(&*called);
            let title = self.title_of(&path, annotations.get(TITLE))?;
            annotations.insert(TITLE.into(), title.as_str().to_owned());
            let usual = if meta.is_dir() { DIRECTORY } else { FILE };
            let media_type = media_type.unwrap_or_else(|| usual.to_owned());
            layers.push(Layer { path, media_type, title, meta, annotations });
        }
        from_file.retain(|file, _| unused.contains(file));
        apart(&layers)?;
        if layers.iter().any(|layer| layer.title.is_root() && !layer.meta.is_dir()) {
            return Err(Error::new(Kind::Usage, "could not call a file \".\"").because("that is a directory"));
        }
        Ok(layers)
    }

    fn title_of(&self, path: &Path, annotated: Option<&String>) -> Result<Title> {
        let bad = |what: &str, why: TitleError| {
            let error = Error::new(Kind::Usage, format!("could not use {what:?} as a title")).because(why);
            if self.title.is_none() { error.hint("--title NAME gives a file another title") } else { error }
        };
        match (&self.title, annotated) {
            (Some(title), _) => Title::parse(title).map_err(|why| bad(title, why)),
            (None, Some(title)) => Title::parse(title).map_err(|why| bad(title, why)),
            (None, None) => Title::of(path).map_err(|why| bad(&path.to_string_lossy(), why)),
        }
    }

    /// Whether nothing was given that an artifact could be made of.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.annotations.is_empty() && self.annotation_file.is_none()
    }
}

/// Refuses titles that could not be pulled: two of the same, or one that lies in another.
fn apart(layers: &[Layer]) -> Result<()> {
    let mut titles: BTreeSet<&Title> = BTreeSet::new();
    for layer in layers {
        if !titles.insert(&layer.title) {
            let what = format!("could not use the title {:?} twice", layer.title.as_str());
            return Err(Error::new(Kind::Usage, what).because("each file needs a title of its own"));
        }
    }
    for layer in layers {
        if let Some(around) = layer.title.ancestors().find(|around| titles.contains(around)) {
            let what = format!("could not push {} beside {around}", layer.title);
            return Err(Error::new(Kind::Usage, what).because("it lies in it"));
        }
    }
    Ok(())
}

/// Whether the layout lies in a directory, or is it.
fn lies_in(layout: &Path, directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return false };
    let real = layout.canonicalize().or_else(|_| {
        // It is about to be made.
        let parent = layout.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        parent.canonicalize().map(|parent| parent.join(layout.file_name().unwrap_or_default()))
    });
    real.is_ok_and(|real| real.starts_with(directory))
}

/// Reads `FILE[:MEDIATYPE]`: the whole argument if there is such a file, else what stands before the last `:` whose
/// right side is a media type, or, as oras has it, nothing. NotFound where there is no such file, Usage where what
/// stands behind the file is no media type.
fn file(argument: &OsStr) -> Result<(PathBuf, Option<String>)> {
    let whole = Path::new(argument);
    if is_there(whole)? {
        return Ok((whole.to_owned(), None));
    }
    let absent = |why| Error::io("open", whole, why);
    let bytes = argument.as_bytes();
    if let Some(colon) = bytes.iter().rposition(|byte| *byte == b':') {
        let (path, behind) = (Path::new(OsStr::from_bytes(&bytes[..colon])), &bytes[colon + 1..]);
        let behind = String::from_utf8_lossy(behind);
        match path.symlink_metadata() {
            Ok(_) if behind.is_empty() => return Ok((path.to_owned(), None)),
            Ok(_) if is_media_type(&behind) => return Ok((path.to_owned(), Some(behind.into_owned()))),
            Ok(_) => return Err(no_media_type(&behind)),
            Err(why) if is_media_type(&behind) => return Err(Error::io("open", path, why)),
            Err(_) => {}
        }
    }
    whole.symlink_metadata().map_err(absent).map(|_| (whole.to_owned(), None))
}

/// Reads the config's argument.
fn config(argument: &OsStr) -> Result<(PathBuf, String)> {
    let (path, media_type) = file(argument)?;
    if is_directory(&path)? {
        let what = format!("could not use {} as a config", path.display());
        return Err(Error::new(Kind::Usage, what).because("it is a directory"));
    }
    Ok((path, media_type.unwrap_or_else(|| CONFIG.to_owned())))
}

/// The Usage error for what should be a media type.
pub fn no_media_type(text: &str) -> Error {
    Error::new(Kind::Usage, format!("could not use {text:?} as a media type"))
        .because("a media type is two names with a / between, as application/spdx+json")
}

/// Reads the type of an artifact.
pub fn artifact_type(text: &str) -> std::result::Result<String, String> {
    is_media_type(text)
        .then(|| text.to_owned())
        .ok_or_else(|| "a type is two names with a / between, as application/spdx+json".to_owned())
}

fn annotations_in(path: &Path) -> Result<Annotations> {
    let bad =
        |why: String| Error::new(Kind::Usage, format!("could not read {} as annotations", path.display())).because(why);
    let bytes = read_file(path, MAX_MANIFEST, &Unwatched)?;
    let read: Annotations = serde_json::from_slice(&bytes).map_err(|why| bad(why.to_string()))?;
    match read.values().flat_map(BTreeMap::keys).find(|key| !is_key(key)) {
        Some(key) => Err(bad(format!("{key:?} is no key: {BAD_KEY}"))),
        None => Ok(read),
    }
}

impl Recipe {
    /// Stages everything, and gives the artifact and the blobs it needs. On `Err` what was staged is worth nothing.
    pub fn stage(
        self,
        context: &Context<'_>,
        transaction: &Transaction<'_>,
        artifact_type: Option<String>,
        watch: &dyn Watch,
    ) -> Result<(Artifact, Vec<Blob>)> {
        let threads = context.threads.get();
        let mut blobs = Vec::new();
        let config = match &self.config {
            None => {
                blobs.push(empty(transaction)?);
                empty_descriptor(&self.config_annotations)
            }
            Some((path, media_type)) => {
                let blob = stage_file(transaction, path, watch)?;
                blobs.push(blob.clone());
                described(media_type, &blob, &self.config_annotations)
            }
        };
        let files: Vec<&Layer> = self.layers.iter().filter(|layer| !layer.meta.is_dir()).collect();
        let looked: Vec<Looked<'_>> =
            files.iter().map(|layer| Looked { path: &layer.path, meta: Some(&layer.meta) }).collect();
        let staged = stage_files(transaction, &looked, threads, watch, |at, blob| {
            (described(&files[at].media_type, &blob, &files[at].annotations), blob)
        })?;
        let mut staged = staged.into_iter();
        let mut layers: Vec<Descriptor> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (descriptor, blob) = match layer.meta.is_dir() {
                false => staged.next().expect("every file was staged"),
                true => {
                    let packing = Packing { mtime: self.mtime, threads, watch };
                    let packed = stage_directory(transaction, &layer.path, &layer.title, packing)?;
                    let mut annotations = layer.annotations.clone();
                    annotations.insert(UNPACKED.into(), packed.tar.to_string());
                    annotations.insert(UNPACK.into(), "true".into());
                    (described(&layer.media_type, &packed.blob, &annotations), packed.blob)
                }
            };
            layers.push(descriptor);
            blobs.push(blob);
        }
        if layers.is_empty() {
            blobs.push(empty(transaction)?);
        }
        // A config that says nothing leaves it to the type (MANIFEST-11).
        let unsaid = config.media_type == EMPTY;
        let artifact_type = artifact_type.or_else(|| unsaid.then(|| UNKNOWN_ARTIFACT.to_owned()));
        blobs.sort_unstable();
        blobs.dedup();
        let artifact = Artifact { artifact_type, config, layers, subject: None, annotations: self.annotations };
        Ok((artifact, blobs))
    }

    /// What people are told of it.
    pub fn told(&self, verb: &str) -> String {
        let of = |count: usize, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
        let directories = self.layers.iter().filter(|layer| layer.meta.is_dir()).count();
        let files = self.layers.len() - directories;
        match (files, directories) {
            (0, 0) => format!("{verb} no files"),
            (files, 0) => format!("{verb} {}", of(files, "file", "files")),
            (0, directories) => format!("{verb} {}", of(directories, "directory", "directories")),
            (files, directories) => {
                let directories = of(directories, "directory", "directories");
                format!("{verb} {} and {directories}", of(files, "file", "files"))
            }
        }
    }
}

/// Stages the empty content.
fn empty(transaction: &Transaction<'_>) -> Result<Blob> {
    let blob = empty_blob();
    transaction.put(&blob, Content::Bytes(EMPTY_CONTENT))?;
    Ok(blob)
}
