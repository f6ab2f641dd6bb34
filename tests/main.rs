//! End to end: the program as users run it, on files as other tools write them.

mod docker;
mod guide;
mod hostile;
mod interop;
mod making;
mod naming;
mod odd;
mod readme;
mod referrers;
mod run;
mod samples;
mod stop;
mod tidy;
mod walk;
