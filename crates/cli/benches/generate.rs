//! Makes layouts to measure on: the same bytes for the same words, everywhere.
//!
//! ```text
//! cargo bench -p ocistow --bench generate -- mixed WHERE [MIB]
//! cargo bench -p ocistow --bench generate -- words WHERE [MIB]
//! cargo bench -p ocistow --bench generate -- sizes WHERE [LARGEST]
//! cargo bench -p ocistow --bench generate -- referrers WHERE N M
//! cargo bench -p ocistow --bench generate -- read WHERE THREADS
//! ```
//!
//! `mixed`: one index of eight platforms, tagged `mixed`, of MIB (1024) mebibytes: a quarter in layers of
//! 64 KiB, a quarter of 4 MiB, a half of 64 MiB. `words`: the same, of content that compresses to about
//! half. `sizes`: one image, tagged `sizes`, with a layer of every power of two from 1 KiB to LARGEST
//! (2147483648) bytes. `referrers`: M images, tagged `s0` to `s<M-1>`, and N manifests that refer to them in
//! turn. WHERE is made new: an archive where its name says so (`.tar`, `.tar.gz`, …), else a directory. `read`
//! makes nothing: it opens and reads each blob of a directory and does nothing with it, as fast as that goes.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use ocistow_layout::archive::{ArchiveSink, Compression, Existing, Options};
use ocistow_layout::transaction::{self, DirectorySink};
use ocistow_layout::{Blob, Content, Digest, Error, IndexChange, Kind, Outline, Result, Sink};
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const MIB: u64 = 1 << 20;

fn main() -> ExitCode {
    // cargo says `--bench` to every bench it runs.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["mixed", to] => mixed(Path::new(to), 1024, Noise::bytes),
        ["mixed", to, mib] => number(mib).and_then(|mib| mixed(Path::new(to), mib, Noise::bytes)),
        ["words", to] => mixed(Path::new(to), 1024, Noise::words),
        ["words", to, mib] => number(mib).and_then(|mib| mixed(Path::new(to), mib, Noise::words)),
        ["sizes", to] => sizes(Path::new(to), 2 << 30),
        ["sizes", to, largest] => number(largest).and_then(|largest| sizes(Path::new(to), largest)),
        ["referrers", to, n, m] => {
            number(n).and_then(|n| number(m).and_then(|m| referrers(Path::new(to), n, m.max(1))))
        }
        ["read", from, threads] => number(threads).and_then(|threads| read(Path::new(from), threads)),
        // A plain `cargo bench` has nothing to make.
        [] => Ok(()),
        _ => {
            Err(Error::new(Kind::Usage, "expected mixed, words, sizes, referrers or read; see the top of generate.rs"))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {}", why.chain());
            ExitCode::FAILURE
        }
    }
}

fn number(word: &str) -> Result<u64> {
    word.parse().map_err(|why| Error::new(Kind::Usage, format!("{word:?} is no number")).because(why))
}

/// A layout in the making: what is small is kept, what is large is made again when it is written.
#[derive(Default)]
struct Drawing {
    blobs: Vec<(Blob, Made)>,
    seen: BTreeSet<Digest>,
    entries: Vec<Value>,
}

enum Made {
    Bytes(Vec<u8>),
    Noise(Noise),
}

impl Drawing {
    fn add(&mut self, media_type: &str, made: Made) -> Value {
        let (digest, size) = match &made {
            Made::Bytes(bytes) => (Digest::of(bytes), bytes.len() as u64),
            Made::Noise(noise) => (noise.clone().digest(), noise.left),
        };
        let descriptor = json!({"mediaType": media_type, "digest": digest.to_string(), "size": size});
        if self.seen.insert(digest.clone()) {
            self.blobs.push((Blob { digest, size }, made));
        }
        descriptor
    }

    fn document(&mut self, media_type: &str, document: &Value) -> Value {
        self.add(media_type, Made::Bytes(document.to_string().into_bytes()))
    }

