//! From words to entries.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use ocistow_graph::resolve::{Asked, of_platform, resolve, shortest};
use ocistow_graph::{Graph, Load, Target};
use ocistow_layout::memory::Memory;
use ocistow_layout::{Digest, Error, Kind, Result, Source, Unwatched};
use ocistow_testkit::fixtures::*;
use ocistow_testkit::{draw, odd};

const PLAIN: Load = Load { threads: 1, scan_blobs: false };

fn find(layout: &Memory, asked: Asked) -> Result<Target> {
    let target = resolve(layout, &asked, PLAIN, &Unwatched);
    let graph = Graph::load(layout, PLAIN, &Unwatched)?;
    let again = ocistow_graph::resolve::resolve_in(&graph, layout, &asked);
    assert_eq!(target.as_ref().ok(), again.as_ref().ok());
    target
}

fn named(layout: &Memory, name: &str) -> Result<Digest> {
    find(layout, Asked::Name(name.into(), None)).map(|target| target.descriptor.digest)
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> Kind {
    result.unwrap_err().kind()
}

/// 4.1, C-TWO-LATEST, C-DUP-TAG.
#[test]
fn names_are_looked_up_and_ambiguity_lists_what_can_be_pasted() {
    let layout = odd::two_latest();
    assert_eq!(named(&layout, "a").unwrap(), IMG_AMD64.digest());
    assert_eq!(named(&layout, "docker.io/library/b:latest").unwrap(), IMG_ARM64.digest());
    let error: Error = named(&layout, "latest").unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert_eq!(error.advice(), Some("one of memory:a, memory:b"));
    let error = named(&odd::duplicate_tag(), "v1").unwrap_err();
    let (one, other) = (IMG_AMD64.digest(), IMG_ARM64.digest());
    assert_eq!(error.advice(), Some(format!("one of memory@{one}, memory@{other}").as_str()));
    assert_eq!(kind(named(&layout, "c")), Kind::NotFound);
}

#[test]
fn a_name_and_a_digest_have_to_agree() {
    let layout = odd::strict();
    let both = |name: &str, digest: Digest| find(&layout, Asked::Name(name.into(), Some(digest)));
    assert_eq!(both("v1", INDEX.digest()).unwrap().places, [0]);
    assert_eq!(kind(both("v1", IMG_AMD64.digest())), Kind::Integrity);
    assert_eq!(kind(both("v2", INDEX.digest())), Kind::NotFound);
}

#[test]
fn without_a_reference_the_one_root_is_meant() {
    assert_eq!(find(&odd::fallback(), Asked::Root).unwrap().descriptor.digest, INDEX.digest());
    assert_eq!(find(&odd::cosign_tag(), Asked::Root).unwrap().descriptor.digest, INDEX.digest());
    assert_eq!(kind(find(&odd::two_latest(), Asked::Root)), Kind::Usage);
    assert_eq!(kind(find(&odd::empty(), Asked::Root)), Kind::Usage);
    let twice = draw("image a:1 = base\ntag a as 2");
    assert_eq!(find(&twice.memory, Asked::Root).unwrap().places, [0, 1]);
}

#[test]
fn a_digest_finds_manifests_and_blobs_without_an_entry() {
    let layout = odd::strict();
    let digest = |fixture: Fixture| find(&layout, Asked::Digest(fixture.digest()));
    assert_eq!(digest(INDEX).unwrap().places, [0]);
    let child = digest(IMG_AMD64).unwrap();
    assert_eq!((child.places.len(), child.manifest, child.descriptor.platform.is_some()), (0, true, true));
    let layer = digest(LAYER_GZ).unwrap();
    assert_eq!((layer.manifest, layer.descriptor.media_type.as_str()), (false, LAYER_GZ.media_type));
    assert_eq!(kind(digest(HELM_PROV)), Kind::NotFound);
    assert_eq!(find(&layout, Asked::Place(1)).unwrap().descriptor.digest, REF_ARTIFACT.digest());
    assert_eq!(kind(find(&layout, Asked::Place(2))), Kind::NotFound);
}

#[test]
fn each_entry_has_a_shortest_text_that_means_it_alone() {
    let two = odd::two_latest().index().unwrap();
    assert_eq!([0, 1].map(shortest(&two)), [":a", ":b"]);
    let world = draw(
        "image a:1.0 = base
         image b = base
         tag b as 1.0 in ghcr.io/x/b:1.0
         image c = base
         name c as ghcr.io/x/c:v3",
    );
    let index = world.index();
    let texts: Vec<String> = (0..index.entries().len()).map(shortest(&index)).collect();
    assert!(texts.contains(&":ghcr.io/x/b:1.0".to_owned()), "{texts:?}");
    assert!(texts.contains(&":v3".to_owned()), "{texts:?}");
    for (place, text) in texts.iter().enumerate() {
        let digest = index.descriptors().unwrap()[place].digest.clone();
        match text.strip_prefix(':') {
            Some(name) => assert_eq!(named(&world.memory, name).unwrap(), digest, "{text}"),
            None => assert_eq!(*text, format!("@{digest}")),
        }
    }
}

#[test]
fn a_platform_picks_one_manifest() {
    let world = draw(
        "image v6 = base [linux/arm/v6]
         image v7 = base [linux/arm/v7]
         image plain = base
         attest prov -> v6
         index inner = v7, plain
         index app:1 = prov, v6, inner",
    );
    let of = |name: &str, platform: &str| {
        let found = of_platform(&world.memory, world.descriptor(name), &platform.parse().unwrap());
        found.map(|found| world.word(&found.digest)).map_err(|why| why.kind())
    };
    assert_eq!(of("app", "linux/arm/v7").as_deref(), Ok("v7"));
    assert_eq!(of("app", "linux/arm").as_deref(), Ok("v6"));
    // Only its config says so.
    assert_eq!(of("app", "linux/amd64").as_deref(), Ok("plain"));
    assert_eq!(of("plain", "linux/amd64").as_deref(), Ok("plain"));
    assert_eq!(of("plain", "linux/arm64"), Err(Kind::NotFound));
    assert_eq!(of("app", "unknown/unknown"), Err(Kind::NotFound));
    let absent = draw("image a = base [linux/amd64]\nindex app:1 = a\nabsent app");
    let found = of_platform(&absent.memory, absent.descriptor("app"), &"linux".parse().unwrap());
    assert_eq!(kind(found), Kind::Incomplete);
}
