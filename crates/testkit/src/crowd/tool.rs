//! What the tools run when they write to a layout in a directory, and what each process claims by ending with 0.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::judge::Standing;
use super::{Claim, Step};
use crate::{draw, to_dir, to_tar};

/// A program that writes to layouts.
pub struct Tool {
    kind: Kind,
    program: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ocistow,
    Oras,
    Regctl,
    Skopeo,
    Umoci,
}

/// What a reader runs, one process after the other, and whether what the last one says is right.
pub struct Look {
    pub words: Vec<Vec<OsString>>,
    pub judge: fn(&str, &Standing) -> Result<(), String>,
}

/// When somebody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// While others write.
    Busy,
    /// When all are done.
    Quiet,
}

/// What every layout of ours starts with: an image, one in Docker's form, an index, and something with a list of
/// referrers under a fallback tag.
const WORLD: &str = "image base:base = common
     docker old:old = common
     artifact told:told : application/x.told
     refer first -> told : application/x.note
     fallback told = first
     index all:all = base";

macro_rules! words {
    ($($word:expr),* $(,)?) => { vec![$(OsString::from($word)),*] };
}

impl Tool {
    /// Ours.
    pub fn ours(program: impl Into<PathBuf>) -> Self {
        Self { kind: Kind::Ocistow, program: program.into() }
    }

    /// The tools of others that are in one of these directories. crane writes layouts only out of registries.
    pub fn others(directories: &[PathBuf]) -> Vec<Self> {
        let all = [Kind::Oras, Kind::Regctl, Kind::Skopeo, Kind::Umoci];
        let find = |kind: Kind| {
            let program = directories.iter().map(|dir| dir.join(kind.name())).find(|program| program.is_file())?;
            Some(Self { kind, program })
        };
        all.into_iter().filter_map(find).collect()
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    pub(super) fn is_ours(&self) -> bool {
        self.kind == Kind::Ocistow
    }

    /// What makes a layout.
    pub(super) fn beginning(&self, folder: &Path, layout: &Path) -> Vec<Step> {
        if self.kind == Kind::Umoci {
            let init = Step { words: words![&self.program, "init", "--layout", layout], claims: Vec::new() };
            return std::iter::once(init).chain(self.own(folder, layout, "first")).collect();
        }
        if self.kind != Kind::Ocistow {
            return self.own(folder, layout, "first");
        }
        to_dir(&draw(WORLD).memory, folder.join("world")).expect("there is room");
        let stands = ["base", "old"].map(|tag| Claim::Stands(tag.into(), Some(draw(WORLD).digest(tag).to_string())));
        let world = words![&self.program, "import", "world", layout];
        vec![Step { words: world, claims: stands.to_vec() }]
    }

    /// What one writer does in one round. The files it needs are made now.
    pub(super) fn script(&self, folder: &Path, layout: &Path, writer: usize, round: usize) -> Vec<Step> {
        let name = format!("w{writer}-r{round}");
        match self.kind {
            Kind::Ocistow => Ours { program: &self.program, folder, layout, name }.script(writer + round),
            _ => self.own(folder, layout, &name),
        }
    }

    /// An artifact of one's own under a tag of one's own.
    pub(super) fn own(&self, folder: &Path, layout: &Path, name: &str) -> Vec<Step> {
        let file = format!("file-{name}");
        fs::write(folder.join(&file), name).expect("there is room");
        let at = |scheme: &str, tag: &str| {
            let mut at = OsString::from(scheme);
            at.push(layout);
            at.push(":");
            at.push(tag);
            at
        };
        let program = &self.program;
        let mut digest = None;
        let words = match self.kind {
            Kind::Ocistow => words![program, "push", "-q", at("", name), file],
            Kind::Oras => words![program, "push", "--oci-layout", at("", name), format!("{file}:text/plain")],
            Kind::Regctl => {
                let said = "{{ .Manifest.GetDescriptor.Digest }}";
                let at = at("ocidir://", name);
                words![program, "artifact", "put", "--artifact-type", "a/b", "--format", said, "-f", file, at]
            }
            Kind::Skopeo => {
                let world = draw(&format!("image app:{name} = common + own-{name}"));
                digest = Some(world.digest("app").to_string());
                to_dir(&world.memory, folder.join(format!("from-{name}"))).expect("there is room");
                let from = format!("oci:from-{name}:{name}");
                words![program, "--insecure-policy", "copy", "--quiet", "--preserve-digests", from, at("oci:", name)]
            }
            Kind::Umoci => words![program, "new", "--image", at("", name)],
        };
        let claim = match self.kind {
            Kind::Umoci => Claim::There(name.to_owned()),
            _ => Claim::Stands(name.to_owned(), digest),
        };
        vec![Step { words, claims: vec![claim] }]
    }

    /// What readers look at.
    pub(super) fn looks(&self, folder: &Path, layout: &Path, moment: Moment) -> Vec<Look> {
        if self.kind != Kind::Ocistow {
            return Vec::new();
        }
        let run = |words: &[&str], at: &Path| {
            let mut all = words![&self.program];
            all.extend(words.iter().map(OsString::from));
            all.push(at.into());
            all
        };
        let json = ["--format", "json"];
        let mut told = OsString::from(layout);
        told.push(":told");
        let bundle = folder.join("out.tar");
        let mut export = run(&["export", "--force", "-o", "out.tar"], layout);
        export.push("-q".into());
        vec![
            Look { words: vec![run(&["ls", json[0], json[1]], layout)], judge: has_all },
            Look { words: vec![run(&["fsck", json[0], json[1]], layout)], judge: is_right(moment) },
            Look { words: vec![run(&["discover", json[0], json[1]], Path::new(&told))], judge: has_referrers },
            Look {
                words: vec![export, run(&["fsck"], &bundle), run(&["ls", json[0], json[1]], &bundle)],
                judge: has_all,
            },
        ]
    }

    /// What sweeps, in turn. Beside tools that know no locks only with a grace: what they read before, they may name
    /// again.
    pub(super) fn sweeps(&self, layout: &Path, beside: bool) -> Vec<Vec<OsString>> {
        let graces: &[&str] = if beside { &["1h"] } else { &["0", "1h"] };
        match self.kind {
            Kind::Ocistow => graces.iter().map(|grace| words![&self.program, "gc", "--grace", grace, layout]).collect(),
            _ => Vec::new(),
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Ocistow => "ocistow",
            Self::Oras => "oras",
            Self::Regctl => "regctl",
            Self::Skopeo => "skopeo",
            Self::Umoci => "umoci",
        }
    }
}

/// A writer of ours.
struct Ours<'o> {
    program: &'o Path,
    folder: &'o Path,
    layout: &'o Path,
    name: String,
}

