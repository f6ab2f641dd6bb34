//! Manifests in another form: Docker's as OCI's and back, and artifact manifests that were withdrawn as OCI's of today.
//!
//! Only manifests are made anew; configs, layers and blobs stay what they are. What is understood is rewritten in
//! its place, everything else keeps its text, so that nothing is lost on the way there and back.

use std::collections::{BTreeMap, BTreeSet};

use ocistow_layout::checked::MAX_MANIFEST;
use ocistow_layout::edit::Edit;
use ocistow_layout::index::INDEX_TYPE;
use ocistow_layout::json::{self, Array, Object};
use ocistow_layout::memory::Memory;
use ocistow_layout::name::Pair;
use ocistow_layout::{Blob, Descriptor, Digest, Error, Kind, Result, Source, Unwatched};

use crate::facts::{DOCKER_CONFIG, Facts, Form, OCI_CONFIG, Shape};
use crate::graph::{ATTESTED, About, Dialect, Graph, Load, Node, OLAREG_SUBJECT, PROPOSED_SUBJECT, read};
use crate::import::{Import, Named, import, named};
use crate::list;
use crate::made::{EMPTY_CONTENT, Made, UNKNOWN_ARTIFACT, empty_blob, empty_descriptor};
use crate::manifest::Manifest;
use crate::plan::{Entry, Plan};
use crate::resolve::Target;

/// Whose form manifests get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// OCI 1.1.
    Oci,
    /// Docker's second schema.
    Docker,
}

/// Docker's media types and OCI's for the same content (DOCKER-COMPAT-4, DOCKER-COMPAT-6).
const SAME: [(&str, &str); 5] = [
    (DOCKER_CONFIG, OCI_CONFIG),
    ("application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar"),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar"),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ),
];
/// What some tools call Docker's layers in zstd. No Docker reads it, so it is never written.
const DOCKER_ZSTD: (&str, &str) =
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", "application/vnd.oci.image.layer.v1.tar+zstd");
/// The start of all media types of Docker's.
const DOCKER: &str = "application/vnd.docker.";

/// What becomes of a manifest, its children and its referrers: nothing is decided after this.
#[derive(Debug)]
pub struct Conversion {
    /// What was asked for.
    pub old: Descriptor,
    /// What it is now, with everything its descriptor said besides; `old` where it was of that form already.
    pub new: Descriptor,
    /// Children of indexes that are not there: what lists them does so as before.
    pub absent: BTreeSet<Digest>,
    /// Referrers that were made anew, or got another tag.
    pub attached: BTreeSet<Digest>,
    /// Referrers of a withdrawn form whose subject stays what it is: what they became stands in their place.
    pub replaced: BTreeSet<Digest>,
    /// Referrers that stay with what was converted.
    pub left: BTreeSet<Digest>,
    /// What was made, parts before wholes.
    made: Vec<Made>,
    /// The blobs they need that were not there before.
    blobs: BTreeMap<Digest, &'static [u8]>,
    /// The entries that stood for what was asked for.
    standing: Vec<Entry>,
    /// The entries that stood for each of `replaced`, with what they stand for now.
    replacing: Vec<(Entry, Descriptor)>,
    /// The entries that referrers get, lists of them included.
    along: Vec<Entry>,
    /// The content of those lists.
    lists: BTreeMap<Digest, Vec<u8>>,
}

/// How a conversion comes into a layout.
#[derive(Debug)]
pub struct Entering {
    /// The changes to index.json, and further lists.
    pub import: Import,
    /// Everything that is written, wholes first, with its content.
    pub written: Vec<(Blob, Vec<u8>)>,
}

