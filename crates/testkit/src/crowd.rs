//! Many processes on one layout at once, and what is left of what each of them said.
//!
//! In each round all writers start together. What a writer does is a list of steps: a process, and what it claims
//! by ending with 0. Meanwhile readers look again and again, a watcher reads index.json as fast as it can, and where
//! the tool is ours `gc` runs again and again. When the round is over, the layout is held against every claim, those of
//! earlier rounds included, by code that the tools share nothing of.

mod judge;
mod tool;
mod watcher;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use judge::{Layout, Standing};
pub use tool::Tool;
use tool::{Look, Moment};

/// Who writes, and how often.
pub struct Crowd<'c> {
    /// A directory of its own, on the file system that is tried.
    pub folder: &'c Path,
    /// What the writers run.
    pub tool: &'c Tool,
    /// What one more writer runs for as long as they write: a tool that knows nothing of their locks.
    pub beside: Option<&'c Tool>,
    /// How many write at once.
    pub writers: usize,
    /// How often they do.
    pub rounds: usize,
}

/// For how many rounds ours write to one layout: of 64 writers there are enough for an index that is kept.
const LASTS: usize = 10;
/// The longest that somebody rests who looks or sweeps again and again.
const REST: Duration = Duration::from_millis(200);

/// One process, and what it says by ending with 0.
struct Step {
    words: Vec<OsString>,
    claims: Vec<Claim>,
}

/// What is so once a process has ended with 0. A digest that is not known before (`None`) is the last one that the
/// writer's processes have printed.
#[derive(Debug, Clone)]
enum Claim {
    /// A tag that nobody else writes stands for this.
    Stands(String, Option<String>),
    /// A tag that nobody else writes is there. Nothing tells what it stands for.
    There(String),
    /// A tag that others write too stands for this, or for what another of them said.
    Shared(String, Option<String>),
    /// A tag that nobody else writes is not there.
    Gone(String),
    /// An entry of index.json has this digest.
    Entry(Option<String>),
    /// The index under a tag, which others change too, lists this.
    Listed(String, Option<String>),
}

/// What came of a crowd.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Of those that the crowd is made of.
    pub crowd: Account,
    /// Of the tool beside.
    pub beside: Account,
    /// Blobs that index.json needs at the end of a round, and that are missing or wrong.
    pub damaged: BTreeSet<String>,
    /// How often the watcher found another index.json than before.
    pub looks: usize,
    /// How often that was no index.json: empty, or cut.
    pub broken: usize,
    /// How many rounds left one that is none.
    pub ruined: usize,
    /// How often a reader looked.
    pub readings: usize,
    /// What a reader saw that was not so, or not whole.
    pub misread: Vec<String>,
    /// How often gc ended while writers still wrote, by round.
    pub sweeps: Vec<usize>,
    /// How long the rounds took, without the judge.
    pub took: Duration,
}

/// What one party did, and what is left of it.
#[derive(Debug, Default)]
pub struct Account {
    /// How many processes ended with 0, and claimed something.
    pub done: usize,
    /// What they claimed and is not so: lost, and nobody was told.
    pub lost: Vec<String>,
    /// Processes that ended otherwise, and why.
    pub failed: Vec<String>,
}

impl Verdict {
    /// Everything that must not be where all know each other's locks.
    pub fn faults(&self) -> Vec<String> {
        let listed = [("lost", &self.crowd.lost), ("failed", &self.crowd.failed), ("misread", &self.misread)];
        let listed = listed.into_iter().flat_map(|(what, list)| list.iter().map(move |each| format!("{what}: {each}")));
        let mut faults: Vec<String> = listed.collect();
        faults.extend(self.damaged.iter().map(|digest| format!("damaged: {digest}")));
        if self.broken + self.ruined > 0 {
            faults.push(format!("no index.json: seen {} times, left by {} rounds", self.broken, self.ruined));
        }
        faults
    }
}

/// What a process did.
struct Did {
    code: i32,
    out: String,
    err: String,
    words: String,
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ended with {}: {}", self.words, self.code, self.err.trim())
    }
}

/// What the processes of one party said in a round.
#[derive(Default)]
struct Log {
    done: usize,
    claims: Vec<Claim>,
    failed: Vec<String>,
}

