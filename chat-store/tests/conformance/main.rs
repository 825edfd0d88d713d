//! One suite for every message store: each case runs against PostgreSQL and against a CQL server, under its
//! own name for each.
//!
//! A case gets a database of its own in PostgreSQL. Making CQL tables takes seconds, so there cases share
//! a keyspace and keep apart by their random ids.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a case fails by panicking")]

mod audit;
mod change;
mod duplicate;
mod event_history;
mod high_water;
mod log;
mod mark;
mod message;
mod month;
mod page;
mod reaction;
mod redrive;
mod room;
mod stores;

macro_rules! conformance {
    ($($module:ident { $($case:ident)* })*) => {
        mod postgres {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let database = crate::stores::Database::create().await;
                    crate::$module::$case(&database.store()).await;
                    database.drop().await;
                }
            )*)*
        }

        mod scylla {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::$module::$case(&crate::stores::shared_keyspace().await).await;
                }
            )*)*
        }
    };
}

conformance! {
    message {
        a_message_is_read_back_as_it_was_written
        the_same_insert_again_changes_nothing
        messages_arriving_out_of_order_stand_in_order
        a_system_frame_is_an_item_of_history
        any_script_survives
        what_no_store_can_hold_is_refused_and_the_rest_of_its_batch_is_stored
        an_empty_room_has_nothing
        a_message_is_found_by_its_id_in_its_room_only
        what_a_person_wrote_is_read_newest_first
        unread_messages_are_those_of_others_above_the_mark
        unread_messages_are_counted_to_a_hundred
        heads_are_the_newest_items_of_their_rooms
        rooms_do_not_see_each_other
        one_batch_may_be_of_many_rooms
        a_large_batch_of_large_messages_is_stored
    }
    page {
        pages_before_after_and_around_a_seq_say_what_is_left
        pages_hold_from_one_to_a_hundred_items
        pages_skip_what_is_no_item
        walking_back_page_by_page_meets_every_message_once
    }
    month {
        ten_thousand_messages_over_months_and_a_clock_that_steps_back_are_read_in_order
    }
    log {
        the_log_has_every_seq_of_the_room
        a_skip_stays_a_skip
        the_last_seq_counts_skips
    }
    change {
        every_order_of_insert_edit_edit_delete_ends_in_the_same_state
        every_order_of_insert_edit_edit_ends_in_the_same_state
        insert_edit_edit_delete_at_once_end_in_the_same_state
        insert_edit_edit_delete_in_one_batch_end_in_the_same_state
        an_edit_shows_its_text_and_time
        a_deleted_message_keeps_its_place_without_its_text
        only_the_author_changes_a_message_whoever_comes_first
        every_order_of_insert_edit_and_a_moderators_deletion_ends_in_the_same_state
        who_runs_the_room_deletes_and_does_not_edit
        a_message_is_changed_from_its_own_room_only
        a_change_of_a_change_is_refused
        a_change_that_stands_below_its_message_changes_nothing
    }
    duplicate {
        the_second_seq_of_an_id_is_a_skip_in_both_orders
        a_used_temp_id_with_other_content_is_refused_in_both_orders
        both_seqs_of_an_id_at_once_leave_one_message
        both_seqs_of_an_id_in_one_batch_leave_one_message
        a_second_copy_under_another_name_of_the_sender_is_the_same_message
        the_second_copy_of_a_deleted_message_is_a_duplicate
        the_second_seq_of_an_edit_does_not_bring_its_text_back
        the_head_of_a_room_steps_back_when_it_turns_out_to_be_a_second_seq
    }
    reaction {
        reactions_are_counted_by_their_last_seq
        every_order_of_message_and_reactions_ends_in_the_same_state
        a_reaction_to_another_rooms_message_is_refused_whoever_comes_first
        the_second_seq_of_a_reaction_does_not_count
    }
    mark {
        a_mark_never_moves_back_whatever_the_order
        marks_are_of_one_room_and_of_who_is_asked_for
        many_readers_are_counted_as_one_by_one
    }
    redrive {
        what_was_given_up_is_written_over_its_skip
        a_redriven_message_is_changed_like_any_other
        what_may_not_be_stored_stays_a_skip_when_it_is_redriven
        nothing_is_redriven_over_another_message
    }
    audit {
        tables_agree_after_everything_that_can_happen
        the_log_is_asked_for_at_places
    }
    event_history {
        an_events_changes_are_read_newest_first
        the_same_change_again_is_one_row
    }
    high_water {
        the_mark_only_rises
    }
}

mod own {
    #[tokio::test]
    async fn a_new_keyspace_has_no_mark_and_can_be_migrated_twice() {
        let keyspace = crate::stores::Keyspace::create().await;
        crate::high_water::a_new_store_has_no_mark(&keyspace.store().await).await;
        keyspace.drop().await;
    }

    #[tokio::test]
    async fn a_whole_keyspace_is_walked_page_by_page() {
        let keyspace = crate::stores::Keyspace::create().await;
        crate::audit::a_whole_store_is_walked_page_by_page(&keyspace.store().await).await;
        keyspace.drop().await;
    }

    #[tokio::test]
    async fn a_whole_database_is_walked_page_by_page() {
        let database = crate::stores::Database::create().await;
        crate::audit::a_whole_store_is_walked_page_by_page(&database.store()).await;
        database.drop().await;
    }

    #[tokio::test]
    async fn a_new_database_has_no_mark() {
        let database = crate::stores::Database::create().await;
        crate::high_water::a_new_store_has_no_mark(&database.store()).await;
        database.drop().await;
    }

    #[tokio::test]
    async fn what_follows_a_raise_waits_for_the_disk() {
        let database = crate::stores::Database::create().await;
        crate::high_water::what_follows_a_raise_waits_for_the_disk(database.pool()).await;
        database.drop().await;
    }

    #[tokio::test]
    async fn a_store_that_is_back_answers_at_once() {
        let database = crate::stores::Database::create().await;
        crate::high_water::a_store_that_is_back_answers_at_once(database.pool()).await;
        database.drop().await;
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_unavailable() {
        crate::high_water::a_store_that_is_away_is_unavailable().await;
    }
}
