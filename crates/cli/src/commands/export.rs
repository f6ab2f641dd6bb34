//! `export`

use std::ffi::OsString;

use clap::ValueEnum;
use ocistow_layout::{Error, Kind, Result};

use super::along::Along;
use super::at::At;
use crate::code::Code;
use crate::speak::Context;

/// Write a bundle: what is named, and what goes along
///
/// Referrers go along, recursively: signatures, SBOMs and everything else that refers to what is carried.
/// Without a reference every entry is carried. The same input gives the same bytes, on every machine. What
/// is written is told by its name: .tar, .tar.gz, .tgz and .tar.zst are archives, anything else is a
/// directory; a layout that is there is merged into.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  An image with everything that refers to it:
    ocistow export ./store:app -o app.tar

  Two references of one layout, compressed:
    ocistow export ./store:app chart -o both.tar.zst

  One platform, straight to another machine:
    ocistow export ./store:app --platform linux/arm64 -o - | ssh there ocistow import - ./store

  For docker load and podman load:
    ocistow export ./store:app --platform linux/amd64 --as docker --name registry.example/app -o app.tar")]
pub struct Args {
    /// What goes into the bundle.
    #[command(flatten)]
    pub bundle: Bundle,
    /// Where to: an archive, a directory, or - for standard output
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub output: OsString,
}

/// What goes into a bundle and how it is written: shared with `plan`.
#[derive(Debug, Clone, clap::Args)]
pub struct Bundle {
    /// The layout or archive.
    #[command(flatten)]
    pub at: At,
    /// Further references of the same layout: names or @DIGEST
    #[arg(value_name = "REF")]
    pub references: Vec<OsString>,
    /// What goes along.
    #[command(flatten)]
    pub along: Along,
    /// For whom: docker adds the manifest.json that docker load and podman load read
    #[arg(long = "as", value_enum, default_value_t = Form::Oci, value_name = "FORM")]
    pub form: Form,
    /// With --as docker, the repository of entries that have no full name
    #[arg(long, value_name = "REPO")]
    pub name: Option<String>,
    /// How an archive is compressed: none, gzip[:LEVEL] or zstd[:LEVEL] [default: as its name says]
    #[arg(long, value_name = "HOW", value_parser = compression)]
    pub compress: Option<Compression>,
    /// Replace an archive that is there, in one step
    #[arg(long)]
    pub force: bool,
    /// Between directories, take content unchecked
    #[arg(long)]
    pub trust: bool,
    /// Between directories, make hard links instead of copies
    #[arg(long)]
    pub link: bool,
}

/// For whom a bundle is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Everything that reads OCI layouts
    Oci,
    /// Docker and podman too
    Docker,
}

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// With gzip, at a level of 1 to 9 if given.
    Gzip(Option<u8>),
    /// With zstd, at a level of 1 to 19 if given.
    Zstd(Option<u8>),
}

/// Reads `none`, `gzip[:LEVEL]` or `zstd[:LEVEL]`.
fn compression(text: &str) -> std::result::Result<Compression, String> {
    let (name, level) = match text.split_once(':') {
        Some((name, level)) => (name, Some(level)),
        None => (text, None),
    };
    let level = |most: u8| match level.map(str::parse::<u8>) {
        None => Ok(None),
        Some(Ok(level)) if (1..=most).contains(&level) => Ok(Some(level)),
        Some(_) => Err(format!("the level of {name} is a number from 1 to {most}")),
    };
    match name {
        "none" if text == "none" => Ok(Compression::None),
        "gzip" => level(9).map(Compression::Gzip),
        "zstd" => level(19).map(Compression::Zstd),
        _ => Err("it is none of none, gzip[:LEVEL] and zstd[:LEVEL]".to_owned()),
    }
}

impl Args {
    /// Runs it.
    pub fn run(&self, _context: &Context<'_>) -> Result<Code> {
        Err(Error::new(Kind::Failed, "could not export").because("this build cannot do it yet"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressions_are_names_with_levels() {
        assert_eq!(compression("none"), Ok(Compression::None));
        assert_eq!(compression("gzip"), Ok(Compression::Gzip(None)));
        assert_eq!(compression("gzip:9"), Ok(Compression::Gzip(Some(9))));
        assert_eq!(compression("zstd:19"), Ok(Compression::Zstd(Some(19))));
        for text in ["", "none:1", "gzip:0", "gzip:10", "gzip:", "zstd:20", "zstd:-1", "xz"] {
            assert!(compression(text).is_err(), "{text}");
        }
    }
}
