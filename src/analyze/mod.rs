//! `analyze`: tells a stranger what is in a file, with the functions that the service reads it with.
mod counts;
mod found;
mod report;
mod survey;

use std::fs::File;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use sightline_formats::Limits;
use sightline_formats::sources::Sources;
use sightline_formats::unpack::{unpack_file, unpack_stream};

use crate::config::Config;
use crate::intake::Progress;
use crate::process::exit_code;
use crate::sources;
use survey::Survey;

/// Arguments of `analyze`.
#[derive(clap::Args)]
pub struct Args {
    /// A log, intelligence, or an archive of either.
    file: PathBuf,
    /// Print each event, flattened, as a line of JSON, before the summary.
    #[arg(long)]
    show_events: bool,
    /// The summary as JSON, with all that was refused.
    #[arg(long)]
    json: bool,
    /// Bounds and sources of this configuration, instead of the defaults.
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Runs the command.
pub fn analyze(args: &Args, environment: Option<&str>) -> Result<ExitCode> {
    let started = Instant::now();
    let (limits, sources) = match &args.config {
        Some(path) => {
            let topology = Config::read(path, environment)?.topology;
            (topology.limits, topology.sources)
        }
        None => (Limits::default(), sources::load(Vec::new(), &[])?),
    };
    let sources = Sources::new(sources)?;
    let failed = || format!("failed to read {}", args.file.display());
    let file = File::open(&args.file).with_context(failed)?;
    let metadata = file.metadata().with_context(failed)?;
    let name = args.file.file_name().map_or_else(|| "file".into(), |name| name.to_string_lossy().into_owned());
    let progress = Progress::of(metadata.len());
    progress.file(&name);
    let mut survey = Survey::new(&limits, sources, args.show_events, args.json);
    let mut failure = None;
    let mut visit = |unpacked: sightline_formats::unpack::Unpacked<'_>| match survey.member(unpacked) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    };
    let counted = progress.counted(&file);
    if metadata.is_file() {
        unpack_file(&name, counted, &limits, &mut visit).with_context(failed)?;
    } else {
        unpack_stream(&name, counted, &limits, &mut visit).with_context(failed)?;
    }
    progress.finish();
    if let Some(error) = failure {
        return Err(error);
    }
    let found = survey.finish(&name, metadata.len(), started.elapsed());
    if args.json {
        report::json(&found)?
    } else {
        report::text(&found)?
    }
    Ok(exit_code(found.is_nothing(), found.refused > 0))
}
