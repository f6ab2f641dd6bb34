//! Docker archives without a layout in them, as `docker save` before 25, podman, skopeo and crane write them:
//! read in place, as if somebody had made a manifest for each image.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::rc::Rc;

use crate::archive::header::{BLOCK, Flaw, Headers};
use crate::archive::judge::{Cleaned, Verdict, clean, flag, judge, shown};
use crate::archive::pass::Hashing;
use crate::archive::table::{MAX_HOPS, MAX_LINKS, Spot};
use crate::archive::tape::{Place, Tape};
use crate::archive::unpack::{Form, sniff};
use crate::archive::walk::{self, tell};
use crate::archive::{Archive, MAX_KEPT_ALL};
use crate::checked::{CHUNK, MAX_MANIFEST};
use crate::descriptor::{self, Descriptor, Platform};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Kind, Result};
use crate::index::{INDEX_TYPE, IndexFile, entry_text};
use crate::json::{self, Array, Object};
use crate::name::{Pair, is_tag};
use crate::source::{Access, Blob, Content, Found, Marker, Source, Watch};

/// The media type of an image manifest.
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an image's config.
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a layer that is not compressed; others have what they are behind it.
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

/// The media type of a layer that is not compressed and that only its maker may hand out.
const FOREIGN_TYPE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
/// The same in the words of Docker, with which what follows has a dot in front.
const DOCKERS_FOREIGN_TYPE: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// The images of a docker archive, as a layout.
///
/// Manifests and index.json are made when it is opened, and the same archive always gives the same. Configs
/// and layers are read where they lie. A layer that is not compressed has the digest its image's config says:
/// whether that is true is found by whoever reads it, as with every blob.
pub struct DockerArchive {
    location: String,
    file: File,
    index: Vec<u8>,
    blobs: BTreeMap<Digest, Held>,
}

/// Where a blob is.
#[derive(Debug)]
enum Held {
    /// It was made.
    Made(Vec<u8>),
    /// In the archive.
    At(Spot),
}

impl DockerArchive {
    /// The images of an archive that holds no layout but Docker's manifest.json. One that is compressed is
    /// unpacked into a temporary file, which has no name and is gone with this.
    ///
    /// Integrity where manifest.json or a config is malformed or not there, or does not agree with the layers;
    /// Incomplete where a layer is not there: without its length nobody can make the manifest.
    pub fn of(archive: Archive, watch: &dyn Watch) -> Result<Self> {
        let file = match archive.form {
            Form::PlainTar => archive.file,
            _ => spooled(&archive, watch)?,
        };
        let location = archive.location;
        let members = Members::read(&location, &file, watch)?;
        let mut reading = Reading {
            location: &location,
            file: &file,
            watch,
            members,
            blobs: BTreeMap::new(),
            configs: BTreeMap::new(),
            packed: BTreeMap::new(),
            room: MAX_KEPT_ALL,
        };
        let index = reading.images()?;
        let blobs = reading.blobs;
        Ok(Self { blobs, index, location, file })
    }
}

impl fmt::Debug for DockerArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerArchive").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Source for DockerArchive {
    fn location(&self) -> &str {
        &self.location
    }

    fn marker(&self) -> Marker {
        Marker::Right
    }

    fn index(&self) -> Result<IndexFile> {
        IndexFile::parse(self.index.clone())
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.blobs.get(digest).map(Held::size))
    }

    fn names(&self, f: &mut dyn FnMut(Digest)) -> Result<()> {
        self.blobs.keys().cloned().for_each(f);
        Ok(())
    }

    fn open(&self, digest: &Digest) -> Result<Option<Content<'_>>> {
        Ok(self.blobs.get(digest).map(|held| match held {
            Held::Made(bytes) => Content::Bytes(bytes),
            Held::At(spot) => extent(&self.file, *spot),
        }))
    }

    fn access(&self) -> Access {
        Access::Random
    }

    fn survey(&self, f: &mut dyn FnMut(Found)) -> Result<()> {
        for (digest, held) in &self.blobs {
            f(Found::Blob(Blob { digest: digest.clone(), size: held.size() }));
        }
        Ok(())
    }

    fn generated(&self) -> bool {
        true
    }
}

