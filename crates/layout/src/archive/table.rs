//! What is where in an archive: names that matter, links resolved.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::header::{BLOCK, Flaw, Header};
use crate::archive::judge::{self, Cleaned, Name, Verdict, shown};
use crate::checked::damaged;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::source::Found;

/// The most links followed from a name to its content.
pub const MAX_HOPS: usize = 16;
/// The most names one blob may have by links: more than there are algorithms.
pub const MAX_ALIASES: usize = 16;
/// The most memory spent on links while an archive is read, in bytes of names.
pub const MAX_LINKS: usize = 16 << 20;
/// The most memory spent on members that are no part of the layout, in bytes of names. Nobody can link to what is above.
pub const MAX_OTHERS: usize = 8 << 20;
/// The most memory spent on telling what is odd, in bytes of names; what is above is only counted.
const MAX_ODD: usize = 4 << 20;

/// Where content lies in the (unpacked) archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Its first byte.
    pub at: u64,
    /// Its length.
    pub size: u64,
}

/// What an archive holds.
#[derive(Debug, Default)]
pub struct Table {
    pub(super) marker: Option<Spot>,
    pub(super) index: Option<Spot>,
    blobs: BTreeMap<Digest, Spot>,
    aliases: BTreeMap<Digest, Digest>,
    /// Blobs that are links to members that are none.
    elsewhere: BTreeMap<Digest, Spot>,
    /// Members that one pass saw to have other content than their names say: where they start, in that order.
    pub(super) wrong: Vec<u64>,
    /// What stands under a name that matters and can be no file.
    unfit: BTreeMap<Name, String>,
    /// What stands where a directory of blobs has to be.
    blocks: BTreeMap<Cleaned, &'static str>,
    odd: Vec<Found>,
    more: u64,
    pub(super) docker: bool,
    /// Whether there is Docker's `repositories`, which is all that its oldest archives have.
    pub(super) repositories: bool,
    /// The directory in which a layout seems to lie.
    pub(super) below: Option<String>,
}

impl Table {
    /// Where the content of `digest` lies, under its own name or through links; `None` where it is
    /// absent. Integrity where something else stands under its name, or a link that leads nowhere, or a pass over
    /// the archive saw that its content is wrong.
    pub fn find(&self, digest: &Digest) -> Result<Option<Spot>> {
        let own = self.aliases.get(digest).unwrap_or(digest);
        if let Some(spot) = self.blobs.get(own) {
            if self.wrong.binary_search(&spot.at).is_ok() {
                return Err(damaged(own, "its content has another digest"));
            }
            return Ok(Some(*spot));
        }
        if let Some(spot) = self.elsewhere.get(digest) {
            return Ok(Some(*spot));
        }
        let unfit = |path: &str, why: &str| {
            Error::new(Kind::Integrity, format!("could not read blob {digest}")).because(format!("{path}: {why}"))
        };
        if let Some(why) = self.unfit.get(&Name::Blob(digest.clone())) {
            return Err(unfit(&digest.path(), why));
        }
        for path in ["blobs".to_owned(), format!("blobs/{}", digest.algorithm())] {
            if let Some(why) = self.blocks.get(path.as_bytes()) {
                return Err(unfit(&path, why));
            }
        }
        Ok(None)
    }

    /// The member that a name which is a link leads to.
    pub(super) fn own(&self, digest: &Digest) -> Option<&Digest> {
        self.aliases.get(digest)
    }

    /// All blobs that are members themselves, in order of their digests.
    pub fn blobs(&self) -> impl Iterator<Item = (&Digest, Spot)> {
        self.blobs.iter().map(|(digest, spot)| (digest, *spot))
    }

    /// Names that are links, each with the name of the member it leads to: that member's content is what
    /// stands under both.
    pub fn aliases(&self) -> impl Iterator<Item = (&Digest, &Digest)> {
        self.aliases.iter()
    }

    /// Names that are links to members that are no blobs, each with where its content lies: what is in an archive under
    /// a name of its own, wherever that is, may be a blob (ARCHIVE-7).
    pub fn elsewhere(&self) -> impl Iterator<Item = (&Digest, Spot)> {
        self.elsewhere.iter().map(|(digest, spot)| (digest, *spot))
    }

    pub(super) fn is_elsewhere(&self, digest: &Digest) -> bool {
        self.elsewhere.contains_key(digest)
    }

    /// Why `name` can be no file, if something else stands there.
    pub(super) fn unfit(&self, name: &Name) -> Option<&str> {
        self.unfit.get(name).map(String::as_str)
    }

