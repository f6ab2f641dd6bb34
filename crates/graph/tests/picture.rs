//! What a picture of a layout shows, and where it stands on a canvas.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::collections::BTreeMap;

use ocistow_graph::canvas::{self, Canvas, Frame, MARK_WIDTH, Route, WIDTH};
use ocistow_graph::facts;
use ocistow_graph::picture::{Bond, Figure, Line, Picture, Role, Scope, State};
use ocistow_graph::resolve::{Asked, resolve_in};
use ocistow_graph::{Dialect, Graph, Load, ManifestKind};
use ocistow_layout::annotations::Annotations;
use ocistow_layout::descriptor::REF_NAME;
use ocistow_layout::memory::Memory;
use ocistow_layout::{Descriptor, Digest, Kind, Source, Unwatched, Watch};
use ocistow_testkit::fixtures::{IMG_AMD64, INDEX};
use ocistow_testkit::{Drawing, draw, odd};
use proptest::prelude::*;

fn load(source: &dyn Source) -> Graph {
    Graph::load(source, Load { threads: 2, scan_blobs: false }, &Unwatched).unwrap()
}

/// The picture of a source: of one thing in it, or of all.
fn picture(source: &dyn Source, from: Option<&Digest>, blobs: bool) -> Picture {
    let graph = load(source);
    let target = from.map(|digest| resolve_in(&graph, source, &Asked::Digest(digest.clone())).unwrap());
    Picture::of(&graph, source, Scope { from: target.as_ref(), blobs }, &Unwatched).unwrap()
}

/// Everything in a picture, by the words of the drawing: what each figure is, and every line.
fn told(world: &Drawing, picture: &Picture) -> Vec<String> {
    let word = |at: usize| world.word(&picture.figures[at].digest);
    let role = |figure: &Figure| format!("{:?}", figure.role).to_lowercase();
    let state = |figure: &Figure| match &figure.state {
        State::Present => "",
        State::Absent => " absent",
        State::Broken(_) => " broken",
    };
    let figures = picture.figures.iter().enumerate().map(|(at, it)| format!("{} {}{}", word(at), role(it), state(it)));
    let lines = picture.lines.iter().map(|line| match line.bond {
        Bond::Needs(role) => format!("{} -{}-> {}", word(line.from), format!("{role:?}").to_lowercase(), word(line.to)),
        Bond::Refers { dialect, .. } => format!("{} -{dialect:?}-> {}", word(line.from), word(line.to)),
    });
    figures.chain(lines).collect()
}

const SIGNED: &str = "image amd = base [linux/amd64]
     image arm = base [linux/arm64/v8]
     index app:1.0 = amd, arm
     refer sig -> app = sig.bin : application/x.sig
     refer armsig -> arm = armsig.bin : application/x.sig
     image other:2 = base";

#[test]
fn a_picture_of_a_reference_has_what_it_needs_and_what_refers_to_that() {
    let world = draw(SIGNED);
    let picture = picture(&world.memory, Some(&world.digest("app")), true);
    let told = told(&world, &picture);
    for is in [
        "app root",
        "amd child",
        "arm child",
        "base layer",
        "amd.config config",
        "sig referrer",
        "armsig referrer",
        "sig.bin layer",
        "app -child-> amd",
        "amd -layer-> base",
        "arm -layer-> base",
        "sig -Entry-> app",
        "armsig -Entry-> arm",
    ] {
        assert!(told.iter().any(|line| line == is), "{is}: {told:#?}");
    }
    assert!(!told.iter().any(|line| line.contains("other")), "{told:#?}");
    assert_eq!(told.iter().filter(|line| line.starts_with("base ")).count(), 1, "what two need is drawn once");
    let arm = picture.figures.iter().find(|figure| figure.digest == world.digest("arm")).unwrap();
    assert_eq!(arm.platform.as_ref().unwrap().to_string(), "linux/arm64/v8");
    let app = &picture.figures[0];
    assert_eq!((app.kind, app.tags.as_slice()), (Some(ManifestKind::Index), &["1.0".to_owned()][..]));
}

#[test]
fn a_platform_is_known_from_an_index_also_of_what_has_an_entry_of_its_own() {
    let world = draw("image arm:own = base [linux/arm64]\nindex app:1 = arm");
    let picture = picture(&world.memory, None, true);
    let arm = picture.figures.iter().find(|figure| figure.digest == world.digest("arm")).unwrap();
    assert_eq!((arm.role, arm.platform.as_ref().map(ToString::to_string)), (Role::Root, Some("linux/arm64".into())));
}