/// Decides what becomes of `target`, all its children and, with `referrers`, everything that refers to what changes.
/// Incomplete where it is absent, Integrity where it or a child cannot be read, Failed where the other form has no
/// words for something in it.
pub fn convert(
    graph: &Graph,
    source: &dyn Source,
    target: &Target,
    family: Family,
    referrers: bool,
) -> Result<Conversion> {
    let mut work = Work::new(graph, source);
    let root = &target.descriptor;
    work.all_of(root, family)?;
    let converted: Vec<Digest> = work.became.keys().cloned().collect();
    let mut along = Vec::new();
    let mut attached = BTreeSet::new();
    let mut replaced = BTreeSet::new();
    if referrers {
        let mut next: Vec<Digest> = work.met.iter().cloned().collect();
        let mut asked = BTreeSet::new();
        while let Some(subject) = next.pop() {
            if asked.insert(subject.clone()) {
                next.extend(work.attach(&subject, &mut along, &mut attached, &mut replaced)?);
            }
        }
    }
    let mut left = BTreeSet::new();
    for subject in &converted {
        let edges = graph.referrers(subject).iter().map(|edge| &edge.referrer);
        left.extend(edges.filter(|edge| !work.became.contains_key(edge) && !attached.contains(edge)).cloned());
    }
    let new = match work.became.get(&root.digest) {
        Some(made) => redirected(root, &work.made[*made].facts),
        None => root.clone(),
    };
    let entry = |place: &usize| -> Result<Entry> {
        let entry = &graph.index().entries()[*place];
        Ok(Entry { descriptor: entry.descriptor(*place)?.clone(), pair: entry.pair.clone() })
    };
    let standing = target.places.iter().map(entry).collect::<Result<_>>()?;
    let mut lists = BTreeMap::new();
    work.lists(&mut along, &mut lists);
    let mut replacing = Vec::new();
    for old in &replaced {
        let new = &work.made[work.became[old]];
        let own = graph.index().entries().iter();
        let own = own.filter_map(|entry| Some((entry.descriptor.as_ref().ok()?, &entry.pair)));
        let before = replacing.len();
        replacing.extend(own.filter(|(descriptor, _)| descriptor.digest == *old).map(|(descriptor, pair)| {
            (Entry { descriptor: descriptor.clone(), pair: pair.clone() }, redirected(descriptor, &new.facts))
        }));
        if replacing.len() == before {
            along.push(Entry::named(&new.entry(), Pair::default()));
        }
    }
    let Work { made, blobs, absent, .. } = work;
    let old = root.clone();
    Ok(Conversion { old, new, absent, attached, replaced, left, made, blobs, standing, replacing, along, lists })
}

impl Conversion {
    /// What was asked for, made anew; `None` where it was of that form already.
    pub fn root(&self) -> Option<&Made> {
        self.made.iter().find(|made| made.facts.digest == self.new.digest)
    }

    /// How many manifests were made.
    pub fn count(&self) -> usize {
        self.made.len()
    }

