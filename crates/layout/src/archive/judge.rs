//! What a member of an archive is to us: decided here and nowhere else, for every way of reading.

use std::fmt;

use crate::archive::header::{Header, MAX_NAME};
use crate::digest::Digest;
use crate::source::Found;
use crate::stray;

/// A name that matters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// `oci-layout`
    Marker,
    /// `index.json`
    Index,
    /// `blobs/<algorithm>/<encoded>`
    Blob(Digest),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Marker => f.write_str("oci-layout"),
            Self::Index => f.write_str("index.json"),
            Self::Blob(digest) => f.write_str(&digest.path()),
        }
    }
}

/// A cleaned name: parts joined by single slashes, without `.` and `..`; empty for the root.
pub(super) type Cleaned = Vec<u8>;

/// What a member is.
pub(super) enum Verdict {
    /// A file that matters.
    File(Name),
    /// A link by any name. Where it leads, or why that is nowhere in the archive.
    Link(Cleaned, Result<Cleaned, &'static str>),
    /// Something under a name that matters that can be no file.
    Unfit(Name, &'static str),
    /// Something that stands where a directory of blobs has to be.
    Blocks(Cleaned, &'static str),
    /// Nothing we need; perhaps worth telling.
    Passed(Cleaned, Option<Found>),
}

/// Says what the member is, or why the archive is refused because of it.
pub(super) fn judge(header: &Header) -> Result<Verdict, String> {
    // Python calls the root of a tree so.
    let root = header.name == b"/" && header.flag == b'5';
    let path = clean(if root { b"" } else { &header.name })?;
    let flag = flag(header);
    let sort = match flag {
        b'0' if path.is_empty() => return Err("a file without a name".into()),
        b'0' => return Ok(file(path)),
        b'1' | b'2' | b'5' if header.size > 0 => {
            // Readers disagree about whether content follows.
            return Err(format!("{}, a link or directory, claims {} bytes", shown(&path), header.size));
        }
        b'1' => return Ok(Verdict::Link(path, inside(&header.target, &[]))),
        b'2' => {
            let from = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash);
            let target = inside(&header.target, &path[..from]);
            return Ok(Verdict::Link(path, target));
        }
        b'5' => return Ok(directory(path)),
        b'V' => return Ok(Verdict::Passed(path, None)),
        b'3' | b'4' => "a device",
        b'6' => "a FIFO",
        b'S' => "a sparse member",
        b'M' => "a member continued from another volume",
        _ => return Err(format!("{} is of an unknown type {:?}", shown(&path), char::from(flag))),
    };
    Err(format!("{} is {sort}", shown(&path)))
}

/// What a member is, as tar says it today. Old tars mark a directory by a slash alone.
pub(super) fn flag(header: &Header) -> u8 {
    match header.flag {
        0 | b'0' | b'7' if header.name.last() == Some(&b'/') => b'5',
        0 | b'7' => b'0',
        flag => flag,
    }
}

/// A member's name without leading `./` and doubled slashes. `Err` where it could lead out (ARCHIVE-5).
pub(super) fn clean(name: &[u8]) -> Result<Cleaned, String> {
    let bad = |why: &str| Err(format!("the name {} {why}", shown(name)));
    if name.len() > MAX_NAME {
        return bad("is too long");
    }
    if name.contains(&0) || name.contains(&b'\\') {
        return bad("has a NUL or a backslash");
    }
    if name.first() == Some(&b'/') || matches!(name, [drive, b':', ..] if drive.is_ascii_alphabetic()) {
        return bad("is absolute");
    }
    let mut path = Vec::with_capacity(name.len());
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return bad("leads out of its directory"),
            part => push(&mut path, part),
        }
    }
    Ok(path)
}

/// Where a link in the directory `from` leads, if that is inside the archive.
fn inside(target: &[u8], from: &[u8]) -> Result<Cleaned, &'static str> {
    if target.is_empty() || target.len() > MAX_NAME || target.contains(&0) || target.contains(&b'\\') {
        return Err("its target is no name");
    }
    if target[0] == b'/' || matches!(target, [drive, b':', ..] if drive.is_ascii_alphabetic()) {
        return Err("it leaves the archive");
    }
    let mut path = from.to_vec();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if path.is_empty() => return Err("it leaves the archive"),
            b".." => path.truncate(path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            part => push(&mut path, part),
        }
    }
    Ok(path)
}

fn push(path: &mut Cleaned, part: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(part);
}

/// The name that matters that a cleaned path is, if it is one.
pub(super) fn name(path: &[u8]) -> Option<Name> {
    match path {
        b"oci-layout" => Some(Name::Marker),
        b"index.json" => Some(Name::Index),
        _ => blob(path).and_then(Result::ok).map(Name::Blob),
    }
}

/// The digest that `blobs/<algorithm>/<encoded>` names, or why it names none; `None` where the path has
/// another shape.
fn blob(path: &[u8]) -> Option<Result<Digest, String>> {
    let mut parts = path.strip_prefix(b"blobs/")?.split(|byte| *byte == b'/');
    let (algorithm, encoded) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let text = [String::from_utf8_lossy(algorithm), String::from_utf8_lossy(encoded)].join(":");
    Some(text.parse::<Digest>().map_err(|why| why.to_string()))
}

/// Whether blobs, or the blobs of one algorithm, have to be below this path.
fn holds_blobs(path: &[u8]) -> bool {
    path == b"blobs"
        || path.strip_prefix(b"blobs/").is_some_and(|rest| !rest.contains(&b'/') && !rest.starts_with(b"."))
}

fn file(path: Cleaned) -> Verdict {
    if let Some(name) = name(&path) {
        return Verdict::File(name);
    }
    if path == b"blobs" {
        return Verdict::Blocks(path, "a file, not a directory");
    }
    let text = String::from_utf8_lossy(&path).into_owned();
    let found = if stray::known(&text) {
        None
    } else if let Some(Err(why)) = blob(&path) {
        Some(Found::Unfit(text, why))
    } else if path.starts_with(b"blobs/") {
        Some(Found::Unfit(text, "no blob has such a name".into()))
    } else {
        Some(Found::Stray(text))
    };
    Verdict::Passed(path, found)
}

fn directory(path: Cleaned) -> Verdict {
    if let Some(name) = name(&path) {
        return Verdict::Unfit(name, "it is a directory");
    }
    let text = String::from_utf8_lossy(&path).into_owned();
    let odd = path.starts_with(b"blobs/") && !holds_blobs(&path) && !stray::known(&text);
    let found = odd.then(|| Found::Unfit(text, "it is a directory".into()));
    Verdict::Passed(path, found)
}

/// What becomes of a link that has no name that matters.
pub(super) fn link(path: &[u8]) -> Option<Verdict> {
    if holds_blobs(path) {
        return Some(Verdict::Blocks(path.to_vec(), "a link; links to directories are not followed"));
    }
    match file(path.to_vec()) {
        passed @ Verdict::Passed(..) => Some(passed),
        _ => None,
    }
}

/// Quotes a hostile name for a message: escaped and cut.
pub(super) fn shown(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(name).chars().take(120).collect();
    format!("{text:?}")
}
