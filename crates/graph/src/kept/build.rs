//! Finding out everything that is kept about a layout: from nothing, or reading only manifests not seen before.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ocistow_layout::cabinet::{Alone, Cabinet, Taking};
use ocistow_layout::checked::MAX_MANIFEST;
use ocistow_layout::name::{self, Pair};
use ocistow_layout::stamp::Imprint;
use ocistow_layout::threads::start;
use ocistow_layout::{Descriptor, Digest, Error, Hasher, Result, Source, Watch, pieces};

use super::row::{self, Child, Gist, Key, MAX_TYPE, Row, Shown, Span};
use super::segment::Writer;
use super::{HEAD, Head, Keeper, Kept, MAX_TROUBLED, Merged, Shelf, WORTH_HASHING, write_head, write_segment};
use crate::facts::{Form, ManifestKind, says_nothing};
use crate::graph::{self, ATTESTED, Broken, CONTAINERD_SUBJECT, Load, MAX_LIST, Node, Walk, Want};
use crate::manifest::Manifest;

/// How many entries, or manifests, go from one thread to another at a time, and how many of those may wait.
const BATCH: usize = 1 << 10;
const WAITING: usize = 4;
/// The most different artifact types that are remembered.
const MAX_TYPES: usize = 1 << 16;
/// How long to wait before looking again whether a clock has gone on, and how often.
const MOMENT: Duration = Duration::from_millis(1);
const MOMENTS: usize = 50;
/// How long to wait before looking again whether somebody else is done.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes what is kept of a source anew, using what was known of manifests. `None` where that cannot be kept: nothing can
/// be written, index.json is odd in some way, or it changes all the time.
pub(super) fn build(
    source: &dyn Source,
    imprint: Imprint,
    keeper: &Keeper<'_>,
    load: Load,
    watch: &dyn Watch,
) -> Result<Option<Kept>> {
    for cabinet in &keeper.cabinets {
        if let Some(alone) = take(cabinet, watch)? {
            return build_in(cabinet, &alone, source, imprint, load, watch);
        }
    }
    Ok(None)
}

/// The cabinet for writing, once whoever has it is done; `None` where nothing can be written there.
fn take(cabinet: &Cabinet<'_>, watch: &dyn Watch) -> Result<Option<Alone>> {
    loop {
        match cabinet.take() {
            Taking::Alone(alone) => return Ok(Some(alone)),
            Taking::Not => return Ok(None),
            Taking::Busy => {
                watch.go_on()?;
                thread::sleep(PAUSE);
            }
        }
    }
}

fn build_in(
    cabinet: &Cabinet<'_>,
    alone: &Alone,
    source: &dyn Source,
    imprint: Imprint,
    load: Load,
    watch: &dyn Watch,
) -> Result<Option<Kept>> {
    let old = match Shelf::open(cabinet, &imprint, watch)? {
        // Somebody else was faster.
        Some((shelf, true)) if !shelf.healed(source) => {
            return Ok((!shelf.head.odd).then(|| Kept { shelf, imprint }));
        }
        old => old.map(|(shelf, _)| shelf),
    };
    let Some(proof) = Proof::of(cabinet, alone, &imprint) else { return Ok(None) };
    let mut found = Found::default();
    let mut hasher = Hasher::Sha256(Default::default());
    let (mut sound, mut plain) = (Ok(false), true);
    thread::scope(|scope| -> Result<()> {
        let (cut, coming) = mpsc::sync_channel::<Vec<(String, Range<u64>)>>(WAITING);
        let (sound, hasher, imprint) = (&mut sound, &mut hasher, &imprint);
        start(scope, move || {
            let mut batch = Vec::with_capacity(BATCH);
            *sound = pieces(
                imprint,
                watch,
                &mut |piece| {
                    if proof == Proof::Hash {
                        hasher.update(piece);
                    }
                },
                &mut |text, span| {
                    batch.push((text.to_owned(), span));
                    if batch.len() == BATCH {
                        // Whoever listens goes on to listen until this thread is done.
                        let _ = cut.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)));
                    }
                },
            );
            let _ = cut.send(batch);
        })?;
        for (text, span) in coming.into_iter().flatten() {
            plain = plain && found.enter(text, span);
        }
        Ok(())
    })?;
    let sound = sound?;
    if !imprint.unchanged() {
        return Ok(None);
    }
    let hash = (proof == Proof::Hash).then(|| hasher.finish());
    let mut head = Head {
        stamp: *imprint.stamp(),
        hash,
        odd: true,
        generation: 0,
        manifests: 0,
        segments: Vec::new(),
        splices: Vec::new(),
        troubled: Vec::new(),
    };
    let walk = Walk::new(source, load.threads, watch, &[])?;
    if sound && plain && found.learn(walk, old.as_ref())? {
        if found.unread {
            return Ok(None);
        }
        found.settle();
        let Ok(segment) = write_segment(cabinet, alone, 0, &mut |writer| found.write(writer)) else { return Ok(None) };
        let (manifests, troubled) = (found.manifests(), found.troubled());
        head = Head { odd: false, manifests, segments: vec![segment], troubled, ..head };
    }
    drop(found);
    if write_head(cabinet, alone, &head).is_err() {
        return Ok(None);
    }
    cabinet.clear(alone, &|name| name == HEAD || head.segments.iter().any(|segment| segment.name == name));
    let shelf = Shelf::open(cabinet, &imprint, watch)?;
    let right = shelf.filter(|(shelf, right)| *right && !shelf.head.odd);
    Ok(right.map(|(shelf, _)| Kept { shelf, imprint }))
}

