//! Forged `.npy` headers that differ from the data, and names that lead out of the archive.

use std::fs;

use crate::container::STATE;
use crate::container::forge::{Part, file};
use crate::{CheckpointReader, Error};

/// An array of format version 1.0 with this text as its header.
fn npy(header: &str, data: &[f64]) -> Vec<u8> {
    let text = format!("{header:<117}\n");
    let length = u16::try_from(text.len()).unwrap();
    let data: Vec<u8> = data.iter().flat_map(|number| number.to_le_bytes()).collect();
    [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], text.as_bytes(), &data].concat()
}

/// Loads a `Vec<f64>` that refers to this array, and claims this number of rows.
fn loads(name: &str, array: &[u8], rows: u64) -> Result<Option<Vec<f64>>, Error> {
    let reference: Vec<u8> = [u64::MAX, 0, rows].iter().flat_map(|number| number.to_le_bytes()).collect();
    let parts =
        [Part { name, data: array, unpacked: None }, Part { name: STATE, data: &reference, unpacked: None }];
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("00000000000000000001.ckpt"), file::<Vec<f64>>(&parts)).unwrap();
    CheckpointReader::open(directory.path()).unwrap().load()
}

const TWO: &str = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }";

#[test]
fn the_forger_can_write_an_array_that_is_read() {
    assert_eq!(loads("state.npy", &npy(TWO, &[7.0, 8.0]), 2).unwrap(), Some(vec![7.0, 8.0]));
}

#[track_caller]
fn assert_refused(array: &[u8], rows: u64) {
    let error = loads("state.npy", array, rows).unwrap_err();
    let Error::NoneUsable { tried, .. } = &error else { panic!("{error:?}") };
    let is_named = matches!(&tried[0].error, Error::Damaged { part, .. } if part == "state.npy");
    assert!(is_named, "{error}");
}

#[test]
fn a_shape_or_a_type_that_is_not_there_is_refused() {
    for (from, to) in [
        ("(2,)", "(3,)"),
        ("(2,)", "(1,)"),
        ("(2,)", "(0,)"),
        ("(2,)", "(-2,)"),
        ("(2,)", "()"),
        ("(2,)", "(2, 2)"),
        ("(2,)", "(02,)"),
        ("(2,)", "(18446744073709551615,)"),
        ("(2,)", "(2305843009213693952,)"),
        ("(2,)", "(4294967296, 4294967296)"),
        ("(2,)", "(9999999999999999999999,)"),
        ("(2,)", "(2,"),
        ("(2,)", "2"),
        ("<f8", ">f8"),
        ("<f8", "<i8"),
        ("<f8", "<f4"),
        ("<f8", "|O"),
        ("False", "True"),
        ("{'descr'", "{'shape': (2,), 'descr'"),
        (", }", ", 'more': 1}"),
    ] {
        let header = TWO.replacen(from, to, 1);
        assert_ne!(header, TWO);
        for rows in [2, 3] {
            assert_refused(&npy(&header, &[7.0, 8.0]), rows);
        }
    }
}

#[test]
fn as_many_rows_as_the_state_claims_are_not_believed_either() {
    for rows in [0, 1, 3, 1 << 40, 1 << 61, u64::MAX] {
        assert_refused(&npy(TWO, &[7.0, 8.0]), rows);
        let header = TWO.replace("(2,)", &format!("({rows},)"));
        assert_refused(&npy(&header, &[7.0, 8.0]), rows);
    }
}

#[test]
fn a_header_longer_than_its_array_or_missing_is_refused() {
    let whole = npy(TWO, &[7.0, 8.0]);
    for length in 0..whole.len() {
        assert_refused(&whole[..length], 2);
    }
    for place in 0..10 {
        let mut forged = whole.clone();
        forged[place] ^= 0x80;
        assert_refused(&forged, 2);
    }
    assert_refused(&[&whole[..], &[0]].concat(), 2);
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    let array = npy(TWO, &[7.0, 8.0]);
    for name in [
        "../x.npy",
        "a/../x.npy",
        "a/..",
        "..",
        "../../etc/passwd",
        "/x.npy",
        "C:x.npy",
        "a\\..\\x.npy",
        "./x.npy",
    ] {
        let error = loads(name, &array, 2).unwrap_err();
        let Error::NoneUsable { tried, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(&tried[0].error, Error::Damaged { .. }), "{error}");
    }
}
