//! Checkpoints with correct checksums and almost the right form. The schema is that of a real type,
//! changed as programs change or as attackers would change it. The state fits that schema, or is
//! broken.

use std::sync::LazyLock;

use checkpointed::__private::{Numbers, SCALARS};
use checkpointed::schema::{Body, Definition, Field, Fields, Grid, Schema, Type, Variant};

use super::forge;
use super::mutation::Choices;
use super::subjects::{Subject, subjects};

static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(subjects);

/// The greatest depth of generated types, if their own form does not need more.
const DEEPEST: u32 = 24;

/// The outcome for an input, for the final sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tried {
    pub(crate) is_a_file: bool,
    /// The number of types that loaded it.
    pub(crate) loads: usize,
}

/// Makes one checkpoint from the bytes, and reads it: as the type itself, as its neighbours, and as
/// another type.
pub(crate) fn tried(data: &[u8]) -> Tried {
    let mut choices = Choices::new(data);
    let subjects = &*SUBJECTS;
    let number = choices.below(subjects.len());
    let subject = &subjects[number];
    let mut schema = subject.schema.clone();
    // Half of the states are of the exact type.
    let changes = [0, 0, 0, 0, 1, 1, 2, 3][usize::from(choices.byte() % 8)];
    for _ in 0..changes {
        change(&mut schema, &mut choices);
    }
    let is_broken = choices.byte().is_multiple_of(4);
    let other = choices.below(subjects.len());
    let mut made = Made { schema: &schema, choices, state: Vec::new(), arrays: Vec::new(), room: 4000 };
    let root = schema.root.clone();
    if made.value(&root, 0).is_none() {
        return Tried::default();
    }
    let Made { mut choices, mut state, arrays, .. } = made;
    if is_broken {
        break_bytes(&mut state, &mut choices);
    }
    let Some(mut file) = subject.forged(schema.clone(), &arrays, &state) else { return Tried::default() };
    if is_broken && !arrays.is_empty() && choices.byte().is_multiple_of(2) {
        let entries = forge::entries(&file);
        let array = entries[choices.below(entries.len() - 2)].data.clone();
        break_bytes(&mut file[array], &mut choices);
        file = forge::rewritten(&file);
    }
    let outcome = subject.read(&file);
    if changes == 0 && !is_broken && subject.takes_all {
        assert!(outcome.is_ok(), "a state of {} does not load: {}", subject.name, outcome.unwrap_err());
    }
    let count = subjects.len();
    let others = [(number + 1) % count, (number + count - 1) % count, other];
    let loads = others.iter().filter(|other| subjects[**other].read(&file).is_ok()).count();
    Tried { is_a_file: true, loads: usize::from(outcome.is_ok()) + loads }
}

/// Changes some bytes, and perhaps their number; the number of bytes in a slice stays.
fn break_bytes<B: Bytes + ?Sized>(bytes: &mut B, choices: &mut Choices<'_>) {
    for _ in 0..=choices.byte() % 3 {
        let length = bytes.bytes().len();
        if length == 0 {
            return bytes.resize(1);
        }
        let place = choices.below(length);
        match choices.byte() % 6 {
            0 => bytes.bytes()[place] ^= 1 << (choices.byte() % 8),
            1 => bytes.bytes()[place] = choices.byte(),
            2 => {
                let number = choices.number().to_le_bytes();
                let end = length.min(place + 8);
                bytes.bytes()[place..end].copy_from_slice(&number[..end - place]);
            }
            3 => bytes.resize(place),
            4 => bytes.resize(length + 1 + choices.below(20)),
            _ => {
                let from = choices.below(length);
                let count = choices.below(16).min(length - place).min(length - from);
                bytes.bytes().copy_within(from..from + count, place);
            }
        }
    }
}

trait Bytes {
    fn bytes(&mut self) -> &mut [u8];
    fn resize(&mut self, length: usize);
}

impl Bytes for Vec<u8> {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }

    fn resize(&mut self, length: usize) {
        Vec::resize(self, length, 0);
    }
}

impl Bytes for [u8] {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }

    fn resize(&mut self, _: usize) {}
}

