//! Draws arrays with characters: a row of bars, or a heat map.

use std::io::{self, Write};

use anstyle::{Ansi256Color, Style};
use checkpointed_core::inspect::Profile;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Maps a mean to its height on the scale, from 0 to 1.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn of(means: &[Option<f64>]) -> Scale {
        let known = || means.iter().flatten().copied();
        Scale {
            least: known().fold(f64::INFINITY, f64::min),
            most: known().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// The step for a mean; the lowest one if all values are equal. It computes with halves,
    /// because the whole range may be too large for a float.
    fn step<T: Copy>(&self, steps: &[T], mean: f64) -> Option<T> {
        let range = self.most / 2.0 - self.least / 2.0;
        let share = if range > 0.0 { (mean / 2.0 - self.least / 2.0) / range } else { 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "there are few steps")]
        let reached = |step: &usize| share >= *step as f64 / steps.len() as f64;
        steps.get((1..steps.len()).take_while(reached).count()).copied()
    }
}

/// Draws the cells of an array, with each line indented by `indent`. An array of two dimensions is
/// a heat map, with two rows of cells in a line where colours are available.
pub(crate) fn draw(
    output: &mut dyn Write,
    profile: &Profile,
    indent: usize,
    colours: bool,
) -> io::Result<()> {
    let Profile { rows, columns, ref means, .. } = *profile;
    if columns < 2 {
        return Ok(());
    }
    let scale = Scale::of(means);
    let lines: Vec<&[Option<f64>]> = means.chunks(columns).collect();
    if rows > 2 * columns {
        // Each of a few long columns becomes a row of bars: a narrow tower of shades would show
        // nothing.
        for column in 0..columns {
            let cells = lines.iter().map(|line| line.get(column).copied().flatten());
            let letter = |mean: Option<f64>| mean.and_then(|mean| scale.step(&BARS, mean)).unwrap_or(' ');
            writeln!(output, "{:indent$}{}", "", cells.map(letter).collect::<String>())?;
        }
        return Ok(());
    }
    if rows > 1 && colours {
        for pair in lines.chunks(2) {
            write!(output, "{:indent$}", "")?;
            for column in 0..columns {
                let mean = |line: usize| pair.get(line).and_then(|line| line.get(column).copied().flatten());
                half_blocks(output, mean(0).and_then(heat(&scale)), mean(1).and_then(heat(&scale)))?;
            }
            writeln!(output)?;
        }
        return Ok(());
    }
    const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];
    let steps = if rows > 1 { &SHADES[..] } else { &BARS[..] };
    for line in lines {
        let letter = |mean: &Option<f64>| mean.and_then(|mean| scale.step(steps, mean)).unwrap_or(' ');
        writeln!(output, "{:indent$}{}", "", line.iter().map(letter).collect::<String>())?;
    }
    Ok(())
}

fn heat(scale: &Scale) -> impl Fn(f64) -> Option<Ansi256Color> + '_ {
    // From violet over green to yellow, ever brighter, from the 256 colours of terminals.
    const RAMP: [u8; 14] = [53, 54, 60, 24, 30, 36, 35, 71, 77, 113, 149, 185, 221, 227];
    |mean| scale.step(&RAMP, mean).map(Ansi256Color)
}

/// Writes one character: its upper half is a cell, its lower half the cell below.
fn half_blocks(
    output: &mut dyn Write,
    upper: Option<Ansi256Color>,
    lower: Option<Ansi256Color>,
) -> io::Result<()> {
    let (letter, style) = match (upper, lower) {
        (None, None) => (' ', Style::new()),
        (Some(upper), None) => ('▀', Style::new().fg_color(Some(upper.into()))),
        (None, Some(lower)) => ('▄', Style::new().fg_color(Some(lower.into()))),
        (Some(upper), Some(lower)) => {
            ('▀', Style::new().fg_color(Some(upper.into())).bg_color(Some(lower.into())))
        }
    };
    write!(output, "{style}{letter}{style:#}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use checkpointed_core::inspect::{File, Found, Limits, Value};
    use checkpointed_core::{Checkpoint, Checkpointer, Protection};

    use super::*;

    /// Draws an array that was saved.
    fn drawn<T: Checkpoint>(array: &T, colours: bool) -> String {
        let parent = tempfile::tempdir().unwrap();
        Checkpointer::<T>::open(parent.path()).unwrap().save(array).unwrap();
        let file = File::open_generation(parent.path(), 1, &Protection::new()).unwrap();
        let Found::Node(node) = file.find("").unwrap() else { panic!() };
        let Value::Array(array) = node.value().unwrap() else { panic!() };
        let mut text = Vec::new();
        draw(&mut text, &array.summary(&Limits::default()).unwrap().profile, 2, colours).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn one_dimension_is_a_row_of_bars() {
        assert_eq!(drawn(&vec![[0.0], [1.0], [2.0], [f64::NAN], [7.0]], false), "  ▁▂▃ █\n");
        let wide = vec![[f64::MIN], [0.0], [f64::MAX]];
        assert_eq!(drawn(&wide, false), "  ▁▅█\n", "a range that no number can hold");
    }

    #[test]
    fn each_of_a_few_long_columns_is_a_row_of_bars() {
        let rows: Vec<[f64; 2]> = (0..30).map(|row| [f64::from(row), f64::from(29 - row)]).collect();
        for colours in [false, true] {
            let drawn = drawn(&rows, colours);
            let lines: Vec<&str> = drawn.lines().collect();
            assert_eq!(lines.len(), 2, "{drawn}");
            assert!(lines[0].starts_with("  ▁▁") && lines[0].ends_with("██"), "{drawn}");
            assert!(lines[1].starts_with("  ██") && lines[1].ends_with("▁▁"), "{drawn}");
        }
    }

    #[test]
    fn two_dimensions_are_a_heat_map() {
        let rows = vec![[0.0, 1.0], [2.0, 4.0], [f64::NAN, 4.0]];
        assert_eq!(drawn(&rows, false), "  ·░\n  ▒█\n   █\n");
        let coloured = drawn(&rows, true);
        let plain = anstream::adapter::strip_str(&coloured).to_string();
        assert_eq!(plain, "  ▀▀\n   ▀\n", "two rows in a line");
        assert!(
            coloured.contains("\u{1b}[38;5;53m\u{1b}[48;5;71m▀"),
            "the upper and the lower: {coloured:?}"
        );
    }

    #[test]
    fn an_array_of_equal_numbers_is_at_the_foot_of_the_scale() {
        assert_eq!(drawn(&vec![[3.0, 3.0]; 2], false), "  ··\n  ··\n");
    }
}
