//! Types in words.

use super::Comparison;
use super::form::Form;
use crate::base::limits::TYPE_DEPTH;
use crate::base::text::{listed, shortened};
use crate::schema::{Fields, Type, hidden};

impl<'a> Comparison<'a> {
    pub(super) fn describe(&self, checkpoint: bool, ty: &Type) -> String {
        let schema = if checkpoint { self.checkpoint } else { self.program };
        shortened(&schema.describe(ty)).into_owned()
    }

    pub(super) fn describe_form(&self, checkpoint: bool, ty: &'a Type) -> String {
        let schema = if checkpoint { self.checkpoint } else { self.program };
        let name = self.describe(checkpoint, ty);
        let form = match Form::of(schema, ty).form {
            Form::Variants(_) => "an enum",
            Form::Fields(_) => "a struct with named fields",
            Form::Members(_) | Form::Repeated(..) => "a tuple",
            Form::Option(_) => "an option",
            Form::Seq(_) => "a sequence",
            Form::Grid(_) => "fixed arrays in one sequence",
            Form::Map(..) => "a map",
            Form::Leaf(Type::Unsupported(_)) => return name,
            Form::Leaf(leaf) => return format!("{name} ({})", self.describe(checkpoint, leaf)),
            Form::Float16(_) => "a float of 16 bits",
            Form::Observed(..) => "as it was written",
            Form::Endless => "endless",
        };
        format!("{name} ({form})")
    }

    pub(super) fn describe_fields(&self, checkpoint: bool, fields: &Fields) -> String {
        let list = |types: &mut dyn Iterator<Item = &Type>| {
            // The rest of a long list is not read.
            types.take(TYPE_DEPTH).map(|ty| self.describe(checkpoint, ty)).collect::<Vec<_>>().join(", ")
        };
        let words = match fields {
            Fields::Unit => "no fields".to_owned(),
            Fields::Newtype(inner) => self.describe(checkpoint, inner),
            Fields::Tuple(members) => format!("({})", list(&mut members.iter())),
            Fields::Named(fields) => {
                let names: Vec<&str> = fields.iter().map(|field| hidden::label(&field.name)).collect();
                format!("fields {}", listed(&names))
            }
        };
        shortened(&words).into_owned()
    }
}
