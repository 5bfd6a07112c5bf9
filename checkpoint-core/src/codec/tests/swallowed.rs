//! Types that pass over a failure and take a default.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, EnumAccess, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::arrays::none::decode;

/// A `T`, or nothing if it cannot be read.
#[derive(Debug, PartialEq)]
struct Lenient<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lenient<T>, D::Error> {
        Ok(Lenient(T::deserialize(deserializer).ok()))
    }
}

/// Refuses a value after it read it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Refused<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Refused<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Refused<T>, D::Error> {
        T::deserialize(deserializer).and_then(|_| Err(D::Error::custom("refused")))
    }
}

#[derive(Debug, PartialEq, Deserialize)]
enum Choice {
    One(u8),
    Two(Refused<u8>, u8),
    Three(Refused<u8>),
}

/// Asks for something by one of the methods of its visitor, and refuses it without a look.
#[derive(Debug, PartialEq)]
struct Unread<const KIND: u8>;

struct Refusing<const KIND: u8>(PhantomData<[(); 0]>);

impl<'de, const KIND: u8> Visitor<'de> for Refusing<KIND> {
    type Value = Unread<KIND>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("nothing that there is")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unread<KIND>, A::Error> {
        map.next_key::<u8>()?;
        Err(A::Error::custom("refused"))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, choice: A) -> Result<Unread<KIND>, A::Error> {
        choice.variant::<u32>()?;
        Err(A::Error::custom("refused"))
    }
}

impl<'de, const KIND: u8> Deserialize<'de> for Unread<KIND> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = Refusing::<KIND>(PhantomData);
        match KIND {
            0 => deserializer.deserialize_option(visitor),
            1 => deserializer.deserialize_newtype_struct("Unread", visitor),
            2 => deserializer.deserialize_map(visitor),
            3 => deserializer.deserialize_enum("Unread", &["A"], visitor),
            _ => deserializer.deserialize_tuple(2, visitor),
        }
    }
}

/// Asserts that a `T` fails with these words, whatever the number of bytes after it. At one of the
/// lengths, no bytes would be left after the failure.
fn fails<T: DeserializeOwned + fmt::Debug>(value: &[u8], words: &str) {
    for rest in 0..16 {
        let bytes = [value, &vec![0; rest]].concat();
        let error = decode::<Lenient<T>>(&bytes).unwrap_err();
        assert!(error.contains(words), "{rest} bytes behind it: {error}");
    }
}

#[test]
fn a_failure_behind_which_the_place_is_unknown_is_kept() {
    fails::<bool>(&[2], "a bool is 0 or 1, not 2");
    fails::<char>(&[0xFF], "UTF-8");
    fails::<String>(&[1, 0, 0, 0, 0, 0, 0, 0, 0xFF], "UTF-8");
    fails::<Option<u8>>(&[7], "an option starts with 0 or 1");
    fails::<Vec<u8>>(&[255, 255, 255, 255, 255, 255, 255, 0], "more than there is data for");
    fails::<serde_json::Value>(&[], "decides while reading");
    fails::<(Refused<u8>, u8)>(&[1, 2], "refused");
    fails::<Vec<Refused<u8>>>(&[2, 0, 0, 0, 0, 0, 0, 0, 1, 1], "refused");
    fails::<BTreeMap<Refused<u8>, u8>>(&[1, 0, 0, 0, 0, 0, 0, 0, 1, 1], "refused");
    fails::<Choice>(&[9, 0, 0, 0], "variant");
    fails::<Choice>(&[1, 0, 0, 0, 1, 1], "refused");
    fails::<Unread<0>>(&[1, 1], "invalid type");
    fails::<Unread<1>>(&[1], "invalid type");
    fails::<Unread<2>>(&[1, 0, 0, 0, 0, 0, 0, 0, 1, 1], "refused");
    fails::<Unread<3>>(&[0, 0, 0, 0, 1], "refused");
    fails::<Unread<4>>(&[1, 1], "invalid type");
}

#[test]
fn a_value_that_was_read_whole_may_be_passed_over() {
    fn passes<T: DeserializeOwned + PartialEq + fmt::Debug>(value: &[u8]) {
        let bytes = [value, &[7]].concat();
        assert_eq!(decode::<(Lenient<T>, u8)>(&bytes), Ok((Lenient(None), 7)));
    }
    passes::<Refused<u8>>(&[1]);
    passes::<std::num::NonZeroU16>(&[0, 0]);
    passes::<Option<Refused<u8>>>(&[1, 1]);
    passes::<(u8, Refused<String>)>(&[1, 1, 0, 0, 0, 0, 0, 0, 0, b'a']);
    passes::<Refused<(u8, u8)>>(&[1, 1]);
    passes::<Vec<Refused<u8>>>(&[1, 0, 0, 0, 0, 0, 0, 0, 1]);
    passes::<BTreeMap<u8, Refused<u8>>>(&[1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    passes::<Choice>(&[2, 0, 0, 0, 1]);
    passes::<std::time::SystemTime>(&[[255; 8].as_slice(), &[0; 4]].concat());
}

#[test]
fn a_map_whose_last_value_is_left_unread_is_refused() {
    /// Reads the keys alone.
    #[derive(Debug)]
    struct Keys;
    impl<'de> Deserialize<'de> for Keys {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
            struct First;
            impl<'de> Visitor<'de> for First {
                type Value = Keys;
                fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                    formatter.write_str("a map")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    map.next_key::<u8>().map(|_| Keys)
                }
            }
            deserializer.deserialize_map(First)
        }
    }
    let error = decode::<(Keys, u8)>(&[1, 0, 0, 0, 0, 0, 0, 0, 1, 9]).unwrap_err();
    assert!(error.contains("leaves 1 elements unread"), "{error}");
}
