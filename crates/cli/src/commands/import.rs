//! `import` brings bundles into a layout.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ocistow_graph::{Graph, Moved, Plan, import};
use ocistow_layout::archive::Compression;
use ocistow_layout::directory::Directory;
use ocistow_layout::edit::{Edit, apply};
use ocistow_layout::index::EMPTY_INDEX;
use ocistow_layout::sizes::Sizes;
use ocistow_layout::transaction::{Transaction, writable};
use ocistow_layout::{Blob, Content, Descriptor, Digest, Done, Error, IndexFile, Kind, Result, Source, checked};

use super::along::Along;
use super::{at, export, tag};
use crate::again::Again;
use crate::arrival::{Arrival, From, Wanted};
use crate::code::Code;
use crate::imported::{How, Imported, Outcome};
use crate::landed::{Given, Landed, landed};
use crate::location::{self, OnDisk};
use crate::meanwhile::Meanwhile;
use crate::speak::Context;

/// Bring bundles into a layout, every byte checked
///
/// A bundle is an archive or a directory that holds a layout; - reads an archive from standard input. The
/// layout is made if it is not there. No name is seen before everything under it has arrived and was
/// checked; an import that fails changes nothing.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "ocistow import [OPTIONS] <FILE|DIR|->... <LAYOUT>",
    after_help = "\
EXAMPLES:
  ocistow import app.tar ./store
  ocistow import app.tar ./store --tag app=app-new --no-move
  ssh there ocistow export ./store:app -o - | ocistow import - ./store
  ocistow import app.tar.zst ./store --expect sha256:… --dry-run"
)]
pub struct Args {
    /// The bundles, and behind them the layout they come into
    #[arg(value_name = "FILE|DIR|-... LAYOUT", num_args = 1.., required = true)]
    words: Vec<OsString>,
    /// Take PATH as the layout as it is, whatever it contains, and all arguments as bundles
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
    /// Bring what the bundle calls OLD in under the name NEW; repeat for more
    #[arg(long = "tag", value_name = "OLD=NEW", value_parser = renamed)]
    pub renames: Vec<(String, String)>,
    /// What goes along.
    #[command(flatten)]
    pub along: Along,
    /// Fail if a name would come to stand for something else
    #[arg(long)]
    pub no_move: bool,
    /// Also check content that only the layout has
    #[arg(long)]
    pub recheck: bool,
    /// Fail unless the bundle's digest is this one
    #[arg(long, value_name = "DIGEST")]
    pub expect: Option<Digest>,
    /// Tell what would be done; write nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn renamed(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err("it is not OLD=NEW".to_owned()),
    }
}

impl Args {
    /// The bundles, and the layout. Usage where one of them is not there or has a reference.
    pub fn read(&self) -> Result<(Vec<From>, PathBuf)> {
        let missing = || {
            Error::new(Kind::Usage, "could not tell bundles and layout apart")
                .because("a bundle and a layout are needed")
                .hint("write ocistow import FILE LAYOUT")
        };
        let (bundles, layout) = match (&self.path, self.words.split_last()) {
            (Some(path), _) if !path.as_os_str().is_empty() => (self.words.as_slice(), path.clone()),
            (None, Some((layout, bundles))) if !bundles.is_empty() => (bundles, location::parse_path(layout, &OnDisk)?),
            _ => return Err(missing()),
        };
        let mut from = Vec::new();
        for bundle in bundles {
            from.push(match bundle.to_str() {
                Some("-") if from.contains(&From::Input) => {
                    return Err(Error::new(Kind::Usage, "could not read standard input twice"));
                }
                Some("-") => From::Input,
                _ => From::Path(location::parse_whole(bundle, &OnDisk)?),
            });
        }
        Ok((from, layout))
    }

