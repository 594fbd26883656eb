//! Adds nodes and edges up: on the server, or with a look at each. A graph has no hash of its own, so whether somebody changed a property and left the digest
//! shows only to who reads it.
use neo4rs::{BoltType, Graph, query};
use sightline_schemas::avro::RecordType;

use super::scan::{self, Held};
use super::{cypher, session};
use crate::digest::{Slot, Sums, slot_of};
use crate::sink::SinkError;

const WHAT: &str = "add the graph up";
/// Nodes or edges without a digest that are looked at one by one; where there are more, they were written by an older version.
const STRANGERS: usize = 1_000;
/// The graph is read in so many parts at once: each takes a thread of the server.
pub(super) const PARTS: usize = 2;

/// The digests alone, on the server.
pub(super) async fn sums(graph: &Graph, ty: RecordType) -> Result<Option<Sums>, SinkError> {
    let mut sums = Sums { unsealed: true, ..Sums::default() };
    let mut strangers = false;
    let Some((pattern, held)) = scan::pattern(ty) else { return Ok(Some(sums)) };
    session::read(graph, WHAT, query(&cypher::sums(pattern, held)), |row| {
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
        session::read(graph, WHAT, query(&statement), |row| {
            slots.push(slot_of(Held::of(&row)?.key(ty).as_bytes()));
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

/// The digests, and whether each node or edge is still what was written with its own.
pub(super) async fn sealed(graph: &Graph, ty: RecordType) -> Result<Sums, SinkError> {
    let (mut sums, other) = tokio::try_join!(sealed_part(graph, ty, 0), sealed_part(graph, ty, 1))?;
    sums.merge(&other);
    Ok(sums)
}

async fn sealed_part(graph: &Graph, ty: RecordType, part: i64) -> Result<Sums, SinkError> {
    let mut sums = Sums::default();
    let Some((pattern, held)) = scan::pattern(ty) else { return Ok(sums) };
    let statement = format!("MATCH {pattern} WHERE id(x) % {PARTS} = $part AND {held} {}", scan::columns(ty));
    session::read(graph, WHAT, query(&statement).param("part", part), |row| {
        let held = Held::of(&row)?;
        match held.digest() {
            Some(digest) => {
                sums.of(digest).add(digest);
                sums.doubtful.extend((!held.is_sealed(digest)).then(|| digest.slot()));
            }
            None => sums.doubtful.extend([slot_of(held.key(ty).as_bytes())]),
        }
        Ok(())
    })
    .await?;
    Ok(sums)
}
