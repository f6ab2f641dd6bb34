//! What `graph` writes of layouts drawn as text, and of names that enemies chose.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ocistow_layout::descriptor::{Descriptor, IMAGE_NAME, REF_NAME};
use ocistow_layout::json::quote;
use ocistow_layout::memory::Memory;
use ocistow_layout::{Digest, Platform};
use ocistow_testkit::{draw, elements, odd, to_dir, to_tar};
use serde_json::Value;
use tempfile::TempDir;

mod stage;

use stage::{done, run};

const FORMS: [&str; 5] = ["dot", "mermaid", "svg", "html", "json"];

const SIGNED: &str = "image amd = base + tools [linux/amd64]
     image arm = base + tools [linux/arm64/v8]
     index app:1.0 = amd, arm
     refer sbom -> app : application/spdx+json {by=me}
     refer sig -> sbom : application/x.sig
     refer armsig -> arm : application/x.sig
     cosign amd.sig
     image other:2 = base";

/// A directory with the layout as `store` and `store.tar`.
fn place(layout: &Memory) -> TempDir {
    let dir = stage::room();
    to_dir(layout, dir.path().join("store")).unwrap();
    fs::write(dir.path().join("store.tar"), to_tar(layout)).unwrap();
    dir
}

fn json(line: &str, base: &Path) -> Value {
    serde_json::from_str(&done(line, base)).unwrap()
}

