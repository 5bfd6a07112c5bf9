#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use serde::Deserialize;

use super::*;
use crate::arrays::none::{decode, encode};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Grids {
    #[serde(with = "FixedArrays::<Fixed<Fixed<Same>>>")]
    grid: [[f64; 64]; 3],
    #[serde(with = "FixedArrays::<Maybe<Boxed<Fixed<Same>>>>")]
    boxed: Option<Box<[u16; 100]>>,
    #[serde(with = "FixedArrays::<Rows<Fixed<Same>>>")]
    rows: Vec<[String; 33]>,
    #[serde(with = "FixedArrays::<Fixed<Same>>")]
    short: [u8; 4],
    #[serde(with = "FixedArrays::<Fixed<Fixed<Same>>>")]
    nothing: [[f64; 0]; 50],
}

fn grids() -> Grids {
    Grids {
        grid: std::array::from_fn(|row| std::array::from_fn(|column| (row * 64 + column) as f64)),
        boxed: Some(Box::new([7; 100])),
        rows: vec![std::array::from_fn(|place| place.to_string()); 2],
        short: [1, 2, 3, 4],
        nothing: [[]; 50],
    }
}

#[test]
fn an_inline_fixed_array_is_a_sequence_of_all_its_elements() {
    let mut bytes = Vec::new();
    encode(&grids(), &mut bytes).unwrap();
    assert_eq!(bytes[..8], 192_u64.to_le_bytes());
    assert_eq!(decode::<Grids>(&bytes).unwrap(), grids());
}

#[test]
fn long_fixed_arrays_are_a_grid_in_the_schema() {
    #[derive(Serialize, Deserialize)]
    struct Traced {
        #[serde(with = "FixedArrays::<Fixed<Fixed<Same>>>")]
        one: [[f64; 64]; 3],
        #[serde(with = "FixedArrays::<Rows<Fixed<Same>>>")]
        many: Vec<[u8; 40]>,
    }
    let schema = crate::schema::Schema::of::<crate::state::Plain<Traced>>();
    let json = serde_json::to_value(&schema).unwrap();
    let found = |field: usize| &json["types"][0]["struct"]["named"][field]["type"]["grid"];
    assert_eq!(*found(0), serde_json::json!({"element": "f64", "lengths": [3, 64]}));
    assert_eq!(*found(1), serde_json::json!({"element": "u8", "lengths": [40], "is_vec": true}));
    let words: Vec<String> = schema.types[0].types().map(|ty| schema.describe(ty)).collect();
    assert_eq!(words, ["[[f64; 64]; 3]", "Vec<[u8; 40]>"]);
    assert_eq!(serde_json::from_value::<crate::schema::Schema>(json).unwrap(), schema);
}

#[test]
fn a_fixed_array_of_another_length_is_refused() {
    for count in [0, 191, 193, 384_u64] {
        let mut bytes = Vec::new();
        encode(&(0..count).map(|_| 1.0).collect::<Vec<f64>>(), &mut bytes).unwrap();
        bytes.extend_from_slice(&[0; 1 + 8 + 4]);
        assert!(decode::<Grids>(&bytes).is_err(), "{count}");
    }
}

#[test]
fn other_formats_see_tuples_as_serde_writes_them() {
    let json = serde_json::to_value(grids()).unwrap();
    assert_eq!(json["grid"][2][63], 191.0);
    assert_eq!(json["grid"].as_array().unwrap().len(), 3);
    assert_eq!(json["short"], serde_json::json!([1, 2, 3, 4]));
    assert_eq!(serde_json::from_value::<Grids>(json).unwrap(), grids());
    // Tuples have no length in bincode.
    let short = bincode::serialize(&grids()).unwrap();
    assert_eq!(short[..8], 0_f64.to_le_bytes());
    assert_eq!(short[8..16], 1_f64.to_le_bytes());
    assert_eq!(bincode::deserialize::<Grids>(&short).unwrap(), grids());
    assert!(serde_json::from_str::<Grids>(r#"{"grid": [[1.0]]}"#).is_err());
}

#[test]
fn what_serde_writes_in_part_is_found_in_fixed_arrays() {
    use std::collections::BTreeMap;
    use std::net::{Ipv6Addr, SocketAddrV6};
    use std::ops::RangeInclusive;

    #[derive(Serialize, Deserialize)]
    struct Held<T: Serialize + DeserializeOwned + 'static> {
        #[serde(with = "FixedArrays::<Fixed<Same>>")]
        short: [T; 2],
        #[serde(with = "FixedArrays::<Rows<Fixed<Same>>>")]
        rows: Vec<[T; 33]>,
        #[serde(with = "FixedArrays::<Maybe<Boxed<Fixed<Same>>>>")]
        boxed: Option<Box<[T; 3]>>,
        #[serde(with = "FixedArrays::<Values<Fixed<Same>>>")]
        map: BTreeMap<u8, [T; 1]>,
    }
    fn held<T: Clone + Serialize + DeserializeOwned + 'static>(value: &T) -> Held<T> {
        let each = || std::array::from_fn(|_| value.clone());
        let row = std::array::from_fn(|_| value.clone());
        let boxed = Some(Box::new(std::array::from_fn(|_| value.clone())));
        let map = BTreeMap::from([(1, std::array::from_fn(|_| value.clone()))]);
        Held { short: each(), rows: vec![row], boxed, map }
    }
    let mut spent = 1_u32..=3;
    spent.by_ref().for_each(drop);
    let mut bytes = Vec::new();
    encode(&held(&spent), &mut bytes).unwrap();
    let Held { short, rows, boxed, map } = decode::<Held<RangeInclusive<u32>>>(&bytes).unwrap();
    let rest: usize = short.into_iter().chain(rows.into_iter().flatten()).map(Iterator::count).sum();
    let boxed: usize = boxed.into_iter().flat_map(|ranges| *ranges).map(Iterator::count).sum();
    let map: usize = map.into_values().flatten().map(Iterator::count).sum();
    assert_eq!((rest, boxed, map), (0, 0, 0));

    let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7000, 0, 3);
    let why = encode(&held(&address), &mut Vec::new()).unwrap_err();
    assert!(why.to_string().contains("neither the scope nor the flow label"), "{why}");
    let why = crate::self_describing::serialize(&held(&spent), serde_json::value::Serializer).unwrap_err();
    assert!(why.to_string().contains("was used up"), "{why}");
}

#[test]
fn the_memory_of_values_becomes_that_of_rows() {
    let values: Vec<String> = (0..6).map(|value| value.to_string()).collect();
    let first = values.as_ptr().cast::<u8>();
    let rows = arrays::group::<String, 3>(values).unwrap();
    assert_eq!(rows, [["0", "1", "2"], ["3", "4", "5"]]);
    assert_eq!(rows.as_ptr().cast::<u8>(), first);
    assert!(arrays::group::<u8, 2>(vec![1, 2, 3]).is_none());
    assert!(arrays::group::<u8, 0>(Vec::new()).is_none());
    assert_eq!(arrays::group::<u8, 2>(Vec::new()), Some(Vec::new()));
    let mut spare = Vec::with_capacity(101);
    spare.extend([1_u16; 4]);
    assert_eq!(arrays::group::<u16, 2>(spare), Some(vec![[1; 2]; 2]));
    // Spare memory for whole rows stays with the rows, and the rows stay in place.
    let mut spare = Vec::with_capacity(100);
    spare.extend([1_u16; 4]);
    let first = spare.as_ptr().addr();
    let rows = arrays::group::<u16, 2>(spare).unwrap();
    assert_eq!((rows.as_ptr().addr(), rows.capacity()), (first, 50));
}
