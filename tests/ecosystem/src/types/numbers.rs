//! Numbers that Rust itself lacks, and statistics of many numbers.

use crate::row::Trial;
use crate::same::{debug, eq, json};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    {
        use num_bigint::{BigInt, BigUint};
        rows! { trials, "num-bigint":
            big_int: [BigInt] eq => [BigInt::from(-7).pow(99), BigInt::from(0)];
            big_uint: [BigUint] eq => [BigUint::from(7_u8).pow(99), BigUint::from(0_u8)];
        }
    }
    {
        use num_rational::{BigRational, Rational64};
        rows! { trials, "num-rational":
            rational64: [Rational64] eq => [Rational64::new(-22, 7), Rational64::from(0)];
            big_rational: [BigRational] eq => [BigRational::new(22.into(), 7.into())];
        }
    }
    {
        use num_complex::{Complex32, Complex64};
        rows! { trials, "num-complex":
            complex64: [Complex64] eq => [Complex64::new(0.5, -1.5)];
            vec_complex64: [Vec<Complex64>] eq => [vec![Complex64::new(0.5, -1.5); 3], Vec::new()];
            vec_complex32: [Vec<Complex32>] eq => [vec![Complex32::new(0.5, -1.5); 3]];
        }
    }
    {
        use half::{bf16, f16};
        rows! { trials, "half":
            f16: [f16] eq => [f16::from_f32(0.5), f16::MAX];
            bf16: [bf16] eq => [bf16::from_f32(0.5)];
            vec_f16: [Vec<f16>] eq => [vec![f16::from_f32(0.5), f16::MIN], Vec::new()];
        }
    }
    {
        use rust_decimal::Decimal;
        rows_apart! { trials, "rust_decimal":
            decimal: [Decimal] eq => [Decimal::new(-314_159, 5), Decimal::MAX, Decimal::ZERO];
        }
        rows! { trials, "rust_decimal":
            #[serde(with = "checkpointed::self_describing")]
            decimal: [Decimal] eq => [Decimal::new(-314_159, 5), Decimal::MAX, Decimal::ZERO];
        }
    }
    {
        use bigdecimal::BigDecimal;
        rows_apart! { trials, "bigdecimal":
            big_decimal: [BigDecimal] eq => [
                "-3.14159265358979323846264338327950288".parse().unwrap(),
                BigDecimal::from(0),
            ];
        }
        rows! { trials, "bigdecimal":
            #[serde(with = "checkpointed::self_describing")]
            big_decimal: [BigDecimal] eq => [
                "-3.14159265358979323846264338327950288".parse().unwrap(),
                BigDecimal::from(0),
            ];
        }
    }
    {
        use ordered_float::{NotNan, OrderedFloat};
        rows! { trials, "ordered-float":
            ordered_float_f64: [OrderedFloat<f64>] eq => [
                OrderedFloat(0.5),
                OrderedFloat(f64::NAN),
            ];
            not_nan_f64: [NotNan<f64>] eq => [
                NotNan::new(0.5).unwrap(),
                NotNan::new(f64::INFINITY).unwrap(),
            ];
            btree_map_ordered_float_f64: [std::collections::BTreeMap<OrderedFloat<f64>, String>] eq => [
                [(OrderedFloat(0.5), "a".to_owned())].into(),
            ];
        }
    }
    {
        use noisy_float::types::{N64, n64};
        rows! { trials, "noisy_float":
            n64: [N64] eq => [n64(0.5), n64(-1e300)];
        }
    }
    {
        use ethnum::{I256, U256};
        rows! { trials, "ethnum":
            u256: [U256] eq => [U256::MAX, U256::ZERO];
            i256: [I256] eq => [I256::MIN, I256::ONE];
        }
    }
    {
        use uom::si::f64::{Length, Velocity};
        use uom::si::{length::meter, velocity::meter_per_second};
        rows! { trials, "uom":
            length: [Length] eq => [Length::new::<meter>(1.5)];
            velocity: [Velocity] eq => [Velocity::new::<meter_per_second>(-1.5)];
        }
    }
    {
        use average::{Estimate as _, Histogram10, Max, Mean, Quantile, Skewness, Variance};
        let seen = || [0.5, 1.5, 4.0, 2.0, 7.0, 3.25];
        rows! { trials, "average":
            mean: [Mean] json => [seen().into_iter().collect(), Mean::new()];
            variance: [Variance] json => [seen().into_iter().collect(), Variance::new()];
            skewness: [Skewness] json => [seen().into_iter().collect()];
            max: [Max] debug => [seen().into_iter().collect(), Max::new()];
            quantile: [Quantile] debug => [{
                let mut quantile = Quantile::new(0.9);
                seen().into_iter().for_each(|value| quantile.add(value));
                quantile
            }, Quantile::new(0.5)];
            histogram10: [Histogram10] debug => [{
                let mut histogram = Histogram10::with_const_width(0.0, 10.0);
                seen().into_iter().for_each(|value| histogram.add(value).unwrap());
                histogram
            }];
        }
    }
    trials
}
