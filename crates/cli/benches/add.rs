//! Measures what it costs to add a referrer to a layout, and how much of that is keeping up what is kept of it.
//!
//! ```text
//! cargo bench -p ocistow --bench add -- LAYOUT TAG [ROUNDS]
//! ```
//!
//! Adds ROUNDS (5) referrers to what TAG names, each in a transaction of its own, with what is kept of the layout kept
//! up; then as many without. What is printed are medians; the difference is the price. The layout is changed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ocistow_graph::resolve::{Asked, find};
use ocistow_graph::{Following, Graph, Keeper, Load, Reach};
use ocistow_layout::cabinet::Cabinet;
use ocistow_layout::edit::Edit;
use ocistow_layout::medium::Disk;
use ocistow_layout::transaction::{Options, Transaction};
use ocistow_layout::{Blob, Content, Descriptor, Digest, Error, Kind, Result, Unwatched};
use serde_json::json;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LOAD: Load = Load { threads: 2, scan_blobs: false };

fn main() -> ExitCode {
    // cargo says `--bench` to every bench it runs.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        // A plain `cargo bench` has nothing to change.
        [] => Ok(()),
        [layout, tag] => measure(Path::new(layout), tag, 5),
        [layout, tag, rounds] => match rounds.parse() {
            Ok(rounds) => measure(Path::new(layout), tag, rounds),
            Err(why) => Err(Error::new(Kind::Usage, format!("{rounds:?} is no number")).because(why)),
        },
        _ => Err(Error::new(Kind::Usage, "expected a layout, a tag and a number; see the top of add.rs")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {}", why.chain());
            ExitCode::FAILURE
        }
    }
}

fn measure(layout: &Path, tag: &str, rounds: usize) -> Result<()> {
    // Only what was written to by us has its index in itself.
    Transaction::begin(layout, Options::default())?.publish(&[], &[])?;
    let keeper = Keeper::new(Cabinet::of(layout, None, &Disk)).always();
    let asked = Asked::Name(tag.to_owned(), None);
    let source = ocistow_layout::open(layout, &Unwatched)?;
    let look = || Graph::near(&*source, std::slice::from_ref(&asked), Reach::Itself, &keeper, LOAD, &Unwatched);
    let (first, _) = timed(look)?;
    println!("index made or opened in {first:?}");
    let subject = find(&*source, &asked, &keeper, LOAD, &Unwatched)?.descriptor;
    let following = Following { cache: None::<PathBuf>, medium: &Disk };
    let (mut with, mut without, mut then) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        with.push(timed(|| add(layout, &subject, Options { follow: Some(&following), ..Options::default() }))?.0);
        then.push(timed(look)?.0);
    }
    for _ in 0..rounds {
        without.push(timed(|| add(layout, &subject, Options::default()))?.0);
    }
    let (again, _) = timed(look)?;
    let (with, without, then) = (median(with), median(without), median(then));
    println!("added, index kept up: {with:?}; not kept up: {without:?}; the price: {:?}", with.saturating_sub(without));
    println!("looked at after each: {then:?}; index brought up to date after {rounds} changes not kept up: {again:?}");
    Ok(())
}

fn timed<T>(act: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let start = Instant::now();
    let done = act()?;
    Ok((start.elapsed(), done))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn add(layout: &Path, subject: &Descriptor, options: Options<'_>) -> Result<()> {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let empty =
        json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}").to_string(), "size": 2});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.added", "config": empty,
        "layers": [empty], "annotations": {"org.example.number": format!("{now}-{number}")},
        "subject": {"mediaType": subject.media_type, "digest": subject.digest.to_string(), "size": subject.size},
    });
    let bytes = manifest.to_string().into_bytes();
    let blobs = [bytes.as_slice(), b"{}"].map(|bytes| Blob { digest: Digest::of(bytes), size: bytes.len() as u64 });
    let mut transaction = Transaction::begin(layout, options)?;
    transaction.put(&blobs[0], Content::Bytes(&bytes))?;
    transaction.put(&blobs[1], Content::Bytes(b"{}"))?;
    let entry = Descriptor::new(MANIFEST, blobs[0].digest.clone(), blobs[0].size);
    transaction.publish(&blobs, &[Edit::Add { entry: Box::new(entry) }]).map(drop)
}
