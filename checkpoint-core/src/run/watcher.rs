//! The receivers of the progress of saves: the callback of the program, and lines on standard
//! error.

use std::path::Path;
use std::time::Duration;

use crate::base::callback::Callback;
use crate::base::text::plain;
use crate::base::warnings::to_stderr_of_process;
use crate::outcome::{Progress, Saved};

/// The receivers of the progress of the saves of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watcher {
    callback: Callback<Progress>,
    /// The name of the directory in the lines; `None` where no lines are written.
    lines_of: Option<String>,
}

impl Watcher {
    pub(crate) fn new(callback: Callback<Progress>) -> Watcher {
        Watcher { callback, lines_of: None }
    }

    /// Writes a line on standard error for each save of this directory, too.
    pub(crate) fn with_lines_of(mut self, directory: &Path) -> Watcher {
        let name = directory.file_name().unwrap_or(directory.as_os_str());
        self.lines_of = Some(plain(&name.to_string_lossy()).into_owned());
        self
    }

    /// Tells all of them. The caller has no invariant open: the callback runs here.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Progress) {
        let Some(name) = &self.lines_of else { return self.callback.tell(event) };
        let event = event();
        if let Some(line) = line(name, &event) {
            to_stderr_of_process(&line);
        }
        self.callback.tell(|| event);
    }
}

/// The line for the end of a save.
fn line(name: &str, event: &Progress) -> Option<String> {
    Some(match event {
        Progress::Saved(Saved { generation, bytes, duration, stall, .. }) => {
            let (size, took) = (size(*bytes), time(*duration));
            let waited = match stall < duration {
                true => format!(", the program waited {}", time(*stall)),
                false => String::new(),
            };
            format!("checkpointed: {name}: saved generation {generation}, {size} in {took}{waited}\n")
        }
        Progress::Failed { generation, message } => {
            let message = plain(message);
            format!("checkpointed: {name}: generation {generation} was not saved: {message}\n")
        }
        Progress::Started { .. } | Progress::Writing { .. } => return None,
    })
}

/// A time as people read it.
fn time(time: Duration) -> String {
    format!("{time:.1?}")
}

/// A number of bytes as people read it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let power = (bytes.ilog2() / 10).min(6);
    let unit = UNITS.get(power as usize - 1).copied().unwrap_or_default();
    format!("{:.1} {unit}", bytes as f64 / (1_u64 << (10 * power)) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_was_saved_and_how_long_it_took() {
        let saved = |bytes, duration, stall| {
            let (duration, stall) = (Duration::from_millis(duration), Duration::from_millis(stall));
            let saved = Saved { generation: 42, bytes, written: bytes, duration, stall };
            line("run.ckpt", &Progress::Saved(saved))
        };
        assert_eq!(
            saved(256 << 20, 1500, 1500).as_deref(),
            Some("checkpointed: run.ckpt: saved generation 42, 256.0 MiB in 1.5s\n")
        );
        assert_eq!(
            saved(1000, 25, 3).as_deref(),
            Some(
                "checkpointed: run.ckpt: saved generation 42, 1000 bytes in 25.0ms, the program waited 3.0ms\n"
            )
        );
        let failed = Progress::Failed { generation: 7, message: "the disk\nis full".to_owned() };
        assert_eq!(
            line("run.ckpt", &failed).as_deref(),
            Some("checkpointed: run.ckpt: generation 7 was not saved: the disk\\nis full\n")
        );
        assert_eq!(line("run.ckpt", &Progress::Writing { generation: 7, bytes: 1 }), None);
    }

    #[test]
    fn a_size_has_the_unit_that_fits() {
        let cases = [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1024.0 KiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }
}
