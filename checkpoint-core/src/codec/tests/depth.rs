//! The limit of depth, which the writer keeps for the reader.

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::Plain;
use crate::arrays::none::{decode, encode, encode_as_read};
use crate::base::limits::VALUE_DEPTH;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
enum Nest {
    #[default]
    End,
    Variant(Box<Nest>),
    Tuple(u8, Box<Nest>),
    Struct {
        inner: Box<Nest>,
    },
    Newtype(Newtype),
    Optional(Option<Box<Nest>>),
    Sequence(Vec<Nest>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(Box<Nest>);

/// One more value around a value.
type Wrap = fn(Nest) -> Nest;

fn nested(levels: u32, wrap: Wrap) -> Plain<Nest> {
    Plain((0..levels).fold(Nest::End, |inner, _| wrap(inner)))
}

#[test]
fn every_way_to_nest_has_the_same_limit_of_depth() {
    let ways: [(u32, Wrap); 6] = [
        (1, |inner| Nest::Variant(Box::new(inner))),
        (1, |inner| Nest::Tuple(1, Box::new(inner))),
        (1, |inner| Nest::Struct { inner: Box::new(inner) }),
        (2, |inner| Nest::Newtype(Newtype(Box::new(inner)))),
        (2, |inner| Nest::Optional(Some(Box::new(inner)))),
        (2, |inner| Nest::Sequence(vec![inner])),
    ];
    for (depth_of_one, wrap) in ways {
        // The state is the newtype around all, and the innermost value is one level deep itself.
        let most = (VALUE_DEPTH - 2) / depth_of_one;
        let mut bytes = Vec::new();
        let deepest = nested(most, wrap);
        encode_as_read(&deepest, &mut bytes).unwrap();
        assert_eq!(decode::<Plain<Nest>>(&bytes).unwrap(), deepest);
        let why = encode_as_read(&nested(most + 1, wrap), &mut bytes).unwrap_err();
        assert!(why.to_string().contains("nested more than"), "{why}");
    }
}

/// Passes over the failure of a value without its key.
struct EndsTwice;

impl Serialize for EndsTwice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        let _ = map.serialize_value(&1_u8);
        map.end()
    }
}

#[test]
fn a_map_that_is_ended_after_a_failure_is_refused() {
    let why = encode(&EndsTwice, &mut Vec::new()).unwrap_err();
    assert!(why.to_string().contains("a value without its key"), "{why}");
}
