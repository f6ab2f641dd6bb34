//! End to end: the program as users run it, on files as other tools write them.

mod hostile;
mod interop;
mod odd;
mod readme;
mod run;
mod samples;
mod stop;
mod tidy;
mod walk;