/// By what an index.json will be known to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Its stamp: every change will show in it.
    Stamp,
    /// Its digest, besides.
    Hash,
}

impl Proof {
    /// What it takes; waits for a clock to go on where that is faster. `None` where index.json changes meanwhile.
    pub fn of(cabinet: &Cabinet<'_>, alone: &Alone, imprint: &Imprint) -> Option<Self> {
        let settled = || cabinet.now(alone).is_some_and(|now| imprint.settled(&now));
        if settled() {
            return Some(Self::Stamp);
        }
        if imprint.len() <= WORTH_HASHING || !imprint.is_local() {
            return Some(Self::Hash);
        }
        for _ in 0..MOMENTS {
            thread::sleep(MOMENT);
            if settled() {
                return imprint.unchanged().then_some(Self::Stamp);
            }
        }
        Some(Self::Hash)
    }
}

/// What came of reading a manifest.
enum Seen {
    Says(Gist),
    /// It has the content of a child in it, or neither its bytes alone nor the type of a child say what that is: such a
    /// layout is not kept.
    Odd,
    Absent,
    Broken,
    /// The medium did not give it: the next time it may.
    Unread,
}

impl Seen {
    fn of(node: Node) -> Self {
        match node {
            Node::Present(manifest) => Self::manifest(&manifest),
            Node::Absent => Self::Absent,
            Node::Broken(Broken::Unread(_)) => Self::Unread,
            Node::Broken(_) => Self::Broken,
        }
    }

    fn manifest(manifest: &Manifest) -> Self {
        let (mut children, mut odd) = (Vec::new(), !manifest.is_by_itself());
        manifest.children(&mut |child| {
            odd |= says_nothing(&child.media_type);
            if let Some(form) = Form::of(&child.media_type) {
                odd |= child.has_data;
                let attests = child.annotation(ATTESTED).and_then(|text| text.parse().ok());
                children.push(Child { digest: child.digest, form, attests });
            }
        });
        if odd {
            return Self::Odd;
        }
        let (artifact_type, declared) = manifest.effective_type();
        let fits = artifact_type.is_none_or(|text| text.len() <= MAX_TYPE);
        Self::Says(Gist {
            form: manifest.form(),
            kind: manifest.kind(),
            size: manifest.size(),
            artifact_type: fits.then(|| (artifact_type.map(str::to_owned), declared)),
            subject: manifest.about().cloned(),
            children,
        })
    }
}

/// A number that stands for a digest while there are many.
type Id = u32;
/// No digest at all.
const NONE: Id = Id::MAX;

/// An entry of index.json.
struct Entered {
    id: Id,
    len: u32,
    at: u64,
    named: bool,
    /// What it is there for, as far as it says itself.
    shown: Option<Shown>,
}

/// What a manifest says, in little room.
#[derive(Clone, Copy)]
struct Said {
    form: Form,
    kind: ManifestKind,
    declared: bool,
    size: u64,
    subject: Id,
    /// The place of its type; none: [`NONE`], too long or one too many to be remembered: one below that.
    artifact_type: Id,
    /// Whether it was known before.
    old: bool,
}

