//! Refuses everything that cannot be stored, with the reason and a way out.
//!
//! bincode writes values one after the other, without names or types. So the type alone must
//! determine the number and the order of the values, and the written values must be those that will
//! be read.

use std::collections::HashMap;

use quote::ToTokens as _;
use syn::visit::{self, Visit};
use syn::{Ident, LitInt, LitStr, Type, TypeReference};

use crate::ast::{Body, Field, Input, Style, Variant, differs};
use crate::attr::{self, Errors, Serde};
use crate::was;

/// The advice for types that need a self-describing format.
const SELF_DESCRIBING: &str = "or take #[checkpointed] off this type, derive serde's traits instead, and put \
    #[serde(with = \"checkpointed::self_describing\")] on the fields that hold it";
const OWN: &str = "use String, Vec<T>, Box<T>, Arc<T> or Cow<'static, T> instead of references";
const BORROWED: &str = "or save by reference: on a struct of references alone, #[checkpointed(owned = \"…\")] makes the state that \
    owns its parts";
const SAME_TYPE: &str = "a checkpoint is read as the type that it was written as";

/// Refuses all faults of the item.
pub(crate) fn check(input: &Input, errors: &mut Errors) {
    check_union(input, errors);
    check_lifetimes(input, errors);
    check_conversion(input, errors);
    check_representation(input, errors);
    check_purpose(input, errors);
    check_migrations(input, errors);
    was::check(input, errors);
    check_attributes(&input.serde, errors);
    for variant in input.variants() {
        check_attributes(&variant.serde, errors);
        check_variant(variant, errors);
    }
    check_skipped_variants(input, errors);
    check_skipped_newtype(input, errors);
    check_names(input, errors);
    check_misplaced(input, errors);
    for (variant, field) in input.stored_fields() {
        // The author's functions that store a variant decide about its fields.
        if variant.is_none_or(|variant| variant.serde.reads_with().is_none()) {
            check_attributes(&field.serde, errors);
            check_field(field, errors);
            check_references(field, errors);
        }
    }
}

// serde has no derive for unions either: no code can know the active field.
fn check_union(input: &Input, errors: &mut Errors) {
    if let (Body::Union, syn::Data::Union(data)) = (&input.body, &input.original.data) {
        let why = "a union does not say which of its fields it holds, so it cannot be stored";
        errors.refuse(data.union_token, why, &["use an enum"]);
    }
}

// A loaded value lives as long as the program wants; there is nothing to borrow from.
fn check_lifetimes(input: &Input, errors: &mut Errors) {
    for parameter in input.original.generics.lifetimes() {
        let (ident, lifetime) = (&input.original.ident, &parameter.lifetime);
        let why = format!("a checkpoint must own its data, and `{ident}` borrows for `{lifetime}`");
        errors.refuse(lifetime, why, &[OWN, BORROWED]);
    }
}

// `into` decides the written form, `from` the form that is read. Only if both are the same type
// does the reading match the writing.
fn check_conversion(input: &Input, errors: &mut Errors) {
    let serde = &input.serde;
    let into = serde.get(attr::INTO);
    let from = serde.get(attr::FROM).or_else(|| serde.get(attr::TRY_FROM));
    let ty = |name| Some(serde.text(name)?.parse::<Type>().ok()?.to_token_stream().to_string());
    match (into, from) {
        (Some(part), None) => {
            let why = format!("{SAME_TYPE}, and `into` only says how it is written");
            errors.refuse(part, why, &["add `from` or `try_from` with the same type"]);
        }
        (None, Some(part)) => {
            let why = format!("{SAME_TYPE}, and `from` or `try_from` only says how it is read");
            errors.refuse(part, why, &["add `into` with the same type"]);
        }
        (Some(part), Some(_)) if ty(attr::INTO) != ty(attr::FROM).or_else(|| ty(attr::TRY_FROM)) => {
            let why = format!("{SAME_TYPE}, and these are two");
            errors.refuse(part, why, &["give `into` the same type as `from` or `try_from`"]);
        }
        _ => {}
    }
}

