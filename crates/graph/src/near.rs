//! The part of a graph that somebody asks for, found by what is kept and read like all of it.
//!
//! What is kept says which entries, referrers and indexes to look at. Those are read from the layout, and the edges
//! between them are made of what they say themselves, by the same rules as those of the whole graph.

use std::collections::{BTreeSet, HashMap, HashSet};

use ocistow_layout::checked::MAX_MANIFEST;
use ocistow_layout::{Descriptor, Digest, Result, Source, Watch};

use crate::facts::Form;
use crate::graph::{self, Graph, Load, MAX_LIST, Node, Walk, Want};
use crate::kept::row::{self, Row, Shown, Span};
use crate::kept::{Damaged, Keeper, Kept, WORTH_MANIFESTS};
use crate::resolve::{Asked, Target, in_index};

/// The most indexes looked at to learn how referrers are recorded.
const MAX_HOLDERS: usize = 100_000;

/// How much of a graph is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Only what was named, its entries, and the indexes that hold it.
    Itself,
    /// Who refers to what was named, and who refers to those, so many levels deep; with `children`, the same for the
    /// children of an index that was named, and for theirs.
    Referrers {
        /// How many levels.
        levels: usize,
        /// Whether the children of what was named count as named.
        children: bool,
    },
    /// Whatever may go along with what was named.
    Everything {
        /// Whether subjects are followed forward.
        subjects: bool,
    },
}

impl Graph {
    /// The part of a layout's graph that has to do with what is asked for, using what `keeper` keeps of it, which is made
    /// or brought up to date if that is worth it; the whole graph where nothing is kept.
    ///
    /// Within `reach` it says what the whole graph would say. Its index.json has only the entries that concern what was
    /// asked for, so that places in it mean nothing outside of it; whoever is not found in it has to look at the whole
    /// graph to say why. `Err` as [`Graph::load`].
    pub fn near(
        source: &dyn Source,
        asked: &[Asked],
        reach: Reach,
        keeper: &Keeper<'_>,
        load: Load,
        watch: &dyn Watch,
    ) -> Result<Self> {
        if !load.scan_blobs
            && let Some(kept) = Kept::of(source, keeper, load, watch)?
            && let Some(graph) = part(source, &kept, asked, reach, load, watch)?
        {
            return Ok(graph);
        }
        let graph = Self::load(source, load, watch)?;
        if graph.node_count() >= WORTH_MANIFESTS {
            // The next one has it better.
            Kept::of(source, &keeper.clone().always(), load, watch)?;
        }
        Ok(graph)
    }
}

impl Graph {
    /// The part that is what was asked for alone, where what is kept is of this index.json; `None` where it is not.
    pub(crate) fn near_ready(
        source: &dyn Source,
        asked: &Asked,
        keeper: &Keeper<'_>,
        load: Load,
        watch: &dyn Watch,
    ) -> Result<Option<Self>> {
        match Kept::ready(source, keeper, watch)? {
            Some(kept) => part(source, &kept, std::slice::from_ref(asked), Reach::Itself, load, watch),
            None => Ok(None),
        }
    }
}

/// The part of the graph; `None` where what is kept does not help.
fn part(
    source: &dyn Source,
    kept: &Kept,
    asked: &[Asked],
    reach: Reach,
    load: Load,
    watch: &dyn Watch,
) -> Result<Option<Graph>> {
    let walk = Walk::new(source, load.threads, watch, &[])?;
    let mut near = Near {
        kept,
        walk,
        reach,
        spans: BTreeSet::new(),
        lists: HashSet::new(),
        nodes: HashMap::new(),
        looked: HashSet::new(),
        held: HashSet::new(),
        holders: 0,
    };
    match near.run(source, asked) {
        Ok(graph) => Ok(graph),
        Err(Stop::Damaged) => Ok(None),
        Err(Stop::Failed(why)) => Err(why),
    }
}

/// Why a walk ended early.
enum Stop {
    Damaged,
    Failed(ocistow_layout::Error),
}

