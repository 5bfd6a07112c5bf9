//! Chooses the saves of a long history to draw: few enough for a browser, but with all extremes.

use super::summary::PastSave;

/// The number of pieces that the axis of time is cut into.
const PIECES: usize = 250;

/// All saves, if there are no more than the eye can distinguish. Otherwise at most ten of each
/// piece: the first and the last, and those with the least and the greatest value of each number
/// that is drawn.
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

/// At most this number of times, without two that would be drawn at the same place.
pub(super) fn apart(mut times: Vec<f64>, length: f64) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times.dedup_by(|next, former| *next - *former < length / 400.0);
    times
}
