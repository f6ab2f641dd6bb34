//! The guide page for those who come from oras and regctl: each of its blocks is run, their lines and ours, and what
//! is there afterwards compared; and nothing they do on layouts is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::run::{Peer, Ran, done, ocistow, repository, shell};

fn page() -> String {
    let page = repository().join("crates/cli/guide/from-oras-and-regctl.md");
    fs::read_to_string(page).expect("the page is there")
}

/// The blocks of the page, each with the line of somebody else and ours.
fn blocks() -> Vec<(String, String)> {
    let page = page();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().expect("a block ends"));
    let pair = |block: &str| {
        let mut lines = block.lines();
        let (Some(theirs), Some(ours), None) = (lines.next(), lines.next(), lines.next()) else {
            panic!("a block is their line and ours: {block}");
        };
        assert!(ours.starts_with("ocistow "), "{ours}");
        (theirs.to_owned(), ours.to_owned())
    };
    blocks.map(pair).collect()
}

/// A folder with what the page says is in it, made by the lines it gives for that.
fn room() -> TempDir {
    let room = tempfile::tempdir().expect("there is room");
    let page = page();
    let (_, lines) = page.split_once("```bash\n").expect("the page makes its files");
    let (lines, _) = lines.split_once("```").expect("a block ends");
    let repository = repository();
    shell(room.path(), &format!("set -e; REPOSITORY={}; {lines}", repository.display())).ended(0);
    room
}

#[track_caller]
fn run(room: &Path, line: &str) -> Ran {
    shell(room, &format!("PATH=$PATH:$HOME/go/bin; {line}")).ended(0)
}

/// What is in a layout, as somebody sees who asks: tags, what they stand for, and who refers to that.
fn seen(layout: &Path) -> BTreeSet<(String, String, String)> {
    let path = layout.to_str().expect("the path is UTF-8");
    let list = done(&["ls", "--format", "json", path]).json();
    let entries = list["manifests"].as_array().expect("it is a list").iter();
    let tagged =
        entries.filter_map(|entry| Some((entry["tag"].as_str()?.to_owned(), entry["digest"].as_str()?.to_owned())));
    let mut known: BTreeMap<String, (String, String)> = BTreeMap::new();
    tagged
        .map(|(tag, digest)| {
            // oras keeps a full name as the tag; we keep both.
            let tag = tag.rsplit_once(':').map_or(tag.clone(), |(_, tag)| tag.to_owned());
            let (manifest, referrers) = known.entry(digest.clone()).or_insert_with(|| {
                let at = format!("{path}@{digest}");
                let mut manifest = done(&["show", "--raw", &at]).json();
                without_moments(&mut manifest);
                (manifest.to_string(), referring(&done(&["discover", "--format", "json", &at]).json()))
            });
            (tag, manifest.clone(), referrers.clone())
        })
        .collect()
}

/// Takes out what cannot be the same: moments, what compression made, and members that may be left out.
fn without_moments(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(without_moments),
        Value::Object(members) => {
            if members.get("annotations").is_some_and(|said| said["io.deis.oras.content.unpack"] == "true") {
                members.retain(|key, _| key == "mediaType");
            }
            if let Some(annotations) = members.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("org.opencontainers.image.created");
            }
            members.retain(|key, value| {
                key != "data" && !(key == "annotations" && value.as_object().is_none_or(|said| said.is_empty()))
            });
            members.values_mut().for_each(without_moments);
        }
        _ => {}
    }
}

/// The types of what refers to it, as a tree.
fn referring(node: &Value) -> String {
    let referrers = node["referrers"].as_array().into_iter().flatten();
    let mut types: Vec<String> = referrers.map(|one| format!("{} {}", one["artifactType"], referring(one))).collect();
    types.sort();
    format!("{types:?}")
}

/// What a line printed: a document where it is one.
fn said(ran: &Ran) -> Value {
    serde_json::from_slice(&ran.out).unwrap_or_else(|_| Value::String(ran.text().trim().to_owned()))
}

