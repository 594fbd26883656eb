//! Keeps the heads of entities, and emits what changes when a version comes, goes, is revoked, begins or ends to be valid.
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sightline_formats::pattern::WideTest;
use sightline_formats::{IntelObject, Limits, object_from_doc};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::record::{EntityRecord, HeldObservable, LinkRecord};
use sightline_schemas::{EntityKey, FeedId};

use super::allowed::{ListChange, is_allow_list};
use super::head::{Claim, Emitted, Facts, Head, LinkFact, Rank, RelationFact};
use super::index::{IndexLink, LinkChange};
use super::observed::{ObjectFact, ObservedFact, ObservedMessage};
use super::provenance::Provenance;
use super::wide::WideChange;
use super::{FeedChange, FeedKey, IntelMessage, PackageRank, Routed, Tick};
use crate::by_epoch::{ByEpoch, Flow};
use crate::epoch::Epoch;
use crate::output::{Emission, Emitter};
use crate::source::SourceRef;
use crate::state::documents::Documents;
use crate::state::timers::Timers;
use crate::tables::{TableId, Tables};

/// A change that leaves the operator. Those with a number are differential updates.
#[derive(Clone, Debug)]
pub enum Change {
    /// A row, or its tombstone.
    Row(Box<Emission>),
    /// The row of observed data, which the join completes.
    Observed(Box<ObservedMessage>),
    /// An entity holds an observable, or no more.
    Link(LinkChange),
    /// An entity exists.
    Present(EntityKey, isize),
    /// An allow-list comes, changes or goes.
    Allow(Box<ListChange>),
    /// What an indicator names at large changes.
    Wide(Box<WideChange>),
    /// A relation is asserted.
    Relation(RelationFact, isize),
    /// An object is an observable.
    Object(ObjectFact, isize),
    /// Observed data refers to an object.
    Observation(ObservedFact, isize),
}

/// The operator's state and what it writes with.
pub struct Entities {
    /// Where the graph resumes: nothing up to here is emitted as a row.
    pub resume: Epoch,
    /// Heads and feeds.
    pub tables: Rc<RefCell<Tables>>,
    /// Documents of all claims.
    pub documents: Rc<RefCell<Documents>>,
    /// Writes rows.
    pub emitter: Emitter,
    /// Bounds for reading stored documents again.
    pub limits: Limits,
}

/// Builds the operator.
pub fn entities<'scope>(messages: Flow<'scope, Routed>, state: Entities) -> Flow<'scope, Change> {
    let resume = state.resume;
    let state = Rc::new(RefCell::new(Operator { state, timers: Timers::default(), touched: BTreeMap::new() }));
    let hydrating = Rc::clone(&state);
    let mut vnodes = 0..=u8::MAX;
    messages.by_epoch(
        "Entities",
        resume,
        |message| message.route,
        move |out| vnodes.next().inspect(|vnode| hydrating.borrow_mut().hydrate(*vnode, out)).is_some(),
        move |epoch, messages, out| state.borrow_mut().complete(epoch, messages, out),
    )
}

struct Operator {
    state: Entities,
    timers: Timers<EntityKey>,
    /// Entities that this epoch touched, the record that did, and the objects that came with it.
    touched: BTreeMap<EntityKey, Touch>,
}

struct Touch {
    origin: SourceRef,
    /// What downstream held before.
    before: Option<Emitted>,
    #[expect(clippy::vec_box, reason = "an object comes boxed and leaves boxed; unboxing would copy it")]
    objects: Vec<Box<IntelObject>>,
}

