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
pub fn validate_config(args: &Args) -> Result<ExitCode> {
    let mut invalid = false;
    for file in &args.files {
        match Config::read(file) {
            Ok(config) => {
                if args.strict && config.connectors.is_empty() {
                    eprintln!("sightline: {}: no connectors: nothing would be stored", file.display());
                    invalid = true;
                }
                println!("{}: valid", file.display());
            }
            Err(error) => {
                let cause = error.chain().skip(1).map(ToString::to_string).collect::<Vec<_>>().join(": ");
                let hint = unknown_key(&cause)
                    .and_then(|(key, known)| closest(key, &known))
                    .map(|key| format!("; did you mean `{key}`?"))
                    .unwrap_or_default();
                eprintln!("sightline: {}: {cause}{hint}", file.display());
                invalid = true;
            }
        }
    }
    Ok(if invalid { ExitCode::from(INVALID) } else { ExitCode::SUCCESS })
}

/// The key and its valid siblings, out of serde's message: "unknown field `a`, expected one of `b`, `c` at line 1 column 1".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.split_once("unknown field `")?.1;
    let (key, rest) = rest.split_once('`')?;
    Some((key, rest.split('`').skip(1).step_by(2).collect()))
}

fn closest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (distance(key, candidate), *candidate))
        .min()
        .filter(|(distance, _)| *distance <= 1 + key.len() / 3)
        .map(|(_, key)| key)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_valid_key_is_named() {
        let (key, known) = unknown_key("unknown field `workerz`, expected one of `cell`, `workers` at line 2 column 1").unwrap_or_default();
        assert_eq!((key, closest(key, &known)), ("workerz", Some("workers")));
        assert_eq!(closest("zzz", &["cell"]), None);
    }
}
