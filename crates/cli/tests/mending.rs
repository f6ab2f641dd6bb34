//! What `fsck --repair-from` mends, from every kind of location, and what it leaves as it is.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use ocistow_layout::Digest;
use ocistow_testkit::{Drawing, draw, to_dir};
use serde_json::{Value, json};
use tempfile::TempDir;

mod stage;

use stage::{done, room, run};

const WORLD: &str = "image amd = base + top [linux/amd64]
                     image arm = base + other [linux/arm64]
                     index app:1 = amd, arm
                     refer sig -> app = proof : application/x.sig";

/// A place with the layout as it was, `good`, and the same again, `bad`, for the test to hurt.
struct Place {
    dir: TempDir,
    world: Drawing,
}

impl Place {
    fn new() -> Self {
        let (dir, world) = (room(), draw(WORLD));
        for name in ["good", "bad"] {
            to_dir(&world.memory, dir.path().join(name)).unwrap();
        }
        Self { dir, world }
    }

    fn base(&self) -> &Path {
        self.dir.path()
    }

    /// The file of what the drawing calls `name`, in a layout.
    fn blob(&self, layout: &str, name: &str) -> PathBuf {
        self.base().join(layout).join(self.world.digest(name).path())
    }

    fn damage(&self, layout: &str, name: &str) {
        let mut bytes = fs::read(self.blob(layout, name)).unwrap();
        bytes[0] ^= 1;
        fs::write(self.blob(layout, name), bytes).unwrap();
    }

    fn remove(&self, layout: &str, name: &str) {
        fs::remove_file(self.blob(layout, name)).unwrap();
    }

    /// The one document a command gives, its exit code, and the rest of what it says.
    #[track_caller]
    fn told(&self, line: &str) -> (u8, Value, String) {
        let (code, said) = run(&format!("{line} --format json"), self.base(), None);
        let (documents, rest): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| line.starts_with('{'));
        assert_eq!(documents.len(), 1, "{said}");
        (code, serde_json::from_str(documents[0]).unwrap(), rest.join("\n"))
    }

    fn digests(&self, names: &[&str]) -> Value {
        let mut digests: Vec<String> = names.iter().map(|name| self.world.digest(name).to_string()).collect();
        digests.sort();
        json!(digests)
    }

    /// Every file of a layout that is not ours, with its bytes and its inode.
    fn files(&self, layout: &str) -> BTreeMap<PathBuf, (Vec<u8>, u64)> {
        let root = self.base().join(layout);
        let walk = walkdir::WalkDir::new(&root).into_iter().filter_entry(|entry| entry.file_name() != ".ocistow");
        let files = walk.map(|entry| entry.unwrap()).filter(|entry| entry.file_type().is_file());
        let file = |entry: walkdir::DirEntry| {
            let name = entry.path().strip_prefix(&root).unwrap().to_owned();
            (name, (fs::read(entry.path()).unwrap(), entry.metadata().unwrap().ino()))
        };
        files.map(file).collect()
    }
}