#[test]
fn a_picture_of_all_has_every_entry_and_everything_below() {
    let world = draw(SIGNED);
    let all = picture(&world.memory, None, true);
    let drawn: Vec<&Digest> = all.figures.iter().map(|figure| &figure.digest).collect();
    let there: Vec<&Digest> = world.memory.blobs.keys().collect();
    assert_eq!(world.words(drawn), world.words(there));
    let manifests = picture(&world.memory, None, false);
    let words = world.words(manifests.figures.iter().map(|figure| &figure.digest));
    assert_eq!(words, "amd app arm armsig other sig");
}

#[test]
fn what_is_referred_to_is_named_and_not_followed() {
    let world = draw(SIGNED);
    let picture = picture(&world.memory, Some(&world.digest("armsig")), false);
    assert_eq!(told(&world, &picture), ["armsig root", "arm subject", "armsig -Entry-> arm"]);
}

/// SIGNATURES-5: a subject that is missing is normal.
#[test]
fn what_is_absent_or_broken_is_shown() {
    let world = draw(
        "ghost gone
         image a:1 = one + two
         image b:2 = one
         image c = one
         index i:3 = c
         refer sig -> gone : application/x.sig
         absent two
         absent c
         damage b
         cut one",
    );
    let picture = picture(&world.memory, None, true);
    let told = told(&world, &picture);
    for is in ["two layer absent", "c child absent", "b root broken", "one layer broken", "gone subject absent"] {
        assert!(told.iter().any(|line| line == is), "{is}: {told:#?}");
    }
    assert!(picture.figures.iter().all(|figure| figure.kind.is_none() == (figure.state != State::Present)));
}

/// 3.7: a list is an entry with children, which still refer to their own subject.
#[test]
fn lists_and_attestations_are_told_from_children_and_roots() {
    let world = draw(
        "image amd = base [linux/amd64]
         attest prov -> amd
         index app:1 = amd, prov
         refer sig -> app : application/x.sig
         fallback app = sig
         cosign amd.sig",
    );
    let told = told(&world, &picture(&world.memory, None, false));
    for is in [
        "app root",
        "prov referrer",
        "app.fallback list",
        "sig referrer",
        "amd.sig referrer",
        "app -child-> prov",
        "prov -Attestation-> amd",
        "app.fallback -child-> sig",
        "sig -FallbackTag-> app",
        "amd.sig -CosignTag-> amd",
    ] {
        assert!(told.iter().any(|line| line == is), "{is}: {told:#?}");
    }
}

/// Two images, each with the cosign tag of the other.
fn circle_of_tags() -> Drawing {
    let text = "image a = base\nimage b = base\n";
    let first = draw(text);
    let tag = |name: &str| format!("{}.sig", first.digest(name).fallback_tag());
    draw(&format!("{text}tag a as {}\ntag b as {}", tag("b"), tag("a")))
}

/// An index under a digest nobody can check, which lists itself.
fn circle_of_parts() -> Memory {
    let digest = "unknown:itself";
    let text = |size: usize| {
        let child = format!("{{\"mediaType\":\"{}\",\"digest\":\"{digest}\",\"size\":{size}}}", INDEX.media_type);
        (format!("{{\"schemaVersion\":2,\"manifests\":[{child},{child}]}}"), child)
    };
    let size = (0..1000).find(|size| text(*size).0.len() == *size).unwrap();
    let (document, entry) = text(size);
    let mut memory = Memory::default();
    memory.blobs.insert(digest.parse().unwrap(), document.into_bytes());
    memory.index = format!("{{\"schemaVersion\":2,\"manifests\":[{entry}]}}").into_bytes();
    memory
}

/// INDEX-4: honest hashes make no circles, but digests that nobody can check do, and cosign's tags.
#[test]
fn circles_end() {
    let world = circle_of_tags();
    let tags = picture(&world.memory, Some(&world.digest("a")), true);
    let told = told(&world, &tags);
    assert!(told.contains(&"a -CosignTag-> b".into()) && told.contains(&"b -CosignTag-> a".into()), "{told:#?}");
    let canvas = Canvas::of(&tags).unwrap();
    sound(&tags, &canvas);
    let left = canvas.frames.iter().map(|frame| frame.x).min();
    assert_eq!(left, Some(canvas.frames[0].x), "a circle starts where the picture does");

    let memory = circle_of_parts();
    let parts = picture(&memory, None, true);
    assert_eq!((parts.figures.len(), parts.lines.len()), (1, 1));
    sound(&parts, &Canvas::of(&parts).unwrap());
}