    /// Runs it.
    pub fn run(&self, context: &Context<'_>) -> Result<Code> {
        let (bundles, layout) = self.read()?;
        self.renames.iter().try_for_each(|(_, new)| tag::judge(context, new))?;
        if self.expect.is_some() && bundles.len() > 1 {
            return Err(Error::new(Kind::Usage, "could not use --expect for several bundles")
                .hint("import them one by one, each with its own digest"));
        }
        let wanted = Wanted { along: &self.along, expect: self.expect.as_ref() };
        // What can be decided before anything is written is: a bundle that is refused makes no layout.
        let mut looked = Vec::new();
        for from in &bundles {
            let early = self.dry_run || from.in_place()?;
            looked.push(if early { Some(Arrival::look(context, from, wanted)?) } else { None });
        }
        let target = at::to_write(&layout).map_err(|why| match Compression::by_name(&layout) {
            Some(_) if why.kind() == Kind::Usage => why.hint("the layout comes behind all bundles: FILE… LAYOUT"),
            _ => why,
        })?;
        if self.dry_run {
            let mut arrivals: Vec<Arrival> = looked.into_iter().flatten().collect();
            return self.tell(context, &layout, target.as_ref(), &mut arrivals);
        }
        if looked.iter().all(Option::is_some) {
            let mut arrivals: Vec<Arrival> = looked.into_iter().flatten().collect();
            let elsewhere = self.find_elsewhere(context, &mut arrivals, target.as_ref())?;
            if let Some(why) = arrivals.iter().find_map(|arrival| self.along.refuses(&arrival.plan)) {
                self.failed(context, &layout, &arrivals, &why)?;
                return Err(why);
            }
            for (arrival, [missing, absent_children]) in arrivals.iter_mut().zip(elsewhere) {
                // Until all of it is in, it may go away there.
                let Plan { missing: all, absent_children: children, .. } = &mut arrival.plan;
                all.extend(missing);
                children.extend(absent_children);
                all.sort_unstable();
                children.sort_unstable();
            }
            looked = arrivals.into_iter().map(Some).collect();
        }
        let progress = context.progress("importing", None);
        let mut transaction = Transaction::begin(&layout, context.writing(&progress))?;
        let mut arrivals = Vec::new();
        for (from, looked) in bundles.iter().zip(looked) {
            let arrival = match looked {
                Some(arrival) => arrival,
                None => Arrival::stream(context, from, wanted, &transaction, &progress)?,
            };
            arrival.bring(context, &transaction, &progress)?;
            arrivals.push(arrival);
        }
        let published = self.publish(context, &layout, &mut transaction, &mut arrivals);
        drop(transaction);
        drop(progress);
        published
    }

    /// Takes out of the plans what is missing from one bundle, and there in the target or in another bundle: of each plan
    /// what was missing, and which children of indexes were absent. What only the target has counts by its size, or is
    /// read; Integrity where it is wrong.
    fn find_elsewhere(
        &self,
        context: &Context<'_>,
        arrivals: &mut [Arrival],
        target: Option<&Directory>,
    ) -> Result<Vec<[Vec<Digest>; 2]>> {
        let progress = context.progress("checking", None);
        let brought: BTreeSet<Digest> =
            arrivals.iter().flat_map(|arrival| arrival.plan.order().map(|blob| blob.digest.clone())).collect();
        let mut elsewhere = Vec::new();
        for Arrival { plan, graph, .. } in arrivals {
            let mut found: BTreeMap<Digest, u64> = BTreeMap::new();
            if let Some(target) = target {
                let sizes = Sizes::of(target);
                for digest in plan.missing.iter().chain(&plan.absent_children) {
                    if !brought.contains(digest)
                        && let Some(size) = sizes.size(digest)?
                    {
                        found.insert(digest.clone(), size);
                    }
                }
            }
            let location = target.map_or("the layout", |target| target.location());
            for (digest, size) in said_of(&found, plan, graph) {
                if found[&digest] != size {
                    return Err(checked::wrong_size(&digest, size, &found[&digest].to_string()).found_in(location));
                }
            }
            for (digest, size) in found.iter().filter(|_| self.recheck) {
                if let Some(content) = target.map(|target| target.open(digest)).transpose()?.flatten() {
                    let blob = Blob { digest: digest.clone(), size: *size };
                    checked::verify(&blob, content, &progress).map_err(|why| why.found_in(location))?;
                }
            }
            let there = |digest: &mut Digest| brought.contains(digest) || found.contains_key(digest);
            elsewhere
                .push([&mut plan.missing, &mut plan.absent_children].map(|all| all.extract_if(.., there).collect()));
        }
        Ok(elsewhere)
    }