    /// Decides how it comes into `target`: under `name`, or in the place of what it was made of; those entries have
    /// to be there still when it is published, else that ends with Conflict. As [`import`].
    pub fn enter(&self, name: Option<&str>, target: &dyn Source) -> Result<Entering> {
        let mut entries = self.along.clone();
        let mut names = Vec::new();
        let mut replacing = self.replacing.clone();
        let mut replaced = self.replaced.clone();
        if let Some(name) = name {
            entries.push(Entry::named(&self.new, Pair::written(name)));
            names.push((name.to_owned(), name.to_owned()));
        } else if let Some(made) = self.root() {
            let new = |entry: &Entry| (entry.clone(), redirected(&entry.descriptor, &made.facts));
            replacing.extend(self.standing.iter().map(new));
            replaced.insert(self.old.digest.clone());
            if self.standing.is_empty() {
                entries.push(Entry::named(&self.new, Pair::default()));
            }
        }
        let standing = if replacing.is_empty() { Named::new() } else { named(&target.index()?) };
        let shared = |pair: &Pair| standing.get(&pair.key()).filter(|digests| digests.len() > 1);
        let mut gone = Vec::new();
        let mut expected: BTreeMap<&Pair, &Digest> = BTreeMap::new();
        for (old, new) in &replacing {
            if old.pair.is_empty() || shared(&old.pair).is_some() {
                gone.push(Edit::Remove { digest: old.descriptor.digest.clone(), pair: old.pair.clone() });
            } else {
                expected.insert(&old.pair, &old.descriptor.digest);
            }
            entries.push(Entry::named(new, old.pair.clone()));
        }
        // It arrives as from a layout that has nothing else.
        let texts: Vec<&str> = entries.iter().map(|entry| entry.descriptor.text()).collect();
        let index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", texts.join(","));
        let mut alone = Memory { index: index.into_bytes(), ..Memory::default() };
        let made = self.made.iter().map(|made| (made.facts.digest.clone(), made.bytes.clone()));
        alone.blobs.extend(made.chain(self.lists.clone()));
        let graph = Graph::load(&alone, Load { threads: 1, scan_blobs: false }, &Unwatched)?;
        let blob = |(digest, bytes): (&Digest, &Vec<u8>)| Blob { digest: digest.clone(), size: bytes.len() as u64 };
        let plan = Plan {
            entries,
            manifests: self.made.iter().map(Made::blob).chain(self.lists.iter().map(blob)).collect(),
            inline: self.lists.clone(),
            ..Plan::default()
        };
        let mut import = import(&plan, &graph, target, &names)?;
        import.edits.retain_mut(|edit| {
            let (Edit::Set { entry, pair, .. } | Edit::Beside { entry, pair }) = &*edit else { return true };
            if let Some(digests) = shared(pair) {
                // Whatever else has the name keeps it.
                let new = !digests.contains_key(&Some(entry.digest.clone()));
                *edit = Edit::Beside { entry: entry.clone(), pair: pair.clone() };
                return new;
            }
            if let Edit::Set { pair, expect, .. } = edit
                && let Some(old) = expected.get(pair)
            {
                *expect = Some(Some((*old).clone()));
            }
            true
        });
        import.moved.retain(|moved| {
            let stays = moved.from.as_ref().is_none_or(|from| !replaced.contains(from));
            !stays || !replacing.iter().any(|(old, _)| shared(&old.pair).is_some() && moved.is_of(&old.pair))
        });
        import.edits.extend(gone);
        unlist(&mut import, &replaced);
        let lists = import.inline.iter().chain(&self.lists);
        let lists = lists.filter(|(digest, _)| !import.dropped.contains(digest));
        let mut written: Vec<(Blob, Vec<u8>)> =
            lists.map(|(digest, bytes)| (blob((digest, bytes)), bytes.clone())).collect();
        written.extend(self.made.iter().rev().map(|made| (made.blob(), made.bytes.clone())));
        written.extend(self.blobs.iter().map(|(digest, bytes)| (blob((digest, &bytes.to_vec())), bytes.to_vec())));
        let mut met = BTreeSet::new();
        written.retain(|(blob, _)| met.insert(blob.digest.clone()));
        Ok(Entering { import, written })
    }
}

/// Takes what was replaced out of the lists that change.
fn unlist(import: &mut Import, replaced: &BTreeSet<Digest>) {
    for (digest, bytes) in std::mem::take(&mut import.inline) {
        let facts = Facts::read_list(INDEX_TYPE, &digest, &bytes).expect("a list that was just made is one");
        if !facts.children().any(|child| replaced.contains(&child.digest)) {
            import.inline.insert(digest, bytes);
            continue;
        }
        let stays = facts.children().filter(|child| !replaced.contains(&child.digest));
        let fewer = list::made(stays.map(Descriptor::text));
        for edit in &mut import.edits {
            if let Edit::Set { entry, .. } | Edit::Add { entry } = edit
                && entry.digest == digest
            {
                **entry = list::entry(entry, &fewer);
            }
        }
        import.inline.insert(Digest::of(&fewer), fewer);
    }
}

/// The same name, with a digest in it that is another's.
fn about_other(pair: &Pair, old: &Digest, new: &Digest) -> Pair {
    let (was, is) = (old.fallback_tag(), new.fallback_tag());
    let again = |text: &Option<String>| text.as_ref().map(|text| text.replace(&was, &is));
    Pair { image: again(&pair.image), reference: again(&pair.reference) }
}