/// `digest role` of every node, by the words of a drawing.
fn nodes(document: &Value, word: impl Fn(&Digest) -> String) -> BTreeSet<String> {
    let text = |node: &Value| {
        let absent = if node["absent"] == true { " absent" } else { "" };
        let digest = node["digest"].as_str().unwrap().parse().unwrap();
        format!("{} {}{absent}", word(&digest), node["role"].as_str().unwrap())
    };
    document["nodes"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn the_document_has_every_node_and_edge_once() {
    let world = draw(SIGNED);
    let dir = place(&world.memory);
    let document = json("graph @/store:1.0 --format json", dir.path());
    let store = dir.path().join("store").display().to_string();
    assert_eq!(document["location"], store);
    assert_eq!(document["reference"], format!("{store}@{}", world.digest("app")));
    let app = &document["nodes"][0];
    assert_eq!(app["reference"], document["reference"]);
    assert_eq!((&app["role"], &app["kind"], &app["tags"][0]), (&"root".into(), &"index".into(), &"1.0".into()));
    let edge = |from: &str, to: &str, kind: &str, dialect: Option<&str>| {
        let (from, to) = (world.digest(from).to_string(), world.digest(to).to_string());
        let same = |edge: &&Value| {
            edge["from"] == from && edge["to"] == to && edge["kind"] == kind && edge["dialect"].as_str() == dialect
        };
        document["edges"].as_array().unwrap().iter().filter(same).count()
    };
    for (from, to, kind, dialect) in [
        ("app", "amd", "child", None),
        ("amd", "amd.config", "config", None),
        ("amd", "base", "layer", None),
        ("arm", "base", "layer", None),
        ("sbom", "app", "subject", Some("entry")),
        ("sig", "sbom", "subject", Some("entry")),
        ("amd.sig", "amd", "subject", Some("cosign-tag")),
    ] {
        assert_eq!(edge(from, to, kind, dialect), 1, "{from} {to} {kind}");
    }
    let all = json("graph @/store --format json", dir.path());
    assert!(all.get("reference").is_none());
    assert!(nodes(&all, |digest| world.word(digest)).contains("other root"));
    assert!(!nodes(&document, |digest| world.word(digest)).contains("other root"));
}

#[test]
fn flags_say_where_it_starts_and_what_is_left_out() {
    let world = draw(SIGNED);
    let dir = place(&world.memory);
    let words =
        |line: &str| nodes(&json(line, dir.path()), |digest| world.word(digest)).into_iter().collect::<Vec<_>>();
    let manifests = words("graph @/store:1.0 --no-blobs --format json");
    let all =
        ["amd child", "amd.sig referrer", "app root", "arm child", "armsig referrer", "sbom referrer", "sig referrer"];
    assert_eq!(manifests, all);
    let arm = words("graph @/store:1.0 --platform linux/arm64 --no-blobs --format json");
    assert_eq!(arm, ["arm root", "armsig referrer"]);
    let blob = format!("{}@{}", dir.path().join("store").display(), world.digest("base"));
    let (_, said) = stage::run_words(["ocistow", "graph", "--format", "json", &blob].map(Into::into));
    assert_eq!(nodes(&serde_json::from_str(&said).unwrap(), |digest| world.word(digest)), ["base root".into()].into());
    assert_eq!(run("graph @/store:none", dir.path(), None).0, 3);
    assert_eq!(run("graph @/store:1.0 --platform linux/s390x", dir.path(), None).0, 3);
}

/// Style (e) of 3.7.
#[test]
fn what_only_lies_in_blobs_is_drawn_when_looked_for() {
    let dir = place(&odd::cosign_blob());
    let count = |line: &str| json(line, dir.path())["nodes"].as_array().unwrap().len();
    assert!(count("graph @/store --scan-blobs --format json") > count("graph @/store --format json"));
}

#[test]
fn archives_threads_and_time_change_nothing() {
    let dir = place(&draw(SIGNED).memory);
    for form in FORMS {
        let one = done(&format!("graph @/store --format {form}"), dir.path());
        assert_eq!(done(&format!("graph @/store --threads 1 --format {form}"), dir.path()), one, "{form}");
        let tar = done(&format!("graph @/store.tar --format {form}"), dir.path());
        // Only the location differs; a page has that in its title too, and a heading may be cut.
        let store = dir.path().join("store").display().to_string();
        assert_eq!(tar.replace(&format!("{store}.tar"), &store), one, "{form}");
    }
    assert_eq!(done("graph @/store", dir.path()), done("graph @/store --format dot", dir.path()));
    assert_eq!(done("graph @/store -o -", dir.path()), done("graph @/store -q", dir.path()));
}

#[test]
fn what_is_absent_or_broken_is_drawn_as_that_and_is_no_failure() {
    let world = draw(
        "ghost gone
         image a:1 = one + two
         image b:2 = one
         refer sig -> gone : application/x.sig
         absent two
         damage b",
    );
    let dir = place(&world.memory);
    let document = json("graph @/store --format json", dir.path());
    let node = |name: &str| {
        let digest = world.digest(name).to_string();
        document["nodes"].as_array().unwrap().iter().find(|node| node["digest"] == digest).unwrap().clone()
    };
    assert_eq!((&node("two")["absent"], &node("two")["kind"]), (&true.into(), &Value::Null));
    assert_eq!((&node("gone")["absent"], &node("gone")["role"]), (&true.into(), &"subject".into()));
    assert!(node("b")["broken"].as_str().unwrap().contains("damaged") && node("b")["kind"].is_null());
    assert!(node("a").get("broken").is_none());
    let svg = done("graph @/store --format svg", dir.path());
    let classes: BTreeMap<String, String> = elements(&svg)
        .iter()
        .filter_map(|it| Some((it.attribute("id")?.to_owned(), it.attribute("class")?.to_owned())))
        .collect();
    for (name, state) in [("two", "absent"), ("gone", "absent"), ("b", "broken")] {
        let class = &classes[&world.digest(name).to_string()];
        assert!(class.ends_with(&format!(" {state}")), "{name}: {class}");
    }
    assert_eq!(done("graph @/store", dir.path()).matches("dashed\"];").count(), 3);
    assert_eq!(done("graph @/store --format mermaid", dir.path()).matches("\n  class n").count(), 3);
}

/// DIGEST-10.
#[test]
fn entries_that_are_none_are_told_of_and_the_rest_is_drawn() {
    let dir = place(&odd::traversal());
    let said = done("graph @/store --no-blobs", dir.path());
    assert!(said.contains("warning: entry 0 of index.json is not drawn"), "{said}");
    let dir = place(&odd::ambiguous());
    assert!(done("graph @/store --format json", dir.path()).contains("\"broken\":\"it is ambiguous"));
}

/// Text that means something to somebody who reads one of the forms.
const BAD: [&str; 16] = [
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'\"`-->]]>%%{init: {'theme':'dark'}}%% end",
    "ends in \\",
    "a\\\" b",
    "turned\u{202e}gnp.exe",
    "x\u{2028}y\u{2029}z",
    "\u{0}\u{7}\u{1b}[31m\u{7f}\u{85}\u{ffff}\u{fffe}",
    "{{script}} {{document}} {{heading}}",
    "&lt;b&gt; &amp; &#x41; #35; #quot; \\N \\G",
    "`**md** <b>x</b>`",
    "#style a:b#c; classDef x:y#z;",
    "שלום 𐀀🎉漢字",
    "line\nbreak\r\ttab",
    "click n0 href \"javascript:alert(1)\"",
    "url(https://example.com/x) @import src=\"//example.com\"",
];

/// A layout in which everything that can be text is this.
fn hostile(bad: &str) -> Memory {
    let mut memory = Memory::default();
    let platform =
        Platform { os: bad.into(), architecture: bad.into(), variant: Some(bad.into()), ..Platform::default() };
    let annotations = |pairs: &[(&str, &str)]| {
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{}:{}", quote(key), quote(value))).collect();
        format!(",\"annotations\":{{{}}}", pairs.join(","))
    };
    let with = |descriptor: &Descriptor, more: &str| format!("{}{more}}}", descriptor.text().trim_end_matches('}'));
    let file = memory.add(bad.as_bytes());
    let file = Descriptor::new(bad, file, bad.len() as u64);
    let file = with(&file, &annotations(&[("org.opencontainers.image.title", bad)]));
    let config = memory.add(*b"{}");
    let config = Descriptor::new(bad, config, 2);
    let manifest = |memory: &mut Memory, subject: &str| {
        let text = format!(
            "{{\"schemaVersion\":2,\"artifactType\":{},\"config\":{},\"layers\":[{file}]{subject}{}}}",
            quote(bad),
            config.text(),
            annotations(&[(bad, bad), ("same", bad)])
        );
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        Descriptor::new(media_type, memory.add(text.as_bytes()), text.len() as u64)
    };
    let image = manifest(&mut memory, "");
    let referrer = manifest(&mut memory, &format!(",\"subject\":{}", image.text()));
    let platform = format!(",\"platform\":{}", serde_json::to_string(&platform).unwrap());
    let named = annotations(&[(REF_NAME, bad), (IMAGE_NAME, &format!("{bad}:x")), (bad, bad)]);
    let opaque = Descriptor::new(bad, Digest::of(b"nowhere"), 7);
    let entries = [with(&image, &format!("{platform}{named}")), referrer.text().to_owned(), opaque.text().to_owned()];
    memory.index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entries.join(",")).into_bytes();
    memory
}

/// Every form of what is drawn of each text, at a location that is itself one.
fn of_hostile(form: &str) -> Vec<(&'static str, String)> {
    let dir = stage::room();
    let drawn = |(at, bad): (usize, &&'static str)| {
        let name: String =
            bad.chars().filter(|c| !matches!(c, '\0' | '/' | ' ' | '\n' | '\r' | '\t' | ':' | '@')).collect();
        let path: PathBuf = dir.path().join(format!("{at}{name}"));
        to_dir(&hostile(bad), &path).unwrap();
        let words =
            ["ocistow", "graph", "--format", form, "--path"].map(Into::into).into_iter().chain([path.into_os_string()]);
        let (code, said) = stage::run_words(words);
        assert_eq!(code, 0, "{said}");
        (*bad, said)
    };
    BAD.iter().enumerate().map(drawn).collect()
}

#[test]
fn svg_is_well_formed_and_has_no_element_that_a_layout_made() {
    for (bad, svg) in of_hostile("svg") {
        let found = elements(&svg);
        let names: BTreeSet<&str> = found.iter().map(|element| element.name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["svg", "style", "rect", "text", "g", "path", "a", "title"]), "{bad}");
        let attributes: BTreeSet<&str> =
            found.iter().flat_map(|element| &element.attributes).map(|(name, _)| name.as_str()).collect();
        assert!(
            !attributes.iter().any(|name| name.starts_with("on") || *name == "src" || *name == "style"),
            "{attributes:?}"
        );
        let links = found.iter().filter_map(|element| element.attribute("href"));
        assert!(links.into_iter().all(|link| link.starts_with("#sha256:")), "{bad}");
        let told = ocistow::shown::shown(bad);
        assert!(found.iter().any(|it| it.name == "title" && it.text.contains(&*told)), "{bad}: {svg}");
    }
}