/// Everything found out about a layout, or about a change of it.
#[derive(Default)]
pub(super) struct Found {
    ids: HashMap<Key, Id>,
    keys: Vec<Key>,
    /// Those that are no sha256.
    long: HashMap<Id, Digest>,
    entries: Vec<Entered>,
    /// Names and lists, under their keys.
    others: Vec<(Key, Row)>,
    /// (referrer, subject), where only an entry or an index says so.
    claims: Vec<(Id, Id)>,
    /// Entries that are lists of referrers.
    lists: HashSet<Id>,
    /// Manifests to be read, and as what.
    wanted: Vec<(Id, Form)>,
    /// What was read, by number.
    said: Vec<Option<Said>>,
    children: HashMap<Id, Vec<Child>>,
    types: Vec<String>,
    type_ids: HashMap<String, Id>,
    /// (subject, referrer)
    referrers: Vec<(Id, Id)>,
    /// (child, index)
    holders: Vec<(Id, Id)>,
    troubled: Vec<(Id, bool)>,
    /// Whether the medium did not give one of them: then nothing of this is kept.
    pub unread: bool,
    /// Whether it is about a change only: what was known before stays where it is.
    of_change: bool,
}

impl Found {
    /// What is found out about a change.
    pub fn of_change() -> Self {
        Self { of_change: true, ..Self::default() }
    }

    fn id(&mut self, digest: &Digest) -> Id {
        let key = row::of_digest(digest);
        let next = Id::try_from(self.keys.len()).unwrap_or(NONE);
        let id = *self.ids.entry(key).or_insert(next);
        if id == next {
            self.keys.push(key);
            self.said.push(None);
            if digest.sha256().is_none() {
                self.long.insert(id, digest.clone());
            }
        }
        id
    }

    fn digest(&self, id: Id) -> Digest {
        let key = self.keys[id as usize];
        self.long.get(&id).cloned().unwrap_or_else(|| Digest::from_sha256(key))
    }

    /// Takes in an entry of index.json. `false` where it is of a sort that is not kept: no descriptor, with its content in
    /// it, of a type that says nothing, or of a layout whose referrers are listed nowhere.
    pub fn enter(&mut self, text: String, place: Range<u64>) -> bool {
        let whole = 0..text.len();
        let Ok(descriptor) = Descriptor::parse_in(&Arc::new(text), whole) else { return false };
        let Ok(len) = u32::try_from(place.end - place.start) else { return false };
        let odd = descriptor.data.is_some() || graph::is_cosigns(&descriptor) || says_nothing(&descriptor.media_type);
        if odd || self.keys.len() >= (NONE - 2) as usize {
            return false;
        }
        let span = Span { at: place.start, len };
        let id = self.id(&descriptor.digest);
        let pair = Pair::of(&descriptor);
        let mut shown = None;
        if let Some(about) = graph::about(&descriptor, &pair) {
            self.others.push((row::of_about(&about), Row::List(span)));
            self.lists.insert(id);
            shown = Some(Shown::List);
        } else {
            if let Some((subject, _)) = graph::cosign(&pair) {
                let subject = self.id(&subject);
                self.claims.push((id, subject));
                shown = Some(Shown::Cosign);
            }
            if let Some(subject) = descriptor.annotation(CONTAINERD_SUBJECT).and_then(|text| text.parse().ok()) {
                let subject = self.id(&subject);
                self.claims.push((id, subject));
            }
        }
        self.name(&pair, span);
        if let Some(form) = Form::of(&descriptor.media_type) {
            self.wanted.push((id, form));
        }
        self.entries.push(Entered { id, len, at: span.at, named: !pair.is_empty(), shown });
        true
    }

    fn name(&mut self, pair: &Pair, span: Span) {
        if let Some(reference) = &pair.reference {
            self.others.push((row::of_ref_name(reference), Row::Entry(span)));
        }
        if let Some(image) = &pair.image {
            self.others.push((row::of_image(image), Row::Entry(span)));
        }
        for full in [&pair.reference, &pair.image].into_iter().flatten() {
            if let Some((_, tag)) = name::split_full(full) {
                self.others.push((row::of_end(tag), Row::Entry(span)));
            }
        }
    }

