//! Bytes as the words of the contract: digests, tags, titles, locations, platforms and the like. What is read and
//! written again is the same, and only what the specification's grammar takes is taken.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use ocistow::location::{self, Exists, Location};
use ocistow::{duration, instant, shown};
use ocistow_graph::Selector;
use ocistow_layout::archive::Compression;
use ocistow_layout::name::{Pair, docker_normal, fallback_subject, is_fallback_tag, is_ref_name, is_tag, split_full};
use ocistow_layout::title::Title;
use ocistow_layout::{Digest, Kind, Result, json, media_type};

/// The body.
pub fn run(bytes: &[u8]) {
    if bytes.len() > 4096 {
        return;
    }
    place(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    digest(text);
    tag(text);
    names(text);
    title(text);
    platform(text);
    others(text);
}

/// DIGEST-1, DIGEST-2, DIGEST-4, and that nothing in it leads out of the layout.
fn digest(text: &str) {
    let read = text.parse::<Digest>();
    assert_eq!(read.is_ok(), grammar::digest(text), "{text:?}");
    let Ok(digest) = read else { return };
    assert_eq!(digest.to_string(), text);
    assert_eq!(format!("{}:{}", digest.algorithm(), digest.encoded()), text);
    let path = digest.path();
    inside(&path);
    assert_eq!(Path::new(&path).components().count(), 3, "{path}");
    assert!(is_tag(&digest.fallback_tag()) || !digest.fallback_tag().starts_with(|c: char| c.is_ascii_alphanumeric()));
    if digest.algorithm() == "sha256" {
        assert_eq!(fallback_subject(&digest.fallback_tag()).as_ref(), Some(&digest));
        assert!(is_fallback_tag(&digest.fallback_tag()));
    }
    assert_eq!(digest.verifiable(), digest.hasher().is_some());
}

/// A path that stays below the directory it is taken in.
fn inside(path: &str) {
    let plain = Path::new(path).components().all(|component| matches!(component, Component::Normal(_)));
    assert!(plain && !path.contains('\0'), "{path:?} leads out");
}

fn tag(text: &str) {
    assert_eq!(is_tag(text), grammar::tag(text), "{text:?}");
    assert_eq!(is_ref_name(text), grammar::ref_name(text), "{text:?}");
    assert_eq!(media_type::is_media_type(text), grammar::media_type(text), "{text:?}");
}

fn names(text: &str) {
    if let Some((repository, tag)) = split_full(text) {
        assert_eq!(format!("{repository}:{tag}"), text);
        assert!(grammar::tag(tag));
    }
    // What is written can be looked up again by itself, and normal names are as normal as they get.
    let pair = Pair::written(text);
    assert_eq!(pair.key(), Pair { image: None, reference: Some(text.into()) }.key());
    assert_eq!(pair.key(), pair.key().key());
    let normal = docker_normal(text);
    assert_eq!(docker_normal(&normal), normal, "{text:?}");
}

/// A title becomes a path below the directory, or is refused.
fn title(text: &str) {
    let read = Title::parse(text);
    let leads_out = text.is_empty() || text.starts_with('/') || text.split('/').any(|name| name == "..");
    let Ok(title) = read else {
        let long = text.split('/').any(|name| name.len() > 255) || text.len() > 4095;
        assert!(leads_out || long || text.contains('\0'), "{text:?}");
        return;
    };
    assert!(!leads_out, "{text:?}");
    assert_eq!(Title::parse(title.as_str()).as_ref(), Ok(&title), "{text:?}");
    if !title.is_root() {
        inside(title.as_str());
    }
    let names: Vec<&str> = title.names().collect();
    assert_eq!(names.join("/"), if title.is_root() { "" } else { title.as_str() });
    let clean = Path::new("/out").join(title.as_str());
    assert!(clean.starts_with("/out"), "{text:?}");
    assert_eq!(title.ancestors().count(), names.len());
}

fn platform(text: &str) {
    let Ok(selector) = text.parse::<Selector>() else { return };
    assert_eq!(selector.to_string(), text);
    assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector);
}