impl Held {
    fn size(&self) -> u64 {
        match self {
            Self::Made(bytes) => bytes.len() as u64,
            Self::At(spot) => spot.size,
        }
    }
}

/// An archive being understood.
struct Reading<'a> {
    location: &'a str,
    file: &'a File,
    watch: &'a dyn Watch,
    members: Members,
    blobs: BTreeMap<Digest, Held>,
    /// By where they lie: an enemy can give one many names.
    configs: BTreeMap<u64, Rc<Config>>,
    /// What compressed layers are, by where they lie and the algorithm of the diff id.
    packed: BTreeMap<(u64, String), Packed>,
    /// How many bytes of configs may still be read and of documents be made.
    room: u64,
}

/// What is needed of an image's config.
struct Config {
    blob: Blob,
    diff_ids: Vec<Digest>,
    /// As JSON.
    platform: Option<String>,
}

/// What a compressed layer is.
struct Packed {
    digest: Digest,
    diff_id: Digest,
}

/// One element of manifest.json.
struct Image {
    config: String,
    names: Vec<String>,
    layers: Vec<String>,
    /// By diff id.
    foreign: BTreeMap<Digest, Foreign>,
}

/// A layer that only its maker may hand out: what he hands out, and where (ARCHIVE-12). What is in the archive is the
/// same, but mostly unpacked.
struct Foreign {
    blob: Blob,
    /// How it is compressed, as media types say that.
    packed: &'static str,
    /// As JSON.
    urls: String,
}

