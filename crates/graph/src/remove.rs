//! What `rm` takes away: names, entries and manifests, and the lists of referrers that change with that.

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ocistow_layout::edit::Edit;
use ocistow_layout::index::{Entry, INDEX_TYPE};
use ocistow_layout::name::{Pair, Steps, look_up};
use ocistow_layout::{Descriptor, Digest, Error, IndexFile, Kind, Result, Source};

use crate::facts::{Facts, Shape};
use crate::graph::{About, Dialect, Graph, List, Node, Standing, cosign};
use crate::list;
use crate::manifest::Manifest;
use crate::plan::{self, made_entry};
use crate::resolve::{Asked, shortest};
use crate::support::Support;
use crate::sweep::{says_itself, unreadable, wholes_first};

/// How many holders an error names.
const MOST_NAMED: usize = 10;

/// What is taken away: nothing is decided after this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// The changes to index.json.
    pub edits: Vec<Edit>,
    /// New lists of referrers, without what is removed.
    pub made: BTreeMap<Digest, Vec<u8>>,
    /// The blobs that are deleted, wholes before their parts: manifests, and lists that others take the place of.
    pub removed: Vec<Digest>,
    /// What was named, or refers to something removed, and stays because something else needs it. In digest order.
    pub left: Vec<Digest>,
}

/// Decides what goes if `asked` goes from `source`, whose graph this is, and with `referrers` everything that refers
/// to what is removed, however indirectly.
///
/// What is asked for by name loses that name; it is removed once it has no other and no manifest that stays has
/// it as a part. What is asked for by digest is removed: Failed, with those who hold it, where a manifest that
/// stays has it as a part. Lists of referrers do not hold what they list. NotFound where a name or digest is not
/// there, Usage where a name is ambiguous, Integrity where `REF@DIGEST` names something else, an entry is no
/// descriptor, or a manifest that stays cannot be read: it may need what is asked for.
pub fn remove(graph: &Graph, source: &dyn Source, asked: &[Asked], referrers: bool) -> Result<Removal> {
    let mut choice = Choice::of(graph)?;
    for asked in asked {
        choice.ask(source, asked)?;
    }
    let mut kept = choice.kept();
    let mut going = choice.going(&kept);
    while referrers && choice.add_referrers(&going, &kept) {
        kept = choice.kept();
        going = choice.going(&kept);
    }
    for digest in &choice.exact {
        if kept.reached.contains(digest) {
            return Err(held(graph, source, digest, &kept));
        }
    }
    if !going.is_empty() {
        refuse_broken(graph, &going)?;
    }
    let left = choice.spare(&kept);
    if referrers {
        choice.drop_tags(&going);
    }
    choice.removal(left, &going, referrers)
}

/// What of these digests no entry leads to: what was removed, looked at again once somebody else has changed
/// index.json.
pub fn unneeded(graph: &Graph, digests: &[Digest]) -> Result<Vec<Digest>> {
    let mut choice = Choice::of(graph)?;
    choice.exact.extend(digests.iter().cloned());
    let kept = choice.kept();
    Ok(digests.iter().filter(|digest| !kept.reached.contains(*digest)).cloned().collect())
}

/// Whether everything asked for is there, as far as index.json and a look at the blobs tell. `Err` as [`remove`] has it.
pub fn check(source: &dyn Source, asked: &[Asked]) -> Result<()> {
    let index = source.index()?;
    for asked in asked {
        match asked {
            Asked::Name(reference, digest) => {
                named(&index, source.location(), reference, digest.as_ref())?;
            }
            Asked::Digest(digest) => {
                let is = |entry: &Entry| entry.descriptor.as_ref().is_ok_and(|own| own.digest == *digest);
                if !index.entries().iter().any(is) {
                    lies(source, digest)?;
                }
            }
            Asked::Root | Asked::Place(_) => return Err(nothing(source.location())),
        }
    }
    Ok(())
}

