//! A segment: groups of rows in order of their keys, written once and never changed.
//!
//! Groups lie in blocks of a few kilobytes; a table at the end says where each starts, what key comes first in it
//! and what its checksum is. So a look-up reads the table once and then a block, and a torn or damaged file is
//! found out before it is believed.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use ocistow_layout::cabinet::{Drawer, Filling};

use super::row::{Key, Row, checksum, read_number, write_number};

/// How long a block is at least, but the last.
const BLOCK: usize = 4 << 10;
/// How much is written at a time.
const CHUNK: usize = 256 << 10;
/// The longest block read: a subject has its referrers in one.
const MAX_BLOCK: u64 = 1 << 30;
/// The longest table read.
const MAX_TABLE: u64 = 1 << 30;
const MAGIC: &[u8; 8] = b"ocistow1";
/// Magic, where the table starts, how many blocks there are, its checksum, and that of all of these.
const TRAILER: usize = 8 + 8 + 8 + 8 + 8;
/// How a block stands in the table: the start of its first key, where it starts, its checksum.
const ROW: usize = 8 + 8 + 8;

/// A segment being written: groups come in order of their keys.
pub struct Writer<'f, 'c> {
    to: &'f mut Filling<'c>,
    out: Vec<u8>,
    block: Vec<u8>,
    first: u64,
    /// Where the block starts.
    at: u64,
    table: Vec<u8>,
}

impl<'f, 'c> Writer<'f, 'c> {
    /// Starts writing.
    pub fn new(to: &'f mut Filling<'c>) -> Self {
        Self { to, out: Vec::new(), block: Vec::new(), first: 0, at: 0, table: Vec::new() }
    }

    /// Writes what is known under a key; nothing if there are no rows.
    pub fn group(&mut self, key: &Key, rows: &[Row]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.block.is_empty() {
            self.first = start(key);
        }
        let mut bytes = Vec::new();
        rows.iter().for_each(|row| row.write(&mut bytes));
        self.block.extend_from_slice(key);
        write_number(bytes.len() as u64, &mut self.block);
        self.block.append(&mut bytes);
        if self.block.len() >= BLOCK { self.cut() } else { Ok(()) }
    }

