//! A type with a version becomes an option of it, and the other way: tests versions and migrations
//! through options.

#![allow(clippy::needless_pass_by_value, reason = "a migration takes the older state")]

use std::fmt::Debug;

use checkpointed::{
    Checkpoint, CheckpointReader, Checkpointer, Error, checkpointed, evolution::DifferenceKind,
};

/// The state of each test: the field changes its type.
#[checkpointed(name = "state")]
#[derive(Clone, Debug, PartialEq)]
struct State<T> {
    first: u8,
    part: T,
    /// What is read behind the field shows that the field was read whole.
    last: u32,
}

fn state<T>(part: T) -> State<T> {
    State { first: 1, part, last: 7 }
}

/// Saves a state with one part, and loads it with another one.
fn loaded<Old: Checkpoint, New: Checkpoint>(old: Old) -> Result<New, Error>
where
    State<Old>: Checkpoint,
    State<New>: Checkpoint,
{
    let directory = tempfile::tempdir().unwrap();
    Checkpointer::open(directory.path()).unwrap().save(&state(old)).unwrap();
    let mut reader = CheckpointReader::<State<New>>::open(directory.path()).unwrap();
    let State { first, part, last } = reader.load()?.unwrap();
    assert_eq!((first, last), (1, 7));
    Ok(part)
}

/// Types of one form: version 2, the same without migrations, and version 1.
macro_rules! forms {
    ($($module:ident($old:expr, $new:expr, $raise:expr) $first:item $second:item)*) => {$(
        mod $module {
            use super::*;

            pub(super) mod one {
                use super::*;

                #[checkpointed(name = "Ship")]
                #[derive(Clone, Debug, PartialEq)]
                $first
            }

            pub(super) mod two {
                use super::*;

                #[checkpointed(name = "Ship", version = 2)]
                #[derive(Clone, Debug, PartialEq)]
                $second
            }

            pub(super) mod migrating {
                use super::*;

                fn raised(old: one::Ship) -> Ship {
                    let raise: fn(one::Ship) -> Ship = $raise;
                    raise(old)
                }

                #[checkpointed(name = "Ship", version = 2, migrate(from = 1, with = raised))]
                #[derive(Clone, Debug, PartialEq)]
                $second
            }

            #[test]
            fn a_version_is_kept_through_an_option() {
                let ship = || { use two::*; $new };
                assert_eq!(loaded::<_, Option<two::Ship>>(ship()).unwrap(), Some(ship()));
                assert_eq!(loaded::<_, two::Ship>(Some(ship())).unwrap(), ship());
                let same = |found: migrating::Ship| assert_eq!(format!("{found:?}"), format!("{:?}", ship()));
                same(loaded::<_, Option<migrating::Ship>>(ship()).unwrap().unwrap());
                same(loaded(Some(ship())).unwrap());
            }

            #[test]
            fn a_migration_is_found_through_an_option() {
                let (old, new) = (|| { use one::*; $old }, || { use migrating::*; $new });
                assert_eq!(loaded::<_, migrating::Ship>(old()).unwrap(), new());
                assert_eq!(loaded::<_, Option<migrating::Ship>>(old()).unwrap(), Some(new()));
                assert_eq!(loaded::<_, migrating::Ship>(Some(old())).unwrap(), new());
                assert_eq!(loaded::<_, Option<migrating::Ship>>(Some(old())).unwrap(), Some(new()));
                assert_eq!(loaded::<_, Vec<migrating::Ship>>(vec![Some(old())]).unwrap(), [new()]);
                let boxed = loaded::<_, Box<migrating::Ship>>(Some(Some(old()))).unwrap();
                assert_eq!(*boxed, new());
            }

            #[test]
            fn another_version_in_an_option_is_refused() {
                let (old, new) = (|| { use one::*; $old }, || { use two::*; $new });
                refused(loaded::<_, two::Ship>(Some(old())), "version 1", "version 2");
                refused(loaded::<_, Option<two::Ship>>(old()), "version 1", "version 2");
                refused(loaded::<_, one::Ship>(Some(new())), "version 2", "version 1");
                refused(loaded::<_, Option<one::Ship>>(new()), "version 2", "version 1");
            }

            #[test]
            fn none_is_refused_where_the_value_must_be_there() {
                for error in [
                    loaded::<_, two::Ship>(None::<two::Ship>).unwrap_err(),
                    loaded::<_, migrating::Ship>(None::<two::Ship>).map(drop).unwrap_err(),
                    loaded::<_, migrating::Ship>(None::<one::Ship>).map(drop).unwrap_err(),
                ] {
                    assert!(error.to_string().contains("part: "), "{error}");
                }
            }
        }
    )*};
}

