#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod every_row;

use std::any::TypeId;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use super::erased::rows_of_vec;
use super::{ArrayPool, Copied, view, visitor_reads};
use crate::codec::{Forms, Room, decode, encode};
use crate::schema::Schema;
use crate::{Checkpoint, Checkpointer, Plain};

/// Returns the names of the entries of a saved state, and checks that it loads unchanged.
fn entries<T: Checkpoint + PartialEq + Debug>(state: &T) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<T>::open(directory.path()).unwrap();
    checkpoints.save(state).unwrap();
    assert_eq!(checkpoints.load().unwrap().as_ref(), Some(state));
    let manifest = checkpoints.manifest(1).unwrap();
    manifest.parts.iter().map(|part| part.name.clone()).filter(|name| name != "state.bincode").collect()
}

fn foreign<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(state: T) -> Vec<String> {
    entries(&Plain(state))
}

#[test]
fn what_serde_hands_over_is_recognised() {
    // If a later serde passed on something else, arrays would be stored correctly, but slowly, one
    // element after the other.
    assert!(view(&&vec![1.0_f64]).is_some());
    assert!(view(&&[1_u8, 2][..]).is_some());
    assert!(view(&&vec![[[1_i16; 4]; 3]]).is_some());
    assert!(view(&&vec![true]).is_some());
    assert!(view(&&vec!["text"]).is_none());
    assert!(view(&&vec![(1.0_f64, 2.0_f64)]).is_none());
    assert!(view(&vec![1.0_f64]).is_none(), "not borrowed");
    assert!(visitor_reads::<Vec<f64>>().is_none(), "a Vec is not its visitor");
}

#[test]
fn an_array_is_found_wherever_it_is() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Model {
        layers: Vec<Layer>,
        option: Option<Vec<f32>>,
        boxed: Box<[u16]>,
        tuple: (u8, Vec<i64>),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Layer {
        Dense { weights: Vec<[f32; 3]> },
        Bias(Vec<f64>),
        Nothing,
    }
    let layers = vec![Layer::Dense { weights: vec![[1.0; 3]; 2] }, Layer::Nothing, Layer::Bias(vec![])];
    let model = Model { layers, option: Some(vec![0.5]), boxed: [1, 2].into(), tuple: (1, vec![i64::MIN]) };
    assert_eq!(
        foreign(model),
        ["layers/0/weights.npy", "layers/2.npy", "option.npy", "boxed.npy", "tuple/1.npy"]
    );
    assert_eq!(foreign(vec![vec![1.0, 2.0], vec![]]), ["0.npy", "1.npy"]);
    assert_eq!(foreign(vec![7_u128]), ["state.npy"]);
}

#[test]
fn other_sequences_stay_as_they_are() {
    assert_eq!(foreign(vec!["a".to_owned()]), [""; 0]);
    assert_eq!(foreign(VecDeque::from([1.0, 2.0])), [""; 0]);
    assert_eq!(foreign(vec![(1_u8, 2_u64)]), [""; 0]);
    assert_eq!(foreign([1.0; 4]), [""; 0]);
}

#[test]
fn what_reads_an_array_its_own_way_gets_every_element() {
    /// Writes itself as a `Vec` does, and reads itself with a visitor of its own.
    #[derive(Debug, PartialEq)]
    struct Twice(Vec<u32>);

    impl Serialize for Twice {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.iter().map(|value| value / 2).collect::<Vec<u32>>().serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Twice {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let halves = VecDeque::<u32>::deserialize(deserializer)?;
            Ok(Twice(halves.into_iter().map(|value| value * 2).collect()))
        }
    }

    assert_eq!(foreign((Twice(vec![2, 4, 6]), Twice(Vec::new()))), ["0.npy", "1.npy"]);
}

#[test]
fn the_array_of_a_temporary_is_written_while_it_lives() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Squares(Vec<f64>);

    impl Serialize for Squares {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let copy: Rc<[f64]> = self.0.iter().copied().collect();
            serializer.serialize_newtype_struct("Squares", &copy[..])
        }
    }

    assert_eq!(foreign(Squares((0..1000).map(f64::from).collect())), ["state.npy"]);
}

#[test]
fn integers_in_place_of_floats_are_refused_in_every_reading() {
    fn loads<T: DeserializeOwned>() -> bool {
        let (mut bytes, mut arrays) = (Vec::new(), Copied::default());
        let room = Room::of(&Schema::of::<Vec<u64>>());
        encode(&vec![1_u64; 10_000], &Forms::unknown(), &mut bytes, &mut arrays).unwrap();
        decode::<T>(&bytes, room, &mut arrays).is_ok()
    }

    assert!(!loads::<Vec<f64>>());
    assert!(!loads::<VecDeque<f64>>());
    assert!(loads::<VecDeque<u64>>());
}

#[test]
fn a_million_short_arrays_do_not_become_a_million_entries() {
    let state: Vec<Vec<u8>> = (0..5000).map(|length| vec![7; length % 5]).collect();
    assert_eq!(foreign(state).len(), 256);
}