/// A manifest to be converted.
struct Wanted {
    facts: Facts,
    bytes: Vec<u8>,
    family: Family,
}

/// A conversion in progress.
struct Work<'g> {
    graph: &'g Graph,
    source: &'g dyn Source,
    /// What is looked at now.
    wanted: BTreeMap<Digest, Wanted>,
    /// What was looked at, whatever came of it.
    met: BTreeSet<Digest>,
    made: Vec<Made>,
    /// The place in `made` of what each became.
    became: BTreeMap<Digest, usize>,
    blobs: BTreeMap<Digest, &'static [u8]>,
    absent: BTreeSet<Digest>,
}

impl<'g> Work<'g> {
    fn new(graph: &'g Graph, source: &'g dyn Source) -> Self {
        Self {
            graph,
            source,
            wanted: BTreeMap::new(),
            met: BTreeSet::new(),
            made: Vec::new(),
            became: BTreeMap::new(),
            blobs: BTreeMap::new(),
            absent: BTreeSet::new(),
        }
    }

    /// Converts a manifest and all its children.
    fn all_of(&mut self, root: &Descriptor, family: Family) -> Result<()> {
        self.gather(root, family)?;
        // Own stack: indexes in indexes are as deep as an enemy likes. What is open is waited for by what is below.
        let mut open = BTreeSet::new();
        let mut stack = vec![root.digest.clone()];
        while let Some(digest) = stack.last() {
            let Some(wanted) = self.wanted.get(digest) else {
                stack.pop();
                continue;
            };
            let before: Vec<Digest> =
                needed(&wanted.facts).filter(|before| self.wanted.contains_key(before)).cloned().collect();
            if open.insert(digest.clone()) && !before.is_empty() {
                // Only digests that nobody can check lead round in a circle.
                if let Some(again) = before.iter().find(|before| open.contains(before)) {
                    let what = format!("could not convert {again}");
                    return Err(Error::new(Kind::Integrity, what).because("it contains itself"));
                }
                stack.extend(before);
                continue;
            }
            let digest = digest.clone();
            stack.pop();
            if let Some(wanted) = self.wanted.remove(&digest)
                && let Some(made) = self.one(&wanted)?
            {
                self.became.insert(digest, self.made.len());
                self.made.push(made);
            }
        }
        Ok(())
    }

    /// Reads a manifest and all its children that nobody looked at before.
    fn gather(&mut self, root: &Descriptor, family: Family) -> Result<()> {
        let mut stack = vec![(root.clone(), true)];
        while let Some((descriptor, is_root)) = stack.pop() {
            let digest = &descriptor.digest;
            if !self.met.insert(digest.clone()) {
                continue;
            }
            let (node, bytes) = match self.graph.inline(digest) {
                // It is there only in some other descriptor.
                Some(bytes) => {
                    let manifest = Manifest::read(&descriptor.media_type, digest, bytes.to_vec());
                    let broken =
                        |why| Error::new(Kind::Integrity, format!("could not read manifest {digest}")).because(why);
                    (Node::Present(Box::new(manifest.map_err(broken)?)), bytes.to_vec())
                }
                None => read(self.source, &descriptor),
            };
            if node == Node::Absent && !is_root {
                self.absent.insert(digest.clone());
                continue;
            }
            let facts = node.facts(digest)?;
            let children = facts.parts.iter().filter(|part| self.graph.is_manifest_part(part));
            stack.extend(children.map(|part| (part.descriptor.clone(), false)));
            self.wanted.insert(digest.clone(), Wanted { facts, bytes, family });
        }
        Ok(())
    }

