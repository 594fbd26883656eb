//! The claims that every sink must keep, on real stores.
//!
//! SQLite runs anywhere. The others run where `SIGHTLINE_POSTGRES`, `SIGHTLINE_ELASTICSEARCH` or `SIGHTLINE_NEO4J` names a server
//! (`scripts/services env`), and say so when they are skipped. **The database of SIGHTLINE_NEO4J is emptied**: Neo4j's community edition
//! has one only. A new sink adds a file under `stores` and one line here.
#![allow(clippy::unwrap_used, missing_docs)]
mod conformance {
    pub mod by_hand;
    pub mod claims;
    pub mod pipeline;
    #[cfg(feature = "elasticsearch")]
    pub mod rebuild;
    pub mod records;
    pub mod replay;
    pub mod stores;
}
use conformance::{by_hand, claims, pipeline, replay, stores};

macro_rules! conforms {
    ($($feature:literal $store:ident),* $(,)?) => {
        $(#[cfg(feature = $feature)] mod $store {
            use super::{claims, pipeline, replay, stores};
            conforms!(@in claims, $store:
                an_upsert_is_held_as_it_was_given,
                the_newer_epoch_wins_whatever_comes_last,
                a_delete_removes_and_an_older_one_does_not,
                a_replay_changes_nothing,
                a_new_sink_resumes_at_the_stored_positions,
                a_zombie_is_fenced_and_changes_nothing,
                a_part_without_positions_leaves_the_stored_ones,
                what_was_never_written_is_empty_and_not_an_error,
                links_outlive_the_order_of_arrival,
                mending_fences_nobody_and_moves_no_position,
                mending_takes_out_what_is_wrong_whatever_its_epoch_and_once,
                mending_leaves_what_the_connector_wrote_meanwhile,
                the_connector_knows_the_edges_that_were_mended,
                sums_are_those_of_the_records_however_they_came,
            );
            conforms!(@in pipeline, $store:
                what_the_topics_say_is_what_the_store_holds,
                a_restart_goes_on_where_the_store_is,
                a_position_that_has_expired_is_no_silent_gap,
                bad_records_are_dead_lettered_and_the_rest_is_stored,
                a_store_that_was_away_catches_up_alone,
                verify_names_what_is_missing_extra_and_different,
                a_repair_mends_what_differs_while_the_connector_goes_on,
            );
            conforms!(@in replay, $store:
                what_was_lost_is_restored_beside_the_running_connector,
                a_store_that_was_whole_stays_as_it_is,
                an_old_span_does_not_go_back_in_time,
                what_is_deleted_while_it_is_given_stays_deleted,
                ingestion_with_deletes_goes_on_meanwhile,
            );
        })*
    };
    (@in $file:ident, $store:ident: $($claim:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $claim() {
            if let Some(store) = stores::$store(stringify!($claim)).await {
                $file::$claim(&store).await;
            }
        })*
    };
}

conforms! {
    "sqlite" sqlite,
    "postgres" postgres,
    "elasticsearch" elasticsearch,
    "neo4j" neo4j,
}

/// Elasticsearch knows a document that was changed by its version: `tests/drift.rs` of the workspace.
macro_rules! sealed {
    ($($feature:literal $store:ident $module:ident),* $(,)?) => {
        $(#[cfg(feature = $feature)] mod $module {
            use super::{by_hand, stores};
            conforms!(@in by_hand, $store:
                a_change_puts_the_slot_of_its_record_in_doubt_and_no_other,
                what_has_no_digest_is_read_in_full_until_it_is_written_again,
            );
        })*
    };
}

sealed! {
    "sqlite" sqlite sqlite_by_hand,
    "postgres" postgres postgres_by_hand,
    "neo4j" neo4j neo4j_by_hand,
}