/// Changes a schema in one place: as in a later program, or as only an attacker would.
fn change(schema: &mut Schema, choices: &mut Choices<'_>) {
    let definitions = schema.types.len();
    if definitions > 0 && choices.byte().is_multiple_of(2) {
        let place = choices.below(definitions);
        return change_definition(&mut schema.types[place], choices);
    }
    let count = count(schema);
    let (place, other) = (choices.below(count), choices.below(count));
    let (ty, copy) = (get(schema, place), get(schema, other));
    let boxed = |ty: Type| Box::new(ty);
    let changed = match choices.byte() % 12 {
        0 | 1 => scalar(choices),
        2 => Type::Option(boxed(ty)),
        3 => Type::Seq(boxed(ty)),
        4 => Type::Tuple(vec![ty, copy]),
        5 => Type::Array(boxed(ty), choices.number() % 5),
        6 => Type::Map(boxed(scalar(choices)), boxed(ty)),
        // The type may then be recursive.
        7 if definitions > 0 => Type::Named(choices.below(definitions)),
        8 => {
            let body = Body::Struct(Fields::Newtype(ty));
            schema.types.push(Definition {
                name: word(choices),
                version: 1,
                foreign: false,
                observed: false,
                body,
            });
            Type::Named(definitions)
        }
        9 => {
            let lengths = (0..choices.byte() % 3).map(|_| choices.number() % 5).collect();
            Type::Grid(Grid { element: boxed(ty), lengths, is_vec: choices.byte().is_multiple_of(2) })
        }
        10 => match ty {
            Type::Grid(grid) => Type::Seq(grid.element),
            Type::Option(inner) | Type::Seq(inner) | Type::Array(inner, _) => *inner,
            Type::Map(_, value) => Type::Seq(value),
            Type::Tuple(mut members) if !members.is_empty() => {
                members.swap_remove(choices.below(members.len()))
            }
            other => other,
        },
        _ => copy,
    };
    with(schema, place, |ty| *ty = changed);
}

fn change_definition(definition: &mut Definition, choices: &mut Choices<'_>) {
    match choices.byte() % 8 {
        0 => definition.name = word(choices),
        1 => definition.version = u32::from(choices.byte() % 4),
        2 => definition.foreign = !definition.foreign,
        3 => definition.observed = !definition.observed,
        _ => match &mut definition.body {
            Body::Struct(fields) => change_fields(fields, choices),
            Body::Enum(variants) if variants.is_empty() => {
                variants.push(Variant { name: word(choices), fields: Fields::Unit });
            }
            Body::Enum(variants) => {
                let place = choices.below(variants.len());
                match choices.byte() % 5 {
                    0 => variants[place].name = word(choices),
                    1 => variants.swap(0, place),
                    2 => drop(variants.remove(place)),
                    3 => {
                        variants.push(Variant { name: word(choices), fields: variants[place].fields.clone() })
                    }
                    _ => change_fields(&mut variants[place].fields, choices),
                }
            }
        },
    }
}

fn change_fields(fields: &mut Fields, choices: &mut Choices<'_>) {
    let new = |choices: &mut Choices<'_>| Field { name: word(choices), ty: scalar(choices) };
    match fields {
        Fields::Named(fields) if !fields.is_empty() => {
            let place = choices.below(fields.len());
            match choices.byte() % 5 {
                0 => fields[place].name = word(choices),
                1 => fields.swap(0, place),
                2 => drop(fields.remove(place)),
                3 => fields.insert(place, new(choices)),
                _ => fields[place].ty = Type::Option(Box::new(fields[place].ty.clone())),
            }
        }
        Fields::Named(fields) => fields.push(new(choices)),
        Fields::Tuple(types) if !types.is_empty() => match choices.byte() % 3 {
            0 => drop(types.pop()),
            1 => types.push(scalar(choices)),
            _ => {
                let names = (0..types.len()).map(|number| format!("f{number}"));
                let named = names.zip(types.drain(..)).map(|(name, ty)| Field { name, ty });
                *fields = Fields::Named(named.collect());
            }
        },
        Fields::Newtype(ty) => *fields = Fields::Tuple(vec![ty.clone()]),
        fields => *fields = Fields::Newtype(scalar(choices)),
    }
}

/// A word that may or may not be a name in the types.
fn word(choices: &mut Choices<'_>) -> String {
    const WORDS: [&str; 20] = [
        "a",
        "b",
        "c",
        "d",
        "x",
        "y",
        "value",
        "next",
        "inner",
        "step",
        "Generator",
        "Other",
        "Newtype",
        "Feet",
        "Flat",
        "Run",
        "flag",
        "",
        "[[u8; 2]; 3]",
        "é",
    ];
    WORDS[choices.below(WORDS.len())].to_owned()
}

fn scalar(choices: &mut Choices<'_>) -> Type {
    SCALARS[choices.below(SCALARS.len())].clone()
}

/// Passes each type in a type, including itself, to `visit` until that returns true.
fn visit_type(ty: &mut Type, visit: &mut dyn FnMut(&mut Type) -> bool) -> bool {
    visit(ty)
        || match ty {
            Type::Option(inner) | Type::Seq(inner) | Type::Array(inner, _) => visit_type(inner, visit),
            Type::Grid(grid) => visit_type(&mut grid.element, visit),
            Type::Map(key, value) => visit_type(key, visit) || visit_type(value, visit),
            Type::Tuple(members) => members.iter_mut().any(|member| visit_type(member, visit)),
            _ => false,
        }
}