    /// A config and a manifest for these layers.
    fn image(&mut self, architecture: &str, comment: &str, layers: &[Value]) -> Value {
        let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let config = self.document(
            CONFIG,
            &json!({"architecture": architecture, "os": "linux", "comment": comment,
                    "rootfs": {"type": "layers", "diff_ids": diff_ids}}),
        );
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.document(MANIFEST, &manifest)
    }

    fn tag(&mut self, mut descriptor: Value, tag: &str) {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        self.entries.push(descriptor);
    }

    /// Writes it: manifests and configs first, then everything in digest order, as our bundles are.
    fn write(mut self, to: &Path) -> Result<()> {
        self.blobs.sort_by_key(|(blob, made)| (matches!(made, Made::Noise(_)), blob.digest.clone()));
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.entries});
        let outline = Outline {
            index: IndexChange::New(index.to_string().into_bytes()),
            members: Vec::new(),
            blobs: self.blobs.iter().map(|(blob, _)| blob.clone()).collect(),
        };
        let sink: Box<dyn Sink<'_>> = match Compression::by_name(to) {
            Some(compression) => {
                Box::new(ArchiveSink::new(to, Existing::Keep, Options { compression, ..Options::default() }))
            }
            None => Box::new(DirectorySink { path: to.into(), options: transaction::Options::default() }),
        };
        let writing = sink.begin(outline)?;
        for (blob, made) in &self.blobs {
            let content = match made {
                Made::Bytes(bytes) => Content::Bytes(bytes),
                Made::Noise(noise) => Content::Stream(Box::new(noise.clone()), blob.size),
            };
            writing.put(blob, content)?;
        }
        let done = writing.finish()?;
        println!("{}: {} blobs, {} bytes", to.display(), done.new.blobs, done.new.bytes);
        Ok(())
    }
}

fn mixed(to: &Path, mib: u64, noise: fn(u64, u64) -> Noise) -> Result<()> {
    const PLATFORMS: [&str; 8] = ["amd64", "arm64", "386", "ppc64le", "s390x", "riscv64", "mips64le", "loong64"];
    let mut drawing = Drawing::default();
    let mut seed = 0;
    let mut children = Vec::new();
    let eighth = mib * MIB / 8;
    for platform in PLATFORMS {
        let mut layers = Vec::new();
        for (size, share) in [(64 * MIB, eighth / 2), (4 * MIB, eighth / 4), (64 << 10, eighth / 4)] {
            let size = size.min(share);
            for _ in 0..share.checked_div(size).unwrap_or(0) {
                seed += 1;
                layers.push(drawing.add(LAYER, Made::Noise(noise(seed, size))));
            }
        }
        let mut child = drawing.image(platform, "mixed", &layers);
        child["platform"] = json!({"architecture": platform, "os": "linux"});
        children.push(child);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
    let index = drawing.document(INDEX, &index);
    drawing.tag(index, "mixed");
    drawing.write(to)
}

fn sizes(to: &Path, largest: u64) -> Result<()> {
    let mut drawing = Drawing::default();
    let powers = (10..63).map(|power| 1 << power).take_while(|size| *size <= largest);
    let layers: Vec<Value> = powers.map(|size| drawing.add(LAYER, Made::Noise(Noise::bytes(size, size)))).collect();
    let image = drawing.image("amd64", "sizes", &layers);
    drawing.tag(image, "sizes");
    drawing.write(to)
}

fn referrers(to: &Path, n: u64, m: u64) -> Result<()> {
    const TYPES: [&str; 3] =
        ["application/vnd.example.signature", "application/vnd.example.sbom", "application/vnd.example.scan"];
    let mut drawing = Drawing::default();
    let layer = drawing.add(LAYER, Made::Noise(Noise::bytes(1, 4096)));
    let empty = drawing.add(EMPTY, Made::Bytes(b"{}".to_vec()));
    let mut subjects = Vec::new();
    for at in 0..m {
        let subject = drawing.image("amd64", &format!("subject {at}"), std::slice::from_ref(&layer));
        drawing.tag(subject.clone(), &format!("s{at}"));
        subjects.push(subject);
    }
    for (at, subject) in (0..n).zip(subjects.iter().cycle()) {
        let kind = TYPES[(at % 3) as usize];
        // Three of them, with 150 bytes of values.
        let annotations = json!({
            "org.opencontainers.image.created": "2026-01-01T00:00:00Z",
            "org.example.predicate": "https://example.org/attestations/vulnerability-scan/v1",
            "org.example.number": format!("{at:076}"),
        });
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": empty,
                              "layers": [empty], "subject": subject, "annotations": annotations});
        let mut entry = drawing.document(MANIFEST, &manifest);
        entry["artifactType"] = kind.into();
        entry["annotations"] = annotations;
        drawing.entries.push(entry);
    }
    drawing.write(to)
}