/// What stands between the first `before` and the next `after`.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    text.split_once(before).unwrap().1.split_once(after).unwrap().0
}

#[test]
fn a_page_runs_only_its_own_script_and_loads_nothing() {
    use base64::Engine as _;
    let mut scripts = BTreeSet::new();
    for (bad, page) in of_hostile("html") {
        // What a browser sees as tags: everything else that a layout says is escaped.
        let data = between(&page, "<script type=\"application/json\" id=\"document\">", "</script>");
        let script = between(&page, "</script>\n<script>", "</script>");
        let style = between(&page, "<style>", "</style>");
        assert_eq!(page.to_lowercase().matches("<script").count(), 2, "{bad}");
        assert_eq!(page.matches("<style").count(), 1, "{bad}");
        let hash = |text: &str| {
            let raw = *Digest::of(text.as_bytes()).sha256().unwrap();
            format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(raw))
        };
        let policy = between(&page, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
        let expected = format!(
            "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
            hash(style),
            hash(script)
        );
        assert_eq!(policy, expected);
        assert!(!data.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{bad}");
        let document: Value = serde_json::from_str(data).unwrap();
        assert_eq!(document["nodes"][0]["artifactType"], bad);
        let picture = between(&page, "<main>", "<script");
        let picture = between(picture, "<div class=\"stage\" id=\"stage\" tabindex=\"-1\">", "</div>");
        let links: Vec<String> =
            elements(picture.trim()).iter().filter_map(|it| it.attribute("href").map(str::to_owned)).collect();
        assert!(!links.is_empty() && links.iter().all(|link| link.starts_with('#')), "{bad}");
        // Our own part of the page: nothing in it comes from outside.
        for outside in ["http:", "https:", "//", "src=", "@import", "url(", "<link", "<img", "<iframe", "<object"] {
            let own = script.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<String>();
            assert!(!own.contains(outside) && !style.contains(outside), "{outside}");
        }
        for raw in ["<img", "<link", "<iframe", "<object", "<base", "<form action", " onerror=", " onload=", " style="]
        {
            let tags: String = page
                .split('<')
                .skip(1)
                .filter_map(|tag| tag.split_once('>'))
                .map(|(tag, _)| format!("<{tag}>"))
                .collect();
            let tags = tags.replace(script, "");
            let outside_of_quotes: String = tags.split('"').step_by(2).collect();
            assert!(!outside_of_quotes.contains(raw), "{bad}: {raw}");
        }
        scripts.insert(script.to_owned());
        for unsafe_way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "fetch(",
            "XMLHttpRequest",
        ] {
            assert!(!script.contains(unsafe_way), "{unsafe_way}");
        }
    }
    assert_eq!(scripts.len(), 1, "no text of a layout is in the script");
}

