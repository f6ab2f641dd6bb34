//! The drawing: reads the language, line by line, into a layout in memory.

use std::collections::{BTreeMap, BTreeSet};

use ocistow_layout::IndexFile;
use ocistow_layout::descriptor::{Descriptor, IMAGE_NAME, REF_NAME};
use ocistow_layout::digest::Digest;
use ocistow_layout::json::quote;
use ocistow_layout::memory::Memory;

use crate::tar::tar;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// A layout drawn from text, and the words for what is in it.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// The layout.
    pub memory: Memory,
    descriptors: BTreeMap<String, Descriptor>,
}

impl Drawing {
    /// The descriptor of what the drawing calls `name`, with nothing but what is required.
    pub fn descriptor(&self, name: &str) -> &Descriptor {
        self.descriptors.get(name).unwrap_or_else(|| panic!("the drawing has no {name:?}"))
    }

    /// The digest of what the drawing calls `name`.
    pub fn digest(&self, name: &str) -> Digest {
        self.descriptor(name).digest.clone()
    }

    /// What the drawing calls this digest: the first such word in alphabetical order; the digest itself
    /// where there is none.
    pub fn word(&self, digest: &Digest) -> String {
        let found = self.descriptors.iter().find(|(_, descriptor)| descriptor.digest == *digest);
        found.map_or_else(|| digest.to_string(), |(name, _)| name.clone())
    }

    /// The words for these digests, sorted, with a space between: to compare with one line.
    pub fn words<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) -> String {
        let mut words: Vec<String> = digests.into_iter().map(|digest| self.word(digest)).collect();
        words.sort();
        words.join(" ")
    }

    /// The index.json as it is read.
    pub fn index(&self) -> IndexFile {
        IndexFile::parse(self.memory.index.clone()).expect("a drawing's index.json is one")
    }
}

/// Draws the layout that `text` describes. Panics, with the line, where the text makes no sense.
pub fn draw(text: &str) -> Drawing {
    let mut pen = Pen::default();
    for (at, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        pen.line(line).unwrap_or_else(|why| panic!("line {} of the drawing, {line:?}: {why}", at + 1));
    }
    pen.finish()
}

/// A drawing that is not done yet.
#[derive(Default)]
struct Pen {
    memory: Memory,
    things: BTreeMap<String, Thing>,
    entries: Vec<Entry>,
    /// Manifests that get no untagged entry by themselves: an index or a list holds them, or they are hidden.
    held: BTreeSet<String>,
    convert: bool,
}

/// Something with a name.
#[derive(Clone)]
struct Thing {
    descriptor: Descriptor,
    /// The members with which an index lists it, behind the required ones: `,"platform":…`.
    listed: String,
    /// The members with which a list of referrers lists it: `,"artifactType":…,"annotations":…`.
    referred: String,
}

/// One entry of index.json.
struct Entry {
    name: String,
    annotations: Vec<(String, String)>,
    /// Whether it goes when something else holds the manifest.
    weak: bool,
}

/// A line taken apart.
#[derive(Default, Clone)]
struct Line<'a> {
    verb: &'a str,
    name: &'a str,
    tag: Option<&'a str>,
    subject: Option<&'a str>,
    parts: Vec<&'a str>,
    platform: Option<&'a str>,
    kind: Option<&'a str>,
    annotations: Vec<(String, String)>,
    sha512: bool,
    /// What stands between the name and the rest.
    rest: &'a str,
}

