//! Statistics of an array, from one pass over it.

use std::cmp::Ordering;

use serde::Serialize;

use super::element::{Bf16, Complex32, Complex64, F16, Number, Scalar};
use crate::schema::Element;

/// Statistics of the elements of an array. For complex numbers they are of the absolute values.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Statistics {
    /// The number of elements.
    pub elements: u64,
    /// The number of NaNs.
    pub nan: u64,
    /// The number of infinite elements, of either sign.
    pub infinite: u64,
    /// The least element that is not NaN.
    pub min: Option<Number>,
    /// The greatest element that is not NaN.
    pub max: Option<Number>,
    /// The mean of the finite elements.
    pub mean: Option<f64>,
}

/// A small picture of an array: the means of its cells, row after row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Profile {
    /// The number of rows of cells: 1, except for arrays of two dimensions.
    pub rows: usize,
    /// The number of cells in each row.
    pub columns: usize,
    /// The mean of the finite elements in each cell; `None` if there is none.
    pub means: Vec<Option<f64>>,
}

/// The result of one pass over an array.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ArraySummary {
    /// The statistics of all elements.
    pub statistics: Statistics,
    /// The first elements.
    pub first: Vec<Number>,
    /// A small picture.
    pub profile: Profile,
}

/// Gathers a summary of elements that come in pieces.
pub(super) struct Gatherer {
    element: Element,
    /// The lengths of the rows and columns of the array.
    lengths: [u64; 2],
    /// The numbers of cells in both directions.
    cells: [u64; 2],
    /// The row and the column of the next element.
    at: [u64; 2],
    first_wanted: usize,
    first: Vec<Number>,
    all: Tally,
    cell: Vec<Tally>,
}

/// The statistics of some of the elements.
#[derive(Clone, Copy, Default)]
struct Tally {
    elements: u64,
    nan: u64,
    finite: u64,
    mean: f64,
    min: Option<Number>,
    max: Option<Number>,
}

impl Gatherer {
    /// A gatherer for an array of this shape. At most so many first elements and cells are wanted.
    pub(super) fn new(element: Element, shape: &[u64], first_wanted: usize, cells: [usize; 2]) -> Gatherer {
        let lengths = match *shape {
            [rows, columns] if rows > 1 && columns > 1 => [rows, columns],
            _ => [1, shape.iter().product()],
        };
        let cells = [lengths[0].min(cells[0].max(1) as u64), lengths[1].min(cells[1].max(1) as u64)];
        // There are at most as many cells as were asked for.
        let count = usize::try_from(cells[0] * cells[1]).unwrap_or_default();
        Gatherer {
            element,
            lengths,
            cells,
            at: [0, 0],
            first_wanted,
            first: Vec::new(),
            all: Tally::default(),
            cell: vec![Tally::default(); count],
        }
    }