    /// Converts everything that says of itself that it refers to `subject`, if that became something else or the referrer
    /// is of a withdrawn form; what refers to it by a tag gets another one. Gives what has to be asked for referrers
    /// next.
    fn attach(
        &mut self,
        subject: &Digest,
        along: &mut Vec<Entry>,
        attached: &mut BTreeSet<Digest>,
        replaced: &mut BTreeSet<Digest>,
    ) -> Result<Vec<Digest>> {
        let new = self.became.get(subject).map(|made| self.made[*made].facts.digest.clone());
        let mut next = Vec::new();
        for edge in self.graph.referrers(subject) {
            next.push(edge.referrer.clone());
            match edge.dialect {
                // Containerd's says it at its one entry, which cannot say two things.
                Dialect::Containerd | Dialect::Attestation => {}
                Dialect::CosignTag => {
                    let Some(new) = &new else { continue };
                    along.extend(self.retagged(&edge.referrer, subject, new));
                    attached.insert(edge.referrer.clone());
                }
                _ => {
                    let Some(referrer) = self.graph.manifest(&edge.referrer) else { continue };
                    // A child went with its index.
                    if self.met.contains(&edge.referrer) {
                        continue;
                    }
                    // Docker's forms refer to nothing.
                    self.all_of(&referrer.descriptor(), Family::Oci)?;
                    match (self.became.get(&edge.referrer), &new) {
                        (Some(made), Some(_)) => {
                            along.push(Entry::named(&self.made[*made].entry(), Pair::default()));
                            attached.insert(edge.referrer.clone());
                        }
                        (Some(_), None) => drop(replaced.insert(edge.referrer.clone())),
                        (None, _) => {}
                    }
                }
            }
        }
        Ok(next)
    }

    /// The entries that have one of cosign's tags about `old`, about `new`.
    fn retagged(&self, referrer: &Digest, old: &Digest, new: &Digest) -> Vec<Entry> {
        let entries = self.graph.index().entries().iter();
        let own = entries.filter_map(|entry| Some((entry.descriptor.as_ref().ok()?, &entry.pair)));
        own.filter(|(descriptor, pair)| {
            descriptor.digest == *referrer && crate::graph::cosign(pair).is_some_and(|(about, _)| about == *old)
        })
        .map(|(descriptor, pair)| Entry::named(descriptor, about_other(pair, old, new)))
        .collect()
    }

    /// Lists of referrers for what became of subjects that have one, in the same dialect.
    fn lists(&self, along: &mut Vec<Entry>, lists: &mut BTreeMap<Digest, Vec<u8>>) {
        let mut referrers: BTreeMap<&Digest, BTreeMap<&Digest, String>> = BTreeMap::new();
        for Made { facts, .. } in &self.made {
            if let Some(subject) = &facts.subject {
                referrers.entry(&subject.digest).or_default().insert(&facts.digest, list::member(facts));
            }
        }
        let mut tags = BTreeMap::new();
        for (old, new) in &self.became {
            if let Some(members) = referrers.get(&self.made[*new].facts.digest) {
                tags.insert(old.fallback_tag(), (old, &self.made[*new].facts.digest, members));
            }
        }
        let mut done = BTreeSet::new();
        for stored in self.graph.lists() {
            let (tag, by_tag) = match &stored.about {
                About::Tag(tag) => (tag.clone(), true),
                About::Subject(subject) => (subject.fallback_tag(), false),
            };
            let Some((old, new, members)) = tags.get(&tag).filter(|(old, ..)| stored.about.is(old)) else { continue };
            let Ok(entry) = self.graph.index().entries()[stored.place].descriptor(stored.place) else { continue };
            if !done.insert((*old, by_tag)) {
                continue;
            }
            let bytes = list::made(members.values().map(String::as_str));
            let mut text = Members::of(list::entry(entry, &bytes).text());
            text.edit("annotations", |text| {
                let mut annotations = Members::of(text);
                for key in [OLAREG_SUBJECT, PROPOSED_SUBJECT] {
                    annotations.edit(key, |_| json::quote(&new.to_string()));
                }
                annotations.text()
            });
            let descriptor = Descriptor::parse(&text.text()).expect("an entry about something else is one");
            lists.insert(descriptor.digest.clone(), bytes);
            along.push(Entry::named(
                &descriptor,
                about_other(&self.graph.index().entries()[stored.place].pair, old, new),
            ));
        }
    }

