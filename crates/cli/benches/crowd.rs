//! Lets many processes write one layout at once, ours and the tools of others, and says what of it is lost.
//!
//! ```text
//! cargo bench -p ocistow --bench crowd -- [--writers 12] [--rounds 50] [--bin PATH] [--only TOOL]… [--beside]
//! ```
//!
//! Each of WRITERS processes puts something of its own under a tag of its own, all at the same time, ROUNDS times. Ours
//! do that in eight ways (`push`, `tag` and `untag`, `import`, `copy`, `attach`, `rm`, `convert`, `index add`), and there
//! are `gc`, readers, and tags and lists that all of them change; the peers in PATH do it in the one way they have. What
//! is lost is what a process said to have done, with exit code 0, and is not there when the round is over. Peers get a
//! new layout for each round, ours has to keep ten rounds in one.
//!
//! `--beside` lets each of the peers, one at a time, write beside ours instead.
//!
//! Ends with 1 where anything of ours is lost, damaged, seen in part, or failed, and with `--beside` where anything of a
//! peer's is lost.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ocistow_testkit::crowd::{Account, Crowd, Tool, Verdict};

/// What was asked for.
struct Asked {
    writers: usize,
    rounds: usize,
    program: PathBuf,
    only: Vec<String>,
    beside: bool,
}

fn main() -> ExitCode {
    // cargo says `--bench` to every bench it runs; a plain `cargo bench` is no wish for this.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.is_empty() {
        return ExitCode::SUCCESS;
    }
    match Asked::read(&words) {
        Ok(asked) => asked.run(),
        Err(why) => {
            eprintln!("error: {why}; see the top of crowd.rs");
            ExitCode::from(2)
        }
    }
}

impl Asked {
    fn read(words: &[String]) -> Result<Self, String> {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_ocistow"));
        let mut asked = Self { writers: 12, rounds: 50, program, only: Vec::new(), beside: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            let number = |text: &String| text.parse::<usize>().map_err(|why| format!("{text:?} is no number: {why}"));
            match word.as_str() {
                "--writers" => asked.writers = number(value()?)?,
                "--rounds" => asked.rounds = number(value()?)?,
                "--bin" => asked.program = PathBuf::from(value()?),
                "--only" => asked.only.push(value()?.clone()),
                "--beside" => asked.beside = true,
                other => return Err(format!("there is no {other}")),
            }
        }
        Ok(asked)
    }

    fn run(&self) -> ExitCode {
        let wanted = |tool: &Tool| self.only.is_empty() || self.only.iter().any(|name| name == tool.name());
        let ours = Tool::ours(self.program.canonicalize().unwrap_or_else(|_| self.program.clone()));
        let peers: Vec<Tool> = Tool::others(&directories()).into_iter().filter(wanted).collect();
        let mut faults = Vec::new();
        if self.beside {
            println!(
                "| beside {} ocistow | ocistow: done | lost | failed | the other: done | lost | failed | blobs damaged | index.json broken |",
                self.writers
            );
            println!("|---|---|---|---|---|---|---|---|---|");
            for peer in &peers {
                let verdict = self.crowd(&ours, Some(peer));
                faults.extend(verdict.beside.lost.iter().map(|what| format!("lost, of {}: {what}", peer.name())));
                let [own, other] = [&verdict.crowd, &verdict.beside].map(account);
                println!("| {} | {own} | {other} | {} | {} |", peer.name(), verdict.damaged.len(), broken(&verdict));
                samples(&verdict);
            }
        } else {
            println!(
                "| {} writers, {} rounds | processes done | of these lost | failed | blobs damaged | index.json broken | rounds with gc | seconds |",
                self.writers, self.rounds
            );
            println!("|---|---|---|---|---|---|---|---|");
            for tool in Some(&ours).into_iter().filter(|tool| wanted(tool)).chain(&peers) {
                let verdict = self.crowd(tool, None);
                let mut swept = "–".to_owned();
                if tool.name() == ours.name() {
                    faults.extend(verdict.faults());
                    let rounds = verdict.sweeps.iter().filter(|count| **count > 0).count();
                    swept = format!("{rounds}, {} times", verdict.sweeps.iter().sum::<usize>());
                }
                println!(
                    "| {} | {} | {} | {} | {swept} | {:.0} |",
                    tool.name(),
                    account(&verdict.crowd),
                    verdict.damaged.len(),
                    broken(&verdict),
                    verdict.took.as_secs_f64(),
                );
                samples(&verdict);
            }
        }
        faults.iter().take(20).for_each(|fault| eprintln!("{fault}"));
        if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn crowd(&self, tool: &Tool, beside: Option<&Tool>) -> Verdict {
        let folder = tempfile::Builder::new().prefix("ocistow-crowd-").tempdir().expect("there is room");
        Crowd { folder: folder.path(), tool, beside, writers: self.writers, rounds: self.rounds }.run()
    }
}

/// Where programs are looked for.
fn directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let go = std::env::var_os("HOME").map(|home| Path::new(&home).join("go/bin"));
    std::env::split_paths(&path).chain(go).collect()
}

fn account(account: &Account) -> String {
    format!("{} | {} | {}", account.done, account.lost.len(), account.failed.len())
}

/// How often no reader could have made sense of index.json, and how often that stayed so.
fn broken(verdict: &Verdict) -> String {
    match verdict.ruined {
        0 => format!("{} of {}", verdict.broken, verdict.looks),
        ruined => format!("{} of {}, {ruined} for good", verdict.broken, verdict.looks),
    }
}

/// Says on standard error what happened, by way of example.
fn samples(verdict: &Verdict) {
    let lists =
        [&verdict.crowd.lost, &verdict.crowd.failed, &verdict.beside.lost, &verdict.beside.failed, &verdict.misread];
    lists.iter().flat_map(|list| list.iter().take(3)).for_each(|what| eprintln!("  {what}"));
    eprintln!(
        "  readers looked {} times, {} of them saw what was not so; gc {:?}",
        verdict.readings,
        verdict.misread.len(),
        verdict.sweeps
    );
}
