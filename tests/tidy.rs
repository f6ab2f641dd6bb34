//! The house stands as it was drawn: who may depend on whom, who may open files, print, or reach a network.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::repository;

/// The Rust files of a crate's `src`, or of the `tests` folder.
fn sources(folder: &str) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(repository().join(folder)).sort_by_file_name();
    let files = walk.into_iter().map(|entry| entry.expect("it can be listed").into_path());
    let found: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "rs")).collect();
    assert!(!found.is_empty(), "{folder} has no Rust files");
    found
}

/// A file's lines of code outside its tests, with their numbers: comments do not count.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).expect("it is text");
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.to_owned()));
    lines
        .take_while(|(_, line)| !line.contains("cfg(test)"))
        .filter(|(_, line)| !line.trim().starts_with("//"))
        .collect()
}

/// Panics where code of one of these folders has one of these words, not as the end of a longer one.
fn never(folders: &[&str], words: &[&str], why: &str) {
    let longer = |c: char| c.is_alphanumeric() || c == '_';
    for file in folders.iter().flat_map(|folder| sources(folder)) {
        for (at, line) in code(&file) {
            for word in words {
                let found = line.match_indices(word).any(|(start, _)| !line[..start].ends_with(longer));
                assert!(!found, "{}:{at}: {word}: {why}", file.display());
            }
        }
    }
}

/// The names in one table of a Cargo.toml.
fn table(manifest: &str, name: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join(manifest)).expect("it can be read");
    let lines = text.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('[')).filter(|line| line.contains('='));
    lines.map(|line| line.split(['.', ' ', '=']).next().expect("a line has a start").to_owned()).collect()
}

#[test]
fn the_command_speaks_graph_decides_layout_acts() {
    for (name, may) in [
        ("layout", &[][..]),
        ("graph", &["ocistow-layout"]),
        ("cli", &["ocistow-layout", "ocistow-graph"]),
        ("testkit", &["ocistow-layout"]),
        ("fuzz", &["ocistow", "ocistow-layout", "ocistow-graph", "ocistow-testkit"]),
    ] {
        let needs = table(&format!("crates/{name}/Cargo.toml"), "dependencies");
        assert!(!needs.is_empty(), "{name} needs nothing?");
        for need in needs.iter().filter(|need| need.starts_with("ocistow")) {
            assert!(may.contains(&need.as_str()), "{name} must not depend on {need}");
        }
    }
}

#[test]
fn only_layout_opens_a_layouts_files() {
    let words = ["std::fs", "fs::", "File::", "OpenOptions", "rustix", "tempfile", "walkdir"];
    never(&["crates/graph/src"], &words, "the graph crate opens no file itself");
}

#[test]
fn only_the_command_prints_and_ends_the_program() {
    let words = [
        "println!",
        "print!",
        "eprintln!",
        "eprint!",
        "dbg!",
        "process::exit",
        "std::env::var",
        "std::env::args",
        "stdout()",
        "stderr()",
    ];
    never(&["crates/layout/src", "crates/graph/src"], &words, "a library does not speak");
}

#[test]
fn nothing_is_left_for_later() {
    let folders = ["crates/layout/src", "crates/graph/src", "crates/cli/src", "crates/testkit/src", "crates/fuzz/src"];
    never(&folders, &["todo!", "unimplemented!"], "there are no stubs");
}

#[test]
fn nothing_reaches_a_network_or_runs_a_program() {
    let folders = ["crates/layout/src", "crates/graph/src", "crates/cli/src"];
    never(&folders, &["std::net", "TcpStream", "UdpSocket", "UnixStream", "process::Command"], "ocistow works offline");
    let lock = fs::read_to_string(repository().join("Cargo.lock")).expect("it can be read");
    for network in
        ["curl", "hyper", "mio", "native-tls", "openssl-sys", "reqwest", "rustls", "socket2", "tokio", "ureq"]
    {
        assert!(!lock.contains(&format!("name = \"{network}\"\n")), "{network} is in the tree");
    }
}

#[test]
fn every_crate_keeps_the_workspaces_lints() {
    for name in ["layout", "graph", "cli", "testkit", "fuzz"] {
        assert_eq!(
            table(&format!("crates/{name}/Cargo.toml"), "lints"),
            BTreeSet::from(["workspace".into()]),
            "{name}"
        );
    }
    let workspace = fs::read_to_string(repository().join("Cargo.toml")).expect("it can be read");
    assert!(workspace.contains("unsafe_code = \"deny\""));
}

