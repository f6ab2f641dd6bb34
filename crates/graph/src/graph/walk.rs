//! Reading every manifest that index.json leads to, level by level, whatever the source can do.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read as _;

use ocistow_layout::checked::{self, MAX_MANIFEST};
use ocistow_layout::json::JsonError;
use ocistow_layout::sizes::{self, Sizes};
use ocistow_layout::threads::{in_stretches, worth};
use ocistow_layout::{Access, Content, Descriptor, Digest, IndexFile, Kind, Result, Source, Watch};

use super::allowance::Allowance;
use super::node::{Broken, Node, Nodes};
use super::said::{List, is_cosigns};
use crate::facts::{FactsError, Form, ManifestKind, says_nothing};
use crate::manifest::Manifest;

/// The longest stored list of referrers read: one entry a referrer, so no manifest's limit holds.
pub const MAX_LIST: u64 = 256 << 20;
/// The most manifests read at once: beyond that, what it takes to read them is worth more than their order.
const MOST_AT_ONCE: usize = 1 << 18;
/// The fewest manifests for which a second thread is worth its start.
const WORTH_A_THREAD: usize = 64;

/// Reads one manifest. Its node, as [`Graph::load`](super::Graph::load) would have it; the bytes come along where it is
/// present.
pub fn read(source: &dyn Source, descriptor: &Descriptor) -> (Node, Vec<u8>) {
    read_up_to(source, descriptor, MAX_MANIFEST)
}

/// Reads one stored list of referrers, which may be longer than a manifest.
pub fn read_list(source: &dyn Source, descriptor: &Descriptor) -> (Node, Vec<u8>) {
    read_up_to(source, descriptor, MAX_LIST)
}

/// The node that content is, wherever it came from: what a descriptor promises, no longer than `limit`.
pub(crate) fn node(descriptor: &Descriptor, content: Content<'_>, limit: u64) -> Node {
    let (digest, media_type) = (descriptor.digest.clone(), &*descriptor.media_type);
    Want { digest, media_type, data: None, limit }.node(content)
}

fn read_up_to(source: &dyn Source, descriptor: &Descriptor, limit: u64) -> (Node, Vec<u8>) {
    let want = Want {
        digest: descriptor.digest.clone(),
        media_type: &descriptor.media_type,
        data: descriptor.data.is_some().then(|| Box::new(descriptor.clone())),
        limit,
    };
    want.read(source)
}

/// The bytes in a descriptor's `data`, if they are there and right.
pub fn embedded(descriptor: &Descriptor) -> Option<Vec<u8>> {
    descriptor.embedded()?.ok()
}

/// A manifest to be read.
pub(crate) struct Want<'t> {
    pub digest: Digest,
    pub media_type: &'t str,
    /// Its descriptor, where that has the content in it.
    pub data: Option<Box<Descriptor>>,
    pub limit: u64,
}

impl Want<'_> {
    fn read(&self, source: &dyn Source) -> (Node, Vec<u8>) {
        let content = match source.open(&self.digest) {
            Ok(Some(content)) => content,
            Ok(None) => return self.elsewhere(),
            Err(why) => return (Node::Broken(why.into()), Vec::new()),
        };
        match self.bytes(content) {
            Ok(bytes) => (self.judge(bytes.clone()), bytes),
            Err(why) => (Node::Broken(why), Vec::new()),
        }
    }

    /// The node that content is.
    fn node(&self, content: Content<'_>) -> Node {
        match self.bytes(content) {
            Ok(bytes) => self.judge(bytes),
            Err(why) => Node::Broken(why),
        }
    }

    /// The right bytes. Those of a document that is too long may be right, too: nobody reads them.
    fn bytes(&self, content: Content<'_>) -> std::result::Result<Vec<u8>, Broken> {
        let (length, limit) = (content.len(), self.limit);
        if length > limit {
            return Err(Broken::Malformed(format!("it has {length} bytes, the limit is {limit}")));
        }
        checked::whole(&self.digest, content, limit).map_err(Broken::from)
    }

    /// A right `data` stands in for an absent blob (DESCRIPTOR-9).
    fn elsewhere(&self) -> (Node, Vec<u8>) {
        match self.data.as_deref().and_then(embedded) {
            Some(bytes) => (self.judge(bytes.clone()), bytes),
            None => (Node::Absent, Vec::new()),
        }
    }

    fn judge(&self, bytes: Vec<u8>) -> Node {
        let manifest = match self.limit {
            MAX_LIST => Manifest::read_list(self.media_type, &self.digest, bytes),
            _ => Manifest::read(self.media_type, &self.digest, bytes),
        };
        match manifest {
            Ok(manifest) => Node::Present(Box::new(manifest)),
            Err(FactsError::Json(JsonError::Depth)) => Node::Broken(Broken::TooDeep),
            Err(why) => Node::Broken(Broken::Malformed(why.to_string())),
        }
    }
}

