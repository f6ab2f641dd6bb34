//! README.md's tour and the examples of `--help`, played. Each `$` line of the tour is run in the root of the
//! repository's copy, and what it prints has to be what stands there.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run::{done, fixture, ocistow, repository, shell};

/// The tour's commands, each with the lines that stand below it.
fn tour() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let mut steps: Vec<(String, String)> = Vec::new();
    for block in text.split("```").skip(1).step_by(2) {
        for line in block.trim_start_matches('\n').lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push((command.to_owned(), String::new())),
                (None, Some((_, shown))) if block.starts_with("\n$ ") => *shown += &format!("{line}\n"),
                _ => {}
            }
        }
    }
    steps
}

#[test]
fn the_tour_prints_what_the_readme_shows() {
    let space = tempfile::tempdir().expect("there is room");
    let copy = fs_extra::dir::CopyOptions::new();
    fs::create_dir(space.path().join("fixtures")).expect("there is room");
    fs_extra::dir::copy(repository().join("fixtures/hello"), space.path().join("fixtures"), &copy)
        .expect("there is room");
    let program = Path::new(env!("CARGO_BIN_EXE_ocistow")).parent().expect("it is in a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let steps = tour();
    assert!(steps.len() >= 8, "the tour is gone: {steps:?}");
    for (command, shown) in steps {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(space.path()).env("PATH", &path);
        let printed = shell.output().expect("there is a shell").stdout;
        assert_eq!(String::from_utf8_lossy(&printed), shown, "$ {command}");
    }
}

/// All commands, and what `--help` says of each.
fn commands(words: &[&str], found: &mut Vec<String>) {
    let told = ocistow([words, &["--help"]].concat()).ended(0).text();
    let below = told.split_once("Commands:\n").map_or("", |(_, below)| below);
    let names = below
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        commands(&[words, &[name]].concat(), found);
    }
    found.push(told);
}

/// The examples of all commands: a line each, joined where one goes on in the next.
fn examples() -> Vec<String> {
    let mut told = Vec::new();
    commands(&[], &mut told);
    let mut examples: Vec<String> = Vec::new();
    for help in told {
        let Some((_, below)) = help.split_once("EXAMPLES:\n") else { continue };
        let below = below.split("EXIT CODES").next().expect("there is one");
        let mut more = false;
        for line in below.lines().map(str::trim) {
            match (more, examples.last_mut()) {
                (true, Some(last)) => last.push_str(line.trim_end_matches('\\')),
                _ if line.contains("ocistow ") => examples.push(line.trim_end_matches('\\').to_owned()),
                // What says what the next is for, and ends as that; everything else is the end of a line that was cut.
                _ => assert!(line.is_empty() || line.ends_with(':'), "{line:?} is wrapped:\n{help}"),
            }
            more = line.ends_with('\\');
        }
    }
    examples
}

/// A folder with all that the examples name.
fn room() -> tempfile::TempDir {
    let room = tempfile::tempdir().expect("there is room");
    let at = |name: &str| room.path().join(name).to_str().expect("the path is UTF-8").to_owned();
    fs::create_dir_all(at("site")).expect("there is room");
    fs::create_dir_all(at("report")).expect("there is room");
    for file in [
        "report.pdf",
        "model.bin",
        "README.md",
        "chart.tgz",
        "Chart.json",
        "sbom.json",
        "layer.tar",
        "site/a",
        "report/b",
    ] {
        fs::write(at(file), file).expect("there is room");
    }
    done(&["copy", &fixture("hello:1.0"), &at("store:app")]);
    let lines = "ocistow index create store:app-windows @$(ocistow resolve store:app --platform linux/arm64)
        ocistow tag store@$(ocistow resolve store:app --platform linux/amd64) app-amd64 app-riscv64
        ocistow tag store@$(ocistow resolve store:app --platform linux/arm64) app-arm64
        ocistow push store:chart chart.tgz
        ocistow push store:report report.pdf
        ocistow push store:site site
        ocistow tag store:app 1.0
        for tag in app-old 1.1 1.2; do ocistow push store:$tag sbom.json -a tag=$tag; done
        ocistow show --raw store:app-amd64 > manifest.json
        ocistow export store -o app.tar
        ocistow export store -o backup.tar.zst
        ocistow copy store:app there
        ocistow copy store:app other";
    shell(room.path(), &format!("set -e; {lines}")).ended(0);
    room
}

/// Each is understood, and does what it says where it says enough.
#[test]
fn the_examples_of_help_work() {
    let examples = examples();
    assert!(examples.len() > 70, "{}", examples.len());
    let room = room();
    for example in examples {
        // Tools that may not be here, and a tar that minds layers without an end, as umoci writes them.
        let word = |part: &&str| ["jq ", "dot ", "ssh ", "tar ", "man "].iter().all(|tool| !part.starts_with(tool));
        let line = example.split(" | ").take_while(word).collect::<Vec<_>>().join(" | ");
        if line.contains("~/") || line.is_empty() {
            continue;
        }
        let line = line.replace("sha256:…", "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        shell(room.path(), "mkdir kept && cp -r [!k]* kept").ended(0);
        // What is written anew was not there before.
        if let Some((_, to)) = line.split_once(" -o ").filter(|(_, to)| to.ends_with(".tar")) {
            fs::remove_file(room.path().join(to)).expect("it is there");
        }
        let ran = shell(room.path(), &line);
        let misread = ["unexpected argument", "invalid value", "required", "unrecognized"];
        assert!(misread.iter().all(|why| !ran.err.contains(why)), "{example}: {ran}");
        if !example.contains('…') {
            assert_eq!(ran.code, 0, "{example}: {ran}");
        }
        shell(room.path(), "rm -r [!k]* && mv kept/* . && rmdir kept").ended(0);
    }
}