    /// What becomes of one manifest, all it needs having been looked at; `None` where nothing does.
    fn one(&mut self, wanted: &Wanted) -> Result<Option<Made>> {
        let Wanted { facts, bytes, family } = wanted;
        let text = json::text(bytes).expect("there are facts only of text");
        let (form, text) = match (facts.form.shape(), family) {
            (Shape::Schema1, _) => {
                let why = "it is of Docker's first schema, whose layers and config have to be made anew";
                return Err(refused(facts, *family, why).hint("a registry or docker that is not too old can do that"));
            }
            (Shape::Artifact, Family::Docker) => return Err(refused(facts, *family, NO_ARTIFACT)),
            (Shape::Artifact, Family::Oci) => (Form::OciManifest, Some(self.artifact(facts, text))),
            (Shape::Manifest, Family::Oci) => (Form::OciManifest, self.manifest(facts, text, Form::OciManifest)?),
            (Shape::Manifest, Family::Docker) => {
                (Form::DockerManifest, self.manifest(facts, text, Form::DockerManifest)?)
            }
            (Shape::Index, Family::Oci) => (Form::OciIndex, self.index(facts, text, Form::OciIndex)?),
            (Shape::Index, Family::Docker) => (Form::DockerList, self.index(facts, text, Form::DockerList)?),
        };
        let Some(text) = text else { return Ok(None) };
        let what = || Error::new(Kind::Integrity, format!("could not convert {}", facts.digest));
        if let Some(fault) = facts.faults.first() {
            return Err(what().because(fault.to_string()));
        }
        let bytes = text.into_bytes();
        if bytes.len() as u64 > MAX_MANIFEST {
            let why = format!("it would have {} bytes, the limit is {MAX_MANIFEST}", bytes.len());
            return Err(what().because(why).of_kind(Kind::Failed));
        }
        let digest = facts.digest.same_of(&bytes).unwrap_or_else(|| Digest::of(&bytes));
        let facts = Facts::read(form.media_type(), &digest, &bytes).map_err(|why| what().because(why))?;
        if form == Form::OciManifest && facts.parts.iter().any(|part| part.descriptor.digest == empty_blob().digest) {
            self.blobs.insert(empty_blob().digest, EMPTY_CONTENT);
        }
        Ok(Some(Made { bytes, facts }))
    }

    fn manifest(&self, facts: &Facts, text: &str, form: Form) -> Result<Option<String>> {
        let to_docker = form == Form::DockerManifest;
        if to_docker && facts.form != form {
            no_docker_form(facts)?;
        }
        let mut members = Members::of(text);
        let mut touched = facts.form != form;
        let mut typed = |text: &str| {
            let mut part = Members::of(text);
            let own = Descriptor::parse(text).map(|part| part.media_type).unwrap_or_default();
            let other = SAME.iter().chain((!to_docker).then_some(&DOCKER_ZSTD)).find_map(|(docker, oci)| {
                let (from, to) = if to_docker { (oci, docker) } else { (docker, oci) };
                (own == **from).then_some(*to)
            });
            if let Some(other) = other {
                touched = true;
                part.set("mediaType", json::quote(other));
            }
            part.text()
        };
        members.edit("config", &mut typed);
        members.edit("layers", |text| each(text, &mut typed));
        touched |= self.turn_to_new_subject(facts, &mut members);
        Ok(touched.then(|| members.called(form)))
    }

