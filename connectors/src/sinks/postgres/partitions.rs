//! The partitions of `event`: one a day (UTC), named `event_YYYYMMDD`, made when the day's first event comes.
use std::collections::BTreeSet;

use sightline_schemas::avro::{OutputRecord, RecordType};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::failed;
use crate::batch::{Batch, Op};
use crate::sink::SinkError;

const DAY: i64 = 86_400_000_000;
/// Events of forged or broken clocks must not make a table a day without end: what is older or newer goes to `event_other`.
const OLDEST: i64 = 400;
const NEWEST: i64 = 2;

/// Makes the partitions that the batch needs, outside its transaction: dropping old ones must not wait for batches.
pub(super) async fn ensure(client: &Client, schema: &str, batch: &Batch, known: &mut BTreeSet<i64>) -> Result<(), SinkError> {
    let today = jiff::Timestamp::now().as_microsecond().div_euclid(DAY);
    let mut days = BTreeSet::new();
    for record in batch.records.iter().filter(|record| record.ty == RecordType::Event) {
        if let Op::Upsert(OutputRecord::Event(event)) = &record.op {
            let day = event.timestamp.0.div_euclid(DAY);
            days.extend(((today - OLDEST)..=(today + NEWEST)).contains(&day).then_some(day).filter(|day| !known.contains(day)));
        }
    }
    for day in days {
        let (from, to) = (date(day), date(day + 1));
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {schema}.event_{name} PARTITION OF {schema}.event \
             FOR VALUES FROM ('{from} 00:00:00+00') TO ('{to} 00:00:00+00')",
            name = from.replace('-', ""),
        );
        match client.batch_execute(&sql).await {
            Ok(()) => {}
            // `event_other` holds events of that day from when it lay in the future: then all of that day go there.
            Err(error) if error.code() == Some(&SqlState::CHECK_VIOLATION) => {}
            Err(error) => return Err(failed("create a partition of event")(error)),
        }
        known.insert(day);
    }
    Ok(())
}

fn date(day: i64) -> String {
    jiff::Timestamp::from_second(day * 86_400).map_or_else(|_| String::new(), |at| at.to_string().chars().take(10).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_day_is_named_by_its_date() {
        assert_eq!((super::date(0).as_str(), super::date(20_454).as_str()), ("1970-01-01", "2026-01-01"));
    }
}
