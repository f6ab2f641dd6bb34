//! Names that stand twice, in every way tools leave them in layouts: what `tag`, `untag` and `rm` make of them.

use std::path::Path;

use ocistow_testkit::{Drawing, draw, to_dir};
use serde_json::Value;

use crate::run::{done, ocistow_in};

/// What index.json lists, entry by entry: the tag, the full name and the word for what it stands for.
fn left(world: &Drawing, layout: &Path) -> String {
    let list = done(&["ls", "--all", "--format", "json", layout.to_str().expect("the path is UTF-8")]).json();
    let entries = list["manifests"].as_array().expect("it is a list").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut told: Vec<String> = entries
        .map(|entry| {
            let name = text(&entry["name"]);
            let name = if name.is_empty() { name } else { format!("({name})") };
            let digest = text(&entry["digest"]).parse().expect("it is a digest");
            format!("{}{name}={}", text(&entry["tag"]), world.word(&digest))
        })
        .collect();
    told.sort();
    told.join(" ")
}

/// What a layout holds, what is done to it, how that ends, a word that is said, and what is left: `tag(full name)=what`.
type Case = (&'static str, &'static str, i32, &'static str, &'static str);

const SAME: &str = "image a:1 = base\ntag a as 1";
const OTHER: &str = "image a:1 = base\nimage b:1 = base + top\nimage c:2 = base";
const TWO_TAGS: &str = "image a:1 = base\ntag a as 2";
const HOSTS: &str = "image a = base\nimage b = top\ntag a as 1 in one.example/app:1\ntag b as 1 in two.example/app:1";
const MIRRORED: &str = "image a = base\ntag a as 1 in one.example/app:1\ntag a as 1 in two.example/app:1\ntag a as 1";
const NAME_ONLY: &str = "image a = base\nname a as docker.io/library/app:1";
const FULL_TAG: &str = "image a:docker.io/library/app:1 = base";
const BESIDE: &str = "image a:1 = base\nentry a";
const SIGNED: &str = "image a:1 = base\nrefer sig:s -> a : application/x.sig\ntag sig as t";
const CHILD: &str = "image a = base [linux/amd64]\nindex i:1 = a\ntag a as child";

const CASES: &[Case] = &[
    // One tag twice for one digest is one name.
    (SAME, "tag lay:1 2", 0, "2 is", "1=a 1=a 2=a"),
    (SAME, "tag lay:1 1", 0, "", "1=a 1=a"),
    (SAME, "untag lay:1", 0, "1 is gone", ""),
    (SAME, "rm lay:1", 0, "1 is gone", ""),
    (SAME, "rm lay@A", 0, "is gone", ""),
    // One tag for two digests is nobody's to guess.
    (OTHER, "tag lay:1 3", 2, "2 different digests", "1=a 1=b 2=c"),
    (OTHER, "tag lay:2 1", 2, "hint: rm PATH@DIGEST", "1=a 1=b 2=c"),
    (OTHER, "untag lay:1", 2, "hint: rm PATH@DIGEST", "1=a 1=b 2=c"),
    (OTHER, "rm lay:1", 2, "hint: a digest says", "1=a 1=b 2=c"),
    (OTHER, "tag lay@A 3", 0, "3 is", "1=a 1=b 2=c 3=a"),
    (OTHER, "rm lay@A", 0, "is gone", "1=b 2=c"),
    (OTHER, "untag lay:2 1", 2, "hint: rm PATH@DIGEST", "1=a 1=b 2=c"),
    // Several names of one digest.
    (TWO_TAGS, "untag lay:1", 0, "1 is gone", "2=a"),
    (TWO_TAGS, "untag lay:1 2", 0, "2 is gone", ""),
    (TWO_TAGS, "untag lay:1 1", 0, "1 is gone", "2=a"),
    (TWO_TAGS, "rm lay:1", 0, "1 is gone", "2=a"),
    (TWO_TAGS, "rm lay@A", 0, "2 is gone", ""),
    (TWO_TAGS, "tag lay:1 2", 0, "", "1=a 2=a"),
    // One tag in two repositories.
    (
        HOSTS,
        "untag lay:1",
        2,
        "hint: a full name says which is meant: one.example/app:1, two.example/app:1",
        "1(one.example/app:1)=a 1(two.example/app:1)=b",
    ),
    (HOSTS, "untag lay:one.example/app:1", 0, "one.example/app:1 is gone", "1(two.example/app:1)=b"),
    (HOSTS, "rm lay:two.example/app:1", 0, "two.example/app:1 is gone", "1(one.example/app:1)=a"),
    (
        HOSTS,
        "tag lay:one.example/app:1 two.example/app:1",
        0,
        "two.example/app:1 is",
        "1(one.example/app:1)=a 1(two.example/app:1)=a",
    ),
    (HOSTS, "tag lay:one.example/app:1 2", 0, "2 is", "1(one.example/app:1)=a 1(two.example/app:1)=b 2=a"),
    // One digest under one tag in several repositories, and under the tag alone.
    (MIRRORED, "untag lay:one.example/app:1", 0, "one.example/app:1 is gone", "1(two.example/app:1)=a 1=a"),
    (MIRRORED, "untag lay:1", 0, "is gone", ""),
    (MIRRORED, "rm lay:two.example/app:1", 0, "two.example/app:1 is gone", "1(one.example/app:1)=a 1=a"),
    // Names as containerd alone keeps them, and as oras does.
    (NAME_ONLY, "tag lay:app:1 2", 0, "2 is", "1(docker.io/library/app:1)=a 2=a"),
    (NAME_ONLY, "untag lay:docker.io/library/app:1", 0, "is gone", ""),
    (NAME_ONLY, "untag lay:1", 3, "hint: there are docker.io/library/app:1", "1(docker.io/library/app:1)=a"),
    (NAME_ONLY, "rm lay:app:1", 0, "is gone", ""),
    (FULL_TAG, "untag lay:docker.io/library/app:1", 0, "is gone", ""),
    (FULL_TAG, "tag lay:docker.io/library/app:1 2", 0, "2 is", "1(docker.io/library/app:1)=a 2=a"),
    (FULL_TAG, "tag lay:1 docker.io/library/app:1", 0, "docker.io/library/app:1 is", "1(docker.io/library/app:1)=a"),
    // An entry without a name beside one that has it.
    (BESIDE, "untag lay:1", 0, "1 is gone", "=a"),
    (BESIDE, "rm lay:1", 0, "1 is gone", "=a"),
    (BESIDE, "rm lay@A", 0, "is gone", ""),
    // A referrer that has names keeps an entry without one.
    (SIGNED, "untag lay:s t", 0, "t is gone", "1=a =sig"),
    (SIGNED, "untag lay:s", 0, "s is gone", "1=a t=sig"),
    (SIGNED, "rm lay:s lay:t", 0, "is gone", "1=a"),
    // What an index lists goes with that only.
    (CHILD, "untag lay:child", 0, "child is gone", "1=i"),
    (CHILD, "rm lay:child", 0, "stays: something that stays needs it", "1=i =a"),
    (CHILD, "rm lay@A", 1, "it is a part of", "1=i child=a"),
];

