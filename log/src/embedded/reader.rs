//! Reads committed chunks.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::frame;
use super::store::Store;
use crate::error::LogError;
use crate::record::{Offset, Record, TopicPartition};
use crate::traits::LogReader;

pub(super) struct EmbeddedReader {
    store: Arc<Store>,
    partitions: Vec<Position>,
    /// Which partition is asked first: each in turn, so that none starves.
    turn: usize,
}

struct Position {
    partition: TopicPartition,
    next: i64,
    /// Records of the last chunk that were more than was asked for.
    loaded: VecDeque<Record>,
}

impl EmbeddedReader {
    pub(super) fn new(store: Arc<Store>, from: &[(TopicPartition, Offset)]) -> Result<Self, LogError> {
        let mut partitions = Vec::new();
        for (partition, offset) in from {
            let range = store.range(partition)?;
            if *offset < range.start {
                return Err(LogError::OffsetExpired { partition: partition.clone(), asked: *offset, earliest: range.start });
            }
            partitions.push(Position { partition: partition.clone(), next: offset.0, loaded: VecDeque::new() });
        }
        Ok(Self { store, partitions, turn: 0 })
    }

    fn take(&mut self, into: &mut Vec<Record>, max: usize) -> Result<usize, LogError> {
        let mut taken = 0;
        for _ in 0..self.partitions.len() {
            let at = self.turn % self.partitions.len();
            self.turn = at + 1;
            let position = &mut self.partitions[at];
            if position.loaded.is_empty()
                && let Some(chunk) = self.store.chunk(&position.partition, position.next)?
            {
                let records =
                    frame::records(&chunk.bytes, &chunk.topic, position.partition.partition, chunk.base, chunk.count, chunk.timestamp);
                let damaged = || LogError::Fatal {
                    what: "read the embedded log",
                    message: format!("{} offset {} is damaged", position.partition, chunk.base),
                };
                position.loaded.extend(records.ok_or_else(damaged)?.into_iter().filter(|record| record.offset.0 >= position.next));
            }
            while taken < max
                && let Some(record) = position.loaded.pop_front()
            {
                position.next = record.offset.0 + 1;
                into.push(record);
                taken += 1;
            }
            if taken >= max {
                break;
            }
        }
        Ok(taken)
    }
}

impl LogReader for EmbeddedReader {
    fn poll(&mut self, into: &mut Vec<Record>, max: usize, timeout: Duration) -> Result<usize, LogError> {
        let taken = self.take(into, max)?;
        if taken > 0 || timeout.is_zero() || self.partitions.is_empty() {
            return Ok(taken);
        }
        let partitions = &self.partitions;
        self.store.wait(|end| partitions.iter().any(|position| end(&position.partition) > position.next), timeout);
        self.take(into, max)
    }

    fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        self.partitions.iter().map(|position| (position.partition.clone(), Offset(position.next))).collect()
    }
}