type Drawn<T = ()> = Result<T, String>;

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Drawn<Self> {
        let mut new = Self::default();
        let mut text = line;
        if let Some(rest) = text.strip_prefix("sha512 ") {
            (new.sha512, text) = (true, rest.trim());
        }
        if let Some((rest, inner)) = text.strip_suffix('}').and_then(|text| text.rsplit_once('{')) {
            for pair in inner.split(',') {
                let (key, value) = pair.split_once('=').ok_or("an annotation is key=value")?;
                new.annotations.push((key.trim().into(), value.trim().into()));
            }
            text = rest.trim();
        }
        if let Some((rest, kind)) = text.split_once(" : ") {
            (new.kind, text) = (Some(kind.trim()), rest.trim());
        }
        if let Some((rest, platform)) = text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
            (new.platform, text) = (Some(platform), rest.trim());
        }
        if let Some((rest, parts)) = text.split_once(" =") {
            new.parts = parts.split(['+', ',']).map(str::trim).filter(|part| !part.is_empty()).collect();
            text = rest.trim();
        }
        if let Some((rest, subject)) = text.split_once(" -> ") {
            (new.subject, text) = (Some(subject.trim()), rest.trim());
        }
        let (verb, text) = text.split_once(' ').ok_or("a line is a verb and a name")?;
        let (name, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        (new.verb, new.rest) = (verb, rest.trim());
        new.name = name;
        if let Some((name, tag)) = name.split_once(':') {
            (new.name, new.tag) = (name, Some(tag));
        }
        Ok(new)
    }

    fn kind(&self) -> Drawn<&'a str> {
        self.kind.ok_or_else(|| "it needs a type behind a colon with spaces around it".into())
    }

    fn subject(&self) -> Drawn<&'a str> {
        self.subject.ok_or_else(|| "it needs a subject behind ->".into())
    }

    fn bytes(&self, default: usize) -> Drawn<usize> {
        if self.rest.is_empty() { Ok(default) } else { self.rest.parse().map_err(|_| "a size is a number".into()) }
    }
}

impl Pen {
    fn line(&mut self, text: &str) -> Drawn {
        let line = Line::parse(text)?;
        let sized = ["layer", "file", "ghost"].contains(&line.verb);
        let worded = ["tag", "name"].contains(&line.verb);
        if !line.rest.is_empty() && !sized && !worded {
            return Err(format!("{:?} is too much", line.rest));
        }
        match line.verb {
            "layer" => self.blob(line.name, &layer(line.name, line.bytes(16)?), line.kind.unwrap_or(LAYER)),
            "file" => {
                let bytes = content(line.name, line.bytes(16)?);
                self.blob(line.name, &bytes, line.kind.unwrap_or("application/octet-stream"))
            }
            "image" => self.image(&line, IMAGE, CONFIG, LAYER),
            "docker" => self.image(&line, DOCKER_IMAGE, DOCKER_CONFIG, DOCKER_LAYER),
            "index" => self.index(&line, INDEX),
            "list" => self.index(&line, DOCKER_LIST),
            "artifact" => self.artifact(&line),
            "refer" => line.subject().and_then(|_| self.artifact(&line)),
            "attest" => self.attest(&line),
            "containerd" => self.containerd(&line),
            "cosign" => self.cosign(&line),
            "fallback" | "olareg" => self.referrers(&line),
            "ghost" => {
                let bytes = content(line.name, line.bytes(400)?);
                self.blob(line.name, &bytes, line.kind.unwrap_or(IMAGE))?;
                self.take_away(line.name)
            }
            "tag" | "name" => self.tag(&line),
            "entry" => self.entry(line.name, Vec::new(), false),
            "hidden" => {
                self.thing(line.name)?;
                self.held.insert(line.name.into());
                Ok(())
            }
            "absent" => self.take_away(line.name),
            "damage" => self.spoil(line.name, |bytes| {
                let middle = bytes.len() / 2;
                bytes.get_mut(middle).map(|byte| *byte ^= 1).ok_or("an empty blob cannot be damaged".into())
            }),
            "cut" => self.spoil(line.name, |bytes| bytes.pop().map(|_| ()).ok_or("an empty blob cannot be cut".into())),
            verb => Err(format!("{verb:?} is not a word of the language")),
        }
    }