impl From<Damaged> for Stop {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

impl From<ocistow_layout::Error> for Stop {
    fn from(why: ocistow_layout::Error) -> Self {
        Self::Failed(why)
    }
}

/// A walk by what is kept.
struct Near<'k, 's> {
    kept: &'k Kept,
    walk: Walk<'s>,
    reach: Reach,
    /// The entries that are of interest.
    spans: BTreeSet<Span>,
    /// Which manifests are lists of referrers.
    lists: HashSet<Digest>,
    nodes: HashMap<Digest, Node>,
    /// Whose referrers were looked for.
    looked: HashSet<Digest>,
    /// Whose holders were looked for.
    held: HashSet<Digest>,
    holders: usize,
}

/// A manifest to be looked at.
struct Step {
    digest: Digest,
    form: Option<Form>,
}

impl Near<'_, '_> {
    fn run(&mut self, source: &dyn Source, asked: &[Asked]) -> std::result::Result<Option<Graph>, Stop> {
        let mut named: Vec<Step> = Vec::new();
        for one in asked {
            let Some(steps) = self.named(source, one)? else { return Ok(None) };
            named.extend(steps);
        }
        let mut troubled = Vec::new();
        if matches!(self.reach, Reach::Everything { .. }) {
            // Nobody knows whom those refer to that cannot be read.
            troubled.extend(self.kept.troubled().cloned().map(|digest| Step { digest, form: None }));
        }
        let (levels, children) = match self.reach {
            Reach::Itself => (0, false),
            Reach::Referrers { levels, children } => (levels, children),
            Reach::Everything { .. } => (usize::MAX, true),
        };
        let mut level = named;
        let mut depth = 0;
        loop {
            // Digests that cannot be verified may go in circles, and many may hold the same.
            let mut met = HashSet::new();
            level.retain(|step| !self.looked.contains(&step.digest) && met.insert(step.digest.clone()));
            if level.is_empty() {
                break;
            }
            let mut next = self.look(&level, depth < levels)?;
            self.read(&level)?;
            if matches!(self.reach, Reach::Everything { .. }) {
                next.extend(self.children(&level));
            } else if children && depth == 0 {
                // They count as named too.
                next.extend(self.below(&level)?);
            }
            if matches!(self.reach, Reach::Everything { subjects: true }) {
                next.extend(self.subjects(&level));
            }
            level = next;
            depth = depth.saturating_add(1);
        }
        self.look(&troubled, false)?;
        self.read(&troubled)?;
        self.graph(source).map(Some)
    }

    /// What was asked for, and its entries; `None` where that cannot be told from what is kept.
    fn named(&mut self, source: &dyn Source, asked: &Asked) -> std::result::Result<Option<Vec<Step>>, Stop> {
        let mut spans = BTreeSet::new();
        match asked {
            Asked::Name(reference, _) => {
                for key in row::of_reference(reference) {
                    spans.extend(self.kept.rows(&key)?.iter().filter_map(Row::span));
                }
            }
            Asked::Digest(digest) => {
                let rows = self.kept.rows(&row::of_digest(digest))?;
                if rows.is_empty() {
                    // Parts that are no manifests are not kept.
                    return Ok(None);
                }
                spans.extend(rows.iter().filter(|row| matches!(row, Row::Entry(_))).filter_map(Row::span));
                if spans.is_empty() {
                    self.hold(digest, &rows)?;
                    return Ok(Some(vec![Step { digest: digest.clone(), form: None }]));
                }
            }
            Asked::Root => {
                let rows = self.kept.rows(&row::of_listed())?;
                let root = |row: &Row| if let Row::Listed(span, Shown::Root) = row { Some(*span) } else { None };
                spans.extend(rows.iter().filter_map(root));
            }
            Asked::Place(_) => return Ok(None),
        }
        let index = self.kept.index(&spans)?;
        self.spans.append(&mut spans);
        let target = match asked {
            Asked::Root => {
                let digests: BTreeSet<&Digest> =
                    index.entries().iter().filter_map(|entry| Some(&entry.descriptor.as_ref().ok()?.digest)).collect();
                match digests.len() {
                    1 => index.descriptors()?.first().map(|descriptor| (*descriptor).clone()),
                    _ => None,
                }
            }
            asked => match in_index(&index, source.location(), asked) {
                Ok(Some(Target { descriptor, .. })) => Some(descriptor),
                _ => None,
            },
        };
        let Some(Descriptor { digest, media_type, .. }) = target else { return Ok(None) };
        // What is opaque is no manifest, whatever it looks like.
        Ok(Some(Form::of(&media_type).map(|form| Step { digest, form: Some(form) }).into_iter().collect()))
    }

    /// Looks up what is known of manifests: their entries, lists and holders, and, with `referrers`, who refers to them.
    fn look(&mut self, level: &[Step], referrers: bool) -> std::result::Result<Vec<Step>, Stop> {
        let mut next = Vec::new();
        // In order of keys, as they lie.
        let mut order: Vec<&Step> = level.iter().collect();
        order.sort_by_cached_key(|step| row::of_digest(&step.digest));
        for step in order {
            if !self.looked.insert(step.digest.clone()) {
                continue;
            }
            let mut rows = self.kept.rows(&row::of_digest(&step.digest))?;
            if step.digest.sha256().is_none() {
                // Tags of longer digests are cut, so they are found by themselves.
                let about = graph::About::Tag(step.digest.fallback_tag());
                rows.extend(self.kept.rows(&row::of_about(&about))?);
            }
            self.hold(&step.digest, &rows)?;
            for row in rows {
                match row {
                    Row::List(span) if referrers => self.list(span)?,
                    Row::Referrer(digest) if referrers => {
                        next.push(Step { digest, form: None });
                    }
                    _ => {}
                }
            }
        }
        Ok(next)
    }

