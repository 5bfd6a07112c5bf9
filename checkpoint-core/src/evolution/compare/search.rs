//! Finds the places of a state that could be saved but not loaded, or not into another type.

use std::collections::HashSet;

use super::{dotted, step_into};
use crate::base::limits::{DIFFERENCES, TYPE_DEPTH};
use crate::schema::{Body, Definition, Fields, Schema, Type, hidden};

/// The places of a schema that could be written but not read, each with the reason.
pub(crate) fn unsupported(schema: &Schema) -> Vec<(String, String)> {
    search(schema, |ty| match ty {
        Type::Unsupported(why) => Some(why),
        _ => None,
    })
}

/// The places of a schema with an unknown form, each with its type.
pub(crate) fn opaque(schema: &Schema) -> Vec<(String, String)> {
    search(schema, |ty| match ty {
        Type::Opaque(name) => Some(name),
        _ => None,
    })
}

fn search(schema: &Schema, wanted: fn(&Type) -> Option<&str>) -> Vec<(String, String)> {
    let mut search = Search { schema, wanted, path: String::new(), seen: HashSet::new(), found: Vec::new() };
    search.ty(&schema.root, 0);
    search.found
}

struct Search<'a> {
    schema: &'a Schema,
    wanted: fn(&Type) -> Option<&str>,
    path: String,
    seen: HashSet<usize>,
    found: Vec<(String, String)>,
}

impl<'a> Search<'a> {
    fn ty(&mut self, ty: &'a Type, depth: usize) {
        if depth > TYPE_DEPTH || self.found.len() > DIFFERENCES {
            return;
        }
        if let Some(found) = (self.wanted)(ty) {
            let path = if self.path.is_empty() { "the state" } else { &self.path };
            self.found.push((path.to_owned(), found.to_owned()));
        }
        let next = depth + 1;
        match ty {
            Type::Option(inner) => self.ty(inner, next),
            Type::Seq(element) | Type::Array(element, _) => self.within("[]", element, next),
            Type::Grid(grid) => self.within(&"[]".repeat(grid.depth()), &grid.element, next),
            Type::Map(key, value) => {
                self.within("[key]", key, next);
                self.within("[]", value, next);
            }
            Type::Tuple(members) => self.members(members, next),
            Type::Named(place) if self.seen.insert(*place) => match self.schema.types.get(*place) {
                Some(Definition { body: Body::Struct(fields), .. }) => self.fields(fields, next),
                Some(Definition { body: Body::Enum(variants), .. }) => {
                    for variant in variants {
                        let length = self.path.len();
                        self.path.push_str("::");
                        self.path.push_str(hidden::label(&variant.name));
                        self.fields(&variant.fields, next);
                        self.path.truncate(length);
                    }
                }
                None => {}
            },
            _ => {}
        }
    }

    fn fields(&mut self, fields: &'a Fields, depth: usize) {
        match fields {
            Fields::Unit => {}
            Fields::Newtype(inner) => self.ty(inner, depth),
            Fields::Tuple(members) => self.members(members, depth),
            Fields::Named(fields) => {
                fields.iter().for_each(|field| self.within(&dotted(&field.name), &field.ty, depth));
            }
        }
    }

    fn members(&mut self, members: &'a [Type], depth: usize) {
        for (number, member) in members.iter().enumerate() {
            self.within(&format!(".{number}"), member, depth);
        }
    }

    fn within(&mut self, step: &str, ty: &'a Type, depth: usize) {
        let length = self.path.len();
        step_into(&mut self.path, step);
        self.ty(ty, depth);
        self.path.truncate(length);
    }
}
