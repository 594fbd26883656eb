//! Which version of an entity is in force: a function of the set of claims, whatever their order of arrival.
use serde::{Deserialize, Serialize};
use sightline_formats::{IntelObject, Relationship};
use sightline_schemas::{ContentHash, EntityKey, FeedId, Micros, ObservableKey, Role, StixId, TenantId, TypeName};
use uuid::Uuid;

use super::PackageRank;
use super::provenance::Shared;
use crate::source::SourceRef;
use crate::state::documents::DocRef;
use crate::state::few::Few;
use crate::state::instant::MaybeMicros;

/// The namespace of `reference--` identifiers; drawn once at random.
const REFERENCES: Uuid = Uuid::from_u128(0x6c1f_5f0e_9a57_4d0b_8f3e_2b6d_71c4_0a93);

/// What one feed says of an entity: the best version in its packages, or, for a snapshot feed, the one in its newest package. 64 bytes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// Feed, the package that holds this version, and the input record.
    pub from: Shared,
    /// Whether the entity is revoked in this version.
    pub revoked: bool,
    /// `modified`; objects without one (cyber-observables, markings) count as the oldest.
    pub modified: MaybeMicros,
    /// Hash of the canonical document.
    pub hash: ContentHash,
    /// Where the document is.
    pub doc: DocRef,
    /// Start of validity.
    pub valid_from: MaybeMicros,
    /// End of validity, exclusive.
    pub valid_until: MaybeMicros,
}

/// Of two versions the one that ranks higher is in force. Latest `modified`; at the same `modified` the package whose newest `modified` is later
/// (real releases change objects and leave `modified` alone); then the content hash. The package's hash last, so that equal documents have one origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rank {
    modified: MaybeMicros,
    newest: MaybeMicros,
    hash: ContentHash,
    package: ContentHash,
}

impl Rank {
    /// Of an object in a package.
    pub fn new(modified: Option<Micros>, hash: ContentHash, package: PackageRank) -> Self {
        Self { modified: modified.into(), newest: package.newest.into(), hash, package: package.hash }
    }
}

impl Claim {
    fn rank(&self) -> Rank {
        Rank { modified: self.modified, newest: self.from.newest, hash: self.hash, package: self.from.package }
    }

    /// Whether links are in force at `wall`.
    pub fn is_active(&self, wall: Micros) -> bool {
        let (from, until) = (self.valid_from.get(), self.valid_until.get());
        !self.revoked && from.is_none_or(|from| from <= wall) && until.is_none_or(|until| wall < until)
    }

    /// The next instant after `wall` at which [`Claim::is_active`] changes by itself.
    pub fn next_change(&self, wall: Micros) -> Option<Micros> {
        [self.valid_from.get(), self.valid_until.get()].into_iter().flatten().filter(|at| *at > wall).min()
    }
}

/// A link as its entity's head remembers it, to take it back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct LinkFact {
    /// Observable.
    pub observable: ObservableKey,
    /// How it is held.
    pub role: Role,
}

/// A relation that an entity asserts: itself if it is a STIX relationship, else an embedded reference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RelationFact {
    /// `relationship--…` or `reference--…`.
    pub id: EntityKey,
    /// `uses`, `created-by`.
    pub ty: TypeName,
    /// From.
    pub source: EntityKey,
    /// To.
    pub target: EntityKey,
    /// The relationship's document.
    pub doc: Option<DocRef>,
    /// The input record.
    pub origin: SourceRef,
}

/// What a version of an entity asserts downstream.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// In force now; empty while revoked or outside validity. Sorted.
    pub links: Box<[LinkFact]>,
    /// The times that the entity names, for its observables.
    pub seen: Option<(Micros, Micros)>,
    /// Sorted.
    pub relations: Box<[RelationFact]>,
    /// An observable object in force: what it is, for observed data that refers to it. Sorted.
    pub objects: Box<[(ObservableKey, Box<str>)]>,
    /// Observed data in force: its objects become its links.
    pub observing: bool,
}

/// All that is known of an entity: at least one claim while it lives.
///
/// Between epochs downstream holds what the claims say, so that most of it need not be remembered: the version in force, its document and its
/// supporters follow from the claims, its links from the document, and whether they are in force from the clock of the last epoch, for a timer wakes
/// the head at every change of that.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Head {
    /// One a feed, sorted by feed; nearly always one.
    pub claims: Few<Claim>,
    /// The facts that joins hold, links apart: what a restart tells them again. Most entities assert none.
    pub facts: Option<Box<Facts>>,
}

/// What downstream held of an entity before an epoch touched it: taken before its claims change.
#[derive(Clone, PartialEq, Debug)]
pub struct Emitted {
    /// The version.
    pub claim: Claim,
    /// Whether its links were in force.
    pub active: bool,
    /// When a timer would have woken it.
    pub wakes: Option<Micros>,
    /// Who supported it.
    pub feeds: Vec<FeedId>,
}

impl Head {
    /// The version in force.
    pub fn winner(&self) -> Option<&Claim> {
        self.claims.iter().max_by_key(|claim| claim.rank())
    }

