//! Decides which generations to keep, and why: a pure function of the existing ones.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::container::{Manifest, MetadataValue};

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
    /// Numbers in the metadata. Keeps the first generation at or after each multiple, from the
    /// first multiple on: 1000, 2000, … steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub every_of: Vec<(String, NonZeroU64)>,
    /// Keeps the first generation of each interval, up to an age.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_age: Vec<ByAge>,
}

/// A rule of retention by age: one generation in each interval, up to an age. Times are those of
/// the saves by the clock of their machine; ages are counted back from the newest save. If that is
/// more than the greatest age after the save before it, nothing goes by its age until one more
/// save: the clock of the machine may have been wrong for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByAge {
    /// The interval, of which the first save is kept. Intervals begin at multiples of this since
    /// 1970, in UTC: an hour at minute 0, a day at midnight.
    pub one_in: Duration,
    /// The greatest age.
    pub up_to: Duration,
}

impl fmt::Display for ByAge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "one in {:?} up to {:?}", self.one_in, self.up_to)
    }
}

/// The reason that a generation is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keeping {
    /// It is one of the newest, or the newest with all parts here where a newer one has some on
    /// other machines.
    Last,
    /// A user pinned it.
    Pinned,
    /// Its number is a multiple of this.
    Every(NonZeroU64),
    /// It is one of the best by this metric.
    Best(Metric),
    /// It is the first at or after a multiple of this number, in the metadata under that name.
    EveryOf(String, NonZeroU64),
    /// It is the first of its interval.
    Age(ByAge),
    /// Its metadata could not be read just now: another rule may keep it.
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
            Keeping::EveryOf(name, every) => write!(formatter, "every {every} of {name}"),
            Keeping::Age(rule) => rule.fmt(formatter),
            Keeping::Unread => formatter.write_str("may have to stay"),
            Keeping::Newer => formatter.write_str("damaged, but new"),
        }
    }
}

/// The facts about a generation that the rules go by.
#[derive(Clone, Debug)]
pub(crate) enum Metrics {
    /// From its manifest.
    Known(Facts),
    /// It could not be read just now: any rule may keep it.
    Unread,
}

/// The facts in a manifest that a retention uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    values: BTreeMap<String, MetadataValue>,
    created: Option<SystemTime>,
}

impl Retention {
    /// Keeps this number of the newest, and no others.
    #[must_use]
    pub fn newest(generations: NonZeroUsize) -> Retention {
        Retention {
            last: generations,
            every: None,
            best: Vec::new(),
            every_of: Vec::new(),
            by_age: Vec::new(),
        }
    }

    /// True if a rule goes by the manifests of the generations.
    pub(crate) fn uses_manifests(&self) -> bool {
        !(self.best.is_empty() && self.every_of.is_empty() && self.by_age.is_empty())
    }

    /// The facts in this manifest that the rules use.
    pub(crate) fn metrics(&self, manifest: &Manifest) -> Metrics {
        let names = self.best.iter().map(|(metric, _)| metric.name());
        let names = names.chain(self.every_of.iter().map(|(name, _)| name.as_str()));
        let value = |name: &str| Some((name.to_owned(), manifest.metadata().get(name)?.clone()));
        let created = (!self.by_age.is_empty()).then(|| manifest.created());
        Metrics::Known(Facts { values: names.filter_map(value).collect(), created })
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
        let facts = || {
            usable().filter_map(|generation| match metrics.get(&generation) {
                Some(Metrics::Known(facts)) => Some((generation, facts)),
                Some(Metrics::Unread) | None => None,
            })
        };
        for (metric, count) in &self.best {
            let values = facts()
                .filter_map(|(generation, facts)| Some((generation, facts.values.get(metric.name())?)));
            let best = metric.ranked(values).into_iter().take(*count);
            best.for_each(|generation| keep(generation, Keeping::Best(metric.clone())));
        }
        for (name, every) in &self.every_of {
            // Each multiple keeps its first, so a restart that comes to it once more keeps no
            // second.
            let mut multiples = BTreeSet::new();
            let first = facts().filter(|(_, facts)| {
                let multiple = facts.values.get(name).and_then(|value| multiple_of(value, *every));
                multiple.is_some_and(|multiple| multiples.insert(multiple))
            });
            first.for_each(|(generation, _)| keep(generation, Keeping::EveryOf(name.clone(), *every)));
        }
        let mut last = facts().rev().filter_map(|(_, facts)| facts.created);
        let last = (last.next(), last.next());
        for rule in &self.by_age {
            let newest = rule.now(last);
            let mut intervals = BTreeSet::new();
            let first = facts().filter(|(_, facts)| {
                let interval = facts.created.and_then(|created| rule.interval(created, newest?));
                interval.is_some_and(|interval| intervals.insert(interval))
            });
            first.for_each(|(generation, _)| keep(generation, Keeping::Age(*rule)));
        }
        usable()
            .filter(|generation| matches!(metrics.get(generation), Some(Metrics::Unread)))
            .for_each(|generation| keep(generation, Keeping::Unread));
        kept
    }
}