    fn thing(&self, name: &str) -> Drawn<&Thing> {
        self.things.get(name).ok_or_else(|| format!("nothing above is called {name:?}"))
    }

    fn name(&mut self, name: &str, thing: Thing) -> Drawn {
        match self.things.insert(name.into(), thing) {
            None => Ok(()),
            Some(_) => Err(format!("something above is already called {name:?}")),
        }
    }

    /// A blob with a name, by sha256.
    fn blob(&mut self, name: &str, bytes: &[u8], media_type: &str) -> Drawn {
        let digest = self.memory.add(bytes);
        let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        self.name(name, Thing { descriptor, listed: String::new(), referred: String::new() })
    }

    /// A manifest under the line's name, and its entry. `members` are those behind the media type;
    /// subject and annotations come last.
    fn manifest(
        &mut self,
        line: &Line<'_>,
        media_type: &str,
        kind: Option<&str>,
        members: &str,
        listed: &str,
    ) -> Drawn {
        let mut text = format!("{{\"schemaVersion\":2,\"mediaType\":{}{members}", quote(media_type));
        if let Some(subject) = line.subject {
            text.push_str(&format!(",\"subject\":{}", self.thing(subject)?.descriptor.text()));
        }
        let annotations = member("annotations", &line.annotations);
        text.push_str(&annotations);
        text.push('}');
        let digest = if line.sha512 {
            let any: Digest = format!("sha512:{}", "0".repeat(128)).parse().expect("it is a digest");
            let digest = any.same_of(text.as_bytes()).expect("sha512 is known");
            self.memory.blobs.insert(digest.clone(), text.as_bytes().to_vec());
            digest
        } else {
            self.memory.add(text.as_bytes())
        };
        let descriptor = Descriptor::new(media_type, digest, text.len() as u64);
        let kind = kind.map(|kind| format!(",\"artifactType\":{}", quote(kind))).unwrap_or_default();
        let referred = kind + &annotations;
        self.name(line.name, Thing { descriptor, listed: listed.into(), referred })?;
        match line.tag {
            Some(tag) => self.entry(line.name, vec![(REF_NAME.into(), tag.into())], false),
            None => self.entry(line.name, Vec::new(), true),
        }
    }

    fn entry(&mut self, name: &str, annotations: Vec<(String, String)>, weak: bool) -> Drawn {
        self.thing(name)?;
        self.entries.push(Entry { name: name.into(), annotations, weak });
        Ok(())
    }

    /// Draws the parts that nothing above is called, by `make`, and lists all.
    fn parts(&mut self, names: &[&str], media_type: &str, make: fn(&str, usize) -> Vec<u8>) -> Drawn<Vec<Descriptor>> {
        let mut parts = Vec::new();
        for name in names {
            if !self.things.contains_key(*name) {
                self.blob(name, &make(name, 16), media_type)?;
            }
            parts.push(self.thing(name)?.descriptor.clone());
        }
        Ok(parts)
    }

    fn image(&mut self, line: &Line<'_>, media_type: &str, config_type: &str, layer_type: &str) -> Drawn {
        let layers = self.parts(&line.parts, layer_type, layer)?;
        let platform = platform(line.platform.unwrap_or("linux/amd64"))?;
        let diff_ids: Vec<String> = layers.iter().map(|layer| quote(&layer.digest.to_string())).collect();
        let config = format!(
            "{{{},\"config\":{{\"Labels\":{{\"drawn\":{}}}}},\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}}}}",
            platform,
            quote(line.name),
            diff_ids.join(",")
        );
        let config_name = format!("{}.config", line.name);
        self.blob(&config_name, config.as_bytes(), config_type)?;
        let members = format!(
            ",\"config\":{},\"layers\":[{}]",
            self.thing(&config_name)?.descriptor.text(),
            texts(layers.iter().map(Descriptor::text))
        );
        let listed = line.platform.map(|_| format!(",\"platform\":{{{platform}}}")).unwrap_or_default();
        self.manifest(line, media_type, Some(config_type), &members, &listed)
    }

