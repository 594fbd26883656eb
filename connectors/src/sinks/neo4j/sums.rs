//! Adds nodes and edges up, on the server. A graph has no hash of its own, so nobody can tell here whether somebody changed a property and left the digest.
use neo4rs::{BoltType, Graph, query};
use sightline_schemas::avro::RecordType;

use super::{cypher, scan, session};
use crate::digest::{Slot, Sums, slot_of};
use crate::sink::SinkError;

/// Nodes or edges without a digest that are looked at one by one; where there are more, they were written by an older version.
const STRANGERS: usize = 1_000;

pub(super) async fn sums(graph: &Graph, ty: RecordType) -> Result<Option<Sums>, SinkError> {
    let mut sums = Sums { unsealed: true, ..Sums::default() };
    let mut strangers = false;
    let Some((pattern, held)) = scan::pattern(ty) else { return Ok(Some(sums)) };
    session::read(graph, "add the graph up", query(&cypher::sums(pattern, held)), |row| {
        let slot = match row.get::<BoltType>("slot")? {
            BoltType::Integer(slot) => Slot::try_from(slot.value).ok(),
            _ => None,
        };
        match slot {
            Some(slot) => {
                let sum = &mut sums.slots[usize::from(slot)];
                sum.count = row.get::<i64>("count")?.cast_unsigned();
                let (high, low) = (row.get::<i64>("high")?.cast_unsigned(), row.get::<i64>("low")?.cast_unsigned());
                sum.digests = (high << 32).wrapping_add(low);
                sum.epochs = row.get::<i64>("epochs")?.cast_unsigned();
            }
            None => strangers = true,
        }
        Ok(())
    })
    .await?;
    if strangers {
        let statement = format!("MATCH {pattern} WHERE {held} AND x.digest IS NULL {} LIMIT {}", scan::columns(ty), STRANGERS + 1);
        let mut slots = Vec::new();
        session::read(graph, "add the graph up", query(&statement), |row| {
            slots.push(slot_of(scan::stored(ty, &row)?.key.as_bytes()));
            Ok(())
        })
        .await?;
        if slots.len() > STRANGERS {
            sums.doubt_all();
        }
        sums.doubtful.extend(slots);
    }
    Ok(Some(sums))
}
