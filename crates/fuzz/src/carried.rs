//! What is exported from a layout, and what comes of reading that again.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use ocistow_graph::{Graph, Plan, Request, bundle, plan};
use ocistow_layout::archive::{Compression, Options, StreamSink};
use ocistow_layout::carry::carry;
use ocistow_layout::memory::Memory;
use ocistow_layout::{Result, Sink, Source, Unwatched, checked};

use crate::LOAD;

/// Everything a layout has.
pub fn everything() -> Request {
    Request { referrers: true, ..Request::default() }
}

/// What a bundle of everything would be.
pub fn planned(source: &dyn Source) -> Result<Plan> {
    plan::export(&Graph::load(source, LOAD, &Unwatched)?, source, &everything())
}

/// The bundle, written to a stream.
pub fn written(source: &dyn Source, plan: &Plan, compression: Compression) -> Result<Vec<u8>> {
    let out = Shared::default();
    let options = Options { compression, threads: 1, ..Options::default() };
    let writing = Box::new(StreamSink::new(Box::new(out.clone()), options)).begin(plan.outline(Vec::new()))?;
    let blobs: Vec<_> = plan.order().cloned().collect();
    carry(source, writing, &blobs, &plan.inline, 1, &Unwatched)?;
    let bytes = out.0.lock().unwrap();
    Ok(bytes.clone())
}

/// The bundle, in memory; `None` where something that goes along is not what it should be.
pub fn in_memory(layout: &Memory, plan: &Plan) -> Option<Memory> {
    let mut bundle = Memory { index: plan.bundle_index(), ..Memory::default() };
    for blob in plan.order() {
        let bytes = match plan.inline.get(&blob.digest) {
            Some(bytes) => bytes.clone(),
            None => checked::read(layout, &blob.digest, u64::MAX).ok()?.unwrap(),
        };
        assert_eq!(bytes.len() as u64, blob.size);
        bundle.blobs.insert(blob.digest.clone(), bytes);
    }
    Some(bundle)
}

/// Bytes that a writer of its own thread and we both have.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A bundle made of a layout reaches what it declares and makes itself again; planning twice gives the same.
#[track_caller]
pub fn settled(source: &dyn Source, first: &Plan, read: &dyn Source) {
    assert_eq!(planned(source).as_ref().ok(), Some(first), "planning again gives the same");
    let again = planned(read).unwrap();
    assert_eq!(again.bundle(), first.bundle(), "a bundle makes itself again");
    assert_eq!(again.missing, first.missing);
    assert_eq!(bundle::carries_mismatch(&read.index().unwrap(), again.order()), None);
    let names = |plan: &Plan| plan.order().cloned().collect::<Vec<_>>();
    assert_eq!(names(&again), names(first), "what was carried is carried again");
}
