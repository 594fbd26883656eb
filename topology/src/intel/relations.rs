//! Relations ⋈ their two ends.
//!
//! A relation is in force while it is asserted and both ends exist, in whatever order the three come. A relationship whose end has not
//! come after a grace period is a dead letter (stage `resolve`); should the end come later, the relation appears all the same.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::record::{RelationRecord, Stage};
use sightline_schemas::{EntityKey, Micros};

use super::Tick;
use super::head::RelationFact;
use crate::by_epoch::{ByEpoch, Flow, Time, Update};
use crate::epoch::Epoch;
use crate::output::{Emission, Emitter, Rejection};
use crate::source::SourceRef;
use crate::state::documents::Documents;
use crate::state::table::vnode_of;
use crate::tables::{TableId, Tables};

/// Relations in force, and relationships that wait for an end.
pub struct Joined<'scope> {
    /// In force.
    pub relations: VecCollection<'scope, Time, RelationFact, isize>,
    /// Waiting.
    pub waiting: VecCollection<'scope, Time, RelationFact, isize>,
}

/// Joins asserted relations with the entities that exist.
pub fn join_ends<'scope>(
    asserted: VecCollection<'scope, Time, RelationFact, isize>,
    present: VecCollection<'scope, Time, EntityKey, isize>,
) -> Joined<'scope> {
    let present = present.arrange_by_self_named("Present");
    let relationships = asserted.clone().filter(RelationFact::is_relationship);
    // The source of an embedded reference is the entity that holds it, so only its target is in question.
    let references = asserted.filter(|fact| !fact.is_relationship());
    let from_source = relationships
        .clone()
        .map(|fact| (fact.source, fact))
        .arrange_by_key_named("RelationsBySource")
        .join_core(present.clone(), |_source, fact, ()| Some((fact.target, *fact)));
    let relations = from_source
        .concat(references.map(|fact| (fact.target, fact)))
        .arrange_by_key_named("RelationsByTarget")
        .join_core(present, |_target, fact, ()| Some(*fact));
    let waiting = relationships.concat(relations.clone().filter(RelationFact::is_relationship).negate());
    Joined { relations, waiting }
}

/// Writes the rows of relations. The document is read where its entity's tables are, so the route is the relation's own key.
pub fn relation_rows<'scope>(
    relations: Flow<'scope, Update<RelationFact>>,
    resume: Epoch,
    emitter: Emitter,
    documents: Rc<RefCell<Documents>>,
) -> Flow<'scope, Emission> {
    relations.by_epoch(
        "RelationRows",
        resume,
        |(fact, _, _)| u64::from(vnode_of(fact.id.route())),
        |_| false,
        move |epoch, updates, out| {
            if epoch <= resume {
                return;
            }
            let mut net: BTreeMap<RelationFact, isize> = BTreeMap::new();
            for (fact, _, diff) in updates {
                *net.entry(fact).or_default() += diff;
            }
            // For one key a withdrawal and an assertion in one epoch are an update.
            let mut rows: BTreeMap<EntityKey, (RelationFact, bool)> = BTreeMap::new();
            for (fact, diff) in net {
                if diff > 0 {
                    rows.insert(fact.id, (fact, true));
                } else if diff < 0 {
                    rows.entry(fact.id).or_insert((fact, false));
                }
            }
            for (id, (fact, asserted)) in rows {
                if asserted {
                    out.push(emitter.upsert(&OutputRecord::Relation(relation_record(&fact, &documents.borrow())), fact.origin));
                } else {
                    out.push(emitter.tombstone(RecordType::Relation, id.tenant, &id.id.to_string(), fact.origin));
                }
            }
        },
    )
}

fn relation_record(fact: &RelationFact, documents: &Documents) -> RelationRecord {
    RelationRecord {
        tenant: fact.id.tenant.to_string(),
        id: fact.id.id.to_string(),
        ty: fact.ty.to_string(),
        source_id: fact.source.id.to_string(),
        target_id: fact.target.id.to_string(),
        doc: fact.doc.map(|doc| documents.text(doc)),
    }
}

/// A relationship that waits for an end.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Waiting {
    /// The assertion.
    pub fact: RelationFact,
    /// When it becomes a dead letter.
    pub deadline: Micros,
    /// It is one already.
    pub reported: bool,
}

/// What the operator of waiting relationships hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum WaitingMessage {
    /// A change of the join.
    Update(RelationFact, isize),
    /// The clock, to every worker.
    Tick(u64, Tick),
}

impl WaitingMessage {
    fn route(&self) -> u64 {
        match self {
            Self::Update(fact, _) => u64::from(vnode_of(fact.id.route())),
            Self::Tick(worker, _) => *worker,
        }
    }
}

/// Dead-letters relationships whose ends have not come within `grace` of journalled time, once each.
pub fn report_unresolved<'scope>(
    messages: Flow<'scope, WaitingMessage>,
    resume: Epoch,
    grace: Micros,
    emitter: Emitter,
    tables: Rc<RefCell<Tables>>,
    documents: Rc<RefCell<Documents>>,
) -> Flow<'scope, Emission> {
    messages.by_epoch(
        "Unresolved",
        resume,
        WaitingMessage::route,
        |_| false,
        move |epoch, messages, out| {
            let tables = &mut *tables.borrow_mut();
            let mut net: BTreeMap<RelationFact, isize> = BTreeMap::new();
            let mut tick = None;
            for message in messages {
                match message {
                    WaitingMessage::Update(fact, diff) => *net.entry(fact).or_default() += diff,
                    WaitingMessage::Tick(_, now) => tick = Some(now),
                }
            }
            let Some(tick) = tick else { return };
            for (fact, _) in net.iter().filter(|(_, diff)| **diff < 0) {
                if tables.waiting.get(&fact.id).is_some_and(|waiting| waiting.fact == *fact) {
                    tables.waiting.remove(&fact.id);
                }
            }
            for (fact, _) in net.iter().filter(|(_, diff)| **diff > 0) {
                // After a restart the join tells again what the table knows already.
                if tables.waiting.get(&fact.id).is_none_or(|waiting| waiting.fact != *fact) {
                    let waiting = Waiting { fact: *fact, deadline: Micros(tick.wall.0 + grace.0), reported: false };
                    tables.waiting.insert(fact.id, waiting);
                }
            }
            let due = |waiting: &Waiting| !waiting.reported && (tick.last || waiting.deadline <= tick.wall);
            let mut overdue: Vec<_> =
                tables.waiting.iter().filter(|(_, waiting)| due(waiting)).map(|(id, waiting)| (waiting.fact.origin, *id)).collect();
            overdue.sort_unstable();
            for (origin, id) in overdue {
                let Some(waiting) = tables.waiting.get_mut(&id) else { continue };
                waiting.reported = true;
                out.push(emitter.dead_letter(origin, rejection(&waiting.fact, origin, &documents.borrow())));
            }
            if tick.snapshot {
                tables.write(TableId::Waiting, epoch);
            }
        },
    )
}

fn rejection(fact: &RelationFact, _origin: SourceRef, documents: &Documents) -> Rejection {
    Rejection {
        position: format!("$.objects[?@.id=='{}']", fact.id.id),
        stage: Stage::Resolve,
        reason: "unresolved-reference".into(),
        message: format!(
            "source_ref {} or target_ref {} has not come; send the package that holds it, the relation appears then by itself",
            fact.source.id, fact.target.id
        ),
        bytes: fact.doc.map(|doc| documents.text(doc)).unwrap_or_default().into(),
    }
}
