//! Locations: `PATH`, `PATH:REF`, `PATH@DIGEST`, `PATH:REF@DIGEST`, as `cli.md` fixes them.
//!
//! What a word means depends on what lies on the disk; that is asked through [`Exists`] only, so that
//! every rule can be shown without one.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ocistow_layout::{Digest, Error, Kind, Prefer, Result, directory};

/// A layout or archive, and which of its entries is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The directory or archive.
    pub path: PathBuf,
    /// What is meant in it.
    pub pick: Pick,
    /// What is read of an archive in which there is more than one thing to read: `docker-archive:` says it.
    pub prefer: Prefer,
}

impl Location {
    /// All that is at a path.
    pub fn whole(path: PathBuf) -> Self {
        Self { path, pick: Pick::default(), prefer: Prefer::Layout }
    }
}

/// Which entry of a layout is meant. With nothing given: the one root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pick {
    /// The entry of this name.
    pub reference: Option<String>,
    /// The content of this digest; with a reference: what that has to name.
    pub digest: Option<Digest>,
    /// The entry at this place of index.json, counted from 0 (`oci:PATH:@N`).
    pub nth: Option<usize>,
}

impl Pick {
    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Location {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pick { reference, digest, nth } = &self.pick;
        self.path.display().fmt(f)?;
        reference.iter().try_for_each(|reference| write!(f, ":{reference}"))?;
        nth.iter().try_for_each(|nth| write!(f, ":@{nth}"))?;
        digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// What the grammar asks of the disk.
pub trait Exists {
    /// Whether there is anything at `path`. Failed where the disk does not say.
    fn exists(&self, path: &Path) -> Result<bool>;
    /// Whether there is a directory at `path`, or behind a link there.
    fn is_dir(&self, path: &Path) -> Result<bool>;
}

/// The disk of this machine.
pub struct OnDisk;

impl Exists for OnDisk {
    fn exists(&self, path: &Path) -> Result<bool> {
        directory::is_there(path)
    }
    fn is_dir(&self, path: &Path) -> Result<bool> {
        directory::is_directory(path)
    }
}

/// Prefixes of other tools for what is a layout or an archive here too; whether `:@N` picks by place.
const PREFIXES: [(&str, bool); 4] =
    [("oci:", true), ("oci-archive:", false), ("docker-archive:", true), ("ocidir://", false)];

/// Transports of other tools for what is neither.
const TRANSPORTS: [&str; 9] =
    ["docker:", "docker-daemon:", "containers-storage:", "containers:", "dir:", "reg:", "sif:", "ostree:", "tarball:"];

/// Reads a location. Usage where it cannot be meant or can be meant in two ways; that the path exists
/// is not said.
pub fn parse(argument: &OsStr, disk: &dyn Exists) -> Result<Location> {
    let bytes = argument.as_bytes();
    let bad = |why: &str| bad(argument, why);
    if bytes == b"-" {
        return Err(bad("standard input is not a layout").hint("a file of that name is written ./-"));
    }
    let prefix = PREFIXES.iter().find(|(prefix, _)| bytes.starts_with(prefix.as_bytes()));
    if prefix.is_none()
        && let Some(name) = foreign(bytes)
    {
        let name = String::from_utf8_lossy(name);
        return Err(bad(&format!("{name:?} is not a place on disk, and there is no network here"))
            .hint("a file or directory of that name is written ./NAME"));
    }
    let text = &bytes[prefix.map_or(0, |(prefix, _)| prefix.len())..];
    let Reading { path, reference, digest } = meant(text, disk)?.map_err(|(one, other)| {
        let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
        bad(&format!("both {one:?} and {other:?} exist"))
            .hint("--path PATH takes a path literally and makes the argument the reference")
    })?;
    let path = match (path.is_empty(), prefix) {
        (true, None) => return Err(bad("the path is empty").hint("a location is PATH, PATH:REF or PATH@DIGEST")),
        (true, Some(_)) => PathBuf::from("."),
        (false, _) => readable(OsString::from_vec(path.to_vec()), disk)?,
    };
    let mut pick = Pick { digest, ..Pick::default() };
    match (reference, prefix) {
        (None, _) | (Some([]), Some(_)) => {}
        (Some([]), None) => return Err(bad("the reference is empty")),
        (Some(reference), prefix) => match place(reference).filter(|_| prefix.is_some_and(|(_, places)| *places)) {
            Some(_) if pick.digest.is_some() => return Err(bad("it gives both a place and a digest")),
            Some(nth) => pick.nth = Some(nth),
            None => pick.reference = Some(text_of(argument, reference)?),
        },
    }
    let prefer = match prefix {
        Some(("docker-archive:", _)) => Prefer::Docker,
        _ => Prefer::Layout,
    };
    Ok(Location { path, pick, prefer })
}

/// One way to read a location behind its prefix.
struct Reading<'a> {
    path: &'a [u8],
    reference: Option<&'a [u8]>,
    digest: Option<Digest>,
}

/// The way that is meant, or the paths of two that exist.
type Meant<'a> = std::result::Result<Reading<'a>, (&'a [u8], &'a [u8])>;

/// The way that is meant, by what exists (rule 4).
fn meant<'a>(text: &'a [u8], disk: &dyn Exists) -> Result<Meant<'a>> {
    let there = |bytes: &[u8]| disk.exists(Path::new(OsStr::from_bytes(bytes)));
    let (rest, digest) = cut_digest(text);
    let (path, reference) = cut_path(rest, disk)?;
    let mut wholes = vec![Reading { path: rest, reference: None, digest: digest.clone() }];
    if digest.is_some() {
        wholes.push(Reading { path: text, reference: None, digest: None });
    }
    wholes.retain(|whole| whole.path != path);
    let mut exist = Vec::new();
    for whole in wholes {
        if there(whole.path)? {
            exist.push(whole);
        }
    }
    let first = Reading { path, reference, digest };
    if there(path)? {
        return Ok(exist.first().map_or(Ok(first), |whole| Err((path, whole.path))));
    }
    if let [one, other] = &exist[..] {
        return Ok(Err((one.path, other.path)));
    }
    if let Some(whole) = exist.pop() {
        return Ok(Ok(whole));
    }
    // `app@2.0:v1` ends in what could be a digest of an algorithm called 2.0.
    let (path, reference) = cut_path(text, disk)?;
    let uncut = first.digest.is_some() && there(path)?;
    Ok(Ok(if uncut { Reading { path, reference, digest: None } } else { first }))
}

