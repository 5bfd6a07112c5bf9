//! The bounds on the type parameters that make the type a `Checkpoint`.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{
    Expr, Field, Generics, Ident, LitStr, Macro, Path, Token, Type, TypePath, WherePredicate, parse_quote,
};

use crate::ast::Input;

/// The generics of the implementation: those of the item, with the bounds that it needs.
pub(crate) fn generics(input: &Input) -> Generics {
    let library = &input.settings.library;
    let serde = quote!(#library::__private::serde);
    let write: Path = parse_quote!(#serde::Serialize);
    let read: Path = parse_quote!(#serde::de::DeserializeOwned);
    let checkpoint: Path = parse_quote!(#library::Checkpoint);

    let mut generics = input.original.generics.clone();
    if generics.params.is_empty() && generics.where_clause.is_none() {
        return generics;
    }
    let parameters: BTreeSet<Ident> =
        generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    let predicates = &mut generics.make_where_clause().predicates;
    let (own_write, own_read) = input.serde.bounds();
    let mut given: Vec<&LitStr> = [own_write, own_read].into_iter().flatten().collect();

    for parameter in &parameters {
        predicates.push(parse_quote!(#parameter: 'static));
    }
    // As in serde, types that are converted count too.
    for (variant, field) in input.fields() {
        let variant_bounds = variant.map_or((None, None), |variant| variant.serde.bounds());
        let bounds = if field.settings.inferred { (None, None) } else { field.serde.bounds() };
        let writes = bounds.0.or(variant_bounds.0).or(own_write);
        let reads = bounds.1.or(variant_bounds.1).or(own_read);
        given.extend([writes, reads].into_iter().flatten());
        let by_function = field.serde.reads_with().is_some()
            || variant.is_some_and(|variant| variant.serde.reads_with().is_some());
        // As in serde, the author's bounds for one direction replace the inferred ones for it.
        let bounds: &[&Path] = match (writes, reads) {
            _ if by_function && !field.settings.inferred => continue,
            // The form is known, so the type need not give it.
            (None, None) if field.settings.form.is_some() => &[&write, &read],
            (None, None) => &[&checkpoint],
            (Some(_), None) => &[&read],
            (None, Some(_)) => &[&write],
            (Some(_), Some(_)) => continue,
        };
        for ty in bounded(field.original, &parameters) {
            push(predicates, parse_quote!(#ty: #(#bounds)+*));
        }
    }
    for text in given {
        for predicate in parse(text) {
            push(predicates, predicate);
        }
    }

    // `Checkpoint` requires these traits. So any other bounds of serde's derives hold too (for
    // instance `Default` of skipped fields).
    let (_, arguments, _) = input.original.generics.split_for_impl();
    let ident = &input.original.ident;
    predicates.push(parse_quote!(#ident #arguments: #write + #read));
    generics
}

fn push(predicates: &mut Punctuated<WherePredicate, Token![,]>, predicate: WherePredicate) {
    let text = predicate.to_token_stream().to_string();
    if !predicates.iter().any(|known| known.to_token_stream().to_string() == text) {
        predicates.push(predicate);
    }
}

/// The bounds in the author's words. `'de` is serde's lifetime of the data: here it stands for all
/// lifetimes.
fn parse(text: &LitStr) -> Vec<WherePredicate> {
    let Ok(predicates) = text.parse_with(Punctuated::<WherePredicate, Token![,]>::parse_terminated) else {
        // serde's derives refuse the text.
        return Vec::new();
    };
    predicates
        .into_iter()
        .map(|mut predicate| {
            if mentions_de(predicate.to_token_stream())
                && let WherePredicate::Type(bound) = &mut predicate
            {
                bound.lifetimes.get_or_insert_with(|| parse_quote!(for<>)).lifetimes.push(parse_quote!('de));
            }
            predicate
        })
        .collect()
}

fn mentions_de(tokens: TokenStream) -> bool {
    let mut after_quote = false;
    tokens.into_iter().any(|token| match token {
        proc_macro2::TokenTree::Group(group) => mentions_de(group.stream()),
        proc_macro2::TokenTree::Punct(mark) => {
            after_quote = mark.as_char() == '\'';
            false
        }
        proc_macro2::TokenTree::Ident(ident) => std::mem::take(&mut after_quote) && ident == "de",
        proc_macro2::TokenTree::Literal(_) => false,
    })
}

/// The types that a field needs bounds on: the parameters in it, and the field's own type if it is
/// like `T::Item`.
pub(crate) fn bounded(field: &Field, parameters: &BTreeSet<Ident>) -> Vec<TypePath> {
    let mut mentioned = Mentioned { parameters, found: Vec::new() };
    if let Type::Path(ty) = &field.ty
        && ty.qself.is_none()
        && ty.path.segments.len() > 1
        && ty.path.segments.first().is_some_and(|segment| parameters.contains(&segment.ident))
    {
        mentioned.found.push(ty.clone());
    }
    mentioned.visit_type(&field.ty);
    mentioned.found
}

struct Mentioned<'a> {
    parameters: &'a BTreeSet<Ident>,
    found: Vec<TypePath>,
}

impl<'ast> Visit<'ast> for Mentioned<'_> {
    fn visit_path(&mut self, path: &'ast Path) {
        // A marker can be stored for any type.
        if path.segments.last().is_some_and(|segment| segment.ident == "PhantomData") {
            return;
        }
        if let Some(ident) = path.get_ident()
            && self.parameters.contains(ident)
        {
            self.found.push(parse_quote!(#ident));
        }
        visit::visit_path(self, path);
    }

    // The length of an array holds no value, and the output of a macro is unknown.
    fn visit_expr(&mut self, _: &'ast Expr) {}
    fn visit_macro(&mut self, _: &'ast Macro) {}
}
