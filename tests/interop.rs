//! What we write, others read; what others write, we read. With the real tools, where they are installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::run::{Peer, Ran, done, fixture, ocistow_in};
use crate::walk;

/// An empty folder that goes with the test, and its paths.
struct Space(TempDir);

impl Space {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("there is room"))
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("the path is UTF-8").into()
    }
}

fn hello() -> String {
    fixture("hello:1.0")
}

fn resolve(reference: &str) -> String {
    done(&["resolve", reference]).text().trim().to_owned()
}

/// The digest of one platform of a reference.
fn platform(reference: &str, platform: &str) -> String {
    done(&["resolve", reference, "--platform", platform]).text().trim().to_owned()
}

/// All digests in a tree of referrers, as oras and we print it.
fn tree(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::from([document["digest"].as_str().expect("a node has a digest").to_owned()]);
    for list in ["referrers", "manifests"] {
        for node in document.get(list).and_then(Value::as_array).into_iter().flatten() {
            found.extend(tree(node));
        }
    }
    found
}

fn discovered(reference: &str) -> BTreeSet<String> {
    tree(&done(&["discover", "--format", "json", reference]).json())
}

fn oras_discovered(oras: &Peer, folder: &Path, reference: &str) -> BTreeSet<String> {
    tree(&oras.done(folder, &["discover", "--oci-layout", "--format", "json", reference]).json())
}

fn blobs(location: &str) -> BTreeSet<String> {
    walk::blobs(&walk::files(Path::new(location)))
}

/// Imports an archive or directory somebody made, and checks the result. Gives the layout's path.
fn imported(space: &Space, from: &str) -> String {
    let layout = space.path("imported");
    done(&["import", from, &layout]);
    assert_eq!(done(&["fsck", "--format", "json", &layout]).json()["ok"], true);
    layout
}

#[test]
fn oras_reads_our_archive_with_all_referrers() {
    let Some(oras) = Peer::find("oras") else { return };
    let space = Space::new();
    done(&["export", &hello(), "-o", &space.path("x.tar")]);
    let seen = oras_discovered(&oras, space.folder(), &space.path("x.tar:1.0"));
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert_eq!(seen, discovered(&hello()));
    oras.done(space.folder(), &["cp", "-r", "--from-oci-layout", "x.tar:1.0", "--to-oci-layout", "copied:1.0"]);
    assert_eq!(blobs(&space.path("copied")), blobs(&fixture("hello")));
}

#[test]
fn skopeo_reads_our_archive() {
    let Some(skopeo) = Peer::find("skopeo") else { return };
    let space = Space::new();
    done(&["export", &hello(), "-o", &space.path("x.tar")]);
    let raw = skopeo.done(space.folder(), &["inspect", "--raw", "oci-archive:x.tar:1.0"]);
    assert_eq!(raw.out, done(&["show", "--raw", &hello()]).out);
    skopeo.done(space.folder(), &["copy", "--all", "oci-archive:x.tar:1.0", "oci:copied:1.0"]);
    assert_eq!(resolve(&space.path("copied:1.0")), resolve(&hello()));
    // Without a tag it takes an archive of one image only.
    skopeo.run(space.folder(), &["inspect", "--raw", "oci-archive:x.tar"]).ended(1);
    done(&["export", &hello(), "--no-referrers", "-o", &space.path("alone.tar")]);
    let raw = skopeo.done(space.folder(), &["inspect", "--raw", "oci-archive:alone.tar"]);
    assert_eq!(raw.out, done(&["show", "--raw", &hello()]).out);
}

#[test]
fn regctl_imports_our_archive_by_name() {
    let Some(regctl) = Peer::find("regctl") else { return };
    let space = Space::new();
    done(&["export", &hello(), "-o", &space.path("x.tar")]);
    regctl.done(space.folder(), &["image", "import", "ocidir://copied:1.0", "x.tar", "--name", "1.0"]);
    let digest = regctl.done(space.folder(), &["image", "digest", "ocidir://copied:1.0"]);
    assert_eq!(digest.text().trim(), resolve(&hello()));
    done(&["fsck", &space.path("copied")]);
}