/// A path that is taken as it is (`--path`), so that what is told of it can be read as a location.
pub fn literal(path: &Path, disk: &dyn Exists) -> Result<PathBuf> {
    let bytes = path.as_os_str().as_bytes();
    let spoken_for = bytes == b"-" || foreign(bytes).is_some();
    let spoken_for = spoken_for || PREFIXES.iter().any(|(prefix, _)| bytes.starts_with(prefix.as_bytes()));
    let mut own = OsString::from(if spoken_for { "./" } else { "" });
    own.push(path);
    readable(own, disk)
}

/// The path, so that a location made of it is read as one: a directory with a `:` in its name gets a `/` behind it (rule
/// 3). Of an archive of such a name there is no such form.
fn readable(mut path: OsString, disk: &dyn Exists) -> Result<PathBuf> {
    let last = path.as_bytes().rsplit(|&b| b == b'/').next().unwrap_or_default();
    if last.contains(&b':') {
        let mut inside = path.clone();
        inside.push("/");
        if disk.is_dir(Path::new(&inside))? {
            path = inside;
        }
    }
    Ok(path.into())
}

/// Reads what is left of a location when `--path` gave the path: `REF`, `@DIGEST` or `REF@DIGEST`.
pub fn parse_pick(argument: &OsStr) -> Result<Pick> {
    let (rest, digest) = cut_digest(argument.as_bytes());
    if rest.is_empty() && digest.is_none() {
        return Err(bad(argument, "the reference is empty"));
    }
    let reference = if rest.is_empty() { None } else { Some(text_of(argument, rest)?) };
    Ok(Pick { reference, digest, nth: None })
}

/// Reads a location that cannot have a reference: something to write to as a whole.
pub fn parse_path(argument: &OsStr, disk: &dyn Exists) -> Result<PathBuf> {
    parse_whole(argument, disk).map(|location| location.path)
}

/// The same of something to read as a whole.
pub fn parse_whole(argument: &OsStr, disk: &dyn Exists) -> Result<Location> {
    let location = parse(argument, disk)?;
    if location.pick.is_empty() {
        return Ok(location);
    }
    Err(bad(argument, "a path is needed here, without a reference")
        .hint("--path PATH takes a path literally, whatever it contains"))
}

/// Reads what `-o` names: a path as it is, also with a `:` in it. Behind a prefix it is read as a location is, which
/// cannot have a reference.
pub fn parse_output(argument: &OsStr, disk: &dyn Exists) -> Result<PathBuf> {
    let bytes = argument.as_bytes();
    let prefixed = PREFIXES.iter().any(|(prefix, _)| bytes.starts_with(prefix.as_bytes()));
    if prefixed || bytes.is_empty() || foreign(bytes).is_some() {
        return parse_path(argument, disk);
    }
    Ok(PathBuf::from(argument))
}

