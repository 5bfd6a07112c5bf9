//! Copies long pieces of memory past the cache of the processor.
//!
//! A usual copy first reads the old bytes of its target, which it then writes over. A copy past the
//! cache does not, and is up to twice as fast. The C library copies like this only from a length on
//! that is near the size of the whole cache. The arrays of a state are shorter, but the copy of all
//! of them is longer than the cache, and is read much later.
//!
//! Each proof refers to this file alone.
#![allow(unsafe_code, reason = "instructions of the processor take addresses")]

/// The least length of a copy past the cache, in bytes. A shorter one may be read again at once.
const LONG: usize = 256 << 10;

/// Appends bytes that are not read again soon.
pub(crate) fn append(into: &mut Vec<u8>, bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= LONG && x86::append(into, bytes) {
        return;
    }
    into.extend_from_slice(bytes);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m256i, _mm_sfence, _mm256_loadu_si256, _mm256_stream_si256};
    use std::mem::MaybeUninit;

    /// Appends bytes of any number past the cache. Returns false, and does nothing, where the
    /// processor cannot do that.
    pub(super) fn append(into: &mut Vec<u8>, bytes: &[u8]) -> bool {
        if !is_x86_feature_detected!("avx2") {
            return false;
        }
        into.reserve(bytes.len());
        let length = into.len() + bytes.len();
        let Some(free) = into.spare_capacity_mut().get_mut(..bytes.len()) else { return false };
        // SAFETY: the processor has AVX2.
        unsafe { copy(free, bytes) };
        // SAFETY: the capacity is at least `length`, because that many elements behind the former
        // length were there to be written. `copy` initialised them: all of the slice `free`.
        unsafe { into.set_len(length) };
        true
    }

    /// Writes all of `to`, which must be as long as `from`.
    #[target_feature(enable = "avx2")]
    fn copy(to: &mut [MaybeUninit<u8>], from: &[u8]) {
        assert_eq!(to.len(), from.len(), "a copy is as long as what is copied");
        // SAFETY: both types may hold any bytes, or none, so one may be used as the other.
        let (head, body, tail) = unsafe { to.align_to_mut::<MaybeUninit<__m256i>>() };
        let (from_head, from) = from.split_at(head.len());
        let (from_body, from_tail) = from.split_at(size_of_val(body));
        write(head, from_head);
        for (to, from) in body.iter_mut().zip(from_body.chunks_exact(size_of::<__m256i>())) {
            // SAFETY: the chunk has the 32 bytes that are read. No alignment is needed.
            let block = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
            // SAFETY: the address is that of a `__m256i` in `body`. So it is a multiple of 32, and
            // may be written to. No other access to it follows before the fence below.
            unsafe { _mm256_stream_si256(to.as_mut_ptr(), block) };
        }
        // Only now are the writes ordered before all that follows, in this and in other threads.
        // SAFETY: the instruction is one of SSE, which every processor with AVX2 has.
        #[allow(unused_unsafe, reason = "later compilers than the oldest take the call for safe")]
        unsafe {
            _mm_sfence();
        }
        write(tail, from_tail);
    }

    /// Writes a few bytes through the cache.
    fn write(to: &mut [MaybeUninit<u8>], from: &[u8]) {
        for (to, from) in to.iter_mut().zip(from) {
            to.write(*from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    #[test]
    fn a_copy_has_the_same_bytes_on_both_sides_of_the_limit() {
        for length in [0, 1, LONG - 1, LONG, LONG + 1, 3 * LONG + 77] {
            let bytes = bytes(length);
            let mut copy = b"before".to_vec();
            append(&mut copy, &bytes);
            assert!(copy.starts_with(b"before") && copy[6..] == bytes, "{length}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_copy_past_the_cache_takes_all_alignments_and_lengths() {
        let all = bytes(512);
        if !x86::append(&mut Vec::new(), &all) {
            eprintln!("skipped: this processor has no AVX2");
            return;
        }
        for from in 0..33 {
            for before in 0..33 {
                for length in (0..=130).chain([255, 256, 257, 415]) {
                    let bytes = &all[from..from + length];
                    let mut copy = Vec::with_capacity(before + length);
                    copy.resize(before, 99);
                    assert!(x86::append(&mut copy, bytes));
                    let (kept, copied) = copy.split_at(before);
                    assert!(kept.iter().all(|byte| *byte == 99), "{from} {before} {length}");
                    assert_eq!(copied, bytes, "{from} {before} {length}");
                }
            }
        }
    }

    #[test]
    fn memory_of_a_former_copy_is_used_again() {
        let mut copy = Vec::with_capacity(2 * LONG);
        let place = copy.as_ptr();
        for length in [LONG, 2 * LONG] {
            copy.clear();
            append(&mut copy, &bytes(length));
            assert_eq!((copy.as_ptr(), copy.len()), (place, length));
        }
    }
}
