//! The headers of one member, as we write them: ustar, and PAX records only where something does not fit.

use super::header::BLOCK;
use super::offsets::padding;

/// The first size that a ustar header has no digits for (ARCHIVE-20).
const BEYOND_USTAR: u64 = 8 << 30;
/// The room for a name in a ustar header, and for what stands before it.
const NAME: usize = 100;
const PREFIX: usize = 155;

/// What is said of a member.
pub(crate) struct Heading<'m> {
    pub name: &'m [u8],
    pub sort: Sort<'m>,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: u64,
}

/// What a member is.
#[derive(Clone, Copy)]
pub(crate) enum Sort<'m> {
    /// A file of this length.
    File(u64),
    Directory,
    /// A symbolic link to this.
    Link(&'m [u8]),
    /// Records that the next header has no room for, of this length.
    Pax(u64),
}

impl<'m> Heading<'m> {
    /// A file or directory of an archive of a layout: the same for everybody.
    pub fn plain(name: &'m str, sort: Sort<'m>) -> Self {
        let mode = if let Sort::Directory = sort { 0o755 } else { 0o644 };
        Self { name: name.as_bytes(), sort, mode, mtime: 0 }
    }

    /// The headers: one ustar header, and PAX records before it only where name, target or size need them.
    pub fn head(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let split = split(self.name);
        if split.is_none() {
            records.extend(record(b"path", self.name));
        }
        if let Sort::Link(target) = self.sort
            && target.len() > NAME
        {
            records.extend(record(b"linkpath", target));
        }
        if let Sort::File(size) = self.sort
            && size >= BEYOND_USTAR
        {
            records.extend(record(b"size", size.to_string().as_bytes()));
        }
        let mut head = Vec::new();
        if !records.is_empty() {
            let last = self.name.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty()).unwrap_or(self.name);
            let name = [b"PaxHeaders.0/", last].concat();
            let pax = Heading { name: &name, sort: Sort::Pax(records.len() as u64), mode: 0o644, mtime: 0 };
            head.extend(pax.ustar((b"", cut(&name))));
            head.extend(&records);
            head.extend(padding(records.len() as u64));
        }
        head.extend(self.ustar(split.unwrap_or((b"", cut(self.name)))));
        head
    }

    fn ustar(&self, (prefix, name): (&[u8], &[u8])) -> [u8; BLOCK as usize] {
        let mut header = tar::Header::new_ustar();
        let (flag, size, target) = match self.sort {
            Sort::File(size) => (tar::EntryType::Regular, size, &b""[..]),
            Sort::Directory => (tar::EntryType::Directory, 0, &b""[..]),
            Sort::Link(target) => (tar::EntryType::Symlink, 0, cut(target)),
            Sort::Pax(size) => (tar::EntryType::XHeader, size, &b""[..]),
        };
        header.set_entry_type(flag);
        header.set_mode(self.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(if size < BEYOND_USTAR { size } else { 0 });
        if let Some(ustar) = header.as_ustar_mut() {
            ustar.name[..name.len()].copy_from_slice(name);
            ustar.prefix[..prefix.len()].copy_from_slice(prefix);
            ustar.linkname[..target.len()].copy_from_slice(target);
        }
        header.set_cksum();
        *header.as_bytes()
    }
}

/// A name as ustar has it: what is before some slash and what is behind it. `None` where it does not fit.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME {
        return Some((b"", name));
    }
    let slash = (1..name.len().min(PREFIX + 1)).rev().find(|at| name[*at] == b'/' && at + 1 < name.len())?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (rest.len() <= NAME).then_some((prefix, rest))
}

/// As much of a name as a header has room for, for readers that do not know PAX.
fn cut(name: &[u8]) -> &[u8] {
    &name[..name.len().min(NAME)]
}

/// One PAX record: its own length in front of it, in decimal digits that count themselves.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key, b"=", value, b"\n"].concat();
    let mut length = rest.len();
    while rest.len() + length.to_string().len() != length {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}
