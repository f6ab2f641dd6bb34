//! Digests: names of content, parsed once at the edge.
//!
//! A digest is a string from an enemy until it is a [`Digest`]; only a [`Digest`] becomes a path.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{self, Hash};
use std::str::FromStr;

use sha2::Digest as _;

/// The longest digest string taken (DIGEST-11): both parts become file names.
pub const MAX_DIGEST: usize = 512;
/// The longest part of a digest taken: the limit of a file name on common file systems.
pub const MAX_DIGEST_PART: usize = 255;

/// The digest of some bytes, as `algorithm:encoded`.
///
/// sha256 and sha512 can be verified. Any other algorithm that fits the grammar is carried along and
/// reported as unverifiable (DIGEST-5). Order is that of the strings.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest(Repr);

#[derive(Clone, PartialEq, Eq)]
enum Repr {
    Sha256([u8; 32]),
    Sha512(Box<[u8; 64]>),
    /// The whole string and where its colon is.
    Other(Box<str>, usize),
}

/// Why a string is no digest. The three sorts are those of DIGEST-10; "unsupported algorithm" is no
/// error here but [`Digest::verifiable`] being false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DigestError {
    /// It does not fit the grammar, or is longer than [`MAX_DIGEST`].
    Format(String),
    /// The algorithm is known, but its encoding is of the wrong length or alphabet.
    Encoding(String),
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(text) => write!(f, "{} is not a digest", shown(text)),
            Self::Encoding(text) => {
                write!(f, "{} is not a valid digest of its algorithm", shown(text))?;
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    f.write_str(" (hex must be lowercase)")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for DigestError {}

/// Quotes a hostile string for a message: escaped and cut.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(100).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}

impl Digest {
    /// The sha256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Repr::Sha256(sha2::Sha256::digest(bytes).into()))
    }

    /// The digest of `bytes` by the algorithm of `self`; `None` where that is not known here.
    pub fn same_of(&self, bytes: &[u8]) -> Option<Self> {
        let mut hasher = self.hasher()?;
        hasher.update(bytes);
        Some(hasher.finish())
    }

    /// Makes a sha256 digest from its raw bytes.
    pub fn from_sha256(raw: [u8; 32]) -> Self {
        Self(Repr::Sha256(raw))
    }

    /// The raw bytes of a sha256 digest.
    pub fn sha256(&self) -> Option<&[u8; 32]> {
        match &self.0 {
            Repr::Sha256(raw) => Some(raw),
            _ => None,
        }
    }

    /// The part before the colon: the name of a directory below `blobs/`.
    pub fn algorithm(&self) -> &str {
        match &self.0 {
            Repr::Sha256(_) => "sha256",
            Repr::Sha512(_) => "sha512",
            Repr::Other(text, colon) => &text[..*colon],
        }
    }

    /// The part after the colon: the name of the blob's file.
    pub fn encoded(&self) -> String {
        match &self.0 {
            Repr::Sha256(raw) => hex(raw),
            Repr::Sha512(raw) => hex(&raw[..]),
            Repr::Other(text, colon) => text[colon + 1..].to_owned(),
        }
    }

    /// The start of the string by which digests of different algorithms differ; all of it where the algorithm is not
    /// known here.
    fn start(&self) -> &str {
        match &self.0 {
            Repr::Sha256(_) => "sha256:",
            Repr::Sha512(_) => "sha512:",
            Repr::Other(text, _) => text,
        }
    }

    /// Whether content can be checked against this digest.
    pub fn verifiable(&self) -> bool {
        !matches!(self.0, Repr::Other(..))
    }

    /// A hasher of this digest's algorithm; `None` where that is not known here.
    pub fn hasher(&self) -> Option<Hasher> {
        match self.0 {
            Repr::Sha256(_) => Some(Hasher::Sha256(sha2::Sha256::new())),
            Repr::Sha512(_) => Some(Hasher::Sha512(Box::new(sha2::Sha512::new()))),
            Repr::Other(..) => None,
        }
    }

    /// Where the blob lies in a layout: `blobs/<algorithm>/<encoded>` (LAYOUT-7). Never absolute, never
    /// with a `..`.
    pub fn path(&self) -> String {
        format!("blobs/{}/{}", self.algorithm(), self.encoded())
    }

    /// The tag under which registries without the referrers API, and regctl in layouts, keep the list
    /// of referrers of this digest (REFERRERS-13).
    pub fn fallback_tag(&self) -> String {
        let legal = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let algorithm: String = self.algorithm().chars().take(32).map(legal).collect();
        let encoded: String = self.encoded().chars().take(64).map(legal).collect();
        format!("{algorithm}-{encoded}")
    }
}