    /// Decides what becomes of index.json, and publishes; again for as long as somebody else changes what
    /// it was decided on.
    fn publish(
        &self,
        context: &Context<'_>,
        layout: &Path,
        transaction: &mut Transaction<'_>,
        arrivals: &mut [Arrival],
    ) -> Result<Code> {
        self.find_elsewhere(context, arrivals, transaction.before())?;
        for arrival in arrivals.iter() {
            if let Err(why) = self.along.judge(context, &arrival.plan) {
                self.failed(context, layout, arrivals, &why)?;
                return Err(why);
            }
        }
        let mut again = Again::new(context);
        // Somebody may be making a list that what arrives has to be in.
        transaction.keep_index()?;
        loop {
            let target = writable(layout)?;
            let decided = self.decide(layout, target.as_ref().map(|target| target as &dyn Source), arrivals)?;
            if let Some(why) = self.moves(&decided.moved) {
                self.failed(context, layout, arrivals, &why)?;
                return Err(why);
            }
            for (digest, bytes) in &decided.made {
                let blob = Blob { digest: digest.clone(), size: bytes.len() as u64 };
                transaction.put(&blob, Content::Bytes(bytes))?;
            }
            match transaction.publish(&decided.order, &decided.edits) {
                Err(why) => again.after(why)?,
                Ok(done) => {
                    context.log(&format!("waited {:.3} s for the disk", transaction.barrier().as_secs_f64()));
                    export::moved(context, &decided.moved);
                    let Decided { landed, moved, .. } = decided;
                    let outcome = Outcome { how: How::Done, landed, done, moved };
                    context.answer(&Imported::of(arrivals, &self.along, outcome))?;
                    return Ok(Code::Done);
                }
            }
        }
    }

    fn moves(&self, moved: &[Moved]) -> Option<Error> {
        let first = moved.first().filter(|_| self.no_move)?;
        let name = first.name.as_deref().or(first.tag.as_deref()).unwrap_or_default();
        let why = "it stands for something else in the layout";
        Some(Error::new(Kind::Failed, format!("could not import {name}")).because(why).hint("--tag OLD=NEW renames it"))
    }

    /// What becomes of index.json and which blobs are published: one bundle after the other.
    fn decide(&self, layout: &Path, target: Option<&dyn Source>, arrivals: &[Arrival]) -> Result<Decided> {
        let index = match target {
            Some(target) => target.index()?,
            None => IndexFile::parse(EMPTY_INDEX.to_vec())?,
        };
        let mut meanwhile = Meanwhile { index, made: BTreeMap::new(), under: target };
        let mut decided = Decided::default();
        let mut met = BTreeSet::new();
        let mut given = Vec::new();
        for arrival in arrivals {
            let arriving = import(&arrival.plan, &arrival.graph, &meanwhile, &self.renames)?;
            let blobs = arrival.plan.blobs_into(&arriving).into_iter();
            decided.order.extend(blobs.filter(|blob| met.insert(blob.digest.clone())));
            meanwhile.index = IndexFile::parse(apply(&meanwhile.index, &arriving.edits)?)?;
            given.push(Given::of(&arriving.edits));
            meanwhile.made.extend(arriving.inline.clone());
            decided.made.extend(arriving.inline);
            decided.edits.extend(arriving.edits);
            decided.moved.extend(arriving.moved);
        }
        decided.landed = landed(layout, &meanwhile.index, arrivals, &given);
        Ok(decided)
    }