#[test]
fn regctl_finds_the_referrers_in_a_layout_we_imported() {
    let Some(regctl) = Peer::find("regctl") else { return };
    let space = Space::new();
    done(&["export", &hello(), "-o", &space.path("x.tar")]);
    imported(&space, &space.path("x.tar"));
    let list = ["artifact", "list", "--slow-referrers", "--format", "{{json .Descriptors}}", "ocidir://imported:1.0"];
    let found = regctl.done(space.folder(), &list).json();
    let found: BTreeSet<_> =
        found.as_array().expect("it is a list").iter().map(|one| one["artifactType"].to_string()).collect();
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn umoci_unpacks_a_layout_we_imported() {
    let Some(umoci) = Peer::find("umoci") else { return };
    let space = Space::new();
    done(&["export", &hello(), "-o", &space.path("x.tar")]);
    let layout = imported(&space, &space.path("x.tar"));
    let amd = platform(&hello(), "linux/amd64");
    done(&["tag", &format!("{layout}@{amd}"), "amd"]);
    let listed = umoci.done(space.folder(), &["ls", "--layout", "imported"]).text();
    assert_eq!(listed.split_whitespace().collect::<BTreeSet<_>>(), BTreeSet::from(["1.0", "amd"]));
    umoci.done(space.folder(), &["unpack", "--rootless", "--image", "imported:amd", "bundle"]);
    let script = fs::read_to_string(space.folder().join("bundle/rootfs/bin/hello")).expect("it was unpacked");
    assert_eq!(script, "#!/bin/sh\necho \"hello from amd64\"\n");
}

fn podman(podman: &Peer, space: &Space, words: &[&str]) -> Ran {
    let (root, run) = (space.path("root"), space.path("run"));
    let mut all = vec!["--root", &root, "--runroot", &run, "--storage-driver", "vfs"];
    all.extend(words);
    podman.done(space.folder(), &all)
}

#[test]
fn podman_loads_what_we_export_for_docker() {
    let Some(tool) = Peer::find_for_root("podman") else { return };
    let space = Space::new();
    let words = ["--as", "docker", "--name", "example.com/hello", "--platform", "linux/amd64"];
    done(&[&["export", &hello(), "-o", &space.path("x.tar")][..], &words].concat());
    podman(&tool, &space, &["load", "-i", "x.tar"]);
    let names = podman(&tool, &space, &["images", "--format", "{{.Repository}}:{{.Tag}}"]).text();
    assert_eq!(names.trim(), "example.com/hello:1.0");
    let entry =
        podman(&tool, &space, &["inspect", "--format", "{{.Config.Entrypoint}}", "example.com/hello:1.0"]).text();
    assert_eq!(entry.trim(), "[/bin/hello]");
}

#[test]
fn podman_loads_an_archive_without_referrers() {
    let Some(tool) = Peer::find_for_root("podman") else { return };
    let space = Space::new();
    done(&["export", &hello(), "--no-referrers", "--platform", "linux/amd64", "-o", &space.path("x.tar")]);
    podman(&tool, &space, &["load", "-i", "x.tar"]);
    assert_eq!(podman(&tool, &space, &["images", "-q"]).text().lines().count(), 1);
}

/// From an index others take the platform of their own machine, which a bundle of another one does not have.
#[test]
fn a_platform_copied_by_its_digest_is_taken_by_all_on_any_machine() {
    let other = if cfg!(target_arch = "x86_64") { "linux/arm64" } else { "linux/amd64" };
    let digest = platform(&hello(), other);
    let space = Space::new();
    let source = format!("{}@{digest}", fixture("hello"));
    done(&["copy", "--no-referrers", &source, &space.path("alone.tar:1.0")]);
    done(&["copy", &source, &space.path("layout:1.0")]);
    for (name, line) in [
        ("skopeo", &["copy", "oci-archive:alone.tar", "oci:skopeo:1.0"][..]),
        ("oras", &["cp", "--from-oci-layout", "layout:1.0", "--to-oci-layout", "oras:1.0"]),
        ("regctl", &["image", "import", "ocidir://regctl:1.0", "alone.tar"]),
    ] {
        let Some(tool) = Peer::find(name) else { continue };
        tool.done(space.folder(), line);
        assert_eq!(resolve(&space.path(&format!("{name}:1.0"))), digest, "{name}");
    }
    if let Some(tool) = Peer::find_for_root("podman") {
        podman(&tool, &space, &["load", "-i", "alone.tar"]);
        let names = podman(&tool, &space, &["images", "--format", "{{.Repository}}:{{.Tag}}"]).text();
        assert_eq!(names.trim(), "localhost/1.0:latest", "it takes the tag for a name");
    }
}

/// The digest of the config of the one image at a location.
fn image_id(location: &str) -> String {
    let manifest = done(&["show", "--raw", location]).json();
    manifest["config"]["digest"].as_str().expect("it is text").to_owned()
}

/// ARCHIVE-18
#[test]
fn an_image_saved_by_podman_keeps_its_id() {
    let Some(tool) = Peer::find_for_root("podman") else { return };
    let space = Space::new();
    let words = ["--as", "docker", "--name", "example.com/hello", "--platform", "linux/amd64"];
    done(&[&["export", &hello(), "-o", &space.path("x.tar")][..], &words].concat());
    podman(&tool, &space, &["load", "-i", "x.tar"]);
    podman(&tool, &space, &["save", "--format", "docker-archive", "-o", "saved.tar", "example.com/hello:1.0"]);
    done(&["import", &space.path("saved.tar"), &space.path("layout")]);
    let id = podman(&tool, &space, &["inspect", "--format", "{{.Id}}", "example.com/hello:1.0"]).text();
    let imported = space.path("layout:example.com/hello:1.0");
    assert_eq!(image_id(&imported), format!("sha256:{}", id.trim()));
    assert_eq!(image_id(&imported), image_id(&format!("{}@{}", fixture("hello"), platform(&hello(), "linux/amd64"))));
}

/// ARCHIVE-18
#[test]
fn an_image_saved_by_skopeo_keeps_its_id_and_goes_back() {
    let Some(skopeo) = Peer::find("skopeo") else { return };
    let space = Space::new();
    let words = ["copy", "--override-os", "linux", "--override-arch", "arm64"];
    let from = format!("oci:{}", hello());
    skopeo.done(space.folder(), &[&words[..], &[&from, "docker-archive:saved.tar:example.com/hello:2.0"]].concat());
    let saved = space.path("saved.tar:2.0");
    assert_eq!(image_id(&saved), image_id(&format!("{}@{}", fixture("hello"), platform(&hello(), "linux/arm64"))));
    done(&["export", &saved, "--as", "docker", "-o", &space.path("ours.tar")]);
    done(&["copy", &saved, &space.path("layout")]);
    for ours in ["docker-archive:ours.tar", "oci-archive:ours.tar", "oci:layout:2.0"] {
        let words = ["inspect", "--config", "--raw", ours];
        let config = skopeo.done(space.folder(), &words).out;
        assert_eq!(ocistow_layout::Digest::of(&config).to_string(), image_id(&saved), "{ours}");
    }
}

#[test]
fn crane_validates_what_we_export_for_docker() {
    let Some(crane) = Peer::find("crane") else { return };
    let space = Space::new();
    let words = ["--as", "docker", "--name", "example.com/hello", "--platform", "linux/arm64"];
    done(&[&["export", &hello(), "-o", &space.path("x.tar")][..], &words].concat());
    crane.done(space.folder(), &["validate", "--tarball", "x.tar"]);
}

#[test]
fn buildah_pulls_a_layout_we_imported() {
    let Some(buildah) = Peer::find_for_root("buildah") else { return };
    let space = Space::new();
    done(&["export", &hello(), "-o", &space.path("x.tar")]);
    imported(&space, &space.path("x.tar"));
    let (root, run) = (space.path("root"), space.path("run"));
    let store = ["--root", &root, "--runroot", &run, "--storage-driver", "vfs"];
    buildah.done(space.folder(), &[&store[..], &["pull", "oci:imported:1.0"]].concat());
    assert_eq!(buildah.done(space.folder(), &[&store[..], &["images", "-q"]].concat()).text().lines().count(), 1);
}

#[test]
fn gnu_tar_gzip_and_zstd_read_our_archives() {
    let space = Space::new();
    for (end, tester) in [("tar", None), ("tar.gz", Some("gzip")), ("tar.zst", Some("zstd"))] {
        let name = format!("x.{end}");
        done(&["export", &hello(), "-o", &space.path(&name)]);
        let Some(tar) = Peer::find("tar") else { return };
        if let Some(tester) = tester {
            let Some(tester) = Peer::find(tester) else { continue };
            tester.done(space.folder(), &["-q", "-t", &name]);
        }
        fs::create_dir(space.folder().join(end)).expect("there is room");
        tar.done(space.folder(), &["xf", &name, "-C", end]);
        assert_eq!(blobs(&space.path(end)), blobs(&fixture("hello")), "{end}");
        done(&["fsck", &space.path(end)]);
    }
}

#[test]
fn we_import_what_oras_pushes_attaches_and_backs_up() {
    let Some(oras) = Peer::find("oras") else { return };
    let space = Space::new();
    fs::write(space.folder().join("a.txt"), "one").expect("there is room");
    fs::write(space.folder().join("b.txt"), "two").expect("there is room");
    oras.done(space.folder(), &["push", "--oci-layout", "made:v1", "--artifact-type", "application/x.a", "a.txt"]);
    oras.done(space.folder(), &["attach", "--oci-layout", "made:v1", "--artifact-type", "application/x.b", "b.txt"]);
    let seen = oras_discovered(&oras, space.folder(), "made:v1");
    assert_eq!(seen.len(), 2);
    let tar = Peer::find("tar").expect("every machine has one");
    tar.done(space.folder(), &["czf", "made.tar.gz", "-C", "made", "."]);
    let layout = imported(&space, &space.path("made.tar.gz"));
    assert_eq!(discovered(&format!("{layout}:v1")), seen);
    assert_eq!(oras_discovered(&oras, space.folder(), "imported:v1"), seen);
    assert_eq!(blobs(&layout), blobs(&space.path("made")));
    oras.done(space.folder(), &["pull", "--oci-layout", "imported:v1", "-o", "pulled"]);
    assert_eq!(fs::read_to_string(space.folder().join("pulled/a.txt")).expect("it was pulled"), "one");
}

/// A folder of files to make artifacts of.
fn ingredients(space: &Space) {
    fs::create_dir_all(space.folder().join("d/sub/empty")).expect("there is room");
    let files = [("a.txt", "one"), ("b.txt", "two"), ("d/x", "flat"), ("d/sub/y", "deep"), ("cfg.json", "{\"c\":1}")];
    for (path, content) in files {
        fs::write(space.folder().join(path), content).expect("there is room");
    }
    std::os::unix::fs::symlink("sub/y", space.folder().join("d/link")).expect("there is room");
    let said = serde_json::json!({
        "$manifest": {"foo": "bar", "a<b": "x&y <é>", CREATED: MOMENT},
        "$config": {"hello": "config"},
        "a.txt": {"fun": "more"},
    });
    fs::write(space.folder().join("said.json"), said.to_string()).expect("there is room");
}

const CREATED: &str = "org.opencontainers.image.created";
const MOMENT: &str = "2026-01-01T00:00:00Z";

/// Runs the same in oras and here: oras wants `--oci-layout`. Gives the two layouts' names.
fn both(oras: &Peer, space: &Space, verb: &str, words: &[&str]) -> (&'static str, &'static str) {
    let at = |layout: &str| -> Vec<String> {
        words
            .iter()
            .map(|word| word.strip_prefix('@').map_or((*word).to_owned(), |rest| format!("{layout}{rest}")))
            .collect()
    };
    let theirs = at("theirs");
    let theirs: Vec<&str> = [verb, "--oci-layout"].into_iter().chain(theirs.iter().map(String::as_str)).collect();
    oras.done(space.folder(), &theirs);
    ocistow_in(space.folder(), std::iter::once(verb.to_owned()).chain(at("ours"))).ended(0);
    ("theirs", "ours")
}

#[test]
fn what_we_push_is_what_oras_pushes() {
    let Some(oras) = Peer::find("oras") else { return };
    let space = Space::new();
    ingredients(&space);
    let created = format!("{CREATED}={MOMENT}");
    let table: &[&[&str]] = &[
        &["@:v1", "a.txt", "--annotation", &created],
        &["@:v1", "a.txt:text/plain", "./b.txt", "d/x", "--annotation", &created, "--annotation", "k=a=b"],
        &["@:v1", "--annotation", &created],
        &["@:v1", "a.txt", "--artifact-type", "application/vnd.example+type", "--annotation", &created],
        &["@:v1", "a.txt", "--config", "cfg.json:application/x.cfg", "--annotation", &created],
        &["@:v1", "a.txt", "--config", "cfg.json", "--artifact-type", "a/b", "--annotation", &created],
        &["@:v1", "a.txt", "b.txt", "--annotation-file", "said.json"],
        &["@:v1", "b.txt", "--config", "cfg.json:application/x.cfg", "--annotation-file", "said.json"],
    ];
    for words in table {
        let (theirs, ours) = both(&oras, &space, "push", words);
        let raw = |layout: &str| done(&["show", "--raw", &space.path(&format!("{layout}:v1"))]).text();
        assert_eq!(raw(ours), raw(theirs), "{words:?}");
        let entry = |layout: &str| -> Value {
            let index = fs::read_to_string(space.folder().join(layout).join("index.json")).expect("it is there");
            let index: Value = serde_json::from_str(&index).expect("it is JSON");
            let tagged = index["manifests"].as_array().expect("a list").iter();
            tagged.filter(|one| one["annotations"]["org.opencontainers.image.ref.name"] == "v1").cloned().collect()
        };
        assert_eq!(entry(ours), entry(theirs), "{words:?}");
    }
    assert!(blobs(&space.path("theirs")).is_superset(&blobs(&space.path("ours"))));
    done(&["fsck", &space.path("ours")]);
}

/// A manifest without what cannot be the same: the moment, and the bytes of a compressed directory.
fn comparable(layout: &str, reference: &str) -> Value {
    let mut manifest = done(&["show", "--raw", &format!("{layout}{reference}")]).json();
    let members = manifest.as_object_mut().expect("an object");
    if let Some(annotations) = members.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(CREATED);
        if annotations.is_empty() {
            members.remove("annotations");
        }
    }
    for layer in manifest["layers"].as_array_mut().expect("a list") {
        if layer["annotations"]["io.deis.oras.content.unpack"] == "true" {
            layer["digest"] = Value::Null;
            layer["size"] = Value::Null;
            layer["annotations"]["io.deis.oras.content.digest"] = Value::Null;
        }
    }
    manifest
}