    fn index(&self, facts: &Facts, text: &str, form: Form) -> Result<Option<String>> {
        if form == Form::DockerList && facts.form != form {
            if facts.declared_type {
                return Err(refused(facts, Family::Docker, NO_ARTIFACT));
            }
            if facts.subject.is_some() {
                return Err(refused(facts, Family::Docker, NO_SUBJECT));
            }
        }
        let mut touched = facts.form != form;
        let mut members = Members::of(text);
        members.edit("manifests", |text| {
            each(text, &mut |text: &str| {
                let Ok(child) = Descriptor::parse(text) else { return json::compact(text) };
                let child = match self.became.get(&child.digest) {
                    Some(made) => {
                        touched = true;
                        redirected(&child, &self.made[*made].facts)
                    }
                    None => child,
                };
                let attested = child.annotation(ATTESTED).and_then(|text| text.parse::<Digest>().ok());
                let mut members = Members::of(child.text());
                if let Some(made) = attested.and_then(|attested| self.became.get(&attested)) {
                    touched = true;
                    let new = json::quote(&self.made[*made].facts.digest.to_string());
                    members.edit("annotations", |text| {
                        let mut annotations = Members::of(text);
                        annotations.set(ATTESTED, new.clone());
                        annotations.text()
                    });
                }
                members.text()
            })
        });
        touched |= self.turn_to_new_subject(facts, &mut members);
        Ok(touched.then(|| members.called(form)))
    }

    /// One of the three withdrawn spellings, in words of OCI 1.1 (ARTIFACT-6, ORAS-ARTIFACT-6).
    fn artifact(&self, facts: &Facts, text: &str) -> String {
        let old = Members::of(text);
        let empty = empty_descriptor(&BTreeMap::new());
        let blobs = old.get("blobs").map(|text| each(text, &mut json::compact)).filter(|text| text != "[]");
        let artifact_type = facts.artifact_type.as_deref().unwrap_or(UNKNOWN_ARTIFACT);
        let mut new = Members(vec![("schemaVersion".into(), "2".into())]);
        new.set("mediaType", json::quote(Form::OciManifest.media_type()));
        new.set("artifactType", json::quote(artifact_type));
        new.set("config", empty.text().to_owned());
        // ARTIFACT-3
        new.set("layers", blobs.unwrap_or_else(|| format!("[{}]", empty.text())));
        let refers = old.get("refers").filter(|_| facts.form == Form::OciArtifact);
        if let Some(subject) = old.get("subject").or(refers) {
            new.set("subject", self.whole_subject(facts, subject));
        }
        self.turn_to_new_subject(facts, &mut new);
        let known = ["schemaVersion", "mediaType", "artifactType", "blobs", "subject"];
        let dropped = |key: &str| known.contains(&key) || key == "refers" && facts.form == Form::OciArtifact;
        if let Some(annotations) = old.get("annotations") {
            new.set("annotations", annotations.to_owned());
        }
        let rest = old.0.iter().filter(|(key, _)| !dropped(key) && key != "annotations");
        new.0.extend(rest.cloned());
        new.text()
    }

    /// A subject with what OCI asks of descriptors, as far as anybody knows it.
    fn whole_subject(&self, facts: &Facts, text: &str) -> String {
        let there = facts.subject.as_ref().and_then(|said| self.graph.manifest(&said.digest));
        match there {
            Some(there) if Descriptor::parse(text).is_err() => {
                let mut subject = Members::of(text);
                subject.set("mediaType", json::quote(there.form().media_type()));
                subject.set("size", there.size().to_string());
                subject.text()
            }
            _ => json::compact(text),
        }
    }

    /// Names what the subject became, if it did.
    fn turn_to_new_subject(&self, facts: &Facts, members: &mut Members) -> bool {
        let Some(made) = facts.subject.as_ref().and_then(|said| self.became.get(&said.digest)) else { return false };
        let new = &self.made[*made].facts;
        members.edit("subject", |text| {
            let mut subject = Members::of(text);
            subject.turn_to(new);
            subject.text()
        });
        true
    }
}

const NO_ARTIFACT: &str = "it is an artifact, for which Docker has no form";
const TAKE_OUT: &str = "index rm takes attestations and other artifacts out of an index";
const NO_SUBJECT: &str = "it refers to another manifest, which Docker's form cannot";

fn refused(facts: &Facts, family: Family, why: &str) -> Error {
    let form = match family {
        Family::Oci => "OCI",
        Family::Docker => "Docker",
    };
    Error::new(Kind::Failed, format!("could not convert {} to {form}", facts.digest)).because(why.to_owned())
}

