//! Writes all seeds below a directory, for libFuzzer to start from: `crates/fuzz/run` calls it.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let to = env::args_os().nth(1).ok_or_else(|| io::Error::other("where to is not said"))?;
    for (target, _) in ocistow_fuzz::TARGETS {
        let folder = Path::new(&to).join(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in ocistow_fuzz::seeds::of(target) {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
