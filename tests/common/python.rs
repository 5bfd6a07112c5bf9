//! Python, if it is installed, as an independent reader.

use std::path::Path;
use std::process::Command;

/// Runs a Python program with the file as its only argument, and returns its output. `None` without
/// Python.
pub(crate) fn python(program: &str, file: &Path) -> Option<String> {
    let Ok(output) = Command::new("python3").arg("-c").arg(program).arg(file).output() else {
        super::skipping("there is no python3");
        return None;
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The same, but `None` without numpy too.
pub(crate) fn numpy(program: &str, file: &Path) -> Option<String> {
    const NONE: &str = "no numpy\n";
    let guard = "try: import numpy\nexcept ImportError: print('no numpy'); exit()\n";
    let printed = python(&format!("{guard}{program}"), file)?;
    if printed == NONE {
        super::skipping("there is no numpy");
        return None;
    }
    Some(printed)
}

/// Prints the state that the Python reader (python/) loads, in the form of `typed` in
/// `python/tests/show.py`.
pub(crate) const LOAD: &str = "print(json.dumps(typed(checkpointed.load(sys.argv[1]))))";

/// Runs a program with the Python reader as `checkpointed`, and with `typed`.
pub(crate) fn reader(program: &str, path: &Path) -> Option<String> {
    let tests = super::root().join("python/tests");
    let prelude = "import json, sys, warnings\nsys.dont_write_bytecode = True\n";
    numpy(
        &format!("{prelude}sys.path.insert(0, {tests:?})\nfrom show import checkpointed, typed\n{program}"),
        path,
    )
}