fn visit_fields(fields: &mut Fields, visit: &mut dyn FnMut(&mut Type) -> bool) -> bool {
    match fields {
        Fields::Unit => false,
        Fields::Newtype(ty) => visit_type(ty, visit),
        Fields::Tuple(types) => types.iter_mut().any(|ty| visit_type(ty, visit)),
        Fields::Named(fields) => fields.iter_mut().any(|field| visit_type(&mut field.ty, visit)),
    }
}

fn visit_schema(schema: &mut Schema, visit: &mut dyn FnMut(&mut Type) -> bool) -> bool {
    visit_type(&mut schema.root, visit)
        || schema.types.iter_mut().any(|definition| match &mut definition.body {
            Body::Struct(fields) => visit_fields(fields, visit),
            Body::Enum(variants) => {
                variants.iter_mut().any(|variant| visit_fields(&mut variant.fields, visit))
            }
        })
}

fn count(schema: &mut Schema) -> usize {
    let mut count = 0;
    visit_schema(schema, &mut |_| {
        count += 1;
        false
    });
    count
}

/// The type with that number among all.
fn get(schema: &mut Schema, number: usize) -> Type {
    let mut found = schema.root.clone();
    with(schema, number, |ty| found = ty.clone());
    found
}

fn with(schema: &mut Schema, number: usize, act: impl FnOnce(&mut Type)) {
    let (mut left, mut act) = (number, Some(act));
    visit_schema(schema, &mut |ty| {
        if left > 0 {
            left -= 1;
            return false;
        }
        if let Some(act) = act.take() {
            act(ty);
        }
        true
    });
}

/// A value of a schema under construction.
struct Made<'s, 'c> {
    schema: &'s Schema,
    choices: Choices<'c>,
    state: Vec<u8>,
    arrays: Vec<Numbers>,
    /// The number of values that may still be added.
    room: u32,
}

impl Made<'_, '_> {
    /// Adds a value of this type; `None` if it has none, or if it would be too large.
    fn value(&mut self, ty: &Type, depth: u32) -> Option<()> {
        self.room = self.room.checked_sub(1)?;
        if depth > DEEPEST + 100 {
            return None;
        }
        let next = depth + 1;
        match ty {
            Type::Unit => {}
            Type::Bool => {
                let value = self.choices.byte() % 2;
                self.state.push(value);
            }
            Type::Char => {
                let mut bytes = [0; 4];
                let value = self.character();
                self.state.extend_from_slice(value.encode_utf8(&mut bytes).as_bytes());
            }
            Type::String => {
                let text = self.text();
                self.length(text.len());
                self.state.extend_from_slice(text.as_bytes());
            }
            Type::Bytes => {
                let length = self.choices.below(5);
                self.length(length);
                self.numbers(length);
            }
            Type::Option(inner) => {
                let is_some = depth < DEEPEST && !self.choices.byte().is_multiple_of(3);
                self.state.push(is_some.into());
                if is_some {
                    self.value(inner, next)?;
                }
            }
            Type::Seq(element) => self.sequence(element, None, next)?,
            Type::Grid(Grid { element, lengths, is_vec }) => {
                let row = lengths.iter().product::<u64>().try_into().ok()?;
                self.sequence(element, Some((*is_vec, row)), next)?;
            }
            Type::Map(key, value) => {
                let count = self.count(depth);
                self.length(count);
                for _ in 0..count {
                    self.value(key, next)?;
                    self.value(value, next)?;
                }
            }
            Type::Tuple(members) => members.iter().try_for_each(|member| self.value(member, next))?,
            Type::Array(element, length) => {
                (0..*length).try_for_each(|_| self.value(element, next))?;
            }
            Type::Named(place) => self.defined(self.schema.types.get(*place)?, depth)?,
            Type::Opaque(_) | Type::Unsupported(_) => return None,
            number => {
                let width = match number {
                    Type::U8 | Type::I8 => 1,
                    Type::U16 | Type::I16 => 2,
                    Type::U32 | Type::I32 | Type::F32 => 4,
                    Type::U64 | Type::I64 | Type::F64 => 8,
                    Type::U128 | Type::I128 => 16,
                    _ => return None,
                };
                self.numbers(width);
            }
        }
        Some(())
    }