    /// Everything found, as values.
    pub fn survey(&self, f: &mut dyn FnMut(Found)) {
        use crate::source::Blob;
        for (digest, spot) in self.blobs() {
            f(Found::Blob(Blob { digest: digest.clone(), size: spot.size }));
        }
        for (digest, own) in &self.aliases {
            f(Found::Blob(Blob { digest: digest.clone(), size: self.blobs[own].size }));
        }
        for (digest, spot) in self.elsewhere() {
            f(Found::Blob(Blob { digest: digest.clone(), size: spot.size }));
        }
        for (name, why) in &self.unfit {
            f(Found::Unfit(name.to_string(), why.clone()));
        }
        for (path, why) in &self.blocks {
            f(Found::Unfit(String::from_utf8_lossy(path).into_owned(), (*why).into()));
        }
        for found in &self.odd {
            f(found.clone());
        }
        if self.more > 0 {
            f(Found::Stray(format!("and {} more", self.more)));
        }
    }
}

/// A table being made.
#[derive(Default)]
pub(super) struct Maker {
    table: Table,
    links: BTreeMap<Cleaned, Link>,
    /// Files that are no part of the layout; `None` where one name stands there twice.
    others: BTreeMap<Cleaned, Option<Spot>>,
    /// Memory spent on links, on other files, and on telling what is odd.
    room: usize,
    other: usize,
    odd: usize,
}

struct Link {
    at: u64,
    target: std::result::Result<Cleaned, &'static str>,
}

/// What to do with a member's content.
pub(super) enum Fate {
    /// Nothing.
    Pass,
    /// It is the content of this name.
    First(Name),
    /// This name was there before, with content at this place.
    Again(Name, Spot),
}

impl Maker {
    /// Takes in one member.
    pub fn take(&mut self, header: Header, spot: Spot) -> std::result::Result<Fate, Flaw> {
        let flaw = |why: String| Flaw::wrong(header.at, why);
        let table = &mut self.table;
        match judge::judge(&header).map_err(flaw)? {
            Verdict::File(name) => {
                let first = match &name {
                    Name::Marker => *table.marker.get_or_insert(spot),
                    Name::Index => *table.index.get_or_insert(spot),
                    Name::Blob(digest) => *table.blobs.entry(digest.clone()).or_insert(spot),
                };
                if first == spot {
                    return Ok(Fate::First(name));
                }
                if first.size != spot.size {
                    return Err(differ(&name, first.at - BLOCK, header.at));
                }
                return Ok(Fate::Again(name, first));
            }
            Verdict::Link(path, target) => {
                self.room += path.len() + target.as_ref().map_or(0, Vec::len) + 64;
                if self.room > MAX_LINKS {
                    return Err(flaw("it has too many links".into()));
                }
                match judge::link(&path) {
                    Some(Verdict::Blocks(path, why)) => {
                        table.blocks.insert(path, why);
                    }
                    Some(Verdict::Passed(path, found)) => self.passed(&path, found, true),
                    _ => {}
                }
                let link = self.links.entry(path).or_insert_with(|| Link { at: header.at, target: target.clone() });
                if link.target != target {
                    link.target = Err("two links of this name lead to different places");
                }
            }
            Verdict::Unfit(name, why) => {
                table.unfit.insert(name, why.into());
            }
            Verdict::Blocks(path, why) => {
                table.blocks.insert(path, why);
            }
            Verdict::Passed(path, found) => {
                self.passed(&path, found, header.flag != b'5');
                if judge::flag(&header) == b'0' {
                    self.other(path, spot);
                }
            }
        }
        Ok(Fate::Pass)
    }

    /// How many names of blobs it keeps, each of which takes memory.
    pub fn names(&self) -> u64 {
        (self.table.blobs.len() + self.table.unfit.len()) as u64
    }

    fn passed(&mut self, path: &[u8], found: Option<Found>, file: bool) {
        let table = &mut self.table;
        if file {
            table.docker |= path == b"manifest.json";
            table.repositories |= path == b"repositories";
            let below = path.strip_suffix(b"/oci-layout").or_else(|| path.strip_suffix(b"/index.json"));
            if let (Some(below), None) = (below, &table.below) {
                table.below = Some(String::from_utf8_lossy(below).into_owned());
            }
        }
        let Some(found) = found else { return };
        self.odd += path.len() + 128;
        match self.odd < MAX_ODD {
            true => table.odd.push(found),
            false => table.more += 1,
        }
    }

