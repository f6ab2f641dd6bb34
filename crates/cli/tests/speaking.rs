//! What the commands that look and name say, run in this process over layouts drawn as text.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use clap::CommandFactory;
use ocistow::world::{Stream, World};
use ocistow_testkit::{Drawing, draw, to_dir, to_tar};
use serde_json::Value;

/// A stream that can be looked at afterwards.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics while writing").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("nobody panics while writing")).into_owned()
    }
}

/// A pipe whose reader has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Said {
    code: u8,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {:?} {}", self.out, self.err))
    }
}

/// A drawing on disk.
struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
    drawing: Drawing,
}

impl Place {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let path = dir.path().join("store");
        let drawing = draw(text);
        to_dir(&drawing.memory, &path).expect("it can be written");
        Self { _dir: dir, path, drawing }
    }

    fn archive(&self) -> PathBuf {
        let path = self.path.with_file_name("store.tar");
        std::fs::write(&path, to_tar(&self.drawing.memory)).expect("it can be written");
        path
    }

    /// Runs a line; `STORE` is the layout, `@name` in it the digest of what was drawn under that name.
    fn run(&self, line: &str) -> Said {
        run(&self.words(line))
    }

    fn words(&self, line: &str) -> Vec<String> {
        let store = self.path.to_str().expect("it is UTF-8");
        let word = |word: &str| {
            let word = word.replace("STORE", store);
            match word.rsplit_once("@<") {
                Some((before, name)) => format!("{before}@{}", self.drawing.digest(name.trim_end_matches('>'))),
                None => word,
            }
        };
        line.split_whitespace().map(word).collect()
    }

    fn digest(&self, name: &str) -> String {
        self.drawing.digest(name).to_string()
    }
}

fn run(words: &[String]) -> Said {
    let (out, err) = (Kept::default(), Kept::default());
    let world = World::new(out.clone(), err.clone(), io::empty());
    let code = ocistow::run(line(words), &world);
    Said { code, out: out.text(), err: err.text() }
}

fn line(words: &[String]) -> Vec<OsString> {
    std::iter::once("ocistow".into()).chain(words.iter().map(Into::into)).collect()
}

const SIGNED: &str = "image amd = base + tools [linux/amd64]
     image arm = base + tools [linux/arm64/v8]
     index app:1.0 = amd, arm
     refer sbom -> app : application/spdx+json {by=me}
     refer sig -> sbom : application/x.sig
     refer armsig -> arm : application/x.sig
     cosign amd.sig";

