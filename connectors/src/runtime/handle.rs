//! Starts connectors, watches them, stops them.
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sightline_log::{Log, LogError};
use sightline_schemas::avro::RecordType;
use sightline_schemas::registry::SchemaRegistry;
use sightline_schemas::topic::Topics;
use tokio::sync::{mpsc, watch};

use super::agreement::Ask;
use super::backoff::Backoff;
use super::config::{ConfigError, ConnectorConfig};
use super::dead_letter::DeadLetters;
use super::status::{ConnectorState, ConnectorStatus, PartitionStatus, Progress};
use super::task::{Task, ranges};
use super::write::BatchWriter;
use super::{registry, status};
use crate::sink::SinkConnector;

/// Running connectors. Dropping it stops them without waiting.
pub struct Connectors {
    pub(super) log: Arc<dyn Log>,
    topics: Topics,
    pub(super) running: Vec<Running>,
    stop: watch::Sender<bool>,
}

pub(super) struct Running {
    name: String,
    class: String,
    pub(super) types: Vec<RecordType>,
    progress: watch::Receiver<Progress>,
    pub(super) asks: mpsc::Sender<Ask>,
    /// None once it was waited for.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Why connectors did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A configuration; nothing was started.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system gave no thread.
    #[error("failed to start connector {name}: {cause}")]
    Thread {
        /// Connector.
        name: String,
        /// Cause.
        cause: std::io::Error,
    },
}

