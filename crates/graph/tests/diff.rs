//! What is different between layouts, and between references.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use ocistow_graph::diff::{Difference, Named, Side};
use ocistow_graph::resolve::{Asked, resolve};
use ocistow_graph::{Graph, Load, Moved};
use ocistow_layout::memory::Memory;
use ocistow_layout::name::Pair;
use ocistow_layout::{Digest, Unwatched};
use ocistow_testkit::fixtures::{IMG_AMD64, IMG_ARM64};
use ocistow_testkit::{Drawing, draw, odd, world_of};

const PLAIN: Load = Load { threads: 1, scan_blobs: false };

fn between(a: &Memory, b: &Memory) -> Difference {
    Difference::between(&Side::layout(a).unwrap(), &Side::layout(b).unwrap())
}

fn reference(layout: &Memory, name: &str) -> Side {
    let target = resolve(layout, &Asked::Name(name.into(), None), PLAIN, &Unwatched).unwrap();
    let graph = Graph::load(layout, PLAIN, &Unwatched).unwrap();
    Side::reference(&graph, layout, &target, &Pair::default()).unwrap()
}

/// A difference in words: `+name=digest`, `-name=digest`, `~name=from>to`, `+` and `-` digests without a name.
fn told(worlds: [&Drawing; 2], difference: &Difference) -> String {
    let word = |digest: &Digest| match worlds[0].word(digest) {
        unknown if unknown.contains(':') => worlds[1].word(digest),
        word => word,
    };
    let any = |digest: &Option<Digest>| digest.as_ref().map_or("?".to_owned(), word);
    let mut words = Vec::new();
    for (sign, names) in [("-", &difference.removed), ("+", &difference.added)] {
        for Named { tag, name, digest, absent } in names {
            let called = name.as_ref().or(tag.as_ref()).unwrap();
            words.push(format!("{sign}{called}={}{}", any(digest), if *absent { "!" } else { "" }));
        }
    }
    for Moved { tag, name, from, to } in &difference.changed {
        let called = name.as_ref().or(tag.as_ref()).map_or("", String::as_str);
        words.push(format!("~{called}={}>{}", any(from), any(to)));
    }
    for (sign, digests) in ["-", "+"].into_iter().zip(&difference.untagged) {
        words.extend(digests.iter().map(|digest| format!("{sign}{}", word(digest))));
    }
    words.join(" ")
}

fn blobs(worlds: [&Drawing; 2], difference: &Difference) -> [String; 2] {
    let [a, b] = &difference.only;
    [worlds[0].words(a.iter().map(|blob| &blob.digest)), worlds[1].words(b.iter().map(|blob| &blob.digest))]
}

#[test]
fn names_come_go_and_change_and_blobs_are_counted() {
    let a = draw("image same:same = base\nimage old:moves = base\nimage gone:goes = base");
    let b = draw("image same:same = base\nimage new:moves = base\nimage come:comes = base");
    let difference = between(&a.memory, &b.memory);
    assert_eq!(told([&a, &b], &difference), "-goes=gone +comes=come ~moves=old>new");
    assert_eq!(blobs([&a, &b], &difference), ["gone gone.config old old.config", "come come.config new new.config"]);
    assert_eq!(difference.both.blobs, 3);
    assert!(!difference.is_none());
    assert!(between(&a.memory, &a.memory).is_none());
}

/// 4.1: a full name in `ref.name` is the pair it splits into.
#[test]
fn names_are_compared_as_pairs() {
    let pair = draw("image app = base\ntag app as 1.0 in host.example/app:1.0");
    let full = draw("image app:host.example/app:1.0 = base");
    assert!(between(&pair.memory, &full.memory).is_none());
    let tag = draw("image app:1.0 = base");
    let told = told([&pair, &tag], &between(&pair.memory, &tag.memory));
    assert_eq!(told, "-host.example/app:1.0=app +1.0=app", "another pair is another name");
}

#[test]
fn an_entry_without_a_name_is_a_difference() {
    let a = draw("image app:1 = base\nrefer sig -> app : application/x.sig");
    let b = draw("image app:1 = base\nrefer sig -> app : application/x.sig\nhidden sig");
    assert_eq!(told([&a, &b], &between(&a.memory, &b.memory)), "-sig");
    assert_eq!(told([&b, &a], &between(&b.memory, &a.memory)), "+sig");
}

/// C-DUP-TAG.
#[test]
fn a_name_of_several_digests_is_compared_digest_by_digest() {
    let [x, y] = [IMG_AMD64, IMG_ARM64].map(|fixture| fixture.digest());
    let two = odd::duplicate_tag();
    let mut one = two.clone();
    let text = String::from_utf8(two.index.clone()).unwrap();
    let (from, to) = (text.find(",{").unwrap(), text.rfind(']').unwrap());
    one.index = format!("{}{}", &text[..from], &text[to..]).into_bytes();
    assert!(between(&two, &two).is_none());
    let lost = between(&two, &one);
    assert_eq!((lost.removed.len(), lost.added.len(), lost.changed.len()), (1, 0, 0));
    assert_eq!((lost.removed[0].tag.as_deref(), &lost.removed[0].digest), (Some("v1"), &Some(y.clone())));
    one.index = String::from_utf8(one.index).unwrap().replace(&x.to_string(), &Digest::of(b"z").to_string()).into();
    let both = between(&two, &one);
    assert_eq!((both.removed.len(), both.added.len(), both.changed.len()), (2, 1, 0));
    assert!(both.added[0].absent);
}