impl Operator {
    /// Tells the collections downstream what the restored heads of a vnode assert. The index has its own table and is told nothing.
    fn hydrate(&mut self, vnode: u8, out: &mut Vec<Change>) {
        let tables = self.state.tables.borrow();
        for (key, head) in tables.heads.iter_vnode(vnode) {
            let Some(winner) = head.winner() else { continue };
            if let Some(at) = winner.next_change(tables.wall) {
                self.timers.schedule(*key, at);
            }
            if !is_relationship(*key) {
                out.push(Change::Present(*key, 1));
            }
            if let Some(facts) = &head.facts {
                facts_out(*key, facts, 1, out);
            }
            if is_allow_list(*key)
                && winner.is_active(tables.wall)
                && let Some(object) = self.state.read(winner)
            {
                let (document, origin) = (Some(object.doc.into()), winner.from.origin.into());
                out.push(Change::Allow(Box::new(ListChange { list: *key, document, origin })));
            }
            if let Some(tests) = tables.wide.get(key) {
                out.push(Change::Wide(Box::new(WideChange { indicator: *key, tests: tests.clone(), origin: winner.from.origin.into() })));
            }
            if is_observed_data(*key)
                && let Some(object) = self.state.read(winner)
            {
                let row = Box::new(entity_record(*key, head, &object, winner.is_active(tables.wall)));
                let origin = winner.from.origin.into();
                out.push(Change::Observed(Box::new(ObservedMessage::Row { entity: *key, row: Some(row), origin })));
            }
        }
    }

    fn complete(&mut self, epoch: Epoch, mut messages: Vec<Routed>, out: &mut Vec<Change>) {
        messages.sort_by_key(|routed| (routed.at, routed.seq));
        let mut tick = None;
        for Routed { at, message, .. } in messages {
            match message {
                IntelMessage::Tick(now) => tick = Some(now),
                IntelMessage::Feed { feed, change } => self.declare(feed, change, at),
                IntelMessage::Package { feed, rank } => self.begin_package(feed, rank, at),
                IntelMessage::Claim { feed, rank, object } => self.claim(feed, rank, object, at),
            }
        }
        // Every epoch carries a tick to every worker; without one there is no clock to act on.
        let Some(tick) = tick else { return };
        for key in self.timers.due(tick.wall) {
            // A change by the clock has no input record of its own: the row keeps the origin of the version.
            let origin =
                self.state.tables.borrow().heads.get(&key).and_then(|head| head.winner()).map(|claim| SourceRef::from(claim.from.origin));
            if let Some(origin) = origin {
                self.touch(key, origin);
            }
        }
        for (key, touch) in std::mem::take(&mut self.touched) {
            self.settle(key, touch, tick, out);
        }
        let mut tables = self.state.tables.borrow_mut();
        tables.wall = tick.wall;
        if tick.snapshot {
            self.state.documents.borrow_mut().mark(epoch);
            tables.write(TableId::Heads, epoch);
            tables.write(TableId::Feeds, epoch);
            tables.write(TableId::Wide, epoch);
        }
    }

    /// Notes that this epoch changes an entity: before it does, for what was emitted is known from the claims.
    fn touch(&mut self, key: EntityKey, origin: SourceRef) -> &mut Touch {
        let tables = &self.state.tables;
        let touch = self.touched.entry(key).or_insert_with(|| {
            let tables = tables.borrow();
            let before = tables.heads.get(&key).and_then(|head| head.emitted(tables.wall));
            Touch { origin, before, objects: Vec::new() }
        });
        touch.origin = touch.origin.max(origin);
        touch
    }

    fn declare(&mut self, feed: FeedKey, change: FeedChange, at: SourceRef) {
        match change {
            FeedChange::Snapshot(snapshot) => {
                let newest = {
                    let mut tables = self.state.tables.borrow_mut();
                    let known = tables.feed(feed);
                    let was_one = std::mem::replace(&mut known.snapshot, snapshot);
                    known.newest.filter(|_| snapshot && !was_one)
                };
                // What an older package said is no part of a snapshot, also when this is said after the packages came.
                if let Some(newest) = newest {
                    self.withdraw_where(feed, at, |claim| !claim.from.is_of(newest));
                }
            }
            FeedChange::Removed => {
                self.state.tables.borrow_mut().feed(feed).newest = None;
                self.withdraw_where(feed, at, |_| true);
            }
        }
    }

    /// A newer package of a snapshot feed replaces all that the feed said; its own claims follow and assert again what stays.
    fn begin_package(&mut self, feed: FeedKey, rank: PackageRank, at: SourceRef) {
        let replaces = {
            let mut tables = self.state.tables.borrow_mut();
            let known = tables.feed(feed);
            let newer = known.newest.is_none_or(|newest| newest < rank);
            if newer {
                known.newest = Some(rank);
            }
            known.snapshot && newer
        };
        if replaces {
            self.withdraw_where(feed, at, |_| true);
        }
    }