/// Why a store does not hold all that the log held.
#[derive(Debug, thiserror::Error)]
pub enum NotCaughtUp {
    /// A connector ended.
    #[error("connector {name} is {state}: {error}")]
    Ended {
        /// Connector.
        name: String,
        /// State.
        state: ConnectorState,
        /// Its last error.
        error: String,
    },
    /// It takes longer.
    #[error("connector {name} has not caught up in time{}", .error.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    TimedOut {
        /// Connector.
        name: String,
        /// Its last error.
        error: Option<String>,
    },
    /// The log could not say where it ends.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Connectors {
    /// Starts a connector for each configuration, on threads of their own.
    ///
    /// # Errors
    /// [`StartError`]; all configurations are checked before the first connector starts. A store that is away is no error: its connector
    /// is [`ConnectorState::Retrying`].
    pub fn start(
        log: Arc<dyn Log>,
        registry: Arc<dyn SchemaRegistry>,
        topics: Topics,
        configs: Vec<ConnectorConfig>,
    ) -> Result<Self, StartError> {
        let mut sinks = Vec::with_capacity(configs.len());
        for config in configs {
            let sink = registry::build(&config)?;
            sinks.push((config, sink));
        }
        Self::start_sinks(log, registry, topics, sinks)
    }

    /// Starts connectors whose sinks were made by the caller, of a class of its own perhaps.
    ///
    /// # Errors
    /// As [`Connectors::start`].
    pub fn start_sinks(
        log: Arc<dyn Log>,
        registry: Arc<dyn SchemaRegistry>,
        topics: Topics,
        sinks: Vec<(ConnectorConfig, Box<dyn SinkConnector>)>,
    ) -> Result<Self, StartError> {
        for (at, (config, sink)) in sinks.iter().enumerate() {
            config.validate()?;
            config.record_types(sink.supports())?;
            if sinks[..at].iter().any(|(other, _)| other.name == config.name) {
                return Err(ConfigError::Twice(config.name.clone()).into());
            }
        }
        let (stop, stopped) = watch::channel(false);
        let mut connectors = Self { log, topics, running: Vec::new(), stop };
        for (config, sink) in sinks {
            let running = connectors.spawn(config, sink, Arc::clone(&registry), stopped.clone())?;
            connectors.running.push(running);
        }
        Ok(connectors)
    }

    fn spawn(
        &self,
        config: ConnectorConfig,
        sink: Box<dyn SinkConnector>,
        registry: Arc<dyn SchemaRegistry>,
        stop: watch::Receiver<bool>,
    ) -> Result<Running, StartError> {
        let (name, class) = (config.name.clone(), config.class.clone());
        let types = config.record_types(sink.supports())?;
        let (sender, progress) = watch::channel(Progress::new());
        let writer = BatchWriter {
            name: name.clone(),
            sink,
            dead_letters: DeadLetters::new(Arc::clone(&self.log), &self.topics.dlq_sink(&name)),
            tolerance: config.errors.tolerance,
            backoff: Backoff::new(&config.backoff),
            progress: sender,
            stop,
        };
        let (log, topics) = (Arc::clone(&self.log), self.topics.clone());
        // One question waits while one is answered.
        let (asks, asked) = mpsc::channel(1);
        let task = Task { config, types: types.clone(), topics, log, registry, writer, asks: asked };
        // A runtime of one thread each: a sink may block without harm to the others.
        let thread_error = |cause| StartError::Thread { name: name.clone(), cause };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(thread_error)?;
        let thread =
            std::thread::Builder::new().name(format!("sink-{name}")).spawn(move || runtime.block_on(task.run())).map_err(thread_error)?;
        Ok(Running { name: name.clone(), class, types, progress, asks, thread: Mutex::new(Some(thread)) })
    }

    /// Each connector at this moment, in the order of the configurations. Asks the log where its partitions end, so it may take a moment.
    pub fn status(&self) -> Vec<ConnectorStatus> {
        self.running.iter().map(|running| running.status(&*self.log)).collect()
    }

    /// Waits until every store holds all that the log holds now.
    ///
    /// # Errors
    /// [`NotCaughtUp`] when a connector ends, or takes longer than `timeout`.
    pub async fn caught_up(&self, timeout: Duration) -> Result<(), NotCaughtUp> {
        let deadline = tokio::time::Instant::now() + timeout;
        for running in &self.running {
            let ends = ranges(&*self.log, &running.types, &self.topics)?;
            let ends = ends.into_iter().map(|(partition, range)| (partition, range.end)).collect();
            let mut progress = running.progress.clone();
            let ended = |state| matches!(state, ConnectorState::Failed | ConnectorState::Stopped);
            let wait = progress.wait_for(|progress| progress.reached(&ends) || ended(progress.state));
            let waited = tokio::time::timeout_at(deadline, wait).await;
            let (name, error) = (running.name.clone(), running.progress.borrow().error.clone());
            match waited {
                Ok(Ok(progress)) if progress.reached(&ends) => {}
                Ok(_) => {
                    let state = running.progress.borrow().state;
                    return Err(NotCaughtUp::Ended { name, state, error: error.unwrap_or_else(|| "it was stopped".into()) });
                }
                Err(_) => return Err(NotCaughtUp::TimedOut { name, error }),
            }
        }
        Ok(())
    }

    /// Writes the batches in hand, closes the stores, and returns the last status of each connector.
    pub async fn stop(&self) -> Vec<ConnectorStatus> {
        self.stop.send_replace(true);
        let mut last = Vec::new();
        for running in &self.running {
            // The sender is dropped when the thread ends, whatever way it ends.
            let mut progress = running.progress.clone();
            while progress.changed().await.is_ok() {}
            last.push(running.status(&*self.log));
            if let Some(thread) = running.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
                let _ = thread.join();
            }
        }
        last
    }

    /// What each connector is doing, and its last failure. Asks nobody.
    pub fn states(&self) -> Vec<(String, ConnectorState, Option<String>)> {
        let state = |running: &Running| {
            let progress = running.progress.borrow();
            (running.name.clone(), progress.state, progress.error.clone())
        };
        self.running.iter().map(state).collect()
    }
}

impl Running {
    pub(super) fn status(&self, log: &dyn Log) -> ConnectorStatus {
        let Progress { state, error, written, batches, retries, dead_letters, next } = status::Progress::clone(&self.progress.borrow());
        let partitions = next
            .unwrap_or_default()
            .into_iter()
            .map(|(partition, next)| PartitionStatus { end: log.range(&partition).ok().map(|range| range.end), partition, next })
            .collect();
        ConnectorStatus {
            name: self.name.clone(),
            class: self.class.clone(),
            state,
            error,
            written,
            batches,
            retries,
            dead_letters,
            partitions,
        }
    }
}