/// The walk over all manifests: what is still to be read, and what was.
pub(crate) struct Walk<'s> {
    source: &'s dyn Source,
    /// What of it is worth asking for: lists name many that are not there.
    sizes: Sizes<'s>,
    threads: usize,
    watch: &'s dyn Watch,
    lists: HashSet<Digest>,
    next: Vec<Want<'static>>,
    /// Those still to be read are absent until then.
    nodes: Nodes,
    inline: HashMap<Digest, Vec<u8>>,
    /// Descriptors of manifests met before that have the content in them.
    spare: HashMap<Digest, Descriptor>,
    /// Content of which no descriptor so far says what it is, with its descriptor if that has it in it; and all of which
    /// that was asked.
    unsaid: Vec<(Digest, Option<Box<Descriptor>>)>,
    asked: HashSet<Digest>,
    /// Everything small in a source of one pass that reads as a manifest.
    ahead: Option<HashMap<Digest, Manifest>>,
    allowance: Allowance<'s>,
}

impl<'s> Walk<'s> {
    pub fn new(source: &'s dyn Source, threads: usize, watch: &'s dyn Watch, lists: &[List]) -> Result<Self> {
        let mut walk = Self {
            source,
            sizes: Sizes::of(source),
            threads,
            watch,
            lists: lists.iter().map(|list| list.digest.clone()).collect(),
            next: Vec::new(),
            nodes: HashMap::new(),
            inline: HashMap::new(),
            spare: HashMap::new(),
            unsaid: Vec::new(),
            asked: HashSet::new(),
            ahead: None,
            allowance: Allowance::of(source),
        };
        if source.access() == Access::OnePass {
            walk.ahead = Some(walk.read_ahead()?);
        }
        Ok(walk)
    }

    /// Reads all that `index` leads to; what only lies in `blobs/` too where that is asked for, or cosign wrote the layout.
    /// Every manifest met, there or not, and the content of those that are only there as the `data` of a descriptor.
    pub fn all(mut self, index: &IndexFile, scan_blobs: bool) -> Result<(Nodes, HashMap<Digest, Vec<u8>>)> {
        self.nodes.reserve(index.entries().len());
        let mut cosign = false;
        for descriptor in index.entries().iter().filter_map(|entry| entry.descriptor.as_ref().ok()) {
            cosign |= is_cosigns(descriptor);
            self.want(descriptor);
        }
        self.run()?;
        if scan_blobs || cosign {
            self.scan()?;
        }
        Ok((self.nodes, self.inline))
    }

    /// Each pass costs the whole source, and nested indexes would cost a pass a level. So one pass takes
    /// everything that is small and reads as a manifest.
    fn read_ahead(&self) -> Result<HashMap<Digest, Manifest>> {
        let mut small = BTreeSet::new();
        self.source.names(&mut |digest| {
            if matches!(self.source.size(&digest), Ok(Some(size)) if size <= MAX_MANIFEST) {
                small.insert(digest);
            }
        })?;
        let mut ahead = HashMap::new();
        self.source.visit(&small, &mut |blob, content| {
            if let Ok(bytes) = checked::whole(&blob.digest, content, MAX_MANIFEST)
                && starts_as_object(&bytes)
                && let Ok(mut manifest) = Manifest::read("", &blob.digest, bytes)
            {
                self.allowance.hold(&mut manifest);
                ahead.insert(blob.digest, manifest);
            }
            self.go_on()
        })?;
        Ok(ahead)
    }

