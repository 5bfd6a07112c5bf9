//! Runs the first example as a user does: started, killed, and started again.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn it_goes_on_where_it_was_when_it_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let mut command = crate::common::example("counter");
        let mut child = command.current_dir(directory.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let number: u64 = line.trim().parse().unwrap();
        // The kill may have come between the save of one more number and its line.
        assert!(number == last + 1 || number == last + 2 && last > 0, "{number} after {last}");
        last = number;
    }
    assert_eq!(crate::common::names_in(directory.path()), ["counter.ckpt"]);
}