#[test]
fn a_long_array_is_an_entry_however_many_came_before() {
    let mut state = vec![vec![1_u8]; 1000];
    state.push(vec![2; 1 << 16]);
    assert_eq!(foreign(state).last().map(String::as_str), Some("1000.npy"));
}

#[test]
fn arrays_whose_paths_are_the_same_have_different_names() {
    /// A map that writes the same key twice.
    #[derive(Debug, PartialEq)]
    struct Repeats([Vec<u8>; 2]);

    impl Serialize for Repeats {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|values| ("key", values)))
        }
    }

    impl<'de> Deserialize<'de> for Repeats {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;

            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Repeats;

                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("a map")
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Repeats, A::Error> {
                    let mut next = || map.next_entry::<String, _>().map(|entry| entry.unwrap_or_default().1);
                    Ok(Repeats([next()?, next()?]))
                }
            }

            deserializer.deserialize_map(Visitor)
        }
    }

    assert_eq!(foreign(Repeats([vec![1], vec![2]])), ["key.npy", "key~1.npy"]);
}

#[test]
fn every_bit_of_a_float_survives() {
    let bits = [0x7ff8_dead_beef_0001_u64, 0xfff0_0000_0000_0001, 0x8000_0000_0000_0000, 1];
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Vec<f64>>::open(directory.path()).unwrap();
    checkpoints.save(&bits.map(f64::from_bits).to_vec()).unwrap();
    let loaded = checkpoints.load().unwrap().unwrap();
    assert_eq!(loaded.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), bits);
}

#[test]
fn a_load_into_a_state_takes_the_memory_that_is_there() {
    let directory = tempfile::tempdir().unwrap();
    type State = (Vec<f64>, Vec<Vec<u32>>, Option<Box<[u8]>>);
    let mut checkpoints = Checkpointer::<State>::open(directory.path()).unwrap();
    let saved: State =
        (vec![1.5; 20_000], vec![vec![1; 30_000], vec![2; 40_000]], Some(vec![9; 70_000].into()));
    checkpoints.save(&saved).unwrap();
    // The same lengths in another order, and one that no array has.
    let mut state: State = (vec![0.0; 20_000], vec![vec![0; 40_000], vec![0; 30_000], vec![0; 99_999]], None);
    let before = [state.0.as_ptr().cast::<u8>(), state.1[1].as_ptr().cast(), state.1[0].as_ptr().cast()];
    assert!(checkpoints.load_into(&mut state).unwrap());
    assert_eq!(state, saved);
    let after = [state.0.as_ptr().cast::<u8>(), state.1[0].as_ptr().cast(), state.1[1].as_ptr().cast()];
    assert_eq!(before, after);
}

#[test]
fn a_load_without_a_generation_leaves_the_state_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Vec<f64>>::open(directory.path()).unwrap();
    let mut state = vec![1.0; 100_000];
    assert!(!checkpoints.load_into(&mut state).unwrap());
    assert_eq!(state, vec![1.0; 100_000]);
}

#[test]
fn only_long_arrays_of_numbers_are_lent() {
    let mut pool = ArrayPool::default();
    let mut long = vec![0_u64; 10_000];
    assert!(pool.lend(&mut long));
    assert!(long.is_empty());
    let mut short = vec![0_u64; 10];
    assert!(pool.lend(&mut short));
    assert_eq!(short.len(), 10);
    assert!(!pool.lend(&mut vec![String::new(); 10_000]));
    let of = |id| rows_of_vec(id).unwrap();
    let (floats, integers) = (of(TypeId::of::<Vec<f64>>()), of(TypeId::of::<Vec<u64>>()));
    assert!(pool.take(floats, 10_000).is_none());
    assert!(pool.take(integers, 9_999).is_none());
    assert!(pool.take(integers, 10_000).is_some());
    assert!(pool.take(integers, 10_000).is_none());
}

#[test]
fn arrays_are_taken_in_the_order_in_which_they_were_lent() {
    let mut pool = ArrayPool::default();
    let mut arrays: Vec<Vec<f64>> =
        (0..1000).map(|number| vec![f64::from(number); 8192 + number as usize % 2]).collect();
    assert!(arrays.iter_mut().all(|array| pool.lend(array)));
    let floats = rows_of_vec(TypeId::of::<Vec<f64>>()).unwrap();
    for number in 0..1000 {
        let memory = pool.take(floats, 8192 + number % 2).unwrap();
        assert_eq!(memory.into_vec::<Vec<f64>>().unwrap()[8191], number as f64);
    }
    assert!(pool.take(floats, 8192).is_none());
}