fn bad(argument: &OsStr, why: &str) -> Error {
    Error::new(Kind::Usage, format!("could not read the location {:?}", argument.to_string_lossy()))
        .because(why.to_owned())
}

fn text_of(argument: &OsStr, reference: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(reference).map_err(|_| bad(argument, "the reference is not UTF-8"))?;
    Ok(text.to_owned())
}

/// The transport or `name://` in front, if there is one.
fn foreign(bytes: &[u8]) -> Option<&[u8]> {
    let colon = bytes.iter().position(|&b| b == b':')?;
    let (name, rest) = bytes.split_at(colon);
    let transport = TRANSPORTS.iter().any(|transport| bytes.starts_with(transport.as_bytes()));
    let scheme = !name.is_empty() && !name.contains(&b'/') && rest.starts_with(b"://");
    (transport || scheme).then_some(name)
}

/// Cuts `@DIGEST` off the end, if what is behind the last `@` is one.
fn cut_digest(bytes: &[u8]) -> (&[u8], Option<Digest>) {
    let Some(at) = bytes.iter().rposition(|&b| b == b'@') else { return (bytes, None) };
    match std::str::from_utf8(&bytes[at + 1..]).ok().and_then(|text| text.parse().ok()) {
        Some(digest) => (&bytes[..at], Some(digest)),
        None => (bytes, None),
    }
}

/// Cuts into path and reference: at the first `:` behind the longest leading part that ends in `/` and
/// is a directory.
fn cut_path<'a>(bytes: &'a [u8], disk: &dyn Exists) -> Result<(&'a [u8], Option<&'a [u8]>)> {
    let mut dir = 0;
    for end in (1..=bytes.len()).rev().filter(|&end| bytes[end - 1] == b'/') {
        if disk.is_dir(Path::new(OsStr::from_bytes(&bytes[..end])))? {
            dir = end;
            break;
        }
    }
    Ok(match bytes[dir..].iter().position(|&b| b == b':') {
        Some(colon) => (&bytes[..dir + colon], Some(&bytes[dir + colon + 1..])),
        None => (bytes, None),
    })
}

