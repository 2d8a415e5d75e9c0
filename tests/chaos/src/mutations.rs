//! The mutation check: it shows that the chaos test finds defects. Each patch in `tests/chaos/mutations` plants one defect.
//! The check applies each patch to a copy of the sources, builds it, and runs seeds until the auditor reports the finding
//! that the patch names.
//!
//! The header of a patch describes the defect. It ends with two lines: `Faults:` has the kinds of faults that the defect
//! needs (or `none`), and `Found as:` has words of the findings that count, separated by bars. Other findings do not count.
//! The sources themselves are never changed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;

use crate::Options;
use crate::faults::FaultKind;
use crate::run;

/// How long clients and faults run with each seed.
const LASTING: Duration = Duration::from_secs(8);
/// How long pending work may take. With some defects it never ends.
const REST: Duration = Duration::from_secs(25);
/// Findings that do not count are printed up to this number for each seed.
const PRINTED_MAX: usize = 3;
/// The printed length of a finding.
const FINDING_CHARS_MAX: usize = 160;
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A planted defect.
#[derive(Debug)]
struct Mutation {
    name: String,
    patch: PathBuf,
    faults: Vec<FaultKind>,
    found_as: Vec<String>,
}

impl Mutation {
    /// The command that applies the patch to a copy of the sources.
    fn apply_to(&self, tree: &Path) -> Command {
        let mut apply = Command::new("git");
        apply
            .args(["apply", "-C1"])
            .arg(&self.patch)
            .current_dir(tree);
        // The copy may lie in another repository, which git must not use.
        apply.env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree));
        apply
    }
}

/// Checks the named mutations, or all, with at most this number of seeds each; returns whether all were caught. A patch that
/// can't be applied or built counts as not caught. The copy and its builds stay in `target/mutations`.
///
/// # Errors
/// When a patch can't be read.
pub async fn check(names: &[String], seeds_max: u64) -> anyhow::Result<bool> {
    let scratch = Scratch::new()?;
    let mutations = read_all(names)?;
    let mut survivors = Vec::new();
    println!("{:<28} {:>5} {:>8}  found", "mutation", "seeds", "seconds");
    for mutation in &mutations {
        let begun = Instant::now();
        let found = match scratch.prepare(mutation) {
            Ok(()) => search(mutation, seeds_max, &scratch.programs()).await,
            Err(error) => {
                println!("{error:#}");
                None
            }
        };
        if found.is_none() {
            survivors.push(mutation.name.as_str());
        }
        let (seeds, found) = found.unwrap_or((seeds_max, "NOT CAUGHT".to_owned()));
        let found: String = found.chars().take(FINDING_CHARS_MAX).collect();
        println!(
            "{:<28} {seeds:>5} {:>8}  {found}",
            mutation.name,
            begun.elapsed().as_secs()
        );
    }
    println!(
        "{} of {} mutations were caught",
        mutations.len() - survivors.len(),
        mutations.len()
    );
    if !survivors.is_empty() {
        println!("not caught: {survivors:?}");
    }
    Ok(survivors.is_empty())
}

/// Runs seeds until one has a finding that counts; returns the seed and the finding.
async fn search(mutation: &Mutation, seeds_max: u64, programs: &Path) -> Option<(u64, String)> {
    for seed in 1..=seeds_max {
        let options = Options {
            seed,
            lasting: LASTING,
            rest: REST,
            faults: mutation.faults.clone(),
            programs: Some(programs.to_owned()),
            keeps_data: false,
        };
        let counts = |finding: &String| {
            mutation
                .found_as
                .iter()
                .any(|words| finding.contains(words))
        };
        let findings = match run(&options).await {
            Ok(report) => report.findings,
            Err(error) => vec![format!("the run failed: {error:#}")],
        };
        if let Some(found) = findings.iter().find(|finding| counts(finding)) {
            return Some((seed, found.clone()));
        }
        for finding in findings.iter().take(PRINTED_MAX) {
            println!("  {} seed {seed}, does not count: {finding}", mutation.name);
        }
    }
    None
}