    /// Takes in a manifest of which there is only a blob so far.
    pub fn want(&mut self, digest: &Digest, form: Form) {
        let id = self.id(digest);
        self.wanted.push((id, form));
    }

    /// Reads everything wanted, and what that wants, but what was known before. `false` where it is of a sort that is
    /// not kept.
    pub fn learn(&mut self, walk: Walk<'_>, old: Option<&Shelf>) -> Result<bool> {
        let mut met: HashSet<Id> = HashSet::new();
        let mut old = old;
        loop {
            let mut level = std::mem::take(&mut self.wanted);
            let again: Vec<(Id, Form)> = level.extract_if(.., |(id, _)| !met.insert(*id)).collect();
            if level.is_empty() {
                return Ok(self.agrees(&again));
            }
            let called = level.clone();
            if let Some(shelf) = old {
                // One that is damaged is of no use at all.
                match self.recall(&level, shelf) {
                    Ok(true) => {}
                    Ok(false) => return Ok(false),
                    Err(super::Damaged) => old = None,
                }
            }
            level.retain(|(id, _)| self.said[*id as usize].is_none());
            // As they lie in our bundles, and so that the threads have a stretch each: in order of digests, which is
            // that of the keys where all are sha256.
            level.sort_unstable_by_key(|(id, _)| self.keys[*id as usize]);
            if !self.long.is_empty() {
                level.sort_by_cached_key(|(id, _)| self.digest(*id));
            }
            if !self.read_level(&walk, &level)? || !self.agrees(&called) || !self.agrees(&again) {
                return Ok(false);
            }
        }
    }

    /// Whether these manifests are what descriptors say, as far as the shape is right. Else what they are depends on all
    /// descriptors that lead to them, and such a layout is not kept.
    fn agrees(&self, called: &[(Id, Form)]) -> bool {
        called.iter().all(|(id, said)| {
            self.said[*id as usize].is_none_or(|real| real.form == *said || real.form.shape() != said.shape())
        })
    }

    /// Reads the manifests of one level from several threads, each a stretch of its own, and takes in what they say.
    fn read_level(&mut self, walk: &Walk<'_>, level: &[(Id, Form)]) -> Result<bool> {
        let wants: Vec<Want<'_>> = level
            .iter()
            .map(|(id, form)| Want {
                digest: self.digest(*id),
                media_type: form.media_type(),
                data: None,
                limit: if self.lists.contains(id) { MAX_LIST } else { MAX_MANIFEST },
            })
            .collect();
        let order: Vec<usize> = (0..wants.len()).collect();
        let share = order.len().div_ceil(walk.threads(order.len())).max(1);
        let mut plain = true;
        let read = thread::scope(|scope| {
            let (found, coming) = mpsc::sync_channel(2 * WAITING);
            for stretch in order.chunks(share) {
                let (found, wants) = (found.clone(), &wants);
                start(scope, move || {
                    for batch in stretch.chunks(BATCH) {
                        let read: Vec<_> =
                            walk.stretch(wants, batch).into_iter().map(|node| node.map(Seen::of)).collect();
                        // Nobody listens any more once something was found that is not kept.
                        if found.send((batch[0], read)).is_err() {
                            return;
                        }
                    }
                })?;
            }
            drop(found);
            let mut read = 0;
            for (first, batch) in coming {
                read += batch.len();
                for ((id, _), seen) in level[first..].iter().zip(batch) {
                    match seen {
                        Some(Seen::Says(gist)) => plain = plain && self.take(*id, gist),
                        Some(Seen::Odd) => plain = false,
                        Some(Seen::Absent) => self.troubled.push((*id, true)),
                        Some(Seen::Broken) => self.troubled.push((*id, false)),
                        Some(Seen::Unread) => self.unread = true,
                        None => return Err(walk.go_on().err().unwrap_or_else(Error::interrupted)),
                    }
                }
                if !plain {
                    break;
                }
            }
            Ok(read)
        })?;
        debug_assert!(!plain || read == level.len());
        self.troubled.sort_unstable();
        Ok(plain)
    }

