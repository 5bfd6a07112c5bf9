//! Random generators, which must continue their sequences, and distributions.

use crate::row::Trial;
use crate::same::{by, debug, eq, numbers};
use rand::{Rng, SeedableRng};

/// A generator after some use: its state is in the middle of a block.
fn used<R: SeedableRng + Rng>() -> R {
    let mut generator = R::seed_from_u64(7);
    (0..13).for_each(|_| {
        generator.next_u32();
    });
    generator
}

/// A new generator.
fn fresh<R: SeedableRng>() -> R {
    R::seed_from_u64(8)
}

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    {
        use rand::distr::weighted::WeightedIndex;
        use rand::distr::{Alphanumeric, Bernoulli, Uniform};
        use rand::rngs::{Xoshiro128PlusPlus, Xoshiro256PlusPlus};
        rows! { trials, "rand":
            xoshiro256_plus_plus: [Xoshiro256PlusPlus] numbers => [used(), fresh()];
            xoshiro128_plus_plus: [Xoshiro128PlusPlus] numbers => [used(), fresh()];
            uniform_f64: [Uniform<f64>] eq => [Uniform::new(-1.0, 1.0).unwrap()];
            uniform_u32: [Uniform<u32>] eq => [Uniform::new_inclusive(1, 6).unwrap()];
            bernoulli: [Bernoulli] eq => [
                Bernoulli::new(0.25).unwrap(),
                Bernoulli::new(1.0).unwrap(),
            ];
            weighted_index_f64: [WeightedIndex<f64>] eq => [
                WeightedIndex::new([1.0, 2.5, 0.5]).unwrap(),
            ];
            alphanumeric: [Alphanumeric] debug => [Alphanumeric];
        }
    }
    {
        use rand_pcg::{Pcg32, Pcg64, Pcg64Mcg};
        rows! { trials, "rand_pcg":
            pcg32: [Pcg32] numbers => [used(), fresh()];
            pcg64: [Pcg64] numbers => [used(), fresh()];
            pcg64_mcg: [Pcg64Mcg] numbers => [used(), fresh()];
        }
    }
    {
        use rand_chacha::{ChaCha8Rng, ChaCha20Rng};
        rows! { trials, "rand_chacha":
            chacha8_rng: [ChaCha8Rng] numbers => [used(), fresh()];
            chacha20_rng: [ChaCha20Rng] numbers => [used(), fresh()];
        }
    }
    {
        use rand_xoshiro::{SplitMix64, Xoroshiro64Star, Xoshiro256StarStar, Xoshiro512Plus};
        rows! { trials, "rand_xoshiro":
            xoshiro256_star_star: [Xoshiro256StarStar] numbers => [used(), fresh()];
            xoshiro512_plus: [Xoshiro512Plus] numbers => [used(), fresh()];
            xoroshiro64_star: [Xoroshiro64Star] numbers => [used(), fresh()];
            split_mix64: [SplitMix64] numbers => [used(), fresh()];
        }
    }
    {
        use rand_xorshift::XorShiftRng;
        rows! { trials, "rand_xorshift":
            xor_shift_rng: [XorShiftRng] numbers => [used(), fresh()];
        }
    }
    {
        use rand_distr::weighted::WeightedAliasIndex;
        use rand_distr::{Binomial, Exp, Gamma, LogNormal, Normal, Poisson, StandardNormal, UnitSphere};
        rows! { trials, "rand_distr":
            normal_f64: [Normal<f64>] eq => [Normal::new(0.5, 2.0).unwrap()];
            log_normal_f32: [LogNormal<f32>] eq => [LogNormal::new(0.5, 2.0).unwrap()];
            exp_f64: [Exp<f64>] eq => [Exp::new(2.0).unwrap()];
            gamma_f64: [Gamma<f64>] eq => [
                Gamma::new(0.5, 2.0).unwrap(),
                Gamma::new(1.0, 2.0).unwrap(),
                Gamma::new(7.0, 2.0).unwrap(),
            ];
            poisson_f64: [Poisson<f64>] eq => [
                Poisson::new(0.5).unwrap(),
                Poisson::new(100.0).unwrap(),
            ];
            binomial: [Binomial] eq => [
                Binomial::new(10, 0.5).unwrap(),
                Binomial::new(1000, 0.5).unwrap(),
            ];
            weighted_alias_index_f64: [WeightedAliasIndex<f64>] debug => [
                WeightedAliasIndex::new(vec![1.0, 2.5, 0.5]).unwrap(),
            ];
            standard_normal: [StandardNormal] debug => [StandardNormal];
            unit_sphere: [UnitSphere] debug => [UnitSphere];
        }
    }
    {
        use siphasher::sip::SipHasher13;
        use siphasher::sip128::SipHasher24;
        use std::hash::Hasher as _;
        let hashing = || {
            let mut hasher = SipHasher13::new_with_keys(1, 2);
            hasher.write(b"eleven bytes");
            hasher
        };
        rows! { trials, "siphasher":
            sip_hasher13: [SipHasher13] by(SipHasher13::finish) => [
                hashing(),
                SipHasher13::new(),
            ];
            sip_hasher24: [SipHasher24] debug => [SipHasher24::new_with_keys(1, 2)];
        }
    }
    trials
}
