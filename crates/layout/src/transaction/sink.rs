//! A layout in a directory as a sink.

use std::path::PathBuf;

use super::{Options, Transaction};
use crate::error::Result;
use crate::source::{Blob, Content, Done, IndexChange, Outline, Sink, Writing};

/// A layout in a directory as a sink.
pub struct DirectorySink<'a> {
    /// Where.
    pub path: PathBuf,
    /// How.
    pub options: Options<'a>,
}

struct DirectoryWriting<'a> {
    transaction: Transaction<'a>,
    outline: Outline,
}

impl<'a> Sink<'a> for DirectorySink<'a> {
    /// As [`Transaction::begin`]. Members beside the layout are written by archives only.
    fn begin(self: Box<Self>, outline: Outline) -> Result<Box<dyn Writing + 'a>> {
        let transaction = Transaction::begin(&self.path, self.options)?;
        Ok(Box::new(DirectoryWriting { transaction, outline }))
    }
}

impl Writing for DirectoryWriting<'_> {
    fn put(&self, blob: &Blob, content: Content<'_>) -> Result<()> {
        self.transaction.put(blob, content)
    }

    fn ordered(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>) -> Result<Done> {
        let Self { mut transaction, outline } = *self;
        match outline.index {
            IndexChange::New(bytes) => transaction.publish_new(&outline.blobs, bytes),
            IndexChange::Edits(edits) => transaction.publish(&outline.blobs, &edits),
        }
    }
}