/// A picture of which nothing but the shape matters.
fn shape(manifests: usize, blobs: usize, lines: impl IntoIterator<Item = (usize, usize, Bond)>) -> Picture {
    let figure = |at: usize| Figure {
        digest: Digest::of(at.to_string().as_bytes()),
        media_type: String::new(),
        size: 0,
        artifact_type: None,
        annotations: Annotations::default(),
        platform: None,
        tags: Vec::new(),
        names: Vec::new(),
        role: if at < manifests { Role::Child } else { Role::Layer },
        kind: None,
        state: State::Present,
    };
    let lines = lines.into_iter().map(|(from, to, bond)| Line { from, to, bond });
    Picture { figures: (0..manifests + blobs).map(figure).collect(), lines: lines.collect() }
}

const CHILD: Bond = Bond::Needs(facts::Role::Child);
const LAYER: Bond = Bond::Needs(facts::Role::Layer);
const REFERS: Bond = Bond::Refers { dialect: Dialect::Entry, cosign: None };

/// Panics where a canvas cannot be looked at: things lie on one another, or a branch leads back.
#[track_caller]
fn sound(picture: &Picture, canvas: &Canvas) {
    assert_eq!((canvas.frames.len(), canvas.routes.len()), (picture.figures.len(), picture.lines.len()));
    let mut columns: BTreeMap<u32, Vec<Frame>> = BTreeMap::new();
    let marks = canvas.routes.iter().filter_map(|route| match route {
        Route::Mark { frame, .. } => Some(*frame),
        _ => None,
    });
    for frame in canvas.frames.iter().copied().chain(marks) {
        columns.entry(frame.x).or_default().push(frame);
        assert!(frame.x + WIDTH.max(MARK_WIDTH) <= canvas.width && frame.y + frame.height <= canvas.height);
    }
    for frames in columns.values_mut() {
        frames.sort_by_key(|frame| frame.y);
        assert!(frames.windows(2).all(|pair| pair[0].y + pair[0].height < pair[1].y), "{frames:?}");
    }
    let mut branches = vec![0; picture.figures.len()];
    for (line, route) in picture.lines.iter().zip(&canvas.routes) {
        let (owner, owned) = line.owned();
        match route {
            Route::Branch { from, to, trunk } => {
                assert!(from.x < *trunk && *trunk < to.x);
                branches[owned] += 1;
            }
            Route::Curve { from, to } => assert!(from.x < to.x),
            Route::Mark { frame, .. } => assert!(canvas.frames[owner].x + WIDTH < frame.x),
        }
    }
    assert!(branches.iter().all(|count| *count <= 1), "a figure hangs on two branches");
}

#[test]
fn what_belongs_to_a_thing_stands_right_of_it_and_below_its_start() {
    let world = draw(SIGNED);
    let picture = picture(&world.memory, None, true);
    let canvas = Canvas::of(&picture).unwrap();
    sound(&picture, &canvas);
    let frame = |name: &str| {
        let at = picture.figures.iter().position(|figure| figure.digest == world.digest(name)).unwrap();
        canvas.frames[at]
    };
    assert_eq!(frame("app").y, frame("amd").y, "the first child stands beside its index");
    assert!(frame("amd").y < frame("arm").y && frame("arm").y < frame("sig").y, "referrers stand below the children");
    assert_eq!(frame("amd").x, frame("sig").x);
    assert!(frame("arm.config").y < frame("armsig").y, "and below the parts");
    assert!(frame("sig").y < frame("other").y);
    assert_eq!(canvas, Canvas::of(&picture).unwrap());
}

#[test]
fn a_referrer_hangs_on_its_subject_also_where_an_index_lists_it() {
    // 0 is an index of 1 and 2, and 2 refers to 1.
    let picture = shape(3, 0, [(0, 1, CHILD), (0, 2, CHILD), (2, 1, REFERS)]);
    let canvas = Canvas::of(&picture).unwrap();
    sound(&picture, &canvas);
    assert!(canvas.frames[1].x < canvas.frames[2].x);
    assert!(matches!(canvas.routes[..], [Route::Branch { .. }, Route::Mark { .. }, Route::Branch { .. }]));
}

#[test]
fn what_many_need_is_drawn_once_and_named_at_the_others() {
    let shared = |owners: usize| {
        let picture = shape(owners, 1, (0..owners).map(|owner| (owner, owners, LAYER)));
        let canvas = Canvas::of(&picture).unwrap();
        sound(&picture, &canvas);
        let count = |is: fn(&Route) -> bool| canvas.routes.iter().filter(|route| is(route)).count();
        [
            count(|it| matches!(it, Route::Branch { .. })),
            count(|it| matches!(it, Route::Curve { .. })),
            count(|it| matches!(it, Route::Mark { .. })),
        ]
    };
    // A list of referrers has what hangs elsewhere.
    let list = shape(3, 0, [(0, 1, CHILD), (1, 2, REFERS)]);
    let routes = Canvas::of(&list).unwrap().routes;
    assert!(matches!(routes[..], [Route::Mark { .. }, Route::Branch { .. }]), "{routes:?}");
    assert_eq!(shared(2), [1, 1, 0]);
    assert_eq!(shared(20), [1, 0, 19]);
}