/// The N of `@N`.
fn place(reference: &[u8]) -> Option<usize> {
    let digits = reference.strip_prefix(b"@")?;
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk on which these directories (with a `/` at the end) and files lie, and nothing else.
    struct Drawn<'a>(&'a [&'a str]);

    impl Exists for Drawn<'_> {
        fn exists(&self, path: &Path) -> Result<bool> {
            let text = path.to_string_lossy();
            let text = text.trim_end_matches('/');
            Ok(self.0.iter().any(|there| there.trim_end_matches('/') == text))
        }
        fn is_dir(&self, path: &Path) -> Result<bool> {
            Ok(self.0.contains(&&*path.to_string_lossy()))
        }
    }

    const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    /// A location as words: `path | ref | digest | nth`, `-` for what is not there.
    fn read(argument: &str, disk: &[&str]) -> std::result::Result<String, String> {
        let long = argument.replace("DIGEST", &format!("sha256:{HEX}"));
        let disk: Vec<String> = disk.iter().map(|there| there.replace("DIGEST", &format!("sha256:{HEX}"))).collect();
        let disk: Vec<&str> = disk.iter().map(String::as_str).collect();
        match parse(OsStr::new(&long), &Drawn(&disk)) {
            Err(why) => {
                assert_eq!(why.kind(), Kind::Usage, "{argument}");
                Err(why.chain())
            }
            Ok(Location { path, pick, .. }) => {
                let text = |part: Option<String>| part.unwrap_or_else(|| "-".into());
                let words = [
                    path.to_str().unwrap().to_owned(),
                    text(pick.reference),
                    text(pick.digest.map(|digest| digest.to_string())),
                    text(pick.nth.map(|nth| nth.to_string())),
                ];
                Ok(words.join(" | ").replace(&format!("sha256:{HEX}"), "DIGEST"))
            }
        }
    }

    #[test]
    fn a_location_is_read_by_the_grammar() {
        let table: &[(&str, &[&str], &str)] = &[
            // The four forms, on an empty disk and with the layout there.
            ("app", &[], "app | - | - | -"),
            ("app:v1", &[], "app | v1 | - | -"),
            ("app@DIGEST", &[], "app | - | DIGEST | -"),
            ("app:v1@DIGEST", &[], "app | v1 | DIGEST | -"),
            ("app:v1", &["app/"], "app | v1 | - | -"),
            ("app.tar:v1", &["app.tar"], "app.tar | v1 | - | -"),
            // A reference may be a full name: the first colon ends the path.
            ("app:localhost:5000/app:v1", &["app/"], "app | localhost:5000/app:v1 | - | -"),
            ("app:docker.io/library/app:v1@DIGEST", &["app/"], "app | docker.io/library/app:v1 | DIGEST | -"),
            ("localhost:5000/app:v1", &[], "localhost | 5000/app:v1 | - | -"),
            // Colons in directories belong to the path as far as they exist.
            ("a:b/app:v1", &["a:b/"], "a:b/app | v1 | - | -"),
            ("a:b/app:v1", &[], "a | b/app:v1 | - | -"),
            ("a/b:c/app:v1", &["a/", "a/b:c/"], "a/b:c/app | v1 | - | -"),
            ("a/b:c/app:v1", &["a/"], "a/b | c/app:v1 | - | -"),
            ("/x/app:v1", &["/", "/x/"], "/x/app | v1 | - | -"),
            ("./app:v1", &["./"], "./app | v1 | - | -"),
            ("../app:v1", &["../"], "../app | v1 | - | -"),
            ("app/:v1", &["app/"], "app/ | v1 | - | -"),
            ("app/", &["app/"], "app/ | - | - | -"),
            ("app/:v1", &[], "app/ | v1 | - | -"),
            // The whole argument, where only that exists.
            ("backup-12:00.tar", &["backup-12:00.tar"], "backup-12:00.tar | - | - | -"),
            ("./app:v1", &["./", "./app:v1/"], "./app:v1/ | - | - | -"),
            ("app:v1@DIGEST", &["app:v1/"], "app:v1/ | - | DIGEST | -"),
            ("app@DIGEST", &["app@DIGEST/"], "app@DIGEST/ | - | - | -"),
            ("app:v1@DIGEST", &["app:v1@DIGEST"], "app:v1@DIGEST | - | - | -"),
            // Prefixes of other tools.
            ("oci:app:v1", &[], "app | v1 | - | -"),
            ("oci-archive:app.tar:v1", &[], "app.tar | v1 | - | -"),
            ("docker-archive:app.tar:a/b:v1", &[], "app.tar | a/b:v1 | - | -"),
            ("ocidir://app:v1", &[], "app | v1 | - | -"),
            ("ocidir:///x/app:v1@DIGEST", &["/", "/x/"], "/x/app | v1 | DIGEST | -"),
            ("oci:app@DIGEST", &[], "app | - | DIGEST | -"),
            ("oci:oci:v1", &[], "oci | v1 | - | -"),
            ("./oci:v1", &["./"], "./oci | v1 | - | -"),
            ("./dir:v1", &["./"], "./dir | v1 | - | -"),
            // Behind a prefix, path and reference may be empty.
            ("oci:app:", &[], "app | - | - | -"),
            ("oci:app:@DIGEST", &[], "app | - | DIGEST | -"),
            ("oci:", &[], ". | - | - | -"),
            ("oci::v1", &[], ". | v1 | - | -"),
            // Entries by place, with the two prefixes that have them.
            ("oci:app:@0", &[], "app | - | - | 0"),
            ("docker-archive:app.tar:@12", &[], "app.tar | - | - | 12"),
            ("oci-archive:app.tar:@1", &[], "app.tar | @1 | - | -"),
            ("ocidir://app:@1", &[], "app | @1 | - | -"),
            ("app:@1", &[], "app | @1 | - | -"),
            ("oci:app:@x", &[], "app | @x | - | -"),
            ("oci:app:@", &[], "app | @ | - | -"),
            ("oci:app:@99999999999999999999", &[], "app | @99999999999999999999 | - | -"),
            // The last `@` decides, and only before a valid digest.
            ("app@DIGEST@DIGEST", &[], "app@sha256 | HEX | DIGEST | -"),
            ("app@2.0:v1", &["app@2.0/"], "app@2.0 | v1 | - | -"),
            ("app@2.0:v1", &["app/"], "app | - | 2.0:v1 | -"),
            ("app@2.0:v1", &[], "app | - | 2.0:v1 | -"),
            ("app@2.0/x:v1", &["app@2.0/"], "app@2.0/x | v1 | - | -"),
            ("app@sha256:abc", &[], "app@sha256 | abc | - | -"),
            ("app@sha384:abc", &[], "app | - | sha384:abc | -"),
            // A transport's name needs its colon, a scheme its slashes, and both the front.
            ("docker", &[], "docker | - | - | -"),
            ("dirs:v1", &[], "dirs | v1 | - | -"),
            ("./https://x", &["./"], "./https | //x | - | -"),
            ("a/b://x", &["a/"], "a/b | //x | - | -"),
        ];
        for (argument, disk, expected) in table {
            let expected = expected.replace("HEX", HEX);
            assert_eq!(read(argument, disk).as_deref(), Ok(expected.as_str()), "{argument} with {disk:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_a_usage_error_that_says_why() {
        let table: &[(&str, &[&str], &str)] = &[
            ("", &[], "the path is empty"),
            (":v1", &[], "the path is empty"),
            ("@DIGEST", &[], "the path is empty"),
            ("app:", &[], "the reference is empty"),
            ("app:", &["app/"], "the reference is empty"),
            ("app:@DIGEST", &[], "the reference is empty"),
            ("oci:app:@1@DIGEST", &[], "both a place and a digest"),
            ("-", &["-"], "standard input"),
            ("app:v1", &["app/", "app:v1/"], "both \"app\" and \"app:v1\" exist"),
            ("app@DIGEST", &["app/", "app@DIGEST"], "exist"),
            ("app:v1@DIGEST", &["app:v1", "app:v1@DIGEST"], "exist"),
            ("https://registry/app:v1", &[], "\"https\" is not a place on disk"),
            ("layout+x://app", &[], "not a place on disk"),
            ("docker://alpine", &["docker:/"], "\"docker\" is not a place on disk"),
            ("docker:alpine", &[], "network"),
            ("docker-daemon:alpine", &[], "network"),
            ("containers-storage:alpine", &[], "network"),
            ("containers:alpine", &[], "network"),
            ("dir:v1", &["dir/"], "network"),
            ("reg:alpine", &[], "network"),
            ("sif:x.sif", &[], "network"),
            ("ostree:x", &[], "network"),
            ("tarball:x.tar", &[], "network"),
        ];
        for (argument, disk, expected) in table {
            let why = read(argument, disk).expect_err(argument);
            assert!(why.contains(expected), "{argument} with {disk:?}: {why}");
        }
    }

    #[test]
    fn a_path_that_is_no_text_is_kept_and_a_reference_is_not() {
        let location = parse(OsStr::from_bytes(b"a\xff:v1"), &Drawn(&[])).expect("the path may be any bytes");
        assert_eq!(
            (location.path.as_os_str().as_bytes(), location.pick.reference.as_deref()),
            (&b"a\xff"[..], Some("v1"))
        );
        let why = parse(OsStr::from_bytes(b"a:\xff"), &Drawn(&[])).expect_err("a reference is text");
        assert_eq!(why.kind(), Kind::Usage);
    }

    #[test]
    fn behind_a_literal_path_the_argument_is_the_reference() {
        let digest = format!("sha256:{HEX}");
        let pick = |text: &str| parse_pick(OsStr::new(&text.replace("DIGEST", &digest)));
        let given = |reference: Option<&str>, digest: Option<&str>| Pick {
            reference: reference.map(str::to_owned),
            digest: digest.map(|text| text.parse().expect("it is valid")),
            nth: None,
        };
        assert_eq!(pick("v1").unwrap(), given(Some("v1"), None));
        assert_eq!(pick("host/app:v1").unwrap(), given(Some("host/app:v1"), None));
        assert_eq!(pick("oci:app:v1").unwrap(), given(Some("oci:app:v1"), None));
        assert_eq!(pick("@DIGEST").unwrap(), given(None, Some(&digest)));
        assert_eq!(pick("v1@DIGEST").unwrap(), given(Some("v1"), Some(&digest)));
        assert_eq!(pick("").unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn a_whole_target_takes_no_reference() {
        let path = |text: &str| parse_path(OsStr::new(text), &Drawn(&[])).map_err(|why| why.kind());
        assert_eq!(path("oci:new"), Ok(PathBuf::from("new")));
        assert_eq!(path("new:v1"), Err(Kind::Usage));
    }

    #[test]
    fn what_is_written_to_is_a_path_whatever_it_contains() {
        let path = |text: &str| parse_output(OsStr::new(text), &Drawn(&["new/"])).map_err(|why| why.kind());
        for literal in ["backup:1.tar", "new:v1", "./docker:x", ":x", "a@b", "-"] {
            assert_eq!(path(literal), Ok(PathBuf::from(literal)));
        }
        assert_eq!(path("oci-archive:backup.tar"), Ok(PathBuf::from("backup.tar")));
        assert_eq!(path("oci:new:"), Ok(PathBuf::from("new")));
        for refused in ["", "oci:new:v1", "docker://x", "dir:x", "s3://x"] {
            assert_eq!(path(refused), Err(Kind::Usage), "{refused}");
        }
    }
}
