//! An archive arrives in every way there is: in place, packed, and out of a pipe; what one way accepts or refuses, all do.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use ocistow_layout::Digest;
use ocistow_layout::source::OCI_LAYOUT;
use ocistow_testkit::{Drawing, draw};
use tar::EntryType;

mod stage;

use stage::{room, run};

/// An archive being drawn: members in the order in which they come.
struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    /// The layout `world`, without the blobs called `but`.
    fn of(world: &Drawing, but: &[&str]) -> Self {
        let but: Vec<Digest> = but.iter().map(|name| world.digest(name)).collect();
        let archive = Self(tar::Builder::new(Vec::new()));
        let archive = archive.file("oci-layout", OCI_LAYOUT);
        let blobs = world.memory.blobs.iter().filter(|(digest, _)| !but.contains(digest));
        blobs.fold(archive.file("index.json", &world.memory.index), |archive, (digest, bytes)| {
            archive.file(&digest.path(), bytes)
        })
    }

    fn member(mut self, kind: EntryType, name: &str, target: &str, bytes: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        if !target.is_empty() {
            header.set_link_name_literal(target).unwrap();
        }
        self.0.append_data(&mut header, name, bytes).unwrap();
        self
    }

    fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.member(EntryType::Regular, name, "", bytes)
    }

    /// Says how importing it ends, which is the same in every way, with these flags too; and that it leaves a whole layout
    /// where it goes well.
    #[track_caller]
    fn import(self, flags: &str) -> (u8, String) {
        let [place, pipe] = self.import_and_pipe(flags);
        assert_eq!(pipe.0, place.0, "out of a pipe: {}\nin place: {}", pipe.1, place.1);
        place
    }

    /// The same of what a pipe may refuse: how it ends in place or packed, and how out of a pipe.
    #[track_caller]
    fn import_and_pipe(self, flags: &str) -> [(u8, String); 2] {
        let dir = room();
        let base = dir.path();
        let tar = self.0.into_inner().unwrap();
        fs::write(base.join("x.tar"), &tar).unwrap();
        fs::write(base.join("x.tar.zst"), zstd::encode_all(&*tar, 1).unwrap()).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar).unwrap();
        fs::write(base.join("x.tar.gz"), gzip.finish().unwrap()).unwrap();
        let same = |ways: [&str; 3]| {
            let [first, others @ ..] = ways.map(|words| (words, imported(words, flags, base)));
            for (words, (code, said)) in others {
                assert_eq!(code, first.1.0, "{words}: {said}\n{}: {}", first.0, first.1.1);
            }
            first.1
        };
        let place = same(["@/x.tar @/in0", "@/x.tar.gz @/in1", "@/x.tar.zst @/in2"]);
        let pipe = same(["- @/in3 < @/x.tar", "- @/in4 < @/x.tar.gz", "- @/in5 < @/x.tar.zst"]);
        let made = |at| fs::read(base.join(format!("in{at}/index.json"))).ok();
        assert!((0..6).filter_map(made).collect::<BTreeSet<_>>().len() <= 1, "what is left is the same");
        [place, pipe]
    }
}

#[track_caller]
fn imported(words: &str, flags: &str, base: &Path) -> (u8, String) {
    let (code, said) = run(&format!("import {flags} {words}"), base, None);
    let target = words.split_whitespace().find(|word| word.starts_with("@/in")).unwrap();
    if code == 0 && flags.is_empty() {
        let (code, said) = run(&format!("fsck {target}"), base, None);
        assert_eq!(code, 0, "{words}: {said}");
    }
    (code, said)
}

fn world() -> Drawing {
    draw("image app:1 = base + top [linux/amd64]")
}

/// ARCHIVE-7
#[test]
fn a_link_that_leads_out_is_refused_where_it_is_needed_whichever_way_it_comes() {
    let world = world();
    let base = world.digest("base").path();
    for flags in ["", "--allow-missing"] {
        for (kind, target) in [
            (EntryType::Symlink, "/etc/passwd"),
            (EntryType::Symlink, "../../../outside"),
            (EntryType::Link, "nowhere"),
            (EntryType::Link, &base),
        ] {
            let (code, said) = Archive::of(&world, &["base"]).member(kind, &base, target, b"").import(flags);
            assert_eq!(code, 4, "{target}: {said}");
        }
        let (code, said) = Archive::of(&world, &["base"]).member(EntryType::Directory, &base, "", b"").import(flags);
        assert_eq!(code, 4, "{said}");
    }
    let (code, said) = Archive::of(&world, &[]).member(EntryType::Symlink, "blobs/sha512", "/etc", b"").import("");
    assert_eq!(code, 0, "nobody needs it: {said}");
}

