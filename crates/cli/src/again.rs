//! Deciding again when somebody else has changed what it was decided on.

use ocistow_layout::transaction::Transaction;
use ocistow_layout::{Error, Kind, Result};

use crate::speak::Context;

/// How often somebody else may change what is decided on.
const TRIES: usize = 20;

/// What is decided again and again, but not for ever.
pub struct Again<'c> {
    context: &'c Context<'c>,
    left: usize,
}

impl<'c> Again<'c> {
    /// The first time is still to come.
    pub fn new(context: &'c Context<'c>) -> Self {
        Self { context, left: TRIES }
    }

    /// Whether to decide again, after `why`: `Err` with just that where it is no conflict, or the last of many.
    pub fn after(&mut self, why: Error) -> Result<()> {
        if why.kind() != Kind::Conflict || self.left == 0 {
            return Err(why);
        }
        self.left -= 1;
        self.context.log(&format!("{}: deciding again", why.chain()));
        Ok(())
    }

    /// The same, and from now on nobody else of ours changes it until the transaction is over: who is overtaken once by
    /// each of many others would never be done.
    pub fn undisturbed_after(&mut self, why: Error, transaction: &mut Transaction<'_>) -> Result<()> {
        self.after(why)?;
        transaction.keep_index()
    }
}