#[test]
fn what_we_attach_is_what_oras_attaches() {
    let Some(oras) = Peer::find("oras") else { return };
    let space = Space::new();
    ingredients(&space);
    let created = format!("{CREATED}={MOMENT}");
    both(&oras, &space, "push", &["@:v1", "a.txt", "--annotation", &created]);
    let words = ["@:v1", "--artifact-type", "a/b", "b.txt", "--annotation", "k=v", "--annotation", &created];
    let (theirs, ours) = both(&oras, &space, "attach", &words);
    let attached = |layout: &str| {
        let found = discovered(&space.path(&format!("{layout}:v1")));
        assert_eq!(oras_discovered(&oras, space.folder(), &format!("{layout}:v1")), found, "{layout}");
        let subject = resolve(&space.path(&format!("{layout}:v1")));
        let digest = found.into_iter().find(|digest| *digest != subject).expect("it was attached");
        let mut manifest = comparable(&space.path(layout), &format!("@{digest}"));
        // In a layout oras takes what index.json says of the subject into the manifest; in a registry it does not.
        let subject = manifest["subject"].as_object_mut().expect("an object");
        subject.retain(|key, _| ["mediaType", "digest", "size"].contains(&key.as_str()));
        manifest
    };
    assert_eq!(attached(ours), attached(theirs));
    done(&["fsck", &space.path("ours")]);
    // Each goes on where the other stopped.
    oras.done(space.folder(), &["attach", "--oci-layout", "ours:v1", "--artifact-type", "a/c", "a.txt"]);
    ocistow_in(space.folder(), ["attach", "theirs:v1", "--artifact-type", "a/c", "a.txt"]).ended(0);
    for layout in ["ours:v1", "theirs:v1"] {
        assert_eq!(discovered(&space.path(layout)).len(), 3);
        assert_eq!(oras_discovered(&oras, space.folder(), layout).len(), 3);
    }
}