    /// Tells what would be done.
    fn tell(
        &self,
        context: &Context<'_>,
        layout: &Path,
        target: Option<&Directory>,
        arrivals: &mut [Arrival],
    ) -> Result<Code> {
        self.find_elsewhere(context, arrivals, target)?;
        let decided = self.decide(layout, target.map(|target| target as &dyn Source), arrivals)?;
        let mut done = Done::default();
        for blob in &decided.order {
            match target.map(|target| target.size(&blob.digest)).transpose()?.flatten() {
                None => done.new.add(blob.size),
                Some(size) if size == blob.size => done.present.add(size),
                Some(_) => done.repaired.add(blob.size),
            }
        }
        let refused = arrivals.iter().find_map(|arrival| self.along.refuses(&arrival.plan));
        let refused = refused.or_else(|| self.moves(&decided.moved));
        let outcome = Outcome { how: How::Tried, landed: decided.landed, done, moved: decided.moved };
        let answer = Imported::of(arrivals, &self.along, outcome);
        match refused {
            None => context.answer(&answer).map(|()| Code::Done),
            Some(why) => {
                context.answer_failed(&answer, &why)?;
                Err(why)
            }
        }
    }

    fn failed(&self, context: &Context<'_>, layout: &Path, arrivals: &[Arrival], why: &Error) -> Result<()> {
        let landed = arrivals.iter().flat_map(|arrival| Landed::nowhere(layout, arrival)).collect();
        let outcome = Outcome { how: How::Refused, landed, done: Done::default(), moved: Vec::new() };
        context.answer_failed(&Imported::of(arrivals, &self.along, outcome), why)
    }
}

/// What was decided of all bundles together.
#[derive(Default)]
struct Decided {
    order: Vec<Blob>,
    edits: Vec<Edit>,
    moved: Vec<Moved>,
    made: BTreeMap<Digest, Vec<u8>>,
    landed: Vec<Landed>,
}

/// What the descriptors of a bundle say of the lengths of blobs that were found elsewhere: of each what the last one says.
fn said_of(found: &BTreeMap<Digest, u64>, plan: &Plan, graph: &Graph) -> BTreeMap<Digest, u64> {
    let mut said = BTreeMap::new();
    let mut say = |descriptor: &Descriptor| {
        if found.contains_key(&descriptor.digest) {
            said.insert(descriptor.digest.clone(), descriptor.size);
        }
    };
    // Mostly nothing was: then nobody has to be asked.
    let manifests = plan.manifests.iter().filter(|_| !found.is_empty());
    for facts in manifests.filter_map(|blob| graph.facts(&blob.digest)) {
        facts.parts.iter().for_each(|part| say(&part.descriptor));
    }
    plan.entries.iter().for_each(|entry| say(&entry.descriptor));
    said
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;
    use crate::commands::Command;
    use crate::location::Location;

    fn read(line: &str) -> std::result::Result<(Vec<From>, PathBuf), Kind> {
        let cli = Cli::try_parse_from(line.split_whitespace()).expect("the words make sense");
        let Command::Import(args) = cli.command else { panic!("it is another command") };
        args.read().map_err(|error| error.kind())
    }

    #[test]
    fn the_last_argument_is_the_layout_unless_a_path_is_given() {
        let path = |text: &str| From::Path(Location::whole(PathBuf::from(text)));
        assert_eq!(read("ocistow import a.tar b.tar store"), Ok((vec![path("a.tar"), path("b.tar")], "store".into())));
        assert_eq!(read("ocistow import - store"), Ok((vec![From::Input], "store".into())));
        assert_eq!(read("ocistow import a.tar --path x:y"), Ok((vec![path("a.tar")], "x:y".into())));
        assert_eq!(read("ocistow import a.tar"), Err(Kind::Usage), "no layout");
        assert_eq!(read("ocistow import - - store"), Err(Kind::Usage), "standard input ends once");
        assert_eq!(read("ocistow import a.tar store:v1"), Err(Kind::Usage), "a layout is written to as a whole");
    }
}