    fn index(&mut self, line: &Line<'_>, media_type: &str) -> Drawn {
        let mut children = Vec::new();
        for name in &line.parts {
            let thing = self.thing(name)?;
            children.push(with(&thing.descriptor, &thing.listed));
            self.held.insert((*name).into());
        }
        let kind = line.kind.map(|kind| format!(",\"artifactType\":{}", quote(kind))).unwrap_or_default();
        let members = format!("{kind},\"manifests\":[{}]", children.join(","));
        self.manifest(line, media_type, line.kind, &members, "")
    }

    fn artifact(&mut self, line: &Line<'_>) -> Drawn {
        let kind = line.kind()?;
        let own = format!("{}.file", line.name);
        let names = if line.parts.is_empty() { vec![own.as_str()] } else { line.parts.clone() };
        let files = self.parts(&names, "application/octet-stream", content)?;
        let members = format!(
            ",\"artifactType\":{},\"config\":{},\"layers\":[{}]",
            quote(kind),
            self.empty().text(),
            texts(files.iter().map(Descriptor::text))
        );
        self.manifest(line, IMAGE, Some(kind), &members, "")
    }

    /// The empty JSON blob, there from now on.
    fn empty(&mut self) -> Descriptor {
        Descriptor::new(EMPTY, self.memory.add(*b"{}"), 2)
    }

    fn attest(&mut self, line: &Line<'_>) -> Drawn {
        let subject = self.thing(line.subject()?)?.descriptor.digest.to_string();
        let statement = format!("{}.file", line.name);
        self.blob(&statement, &content(line.name, 16), "application/vnd.in-toto+json")?;
        let statement = self.thing(&statement)?.descriptor.clone();
        let platform = platform("unknown/unknown")?;
        let config = format!(
            "{{{platform},\"config\":{{}},\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"{}\"]}}}}",
            statement.digest
        );
        let config_name = format!("{}.config", line.name);
        self.blob(&config_name, config.as_bytes(), CONFIG)?;
        let config = self.thing(&config_name)?.descriptor.clone();
        let members = format!(",\"config\":{},\"layers\":[{}]", config.text(), statement.text());
        let annotations = member(
            "annotations",
            &[
                ("vnd.docker.reference.digest".into(), subject),
                ("vnd.docker.reference.type".into(), "attestation-manifest".into()),
            ],
        );
        let listed = format!("{annotations},\"platform\":{{{platform}}}");
        let alone = Line { subject: None, ..line.clone() };
        self.manifest(&alone, IMAGE, Some(CONFIG), &members, &listed)
    }

    fn containerd(&mut self, line: &Line<'_>) -> Drawn {
        let subject = self.thing(line.subject()?)?.descriptor.digest.to_string();
        self.artifact(&Line { subject: None, ..line.clone() })?;
        let entry = self.entries.last_mut().expect("the artifact has just made one");
        entry.annotations.push(("io.containerd.manifest.subject".into(), subject));
        entry.weak = false;
        Ok(())
    }

