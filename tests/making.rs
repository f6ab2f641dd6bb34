//! Artifacts and indexes made from scripts: what comes out, what comes back, and what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ocistow_layout::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::{Ran, fixture, ocistow_in, shell};
use crate::walk;

/// A folder with some files in it.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().expect("there is room"));
        bench.write("a.txt", "hi\n");
        bench.write("b.txt", "two");
        bench.write("d/sub/x", "deep");
        bench.write("d/y", "flat");
        bench.write("cfg.json", "{\"c\":1}\n");
        symlink("sub/x", bench.folder().join("d/link")).expect("there is room");
        bench
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.folder().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("there is room");
        fs::write(path, content).expect("there is room");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
    }

    fn run(&self, line: &str) -> Ran {
        ocistow_in(self.folder(), line.split_whitespace())
    }

    #[track_caller]
    fn done(&self, line: &str) -> Ran {
        self.run(line).ended(0)
    }

    /// A command that prints a digest with `-q`.
    #[track_caller]
    fn digest(&self, line: &str) -> String {
        self.done(&format!("{line} -q")).text().trim().to_owned()
    }

    fn manifest(&self, reference: &str) -> Value {
        self.done(&format!("show --raw {reference}")).json()
    }

    /// What lies in a folder, as text.
    fn tree(&self, folder: &str) -> BTreeMap<String, String> {
        let text = |(path, bytes): (String, Vec<u8>)| (path, String::from_utf8_lossy(&bytes).into_owned());
        walk::files(&self.folder().join(folder)).into_iter().map(text).collect()
    }

    /// Makes a manifest by hand, with these as its layers' annotations, all of the content `hi\n`.
    fn artifact(&self, layout: &str, layers: &[Value]) {
        self.done(&format!("push {layout}:base a.txt"));
        let layer = |annotations: &Value| json!({"mediaType": "x/y", "digest": Digest::of(b"hi\n").to_string(), "size": 3, "annotations": annotations});
        let mut manifest = self.manifest(&format!("{layout}:base"));
        manifest["layers"] = layers.iter().map(layer).collect();
        self.write("manifest.json", manifest.to_string());
        self.done(&format!("manifest push {layout}:made manifest.json"));
    }
}

const TITLE: &str = "org.opencontainers.image.title";

#[test]
fn push_makes_an_artifact_of_files_and_directories() {
    let bench = Bench::new();
    let pushed = bench.done("push lay:v1 a.txt b.txt:text/plain d --format json").json();
    let manifest = bench.manifest("lay:v1");
    let layers: Vec<(&Value, &Value)> = (manifest["layers"].as_array().expect("it is a list").iter())
        .map(|layer| (&layer["mediaType"], &layer["annotations"][TITLE]))
        .collect();
    let gzip = json!("application/vnd.oci.image.layer.v1.tar+gzip");
    let expected = [
        (json!("application/vnd.oci.image.layer.v1.tar"), json!("a.txt")),
        (json!("text/plain"), json!("b.txt")),
        (gzip, json!("d")),
    ];
    assert_eq!(layers, expected.iter().map(|(one, other)| (one, other)).collect::<Vec<_>>());
    assert_eq!(manifest["artifactType"], "application/vnd.unknown.artifact.v1");
    assert_eq!(manifest["layers"][2]["annotations"]["io.deis.oras.content.unpack"], "true");
    assert_eq!(manifest.get("annotations"), None, "nothing tells when");
    let digest = bench.done("resolve lay:v1").text().trim().to_owned();
    let size = bench.done("show --raw lay:v1").out.len();
    let expected = json!({
        "reference": format!("lay@{digest}"),
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest,
        "size": size,
        "artifactType": "application/vnd.unknown.artifact.v1",
        "tags": ["v1"],
    });
    assert_eq!(pushed, expected);
    let text = bench.done("push lay:v1 a.txt b.txt:text/plain d").text();
    assert_eq!(text, format!("v1  {digest}\npushed 2 files and 1 directory\n"));
    assert_eq!(bench.digest("push lay:v1 a.txt b.txt:text/plain d"), digest);
    bench.done("fsck lay");
}

#[test]
fn what_was_pushed_comes_back() {
    let bench = Bench::new();
    fs::set_permissions(bench.folder().join("d/y"), fs::Permissions::from_mode(0o755)).expect("it is ours");
    bench.done("push lay:v1 a.txt d --config cfg.json:x/y");
    bench.done("export lay:v1 -o lay.tar");
    bench.done("export lay:v1 -o lay.tar.gz");
    for (at, from) in ["lay:v1", "lay.tar:v1", "lay.tar.gz", "lay"].iter().enumerate() {
        let out = format!("out{at}");
        bench.done(&format!("pull {from} -o {out}"));
        let expected = [("a.txt", "hi\n"), ("d/sub/x", "deep"), ("d/y", "flat")];
        let expected = expected.map(|(path, content)| (path.to_owned(), content.to_owned()));
        assert_eq!(bench.tree(&out), expected.into(), "{from}");
        let link = fs::read_link(bench.folder().join(&out).join("d/link")).expect("it is a link");
        assert_eq!(link, Path::new("sub/x"));
        let mode = fs::metadata(bench.folder().join(&out).join("d/y")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "what could be run still can");
    }
    let pulled = bench.done("pull lay:v1 -o out --format json").json();
    let paths: Vec<&str> =
        pulled["files"].as_array().expect("a list").iter().filter_map(|file| file["path"].as_str()).collect();
    assert_eq!(paths, ["out/a.txt", "out/d"]);
    assert_eq!(pulled["files"][0]["digest"], Digest::of(b"hi\n").to_string());
    assert_eq!(pulled["digest"], bench.done("resolve lay:v1").text().trim());
    // Into the working directory, where all of it is already.
    bench.write("a.txt", "changed");
    bench.done("pull lay:v1");
    assert_eq!(bench.read("a.txt"), "hi\n");
}

