//! `ocistow`: a local OCI image-layout store and toolkit that works offline.

use std::process::ExitCode;

use ocistow::world::World;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

fn main() -> ExitCode {
    let world = match World::of_process() {
        Ok(world) => world,
        Err(why) => {
            eprintln!("error: could not use standard input and output: {why}");
            return ExitCode::FAILURE;
        }
    };
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal finds the flag down, passes by and raises it; the second
        // finds it up and ends the process at once.
        let at_once = flag::register_conditional_shutdown(signal, 130, world.stop.clone());
        if let Err(why) = at_once.and_then(|_| flag::register(signal, world.stop.clone())) {
            eprintln!("warning: could not watch for signal {signal}: {why}");
        }
    }
    ExitCode::from(ocistow::run(std::env::args_os(), &world))
}