/// The strings of a text in graphviz's language, and what is left without them.
fn strings(dot: &str) -> (Vec<String>, String) {
    let (mut strings, mut rest) = (Vec::new(), String::new());
    let mut string: Option<String> = None;
    let mut chars = dot.chars();
    while let Some(c) = chars.next() {
        match (&mut string, c) {
            (None, '"') => string = Some(String::new()),
            (None, c) => rest.push(c),
            (Some(text), '\\') => match chars.next().unwrap() {
                'n' => text.push('\n'),
                c @ ('"' | '\\') => text.push(c),
                c => panic!("an escape \\{c} that graphviz gives a meaning"),
            },
            (Some(_), '"') => strings.extend(string.take()),
            (Some(text), c) => text.push(c),
        }
    }
    assert!(string.is_none(), "a string does not end");
    (strings.into_iter().map(|text| text.replace("&amp;", "&")).collect(), rest)
}

#[test]
fn dot_keeps_every_name_in_its_string() {
    let mut shapes = BTreeSet::new();
    for (bad, dot) in of_hostile("dot") {
        let (strings, rest) = strings(&dot);
        assert!(rest.starts_with("digraph  {\n  rankdir=LR;") && rest.ends_with("}\n"), "{bad}: {rest}");
        shapes.insert(rest);
        let told = ocistow::shown::shown(bad);
        assert!(strings.iter().any(|text| text.contains(&*told)), "{bad}: {strings:#?}");
        assert!(!dot.contains("&lt;") || dot.contains("&amp;lt;"), "{bad}");
    }
    assert_eq!(shapes.len(), 1, "a name changed what is drawn: {shapes:#?}");
}