fn read_all(names: &[String]) -> anyhow::Result<Vec<Mutation>> {
    let directory = Path::new(SOURCES).join("tests/chaos/mutations");
    let entries = std::fs::read_dir(&directory)
        .with_context(|| format!("reading {}", directory.display()))?;
    let mut patches: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    patches.sort();
    let mutations = patches
        .into_iter()
        .map(read)
        .collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(unknown) = names
        .iter()
        .find(|name| !mutations.iter().any(|mutation| mutation.name == **name))
    {
        bail!("unknown mutation {unknown}");
    }
    Ok(mutations
        .into_iter()
        .filter(|mutation| names.is_empty() || names.contains(&mutation.name))
        .collect())
}

fn read(patch: PathBuf) -> anyhow::Result<Mutation> {
    let text = std::fs::read_to_string(&patch)?;
    let name = patch
        .file_stem()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
        .to_owned();
    let trailer = |name: &str| {
        let lines = text.lines().take_while(|line| !line.starts_with("---"));
        let value = lines.filter_map(|line| line.strip_prefix(name)).next();
        value
            .map(str::trim)
            .with_context(|| format!("{} has no line that begins with {name}", patch.display()))
    };
    let kind = |name: &str| {
        FaultKind::from_str(name.trim(), false)
            .map_err(|error| anyhow::anyhow!("{error} in {}", patch.display()))
    };
    let faults = match trailer("Faults:")? {
        "none" => Vec::new(),
        kinds => kinds.split(',').map(kind).collect::<anyhow::Result<_>>()?,
    };
    let found_as = trailer("Found as:")?
        .split('|')
        .map(|rule| rule.trim().to_owned())
        .collect();
    Ok(Mutation {
        name,
        patch,
        faults,
        found_as,
    })
}

/// The copy of the sources, with its own target directory. Cargo builds only the changed crates again.
struct Scratch {
    tree: PathBuf,
    target: PathBuf,
}

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let directory = Path::new(SOURCES).canonicalize()?.join("target/mutations");
        let (tree, target) = (directory.join("tree"), directory.join("target"));
        std::fs::create_dir_all(&tree)?;
        Ok(Self { tree, target })
    }

    fn programs(&self) -> PathBuf {
        self.target.join("debug")
    }

    /// Copies the sources, applies the patch, and builds the programs.
    fn prepare(&self, mutation: &Mutation) -> anyhow::Result<()> {
        self.copy_sources()?;
        run_command(
            &mut mutation.apply_to(&self.tree),
            &format!("applying {}", mutation.name),
        )?;
        let mut cargo = holdfast_tests::cargo();
        cargo.args([
            "build",
            "--workspace",
            "--bin",
            "holdfast-ingress",
            "--bin",
            "holdfast-workers",
            "--locked",
            "--quiet",
        ]);
        cargo
            .arg("--target-dir")
            .arg(&self.target)
            .current_dir(&self.tree);
        run_command(&mut cargo, &format!("building {}", mutation.name))
    }

    /// Writes only the files that differ, so that cargo builds only the crates that changed.
    fn copy_sources(&self) -> anyhow::Result<()> {
        let listed = Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(SOURCES)
            .output()?;
        ensure!(listed.status.success(), "git ls-files failed");
        for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            let (from, to) = (Path::new(SOURCES).join(name), self.tree.join(name));
            let Ok(content) = std::fs::read(&from) else {
                continue;
            };
            if std::fs::read(&to).is_ok_and(|copied| copied == content) {
                continue;
            }
            std::fs::create_dir_all(to.parent().unwrap_or(&self.tree))?;
            std::fs::write(to, content)?;
        }
        Ok(())
    }
}

fn run_command(command: &mut Command, name: &str) -> anyhow::Result<()> {
    let output = command.output().with_context(|| name.to_owned())?;
    ensure!(
        output.status.success(),
        "{name} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_patch_applies() {
        for mutation in read_all(&[]).unwrap() {
            let mut apply = mutation.apply_to(Path::new(SOURCES));
            run_command(apply.arg("--check"), &mutation.name).unwrap();
        }
    }
}
