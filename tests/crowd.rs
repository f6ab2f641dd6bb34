//! Many processes on one layout lose nothing. `cargo bench --bench crowd` lets in more of them, and the tools of others.

use ocistow_testkit::crowd::{Crowd, Tool};

fn crowd(writers: usize, rounds: usize) {
    let folder = tempfile::tempdir().expect("there is room");
    let tool = Tool::ours(env!("CARGO_BIN_EXE_ocistow"));
    let verdict = Crowd { folder: folder.path(), tool: &tool, beside: None, writers, rounds }.run();
    assert_eq!(verdict.faults(), Vec::<String>::new());
    assert!(verdict.crowd.done > writers * rounds, "everybody did something: {verdict:?}");
    assert!(verdict.readings > 0 && verdict.looks > 0, "somebody looked: {verdict:?}");
    assert!(verdict.sweeps.iter().sum::<usize>() > 0, "gc gets its turn while others write");
}

#[test]
fn twelve_processes_at_once_lose_nothing() {
    crowd(12, 3);
}

#[test]
fn sixty_four_processes_at_once_lose_nothing() {
    crowd(64, 1);
}
