//! Decides which generations to keep, and why: a pure function of the existing ones.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};

use serde::{Deserialize, Serialize};

use crate::container::{Metadata, MetadataValue};

/// A number in the metadata of each save, such as a loss, that ranks generations.
///
/// ```
/// use checkpointed::{Checkpointer, Metadata, Metric};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("fit.ckpt");
/// let mut checkpoints =
///     Checkpointer::<u64>::builder(&path).keep_best(Metric::lowest("loss"), 1).open()?;
/// for (epoch, loss) in [0.9, 0.1, 0.5, 0.4].into_iter().enumerate() {
///     checkpoints.save_with(&(epoch as u64), Metadata::new().with("loss", loss))?;
/// }
/// // The best, and the last two.
/// assert_eq!(checkpoints.generations()?, [2, 3, 4]);
/// assert_eq!(checkpoints.best(&Metric::lowest("loss"))?, Some(2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    name: String,
    highest: bool,
}

impl Metric {
    /// Lower is better, such as for a loss.
    #[must_use]
    pub fn lowest(name: impl Into<String>) -> Metric {
        Metric { name: name.into(), highest: false }
    }

    /// Higher is better, such as for an accuracy.
    #[must_use]
    pub fn highest(name: impl Into<String>) -> Metric {
        Metric { name: name.into(), highest: true }
    }

    /// Its name in the metadata.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The generations from the best to the worst, without those whose value is no number. Of equal
    /// ones the older is better, so that a plateau does not write the best again and again.
    pub(crate) fn ranked<'v>(&self, values: impl Iterator<Item = (u64, &'v MetadataValue)>) -> Vec<u64> {
        let is_number = |value: &MetadataValue| value.compare(value).is_some();
        let mut ranked: Vec<_> = values.filter(|(_, value)| is_number(value)).collect();
        ranked.sort_by(|(older, one), (newer, two)| {
            // Both are numbers.
            let order = one.compare(two).unwrap_or(Ordering::Equal);
            let order = if self.highest { order.reverse() } else { order };
            order.then(older.cmp(newer))
        });
        ranked.into_iter().map(|(generation, _)| generation).collect()
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", if self.highest { "highest" } else { "lowest" }, self.name)
    }
}

/// The rules of retention: each keeps its generations, whatever the others say.
///
/// A program gives it to its [`Builder`](crate::Builder), and the history of its runs records it.
///
/// ```
/// use checkpointed::{Metric, inspect::Retention};
/// use std::num::{NonZeroU64, NonZeroUsize};
///
/// let retention = Retention {
///     every: NonZeroU64::new(100),
///     best: vec![(Metric::lowest("loss"), 1)],
///     ..Retention::newest(NonZeroUsize::MIN)
/// };
/// assert_eq!(retention.to_string(), "the last 1, every 100th, 1 with the lowest loss");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The number of newest generations to keep.
    pub last: NonZeroUsize,
    /// Keeps the generations whose number this divides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<NonZeroU64>,
    /// The number of best generations to keep, for each metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub best: Vec<(Metric, usize)>,
}

/// The reason that a generation is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keeping {
    /// It is one of the newest.
    Last,
    /// A user pinned it.
    Pinned,
    /// Its number is a multiple of this.
    Every(NonZeroU64),
    /// It is one of the best by this metric.
    Best(Metric),
    /// Its metrics could not be read just now: it may be the best.
    Unread,
    /// It is damaged, and newer than one that is kept as one of the newest: removing it is not
    /// urgent.
    Newer,
}

impl fmt::Display for Keeping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keeping::Last => formatter.write_str("newest"),
            Keeping::Pinned => formatter.write_str("pinned"),
            Keeping::Every(every) => write!(formatter, "every {every}th"),
            Keeping::Best(metric) => metric.fmt(formatter),
            Keeping::Unread => formatter.write_str("could be the best"),
            Keeping::Newer => formatter.write_str("damaged, but new"),
        }
    }
}

