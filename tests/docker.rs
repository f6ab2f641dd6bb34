//! Docker archives of all ages and makers through every command: the same image is found in each, it goes anywhere from
//! there, and what is not right in one is said.

use std::fs;
use std::path::Path;

use ocistow_layout::Digest;
use ocistow_layout::source::OCI_LAYOUT;
use ocistow_testkit::docker::{Archive, Image, NAME};
use serde_json::json;
use tempfile::TempDir;

use crate::run::{Peer, Ran, done, ocistow, ocistow_in};

/// How an archive is drawn.
type Draw = fn(&Image) -> Archive;

/// Whose archives these are, how they are drawn, whether layers are compressed in them, and whether a layout is in them.
const AGES: [(&str, Draw, bool, bool); 8] = [
    ("docker 1.10 to 24", Image::graph_driver, false, false),
    ("docker 1.10 to 24 with links", Image::graph_driver_with_links, false, false),
    ("docker 25 with a graph driver", Image::graph_driver_with_layout, false, true),
    ("docker with containerd's store", Image::containerd_store, true, true),
    ("skopeo, podman, buildah", Image::containers_image, false, false),
    ("crane, kaniko", Image::crane, true, false),
    ("jib", Image::jib, true, false),
    ("rules_oci", Image::rules_oci, true, false),
];

struct Room(TempDir);

impl Room {
    /// A folder with this archive in it, as `x.tar`.
    fn with(archive: &[u8]) -> Self {
        let room = tempfile::tempdir().expect("there is room");
        fs::write(room.path().join("x.tar"), archive).expect("there is room");
        Self(room)
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, line: &str) -> Ran {
        ocistow_in(self.folder(), line.split_whitespace())
    }

    #[track_caller]
    fn done(&self, line: &str) -> Ran {
        self.run(line).ended(0)
    }
}

/// ARCHIVE-2, ARCHIVE-11 to ARCHIVE-15, ARCHIVE-18, DOCKER-COMPAT-10
#[test]
fn every_looking_command_finds_the_image_in_archives_of_every_age() {
    let image = Image::new();
    for (age, draw, packed, layout) in AGES {
        let plain = draw(&image).tar();
        for bytes in [plain.clone(), zstd::encode_all(&*plain, 1).expect("there is room")] {
            let room = Room::with(&bytes);
            let list = room.done("ls x.tar --format json").json();
            let entries = list["manifests"].as_array().expect("it is a list");
            assert_eq!(entries.len(), 1, "{age}");
            assert_eq!((&entries[0]["tag"], &entries[0]["name"]), (&json!("1.0"), &json!(NAME)), "{age}");
            assert_eq!(entries[0]["kind"], "image", "{age}");
            let digest = entries[0]["digest"].as_str().expect("it is text");
            for reference in ["x.tar", "x.tar:1.0", &format!("x.tar:{NAME}"), "docker-archive:x.tar:@0"] {
                assert_eq!(room.done(&format!("resolve {reference}")).text().trim(), digest, "{age}: {reference}");
            }
            assert_eq!(room.done("show x.tar:1.0 --config").out, image.config, "{age}");
            let shown = room.done("show x.tar:1.0 --format json").json();
            assert_eq!(shown["config"]["digest"], image.id().to_string(), "{age}: the image's ID");
            assert_eq!(shown["platform"], json!({"architecture": "arm64", "os": "linux"}), "{age}");
            let suffix = if packed { "tar+gzip" } else { "tar" };
            for (at, layer) in image.layers.iter().enumerate() {
                let told = &shown["layers"][at];
                let media_type = format!("application/vnd.oci.image.layer.v1.{suffix}");
                assert_eq!(told["mediaType"], media_type, "{age}");
                let content = room.done(&format!("cat x.tar:1.0 --layer {}", at + 1)).out;
                assert_eq!(told["digest"], Digest::of(&content).to_string(), "{age}");
                assert_eq!(content == *layer, !packed, "{age}: as it is in the archive");
            }
            room.done("show x.tar:1.0 --platform linux/arm64");
            room.run("show x.tar:1.0 --platform linux/amd64").ended(3);
            assert_eq!(room.done("discover x.tar --format json").json()["referrers"], json!([]), "{age}");
            assert!(room.done("graph x.tar --format dot").text().contains("digraph"), "{age}");
            let used = room.done("du x.tar --format json").json();
            assert_eq!(used["roots"][0]["digest"], digest, "{age}");
            assert_eq!((&used["unreachable"], &used["absent"]), (&json!(0), &json!(0)), "{age}");
            assert_eq!(room.done("plan x.tar --format json").json()["blobs"], 4, "{age}");
            room.done("diff x.tar x.tar --exit-code");
            let checked = room.done("fsck x.tar --format json").json();
            assert_eq!((&checked["ok"], &checked["problems"]), (&json!(true), &json!([])), "{age}: {checked}");
            assert_eq!(room.done("plan x.tar").err.contains("manifest was generated"), !layout, "{age}");
        }
    }
}

