//! Layouts of enemies, as large as a test wants them: each a few bytes for every step it makes a careless reader
//! take. What can be asked for in them is tagged `v1`.

use ocistow_layout::Descriptor;
use ocistow_layout::descriptor::{IMAGE_NAME, REF_NAME};
use ocistow_layout::json::quote;
use ocistow_layout::memory::Memory;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layout in the making.
#[derive(Default)]
struct Trap {
    memory: Memory,
    entries: Vec<String>,
}

impl Trap {
    /// With an image under `v1`.
    fn with_image() -> (Self, Descriptor) {
        let mut trap = Self::default();
        let image = trap.image(0, "");
        trap.entry(&image, "v1");
        (trap, image)
    }

    fn add(&mut self, media_type: &str, text: &str) -> Descriptor {
        let digest = self.memory.add(text.as_bytes());
        Descriptor::new(media_type, digest, text.len() as u64)
    }

    /// An image for linux/amd64, another for every number. `more`: further members of its manifest.
    fn image(&mut self, n: usize, more: &str) -> Descriptor {
        let config = format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"n\":{n},\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[]}}}}"
        );
        let (config, layer) = (self.add(CONFIG, &config), self.add(LAYER, "layer"));
        let (config, layer) = (config.text(), layer.text());
        let text = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{config},\"layers\":[{layer}]{more}}}"
        );
        self.add(MANIFEST, &text)
    }

    /// Something that refers to `subject`, another for every number.
    fn referrer(&mut self, n: usize, subject: &Descriptor) -> Descriptor {
        self.image(n, &format!(",\"artifactType\":\"application/x.sig\",\"subject\":{}", subject.text()))
    }

    fn index(&mut self, n: usize, children: &[String]) -> Descriptor {
        let children = children.join(",");
        let text = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"annotations\":{{\"n\":\"{n}\"}},\"manifests\":[{children}]}}"
        );
        self.add(INDEX, &text)
    }

    /// An index of many children that are not there, with digests so short that there is room for many.
    fn wide(&mut self, children: usize) -> Descriptor {
        let child = |n: usize| format!("{{\"mediaType\":\"x/y\",\"digest\":\"a:{n:x}\",\"size\":1}}");
        self.index(0, &(0..children).map(child).collect::<Vec<_>>())
    }

    fn entry(&mut self, descriptor: &Descriptor, tag: &str) {
        let annotations = if tag.is_empty() { String::new() } else { annotated(&[(REF_NAME, tag)]) };
        self.entries.push(with(descriptor, &annotations));
    }

    fn set(mut self) -> Memory {
        let entries = self.entries.join(",");
        self.memory.index =
            format!("{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[{entries}]}}").into_bytes();
        self.memory
    }
}

fn annotated(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{}:{}", quote(key), quote(value))).collect();
    format!(",\"annotations\":{{{}}}", pairs.join(","))
}

fn with(descriptor: &Descriptor, members: &str) -> String {
    format!("{}{members}}}", descriptor.text().trim_end_matches('}'))
}

/// `count` entries of one tag, each another image.
pub fn one_tag(count: usize) -> Memory {
    let mut trap = Trap::default();
    for n in 0..count {
        let image = trap.image(n, "");
        trap.entry(&image, "v1");
    }
    trap.set()
}

/// An index.json of so many entries that are no descriptors.
pub fn unfit(entries: usize) -> Memory {
    let index = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", vec!["{}"; entries].join(","));
    Memory { index: index.into_bytes(), ..Memory::default() }
}

/// An index.json of so many members that nobody knows.
pub fn members(count: usize) -> Memory {
    let index = format!("{{{},\"schemaVersion\":2,\"manifests\":[]}}", vec!["\"\":0"; count].join(","));
    Memory { index: index.into_bytes(), ..Memory::default() }
}