#[test]
fn every_line_of_the_guide_does_what_theirs_does() {
    let (Some(_), Some(_)) = (Peer::find("oras"), Peer::find("regctl")) else { return };
    let (theirs, ours) = (room(), room());
    let mut before: BTreeMap<&str, [Option<Vec<u8>>; 2]> = BTreeMap::new();
    let layouts = ["store", "paths", "images", "signed", "spare", "regstore", "regimages", "regsigned", "regrepo"];
    for (their, our) in &blocks() {
        let (they, we) = (run(theirs.path(), their), run(ours.path(), our));
        for layout in layouts {
            let now = [&theirs, &ours].map(|room| fs::read(room.path().join(layout).join("index.json")).ok());
            if before.insert(layout, now.clone()).unwrap_or_default() == now {
                continue;
            }
            let (there, here) = (seen(&theirs.path().join(layout)), seen(&ours.path().join(layout)));
            let only = |one: &BTreeSet<_>, other: &BTreeSet<_>| Vec::from_iter(one.difference(other).cloned());
            assert_eq!(only(&here, &there), only(&there, &here), "{layout} after\n{their}\n{our}");
        }
        let mut words = our.split_whitespace().skip(1);
        let printed = match words.next() {
            Some("resolve" | "cat") => true,
            Some("show") => words.any(|word| ["--raw", "--config"].contains(&word)),
            _ => false,
        };
        if printed && ![" | ", " && ", " > "].iter().any(|joint| our.contains(joint)) {
            assert_eq!(said(&we), said(&they), "{their}\n{our}");
        }
    }
    for name in [
        "pulled/hi.txt",
        "pulled/site/deep/index.html",
        "configured/pulled.json",
        "by-name/hi.txt",
        "fetched.txt",
        "arm64.json",
        "created.json",
        "updated.json",
        "manifest.json",
        "got/index.html",
        "got.json",
        "got.txt",
    ] {
        let read = |room: &TempDir| fs::read(room.path().join(name)).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(String::from_utf8_lossy(&read(&ours)), String::from_utf8_lossy(&read(&theirs)), "{name}");
    }
    // Each reads what the other wrote.
    for layout in layouts {
        for room in [&theirs, &ours] {
            let path = room.path().join(layout).to_str().expect("the path is UTF-8").to_owned();
            ocistow(["fsck", &path]).ended(0);
            // Once for each manifest; names of hosts and all are not found by their tag.
            let tags: BTreeMap<String, String> =
                seen(Path::new(&path)).into_iter().map(|(tag, manifest, _)| (manifest, tag)).collect();
            for tag in tags.values().filter(|_| layout != "paths") {
                run(room.path(), &format!("oras manifest fetch --oci-layout {layout}:{tag}"));
                run(room.path(), &format!("regctl manifest get ocidir://{layout}:{tag}"));
            }
        }
    }
}

/// What `--help` says of a command, without what it says of all.
fn help(tool: &Peer, words: &[&str]) -> String {
    let told = tool.done(Path::new("/"), &[words, &["--help"]].concat()).text();
    told.split("Global Flags").next().expect("there is one").to_owned()
}

/// The commands below `words` that have none below them.
fn leaves(tool: &Peer, words: &[&str], found: &mut Vec<(String, String)>) {
    let help = help(tool, words);
    let Some((_, below)) = help.split_once("Available Commands:\n") else {
        return found.push((words.join(" "), help));
    };
    for line in below.lines().take_while(|line| !line.is_empty()) {
        leaves(tool, &[words, &[line.split_whitespace().next().expect("it has a name")]].concat(), found);
    }
}

/// The flags that `--help` lists.
fn flags(help: &str) -> BTreeSet<String> {
    let (_, listed) = help.split_once("\nFlags:\n").unwrap_or_default();
    let words = listed.lines().filter_map(|line| {
        let (_, behind) = line.split_once("--")?;
        let long = line.trim_start().starts_with('-');
        let name: String = behind.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        long.then(|| format!("--{name}"))
    });
    words.collect()
}

/// What a newer oras or regctl can do besides is noticed here.
#[test]
fn nothing_that_oras_and_regctl_do_on_layouts_is_left_out() {
    let (Some(oras), Some(regctl)) = (Peer::find("oras"), Peer::find("regctl")) else { return };
    let page = page();
    let lines: Vec<String> =
        blocks().iter().map(|(their, _)| their.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    // Between back ticks, where no block is.
    let text: String = page.split("```").step_by(2).collect();
    let spans: BTreeSet<&str> = text.split('`').skip(1).step_by(2).collect();
    let mut commands = Vec::new();
    leaves(&oras, &[], &mut commands);
    commands.retain(|(_, help)| help.contains("--oci-layout") || help.contains("--to-oci-layout"));
    let mut all: Vec<(String, String)> =
        commands.into_iter().map(|(words, help)| (format!("oras {words}"), help)).collect();
    for group in ["artifact", "blob", "image", "index", "manifest", "repo", "tag"] {
        let mut commands = Vec::new();
        leaves(&regctl, &[group], &mut commands);
        all.extend(commands.into_iter().map(|(words, help)| (format!("regctl {words}"), help)));
    }
    assert!(all.len() > 40, "{}", all.len());
    let mut left_out = Vec::new();
    for (command, help) in &all {
        if spans.contains(command.as_str()) {
            continue;
        }
        let own: Vec<&String> = lines.iter().filter(|line| line.contains(&format!("{command} "))).collect();
        if own.is_empty() {
            left_out.push(command.clone());
            continue;
        }
        let known = |flag: &str| {
            let plain = ["--from-", "--to-"].iter().find_map(|start| flag.strip_prefix(start));
            let plain = plain.map(|rest| format!("--{rest}"));
            let used = |line: &&String| line.split([' ', '=']).any(|word| word == flag);
            own.iter().any(used)
                || spans.contains(format!("{command} {flag}").as_str())
                || spans.contains(plain.as_deref().unwrap_or(flag))
        };
        left_out.extend(
            flags(help).iter().filter(|flag| *flag != "--help" && !known(flag)).map(|flag| format!("{command} {flag}")),
        );
    }
    assert!(left_out.is_empty(), "{left_out:#?}");
}