/// Refuses a manifest that says something Docker's form has no words for.
fn no_docker_form(facts: &Facts) -> Result<()> {
    let no = |why: &str| refused(facts, Family::Docker, why);
    if facts.declared_type {
        return Err(no(NO_ARTIFACT).hint(TAKE_OUT));
    }
    if facts.subject.is_some() {
        return Err(no(NO_SUBJECT));
    }
    for part in &facts.parts {
        let media_type = part.descriptor.media_type.as_str();
        let known = SAME.iter().any(|(_, oci)| *oci == media_type)
            || media_type.starts_with(DOCKER) && media_type != DOCKER_ZSTD.0;
        if !known {
            let why = format!("{} is of type {media_type}, for which Docker has none", part.descriptor.digest);
            let attests = media_type.starts_with("application/vnd.in-toto");
            return Err(if attests { no(&why).hint(TAKE_OUT) } else { no(&why) });
        }
    }
    Ok(())
}

/// What has to be looked at before a manifest: its children, and what it refers to.
fn needed(facts: &Facts) -> impl Iterator<Item = &Digest> {
    let children = facts.children().map(|child| &child.digest);
    children.chain(facts.subject.iter().map(|subject| &subject.digest))
}

/// A descriptor of what became of its content, with everything it says besides.
fn redirected(descriptor: &Descriptor, new: &Facts) -> Descriptor {
    let mut members = Members::of(descriptor.text());
    members.turn_to(new);
    Descriptor::parse(&members.text()).expect("a descriptor of something else is one")
}

/// The members of an object as text without white space, in order.
struct Members(Vec<(String, String)>);

impl Members {
    fn of(text: &str) -> Self {
        let object: Object = json::parse(text).unwrap_or(Object(Vec::new()));
        Self(object.0.iter().map(|(key, value)| (key.to_string(), json::compact(value.get()))).collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.iter().rev().find(|(own, _)| own == key).map(|(_, value)| value.as_str());
        value.filter(|value| *value != "null")
    }

    fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn set(&mut self, key: &str, value: String) {
        match self.0.iter_mut().rev().find(|(own, _)| own == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Puts something else in the place of a member that is there.
    fn edit(&mut self, key: &str, mut edit: impl FnMut(&str) -> String) {
        if let Some((_, value)) = self.0.iter_mut().rev().find(|(own, value)| own == key && value != "null") {
            *value = edit(value);
        }
    }

    /// Makes a descriptor one of something else; its content is not what it had as `data`.
    fn turn_to(&mut self, new: &Facts) {
        self.set("mediaType", json::quote(new.form.media_type()));
        self.set("digest", json::quote(&new.digest.to_string()));
        self.set("size", new.size.to_string());
        self.0.retain(|(key, _)| key != "data");
    }

    /// A manifest that calls itself what it is (MANIFEST-2).
    fn called(mut self, form: Form) -> String {
        let own = json::quote(form.media_type());
        if !self.has("mediaType") {
            self.0.retain(|(key, _)| key != "mediaType");
            let at = usize::from(self.0.first().is_some_and(|(key, _)| key == "schemaVersion"));
            self.0.insert(at, ("mediaType".into(), own.clone()));
        }
        self.set("mediaType", own);
        // MANIFEST-6
        for list in ["layers", "manifests"] {
            self.0.iter_mut().filter(|(key, value)| key == list && value == "null").for_each(|(_, v)| *v = "[]".into());
        }
        self.text()
    }

    fn text(&self) -> String {
        let members: Vec<String> = self.0.iter().map(|(key, value)| format!("{}:{value}", json::quote(key))).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// An array with something else in the place of each element.
fn each(text: &str, edit: &mut dyn FnMut(&str) -> String) -> String {
    let array: Array = json::parse(text).unwrap_or(Array(Vec::new()));
    let elements: Vec<String> = array.0.iter().map(|element| edit(element.get())).collect();
    format!("[{}]", elements.join(","))
}
