//! Takes out documents beside the running connector. There are no transactions, but each write names the sequence number of the document as it was
//! looked at: whatever came between makes it fail, and stays.
use std::collections::HashMap;

use sightline_schemas::avro::RecordType;

use super::bulk::{self, Action, Item, Told};
use super::client::Client;
use super::config::ElasticsearchConfig;
use super::{conflict, document, scan};
use crate::batch::{Batch, Op};
use crate::sink::{Mended, SinkError, Wrong};

/// Puts the batch's record in the place of a wrong document of its key, and deletes those that no record belongs to. Returns how many had changed.
pub(super) async fn take_out(client: &Client, config: &ElasticsearchConfig, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
    let places: Vec<(&str, &str)> = wrong.iter().map(|wrong| wrong.stored.place.split_once('/').unwrap_or_default()).collect();
    if places.is_empty() {
        return Ok(Mended::default());
    }
    let mut records = HashMap::new();
    for ty in super::TYPES {
        let newest = batch.newest(*ty).into_iter().map(|(_, record)| record);
        // Nothing is ever marked as deleted in a data stream.
        let newest = newest.filter(|record| *ty != RecordType::Event || record.op != Op::Delete);
        records.extend(newest.map(|record| ((*ty, record.key()), record)));
    }
    let (mut items, mut left) = (Vec::new(), 0);
    for (at, (got, Wrong { ty, stored })) in conflict::get(client, &places, "").await?.into_iter().zip(wrong).enumerate() {
        let (version, sequence, term) = (got.version + 1, got.sequence, got.term);
        let (index, id) = (got.index.as_str(), got.id.as_str());
        if !got.found || scan::stored(index, id, got.source) != *stored {
            left += 1;
            continue;
        }
        let lines = match records.get(&(*ty, stored.key.clone())).filter(|record| document::id(record) == id) {
            Some(record) => Action::Replace { index, id, if_seq_no: sequence, if_primary_term: term }.lines(Some(record), Some(version)),
            None => Action::Delete { index, id, if_seq_no: sequence, if_primary_term: term }.lines(None, None),
        };
        // What cannot be made into a document is refused when the batch is written.
        items.extend(lines.ok().map(|lines| Item { at, lines }));
    }
    let mut told = Told::default();
    bulk::send(client, config, items, &mut told).await?;
    Ok(Mended { left: left + told.conflicts.len() as u64, written: told.written })
}