impl Ours<'_> {
    /// Something under a tag of one's own, made in one of many ways, and something that all do to the same tag.
    fn script(&self, turn: usize) -> Vec<Step> {
        let (name, scratch) = (&self.name, &format!("scratch-{}", self.name));
        let stands = || Claim::Stands(name.clone(), None);
        let gone = || Claim::Gone(scratch.clone());
        let base = draw(WORLD).digest("base").to_string();
        match turn % 8 {
            0 => vec![self.push(name, vec![stands()]), self.push("shared", vec![Claim::Shared("shared".into(), None)])],
            1 => vec![
                self.push(scratch, Vec::new()),
                self.at("tag", scratch, &[name], vec![stands()]),
                self.at("untag", scratch, &[], vec![gone()]),
            ],
            2 => {
                let (bundle, digest, referrer) = self.bundle();
                let claims = vec![Claim::Stands(name.clone(), Some(digest)), Claim::Entry(Some(referrer))];
                vec![Step { words: words![self.program, "import", bundle, self.layout], claims }]
            }
            3 => {
                let (bundle, digest, referrer) = self.bundle();
                let claims = vec![Claim::Stands(name.clone(), Some(digest)), Claim::Entry(Some(referrer))];
                vec![Step { words: words![self.program, "copy", format!("{bundle}:{name}"), self.layout], claims }]
            }
            4 => vec![
                self.at("tag", "base", &[name], vec![Claim::Stands(name.clone(), Some(base.clone()))]),
                self.at("tag", "base", &["shared"], vec![Claim::Shared("shared".into(), Some(base))]),
            ],
            5 => {
                let fallback = draw(WORLD).digest("told").fallback_tag();
                let file = self.file();
                let words = ["-q", "--artifact-type", "application/x.note", &file];
                let entered = vec![Claim::Entry(None), Claim::Listed(fallback, None)];
                vec![self.push(name, vec![stands()]), self.at("attach", "told", &words, entered)]
            }
            6 => vec![
                self.push(scratch, Vec::new()),
                self.at("convert", "old", &["-q", name], vec![stands()]),
                self.at("rm", scratch, &[], vec![gone()]),
            ],
            _ => {
                let (bundle, digest, _) = self.bundle();
                let claims = vec![Claim::Stands(name.clone(), Some(digest.clone()))];
                vec![
                    Step { words: words![self.program, "import", "--no-referrers", bundle, self.layout], claims },
                    self.at("index", "all", &[name], vec![Claim::Listed("all".into(), Some(digest))]),
                ]
            }
        }
    }

    /// A command, what it is done to, and further words.
    fn at(&self, command: &str, tag: &str, more: &[&str], claims: Vec<Claim>) -> Step {
        let mut words = words![self.program, command];
        words.extend((command == "index").then(|| "add".into()));
        let mut at = OsString::from(self.layout);
        at.push(":");
        at.push(tag);
        words.push(at);
        words.extend(more.iter().map(OsString::from));
        Step { words, claims }
    }

    fn push(&self, tag: &str, claims: Vec<Claim>) -> Step {
        self.at("push", tag, &["-q", &self.file()], claims)
    }

    /// A file with content of its own.
    fn file(&self) -> String {
        let file = format!("file-{}", self.name);
        fs::write(self.folder.join(&file), &self.name).expect("there is room");
        file
    }

    /// An archive with an image of one's own and what refers to it, and the digests of the two.
    fn bundle(&self) -> (String, String, String) {
        let name = &self.name;
        let world =
            draw(&format!("image app:{name} = common + own-{name}\nrefer sig-{name} -> app : application/x.sig"));
        let bundle = format!("{name}.tar");
        fs::write(self.folder.join(&bundle), to_tar(&world.memory)).expect("there is room");
        (bundle, world.digest("app").to_string(), world.digest(&format!("sig-{name}")).to_string())
    }
}

