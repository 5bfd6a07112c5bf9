//! `#[checkpointed]`: keeps the item, and adds the derives that it lacks.
//!
//! The derive does the rest: it sees the item after `cfg` and other attribute macros have changed
//! it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Fields, Lit, LitInt, LitStr, Meta, Path, Token,
    parse_quote,
};

use crate::ast::derived;
use crate::attr::{CHECKPOINT, CRATE, DERIVED, EXPECTING, SERDE, Serde, Settings, is_checkpointed};
use crate::owned;

pub(crate) fn expand(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    let mut input: DeriveInput = match syn::parse2(item.clone()) {
        Ok(input) => input,
        Err(error) => {
            // Broken code gives the compiler's own error. Any other item is complete, but no
            // struct.
            let error = match syn::parse2::<syn::Item>(item.clone()) {
                Ok(_) => Error::new(Span::call_site(), "#[checkpointed] goes on a struct or an enum")
                    .to_compile_error(),
                Err(_) => error.to_compile_error(),
            };
            return quote!(#error #item);
        }
    };
    if let Some(place) = input.attrs.iter().position(is_checkpointed) {
        let again = input.attrs.remove(place);
        let error =
            Error::new_spanned(again, "#[checkpointed] is there already; give all arguments to one of them")
                .to_compile_error();
        let rest = expand(arguments, &input.into_token_stream());
        return quote!(#error #rest);
    }

    if let Some(arguments) = owned::Arguments::parse(arguments) {
        return owned::expand(&arguments, input);
    }

    let Settings { library, name, version, .. } = Settings::of_macro(arguments);
    let serde: Path = parse_quote!(#library::__private::serde);
    let mut added: Vec<Attribute> = Vec::new();
    let mut wants_serde = false;
    // serde has no derive for unions, and would only repeat our error.
    if !matches!(input.data, Data::Union(_)) {
        for name in ["Serialize", "Deserialize"] {
            let ident = syn::Ident::new(name, Span::call_site());
            match lacks(&input.attrs, &|path| is_serde(path, name)) {
                Lacks::Always => added.push(parse_quote!(#[derive(#serde::#ident)])),
                Lacks::Unless(conditions) => {
                    added.push(parse_quote!(#[cfg_attr(not(any(#(#conditions),*)), derive(#serde::#ident))]));
                }
                Lacks::Never => continue,
            }
            wants_serde = true;
        }
    }
    if let Lacks::Always = lacks(&input.attrs, &|path| last_is(path, "Checkpoint")) {
        added.push(parse_quote!(#[derive(#library::Checkpoint)]));
    }
    if wants_serde && !Serde::new(&input.attrs).has(CRATE) {
        let path = LitStr::new(&serde.to_token_stream().to_string().replace(' ', ""), Span::call_site());
        added.push(parse_quote!(#[serde(crate = #path)]));
    }
    if name.is_some() || version.is_some() {
        let name = name.map(|name| format!(" as {}", name.value())).unwrap_or_default();
        let version = version.as_ref().map_or("1", LitInt::base10_digits);
        added.extend(tell(&mut input, &format!(" (checkpointed{name}, version {version})")));
    }
    let derived = syn::Ident::new(DERIVED, Span::call_site());
    added.push(parse_quote!(#[checkpoint(#derived)]));
    if !arguments.is_empty() {
        added.push(parse_quote!(#[checkpoint(#arguments)]));
    }

    crate::fixed::add(&mut input, &library);
    hand_on(&mut input);

    // They come after other attribute macros, which may change the fields for serde, and before
    // serde's attributes, which are only valid after the derives.
    let place = input.attrs.iter().position(|attribute| attribute.path().is_ident(SERDE));
    let place = place.unwrap_or(input.attrs.len());
    input.attrs.splice(place..place, added);
    input.into_token_stream()
}

/// Adds the name and the version to the words in which serde's derive says what it expects. A type
/// that only serde describes shows nothing else of the types inside it.
fn tell(input: &mut DeriveInput, told: &str) -> Option<Attribute> {
    for attribute in input.attrs.iter_mut().filter(|attribute| attribute.path().is_ident(SERDE)) {
        let parsed = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        let Ok(mut arguments) = parsed else { continue };
        for argument in &mut arguments {
            if let Meta::NameValue(argument) = argument
                && argument.path.is_ident(EXPECTING)
                && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &mut argument.value
            {
                *text = LitStr::new(&(text.value() + told), text.span());
                *attribute = parse_quote!(#[serde(#arguments)]);
                return None;
            }
        }
    }
    let kind = match &input.data {
        Data::Enum(_) => "enum",
        Data::Struct(data) => match data.fields {
            Fields::Named(_) => "struct",
            Fields::Unnamed(_) => "tuple struct",
            Fields::Unit => "unit struct",
        },
        // serde has no derive for unions.
        Data::Union(_) => return None,
    };
    let text = LitStr::new(&format!("{kind} {}{told}", input.ident.unraw()), Span::call_site());
    Some(parse_quote!(#[serde(expecting = #text)]))
}

/// Renames the arguments on fields and variants, so that the derive reads them. `#[checkpointed]`
/// itself is not allowed there.
fn hand_on(input: &mut DeriveInput) {
    let rename = |attributes: &mut Vec<Attribute>| {
        for attribute in attributes.iter_mut().filter(|attribute| is_checkpointed(attribute)) {
            let path = match &mut attribute.meta {
                Meta::Path(path) => path,
                Meta::List(list) => &mut list.path,
                Meta::NameValue(value) => &mut value.path,
            };
            let span = path.span();
            *path = syn::Ident::new(CHECKPOINT, span).into();
        }
    };
    match &mut input.data {
        Data::Struct(data) => data.fields.iter_mut().for_each(|field| rename(&mut field.attrs)),
        Data::Enum(data) => {
            for variant in &mut data.variants {
                rename(&mut variant.attrs);
                variant.fields.iter_mut().for_each(|field| rename(&mut field.attrs));
            }
        }
        Data::Union(_) => {}
    }
}

/// The presence of a derive.
enum Lacks {
    Always,
    /// The derive is present under one of these conditions.
    Unless(Vec<Meta>),
    Never,
}

fn lacks(attributes: &[Attribute], wanted: &dyn Fn(&Path) -> bool) -> Lacks {
    let mut conditions = Vec::new();
    for attribute in attributes {
        if attribute.path().is_ident("derive") {
            if derived(attribute).is_ok_and(|paths| paths.iter().any(wanted)) {
                return Lacks::Never;
            }
        } else if attribute.path().is_ident("cfg_attr") {
            let Ok(parts) = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else {
                continue;
            };
            let mut parts = parts.into_iter();
            let Some(condition) = parts.next() else { continue };
            let derives = parts.any(|part| {
                let attribute: Attribute = parse_quote!(#[#part]);
                attribute.path().is_ident("derive")
                    && derived(&attribute).is_ok_and(|paths| paths.iter().any(wanted))
            });
            if derives {
                conditions.push(condition);
            }
        }
    }
    if conditions.is_empty() { Lacks::Always } else { Lacks::Unless(conditions) }
}

fn last_is(path: &Path, name: &str) -> bool {
    path.segments.last().is_some_and(|segment| segment.ident == name)
}

/// `Serialize` or `serde::Serialize`, but not `rkyv::Serialize`.
fn is_serde(path: &Path, name: &str) -> bool {
    let mut segments = path.segments.iter().rev();
    segments.next().is_some_and(|last| last.ident == name)
        && segments.next().is_none_or(|parent| parent.ident == SERDE || parent.ident == "serde_derive")
}