    /// Takes the next elements.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let size = self.element.size();
        let wanted = self.first_wanted - self.first.len();
        self.first.extend(bytes.chunks_exact(size).take(wanted).map(|element| self.element.read(element)));
        match self.element {
            Element::Bool | Element::U8 => self.gather::<u8>(bytes),
            Element::U16 => self.gather::<u16>(bytes),
            Element::U32 => self.gather::<u32>(bytes),
            Element::U64 => self.gather::<u64>(bytes),
            Element::U128 => self.gather::<u128>(bytes),
            Element::I8 => self.gather::<i8>(bytes),
            Element::I16 => self.gather::<i16>(bytes),
            Element::I32 => self.gather::<i32>(bytes),
            Element::I64 => self.gather::<i64>(bytes),
            Element::I128 => self.gather::<i128>(bytes),
            Element::F16 => self.gather::<F16>(bytes),
            Element::Bf16 => self.gather::<Bf16>(bytes),
            Element::F32 => self.gather::<f32>(bytes),
            Element::F64 => self.gather::<f64>(bytes),
            Element::Complex32 => self.gather::<Complex32>(bytes),
            Element::Complex64 => self.gather::<Complex64>(bytes),
        }
    }

    /// Goes from one run of elements in the same cell to the next.
    fn gather<S: Scalar>(&mut self, mut bytes: &[u8]) {
        let size = self.element.size() as u64;
        while bytes.len() as u64 >= size && self.lengths[1] > 0 {
            let [row, column] = self.at;
            let cell = |of: usize, at: u64| scale(at, self.cells[of], self.lengths[of]);
            let (cell_row, cell_column) = (cell(0, row), cell(1, column));
            let end = scale_up(cell_column + 1, self.lengths[1], self.cells[1]).min(self.lengths[1]);
            let run = (end - column).min(bytes.len() as u64 / size);
            let length = usize::try_from(run * size).unwrap_or(bytes.len()).min(bytes.len());
            let (now, later) = bytes.split_at(length);
            let tally = tally::<S>(now, self.element.size());
            self.all.add(tally);
            let place = usize::try_from(cell_row * self.cells[1] + cell_column).ok();
            if let Some(cell) = place.and_then(|place| self.cell.get_mut(place)) {
                cell.add(tally);
            }
            bytes = later;
            self.at = if column + run == self.lengths[1] { [row + 1, 0] } else { [row, column + run] };
        }
    }

    pub(super) fn finish(self) -> ArraySummary {
        let Tally { elements, nan, finite, mean, min, max } = self.all;
        let number = |number: Option<Number>| match (self.element, number) {
            (Element::Bool, Some(number)) => Some(Number::Bool(number.as_f64() > 0.0)),
            (_, number) => number,
        };
        let statistics = Statistics {
            elements,
            nan,
            infinite: elements - nan - finite,
            min: number(min),
            max: number(max),
            mean: (finite > 0).then_some(mean),
        };
        let [rows, columns] = self.cells.map(|cells| usize::try_from(cells).unwrap_or_default());
        let means = self.cell.iter().map(|cell| (cell.finite > 0).then_some(cell.mean)).collect();
        ArraySummary { statistics, first: self.first, profile: Profile { rows, columns, means } }
    }
}

/// The cell of an element, if so many elements are divided into `cells`.
fn scale(at: u64, cells: u64, length: u64) -> u64 {
    let cell = u128::from(at) * u128::from(cells) / u128::from(length.max(1));
    u64::try_from(cell).unwrap_or(u64::MAX)
}

/// The first element of a cell.
fn scale_up(cell: u64, length: u64, cells: u64) -> u64 {
    let at = (u128::from(cell) * u128::from(length)).div_ceil(u128::from(cells.max(1)));
    u64::try_from(at).unwrap_or(u64::MAX)
}

/// Sums are made of short runs, and their means combined, so that large sums swallow little of
/// small numbers.
const RUN: usize = 1024;

fn tally<S: Scalar>(bytes: &[u8], size: usize) -> Tally {
    let mut all = Tally::default();
    for run in bytes.chunks(RUN * size) {
        let mut tally = Tally { elements: (run.len() / size) as u64, ..Tally::default() };
        let (mut sum, mut least, mut greatest) = (0.0, None::<S>, None::<S>);
        for element in run.chunks_exact(size) {
            let value = S::at(element);
            let number = value.as_f64();
            if number.is_finite() {
                tally.finite += 1;
                sum += number;
            } else if number.is_nan() {
                tally.nan += 1;
                continue;
            }
            least = Some(least.map_or(value, |least| if value < least { value } else { least }));
            greatest =
                Some(greatest.map_or(value, |greatest| if value > greatest { value } else { greatest }));
        }
        #[allow(clippy::cast_precision_loss, reason = "a run is short")]
        let count = tally.finite.max(1) as f64;
        tally.mean = if f64::is_finite(sum) { sum / count } else { mean_of_large::<S>(run, size, count) };
        (tally.min, tally.max) = (least.map(S::number), greatest.map(S::number));
        all.add(tally);
    }
    all
}

