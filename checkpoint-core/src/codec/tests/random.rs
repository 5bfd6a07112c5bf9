//! Values drawn with fixed seeds, beside bincode.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Metres, comes_back};

/// A value of any kind, with others inside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Any {
    Unit,
    Flag(bool),
    Narrow(u8, i16, u32, i64),
    Wide((u128, i128)),
    Floats { one: f32, many: [f64; 3] },
    Letter(char),
    Text(String),
    Length(Metres),
    Maybe(Option<Box<Any>>),
    Pair(Box<(Any, Any)>),
    List(Vec<Any>),
    Numbers(Vec<u16>),
    Table(BTreeMap<String, Any>),
    Record(Box<Record>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    parent: Option<u32>,
    position: [f64; 3],
    weight: f32,
    name: String,
    inside: Vec<Any>,
    last: Any,
}

/// Marsaglia's xorshift.
struct Drawn(u64);

impl Drawn {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    #[allow(clippy::cast_precision_loss, reason = "any number will do")]
    fn float(&mut self) -> f64 {
        self.next() as f64 / 3.0
    }

    #[allow(clippy::cast_possible_truncation, reason = "a few letters")]
    fn text(&mut self) -> String {
        let length = self.below(20);
        (0..length).map(|_| ['a', 'ä', '雪', '\u{10ffff}', '/', '\0'][self.below(6) as usize]).collect()
    }

    fn many(&mut self, depth: u32) -> Vec<Any> {
        let count = self.below(4);
        (0..count).map(|_| self.any(depth)).collect()
    }

    #[allow(clippy::cast_possible_truncation, reason = "any number will do")]
    fn any(&mut self, depth: u32) -> Any {
        // Values with others inside are last.
        let kinds = if depth == 0 { 8 } else { 14 };
        let inside = depth.saturating_sub(1);
        match self.below(kinds) {
            0 => Any::Unit,
            1 => Any::Flag(self.below(2) == 1),
            2 => {
                let number = self.next();
                Any::Narrow(number as u8, number as i16, number as u32, number.cast_signed())
            }
            3 => Any::Wide((u128::from(self.next()) << 70, -i128::from(self.next()))),
            4 => Any::Floats { one: self.float() as f32, many: [self.float(), -0.0, self.float()] },
            5 => Any::Letter(self.text().chars().next().unwrap_or('z')),
            6 => Any::Text(self.text()),
            7 => Any::Length(Metres(self.float())),
            8 => Any::Maybe((self.below(2) == 1).then(|| Box::new(self.any(inside)))),
            9 => Any::Pair(Box::new((self.any(inside), self.any(inside)))),
            10 => Any::List(self.many(inside)),
            11 => Any::Numbers((0..self.below(30)).map(|number| number as u16).collect()),
            12 => Any::Table(self.many(inside).into_iter().map(|any| (self.text(), any)).collect()),
            _ => Any::Record(Box::new(Record {
                id: self.next(),
                parent: (self.below(3) == 0).then_some(7),
                position: [self.float(), self.float(), self.float()],
                weight: self.float() as f32,
                name: self.text(),
                inside: self.many(inside),
                last: self.any(inside),
            })),
        }
    }
}

#[test]
fn drawn_values_are_written_as_by_bincode_and_come_back() {
    let mut drawn = Drawn(0x9e37_79b9_7f4a_7c15);
    let mut longest = 0;
    for _ in 0..200 {
        let values = drawn.many(6);
        longest = longest.max(bincode::serialized_size(&values).unwrap());
        comes_back(values);
    }
    assert!(longest > 300, "the longest of the values has {longest} bytes");
}