    /// What downstream holds since the epoch before, whose clock showed `wall`, as long as the claims are those of its end.
    pub fn emitted(&self, wall: Micros) -> Option<Emitted> {
        let claim = self.winner()?.clone();
        Some(Emitted { active: claim.is_active(wall), wakes: claim.next_change(wall), claim, feeds: self.feeds() })
    }

    /// The supporting feeds, in the order of the claims.
    pub fn feeds(&self) -> Vec<FeedId> {
        self.claims.iter().map(|claim| claim.from.feed).collect()
    }

    /// The names of the supporting feeds, sorted.
    pub fn sources(&self) -> Vec<&'static str> {
        let mut sources: Vec<_> = self.claims.iter().map(|claim| claim.from.feed.as_str()).collect();
        sources.sort_unstable();
        sources
    }

    /// Whether a version of that rank would replace what the feed says.
    pub fn takes(&self, feed: FeedId, rank: Rank) -> bool {
        self.claims.iter().find(|claim| claim.from.feed == feed).is_none_or(|known| rank > known.rank())
    }

    /// Takes a claim; one of the same feed stays if it ranks higher. Returns whether anything changed.
    pub fn assert(&mut self, claim: Claim) -> bool {
        match self.claims.binary_search_by(|known| known.from.feed.cmp(&claim.from.feed)) {
            Ok(at) if claim.rank() > self.claims[at].rank() => self.claims[at] = claim,
            Ok(_) => return false,
            Err(at) => self.claims.insert(at, claim),
        }
        true
    }

    /// Withdraws the feed's claim. Returns whether there was one.
    pub fn withdraw(&mut self, feed: FeedId) -> bool {
        let before = self.claims.len();
        self.claims.retain(|claim| claim.from.feed != feed);
        self.claims.len() < before
    }
}

impl Facts {
    /// What `object` asserts as a version of `entity`; links only while `active`.
    pub fn of(entity: EntityKey, object: &IntelObject, claim: &Claim, active: bool) -> Self {
        let mut links: Vec<_> = if active {
            object.holds.iter().map(|held| LinkFact { observable: held.observable.key(entity.tenant), role: held.role }).collect()
        } else {
            Vec::new()
        };
        links.sort_unstable();
        links.dedup();
        let mut relations = match &object.relationship {
            Some(_) if claim.revoked => Vec::new(),
            Some(relationship) => vec![relationship_fact(entity, relationship, claim)],
            None => object.references.iter().map(|reference| reference_fact(entity, reference.ty, reference.target, claim)).collect(),
        };
        relations.sort_unstable();
        let mut objects: Vec<_> = object
            .holds
            .iter()
            .filter(|held| active && held.role == Role::Object)
            .map(|held| (held.observable.key(entity.tenant), Box::from(held.observable.value())))
            .collect();
        objects.sort_unstable();
        let observing = active && entity.id.ty().as_str() == "observed-data";
        Self { links: links.into(), seen: object.seen, relations: relations.into(), objects: objects.into(), observing }
    }

    /// What a head keeps of them: nothing where only links are asserted, which the document gives again.
    pub fn kept(self) -> Option<Box<Self>> {
        let asserts = !self.relations.is_empty() || !self.objects.is_empty();
        asserts.then(|| Box::new(Self { links: Box::default(), ..self }))
    }

    /// Whether the link is among them.
    pub fn has(&self, link: &LinkFact) -> bool {
        self.links.binary_search(link).is_ok()
    }

    /// Whether `other` has the link too, with the same times: then the index need not hear of it.
    pub fn shares(&self, link: &LinkFact, other: &Self) -> bool {
        self.seen == other.seen && other.has(link)
    }

    /// A relation that says what it said before stays the record of its first origin, or it would leave again unchanged.
    pub fn keep_origins(&mut self, before: &Self) {
        let content = |fact: &RelationFact| (fact.id, fact.ty, fact.source, fact.target, fact.doc);
        for fact in &mut self.relations {
            if let Ok(at) = before.relations.binary_search_by(|known| content(known).cmp(&content(fact))) {
                fact.origin = before.relations[at].origin;
            }
        }
    }
}

fn relationship_fact(entity: EntityKey, relationship: &Relationship, claim: &Claim) -> RelationFact {
    RelationFact {
        id: entity,
        ty: relationship.ty,
        source: of_tenant(entity.tenant, relationship.source),
        target: of_tenant(entity.tenant, relationship.target),
        doc: Some(claim.doc),
        origin: claim.from.origin.into(),
    }
}

/// An embedded reference has no identifier of its own: it gets one made from what it says.
fn reference_fact(entity: EntityKey, ty: TypeName, target: StixId, claim: &Claim) -> RelationFact {
    let uuid = Uuid::new_v5(&REFERENCES, format!("{} {ty} {target}", entity.id).as_bytes());
    let id = StixId::new(reference_type(), uuid);
    RelationFact {
        id: of_tenant(entity.tenant, id),
        ty,
        source: entity,
        target: of_tenant(entity.tenant, target),
        doc: None,
        origin: claim.from.origin.into(),
    }
}