fn kinds(report: &Value) -> Vec<&str> {
    report["problems"].as_array().unwrap().iter().map(|problem| problem["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_layout_is_mended_from_every_kind_of_location_and_nothing_right_is_touched() {
    for from in ["good", "good.tar", "good.tar.gz", "good.tar.zst", "oci:good", "oci-archive:good.tar"] {
        let place = Place::new();
        if let Some((_, archive)) = from.split_once("good.") {
            done(&format!("export @/good -o @/good.{archive}"), place.base());
        }
        let before = place.files("bad");
        for name in ["app", "top", "proof"] {
            place.damage("bad", name);
        }
        for name in ["amd", "base", "sig"] {
            place.remove("bad", name);
        }
        let from = match from.split_once(':') {
            Some((prefix, path)) => format!("{prefix}:@/{path}"),
            None => format!("@/{from}"),
        };
        let (code, report, _) = place.told(&format!("fsck @/bad --complete --repair-from {from}"));
        assert_eq!((code, &report["ok"]), (0, &true.into()), "{from}: {report}");
        assert_eq!(report["repaired"], place.digests(&["app", "top", "proof", "amd", "base", "sig"]), "{from}");
        let after = place.files("bad");
        let touched = |name: &Path| {
            ["app", "top", "proof", "amd", "base", "sig"]
                .iter()
                .any(|one| name.to_str() == Some(&place.world.digest(one).path()))
        };
        assert_eq!(after.len(), before.len(), "{from}");
        for (name, (bytes, inode)) in &after {
            assert_eq!(bytes, &before[name].0, "{from}: {}", name.display());
            assert!(touched(name) || *inode == before[name].1, "{from}: {} was right", name.display());
        }
        // The report is that of a fresh look, and there is nothing left to do.
        let (_, fresh, _) = place.told("fsck @/bad --complete");
        assert_eq!((&fresh["checked"], &fresh["problems"]), (&report["checked"], &report["problems"]), "{from}");
        let (code, again, _) = place.told(&format!("fsck @/bad --repair-from {from}"));
        assert_eq!((code, &again["repaired"]), (0, &json!([])), "{from}");
        assert_eq!(place.files("bad"), after, "{from}");
    }
}

/// DOCKER-COMPAT-10: a classic archive has no manifests, and still gives the ones that were made of it.
#[test]
fn a_docker_archive_mends_what_came_out_of_it() {
    let place = Place::new();
    let (config, layer) = (ocistow_testkit::fixtures::CONFIG_AMD64, ocistow_testkit::fixtures::LAYER_TAR);
    let mut builder = tar::Builder::new(fs::File::create(place.base().join("classic.tar")).unwrap());
    for (name, bytes) in [
        (format!("{}.json", config.digest().encoded()), config.bytes),
        (format!("{:064}/layer.tar", 1), layer.bytes),
        ("manifest.json".to_owned(), ocistow_testkit::fixtures::DOCKER_MANIFEST_JSON.bytes),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes).unwrap();
    }
    builder.finish().unwrap();
    done("import @/classic.tar @/store", place.base());
    let manifest: Digest = done("resolve @/store", place.base()).trim().parse().unwrap();
    for digest in [layer.digest(), manifest.clone()] {
        fs::remove_file(place.base().join("store").join(digest.path())).unwrap();
    }
    let (code, report, _) = place.told("fsck @/store --repair-from docker-archive:@/classic.tar");
    let mut expected = [layer.digest().to_string(), manifest.to_string()];
    expected.sort();
    assert_eq!((code, &report["repaired"]), (0, &json!(expected)));
}

#[test]
fn what_the_other_lacks_is_still_missing_and_several_make_up_for_each_other() {
    let place = Place::new();
    for name in ["top", "proof"] {
        place.remove("bad", name);
    }
    to_dir(&place.world.memory, place.base().join("some")).unwrap();
    place.remove("some", "proof");
    let (code, report, said) = place.told("fsck @/bad --repair-from @/some");
    assert_eq!((code, &report["error"]["code"]), (5, &"incomplete".into()));
    assert_eq!((kinds(&report), &report["repaired"]), (vec!["missing-blob"], &place.digests(&["top"])));
    assert!(said.contains("note: 1 blob that is missing or damaged cannot be found"), "{said}");
    let (code, report, _) = place.told("fsck @/bad --repair-from @/some --repair-from @/good");
    assert_eq!((code, &report["repaired"]), (0, &place.digests(&["proof"])));
}

#[test]
fn another_that_is_damaged_too_is_refused_and_nothing_half_written_stays() {
    for pack in ["", ".tar", ".tar.gz"] {
        let place = Place::new();
        let lying = match pack {
            "" => "good".to_owned(),
            // Ours refuse to pack what is damaged.
            _ => {
                let mut memory = place.world.memory.clone();
                for name in ["amd", "top"] {
                    memory.blobs.get_mut(&place.world.digest(name)).unwrap()[0] ^= 1;
                }
                let tar = ocistow_testkit::to_tar(&memory);
                fs::write(place.base().join("lying.tar"), &tar).unwrap();
                let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                std::io::Write::write_all(&mut gz, &tar).unwrap();
                fs::write(place.base().join("lying.tar.gz"), gz.finish().unwrap()).unwrap();
                format!("lying{pack}")
            }
        };
        for name in ["amd", "top"] {
            place.damage("good", name);
            place.damage("bad", name);
        }
        place.remove("bad", "proof");
        let before = place.files("bad");
        let (code, report, said) = place.told(&format!("fsck @/bad --repair-from @/{lying}"));
        assert_eq!((code, &report["repaired"]), (4, &place.digests(&["proof"])), "{lying}");
        assert_eq!(kinds(&report), ["digest-mismatch", "digest-mismatch"], "{lying}");
        for name in ["amd", "top"] {
            let refused = format!("warning: could not take {} from", place.world.digest(name));
            assert_eq!(said.matches(&refused).count(), 1, "{lying}: {said}");
        }
        let mut after = place.files("bad");
        after.remove(Path::new(&place.world.digest("proof").path()));
        assert_eq!(after, before, "{lying}");
        assert_eq!(stage::litter(place.base()), Vec::<PathBuf>::new(), "{lying}");
        // Behind it stands one that is whole.
        to_dir(&place.world.memory, place.base().join("whole")).unwrap();
        done(&format!("fsck @/bad --repair-from @/{lying} --repair-from @/whole"), place.base());
    }
}

#[test]
fn links_and_fifos_are_replaced_and_directories_are_told() {
    let place = Place::new();
    for name in ["top", "proof", "base", "other"] {
        place.remove("bad", name);
    }
    symlink("/etc/passwd", place.blob("bad", "top")).unwrap();
    symlink("nowhere", place.blob("bad", "proof")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.blob("bad", "base"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    fs::create_dir(place.blob("bad", "other")).unwrap();
    let (code, report, said) = place.told("fsck @/bad --repair-from @/good");
    assert_eq!((code, &report["repaired"]), (4, &place.digests(&["top", "proof", "base"])));
    assert_eq!(kinds(&report), ["bad-link", "missing-blob"]);
    let told = format!("could not repair {}: could not write", place.world.digest("other"));
    assert!(said.contains(&told) && said.contains("a directory lies there"), "{said}");
    assert!(fs::read_to_string("/etc/passwd").unwrap().contains("root"), "nothing is written through a link");
    fs::remove_dir(place.blob("bad", "other")).unwrap();
    done("fsck @/bad --repair-from @/good", place.base());
}

#[test]
fn only_whole_layouts_in_directories_are_written_to() {
    let place = Place::new();
    done("export @/good -o @/good.tar", place.base());
    fs::create_dir(place.base().join("empty")).unwrap();
    for (line, expected) in [
        ("fsck @/good.tar --repair-from @/bad", 2),
        ("fsck @/bad --repair-from @/bad", 2),
        ("fsck @/bad --repair-from @/bad/../bad", 2),
        ("fsck @/bad:1 --repair-from @/good", 2),
        ("fsck @/bad --repair-from @/good:1", 2),
        ("fsck @/bad --repair-from @/none", 3),
        ("fsck @/none --repair-from @/good", 3),
        ("fsck @/empty --repair-from @/good", 3),
        ("fsck @/bad --repair-from @/empty", 3),
    ] {
        let (code, said) = run(line, place.base(), None);
        assert_eq!(code, expected, "{line}: {said}");
    }
    assert!(!place.base().join("none").exists() && fs::read_dir(place.base().join("empty")).unwrap().next().is_none());
    place.remove("bad", "top");
    let without_index = fs::read(place.base().join("bad/index.json")).unwrap();
    fs::write(place.base().join("bad/index.json"), "{").unwrap();
    let (code, report, _) = place.told("fsck @/bad --repair-from @/good");
    assert_eq!((code, &report["repaired"], kinds(&report)), (4, &json!([]), vec!["bad-index"]));
    fs::write(place.base().join("bad/index.json"), without_index).unwrap();
    fs::remove_file(place.base().join("bad/oci-layout")).unwrap();
    assert_eq!(run("fsck @/bad --repair-from @/good", place.base(), None).0, 4);
    assert!(!place.blob("bad", "top").exists());
}

#[test]
fn people_are_told_what_was_repaired_and_the_index_stays_as_it_is() {
    let place = Place::new();
    // Not as we would write it.
    let index = fs::read_to_string(place.base().join("bad/index.json")).unwrap();
    let index = index.replacen('{', "{ \"annotations\": {\"io.ocistow.carries\": \"whatever\"},\n\t", 1);
    fs::write(place.base().join("bad/index.json"), &index).unwrap();
    place.damage("bad", "top");
    let (code, said) = run("fsck @/bad --repair-from @/good", place.base(), None);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with(&format!("repaired: {}\n", place.world.digest("top"))), "{said}");
    assert_eq!(fs::read_to_string(place.base().join("bad/index.json")).unwrap(), index);
}