/// What a name stands for, and where. Names of what is removed are not guessed at.
fn named(index: &IndexFile, location: &str, reference: &str, digest: Option<&Digest>) -> Result<(Digest, Vec<usize>)> {
    let places = look_up(index, reference, Steps::Exact);
    let mut digests = BTreeSet::new();
    for place in &places {
        digests.insert(&index.entries()[*place].descriptor(*place)?.digest);
    }
    let names = || digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let what = || format!("could not remove {location}:{reference}");
    let Some(&first) = digests.first() else {
        let there: BTreeSet<&str> = index.entries().iter().filter_map(|entry| entry.pair.exact()).collect();
        let mut names: Vec<&str> = there.iter().take(MOST_NAMED).copied().collect();
        names.extend((there.len() > MOST_NAMED).then_some("…"));
        let error = Error::new(Kind::NotFound, what()).because("there is no such name");
        return Err(if names.is_empty() { error } else { error.hint(format!("there are {}", names.join(", "))) });
    };
    if digests.len() > 1 {
        let hint = "a digest says which is meant: PATH@DIGEST";
        return Err(Error::new(Kind::Usage, what()).because(format!("it names {}", names())).hint(hint));
    }
    if digest.is_some_and(|digest| digest != first) {
        let why = format!("{reference} names {}", names());
        return Err(Error::new(Kind::Integrity, what()).because(why));
    }
    Ok((first.clone(), places))
}

/// Whether something lies there under that digest, fit for a blob or not.
fn lies(source: &dyn Source, digest: &Digest) -> Result<()> {
    match source.size(digest) {
        Ok(None) => Err(Error::new(Kind::NotFound, format!("could not find {}@{digest}", source.location()))),
        _ => Ok(()),
    }
}

fn nothing(location: &str) -> Error {
    Error::new(Kind::Usage, format!("could not tell what to remove from {location}"))
        .because("a name or a digest is needed")
}

/// What is being taken away, in terms of index.json.
struct Choice<'g> {
    graph: &'g Graph,
    places: Places<'g>,
    subjects: Subjects<'g>,
    /// Entries that go.
    gone: BTreeSet<usize>,
    /// What goes unless something else needs it.
    wanted: BTreeSet<Digest>,
    /// What of it was asked for by name.
    named: BTreeSet<Digest>,
    /// What of it was asked for by digest.
    exact: BTreeSet<Digest>,
}

/// What entries that stay lead to, as far as it [matters](Choice::matters).
struct Kept {
    reached: HashSet<Digest>,
    /// What of it is only there as a list of referrers.
    lists: HashSet<Digest>,
}

/// What is left of lists of referrers once some of what they list has gone.
enum Rest {
    /// All of it, or nobody can tell.
    Whole,
    /// Nothing, as before.
    Empty,
    /// Nothing any more.
    Nothing,
    /// A list of this digest and length.
    Shorter(Digest, u64),
}

/// Where each digest has its entries.
type Places<'g> = HashMap<&'g Digest, Vec<usize>>;
/// What each referrer refers to.
type Subjects<'g> = HashMap<&'g Digest, Vec<&'g Digest>>;

/// Whether a digest is more than content that manifests have: a manifest itself, an entry's, a subject's or a referrer's.
fn matters(graph: &Graph, places: &Places<'_>, subjects: &Subjects<'_>, digest: &Digest) -> bool {
    let is_known = graph.node(digest).is_some() || places.contains_key(digest) || subjects.contains_key(digest);
    is_known || !graph.referrers(digest).is_empty()
}

impl<'g> Choice<'g> {
    fn of(graph: &'g Graph) -> Result<Self> {
        let mut places = Places::new();
        for (place, entry) in graph.index().entries().iter().enumerate() {
            places.entry(&entry.descriptor(place)?.digest).or_default().push(place);
        }
        let mut subjects = Subjects::new();
        for edge in graph.edges() {
            subjects.entry(&edge.referrer).or_default().push(&edge.subject);
        }
        let (wanted, named, exact) = Default::default();
        Ok(Self { graph, places, subjects, gone: BTreeSet::new(), wanted, named, exact })
    }