impl Reading<'_> {
    /// Understands all images and makes their manifests: the bytes of the index.json over them.
    fn images(&mut self) -> Result<Vec<u8>> {
        let spot = self.member("manifest.json")?.ok_or_else(|| self.bad("it is not there"))?;
        let text = self.document("manifest.json", spot)?;
        let images: Array = json::parse(&text).map_err(|why| self.bad(why.to_string()))?;
        let (mut entries, mut met) = (Vec::new(), BTreeSet::new());
        for (at, image) in images.0.iter().enumerate() {
            self.watch.go_on()?;
            let image = Image::parse(image.get()).map_err(|why| self.bad(format!("image {at}: {why}")))?;
            let descriptor = self.image(&image)?;
            let names = image.names.iter().filter(|name| !name.is_empty()).map(|name| pair(name));
            let mut pairs: Vec<Pair> = names.collect();
            if pairs.is_empty() {
                pairs.push(Pair::default());
            }
            for pair in pairs {
                let entry = entry_text(&descriptor, &pair);
                if met.insert(Digest::of(entry.as_bytes())) {
                    self.spend(entry.len() as u64)?;
                    entries.push(entry);
                }
            }
        }
        let list = entries.join(",");
        Ok(format!("{{\"schemaVersion\":2,\"mediaType\":\"{INDEX_TYPE}\",\"manifests\":[{list}]}}").into_bytes())
    }

    /// Makes the manifest of one image: its descriptor, with the platform.
    fn image(&mut self, image: &Image) -> Result<Descriptor> {
        let config = self.config(&image.config)?;
        if config.diff_ids.len() != image.layers.len() {
            let (said, there) = (config.diff_ids.len(), image.layers.len());
            let why = format!("{} is of {said} layers, and {there} are listed", shown(image.config.as_bytes()));
            return Err(self.bad(why));
        }
        let mut layers = Vec::with_capacity(image.layers.len());
        for (path, diff_id) in image.layers.iter().zip(&config.diff_ids) {
            layers.push(self.layer(path, diff_id, image.foreign.get(diff_id))?);
        }
        let config_text = Descriptor::new(CONFIG_TYPE, config.blob.digest.clone(), config.blob.size);
        let manifest = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST_TYPE}\",\"config\":{},\"layers\":[{}]}}",
            config_text.text(),
            layers.join(",")
        );
        if manifest.len() as u64 > MAX_MANIFEST {
            return Err(self.bad(format!("{} has too many layers", shown(image.config.as_bytes()))));
        }
        let (digest, size) = (Digest::of(manifest.as_bytes()), manifest.len() as u64);
        if !matches!(self.blobs.get(&digest), Some(Held::Made(_))) {
            self.spend(size)?;
            self.blobs.insert(digest.clone(), Held::Made(manifest.into_bytes()));
        }
        let platform = config.platform.as_ref().map_or_else(String::new, |json| format!(",\"platform\":{json}"));
        let text = format!("{{\"mediaType\":\"{MANIFEST_TYPE}\",\"digest\":\"{digest}\",\"size\":{size}{platform}}}");
        Ok(Descriptor::parse(&text).expect("text made of valid parts is a descriptor"))
    }

    /// Reads the config at a path.
    fn config(&mut self, path: &str) -> Result<Rc<Config>> {
        let spot = self.member(path)?;
        let spot = spot.ok_or_else(|| self.bad(format!("the config {} is not there", shown(path.as_bytes()))))?;
        if let Some(config) = self.configs.get(&spot.at) {
            return Ok(Rc::clone(config));
        }
        let text = self.document(path, spot)?;
        self.spend(spot.size)?;
        let bad = |why: String| self.unreadable(path, why);
        let members: Object = json::parse(&text).map_err(|why| bad(why.to_string()))?;
        let rootfs = members.get("rootfs").map(|raw| json::parse::<Object>(raw.get())).transpose();
        let rootfs = rootfs.map_err(|_| bad("its rootfs is no object".into()))?;
        let diff_ids = rootfs.and_then(|rootfs| rootfs.get("diff_ids"));
        let diff_ids = diff_ids.map(|raw| json::parse::<Vec<String>>(raw.get())).transpose();
        let diff_ids = diff_ids.map_err(|_| bad("its diff_ids are no list of text".into()))?.unwrap_or_default();
        let digests: std::result::Result<Vec<Digest>, _> = diff_ids.iter().map(|text| text.parse()).collect();
        let diff_ids = digests.map_err(|why: crate::digest::DigestError| bad(format!("its diff_ids: {why}")))?;
        if let Some(unknown) = diff_ids.iter().find(|digest| !digest.verifiable()) {
            return Err(bad(format!("nobody here can check the diff id {unknown}")));
        }
        let digest = Digest::of(text.as_bytes());
        let whole: &serde_json::value::RawValue = json::parse(&text).map_err(|why| bad(why.to_string()))?;
        // What runs nowhere says so by leaving these out.
        let platform = descriptor::platform(Some(whole)).ok().flatten();
        let platform = platform.filter(Platform::is_whole);
        let platform = platform.map(|platform| serde_json::to_string(&platform).expect("a platform always serialises"));
        let config = Rc::new(Config { blob: Blob { digest: digest.clone(), size: spot.size }, diff_ids, platform });
        self.configs.insert(spot.at, Rc::clone(&config));
        // What was hashed stands before what others only say.
        self.blobs.insert(digest, Held::At(spot));
        Ok(config)
    }

    /// Understands the layer at a path: the text of its descriptor. One that only its maker may hand out need not be
    /// there.
    fn layer(&mut self, path: &str, diff_id: &Digest, foreign: Option<&Foreign>) -> Result<String> {
        let Some(spot) = self.member(path)? else {
            let what = || format!("layer {} is not in {}", shown(path.as_bytes()), self.location);
            let absent = || Error::new(Kind::Incomplete, what()).because("manifest.json lists it");
            return foreign.map(|foreign| foreign.text(foreign.packed, &foreign.blob)).ok_or_else(absent);
        };
        let (packed, blob) = self.content(path, spot, diff_id)?;
        Ok(match foreign {
            Some(foreign) => foreign.text(packed, &blob),
            None => Descriptor::new(&format!("{LAYER_TYPE}{packed}"), blob.digest, blob.size).text().to_owned(),
        })
    }

    /// The blob that the layer at `spot` is, and how it is compressed.
    fn content(&mut self, path: &str, spot: Spot, diff_id: &Digest) -> Result<(&'static str, Blob)> {
        let mut start = Vec::new();
        let read = extent(self.file, spot).reader().take(4).read_to_end(&mut start);
        read.map_err(|why| Error::io("read", self.location, why))?;
        let form = sniff(&start);
        let kind = match form {
            Form::Gzip => "+gzip",
            Form::Zstd => "+zstd",
            _ => {
                self.blobs.entry(diff_id.clone()).or_insert(Held::At(spot));
                return Ok(("", Blob { digest: diff_id.clone(), size: spot.size }));
            }
        };
        let key = (spot.at, diff_id.algorithm().to_owned());
        if !self.packed.contains_key(&key) {
            let packed = self.unpack(spot, form, diff_id)?;
            self.packed.insert(key.clone(), packed);
        }
        let packed = &self.packed[&key];
        if packed.diff_id != *diff_id {
            let why = format!("it unpacks to {}, and the config says {diff_id}", packed.diff_id);
            return Err(self.unreadable(path, why));
        }
        self.blobs.insert(packed.digest.clone(), Held::At(spot));
        Ok((kind, Blob { digest: packed.digest.clone(), size: spot.size }))
    }

    /// Hashes a compressed layer, as it is and unpacked.
    fn unpack(&self, spot: Spot, form: Form, diff_id: &Digest) -> Result<Packed> {
        let told = |flaw: Flaw| tell(self.location, Flaw { at: spot.at, ..flaw });
        let unread = |why| told(Flaw::unread(spot.at, why));
        let mut hasher = sha256();
        let mut raw = Hashing { body: extent(self.file, spot).reader(), hasher: &mut hasher };
        let mut unpacked = form.unpack(&mut raw).map_err(unread)?;
        let known = diff_id.hasher().expect("diff ids that cannot be checked were refused");
        let diff_id = walk::hash(known, &mut unpacked, self.watch).map_err(told)??;
        drop(unpacked);
        // A decoder may stop before the last byte.
        io::copy(&mut raw, &mut io::sink()).map_err(unread)?;
        Ok(Packed { digest: hasher.finish(), diff_id })
    }

    /// Where the member at a path of manifest.json lies; `None` where there is none.
    fn member(&mut self, path: &str) -> Result<Option<Spot>> {
        // Docker on Windows once wrote these paths its own way (4.15).
        let path = clean(path.replace('\\', "/").as_bytes()).map_err(|why| self.bad(why))?;
        let Some(spots) = self.members.find(&path).map_err(|why| self.unreadable_bytes(&path, why))? else {
            return Ok(None);
        };
        let (first, again) = spots.split_first().expect("a file is at one place at least");
        if !again.is_empty() {
            let hash = |spot: Spot| {
                let told = |flaw| tell(self.location, flaw);
                walk::hash(sha256(), &mut extent(self.file, spot).reader(), self.watch).map_err(told)?
            };
            let digest = hash(*first)?;
            for spot in again {
                if spot.size != first.size || hash(*spot)? != digest {
                    return Err(self.unreadable_bytes(&path, "it is there twice with different content".into()));
                }
            }
        }
        let first = *first;
        self.members.same(&path);
        Ok(Some(first))
    }

    /// All text of a member.
    fn document(&self, path: &str, spot: Spot) -> Result<String> {
        if spot.size > MAX_MANIFEST {
            let why = format!("it has {} bytes, the limit is {MAX_MANIFEST}", spot.size);
            return Err(self.unreadable(path, why));
        }
        let mut bytes = Vec::new();
        let read = extent(self.file, spot).reader().read_to_end(&mut bytes);
        read.map_err(|why| Error::io("read", self.location, why))?;
        json::text(&bytes).map_err(|why| self.unreadable(path, why.to_string()))?;
        Ok(String::from_utf8(bytes).expect("json::text has checked it"))
    }

    fn spend(&mut self, bytes: u64) -> Result<()> {
        self.room = self.room.checked_sub(bytes).ok_or_else(|| self.bad("it describes too much"))?;
        Ok(())
    }

    fn bad(&self, why: impl Into<String>) -> Error {
        self.unreadable("manifest.json", why.into())
    }

    fn unreadable(&self, path: &str, why: String) -> Error {
        self.unreadable_bytes(path.as_bytes(), why)
    }

    fn unreadable_bytes(&self, path: &[u8], why: String) -> Error {
        Error::new(Kind::Integrity, format!("could not read {} of {}", shown(path), self.location)).because(why)
    }
}