#[test]
fn directories_go_from_us_to_oras_and_back() {
    let Some(oras) = Peer::find("oras") else { return };
    let space = Space::new();
    ingredients(&space);
    let noise: Vec<u8> = (0u32..2_000_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(space.folder().join("d/noise"), noise).expect("there is room");
    let (theirs, ours) = both(&oras, &space, "push", &["@:v1", "a.txt", "d", "b.txt"]);
    assert_eq!(comparable(&space.path(ours), ":v1"), comparable(&space.path(theirs), ":v1"));
    let tree = |folder: &str| -> Vec<String> {
        let walk = walkdir::WalkDir::new(space.folder().join(folder)).sort_by_file_name();
        let line = |entry: walkdir::DirEntry| {
            let meta = entry.path().symlink_metadata().expect("it is there");
            let path = entry.path().strip_prefix(space.folder().join(folder)).expect("below").to_owned();
            let content = if meta.is_file() { fs::read(entry.path()).expect("it is there") } else { Vec::new() };
            let target = fs::read_link(entry.path()).unwrap_or_default();
            let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions());
            format!("{} {mode:o} {} {}", path.display(), ocistow_layout::Digest::of(&content), target.display())
        };
        walk.into_iter().map(|entry| line(entry.expect("it can be listed"))).collect()
    };
    for layout in [ours, theirs] {
        let reference = format!("{layout}:v1");
        oras.done(space.folder(), &["pull", "--oci-layout", &reference, "-o", &format!("oras-{layout}")]);
        ocistow_in(space.folder(), ["pull", &reference, "-o", &format!("we-{layout}")]).ended(0);
        for puller in ["oras", "we"] {
            assert_eq!(tree(&format!("{puller}-{layout}/d")), tree("d"), "{puller} from {layout}");
            let one = fs::read_to_string(space.folder().join(format!("{puller}-{layout}/a.txt"))).expect("it is there");
            assert_eq!(one, "one");
        }
    }
}