#[test]
fn names_that_stand_twice_are_set_and_removed_as_one_or_not_at_all() {
    let mut wrong = Vec::new();
    for (drawing, line, code, said, expected) in CASES {
        let world = draw(drawing);
        let room = tempfile::tempdir().expect("there is room");
        let layout = room.path().join("lay");
        to_dir(&world.memory, &layout).expect("there is room");
        let words = line.replace("@A", &format!("@{}", world.digest("a")));
        let ran = ocistow_in(room.path(), words.split(' '));
        let left = left(&world, &layout);
        let told = format!("{}{}", ran.text(), ran.err);
        if ran.code != *code || !told.contains(said) || left != *expected {
            wrong.push(format!("{line}\n{told}\n{} of {code}, left {left:?} of {expected:?}", ran.code));
        }
        let checked = done(&["fsck", "--format", "json", layout.to_str().expect("the path is UTF-8")]).json();
        assert_eq!(checked["ok"], true, "{line}: {checked}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Tools look for referrers under tags that are made of a digest (REFERRERS-13); so does ours.
#[test]
fn a_name_under_which_referrers_are_looked_for_is_given_with_a_warning_wherever_names_are_given() {
    let world = draw("image a:1 = base\nimage b:2 = top");
    let subject = world.digest("a").to_string().replace(':', "-");
    for (name, about) in [
        (subject.clone(), true),
        (format!("one.example/app:{subject}"), true),
        (format!("sha512-{}", &subject["sha256-".len()..]), true),
        (format!("{subject}.sig"), true),
        (format!("{subject}.att"), true),
        (format!("{subject}.txt"), false),
        (subject[..subject.len() - 1].to_owned(), false),
        (format!("x-{subject}"), false),
    ] {
        for line in [
            "tag lay:2 NAME",
            "push lay:NAME file",
            "manifest push lay:NAME manifest.json",
            "index create lay:NAME 2",
            "convert lay:2 NAME --to docker",
            "copy lay:2 other:NAME",
            "import lay other --tag 2=NAME",
        ] {
            let room = tempfile::tempdir().expect("there is room");
            to_dir(&world.memory, room.path().join("lay")).expect("there is room");
            std::fs::write(room.path().join("file"), "content").expect("there is room");
            let manifest = ocistow_in(room.path(), ["show", "--raw", "lay:2"]).ended(0);
            std::fs::write(room.path().join("manifest.json"), manifest.out).expect("there is room");
            let ran = ocistow_in(room.path(), line.replace("NAME", &name).split(' ')).ended(0);
            let said = ran.err.matches("is a tag for what refers to another manifest").count();
            assert_eq!(said, usize::from(about), "{line}: {ran}");
        }
    }
}

/// Layouts are called after repositories, and in them a full name means what it says.
#[test]
fn a_name_with_the_layout_in_front_of_it_is_a_name_only_where_it_is_a_full_one() {
    let room = tempfile::tempdir().expect("there is room");
    let world = draw("image a:1 = base");
    std::fs::create_dir(room.path().join("reg.example")).expect("there is room");
    for lay in ["lay", "reg.example/lay"] {
        to_dir(&world.memory, room.path().join(lay)).expect("there is room");
    }
    let ran = ocistow_in(room.path(), ["tag", "lay:1", "lay:2"]).ended(2);
    assert!(ran.err.contains("hint: write 2"), "{ran}");
    ocistow_in(room.path(), ["tag", "--path", "lay", "1", "lay:2"]).ended(0);
    ocistow_in(room.path(), ["tag", "reg.example/lay:1", "reg.example/lay:2"]).ended(0);
    let list = ocistow_in(room.path(), ["ls", "reg.example/lay", "--format", "json"]).ended(0).json();
    assert_eq!(list["manifests"][1]["name"], "reg.example/lay:2");
}