/// Opens and reads each blob, from several threads.
fn read(from: &Path, threads: u64) -> Result<()> {
    let dir = from.join("blobs/sha256");
    let failed = |why| Error::io("read", &dir, why);
    let names = std::fs::read_dir(&dir).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()));
    let names: Vec<_> = names.collect::<std::io::Result<_>>().map_err(failed)?;
    let share = names.len().div_ceil(usize::try_from(threads).unwrap_or(1).max(1)).max(1);
    let all = |names: &[std::path::PathBuf]| -> std::io::Result<u64> {
        let mut buffer = vec![0; 1 << 20];
        let mut bytes = 0;
        for name in names {
            let mut file = std::fs::File::open(name)?;
            while let got @ 1.. = file.read(&mut buffer)? {
                bytes += got as u64;
            }
        }
        Ok(bytes)
    };
    let bytes = std::thread::scope(|scope| {
        let running: Vec<_> = names.chunks(share).map(|share| scope.spawn(move || all(share))).collect();
        running.into_iter().map(|thread| thread.join().expect("reading does not panic")).sum::<std::io::Result<u64>>()
    });
    println!("{}: {} blobs, {} bytes", from.display(), names.len(), bytes.map_err(failed)?);
    Ok(())
}

/// Content that looks like a gzip to whoever sniffs (peers pack anew what does not), and is made as fast
/// as it is read.
#[derive(Clone)]
struct Noise {
    state: u64,
    left: u64,
    started: bool,
    words: bool,
    /// What was made last, and how much of it was read.
    made: Vec<u8>,
    read: usize,
}

impl Noise {
    /// Content that nothing compresses.
    fn bytes(seed: u64, size: u64) -> Self {
        let state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { state, left: size, started: false, words: false, made: Vec::new(), read: 0 }
    }

    /// Content that compresses like text.
    fn words(seed: u64, size: u64) -> Self {
        Self { words: true, ..Self::bytes(seed, size) }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn make(&mut self) {
        const BATCH: usize = 64 << 10;
        self.made.clear();
        self.read = 0;
        if !self.started {
            self.made.extend([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
            self.started = true;
        }
        while self.made.len() < BATCH {
            let next = self.next();
            if self.words {
                // A few thousand words of two to nine letters.
                let word = (next % 4096).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
                let letters = word.map(|byte| b'a' + byte % 26);
                self.made.extend_from_slice(&letters[..2 + (next % 7) as usize]);
                self.made.push(b' ');
            } else {
                self.made.extend_from_slice(&next.to_le_bytes());
            }
        }
    }

    fn digest(mut self) -> Digest {
        let mut hasher = Digest::of(b"").hasher().expect("sha256 is known");
        let mut buffer = vec![0; 64 << 10];
        while let Ok(got @ 1..) = self.read(&mut buffer) {
            hasher.update(&buffer[..got]);
        }
        hasher.finish()
    }
}

impl Read for Noise {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.read == self.made.len() {
            self.make();
        }
        let rest = &self.made[self.read..];
        let got = buf.len().min(rest.len()).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        buf[..got].copy_from_slice(&rest[..got]);
        self.read += got;
        self.left -= got as u64;
        Ok(got)
    }
}