#[test]
fn indexes_are_those_of_oras_and_regctl() {
    let Some(oras) = Peer::find("oras") else { return };
    let space = Space::new();
    done(&["copy", &hello(), &space.path("lay:app")]);
    for arch in ["amd64", "arm64"] {
        let digest = platform(&hello(), &format!("linux/{arch}"));
        done(&["tag", &format!("{}@{digest}", space.path("lay")), arch]);
    }
    let own = |words: &[&str]| drop(ocistow_in(space.folder(), words).ended(0));
    own(&["index", "create", "lay:ours", "amd64", "arm64"]);
    let theirs = ["manifest", "index", "create", "--oci-layout", "lay:theirs", "amd64", "arm64"];
    oras.done(space.folder(), &theirs);
    assert_eq!(resolve(&space.path("lay:ours")), resolve(&space.path("lay:theirs")));
    let arm = resolve(&space.path("lay:arm64"));
    own(&["index", "rm", "lay:ours", &arm]);
    oras.done(space.folder(), &["manifest", "index", "update", "--oci-layout", "lay:theirs", "--remove", &arm]);
    assert_eq!(resolve(&space.path("lay:ours")), resolve(&space.path("lay:theirs")));
    own(&["index", "add", "lay:ours", "arm64"]);
    oras.done(space.folder(), &["manifest", "index", "update", "--oci-layout", "lay:theirs", "--add", "arm64"]);
    assert_eq!(resolve(&space.path("lay:ours")), resolve(&space.path("lay:theirs")));
    oras.done(
        space.folder(),
        &[
            "manifest",
            "index",
            "create",
            "--oci-layout",
            "lay:theirs",
            "amd64",
            "--artifact-type",
            "a/b",
            "--annotation",
            "k=v",
        ],
    );
    own(&["index", "create", "lay:ours", "amd64", "--artifact-type", "a/b", "--annotation", "k=v"]);
    assert_eq!(resolve(&space.path("lay:ours")), resolve(&space.path("lay:theirs")));
    done(&["fsck", &space.path("lay")]);

    let Some(regctl) = Peer::find("regctl") else { return };
    own(&["index", "create", "lay:ours", "amd64", "arm64"]);
    let refs = ["--ref", "ocidir://lay:amd64", "--ref", "ocidir://lay:arm64"];
    regctl.done(space.folder(), &[&["index", "create", "ocidir://lay:theirs"][..], &refs].concat());
    assert_eq!(resolve(&space.path("lay:ours")), resolve(&space.path("lay:theirs")));
    regctl.done(space.folder(), &["index", "delete", "ocidir://lay:theirs", "--platform", "linux/arm64"]);
    own(&["index", "rm", "lay:ours", &arm]);
    assert_eq!(resolve(&space.path("lay:ours")), resolve(&space.path("lay:theirs")));
}

