//! `feed`: declarations on `in.control`.
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use sightline_log::{Headers, NewRecord};

use crate::config::{Config, FeedConfig};
use crate::service::Servers;

/// Arguments of `feed`.
#[derive(clap::Args)]
pub struct Args {
    /// Configuration.
    #[arg(short, long)]
    config: PathBuf,
    /// Tenant.
    #[arg(long, default_value = "default", global = true)]
    tenant: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Packages of the feed add to one another, or, as a snapshot, replace one another.
    Declare {
        /// Name.
        name: String,
        /// The newest package is the whole feed.
        #[arg(long)]
        snapshot: bool,
    },
    /// Unlearns all that the feed has said; what other feeds support stays.
    Remove {
        /// Name.
        name: String,
    },
}

/// Runs the command.
pub fn feed(args: &Args, environment: Option<&str>) -> Result<ExitCode> {
    let config = Config::read(&args.config, environment)?;
    let servers = Servers::reach(&config)?;
    servers.ensure_topics(&config)?;
    match &args.what {
        What::Declare { name, snapshot } => {
            declare(&servers, &[FeedConfig { name: name.clone(), tenant: args.tenant.clone(), snapshot: *snapshot }])?
        }
        What::Remove { name } => remove(&servers, &args.tenant, name)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes declarations.
pub fn declare(servers: &Servers, feeds: &[FeedConfig]) -> Result<()> {
    feeds.iter().try_for_each(|feed| write(servers, &feed.tenant, &feed.name, &json!({ "snapshot": feed.snapshot })))
}

/// Unlearns a feed.
pub fn remove(servers: &Servers, tenant: &str, name: &str) -> Result<()> {
    write(servers, tenant, name, &json!({ "removed": true }))
}

fn write(servers: &Servers, tenant: &str, name: &str, change: &serde_json::Value) -> Result<()> {
    let mut value = json!({ "kind": "feed", "tenant": tenant, "feed": name });
    if let (Some(value), Some(change)) = (value.as_object_mut(), change.as_object()) {
        value.extend(change.clone());
    }
    let mut writer = servers.log.writer()?;
    writer.send(NewRecord {
        topic: servers.topics.control_in().into(),
        partition: Some(0),
        key: Some(format!("feed:{tenant}:{name}").into()),
        value: Some(value.to_string().into()),
        headers: Headers::default(),
    })?;
    Ok(writer.flush()?)
}