    /// Interrupted where somebody asked to stop, Integrity where too much is held.
    pub fn go_on(&self) -> Result<()> {
        self.watch.go_on()?;
        self.allowance.fits(0)
    }

    /// The node that content is. As [`go_on`](Self::go_on), also where there is no room for it.
    fn node(&self, want: &Want<'_>, content: Content<'_>) -> Result<Node> {
        // A longer one is not read.
        if content.len() <= want.limit {
            self.allowance.fits(content.len())?;
        }
        let mut node = want.node(content);
        if let Node::Present(manifest) = &mut node {
            self.allowance.hold(manifest);
        }
        self.go_on().map(|()| node)
    }

    /// Remembers a manifest that has to be read, unless it was met before. Opaque content is passed over.
    fn want(&mut self, descriptor: &Descriptor) {
        self.want_as(&descriptor.media_type, &descriptor.digest, Some(descriptor).filter(|it| it.data.is_some()));
    }

    /// The same of one whose descriptor is given only where it has the content in it.
    fn want_as(&mut self, media_type: &str, digest: &Digest, with_data: Option<&Descriptor>) {
        let Some(form) = Form::of(media_type) else {
            if says_nothing(media_type) && self.asked.insert(digest.clone()) {
                self.unsaid.push((digest.clone(), with_data.map(|descriptor| Box::new(descriptor.clone()))));
            }
            return;
        };
        if self.nodes.contains_key(digest) {
            self.spare.extend(with_data.map(|descriptor| (digest.clone(), descriptor.clone())));
            return;
        }
        self.nodes.insert(digest.clone(), Node::Absent);
        self.next.push(Want {
            digest: digest.clone(),
            media_type: form.media_type(),
            data: with_data.map(|descriptor| Box::new(descriptor.clone())),
            limit: if self.lists.contains(digest) { MAX_LIST } else { MAX_MANIFEST },
        });
    }

    /// Reads everything wanted, and what that wants, many at a time.
    fn run(&mut self) -> Result<()> {
        while !(self.next.is_empty() && self.unsaid.is_empty()) {
            // A pass is worth all there is to be read.
            let most = if self.ahead.is_some() { usize::MAX } else { MOST_AT_ONCE };
            let level = self.next.split_off(self.next.len().saturating_sub(most));
            let nodes = self.level(&level)?;
            for (want, node) in level.into_iter().zip(nodes) {
                self.met(want, node);
            }
            if self.next.is_empty() {
                self.stand_in();
            }
            if self.next.is_empty() {
                self.guess()?;
            }
        }
        Ok(())
    }

    /// Keeps what came of reading a manifest.
    fn met(&mut self, want: Want<'_>, node: Node) {
        if let (Node::Present(_), Some(descriptor)) = (&node, want.data)
            && !matches!(self.source.size(&want.digest), Ok(Some(_)))
            && let Some(bytes) = embedded(&descriptor)
        {
            self.inline.insert(want.digest.clone(), bytes);
        }
        self.keep(want.digest, node);
    }

    /// Looks into content of which nobody says what it is: what reads as a manifest is one (MANIFEST-17), all else is
    /// opaque.
    fn guess(&mut self) -> Result<()> {
        let mut wants = std::mem::take(&mut self.unsaid);
        // In a source of one pass, all that reads as a manifest is known, and no other pass worth it.
        let known = |digest: &Digest| self.ahead.as_ref().is_none_or(|ahead| ahead.contains_key(digest));
        wants.retain(|(digest, data)| !self.nodes.contains_key(digest) && (known(digest) || data.is_some()));
        let want = |(digest, data): (Digest, _)| {
            let limit = if self.lists.contains(&digest) { MAX_LIST } else { MAX_MANIFEST };
            Want { digest, media_type: "", data, limit }
        };
        let wants: Vec<Want<'_>> = wants.into_iter().map(want).collect();
        let nodes = self.level(&wants)?;
        for (want, node) in wants.into_iter().zip(nodes) {
            if let Node::Present(_) = node {
                self.met(want, node);
            }
        }
        Ok(())
    }

