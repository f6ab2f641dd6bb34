//! Bytes as an archive: every way of reading accepts the same, and what is accepted can be exported and read again.

use std::io::Read;
use std::path::Path;

use ocistow_layout::archive::{Compression, Form, sniff};
use ocistow_layout::{Kind, Source, Unwatched};

use crate::reading::{in_one_pass, in_place, read, same};
use crate::{carried, scratch};

/// The longest tar that is looked at: what is longer only takes longer.
const MAX: u64 = 256 << 10;
const BLOCK: usize = 512;

/// The body.
pub fn run(bytes: &[u8]) {
    if bytes.len() as u64 > MAX {
        return;
    }
    match sniff(bytes) {
        Form::PlainTar | Form::Unknown => {
            tar(bytes);
            let signed = signed(bytes);
            if signed != bytes {
                tar(&signed);
            }
        }
        form => {
            same(&in_place(bytes), &in_one_pass(bytes), "what is packed");
            if let Some(plain) = unpacked(form, bytes) {
                match in_place(bytes) {
                    // What is damaged behind the end of the tar is damaged all the same.
                    Err(kind) => assert_ne!(kind, Kind::NotFound),
                    found => same(&in_place(&plain), &found, "what is packed and what is not"),
                }
                tar(&plain);
                tar(&signed(&plain));
            }
        }
    }
}

fn tar(bytes: &[u8]) {
    let view = read(bytes);
    let path = scratch::file("tar", bytes);
    // This also looks for Docker's manifest.json.
    match ocistow_layout::open(&path, &Unwatched) {
        Ok(source) => exported(&*source),
        Err(why) => {
            assert!(matches!(why.kind(), Kind::Integrity | Kind::NotFound | Kind::Incomplete), "{}", why.chain())
        }
    }
    drop(view);
}

/// What can be exported at all is read again as the same, in every way.
pub fn exported(source: &dyn Source) {
    let Ok(plan) = carried::planned(source) else { return };
    if plan.verdict(true, false).is_err() {
        return;
    }
    let Ok(bundle) = carried::written(source, &plan, Compression::None) else { return };
    let view = read(&bundle).expect("what we wrote can be read");
    assert!(view.blobs.values().all(Result::is_ok), "all of it is right");
    let path = scratch::file("bundle", &bundle);
    let again = ocistow_layout::open(Path::new(&path), &Unwatched).unwrap();
    carried::settled(source, &plan, &*again);
    let twice = carried::written(&*again, &plan_of(&*again), Compression::None).unwrap();
    assert!(twice == bundle, "a bundle of a bundle has other bytes");
}

fn plan_of(source: &dyn Source) -> ocistow_graph::Plan {
    carried::planned(source).unwrap()
}

/// What comes out, by another road than ours; `None` where nothing whole does.
fn unpacked(form: Form, bytes: &[u8]) -> Option<Vec<u8>> {
    let reader: Box<dyn Read> = match form {
        Form::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Form::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).ok()?),
        _ => return None,
    };
    let mut plain = Vec::new();
    reader.take(MAX + 1).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 <= MAX).then_some(plain)
}

/// The tar with right checksums in all headers as far as it goes: an enemy can compute those.
fn signed(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..at + BLOCK) {
        at += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let octal =
            |text: &[u8]| u64::from_str_radix(std::str::from_utf8(text).ok()?.trim_matches([' ', '\0']), 8).ok();
        let size = octal(&block[124..136]).and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        at = at.saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
    }
    tar
}
