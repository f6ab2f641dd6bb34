//! Members of an archive drawn from bytes, a few for each: names, links and content that have to do with each other,
//! which bytes of a tar hardly ever have by chance.

use ocistow_layout::Digest;

use crate::reading::read;
use crate::{archive, scratch};

const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;
const BLOCK: usize = 512;

/// The body: three bytes for each member, in front of them one that says how it ends.
pub fn run(bytes: &[u8]) {
    let Some((end, members)) = bytes.split_first() else { return };
    if members.len() > 3 * 64 {
        return;
    }
    let (members, _) = members.as_chunks::<3>();
    let mut tar = members.iter().fold(Tar::default(), |tar, [sort, a, b]| member(tar, *sort, *a, *b)).0;
    tar.resize(tar.len() + usize::from(end % 4) * BLOCK, 0);
    if end & 4 != 0 {
        tar.truncate(tar.len().saturating_sub(usize::from(*end)));
    }
    let view = read(&tar);
    let path = scratch::file("tar", &tar);
    if let (Ok(_), Ok(source)) = (view, ocistow_layout::open(&path, &ocistow_layout::Unwatched)) {
        archive::exported(&*source);
    }
}

/// A tar being drawn.
#[derive(Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    fn raw(mut self, header: &[u8], body: &[u8]) -> Self {
        self.0.extend_from_slice(header);
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    fn member(self, flag: u8, name: &str, target: &str, body: &[u8]) -> Self {
        let header = header(flag, name, target, body.len() as u64);
        self.raw(&header, body)
    }

    /// A member of these permissions.
    pub(crate) fn with_mode(self, flag: u8, name: &str, target: &str, body: &[u8], mode: u32) -> Self {
        let mut block = header(flag, name, target, body.len() as u64);
        block[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        self.raw(&signed(block), body)
    }

    /// A member with PAX records where something does not fit.
    fn any(self, flag: u8, name: &str, target: &str, body: &[u8]) -> Self {
        let mut records = Vec::new();
        records.extend((name.len() > 100).then_some(("path", name)));
        records.extend((target.len() > 100).then_some(("linkpath", target)));
        let tar = if records.is_empty() { self } else { self.pax(b'x', &records) };
        tar.member(flag, name, target, body)
    }

    fn file(self, name: &str, body: &[u8]) -> Self {
        self.any(b'0', name, "", body)
    }

    fn pax(self, flag: u8, records: &[(&str, &str)]) -> Self {
        let body: String = records.iter().map(|(key, value)| record(key, value)).collect();
        self.member(flag, "PaxHeaders/x", "", body.as_bytes())
    }
}

fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let fits = |n: &usize| n.to_string().len() + rest.len() == *n;
    format!("{}{rest}", (1..9999).find(fits).unwrap())
}

fn header(flag: u8, name: &str, target: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let put = |block: &mut [u8; BLOCK], at: usize, text: &str| {
        let text = &text.as_bytes()[..text.len().min(100)];
        block[at..at + text.len()].copy_from_slice(text);
    };
    put(&mut block, 0, name);
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000000");
    block[156] = flag;
    put(&mut block, 157, target);
    block[257..265].copy_from_slice(b"ustar\x0000");
    signed(block)
}

fn signed(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A thing that has a name in the archive: six blobs of sha256, two of sha512, two of an algorithm nobody knows, the
/// two files of a layout, and four that are nothing in one.
fn name(n: u8) -> String {
    let body = [b'{', n % 6];
    match n % 16 {
        0..6 => Digest::of(&body).path(),
        6 => sha512(&body).path(),
        7 => sha512(b"{").path(),
        8 => "blobs/odd/a".into(),
        9 => "blobs/odd+b64/B=".into(),
        10 => "index.json".into(),
        11 => "oci-layout".into(),
        12 => "blobs/sha256".into(),
        n => format!("hop{n}"),
    }
}

fn sha512(bytes: &[u8]) -> Digest {
    format!("sha512:{}", "0".repeat(128)).parse::<Digest>().unwrap().same_of(bytes).unwrap()
}

/// What a thing has in it.
fn content(n: u8) -> Vec<u8> {
    match n % 16 {
        0..6 => vec![b'{', n % 6],
        6 => vec![b'{', 0],
        7 => b"{".to_vec(),
        10 => INDEX.to_vec(),
        11 => MARKER.to_vec(),
        n => vec![n; usize::from(n)],
    }
}

/// One member: good, odd or hostile.
fn member(tar: Tar, sort: u8, a: u8, b: u8) -> Tar {
    let (own, other) = (name(a), name(b));
    match sort % 24 {
        0..4 => tar.file(&own, &content(a)),
        4 => tar.file(&format!("./{own}"), &content(a)),
        5 => tar.file(&own.replace('/', "//"), &content(a)),
        6 => tar.file(&own, &content(b)),
        7 => tar.file(&own, &[content(a), content(b)].concat()),
        8 => tar.any(b'1', &own, &other, b""),
        9 => tar.any(b'2', &own, &other, b""),
        10 => tar.any(b'2', &own, &format!("../../{other}"), b""),
        11 => tar.any(b'1', &own, &format!("./{other}"), &content(b)),
        12 => tar.any(b'5', &format!("{own}/"), "", b""),
        13 => tar.file(&format!("{own}/{}", b % 4), b"?"),
        14 => tar.member(b'L', "././@LongLink", "", format!("{own}\0").as_bytes()).file("cut", &content(b)),
        15 => tar.member(b'K', "././@LongLink", "", format!("{other}\0").as_bytes()).any(b'1', &own, "x", b""),
        16 => tar
            .pax(b'x', &[("size", &content(a).len().to_string())])
            .raw(&header(b'0', "cut", "", u64::from(b)), &content(a)),
        17 => tar.pax(b'x', &[("path", &own), ("path", &other)]).file("cut", &content(b)),
        18 => tar.pax(b'g', &[(["comment", "path", "size", "linkpath"][usize::from(a % 4)], &b.to_string())]),
        19 => tar.member(b, &own, &other, &content(a)),
        20 => {
            // A size beyond eleven digits, as GNU tar writes it.
            let mut block = header(b'0', &own, "", 0);
            block[124..136].fill(0);
            block[124] = 0x80;
            block[135] = b;
            tar.raw(&signed(block), &content(a))
        }
        21 => {
            // The name cut in two, as ustar has it.
            let (prefix, rest) = own.rsplit_once('/').unwrap_or(("", &own));
            let mut block = header(b'0', rest, "", content(b).len() as u64);
            block[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
            tar.raw(&signed(block), &content(b))
        }
        22 => {
            // One byte of the header is another, and the checksum is right.
            let mut block = header(b'0', &own, "", content(a).len() as u64);
            let at = usize::from(b) * 2;
            block[at] = block[at].wrapping_add(a | 1);
            tar.raw(&signed(block), &content(a))
        }
        _ => {
            tar.file(["../x", "/x", "a\\b", "a/..", "x", ".", "manifest.json", "a\nb"][usize::from(a % 8)], &content(b))
        }
    }
}
