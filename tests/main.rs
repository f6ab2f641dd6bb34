//! End to end: the program as users run it, on files as other tools write them.

mod bombs;
mod change;
mod clock;
mod crowd;
mod docker;
mod guide;
mod hostile;
mod interop;
mod kill;
mod making;
mod mount;
mod naming;
mod odd;
mod readme;
mod referrers;
mod run;
mod samples;
mod scarce;
#[path = "../crates/cli/tests/stage/mod.rs"]
mod stage;
mod stop;
mod strike;
mod tidy;
mod traps;
mod walk;
mod workdir;