#[cfg(feature = "ndarray")]
#[test]
fn an_ndarray_is_one_entry_with_its_shape() {
    use ndarray::{Array, Array0, Array2, ArrayD, IxDyn};

    let grid = Array2::from_shape_fn((3, 5), |(row, column)| (row * 10 + column) as f64);
    let dynamic = ArrayD::<i32>::zeros(IxDyn(&[2, 1, 4]));
    let state =
        Plain((grid.clone(), dynamic, Array0::from_elem((), 7_u8), Array::<bool, _>::from_elem(3, true)));
    assert_eq!(entries(&state), ["0.npy", "1.npy", "2.npy", "3.npy"]);
    assert_eq!(entries(&vec![grid.clone(), grid.clone()]), ["0.npy", "1.npy"]);
    // This array is not in C order: it is stored element by element, and loads with the same
    // values.
    assert_eq!(foreign(grid.reversed_axes()), [""; 0]);

    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Vec<Array2<f64>>>::open(directory.path()).unwrap();
    checkpoints.save(&vec![Array2::zeros((3, 5))]).unwrap();
    let file = std::fs::read(directory.path().join("00000000000000000001.ckpt")).unwrap();
    assert!(String::from_utf8_lossy(&file).contains("'shape': (3, 5), "));
}

#[cfg(feature = "ndarray")]
#[test]
fn a_shared_or_borrowed_ndarray_is_one_entry_with_its_shape() {
    use ndarray::{ArcArray, ArcArray2, Array2, ArrayD, CowArray, Ix2, IxDyn};

    let grid = Array2::from_shape_fn((3, 5), |(row, column)| (row * 10 + column) as f64);
    let dynamic = ArrayD::<i32>::from_elem(IxDyn(&[2, 1, 4]), 7).into_shared();
    let borrowed = CowArray::<'static, f64, Ix2>::from(grid.clone());
    let state = (grid.clone().into_shared(), dynamic, borrowed, ArcArray::from_elem((), 1_u8));
    assert_eq!(entries(&Plain(state.clone())), ["0.npy", "1.npy", "2.npy"], "a single number is no array");
    assert!(super::grid(&CowArray::from(&grid)).is_some(), "also where it does borrow");
    assert_eq!(foreign(grid.into_shared().reversed_axes()), [""; 0], "not in C order");

    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints =
        Checkpointer::<(ArcArray2<f64>, ArcArray<i32, IxDyn>)>::open(directory.path()).unwrap();
    checkpoints.save(&(state.0.clone(), state.1.clone())).unwrap();
    let file = std::fs::read(directory.path().join("00000000000000000001.ckpt")).unwrap();
    let file = String::from_utf8_lossy(&file);
    assert!(file.contains("'shape': (3, 5), ") && file.contains("'shape': (2, 1, 4), "));
    assert_eq!(checkpoints.load().unwrap(), Some((state.0, state.1)));
}

#[cfg(feature = "ndarray")]
#[test]
fn a_load_into_an_ndarray_of_equal_length_reuses_its_memory() {
    use ndarray::{Array0, Array2, ArrayD, IxDyn, s};

    type State = (Array2<f64>, ArrayD<u8>, Array2<f64>, Array0<f64>, Array2<f64>, Array2<f64>);
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<State>::open(directory.path()).unwrap();
    let state = |value: f64, byte| {
        let part = Array2::from_elem((200, 200), value).slice_move(s![50..150, ..]);
        let short = Array2::from_elem((2, 2), value);
        let turned = Array2::from_elem((100, 300), value).reversed_axes();
        let first = Array2::from_elem((300, 100), value);
        (
            first,
            ArrayD::from_elem(IxDyn(&[400, 200]), byte),
            short,
            Array0::from_elem((), value),
            part,
            turned,
        )
    };
    let saved: State = state(1.5, 7);
    checkpoints.save(&saved).unwrap();
    let mut loaded = state(0.0, 0);
    let before = (loaded.0.as_ptr(), loaded.1.as_ptr());
    assert!(checkpoints.load_into(&mut loaded).unwrap());
    assert_eq!(loaded, saved);
    assert_eq!((loaded.0.as_ptr(), loaded.1.as_ptr()), before);

    let mut pool = ArrayPool::default();
    let mut kept = state(2.5, 1);
    kept.lend_arrays(&mut pool);
    assert_eq!((kept.0.len(), kept.1.len()), (0, 0));
    let lent = state(2.5, 1);
    assert_eq!((kept.2, kept.3, kept.5), (lent.2, lent.3, lent.5), "not worth it, or not in C order");
    let floats = rows_of_vec(TypeId::of::<Vec<f64>>()).unwrap();
    assert!(pool.take(floats, 20_000).is_some(), "a part of an array");
}

#[cfg(all(feature = "num-complex", feature = "half"))]
#[test]
fn complex_numbers_and_short_floats_are_arrays() {
    use half::{bf16, f16};
    use num_complex::Complex;

    let state = (vec![Complex::new(1.0_f64, -2.0)], vec![[f16::from_f32(0.5); 2]], vec![bf16::from_f32(3.0)]);
    assert_eq!(foreign(state), ["0.npy", "1.npy", "2.npy"]);
}