    /// Withdraws the feed's claims that `fits`.
    fn withdraw_where(&mut self, feed: FeedKey, at: SourceRef, fits: impl Fn(&Claim) -> bool) {
        let supported: Vec<EntityKey> = {
            let tables = self.state.tables.borrow();
            let of_feed = |key: &EntityKey, head: &Head| {
                key.tenant == feed.tenant && head.claims.iter().any(|claim| claim.from.feed == feed.feed && fits(claim))
            };
            tables.heads.iter().filter(|(key, head)| of_feed(key, head)).map(|(key, _)| *key).collect()
        };
        for key in supported {
            self.touch(key, at);
            if let Some(head) = self.state.tables.borrow_mut().heads.get_mut(&key) {
                head.withdraw(feed.feed);
            }
        }
    }

    fn claim(&mut self, feed: FeedKey, rank: PackageRank, object: Box<IntelObject>, at: SourceRef) {
        let key = EntityKey { id: object.id, tenant: feed.tenant };
        {
            let mut tables = self.state.tables.borrow_mut();
            let known = tables.feed(feed);
            let is_superseded = known.snapshot && known.newest.is_some_and(|newest| newest != rank);
            let wins = |head: &Head| head.takes(feed.feed, Rank::new(object.modified, object.hash, rank));
            if is_superseded || !tables.heads.get(&key).is_none_or(wins) {
                return;
            }
        }
        self.touch(key, at);
        let mut tables = self.state.tables.borrow_mut();
        let head = tables.heads.get_or_default(key);
        let known_doc = head.claims.iter().find(|claim| claim.hash == object.hash).map(|claim| claim.doc);
        let doc = known_doc.unwrap_or_else(|| self.state.documents.borrow_mut().append(key.route(), object.doc.as_bytes()));
        head.assert(claim_of(feed.feed, rank, &object, doc, at));
        drop(tables);
        self.touch(key, at).objects.push(object);
    }

    /// Compares the head with what was emitted, and emits the difference.
    fn settle(&mut self, key: EntityKey, touch: Touch, tick: Tick, out: &mut Vec<Change>) {
        let Touch { origin, before, objects } = touch;
        if let Some(at) = before.as_ref().and_then(|before| before.wakes) {
            self.timers.cancel(key, at);
        }
        let mut tables = self.state.tables.borrow_mut();
        let Some(head) = tables.heads.get_mut(&key) else { return };
        let object_of = |claim: &Claim| {
            let arrived = objects.iter().find(|object| object.hash == claim.hash);
            arrived.map(|object| Cow::Borrowed(&**object)).or_else(|| self.state.read(claim).map(Cow::Owned))
        };
        let Some(winner) = head.winner().cloned() else {
            let kept = head.facts.take();
            tables.heads.remove(&key);
            widen(&mut tables, key, Vec::new(), origin, out);
            if let Some((before, object)) = before.and_then(|before| object_of(&before.claim).map(|object| (before, object))) {
                self.withdraw(key, &object, &facts_before(key, &before, &object, kept.as_deref()), origin, out);
            }
            return;
        };
        if let Some(at) = winner.next_change(tick.wall) {
            self.timers.schedule(key, at);
        }
        let active = winner.is_active(tick.wall);
        if let Some(before) = &before
            && (before.claim.hash, before.active) == (winner.hash, active)
            && before.feeds == head.feeds()
        {
            return;
        }
        let Some(object) = object_of(&winner) else { return };
        let mut facts = Facts::of(key, &object, &winner, active);
        let old = match &before {
            Some(before) if before.claim.hash == winner.hash => Some((before, Cow::Borrowed(&*object))),
            Some(before) => {
                let Some(old) = object_of(&before.claim) else { return };
                Some((before, old))
            }
            None => None,
        };
        let told = old.as_ref().map(|(before, old)| (&**old, facts_before(key, before, old, head.facts.as_deref())));
        if let Some((_, before)) = &told {
            facts.keep_origins(before);
        }
        // Activity alone shows in the row by its observables.
        let row_stands = before
            .as_ref()
            .is_some_and(|before| before.claim.hash == winner.hash && before.feeds == head.feeds() && object.holds.is_empty());
        if !row_stands {
            self.emit_row(key, head, &object, active, origin, out);
        }
        self.emit_facts(key, told.as_ref().map(|(old, facts)| (*old, facts)), (&object, &facts), origin, out);
        if is_allow_list(key) {
            let document = active.then(|| object.doc.as_str().into());
            out.push(Change::Allow(Box::new(ListChange { list: key, document, origin })));
        }
        head.facts = facts.kept();
        let tests = if active { object.wide.clone() } else { Vec::new() };
        widen(&mut tables, key, tests, origin, out);
    }