    /// Puts what a later descriptor has in its `data` in the place of what is absent.
    fn stand_in(&mut self) {
        for (digest, descriptor) in std::mem::take(&mut self.spare) {
            if self.nodes.get(&digest) == Some(&Node::Absent)
                && let Some(bytes) = embedded(&descriptor)
            {
                let media_type = descriptor.media_type.clone();
                let want = Want { digest: digest.clone(), media_type: &media_type, data: None, limit: MAX_MANIFEST };
                let node = want.judge(bytes.clone());
                self.inline.insert(digest.clone(), bytes);
                self.keep(digest, node);
            }
        }
    }

    fn keep(&mut self, digest: Digest, node: Node) {
        if let Node::Present(manifest) = &node
            && manifest.kind() == ManifestKind::Index
        {
            let mut has_data = false;
            manifest.children(&mut |child| {
                if !child.has_data {
                    self.want_as(&child.media_type, &child.digest, None);
                }
                has_data |= child.has_data;
            });
            if has_data {
                let facts = manifest.facts();
                facts.children().filter(|child| child.data.is_some()).for_each(|child| self.want(child));
            }
        }
        self.nodes.insert(digest, node);
    }

    /// How many threads so many manifests are worth.
    pub fn threads(&self, manifests: usize) -> usize {
        worth(self.threads, manifests, WORTH_A_THREAD)
    }