/// Every list and every set of annotations is `null`, in index.json, an index and two images.
pub fn nulls() -> Memory {
    let mut trap = Trap::default();
    let null = trap.add(
        INDEX,
        &format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":null,\"annotations\":null,\"subject\":null}}"
        ),
    );
    let config = trap.add(CONFIG, "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":null}");
    let config = with(&config, ",\"annotations\":null,\"platform\":null,\"data\":null");
    let image = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{config},\"layers\":null,\"annotations\":null}}"
    );
    let image = trap.add(MANIFEST, &image);
    trap.entry(&image, "v1");
    trap.entries.push(with(&null, ",\"annotations\":null"));
    trap.set()
}

/// index.json itself has `null` for a list.
pub fn null_index() -> Memory {
    let index = b"{\"schemaVersion\":2,\"manifests\":null,\"annotations\":null}";
    Memory { index: index.to_vec(), ..Memory::default() }
}

/// Indexes in indexes, `depth` of them.
pub fn nested(depth: usize) -> Memory {
    let mut trap = Trap::default();
    let mut inner = trap.image(0, "");
    for n in 0..depth {
        inner = trap.index(n, &[inner.text().to_owned()]);
    }
    trap.entry(&inner, "v1");
    trap.set()
}

/// Indexes in indexes, each with a platform of its own, and each beside the same long row of others.
pub fn nested_for_platforms(depth: usize) -> Memory {
    let mut trap = Trap::default();
    let mut row = trap.index(0, &[]);
    for n in 0..depth {
        row = trap.index(n, &[row.text().to_owned()]);
    }
    let mut inner = trap.index(depth, &[]);
    for n in 0..depth {
        let inside = with(&inner, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}");
        inner = trap.index(n, &[row.text().to_owned(), inside]);
    }
    trap.entry(&inner, "v1");
    trap.set()
}

/// `width` indexes in one, all of which hold the same row of `depth` indexes in indexes, at whose end is an image.
pub fn comb(width: usize, depth: usize) -> Memory {
    let mut trap = Trap::default();
    let mut row = trap.image(0, "");
    for n in 0..depth {
        row = trap.index(n, &[row.text().to_owned()]);
    }
    let teeth: Vec<String> = (0..width).map(|n| trap.index(n, &[row.text().to_owned()]).text().to_owned()).collect();
    let comb = trap.index(0, &teeth);
    trap.entry(&comb, "v1");
    trap.set()
}

/// `levels` of two indexes each, both of which hold both of the level below: 2^levels ways lead down.
pub fn diamonds(levels: usize) -> Memory {
    let mut trap = Trap::default();
    let mut level = [trap.image(0, ""), trap.image(1, "")];
    for n in 0..levels {
        let below = level.each_ref().map(|side| side.text().to_owned());
        level = [trap.index(2 * n, &below), trap.index(2 * n + 1, &below)];
    }
    trap.entry(&level[0], "v1");
    trap.entry(&level[1], "v2");
    trap.set()
}

/// Roots of which each holds the same index of `children` blobs that are not there.
pub fn roots_of_one(roots: usize, children: usize) -> Memory {
    let mut trap = Trap::default();
    let shared = trap.wide(children);
    for n in 1..=roots {
        let root = trap.index(n, &[shared.text().to_owned()]);
        trap.entry(&root, &format!("v{n}"));
    }
    trap.set()
}

/// An index of `count` children that are not there and no manifests.
pub fn children(count: usize) -> Memory {
    let mut trap = Trap::default();
    let index = trap.wide(count);
    trap.entry(&index, "v1");
    trap.set()
}

/// `count` indexes, each with as many `children` of its own: manifests that are not there.
pub fn indexes(count: usize, children: usize) -> Memory {
    let mut trap = Trap::default();
    for n in 0..count {
        let first = n * children;
        let child = |n: usize| format!("{{\"mediaType\":\"{MANIFEST}\",\"digest\":\"sha256:{n:064x}\",\"size\":1}}");
        let index = trap.index(n, &(first..first + children).map(child).collect::<Vec<_>>());
        trap.entry(&index, &format!("v{}", n + 1));
    }
    trap.set()
}

