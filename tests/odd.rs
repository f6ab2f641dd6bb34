//! The odd layouts of the specification matrix (Appendix C), as a directory and as a tar, through the program.

use std::collections::BTreeSet;
use std::fs;

use ocistow_layout::memory::Memory;
use ocistow_testkit::fixtures::{self, Fixture};
use ocistow_testkit::{odd, to_dir, to_tar};
use tempfile::TempDir;

use crate::run::{Ran, done, ocistow};

/// A layout as both kinds of location.
struct World {
    space: TempDir,
}

impl World {
    fn of(layout: &Memory) -> Self {
        let space = tempfile::tempdir().expect("there is room");
        to_dir(layout, space.path().join("dir")).expect("there is room");
        fs::write(space.path().join("x.tar"), to_tar(layout)).expect("there is room");
        Self { space }
    }

    fn path(&self, name: &str) -> String {
        self.space.path().join(name).to_str().expect("it is UTF-8").into()
    }

    /// Runs the words on the directory and on the tar, which answer the same. `@` stands for the location.
    #[track_caller]
    fn both(&self, words: &[&str], code: i32) -> Ran {
        let [dir, tar] = ["dir", "x.tar"].map(|name| {
            let place = |word: &&str| match word.strip_prefix('@') {
                Some(rest) => self.path(name) + rest,
                None => (*word).to_owned(),
            };
            ocistow(words.iter().map(place)).ended(code)
        });
        // Columns are as wide as the location is long.
        let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let same = |ran: &Ran, name: &str| words(ran.text().replace(&self.path(name), "@"));
        assert_eq!(same(&dir, "dir"), same(&tar, "x.tar"));
        dir
    }

    /// The referrers of F:IMG-AMD64, by name.
    #[track_caller]
    fn referrers(&self, more: &[&str]) -> BTreeSet<String> {
        let amd = format!("@@{}", fixtures::IMG_AMD64.digest());
        let tree = self.both(&[&["discover", "--format", "json", &amd][..], more].concat(), 0).json();
        let nodes = tree["referrers"].as_array().expect("there is a list").clone();
        nodes.iter().map(|node| name(node["digest"].as_str().expect("it is text"))).collect()
    }

    /// The kinds of findings, with how the check ended.
    #[track_caller]
    fn findings(&self, code: i32) -> BTreeSet<String> {
        let report = self.both(&["fsck", "--format", "json", "@"], code).json();
        let problems = report["problems"].as_array().expect("there is a list").clone();
        problems.iter().map(|problem| problem["kind"].as_str().expect("it is text").into()).collect()
    }
}

/// What the matrix calls this digest.
fn name(digest: &str) -> String {
    let found = fixtures::ALL.iter().find(|fixture| fixture.digest().to_string() == digest);
    found.map_or_else(|| digest.into(), |fixture| fixture.name.into())
}

fn names(fixtures: &[Fixture]) -> BTreeSet<String> {
    fixtures.iter().map(|fixture| fixture.name.into()).collect()
}

/// REFERRERS-4, REFERRERS-15, COSIGN-1, and the styles of 3.7.
#[test]
fn the_same_referrers_are_found_however_they_are_kept() {
    for (how, layout) in [
        ("entries", odd::all_referrers()),
        ("fallback tag", odd::fallback()),
        ("olareg", odd::olareg()),
        ("containerd", odd::containerd()),
    ] {
        assert_eq!(World::of(&layout).referrers(&[]), names(&odd::THREE), "{how}");
    }
    assert_eq!(World::of(&odd::strict()).referrers(&[]), names(&[fixtures::REF_ARTIFACT]));
    assert_eq!(World::of(&odd::stale()).referrers(&[]), names(&[]));
    assert_eq!(World::of(&odd::cosign_tag()).referrers(&[]), names(&[fixtures::COSIGN_SIG]));
    assert_eq!(World::of(&odd::no_subject_size()).referrers(&[]), names(&[fixtures::REF_NO_SIZE]));
    let old = [fixtures::OCI_ARTIFACT_RC1, fixtures::OCI_ARTIFACT_RC2, fixtures::ORAS_ARTIFACT];
    assert_eq!(World::of(&odd::legacy()).referrers(&[]), names(&old));
}