/// The multiple that a number has reached, if it has reached one: 2 for 2500 and every 1000. Exact
/// for every integer, and for every float.
fn multiple_of(value: &MetadataValue, every: NonZeroU64) -> Option<i128> {
    let whole = match value {
        MetadataValue::Integer(number) => *number,
        MetadataValue::Float(number) if number.is_finite() => {
            #[allow(clippy::cast_possible_truncation, reason = "saturates: beyond it all are one multiple")]
            let whole = number.floor() as i128;
            whole
        }
        _ => return None,
    };
    Some(whole.div_euclid(i128::from(every.get()))).filter(|multiple| *multiple > 0)
}

impl ByAge {
    /// The time that ages are counted from: that of the newest save. If it is so long after the
    /// save before it that all others would be too old, the clock may be wrong, and the one before
    /// it counts until another save confirms it.
    fn now(&self, (newest, before): (Option<SystemTime>, Option<SystemTime>)) -> Option<SystemTime> {
        let (newest, before) = (newest?, before.or(newest)?);
        let is_far = newest.duration_since(before).is_ok_and(|time| time > self.up_to);
        Some(if is_far { before } else { newest })
    }

    /// The number of the interval of a save, unless it is too old. A save after the newest one, as
    /// of a clock that was set back, has no age.
    fn interval(&self, created: SystemTime, newest: SystemTime) -> Option<u128> {
        let age = newest.duration_since(created).unwrap_or_default();
        let since = created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (age <= self.up_to).then(|| since.as_nanos().checked_div(self.one_in.as_nanos())).flatten()
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the last {}", self.last)?;
        if let Some(every) = self.every {
            write!(formatter, ", every {every}th")?;
        }
        self.best.iter().try_for_each(|(metric, count)| write!(formatter, ", {count} with the {metric}"))?;
        self.every_of.iter().try_for_each(|(name, every)| write!(formatter, ", every {every} of {name}"))?;
        self.by_age.iter().try_for_each(|rule| write!(formatter, ", {rule}"))
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
        let known = |(number, loss): &(u64, V)| (*number, known(retention, &(*loss).into()));
        let metrics = losses.iter().map(known).collect();
        retention.kept(generations, &none, &none, &metrics).into_keys().collect()
    }

    /// A generation with this value of every metric.
    fn known(retention: &Retention, value: &MetadataValue) -> Metrics {
        let names = retention.best.iter().map(|(metric, _)| metric.name().to_owned());
        let names = names.chain(retention.every_of.iter().map(|(name, _)| name.clone()));
        let values = names.map(|name| (name, value.clone())).collect();
        Metrics::Known(Facts { values, created: None })
    }

    fn at(seconds: u64) -> Metrics {
        let created = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        Metrics::Known(Facts { created, ..Facts::default() })
    }

    fn every_of(every: u64) -> Retention {
        Retention { every_of: vec![("step".to_owned(), NonZeroU64::new(every).unwrap())], ..last(1) }
    }

    #[test]
    fn the_first_generation_at_or_after_each_multiple_stays() {
        let steps: [(u64, u64); 9] = [
            (1, 0),
            (2, 950),
            (3, 1020),
            (4, 1990),
            (5, 2000),
            (6, 2010),
            // Nothing was saved between 3000 and 4999.
            (7, 5500),
            (8, 5600),
            (9, 5700),
        ];
        let all: Vec<u64> = steps.iter().map(|(generation, _)| *generation).collect();
        assert_eq!(kept(&every_of(1000), &all, &steps), [3, 5, 7, 9]);
        // A restart that comes to a multiple once more keeps the first.
        let again = [(1, 1000_u64), (2, 990), (3, 1000), (4, 1010)];
        assert_eq!(kept(&every_of(1000), &[1, 2, 3, 4], &again), [1, 4]);
        // Whatever retention removed before, the same stay.
        assert_eq!(kept(&every_of(1000), &[3, 5, 6], &steps[2..6]), [3, 5, 6]);
    }