/// INDEX-4: whatever an enemy nests, there is no recursion, and no work for every pair.
#[test]
fn deep_chains_are_drawn() {
    let mut memory = Memory::default();
    let mut below = IMG_AMD64.descriptor();
    memory.add(IMG_AMD64.bytes);
    for _ in 0..3000 {
        let leaf = IMG_AMD64.descriptor();
        let text = format!("{{\"schemaVersion\":2,\"manifests\":[{},{}]}}", below.text(), leaf.text());
        below = Descriptor::new(INDEX.media_type, memory.add(text.as_bytes()), text.len() as u64);
    }
    memory.index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", below.text()).into_bytes();
    let nested = picture(&memory, None, true);
    assert_eq!(nested.figures.iter().filter(|figure| figure.is_manifest()).count(), 3001);
    sound(&nested, &Canvas::of(&nested).unwrap());

    let mut text = String::from("image app:1 = base\nrefer r0 -> app : application/x.sig\n");
    for n in 1..5000 {
        text.push_str(&format!("refer r{n} -> r{} = one : application/x.sig\n", n - 1));
    }
    let world = draw(&text);
    let chain = picture(&world.memory, Some(&world.digest("app")), false);
    assert_eq!((chain.figures.len(), chain.lines.len()), (5001, 5000));
    sound(&chain, &Canvas::of(&chain).unwrap());
}

#[test]
fn what_nobody_could_look_at_is_refused() {
    let many = shape(canvas::MAX_FIGURES + 1, 0, []);
    assert!(Canvas::of(&many).unwrap_err().to_string().contains("10001 nodes"));
    let lines = (0..=canvas::MAX_LINES).map(|at| (at % 100, 100 + at / 100, LAYER));
    assert!(Canvas::of(&shape(100, 400, lines)).is_err());
    let wide = shape(1, canvas::MAX_FIGURES - 1, (1..canvas::MAX_FIGURES).map(|to| (0, to, LAYER)));
    sound(&wide, &Canvas::of(&wide).unwrap());
}

#[test]
fn an_empty_layout_is_an_empty_picture() {
    let picture = picture(&odd::empty(), None, true);
    assert_eq!(picture, shape(0, 0, []));
    assert!(Canvas::of(&picture).unwrap().frames.is_empty());
}

#[test]
fn whoever_watches_can_stop_it() {
    struct Stopping;
    impl Watch for Stopping {
        fn stop(&self) -> bool {
            true
        }
    }
    let world = draw(SIGNED);
    let graph = load(&world.memory);
    let stopped = Picture::of(&graph, &world.memory, Scope { from: None, blobs: true }, &Stopping);
    assert_eq!(stopped.unwrap_err().kind(), Kind::Interrupted);
}

/// DESCRIPTOR-9.
#[test]
fn right_data_counts_as_there() {
    use base64::Engine as _;
    let mut memory = Memory::default();
    let data = base64::engine::general_purpose::STANDARD.encode("hello");
    let text = Descriptor::new("text/plain", Digest::of(b"hello"), 5).text().to_owned();
    let entry =
        format!("{},\"data\":\"{data}\",\"annotations\":{{\"{REF_NAME}\":\"x\"}}}}", text.trim_end_matches('}'));
    memory.index = format!("{{\"schemaVersion\":2,\"manifests\":[{entry}]}}").into_bytes();
    let picture = picture(&memory, None, true);
    assert_eq!((&picture.figures[0].state, picture.figures[0].kind), (&State::Present, Some(ManifestKind::Other)));
}

proptest! {
    /// Whatever points at what, also in circles and at itself.
    #[test]
    fn every_canvas_is_sound(
        manifests in 1_usize..20,
        blobs in 0_usize..20,
        lines in prop::collection::vec((any::<usize>(), any::<usize>(), 0_u8..3), 0..120),
    ) {
        let lines = lines.into_iter().map(|(from, to, bond)| {
            let bond = [CHILD, LAYER, REFERS][usize::from(bond)];
            (from % manifests, to % (manifests + blobs), bond)
        });
        let picture = shape(manifests, blobs, lines);
        let canvas = Canvas::of(&picture).unwrap();
        sound(&picture, &canvas);
    }
}