/// The metrics of a generation.
#[derive(Clone, Debug)]
pub(crate) enum Metrics {
    /// In the order of [`Retention::best`].
    Known(Vec<Option<MetadataValue>>),
    /// It could not be read just now: it may be the best.
    Unread,
}

impl Retention {
    /// Keeps this number of the newest, and no others.
    #[must_use]
    pub fn newest(generations: NonZeroUsize) -> Retention {
        Retention { last: generations, every: None, best: Vec::new() }
    }

    /// The metrics of a generation with this metadata that this retention uses.
    pub(crate) fn metrics(&self, metadata: &Metadata) -> Metrics {
        let value = |(metric, _): &(Metric, usize)| metadata.get(metric.name()).cloned();
        Metrics::Known(self.best.iter().map(value).collect())
    }

    /// Selects from `generations` (oldest first) those to keep, and why. Damaged ones do not count
    /// as kept, but stay while they are newer than the oldest that is kept as one of the last:
    /// removing them is not urgent, and they may be evidence.
    pub(crate) fn kept(
        &self,
        generations: &[u64],
        damaged: &BTreeSet<u64>,
        pinned: &BTreeSet<u64>,
        metrics: &BTreeMap<u64, Metrics>,
    ) -> BTreeMap<u64, Vec<Keeping>> {
        let usable = || generations.iter().copied().filter(|generation| !damaged.contains(generation));
        let Some(oldest_of_last) = usable().rev().take(self.last.get()).last() else {
            return generations.iter().map(|generation| (*generation, vec![Keeping::Newer])).collect();
        };
        let mut kept: BTreeMap<u64, Vec<Keeping>> = BTreeMap::new();
        let mut keep = |generation: u64, why| kept.entry(generation).or_default().push(why);
        for generation in generations.iter().copied().filter(|generation| *generation >= oldest_of_last) {
            keep(generation, if damaged.contains(&generation) { Keeping::Newer } else { Keeping::Last });
        }
        generations
            .iter()
            .filter(|generation| pinned.contains(generation))
            .for_each(|generation| keep(*generation, Keeping::Pinned));
        if let Some(every) = self.every {
            usable()
                .filter(|generation| generation.is_multiple_of(every.get()))
                .for_each(|generation| keep(generation, Keeping::Every(every)));
        }
        for (place, (metric, count)) in self.best.iter().enumerate() {
            let values = usable().filter_map(|generation| match metrics.get(&generation) {
                Some(Metrics::Known(values)) => Some((generation, values.get(place)?.as_ref()?)),
                Some(Metrics::Unread) | None => None,
            });
            let best = metric.ranked(values).into_iter().take(*count);
            best.for_each(|generation| keep(generation, Keeping::Best(metric.clone())));
        }
        usable()
            .filter(|generation| matches!(metrics.get(generation), Some(Metrics::Unread)))
            .for_each(|generation| keep(generation, Keeping::Unread));
        kept
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the last {}", self.last)?;
        if let Some(every) = self.every {
            write!(formatter, ", every {every}th")?;
        }
        self.best.iter().try_for_each(|(metric, count)| write!(formatter, ", {count} with the {metric}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn last(count: usize) -> Retention {
        Retention::newest(NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN))
    }

    fn kept<V: Into<MetadataValue> + Copy>(
        retention: &Retention,
        generations: &[u64],
        losses: &[(u64, V)],
    ) -> Vec<u64> {
        let none = BTreeSet::new();
        let known = |(number, loss): &(u64, V)| (*number, Metrics::Known(vec![Some((*loss).into())]));
        let metrics = losses.iter().map(known).collect();
        retention.kept(generations, &none, &none, &metrics).into_keys().collect()
    }

    const NONE: &[(u64, f64)] = &[];

    #[test]
    fn the_newest_are_kept() {
        assert_eq!(kept(&last(2), &[1, 2, 5, 9], NONE), [5, 9]);
        assert_eq!(kept(&last(9), &[1, 2, 5, 9], NONE), [1, 2, 5, 9]);
        assert!(kept(&last(1), &[], NONE).is_empty());
    }

    #[test]
    fn every_nth_generation_is_kept_forever() {
        let retention = Retention { every: NonZeroU64::new(10), ..last(1) };
        assert_eq!(kept(&retention, &[10, 15, 20, 31, 32], NONE), [10, 20, 32]);
    }

    #[test]
    fn the_best_are_kept_and_of_equal_ones_the_first() {
        let retention = Retention { best: vec![(Metric::lowest("loss"), 2)], ..last(1) };
        let losses = [(1, 0.5), (2, 0.1), (3, 0.5), (4, f64::NAN), (5, 3.0)];
        assert_eq!(kept(&retention, &[1, 2, 3, 4, 5], &losses), [1, 2, 5]);
        let retention = Retention { best: vec![(Metric::highest("gain"), 1)], ..last(1) };
        assert_eq!(kept(&retention, &[1, 2, 3], &[(1, f64::NEG_INFINITY), (2, 7.0), (3, 6.0)]), [2, 3]);
    }

    #[test]
    fn only_an_unread_generation_may_be_best_without_a_number() {
        let retention = Retention { best: vec![(Metric::lowest("loss"), 1)], ..last(1) };
        let none = BTreeSet::new();
        let metrics = BTreeMap::from([
            (1, Metrics::Unread),
            (2, Metrics::Known(vec![None])),
            (3, Metrics::Known(vec![Some(MetadataValue::Float(1.0))])),
        ]);
        let kept = retention.kept(&[1, 2, 3, 4], &none, &none, &metrics);
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn a_damaged_generation_does_not_count_and_a_pinned_one_stays() {
        let (damaged, pinned) = (BTreeSet::from([3, 5]), BTreeSet::from([1, 7]));
        let kept = last(2).kept(&[1, 2, 3, 4, 5, 6], &damaged, &pinned, &BTreeMap::new());
        assert_eq!(kept[&5], [Keeping::Newer]);
        assert_eq!(kept[&1], [Keeping::Pinned]);
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), [1, 4, 5, 6]);
    }

