//! `export` writes a bundle; what goes into one, shared with `plan`.

use std::ffi::OsString;

use clap::ValueEnum;
use ocistow_graph::docker::docker_manifest;
use ocistow_graph::listed::record;
use ocistow_graph::{Asked, ManifestKind, Moved};
use ocistow_layout::name::is_repository;
use ocistow_layout::{Error, Kind, Result};

use super::along::Along;
use super::at::{self, At};
use crate::carried::Carried;
use crate::code::Code;
use crate::destination::{Cargo, Destination, Manner, write};
use crate::location::{self, Location};
use crate::outgoing::{Outgoing, outgoing};
use crate::speak::Context;

/// Write a bundle: what is named, and what goes along
///
/// Referrers go along, recursively: signatures, SBOMs and everything else that refers to what is carried.
/// Without a reference every entry is carried. The same input gives the same bytes, on every machine. What
/// is written is told by its name: .tar, .tar.gz, .tgz and .tar.zst are archives, anything else is a
/// directory; a layout that is there is merged into. On standard output it is whole only if the command ended well:
/// where nobody reads it to its end, that is 1, without a word.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
  An image with everything that refers to it:
    ocistow export ./store:app -o app.tar

  Two references of one layout, compressed:
    ocistow export ./store:app chart -o both.tar.zst

  One platform, straight to another machine:
    ocistow export ./store:app --platform linux/arm64 -o - | ssh there ocistow import - ./store

  With referrers where regctl finds them:
    ocistow export ./store:app --referrers-as tags -o ./for-regctl

  For docker load and podman load:
    ocistow export ./store:app --platform linux/amd64 --as docker -o app.tar")]
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
    #[arg(long, value_name = "REPO", value_parser = repository)]
    pub name: Option<String>,
    /// How it is written.
    #[command(flatten)]
    pub manner: Manner,
}

/// Reads the name of a repository.
fn repository(text: &str) -> std::result::Result<String, String> {
    is_repository(text).then(|| text.to_owned()).ok_or_else(|| {
        "it is no name of a repository: host.example/path, in small letters but for the host, and without a tag"
            .to_owned()
    })
}

impl Bundle {
    /// The layout, and what is named in it; nothing named means every entry. Usage where a reference
    /// cannot be read.
    pub fn read(&self) -> Result<(Location, Vec<Asked>)> {
        let location = self.at.read()?;
        let mut named = Vec::new();
        if !location.pick.is_empty() {
            named.push(at::asked(&location.pick));
        }
        for reference in &self.references {
            named.push(at::asked(&location::parse_pick(reference)?));
        }
        Ok((location, named))
    }
}

/// For whom a bundle is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Everything that reads OCI layouts
    Oci,
    /// Docker and podman too
    Docker,
}

impl Bundle {
    /// Decides what goes into the bundle.
    pub fn gather(&self, context: &Context<'_>) -> Result<Outgoing> {
        let (location, asked) = self.read()?;
        let mut outgoing = outgoing(context, &location, &asked, &self.along, self.name.as_deref())
            .map_err(|why| at::leave_away(why, &location.path, &self.references))?;
        record(&mut outgoing.plan, &outgoing.graph, &*outgoing.source, self.manner.referrers_as.into());
        Ok(outgoing)
    }

    /// The members that an archive gets beside the layout.
    pub fn members(&self, context: &Context<'_>, outgoing: &Outgoing) -> Result<Vec<(String, Vec<u8>)>> {
        if self.form == Form::Oci {
            return Ok(Vec::new());
        }
        let Outgoing { plan, graph, source, .. } = outgoing;
        let made = docker_manifest(plan, graph, &**source, &self.along.platforms)?;
        if made.images == 0 {
            let what = "could not make a manifest.json for docker load";
            return Err(Error::new(Kind::Usage, what).because("there is no image in what is carried"));
        }
        if made.nameless > 0 {
            context.note("docker load will give no name to what has no full name; --name REPO gives one");
        }
        Ok(vec![("manifest.json".to_owned(), made.bytes)])
    }
}