    fn own(&self, place: usize) -> &'g Descriptor {
        self.graph.index().entries()[place].descriptor.as_ref().expect("all entries were looked at")
    }

    fn places(&self, digest: &Digest) -> &[usize] {
        self.places.get(digest).map_or(&[], Vec::as_slice)
    }

    fn ask(&mut self, source: &dyn Source, asked: &Asked) -> Result<()> {
        let location = source.location();
        match asked {
            Asked::Name(reference, digest) => {
                let (digest, places) = named(self.graph.index(), location, reference, digest.as_ref())?;
                self.wanted.insert(digest.clone());
                self.named.insert(digest);
                self.gone.extend(places);
            }
            Asked::Digest(digest) => {
                if self.places(digest).is_empty() {
                    lies(source, digest)?;
                }
                self.wanted.insert(digest.clone());
                self.exact.insert(digest.clone());
                self.gone.extend(self.places(digest).to_vec());
            }
            Asked::Root | Asked::Place(_) => return Err(nothing(location)),
        }
        Ok(())
    }

    /// What stays whatever becomes of what is wanted, or needs it.
    fn kept(&self) -> Kept {
        let stay = |place: &usize| !self.gone.contains(place);
        let (lists, own): (Vec<usize>, Vec<usize>) = (0..self.graph.index().entries().len())
            .filter(stay)
            .partition(|place| self.graph.standing(*place) == Standing::List);
        let mut kept = Kept { reached: HashSet::new(), lists: HashSet::new() };
        self.reach(own.into_iter().map(|place| self.own(place).digest.clone()).collect(), &mut kept.reached);
        for digest in lists.into_iter().map(|place| &self.own(place).digest) {
            if kept.reached.insert(digest.clone()) {
                kept.lists.insert(digest.clone());
            }
        }
        let listed = kept.lists.iter().filter_map(|list| self.graph.facts(list)).flat_map(|facts| facts.parts);
        let listed = listed.map(|part| part.descriptor.digest).filter(|digest| !self.wanted.contains(digest));
        self.reach(listed.collect(), &mut kept.reached);
        kept
    }

    /// Whether anything is decided by what leads to a digest. What only manifests have, and nobody asked for, is left out
    /// of all accounts: most layers are that, and an enemy names millions.
    fn matters(&self, digest: &Digest) -> bool {
        self.exact.contains(digest)
            || self.wanted.contains(digest)
            || matters(self.graph, &self.places, &self.subjects, digest)
    }

    /// Adds everything that these lead to. What of it is new.
    fn reach(&self, mut stack: Vec<Digest>, reached: &mut HashSet<Digest>) -> Vec<Digest> {
        let mut new = Vec::new();
        while let Some(digest) = stack.pop() {
            if !reached.insert(digest.clone()) {
                continue;
            }
            let parts = self.graph.facts(&digest).into_iter().flat_map(|facts| facts.parts);
            stack.extend(parts.map(|part| part.descriptor.digest).filter(|digest| self.matters(digest)));
            // What only lies in `blobs/` stays with its subject.
            let scanned = self.graph.referrers(&digest).iter().filter(|edge| edge.dialect == Dialect::Scan);
            stack.extend(scanned.map(|edge| edge.referrer.clone()).filter(|digest| !self.wanted.contains(digest)));
            new.push(digest);
        }
        new
    }

    fn going(&self, kept: &Kept) -> BTreeSet<Digest> {
        self.wanted.iter().filter(|digest| !kept.reached.contains(*digest)).cloned().collect()
    }

    /// Adds what refers to nothing but what goes, and so on, as far as it can be told without looking at everything
    /// again. Whether that was anything.
    fn add_referrers(&mut self, going: &BTreeSet<Digest>, kept: &Kept) -> bool {
        let before = self.wanted.len();
        let stay = (0..self.graph.index().entries().len()).filter(|place| !self.gone.contains(place));
        let (graph, places, subjects) = (self.graph, &self.places, &self.subjects);
        let matters = |digest: &Digest| matters(graph, places, subjects, digest);
        let entries = stay.map(|place| &self.own(place).digest);
        let mut support = Support::of(graph, kept.reached.clone(), &kept.lists, &matters, entries);
        // How many subjects of each referrer stay.
        let mut staying: HashMap<&Digest, usize> = HashMap::new();
        let mut going: Vec<Digest> = going.iter().cloned().collect();
        while let Some(subject) = going.pop() {
            for edge in self.graph.referrers(&subject) {
                let referrer = &edge.referrer;
                let staying = staying.entry(referrer).or_insert_with(|| self.subjects[referrer].len());
                *staying -= 1;
                if *staying > 0 || !self.wanted.insert(referrer.clone()) {
                    continue;
                }
                let wanted = |digest: &Digest| self.wanted.contains(digest);
                let mut lost = Vec::from_iter((!support.reaches(referrer)).then(|| referrer.clone()));
                for place in self.places.get(referrer).into_iter().flatten() {
                    if self.gone.insert(*place) {
                        support.lose_entry(referrer, &wanted, &mut lost);
                    }
                }
                support.settle(referrer.clone(), &wanted, &mut lost);
                going.extend(lost.into_iter().filter(wanted));
            }
        }
        self.wanted.len() > before
    }

    /// Leaves referrers their entries that something else needs. What was wanted and stays, for whatever reason but
    /// another entry of its own.
    fn spare(&mut self, kept: &Kept) -> BTreeSet<Digest> {
        let mut left = BTreeSet::new();
        for digest in self.wanted.iter().filter(|digest| kept.reached.contains(*digest)) {
            if !self.named.contains(digest) {
                for place in self.places.get(digest).into_iter().flatten() {
                    self.gone.remove(place);
                }
                left.insert(digest.clone());
            } else if self.places(digest).iter().all(|place| self.gone.contains(place)) {
                left.insert(digest.clone());
            }
        }
        left
    }

    /// What refers to something else too only loses the tags that tie it to what goes.
    fn drop_tags(&mut self, going: &BTreeSet<Digest>) {
        let ties = |place: &&usize| {
            let pair = &self.graph.index().entries()[**place].pair;
            cosign(pair).is_some_and(|(subject, _)| going.contains(&subject))
        };
        let edges = going.iter().flat_map(|digest| self.graph.referrers(digest));
        let referrers: BTreeSet<&Digest> = edges.map(|edge| &edge.referrer).collect();
        for referrer in referrers {
            self.gone.extend(self.places.get(referrer).into_iter().flatten().filter(ties));
        }
    }

    /// The lists of referrers whose entries stay; those of one name together, since that name has one entry in the end.
    fn lists(&self) -> Vec<Vec<&'g List>> {
        let mut lists: Vec<Vec<&List>> = Vec::new();
        let mut of_name: HashMap<Pair, usize> = HashMap::new();
        for list in self.graph.lists().iter().filter(|list| !self.gone.contains(&list.place)) {
            let pair = &self.graph.index().entries()[list.place].pair;
            let next = lists.len();
            let at = if pair.is_empty() { next } else { *of_name.entry(pair.key()).or_insert(next) };
            match lists.get_mut(at) {
                Some(same) => same.push(list),
                None => lists.push(vec![list]),
            }
        }
        lists
    }

    /// Entries for referrers of what is reached that nothing leads to any more: what goes had listed them.
    fn unlisted(&self, going: &BTreeSet<Digest>, reached: &mut HashSet<Digest>) -> Vec<Edit> {
        let mut edits = Vec::new();
        // In order, so that the same layout is always changed alike.
        let mut subjects: Vec<Digest> = reached.iter().cloned().collect();
        subjects.sort_unstable();
        while let Some(subject) = subjects.pop() {
            for edge in self.graph.referrers(&subject).iter().filter(|edge| says_itself(self.graph, edge)) {
                if reached.contains(&edge.referrer) || going.contains(&edge.referrer) {
                    continue;
                }
                let entry = made_entry(self.graph, &edge.referrer).expect("what says its subject was read");
                edits.push(Edit::Add { entry: Box::new(entry.descriptor) });
                subjects.extend(self.reach(vec![edge.referrer.clone()], reached));
            }
        }
        edits
    }

    /// What is left of these lists, which become one, once what goes is taken out of them.
    fn rest(
        &self,
        lists: &[&Digest],
        going: &BTreeSet<Digest>,
        room: &mut list::Room,
        made: &mut BTreeMap<Digest, Vec<u8>>,
    ) -> Result<Rest> {
        let facts: Vec<Facts> = lists.iter().filter_map(|list| self.graph.facts(list)).collect();
        // What is no list, or is not there, lists nothing that could be taken out of it.
        if facts.len() < lists.len() || facts.iter().any(|facts| facts.form.shape() != Shape::Index) {
            return Ok(Rest::Whole);
        }
        let (mut changes, mut met) = (false, HashSet::new());
        let mut members: Vec<&Descriptor> = Vec::new();
        for member in facts.iter().flat_map(Facts::children) {
            match going.contains(&member.digest) {
                true => changes = true,
                false if met.insert(&member.digest) => members.push(member),
                false => {}
            }
        }
        Ok(match (changes, members.is_empty()) {
            (false, false) => Rest::Whole,
            (false, true) => Rest::Empty,
            (true, true) => Rest::Nothing,
            (true, false) => {
                room.take(list::length(members.iter().map(|member| member.text())))?;
                let bytes = list::made(members.iter().map(|member| member.text()));
                let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
                made.insert(digest.clone(), bytes);
                Rest::Shorter(digest, size)
            }
        })
    }

    fn removal(&self, left: BTreeSet<Digest>, going: &BTreeSet<Digest>, referrers: bool) -> Result<Removal> {
        let index = self.graph.index();
        let mut removal = Removal::default();
        let pair = |place: usize| index.entries()[place].pair.clone();
        let names: BTreeSet<(Digest, Pair)> =
            self.gone.iter().map(|place| (self.own(*place).digest.clone(), pair(*place))).collect();
        removal.edits.extend(names.into_iter().map(|(digest, pair)| Edit::Remove { digest, pair }));
        let mut stays: Vec<Digest> = Vec::new();
        for digest in left.iter().filter(|digest| self.named.contains(*digest)) {
            // It keeps an entry, but no name.
            if let Some(place) = self.places(digest).iter().find(|place| self.gone.contains(place)) {
                let unnamed = plan::Entry::named(self.own(*place), Pair::default());
                removal.edits.push(Edit::Add { entry: Box::new(unnamed.descriptor) });
                stays.push(digest.clone());
            }
        }
        let mut superseded: BTreeMap<usize, &Digest> = BTreeMap::new();
        // One list may stand under many names: it is read once, and made anew once.
        let mut rests: HashMap<Vec<&Digest>, Rest> = HashMap::new();
        let mut room = list::Room::default();
        let known: BTreeSet<&Digest> = self.graph.lists().iter().map(|list| &list.digest).collect();
        room.read(known.into_iter().filter_map(|list| self.graph.manifest(list)).map(Manifest::size).sum());
        let known_by = |subject: &Digest| [About::Tag(subject.fallback_tag()), About::Subject(subject.clone())];
        let of_nobody: BTreeSet<About> = going.iter().filter(|_| referrers).flat_map(known_by).collect();
        for lists in self.lists() {
            let digests: Vec<&Digest> = lists.iter().map(|list| &list.digest).collect();
            let rest = match rests.entry(digests) {
                Occupied(known) => known.into_mut(),
                Vacant(new) => {
                    let rest = self.rest(new.key(), going, &mut room, &mut removal.made)?;
                    new.insert(rest)
                }
            };
            let pair = pair(lists[0].place);
            match rest {
                Rest::Whole => continue,
                Rest::Empty if !of_nobody.contains(&lists[0].about) => continue,
                Rest::Empty | Rest::Nothing => {
                    let edit = |list: &&List| Edit::Remove { digest: list.digest.clone(), pair: pair.clone() };
                    removal.edits.extend(lists.iter().map(edit));
                }
                Rest::Shorter(digest, size) => {
                    let entry = Box::new(list::entry_of(self.own(lists[0].place), digest, *size));
                    match pair.is_empty() {
                        true => {
                            let digest = lists[0].digest.clone();
                            removal.edits.extend([Edit::Remove { digest, pair }, Edit::Add { entry }]);
                        }
                        false => removal.edits.push(Edit::Set { entry, pair, expect: None }),
                    }
                }
            }
            superseded.extend(lists.iter().map(|list| (list.place, &list.digest)));
        }
        for (list, bytes) in &removal.made {
            let members = Facts::read_list(INDEX_TYPE, list, bytes).expect("it was made here");
            stays.push(list.clone());
            stays.extend(members.into_children().map(|member| member.digest));
        }
        // A list that another takes the place of goes, unless it is more than that.
        let entries = (0..index.entries().len())
            .filter(|place| !self.gone.contains(place) && !superseded.contains_key(place))
            .map(|place| self.own(place).digest.clone());
        stays.extend(entries);
        let mut reached = HashSet::new();
        self.reach(stays, &mut reached);
        removal.edits.extend(self.unlisted(going, &mut reached));
        let lists = superseded.into_values().filter(|list| !reached.contains(*list));
        let removed: BTreeSet<&Digest> = going.iter().chain(lists).collect();
        let order = wholes_first(&removed, |digest| self.graph.manifest(digest));
        removal.removed = order.into_iter().cloned().collect();
        removal.left = left.into_iter().collect();
        Ok(removal)
    }
}

