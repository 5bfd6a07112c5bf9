//! Axes: map a value to its place, and choose the values to write beside them.

use super::units;

/// The kind of a value. It decides how the value is written, and which values are round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Bytes,
    Number,
}

/// Round durations from a second on, in seconds.
const ROUND_SECONDS: [f64; 19] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 10_800.0,
    21_600.0, 43_200.0, 86_400.0, 172_800.0,
];

/// The round durations on a logarithmic axis.
const DECADES_OF_SECONDS: [f64; 7] = [1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0];

impl Unit {
    pub(super) fn text(self, value: f64) -> String {
        match self {
            Unit::Seconds => units::seconds(value),
            Unit::Bytes => units::bytes(value),
            Unit::Number => units::number(value),
        }
    }

    /// The least round value that is not below this one.
    fn round_up(self, value: f64) -> f64 {
        match self {
            Unit::Seconds if value > 1.0 => {
                let known = ROUND_SECONDS.into_iter().find(|round| *round >= value);
                known.unwrap_or_else(|| 86_400.0 * Unit::Number.round_up(value / 86_400.0))
            }
            Unit::Bytes if value > 1.0 => {
                let unit = 1024_f64.powf(value.log(1024.0).floor());
                match value / unit {
                    rest if rest > 500.0 => unit * 1024.0,
                    rest => unit * Unit::Number.round_up(rest),
                }
            }
            _ => {
                let decade = 10_f64.powf(value.log10().floor());
                let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * decade >= value * 0.999_999);
                step.unwrap_or(10.0) * decade
            }
        }
    }

    /// The values beside a logarithmic axis.
    fn decades(self) -> Vec<f64> {
        let powers = |from: i32, until: i32| (from..=until).map(|power| 10_f64.powi(power));
        match self {
            Unit::Seconds => powers(-9, -1)
                .chain(DECADES_OF_SECONDS)
                .chain(powers(1, 9).map(|days| days * 86_400.0))
                .collect(),
            Unit::Bytes => {
                (0..=5).flat_map(|unit| [1.0, 32.0].map(|value| value * 1024_f64.powi(unit))).collect()
            }
            Unit::Number => powers(-300, 300).collect(),
        }
    }
}

/// The axis of values.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    is_logarithmic: bool,
    ticks: Vec<f64>,
    unit: Unit,
}

/// From this ratio on, a linear axis would hide the differences between the smaller values.
const LARGE_RATIO: f64 = 40.0;

/// The most steps of a linear axis.
const STEPS: f64 = 5.0;

impl Axis {
    /// An axis for these values, ignoring those that are not finite.
    pub(super) fn of(unit: Unit, values: impl Iterator<Item = f64>) -> Axis {
        let mut range: Option<(f64, f64)> = None;
        let (mut least_above_zero, mut is_positive) = (f64::INFINITY, true);
        // Larger values do not occur in practice, and their difference may be too large for a
        // float.
        for value in values.filter(|value| value.abs() < 1e300) {
            let (low, high) = range.unwrap_or((value, value));
            range = Some((low.min(value), high.max(value)));
            if value > 0.0 {
                least_above_zero = least_above_zero.min(value);
            }
            is_positive &= value > 0.0 || (unit != Unit::Number && value == 0.0);
        }
        let (low, high) = range.unwrap_or((0.0, 1.0));
        if is_positive && least_above_zero > 1e-290 && high / least_above_zero > LARGE_RATIO {
            return Axis::logarithmic(unit, least_above_zero, high);
        }
        // Durations and sizes begin at zero, so that a small change looks small.
        let low = if unit == Unit::Number { low } else { 0.0 };
        Axis::linear(unit, low, high)
    }

    fn linear(unit: Unit, low: f64, high: f64) -> Axis {
        let spread = match high - low {
            spread if spread > low.abs().max(high.abs()) * 1e-9 => spread,
            _ if low != 0.0 => low.abs() * 0.2,
            _ => 1.0,
        };
        let middle = f64::midpoint(low, high);
        let (low, high) = if unit == Unit::Number {
            (low.min(middle - spread / 2.0), high.max(middle + spread / 2.0))
        } else {
            (low, high.max(spread))
        };
        let step = unit.round_up((high - low) / STEPS);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let ticks: Vec<f64> = (0..8)
            .map(|count| first + f64::from(count))
            .filter(|at| *at <= last)
            .map(|at| at * step)
            .collect();
        Axis { low: first * step, high: last * step, is_logarithmic: false, ticks, unit }
    }

    fn logarithmic(unit: Unit, low: f64, high: f64) -> Axis {
        let decades = unit.decades();
        let low = decades.iter().copied().rfind(|decade| *decade <= low * 1.000_001).unwrap_or(low);
        let high = decades.iter().copied().find(|decade| *decade >= high * 0.999_999).unwrap_or(high);
        let within: Vec<f64> = decades.into_iter().filter(|decade| (low..=high).contains(decade)).collect();
        let every = within.len().div_ceil(7).max(1);
        let ticks = within.into_iter().step_by(every).collect();
        Axis { low, high, is_logarithmic: true, ticks, unit }
    }

    pub(super) fn is_logarithmic(&self) -> bool {
        self.is_logarithmic
    }

    /// The place of a value, from 0 at the bottom to 1; `None` if it is not finite. A value below
    /// the axis is at the bottom.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let place = if self.is_logarithmic {
            (value.max(self.low).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        (value.is_finite() && place.is_finite()).then(|| place.clamp(0.0, 1.0))
    }

