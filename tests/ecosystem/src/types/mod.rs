//! The types, by subject.

use crate::row::Trial;

pub use states::{State, states};

/// Lists types of a crate, each with the name of a field and the values to try: `rows! { trials,
/// "crate": name: [Type] same => [value, value]; }`. All are in one state.
///
/// The values are made anew for each use, since not every type is `Clone`. `same` is one of
/// [`same`](crate::same), or a function of that form.
macro_rules! rows {
    ($trials:ident, $package:literal:
        $($(#[serde(with = $with:literal)])? $name:ident: [$($ty:tt)+]
            $same:expr => [$($value:expr),+ $(,)?];)+) => {{
        #[checkpointed::checkpointed]
        struct Fields {
            $($(#[serde(with = $with)])? $name: $($ty)+,)+
        }

        #[checkpointed::checkpointed]
        struct Pairs {
            $($(#[serde(with = $with)])? $name: Vec<($($ty)+, u16)>,)+
        }

        #[checkpointed::checkpointed]
        struct Program {
            step: u64,
            fields: Fields,
            pairs: Pairs,
            energy: f64,
        }

        #[checkpointed::checkpointed(name = "Program")]
        struct Grown {
            step: u64,
            #[serde(default)]
            added: u32,
            fields: Fields,
            pairs: Pairs,
            energy: f64,
        }

        $(let $name = move || -> Vec<$($ty)+> { vec![$($value),+] };)+
        let make = move |round| Program {
            step: 7,
            fields: Fields { $($name: crate::row::value($name(), round),)+ },
            pairs: Pairs { $($name: crate::row::pairs($name(), round),)+ },
            energy: 0.5,
        };
        let others = move |round, step, fields: &Fields, pairs: &Pairs, energy| {
            use crate::row::{pairs as expected, same_pairs, value};
            let mut others = Vec::new();
            if step != 7 || energy != 0.5 {
                others.push("step or energy");
            }
            $(if !($same)(&fields.$name, &value($name(), round)) {
                others.push(stringify!($name));
            }
            if !same_pairs(&pairs.$name, &expected($name(), round), &$same) {
                others.push(concat!("pairs.", stringify!($name)));
            })+
            others
        };
        $trials.push(crate::row::Trial {
            package: $package,
            run: Box::new(move || {
                use crate::row::{Outcome, Row, all, arrays_of, grown, kept};
                let arrays = crate::row::Arrays::default();
                let same = |round, state: &Program| {
                    others(round, state.step, &state.fields, &state.pairs, state.energy)
                };
                let same_grown = |round, state: &Grown| {
                    assert_eq!(state.added, 0);
                    others(round, state.step, &state.fields, &state.pairs, state.energy)
                };
                let outcome = match kept::<Program>(&make, &same, &arrays) {
                    Outcome::Works => grown::<Program, Grown>(&make, &same_grown),
                    outcome => outcome,
                };
                vec![$(Row {
                    ty: crate::table::type_name(stringify!($($ty)+), &[$($with)?]),
                    outcomes: all(outcome.clone()),
                    arrays: arrays_of(&arrays, concat!("fields/", stringify!($name))),
                }),+]
            }),
        });
    }};
}

/// Like [`rows`], for types that are refused in one of the shapes: each shape is a state of its
/// own.
macro_rules! rows_apart {
    ($trials:ident, $package:literal:
        $($name:ident: [$($ty:tt)+] $same:expr => [$($value:expr),+ $(,)?];)+) => {$({
        #[checkpointed::checkpointed]
        struct Program {
            step: u64,
            $name: $($ty)+,
            energy: f64,
        }

        #[checkpointed::checkpointed(name = "Program")]
        struct Grown {
            step: u64,
            #[serde(default)]
            added: u32,
            $name: $($ty)+,
            energy: f64,
        }

        #[checkpointed::checkpointed]
        struct Pairs {
            step: u64,
            $name: Vec<($($ty)+, u16)>,
            energy: f64,
        }

        #[checkpointed::checkpointed(name = "Pairs")]
        struct GrownPairs {
            step: u64,
            #[serde(default)]
            added: u32,
            $name: Vec<($($ty)+, u16)>,
            energy: f64,
        }

        let $name = move || -> Vec<$($ty)+> { vec![$($value),+] };
        $trials.push(crate::row::Trial {
            package: $package,
            run: Box::new(move || {
                use crate::row::{Row, arrays_of, grown, kept, pairs, same_pairs, value};
                let arrays = crate::row::Arrays::default();
                let make = |round| Program { step: 7, $name: value($name(), round), energy: 0.5 };
                let make_pairs = |round| Pairs { step: 7, $name: pairs($name(), round), energy: 0.5 };
                let beside = |step, energy, same: bool| match step == 7 && energy == 0.5 && same {
                    true => Vec::new(),
                    false => vec![stringify!($name)],
                };
                let same = &|round, found: &$($ty)+| ($same)(found, &value($name(), round));
                let same_all = &|round, found: &Vec<($($ty)+, u16)>| {
                    same_pairs(found, &pairs($name(), round), &$same)
                };
                let outcomes = [
                    kept::<Program>(
                        &make,
                        &|round, state| beside(state.step, state.energy, same(round, &state.$name)),
                        &arrays,
                    ),
                    grown::<Program, Grown>(
                        &make,
                        &|round, state| beside(state.step, state.energy, same(round, &state.$name)),
                    ),
                    kept::<Pairs>(
                        &make_pairs,
                        &|round, state| beside(state.step, state.energy, same_all(round, &state.$name)),
                        &Default::default(),
                    ),
                    grown::<Pairs, GrownPairs>(
                        &make_pairs,
                        &|round, state| beside(state.step, state.energy, same_all(round, &state.$name)),
                    ),
                ];
                let ty = crate::table::type_name(stringify!($($ty)+), &[]);
                vec![Row { ty, outcomes, arrays: arrays_of(&arrays, stringify!($name)) }]
            }),
        });
    })+};
}

mod bits;
mod collections;
mod graphs;
mod linear_algebra;
mod numbers;
mod programs;
mod random;
mod states;
mod texts;
mod time;

/// All types, in the order of the table.
pub fn trials() -> Vec<Trial> {
    let subjects = [
        linear_algebra::trials(),
        numbers::trials(),
        random::trials(),
        time::trials(),
        texts::trials(),
        bits::trials(),
        collections::trials(),
        graphs::trials(),
        programs::trials(),
    ];
    subjects.into_iter().flatten().collect()
}