#[test]
fn a_working_directory_can_be_pushed_and_pulled() {
    let bench = Bench::new();
    let at = |line: &str| ocistow_in(&bench.folder().join("d"), line.split_whitespace());
    at("push ../lay:v1 .").ended(0);
    bench.done("pull lay:v1 -o out");
    assert_eq!(bench.tree("out"), bench.tree("d"));
    let inside = at("push lay:v1 .").ended(2);
    assert!(inside.err.contains("lies in it"), "{inside}");
    assert!(!bench.folder().join("d/lay").exists());
}

/// The words of `FILE[:MEDIATYPE]`.
#[test]
fn a_file_may_have_a_media_type_behind_it() {
    let bench = Bench::new();
    bench.write("x:y/z", "a file");
    bench.write("plain", "a file");
    for (argument, title, media_type) in [
        ("plain", "plain", "application/vnd.oci.image.layer.v1.tar"),
        ("plain:", "plain", "application/vnd.oci.image.layer.v1.tar"),
        ("plain:a/b", "plain", "a/b"),
        ("./plain:a/b+c", "plain", "a/b+c"),
        ("x:y/z", "x:y/z", "application/vnd.oci.image.layer.v1.tar"),
        ("x:y/z:a/b", "x:y/z", "a/b"),
        ("d:a/b", "d", "a/b"),
        ("d/", "d", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("d/../plain", "plain", "application/vnd.oci.image.layer.v1.tar"),
    ] {
        bench.done(&format!("push lay:v1 {argument}"));
        let layer = bench.manifest("lay:v1")["layers"][0].clone();
        assert_eq!(
            (&layer["annotations"][TITLE], &layer["mediaType"]),
            (&json!(title), &json!(media_type)),
            "{argument}"
        );
    }
}

#[test]
fn annotations_come_from_flags_and_from_a_file() {
    let bench = Bench::new();
    let said = json!({
        "$manifest": {"foo": "bar", "both": "file"},
        "$config": {"hello": "config"},
        "a.txt": {"fun": "more", TITLE: "renamed/a"},
        "./b.txt": {"x": "y"},
        "gone": {"x": "y"},
    });
    bench.write("said.json", said.to_string());
    let pushed = bench.done("push lay:v1 a.txt ./b.txt --annotation-file said.json --annotation both=flag -a k=a=b");
    assert!(pushed.err.contains("warning: the annotations of \"gone\""), "{pushed}");
    let manifest = bench.manifest("lay:v1");
    assert_eq!(manifest["annotations"], json!({"foo": "bar", "both": "flag", "k": "a=b"}));
    assert_eq!(manifest["config"]["annotations"], json!({"hello": "config"}));
    assert_eq!(manifest["layers"][0]["annotations"], json!({"fun": "more", TITLE: "renamed/a"}));
    assert_eq!(manifest["layers"][1]["annotations"], json!({"x": "y", TITLE: "b.txt"}));
    bench.done("pull lay:v1 -o out");
    assert_eq!(bench.read("out/renamed/a"), "hi\n");
}

#[test]
fn a_config_says_what_an_artifact_is_unless_somebody_else_does() {
    let bench = Bench::new();
    let kind = |flags: &str| {
        bench.done(&format!("push lay:v1 a.txt {flags}"));
        let manifest = bench.manifest("lay:v1");
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!("{} {}", text(&manifest["artifactType"]), text(&manifest["config"]["mediaType"]))
    };
    let empty = "application/vnd.oci.empty.v1+json";
    assert_eq!(kind(""), format!("application/vnd.unknown.artifact.v1 {empty}"));
    assert_eq!(kind("--artifact-type a/b"), format!("a/b {empty}"));
    assert_eq!(kind("--config cfg.json:x/y"), "- x/y");
    assert_eq!(kind("--config cfg.json"), "- application/vnd.unknown.config.v1+json");
    assert_eq!(kind("--config cfg.json:x/y --artifact-type a/b"), "a/b x/y");
    assert_eq!(kind(&format!("--config cfg.json:{empty}")), format!("application/vnd.unknown.artifact.v1 {empty}"));
    bench.done("fsck lay");
}

/// Nobody can tell from an artifact who made it, when, and on how many cores.
#[test]
fn the_same_content_is_the_same_artifact() {
    let bench = Bench::new();
    bench.write("d/long", vec![b'x'; 5 << 20]);
    let first = bench.digest("push one:v1 a.txt d --threads 1");
    let ran = shell(
        bench.folder(),
        "umask 077; cp -r d e; find d e -exec touch -d 2001-01-01 {} +; TZ=Asia/Tokyo LC_ALL=C HOME=/ \
         ocistow push -q two:v1 a.txt d --threads 5",
    );
    assert_eq!(ran.ended(0).text().trim(), first);
    let given = shell(bench.folder(), "SOURCE_DATE_EPOCH=1700000000 ocistow push -q three:v1 a.txt d").ended(0);
    assert_ne!(given.text().trim(), first, "a moment that was given shows");
    let created = &bench.manifest("three:v1")["annotations"]["org.opencontainers.image.created"];
    assert_eq!(created, "2023-11-14T22:13:20Z");
    let again = shell(bench.folder(), "SOURCE_DATE_EPOCH=1700000000 ocistow push -q four:v1 a.txt d").ended(0);
    assert_eq!(again.text(), given.text());
    let own =
        "SOURCE_DATE_EPOCH=1 ocistow push -q five:v1 a.txt -a org.opencontainers.image.created=2020-01-01T00:00:00Z";
    shell(bench.folder(), own).ended(0);
    let created = &bench.manifest("five:v1")["annotations"]["org.opencontainers.image.created"];
    assert_eq!(created, "2020-01-01T00:00:00Z", "who says it himself is right");
}

#[test]
fn what_cannot_be_meant_makes_nothing() {
    let bench = Bench::new();
    let long = "x".repeat(256);
    fs::create_dir(bench.folder().join("sub")).expect("there is room");
    let absolute = bench.folder().join("a.txt").display().to_string();
    bench.write("bad.json", "{\"a.txt\":[]}");
    bench.write("key.json", "{\"a.txt\":{\"a b\":\"c\"}}");
    bench.write("up.json", format!("{{\"a.txt\":{{\"{TITLE}\":\"../x\"}}}}"));
    bench.write("not.tar", "");
    symlink("/etc/passwd", bench.folder().join("sub/out")).expect("there is room");
    let table: &[(i32, &str, &str)] = &[
        (2, "push lay a.txt", "a tag is needed"),
        (
            2,
            "push lay@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a a.txt",
            "a tag is needed",
        ),
        (2, "push lay:.x a.txt", "neither a tag"),
        (2, "push lay:x/ a.txt", "neither a tag"),
        (2, "push docker://x a.txt", "not a place on disk"),
        (2, "push not.tar:v1 a.txt", "no directory"),
        (3, "push none/lay:v1 a.txt", "could not make"),
        (3, "push lay:v1 none", "could not open none"),
        (3, "push lay:v1 none:a/b", "could not open none"),
        (3, "push lay:v1 none:b", "could not open none:b"),
        (2, "push lay:v1 a.txt:b", "as a media type"),
        (2, "push lay:v1 a.txt:a/b;c", "as a media type"),
        (2, "push lay:v1 a.txt:a/b/c", "as a media type"),
        (2, "push lay:v1 a.txt --artifact-type b", "--artifact-type"),
        (2, "push lay:v1 a.txt --title ../x", "lead upwards"),
        (2, "push lay:v1 a.txt --title /x", "absolute"),
        (2, "push lay:v1 a.txt --title LONG", "longer than 255"),
        (2, "push lay:v1 a.txt --title .", "could not call a file"),
        (2, "push lay:v1 a.txt b.txt --title x", "--title"),
        (2, "push lay:v1 ABSOLUTE", "--title NAME"),
        (3, "push lay:v1 sub/../../x/a.txt", "could not open"),
        (2, "push lay:v1 a.txt ./a.txt", "twice"),
        (2, "push lay:v1 d d/y", "lies in it"),
        (2, "push lay:v1 a.txt --annotation x", "KEY=VALUE"),
        (2, "push lay:v1 a.txt --annotation =x", "key of an annotation"),
        (2, "push lay:v1 a.txt --annotation a\tb=x", "key of an annotation"),
        (2, "push lay:v1 a.txt -a k=1 -a k=2", "twice"),
        (2, "push lay:v1 a.txt -a org.opencontainers.image.created=today", "moment"),
        (2, "push lay:v1 a.txt --annotation-file bad.json", "as annotations"),
        (2, "push lay:v1 a.txt --annotation-file key.json", "no key"),
        (2, "push lay:v1 a.txt --annotation-file up.json", "lead upwards"),
        (3, "push lay:v1 a.txt --annotation-file none.json", "none.json"),
        (2, "push lay:v1 a.txt --config d:x/y", "it is a directory"),
        (3, "push lay:v1 a.txt --config none:x/y", "none"),
        (2, "push lay:v1 a.txt --config cfg.json:application/vnd.oci.image.config.v1+json", "an image's"),
        (2, "push lay:v1 /dev/null --title x", "neither a file nor a directory"),
        (1, "push lay:v1 sub", "may lead out"),
        (2, "attach lay:v1 a.txt", "--artifact-type"),
        (3, "attach lay:v1 a.txt --artifact-type a/b", "could not open lay"),
        (3, "manifest push lay:v1 none.json", "none.json"),
        (4, "manifest push lay:v1 a.txt", "could not take the manifest"),
        (3, "blob push lay none", "none"),
        (2, "blob push lay:v1 a.txt", "no tag"),
        (3, "index create lay:v1 x", "could not open lay"),
        (2, "index create lay:v1", "REF"),
    ];
    let before = bench.tree(".");
    for (code, line, expected) in table {
        let line = line.replace("LONG", &long).replace("ABSOLUTE", &absolute);
        let ran = ocistow_in(bench.folder(), line.split(' ')).ended(*code);
        assert!(ran.err.contains(expected), "{ran}");
        assert_eq!(bench.tree("."), before, "{line}");
        assert!(!bench.folder().join("lay").exists(), "{line}");
    }
    let ran = shell(bench.folder(), "SOURCE_DATE_EPOCH=never ocistow push lay:v1 a.txt").ended(2);
    assert!(ran.err.contains("SOURCE_DATE_EPOCH"), "{ran}");
    assert!(!bench.folder().join("lay").exists());
}

/// A file of a system's own has content and no size: nobody can tell when it is read to its end.
#[test]
fn what_says_to_be_empty_and_is_not_is_never_stored_as_empty() {
    let bench = Bench::new();
    bench.done("push lay:v1 a.txt");
    let before = bench.tree("lay");
    for line in [
        "push lay:v2 /proc/version --title x",
        "push lay:v2 a.txt --config /proc/version:x/y",
        "attach lay:v1 --artifact-type a/b /proc/version --title x",
        "blob push lay /proc/version",
        "manifest push lay:v2 /proc/version",
        "push lay:v2 a.txt --annotation-file /proc/version",
    ] {
        let ran = bench.run(line).ended(1);
        assert!(ran.err.contains("could not read /proc/version") && ran.err.contains("no size"), "{ran}");
        assert_eq!(bench.tree("lay"), before, "{line}");
    }
    bench.write("empty", "");
    bench.done("push lay:v2 empty");
}

/// Every command that names or makes something in a layout that is there.
#[test]
fn what_is_no_name_type_or_key_changes_nothing() {
    let bench = Bench::new();
    bench.done(&format!("copy {} lay", fixture("hello:1.0")));
    bench.done("export lay -o lay.tar");
    bench.write("m.json", bench.done("show --raw lay:1.0 --platform linux/amd64").text());
    bench.write("notes.json", r#"{"$manifest":{"a b":"c"}}"#);
    let long = "x".repeat(256);
    let names = [
        "tag lay:1.0 NAME",
        "tag lay:1.0 fine NAME",
        "push lay:NAME a.txt",
        "manifest push lay:NAME m.json",
        "index create lay:NAME 1.0",
        "index add lay:NAME 1.0",
        "index rm lay:NAME sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "convert lay:1.0 NAME --to docker",
        "copy lay:1.0 lay:NAME",
        "copy lay.tar:1.0 new:NAME",
        "copy lay:1.0 new.tar:NAME",
        "import lay.tar lay --tag 1.0=NAME",
        "import lay.tar new --tag 1.0=fine --tag 1.0=NAME",
    ];
    let bad = [".x", "x/", "a//b", "host/x:"];
    let mut table: Vec<(i32, String, &str)> = Vec::new();
    for line in names {
        table.extend(bad.map(|name| (2, line.replace("NAME", name), "as a name")));
    }
    for made in ["attach lay:1.0 --artifact-type a/b", "push lay:new"] {
        for (words, why) in [
            ("a.txt:b", "as a media type"),
            ("a.txt --title ../x", "lead upwards"),
            ("a.txt --title /x", "absolute"),
            ("a.txt --title LONG", "longer than 255"),
            ("a.txt ./a.txt", "twice"),
            ("d d/y", "lies in it"),
            ("a.txt --annotation =x", "key of an annotation"),
            ("a.txt --annotation k=1 --annotation k=2", "twice"),
            ("a.txt --annotation-file notes.json", "no key"),
            ("a.txt --config d:x/y", "it is a directory"),
        ] {
            table.push((2, format!("{made} {words}").replace("LONG", &long), why));
        }
    }
    for (line, why) in [
        ("attach lay:1.0 --artifact-type b a.txt", "--artifact-type"),
        ("push lay:new a.txt --artifact-type b", "--artifact-type"),
        ("index create lay:new 1.0 --artifact-type b", "--artifact-type"),
        ("index create lay:new 1.0 --annotation =x", "key of an annotation"),
        ("index create lay:new 1.0 -a k=1 -a k=2", "twice"),
        ("import lay.tar lay --tag 1.0", "OLD=NEW"),
        ("export lay:1.0 --platform linux/arm64 --as docker -o new.tar --name a/b:tag", "name of a repository"),
        ("export lay:1.0 --platform linux/arm64 --as docker -o new.tar --name Upper", "name of a repository"),
        ("export lay:1.0 --platform linux/arm64 --as docker -o new.tar --name example.com/", "name of a repository"),
        ("plan lay:1.0 --platform linux/arm64 --as docker --name a//b", "name of a repository"),
    ] {
        table.push((2, line.to_owned(), why));
    }
    let before = bench.tree(".");
    for (code, line, why) in table {
        let ran = bench.run(&line).ended(code);
        assert!(ran.err.contains(why), "{ran}");
        assert_eq!(bench.tree("."), before, "{line}");
    }
    // A name that others left there can still be named, to be rid of it.
    let index = bench.read("lay/index.json").replace("\"1.0\"", "\".x\"");
    bench.write("lay/index.json", index);
    bench.done("tag lay:.x fine");
    bench.done("untag lay:.x");
    bench.done("resolve lay:fine");
}

#[test]
fn attach_refers_to_what_is_named() {
    let bench = Bench::new();
    fs_extra::dir::copy(fixture("hello"), bench.folder(), &fs_extra::dir::CopyOptions::new()).expect("there is room");
    let own = |line: &str| bench.done(line).text().trim().to_owned();
    let index = own("resolve hello:1.0");
    let arm = own("resolve hello:1.0 --platform linux/arm64");
    for (what, subject) in [
        ("hello:1.0".to_owned(), &index),
        ("hello".to_owned(), &index),
        (format!("hello@{index}"), &index),
        (format!("hello@{arm}"), &arm),
        ("hello:1.0 --platform linux/arm64".to_owned(), &arm),
    ] {
        let words = format!("attach {what} --artifact-type a/b a.txt -a what={} --format json", what.replace(' ', "_"));
        let attached = bench.done(&words).json();
        assert_eq!(attached["subject"]["digest"], **subject, "{what}");
        assert_eq!(attached["tags"], json!([]));
        let digest = attached["digest"].as_str().expect("it is text");
        let manifest = bench.manifest(&format!("hello@{digest}"));
        let members: Vec<&String> = manifest["subject"].as_object().expect("an object").keys().collect();
        assert_eq!(members, ["digest", "mediaType", "size"]);
        let found = bench.done(&format!("discover hello@{subject} --artifact-type a/b --format json")).json();
        let found = found["referrers"].as_array().expect("a list").iter().any(|referrer| referrer["digest"] == digest);
        assert!(found, "{what}");
    }
    bench.done("fsck hello");
    // Made once more, it is the same, and there once.
    let before = bench.read("hello/index.json");
    bench.done("attach hello:1.0 --artifact-type a/b a.txt -a what=hello:1.0");
    assert_eq!(bench.read("hello/index.json"), before);

    let config = bench.manifest(&format!("hello@{arm}"))["config"]["digest"].as_str().expect("text").to_owned();
    let nothing = bench.run("attach hello:1.0 --artifact-type a/b").ended(2);
    assert!(nothing.err.contains("neither a file nor an annotation"), "{nothing}");
    bench.run(&format!("attach hello@{config} --artifact-type a/b a.txt")).ended(2);
    bench.run("attach hello:none --artifact-type a/b a.txt").ended(3);
    bench.run("attach hello:1.0 --platform linux/s390x --artifact-type a/b a.txt").ended(3);
    bench.done("export hello -o hello.tar");
    bench.run("attach hello.tar:1.0 --artifact-type a/b a.txt").ended(2);
    assert_eq!(bench.read("hello/index.json"), before);
    // An annotation alone is enough.
    bench.done("attach hello:1.0 --artifact-type a/b -a seen=yes");
}

#[test]
fn titles_of_enemies_are_never_written() {
    let bench = Bench::new();
    for (at, title) in ["../x", "/x", "", "a/../../x", "a\0b", &"x".repeat(256), "..", ".", "a/.."].iter().enumerate() {
        let layout = format!("lay{at}");
        bench.artifact(&layout, &[json!({TITLE: "fine"}), json!({TITLE: title})]);
        let before = bench.tree(".");
        let refused = bench.run(&format!("pull {layout}:made -o out")).ended(4);
        assert!(refused.err.contains("error: could not "), "{refused}");
        assert_eq!(bench.tree("."), before, "{title:?}");
        assert!(!bench.folder().join("out").exists(), "{title:?}");
    }
    for titles in [["x", "x"], ["x", "./x"], ["x/y", "x//y"], ["x", "x/y"]] {
        bench.artifact("lay", &[json!({TITLE: titles[0]}), json!({TITLE: titles[1]})]);
        bench.run("pull lay:made -o out").ended(4);
        assert!(!bench.folder().join("out").exists(), "{titles:?}");
    }
    // What says that it is a packed directory and is none.
    let packed = json!({TITLE: "d", "io.deis.oras.content.unpack": "true"});
    bench.artifact("lay", &[packed]);
    bench.run("pull lay:made -o out").ended(4);
    let packed = json!({TITLE: "d", "io.deis.oras.content.unpack": "true", "io.deis.oras.content.digest": "x"});
    bench.artifact("lay", &[packed]);
    bench.run("pull lay:made -o out").ended(4);
}

#[test]
fn pull_says_what_it_cannot_give() {
    let bench = Bench::new();
    let untitled = bench.folder().join("out");
    bench.artifact("lay", &[json!({TITLE: "one"}), json!({}), json!({TITLE: "two"})]);
    let pulled = bench.done("pull lay:made -o out");
    assert!(pulled.err.contains("note: 1 of 3 layers has no title"), "{pulled}");
    assert_eq!(bench.tree("out").into_keys().collect::<Vec<_>>(), ["one", "two"], "one content, two files");
    let kept = bench.run("pull lay:made -o out --keep").ended(1);
    assert!(kept.err.contains("is to be kept"), "{kept}");
    fs::remove_dir_all(untitled).expect("it is ours");

    bench.done("push lay:none");
    let nothing = bench.done("pull lay:none -o out");
    assert_eq!(nothing.text(), "there are no files in it\n");
    assert!(!bench.folder().join("out").exists());

    bench.run("pull lay:absent -o out").ended(3);
    bench.run("pull lay:made -o none/out").ended(3);
    bench.run(&format!("pull {} -o out", fixture("hello:1.0"))).ended(2);
    bench.done(&format!("pull {} --platform linux/arm64 -o out", fixture("hello:1.0")));
    bench.run(&format!("pull {}@{} -o out", "lay", Digest::of(b"hi\n"))).ended(2);

    bench.done("push lay:v1 a.txt b.txt");
    let blob = bench.folder().join(format!("lay/{}", Digest::of(b"two").path()));
    fs::write(&blob, "TWO").expect("it is ours");
    bench.run("pull lay:v1 -o out").ended(4);
    fs::write(&blob, "longer").expect("it is ours");
    bench.run("pull lay:v1 -o out").ended(4);
    fs::remove_file(&blob).expect("it is ours");
    bench.run("pull lay:v1 -o out").ended(5);
    assert!(!bench.folder().join("out").exists());
    symlink("d", bench.folder().join("to")).expect("there is room");
    bench.done("push lay:v2 a.txt --title y/x");
    bench.run("pull lay:v2 -o d").ended(1);
    bench.done("push lay:v2 a.txt --title x");
    bench.done("pull lay:v2 -o to");
    assert_eq!(bench.read("d/x"), "hi\n", "the directory itself may be named by a link");
}

/// Somebody's links in the directory that is pulled into lead nowhere.
#[test]
fn pull_writes_through_no_link_in_its_directory() {
    let bench = Bench::new();
    bench.write("titles.json", json!({"a.txt": {TITLE: "new"}, "b.txt": {TITLE: "sub/b"}}).to_string());
    bench.done("push lay:deep a.txt b.txt --annotation-file titles.json");
    for (tag, title) in [("below", "sub/x"), ("file", "x"), ("dir", "d")] {
        let what = if tag == "dir" { "d".to_owned() } else { format!("a.txt --title {title}") };
        bench.done(&format!("push lay:{tag} {what}"));
    }
    bench.write("elsewhere/kept", "kept");
    bench.write("out/other", "other");
    for (name, to) in [("sub", "../elsewhere"), ("x", "../elsewhere/kept"), ("d", "../elsewhere")] {
        symlink(to, bench.folder().join("out").join(name)).expect("there is room");
    }
    let before = (bench.tree("out"), bench.tree("elsewhere"));
    for tag in ["below", "file", "dir", "deep"] {
        let ran = bench.run(&format!("pull lay:{tag} -o out")).ended(1);
        assert!(ran.err.contains("it is a link, and nothing is written through a link"), "{ran}");
        assert_eq!((bench.tree("out"), bench.tree("elsewhere")), before, "{tag}: all files, or none");
    }
}

#[test]
fn cat_prints_a_layer_by_its_place_or_title() {
    let bench = Bench::new();
    bench.done("push lay:v1 a.txt b.txt");
    assert_eq!(bench.done("cat lay:v1 --layer 2").text(), "two");
    assert_eq!(bench.done("cat lay:v1 --title a.txt").text(), "hi\n");
    assert_eq!(bench.done("cat lay --layer 1").text(), "hi\n", "the only root is meant");
    for (words, code, why) in [
        ("lay:v1 --layer 3", 3, "could not find layer 3"),
        ("lay:v1 --layer 0", 2, "0"),
        ("lay:v1 --title c.txt", 3, "no layer has that title"),
        ("lay:v1 --title a.txt --layer 1", 2, "cannot be used with"),
    ] {
        let refused = bench.run(&format!("cat {words}")).ended(code);
        assert!(refused.err.contains(why) && refused.out.is_empty(), "{refused}");
    }
    bench.run(&format!("cat lay@{} --layer 1", Digest::of(b"two"))).ended(2);

    let hello = fixture("hello:1.0");
    let index = bench.run(&format!("cat {hello} --layer 1")).ended(3);
    assert!(index.err.contains("hint: --platform"), "{index}");
    let layer = bench.done(&format!("cat {hello} --platform linux/arm64 --layer 2"));
    let shown = bench.done(&format!("show {hello} --platform linux/arm64 --format json")).json();
    assert_eq!(shown["layers"][1]["digest"], Digest::of(&layer.out).to_string());
    let manifest = bench.done(&format!("cat {hello} --platform linux/arm64"));
    assert_eq!(shown["digest"], Digest::of(&manifest.out).to_string());

    bench.artifact("twice", &[json!({TITLE: "one"}), json!({TITLE: "one"})]);
    let twice = bench.run("cat twice:made --title one").ended(4);
    assert!(twice.err.contains("hint: --layer"), "{twice}");
}

#[test]
fn manifests_and_blobs_are_stored_as_they_are() {
    let bench = Bench::new();
    bench.write(
        "odd.json",
        "{ \"schemaVersion\": 2,\n\"config\":{\"mediaType\":\"x/y\",\"digest\":\"CONFIG\",\"size\":8},\"layers\":[]}\n"
            .replace("CONFIG", &Digest::of(b"{\"c\":1}\n").to_string()),
    );
    let missing = bench.run("manifest push lay:odd odd.json").ended(5);
    assert!(missing.err.contains("--allow-missing"), "{missing}");
    assert!(!bench.folder().join("lay").exists());
    let stored = bench.done("blob push lay cfg.json").text();
    assert_eq!(stored.lines().next(), Some(&*Digest::of(b"{\"c\":1}\n").to_string()));
    let ran = shell(bench.folder(), "printf two | ocistow blob push -q lay -").ended(0);
    assert_eq!(ran.text().trim(), Digest::of(b"two").to_string());
    bench.done("manifest push lay:odd odd.json");
    assert_eq!(bench.done("show --raw lay:odd").text(), bench.read("odd.json"));
    let again =
        shell(bench.folder(), "ocistow show --raw lay:odd | ocistow manifest push --format json lay -").ended(0);
    assert_eq!(again.json()["tags"], json!(["odd"]));
    bench.done("fsck lay");

    let own = Digest::of(bench.read("odd.json").as_bytes());
    bench.done(&format!("manifest push lay@{own} odd.json"));
    bench.run(&format!("manifest push lay@{} odd.json", Digest::of(b"x"))).ended(4);
    bench.run(&format!("blob push lay@{} a.txt", Digest::of(b"x"))).ended(4);
    let sha512 = shell(bench.folder(), "sha512sum a.txt").ended(0).text();
    let sha512 = sha512.split_whitespace().next().expect("it is there").to_owned();
    bench.done(&format!("blob push lay@sha512:{sha512} a.txt"));
    assert_eq!(bench.done(&format!("cat lay@sha512:{sha512}")).text(), "hi\n");
    bench.run(&format!("blob push lay@sha512:{sha512} b.txt")).ended(4);
    bench.run("blob push lay@sha384:abc b.txt").ended(2);
    let allowed = bench.done("manifest push other:odd odd.json --allow-missing");
    assert!(allowed.err.contains("warning: missing-blob"), "{allowed}");

    // A manifest that refers to another is its referrer, however it came.
    let subject = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": own.to_string(), "size": bench.read("odd.json").len()});
    let mut note = bench.manifest("lay:odd");
    note["mediaType"] = json!("application/vnd.oci.image.manifest.v1+json");
    note["subject"] = subject;
    bench.write("note.json", note.to_string());
    bench.done("manifest push lay note.json");
    let found = bench.done("discover lay:odd --format json").json();
    assert_eq!(found["referrers"].as_array().map(Vec::len), Some(1));

    // MANIFEST-6, INDEX-7, MANIFEST-11: what a writer has to say, and what it should.
    note["layers"] = json!(null);
    bench.write("null.json", note.to_string());
    let refused = bench.run("manifest push lay null.json").ended(4);
    assert!(refused.err.contains("it has no list of layers"), "{refused}");
    let half = json!({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": own.to_string(), "size": 3, "platform": {"os": "linux"}}]});
    bench.write("half.json", half.to_string());
    let refused = bench.run("manifest push lay half.json").ended(4);
    assert!(refused.err.contains("lacks os or architecture"), "{refused}");
    note["layers"] = json!([]);
    note["config"] = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}").to_string(), "size": 2, "data": "e30="});
    bench.write("untyped.json", note.to_string());
    let warned = bench.done("manifest push lay untyped.json");
    assert!(warned.err.contains("warning: its config is the empty one, and it has no artifactType"), "{warned}");
}

/// ORAS-ARTIFACT-6, DOCKER-COMPAT-7
#[test]
fn convert_makes_old_referrers_anew_and_refuses_the_first_schema() {
    let bench = Bench::new();
    let subject = bench.digest("push lay:v1 a.txt");
    let size = bench.done("show --raw lay:v1").out.len();
    let old = json!({"mediaType": "application/vnd.cncf.oras.artifact.manifest.v1+json", "artifactType": "a/sbom",
        "blobs": [{"mediaType": "text/plain", "digest": Digest::of(b"hi\n").to_string(), "size": 3}],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": size}});
    bench.write("old.json", old.to_string());
    let old = bench.digest("manifest push lay old.json");
    let told = bench.done("convert lay:v1 --referrers");
    assert!(told.err.contains("1 manifest that refers to it was of a withdrawn form"), "{told}");
    assert!(told.text().contains("is of that form already, 1 manifest made"), "{told}");
    let referrers = bench.done("discover lay:v1 --format json").json();
    let referrers = referrers["referrers"].as_array().expect("a list");
    assert_eq!(referrers.len(), 1);
    assert_ne!(referrers[0]["digest"], old);
    assert_eq!(referrers[0]["artifactType"], "a/sbom");
    assert_eq!(bench.done("convert lay:v1 --referrers").err, "");
    bench.done("fsck lay");

    bench.write("first.json", r#"{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[],"history":[]}"#);
    let refused = bench.run("manifest push lay:first first.json").ended(4);
    assert!(refused.err.contains("Docker's first schema"), "{refused}");
    let first = bench.digest("blob push lay first.json");
    let before = bench.read("lay/index.json");
    let refused = bench.run(&format!("convert lay@{first}")).ended(1);
    assert!(refused.err.contains("whose layers and config have to be made anew"), "{refused}");
    assert_eq!(bench.read("lay/index.json"), before);
}

#[test]
fn indexes_are_made_and_changed() {
    let bench = Bench::new();
    fs_extra::dir::copy(fixture("hello"), bench.folder(), &fs_extra::dir::CopyOptions::new()).expect("there is room");
    let own = |line: &str| bench.done(line).text().trim().to_owned();
    let index = own("resolve hello:1.0");
    let (amd, arm) = (own("resolve hello:1.0 --platform linux/amd64"), own("resolve hello:1.0 --platform linux/arm64"));
    bench.done(&format!("tag hello@{amd} amd"));
    bench.done("push hello:art a.txt --artifact-type a/b");
    let made =
        bench.done(&format!("index create hello:new amd @{arm} art amd --artifact-type x/y -a k=v --format json"));
    assert_eq!(made.json()["tags"], json!(["new"]));
    let document = bench.manifest("hello:new");
    assert_eq!((&document["artifactType"], &document["annotations"]), (&json!("x/y"), &json!({"k": "v"})));
    let children: Vec<String> = (document["manifests"].as_array().expect("a list").iter())
        .map(|child| format!("{} {} {}", child["digest"], child["platform"]["architecture"], child["artifactType"]))
        .collect();
    let art = own("resolve hello:art");
    assert_eq!(
        children,
        [format!("\"{amd}\" \"amd64\" null"), format!("\"{arm}\" \"arm64\" null"), format!("\"{art}\" null \"a/b\"")]
    );
    let whole = own("show --raw hello:new");
    bench.done(&format!("index rm hello:new {arm} {art}"));
    assert_eq!(bench.manifest("hello:new")["manifests"].as_array().map(Vec::len), Some(1));
    let added = bench.done(&format!("index add hello:new @{arm} art amd"));
    assert!(added.err.contains("note: new moved to"), "{added}");
    assert_eq!(own("show --raw hello:new"), whole, "there and back again");
    bench.done(&format!("index rm hello:new {arm} {art}"));
    bench.done("index add hello:new art --merge 1.0");
    assert_eq!(bench.manifest("hello:new")["manifests"].as_array().map(Vec::len), Some(3), "what is there stays");
    assert_eq!(own("resolve hello:new --platform linux/arm64"), arm);
    bench.run("index add hello:new --merge amd").ended(2);
    bench.run("index add hello:new").ended(2);
    bench.done("fsck hello");

    let signed = bench.done(&format!("index rm hello:1.0 {arm}"));
    assert!(signed.err.contains(&format!("note: 2 manifests refer to {index}")), "{signed}");
    let before = bench.read("hello/index.json");
    bench.run(&format!("index rm hello:1.0 {arm}")).ended(3);
    bench.run("index rm hello:1.0 x").ended(2);
    bench.run("index add hello:amd art").ended(2);
    bench.run("index add hello:none art").ended(3);
    bench.run("index add hello:1.0 none").ended(3);
    bench.run(&format!("index add hello:1.0 @{}", Digest::of(b"hi\n"))).ended(2);
    bench.run("index create hello:x none").ended(3);
    assert_eq!(bench.read("hello/index.json"), before);
}

/// The third step of a look-up is for finding, not for setting.
#[test]
fn a_tag_is_set_by_its_own_name_only() {
    let bench = Bench::new();
    bench.done("push lay:example.com/app:v1 a.txt");
    assert_eq!(bench.done("resolve lay:v1").text(), bench.done("resolve lay:example.com/app:v1").text());
    bench.run("index add lay:app:v1 v1").ended(3);
    // The tag of a full name is in ref.name too, so it is that entry's own.
    bench.done("push lay:v1 b.txt");
    let listed = bench.done("ls lay --format json").json();
    let names: Vec<(&Value, &Value)> =
        (listed["manifests"].as_array().expect("a list").iter()).map(|entry| (&entry["tag"], &entry["name"])).collect();
    assert_eq!(names, [(&json!("v1"), &json!("example.com/app:v1"))]);
}

/// Several that push at once lose nothing.
#[test]
fn everybody_who_pushes_is_seen() {
    let bench = Bench::new();
    let many = "for n in 1 2 3 4 5 6 7 8; do (ocistow push -q lay:t$n a.txt -a n=$n && \
                ocistow attach -q lay:t$n --artifact-type a/b b.txt) >/dev/null || echo failed & done; wait";
    assert_eq!(shell(bench.folder(), many).ended(0).text(), "");
    let listed = bench.done("ls lay --all --format json").json();
    assert_eq!(listed["manifests"].as_array().map(Vec::len), Some(16));
    bench.done("push lay:i a.txt");
    bench.done("index create lay:all i");
    let many = "for n in 1 2 3 4 5 6 7 8; do ocistow index add -q lay:all t$n >/dev/null || echo failed & done; wait";
    assert_eq!(shell(bench.folder(), many).ended(0).text(), "");
    assert_eq!(bench.manifest("lay:all")["manifests"].as_array().map(Vec::len), Some(9));
}