fn reference_type() -> TypeName {
    static TYPE: std::sync::OnceLock<TypeName> = std::sync::OnceLock::new();
    // The word is valid and short: only a full table could refuse it, and then no type name fits at all.
    *TYPE.get_or_init(|| TypeName::new("reference").unwrap_or_else(|error| panic!("{error}")))
}

fn of_tenant(tenant: TenantId, id: StixId) -> EntityKey {
    EntityKey { id, tenant }
}

impl RelationFact {
    /// A STIX relationship, not an embedded reference.
    pub fn is_relationship(&self) -> bool {
        self.doc.is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::intel::provenance::Provenance;
    use crate::source::InputTopic;

    fn claim(feed: u8, modified: i64, newest: i64, content: u8, offset: i64) -> Claim {
        let hash = ContentHash::of(&[content]);
        let from = Provenance {
            feed: FeedId::new(&format!("feed-{feed}")).unwrap(),
            newest: Some(Micros(newest)).into(),
            package: ContentHash::of(&[content, newest as u8]),
            origin: SourceRef { topic: InputTopic::Intel, partition: 0, offset }.into(),
        };
        Claim {
            from: from.into(),
            revoked: content == 0,
            modified: Some(Micros(modified)).into(),
            hash,
            doc: DocRef::new(u64::from(content), 1, 0),
            valid_from: None.into(),
            valid_until: None.into(),
        }
    }

    fn claims() -> impl Strategy<Value = Vec<Claim>> {
        proptest::collection::vec((0u8..4, 0i64..3, 0i64..3, 0u8..4), 0..12)
            .prop_map(|all| all.into_iter().map(|(feed, modified, newest, content)| claim(feed, modified, newest, content, 0)).collect())
    }

    fn head_of(claims: impl IntoIterator<Item = Claim>) -> Head {
        let mut head = Head::default();
        for claim in claims {
            head.assert(claim);
        }
        head
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_takes_no_part(claims in claims(), seed in any::<u64>()) {
            let forward = head_of(claims.clone());
            let mut shuffled = claims;
            let mut state = seed | 1;
            for at in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(at, (state >> 33) as usize % (at + 1));
            }
            let other = head_of(shuffled);
            prop_assert_eq!(forward.winner().map(|claim| claim.hash), other.winner().map(|claim| claim.hash));
            prop_assert_eq!(forward.sources(), other.sources());
        }

        #[test]
        fn withdrawing_a_feed_leaves_what_the_others_say(claims in claims()) {
            let feed = FeedId::new("feed-1").unwrap();
            let mut all = head_of(claims.clone());
            all.withdraw(feed);
            let others = head_of(claims.into_iter().filter(|claim| claim.from.feed != feed));
            prop_assert_eq!(all, others);
        }
    }

    #[test]
    fn at_the_same_modified_the_later_package_wins_and_then_the_content() {
        let silent_change = head_of([claim(1, 5, 9, 2, 0), claim(2, 5, 8, 3, 1)]);
        assert_eq!(silent_change.winner().unwrap().hash, ContentHash::of(&[2]));
        let newer = head_of([claim(1, 5, 9, 2, 0), claim(2, 6, 1, 3, 1)]);
        assert_eq!(newer.winner().unwrap().hash, ContentHash::of(&[3]));
    }

    #[test]
    fn validity_is_from_inclusive_until_exclusive() {
        let mut claim = claim(1, 1, 1, 1, 0);
        (claim.valid_from, claim.valid_until) = (Some(Micros(10)).into(), Some(Micros(20)).into());
        assert_eq!([9, 10, 19, 20].map(|at| claim.is_active(Micros(at))), [false, true, true, false]);
        assert_eq!([9, 10, 20].map(|at| claim.next_change(Micros(at))), [Some(Micros(10)), Some(Micros(20)), None]);
    }
    #[test]
    fn what_a_table_holds_of_an_entity_is_72_bytes_and_its_key() {
        assert_eq!((size_of::<Claim>(), size_of::<Head>()), (64, 72));
    }

    proptest! {
        /// Why a head need not remember whether its links were in force.
        #[test]
        fn between_two_timers_activity_does_not_change(from in 0i64..6, until in 0i64..6, mut clock in proptest::collection::vec(0i64..8, 1..6)) {
            let mut claim = claim(1, 1, 1, 1, 0);
            (claim.valid_from, claim.valid_until) = (Some(Micros(from)).into(), Some(Micros(until)).into());
            clock.sort_unstable();
            let mut wakes = claim.next_change(Micros(clock[0]));
            for pair in clock.windows(2) {
                let (before, now) = (Micros(pair[0]), Micros(pair[1]));
                prop_assert_eq!(claim.next_change(before), wakes);
                if wakes.is_none_or(|at| at > now) {
                    prop_assert_eq!(claim.is_active(before), claim.is_active(now));
                } else {
                    wakes = claim.next_change(now);
                }
            }
        }
    }
}