    fn emit_row(&self, key: EntityKey, head: &Head, object: &IntelObject, active: bool, origin: SourceRef, out: &mut Vec<Change>) {
        if is_relationship(key) {
            return;
        }
        let row = entity_record(key, head, object, active);
        out.push(if is_observed_data(key) {
            Change::Observed(Box::new(ObservedMessage::Row { entity: key, row: Some(Box::new(row)), origin }))
        } else {
            Change::Row(Box::new(self.state.emitter.upsert(&OutputRecord::Entity(row), origin)))
        });
    }

    /// Sends what a version and its facts have beyond those `told` before, and takes back what they have no more.
    fn emit_facts(
        &self,
        key: EntityKey,
        told: Option<(&IntelObject, &Facts)>,
        (object, facts): (&IntelObject, &Facts),
        origin: SourceRef,
        out: &mut Vec<Change>,
    ) {
        if told.is_none() && !is_relationship(key) {
            out.push(Change::Present(key, 1));
        }
        let nothing = Facts::default();
        let (old, before) = told.unwrap_or((object, &nothing));
        if before != facts {
            facts_out(key, before, -1, out);
            facts_out(key, facts, 1, out);
        }
        links_out(key, old, before, facts, None, out);
        links_out(key, object, facts, before, Some(origin), out);
        let emitter = &self.state.emitter;
        for link in facts.links.iter().filter(|link| !before.has(link)) {
            out.push(Change::Row(Box::new(emitter.upsert(&OutputRecord::Link(link_record(key, link)), origin))));
        }
        for link in before.links.iter().filter(|link| !facts.has(link)) {
            out.push(Change::Row(Box::new(emitter.tombstone(RecordType::Link, key.tenant, &link_record(key, link).id(), origin))));
        }
    }

    fn withdraw(&self, key: EntityKey, object: &IntelObject, facts: &Facts, origin: SourceRef, out: &mut Vec<Change>) {
        let emitter = &self.state.emitter;
        facts_out(key, facts, -1, out);
        links_out(key, object, facts, &Facts::default(), None, out);
        for link in &facts.links {
            out.push(Change::Row(Box::new(emitter.tombstone(RecordType::Link, key.tenant, &link_record(key, link).id(), origin))));
        }
        if is_relationship(key) {
            return;
        }
        out.push(Change::Present(key, -1));
        if is_allow_list(key) {
            out.push(Change::Allow(Box::new(ListChange { list: key, document: None, origin })));
        }
        out.push(if is_observed_data(key) {
            Change::Observed(Box::new(ObservedMessage::Row { entity: key, row: None, origin }))
        } else {
            Change::Row(Box::new(emitter.tombstone(RecordType::Entity, key.tenant, &key.id.to_string(), origin)))
        });
    }
}

impl Entities {
    /// Reads a version's document again.
    fn read(&self, claim: &Claim) -> Option<IntelObject> {
        let text = self.documents.borrow().text(claim.doc);
        match object_from_doc(&text, &self.limits) {
            Ok(object) => Some(object),
            Err(poison) => {
                // It was read once under the same limits: only narrower limits, which change the fingerprint, can end here.
                tracing::error!(reason = poison.reason, message = poison.message, "a stored document can no longer be read");
                None
            }
        }
    }
}

fn claim_of(feed: FeedId, package: PackageRank, object: &IntelObject, doc: crate::state::documents::DocRef, origin: SourceRef) -> Claim {
    Claim {
        from: Provenance { feed, newest: package.newest.into(), package: package.hash, origin: origin.into() }.into(),
        revoked: object.revoked,
        modified: object.modified.into(),
        hash: object.hash,
        doc,
        valid_from: object.valid_from.into(),
        valid_until: object.valid_until.into(),
    }
}