/// Style (e) of 3.7, COSIGN-9.
#[test]
fn a_referrer_that_only_lies_in_blobs_is_found_by_looking_for_it() {
    let world = World::of(&odd::cosign_blob());
    assert_eq!(world.referrers(&[]), names(&[]));
    assert_eq!(world.referrers(&["--scan-blobs"]), names(&[fixtures::COSIGN_BUNDLE]));
}

/// REFERRERS-19.
#[test]
fn referrers_survive_the_crossing_however_they_are_kept() {
    for layout in
        [odd::all_referrers(), odd::fallback(), odd::olareg(), odd::containerd(), odd::cosign_tag(), odd::legacy()]
    {
        let world = World::of(&layout);
        let before = world.referrers(&[]);
        assert!(!before.is_empty());
        done(&["export", &world.path("dir:v1"), "-o", &world.path("out.tar")]);
        done(&["import", &world.path("out.tar"), &world.path("in")]);
        fs::rename(world.path("in"), world.path("dir.new")).expect("it is there");
        fs::remove_dir_all(world.path("dir")).expect("it is there");
        fs::rename(world.path("dir.new"), world.path("dir")).expect("it is there");
        fs::rename(world.path("out.tar"), world.path("x.tar")).expect("it is there");
        assert_eq!(world.referrers(&[]), before);
    }
}

#[test]
fn names_are_looked_up_in_their_order_and_ambiguity_is_said() {
    let world = World::of(&odd::two_latest());
    let ran = world.both(&["resolve", "@:latest"], 2);
    assert!(ran.err.contains(&world.path("dir:a")) && ran.err.contains(&world.path("dir:b")), "{ran}");
    for (reference, fixture) in [("@:a", fixtures::IMG_AMD64), ("@:docker.io/library/b:latest", fixtures::IMG_ARM64)] {
        assert_eq!(world.both(&["resolve", reference], 0).text().trim(), fixture.digest().to_string());
    }
    let world = World::of(&odd::duplicate_tag());
    world.both(&["resolve", "@:v1"], 2);
    assert_eq!(world.both(&["ls", "--format", "json", "@"], 0).json()["manifests"].as_array().map(Vec::len), Some(2));
    assert!(world.findings(0).contains("duplicate-tag"));
}

/// 4.6, 4.7.
#[test]
fn sloppy_indexes_are_read_and_mended_by_the_first_tag() {
    for layout in [odd::null(), odd::no_media_type()] {
        let world = World::of(&layout);
        world.findings(0);
        world.both(&["ls", "@"], 0);
        done(&["tag", &format!("{}@{}", world.path("dir"), fixtures::IMG_AMD64.digest()), "new"]);
        let index: serde_json::Value =
            serde_json::from_slice(&fs::read(world.path("dir/index.json")).expect("it is there")).expect("it is JSON");
        assert_eq!(index["mediaType"], fixtures::INDEX.media_type);
        assert!(index["manifests"].is_array());
    }
}

/// 4.16.
#[test]
fn an_absent_platform_is_legal_and_an_incomplete_answer_on_request() {
    let world = World::of(&odd::sparse());
    assert!(world.findings(0).contains("absent-child"));
    world.both(&["fsck", "--complete", "@"], 5);
    done(&["export", &world.path("dir:v1"), "-o", &world.path("out.tar")]);
    done(&["import", &world.path("out.tar"), &world.path("in")]);
}

