//! End to end: the program as users run it, on files as other tools write them.

mod bombs;
mod guide;
mod hostile;
mod interop;
mod making;
mod odd;
mod readme;
mod run;
mod samples;
mod stop;
mod tidy;
mod walk;
