//! What can be said of an array in a few numbers, found in one pass over it.

use std::cmp::Ordering;

use serde::Serialize;

use super::element::{Bf16, Complex32, Complex64, Element, F16, Number, Scalar};

/// What can be said of the elements of an array. Of complex numbers it is their absolute values.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Statistics {
    /// How many there are.
    pub elements: u64,
    /// How many of them are NaN.
    pub nan: u64,
    /// How many are infinite, of either sign.
    pub infinite: u64,
    /// The least that is not NaN.
    pub min: Option<Number>,
    /// The greatest that is not NaN.
    pub max: Option<Number>,
    /// The mean of the finite ones.
    pub mean: Option<f64>,
}

/// An array in few numbers, to be drawn: the means of its cells, row after row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Profile {
    /// How many rows of cells there are: 1, but for arrays of two dimensions.
    pub rows: usize,
    /// How many cells are in each row.
    pub columns: usize,
    /// The mean of the finite elements in each cell; `None` where there is none.
    pub means: Vec<Option<f64>>,
}

/// What one pass over an array tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ArraySummary {
    /// In a few numbers.
    pub statistics: Statistics,
    /// The first elements.
    pub first: Vec<Number>,
    /// To be drawn.
    pub profile: Profile,
}

/// Gathers a summary of the elements, which come in pieces.
pub(super) struct Gatherer {
    element: Element,
    /// The lengths of the rows and columns of the array.
    lengths: [u64; 2],
    /// How many cells there are of each.
    cells: [u64; 2],
    /// Where the next element is.
    at: [u64; 2],
    first_wanted: usize,
    first: Vec<Number>,
    all: Tally,
    cell: Vec<Tally>,
}

/// What is known of some of the elements.
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
    /// For an array of this shape, of which at most so many first elements and cells are wanted.
    pub(super) fn new(element: Element, shape: &[u64], first_wanted: usize, cells: [usize; 2]) -> Gatherer {
        let lengths = match *shape {
            [rows, columns] if rows > 1 && columns > 1 => [rows, columns],
            _ => [1, shape.iter().product()],
        };
        let cells = [lengths[0].min(cells[0].max(1) as u64), lengths[1].min(cells[1].max(1) as u64)];
        // At most as many as were asked for.
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

/// Which of `cells` an element is in, of so many elements.
fn scale(at: u64, cells: u64, length: u64) -> u64 {
    let cell = u128::from(at) * u128::from(cells) / u128::from(length.max(1));
    u64::try_from(cell).unwrap_or(u64::MAX)
}

/// The first element of a cell.
fn scale_up(cell: u64, length: u64, cells: u64) -> u64 {
    let at = (u128::from(cell) * u128::from(length)).div_ceil(u128::from(cells.max(1)));
    u64::try_from(at).unwrap_or(u64::MAX)
}

/// Sums are made of short runs, and their means combined, so that little is lost of small numbers beside large sums.
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

/// The mean of numbers whose sum is too large.
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
            self.mean = self.mean * (1.0 - share) + other.mean * share;
        }
        self.min = pick(self.min, other.min, Ordering::Less);
        self.max = pick(self.max, other.max, Ordering::Greater);
    }
}

/// Of two numbers of one type the one that is less, or greater.
fn pick(one: Option<Number>, other: Option<Number>, wanted: Ordering) -> Option<Number> {
    let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
    let order = match (a, b) {
        (Number::Unsigned(a), Number::Unsigned(b)) => Some(b.cmp(&a)),
        (Number::Signed(a), Number::Signed(b)) => Some(b.cmp(&a)),
        _ => b.as_f64().partial_cmp(&a.as_f64()),
    };
    if order == Some(wanted) { Some(b) } else { Some(a) }
}