#[track_caller]
fn refused<T: Debug>(loaded: Result<T, Error>, old: &str, new: &str) {
    let error = loaded.unwrap_err();
    let Error::SchemaMismatch { why, differences, .. } = &error else { panic!("{error}") };
    assert!(why.starts_with("part: "), "{why}");
    let found: Vec<_> = differences.iter().filter(|found| found.kind == DifferenceKind::Version).collect();
    let [found] = &*found else { panic!("{differences:?}") };
    assert!(found.checkpoint.starts_with(old) && found.program.starts_with(new), "{found}");
}

forms! {
    structs(Ship { x: 2.0 }, Ship { metres: 1.0 }, |old| Ship { metres: old.x * 0.5 })
        pub(crate) struct Ship { pub(crate) x: f64 }
        pub(crate) struct Ship { pub(crate) metres: f64 }
    enums(Ship::Afloat(2), Ship::Sailing { crew: 2 }, |old| match old {
        one::Ship::Afloat(crew) => Ship::Sailing { crew: crew.into() },
        one::Ship::Sunk => Ship::Sunk,
    })
        #[allow(dead_code, reason = "a variant that no test saves")]
        pub(crate) enum Ship { Sunk, Afloat(u8) }
        #[allow(dead_code, reason = "a variant that no test saves")]
        pub(crate) enum Ship { Sailing { crew: u32 }, Sunk }
    newtypes(Ship(2.0), Ship(1.0), |old| Ship(old.0 * 0.5))
        pub(crate) struct Ship(pub(crate) f64);
        pub(crate) struct Ship(pub(crate) f64);
    tuples(Ship(1, 2.0), Ship(1, 1.0), |old| Ship(old.0.into(), old.1 * 0.5))
        pub(crate) struct Ship(pub(crate) u8, pub(crate) f64);
        pub(crate) struct Ship(pub(crate) u16, pub(crate) f64);
}

/// Newtypes around the option, and around the type in it.
mod wrapped {
    use super::*;

    #[checkpointed]
    #[derive(Clone, Debug, PartialEq)]
    struct Hull<T>(T);

    #[checkpointed(version = 3)]
    #[derive(Clone, Debug, PartialEq)]
    struct Fleet<T>(T);

    #[test]
    fn a_newtype_with_a_version_holds_an_option_or_none() {
        assert_eq!(loaded::<_, Fleet<f64>>(Fleet(Some(1.5))).unwrap(), Fleet(1.5));
        assert_eq!(loaded::<_, Fleet<Option<f64>>>(Fleet(1.5)).unwrap(), Fleet(Some(1.5)));
        let ship = || structs::two::Ship { metres: 2.0 };
        assert_eq!(loaded::<_, Fleet<structs::two::Ship>>(Fleet(Some(ship()))).unwrap(), Fleet(ship()));
        let some = loaded::<_, Fleet<Option<structs::two::Ship>>>(Fleet(ship())).unwrap();
        assert_eq!(some, Fleet(Some(ship())));
        // No version of the newtype is passed over.
        refused(loaded::<_, f64>(Fleet(Some(1.5))), "version 3", "version 1");
        refused(loaded::<_, Fleet<f64>>(Some(1.5)), "version 1", "version 3");
        refused(loaded::<_, Option<f64>>(Fleet(1.5)), "version 3", "version 1");
        refused(loaded::<_, Fleet<Option<f64>>>(1.5), "version 1", "version 3");
    }

