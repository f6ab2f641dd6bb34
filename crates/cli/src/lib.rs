//! The command line of ocistow, as a library, so that tests can run commands in their own process.
//!
//! This crate speaks: it alone prints, reads words and knows exit codes. What is done is layout's, what
//! is decided is graph's.

pub mod again;
pub mod args;
pub mod arrival;
pub mod carried;
pub mod changes;
pub mod code;
pub mod commands;
mod declared;
pub mod destination;
pub mod document;
pub mod drawn;
pub mod duration;
pub mod entering;
pub mod imported;
pub mod instant;
pub mod landed;
pub mod location;
pub mod look;
pub mod meanwhile;
mod mending;
pub mod node;
pub mod outgoing;
pub mod placed;
pub mod progress;
pub mod shown;
pub mod speak;
pub mod world;

use std::ffi::OsString;

use world::World;

/// Runs one command line, the program's name first, and returns its exit code. Everything it says has
/// gone to the streams of `world` by then.
pub fn run(args: impl IntoIterator<Item = OsString>, world: &World) -> u8 {
    let words: Vec<OsString> = args.into_iter().collect();
    let code = match args::parse(&words, world) {
        Err(code) => code,
        Ok(cli) => {
            let context = speak::Context::new(world, &cli.global);
            match cli.command.run(&context) {
                Ok(code) => code,
                Err(error) => context.fail(&error),
            }
        }
    };
    code.number()
}
