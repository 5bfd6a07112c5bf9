//! An optimization that is killed, stopped and started again has the result of one that is not.

#[test]
fn a_killed_optimization_has_the_same_result_to_the_bit() {
    checkpointed_killed::has_the_same_result("rosenbrock", "171 iterations, ");
}

#[cfg(unix)]
#[test]
fn a_stopped_optimization_is_saved_and_asks_to_be_started_again() {
    let output = checkpointed_killed::asks_to_be_started_again("rosenbrock", "171 iterations, ");
    let errors = String::from_utf8_lossy(&output.stderr);
    let expected = "was stopped by the signal SIGTERM (15); it is saved after iteration ";
    assert!(errors.contains(expected), "{errors}");
}
