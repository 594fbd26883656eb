//! The command line: one file a command.
mod adopt;
mod allocator;
mod analyze;
mod config;
mod demo;
mod difference;
mod dlq;
mod dump;
mod feed;
mod http;
mod intake;
mod process;
mod rebuild;
mod replay;
mod run;
mod service;
mod shadow;
mod sources;
mod state_store;
mod tap;
mod test;
mod validate_config;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Sightline: which event touched which known-bad thing, and who is behind it.
#[derive(Parser)]
#[command(version, about, max_term_width = 120)]
struct Cli {
    /// Say more; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Which of the configuration's `environments` applies.
    #[arg(long, global = true, env = "SIGHTLINE_ENVIRONMENT", value_name = "NAME")]
    environment: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// The main job with no server installed, on bundled real intelligence and events.
    Demo(demo::Args),
    /// The service: the dataflow, and the connectors of the configuration.
    Run(run::Args),
    /// Reads files and folders: into a running cell, or through the embedded topology into a folder.
    Process(process::Args),
    /// What is in a file: members, formats, events, faults, times, fields, observables.
    Analyze(analyze::Args),
    /// Every error of configuration files, with the closest valid key.
    ValidateConfig(validate_config::Args),
    /// The tests in files of sources.
    Test(test::Args),
    /// Compares each store with the output topics.
    Verify(verify::Args),
    /// Gives records of the output topics to a store again, or shows what another configuration would change.
    Replay(replay::Args),
    /// The dataflow's state.
    Topology(rebuild::Args),
    /// Dead letters.
    Dlq(dlq::Args),
    /// The decoded records of a topic.
    Tap(tap::Args),
    /// Declares or unlearns feeds.
    Feed(feed::Args),
}

fn main() -> ExitCode {
    allocator::return_memory_soon();
    let cli = Cli::parse();
    start_logging(cli.verbose, cli.log_format);
    if let Err(error) = sightline_failpoints::arm() {
        eprintln!("sightline: {error}");
        return ExitCode::FAILURE;
    }
    // A panic in any thread leaves a state that nobody vouches for: end, restart, replay. Only a parser's becomes a dead letter instead.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Another process of the cell has ended, and this one does too: nothing that a backtrace would explain.
        match panic.payload_as_str().filter(|message| message.starts_with("timely communication error")) {
            Some(message) => eprintln!("sightline: {message}; another process of the cell has ended, start all of them again"),
            None => report(panic),
        }
        if !sightline_topology::guard::is_guarded() {
            std::process::abort();
        }
    }));
    let environment = cli.environment.as_deref();
    let done = match cli.command {
        Command::Demo(args) => demo::demo(&args),
        Command::Run(args) => run::run(&args, environment),
        Command::Process(args) => process::process(&args, environment),
        Command::Analyze(args) => analyze::analyze(&args, environment),
        Command::ValidateConfig(args) => validate_config::validate_config(&args, environment),
        Command::Test(args) => test::test(&args),
        Command::Verify(args) => verify::verify(&args, environment),
        Command::Replay(args) => replay::replay(&args, environment),
        Command::Topology(args) => rebuild::topology(&args, environment),
        Command::Dlq(args) => dlq::dlq(&args, environment),
        Command::Tap(args) => tap::tap(&args, environment),
        Command::Feed(args) => feed::feed(&args, environment),
    };
    done.unwrap_or_else(|error| {
        eprintln!("sightline: {error:#}");
        ExitCode::FAILURE
    })
}

fn start_logging(verbose: u8, format: LogFormat) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SIGHTLINE_LOG").unwrap_or_else(|_| default.into());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}
