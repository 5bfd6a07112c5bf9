#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use nalgebra::{
    DMatrix, DVector, Dyn, Matrix2x3, Matrix3xX, OMatrix, Point3, Quaternion, RowDVector, U2, Vector3,
};

use super::*;
use crate::arrays::ArrayPool;
use crate::arrays::none::{decode, encode};
use crate::schema::Schema;
use crate::{Checkpointer, Plain};

/// Saves and loads a state, and returns the shapes of its arrays as the file has them.
#[track_caller]
fn shapes_of<T: Checkpoint + PartialEq + std::fmt::Debug>(state: &T) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<T>::open(directory.path()).unwrap();
    checkpoints.save(state).unwrap();
    assert_eq!(checkpoints.load().unwrap().as_ref(), Some(state));
    let file = std::fs::read(directory.path().join("00000000000000000001.ckpt")).unwrap();
    let text = String::from_utf8_lossy(&file).into_owned();
    let shapes = text.split("'shape': (").skip(1);
    shapes.map(|rest| rest.split(')').next().unwrap().to_owned()).collect()
}

#[test]
fn a_matrix_on_the_heap_is_one_entry_with_its_columns_as_rows() {
    let matrix = DMatrix::from_fn(3, 5, |row, column| (10 * row + column) as f64);
    assert_eq!(shapes_of(&matrix), ["5, 3"]);
    assert_eq!(shapes_of(&Plain(matrix)), ["5, 3"]);
    assert_eq!(
        shapes_of(&(DVector::from_element(4, 7_u8), RowDVector::from_element(4, -7_i32))),
        ["4,", "4,"]
    );
    assert_eq!(shapes_of(&Some(Matrix3xX::from_element(6, 1.5_f32))), ["6, 3"]);
    assert_eq!(shapes_of(&vec![OMatrix::<bool, Dyn, U2>::from_element(3, true)]), ["2, 3"]);
    let named = [(7_u8, DMatrix::from_element(1, 2, 1.5))];
    assert_eq!(shapes_of(&std::collections::BTreeMap::from(named)), ["2, 1"]);
    assert_eq!(shapes_of(&DMatrix::<u64>::zeros(0, 9)), ["9, 0"]);
    assert_eq!(shapes_of(&DMatrix::<u64>::zeros(9, 0)), ["0, 9"]);
    // The elements are no numbers, so the matrix is in nalgebra's own form.
    assert_eq!(shapes_of(&DMatrix::from_element(2, 2, "text".to_owned())), [""; 0]);
}

#[test]
fn vectors_and_points_of_fixed_size_are_the_rows_of_one_array() {
    assert_eq!(shapes_of(&vec![Vector3::new(1.0, 2.0, 3.0); 5]), ["5, 3"]);
    assert_eq!(shapes_of(&vec![Point3::new(1_i32, 2, 3); 5]), ["5, 3"]);
    assert_eq!(shapes_of(&vec![Quaternion::new(1.0_f32, 2.0, 3.0, 4.0); 2]), ["2, 4"]);
    assert_eq!(shapes_of(&vec![Matrix2x3::new(1.0, 2.0, 3.0, 4.0, 5.0, 6.0); 2]), ["2, 6"]);
    assert_eq!(shapes_of(&Vector3::new(1.0, 2.0, 3.0)), [""; 0]);
    // So another program may read them as a type of its choice.
    let directory = tempfile::tempdir().unwrap();
    let points = vec![Point3::new(1.0, 2.0, 3.0); 5];
    Checkpointer::<Vec<Point3<f64>>>::open(directory.path()).unwrap().save(&points).unwrap();
    let mut checkpoints = Checkpointer::<Vec<[f64; 3]>>::open(directory.path()).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(vec![[1.0, 2.0, 3.0]; 5]));
}

#[test]
fn the_schema_is_that_of_the_form_in_which_nalgebra_serializes() {
    fn traced<T: DeserializeOwned + 'static>() -> String {
        trace::trace::<T>().schema.to_string()
    }
    assert_eq!(Schema::of::<DMatrix<f64>>().to_string(), "(Vec<f64>, u64, u64)");
    assert_eq!(Schema::of::<DVector<f32>>().to_string(), "(Vec<f32>, u64, ())");
    assert_eq!(Schema::of::<RowDVector<u8>>().to_string(), "(Vec<u8>, (), u64)");
    assert_eq!(Schema::of::<Vector3<f64>>().to_string(), traced::<Vector3<f64>>());
    assert_eq!(Schema::of::<Matrix2x3<f32>>().to_string(), traced::<Matrix2x3<f32>>());
    assert_eq!(Schema::of::<Point3<i32>>().to_string(), traced::<Point3<i32>>());
}

#[test]
fn a_small_inline_matrix_has_the_bytes_that_serde_writes() {
    let state = (DMatrix::from_element(2, 3, 1.5), DVector::from_element(2, 7_u8), Vector3::new(1_u16, 2, 3));
    let mut bytes = Vec::new();
    encode(&state, &mut bytes).unwrap();
    assert_eq!(bytes, bincode::serialize(&state).unwrap());
    assert_eq!(decode::<(DMatrix<f64>, DVector<u8>, Vector3<u16>)>(&bytes).unwrap(), state);
}

#[test]
fn forged_dimensions_are_refused_even_on_overflow() {
    for (rows, columns) in [(1_u64 << 32, 1_u64 << 32), (u64::MAX, 2), (0, 1), (3, 1), (1 << 63, 2)] {
        let elements: &[f64] = if rows == 0 { &[1.0] } else { &[] };
        let bytes = bincode::serialize(&(elements, rows, columns)).unwrap();
        let error = decode::<DMatrix<f64>>(&bytes).unwrap_err();
        assert!(error.contains("a matrix has other dimensions"), "{error}");
    }
}

#[test]
fn a_load_into_a_matrix_of_equal_length_reuses_its_memory() {
    type State = (DMatrix<f64>, DVector<f32>, RowDVector<u8>, Vec<Point3<f64>>, DMatrix<f64>);
    let state = |value: u8| -> State {
        (
            DMatrix::from_element(100, 200, value.into()),
            DVector::from_element(50_000, value.into()),
            RowDVector::from_element(100_000, value),
            vec![Point3::new(value.into(), 1.0, 2.0); 10_000],
            DMatrix::from_element(2, 2, value.into()),
        )
    };
    let addresses = |state: &State| {
        let addresses = (state.0.as_ptr(), state.1.as_ptr(), state.2.as_ptr(), state.3.as_ptr());
        (addresses.0.addr(), addresses.1.addr(), addresses.2.addr(), addresses.3.addr())
    };
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<State>::open(directory.path()).unwrap();
    checkpoints.save(&state(3)).unwrap();
    let mut loaded = state(0);
    let before = addresses(&loaded);
    assert!(checkpoints.load_into(&mut loaded).unwrap());
    assert_eq!(loaded, state(3));
    assert_eq!(addresses(&loaded), before);

    let (mut pool, mut kept) = (ArrayPool::default(), state(4));
    kept.lend_arrays(&mut pool);
    assert_eq!((kept.0.shape(), kept.1.len(), kept.2.len()), ((0, 0), 0, 0));
    assert_eq!(kept.4, state(4).4, "not worth it");
}