/// ARCHIVE-2
#[test]
fn a_prefix_says_that_manifest_json_is_meant() {
    let image = Image::new();
    // The layout in it lists another image.
    let other = ocistow_testkit::draw("image other:2 = top").memory;
    let both = image.containers_image().file("oci-layout", OCI_LAYOUT).file("index.json", &other.index);
    let both = other.blobs.iter().fold(both, |both, (digest, bytes)| both.file(&digest.path(), bytes));
    let plain = both.tar();
    for bytes in [plain.clone(), zstd::encode_all(&*plain, 1).expect("there is room")] {
        let room = Room::with(&bytes);
        let tags = |line: &str| {
            let list = room.done(&format!("{line} --format json")).json()["manifests"].clone();
            list.as_array().expect("it is a list").iter().map(|entry| entry["tag"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(tags("ls x.tar"), ["2"]);
        assert_eq!(tags("ls docker-archive:x.tar"), ["1.0"]);
        for line in ["show", "discover", "graph", "du", "plan", "fsck", "resolve"] {
            room.done(&format!("{line} docker-archive:x.tar{}", if line == "resolve" { ":1.0" } else { "" }));
        }
        room.run("resolve x.tar:1.0").ended(3);
        for (line, made) in [
            ("import docker-archive:x.tar in", "in"),
            ("copy docker-archive:x.tar:1.0 copied", "copied"),
            ("export docker-archive:x.tar -o y.tar", "y.tar"),
        ] {
            room.done(line);
            assert_eq!(tags(&format!("ls {made}")), ["1.0"], "{line}");
        }
    }
    // Where only one of the two is there, it is that.
    let room = Room::with(&image.graph_driver().tar());
    room.done("resolve docker-archive:x.tar:1.0");
    room.done("export x.tar -o y.tar");
    room.done("resolve docker-archive:y.tar:1.0");
}

/// ARCHIVE-15
#[test]
fn what_docker_25_leaves_unreferenced_is_no_trouble_and_stays_behind() {
    let image = Image::new();
    let history = [br#"{"id":"1","container_config":{}}"#, br#"{"id":"2","container_config":{}}"#];
    let archive = history
        .iter()
        .fold(image.graph_driver_with_layout(), |archive, layer| archive.file(&Digest::of(*layer).path(), layer));
    let room = Room::with(&archive.tar());
    let imported = room.done("import x.tar in");
    assert!(!imported.err.contains("warning"), "{}", imported.err);
    assert_eq!(room.done("resolve in").text(), room.done("resolve x.tar").text());
    assert_eq!(room.done("fsck in --format json").json()["problems"], json!([]));
    for layer in history {
        assert!(!room.folder().join("in").join(Digest::of(layer).path()).exists());
    }
    let checked = room.done("fsck x.tar --format json").json();
    let kinds: Vec<_> = checked["problems"].as_array().expect("it is a list").iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["unreachable-blob"; 2]);
}

/// ARCHIVE-12
#[test]
fn a_layer_that_only_its_maker_may_hand_out_need_not_be_there() {
    let image = Image::new();
    let diff_id = Digest::of(&image.layers[1]);
    let source = json!({ diff_id.to_string(): {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": Digest::of(b"as its maker packs it").to_string(),
        "size": 1000,
        "urls": ["https://example.com/layer"],
    }});
    let archive = image.containers_image().saying(
        "manifest.json",
        "\"Layers\"",
        &format!("\"LayerSources\":{source},\"Layers\""),
    );
    for (archive, blobs) in [(archive.clone(), 4), (archive.without(&format!("{}.tar", diff_id.encoded())), 3)] {
        let room = Room::with(&archive.tar());
        room.done("import x.tar in");
        let checked = room.done("fsck in --format json").json();
        assert_eq!((&checked["problems"], &checked["checked"]["blobs"]), (&json!([]), &json!(blobs)));
        let layers = room.done("show in --format json").json()["layers"].clone();
        let kind = layers[1]["mediaType"].as_str().expect("it is text");
        assert!(kind.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar"), "{kind}");
        let manifest: serde_json::Value = serde_json::from_slice(&room.done("show in --raw").out).expect("it is JSON");
        assert_eq!(manifest["layers"][1]["urls"], json!(["https://example.com/layer"]));
        assert!(manifest["layers"][0].get("urls").is_none());
    }
}

#[test]
fn images_of_every_age_go_into_layouts_and_bundles_and_back() {
    let image = Image::new();
    for (age, draw, ..) in AGES {
        let room = Room::with(&draw(&image).tar());
        let digest = room.done("resolve x.tar").text();
        room.done("import x.tar imported");
        room.done("import x.tar renamed --tag 1.0=2.0");
        room.done("copy x.tar:1.0 copied");
        room.done("copy x.tar copied:other");
        room.done("export x.tar -o exported");
        room.done("export x.tar -o bundle.tar.gz");
        room.done("export x.tar --as docker -o docker.tar");
        for at in [
            "imported:1.0",
            "renamed:2.0",
            "copied:1.0",
            "copied:other",
            "exported:1.0",
            "bundle.tar.gz:1.0",
            "docker.tar:1.0",
        ] {
            assert_eq!(room.done(&format!("resolve {at}")).text(), digest, "{age}: {at}");
            assert_eq!(room.done(&format!("show --config {at}")).out, image.config, "{age}: {at}");
            let layout = at.rsplit_once(':').expect("it has a name").0;
            room.done(&format!("fsck {layout}"));
        }
        // What comes in from our own archive for Docker is the same again.
        assert_eq!(room.done(&format!("resolve docker.tar:{NAME}")).text(), digest, "{age}");
        room.done("diff imported docker.tar --exit-code");
        for line in [
            "tag x.tar:1.0 new",
            "untag x.tar:1.0",
            "rm x.tar:1.0",
            "push x.tar:new x.tar",
            "convert x.tar:1.0",
            "gc x.tar",
        ] {
            room.run(line).ended(2);
        }
    }
}

/// `export --as docker` of each is what podman, skopeo and crane load, with the ID it had.
#[test]
fn peers_read_what_we_make_for_docker_of_every_age() {
    let (skopeo, crane, podman) = (Peer::find("skopeo"), Peer::find("crane"), Peer::find_for_root("podman"));
    let image = Image::new();
    for (age, draw, ..) in AGES {
        let room = Room::with(&draw(&image).tar());
        room.done("export x.tar --as docker -o y.tar");
        for file in ["x.tar", "y.tar"] {
            if let Some(skopeo) = &skopeo {
                let config =
                    skopeo.done(room.folder(), &["inspect", "--config", "--raw", &format!("docker-archive:{file}")]);
                assert_eq!(Digest::of(&config.out), image.id(), "{age}: skopeo, {file}");
            }
            if let Some(crane) = &crane {
                crane.done(room.folder(), &["validate", "--tarball", file]);
            }
        }
        if let Some(podman) = &podman {
            let own = ["--root", "./containers", "--runroot", "./run", "--storage-driver", "vfs"];
            podman.done(room.folder(), &[&own[..], &["load", "-i", "y.tar"]].concat());
            let found = podman.done(room.folder(), &[&own[..], &["inspect", "--format", "{{.Id}}", NAME]].concat());
            assert_eq!(found.text().trim(), image.id().encoded(), "{age}: podman");
        }
    }
}

/// What is wrong with an archive, which commands have to say so, with what exit code, and a word they say.
type Wrong = (&'static str, fn(&Image) -> Archive, &'static [&'static str], i32, &'static str);

/// Those that only look at what an archive says of itself.
const LOOKING: &[&str] = &[
    "ls x.tar",
    "show x.tar",
    "resolve x.tar",
    "discover x.tar",
    "graph x.tar --format dot",
    "du x.tar",
    "plan x.tar",
];
/// Those that read everything.
const READING: &[&str] = &[
    "fsck x.tar",
    "import x.tar new",
    "copy x.tar new",
    "export x.tar -o new.tar",
    "export x.tar --as docker -o new.tar",
];

fn crossed(image: &Image) -> Archive {
    let [low, high] = ["0", "1"].map(|digit| format!("{}/layer.tar", digit.repeat(64)));
    image.graph_driver().with(&low, &image.layers[1]).with(&high, &image.layers[0])
}

/// ARCHIVE-6, ARCHIVE-7, ARCHIVE-11, ARCHIVE-13
#[test]
fn what_is_not_right_in_a_docker_archive_is_said_by_every_command() {
    let image = Image::new();
    let wrong: &[Wrong] = &[
        (
            "a layer is not there",
            |image| image.graph_driver().without(&format!("{}/layer.tar", "1".repeat(64))),
            LOOKING,
            5,
            "layer.tar",
        ),
        (
            "a link leads nowhere",
            |image| image.graph_driver_with_links().without(&format!("{}/layer.tar", "a".repeat(64))),
            LOOKING,
            5,
            "layer.tar",
        ),
        (
            "a link leads out",
            |image| {
                let own = format!("{}/layer.tar", "0".repeat(64));
                image.graph_driver().without(&own).link(&own, "../../../etc/passwd")
            },
            LOOKING,
            4,
            "layer.tar",
        ),
        (
            "the config is not there",
            |image| image.graph_driver().without(&format!("{}.json", image.id().encoded())),
            LOOKING,
            4,
            ".json",
        ),
        ("the config is no config", |image| image.jib().with("config.json", "[]"), LOOKING, 4, "config.json"),
        (
            "a layer is not listed",
            |image| {
                image.jib().saying(
                    "config.json",
                    "\"diff_ids\":[",
                    "\"diff_ids\":[\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",",
                )
            },
            LOOKING,
            4,
            "layers",
        ),
        ("manifest.json is none", |image| image.crane().with("manifest.json", "{"), LOOKING, 4, "manifest.json"),
        (
            "manifest.json is there twice",
            |image| image.crane().file("manifest.json", "[]"),
            LOOKING,
            4,
            "manifest.json",
        ),
        (
            "a compressed layer is another",
            |image| {
                let config = Digest::of(&image.layers[0]).to_string();
                image.jib().saying("config.json", &config, &Digest::of(b"another").to_string())
            },
            LOOKING,
            4,
            "unpacks",
        ),
        ("layers are swapped", crossed, READING, 4, "digest"),
        (
            "a layer is another",
            |image| image.graph_driver().with(&format!("{}/layer.tar", "1".repeat(64)), "another"),
            READING,
            4,
            "digest",
        ),
        ("Docker before 1.10", Image::before_configs, LOOKING, 3, "Docker before 1.10"),
    ];
    for (what, draw, looking, code, word) in wrong {
        let room = Room::with(&draw(&image).tar());
        let lines = looking.iter().chain(READING).copied();
        let lines: std::collections::BTreeSet<&str> = lines.collect();
        for line in lines {
            let ran = room.run(line);
            assert_eq!(ran.code, *code, "{what}: {ran}");
            assert!(ran.err.contains(word) || ran.text().contains(word), "{what}: {ran}");
            let left: Vec<_> = fs::read_dir(room.folder()).expect("it is there").flatten().collect();
            assert!(
                left.iter().all(|one| one.file_name() == "x.tar" || is_empty(&one.path())),
                "{what}: {line} {left:?}"
            );
        }
        if *looking == READING {
            // Looking reads no layer that is not compressed, however large.
            for line in LOOKING {
                room.done(line);
            }
        }
    }
}

/// Whether a directory has no layout in it.
fn is_empty(path: &Path) -> bool {
    path.is_dir() && !path.join("index.json").exists()
}

/// ARCHIVE-12
#[test]
fn several_images_of_one_archive_are_told_apart() {
    let image = Image::new();
    let second = r#"[{"Config":"config.json","RepoTags":["example.com/team/app:1.0","short:2"],"Layers":["#;
    let several = image.jib().saying(
        "manifest.json",
        r#"[{"Config":"config.json","RepoTags":["example.com/team/app:1.0"],"Layers":["#,
        second,
    );
    let room = Room::with(&several.tar());
    let tags = |location: &str| {
        let list = room.done(&format!("ls {location} --format json")).json();
        let mut names: Vec<String> = (list["manifests"].as_array().expect("a list").iter())
            .map(|entry| format!("{} {}", entry["tag"].as_str().unwrap_or("-"), entry["name"].as_str().unwrap_or("-")))
            .collect();
        names.sort();
        names
    };
    let expected = tags("x.tar");
    assert_eq!(expected.len(), 2, "{expected:?}");
    room.done("import x.tar layout");
    assert_eq!(tags("layout"), expected);
    assert_eq!(room.done("resolve x.tar:2").text(), room.done("resolve layout:1.0").text());

    let nameless = image.crane().saying("manifest.json", r#"["example.com/team/app:1.0"]"#, "null");
    let room = Room::with(&nameless.tar());
    let told = room.done("export x.tar --as docker -o y.tar");
    assert!(told.err.contains("--name"), "{told}");
    room.done("export x.tar --as docker --name example.com/named -o z.tar");
    done(&["fsck", room.folder().join("z.tar").to_str().expect("it is UTF-8")]);
    ocistow(["resolve", room.folder().join("layout").to_str().expect("it is UTF-8")]).ended(3);
}