    /// The places and the texts beside the axis.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        self.ticks.iter().filter_map(|tick| Some((self.place(*tick)?, self.unit.text(*tick))))
    }
}

/// The axis of time, in seconds since 1970, or of generations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: f64,
    pub(super) until: f64,
}

/// A mark beside an axis of time.
pub(super) struct Tick {
    pub(super) place: f64,
    pub(super) text: String,
    /// The second line of the mark, where the day changes.
    pub(super) day: Option<String>,
}

const DAY: f64 = 86_400.0;

/// Round steps of less than a day, for an axis of time.
const STEPS_OF_TIME: [f64; 16] = [
    0.1, 0.2, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0,
    43_200.0,
];

impl Span {
    /// A span that leaves a little room on both sides.
    pub(super) fn around(from: f64, until: f64) -> Span {
        // A single moment gets a width too.
        let room = if until - from < 0.1 { 0.1 } else { (until - from) * 0.012 };
        Span { from: from - room, until: until + room }
    }

    /// The place of a time, from 0 at the left to 1.
    pub(super) fn place(self, at: f64) -> f64 {
        ((at - self.from) / (self.until - self.from)).clamp(0.0, 1.0)
    }

    pub(super) fn ticks(self) -> Vec<Tick> {
        let length = self.until - self.from;
        let known = STEPS_OF_TIME.into_iter().find(|step| length / step <= 9.0);
        let step = known.unwrap_or_else(|| DAY * Unit::Number.round_up((length / DAY / 9.0).max(1.0)));
        let first = (self.from / step).ceil();
        let mut ticks = Vec::new();
        let mut former = None;
        for count in 0..12 {
            // Tenths of a second are no binary fractions, so they are rounded.
            let at = ((first + f64::from(count)) * step * 10.0).round() / 10.0;
            if at > self.until {
                break;
            }
            let day = if length > 300.0 * DAY { units::date(at) } else { units::day(at) };
            let (text, day) = if step >= DAY {
                (day, None)
            } else {
                let is_new = former.as_ref() != Some(&day);
                former = Some(day.clone());
                let clock = units::clock(at, step < 60.0);
                let tenths = if step < 1.0 { format!("{:.1}", at.fract()) } else { String::new() };
                (format!("{clock}{}", tenths.trim_start_matches('0')), is_new.then_some(day))
            };
            ticks.push(Tick { place: self.place(at), text, day });
        }
        ticks
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks().map(|(_, text)| text).collect()
    }

    #[test]
    fn lengths_and_sizes_begin_at_nothing_in_round_steps() {
        let axis = Axis::of(Unit::Seconds, [300.0, 1500.0].into_iter());
        assert_eq!(texts(&axis), ["0 s", "5 min", "10 min", "15 min", "20 min", "25 min"]);
        let axis = Axis::of(Unit::Bytes, [3.0 * 1024.0 * 1024.0].into_iter());
        assert_eq!(texts(&axis), ["0 B", "1 MiB", "2 MiB", "3 MiB"]);
    }

    #[test]
    fn what_differs_much_is_on_a_logarithmic_axis() {
        let axis = Axis::of(Unit::Seconds, [0.02, 400.0].into_iter());
        assert_eq!(texts(&axis), ["10 ms", "100 ms", "1 s", "10 s", "1 min", "10 min"]);
        assert_eq!(axis.place(0.0), Some(0.0), "what is nothing is at the bottom");
    }

    #[test]
    fn any_values_have_an_axis_with_few_ticks_inside() {
        let odd = [
            f64::NAN,
            f64::INFINITY,
            0.0,
            -0.0,
            1.0,
            -1.0,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            1e18,
            -1e-300,
        ];
        for unit in [Unit::Seconds, Unit::Bytes, Unit::Number] {
            for first in odd {
                for second in odd {
                    let axis = Axis::of(unit, [first, second].into_iter());
                    assert!(axis.ticks().count() <= 9, "{unit:?} {first} {second}");
                    assert!(axis.ticks().all(|(place, _)| (0.0..=1.0).contains(&place)));
                    for value in odd {
                        assert!(axis.place(value).is_none_or(|place| (0.0..=1.0).contains(&place)));
                    }
                }
            }
        }
    }

    #[test]
    fn an_axis_of_time_spans_the_data() {
        let start = 1_794_000_000.0;
        for length in [0.3, 1.0, 27.0, 4000.0, 1e6] {
            let span = Span::around(start, start + length);
            let filled = span.place(start + length) - span.place(start);
            assert!(filled > 0.97, "{length}: {filled}");
            assert!((2..=10).contains(&span.ticks().len()), "{length}: {}", span.ticks().len());
        }
        let ticks = Span::around(start, start + 0.5).ticks();
        assert!(ticks.iter().any(|tick| tick.text.ends_with(":00.3")), "{}", ticks[0].text);
        assert!(Span::around(start, start).until > start);
    }

    #[test]
    fn a_day_is_named_where_it_begins() {
        let ticks = Span { from: 1_793_998_800.0, until: 1_794_013_200.0 }.ticks();
        let texts: Vec<(&str, Option<&str>)> =
            ticks.iter().map(|tick| (tick.text.as_str(), tick.day.as_deref())).collect();
        assert_eq!(texts.first(), Some(&("21:00", Some("6 Nov"))), "{texts:?}");
        assert!(texts.contains(&("00:00", Some("7 Nov"))), "{texts:?}");
        assert!(Span::around(0.0, 253_402_300_799.0).ticks().len() < 12);
    }
}