    fn cosign(&mut self, line: &Line<'_>) -> Drawn {
        let (subject, suffix) = line.name.rsplit_once('.').ok_or("it is SUBJECT.sig, .att or .sbom")?;
        let kind = match suffix {
            "sig" => "application/vnd.dev.cosign.simplesigning.v1+json",
            "att" => "application/vnd.dsse.envelope.v1+json",
            "sbom" => "text/spdx",
            _ => return Err("it is SUBJECT.sig, .att or .sbom".into()),
        };
        let subject = self.thing(subject)?.descriptor.digest.clone();
        let payload = format!("{}.file", line.name);
        let text = format!(
            "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"\"}},\"image\":{{\"docker-manifest-digest\":\"{subject}\"}},\"type\":\"cosign container image signature\"}},\"optional\":{{\"drawn\":{}}}}}",
            quote(line.name)
        );
        self.blob(&payload, text.as_bytes(), kind)?;
        let payload = self.thing(&payload)?.descriptor.clone();
        let config = format!(
            "{{\"architecture\":\"\",\"os\":\"\",\"config\":{{}},\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"{}\"]}}}}",
            payload.digest
        );
        let config_name = format!("{}.config", line.name);
        self.blob(&config_name, config.as_bytes(), CONFIG)?;
        let config = self.thing(&config_name)?.descriptor.clone();
        let members = format!(
            ",\"config\":{},\"layers\":[{}]",
            config.text(),
            with(&payload, ",\"annotations\":{\"dev.cosignproject.cosign/signature\":\"AA==\"}")
        );
        let tag = format!("{}.{suffix}", subject.fallback_tag());
        self.manifest(&Line { tag: Some(&tag), ..line.clone() }, IMAGE, Some(CONFIG), &members, "")
    }

    fn referrers(&mut self, line: &Line<'_>) -> Drawn {
        let subject = self.thing(line.name)?.descriptor.digest.clone();
        let mut listed = Vec::new();
        for name in &line.parts {
            let thing = self.thing(name)?;
            listed.push(with(&thing.descriptor, &thing.referred));
            self.held.insert((*name).into());
        }
        let members = format!(",\"manifests\":[{}]", listed.join(","));
        let first = format!("{}.{}", line.name, line.verb);
        let further = (2..).map(|n| format!("{first}.{n}"));
        let mut names = std::iter::once(first.clone()).chain(further);
        let name = names.find(|name| !self.things.contains_key(name)).expect("numbers do not end");
        let tag = subject.fallback_tag();
        let (tag, annotations) = match line.verb {
            "fallback" => (Some(tag.as_str()), None),
            _ => (None, Some(("org.olareg.referrer.subject".to_owned(), subject.to_string()))),
        };
        let list = Line { name: &name, tag, ..Line::default() };
        self.manifest(&list, INDEX, None, &members, "")?;
        if let Some(annotation) = annotations {
            let entry = self.entries.last_mut().expect("the list has just made one");
            entry.annotations.push(annotation);
            entry.weak = false;
            self.convert = true;
        }
        Ok(())
    }

    fn tag(&mut self, line: &Line<'_>) -> Drawn {
        let words: Vec<&str> = line.rest.split_whitespace().collect();
        let pair = match (line.verb, words.as_slice()) {
            ("tag", ["as", tag]) => vec![(REF_NAME, *tag)],
            ("tag", ["as", tag, "in", full]) => vec![(IMAGE_NAME, *full), (REF_NAME, *tag)],
            ("name", ["as", full]) => vec![(IMAGE_NAME, *full)],
            _ => return Err("it is `tag NAME as TAG [in FULLNAME]` or `name NAME as FULLNAME`".into()),
        };
        // An untagged entry becomes the tagged one, as with every tool that tags.
        let weak = self.entries.iter().position(|entry| entry.weak && entry.name == line.name);
        if let Some(at) = weak {
            self.entries.remove(at);
        }
        self.entry(line.name, pair.into_iter().map(|(key, value)| (key.into(), value.into())).collect(), false)
    }

    fn take_away(&mut self, name: &str) -> Drawn {
        let digest = self.thing(name)?.descriptor.digest.clone();
        self.memory.blobs.remove(&digest).map(|_| ()).ok_or_else(|| "it is not there already".into())
    }

    fn spoil(&mut self, name: &str, how: fn(&mut Vec<u8>) -> Drawn) -> Drawn {
        let digest = self.thing(name)?.descriptor.digest.clone();
        how(self.memory.blobs.get_mut(&digest).ok_or("it is not there")?)
    }