    #[test]
    fn multiples_of_integers_and_floats_are_exact() {
        let big = u64::MAX / 3 * 3;
        let steps = [(1, big - 1), (2, big), (3, 1)];
        assert_eq!(kept(&every_of(u64::MAX / 3), &[1, 2, 3], &steps), [1, 2, 3]);
        let every = NonZeroU64::new(10).unwrap();
        for (value, multiple) in [
            (MetadataValue::Float(9.999), None),
            (MetadataValue::Float(10.0), Some(1)),
            (MetadataValue::Float(29.999_999), Some(2)),
            (MetadataValue::Float(-10.0), None),
            (MetadataValue::Float(f64::NAN), None),
            (MetadataValue::Float(f64::INFINITY), None),
            (MetadataValue::Integer(-10), None),
            (MetadataValue::Integer(9), None),
            (MetadataValue::Integer(i128::from(u64::MAX)), Some(i128::from(u64::MAX / 10))),
            (MetadataValue::Text("10".to_owned()), None),
            (MetadataValue::Bool(true), None),
        ] {
            assert_eq!(multiple_of(&value, every), multiple, "{value:?}");
        }
        assert!(multiple_of(&MetadataValue::Float(f64::MAX), every).is_some());
    }

    #[test]
    fn one_an_hour_and_one_a_day_stay_up_to_their_age() {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        let rule =
            |one_in, up_to| ByAge { one_in: Duration::from_secs(one_in), up_to: Duration::from_secs(up_to) };
        let retention = Retention { by_age: vec![rule(HOUR, DAY), rule(DAY, 30 * DAY)], ..last(1) };
        // A save every ten minutes for 40 days, of which each is kept or not as it comes.
        let (none, mut there, mut metrics) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
        for number in 1..=40 * DAY / 600 {
            there.push(number);
            metrics.insert(number, at(number * 600));
            let kept = retention.kept(&there, &none, &none, &metrics);
            there.retain(|generation| kept.contains_key(generation));
        }
        let newest = 40 * DAY;
        let ages: Vec<u64> = there.iter().map(|number| newest - number * 600).collect();
        let hours = ages.iter().filter(|age| **age <= DAY).count();
        let days = ages.iter().filter(|age| **age > DAY).count();
        assert_eq!((hours, days), (25, 29), "{ages:?}");
        assert!(ages.iter().filter(|age| **age > DAY).all(|age| age % DAY == 0), "{ages:?}");
    }

    #[test]
    fn a_clock_that_was_set_back_removes_nothing_that_is_young() {
        let rule = ByAge { one_in: Duration::from_secs(10), up_to: Duration::from_secs(100) };
        let retention = Retention { by_age: vec![rule], ..last(1) };
        let times = [5000, 5001, 1000, 880, 985, 990];
        let metrics = (1..).zip(times.map(at)).collect();
        let none = BTreeSet::new();
        let kept = retention.kept(&[1, 2, 3, 4, 5, 6], &none, &none, &metrics);
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), [1, 3, 5, 6]);
    }

    #[test]
    fn one_save_with_a_clock_that_is_ahead_removes_nothing() {
        const DAY: u64 = 24 * 3600;
        let rule = ByAge { one_in: Duration::from_secs(DAY), up_to: Duration::from_secs(30 * DAY) };
        let retention = Retention { by_age: vec![rule], ..last(1) };
        let (none, mut there, mut metrics) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
        let mut save = |day: u64| {
            let number = metrics.len() as u64 + 1;
            there.push(number);
            metrics.insert(number, at(day * DAY));
            let kept = retention.kept(&there, &none, &none, &metrics);
            there.retain(|generation| kept.contains_key(generation));
            there.len()
        };
        let before = (100..140).map(&mut save).last().unwrap();
        assert_eq!(before, 31);
        // The clock is a year ahead, for one save.
        assert_eq!(save(140 + 365), 32);
        assert_eq!(save(140), 32);
        assert_eq!(save(141), 32);
        // The program did pause for a year.
        assert_eq!(save(600), 33);
        assert_eq!(save(601), 2);
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
            (2, Metrics::Known(Facts::default())),
            (3, known(&retention, &MetadataValue::Float(1.0))),
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
                let every_of = vec![(name.to_owned(), NonZeroU64::MAX)];
                let by_age = vec![ByAge { one_in: Duration::from_nanos(1), up_to: Duration::MAX }];
                let retention = Retention { every, best: best.clone(), every_of, by_age, ..last(2) };
                let text = serde_json::to_string(&retention).unwrap();
                assert_eq!(serde_json::from_str::<Retention>(&text).unwrap(), retention);
            }
        }
        assert!(serde_json::from_str::<Retention>(r#"{"last":0}"#).is_err());
    }
}
