//! Which platform is meant, and which child of an index that is.

use std::fmt;
use std::str::FromStr;

use ocistow_layout::{Error, Kind, Platform};

/// A platform asked for: `os[/arch[/variant]][:os.version]`. What is not said matches any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// As Go's GOOS.
    pub os: String,
    /// As Go's GOARCH.
    pub architecture: Option<String>,
    /// The CPU's variant.
    pub variant: Option<String>,
    /// The operating system's version.
    pub os_version: Option<String>,
}

/// How a platform is written.
pub(crate) const FORM: &str = "os[/architecture[/variant]][:os.version]";

impl FromStr for Selector {
    type Err = Error;

    /// Usage where the text is no platform.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            let form = format!("one is written {FORM}, as linux/arm64, each with a flag of its own");
            Error::new(Kind::Usage, format!("could not read {text:?} as a platform: {form}"))
        };
        if text.contains(',') {
            return Err(wrong());
        }
        let (platform, os_version) = match text.split_once(':') {
            Some((platform, version)) => (platform, Some(version)),
            None => (text, None),
        };
        let mut words = platform.split('/');
        let mut next = || words.next().map(str::to_owned);
        let (os, architecture, variant, more) = (next(), next(), next(), next());
        let empty = |word: &Option<String>| word.as_deref() == Some("");
        if more.is_some() || [&os, &architecture, &variant].into_iter().any(empty) || os_version == Some("") {
            return Err(wrong());
        }
        Ok(Self { os: os.ok_or_else(wrong)?, architecture, variant, os_version: os_version.map(str::to_owned) })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        for word in [&self.architecture, &self.variant].into_iter().flatten() {
            write!(f, "/{word}")?;
        }
        if let Some(version) = &self.os_version {
            write!(f, ":{version}")?;
        }
        Ok(())
    }
}

/// `arm64` alone means `arm64/v8` (INDEX-8).
fn variant<'v>(architecture: &str, variant: Option<&'v str>) -> Option<&'v str> {
    match (architecture, variant) {
        ("arm64", None) => Some("v8"),
        (_, variant) => variant,
    }
}

impl Selector {
    /// Whether something that runs on `platform` is meant. A variant missing on either side matches any,
    /// `arm64` is `arm64/v8`; `unknown/unknown` is never meant (INDEX-7).
    pub fn matches(&self, platform: &Platform) -> bool {
        if is_unknown(platform) || platform.os != self.os {
            return false;
        }
        if let Some(architecture) = &self.architecture {
            if *architecture != platform.architecture {
                return false;
            }
            let ours = variant(architecture, self.variant.as_deref());
            let theirs = variant(architecture, platform.variant.as_deref());
            if ours.zip(theirs).is_some_and(|(ours, theirs)| ours != theirs) {
                return false;
            }
        }
        self.os_version.is_none() || self.os_version == platform.os_version
    }

    /// Whether `platform` is exactly what was asked for, word for word (`arm64` is `arm64/v8`).
    pub fn is_exactly(&self, platform: &Platform) -> bool {
        let architecture = platform.architecture.as_str();
        self.matches(platform)
            && self.architecture.as_deref() == Some(architecture)
            && variant(architecture, self.variant.as_deref()) == variant(architecture, platform.variant.as_deref())
            && self.os_version == platform.os_version
    }

    /// The place of the one that is meant among several: the exact match, else the first (INDEX-6).
    pub fn choose<'p>(&self, platforms: impl IntoIterator<Item = Option<&'p Platform>>) -> Option<usize> {
        let mut first = None;
        for (at, platform) in platforms.into_iter().enumerate() {
            let Some(platform) = platform else { continue };
            if self.is_exactly(platform) {
                return Some(at);
            }
            if first.is_none() && self.matches(platform) {
                first = Some(at);
            }
        }
        first
    }
}

/// Whether this is `unknown/unknown`, as BuildKit marks attestations.
pub fn is_unknown(platform: &Platform) -> bool {
    platform.os == "unknown" && platform.architecture == "unknown"
}