impl Crowd<'_> {
    /// Lets them all run. Panics where the machine cannot do what this needs.
    pub fn run(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let mut layout = PathBuf::new();
        let [mut ours, mut beside] = [Standing::default(), Standing::default()];
        for round in 0..self.rounds {
            // What others lose would only make the next round easier for them. Ours keep all for a while.
            if round % if self.tool.is_ours() { LASTS } else { 1 } == 0 {
                layout = self.folder.join(format!("layout-{round}"));
                [ours, beside] = [self.begun(&layout), Standing::default()];
            }
            let [log, log_beside] = self.round(round, &layout, &ours, &mut verdict);
            let found = Layout::read(&layout);
            verdict.crowd.settle(log, &mut ours, &layout, &found);
            verdict.beside.settle(log_beside, &mut beside, &layout, &found);
            let looks = self.tool.looks(self.folder, &layout, Moment::Quiet);
            verdict.misread.extend(looks.iter().filter_map(|look| self.look(look, &ours).err()));
            match found {
                Ok(found) => verdict.damaged.extend(found.damaged(&layout)),
                Err(_) => verdict.ruined += 1,
            }
        }
        verdict
    }

    /// Makes a layout with all that the writers need in it.
    fn begun(&self, layout: &Path) -> Standing {
        let mut standing = Standing::default();
        let log = Mutex::new(Log::default());
        self.follow(&self.tool.beginning(self.folder, layout), &log);
        let log = log.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(log.failed, Vec::<String>::new());
        standing.note(log.claims);
        standing
    }

    fn round(&self, round: usize, layout: &Path, standing: &Standing, verdict: &mut Verdict) -> [Log; 2] {
        let script = |writer: usize| self.tool.script(self.folder, layout, writer, round);
        let scripts: Vec<Vec<Step>> = (0..self.writers).map(script).collect();
        let looks = self.tool.looks(self.folder, layout, Moment::Busy);
        let start = Barrier::new(self.writers);
        let [left, readings, swept] = [self.writers, 0, 0].map(AtomicUsize::new);
        let (log, log_beside) = (Mutex::new(Log::default()), Mutex::new(Log::default()));
        let misread = Mutex::new(Vec::new());
        let over = AtomicBool::new(false);
        let writing = || left.load(Ordering::SeqCst) > 0;
        let began = Instant::now();
        thread::scope(|scope| {
            let watcher = scope.spawn(|| watcher::watch(layout, &over));
            thread::scope(|scope| {
                for steps in &scripts {
                    scope.spawn(|| {
                        start.wait();
                        self.follow(steps, &log);
                        left.fetch_sub(1, Ordering::SeqCst);
                    });
                }
                for look in &looks {
                    scope.spawn(|| {
                        while writing() {
                            let seen = rested(|| self.look(look, standing));
                            readings.fetch_add(1, Ordering::SeqCst);
                            locked(&misread).extend(seen.err());
                        }
                    });
                }
                scope.spawn(|| {
                    for words in
                        self.tool.sweeps(layout, self.beside.is_some()).iter().cycle().take_while(|_| writing())
                    {
                        let did = rested(|| {
                            let did = self.process(words);
                            swept.fetch_add(usize::from(writing()), Ordering::SeqCst);
                            did
                        });
                        if did.code != 0 {
                            locked(&log).failed.push(did.to_string());
                        }
                    }
                });
                scope.spawn(|| {
                    for turn in (0..).take_while(|_| self.beside.is_some() && writing()) {
                        let own = |tool: &Tool| tool.own(self.folder, layout, &format!("beside-{round}-{turn}"));
                        self.follow(&self.beside.map(own).unwrap_or_default(), &log_beside);
                    }
                });
            });
            verdict.took += began.elapsed();
            over.store(true, Ordering::SeqCst);
            let watched = watcher.join().expect("the watcher does not panic");
            verdict.looks += watched.looks;
            verdict.broken += watched.broken;
            verdict.misread.extend(watched.halves);
        });
        verdict.readings += readings.into_inner();
        verdict.misread.extend(misread.into_inner().unwrap_or_else(PoisonError::into_inner));
        verdict.sweeps.push(swept.into_inner());
        [log, log_beside].map(|log| log.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// One process after the other, as long as they end with 0.
    fn follow(&self, steps: &[Step], log: &Mutex<Log>) {
        let mut digest = None;
        for Step { words, claims } in steps {
            let did = self.process(words);
            if did.code != 0 {
                locked(log).failed.push(did.to_string());
                return;
            }
            digest = printed(&did.out).or(digest);
            let mut log = locked(log);
            log.done += 1;
            log.claims.extend(claims.iter().map(|claim| claim.clone().or(digest.as_ref())));
        }
    }

    /// Runs what a reader runs, and judges what the last process says. `Err` tells what is wrong with that.
    fn look(&self, look: &Look, standing: &Standing) -> Result<(), String> {
        let mut last = None;
        for words in &look.words {
            let did = self.process(words);
            if did.code != 0 {
                return Err(did.to_string());
            }
            last = Some(did);
        }
        let did = last.expect("a reader runs something");
        (look.judge)(&did.out, standing).map_err(|why| format!("{did}: {why}"))
    }

    fn process(&self, words: &[OsString]) -> Did {
        // Some tools write to the home directory, or ask for a runtime directory.
        let homes = ["HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"];
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.folder).envs(homes.map(|home| (home, self.folder)));
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|why| panic!("{}: {why}", words[0].display()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        Did {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
            words: words.join(" "),
        }
    }
}

impl Account {
    /// Takes in what was said in a round, and what is left of it and of what was said before.
    fn settle(&mut self, log: Log, standing: &mut Standing, layout: &Path, found: &Result<Layout, String>) {
        self.done += log.done;
        self.failed.extend(log.failed);
        standing.note(log.claims);
        self.lost.extend(standing.lost(layout, found));
    }
}

impl Claim {
    /// The same with a digest that is known by now.
    fn or(self, said: Option<&String>) -> Self {
        match self {
            Self::Stands(tag, None) => Self::Stands(tag, said.cloned()),
            Self::Shared(tag, None) => Self::Shared(tag, said.cloned()),
            Self::Entry(None) => Self::Entry(said.cloned()),
            Self::Listed(tag, None) => Self::Listed(tag, said.cloned()),
            known => known,
        }
    }
}

/// Does something, and rests three times as long as that took: the processors are for the writers.
fn rested<T>(act: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = act();
    thread::sleep((began.elapsed() * 3).min(REST));
    done
}

/// The last digest in a text.
fn printed(text: &str) -> Option<String> {
    let (at, _) = text.rmatch_indices("sha256:").next()?;
    let digest = text.get(at..at + "sha256:".len() + 64)?;
    digest[7..].bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| digest.to_owned())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