impl Image {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let members: Object = json::parse(text).map_err(|why| why.to_string())?;
        let list = |name: &str| match members.get(name).map(|raw| json::parse::<Vec<String>>(raw.get())) {
            None => Ok(Vec::new()),
            Some(Ok(list)) => Ok(list),
            Some(Err(_)) => Err(format!("its {name} is no list of text")),
        };
        let config = members.get("Config").map(|raw| json::parse::<String>(raw.get()));
        let Some(Ok(config)) = config else { return Err("it has no Config".into()) };
        let sources = members.get("LayerSources").map(|raw| json::parse::<Object>(raw.get())).transpose();
        let sources = sources.map_err(|_| "its LayerSources is no object")?;
        let mut foreign = BTreeMap::new();
        for (diff_id, source) in sources.iter().flat_map(|sources| &sources.0) {
            let wrong = |why: String| format!("its LayerSources has {}: {why}", shown(diff_id.as_bytes()));
            let diff_id = diff_id.parse().map_err(|why: crate::digest::DigestError| wrong(why.to_string()))?;
            foreign.extend(Foreign::parse(source.get()).map_err(wrong)?.map(|foreign| (diff_id, foreign)));
        }
        Ok(Self { config, names: list("RepoTags")?, layers: list("Layers")?, foreign })
    }
}

