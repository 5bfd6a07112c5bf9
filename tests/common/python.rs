//! Python, where there is one, as a reader that knows nothing of us.

use std::path::Path;
use std::process::Command;

/// Runs a Python program with the file as its only argument, and returns what it printed. `None` where there is no
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

/// The same, where numpy is there too.
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