    fn defined(&mut self, definition: &Definition, depth: u32) -> Option<()> {
        match &definition.body {
            Body::Struct(fields) => self.fields(fields, depth),
            Body::Enum(variants) => {
                let mut number = self.choices.below(variants.len());
                if depth >= DEEPEST {
                    let is_small = |variant: &Variant| matches!(variant.fields, Fields::Unit);
                    let is_scalar = |variant: &Variant| matches!(&variant.fields, Fields::Newtype(ty) if !matches!(ty, Type::Named(_)));
                    number = variants.iter().position(|variant| is_small(variant) || is_scalar(variant))?;
                }
                let variant = variants.get(number)?;
                self.state.extend_from_slice(&u32::try_from(number).ok()?.to_le_bytes());
                self.fields(&variant.fields, depth)
            }
        }
    }

    fn fields(&mut self, fields: &Fields, depth: u32) -> Option<()> {
        let next = depth + 1;
        match fields {
            Fields::Unit => Some(()),
            Fields::Newtype(ty) => self.value(ty, next),
            Fields::Tuple(types) => types.iter().try_for_each(|ty| self.value(ty, next)),
            Fields::Named(fields) => fields.iter().try_for_each(|field| self.value(&field.ty, next)),
        }
    }

    /// Adds elements, or a reference to an array of them. Fixed arrays get whole rows.
    fn sequence(&mut self, element: &Type, row: Option<(bool, usize)>, depth: u32) -> Option<()> {
        let count = match row {
            None => self.count(depth),
            Some((true, row)) => self.choices.below(3) * row,
            Some((false, row)) => row,
        };
        if row.is_none()
            && self.choices.byte().is_multiple_of(2)
            && let Some(numbers) = self.array(element, count)
        {
            for number in [u64::MAX, self.arrays.len() as u64, count as u64] {
                self.state.extend_from_slice(&number.to_le_bytes());
            }
            self.arrays.push(numbers);
            return Some(());
        }
        self.length(count);
        (0..count).try_for_each(|_| self.value(element, depth))
    }

    #[allow(clippy::cast_possible_truncation, reason = "what is cut off makes a number too")]
    fn array(&mut self, element: &Type, count: usize) -> Option<Numbers> {
        let mut number = || self.choices.number();
        macro_rules! of {
            ($kind:ident $ty:ty) => {
                Numbers::$kind((0..count).map(|_| number() as $ty).collect())
            };
        }
        Some(match element {
            Type::Bool => Numbers::Bool((0..count).map(|_| number() % 2 == 1).collect()),
            Type::U8 => of!(U8 u8),
            Type::U16 => of!(U16 u16),
            Type::U32 => of!(U32 u32),
            Type::U64 => of!(U64 u64),
            Type::U128 => of!(U128 u128),
            Type::I8 => of!(I8 i8),
            Type::I16 => of!(I16 i16),
            Type::I32 => of!(I32 i32),
            Type::I64 => of!(I64 i64),
            Type::I128 => of!(I128 i128),
            Type::F32 => Numbers::F32((0..count).map(|_| f32::from_bits(number() as u32)).collect()),
            Type::F64 => Numbers::F64((0..count).map(|_| f64::from_bits(number())).collect()),
            Type::Array(inner, 3) if **inner == Type::F32 => Numbers::Rows(
                (0..count).map(|_| [0; 3].map(|_: u8| f32::from_bits(number() as u32))).collect(),
            ),
            Type::Array(inner, 2) if **inner == Type::I64 => {
                Numbers::Pairs((0..count).map(|_| [0; 2].map(|_: u8| number() as i64)).collect())
            }
            _ => return None,
        })
    }

    fn count(&mut self, depth: u32) -> usize {
        if depth < DEEPEST { [0, 1, 2, 3, 1, 2, 7, 0][usize::from(self.choices.byte() % 8)] } else { 0 }
    }

    fn length(&mut self, length: usize) {
        self.state.extend_from_slice(&(length as u64).to_le_bytes());
    }

    /// Adds this number of bytes of numbers.
    fn numbers(&mut self, width: usize) {
        let low = self.choices.number().to_le_bytes();
        let high = if width > 8 { self.choices.number().to_le_bytes() } else { [0; 8] };
        self.state.extend(low.iter().chain(&high).take(width));
    }

    fn character(&mut self) -> char {
        ['a', '\0', 'é', '✓', '🦀', '\u{d7ff}', '\u{e000}', '\u{10ffff}']
            [usize::from(self.choices.byte() % 8)]
    }

    fn text(&mut self) -> String {
        const WORDS: [&str; 8] = ["", "a", "b/c", "First", "é✓", "1.5", "..", "{\"a\":1}"];
        WORDS[usize::from(self.choices.byte() % 8)].to_owned()
    }
}