/// The mean of numbers that have too large a sum.
fn mean_of_large<S: Scalar>(run: &[u8], size: usize, count: f64) -> f64 {
    let numbers = run.chunks_exact(size).map(|element| S::at(element).as_f64());
    numbers.filter(|number| number.is_finite()).map(|number| number / count).sum()
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.elements += other.elements;
        self.nan += other.nan;
        self.finite += other.finite;
        if other.finite > 0 {
            #[allow(clippy::cast_precision_loss, reason = "a share")]
            let share = other.finite as f64 / self.finite as f64;
            // Finite numbers have a finite mean, whatever the rounding.
            self.mean = (self.mean * (1.0 - share) + other.mean * share).clamp(f64::MIN, f64::MAX);
        }
        self.min = pick(self.min, other.min, Ordering::Less);
        self.max = pick(self.max, other.max, Ordering::Greater);
    }
}

/// The less, or the greater, of two numbers of one type.
fn pick(one: Option<Number>, other: Option<Number>, wanted: Ordering) -> Option<Number> {
    let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
    let order = match (a, b) {
        (Number::Unsigned(a), Number::Unsigned(b)) => Some(b.cmp(&a)),
        (Number::Signed(a), Number::Signed(b)) => Some(b.cmp(&a)),
        _ => b.as_f64().partial_cmp(&a.as_f64()),
    };
    if order == Some(wanted) { Some(b) } else { Some(a) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn summary(element: Element, shape: &[u64], bytes: &[u8], cells: [usize; 2]) -> ArraySummary {
        let whole = {
            let mut gatherer = Gatherer::new(element, shape, 3, cells);
            gatherer.take(bytes);
            gatherer.finish()
        };
        // Pieces that end anywhere in rows and cells give the same result.
        for piece in [1, 7, 1000] {
            let mut gatherer = Gatherer::new(element, shape, 3, cells);
            bytes.chunks(piece * element.size()).for_each(|piece| gatherer.take(piece));
            let pieced = gatherer.finish();
            let exact = |summary: &ArraySummary| {
                let Statistics { elements, min, max, .. } = summary.statistics;
                // Compared as text, because NaN is not equal to itself.
                format!("{:?} {elements} {min:?} {max:?}", summary.first)
            };
            assert_eq!(exact(&pieced), exact(&whole));
            let means = |summary: &ArraySummary| {
                let cells = summary.profile.means.iter().copied();
                cells
                    .chain([summary.statistics.mean])
                    .map(|mean| mean.unwrap_or(f64::NAN))
                    .collect::<Vec<_>>()
            };
            for (a, b) in means(&pieced).into_iter().zip(means(&whole)) {
                assert!(
                    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-12 * b.abs(),
                    "{a} and {b}"
                );
            }
        }
        whole
    }

    fn of<const N: usize>(element: Element, numbers: &[[u8; N]]) -> Statistics {
        summary(element, &[numbers.len() as u64], numbers.as_flattened(), [1, 1]).statistics
    }

    #[test]
    fn every_type_of_number_is_summed_up_exactly() {
        let least_and_most = |statistics: &Statistics| (statistics.min.unwrap(), statistics.max.unwrap());
        let wide = of(Element::U128, &[u128::MAX, u128::MAX - 1, 5].map(u128::to_le_bytes));
        assert_eq!(least_and_most(&wide), (Number::Unsigned(5), Number::Unsigned(u128::MAX)));
        let signed = of(Element::I128, &[i128::MIN, i128::MIN + 1, -3].map(i128::to_le_bytes));
        assert_eq!(least_and_most(&signed), (Number::Signed(i128::MIN), Number::Signed(-3)));
        // These numbers are closer than a float can tell apart.
        let long = of(Element::U64, &[u64::MAX, u64::MAX - 1].map(u64::to_le_bytes));
        assert_eq!(
            least_and_most(&long),
            (Number::Unsigned((u64::MAX - 1).into()), Number::Unsigned(u64::MAX.into()))
        );
        let half = of(Element::F16, &[0x3e00_u16, 0xc000, 0x7e00, 0x7c00].map(u16::to_le_bytes));
        assert_eq!(least_and_most(&half), (Number::Single(-2.0), Number::Single(f32::INFINITY)));
        assert_eq!((half.nan, half.infinite, half.mean), (1, 1, Some(-0.25)));
        let brain = of(Element::Bf16, &[0x3fc0_u16, 0xc000].map(u16::to_le_bytes));
        assert_eq!(least_and_most(&brain), (Number::Single(-2.0), Number::Single(1.5)));
        let truth = of(Element::Bool, &[[1], [0], [1], [1]]);
        assert_eq!(
            (least_and_most(&truth), truth.mean),
            ((Number::Bool(false), Number::Bool(true)), Some(0.75))
        );
        let complex = of(
            Element::Complex32,
            &[[3.0_f32, -4.0].map(f32::to_le_bytes).concat().try_into().unwrap(), [0; 8]],
        );
        assert_eq!((complex.max, complex.mean), (Some(Number::Complex(3.0, -4.0)), Some(2.5)));
    }

    #[test]
    fn what_is_no_number_is_counted_and_not_averaged() {
        let only = of(Element::F64, &[f64::NAN; 3].map(f64::to_le_bytes));
        assert_eq!((only.nan, only.min, only.max, only.mean), (3, None, None, None));
        let mixed = of(Element::F64, &[f64::NEG_INFINITY, 1.0, f64::NAN, 3.0].map(f64::to_le_bytes));
        assert_eq!((mixed.nan, mixed.infinite, mixed.mean), (1, 1, Some(2.0)));
        assert_eq!(mixed.min, Some(Number::Double(f64::NEG_INFINITY)));
        assert_eq!(of::<8>(Element::F64, &[]), Statistics::default());
    }

    #[test]
    fn a_mean_neither_overflows_nor_drowns_small_numbers() {
        let large = of(Element::F64, &[f64::MAX; 3000].map(f64::to_le_bytes));
        let mean = large.mean.unwrap();
        assert!((mean / f64::MAX - 1.0).abs() < 1e-12, "{mean}");
        let small: Vec<[u8; 8]> = (0..1_000_000).map(|_| 0.1_f64.to_le_bytes()).collect();
        let mean = of(Element::F64, &small).mean.unwrap();
        assert!((mean - 0.1).abs() < 1e-14, "{mean}");
    }

    #[test]
    fn each_cell_of_a_picture_has_the_mean_of_its_own_elements() {
        let numbers =
            |count: u64| (0..count).flat_map(|number| (number as f64).to_le_bytes()).collect::<Vec<u8>>();
        let row = summary(Element::F64, &[10], &numbers(10), [4, 4]).profile;
        assert_eq!((row.rows, row.columns), (1, 4));
        assert_eq!(row.means, [Some(1.0), Some(3.5), Some(6.0), Some(8.5)]);
        // 4 rows of 6 in cells of 2 rows and 3 columns.
        let grid = summary(Element::F64, &[4, 6], &numbers(24), [2, 2]).profile;
        assert_eq!((grid.rows, grid.columns), (2, 2));
        assert_eq!(grid.means, [Some(4.0), Some(7.0), Some(16.0), Some(19.0)]);
        let few = summary(Element::F64, &[2, 2], &numbers(4), [24, 48]).profile;
        assert_eq!((few.rows, few.columns, few.means.len()), (2, 2, 4), "no more cells than elements");
        let none = summary(Element::F64, &[0, 7], &[], [4, 4]).profile;
        assert!(none.means.iter().all(Option::is_none));
    }
}