impl Args {
    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let bundle = &self.bundle;
        let to = Destination::read(&self.output, bundle.manner.compress)?;
        if matches!(to, Destination::Stream(_)) {
            if context.content().terminal {
                return Err(Error::new(Kind::Usage, "could not write an archive to a terminal")
                    .hint("give -o a file, or let another program read it"));
            }
            context.set_aside();
        }
        if bundle.form == Form::Docker && !to.is_archive() {
            return Err(Error::new(Kind::Usage, "could not use --as docker for a directory")
                .because("docker load and podman load read archives"));
        }
        let outgoing = bundle.gather(context)?;
        to.check(&*outgoing.source, bundle.manner)?;
        to.warn(context)?;
        if let Err(why) = bundle.along.judge(context, &outgoing.plan) {
            context.answer_failed(&Carried::of(&outgoing, &bundle.along, None, "would carry"), &why)?;
            return Err(why);
        }
        let members = bundle.members(context, &outgoing)?;
        let Outgoing { source, graph, plan, .. } = &outgoing;
        let (renames, held) = (Vec::new(), outgoing.held.as_ref());
        let cargo = Cargo { source: &**source, graph, plan, members, renames, held, root: None };
        let written = write(context, &cargo, &to, bundle.manner)?;
        moved(context, &written.moved);
        context.answer(&Carried::of(&outgoing, &bundle.along, written.bundle, "carried"))?;
        if to.is_archive() && bundle.form == Form::Oci {
            hint_at_docker(context, &outgoing);
        }
        Ok(Code::Done)
    }
}

/// Tells of names that came to stand for something else.
pub fn moved(context: &Context<'_>, moved: &[Moved]) {
    for Moved { tag, name, from, to } in moved {
        let name = name.as_deref().or(tag.as_deref()).unwrap_or_default();
        let was = from.as_ref().map_or_else(String::new, |from| format!(", it was {from}"));
        let is = to.as_ref().map_or_else(String::new, ToString::to_string);
        context.note(&format!("{name} moved to {is}{was}"));
    }
}

/// Some tools take an archive only if it holds one image and nothing else.
pub fn hint_at_docker(context: &Context<'_>, outgoing: &Outgoing) {
    let Outgoing { graph, plan, .. } = outgoing;
    let images = plan
        .roots
        .iter()
        .filter(|root| matches!(graph.kind(&root.digest), Some(ManifestKind::Image | ManifestKind::Index)));
    if images.count() == 1 && plan.entries.len() > 1 {
        context.note(
            "podman load, skopeo without a tag and regctl image import without --name take only the image from \
             an archive made with --as docker or --no-referrers",
        );
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use std::path::PathBuf;

    use super::*;
    use crate::args::Cli;
    use crate::commands::Command;

    #[test]
    fn references_are_those_of_the_location_and_further_ones() {
        let read = |line: &str| {
            let cli = Cli::try_parse_from(line.split_whitespace()).expect("the words make sense");
            let Command::Plan(args) = cli.command else { panic!("it is another command") };
            args.bundle.read().map(|(location, asked)| (location.path, asked)).map_err(|error| error.kind())
        };
        let name = |text: &str| Asked::Name(text.to_owned(), None);
        let digest = format!("sha256:{}", "a".repeat(64));
        let by_digest = Asked::Digest(digest.parse().expect("it is valid"));
        assert_eq!(read("ocistow plan store"), Ok((PathBuf::from("store"), vec![])));
        assert_eq!(
            read(&format!("ocistow plan store:a b host/c:1 @{digest}")),
            Ok((PathBuf::from("store"), vec![name("a"), name("b"), name("host/c:1"), by_digest]))
        );
        assert_eq!(read("ocistow plan --path x:y a b"), Ok((PathBuf::from("x:y"), vec![name("a"), name("b")])));
        assert_eq!(read("ocistow plan --path x:y"), Ok((PathBuf::from("x:y"), vec![])));
        assert_eq!(read("ocistow plan -"), Err(Kind::Usage));
    }
}