    /// Keeps in mind where a file lies that is no part of the layout: a link may lead there.
    fn other(&mut self, path: Cleaned, spot: Spot) {
        if let Some(before) = self.others.get_mut(&path) {
            *before = None;
            return;
        }
        self.other += path.len() + 96;
        if self.other <= MAX_OTHERS {
            self.others.insert(path, Some(spot));
        }
    }

    /// The table, with every link resolved, now that all targets are known.
    pub fn finish(mut self) -> std::result::Result<Table, Flaw> {
        let mut uses: BTreeMap<u64, usize> = BTreeMap::new();
        let blocked: BTreeSet<Name> = self.table.unfit.keys().cloned().collect();
        let (links, others) = (std::mem::take(&mut self.links), std::mem::take(&mut self.others));
        let table = &mut self.table;
        for name in blocked {
            if let Some(spot) = table.spot(&name) {
                return Err(Flaw::wrong(
                    spot.at - BLOCK,
                    format!("{name} is there twice, as a file and as a directory"),
                ));
            }
        }
        for (path, link) in &links {
            let Some(name) = judge::name(path) else { continue };
            let end = follow(&links, &others, table, path);
            if let Some(spot) = table.spot(&name) {
                // GNU tar writes a file that it meets twice as a link to itself.
                if end.as_ref().is_ok_and(|(end, _)| end.as_ref() == Some(&name)) {
                    continue;
                }
                return Err(differ(&name, (spot.at - BLOCK).min(link.at), (spot.at - BLOCK).max(link.at)));
            }
            let why = match (&name, end) {
                _ if table.unfit.contains_key(&name) => {
                    return Err(Flaw::wrong(link.at, format!("{name} is there twice, as a link and as a directory")));
                }
                (Name::Blob(digest), Ok((own, spot))) => {
                    let count = uses.entry(spot.at).or_default();
                    *count += 1;
                    if *count <= MAX_ALIASES {
                        match own {
                            Some(Name::Blob(own)) => drop(table.aliases.insert(digest.clone(), own)),
                            _ => drop(table.elsewhere.insert(digest.clone(), spot)),
                        }
                        continue;
                    }
                    format!("it is one of more than {MAX_ALIASES} links to one member")
                }
                (Name::Index, Ok((_, spot))) => {
                    table.index = Some(spot);
                    continue;
                }
                (Name::Marker, Ok((_, spot))) => {
                    table.marker = Some(spot);
                    continue;
                }
                (_, Err(why)) => format!("it is a link, and {why}"),
            };
            table.unfit.insert(name, why);
        }
        Ok(self.table)
    }
}

impl Table {
    fn spot(&self, name: &Name) -> Option<Spot> {
        match name {
            Name::Marker => self.marker,
            Name::Index => self.index,
            Name::Blob(digest) => self.blobs.get(digest).copied(),
        }
    }
}

/// The member that the link called `path` leads to, over at most [`MAX_HOPS`] links: its name where that matters, and where
/// it lies.
fn follow(
    links: &BTreeMap<Cleaned, Link>,
    others: &BTreeMap<Cleaned, Option<Spot>>,
    table: &Table,
    path: &[u8],
) -> std::result::Result<(Option<Name>, Spot), String> {
    let mut at = path;
    for _ in 0..MAX_HOPS {
        let Some(link) = links.get(at) else { break };
        at = link.target.as_ref().map_err(|why| (*why).to_owned())?;
        let name = judge::name(at);
        if let Some(spot) = name.as_ref().and_then(|name| table.spot(name)) {
            return Ok((name, spot));
        }
        let Some(other) = others.get(at) else { continue };
        // GNU tar writes a file that it meets twice as a link to itself.
        let linked = links.get(at).is_some_and(|link| link.target.as_deref() != Ok(at));
        return match other.filter(|_| !linked) {
            Some(spot) => Ok((None, spot)),
            None => Err(format!("it leads to {}, which is there twice", shown(at))),
        };
    }
    match links.contains_key(at) {
        true => Err(format!("it goes round in a circle or over more than {MAX_HOPS} links")),
        false => Err(format!("it leads to {}, which is no file in the archive", shown(at))),
    }
}

/// The flaw of two members with one name and different content (ARCHIVE-6).
pub(super) fn differ(name: &Name, first: u64, second: u64) -> Flaw {
    Flaw::wrong(second, format!("{name} is there twice with different content, at byte {first} and at byte {second}"))
}
