//! Gives up the memory of the arrays in the fields, before a load into an existing state.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, Member, Type};

use crate::ast::{Body, Field, Fields, Input};
use crate::attr::at;
use crate::fixed;

/// The method of `Checkpoint`, or nothing if no field can have an array.
pub(crate) fn method(input: &Input) -> TokenStream {
    let library = &input.settings.library;
    let private = quote!(#library::__private);
    // It begins with two underscores: in a pattern, hygiene does not separate a binding from a
    // user's constant.
    let pool = Ident::new("__pool", Span::mixed_site());
    // Rust forbids references into a packed struct.
    let is_packed = input.original.attrs.iter().any(|attribute| attribute.path().is_ident("repr"));
    let arms: Vec<TokenStream> = match &input.body {
        _ if is_packed || input.conversion().is_some() => Vec::new(),
        Body::Struct(fields) => arm(&quote!(Self), fields, &private, &pool).into_iter().collect(),
        Body::Enum(variants) => {
            let variants = variants
                .iter()
                .filter(|variant| !variant.is_skipped() && variant.serde.reads_with().is_none());
            let arms = variants.filter_map(|variant| {
                let ident = &variant.original.ident;
                arm(&quote!(Self::#ident), &variant.fields, &private, &pool)
            });
            arms.collect()
        }
        Body::Union => Vec::new(),
    };
    if arms.is_empty() {
        return TokenStream::new();
    }
    quote! {
        #[allow(unreachable_patterns)]
        fn lend_arrays(&mut self, #pool: &mut #private::ArrayPool) {
            use #private::{ViaCheckpoint as _, ViaSerde as _};
            match self {
                #(#arms)*
                _ => {}
            }
        }
    }
}

fn arm(path: &TokenStream, fields: &Fields, private: &TokenStream, pool: &Ident) -> Option<TokenStream> {
    let mut patterns = Vec::new();
    let mut calls = Vec::new();
    for (place, field) in fields.all.iter().enumerate() {
        if field.is_skipped() || field.settings.form.is_some() {
            continue;
        }
        let binding = format_ident!("__field_{place}", span = Span::mixed_site());
        let member = member(field, place);
        let probe = |ty: &Type, value: &Ident| quote_spanned!(at(ty)=> (&&#private::Probe::<#ty, ()>::NEW).lend_arrays(#value, #pool));
        let call = match fixed::lend(field, &binding, pool, probe) {
            Some(call) => call,
            // The library does not know the memory of a field that the author's own function reads.
            None if field.serde.reads_with().is_some() => continue,
            None => {
                let call = probe(&field.original.ty, &binding);
                quote!(#call;)
            }
        };
        patterns.push(quote!(#member: #binding));
        calls.push(call);
    }
    (!patterns.is_empty()).then(|| quote!(#path { #(#patterns,)* .. } => { #(#calls)* }))
}

fn member(field: &Field, place: usize) -> Member {
    match &field.original.ident {
        Some(ident) => Member::Named(ident.clone()),
        None => Member::Unnamed(place.into()),
    }
}
