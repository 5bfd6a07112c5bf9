//! Migrations of single fields: `#[checkpointed(was("velocity", with = speed))]`.
//!
//! For each older version that a field names, this writes the struct as it was then, with the older
//! fields in the place of the newer ones, and a migration from it. The type of an older field is a
//! parameter of that struct, and the compiler infers it from the function.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::{ExprPath, Ident, LitInt, LitStr, Meta, Token};

use crate::ast::{Body, Field, Input, Style};
use crate::attr::{self, Errors, Was, at};

/// The version before that of the type.
fn own_version(input: &Input) -> u32 {
    input.settings.version.as_ref().map_or(1, number)
}

fn number(version: &LitInt) -> u32 {
    version.base10_parse().unwrap_or_default()
}

/// The most versions that one `was` may name: each gets a struct and a migration.
const MOST_VERSIONS: u32 = 100;

/// The last version in which the field was another one, or several.
fn until(input: &Input, was: &Was) -> u32 {
    was.from.as_ref().map_or(own_version(input).saturating_sub(1), |from| number(&from.last))
}

/// The first version in which the former fields have the meaning that the function takes.
fn since(input: &Input, was: &Was) -> u32 {
    was.from.as_ref().and_then(|from| from.first.as_ref()).map_or(until(input, was), number)
}

fn fields<'i, 'a>(input: &'i Input<'a>) -> &'i [Field<'a>] {
    match &input.body {
        Body::Struct(fields) => &fields.all,
        Body::Enum(_) | Body::Union => &[],
    }
}

/// The fields that were others, each with its settings.
fn changed<'i, 'a>(input: &'i Input<'a>) -> impl Iterator<Item = (&'i Field<'a>, &'i Was)> {
    fields(input).iter().filter_map(|field| Some((field, field.settings.was.as_ref()?)))
}