#[test]
fn one_module_alone_has_unsafe_code() {
    let crates = repository().join("crates");
    let sources = walkdir::WalkDir::new(&crates).into_iter().map(|step| step.expect("it can be listed").into_path());
    let mut with: Vec<PathBuf> = sources
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .filter(|path| {
            let text = fs::read_to_string(path).expect("it is text");
            text.contains("allow(unsafe_code)") || text.contains("unsafe {") || text.contains("unsafe fn")
        })
        .collect();
    let module = with.pop().expect("there is one");
    assert_eq!((&with[..], module), (&[][..], crates.join("layout/src/twin.rs")));
    assert_eq!(
        fs::read_to_string(crates.join("layout/src/twin.rs")).expect("it is text").matches("unsafe {").count(),
        1
    );
}

/// What a file says of itself: the first sentence of its doc comment.
fn sentence(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("it is text");
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let paragraph = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    paragraph.split_once(". ").map_or(paragraph.clone(), |(first, _)| format!("{first}."))
}

#[test]
fn the_code_map_says_of_every_file_what_it_says_of_itself() {
    let map = fs::read_to_string(repository().join("crates/README.md")).expect("there is a code map");
    let mapped: Vec<String> = map.lines().filter(|line| line.contains(".rs` |")).map(str::to_owned).collect();
    let crates = repository().join("crates");
    let line = |file: PathBuf| {
        let name = file.strip_prefix(&crates).expect("it is below").to_str().expect("it is UTF-8");
        format!("| `{name}` | {} |", sentence(&file))
    };
    let there: BTreeSet<String> = sources("crates").into_iter().map(line).collect();
    let listed: BTreeSet<String> = mapped.iter().cloned().collect();
    let missing: Vec<_> = there.difference(&listed).cloned().collect();
    let gone: Vec<_> = listed.difference(&there).cloned().collect();
    assert!(
        missing.is_empty() && gone.is_empty() && mapped.len() == listed.len(),
        "crates/README.md needs:\n{}\nand no longer:\n{}",
        missing.join("\n"),
        gone.join("\n")
    );
}

#[test]
fn every_promise_names_tests_that_are_there() {
    let text = fs::read_to_string(repository().join("SECURITY.md")).expect("there is one");
    let mut promises = 0;
    for row in text.lines().filter(|row| row.starts_with('|') && row.contains(".rs`: ")) {
        promises += 1;
        let shown = row.split('|').nth(2).expect("a row has two columns");
        for file in shown.split(';') {
            let mut words = file.split('`').skip(1).step_by(2);
            let path = words.next().expect("a file is named");
            let code = fs::read_to_string(repository().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"));
            for name in words {
                assert!(code.contains(&format!("fn {name}(")), "{path} has no test {name}");
            }
        }
    }
    assert!(promises > 15, "only {promises} promises");
}

/// What `4 << 20` and the like are, and `100_000`.
fn value(expression: &str) -> Option<u64> {
    let number = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    match expression.split_once("<<") {
        Some((start, shift)) => Some(number(start)? << number(shift)?),
        None => number(expression),
    }
}

/// What `4 MiB` and the like are, and `100,000`.
fn spelled(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let unit = ["", "KiB", "MiB", "GiB"].iter().position(|known| *known == unit)?;
    Some(number.replace(',', "").parse::<u64>().ok()? << (10 * unit))
}

#[test]
fn every_limit_is_told_with_its_value() {
    let text = fs::read_to_string(repository().join("SECURITY.md")).expect("there is one");
    let rows = text.lines().filter_map(|row| row.strip_prefix("| `MAX_")).map(|row| format!("MAX_{row}"));
    let told: BTreeSet<(String, Option<u64>)> = rows
        .filter_map(|row| {
            let (name, rest) = row.split_once("` |")?;
            Some((name.to_owned(), spelled(rest.split('|').next()?)))
        })
        .collect();
    let mut limits = BTreeSet::new();
    for file in ["crates/layout/src", "crates/graph/src"].iter().flat_map(|folder| sources(folder)) {
        for (_, line) in code(&file) {
            if let Some((name, rest)) = line.trim().strip_prefix("pub const MAX_").and_then(|rest| rest.split_once(':'))
            {
                let expression = rest.split_once('=').and_then(|(_, end)| end.trim().strip_suffix(';'));
                limits.insert((format!("MAX_{name}"), expression.and_then(value)));
            }
        }
    }
    assert_eq!(told, limits, "SECURITY.md tells of other limits than there are");
}

#[test]
fn files_are_named_after_ideas() {
    for file in sources("crates") {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("it is UTF-8");
        for bad in ["util", "helper", "manager", "common", "misc", "data"] {
            assert!(!name.contains(bad), "{} is named after nothing", file.display());
        }
    }
}