#[test]
fn mermaid_has_nothing_but_plain_letters_and_numbers_of_others() {
    let line = |line: &str| {
        let label = |text: &str| {
            text.split("<br/>").all(|text| {
                let mut pieces = text.split('#');
                let plain =
                    |text: &str| text.chars().all(|c| c.is_alphanumeric() || !c.is_ascii() || " -./,_+@".contains(c));
                let first = pieces.next().unwrap();
                let numbers = |piece: &str| {
                    piece.split_once(';').is_some_and(|(n, rest)| n.parse::<u32>().is_ok() && plain(rest))
                };
                (plain(first) || first.starts_with("sha256:") && plain(&first[7..])) && pieces.all(numbers)
            })
        };
        let node = |at: &str| at.strip_prefix('n').is_some_and(|n| n.parse::<usize>().is_ok());
        if let Some((at, rest)) = line.split_once("[\"") {
            let (text, class) = rest.split_once("\"]:::").unwrap();
            return node(at) && label(text) && class.chars().all(|c| c.is_ascii_lowercase());
        }
        match line.split(' ').collect::<Vec<_>>()[..] {
            [from, "-->" | "-.->", to] => node(from) && node(to),
            ["class", at, "absent" | "broken"] => node(at),
            ["classDef", ..] => line.is_ascii() && !line.contains(['"', ';']),
            _ => line == "flowchart LR",
        }
    };
    for (bad, mermaid) in of_hostile("mermaid") {
        for text in mermaid.lines() {
            assert!(line(text.trim_start()), "{bad}: {text}");
        }
    }
}

#[test]
fn json_has_names_as_they_are() {
    for (bad, text) in of_hostile("json") {
        let document: Value = serde_json::from_str(&text).unwrap();
        let first = &document["nodes"][0];
        assert_eq!(
            (&first["tags"][0], &first["artifactType"], &first["annotations"][bad]),
            (&bad.into(), &bad.into(), &bad.into())
        );
    }
}

#[test]
fn a_file_is_replaced_only_when_told_to() {
    let dir = place(&draw(SIGNED).memory);
    let base = dir.path();
    assert_eq!(done("graph @/store --format svg -o @/x.svg", base), "");
    let svg = done("graph @/store --format svg", base);
    assert_eq!(fs::read_to_string(base.join("x.svg")).unwrap(), svg);
    let (code, said) = run("graph @/store --format html -o @/x.svg", base, None);
    assert!(code == 2 && said.contains("--force"), "{code} {said}");
    assert_eq!(fs::read_to_string(base.join("x.svg")).unwrap(), svg);
    done("graph @/store --format json -o @/x.svg --force", base);
    assert_eq!(fs::read_to_string(base.join("x.svg")).unwrap(), done("graph @/store --format json", base));
    let (code, _) = run("graph @/store.tar -o @/store.tar", base, None);
    assert_eq!((code, fs::read(base.join("store.tar")).unwrap()), (2, to_tar(&draw(SIGNED).memory)));
    assert_eq!(run("graph @/store -o @/none/x.dot", base, None).0, 3);
    assert_eq!(run("graph @/store -o @/store --force", base, None).0, 1);
}

#[test]
fn other_commands_have_no_picture_and_graph_no_tree() {
    let dir = place(&draw(SIGNED).memory);
    for form in ["dot", "mermaid", "svg", "html"] {
        for line in ["ls @/store", "show @/store:1.0", "discover @/store:1.0", "fsck @/store", "cat @/store:1.0"] {
            let (code, said) = run(&format!("{line} --format {form}"), dir.path(), None);
            assert!(code == 2 && said.contains("hint: graph has one"), "{line} {form}: {code} {said}");
        }
    }
    let (code, said) = run("graph @/store --format tree", dir.path(), None);
    assert!(code == 2 && said.contains("hint: discover has one"), "{code} {said}");
}

#[test]
fn what_is_too_large_to_look_at_is_refused_with_a_way_out() {
    let mut text = String::new();
    for n in 0..101 {
        let layers: Vec<String> = (0..100).map(|layer| format!("l{n}x{layer}")).collect();
        text += &format!("image i{n}:t{n} = {}\n", layers.join(" + "));
    }
    let dir = place(&draw(&text).memory);
    for form in ["svg", "html"] {
        let (code, said) = run(&format!("graph @/store --format {form} -o @/x"), dir.path(), None);
        assert!(code == 2 && said.contains("nodes") && said.contains("hint: --no-blobs"), "{code} {said}");
        assert!(!dir.path().join("x").exists());
        done(&format!("graph @/store --no-blobs --format {form}"), dir.path());
        done(&format!("graph @/store:t7 --format {form}"), dir.path());
    }
    assert!(done("graph @/store", dir.path()).matches(" -> ").count() > 10_000);
    assert!(done("graph @/store --format mermaid", dir.path()).contains("note: there are "));
}

#[test]
fn an_empty_layout_is_an_empty_picture() {
    let dir = place(&odd::empty());
    for form in FORMS {
        done(&format!("graph @/store --format {form}"), dir.path());
    }
    elements(&done("graph @/store --format svg", dir.path()));
}
