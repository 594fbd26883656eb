//! `validate-config`: every error of configuration files.
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::config::Config;

/// Exit code: a file has errors.
const INVALID: u8 = 2;

/// Arguments of `validate-config`.
#[derive(clap::Args)]
pub struct Args {
    /// Files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Warnings are errors too.
    #[arg(long)]
    strict: bool,
}

/// Exit code 0 when all are valid, 2 when not.
pub fn validate_config(args: &Args, environment: Option<&str>) -> Result<ExitCode> {
    let mut invalid = false;
    for file in &args.files {
        let mut faults = Config::check(file, environment).unwrap_or_else(|error| vec![format!("{error:#}")]);
        if faults.is_empty() && args.strict && Config::read(file, environment)?.connectors.is_empty() {
            faults.push(format!("{}:1: connectors: there are none: nothing would be stored", file.display()));
        }
        faults.iter().for_each(|fault| eprintln!("sightline: {fault}"));
        if faults.is_empty() {
            println!("{}: valid", file.display());
        }
        invalid |= !faults.is_empty();
    }
    Ok(if invalid { ExitCode::from(INVALID) } else { ExitCode::SUCCESS })
}