#[test]
fn regctl_reads_what_we_push_and_attach() {
    let Some(regctl) = Peer::find("regctl") else { return };
    let space = Space::new();
    ingredients(&space);
    let own = |words: &[&str]| ocistow_in(space.folder(), words).ended(0);
    own(&["push", "lay:v1", "a.txt:text/plain"]);
    let file = regctl.done(space.folder(), &["artifact", "get", "--file", "a.txt", "ocidir://lay:v1"]);
    assert_eq!(file.text(), "one");
    own(&["attach", "lay:v1", "--artifact-type", "a/b", "b.txt"]);
    let list = |flags: &[&str]| {
        let words =
            [&["artifact", "list", "--format", "{{json .Descriptors}}"][..], flags, &["ocidir://lay:v1"]].concat();
        regctl.done(space.folder(), &words).json().as_array().map_or(0, Vec::len)
    };
    assert_eq!(list(&["--slow-referrers"]), 1);
    // Once it keeps a list of its own, that is kept true, and it need not look for what we attach.
    let put = ["artifact", "put", "--subject", "ocidir://lay:v1", "--artifact-type", "a/note", "-f", "a.txt"];
    regctl.done(space.folder(), &put);
    own(&["attach", "lay:v1", "--artifact-type", "a/c", "b.txt"]);
    assert_eq!(discovered(&space.path("lay:v1")).len(), 4);
    let mut found = 0;
    for artifact_type in ["a/note", "a/c"] {
        found += list(&["--filter-artifact-type", artifact_type]);
    }
    assert_eq!(found, 2);
    done(&["fsck", &space.path("lay")]);
}