    /// The nodes of one level, in its order.
    pub fn level(&mut self, level: &[Want<'_>]) -> Result<Vec<Node>> {
        if level.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(mut ahead) = self.ahead.take() {
            let nodes = self.level_in_pass(level, &mut ahead);
            self.ahead = Some(ahead);
            return nodes;
        }
        // In order of their digests, as they lie in our bundles: each thread has a stretch of its own.
        let mut order: Vec<usize> = (0..level.len()).collect();
        order.sort_unstable_by_key(|at| &level[*at].digest);
        let read = in_stretches(&order, self.threads(level.len()), |stretch| self.stretch(level, stretch));
        let mut nodes: Vec<Option<Node>> = vec![None; level.len()];
        for (at, node) in order.iter().zip(read.into_iter().flatten()) {
            nodes[*at] = node;
        }
        // Else none was left out.
        self.go_on()?;
        Ok(nodes.into_iter().map(|node| node.unwrap_or(Node::Absent)).collect())
    }

    /// The nodes of a stretch of one level, which is in order of digests; some are left out where the
    /// watcher asked to stop, or there is no room for them.
    pub fn stretch(&self, level: &[Want<'_>], stretch: &[usize]) -> Vec<Option<Node>> {
        // What is not in order would be taken for absent.
        debug_assert!(stretch.is_sorted_by_key(|at| &level[*at].digest));
        let mut nodes: Vec<Option<Node>> = vec![None; stretch.len()];
        // What turns out to be absent of one part tells how to ask for the next.
        for (part, nodes) in stretch.chunks(sizes::MANY).zip(nodes.chunks_mut(sizes::MANY)) {
            self.part(level, part, nodes);
        }
        nodes
    }

    /// The nodes of a part of a stretch, asked for at once.
    fn part(&self, level: &[Want<'_>], part: &[usize], nodes: &mut [Option<Node>]) {
        let place = |digest: &Digest| part.binary_search_by_key(&digest, |at| &level[*at].digest).ok();
        let digests = part.iter().map(|at| &level[*at].digest);
        let want: BTreeSet<Digest> = digests.filter(|digest| self.sizes.may_have(digest)).cloned().collect();
        let visited = self.source.visit(&want, &mut |blob, content| {
            if let Some(place) = place(&blob.digest) {
                nodes[place] = Some(self.node(&level[part[place]], content)?);
            }
            Ok(())
        });
        let mut lacking = 0;
        // What cannot even be opened ends a visit, but is nobody's trouble but its own.
        let left = nodes.iter_mut().zip(part).filter(|(node, _)| node.is_none());
        for (node, at) in left.take_while(|_| self.go_on().is_ok()) {
            let asked = want.contains(&level[*at].digest);
            let mut found = match visited {
                Err(_) if asked => level[*at].read(self.source).0,
                _ => level[*at].elsewhere().0,
            };
            if let Node::Present(manifest) = &mut found {
                self.allowance.hold(manifest);
            }
            lacking += usize::from(asked && found == Node::Absent);
            *node = Some(found);
        }
        // Where names cannot be listed, every blob is asked for.
        let _ = self.sizes.lacked(lacking);
    }

    /// The nodes of one level of a source of one pass.
    fn level_in_pass(&self, level: &[Want<'_>], ahead: &mut HashMap<Digest, Manifest>) -> Result<Vec<Node>> {
        let mut nodes: Vec<Option<Node>> = Vec::with_capacity(level.len());
        let mut left = BTreeSet::new();
        for want in level {
            let node = ahead.remove(&want.digest).map(|manifest| Node::Present(Box::new(manifest)));
            match (&node, self.source.size(&want.digest)) {
                (Some(_), _) => nodes.push(node),
                (None, Ok(None)) => nodes.push(Some(want.elsewhere().0)),
                (None, Err(why)) => nodes.push(Some(Node::Broken(why.into()))),
                (None, Ok(Some(_))) => {
                    left.insert(want.digest.clone());
                    nodes.push(None);
                }
            }
        }
        if !left.is_empty() {
            let places: HashMap<&Digest, usize> =
                level.iter().enumerate().map(|(at, want)| (&want.digest, at)).collect();
            self.source.visit(&left, &mut |blob, content| {
                let at = places[&blob.digest];
                nodes[at] = Some(self.node(&level[at], content)?);
                Ok(())
            })?;
        }
        Ok(nodes.into_iter().map(|node| node.unwrap_or(Node::Absent)).collect())
    }

    /// Looks in blobs that nothing reaches for manifests that say a subject (dialect 7), and reads what
    /// those need.
    fn scan(&mut self) -> Result<()> {
        let found: Vec<Manifest> = match &mut self.ahead {
            Some(ahead) => std::mem::take(ahead).into_values().collect(),
            None => {
                let mut names = Vec::new();
                self.source.names(&mut |digest| names.push(digest))?;
                let mut found = Vec::new();
                for digest in names {
                    self.go_on()?;
                    if self.nodes.contains_key(&digest) {
                        continue;
                    }
                    match unlisted(self.source, &digest) {
                        Ok(Some(mut manifest)) if manifest.about().is_some() => {
                            self.allowance.hold(&mut manifest);
                            found.push(manifest);
                        }
                        Ok(_) => {}
                        Err(why) => drop(self.nodes.insert(digest, Node::Broken(why))),
                    }
                }
                found
            }
        };
        for manifest in found {
            if manifest.about().is_some() && !self.nodes.contains_key(&manifest.digest) {
                self.keep(manifest.digest.clone(), Node::Present(Box::new(manifest)));
            }
        }
        self.run()
    }
}

/// Whether the first byte that is no white space is `{`.
fn starts_as_object(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// The manifest that a blob is of which nothing says so: it is small and starts like a JSON object. `Err` where the
/// medium does not give it, so that nobody can tell.
pub(crate) fn unlisted(source: &dyn Source, digest: &Digest) -> std::result::Result<Option<Manifest>, Broken> {
    let content = match source.open(digest) {
        Ok(Some(content)) if content.len() <= MAX_MANIFEST => content,
        Err(why) if why.kind() == Kind::Failed => return Err(why.into()),
        _ => return Ok(None),
    };
    let mut start = Vec::new();
    let read = content.reader().take(64).read_to_end(&mut start);
    read.map_err(|why| Broken::Unread(format!("could not read blob {digest}: {why}")))?;
    if !starts_as_object(&start) {
        return Ok(None);
    }
    match self::read(source, &Descriptor::new("", digest.clone(), 0)).0 {
        Node::Present(manifest) => Ok(Some(*manifest)),
        Node::Broken(why @ Broken::Unread(_)) => Err(why),
        _ => Ok(None),
    }
}
