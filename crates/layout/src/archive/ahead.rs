//! Unpacking in a thread of its own, ahead of whoever hashes and writes.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::Scope;

use crate::error::Result;
use crate::threads::start;

/// How much is handed over at a time.
const PIECE: usize = 256 << 10;
/// How many pieces are on their way: all the memory this takes.
const PIECES: usize = 4;

/// A stream that another thread reads ahead.
pub(super) struct Ahead {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

/// Reads `reader` ahead in a thread of `scope`, which ends with the stream or once the result is dropped.
/// Failed where there is no thread to be had.
pub(super) fn ahead<'scope>(scope: &'scope Scope<'scope, '_>, mut reader: impl Read + Send + 'scope) -> Result<Ahead> {
    let (give, full) = sync_channel(PIECES);
    let (empty, take) = channel::<Vec<u8>>();
    for _ in 0..PIECES {
        empty.send(Vec::new()).expect("its other end is here");
    }
    start(scope, move || {
        while let Ok(mut piece) = take.recv() {
            piece.resize(PIECE, 0);
            let mut got = 0;
            let end = loop {
                match reader.read(&mut piece[got..]) {
                    Ok(0) => break Some(Ok(Vec::new())),
                    Ok(n) => got += n,
                    Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                    Err(why) => break Some(Err(why)),
                }
                if got == piece.len() {
                    break None;
                }
            };
            piece.truncate(got);
            // Nobody waits any more: then there is nobody to tell either.
            let told = give.send(Ok(piece)).is_ok();
            match end {
                Some(end) if told => return drop(give.send(end)),
                None if told => {}
                _ => return,
            }
        }
    })?;
    Ok(Ahead { full, empty, piece: Vec::new(), at: 0 })
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.piece.len() {
            // An empty piece is the end, and so is that nobody sends any more.
            let Ok(next) = self.full.recv() else { break };
            let used = std::mem::replace(&mut self.piece, next?);
            self.at = 0;
            self.empty.send(used).ok();
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, n: usize) {
        self.at += n;
    }
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.fill_buf()?.read(buf)?;
        self.consume(got);
        Ok(got)
    }
}