    fn cut(&mut self) -> io::Result<()> {
        self.table.extend(self.first.to_be_bytes());
        self.table.extend(self.at.to_le_bytes());
        self.table.extend(checksum(&self.block));
        self.at += self.block.len() as u64;
        self.out.append(&mut self.block);
        if self.out.len() >= CHUNK {
            self.to.write(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    /// Writes what is left; the checksum by which the segment is known, and its length.
    pub fn finish(mut self) -> io::Result<([u8; 8], u64)> {
        if !self.block.is_empty() {
            self.cut()?;
        }
        let mut end = Vec::from(MAGIC);
        end.extend(self.at.to_le_bytes());
        end.extend(((self.table.len() / ROW) as u64).to_le_bytes());
        end.extend(checksum(&self.table));
        let check = checksum(&end);
        end.extend(check);
        self.out.append(&mut self.table);
        self.out.append(&mut end);
        self.to.write(&self.out)?;
        Ok((check, self.to.len()))
    }
}

fn start(key: &Key) -> u64 {
    u64::from_be_bytes(*key.first_chunk().expect("a key is longer than that"))
}

/// A segment that can be read.
pub struct Segment {
    drawer: Drawer,
    table: Vec<u8>,
    /// Where the table starts, which is where the blocks end.
    end: u64,
    /// The block that was read last: looks come in order, mostly.
    last: RefCell<Option<(usize, Rc<Vec<u8>>)>>,
}

impl Segment {
    /// Opens a segment; `None` where it is torn, damaged or another one than that with this checksum.
    pub fn open(drawer: Drawer, check: [u8; 8]) -> Option<Self> {
        let at = drawer.len().checked_sub(TRAILER as u64)?;
        let mut end = [0; TRAILER];
        drawer.read(&mut end, at).ok()?;
        let (said, own) = end.split_at(TRAILER - 8);
        let known = said.starts_with(MAGIC) && own == check && checksum(said) == check;
        let number = |from: usize| Some(u64::from_le_bytes(*said.get(from..)?.first_chunk()?));
        let (start, blocks) = (number(8)?, number(16)?);
        let len = blocks.checked_mul(ROW as u64).filter(|len| *len <= MAX_TABLE)?;
        if !known || start.checked_add(len)? != at {
            return None;
        }
        let mut table = vec![0; usize::try_from(len).ok()?];
        drawer.read(&mut table, start).ok()?;
        let right = said.ends_with(&checksum(&table));
        right.then(|| Self { drawer, table, end: start, last: RefCell::default() })
    }

    /// The length of the file.
    pub fn len(&self) -> u64 {
        self.drawer.len()
    }

    fn blocks(&self) -> usize {
        self.table.len() / ROW
    }

    /// Where a block starts, and its checksum; for the one behind the last, where that ends.
    fn place(&self, block: usize) -> (u64, [u8; 8]) {
        match self.table.get(block * ROW + 8..).map(<[u8]>::as_chunks::<8>) {
            Some(([at, check, ..], _)) => (u64::from_le_bytes(*at), *check),
            _ => (self.end, [0; 8]),
        }
    }

    fn block(&self, block: usize) -> Option<Rc<Vec<u8>>> {
        if let Some((at, bytes)) = &*self.last.borrow()
            && *at == block
        {
            return Some(Rc::clone(bytes));
        }
        let (at, check) = self.place(block);
        let (end, _) = self.place(block + 1);
        let len = end.checked_sub(at).filter(|len| *len <= MAX_BLOCK && end <= self.end)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.drawer.read(&mut bytes, at).ok()?;
        if checksum(&bytes) != check {
            return None;
        }
        let bytes = Rc::new(bytes);
        *self.last.borrow_mut() = Some((block, Rc::clone(&bytes)));
        Some(bytes)
    }

    /// The only block that may have a key; `None` in it where there is none. `None` where the segment is damaged.
    fn holding(&self, key: &Key) -> Option<Option<Rc<Vec<u8>>>> {
        // A search may read many others.
        if let Some((_, bytes)) = &*self.last.borrow()
            && spans(bytes, key)?
        {
            return Some(Some(Rc::clone(bytes)));
        }
        let start = start(key);
        let (table, _) = self.table.as_chunks::<ROW>();
        // It may be in the last block that starts before it, or in one of several that start alike: in the last whose
        // first key is not behind it. An enemy's digests start alike as often as he likes.
        let mut block = table.partition_point(|row| first(row) < start).saturating_sub(1);
        let mut behind = table.partition_point(|row| first(row) <= start);
        while behind > block + 1 {
            let middle = block + (behind - block) / 2;
            let (own, _) = group(&mut &self.block(middle)?[..])?;
            if own <= *key { block = middle } else { behind = middle }
        }
        if block == self.blocks() { Some(None) } else { self.block(block).map(Some) }
    }

    /// Adds what is known under a key to `rows`. `None` where the segment is damaged.
    pub fn get(&self, key: &Key, rows: &mut Vec<Row>) -> Option<()> {
        let Some(bytes) = self.holding(key)? else { return Some(()) };
        let mut rest: &[u8] = &bytes;
        while !rest.is_empty() {
            let (own, group) = group(&mut rest)?;
            if own == *key {
                rows.extend(Row::read_all(group)?);
                break;
            }
        }
        Some(())
    }

    /// All groups, in order of their keys.
    pub fn groups(&self) -> Groups<'_> {
        Groups { segment: self, block: 0, bytes: Vec::new(), at: 0 }
    }
}

/// What the first key of a block starts with, by its row of the table.
fn first(row: &[u8; ROW]) -> u64 {
    u64::from_be_bytes(*row.first_chunk().expect("a row is longer than that"))
}

/// Whether a key is in a block, or would be behind its first and in front of its last: then it is in no other.
fn spans(mut bytes: &[u8], key: &Key) -> Option<bool> {
    let mut begun = false;
    while !bytes.is_empty() {
        let (own, _) = group(&mut bytes)?;
        if own >= *key {
            return Some(begun || own == *key);
        }
        begun = true;
    }
    Some(false)
}

fn group<'b>(bytes: &mut &'b [u8]) -> Option<(Key, &'b [u8])> {
    let (key, rest) = bytes.split_first_chunk::<32>()?;
    *bytes = rest;
    let len = usize::try_from(read_number(bytes)?).ok()?;
    let (group, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some((*key, group))
}

/// The groups of a segment, one after the other.
pub struct Groups<'s> {
    segment: &'s Segment,
    /// The next block.
    block: usize,
    bytes: Vec<u8>,
    at: usize,
}

impl Groups<'_> {
    /// The next group; `Some(None)` behind the last, `None` where the segment is damaged.
    pub fn next(&mut self) -> Option<Option<(Key, Vec<Row>)>> {
        if self.at == self.bytes.len() {
            if self.block == self.segment.blocks() {
                return Some(None);
            }
            self.bytes = self.segment.block(self.block)?.to_vec();
            self.at = 0;
            self.block += 1;
        }
        let mut rest = &self.bytes[self.at..];
        let (key, rows) = group(&mut rest)?;
        let rows = Row::read_all(rows)?;
        self.at = self.bytes.len() - rest.len();
        Some(Some((key, rows)))
    }
}
