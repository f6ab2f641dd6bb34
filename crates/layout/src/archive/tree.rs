//! A directory out of a tar: what each member is to whoever writes it to a disk.
//!
//! The tar is an enemy's. No name leads out of the directory, and no link: a target goes up at its start only, and
//! never further than to the directory, so that what is behind it lies inside, whatever else is a link.

use std::io::Read;

use super::header::{BLOCK, Flaw, Header, Headers, MAX_NAME, Why};
use super::judge::shown;
use super::tape::Stream;
use super::walk::{Body, only_zeros};
use crate::error::{Error, Kind, Result};
use crate::source::Watch;
use crate::title::{MAX_COMPONENT, Title};

/// A member of a directory.
pub(crate) struct Branch {
    /// Where it lies in the directory: the names of directories, and its own; none for the directory itself.
    pub path: Vec<Vec<u8>>,
    /// What it is.
    pub sort: Sort,
    /// Its permission bits.
    pub mode: u32,
}

/// What a member is.
pub(crate) enum Sort {
    Directory,
    /// A file with content.
    File,
    /// A symbolic link to this.
    Link(Vec<u8>),
    /// The file that lies at this other place.
    Same(Vec<Vec<u8>>),
}

/// Reads a tar of the directory called `title`, and hands out every member and its content in order. What `each`
/// leaves unread is passed over.
///
/// `Ok` means that the tar is whole. Integrity where it is cut or damaged, or a member is not below `title`, leads
/// out, or can be no part of a directory.
pub(crate) fn members(
    reader: &mut (dyn Read + Send),
    title: &Title,
    watch: &dyn Watch,
    each: &mut dyn FnMut(Branch, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let told = |flaw: Flaw| {
        let what = format!("could not unpack {title}");
        match flaw.why {
            Why::Wrong(why) => Error::new(Kind::Integrity, what).because(format!("at byte {}: {why}", flaw.at)),
            Why::Unread(why) => Error::new(Kind::Failed, what).because(why),
        }
    };
    let (mut tape, mut headers, mut at) = (Stream::buffered(reader), Headers::default(), 0);
    loop {
        watch.go_on()?;
        let (header, next) = headers.next(&mut tape, at).map_err(told)?;
        let Some(header) = header else {
            return only_zeros(&mut tape, next, watch).map_err(told)?;
        };
        let branch = branch(&header, title).map_err(|why| told(Flaw::wrong(header.at, why)))?;
        let end = header.size.checked_next_multiple_of(BLOCK).and_then(|padded| next.checked_add(padded));
        let end = end.ok_or_else(|| told(Flaw::wrong(header.at, "its size reaches beyond any archive")))?;
        let mut left = header.size;
        each(branch, &mut Body { tape: &mut tape, left: &mut left })?;
        let rest = end - next - (header.size - left);
        let got = std::io::copy(&mut Read::take(&mut tape, rest), &mut std::io::sink());
        match got.map_err(|why| told(Flaw::unread(end - rest, why)))? {
            got if got < rest => return Err(told(Flaw::cut(end - rest + got))),
            _ => at = end,
        }
    }
}

/// What a member is, or why the directory is refused because of it.
fn branch(header: &Header, title: &Title) -> std::result::Result<Branch, String> {
    let path = below(&header.name, title)?;
    // Old tars mark a directory by a slash alone.
    let slash = header.name.last() == Some(&b'/');
    let sort = match header.flag {
        0 | b'0' | b'7' if !slash => Sort::File,
        0 | b'0' | b'7' | b'5' => Sort::Directory,
        b'1' => Sort::Same(below(&header.target, title)?),
        b'2' => Sort::Link(inside(&header.target, path.len())?),
        b'3' | b'4' => return Err(format!("{} is a device", shown(&header.name))),
        b'6' => return Err(format!("{} is a FIFO", shown(&header.name))),
        b'S' => return Err(format!("{} is a sparse member", shown(&header.name))),
        flag => return Err(format!("{} is of an unknown type {:?}", shown(&header.name), char::from(flag))),
    };
    if header.size > 0 && !matches!(sort, Sort::File) {
        // Readers disagree about whether content follows.
        return Err(format!("{}, a link or directory, claims {} bytes", shown(&header.name), header.size));
    }
    if path.is_empty() && !matches!(sort, Sort::Directory) {
        return Err(format!("{} is no directory", shown(&header.name)));
    }
    Ok(Branch { path, sort, mode: header.mode & 0o777 })
}

/// The names behind those of the title. `Err` where a member does not lie there, or could lead out.
fn below(name: &[u8], title: &Title) -> std::result::Result<Vec<Vec<u8>>, String> {
    let bad = |why: &str| format!("the name {} {why}", shown(name));
    if name.is_empty() || name.len() > MAX_NAME || name.contains(&0) {
        return Err(bad("is no name of a file"));
    }
    if name[0] == b'/' {
        return Err(bad("is absolute"));
    }
    let mut names = name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    if names.clone().any(|part| part == b"..") {
        return Err(bad("leads upwards"));
    }
    if names.clone().any(|part| part.len() > MAX_COMPONENT) {
        return Err(bad("is too long"));
    }
    if !title.names().all(|own| names.next() == Some(own.as_bytes())) {
        return Err(bad(&format!("does not lie in {:?}", title.as_str())));
    }
    Ok(names.map(<[u8]>::to_vec).collect())
}

/// The target of a link that lies `depth` names below the directory, if that can only lead to what is inside.
fn inside(target: &[u8], depth: usize) -> std::result::Result<Vec<u8>, String> {
    match link_inside(target, depth) {
        true => Ok(target.to_vec()),
        false => Err(format!("a link to {} may lead out of the directory", shown(target))),
    }
}

/// Whether a link that lies `depth` names below a directory, its own included, can only lead to what is in that
/// directory: it is relative, and goes up at its start only.
pub(crate) fn link_inside(target: &[u8], depth: usize) -> bool {
    if target.is_empty() || target.len() > MAX_NAME || target.contains(&0) || target[0] == b'/' {
        return false;
    }
    let names = target.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let up = names.clone().take_while(|part| *part == b"..").count();
    up < depth.max(1) && !names.skip(up).any(|part| part == b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_goes_up_at_its_start_and_never_out() {
        let inside: &[(&[u8], usize)] =
            &[(b"a", 1), (b"./a", 1), (b"a/b", 1), (b"../a", 2), (b"..", 2), (b"../../a", 3), (b"...", 1), (b".", 1)];
        for (target, depth) in inside {
            assert!(link_inside(target, *depth), "{} at {depth}", String::from_utf8_lossy(target));
        }
        let out: &[(&[u8], usize)] = &[
            (b"", 1),
            (b"/a", 3),
            (b"..", 1),
            (b"../a", 1),
            (b"a/..", 1),
            (b"a/../b", 3),
            (b"../../a", 2),
            (b"a\0", 1),
        ];
        for (target, depth) in out {
            assert!(!link_inside(target, *depth), "{} at {depth}", String::from_utf8_lossy(target));
        }
    }

    #[test]
    fn members_lie_below_their_title() {
        let text = |name: &[u8], title: &str| {
            let names = below(name, &Title::parse(title).unwrap())?;
            Ok(String::from_utf8(names.join(&b'/')).unwrap())
        };
        let right: &[(&[u8], &str, &str)] = &[
            (b"d/a", "d", "a"),
            (b"./d//a/./b/", "d", "a/b"),
            (b"d", "d", ""),
            (b"x/d/a\\b", "x/d", "a\\b"),
            (b"a", ".", "a"),
            (b"./", ".", ""),
        ];
        for (name, title, expected) in right {
            assert_eq!(text(name, title), Ok((*expected).to_owned()));
        }
        let long = [b"d/".as_slice(), &[b'x'; 256]].concat();
        let wrong: &[(&[u8], &str)] = &[
            (b"/d/a", "d"),
            (b"d/../a", "d"),
            (b"e/a", "d"),
            (b"dd/a", "d"),
            (b"a", "x/a"),
            (b"d/\0", "d"),
            (&long, "d"),
        ];
        for (name, title) in wrong {
            let found: std::result::Result<String, String> = text(name, title);
            assert!(found.is_err(), "{} in {title}", String::from_utf8_lossy(name));
        }
    }
}