    fn finish(mut self) -> Drawing {
        let mut entries = Vec::new();
        for entry in &self.entries {
            if entry.weak && self.held.contains(&entry.name) {
                continue;
            }
            let thing = &self.things[&entry.name];
            entries.push(with(&thing.descriptor, &member("annotations", &entry.annotations)));
        }
        let convert = [("org.olareg.referrer.convert".to_owned(), "true".to_owned())];
        self.memory.index = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[{}]{}}}",
            entries.join(","),
            member("annotations", if self.convert { &convert } else { &[] })
        )
        .into_bytes();
        let descriptors = self.things.into_iter().map(|(name, thing)| (name, thing.descriptor)).collect();
        Drawing { memory: self.memory, descriptors }
    }
}

/// A layer: a tar with the one file `name`.
fn layer(name: &str, size: usize) -> Vec<u8> {
    tar([(name, content(name, size).as_slice())])
}

/// `size` bytes that depend on the name and do not compress: the name itself, then noise.
fn content(name: &str, size: usize) -> Vec<u8> {
    let mut bytes = format!("{name}\n").into_bytes();
    // Any spread of states will do; FNV over the name, then xorshift.
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// The members of a platform, from `os/architecture[/variant][:os.version]`.
fn platform(text: &str) -> Drawn<String> {
    let (text, version) = text.split_once(':').map_or((text, None), |(text, version)| (text, Some(version)));
    let mut words = text.split('/');
    let (os, architecture) = words.next().zip(words.next()).ok_or("a platform is os/architecture")?;
    let mut out = format!("\"architecture\":{},\"os\":{}", quote(architecture), quote(os));
    if let Some(variant) = words.next() {
        out.push_str(&format!(",\"variant\":{}", quote(variant)));
    }
    if let Some(version) = version {
        out.push_str(&format!(",\"os.version\":{}", quote(version)));
    }
    Ok(out)
}

/// The text of a descriptor with further members behind its own.
fn with(descriptor: &Descriptor, members: &str) -> String {
    let text = descriptor.text();
    format!("{}{members}}}", &text[..text.len() - 1])
}

fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.collect::<Vec<_>>().join(",")
}