    #[test]
    fn a_migration_is_found_in_newtypes_and_options() {
        use structs::{migrating, one};
        let (old, new) = (|| one::Ship { x: 2.0 }, || migrating::Ship { metres: 1.0 });
        assert_eq!(loaded::<_, Hull<migrating::Ship>>(Hull(Some(old()))).unwrap(), Hull(new()));
        assert_eq!(loaded::<_, Hull<migrating::Ship>>(Some(Hull(old()))).unwrap(), Hull(new()));
        assert_eq!(loaded::<_, migrating::Ship>(Hull(Some(old()))).unwrap(), new());
        assert_eq!(loaded::<_, migrating::Ship>(Some(Hull(old()))).unwrap(), new());
        assert_eq!(loaded::<_, Option<migrating::Ship>>(Hull(old())).unwrap(), Some(new()));
        assert_eq!(loaded::<_, Hull<Option<migrating::Ship>>>(old()).unwrap(), Hull(Some(new())));
        assert_eq!(loaded::<_, Fleet<migrating::Ship>>(Fleet(Some(old()))).unwrap(), Fleet(new()));
        assert_eq!(loaded::<_, Fleet<Option<migrating::Ship>>>(Fleet(old())).unwrap(), Fleet(Some(new())));
    }

    #[test]
    fn each_step_of_a_chain_is_found_through_an_option() {
        #[checkpointed(name = "Ship", version = 3, migrate(from = 2, with = Ship::lengthened))]
        #[derive(Debug, PartialEq)]
        struct Ship {
            length: f64,
        }
        impl Ship {
            fn lengthened(old: structs::migrating::Ship) -> Ship {
                Ship { length: old.metres + 1.0 }
            }
        }
        let (one, two) = (structs::one::Ship { x: 2.0 }, structs::two::Ship { metres: 5.0 });
        assert_eq!(loaded::<_, Ship>(Some(one)).unwrap(), Ship { length: 2.0 });
        assert_eq!(loaded::<_, Ship>(Some(two)).unwrap(), Ship { length: 6.0 });
    }
}

/// What a migration takes may be an option itself.
mod taken {
    use super::*;

    #[checkpointed(version = 2, migrate(from = 1, with = Depth::new))]
    #[derive(Debug, PartialEq)]
    struct Depth {
        metres: f64,
    }

    impl Depth {
        fn new(feet: Option<f64>) -> Depth {
            Depth { metres: feet.map_or(-1.0, |feet| feet * 0.25) }
        }
    }

    #[checkpointed(name = "Depth", version = 3, migrate(from = 2, with = Fathoms::new))]
    #[derive(Debug, PartialEq)]
    struct Fathoms(f64);

    impl Fathoms {
        fn new(old: Depth) -> Fathoms {
            Fathoms(old.metres * 0.5)
        }
    }

    #[test]
    fn a_migration_that_takes_an_option_is_given_none_too() {
        assert_eq!(loaded::<_, Depth>(Some(8.0_f64)).unwrap(), Depth { metres: 2.0 });
        assert_eq!(loaded::<_, Depth>(None::<f64>).unwrap(), Depth { metres: -1.0 });
        assert_eq!(loaded::<_, Fathoms>(Some(8.0_f32)).unwrap(), Fathoms(1.0));
        assert_eq!(loaded::<_, Fathoms>(None::<f64>).unwrap(), Fathoms(-0.5));
        assert_eq!(loaded::<_, Option<Fathoms>>(Some(8.0_f64)).unwrap(), Some(Fathoms(1.0)));
        assert_eq!(loaded::<_, Fathoms>(Some(Depth { metres: 4.0 })).unwrap(), Fathoms(2.0));
    }
}

#[test]
fn a_renamed_field_keeps_its_version_in_an_option() {
    #[checkpointed(name = "state")]
    #[derive(Debug, PartialEq)]
    struct Renamed {
        first: u8,
        #[serde(alias = "part")]
        ship: Option<structs::two::Ship>,
        last: u32,
    }
    let ship = || structs::two::Ship { metres: 2.0 };
    let directory = tempfile::tempdir().unwrap();
    Checkpointer::open(directory.path()).unwrap().save(&state(ship())).unwrap();
    let loaded = CheckpointReader::<Renamed>::open(directory.path()).unwrap().load().unwrap();
    assert_eq!(loaded, Some(Renamed { first: 1, ship: Some(ship()), last: 7 }));
}