#[test]
fn we_import_what_skopeo_copies() {
    let Some(skopeo) = Peer::find("skopeo") else { return };
    let space = Space::new();
    let from = format!("oci:{}", hello());
    skopeo.done(space.folder(), &["copy", "--all", &from, "oci-archive:all.tar:1.0"]);
    let layout = imported(&space, &space.path("all.tar"));
    assert_eq!(resolve(&format!("{layout}:1.0")), resolve(&hello()));
    for os in ["linux/amd64", "linux/arm64"] {
        assert_eq!(platform(&format!("{layout}:1.0"), os), platform(&hello(), os));
    }
}

#[test]
fn we_import_what_podman_saves() {
    let Some(tool) = Peer::find_for_root("podman") else { return };
    let space = Space::new();
    podman(&tool, &space, &["pull", "-q", &format!("oci:{}", hello())]);
    let image = podman(&tool, &space, &["images", "-q"]).text().trim().to_owned();
    podman(&tool, &space, &["tag", &image, "example.com/hello:1.0"]);
    podman(&tool, &space, &["save", "--format", "oci-archive", "-o", "saved.tar", "example.com/hello:1.0"]);
    let layout = imported(&space, &space.path("saved.tar"));
    let config = done(&["show", "--config", &layout]).out;
    let before = done(&["show", "--config", "--platform", "linux/amd64", &hello()]).out;
    assert_eq!(config, before);
}

#[test]
fn we_find_the_referrers_regctl_keeps_in_fallback_tags() {
    let Some(regctl) = Peer::find("regctl") else { return };
    let space = Space::new();
    fs_extra::dir::copy(fixture("hello"), space.folder(), &fs_extra::dir::CopyOptions::new()).expect("there is room");
    fs::write(space.folder().join("note"), "regctl was here").expect("there is room");
    let put =
        ["artifact", "put", "--subject", "ocidir://hello:1.0", "--artifact-type", "application/x.note", "-f", "note"];
    regctl.done(space.folder(), &put);
    let before = discovered(&hello());
    let after = discovered(&space.path("hello:1.0"));
    assert_eq!(after.len(), before.len() + 1, "{after:?}");
    assert!(after.is_superset(&before));

    done(&["export", &space.path("hello:1.0"), "-o", &space.path("x.tar")]);
    let layout = imported(&space, &space.path("x.tar"));
    assert_eq!(discovered(&format!("{layout}:1.0")), after);

    regctl.done(space.folder(), &["image", "export", "ocidir://hello:1.0", "regctl.tar"]);
    done(&["import", &space.path("regctl.tar"), &space.path("again")]);
    done(&["fsck", &space.path("again")]);
    assert!(blobs(&space.path("again")).contains(&resolve(&hello())));
}

#[test]
fn we_carry_what_umoci_makes() {
    let Some(umoci) = Peer::find("umoci") else { return };
    let space = Space::new();
    umoci.done(space.folder(), &["init", "--layout", "made"]);
    umoci.done(space.folder(), &["new", "--image", "made:v1"]);
    fs::create_dir_all(space.folder().join("tree/deep")).expect("there is room");
    fs::write(space.folder().join("tree/deep/file"), "content").expect("there is room");
    umoci.done(space.folder(), &["insert", "--rootless", "--image", "made:v1", "tree", "/tree"]);
    done(&["copy", &space.path("made:v1"), &space.path("imported:v2")]);
    done(&["fsck", &space.path("imported")]);
    umoci.done(space.folder(), &["unpack", "--rootless", "--image", "imported:v2", "bundle"]);
    let file = fs::read_to_string(space.folder().join("bundle/rootfs/tree/deep/file")).expect("it was unpacked");
    assert_eq!(file, "content");
}