/// The versions with a migration of fields.
fn versions(input: &Input) -> Vec<u32> {
    let all = changed(input).flat_map(|(_, was)| {
        let last = until(input, was);
        // `check` refuses more.
        since(input, was).max(last.saturating_sub(MOST_VERSIONS))..=last
    });
    let mut versions: Vec<u32> = all.collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

/// Refuses what cannot be such a migration.
pub(crate) fn check(input: &Input, errors: &mut Errors) {
    let of_variants = input.variants().iter().flat_map(|variant| &variant.fields.all);
    let misplaced = of_variants.filter_map(|field| field.settings.was.as_ref());
    let of_variants = input.variants().iter().filter_map(|variant| variant.settings.was.as_ref());
    for was in misplaced.chain(of_variants) {
        let ways_out = ["give the whole enum a migration: `migrate(from = …, with = …)`"];
        errors.refuse(&was.with, "`was` goes on a field of a struct with named fields", &ways_out);
    }
    let is_named = matches!(&input.body, Body::Struct(fields) if fields.style == Style::Named);
    let is_whole = input.conversion().is_none() && !input.serde.has(attr::TRANSPARENT);
    let is_generic = !input.original.generics.params.is_empty();
    let own = own_version(input);
    for (field, was) in changed(input) {
        let why = if !is_named {
            "`was` goes on a field of a struct with named fields"
        } else if !is_whole || field.is_skipped() {
            "this field is not stored by itself, so it cannot be made of others"
        } else if is_generic {
            "`was` is not possible in a generic type"
        } else if until(input, was) >= own || until(input, was) == 0 {
            "the field was another one in an older version, and there is none: raise the `version` of the type"
        } else {
            continue;
        };
        let ways_out = ["or give the whole type a migration: `migrate(from = …, with = …)`"];
        errors.refuse(&was.with, why, &ways_out);
    }
    check_meaning(input, errors);
    let versions = versions(input);
    for migration in &input.settings.migrations {
        if versions.contains(&number(&migration.from)) {
            let why = format!("a field has a migration from version {} too", number(&migration.from));
            errors.refuse(&migration.from, why, &["make all of it in one of the two places"]);
        }
    }
    for (field, was) in changed(input) {
        for name in &was.names {
            let until = until(input, was);
            let stays = |other: &&Field| {
                other.name.value() == name.value()
                    && other.settings.was.as_ref().is_none_or(|was| self::until(input, was) < until)
            };
            if let Some(other) = fields(input).iter().find(stays) {
                let (old, new) = (name.value(), field.name.value());
                let why = format!("`{old}` is a field of the type still, so `{new}` cannot be made of it");
                let _ = other;
                errors.refuse(name, why, &["give the whole type a migration: `migrate(from = …, with = …)`"]);
            }
        }
    }
}

/// Refuses a version in which a former field may have had another meaning: the function of one
/// meaning would be given a value of the other, and no type would tell.
fn check_meaning(input: &Input, errors: &mut Errors) {
    for (_, was) in changed(input) {
        let (first, last) = (since(input, was), until(input, was));
        let is_range = was.from.as_ref().is_some_and(|from| from.first.is_some());
        if is_range && (first > last || first == 0) {
            errors.refuse(&was.with, "`from` names no version: write the first one before `..=`", &[]);
        } else if last - first >= MOST_VERSIONS {
            let why = format!("`from` names more than {MOST_VERSIONS} versions");
            errors.refuse(&was.with, why, &["name the versions whose checkpoints are still there"]);
        }
    }
    for (field, was) in changed(input) {
        let (first, last) = (since(input, was), until(input, was));
        let has_earlier = |other: &(&Field, &Was)| since(input, other.1) < first;
        let Some((other, earlier)) = changed(input).find(has_earlier) else { continue };
        let (earliest, field, other) = (since(input, earlier), field.name.value(), other.name.value());
        let why = format!(
            "`{other}` is made of former fields from version {earliest} on, and `{field}` does not say what it was in that \
             version: it may have had another meaning, or another unit"
        );
        let same = format!("if its former fields meant the same in both: `from = {earliest}..={last}`");
        let whole = format!(
            "if not, make all of version {earliest} in one function: `migrate(from = {earliest}, with = …)`"
        );
        errors.refuse(&was.with, why, &[&same, &whole]);
    }
}

/// The attributes of serde that the type has, without `default`: a struct as it was has no default
/// value.
fn of_serde(input: &Input) -> Vec<TokenStream> {
    let all = input.original.attrs.iter().filter(|attribute| attribute.path().is_ident(attr::SERDE));
    all.filter_map(|attribute| {
        let metas = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
        let metas = metas.into_iter().filter(|meta| !meta.path().is_ident(attr::DEFAULT));
        Some(quote!(#[serde(#(#metas),*)]))
    })
    .collect()
}

/// The value that a field has in a default value of the type, for a checkpoint that lacks it.
fn default_of(input: &Input, field: &Field, ident: &Ident) -> Option<TokenStream> {
    if !input.serde.has(attr::DEFAULT) || field.serde.has(attr::DEFAULT) {
        return None;
    }
    let whole = match input.serde.text(attr::DEFAULT).map(LitStr::parse::<ExprPath>) {
        Some(function) => function.ok()?.to_token_stream(),
        None => {
            let ty = &input.original.ident;
            quote!(<#ty as ::std::default::Default>::default)
        }
    };
    Some(quote!(#whole().#ident))
}

/// The structs as they were, and the statements that register the migrations from them in `types`.
pub(crate) fn migrations(input: &Input, types: &Ident) -> (Vec<TokenStream>, Vec<TokenStream>) {
    versions(input).into_iter().map(|version| migration(input, types, version)).unzip()
}

fn migration(input: &Input, types: &Ident, version: u32) -> (TokenStream, TokenStream) {
    let library = &input.settings.library;
    let serde = quote!(#library::__private::serde);
    let before = format_ident!("__{}Version{version}", input.original.ident, span = Span::call_site());
    let (name, number) = (&input.name, LitInt::new(&version.to_string(), Span::call_site()));
    let library_text =
        LitStr::new(&library.to_token_stream().to_string().replace(' ', ""), Span::call_site());
    let of_serde = of_serde(input);
    let derived = input.settings.is_derived.then(|| {
        let derived = Ident::new(attr::DERIVED, Span::call_site());
        quote!(#[checkpoint(#derived)])
    });

    // Hygiene separates it from the user's variables.
    let old = Ident::new("__old", Span::mixed_site());
    // The older fields that the newer ones are made of, each once.
    let mut older: Vec<&LitStr> = Vec::new();
    let is_changed = |was: &&Was| until(input, was) >= version;
    for (_, was) in changed(input).filter(|(_, was)| is_changed(was)) {
        for name in &was.names {
            if older.iter().all(|known| known.value() != name.value()) {
                older.push(name);
            }
        }
    }
    let place = |name: &LitStr| older.iter().position(|known| known.value() == name.value()).unwrap_or(0);
    let parameter = |number: usize| format_ident!("__Was{number}", span = Span::call_site());
    let member = |number: usize| format_ident!("__was_{number}", span = Span::call_site());
    let parameters: Vec<Ident> = (0..older.len()).map(parameter).collect();
    let members = older.iter().enumerate().map(|(number, name)| {
        let (member, parameter) = (member(number), parameter(number));
        quote!(#[serde(rename = #name)] #member: #parameter)
    });

    let mut kept = Vec::new();
    let mut made = Vec::new();
    let mut defaults = Vec::new();
    for field in fields(input) {
        let Some(ident) = &field.original.ident else { continue };
        match field.settings.was.as_ref().filter(is_changed) {
            None => {
                let ty = &field.original.ty;
                let attributes =
                    field.original.attrs.iter().filter(|attribute| attribute.path().is_ident(attr::SERDE));
                let form = field.settings.form.as_ref().map(|form| {
                    let form = LitStr::new(&form.to_token_stream().to_string(), Span::call_site());
                    quote!(#[checkpoint(as = #form)])
                });
                let names = &field.settings.was_types;
                let default = default_of(input, field, ident).map(|value| {
                    let function =
                        format_ident!("__{}_in_{version}", ident.unraw(), span = Span::call_site());
                    defaults.push(quote!(fn #function() -> #ty { #value }));
                    let path = LitStr::new(&function.to_string(), Span::call_site());
                    quote!(#[serde(default = #path)])
                });
                kept.push(
                    quote!(#(#attributes)* #default #form #(#[checkpoint(was_type = #names)])* #ident: #ty),
                );
                made.push(quote!(#ident: #old.#ident));
            }
            Some(Was { names, with, .. }) => {
                let ty = &field.original.ty;
                let arguments = names.iter().map(|name| {
                    let member = member(place(name));
                    let users = changed(input).filter(|(_, was)| {
                        is_changed(was) && was.names.iter().any(|other| other.value() == name.value())
                    });
                    // Only a field that is needed more than once must be `Clone`.
                    if users.count() > 1 {
                        quote_spanned!(at(with)=> ::std::clone::Clone::clone(&#old.#member))
                    } else {
                        quote!(#old.#member)
                    }
                });
                let call = quote_spanned!(at(with)=> #with(#(#arguments),*));
                made.push(quote_spanned! {at(with)=>
                    #ident: #library::evolution::Migrated::<#ty>::migrated(#call)?
                });
            }
        }
    }
    let wildcards = older.iter().map(|_| quote!(_));
    let item = quote! {
        #[derive(#serde::Serialize, #serde::Deserialize, #library::Checkpoint)]
        #(#of_serde)*
        #derived
        #[checkpoint(name = #name, version = #number, crate = #library_text)]
        #[allow(dead_code, missing_docs, clippy::all, clippy::pedantic)]
        struct #before<#(#parameters),*> {
            #(#kept,)*
            #(#members,)*
        }
        #(#[allow(dead_code, clippy::all, clippy::pedantic)] #defaults)*
    };
    let statement = quote! {
        #library::__private::Types::migrate::<#number, Self, _, _, _>(
            #types,
            |#old: #before<#(#wildcards),*>| -> ::std::result::Result<Self, ::std::string::String> {
                ::std::result::Result::Ok(Self { #(#made,)* })
            },
        );
    };
    (item, statement)
}