/// The facts that downstream holds: what the version asserted, its relations as they were sent.
fn facts_before(key: EntityKey, before: &Emitted, object: &IntelObject, kept: Option<&Facts>) -> Facts {
    let mut facts = Facts::of(key, object, &before.claim, before.active);
    if let Some(kept) = kept {
        facts.keep_origins(kept);
    }
    facts
}

/// Notes what an entity in force names at large, and tells it when that changes.
fn widen(tables: &mut Tables, indicator: EntityKey, tests: Vec<WideTest>, origin: SourceRef, out: &mut Vec<Change>) {
    let stays = tables.wide.get(&indicator).map_or(tests.is_empty(), |known| *known == tests);
    if stays {
        return;
    }
    if tests.is_empty() {
        tables.wide.remove(&indicator);
    } else {
        tables.wide.insert(indicator, tests.clone());
    }
    out.push(Change::Wide(Box::new(WideChange { indicator, tests, origin })));
}

/// Sends facts to the collections: asserted (`1`) or taken back (`-1`).
fn facts_out(key: EntityKey, facts: &Facts, diff: isize, out: &mut Vec<Change>) {
    for (observable, value) in &facts.objects {
        out.push(Change::Object(ObjectFact { object: key, observable: *observable, value: value.clone() }, diff));
    }
    for relation in &facts.relations {
        out.push(Change::Relation(*relation, diff));
    }
    if facts.observing {
        for relation in facts.relations.iter().filter(|relation| relation.ty.as_str() == "object") {
            out.push(Change::Observation(ObservedFact { object: relation.target, observed: key, seen: facts.seen }, diff));
        }
    }
}

/// Sends to the index those links of `facts`, which `object` asserts, that `other` does not share: coming from a record, or going.
fn links_out(key: EntityKey, object: &IntelObject, facts: &Facts, other: &Facts, coming: Option<SourceRef>, out: &mut Vec<Change>) {
    let mut left: BTreeSet<&LinkFact> = facts.links.iter().filter(|link| !facts.shares(link, other)).collect();
    // An object may name a value twice.
    for held in &object.holds {
        if left.is_empty() {
            return;
        }
        let link = LinkFact { observable: held.observable.key(key.tenant), role: held.role };
        if !left.remove(&link) {
            continue;
        }
        out.push(Change::Link(LinkChange {
            diff: if coming.is_some() { 1 } else { -1 },
            link: IndexLink { observable: link.observable, entity: key, role: link.role, seen: facts.seen },
            value: held.observable.value().into(),
            origin: coming,
        }));
    }
}

fn is_relationship(key: EntityKey) -> bool {
    key.id.ty().as_str() == "relationship"
}

fn is_observed_data(key: EntityKey) -> bool {
    key.id.ty().as_str() == "observed-data"
}

fn link_record(entity: EntityKey, link: &LinkFact) -> LinkRecord {
    LinkRecord { tenant: entity.tenant.to_string(), entity_id: entity.id.to_string(), observable_id: link.observable.id(), role: link.role }
}

fn entity_record(key: EntityKey, head: &Head, object: &IntelObject, active: bool) -> EntityRecord {
    let mut observables: Vec<_> = object
        .holds
        .iter()
        .filter(|_| active)
        .map(|held| HeldObservable {
            id: held.observable.key(key.tenant).id(),
            kind: held.observable.kind(),
            value: held.observable.value().to_owned(),
            role: held.role,
        })
        .collect();
    observables.sort();
    observables.dedup();
    EntityRecord {
        tenant: key.tenant.to_string(),
        id: key.id.to_string(),
        ty: key.id.ty().to_string(),
        name: object.name.clone(),
        description: object.description.clone(),
        created: object.created,
        modified: object.modified,
        revoked: object.revoked,
        confidence: object.confidence,
        tlp: object.tlp.map(|tlp| tlp.as_str().to_owned()),
        labels: object.labels.clone(),
        sources: head.sources().into_iter().map(str::to_owned).collect(),
        valid_from: object.valid_from,
        valid_until: object.valid_until,
        observables,
        doc: object.doc.clone(),
    }
}