    /// Takes over what was known of manifests.
    fn recall(&mut self, level: &[(Id, Form)], old: &Shelf) -> std::result::Result<bool, super::Damaged> {
        // Reading all of it in order is faster than looking for much of it.
        if !self.of_change && level.len() as u64 * 8 > old.head.manifests {
            let wanted: HashSet<Id> = level.iter().map(|(id, _)| *id).collect();
            let mut groups = Merged::new(&old.head, &old.segments)?;
            while let Some((key, rows)) = groups.next()? {
                if let Some(id) = self.ids.get(&key).copied().filter(|id| wanted.contains(id)) {
                    let gist =
                        rows.into_iter().find_map(|row| if let Row::Gist(gist) = row { Some(gist) } else { None });
                    if gist.is_some_and(|gist| !self.take_known(id, gist)) {
                        return Ok(false);
                    }
                }
            }
            return Ok(true);
        }
        // In their order a block is read once for all that are in it.
        let mut ids: Vec<Id> = level.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable_by_key(|id| self.keys[*id as usize]);
        for id in ids {
            if let Some(gist) = old.gist(&self.keys[id as usize])?
                && !self.take_known(id, gist)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take_known(&mut self, id: Id, gist: Gist) -> bool {
        if !self.of_change {
            return self.take(id, gist);
        }
        let Gist { form, kind, size, .. } = gist;
        let subject = gist.subject.as_ref().map_or(NONE, |subject| self.id(subject));
        let said = Said { form, kind, declared: false, size, subject, artifact_type: NONE, old: true };
        self.said[id as usize] = Some(said);
        true
    }

    /// Takes in what is known of a manifest. `false` where there are too many digests to be numbered.
    fn take(&mut self, id: Id, gist: Gist) -> bool {
        if self.keys.len() + gist.children.len() * 2 >= (NONE - 2) as usize {
            return false;
        }
        let declared = matches!(gist.artifact_type, Some((_, true)));
        let artifact_type = match gist.artifact_type {
            None => NONE - 1,
            Some((None, _)) => NONE,
            Some((Some(text), _)) => match self.type_ids.get(&text) {
                Some(known) => *known,
                None if self.types.len() >= MAX_TYPES => NONE - 1,
                None => {
                    let next = self.types.len() as Id;
                    self.types.push(text.clone());
                    self.type_ids.insert(text, next);
                    next
                }
            },
        };
        let subject = gist.subject.as_ref().map_or(NONE, |subject| self.id(subject));
        if subject != NONE && subject != id {
            self.referrers.push((subject, id));
        }
        for child in &gist.children {
            let number = self.id(&child.digest);
            self.holders.push((number, id));
            self.wanted.push((number, child.form));
            if let Some(attested) = &child.attests {
                let attested = self.id(attested);
                self.claims.push((number, attested));
            }
        }
        if !gist.children.is_empty() {
            self.children.insert(id, gist.children);
        }
        let Gist { form, kind, size, .. } = gist;
        self.said[id as usize] = Some(Said { form, kind, declared, size, subject, artifact_type, old: false });
        true
    }

    /// Sees which claims hold, and what entries are there for.
    pub fn settle(&mut self) {
        let without_subject = |id: Id| self.said[id as usize].is_some_and(|said| said.subject == NONE);
        let holds = |(referrer, subject): &(Id, Id)| referrer != subject && without_subject(*referrer);
        let claimed: Vec<(Id, Id)> = self.claims.iter().filter(|claim| holds(claim)).map(|(r, s)| (*s, *r)).collect();
        self.referrers.extend(claimed);
        let mut refers = vec![false; self.keys.len()];
        for (_, referrer) in &self.referrers {
            refers[*referrer as usize] = true;
        }
        // What was known before refers to what it referred to.
        let known = |id: Id| self.said[id as usize].is_some_and(|said| said.old && ![NONE, id].contains(&said.subject));
        for entered in &self.entries {
            let shown = match entered.shown {
                Some(shown) => shown,
                None if refers[entered.id as usize] || known(entered.id) => Shown::Referrer,
                None => Shown::Root,
            };
            if shown == Shown::Root || entered.named {
                let span = Span { at: entered.at, len: entered.len };
                self.others.push((row::of_listed(), Row::Listed(span, shown)));
            }
        }
    }

    /// Writes everything in order of keys.
    pub fn write(&mut self, writer: &mut Writer<'_, '_>) -> io::Result<()> {
        let mut order: Vec<Id> = (0..self.keys.len() as Id).collect();
        order.sort_unstable_by_key(|id| self.keys[*id as usize]);
        let mut rank: Vec<Id> = vec![0; order.len()];
        for (at, id) in order.iter().enumerate() {
            rank[*id as usize] = at as Id;
        }
        let of = |id: Id| rank[id as usize];
        self.entries.sort_unstable_by_key(|entered| (of(entered.id), entered.at));
        self.referrers.sort_unstable_by_key(|(subject, referrer)| (of(*subject), of(*referrer)));
        self.referrers.dedup();
        self.holders.sort_unstable_by_key(|(child, holder)| (of(*child), of(*holder)));
        self.holders.dedup();
        self.others.sort_unstable();
        self.others.dedup();
        let mut entries = self.entries.iter().peekable();
        let mut referrers = self.referrers.iter().peekable();
        let mut holders = self.holders.iter().peekable();
        let mut others = self.others.iter().peekable();
        let mut rows = Vec::new();
        for id in order {
            let key = self.keys[id as usize];
            while let Some(other) = others.peek().map(|(key, _)| *key).filter(|other| *other < key) {
                while let Some((_, row)) = others.next_if(|(key, _)| *key == other) {
                    rows.push(row.clone());
                }
                writer.group(&other, &rows)?;
                rows.clear();
            }
            rows.extend(self.gist(id).map(Row::Gist));
            while let Some(Entered { at, len, .. }) = entries.next_if(|entered| entered.id == id) {
                rows.push(Row::Entry(Span { at: *at, len: *len }));
            }
            while let Some((_, row)) = others.next_if(|(other, _)| *other == key) {
                rows.push(row.clone());
            }
            while let Some((_, referrer)) = referrers.next_if(|(subject, _)| *subject == id) {
                rows.push(Row::Referrer(self.digest(*referrer)));
            }
            while let Some((_, holder)) = holders.next_if(|(child, _)| *child == id) {
                rows.push(Row::Holder(self.digest(*holder)));
            }
            writer.group(&key, &rows)?;
            rows.clear();
        }
        while let Some((other, _)) = others.peek().copied() {
            while let Some((_, row)) = others.next_if(|(key, _)| key == other) {
                rows.push(row.clone());
            }
            writer.group(other, &rows)?;
            rows.clear();
        }
        Ok(())
    }

    fn gist(&self, id: Id) -> Option<Gist> {
        let said = self.said[id as usize].filter(|said| !said.old)?;
        let artifact_type = match said.artifact_type {
            NONE => Some((None, said.declared)),
            place => self.types.get(place as usize).map(|text| (Some(text.clone()), said.declared)),
        };
        Some(Gist {
            form: said.form,
            kind: said.kind,
            size: said.size,
            artifact_type,
            subject: (said.subject != NONE).then(|| self.digest(said.subject)),
            children: self.children.get(&id).cloned().unwrap_or_default(),
        })
    }

    /// Whether what was known before a change stays as it is, but for what the change adds: nothing known is said to
    /// refer to something now, and no entry came for something that may be referring by what an index says. `None`
    /// where what is kept is damaged.
    pub fn stands_alone(&self, old: &Shelf) -> Option<bool> {
        let known = |id: Id| self.said[id as usize].is_some_and(|said| said.old);
        if self.claims.iter().any(|(referrer, _)| known(*referrer)) {
            return Some(false);
        }
        for entered in self.entries.iter().filter(|entered| known(entered.id)) {
            let rows = old.rows(&self.keys[entered.id as usize]).ok()?;
            if rows.iter().any(|row| matches!(row, Row::Holder(_))) {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Whether an entry with this digest came.
    pub fn has_entered(&self, digest: &Digest) -> bool {
        let id = self.ids.get(&row::of_digest(digest));
        id.is_some_and(|id| self.entries.iter().any(|entered| entered.id == *id))
    }

    /// The children of all indexes that were read.
    pub fn listed(&self) -> BTreeSet<Digest> {
        self.children.values().flatten().map(|child| child.digest.clone()).collect()
    }

    /// How many manifests were read.
    pub fn manifests(&self) -> u64 {
        self.said.iter().flatten().filter(|said| !said.old).count() as u64
    }

    /// Manifests that are absent (`true`) or broken.
    pub fn troubled(&self) -> Vec<(Digest, bool)> {
        self.troubled.iter().take(MAX_TROUBLED).map(|(id, absent)| (self.digest(*id), *absent)).collect()
    }
}
