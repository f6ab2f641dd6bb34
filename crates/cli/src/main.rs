//! `ocistow`: a local OCI image-layout store and toolkit that works offline.

use std::process::ExitCode;

use ocistow::world::World;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
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
    // Once a terminal is gone the kernel and the shell each say so: only what else is sent ends the process at once.
    if hangs_up()
        && let Err(why) = flag::register(SIGHUP, world.stop.clone())
    {
        eprintln!("warning: could not watch for signal {SIGHUP}: {why}");
    }
    ExitCode::from(ocistow::run(std::env::args_os(), &world))
}

/// Whether a hangup ends this process, which `nohup` and its like see to that it does not. Where nobody can tell it is
/// left as it is.
fn hangs_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored & 1 << (SIGHUP - 1) == 0)
}