#[test]
fn signatures_still_verify_on_the_other_side() {
    let Some(openssl) = Peer::find("openssl") else { return };
    let space = Space::new();
    done(&["export", &hello(), "-o", &space.path("x.tar")]);
    let layout = imported(&space, &space.path("x.tar"));
    let referrers = done(&["discover", "--format", "json", &format!("{layout}:1.0")]).json();
    let found = referrers["referrers"].as_array().expect("it is a list").iter();
    let signature = found.clone().find(|one| one["artifactType"] == "application/vnd.example.signature.v1");
    let signature = signature.expect("the index is signed")["digest"].as_str().expect("it is text").to_owned();
    let manifest = done(&["show", "--raw", &format!("{layout}@{signature}")]).json();
    for (at, name) in ["payload", "sig"].iter().enumerate() {
        let digest = manifest["layers"][at]["digest"].as_str().expect("it is text");
        let bytes = done(&["cat", &format!("{layout}@{digest}")]).out;
        fs::write(space.folder().join(name), bytes).expect("there is room");
    }
    let key = fixture("hello.pub");
    let words = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", &key, "-in", "payload", "-sigfile", "sig"];
    openssl.done(space.folder(), &words);
    let payload: Value =
        serde_json::from_slice(&fs::read(space.folder().join("payload")).expect("it is there")).expect("it is JSON");
    assert_eq!(payload["critical"]["image"]["docker-manifest-digest"], resolve(&hello()));
}

#[test]
fn what_we_convert_is_what_regctl_converts() {
    let Some(regctl) = Peer::find("regctl") else { return };
    let space = Space::new();
    let (oci, docker) = (("oci", "--to-oci"), ("docker", "--to-docker"));
    for (from, tag, ways) in
        [("regctl/lay-docker-list", "list", [oci, docker, oci]), ("hello", "1.0", [docker, oci, docker])]
    {
        let copied = fixture(from);
        done(&["copy", "--no-referrers", &format!("{copied}:{tag}"), &space.path("lay:it")]);
        for (to, flag) in ways {
            regctl.done(space.folder(), &["image", "mod", "ocidir://lay:it", flag, "--create", "theirs"]);
            ocistow_in(space.folder(), ["convert", "lay:it", "ours", "--to", to]).ended(0);
            assert_eq!(resolve(&space.path("lay:ours")), resolve(&space.path("lay:theirs")), "{from} to {to}");
            ocistow_in(space.folder(), ["convert", "lay:it", "--to", to]).ended(0);
        }
    }
    done(&["fsck", &space.path("lay")]);
}

/// REFERRERS-13: regctl looks at fallback tags only, unless told to read everything.
#[test]
fn regctl_finds_referrers_that_are_carried_as_tags() {
    let Some(regctl) = Peer::find("regctl") else { return };
    let space = Space::new();
    let list = |layout: &str| {
        let words = ["artifact", "list", "--format", "{{json .Descriptors}}", &format!("ocidir://{layout}:1.0")];
        regctl.done(space.folder(), &words).json().as_array().map_or(0, Vec::len)
    };
    done(&["export", &hello(), "-o", &space.path("entries")]);
    assert_eq!(list("entries"), 0);
    for way in ["tags", "both"] {
        done(&["export", &hello(), "-o", &space.path(way), "--referrers-as", way]);
        done(&["copy", &hello(), &space.path(&format!("copied-{way}")), "--referrers-as", way]);
        done(&["export", &hello(), "-o", &space.path("x.tar"), "--referrers-as", way, "--force"]);
        done(&["import", &space.path("x.tar"), &space.path(&format!("imported-{way}"))]);
        for layout in [way.to_owned(), format!("copied-{way}"), format!("imported-{way}")] {
            assert_eq!(list(&layout), 2, "{layout}");
            assert_eq!(discovered(&space.path(&format!("{layout}:1.0"))), discovered(&hello()), "{layout}");
            done(&["fsck", &space.path(&layout)]);
        }
    }
}