// Other representations of enums need a format that can look ahead, and a tag on a struct is
// written but not read.
fn check_representation(input: &Input, errors: &mut Errors) {
    if input.conversion().is_some() {
        return;
    }
    let containers = std::iter::once(&input.serde);
    let variants = input.variants().iter().map(|variant| &variant.serde);
    for part in containers.chain(variants).filter_map(|serde| serde.get(attr::UNTAGGED)) {
        errors.refuse(
            part,
            "with `untagged`, serde guesses the variant from the data, and a checkpoint does not describe its data",
            &["drop it: the variant is then stored too", SELF_DESCRIBING],
        );
    }
    // `content` is the second half of `tag`, and would give the same error again.
    if let Some(part) = input.serde.get(attr::TAG).or_else(|| input.serde.get(attr::CONTENT)) {
        errors.refuse(
            part,
            "with `tag`, serde looks for the type among the fields by name, and a checkpoint stores values without names",
            &["drop it: an enum stores its variant anyway", SELF_DESCRIBING],
        );
    }
}

// These types describe other types, so they have no state to save.
fn check_purpose(input: &Input, errors: &mut Errors) {
    if let Some(part) = input.serde.get(attr::REMOTE) {
        let why =
            "with `remote`, serde makes functions for another type, and this one cannot be stored itself";
        let name = input.original.ident.to_string();
        let use_it = format!(
            "take #[checkpointed] off, derive serde's traits instead, and put #[serde(with = {name:?})] on a field of \
             the other type"
        );
        errors.refuse(part, why, &[&use_it]);
    }
    for name in [attr::FIELD_IDENTIFIER, attr::VARIANT_IDENTIFIER] {
        if let Some(part) = input.serde.get(name) {
            let why = format!("with `{name}`, a type can be read but not written, so it cannot be stored");
            errors.refuse(part, why, &["drop it"]);
        }
    }
}

// Each migration leads from one older version to this one. A value that is read through another
// type never reaches the type with the migrations.
fn check_migrations(input: &Input, errors: &mut Errors) {
    let number = |version: &LitInt| version.base10_parse::<u32>().unwrap_or_default();
    let own = input.settings.version.as_ref().map_or(1, number);
    let mut known = Vec::new();
    for migration in &input.settings.migrations {
        let from = number(&migration.from);
        if from >= own {
            let why = format!("a migration is from an older version, and this type has version {own}");
            let raise = format!("raise the version: `version = {}`", from.saturating_add(1));
            errors.refuse(&migration.from, why, &[&raise]);
        } else if known.contains(&from) {
            errors.refuse(&migration.from, format!("there is a migration from version {from} already"), &[]);
        }
        known.push(from);
    }
    if let (Some(migration), Some(part)) = (
        input.settings.migrations.first(),
        input.serde.get(attr::INTO).or_else(|| input.serde.get(attr::TRANSPARENT)),
    ) {
        let attribute = part.path.to_token_stream();
        let why = format!(
            "with `{attribute}`, a value is read as one of another type, which would not be migrated"
        );
        errors.refuse(&migration.with, why, &["put the version and its migrations on the other type"]);
    }
}

// Rules for an attribute in any place.
fn check_attributes(serde: &Serde, errors: &mut Errors) {
    for part in serde.parts() {
        // A later serde may have more arguments, and their effect on the written form cannot be
        // known here.
        if !attr::KNOWN_TO_SERDE.iter().any(|name| part.path.is_ident(name)) {
            let why = "#[checkpointed] does not know this attribute of serde, so it cannot tell what would be stored";
            errors.refuse(part, why, &[]);
        }
    }
    // The schema has one name for each field. With two, the written value would not be found again.
    for name in [attr::RENAME, attr::RENAME_ALL, attr::RENAME_ALL_FIELDS] {
        if let Some(part) = serde.get(name)
            && differs(part)
        {
            let why = "a checkpoint is read under the name that it was written with, and these are two";
            let one = format!("give one name for both: `{name} = \"…\"`");
            errors.refuse(part, why, &[&one, "other names that are to be read: `alias = \"…\"`"]);
        }
    }
    check_half_skipped(serde, errors);
    check_functions(serde, errors);
    if let Some(part) = serde.get(attr::BORROW) {
        errors.refuse(part, "a checkpoint must own its data, and `borrow` does not", &["drop it", OWN]);
    }
}

