//! Every seed goes through the body of its target, on any Rust and every day.

use std::panic::catch_unwind;

/// Runs all seeds of a target, and says which of them break a promise.
fn all_of(target: &str) {
    let (_, body) = ocistow_fuzz::TARGETS.into_iter().find(|(name, _)| *name == target).expect("it is a target");
    let seeds = ocistow_fuzz::seeds::of(target);
    assert!(seeds.len() >= 10, "only {} seeds", seeds.len());
    let broken: Vec<&String> =
        seeds.iter().filter(|(_, bytes)| catch_unwind(|| body(bytes)).is_err()).map(|(name, _)| name).collect();
    assert!(broken.is_empty(), "{target} breaks on {broken:?}");
}

#[test]
fn archives_are_read_alike_in_every_way() {
    all_of("archive");
    all_of("members");
}

#[test]
fn documents_are_what_another_parser_sees() {
    all_of("documents");
}

#[test]
fn words_are_those_of_the_grammars() {
    all_of("words");
}

#[test]
fn what_is_kept_may_hide_and_never_invents() {
    all_of("kept");
}

#[test]
fn drawn_layouts_cross_as_they_were() {
    all_of("graph");
}

#[test]
fn changes_of_drawn_layouts_lose_nothing() {
    all_of("changes");
}

#[test]
fn artifacts_are_written_nowhere_but_below_their_directory() {
    all_of("output");
}