/// `count` images, each with as many `layers` of its own that are not there.
pub fn layers(count: usize, layers: usize) -> Memory {
    let mut trap = Trap::default();
    for n in 0..count {
        let first = n * layers;
        let layer = |n: usize| format!("{{\"mediaType\":\"x/y\",\"digest\":\"a:{n:x}\",\"size\":1}}");
        let layers = (first..first + layers).map(layer).collect::<Vec<_>>().join(",");
        let config = trap.add(CONFIG, "{\"architecture\":\"amd64\",\"os\":\"linux\"}").text().to_owned();
        let text =
            format!("{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{config},\"layers\":[{layers}]}}");
        let image = trap.add(MANIFEST, &text);
        trap.entry(&image, &format!("v{}", n + 1));
    }
    trap.set()
}

/// `count` images, each with as many `annotations` of its own.
pub fn annotations(count: usize, annotations: usize) -> Memory {
    let mut trap = Trap::default();
    for n in 0..count {
        let pairs: Vec<String> = (0..annotations).map(|key| format!("\"{n}.{key:x}\":\"\"")).collect();
        let image = trap.image(n, &format!(",\"annotations\":{{{}}}", pairs.join(",")));
        trap.entry(&image, &format!("v{}", n + 1));
    }
    trap.set()
}

/// A list of `members` images, under the fallback tags of `count` subjects that are not there.
pub fn one_list(count: usize, members: usize) -> Memory {
    let (mut trap, _) = Trap::with_image();
    let members: Vec<String> = (1..=members).map(|n| trap.image(n, "").text().to_owned()).collect();
    let list = trap.index(0, &members);
    for n in 0..count {
        trap.entry(&list, &format!("sha256-{n:064x}"));
    }
    trap.set()
}

/// The same list, in an untagged entry for each subject, as olareg's annotation names it.
pub fn one_list_for_olareg(count: usize, members: usize) -> Memory {
    let (mut trap, _) = Trap::with_image();
    let members: Vec<String> = (1..=members).map(|n| trap.image(n, "").text().to_owned()).collect();
    let list = trap.index(0, &members);
    for n in 0..count {
        let subject = format!("sha256:{n:064x}");
        let entry = with(&list, &annotated(&[("org.olareg.referrer.subject", &subject)]));
        trap.entries.push(entry);
    }
    trap.set()
}

/// `count` entries that are one image, each under a full name of its own, and under `v1`.
pub fn names(count: usize) -> Memory {
    let (mut trap, image) = Trap::with_image();
    for n in 0..count {
        trap.entries.push(with(&image, &annotated(&[(IMAGE_NAME, &format!("example.com/app:{n}"))])));
    }
    trap.set()
}

/// An image, something that refers to it, something that refers to that, and so on: `length` of them.
pub fn chain(length: usize) -> Memory {
    let mut trap = Trap::default();
    let mut last = trap.image(0, "");
    trap.entry(&last, "v1");
    for n in 0..length {
        last = trap.referrer(n, &last);
        trap.entry(&last, "");
    }
    trap.set()
}

/// The same, without the image: all of the chain waits for it.
pub fn chain_of_nothing(length: usize) -> Memory {
    let mut memory = chain(length);
    let index = memory.index.clone();
    let index = ocistow_layout::IndexFile::parse(index).expect("it was made here");
    let image = index.descriptors().expect("all are descriptors")[0].digest.clone();
    memory.blobs.remove(&image);
    memory
}

/// A fallback tag with a list of `members` that are not there.
pub fn long_list(members: usize) -> Memory {
    let (mut trap, subject) = Trap::with_image();
    let annotations = annotated(&[("key", "value")]);
    let member = |n: usize| {
        format!(
            "{{\"mediaType\":\"{MANIFEST}\",\"digest\":\"sha256:{n:064x}\",\"size\":500,\"artifactType\":\"application/x.sig\"{annotations}}}"
        )
    };
    let members: Vec<String> = (0..members).map(member).collect();
    let list = trap.index(0, &members);
    trap.entry(&list, &subject.digest.fallback_tag());
    trap.set()
}

/// One list of `members` images under the fallback tags of `count` subjects, each of which has a referrer that it lacks:
/// made anew, it is as many lists.
pub fn one_list_lacking(count: usize, members: usize) -> Memory {
    let mut trap = Trap::default();
    let members: Vec<String> = (0..members).map(|n| trap.image(n, "").text().to_owned()).collect();
    let list = trap.index(0, &members);
    for n in 0..count {
        let subject = trap.image(members.len() + n, "");
        let referrer = trap.referrer(n, &subject);
        trap.entry(&subject, &format!("v{}", n + 1));
        trap.entry(&referrer, "");
        trap.entry(&list, &subject.digest.fallback_tag());
    }
    trap.set()
}