// A value that is only written, or only read, shifts everything after it.
fn check_half_skipped(serde: &Serde, errors: &mut Errors) {
    let skips = (serde.get(attr::SKIP_SERIALIZING), serde.get(attr::SKIP_DESERIALIZING));
    let (part, done, not_done) = match skips {
        (Some(part), None) => (part, "read", "written"),
        (None, Some(part)) => (part, "written", "read"),
        // Together the two mean `skip`, and the rest of the macro only understands that one word.
        (Some(part), Some(_)) => return errors.refuse(part, "these two are one", &["write #[serde(skip)]"]),
        (None, None) => return,
    };
    let why = format!(
        "this would be {done} but not {not_done}, and everything after it in the checkpoint would move"
    );
    errors.refuse(part, why, &["leave it out of both: #[serde(skip)]"]);
}

// The macro cannot see the form that a function writes. The other function is only likely to read
// the same form if the author gave both.
fn check_functions(serde: &Serde, errors: &mut Errors) {
    let (part, why, missing) = match (serde.get(attr::SERIALIZE_WITH), serde.get(attr::DESERIALIZE_WITH)) {
        (Some(part), None) => (
            part,
            "the type's own `Deserialize` may not read what this function writes",
            attr::DESERIALIZE_WITH,
        ),
        (None, Some(part)) => {
            (part, "this function may not read what the type's own `Serialize` writes", attr::SERIALIZE_WITH)
        }
        _ => return,
    };
    let add = format!("add `{missing}`, or name a module that has both functions: #[serde(with = \"…\")]");
    errors.refuse(part, why, &[&add]);
}

// When serde reads JSON, it ignores unknown values; bincode must know the type of each value.
fn check_variant(variant: &Variant, errors: &mut Errors) {
    if let Some(part) = variant.serde.get(attr::OTHER) {
        errors.refuse(
            part,
            "`other` is read in place of unknown variants, and a checkpoint does not say where those end",
            &["drop it: a checkpoint with other variants is refused as a whole, by its schema"],
        );
    }
}

fn check_field(field: &Field, errors: &mut Errors) {
    if let Some(part) = field.serde.get(attr::FLATTEN) {
        errors.refuse(
            part,
            "with `flatten`, serde looks for the fields by name, and a checkpoint stores values without names",
            &["drop it: the field is then stored as a value of its own", SELF_DESCRIBING],
        );
    }
    if let Some(part) = field.serde.get(attr::SKIP_SERIALIZING_IF) {
        errors.refuse(
            part,
            "a checkpoint stores values without names, so leaving one out would move everything after it",
            &["drop it: `None` takes one byte, an empty `Vec` eight", SELF_DESCRIBING],
        );
    }
    if let Some(part) = field.serde.get(attr::GETTER) {
        errors.refuse(
            part,
            "`getter` belongs to `remote`, which is for another type than this",
            &["drop it"],
        );
    }
}

// `&'static str` compiles with serde, but only ever reads from data that is itself 'static.
fn check_references(field: &Field, errors: &mut Errors) {
    struct References<'a>(&'a mut Errors);

    impl<'ast> Visit<'ast> for References<'_> {
        fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
            let ways_out = [OWN, "or leave the field out: #[serde(skip)]"];
            self.0.refuse(reference, "a checkpoint must own its data, and this is a reference", &ways_out);
        }

        // A function pointer holds no reference, whatever its arguments.
        fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}

        // A marker holds none either.
        fn visit_path(&mut self, path: &'ast syn::Path) {
            if path.segments.last().is_none_or(|segment| segment.ident != "PhantomData") {
                visit::visit_path(self, path);
            }
        }
    }

    if field.serde.reads_with().is_none() {
        References(errors).visit_type(&field.original.ty);
    }
}

// serde numbers all variants when it writes, but only those that are not skipped when it reads.
// After a skipped variant the numbers differ, and one variant would be read as the next.
fn check_skipped_variants(input: &Input, errors: &mut Errors) {
    if input.conversion().is_some() {
        return;
    }
    let variants = input.variants();
    let last_stored = variants.iter().rposition(|variant| !variant.is_skipped()).unwrap_or(0);
    for variant in variants.iter().take(last_stored) {
        if let Some(part) = variant.serde.get(attr::SKIP) {
            errors.refuse(
                part,
                format!(
                    "serde counts a skipped variant when it writes but not when it reads, so each variant after `{}` \
                     would be read as the next one",
                    variant.original.ident
                ),
                &["move it to the end of the enum"],
            );
        }
    }
}

