//! Checkpoint files that no program writes: damaged ones, and forged ones that agree with
//! themselves. Bytes select the change to a file, so that a fuzzer can choose it, and a random
//! number generator too.

use serde_json::Value;

use super::forge;

/// Bytes that select the work. After their end, each choice is the first possibility.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices(bytes)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn long(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number below another.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let number =
            usize::from(self.byte()) | usize::from(self.byte()) << 8 | usize::from(self.byte()) << 16;
        number % limit.max(1)
    }

    /// A number, which is an extreme one more often than not.
    pub(crate) fn number(&mut self) -> u64 {
        const EDGES: [u64; 20] = [
            0,
            1,
            2,
            7,
            8,
            127,
            255,
            256,
            1 << 16,
            1 << 24,
            u32::MAX as u64,
            1 << 32,
            1 << 40,
            1 << 46,
            1 << 60,
            i64::MAX as u64,
            1 << 63,
            u64::MAX - 2,
            u64::MAX - 1,
            u64::MAX,
        ];
        match usize::from(self.byte()) {
            edge if edge < 200 => EDGES[edge % EDGES.len()],
            _ => self.long(),
        }
    }
}

/// Eight times this number of random bytes, the same in every run. Source: Vigna, "splitmix64",
/// <https://prng.di.unimi.it/splitmix64.c>.
pub(crate) fn random(seed: u64, count: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..count).flat_map(|_| next().to_le_bytes()).collect()
}

/// Damages a file, without making a checksum right again.
pub(crate) fn damage(file: &mut Vec<u8>, choices: &mut Choices<'_>) {
    let place = choices.below(file.len());
    match choices.byte() % 7 {
        0 => file[place] ^= 1 << (choices.byte() % 8),
        1 => file[place] = choices.byte(),
        2 => file.truncate(place),
        3 => {
            let length = choices.below(600);
            let byte = choices.byte();
            file.splice(place..place, std::iter::repeat_n(byte, length));
        }
        4 => {
            let end = (place + choices.below(2000)).min(file.len());
            file.drain(place..end);
        }
        5 => {
            let other = choices.below(file.len()) / 512 * 512;
            let place = place / 512 * 512;
            for offset in 0..512 {
                if place.max(other) + offset < file.len() {
                    file.swap(place + offset, other + offset);
                }
            }
        }
        _ => {
            let number = choices.number().to_le_bytes();
            let end = (place + 1 + choices.below(8)).min(file.len());
            let length = end - place;
            file[place..end].copy_from_slice(&number[..length]);
        }
    }
}

/// The parts of a file to forge.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Target {
    Manifest,
    /// The schema in the manifest.
    Schema,
    State,
    /// The beginnings of arrays.
    Headers,
    /// Any of them.
    Everything,
}

/// Changes the content of a file, and makes every checksum right again.
pub(crate) fn forge(file: &mut Vec<u8>, target: Target, choices: &mut Choices<'_>) {
    let target = match (target, choices.byte() % 4) {
        (Target::Everything, 0) => Target::Manifest,
        (Target::Everything, 1) => Target::Schema,
        (Target::Everything, 2) => Target::State,
        (Target::Everything, _) => Target::Headers,
        (target, _) => target,
    };
    match target {
        Target::Manifest => forge_manifest(file, "", choices),
        Target::Schema => forge_manifest(file, "/schema", choices),
        Target::State => {
            let state = forge::entries(file).into_iter().rev().nth(1).unwrap().data;
            forge_bytes(file, state, choices);
        }
        _ => {
            let arrays = forge::entries(file);
            let Some(arrays) = arrays.get(..arrays.len() - 2).filter(|arrays| !arrays.is_empty()) else {
                return;
            };
            let array = arrays[choices.below(arrays.len())].data.clone();
            let header = array.start..array.end.min(array.start + 256);
            forge_bytes(file, header, choices);
        }
    }
    *file = forge::rewritten(file);
}

fn forge_bytes(file: &mut [u8], within: std::ops::Range<usize>, choices: &mut Choices<'_>) {
    let length = within.len();
    let place = within.start + choices.below(length);
    match choices.byte() % 4 {
        0 => file[place] ^= 1 << (choices.byte() % 8),
        1 => file[place] = choices.byte(),
        2 => {
            let number = choices.number().to_le_bytes();
            let end = within.end.min(place + 8);
            file[place..end].copy_from_slice(&number[..end - place]);
        }
        _ => {
            let from = within.start + choices.below(length);
            let count = choices.below(32).min(within.end - place).min(within.end - from);
            file.copy_within(from..from + count, place);
        }
    }
}

fn forge_manifest(file: &mut Vec<u8>, within: &str, choices: &mut Choices<'_>) {
    let manifest = forge::manifest(file).to_owned();
    let Ok(mut value) = serde_json::from_str::<Value>(&manifest) else { return };
    let Some(root) = value.pointer_mut(within) else { return };
    let count = count(root);
    let (place, copied) = (choices.below(count), choices.below(count));
    let copy = nth(root, &mut { copied }).cloned().unwrap_or_default();
    let Some(node) = nth(root, &mut { place }) else { return };
    match choices.byte() % 8 {
        0 => *node = Value::from(choices.number()),
        1 => *node = copy,
        2 => *node = Value::String(word(choices)),
        3 => *node = Value::Null,
        4 => match node {
            Value::Array(members) if !members.is_empty() => {
                drop(members.remove(choices.below(members.len())))
            }
            Value::Object(members) if !members.is_empty() => {
                let name = members.keys().nth(choices.below(members.len())).cloned();
                members.remove(&name.unwrap_or_default());
            }
            node => *node = Value::from(-1),
        },
        5 => match node {
            Value::Array(members) => {
                let times = 1 + choices.below(300);
                members.extend(std::iter::repeat_n(copy, times));
            }
            node => *node = Value::from(1.5e300),
        },
        6 => {
            let depth = [1, 2, 50, 120, 140, 1000][choices.below(6)];
            let kind = ["option", "seq", "newtype", "array", "tuple"][choices.below(5)];
            for _ in 0..depth {
                let inner = std::mem::take(node);
                *node = match kind {
                    "array" => serde_json::json!({ "array": [inner, choices.number()] }),
                    "tuple" => serde_json::json!({ "tuple": [inner] }),
                    kind => Value::Object([(kind.to_owned(), inner)].into_iter().collect()),
                };
            }
        }
        _ => *node = serde_json::json!({ "named": choices.below(9) }),
    }
    let text = value.to_string();
    if text.len() < 1 << 20 {
        *file = forge::with_manifest(file, &text);
    }
}

/// A word that may or may not be in a manifest.
fn word(choices: &mut Choices<'_>) -> String {
    const WORDS: [&str; 16] = [
        "unit",
        "bool",
        "u8",
        "u16",
        "u64",
        "u128",
        "f32",
        "f64",
        "string",
        "bytes",
        "char",
        "",
        "state.bincode",
        "../../x.npy",
        "\u{1b}[31m",
        "é",
    ];
    match choices.below(18) {
        17 => "x".repeat(choices.below(200_000)),
        16 => format!("{:08x}", choices.long()),
        place => WORDS[place].to_owned(),
    }
}

/// The number of values in a value, including itself.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(members) => members.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// The value of that number among them.
fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(members) => members.iter_mut().find_map(|member| nth(member, left)),
        Value::Object(members) => members.values_mut().find_map(|member| nth(member, left)),
        _ => None,
    }
}
