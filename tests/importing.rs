//! Imported arrays have the form that the types of the program have.

use std::path::PathBuf;

use checkpointed::inspect::{self, Condition, Element, FieldOutcome, Imported, ImportedArray};
use checkpointed::{CheckpointReader, Error, ExpectedSchema, Protection, checkpointed};
use ndarray::{Array1, Array2, ArrayD};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("warm.ckpt");
    (parent, path)
}

fn array(element: Element, shape: &[u64], bytes: Vec<u8>) -> Imported {
    let shape = shape.to_vec();
    Imported::Array(ImportedArray { element, shape, read: Box::new(move || Ok(bytes.clone())) })
}

fn floats(shape: &[u64]) -> Imported {
    let count = shape.iter().product::<u64>();
    array(Element::F64, shape, (0..count).flat_map(|number| (number as f64).to_le_bytes()).collect())
}

#[checkpointed]
struct Arrays {
    line: Array1<f64>,
    plane: Array2<f64>,
    any: ArrayD<f64>,
    narrow: Array2<f32>,
    rows: Vec<[f64; 3]>,
    wide: Vec<[f64; 40]>,
    cubes: Vec<[[f64; 2]; 5]>,
    nested: Vec<Vec<f64>>,
    single: f64,
    truths: Vec<bool>,
    optional: Option<Array2<f64>>,
}

#[test]
fn arrays_of_any_shape_load_into_the_types_of_the_program() {
    let (_parent, path) = nowhere();
    let fields = [
        ("line", floats(&[2000])),
        ("plane", floats(&[30, 50])),
        ("any", floats(&[4, 5, 6])),
        ("narrow", floats(&[7, 9])),
        ("rows", floats(&[1000, 3])),
        ("wide", floats(&[10, 40])),
        ("cubes", floats(&[8, 5, 2])),
        ("nested", floats(&[6, 4])),
        ("single", floats(&[])),
        ("truths", array(Element::Bool, &[3], vec![1, 0, 1])),
        ("optional", floats(&[2, 2])),
    ];
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let expected = ExpectedSchema::of::<Arrays>();
    let made = inspect::import(&path, &Imported::Fields(fields), Some(&expected)).unwrap();
    assert_eq!((made.generation, made.path.as_path()), (1, path.as_path()));
    let file = inspect::File::open_generation(&path, 1, &Protection::new()).unwrap();
    let check = inspect::check(&file, &expected);
    let outcome = |path: &str| {
        let found = check.fields.iter().find(|field| field.path.starts_with(path));
        found.map(|field| field.outcome)
    };
    assert_eq!(
        (outcome("plane"), outcome("rows"), outcome("narrow")),
        (None, None, Some(FieldOutcome::Converted))
    );
    let arrays = CheckpointReader::<Arrays>::open(&path).unwrap().load().unwrap().unwrap();
    assert_eq!((arrays.line.len(), arrays.line[1999]), (2000, 1999.0));
    assert_eq!((arrays.plane.dim(), arrays.plane[[1, 2]]), ((30, 50), 52.0));
    assert_eq!((arrays.any.shape(), arrays.any[[1, 0, 0]]), (&[4, 5, 6][..], 30.0));
    assert_eq!((arrays.narrow.dim(), arrays.narrow[[1, 0]]), ((7, 9), 9.0));
    assert_eq!((arrays.rows.len(), arrays.rows[1]), (1000, [3.0, 4.0, 5.0]));
    assert_eq!((arrays.wide.len(), arrays.wide[1][0]), (10, 40.0));
    assert_eq!(
        (arrays.cubes.len(), arrays.cubes[1]),
        (8, [[10.0, 11.0], [12.0, 13.0], [14.0, 15.0], [16.0, 17.0], [18.0, 19.0]])
    );
    assert_eq!((arrays.nested.len(), &arrays.nested[1][..]), (6, &[4.0, 5.0, 6.0, 7.0][..]));
    assert_eq!((arrays.single, arrays.truths), (0.0, vec![true, false, true]));
    assert_eq!(arrays.optional.unwrap()[[1, 1]], 3.0);
}

#[test]
fn an_array_not_of_its_shape_is_refused_and_leaves_nothing() {
    let (parent, path) = nowhere();
    let unread = ImportedArray {
        element: Element::U8,
        shape: vec![3],
        read: Box::new(|| Err("the file is gone".to_owned())),
    };
    for (value, part) in [
        (array(Element::F64, &[2], vec![0; 15]), "15 bytes are not an array of f64 of shape [2]"),
        (array(Element::U16, &[u64::MAX, 2], vec![0; 4]), "are not an array"),
        (array(Element::Bool, &[2], vec![0, 7]), "neither 0 nor 1"),
        (Imported::Array(unread), "the file is gone"),
    ] {
        let value = Imported::Fields(vec![("good".to_owned(), floats(&[900])), ("inner".to_owned(), value)]);
        let error = inspect::import(&path, &value, None).unwrap_err();
        assert!(matches!(error, Error::Encode { .. }), "{error:?}");
        assert!(error.to_string().contains("inner: ") && error.to_string().contains(part), "{error}");
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}

#[test]
fn more_than_the_arrays_with_entries_are_imported() {
    let (_parent, path) = nowhere();
    let lists = (0..300).map(|number| floats(&[number % 7])).collect();
    inspect::import(&path, &Imported::List(lists), None).unwrap();
    let lists = CheckpointReader::<Vec<Vec<f64>>>::open(&path).unwrap().load().unwrap().unwrap();
    assert!(lists.iter().enumerate().all(|(place, list)| list.len() == place % 7));
}

#[test]
fn a_failed_import_leaves_what_was_there_before() {
    let (_parent, path) = nowhere();
    std::fs::create_dir(&path).unwrap();
    let names = ["halt", "history.jsonl", "00000000000000000003.pin"];
    for name in names {
        std::fs::write(path.join(name), "before").unwrap();
    }
    let wrong = array(Element::F64, &[2], vec![0; 15]);
    inspect::import(&path, &wrong, None).unwrap_err();
    for name in names {
        assert_eq!(std::fs::read(path.join(name)).unwrap(), b"before");
    }
    assert!(inspect::overview(&path, &Protection::new()).unwrap().generations.is_empty());
    std::fs::remove_file(path.join("halt")).unwrap();
    inspect::import(&path, &floats(&[2]), None).unwrap();
    assert_eq!(CheckpointReader::<Vec<f64>>::open(&path).unwrap().load().unwrap(), Some(vec![0.0, 1.0]));
}

#[test]
fn values_too_deep_to_be_loaded_are_not_imported() {
    let deep = |depth: usize, inner: fn(Imported) -> Imported| {
        (0..depth).fold(floats(&[3]), |value, _| inner(value))
    };
    let field = |value| Imported::Fields(vec![("f".to_owned(), value)]);
    let list = |value| Imported::List(vec![value]);
    for (value, part) in [
        (deep(3000, field), "inside each other more than"),
        (deep(3000, list), "inside each other more than"),
        // The description of lists in lists is nested itself.
        (deep(126, list), "described in JSON"),
    ] {
        let (parent, path) = nowhere();
        let error = inspect::import(&path, &value, None).unwrap_err();
        assert!(matches!(error, Error::Encode { .. }) && error.to_string().contains(part), "{error}");
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
    for value in [deep(120, field), deep(100, list)] {
        let (_parent, path) = nowhere();
        inspect::import(&path, &value, None).unwrap();
        let verdicts = inspect::verify_directory(&path, &Protection::new()).unwrap();
        assert_eq!(verdicts[0].condition, Condition::Whole);
    }
}