fn others(text: &str) {
    if let Ok(duration) = duration::parse(text) {
        let millis = u64::try_from(duration.as_millis());
        if let Ok(millis) = millis {
            assert_eq!(duration::parse(&format!("{millis}ms")), Ok(duration), "{text:?}");
        }
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
    if instant::is_rfc3339(text) {
        assert!(text.len() >= 20 && text.is_ascii(), "{text:?}");
    }
    if let Ok(seconds) = text.parse::<u32>() {
        assert!(instant::is_rfc3339(&instant::rfc3339(seconds.into())));
    }
    let shown = shown::shown(text);
    assert!(!shown.chars().any(char::is_control), "{text:?}");
    assert_eq!(shown::shown(&shown), shown, "what can be shown is shown as it is");
    // As JSON and back.
    assert_eq!(serde_json::from_str::<String>(&json::quote(text)).unwrap(), text);
    let spaced = format!(" {} ", json::quote(text));
    assert_eq!(json::compact(&spaced), json::quote(text));
    let _ = Compression::by_name(Path::new(text));
}

/// A disk on which these lie: what exists decides what a location means.
struct Drawn(fn(&[u8]) -> bool);

impl Exists for Drawn {
    fn exists(&self, path: &Path) -> Result<bool> {
        Ok((self.0)(path.as_os_str().as_bytes()))
    }
    fn is_dir(&self, path: &Path) -> Result<bool> {
        self.exists(path)
    }
}

/// A location is read the same however often, and every byte of it ends up somewhere.
fn place(bytes: &[u8]) {
    if bytes.contains(&0) {
        return;
    }
    let word = OsStr::from_bytes(bytes);
    let disks: [fn(&[u8]) -> bool; 3] = [|_| false, |path| path.len().is_multiple_of(2), |path| path.ends_with(b"/")];
    for there in disks {
        let disk = Drawn(there);
        match location::parse(word, &disk) {
            Err(why) => assert_eq!(why.kind(), Kind::Usage),
            Ok(Location { path, pick, .. }) => {
                assert!(!path.as_os_str().is_empty());
                let mut whole = path.as_os_str().as_bytes().to_vec();
                let reference = pick.reference.clone().or(pick.nth.map(|nth| format!("@{nth}")));
                whole.extend(reference.iter().flat_map(|reference| [b":", reference.as_bytes()].concat()));
                whole.extend(pick.digest.iter().flat_map(|digest| format!("@{digest}").into_bytes()));
                // But for the prefix, leading zeros of a place, and an empty reference behind a prefix.
                if pick.nth.is_none() && [&b"oci"[..], b"docker-archive:"].iter().all(|front| !bytes.starts_with(front))
                {
                    assert_eq!(whole, bytes, "{word:?}");
                }
            }
        }
    }
    if let Ok(pick) = location::parse_pick(word) {
        let digest = pick.digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        assert_eq!(format!("{}{digest}", pick.reference.unwrap_or_default()).as_bytes(), bytes);
    }
}

/// The grammars of the specification (2.4), as its expressions say them and not as our parsers do: sets of places
/// in the text, moved on by each part of an expression.
mod grammar {
    use std::collections::BTreeSet;

    type Places = BTreeSet<usize>;

    /// One character of a class, from each place.
    fn one(text: &[u8], from: &Places, class: fn(u8) -> bool) -> Places {
        from.iter().filter(|at| text.get(**at).is_some_and(|byte| class(*byte))).map(|at| at + 1).collect()
    }

    /// These characters, from each place.
    fn word(text: &[u8], from: &Places, word: &[u8]) -> Places {
        from.iter().filter(|at| text[**at..].starts_with(word)).map(|at| at + word.len()).collect()
    }

    /// A part as often as one likes, from `least` times on.
    fn many(from: &Places, least: usize, part: impl Fn(&Places) -> Places) -> Places {
        let mut here = from.clone();
        for _ in 0..least {
            here = part(&here);
        }
        let mut all = here.clone();
        while !here.is_empty() {
            here = part(&here).difference(&all).copied().collect();
            all.extend(&here);
        }
        all
    }

    fn start() -> Places {
        BTreeSet::from([0])
    }

    fn whole(text: &[u8], ends: &Places) -> bool {
        ends.contains(&text.len())
    }

    fn low(byte: u8) -> bool {
        byte.is_ascii_lowercase() || byte.is_ascii_digit()
    }

    fn alnum(byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
    }

    /// `^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$`, of known algorithms `^[a-f0-9]{64}$` or `{128}`; no part
    /// longer than a file's name (DIGEST-11).
    pub fn digest(text: &str) -> bool {
        let bytes = text.as_bytes();
        let component = |from: &Places| many(from, 1, |from| one(bytes, from, low));
        let algorithm = component(&start());
        let algorithm = many(&algorithm, 0, |from| component(&one(bytes, from, |byte| b"+._-".contains(&byte))));
        let encoded = word(bytes, &algorithm, b":");
        let encoded = many(&encoded, 1, |from| one(bytes, from, |byte| alnum(byte) || b"=_-".contains(&byte)));
        let Some((algorithm, rest)) = text.split_once(':').filter(|_| whole(bytes, &encoded)) else { return false };
        let hex = |len: usize| rest.len() == len && rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        algorithm.len() <= 255
            && rest.len() <= 255
            && match algorithm {
                "sha256" | "blake3" => hex(64),
                "sha512" => hex(128),
                _ => true,
            }
    }

    /// `^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`
    pub fn tag(text: &str) -> bool {
        let bytes = text.as_bytes();
        let first = one(bytes, &start(), |byte| alnum(byte) || byte == b'_');
        let all = many(&first, 0, |from| one(bytes, from, |byte| alnum(byte) || b"._-".contains(&byte)));
        whole(bytes, &all) && text.len() <= 128
    }

    /// `^[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*$`
    pub fn ref_name(text: &str) -> bool {
        let bytes = text.as_bytes();
        let run = |from: &Places| many(from, 1, |from| one(bytes, from, alnum));
        let component = |from: &Places| {
            many(&run(from), 0, |from| {
                let single = one(bytes, from, |byte| b"-._:@+".contains(&byte));
                run(&single.union(&word(bytes, from, b"--")).copied().collect())
            })
        };
        let all = many(&component(&start()), 0, |from| component(&word(bytes, from, b"/")));
        whole(bytes, &all)
    }

    /// `^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/` and the same once more.
    pub fn media_type(text: &str) -> bool {
        let bytes = text.as_bytes();
        let name = |from: &Places| {
            let first = one(bytes, from, alnum);
            many(&first, 0, |from| one(bytes, from, |byte| alnum(byte) || b"!#$&^_.+-".contains(&byte)))
        };
        let all = name(&word(bytes, &name(&start()), b"/"));
        whole(bytes, &all) && text.split('/').all(|name| name.len() <= 127)
    }
}