#[test]
fn ls_lists_names_and_with_all_what_only_serves_others() {
    let place = Place::new(SIGNED);
    let rows = |line: &str| {
        let document = place.run(line).done().json();
        let rows = document["manifests"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| {
                let digest = row["digest"].as_str().unwrap().parse().unwrap();
                let (tag, kind) = (row["tag"].as_str().unwrap_or("-"), row["kind"].as_str().unwrap_or("-"));
                format!("{} {} {kind} {}", place.drawing.word(&digest), &tag[..tag.len().min(6)], row["referrers"])
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(rows("ls STORE --format json"), ["app 1.0 index 1"]);
    let all =
        ["app 1.0 index 1", "sbom - artifact 1", "sig - artifact 0", "armsig - artifact 0", "amd.sig sha256 image 0"];
    assert_eq!(rows("ls STORE --all --format json"), all);
    assert_eq!(rows("ls STORE --all --filter artifactType=application/spdx+json --format json"), ["sbom - artifact 1"]);
    let text = place.run("ls STORE").done().out;
    assert!(text.contains(&format!("{}:1.0", place.path.display())), "{text}");
    assert_eq!(place.run("ls STORE -q").done().out, format!("{}\n", place.digest("app")));
}

#[test]
fn ls_that_lists_nothing_says_what_else_there_is() {
    let place =
        Place::new("ghost gone\nrefer sig -> gone : application/x.sig\nrefer sbom -> gone : application/spdx+json");
    let said = place.run("ls STORE").done();
    assert!(said.out.is_empty() && said.err.contains("note: --all lists 2 more"), "{}{}", said.out, said.err);
    for line in ["ls STORE --all", "ls STORE -q"] {
        assert_eq!(place.run(line).done().err, "", "{line}");
    }
    let place = Place::new("image app:1 = base\nrefer sig -> app : application/x.sig");
    for line in ["ls STORE", "ls STORE --filter tag=2"] {
        assert_eq!(place.run(line).done().err, "", "{line}");
    }
}

#[test]
fn ls_filters_by_the_platform_that_an_image_has_and_by_nothing_that_there_is_not() {
    let place = Place::new(
        "image umoci:umoci = base
         image arm = base + own [linux/arm64/v8]
         index app:app = arm
         index nested:nested = app
         index gone:gone = arm, umoci
         absent gone
         artifact doc:doc : application/x.doc {by=me}",
    );
    let tags = |filter: &str| {
        let document = place.run(&format!("ls STORE --format json --filter {filter}")).done().json();
        let rows = document["manifests"].as_array().expect("it is a list").iter();
        rows.map(|row| row["tag"].as_str().expect("all have one").to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(tags("platform=linux/amd64"), "umoci", "an image's config says it");
    assert_eq!(tags("platform=linux/arm64"), "app nested", "and an index lists it");
    assert_eq!(tags("platform=linux"), "umoci app nested");
    assert_eq!(tags("platform=linux --filter kind=index"), "app nested");
    assert_eq!((tags("platform=windows"), tags("kind=other"), tags("org.example.none=1")), Default::default());
    for (filter, list) in [
        ("kind=bogus", "image, index, artifact or other"),
        ("platform=/", "os[/architecture"),
        ("nokey=1", "tag, name, digest, mediaType, artifactType, kind, platform"),
        ("Tag=doc", "tag, name"),
        ("tag", "KEY=VALUE"),
    ] {
        let said = place.run(&format!("ls STORE --filter {filter}"));
        assert!(said.code == 2 && said.err.contains(list), "{filter}: {}", said.err);
    }
    // An annotation may be called anything that somebody calls one.
    let index = place.path.join("index.json");
    let text = std::fs::read_to_string(&index).expect("it is there");
    std::fs::write(&index, text.replacen("\"annotations\":{", "\"annotations\":{\"by\":\"me\",", 1))
        .expect("there is room");
    assert_eq!(tags("by=me"), "umoci");
}

#[test]
fn an_archive_answers_as_its_directory_does() {
    let place = Place::new(SIGNED);
    let archive = place.archive();
    let lines = ["ls STORE --all", "show STORE:1.0", "discover STORE:1.0 -v", "resolve STORE:1.0", "cat STORE@<base>"];
    for line in lines.into_iter().chain(["du STORE -v", "diff STORE STORE"]) {
        let directory = place.run(line).done();
        let words: Vec<String> = place
            .words(line)
            .into_iter()
            .map(|word| word.replace(place.path.to_str().unwrap(), archive.to_str().unwrap()))
            .collect();
        let other = run(&words).done();
        let same = |text: &str| {
            let text = text.replace(archive.to_str().unwrap(), place.path.to_str().unwrap());
            text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(same(&other.out), same(&directory.out), "{line}");
    }
}

#[test]
fn resolve_prints_the_digest_and_picks_platforms() {
    let place = Place::new(SIGNED);
    let digest = |line: &str| place.run(line).done().out;
    assert_eq!(digest("resolve STORE:1.0"), format!("{}\n", place.digest("app")));
    assert_eq!(digest("resolve STORE"), format!("{}\n", place.digest("app")), "the one root");
    assert_eq!(digest("resolve STORE:1.0 --platform linux/arm64"), format!("{}\n", place.digest("arm")));
    assert_eq!(digest("resolve --path STORE 1.0"), format!("{}\n", place.digest("app")));
    assert_eq!(digest("resolve --path STORE"), format!("{}\n", place.digest("app")));
    let none = place.run("resolve STORE:1.0 --platform linux/s390x");
    assert_eq!(none.code, 3);
    assert!(none.err.contains("linux/amd64"), "{}", none.err);
}

#[test]
fn a_platform_that_is_not_there_is_answered_with_those_that_are_and_how_one_is_written() {
    let place = Place::new(SIGNED);
    for line in ["plan STORE:1.0", "plan STORE", "resolve STORE:1.0", "show STORE:1.0"] {
        for platform in ["amd64", "linux/aarch64"] {
            let said = place.run(&format!("{line} --platform {platform}"));
            let hint = "hint: there are linux/amd64, linux/arm64/v8; a platform is written os[/architecture";
            assert!(said.code == 3 && said.err.contains(hint), "{line} {platform}: {}", said.err);
        }
        let said = place.run(&format!("{line} --platform linux/amd64,linux/arm64"));
        assert!(said.code == 2 && said.err.contains("each with a flag of its own"), "{line}: {}", said.err);
    }
}

#[test]
fn a_child_without_a_platform_is_judged_by_its_config() {
    // An image drawn without a platform says linux/amd64 in its config only.
    let place = Place::new("image plain = base\nindex app:1 = plain");
    let digest = format!("{}\n", place.digest("plain"));
    assert_eq!(place.run("resolve STORE:1 --platform linux/amd64").done().out, digest);
    assert_eq!(place.run("resolve STORE@<plain> --platform linux/amd64").done().out, digest);
    assert_eq!(place.run("resolve STORE:1 --platform linux/arm64").code, 3);
}

#[test]
fn show_raw_and_config_print_exact_bytes() {
    let place = Place::new(SIGNED);
    let bytes = |name: &str| {
        String::from_utf8(place.drawing.memory.blobs[&place.drawing.digest(name)].clone()).expect("it is JSON")
    };
    assert_eq!(place.run("show STORE:1.0 --raw").done().out, bytes("app"));
    assert_eq!(place.run("show STORE:1.0 --platform linux/arm64 --raw").done().out, bytes("arm"));
    assert_eq!(place.run("show STORE:1.0 --platform linux/arm64 --config").done().out, bytes("arm.config"));
    let index = place.run("show STORE:1.0 --config");
    assert_eq!(index.code, 3, "an index has no config: {}", index.err);
    for line in
        ["show STORE:1.0 --raw --format json", "cat STORE@<base> --format json", "completions bash --format json"]
    {
        let said = place.run(line);
        assert_eq!((said.code, &said.json()["error"]["code"]), (2, &Value::from("usage")), "{line}");
    }
}

#[test]
fn show_tells_parts_subject_tags_and_referrers() {
    let place = Place::new(&format!("{SIGNED}\ntag app as stable"));
    let app = place.run("show STORE:1.0 --format json").done().json();
    assert_eq!(app["kind"], "index");
    assert_eq!(app["tags"], serde_json::json!(["1.0", "stable"]));
    assert_eq!(app["referrers"], 1);
    assert_eq!(app["manifests"].as_array().map(Vec::len), Some(2));
    assert_eq!(app["reference"], format!("{}@{}", place.path.display(), place.digest("app")));
    let arm = place.run("show STORE:1.0 --platform linux/arm64 --format json").done().json();
    assert_eq!((&arm["kind"], arm["layers"].as_array().map(Vec::len)), (&Value::from("image"), Some(2)));
    assert_eq!(arm["config"]["digest"], place.digest("arm.config"));
    assert_eq!(arm["platform"]["variant"], "v8");
    let sbom = place.run("show STORE@<sbom> --format json").done().json();
    assert_eq!(sbom["subject"]["digest"], place.digest("app"));
    assert_eq!((&sbom["artifactType"], &sbom["annotations"]["by"]), (&"application/spdx+json".into(), &"me".into()));
}

#[test]
fn discover_tells_the_tree_of_referrers_with_their_dialects() {
    let place = Place::new(SIGNED);
    let tree = |line: &str| {
        fn told(place: &Place, node: &Value) -> String {
            let name = place.drawing.word(&node["digest"].as_str().unwrap().parse().unwrap());
            let list = |key: &str| -> Vec<String> {
                node[key].as_array().into_iter().flatten().map(|node| told(place, node)).collect()
            };
            let (below, children) = (list("referrers"), list("manifests"));
            let dialect = node["dialect"].as_str().map_or(String::new(), |dialect| format!("/{dialect}"));
            let children = if children.is_empty() { String::new() } else { format!("[{}]", children.join(" ")) };
            format!("{name}{dialect}({}){children}", below.join(" "))
        }
        told(&place, &place.run(line).done().json())
    };
    assert_eq!(tree("discover STORE:1.0 --format json"), "app(sbom/entry(sig/entry()))");
    assert_eq!(tree("discover STORE:1.0 --depth 1 --format json"), "app(sbom/entry())");
    assert_eq!(tree("discover STORE:1.0 --artifact-type application/x.sig --format json"), "app()");
    assert_eq!(tree("discover STORE:1.0 --annotation by=me --format json"), "app(sbom/entry(sig/entry()))");
    assert_eq!(tree("discover STORE:1.0 --annotation by=you --format json"), "app()");
    assert_eq!(tree("discover STORE:1.0 --platform linux/arm64 --format json"), "arm(armsig/entry())");
    let all = "app(sbom/entry(sig/entry()))[amd(amd.sig/cosign-tag()) arm(armsig/entry())]";
    assert_eq!(tree("discover STORE:1.0 --all-platforms --format json"), all);
    let text = place.run("discover STORE:1.0").done().out;
    assert!(text.contains(&format!("    └── application/x.sig  {}", place.digest("sig"))), "{text}");
    assert_eq!(place.run("discover STORE:1.0 --format tree").done().out, text);
    assert_eq!(place.run("ls STORE --format tree").code, 2, "only what is a tree is printed as one");
}

#[test]
fn discover_answers_for_a_subject_that_is_gone() {
    let place = Place::new("ghost gone\nrefer sig -> gone : application/x.sig");
    let tree = place.run("discover STORE@<gone> --format json").done().json();
    assert_eq!((&tree["absent"], &tree["referrers"][0]["digest"]), (&true.into(), &place.digest("sig").into()));
}

#[test]
fn du_tells_what_each_root_takes_and_what_else_lies_there() {
    let place = Place::new(
        "layer base 3000
         image a:a = base + one
         image b:b = base + two + lost
         refer sig -> a : application/x.sig
         ghost gone
         refer waits -> gone : application/x.sig
         layer left 700
         absent lost",
    );
    let staged = place.path.join(".ocistow/staging/1");
    std::fs::create_dir_all(&staged).expect("there is room");
    std::fs::write(staged.join("x"), [0; 123]).expect("there is room");
    let size = |words: &str| words.split(' ').map(|word| place.drawing.descriptor(word).size).sum::<u64>();
    let (empty, base) = (2, size("base"));
    let usage = place.run("du STORE --format json").done().json();
    let a = size("a a.config one sig sig.file");
    assert_eq!(usage["roots"][0]["tag"], "a");
    assert_eq!(usage["roots"][0]["digest"], place.digest("a"));
    assert_eq!(usage["roots"][0]["total"], a + base + empty);
    assert_eq!((&usage["roots"][0]["unique"], &usage["roots"][0]["shared"]), (&(a + empty).into(), &base.into()));
    assert_eq!(usage["roots"][1]["unique"], size("b b.config two"));
    // The empty config belongs to what waits, too, but that is no root.
    assert_eq!(usage["rootless"], size("waits waits.file"));
    assert_eq!((&usage["unreachable"], &usage["staged"]), (&size("left").into(), &123.into()));
    assert_eq!((&usage["absent"], &usage["counts"]["absent"]), (&size("lost").into(), &1.into()));
    let all = size("a a.config one sig sig.file b b.config two waits waits.file base") + empty;
    assert_eq!(usage["total"], all);

    let sorted = place.run("du STORE --sort unique --format json").done().json();
    let first = if a + empty > size("b b.config two") { "a" } else { "b" };
    assert_eq!(sorted["roots"][0]["tag"], first);
    let text = place.run("du STORE").done().out;
    let firsts: Vec<&str> = text.lines().skip(3).map(|line| line.split("  ").next().unwrap_or_default()).collect();
    assert_eq!(firsts, ["total", "of no root", "unreachable", "absent", "staged"], "{text}");
    let told = place.run("du STORE -v").done().out;
    for (name, state) in [("base", "2"), ("left", "unreachable"), ("lost", "absent"), ("waits", "of no root")] {
        let line = told.lines().find(|line| line.starts_with(&place.digest(name))).unwrap_or_default();
        assert!(line.ends_with(&format!("  {state}")), "{name}: {told}");
    }
    assert_eq!(place.run("du STORE -q").done().out, "");
    assert_eq!(place.run("du STORE:a").code, 2);
}

#[test]
fn du_and_diff_go_on_over_what_is_broken_and_say_so() {
    let place = Place::new("image a:a = base\nimage b:b = other\nimage c:c = base\ndamage b\nabsent c");
    let index = place.path.join("index.json");
    let text = std::fs::read_to_string(&index).expect("it can be read");
    let bad = r#""manifests":[{"mediaType":"x/y","digest":"sha256:../..","size":1},null,"#;
    std::fs::write(&index, text.replacen("\"manifests\":[", bad, 1)).expect("it can be written");
    let said = place.run("du STORE --format json").done();
    let usage = said.json();
    let told: Vec<(&Value, &Value, &Value)> =
        usage["roots"].as_array().unwrap().iter().map(|row| (&row["tag"], &row["kind"], &row["absent"])).collect();
    let (text, null) = (|text: &str| Value::from(text), Value::Null);
    assert_eq!(
        told,
        [(&text("a"), &text("image"), &null), (&text("b"), &null, &null), (&text("c"), &null, &Value::from(true))]
    );
    for part in ["entry 0 of index.json", "entry 1 of index.json", &place.digest("b")] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    let said = place.run("diff STORE STORE --exit-code --format json").done();
    for part in ["entry 0 of index.json", "entry 1 of index.json", &place.digest("c")] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    let said = place.run("diff STORE:b STORE:c --format json").done();
    assert!(said.err.contains(&place.digest("b")) && said.err.contains(&place.digest("c")), "{}", said.err);
    assert_eq!(said.json()["tags"]["changed"][0]["to"], place.digest("c"));
}

#[test]
fn diff_tells_names_blobs_and_bytes_and_ends_as_it_is_asked_to() {
    let place = Place::new("image one:1 = base\nimage two:2 = base");
    let other = place.path.with_file_name("other");
    to_dir(&place.drawing.memory, &other).expect("there is room");
    let other = other.to_str().expect("it is UTF-8");
    let run = |line: &str| place.run(&line.replace("OTHER", other));
    assert_eq!(run("diff STORE OTHER --exit-code -q").done().out, "");
    place.run("tag STORE:1 moved gone").done();
    run("tag OTHER:2 moved come").done();
    let document = run("diff STORE OTHER --format json").done().json();
    let (one, two) = (place.digest("one"), place.digest("two"));
    assert_eq!(
        document["tags"],
        serde_json::json!({
            "added": [{"tag": "come", "name": null, "digest": two}],
            "removed": [{"tag": "gone", "name": null, "digest": one}],
            "changed": [{"tag": "moved", "name": null, "from": one, "to": two}],
        })
    );
    assert_eq!(document["blobs"], serde_json::json!({"onlyA": 0, "onlyB": 0, "both": 5}));
    assert!(document.get("error").is_none());
    let differs = run("diff STORE OTHER --exit-code --format json");
    assert_eq!((differs.code, &differs.json()["error"]["code"], &*differs.err), (7, &"differs".into(), ""));
    let quiet = run("diff STORE OTHER --exit-code -q");
    assert_eq!((quiet.code, &*quiet.out, &*quiet.err), (7, "", ""));
    let text = run("diff STORE OTHER").done().out;
    let expected = format!("- gone  {one}\n+ come  {two}\n~ moved  {one} → {two}\n");
    assert!(text.starts_with(&expected), "{text}");

    let blob = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    std::fs::write(format!("{other}/blobs/sha256/{}", &blob[7..]), "hello").expect("there is room");
    let told = run("diff STORE OTHER -v").done().out;
    assert!(told.ends_with(&format!("\n+ {blob}  5 B\n")), "{told}");
    assert_eq!(run("diff STORE OTHER --format json").done().json()["bytes"]["onlyB"], 5);

    assert_eq!(run("diff STORE:moved OTHER:1 --exit-code").code, 0, "what they stand for is the same");
    assert_eq!(run("diff STORE:moved OTHER:moved --exit-code").code, 7);
    assert_eq!(run("diff STORE:1 OTHER").code, 2, "which root of the other is not said");
    assert_eq!(run("diff STORE:nope OTHER:1").code, 3);
    assert_eq!(run("diff STORE").code, 2);
    assert_eq!(run("diff --path STORE --to-path OTHER --exit-code").code, 7);
    assert_eq!(run("diff --path STORE moved --to-path OTHER 1 --exit-code").code, 0);
}

#[test]
fn cat_tells_missing_from_unknown_from_damaged() {
    let place = Place::new("image app:1 = base + lost + bad\nabsent lost\ndamage bad");
    let code = |line: &str| place.run(line).code;
    assert_eq!(code("cat STORE@<base>"), 0);
    assert_eq!(code("cat STORE@<lost>"), 5, "the manifest refers to it");
    assert_eq!(code("cat STORE@<bad>"), 4);
    assert_eq!(code(&format!("cat STORE@sha256:{}", "0".repeat(64))), 3, "nothing refers to it");
    assert_eq!(code("cat STORE"), 2, "which content is not said");
    let app = place.run("cat STORE:1").done().out;
    assert_eq!(app, place.run("show STORE:1 --raw").done().out);
}

#[test]
fn an_absent_entry_is_listed_and_resolved_and_can_be_untagged() {
    let place = Place::new("image app:1 = base\nimage other:2 = base\nabsent app");
    let rows = place.run("ls STORE --format json").done().json();
    assert_eq!((&rows["manifests"][0]["absent"], &rows["manifests"][0]["kind"]), (&true.into(), &Value::Null));
    place.run("resolve STORE:1").done();
    assert_eq!(place.run("show STORE:1").code, 5);
    place.run("tag STORE:1 again").done();
    place.run("untag STORE:1 again").done();
    assert_eq!(place.run("resolve STORE:1").code, 3);
}

#[test]
fn tag_names_moves_and_says_so() {
    let place = Place::new("image one:1 = base\nimage two:2 = base");
    let document = place.run("tag STORE:1 new 2 --format json").done().json();
    let (one, two) = (place.digest("one"), place.digest("two"));
    let expected = serde_json::json!({"changed": [
        {"tag": "2", "name": null, "from": two, "to": one},
        {"tag": "new", "name": null, "from": null, "to": one},
    ], "removed": [two]});
    assert_eq!(document, expected);
    for name in ["1", "2", "new"] {
        assert_eq!(place.run(&format!("resolve STORE:{name}")).done().out.trim(), one);
    }
    let again = place.run("tag STORE:1 new 2 --format json").done().json();
    assert_eq!(again, serde_json::json!({"changed": [], "removed": []}));
    place.run("tag STORE:1 registry.example/team/app:3").done();
    assert_eq!(place.run("resolve STORE:registry.example/team/app:3").done().out.trim(), one);
    assert_eq!(place.run("resolve STORE:3").done().out.trim(), one);
    let rescued = place.run("tag STORE@<two> rescued").done();
    assert!(rescued.out.contains(&two), "{}", rescued.out);
    assert_eq!(place.run("tag STORE@<base> layer").code, 2, "a layer is no manifest");
    assert_eq!(place.run("tag STORE:1 a..b/").code, 2, "neither a tag nor a name");
}

#[test]
fn untag_removes_all_of_its_names_or_none() {
    let place = Place::new("image one:1 = base\nimage two:2 = base\nrefer sig:s -> one : application/x.sig");
    let refused = place.run("untag STORE:1 nope");
    assert_eq!(refused.code, 3);
    place.run("resolve STORE:1").done();
    let store = place.path.display();
    let document = place.run(&format!("untag STORE:1 {store}:2 nope --ignore-missing --format json")).done().json();
    assert_eq!(document["removed"].as_array().map(Vec::len), Some(2));
    let document = place.run("untag STORE:s --format json").done().json();
    assert_eq!(document["removed"], serde_json::json!([]), "a referrer stays without its name");
    let left = place.run("ls STORE --all --format json").done().json();
    assert_eq!(left["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(left["manifests"][0]["digest"], place.digest("sig"));
    assert_eq!(place.run("untag STORE@<sig>").code, 2, "names are removed, not digests");
    let zeros = "0".repeat(64);
    assert_eq!(place.run(&format!("untag STORE:1 {store}:2@sha256:{zeros}")).code, 2, "nor names that may mean others");
}

#[test]
fn archives_are_never_written_to() {
    let place = Place::new(SIGNED);
    let archive = place.archive();
    let before = std::fs::read(&archive).expect("it can be read");
    for line in ["tag ARCHIVE:1.0 new", "untag ARCHIVE:1.0"] {
        let said = place.run(&line.replace("ARCHIVE", archive.to_str().unwrap()));
        assert_eq!(said.code, 2, "{}", said.err);
    }
    assert_eq!(std::fs::read(&archive).expect("it can be read"), before);
}

#[test]
fn what_takes_directories_only_makes_none_under_the_name_of_an_archive() {
    let place = Place::new("image app:1 = base");
    let archive = place.archive();
    let file = place.path.join("index.json");
    let manifest = place.path.join(place.drawing.digest("app").path());
    let (archive, file, manifest) = (archive.display(), file.display(), manifest.display());
    let lines = [
        "init NEW".to_owned(),
        "init --path NEW".to_owned(),
        format!("push NEW:t {file} --title x"),
        format!("manifest push NEW --allow-missing {manifest}"),
        format!("blob push NEW {file}"),
        format!("import {archive} NEW"),
        format!("import {archive} NEW --dry-run"),
        format!("import {archive} {archive} NEW"),
    ];
    for name in ["new.tar", "new.tar.gz", "new.tgz", "new.tar.zst"] {
        let new = place.path.with_file_name(name);
        let run = |line: &str| place.run(&line.replace("NEW", new.to_str().expect("it is UTF-8")));
        for line in &lines {
            let said = run(line);
            assert_eq!((said.code, new.exists()), (2, false), "{line}: {}", said.err);
            let hint =
                if line.starts_with("import") { "hint: the layout comes behind" } else { "hint: name a directory" };
            assert!(said.err.contains(hint), "{line}: {}", said.err);
        }
        // What is a directory stays one, whatever it is called.
        std::fs::create_dir(&new).expect("there is room");
        lines.iter().for_each(|line| drop(run(line).done()));
    }
    // The classic slip: bundles, and no layout.
    let said = place.run(&format!("import {archive} {archive}"));
    assert!(said.code == 2 && said.err.contains("hint: the layout comes behind"), "{}", said.err);
}

#[test]
fn a_directory_under_a_name_that_looks_like_an_archives_is_made_with_a_warning() {
    let place = Place::new("image app:1 = base");
    for name in ["a.tar.xz", "a.tar.bz2", "a.TAR", "a.Tar.GZ", "a.zip", "a.tar.lz4", "a.txz"] {
        let to = place.path.with_file_name(name);
        for line in [format!("export STORE -o {}", to.display()), format!("copy STORE:1 {}", to.display())] {
            let said = place.run(&line).done();
            assert!(said.err.contains(".tar, .tar.gz, .tgz or .tar.zst") && to.is_dir(), "{line}: {}", said.err);
            // What is there is what it is.
            let again = place.run(&line).done();
            assert!(!again.err.contains("warning"), "{line}: {}", again.err);
            std::fs::remove_dir_all(&to).expect("it was made");
        }
    }
    for name in ["plain", "a.tar.d", "a.tar"] {
        let said = place.run(&format!("export STORE -o {}", place.path.with_file_name(name).display())).done();
        assert_eq!(said.err.contains("warning"), name == "a.tar.d", "{name}: {}", said.err);
    }
}

#[test]
fn what_o_names_is_a_path_and_nothing_in_a_layout() {
    let place = Place::new("image app:1 = base");
    let beside = |name: &str| place.path.with_file_name(name);
    for (line, name) in
        [("export STORE -o", "backup:1.tar"), ("graph STORE -o", "app:1.dot"), ("export STORE -o", "new:1")]
    {
        place.run(&format!("{line} {}", beside(name).display())).done();
        assert!(beside(name).exists(), "{name}");
    }
    place.run(&format!("export STORE -o oci-archive:{}", beside("p.tar").display())).done();
    assert!(beside("p.tar").is_file());
    for to in ["STORE:2", "oci:STORE:2", "docker://x", "docker-daemon:x"] {
        let said = place.run(&format!("export STORE -o {to}"));
        assert_eq!(said.code, 2, "{to}: {}", said.err);
    }
    let said = place.run("export STORE -o STORE:2");
    assert!(said.err.contains("hint: copy takes PATH:REF"), "{}", said.err);
}

#[test]
fn a_further_reference_with_the_layout_in_front_of_it_is_told_to_leave_it_away() {
    let place = Place::new("image amd:a = base [linux/amd64]\nimage arm:b = base [linux/arm64]\nindex all:i = amd");
    let archive = place.archive();
    let archive = archive.display();
    let out = place.path.with_file_name("out.tar");
    for (line, code, bare) in [
        (format!("export STORE:a STORE:b -o {}", out.display()), 3, "write b"),
        (format!("export {archive}:a oci-archive:{archive}:b -o {}", out.display()), 3, "write b"),
        ("plan STORE:a STORE@<arm>".into(), 3, "write @sha256:"),
        ("plan --path STORE a STORE:b".into(), 3, "write b"),
        ("index create STORE:new a STORE:b".into(), 3, "write b"),
        ("index add STORE:i STORE:b".into(), 3, "write b"),
        ("index add STORE:i --merge STORE:i".into(), 3, "write i"),
        ("tag STORE:a STORE:zz".into(), 2, "write zz"),
        ("tag STORE:a fine STORE:zz".into(), 2, "write zz"),
        ("convert STORE:a STORE:zz".into(), 2, "write zz"),
    ] {
        let said = place.run(&line);
        let hint = said.err.lines().last().unwrap_or_default();
        assert!(said.code == code && hint.starts_with("hint: ") && hint.contains(bare), "{line}: {}", said.err);
    }
    assert!(!place.run("ls STORE").done().out.contains("zz"));
    // What leads elsewhere is only not there.
    let said = place.run("plan STORE:a other:b");
    assert!(said.code == 3 && !said.err.contains("left away"), "{}", said.err);
}

#[test]
fn init_makes_a_layout_once_and_only_beside_what_is_there() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let path = dir.path().join("new");
    let init = |path: &str| run(&["init".into(), path.into()]);
    init(path.to_str().unwrap()).done();
    let index = std::fs::read(path.join("index.json")).expect("it was made");
    init(path.to_str().unwrap()).done();
    assert_eq!(std::fs::read(path.join("index.json")).expect("it is there"), index);
    assert_eq!(init(dir.path().join("no/parent").to_str().unwrap()).code, 3);
    assert_eq!(init(&format!("{}:v1", path.display())).code, 2, "a layout is made without a reference");
    run(&["init".into(), "--path".into(), dir.path().join("a:b").to_str().unwrap().into()]).done();
    assert!(dir.path().join("a:b/oci-layout").exists());
}

#[test]
fn errors_are_one_line_with_a_hint_and_a_document_in_json() {
    let place = Place::new(SIGNED);
    for (line, code, word) in [
        ("resolve STORE:nope", 3, "not-found"),
        ("resolve STORE/nope", 3, "not-found"),
        ("resolve https://registry/app:1", 2, "usage"),
        ("resolve -", 2, "usage"),
        ("ls", 2, "usage"),
        ("lss STORE", 2, "usage"),
        ("ls STORE --bogus", 2, "usage"),
        ("ls STORE --threads 0", 2, "usage"),
        ("ls STORE --lock-timeout soon", 2, "usage"),
        ("resolve STORE:1.0 --platform /", 2, "usage"),
        ("", 2, "usage"),
    ] {
        let text = place.run(line);
        assert_eq!((text.code, text.out.as_str()), (code, ""), "{line}");
        let mut lines = text.err.lines();
        assert!(lines.next().is_some_and(|first| first.starts_with("error: ")), "{line}: {}", text.err);
        assert!(lines.all(|more| more.starts_with("hint: ")), "{line}: {}", text.err);
        let document = place.run(&format!("--format json {line}"));
        assert_eq!((document.code, &document.json()["error"]["code"]), (code, &word.into()), "{line}");
    }
}

#[test]
fn help_goes_to_standard_output_and_has_examples() {
    for words in [vec!["--help"], vec!["export", "--help"], vec!["discover", "-h"]] {
        let said = run(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).done();
        assert!(said.out.contains("EXAMPLES:") && said.err.is_empty(), "{words:?}");
    }
    assert!(run(&["--version".into()]).done().out.starts_with("ocistow "));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(run(&["completions".into(), shell.into()]).done().out.contains("discover"), "{shell}");
    }
}

#[test]
fn man_writes_the_same_page_for_every_command_each_time() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let pages = dir.path().join("man1");
    let man = |path: &std::path::Path| run(&["man".into(), path.to_str().expect("it is UTF-8").into()]);
    man(&pages).done();
    let read = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap_or_else(|why| panic!("{name}: {why}"));
    let mut commands: Vec<(String, clap::Command)> = vec![("ocistow".into(), ocistow::args::Cli::command())];
    let mut count = 0;
    while let Some((name, command)) = commands.pop() {
        commands.extend(command.get_subcommands().map(|below| (format!("{name}-{}", below.get_name()), below.clone())));
        let page = read(&format!("{name}.1"));
        assert!(page.contains(&format!(".TH {name} 1 \"\" \"ocistow {}\"", env!("CARGO_PKG_VERSION"))), "{page}");
        assert!(page.is_ascii() && page.contains(".SH NAME") && page.contains(".SH EXAMPLES\n.nf"), "{page}");
        count += 1;
    }
    assert_eq!(std::fs::read_dir(&pages).expect("it was made").count(), count);
    assert!(read("ocistow-man.1").contains("\n  ocistow man \\(ti/.local/share/man/man1"), "{}", read("ocistow-man.1"));
    let own = run(&["man".into()]).done();
    assert_eq!((own.out, own.err), (read("ocistow.1"), String::new()));
    let export = read("ocistow-export.1");
    std::fs::write(pages.join("ocistow-export.1"), "old").expect("there is room");
    let document = run(&["man".into(), pages.to_str().expect("it is UTF-8").into(), "--format".into(), "json".into()]);
    assert_eq!(document.done().json()["pages"].as_array().map(Vec::len), Some(count));
    assert_eq!(read("ocistow-export.1"), export);
    assert_eq!(man(&dir.path().join("no/parent")).code, 3);
    assert_eq!(man(&pages.join("ocistow.1")).code, 1);
    assert_eq!(run(&["man".into(), "--format".into(), "json".into()]).code, 2);
}

#[test]
fn hostile_names_cannot_speak_to_the_terminal() {
    let place = Place::new("image app:1 = base {evil=\u{1b}[2J}");
    let index = place.path.join("index.json");
    let text = std::fs::read_to_string(&index).expect("it can be read");
    std::fs::write(&index, text.replace("\"1\"", "\"\\u001b]0;x\\u0007\\n\"")).expect("it can be written");
    place.run(&format!("init {}", place.path.with_file_name("empty").display())).done();
    let diff = format!("diff STORE {}", place.path.with_file_name("empty").display());
    let lines = ["ls STORE", "show STORE", "discover STORE -v", "resolve STORE:nope", "untag STORE:nope", "du STORE"];
    for line in lines.into_iter().chain([&*diff]) {
        let said = place.run(line);
        let controls = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        assert!(!controls(&said.out) && !controls(&said.err), "{line}: {:?} {:?}", said.out, said.err);
    }
    let rows = place.run("ls STORE").done().out;
    assert_eq!(rows.lines().count(), 2, "a name is on one line: {rows}");
}

#[test]
fn a_closed_standard_output_ends_quietly_and_hides_no_failure() {
    let place = Place::new(SIGNED);
    let ended = |line: &str| {
        let err = Kept::default();
        let world = World::new(Closed, err.clone(), io::empty());
        (ocistow::run(self::line(&place.words(line)), &world), err.text())
    };
    for line in ["ls STORE", "ls STORE --format json", "graph STORE", "completions bash", "--help"] {
        assert_eq!(ended(line), (0, String::new()), "{line}");
    }
    // A look is over when somebody has seen enough. Content is whole, or the command failed.
    let content = ["cat STORE@<base>", "cat STORE:1.0", "show --raw STORE:1.0", "show --config STORE@<amd>"];
    let bundles =
        ["export STORE -o -", "export STORE:1.0 -o - --compress gzip", "export STORE -o - --compress zstd -q"];
    for line in content.into_iter().chain(bundles) {
        assert_eq!(ended(line), (1, String::new()), "{line}");
    }
    let (code, document) = ended("export STORE -o - --format json");
    let document: Value = serde_json::from_str(&document).expect("it is one document");
    assert_eq!((code, &document["error"]["code"]), (1, &"failed".into()));
    let (code, err) = ended("resolve STORE:nope --format json");
    assert!(code == 3 && err.starts_with("error: "), "{code} {err}");
}

#[test]
fn a_wish_to_stop_ends_the_work_as_interrupted() {
    let place = Place::new(SIGNED);
    let err = Kept::default();
    let world = World::new(io::sink(), err.clone(), io::empty());
    world.stop.store(true, Ordering::Relaxed);
    assert_eq!(ocistow::run(line(&place.words("cat STORE@<base>")), &world), 130);
    assert!(err.text().starts_with("error: "), "{}", err.text());
}

#[test]
fn progress_is_silent_in_a_pipe_unless_asked_for() {
    let place = Place::new(SIGNED);
    assert_eq!(place.run("cat STORE@<base>").done().err, "");
    let told = place.run("cat STORE@<base> --progress always").done().err;
    assert!(told.starts_with("reading: 1 blob, ") && told.ends_with("/s\n"), "{told:?}");
    let err = Kept::default();
    let mut world = World::new(io::sink(), io::sink(), io::empty());
    world.err = Stream::new(err.clone(), true);
    assert_eq!(ocistow::run(line(&place.words("cat STORE@<base> --progress always")), &world), 0);
    let told = err.text();
    assert!(told.contains("\rreading: ") && told.ends_with("\r\u{1b}[K"), "the line is cleared: {told:?}");
}

#[test]
fn colours_are_for_terminals_and_can_be_refused() {
    let place = Place::new(SIGNED);
    let told = |flags: &str, terminal: bool, no_color: bool| {
        let out = Kept::default();
        let mut world = World::new(io::sink(), io::sink(), io::empty());
        world.out = Stream::new(out.clone(), terminal);
        world.no_color = no_color;
        assert_eq!(ocistow::run(line(&place.words(&format!("ls STORE {flags}"))), &world), 0);
        out.text().contains('\u{1b}')
    };
    assert!(!told("", false, false) && told("", true, false) && !told("", true, true));
    assert!(told("--color always", false, true) && !told("--color never", true, false));
}

#[test]
fn standard_input_is_never_read_by_looking() {
    struct Never;
    impl Read for Never {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("nobody may read"))
        }
    }
    let place = Place::new(SIGNED);
    let err = Kept::default();
    let world = World::new(io::sink(), err.clone(), Never);
    assert_eq!(ocistow::run(line(&place.words("ls STORE")), &world), 0, "{}", err.text());
}

#[test]
fn discover_ends_where_cosign_tags_run_in_a_circle() {
    let place = Place::new("image one:1 = base\nimage two:2 = base");
    let tag = |name: &str| format!("sha256-{}.sig", &place.digest(name)["sha256:".len()..]);
    place.run(&format!("tag STORE:1 {}", tag("two"))).done();
    place.run(&format!("tag STORE:2 {}", tag("one"))).done();
    place.run(&format!("tag STORE:2 {}", tag("two"))).done();
    let tree = place.run("discover STORE:1 --format json").done().json();
    assert_eq!(tree["referrers"][0]["digest"], place.digest("two"));
}

#[test]
fn discover_cuts_a_tree_that_is_too_deep_for_those_who_read_it() {
    let chain: Vec<String> = (1..80).map(|at| format!("refer r{at} -> r{} : application/x.sig", at - 1)).collect();
    let place = Place::new(&format!("image r0:1 = base\n{}", chain.join("\n")));
    let said = place.run("discover STORE:1 --format json").done();
    assert!(said.err.starts_with("warning: ") && said.err.contains("50 levels"), "{}", said.err);
    let (document, mut levels) = (said.json(), 0);
    let mut node = &document;
    while let Some(next) = node["referrers"].get(0) {
        (node, levels) = (next, levels + 1);
    }
    assert_eq!(levels, 50);
    assert_eq!(
        place.run("discover STORE:1 --depth 2 --format json").done().err,
        "",
        "what was asked for is no warning"
    );
}

#[test]
fn untag_and_tag_wait_no_longer_than_they_are_told() {
    let place = Place::new(SIGNED);
    place.run("tag STORE:1.0 first").done();
    let lock = std::fs::File::open(place.path.join(".ocistow/lock/gate")).expect("a writer has made it");
    lock.lock().expect("nobody has it");
    let said = place.run("tag STORE:1.0 second --lock-timeout 50ms");
    assert_eq!(said.code, 1, "{}", said.err);
    drop(lock);
    assert_eq!(place.run("resolve STORE:second").code, 3);
}

#[test]
fn convert_tells_what_became_of_what_and_who_stays_behind() {
    let drawing =
        "docker app:1 = base\nrefer sig -> app : application/x.sig\nimage oci:2 = base\nartifact chart:3 : a/b";
    let place = Place::new(drawing);
    let old = place.digest("app");
    let said = place.run("convert STORE:1 new --format json").done();
    let json = said.json();
    assert_eq!(json["tags"], serde_json::json!(["new"]));
    assert_eq!(json["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    let new = json["digest"].as_str().expect("it is text").to_owned();
    assert!(said.err.contains("1 manifest refers to the old digests still; --referrers"), "{}", said.err);
    assert_eq!(place.run("resolve STORE:1").done().out.trim(), old, "the old one keeps its name");
    let said = place.run("convert STORE:1 --referrers").done();
    assert_eq!(said.out, format!("1, new  {new}\nconverted from {old}, 2 manifests made\n"));
    assert!(said.err.contains(&format!("signatures over {old} do not apply to {new}")), "{}", said.err);
    assert!(said.err.contains(&format!("1 moved to {new}, it was {old}")), "{}", said.err);
    assert_eq!(place.run("discover STORE:1 --format json").json()["referrers"].as_array().map(Vec::len), Some(1));
    place.run("fsck STORE").done();
    let before = std::fs::read(place.path.join("index.json")).expect("it is there");
    let said = place.run("convert STORE:1 --referrers").done();
    assert_eq!((said.out.contains("is of that form already"), said.err.as_str()), (true, ""));
    assert_eq!(std::fs::read(place.path.join("index.json")).expect("it is there"), before);
    let said = place.run("convert STORE:1 again").done();
    assert!(said.out.starts_with("1, again, new  "), "every name it has now is told: {}", said.out);
    let before = std::fs::read(place.path.join("index.json")).expect("it is there");
    // Of an artifact the answer has the subject.
    assert_eq!(place.run("convert STORE@<sig> --format json").done().json()["subject"]["digest"], old);
    for (line, code) in [
        ("convert STORE:3 --to docker", 1),
        ("convert STORE:nope", 3),
        ("convert STORE@<base>", 2),
        ("convert STORE:1 -x", 2),
        ("convert STORE", 2),
    ] {
        assert_eq!(place.run(line).code, code, "{line}");
        assert_eq!(std::fs::read(place.path.join("index.json")).expect("it is there"), before, "{line}");
    }
    let archive = place.archive();
    assert_eq!(run(&["convert".into(), format!("{}:1", archive.display())]).code, 2);
    // What only containerd's entry says stays, and that is told.
    let place = Place::new("docker app:1 = base\ncontainerd scan -> app : application/x.scan\ncosign app.sig");
    let said = place.run("convert STORE:1 --referrers").done();
    assert!(
        said.err.contains("1 manifest refers to the old digests still; they do not say so themselves"),
        "{}",
        said.err
    );
    assert!(said.err.contains("1 manifest refers to the new digests now; signatures over"), "{}", said.err);
}