impl Foreign {
    /// Reads a descriptor of LayerSources; `None` where anybody may hand the layer out.
    fn parse(text: &str) -> std::result::Result<Option<Self>, String> {
        let Descriptor { media_type, digest, size, .. } = Descriptor::parse(text).map_err(|why| why.to_string())?;
        let mut kinds = [FOREIGN_TYPE, DOCKERS_FOREIGN_TYPE].into_iter();
        let packed = match kinds.find_map(|kind| media_type.strip_prefix(kind)) {
            None => return Ok(None),
            Some("+gzip" | ".gzip") => "+gzip",
            Some("+zstd" | ".zstd") => "+zstd",
            Some(_) => "",
        };
        let members: Object = json::parse(text).map_err(|why| why.to_string())?;
        let urls = members.get("urls").map(|raw| json::parse::<Vec<String>>(raw.get())).transpose();
        let urls = urls.map_err(|_| "its urls are no list of text")?.unwrap_or_default();
        let urls = serde_json::to_string(&urls).expect("text always serialises");
        Ok(Some(Self { blob: Blob { digest, size }, packed, urls }))
    }

    /// A descriptor of it as it is in `blob`.
    fn text(&self, packed: &str, blob: &Blob) -> String {
        let Blob { digest, size } = blob;
        let urls = &self.urls;
        format!("{{\"mediaType\":\"{FOREIGN_TYPE}{packed}\",\"digest\":\"{digest}\",\"size\":{size},\"urls\":{urls}}}")
    }
}

/// A name as Docker says it: the whole, and its tag beside it. Short ones stay short (4.17).
fn pair(name: &str) -> Pair {
    match name.rsplit_once(':') {
        Some((repository, tag)) if is_tag(tag) && !repository.is_empty() && !repository.contains('@') => {
            Pair { image: Some(name.into()), reference: Some(tag.into()) }
        }
        _ => Pair::written(name),
    }
}

/// What is where in a docker archive: all names, since manifest.json may use any.
#[derive(Default)]
struct Members {
    /// Where each file is; more than one place where it is there several times.
    files: BTreeMap<Cleaned, Vec<Spot>>,
    /// Where each link leads.
    links: BTreeMap<Cleaned, std::result::Result<Cleaned, &'static str>>,
}

