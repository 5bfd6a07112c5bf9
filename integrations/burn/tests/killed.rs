//! A training that is killed, stopped and started again has the weights of one that is not.

#[test]
fn a_killed_training_has_the_same_weights_to_the_bit() {
    checkpointed_killed::has_the_same_result("train_burn", "150 steps\n");
}

#[cfg(unix)]
#[test]
fn a_stopped_training_is_saved_and_asks_to_be_started_again() {
    let _ = checkpointed_killed::asks_to_be_started_again("train_burn", "150 steps\n");
}