    #[test]
    fn where_all_are_damaged_none_is_removed() {
        let all = BTreeSet::from([1, 2]);
        let kept = last(1).kept(&[1, 2], &all, &BTreeSet::new(), &BTreeMap::new());
        assert_eq!(kept.into_keys().collect::<BTreeSet<_>>(), all);
    }

    #[test]
    fn integers_that_share_a_float_are_ranked_exactly() {
        let retention = Retention { best: vec![(Metric::highest("steps"), 1)], ..last(1) };
        let steps = [(1, u64::MAX), (2, u64::MAX - 1), (3, 0)];
        assert_eq!(kept(&retention, &[1, 2, 3], &steps), [1, 3]);
        let retention = Retention { best: vec![(Metric::lowest("steps"), 1)], ..last(1) };
        let steps = [(1, (1 << 53) + 1), (2, 1_u64 << 53), (3, u64::MAX)];
        assert_eq!(kept(&retention, &[1, 2, 3], &steps), [2, 3]);
    }

    #[test]
    fn the_history_reads_back_metrics_of_any_name() {
        for name in ["loss", "loss, every 7th", "", "the\n\"last\" 2, 1 with the lowest x", "\u{202e}"] {
            let best = vec![(Metric::lowest(name), 1), (Metric::highest("of the day"), 3)];
            for every in [None, NonZeroU64::new(100)] {
                let retention = Retention { every, best: best.clone(), ..last(2) };
                let text = serde_json::to_string(&retention).unwrap();
                assert_eq!(serde_json::from_str::<Retention>(&text).unwrap(), retention);
            }
        }
        assert!(serde_json::from_str::<Retention>(r#"{"last":0}"#).is_err());
    }
}