// serde ignores `#[serde(skip)]` on the only field of `struct Wrapper(#[serde(skip)] T)`, and
// writes and reads it.
fn check_skipped_newtype(input: &Input, errors: &mut Errors) {
    if let Body::Struct(fields) = &input.body
        && input.conversion().is_none()
        && fields.style == Style::Newtype
        && let Some(part) = fields.all.iter().find_map(|field| field.serde.get(attr::SKIP))
    {
        let why = "serde stores the only field of a tuple struct even if it is skipped";
        errors.refuse(part, why, &["give the field a name: then it is left out"]);
    }
}

// serde gives a value to the first member that has its name or has it as an alias.
fn check_names(input: &Input, errors: &mut Errors) {
    if input.conversion().is_some() {
        return;
    }
    let variants = || input.variants().iter().filter(|variant| !variant.is_skipped());
    check_unique(variants().map(|variant| (&variant.original.ident, &variant.name, &variant.serde)), errors);
    let own = match &input.body {
        Body::Struct(fields) => Some(fields),
        Body::Enum(_) | Body::Union => None,
    };
    let of_variants = variants().filter(|variant| variant.serde.reads_with().is_none());
    for fields in own.into_iter().chain(of_variants.map(|variant| &variant.fields)) {
        if fields.style == Style::Named {
            let named = fields.stored();
            let named =
                named.filter_map(|field| Some((field.original.ident.as_ref()?, &field.name, &field.serde)));
            check_unique(named, errors);
        }
    }
}

fn check_unique<'i>(members: impl Iterator<Item = (&'i Ident, &'i LitStr, &'i Serde)>, errors: &mut Errors) {
    let mut owners: HashMap<String, &Ident> = HashMap::new();
    for (member, own, serde) in members {
        for name in std::iter::once(own).chain(serde.aliases()) {
            let owner = *owners.entry(name.value()).or_insert(member);
            if owner != member {
                let text = name.value();
                let why = format!(
                    "`{text}` is a name of `{owner}` too, and a value of this name would be read as that of `{owner}`"
                );
                errors.refuse(name, why, &["give each of the two names of its own"]);
            }
        }
    }
}

// The form of a field that is not stored by itself would have no effect.
fn check_misplaced(input: &Input, errors: &mut Errors) {
    let own = match &input.body {
        Body::Struct(fields) => fields.all.as_slice(),
        Body::Enum(_) | Body::Union => &[],
    };
    let is_converted = input.conversion().is_some();
    let is_whole = |variant: &Variant| variant.is_skipped() || variant.serde.reads_with().is_some();
    let of_variants = input.variants().iter().flat_map(|variant| {
        let is_whole = is_whole(variant);
        variant.fields.all.iter().map(move |field| (is_whole, field))
    });
    for (is_within, field) in own.iter().map(|field| (false, field)).chain(of_variants) {
        if let Some(form) = &field.settings.form
            && (is_converted || is_within || field.is_skipped())
        {
            errors.refuse(
                form,
                "this field is not stored by itself, so its form has no effect",
                &["drop it"],
            );
        }
        if let Some(name) = field.settings.was_types.first()
            && (is_converted || is_within || field.is_skipped())
        {
            let why = "this field is not stored by itself, so a former name of its type has no effect";
            errors.refuse(name, why, &["drop it"]);
        }
    }
    for variant in input.variants() {
        if let Some(form) = &variant.settings.form
            && (is_converted || variant.is_skipped() || variant.serde.reads_with().is_none())
        {
            let why = "a variant stores its fields one by one, unless it has functions of yours";
            errors.refuse(form, why, &["put `as` on the field that it is meant for"]);
        }
        if let Some(name) = variant.settings.was_types.first()
            && (is_converted || variant.is_skipped() || variant.serde.reads_with().is_none())
        {
            let why = "a variant is no type, and its former name is an alias";
            let alias = format!("#[serde(alias = {:?})]", name.value());
            errors.refuse(name, why, &[&alias, "or put `was_type` on the field that it is meant for"]);
        }
    }
}