/// `count` lists about one subject under one fallback tag, each with a referrer of its own, and each of those an
/// entry as well.
pub fn many_lists(count: usize) -> Memory {
    let (mut trap, subject) = Trap::with_image();
    for n in 0..count {
        let referrer = trap.referrer(n, &subject);
        trap.entry(&referrer, "");
        let list = trap.index(n, &[referrer.text().to_owned()]);
        trap.entry(&list, &subject.digest.fallback_tag());
    }
    trap.set()
}

/// `count` fallback tags of digests that such a tag cuts, and as many subjects with digests of that sort.
pub fn cut_tags(count: usize) -> Memory {
    let (mut trap, _) = Trap::with_image();
    for n in 0..count {
        let subject = format!("{{\"mediaType\":\"{MANIFEST}\",\"digest\":\"sha512:{n:0128x}\",\"size\":500}}");
        let referrer = trap.image(n, &format!(",\"artifactType\":\"application/x.sig\",\"subject\":{subject}"));
        trap.entry(&referrer, "");
        let list = trap.index(n, &[]);
        trap.entry(&list, &format!("sha512-{n:064x}"));
    }
    trap.set()
}

/// An index of exactly `length` bytes.
pub fn of_length(length: usize) -> Memory {
    let mut trap = Trap::default();
    let image = trap.image(0, "");
    let text = |filling: &str| {
        format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[{}],\"x\":\"{filling}\"}}",
            image.text()
        )
    };
    let filling = length.checked_sub(text("").len()).expect("it is longer than an index of one image");
    let text = text(&"x".repeat(filling));
    let index = trap.add(INDEX, &text);
    trap.entry(&index, "v1");
    trap.set()
}

/// An index in which JSON is nested `depth` deep.
pub fn of_depth(depth: usize) -> Memory {
    let mut trap = Trap::default();
    let image = trap.image(0, "");
    let inner = depth - 1;
    let (open, close) = ("[".repeat(inner), "]".repeat(inner));
    let text = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[{}],\"x\":{open}{close}}}",
        image.text()
    );
    let index = trap.add(INDEX, &text);
    trap.entry(&index, "v1");
    trap.set()
}

/// `count` images in a circle, each by cosign's tag the signature of the next.
pub fn circle(count: usize) -> Memory {
    let mut trap = Trap::default();
    let images: Vec<Descriptor> = (0..count).map(|n| trap.image(n, "")).collect();
    for (at, image) in images.iter().enumerate() {
        let next = &images[(at + 1) % count];
        trap.entry(image, &format!("{}.sig", next.digest.fallback_tag()));
    }
    trap.entry(&images[0], "v1");
    trap.set()
}

/// `count` images, each by cosign's tag a signature of each.
pub fn all_of_all(count: usize) -> Memory {
    let mut trap = Trap::default();
    let images: Vec<Descriptor> = (0..count).map(|n| trap.image(n, "")).collect();
    for image in &images {
        for other in &images {
            trap.entry(image, &format!("{}.sig", other.digest.fallback_tag()));
        }
    }
    trap.entry(&images[0], "v1");
    trap.set()
}

/// An index of `count` images, each the attestation of the next, and the last of the first.
pub fn attestations(count: usize) -> Memory {
    let mut trap = Trap::default();
    let images: Vec<Descriptor> = (0..count).map(|n| trap.image(n, "")).collect();
    let mut children = Vec::new();
    for (at, image) in images.iter().enumerate() {
        let next = images[(at + 1) % count].digest.to_string();
        let attests = [("vnd.docker.reference.type", "attestation-manifest"), ("vnd.docker.reference.digest", &*next)];
        children.push(with(image, &annotated(&attests)));
    }
    let index = trap.index(0, &children);
    trap.entry(&index, "v1");
    trap.set()
}