/// C-TRAVERSAL, C-NULL.
#[test]
fn entries_that_are_no_descriptors_stand_for_nothing() {
    let bad = odd::traversal();
    assert!(between(&bad, &bad).is_none());
    let side = Side::layout(&bad).unwrap();
    assert_eq!(side.unreadable.keys().collect::<Vec<_>>(), [&0]);
    let difference = between(&bad, &odd::strict());
    assert_eq!((&difference.changed[0].from, difference.changed[0].tag.as_deref()), (&None, Some("v1")));
    assert!(difference.changed[0].to.is_some());
    let gone = between(&bad, &odd::null());
    assert_eq!((gone.removed[0].digest.as_ref(), gone.added.len(), gone.only[0].len()), (None, 0, 0));
}

#[test]
fn a_blob_of_two_lengths_is_different_and_one_of_other_content_is_not() {
    let a = draw("image app:1 = base");
    let cut = draw("image app:1 = base\ncut base");
    let difference = between(&a.memory, &cut.memory);
    assert_eq!(blobs([&a, &cut], &difference), ["base", "base"]);
    assert_eq!(difference.of_two_lengths(), [&a.digest("base")]);
    assert!(between(&a.memory, &draw("image app:1 = base\ndamage base").memory).is_none(), "content is for fsck");
    let lost = draw("image app:1 = base\nabsent app");
    assert_eq!(Side::layout(&lost.memory).unwrap().missing.into_iter().collect::<Vec<_>>(), [lost.digest("app")]);
}

#[test]
fn references_are_compared_with_what_goes_along_whatever_they_are_called_and_listed() {
    let a = draw(
        "image amd = base [linux/amd64]
         index app:1.0 = amd
         refer sig -> app : application/x.sig
         image other:2.0 = own",
    );
    let b = draw(
        "image amd = base [linux/amd64]
         index app:stable = amd
         refer sig -> app : application/x.sig
         fallback app = sig
         image noise:2.0 = loud",
    );
    let same = Difference::between(&reference(&a.memory, "1.0"), &reference(&b.memory, "stable"));
    assert!(same.is_none(), "{}", told([&a, &b], &same));
    let noise = Difference::between(&reference(&a.memory, "2.0"), &reference(&b.memory, "2.0"));
    assert_eq!(told([&a, &b], &noise), "~=other>noise");
    assert_eq!(blobs([&a, &b], &noise), ["other other.config own", "loud noise noise.config"]);
    let unsigned = draw("image amd = base [linux/amd64]\nindex app:1.0 = amd");
    let lost = Difference::between(&reference(&a.memory, "1.0"), &reference(&unsigned.memory, "1.0"));
    assert_eq!((told([&a, &unsigned], &lost), lost.is_none()), (String::new(), false));
    assert!(blobs([&a, &unsigned], &lost)[0].contains("sig"));
}

#[test]
fn what_a_reference_lacks_is_told() {
    let world = draw("image app:1 = base + lost\nimage bad:2 = base\nabsent lost\ndamage bad");
    let side = reference(&world.memory, "1");
    assert_eq!(side.missing.into_iter().collect::<Vec<_>>(), [world.digest("lost")]);
    assert_eq!(reference(&world.memory, "2").broken.into_keys().collect::<Vec<_>>(), [world.digest("bad")]);
}

proptest::proptest! {
    /// Whatever is drawn: what one side has alone the other lacks, the other way round is the mirror image, and
    /// nothing is different from itself.
    #[test]
    fn a_difference_is_none_to_itself_and_has_a_mirror_image(
        one in proptest::collection::vec((0u8..7, 0usize..100), 0..8),
        other in proptest::collection::vec((0u8..7, 0usize..100), 0..8),
    ) {
        let (a, b) = (draw(&world_of(&one)), draw(&world_of(&other)));
        proptest::prop_assert!(between(&a.memory, &a.memory).is_none());
        let (there, back) = (between(&a.memory, &b.memory), between(&b.memory, &a.memory));
        proptest::prop_assert_eq!((&there.added, &there.removed), (&back.removed, &back.added));
        proptest::prop_assert_eq!((&there.only[0], &there.only[1]), (&back.only[1], &back.only[0]));
        let keys = |memory: &Memory| memory.blobs.len() as u64;
        proptest::prop_assert_eq!(there.both.blobs + there.only[0].len() as u64, keys(&a.memory));
        proptest::prop_assert_eq!(there.both.blobs + there.only[1].len() as u64, keys(&b.memory));
        proptest::prop_assert!(there.only[0].iter().all(|blob| !b.memory.blobs.contains_key(&blob.digest)));
        let same = there.added.is_empty() && there.removed.is_empty() && there.changed.is_empty();
        proptest::prop_assert!(same || !there.is_none());
    }
}