/// DESCRIPTOR-4, DESCRIPTOR-5.
#[test]
fn wrong_bytes_are_found_and_never_carried() {
    for (kind, layout) in
        [("digest-mismatch", odd::corrupt()), ("size-mismatch", odd::cut()), ("size-mismatch", odd::grown())]
    {
        let world = World::of(&layout);
        assert!(world.findings(4).contains(kind), "{kind}: {:?}", world.findings(4));
        world.both(&["export", "@:v1", "-o", &world.path("out.tar")], 4);
        assert!(!fs::exists(world.path("out.tar")).expect("it can be asked"), "a bundle of wrong bytes was left");
        ocistow(["import", &world.path("x.tar"), &world.path("in")]).ended(4);
        // Whatever is left there names nothing.
        let left = ocistow(["ls", "--format", "json", &world.path("in")]);
        assert!(left.code == 3 || left.json()["manifests"].as_array().is_some_and(Vec::is_empty), "{left}");
    }
}

/// A layout with one entry, `v1`, beside the blobs of C-STRICT.
fn tagged(media_type: &str, text: &str) -> Memory {
    let mut layout = odd::strict();
    let digest = layout.add(text.as_bytes());
    layout.index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{media_type}","digest":"{digest}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"v1"}}}}]}}"#,
        text.len()
    )
    .into_bytes();
    layout
}

/// The text of a fixture with more members at its end.
fn with_more(fixture: Fixture, members: &str) -> String {
    let text = std::str::from_utf8(fixture.bytes).expect("it is text").trim_end();
    format!("{},{members}}}", text.strip_suffix('}').expect("it is an object"))
}

