//! Names of fields and of variants, as a schema has them.

use std::collections::HashMap;

use super::Id;
use crate::schema::hidden;

/// The name that a field or a variant must be written with.
#[derive(Debug)]
pub(super) enum Name {
    /// No name.
    Any,
    Exactly(Box<str>),
    /// One of these: aliases hide the name.
    OneOf(Vec<Box<str>>),
    /// One of these, and another variant may have it too.
    Unclear(Vec<Box<str>>),
}

impl Name {
    /// Marks the names of variants that may be those of other variants too.
    pub(super) fn tell_apart(variants: &mut [(Name, Id)]) {
        let mut times: HashMap<Box<str>, u32> = HashMap::new();
        for (name, _) in &*variants {
            match name {
                Name::Exactly(name) => *times.entry(name.clone()).or_default() += 1,
                Name::OneOf(names) => {
                    names.iter().for_each(|name| *times.entry(name.clone()).or_default() += 1)
                }
                Name::Any | Name::Unclear(_) => {}
            }
        }
        for (name, _) in variants {
            if let Name::OneOf(names) = name
                && names.iter().any(|name| times.get(name).is_some_and(|times| *times > 1))
            {
                *name = Name::Unclear(std::mem::take(names));
            }
        }
    }

    /// The name of a field or a variant in a schema. If aliases hide it, it is one of them all.
    pub(super) fn of(name: &str) -> Name {
        if hidden::is_hidden(name) {
            Name::OneOf(hidden::names(name).map(Box::from).collect())
        } else {
            Name::Exactly(name.into())
        }
    }
}
