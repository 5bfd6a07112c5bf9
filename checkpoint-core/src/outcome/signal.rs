//! The signals on which a program may stop.

use std::fmt;

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A signal on which a program may stop.
///
/// ```
/// use checkpointed::stop::Signal;
///
/// assert_eq!(Signal::TERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::TERM.number(), 15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal {
    name: &'static str,
    number: i32,
    /// The index among all signals.
    #[cfg(unix)]
    pub(crate) index: usize,
}

macro_rules! signals {
    ($($index:literal $constant:ident $name:literal $unix:ident $elsewhere:literal: $what:literal)*) => {
        impl Signal {
            $(
                #[doc = $what]
                pub const $constant: Signal = Signal {
                    name: $name,
                    #[cfg(unix)]
                    number: signal_hook::consts::$unix,
                    #[cfg(not(unix))]
                    number: $elsewhere,
                    #[cfg(unix)]
                    index: $index,
                };
            )*

            /// All signals, each at its index.
            pub(crate) const ALL: &'static [Signal] = &[$(Signal::$constant),*];
        }
    };
}

signals! {
    0 INT "SIGINT" SIGINT 2: "Ctrl+c."
    1 TERM "SIGTERM" SIGTERM 15: "The first signal of `kill`, Slurm, PBS, systemd and Kubernetes."
    2 USR1 "SIGUSR1" SIGUSR1 10: "The signal that Slurm sends for `--signal=USR1@120`."
    3 USR2 "SIGUSR2" SIGUSR2 12: "The signal that Grid Engine sends ahead of a kill for `-notify`."
    4 HUP "SIGHUP" SIGHUP 1: "The terminal is gone."
    5 XCPU "SIGXCPU" SIGXCPU 24: "The limit of processor time is reached."
}

impl Signal {
    /// The signals that a program stops on by default: SIGINT, SIGTERM, SIGUSR1 and SIGUSR2.
    pub const DEFAULT: &'static [Signal] = &[Signal::INT, Signal::TERM, Signal::USR1, Signal::USR2];

    /// Returns its number on this system.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.number
    }

    /// Returns its name, which is that of `kill -l` with `SIG` before it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

// As its name: numbers differ between systems.
impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Signal, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = Signal::ALL.iter().find(|signal| signal.name == name);
        found.copied().ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&name), &"the name of a signal"))
    }
}
