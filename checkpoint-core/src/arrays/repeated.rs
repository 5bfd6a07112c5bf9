//! Long arrays that repeat the values of short ones: samples for the tracer.

use super::{ArrayPool, ArraySource, Cause, Kind, Reference, view};

/// A source whose arrays have these values, one after the other and over and over again.
struct Repeated<'a> {
    values: &'a [u8],
    kind: Kind,
    pool: ArrayPool,
}

/// So many times as many numbers, of these values. `None` where they are no numbers, or there is no
/// memory.
pub(crate) fn repeated<T>(values: &[T], times: u64) -> Option<Vec<T>> {
    let array = view(&values)?;
    let rows = array.rows().checked_mul(times)?;
    let mut source = Repeated { values: array.bytes, kind: array.kind, pool: ArrayPool::default() };
    array.kind.read(&mut source, Reference { number: 0, rows }).ok()
}

impl ArraySource for Repeated<'_> {
    fn pool(&mut self) -> &mut ArrayPool {
        &mut self.pool
    }

    fn check(&mut self, _: Reference, _: Kind) -> Result<(), Cause> {
        Ok(())
    }

    fn fill(&mut self, _: Reference, buffer: &mut [u8]) -> Result<(), Cause> {
        if !self.values.is_empty() {
            let parts = buffer.chunks_mut(self.values.len());
            parts.for_each(|part| part.copy_from_slice(&self.values[..part.len()]));
        }
        Ok(())
    }

    fn bytes(&mut self, array: Reference) -> Result<(Kind, Vec<u8>), Cause> {
        let length = array.rows.checked_mul(self.kind.row()).and_then(|length| usize::try_from(length).ok());
        let mut bytes = vec![0; length.ok_or("the array is too long")?];
        self.fill(array, &mut bytes)?;
        Ok((self.kind, bytes))
    }

    fn skip(&mut self, _: Reference) -> Result<(), Cause> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_array_has_the_values_of_a_short_one() {
        assert_eq!(repeated(&[1.5_f64, 2.5], 3), Some(vec![1.5, 2.5, 1.5, 2.5, 1.5, 2.5]));
        assert_eq!(repeated(&[true], 2), Some(vec![true; 2]));
        assert_eq!(repeated::<u8>(&[], 7), Some(Vec::new()));
        assert_eq!(repeated(&["no number"], 2), None);
        assert_eq!(repeated(&[1_u64], u64::MAX / 4), None);
    }
}
