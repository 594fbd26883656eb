//! What every back-end of the log must hold to: one list of claims, run on each.
//!
//! The Kafka half needs a broker: `SIGHTLINE_KAFKA=host:port`. Without it those tests say that they are skipped.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "conformance/bed.rs"]
mod bed;
#[path = "conformance/claims.rs"]
mod claims;
#[path = "conformance/crash.rs"]
mod crash;

macro_rules! on_both {
    ($($claim:ident)*) => {
        mod embedded {
            $(#[test]
            fn $claim() {
                super::claims::$claim(crate::bed::Bed::embedded());
            })*
        }
        #[cfg(feature = "kafka")]
        mod kafka {
            $(#[test]
            fn $claim() {
                if let Some(bed) = crate::bed::Bed::kafka() {
                    super::claims::$claim(bed);
                }
            })*
        }
    };
}

on_both! {
    a_partition_keeps_the_order_of_writing
    a_reader_that_reached_the_end_has_read_all
    the_same_key_goes_to_the_same_partition_on_every_log
    a_time_finds_the_first_record_at_or_after_it
    a_transaction_is_seen_whole_or_not_at_all
    an_aborted_transaction_is_never_seen
    an_abort_of_much_that_is_under_way_leaves_the_next_transaction_whole
    an_open_transaction_is_not_seen_and_does_not_move_the_end
    an_older_holder_of_an_id_is_fenced
    taking_over_an_id_ends_the_transaction_left_open
    what_was_committed_is_there_after_a_restart
    trimmed_offsets_have_expired
    a_tombstone_differs_from_an_empty_value
    headers_come_back_in_order
    ten_megabytes_fit_in_a_record
    a_record_too_large_is_refused_by_name
    an_unknown_topic_is_named
    a_topic_that_is_there_is_left_alone
    the_log_stamps_records_of_inputs
    a_reader_waits_no_longer_than_told
    positions_can_be_published
}