    /// Takes in a list of referrers.
    fn list(&mut self, span: Span) -> std::result::Result<(), Stop> {
        if self.spans.insert(span) {
            let index = self.kept.index(&BTreeSet::from([span]))?;
            for descriptor in index.descriptors()? {
                let digest = descriptor.digest.clone();
                self.lists.insert(digest.clone());
                let rows = self.kept.rows(&row::of_digest(&digest))?;
                self.hold(&digest, &rows)?;
                self.read(&[Step { digest, form: Form::of(&descriptor.media_type) }])?;
            }
        }
        Ok(())
    }

    /// Takes in the entries of a manifest, and where it has none, or may be an attestation, the indexes that hold it, up
    /// to some that have entries.
    fn hold(&mut self, digest: &Digest, rows: &[Row]) -> std::result::Result<(), Stop> {
        // Whether an entry is enough: it is for those that say their subject, and for the holders of others.
        let says_subject = rows.iter().any(|row| matches!(row, Row::Gist(gist) if gist.subject.is_some()));
        let mut stack = vec![(digest.clone(), rows.to_vec(), says_subject)];
        while let Some((digest, rows, enough)) = stack.pop() {
            if !self.held.insert(digest) {
                continue;
            }
            let entries: Vec<Span> =
                rows.iter().filter(|row| matches!(row, Row::Entry(_))).filter_map(Row::span).collect();
            let entered = !entries.is_empty();
            self.spans.extend(entries);
            if entered && enough {
                continue;
            }
            for row in rows {
                let Row::Holder(holder) = row else { continue };
                self.holders += 1;
                if self.holders > MAX_HOLDERS {
                    return Err(Stop::Damaged);
                }
                if !self.held.contains(&holder) {
                    let above = self.kept.rows(&row::of_digest(&holder))?;
                    self.read(&[Step { digest: holder.clone(), form: None }])?;
                    stack.push((holder, above, true));
                }
            }
        }
        Ok(())
    }

    /// Reads manifests that were not read yet.
    fn read(&mut self, level: &[Step]) -> Result<()> {
        let mut wants = Vec::new();
        let mut met = HashSet::new();
        for step in level.iter().filter(|step| !self.nodes.contains_key(&step.digest)) {
            if met.insert(&step.digest) {
                wants.push(Want {
                    digest: step.digest.clone(),
                    media_type: step.form.map_or("", Form::media_type),
                    data: None,
                    limit: if self.lists.contains(&step.digest) { MAX_LIST } else { MAX_MANIFEST },
                });
            }
        }
        let nodes = self.walk.level(&wants)?;
        for (want, node) in wants.into_iter().zip(nodes) {
            self.nodes.insert(want.digest, node);
        }
        Ok(())
    }

    fn children(&self, level: &[Step]) -> Vec<Step> {
        let mut children = Vec::new();
        for step in level {
            if let Some(Node::Present(manifest)) = self.nodes.get(&step.digest) {
                manifest.children(&mut |child| {
                    let form = Form::of(&child.media_type);
                    children.extend(form.map(|form| Step { digest: child.digest, form: Some(form) }));
                });
            }
        }
        children
    }

    /// Takes in all that indexes hold, and what the indexes among that hold; gives who refers to any of it.
    fn below(&mut self, level: &[Step]) -> std::result::Result<Vec<Step>, Stop> {
        let mut next = Vec::new();
        let mut below = self.children(level);
        loop {
            let mut met = HashSet::new();
            below.retain(|step| !self.looked.contains(&step.digest) && met.insert(step.digest.clone()));
            if below.is_empty() {
                return Ok(next);
            }
            next.extend(self.look(&below, true)?);
            self.read(&below)?;
            below = self.children(&below);
        }
    }

    fn subjects(&self, level: &[Step]) -> Vec<Step> {
        let about = |step: &Step| match self.nodes.get(&step.digest) {
            Some(Node::Present(manifest)) => Some(Step { digest: manifest.about()?.clone(), form: None }),
            _ => None,
        };
        level.iter().filter_map(about).collect()
    }

    /// The graph of what was read, without what no entry leads to.
    fn graph(&mut self, source: &dyn Source) -> std::result::Result<Graph, Stop> {
        let index = self.kept.index(&self.spans)?;
        let manifest = |descriptor: &&Descriptor| Form::of(&descriptor.media_type).is_some();
        let mut reached: HashSet<Digest> = HashSet::new();
        let entries = index.descriptors()?.into_iter().filter(manifest);
        let mut stack: Vec<Digest> = entries.map(|entry| entry.digest.clone()).collect();
        while let Some(digest) = stack.pop() {
            if reached.insert(digest.clone())
                && let Some(Node::Present(found)) = self.nodes.get(&digest)
            {
                found.children(&mut |child| stack.extend(Form::of(&child.media_type).map(|_| child.digest)));
            }
        }
        let mut nodes = std::mem::take(&mut self.nodes);
        nodes.retain(|digest, _| reached.contains(digest));
        let lists = graph::lists(&index);
        Ok(Graph::of(source, index, lists, nodes, HashMap::new()))
    }
}
