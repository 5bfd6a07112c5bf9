//! A line on standard error for each save, by choice of the program or of the user.

use std::process::Output;

use checkpointed::{Checkpointer, Error};

use crate::common::{assert_passed, inside, once_more};

fn lines(output: &Output) -> Vec<String> {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    stderr.lines().filter(|line| line.starts_with("checkpointed: run.ckpt:")).map(str::to_owned).collect()
}

#[test]
fn each_save_is_one_line_if_it_is_asked_for() {
    const TEST: &str = "each_save_is_one_line_if_it_is_asked_for";
    if let Some(directory) = inside() {
        let builder = Checkpointer::<Vec<f64>>::builder(directory.join("run.ckpt"));
        let asks = std::env::var_os("ASKS").is_some();
        let mut checkpoints = builder.saves_to_stderr(asks).open().unwrap();
        checkpoints.save(&vec![0.5; 1 << 17]).unwrap();
        checkpoints.save_in_background(&vec![0.25; 1 << 17]).unwrap();
        checkpoints.finish(&vec![0.0]).unwrap();
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let run = |asks: bool, user: &str| {
        let mut command = once_more(TEST, &[], parent.path());
        command.env_remove("CHECKPOINT_SAVES");
        if asks {
            command.env("ASKS", "");
        }
        if !user.is_empty() {
            command.env("CHECKPOINT_SAVES", user);
        }
        let output = command.output().unwrap();
        assert_passed(&output);
        lines(&output)
    };
    let told = run(true, "");
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].starts_with("checkpointed: run.ckpt: saved generation 1, 1.0 MiB in "), "{told:#?}");
    assert!(told[1].contains(", the program waited "), "{told:#?}");
    assert_eq!(run(false, "stderr").len(), 3);
    assert_eq!(run(true, "off"), [""; 0]);
    assert_eq!(run(false, ""), [""; 0]);
}

#[test]
fn a_misspelt_wish_for_lines_is_an_error() {
    const TEST: &str = "a_misspelt_wish_for_lines_is_an_error";
    if let Some(directory) = inside() {
        let error = Checkpointer::<u64>::open(directory.join("run.ckpt")).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error:?}");
        assert!(error.to_string().contains("CHECKPOINT_SAVES=terminal"), "{error}");
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let mut command = once_more(TEST, &[], parent.path());
    assert_passed(&command.env("CHECKPOINT_SAVES", "terminal").output().unwrap());
}
