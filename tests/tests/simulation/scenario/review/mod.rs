//! The schedules that broke earlier versions of the protocol: A1 to A9 its safety, B1 to B7 its
//! progress. Each must be harmless now.

mod a1_a_lease_is_never_taken_by_force;
mod a2_a_claim_meant_for_an_ended_session;
mod a3_a_scan_is_no_snapshot;
mod a4_a_slow_cycle_stops_no_shard;
mod a5_a_late_checkpoint_does_not_go_back;
mod a6_a_deposed_leaders_fence;
mod a7_slow_looks_fence_nobody_early;
mod a8_the_child_of_a_merge_waits_for_both;
mod a9_a_java_fleet_that_comes_back;
mod b1_what_a_plan_does_not_name_stays;
mod b2_a_claim_without_an_answer;
mod b3_a_claim_of_the_dead;
mod b4_sessions_without_a_row;
mod b5_an_outage_of_the_table_kills_nobody;
mod b6_a_leader_that_leaves;
mod b7_the_last_one_out_and_a_joiner;