/// `,"name":{"key":"value",…}`, or nothing where there are no pairs.
fn member(name: &str, pairs: &[(String, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{}:{}", quote(key), quote(value))).collect();
    format!(",{}:{{{}}}", quote(name), pairs.join(","))
}

#[cfg(test)]
mod tests {
    use ocistow_layout::json::{self, Object};

    use super::*;

    /// `word=name` of each entry, in order.
    fn entries(world: &Drawing) -> String {
        let index = world.index();
        let shown = index.descriptors().expect("all are descriptors").into_iter().map(|entry| {
            let name = entry.annotation(REF_NAME).map(|name| name.replace(&world.digest("app").encoded(), "APP"));
            format!("{}={}", world.word(&entry.digest), name.unwrap_or_default())
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    fn text(world: &Drawing, name: &str) -> String {
        String::from_utf8(world.memory.blobs[&world.digest(name)].clone()).expect("it is text")
    }

    fn get(text: &str, member: &str) -> String {
        json::parse::<Object>(text)
            .expect("it is an object")
            .get(member)
            .map_or_else(String::new, |raw| raw.get().into())
    }

    #[test]
    fn what_an_index_or_a_list_holds_is_no_entry() {
        let world = draw(
            "image app = base
             image lone = base
             index all:1.0 = app
             refer sig -> app : application/x.sig
             refer sbom -> app : application/x.sbom
             refer note -> lone : application/x.note
             fallback app = sig
             olareg lone = note
             hidden sbom",
        );
        assert_eq!(entries(&world), "lone= all=1.0 app.fallback=sha256-APP lone.olareg=");
        assert_eq!(world.index().annotation("org.olareg.referrer.convert").as_deref(), Some("true"));
        let listed = world.index().entries()[3].descriptor.clone().expect("it is a descriptor");
        assert_eq!(listed.annotation("org.olareg.referrer.subject"), Some(world.digest("lone").to_string().as_str()));
    }

    #[test]
    fn tagging_turns_the_untagged_entry_into_a_tagged_one() {
        let world = draw("image app = base\ntag app as 1.0\ntag app as 1.1 in docker.io/library/app:1.1\nentry app");
        assert_eq!(entries(&world), "app=1.0 app=1.1 app=");
        let image = world.index().entries()[1].pair.image.clone();
        assert_eq!(image.as_deref(), Some("docker.io/library/app:1.1"));
    }

    #[test]
    fn children_carry_their_platform_and_attestations_their_subject() {
        let world = draw(
            "image app = base [linux/arm64/v8]
             attest prov -> app
             index all = app, prov",
        );
        let listed: serde_json::Value = serde_json::from_str(&text(&world, "all")).expect("it is JSON");
        assert_eq!(listed["manifests"][0]["platform"]["variant"], "v8");
        assert_eq!(listed["manifests"][1]["platform"]["os"], "unknown");
        assert_eq!(
            listed["manifests"][1]["annotations"]["vnd.docker.reference.digest"],
            world.digest("app").to_string()
        );
        assert_eq!(entries(&world), "all=");
    }

    #[test]
    fn referrers_name_their_subject_in_the_way_of_their_dialect() {
        let world = draw(
            "sha512 image app = base
             refer sig -> app : application/x.sig {by=me, at=home}
             containerd old -> app : application/x.old
             cosign app.att",
        );
        let subject: Descriptor = Descriptor::parse(&get(&text(&world, "sig"), "subject")).expect("it is a descriptor");
        assert_eq!(&subject, world.descriptor("app"));
        assert_eq!(subject.digest.algorithm(), "sha512");
        assert_eq!(get(&text(&world, "sig"), "annotations"), r#"{"by":"me","at":"home"}"#);
        assert_eq!(get(&text(&world, "old"), "subject"), "");
        let old = world.index().entries()[2].descriptor.clone().expect("it is a descriptor");
        assert_eq!(old.annotation("io.containerd.manifest.subject"), Some(subject.digest.to_string().as_str()));
        let tag = format!("{}.att", subject.digest.fallback_tag());
        assert_eq!(world.index().entries()[3].pair.reference.as_deref(), Some(tag.as_str()));
    }

    #[test]
    fn blobs_can_be_absent_damaged_or_cut() {
        let whole = draw("image app = base + more + most");
        let world = draw("image app = base + more + most\nabsent base\ndamage more\ncut most\nghost nobody");
        assert!(!world.memory.blobs.contains_key(&world.digest("base")));
        assert!(!world.memory.blobs.contains_key(&world.digest("nobody")));
        let more = &world.memory.blobs[&world.digest("more")];
        assert_eq!(more.len(), whole.memory.blobs[&whole.digest("more")].len());
        assert_ne!(Digest::of(more), world.digest("more"));
        assert_eq!(world.memory.blobs[&world.digest("most")].len() as u64, world.descriptor("most").size - 1);
        assert_eq!(world.index().text(), whole.index().text());
    }

    #[test]
    fn layers_are_tars_of_the_size_asked_for() {
        let world = draw("layer big 5000\nimage app = big");
        let bytes = &world.memory.blobs[&world.digest("big")];
        assert_eq!(bytes.len(), 512 + 5120 + 1024);
        assert_eq!(&bytes[..4], b"big\0");
        assert_eq!(&bytes[512..516], b"big\n");
        assert_eq!(text(&world, "app.config").matches(&world.digest("big").to_string()).count(), 1);
    }

    #[test]
    #[should_panic(expected = "line 2 of the drawing, \"refer sig -> ap : x/y\": nothing above is called \"ap\"")]
    fn a_word_that_was_not_drawn_stops_the_test() {
        draw("image app = base\nrefer sig -> ap : x/y");
    }
}
