//! Drawings made from numbers, for property tests.

use std::collections::BTreeSet;

/// A drawing of images, indexes and referrers of all sorts, a line or two for each step: what, and of which of
/// the things that are there by then. It has an index tagged `x` and an image tagged `t0`.
pub fn world_of(steps: &[(u8, usize)]) -> String {
    let mut text =
        String::from("image i0:t0 = base [linux/amd64]\nimage i1 = base + more [linux/arm64]\nindex x0:x = i0, i1\n");
    let mut things = vec!["i0".to_owned(), "i1".to_owned(), "x0".to_owned()];
    let (mut listed, mut signed) = (BTreeSet::new(), BTreeSet::new());
    for (n, (what, pick)) in steps.iter().enumerate() {
        let subject = things[pick % things.len()].clone();
        let line = match what % 7 {
            0 => format!("refer r{n} -> {subject} : application/x.{n}"),
            1 => format!("refer r{n}:tag{n} -> {subject} : application/x.{n}"),
            2 => format!("containerd r{n} -> {subject} : application/x.{n}"),
            3 => format!("image r{n}:t{n} = base + l{n} [linux/s390x]"),
            4 => format!("index r{n}:t{n} = {subject}"),
            5 if signed.insert(subject.clone()) => {
                text.push_str(&format!("cosign {subject}.sig\n"));
                continue;
            }
            _ if listed.insert(subject.clone()) => {
                text.push_str(&format!("refer r{n} -> {subject} : application/x.{n}\nfallback {subject} = r{n}\n"));
                continue;
            }
            _ => continue,
        };
        text.push_str(&line);
        text.push('\n');
        things.push(format!("r{n}"));
    }
    text
}