/// MANIFEST-15, MANIFEST-18, DIGEST-10.
#[test]
fn documents_that_mean_two_things_and_digests_that_are_none_are_refused() {
    World::of(&odd::ambiguous()).both(&["show", "@:v1"], 4);
    let image = fixtures::IMG_AMD64;
    let world = World::of(&tagged(image.media_type, &with_more(image, r#""layers":[],"a":1,"a":1"#)));
    assert!(world.findings(4).contains("bad-manifest"));
    world.both(&["export", "@:v1", "-o", &world.path("out.tar")], 4);
    ocistow(["gc", "--grace", "0", &world.path("dir")]).ended(4);
    ocistow(["import", &world.path("x.tar"), &world.path("in")]).ended(4);
    ocistow(["copy", &world.path("dir:v1"), &world.path("in")]).ended(4);
    fs::write(world.path("doubled.json"), with_more(image, r#""config":{}"#)).expect("there is room");
    ocistow(["manifest", "push", &world.path("dir"), &world.path("doubled.json")]).ended(4);
    let world = World::of(&odd::traversal());
    assert!(world.findings(4).contains("bad-digest"));
    world.both(&["export", "@:v1", "-o", &world.path("out.tar")], 4);
}

/// MANIFEST-17, DOCKER-COMPAT-9: an entry of a type that says nothing.
#[test]
fn an_image_that_nobody_calls_one_is_one_and_crosses_whole() {
    let image = fixtures::IMG_AMD64;
    for nothing in ["", "application/json"] {
        let world = World::of(&tagged(nothing, std::str::from_utf8(image.bytes).expect("it is text")));
        assert_eq!(world.both(&["ls", "--format", "json", "@"], 0).json()["manifests"][0]["kind"], "image");
        let shown = world.both(&["show", "--format", "json", "@:v1"], 0).json();
        assert_eq!((&shown["kind"], &shown["mediaType"]), (&"image".into(), &nothing.into()));
        world.both(&["show", "--config", "--platform", "linux/amd64", "@:v1"], 0);
        assert!(world.findings(0).contains("media-type-mismatch"));
        done(&["gc", "--grace", "0", &world.path("dir")]);
        done(&["export", &world.path("dir:v1"), "-o", &world.path("out.tar")]);
        done(&["import", &world.path("out.tar"), &world.path("in")]);
        done(&["fsck", &world.path("in")]);
        for blob in [image, fixtures::CONFIG_AMD64, fixtures::LAYER_GZ] {
            assert!(
                fs::exists(world.path("in") + "/" + &blob.digest().path()).expect("it can be asked"),
                "{}",
                blob.name
            );
        }
    }
}

/// DOCKER-COMPAT-7, DOCKER-COMPAT-9, MANIFEST-9: nothing is made of such an image, and nothing of it is lost in silence.
#[test]
fn an_image_of_dockers_first_schema_is_called_that_and_nothing_is_made_of_it() {
    let layer = fixtures::LAYER_GZ.digest();
    let text = format!(
        r#"{{"schemaVersion":1,"name":"a","tag":"b","architecture":"amd64","fsLayers":[{{"blobSum":"{layer}"}}],"history":[{{"v1Compatibility":"{{}}"}}]}}"#
    );
    let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for media_type in [signed, "application/vnd.docker.distribution.manifest.v1+json", "application/json"] {
        let world = World::of(&tagged(media_type, &text));
        let shown = world.both(&["show", "@:v1"], 0);
        assert!(shown.text().contains("docker schema 1"), "{shown}");
        assert_eq!(world.both(&["show", "--format", "json", "@:v1"], 0).json()["kind"], "other");
        if media_type != "application/json" {
            let listed = world.both(&["ls", "@"], 0);
            assert!(listed.text().contains("docker schema 1"), "{listed}");
        }
        for words in [["pull", "@:v1", "-o"], ["convert", "@:v1", "--to"]] {
            let place = words[1].replace('@', &world.path("dir"));
            let refused = ocistow([words[0], &place, words[2], if words[0] == "pull" { "out" } else { "oci" }]);
            assert!(refused.err.contains("Docker's first schema"), "{refused}");
            assert!(refused.code == 1 || words[0] == "convert", "{refused}");
        }
        let exported = done(&["export", &world.path("dir:v1"), "-o", &world.path("out.tar")]);
        assert!(exported.err.contains("its layers stay behind"), "{exported}");
        let imported = done(&["import", &world.path("out.tar"), &world.path("in")]);
        assert!(imported.err.contains("its layers stay behind"), "{imported}");
        done(&["gc", "--grace", "0", &world.path("dir")]);
        assert!(fs::exists(world.path("dir") + "/" + &layer.path()).expect("it can be asked"), "gc keeps its layers");
    }
}

#[test]
fn unusual_but_right_layouts_are_clean_and_keep_their_bytes() {
    for (name, layout) in [("docker", odd::docker()), ("nested", odd::nested()), ("sha512", odd::sha512())] {
        let world = World::of(&layout);
        world.findings(0);
        done(&["export", &world.path("dir:v1"), "-o", &world.path("out.tar")]);
        done(&["import", &world.path("out.tar"), &world.path("in")]);
        for (digest, bytes) in &layout.blobs {
            assert_eq!(fs::read(world.path("in") + "/" + &digest.path()).ok().as_ref(), Some(bytes), "{name} {digest}");
        }
    }
}

#[test]
fn an_empty_layout_is_clean_and_exports_nothing() {
    let world = World::of(&odd::empty());
    assert_eq!(world.findings(0), BTreeSet::new());
    world.both(&["export", "@", "-o", &world.path("out.tar")], 3);
}

/// C-TAR-CLASSIC, C-TAR-SWAP, ARCHIVE-13
#[test]
fn a_classic_docker_archive_comes_in_and_one_with_swapped_layers_does_not() {
    let space = tempfile::tempdir().expect("there is room");
    let path = |name: &str| space.path().join(name).to_str().expect("it is UTF-8").to_owned();
    let write = |name: &str, members: &[(&str, &[u8])]| {
        let mut builder = tar::Builder::new(fs::File::create(path(name)).expect("there is room"));
        for (name, bytes) in members {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).expect("there is room");
        }
        builder.finish().expect("there is room");
    };
    let config = format!("{}.json", fixtures::CONFIG_AMD64.digest().encoded());
    let layer = format!("{:064}/layer.tar", 1);
    let manifest = ("manifest.json", fixtures::DOCKER_MANIFEST_JSON.bytes);
    let repositories = ("repositories", fixtures::DOCKER_REPOSITORIES.bytes);
    let classic =
        |layer_bytes| [(&*config, fixtures::CONFIG_AMD64.bytes), (&*layer, layer_bytes), manifest, repositories];
    write("classic.tar", &classic(fixtures::LAYER_TAR.bytes));
    done(&["import", &path("classic.tar"), &path("store")]);
    let shown = done(&["show", "--raw", &path("store:example/app:v1")]).json();
    let id = "sha256:83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2";
    assert_eq!(shown["config"]["digest"], id);

    let other = vec![b'x'; fixtures::LAYER_TAR.bytes.len()];
    write("swapped.tar", &classic(&other));
    let report = ocistow(["fsck", "--format", "json", &path("swapped.tar")]).ended(4).json();
    assert_eq!(report["problems"][0]["kind"], "digest-mismatch");
    ocistow(["export", &path("swapped.tar"), "-o", &path("out.tar")]).ended(4);
    ocistow(["import", &path("swapped.tar"), &path("other")]).ended(4);
    assert!(
        !fs::exists(path("out.tar")).expect("it can be asked")
            && !fs::exists(path("other/index.json")).expect("it can be asked")
    );

    write("lacking.tar", &[(&*config, fixtures::CONFIG_AMD64.bytes), manifest]);
    ocistow(["import", &path("lacking.tar"), &path("other")]).ended(5);
    write("headless.tar", &[(&*layer, fixtures::LAYER_TAR.bytes), manifest]);
    ocistow(["import", &path("headless.tar"), &path("other")]).ended(4);
    write("malformed.tar", &[("manifest.json", b"[{")]);
    ocistow(["ls", &path("malformed.tar")]).ended(4);
}

/// C-EXTRA, 4.9, LAYOUT-18: what known tools leave is nobody's business; what nobody knows is named, and no error.
#[test]
fn what_other_tools_leave_is_clean_and_what_nobody_knows_is_named() {
    let world = World::of(&odd::strict());
    let hex = "c".repeat(64);
    let put = |name: &str| {
        let path = world.path("dir") + "/" + name;
        fs::create_dir_all(std::path::Path::new(&path).parent().expect("it has one")).expect("there is room");
        fs::write(path, "x").expect("there is room");
    };
    for name in [
        "manifest.json",
        "repositories",
        "index.json.lock",
        "index.json.12.tmp",
        "ingest/x",
        "_uploads/1/data",
        ".uploads/x",
        "oci-put-blob12",
        ".umoci-x/y",
        "version",
        "LICENSE",
        "SHA256SUMS",
        ".ocistow/staging/1/x",
        "ocistow/volume.json",
        &format!("{hex}.json"),
        &format!("{hex}/layer.tar"),
        &format!("blobs/sha256/{hex}.1.tmp"),
    ] {
        put(name);
    }
    let report = done(&["fsck", "--format", "json", &world.path("dir")]).json();
    assert_eq!(report["problems"], serde_json::json!([]));
    for name in ["notes.txt", "blobs/README", "blobs/sha256/README", "ocistow/other"] {
        put(name);
    }
    let report = done(&["fsck", "--format", "json", &world.path("dir")]).json();
    let problems = report["problems"].as_array().expect("there is a list");
    assert!(problems.iter().all(|problem| problem["kind"] == "stray-file"), "{problems:?}");
    let paths: Vec<_> = problems.iter().map(|problem| problem["path"].as_str().expect("it is text")).collect();
    assert_eq!(paths, ["blobs/README", "blobs/sha256/README", "notes.txt", "ocistow/other"]);
}

/// LAYOUT-19: links that leave, dangle or loop, and things that are no files, are no blobs; a link that stays inside is
/// read.
#[test]
fn what_can_be_no_blob_is_an_error_that_names_it() {
    let layer = fixtures::LAYER_GZ.digest().path();
    type Put = fn(&std::path::Path) -> std::io::Result<()>;
    let ways: [(&str, Put); 5] = [
        ("leaves", |at| std::os::unix::fs::symlink("/etc/passwd", at)),
        ("dangles", |at| std::os::unix::fs::symlink("nowhere", at)),
        ("loops", |at| std::os::unix::fs::symlink(at.file_name().expect("it has one"), at)),
        ("directory", |at| fs::create_dir(at)),
        ("socket", |at| std::os::unix::net::UnixListener::bind(at).map(drop)),
    ];
    for (way, put) in ways {
        let world = World::of(&odd::strict());
        let dir = world.space.path().join("dir");
        fs::remove_file(dir.join(&layer)).expect("it is there");
        // A socket's path has to be short.
        let short = world.space.path().join("s");
        put(&short).expect("there is room");
        if way == "loops" {
            fs::remove_file(&short).expect("it is there");
            put(&dir.join(&layer)).expect("there is room");
        } else {
            fs::rename(&short, dir.join(&layer)).expect("it can be moved");
        }
        let report = ocistow(["fsck", "--format", "json", &world.path("dir")]).ended(4).json();
        let told: Vec<_> = report["problems"].as_array().expect("there is a list").iter().collect();
        assert_eq!(told.len(), 2, "{way}: {told:?}");
        assert_eq!((&told[0]["kind"], &told[0]["path"]), (&"bad-link".into(), &layer.clone().into()), "{way}");
        assert_eq!(told[1]["kind"], "missing-blob", "{way}");
    }
    let world = World::of(&odd::strict());
    let dir = world.space.path().join("dir");
    fs::rename(dir.join(&layer), dir.join("blobs/elsewhere.tmp")).expect("it is there");
    std::os::unix::fs::symlink("../elsewhere.tmp", dir.join(&layer)).expect("there is room");
    done(&["fsck", &world.path("dir")]);
    fs::rename(dir.join("blobs"), dir.join("moved.tmp")).expect("it is there");
    let report = ocistow(["fsck", "--format", "json", &world.path("dir")]).ended(4).json();
    let first = &report["problems"][0];
    assert_eq!((&first["kind"], &first["path"]), (&"bad-oci-layout".into(), &"blobs".into()));
}

/// A file that the system does not let us read may be right: that is no finding, and no clean bill either.
#[test]
fn what_may_not_be_read_is_told_and_the_rest_is_checked() {
    use std::os::unix::fs::PermissionsExt;

    use crate::run::Peer;
    let world = World::of(&odd::corrupt());
    let secret = fixtures::CONFIG_ARM64.digest().path();
    let file = world.path("dir") + "/" + &secret;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("it is ours");
    let mut words = vec!["fsck".to_owned(), "--format".into(), "json".into(), world.path("dir")];
    let ran = if fs::File::open(&file).is_ok() {
        // To root nothing is closed.
        let Some(setpriv) = Peer::find("setpriv") else { return };
        fs::set_permissions(world.space.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let program = world.path("ocistow");
        // Not by this process: a test beside this one that starts a program would hold it open for writing.
        let copied = std::process::Command::new("cp").args([env!("CARGO_BIN_EXE_ocistow"), &program]).status();
        assert!(copied.expect("there is cp").success());
        words.splice(0..0, ["--reuid=65534", "--regid=65534", "--clear-groups", "--", &program].map(str::to_owned));
        setpriv.run(world.space.path(), &words.iter().map(String::as_str).collect::<Vec<_>>())
    } else {
        ocistow(&words)
    };
    let report = ran.ended(1).json();
    assert_eq!((&report["ok"], &report["error"]["code"]), (&false.into(), &"failed".into()));
    assert_eq!(report["unread"][0]["path"], *secret);
    assert!(report["unread"][0]["message"].as_str().is_some_and(|why| why.contains("Permission denied")), "{report}");
    assert_eq!(report["problems"][0]["kind"], "digest-mismatch");
}