/// ARCHIVE-7, 4.12
#[test]
fn a_link_to_any_file_of_the_archive_is_followed_but_not_out_of_a_pipe() {
    let world = world();
    let (base, bytes) = (world.digest("base"), world.memory.blobs[&world.digest("base")].clone());
    let path = base.path();
    let lacking = || Archive::of(&world, &["base"]);
    let (link, symlink) = (EntryType::Link, EntryType::Symlink);
    for archive in [
        lacking().file(".cache/x", &bytes).member(link, &path, ".cache/x", b""),
        lacking().file("store/x", &bytes).member(symlink, &path, "../../store/x", b""),
        lacking().member(symlink, &path, "../../store/x", b"").file("store/x", &bytes),
    ] {
        let [(code, said), (piped, told)] = archive.import_and_pipe("");
        assert_eq!((code, piped), (0, 1), "{said}\n{told}");
        assert!(told.contains(&base.to_string()) && told.contains("saved as a file"), "{told}");
    }
    for file in ["index.json", "oci-layout"] {
        let mut archive = Archive(tar::Builder::new(Vec::new())).member(symlink, file, "other", b"");
        for (name, bytes) in [("oci-layout", OCI_LAYOUT), ("index.json", &world.memory.index)] {
            archive = archive.file(if name == file { "other" } else { name }, bytes);
        }
        for (digest, bytes) in &world.memory.blobs {
            archive = archive.file(&digest.path(), bytes);
        }
        let [(code, said), (piped, told)] = archive.import_and_pipe("");
        assert_eq!((code, piped), (0, 1), "{said}\n{told}");
        assert!(!said.contains("warning") && told.contains("saved as a file"), "{said}\n{told}");
    }
    // Wrong content is wrong wherever it lies; what nobody needs is no matter.
    let [(code, said), _] = lacking().file("x", b"other").member(link, &path, "x", b"").import_and_pipe("");
    assert_eq!(code, 4, "{said}");
    let other = Digest::of(b"nobody needs it").path();
    let (code, said) = Archive::of(&world, &[]).file("x", b"").member(link, &other, "x", b"").import("");
    assert_eq!(code, 0, "{said}");
}

/// ARCHIVE-24
#[test]
fn content_that_is_not_what_its_name_says_is_refused_where_it_is_needed_and_stored_nowhere() {
    let world = world();
    for name in ["base", "app"] {
        let path = world.digest(name).path();
        let (code, said) = Archive::of(&world, &[name]).file(&path, b"other").import("");
        assert_eq!(code, 4, "{said}");
        let (code, said) = Archive::of(&world, &[name]).file(&path, b"other").import("--allow-missing");
        assert_eq!(code, 4, "{said}");
    }
    let other = Digest::of(b"something else").path();
    let (code, said) = Archive::of(&world, &[]).file(&other, b"other").import("");
    assert_eq!(code, 0, "{said}");
    // The same name twice, and only the second is right (ARCHIVE-6).
    let (code, said) =
        Archive::of(&world, &[]).file(&other, b"other thing.. ").file(&other, b"something else").import("");
    assert_eq!(code, 4, "{said}");
}

/// ARCHIVE-24
#[test]
fn fsck_of_an_archive_finds_content_that_is_not_what_its_name_says_though_nobody_needs_it() {
    let dir = room();
    let archive = Archive::of(&world(), &[]).file(&Digest::of(b"something else").path(), b"other");
    let tar = archive.0.into_inner().unwrap();
    fs::write(dir.path().join("x.tar"), &tar).unwrap();
    fs::write(dir.path().join("x.tar.zst"), zstd::encode_all(&*tar, 1).unwrap()).unwrap();
    for archive in ["x.tar", "x.tar.zst"] {
        let (code, said) = run(&format!("fsck @/{archive}"), dir.path(), None);
        assert_eq!(code, 4, "{said}");
        assert!(said.contains("digest-mismatch"), "{said}");
    }
}

/// What a bundle in an archive lost, and no longer says that it had, is lost for every command that carries.
#[test]
fn a_bundle_that_does_not_hold_what_it_declares_is_carried_nowhere() {
    let dir = room();
    let base = dir.path();
    // So many that what is found out about the archive is kept.
    fs::create_dir(base.join("cache")).unwrap();
    let many: String = (0..1000).map(|n| format!("image app{n}:t{n} = base\n")).collect();
    let world = draw(&format!("{many}refer sig -> app0 : application/x.sig"));
    ocistow_testkit::to_dir(&world.memory, base.join("have")).unwrap();
    run("export @/have -o @/dir", base, None);
    let index = base.join("dir/index.json");
    let mut lost: serde_json::Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let entries = lost["manifests"].as_array_mut().unwrap();
    let signature = entries.iter().position(|entry| entry["digest"] == world.digest("sig").to_string()).unwrap();
    entries.remove(signature);
    fs::write(&index, lost.to_string()).unwrap();
    let mut archive = Archive(tar::Builder::new(Vec::new())).file("oci-layout", OCI_LAYOUT);
    archive = archive.file("index.json", lost.to_string().as_bytes());
    for (digest, bytes) in &world.memory.blobs {
        archive = archive.file(&digest.path(), bytes);
    }
    fs::write(base.join("x.tar"), archive.0.into_inner().unwrap()).unwrap();
    for line in [
        "fsck @/x.tar",
        "import @/x.tar @/in",
        "plan @/x.tar",
        "plan @/x.tar:t0",
        "plan @/x.tar:t0 --no-referrers",
        "export @/x.tar -o @/y.tar",
        "export @/x.tar:t0 -o @/y.tar",
        "copy @/x.tar:t0 @/in",
    ] {
        for _ in 0..2 {
            let (code, said) = run(line, base, None);
            assert_eq!(code, 4, "{line}: {said}");
            assert!(
                said.contains("carries-mismatch") || said.contains("does not hold what it declares"),
                "{line}: {said}"
            );
        }
    }
    assert!(base.join("cache/ocistow").exists(), "it is kept");
    assert!(!base.join("in").exists() && !base.join("y.tar").exists());
    let (code, said) = run("export @/dir -o @/z.tar", base, None);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("carries-mismatch"), "others may have written to a directory: {said}");
}