/// A list that has every tag there was when it was asked for.
fn has_all(said: &str, standing: &Standing) -> Result<(), String> {
    let document: Value = serde_json::from_str(said).map_err(|why| why.to_string())?;
    let entries = document["manifests"].as_array().ok_or("it lists nothing")?;
    let listed: BTreeSet<(&str, &str)> =
        entries.iter().filter_map(|entry| Some((entry["tag"].as_str()?, entry["digest"].as_str()?))).collect();
    let stands = standing.tags.iter().filter_map(|(tag, digest)| Some((tag.as_str(), digest.as_deref()?)));
    match stands.filter(|pair| !listed.contains(pair)).collect::<Vec<_>>() {
        missing if missing.is_empty() => Ok(()),
        missing => Err(format!("it does not list {missing:?}")),
    }
}

/// Everything that was attached is found.
fn has_referrers(said: &str, standing: &Standing) -> Result<(), String> {
    let document: Value = serde_json::from_str(said).map_err(|why| why.to_string())?;
    let referrers = document["referrers"].as_array().ok_or("it lists nothing")?;
    let found: BTreeSet<&str> = referrers.iter().filter_map(|referrer| referrer["digest"].as_str()).collect();
    match standing.attached().filter(|digest| !found.contains(digest)).collect::<Vec<_>>() {
        missing if missing.is_empty() => Ok(()),
        missing => Err(format!("it does not list {missing:?}")),
    }
}

/// What of the problems in a layout there may be: what `rm` and `untag` leave for gc, and while writers are at work
/// manifests whose entry is still to come.
fn is_right(moment: Moment) -> fn(&str, &Standing) -> Result<(), String> {
    match moment {
        Moment::Busy => |said, _| no_problem_but(&["unreachable-blob", "unlisted-referrer", "stale-fallback"], said),
        Moment::Quiet => |said, _| no_problem_but(&["unreachable-blob"], said),
    }
}

fn no_problem_but(kinds: &[&str], said: &str) -> Result<(), String> {
    let document: Value = serde_json::from_str(said).map_err(|why| why.to_string())?;
    let problems = document["problems"].as_array().ok_or("it has no list of problems")?;
    match problems.iter().find(|problem| !kinds.iter().any(|kind| problem["kind"] == *kind)) {
        None if document["ok"] == true => Ok(()),
        problem => Err(format!("{problem:?}")),
    }
}