/// Lowercase hex.
fn hex(raw: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(raw.len() * 2);
    for byte in raw {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    // What a lowercase hex digit is worth; above 15: it is none. Without a branch or a table, so that the
    // compiler can take many at a time.
    let worth = |digit: u8| match digit.wrapping_sub(b'0') {
        decimal if decimal < 10 => decimal,
        _ if digit.wrapping_sub(b'a') < 6 => digit - b'a' + 10,
        _ => 0xff,
    };
    let text = text.as_bytes();
    if text.len() != N * 2 {
        return None;
    }
    let mut raw = [0; N];
    let mut all = 0;
    for (byte, pair) in raw.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (worth(pair[0]), worth(pair[1]));
        all |= high | low;
        *byte = high << 4 | low;
    }
    (all < 16).then_some(raw)
}

/// `[a-z0-9]+(?:[+._-][a-z0-9]+)*`
fn is_algorithm(text: &str) -> bool {
    text.split(['+', '.', '_', '-'])
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        // Archives and indexes are full of these: no need to look at each character twice.
        if let Some(raw) = text.strip_prefix("sha256:").and_then(unhex) {
            return Ok(Self(Repr::Sha256(raw)));
        }
        let format = || DigestError::Format(text.to_owned());
        let encoding = || DigestError::Encoding(text.to_owned());
        if text.len() > MAX_DIGEST {
            return Err(format());
        }
        let (algorithm, encoded) = text.split_once(':').ok_or_else(format)?;
        let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-');
        if !is_algorithm(algorithm)
            || encoded.is_empty()
            || !encoded.bytes().all(in_alphabet)
            || algorithm.len() > MAX_DIGEST_PART
            || encoded.len() > MAX_DIGEST_PART
        {
            return Err(format());
        }
        Ok(Self(match algorithm {
            "sha256" => return Err(encoding()),
            "sha512" => Repr::Sha512(Box::new(unhex(encoded).ok_or_else(encoding)?)),
            // Registered too (DIGEST-4); not verifiable here, but its encoding is fixed.
            "blake3" if unhex::<32>(encoded).is_none() => return Err(encoding()),
            _ => Repr::Other(text.into(), algorithm.len()),
        }))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Other(text, _) => f.write_str(text),
            _ => write!(f, "{}:{}", self.algorithm(), self.encoded()),
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Hash for Digest {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        match &self.0 {
            Repr::Sha256(raw) => state.write(raw),
            Repr::Sha512(raw) => state.write(&raw[..]),
            Repr::Other(text, _) => text.hash(state),
        }
    }
}

impl Ord for Digest {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Repr::Sha256(a), Repr::Sha256(b)) => {
                // Nearly all differ here.
                let first = |raw: &[u8; 32]| raw.first_chunk().map(|first| u64::from_be_bytes(*first));
                first(a).cmp(&first(b)).then_with(|| a.cmp(b))
            }
            (Repr::Sha512(a), Repr::Sha512(b)) => a.cmp(b),
            _ => self.start().cmp(other.start()),
        }
    }
}

impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A digest being computed.
#[derive(Clone)]
pub enum Hasher {
    /// sha256
    Sha256(sha2::Sha256),
    /// sha512
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(state) => state.update(bytes),
            Self::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all bytes taken.
    pub fn finish(self) -> Digest {
        Digest(match self {
            Self::Sha256(state) => Repr::Sha256(state.finalize().into()),
            Self::Sha512(state) => Repr::Sha512(Box::new(state.finalize().into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sort(text: &str) -> &'static str {
        match text.parse::<Digest>() {
            Ok(digest) if digest.verifiable() => "known",
            Ok(_) => "unsupported",
            Err(DigestError::Encoding(_)) => "encoding",
            Err(DigestError::Format(_)) => "format",
        }
    }

    /// DIGEST-1, DIGEST-2, DIGEST-10, vectors B.1.
    #[test]
    fn digests_are_sorted_into_known_unsupported_and_two_errors() {
        let a = |n: usize| "a".repeat(n);
        for known in [format!("sha256:{}", a(64)), format!("sha512:{}", a(128))] {
            assert_eq!(sort(&known), "known", "{known}");
            assert_eq!(known.parse::<Digest>().expect("it is known").to_string(), known);
        }
        for text in [
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{}", a(63)),
            format!("sha256:{}", a(65)),
            format!("sha512:{}", a(64)),
            "sha256:da39a3ee5e6b4b0d3255bfef95601890afd80709".into(),
        ] {
            assert_eq!(sort(&text), "encoding", "{text}");
        }
        for text in [
            "md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            format!("sha384:{}", a(96)),
            format!("sha384_foo+bar:{}", a(64)),
            format!("blake3:{}", a(64)),
            "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8".into(),
            "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564=".into(),
        ] {
            assert_eq!(sort(&text), "unsupported", "{text}");
            assert_eq!(text.parse::<Digest>().expect("it is valid").to_string(), text);
        }
        for text in [
            String::new(),
            "sha256".into(),
            "sha256:".into(),
            format!(":{}", a(64)),
            format!("SHA256:{}", a(64)),
            format!("sha256+foo+-b:{}", a(64)),
            format!("sha384__foo+bar:{}", a(64)),
            "a..b:x".into(),
            format!(".sha256:{}", a(64)),
            "-a:x".into(),
            "sha256:a:b".into(),
            format!("../x:{}", a(64)),
            "sha256:../../etc".into(),
            format!("sha256:{}\n", a(64)),
            format!("sha256:{} ", a(64)),
            format!("sha256:{}\0", a(64)),
            format!("md5:{}", a(10_000)),
            format!("md5:{}", a(300)),
        ] {
            assert_eq!(sort(&text), "format", "{text:?}");
        }
    }

    #[test]
    fn digests_sort_as_their_strings_do() {
        let mut digests: Vec<Digest> = ["sha512:", "sha256:", "blake3:"]
            .iter()
            .flat_map(|alg| {
                let n = if *alg == "sha512:" { 128 } else { 64 };
                ["b", "0", "f"].map(|c| format!("{alg}{}", c.repeat(n)))
            })
            .chain(["sha384:zz".into(), "a:b".into(), "zz:b".into()])
            .map(|text| text.parse().expect("it is valid"))
            .collect();
        let mut strings: Vec<String> = digests.iter().map(ToString::to_string).collect();
        digests.sort();
        strings.sort();
        assert_eq!(digests.iter().map(ToString::to_string).collect::<Vec<_>>(), strings);
    }

    /// REFERRERS-13, vectors B.5.
    #[test]
    fn fallback_tags_are_cut_and_made_legal() {
        let tag = |text: &str| text.parse::<Digest>().expect("it is valid").fallback_tag();
        assert_eq!(tag(&format!("sha256:{}", "a".repeat(64))), format!("sha256-{}", "a".repeat(64)));
        assert_eq!(tag(&format!("sha512:{}", "a".repeat(128))), format!("sha512-{}", "a".repeat(64)));
        assert_eq!(
            tag(
                "test+algorithm+using+algorithm+separators+and+lots+of+characters+to+excercise+overall+truncation:alsoSome=InTheEncodedSectionToShowHyphenReplacementAndLotsAndLotsOfCharactersToExcerciseEncodedTruncation"
            ),
            "test-algorithm-using-algorithm-s-alsoSome-InTheEncodedSectionToShowHyphenReplacementAndLotsAndLot"
        );
    }

    #[test]
    fn the_empty_descriptor_has_its_known_digests() {
        let sha256 = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(Digest::of(b"{}").to_string(), sha256);
        let sha512 = "sha512:27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd";
        let digest: Digest = sha512.parse().expect("it is valid");
        assert_eq!(digest.same_of(b"{}").expect("sha512 is known"), digest);
    }
}
