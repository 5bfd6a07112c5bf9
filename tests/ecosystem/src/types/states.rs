//! Types of other crates as the state itself, in `Plain<T>`.

use checkpointed::Plain;

use crate::row::{Outcome, kept, value};
use crate::same::{debug, eq, json, numbers};

/// One type as the state.
pub struct State {
    /// The name of the crate in its manifest.
    pub package: &'static str,
    /// The type, in a program's notation.
    pub ty: String,
    /// Tries it.
    pub run: Box<dyn FnOnce() -> Outcome>,
}

macro_rules! states {
    ($states:ident: $($package:literal [$ty:ty] $same:expr => [$($value:expr),+ $(,)?];)+) => {$(
        $states.push(State {
            package: $package,
            ty: crate::table::type_name(stringify!($ty), &[]),
            run: Box::new(|| {
                let values = || -> Vec<$ty> { vec![$($value),+] };
                let others = |round, state: &Plain<$ty>| match $same(&state.0, &value(values(), round)) {
                    true => Vec::new(),
                    false => vec!["the state"],
                };
                kept::<Plain<$ty>>(&|round| Plain(value(values(), round)), &others, &Default::default())
            }),
        });
    )+};
}

/// All of them, in the order of the sentence in the document.
pub fn states() -> Vec<State> {
    use argmin::core::{IterState, State as _};
    use rand::SeedableRng as _;

    let mut states = Vec::new();
    states! { states:
        "nalgebra" [nalgebra::DMatrix<f64>] eq => [
            nalgebra::DMatrix::from_fn(3, 2, |row, column| (row * 10 + column) as f64),
            nalgebra::DMatrix::zeros(0, 4),
        ];
        "ndarray" [ndarray::Array2<f64>] eq => [
            ndarray::Array2::eye(3),
            ndarray::Array2::zeros((0, 2)),
        ];
        "glam" [glam::Mat4] eq => [glam::Mat4::from_rotation_x(0.5)];
        "rand_pcg" [rand_pcg::Pcg64] numbers => [
            rand_pcg::Pcg64::seed_from_u64(7),
            rand_pcg::Pcg64::seed_from_u64(8),
        ];
        "rand_chacha" [rand_chacha::ChaCha8Rng] numbers => [
            rand_chacha::ChaCha8Rng::seed_from_u64(7),
        ];
        "chrono" [chrono::DateTime<chrono::Utc>] eq => [
            chrono::DateTime::from_timestamp(1_732_600_000, 123_456_789).unwrap(),
        ];
        "uuid" [uuid::Uuid] eq => [uuid::Uuid::from_u128(7)];
        "num-bigint" [num_bigint::BigInt] eq => [num_bigint::BigInt::from(-7).pow(99)];
        "indexmap" [indexmap::IndexMap<String, Vec<f64>>] eq => [
            [("b".to_owned(), vec![0.5]), ("a".to_owned(), Vec::new())].into(),
        ];
        "hashbrown" [hashbrown::HashMap<u64, f64>] eq => [(0..20).map(|key| (key, 0.5)).collect()];
        "smallvec" [smallvec::SmallVec<[f64; 4]>] eq => [
            smallvec::smallvec![0.5, 1.5],
            smallvec::smallvec![0.5; 9],
        ];
        "bytes" [bytes::Bytes] eq => [bytes::Bytes::from_static(b"abc")];
        "petgraph" [petgraph::Graph<String, f64>] debug => [
            petgraph::Graph::from_edges([(0, 1, 0.5), (2, 0, 1.5)]),
        ];
        "bitvec" [bitvec::vec::BitVec] eq => [[true, false, true, true].into_iter().collect()];
        "argmin" [IterState<Vec<f64>, (), (), (), (), f64>] json => [
            IterState::new().param(vec![0.5, 1.5]).cost(7.5),
        ];
        "rapier3d" [rapier3d::prelude::RigidBodySet] json => [
            rapier3d::prelude::RigidBodySet::new(),
        ];
    }
    states
}
