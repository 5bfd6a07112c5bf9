//! The reaction to a configuration that differs from that of the checkpoint.

use crate::base::warnings::warn;
use crate::container::{Config, ConfigDifference, Manifest};
use crate::error::Error;
use crate::run::reader::Reader;

/// The reaction of a load to a [configuration](crate::Builder::config) that differs from that of
/// the checkpoint.
///
/// ```
/// use checkpointed::{Checkpointer, ConfigChanges, Error};
///
/// #[derive(serde::Serialize)]
/// struct Arguments { learning_rate: f64, epochs: u32 }
///
/// # fn main() -> Result<(), Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let open = |learning_rate, epochs| {
///     Checkpointer::<u64>::builder(&path)
///         .config(&Arguments { learning_rate, epochs })
///         .config_changes(ConfigChanges::refuse().allow("epochs"))
///         .open()
/// };
/// open(0.1, 10)?.save(&7)?;
/// assert_eq!(open(0.1, 20)?.load()?, Some(7));
/// assert!(matches!(open(0.01, 20)?.load(), Err(Error::ConfigChanged { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConfigChanges {
    is_refused: bool,
    allowed: Vec<String>,
    /// Pairs of an older name and the present one.
    renamed: Vec<(String, String)>,
}

impl ConfigChanges {
    /// Warns of each difference, and goes on: the default.
    #[must_use]
    pub fn warn() -> ConfigChanges {
        ConfigChanges::default()
    }

    /// Makes a difference an error of the load ([`Error::ConfigChanged`]).
    #[must_use]
    pub fn refuse() -> ConfigChanges {
        ConfigChanges { is_refused: true, ..ConfigChanges::default() }
    }

    /// Allows any difference of a setting, or of a group of settings: without a warning. `setting`
    /// is a path such as `epochs` or `optimizer/rate`.
    #[must_use]
    pub fn allow(mut self, setting: impl Into<String>) -> ConfigChanges {
        self.allowed.push(setting.into());
        self
    }

    /// Names a setting, or a group of settings, that had another name when the checkpoint was
    /// saved.
    ///
    /// ```
    /// use checkpointed::ConfigChanges;
    ///
    /// let changes = ConfigChanges::warn().renamed("lr", "learning_rate");
    /// ```
    #[must_use]
    pub fn renamed(mut self, before: impl Into<String>, now: impl Into<String>) -> ConfigChanges {
        self.renamed.push((before.into(), now.into()));
        self
    }

    /// Reacts to the differences of the generation that a reader loaded last, and adds them to its
    /// report.
    pub(crate) fn apply_to(&self, reader: &mut Reader) -> Result<(), Error> {
        let now = reader.configuration().cloned();
        self.apply(reader, now.as_ref())
    }

    /// The same for the reader of another directory, which has no configuration.
    pub(crate) fn apply(&self, reader: &mut Reader, now: Option<&Config>) -> Result<(), Error> {
        let Some(report) = reader.report_mut() else { return Ok(()) };
        report.config_differences = self.between(&report.manifest, now);
        let path = report.path.clone();
        self.react(&path, &report.config_differences)
    }

    /// The differences between the configuration of a checkpoint and the present one.
    pub(crate) fn between(&self, manifest: &Manifest, now: Option<&Config>) -> Vec<ConfigDifference> {
        let (Some(before), Some(now)) = (&manifest.configuration, now) else { return Vec::new() };
        let mut before = before.clone();
        self.renamed.iter().for_each(|(old, new)| before.rename(old, new));
        before.differences(now)
    }

    /// Warns of differences, or refuses them.
    pub(crate) fn react(
        &self,
        path: &std::path::Path,
        differences: &[ConfigDifference],
    ) -> Result<(), Error> {
        let is_allowed =
            |difference: &&ConfigDifference| self.allowed.iter().any(|allowed| difference.is_in(allowed));
        let left: Vec<ConfigDifference> =
            differences.iter().filter(|difference| !is_allowed(difference)).cloned().collect();
        if self.is_refused && !left.is_empty() {
            return Err(Error::ConfigChanged { path: path.to_owned(), differences: left });
        }
        for difference in left {
            warn(format!("the configuration of {} has changed: {difference}", path.display()));
        }
        Ok(())
    }
}
