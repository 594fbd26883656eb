//! `state.store`: a bucket or a directory that snapshots are copied to.
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, ObjectStoreExt as _, RetryConfig};
use sightline_topology::state::store::{StateStore, StoreError};
use tokio::runtime::Runtime;

use crate::config::{Config, StateConfig};

/// A larger object is sent in parts of this size: enough to keep requests few, and little in memory. S3 takes 10,000 parts, so 160 GB.
const PART: usize = 16 << 20;

/// The store of a configuration, if it has one. Credentials are options, or variables of the environment (`AWS_*`).
pub fn open(config: &Config) -> Result<Option<Arc<dyn StateStore>>> {
    let Some(address) = &config.state.store else { return Ok(None) };
    let opened = Objects::open(address, &config.state, &config.cell);
    Ok(Some(Arc::new(opened.with_context(|| format!("failed to open state.store {address}"))?)))
}

/// An object store, as the threads of the engine use it: waiting.
struct Objects {
    store: Box<dyn ObjectStore>,
    prefix: Path,
    address: String,
    runtime: Runtime,
}

impl Objects {
    fn open(address: &str, state: &StateConfig, cell: &str) -> Result<Self> {
        let (store, prefix): (Box<dyn ObjectStore>, Path) = match address.split_once("://") {
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                (Box::new(s3(bucket, &state.options)?), Path::parse(prefix.trim_end_matches('/'))?)
            }
            Some(("file", directory)) => (Box::new(directory_store(directory)?), Path::default()),
            None => (Box::new(directory_store(address)?), Path::default()),
            Some((scheme, _)) => bail!("{scheme}:// is not known; use s3://bucket/prefix, or a directory"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start the async runtime")?;
        // Two cells may share a bucket.
        Ok(Self { store, prefix: prefix.join(cell), address: address.to_owned(), runtime })
    }

    fn failed(&self, what: String, error: impl std::fmt::Display) -> StoreError {
        StoreError { what, address: self.address.clone(), message: error.to_string() }
    }

    async fn put_all(&self, at: &Path, from: &mut dyn Read) -> Result<(), String> {
        let told = |error: object_store::Error| error.to_string();
        let first = part(from)?;
        if first.len() < PART {
            return self.store.put(at, first.into()).await.map(drop).map_err(told);
        }
        let mut upload = self.store.put_multipart(at).await.map_err(told)?;
        let mut next = Ok(first);
        let sent = loop {
            match next {
                Ok(bytes) if bytes.is_empty() => break upload.complete().await.map(drop).map_err(told),
                Ok(bytes) => {
                    if let Err(error) = upload.put_part(bytes.into()).await {
                        break Err(told(error));
                    }
                }
                Err(error) => break Err(error),
            }
            next = part(from);
        };
        if sent.is_err() {
            // Best effort: buckets have a rule for parts that were left.
            let _ = upload.abort().await;
        }
        sent
    }

    async fn get_all(&self, at: &Path, into: &mut dyn Write) -> Result<(), String> {
        let mut bytes = self.store.get(at).await.map_err(|error| error.to_string())?.into_stream();
        while let Some(chunk) = bytes.next().await {
            into.write_all(&chunk.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl StateStore for Objects {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        let names = self.store.list(Some(&self.prefix)).map_ok(|object| object.location.filename().unwrap_or_default().to_owned());
        self.runtime.block_on(names.try_collect()).map_err(|error| self.failed("list objects".into(), error))
    }

    fn put(&self, name: &str, from: &mut dyn Read) -> Result<(), StoreError> {
        let put = self.runtime.block_on(self.put_all(&self.prefix.clone().join(name), from));
        put.map_err(|error| self.failed(format!("write {name}"), error))
    }

    fn get(&self, name: &str, into: &mut dyn Write) -> Result<(), StoreError> {
        let got = self.runtime.block_on(self.get_all(&self.prefix.clone().join(name), into));
        got.map_err(|error| self.failed(format!("read {name}"), error))
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        match self.runtime.block_on(self.store.delete(&self.prefix.clone().join(name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(format!("remove {name}"), error)),
        }
    }
}

fn s3(bucket: &str, options: &BTreeMap<String, String>) -> Result<impl ObjectStore> {
    // Of the providers of TLS that a build may hold, this one is meant; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // The thread that copies tries again by itself, and a service that ends does not wait for a server that is away. A large object may take its time
    // as long as bytes come.
    let retry = RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(15), ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::from_env()
        .with_retry(retry)
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), "1 hour")
        .with_bucket_name(bucket);
    for (name, value) in options {
        let key: AmazonS3ConfigKey =
            name.parse().map_err(|_| anyhow::anyhow!("state.options.{name} is not an option of S3; see docs/snapshot.md"))?;
        builder = builder.with_config(key, value);
    }
    Ok(builder.build()?)
}

fn directory_store(directory: &str) -> Result<LocalFileSystem> {
    std::fs::create_dir_all(directory).with_context(|| format!("failed to make {directory}"))?;
    Ok(LocalFileSystem::new_with_prefix(directory)?.with_fsync(true))
}

/// The next part: shorter than [`PART`] only at the end.
fn part(from: &mut dyn Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    from.take(PART as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