impl Members {
    /// Reads all headers. Integrity as for every archive: what must not be in one must not be here.
    fn read(location: &str, file: &File, watch: &dyn Watch) -> Result<Self> {
        let told = |flaw: Flaw| tell(location, flaw);
        let len = file.metadata().map_err(|why| Error::io("look at", location, why))?.len();
        let (mut headers, mut tape, mut members) = (Headers::default(), Place::new(file, len), Self::default());
        let (mut at, mut room) = (0, MAX_LINKS);
        loop {
            watch.go_on()?;
            let (header, next) = headers.next(&mut tape, at).map_err(told)?;
            let Some(header) = header else { return Ok(members) };
            let (from, spot) = (header.at, Spot { at: next, size: header.size });
            let flaw = |why: &str| told(Flaw::wrong(from, why));
            let padded = spot.size.checked_next_multiple_of(BLOCK);
            let end = padded.and_then(|padded| next.checked_add(padded));
            at = end.ok_or_else(|| flaw("its size reaches beyond any archive"))?;
            let path = match judge(&header).map_err(|why| flaw(&why))? {
                Verdict::File(name) => Some(name.to_string().into_bytes()),
                Verdict::Passed(path, _) if flag(&header) == b'0' => Some(path),
                Verdict::Link(path, target) => {
                    room = spent(room, path.len() + target.as_ref().map_or(0, Vec::len))
                        .ok_or_else(|| flaw("it has too many members"))?;
                    let known = members.links.entry(path).or_insert_with(|| target.clone());
                    if *known != target {
                        *known = Err("two links of this name lead to different places");
                    }
                    None
                }
                _ => None,
            };
            if let Some(path) = path {
                room = spent(room, path.len()).ok_or_else(|| flaw("it has too many members"))?;
                members.files.entry(path).or_default().push(spot);
            }
            let got = tape.skip(at - next).map_err(|why| told(Flaw::unread(next, why)))?;
            if got < at - next {
                return Err(told(Flaw::cut(next + got)));
            }
        }
    }

    /// Where the file called `path` is, or the one a link of that name leads to; `None` where there is none.
    /// `Err` says why nobody can tell.
    fn find(&self, path: &[u8]) -> std::result::Result<Option<&[Spot]>, String> {
        let mut at = path;
        for _ in 0..=MAX_HOPS {
            let (file, link) = (self.files.get(at), self.links.get(at));
            let target = match (file, link) {
                // GNU tar writes a file that it meets twice as a link to itself.
                (Some(spots), None) => return Ok(Some(spots)),
                (Some(spots), Some(Ok(target))) if target == at => return Ok(Some(spots)),
                (Some(_), Some(_)) => return Err("it is there twice, as a file and as a link".into()),
                (None, None) => return Ok(None),
                (None, Some(target)) => target.as_ref().map_err(|why| format!("it is a link, and {why}"))?,
            };
            at = target;
        }
        Err(format!("it goes round in a circle or over more than {MAX_HOPS} links"))
    }

    /// Remembers that the file `path` is or leads to is the same everywhere it is.
    fn same(&mut self, path: &[u8]) {
        let mut at = path;
        while !self.files.contains_key(at) {
            let Some(Ok(target)) = self.links.get(at) else { return };
            at = target;
        }
        let at = at.to_owned();
        self.files.entry(at).and_modify(|spots| spots.truncate(1));
    }
}

/// What is left of the room for names once one more is kept.
fn spent(room: usize, name: usize) -> Option<usize> {
    room.checked_sub(name + 128)
}

fn extent(file: &File, spot: Spot) -> Content<'_> {
    Content::Extent { file, at: spot.at, len: spot.size }
}

fn sha256() -> Hasher {
    Digest::of(b"").hasher().expect("sha256 is known")
}

/// The unpacked archive, in a temporary file.
fn spooled(archive: &Archive, watch: &dyn Watch) -> Result<File> {
    let what = || format!("could not unpack {} into a temporary file", archive.location);
    let failed = |why: io::Error| Error::new(Kind::Failed, what()).because(why);
    let mut file = tempfile::tempfile().map_err(failed)?;
    let mut unpacked = archive.unpacked()?;
    let mut buffer = vec![0; CHUNK];
    loop {
        watch.go_on()?;
        match unpacked.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(got) => file.write_all(&buffer[..got]).map_err(failed)?,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(tell(&archive.location, Flaw::unread(0, why))),
        }
    }
}
