//! Names that look like those which this library makes itself are names like any other.

use std::fmt::Debug;

use checkpointed::schema::Schema;
use checkpointed::{Checkpoint, CheckpointReader, Checkpointer, Plain, checkpointed};
use serde::{Deserialize, Deserializer, Serialize};

fn comes_back<T: Checkpoint + PartialEq + Debug>(state: &T) {
    assert_eq!(loaded::<T, T>(state).0, *state);
}

/// The state as another type, and the differences.
fn loaded<W: Checkpoint, R: Checkpoint>(state: &W) -> (R, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    Checkpointer::open(directory.path()).unwrap().save(state).unwrap();
    let mut reader = CheckpointReader::<R>::open(directory.path()).unwrap();
    let loaded = reader.load().unwrap().unwrap();
    let differences = &reader.last_load().unwrap().differences;
    (loaded, differences.iter().map(ToString::to_string).collect())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Card {
    #[serde(rename = "2 of clubs")]
    Two,
    #[serde(rename = "0 of clubs|hearts")]
    Nothing(u8),
    #[serde(rename = "variant 2, which is not read")]
    Joker {
        #[serde(rename = "1 of a|b")]
        first: u32,
        #[serde(rename = "0 of clubs")]
        second: f64,
    },
}

fn hand() -> Vec<Card> {
    vec![Card::Joker { first: 1, second: 2.5 }, Card::Two, Card::Nothing(7)]
}

#[checkpointed]
#[derive(Debug, Clone, PartialEq)]
enum Marked {
    #[serde(rename = "2 of clubs")]
    Two,
    #[serde(rename = "0 of clubs|hearts")]
    Nothing {
        #[serde(rename = "1 of a|b")]
        first: u32,
    },
}

#[test]
fn names_with_a_number_and_of_are_names_like_any_other() {
    comes_back(&Plain(hand()));
    comes_back(&vec![Marked::Two, Marked::Nothing { first: 3 }]);
}

/// Takes no sample, so that what is behind it is known from what is written alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Odd(u32);

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Odd, D::Error> {
        match u32::deserialize(deserializer)? {
            number @ 7_654_321.. => Ok(Odd(number)),
            _ => Err(serde::de::Error::custom("too small")),
        }
    }
}

#[test]
fn such_names_are_found_in_a_changed_state() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Card")]
    enum After {
        #[serde(rename = "0 of clubs|hearts")]
        Nothing(u16),
        New,
        #[serde(rename = "variant 2, which is not read")]
        Joker {
            #[serde(rename = "0 of clubs")]
            second: f64,
            #[serde(rename = "1 of a|b")]
            first: u32,
        },
        #[serde(rename = "2 of clubs")]
        Two,
    }
    let wanted = vec![After::Joker { first: 1, second: 2.5 }, After::Two, After::Nothing(7)];
    let (found, differences) = loaded::<_, Plain<Vec<After>>>(&Plain(hand()));
    assert_eq!(found.0, wanted);
    let text = differences.join("\n");
    assert!(text.contains("[]::0 of clubs|hearts: u8 in the checkpoint, u16 in this program"), "{text}");
    assert!(!text.contains("2 of clubs: absent") && !text.contains('\0'), "{text}");
    // In a part that is known by what was written.
    let (found, _) = loaded::<_, Plain<(Odd, Vec<After>, u8)>>(&Plain((Odd(7_654_321), hand(), 1_u8)));
    assert_eq!(found.0, (Odd(7_654_321), wanted, 1));
}

#[test]
fn a_name_of_ours_is_never_the_name_of_a_type() {
    // Aliases hide which of its variants has which name.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[allow(dead_code, reason = "what is skipped is never made")]
    enum Aliased {
        #[serde(rename = "1 of A|B", alias = "2 of clubs")]
        A,
        #[serde(skip)]
        B,
        #[serde(rename = "0 of A|B", alias = "x")]
        C,
    }
    comes_back(&Plain(vec![Aliased::A, Aliased::C]));
    let schema = serde_json::to_string(&Schema::of::<Plain<Aliased>>()).unwrap();
    assert_eq!(schema.parse::<serde_json::Value>().unwrap()["types"][0]["name"], "Aliased");
}

#[test]
fn a_name_with_a_zero_byte_is_refused_in_words() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Zero {
        #[serde(rename = "\u{0}2\u{0}clubs")]
        Two,
        Other(u8),
    }
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Fields {
        #[serde(rename = "a\0b")]
        field: u8,
    }
    let refused = |why: Result<(), checkpointed::Error>| {
        let why = why.unwrap_err().to_string();
        assert!(why.contains("zero byte") && why.contains("rename"), "{why}");
    };
    let directory = tempfile::tempdir().unwrap();
    refused(Checkpointer::<Plain<Zero>>::open(directory.path()).map(drop));
    refused(Checkpointer::<Plain<Vec<Fields>>>::open(directory.path()).map(drop));
    #[checkpointed]
    struct Marked {
        #[serde(rename = "\0")]
        field: u8,
    }
    refused(Checkpointer::<Marked>::open(directory.path()).map(drop));
}
