//! Titles: names of files in artifacts, parsed once before they become paths.
//!
//! A title is a string from an enemy until it is a [`Title`]; only a [`Title`] becomes a path, and that never leads
//! out of the directory it is taken in.

use std::fmt;
use std::path::{Component, Path};

/// The longest name of a file on common file systems.
pub const MAX_COMPONENT: usize = 255;
/// The longest title taken: no path can be longer.
pub const MAX_TITLE: usize = 4095;

/// The annotation of a layer that says what the file is called.
pub const TITLE: &str = "org.opencontainers.image.title";

/// Where a file or directory of an artifact lies below the directory it is written to: names with `/` between, or
/// `.` for that directory itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Title(String);

/// Why a text is no title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TitleError {
    /// There is nothing in it.
    Empty,
    /// It starts at the root of the file system.
    Absolute,
    /// It leads upwards.
    Upwards,
    /// It, or a name in it, is longer than names of files are.
    Long,
    /// It has a NUL in it.
    Nul,
    /// It is a path that is not UTF-8.
    NoText,
}

impl fmt::Display for TitleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a title cannot be empty",
            Self::Absolute => "a title cannot be an absolute path",
            Self::Upwards => "a title cannot lead upwards",
            Self::Long => "a name in a title cannot be longer than 255 bytes, nor all of it than 4095",
            Self::Nul => "a title cannot have a NUL in it",
            Self::NoText => "a title has to be UTF-8",
        })
    }
}

impl std::error::Error for TitleError {}

impl Title {
    /// Reads a title. A `.` or nothing between two slashes says nothing; a `..` is never taken.
    pub fn parse(text: &str) -> Result<Self, TitleError> {
        if text.is_empty() {
            return Err(TitleError::Empty);
        }
        if text.starts_with('/') {
            return Err(TitleError::Absolute);
        }
        Self::joined(text.split('/').filter(|name| !matches!(*name, "" | ".")))
    }

    /// The title of a file that a user names by its path: that path without detours. What leads out of the working
    /// directory is no title.
    pub fn of(path: &Path) -> Result<Self, TitleError> {
        if path.as_os_str().is_empty() {
            return Err(TitleError::Empty);
        }
        let mut names: Vec<&str> = Vec::new();
        for component in path.components() {
            match component {
                Component::Prefix(_) | Component::RootDir => return Err(TitleError::Absolute),
                Component::CurDir => {}
                Component::ParentDir => drop(names.pop().ok_or(TitleError::Upwards)?),
                Component::Normal(name) => names.push(name.to_str().ok_or(TitleError::NoText)?),
            }
        }
        Self::joined(names.into_iter())
    }

    fn joined<'n>(names: impl Iterator<Item = &'n str>) -> Result<Self, TitleError> {
        let mut text = String::new();
        for name in names {
            match name {
                ".." => return Err(TitleError::Upwards),
                _ if name.contains('\0') => return Err(TitleError::Nul),
                _ if name.len() > MAX_COMPONENT => return Err(TitleError::Long),
                _ => {}
            }
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(name);
        }
        match text.len() {
            0 => Ok(Self(".".into())),
            1..=MAX_TITLE => Ok(Self(text)),
            _ => Err(TitleError::Long),
        }
    }

    /// Whether it is the directory itself that everything is written to.
    pub fn is_root(&self) -> bool {
        self.0 == "."
    }

    /// The names, from the outermost; none for the directory itself.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|_| !self.is_root())
    }

    /// The titles of the directories it lies in, the nearest first, the outermost is `.`; none of that itself.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        let cuts = self.0.rmatch_indices('/').map(|(at, _)| self.0[..at].to_owned());
        cuts.chain((!self.is_root()).then(|| ".".to_owned())).map(Self)
    }

    /// As text: the normal form, so that two titles of one path are equal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_never_leads_out() {
        let long = "x".repeat(256);
        let deep = "x/".repeat(2048) + "x";
        let table: &[(&str, Result<&str, TitleError>)] = &[
            ("a.txt", Ok("a.txt")),
            ("a/b", Ok("a/b")),
            ("./a//b/.", Ok("a/b")),
            (".", Ok(".")),
            ("./", Ok(".")),
            ("...", Ok("...")),
            ("a b\\c:d", Ok("a b\\c:d")),
            ("", Err(TitleError::Empty)),
            ("/x", Err(TitleError::Absolute)),
            ("//x", Err(TitleError::Absolute)),
            ("../x", Err(TitleError::Upwards)),
            ("..", Err(TitleError::Upwards)),
            ("a/../b", Err(TitleError::Upwards)),
            ("a/..", Err(TitleError::Upwards)),
            ("a\0b", Err(TitleError::Nul)),
            (&long, Err(TitleError::Long)),
            (&deep, Err(TitleError::Long)),
        ];
        for (text, expected) in table {
            let read = Title::parse(text);
            assert_eq!(read.as_ref().map(Title::as_str), expected.as_ref().copied(), "{text:?}");
        }
        assert!(Title::parse(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn the_title_of_a_path_is_the_path_without_detours() {
        let of = |text: &str| Title::of(Path::new(text)).map(|title| title.as_str().to_owned());
        for (path, title) in [("a", "a"), ("./a/", "a"), ("a/../b", "b"), ("a/..", "."), (".", ".")] {
            assert_eq!(of(path).as_deref(), Ok(title), "{path}");
        }
        assert_eq!(of("/a"), Err(TitleError::Absolute));
        assert_eq!(of("../a"), Err(TitleError::Upwards));
        assert_eq!(of("a/../../b"), Err(TitleError::Upwards));
        assert_eq!(of(""), Err(TitleError::Empty));
    }

    #[test]
    fn a_title_knows_what_it_lies_in() {
        let above = |text: &str| {
            let title = Title::parse(text).unwrap();
            title.ancestors().map(|above| above.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(above("a/b/c"), ["a/b", "a", "."]);
        assert_eq!(above("a"), ["."]);
        assert_eq!(above("."), [""; 0]);
    }
}
