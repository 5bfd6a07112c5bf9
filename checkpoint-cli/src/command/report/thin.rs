//! Which saves of a long history are drawn: few enough for a browser, and none of the extremes missing.

use super::summary::PastSave;

/// The axis of time is cut into so many pieces.
const PIECES: usize = 250;

/// All saves, or where these are more than the eye can tell apart, of each piece the first and the last, and those with the
/// least and the greatest of each number that is drawn: at most ten.
pub(super) fn chosen(saves: &[PastSave]) -> Vec<&PastSave> {
    if saves.len() <= 8 * PIECES {
        return saves.iter().collect();
    }
    let numbers: [fn(&PastSave) -> u128; 4] = [
        |save| u128::from(save.bytes),
        |save| save.stall.as_nanos(),
        |save| save.total.as_nanos(),
        |save| save.interval.as_nanos(),
    ];
    let mut chosen = Vec::new();
    for piece in saves.chunks(saves.len().div_ceil(PIECES)) {
        let mut places = vec![0, piece.len().saturating_sub(1)];
        for number in numbers {
            let places_by = || piece.iter().enumerate().map(|(place, save)| (number(save), place));
            places.extend(places_by().min().map(|(_, place)| place));
            places.extend(places_by().max().map(|(_, place)| place));
        }
        places.sort_unstable();
        places.dedup();
        chosen.extend(places.into_iter().filter_map(|place| piece.get(place)));
    }
    chosen
}

/// At most so many times, of which no two would be drawn at the same place.
pub(super) fn apart(mut times: Vec<f64>, length: f64) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times.dedup_by(|next, former| *next - *former < length / 400.0);
    times
}