/// What cannot be read may need anything.
fn refuse_broken(graph: &Graph, going: &BTreeSet<Digest>) -> Result<()> {
    let mut broken = graph.nodes().into_iter().filter_map(|(digest, node)| match node {
        Node::Broken(why) if !going.contains(digest) => Some((digest, why)),
        _ => None,
    });
    match broken.next() {
        Some((digest, why)) => Err(unreadable(digest, 1 + broken.count(), why)),
        None => Ok(()),
    }
}

/// The error for something that others need, and who they are.
fn held(graph: &Graph, source: &dyn Source, digest: &Digest, kept: &Kept) -> Error {
    let holds = |holder: &Digest| {
        let parts = graph.facts(holder).into_iter().flat_map(|facts| facts.parts);
        parts.into_iter().any(|part| part.descriptor.digest == *digest)
    };
    let nodes = graph.nodes();
    let holders: Vec<&Digest> = nodes
        .into_keys()
        .filter(|holder| kept.reached.contains(*holder) && !kept.lists.contains(*holder) && holds(holder))
        .collect();
    let text = shortest(graph.index());
    let name = |holder: &Digest| {
        let entries = graph.index().entries().iter();
        let place =
            entries.into_iter().position(|entry| entry.descriptor.as_ref().is_ok_and(|own| own.digest == *holder));
        format!("{}{}", source.location(), place.map_or_else(|| format!("@{holder}"), &text))
    };
    let mut names: Vec<String> = holders.iter().take(MOST_NAMED).map(|holder| name(holder)).collect();
    if holders.len() > MOST_NAMED {
        names.push(format!("{} more", holders.len() - MOST_NAMED));
    }
    let why = format!("it is a part of {}", names.join(", "));
    Error::new(Kind::Failed, format!("could not remove {digest}"))
        .because(why)
        .hint("it goes together with what needs it: name that too")
}
