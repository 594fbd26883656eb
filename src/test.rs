//! `test`: the tests that files of a configuration hold.
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::sources;

/// Exit code: a test failed.
const FAILED: u8 = 4;

/// Arguments of `test`.
#[derive(clap::Args)]
pub struct Args {
    /// Files of sources.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Runs the command.
pub fn test(args: &Args) -> Result<ExitCode> {
    let (mut tests, mut failures) = (0, Vec::new());
    for path in &args.files {
        let mapping = sources::read(path)?;
        tests += mapping.tests.len();
        failures.extend(mapping.failures()?.into_iter().map(|failure| format!("{}: {failure}", path.display())));
    }
    failures.iter().for_each(|failure| eprintln!("{failure}"));
    println!("{tests} tests, {} failures", failures.len());
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
