//! The former names of the type, its fields and its variants, and the defaults of its fields.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Ident, LitStr};

use crate::ast::Input;
use crate::attr;

/// Statements that register them in `types`, inside the definition of the type.
pub(crate) fn statements(input: &Input, types: &Ident) -> Vec<TokenStream> {
    let library = &input.settings.library;
    let collector = quote!(#library::__private::Types);
    let of_type = input.settings.was_types.iter().map(|name| {
        quote! { #collector::was_type::<Self>(#types, #name); }
    });
    let member = |path: &[&LitStr], name: &LitStr| {
        quote! { #collector::was_member::<Self>(#types, &[#(#path),*], #name); }
    };
    let mut statements: Vec<TokenStream> = of_type.collect();
    for variant in input.variants().iter().filter(|variant| !variant.is_skipped()) {
        statements.extend(variant.serde.aliases().map(|alias| member(&[&variant.name], alias)));
        // These occur only on a variant that the author's functions store as a whole.
        let name = &variant.name;
        statements.extend(variant.settings.was_types.iter().map(|former| {
            quote! { #collector::was_type_in::<Self>(#types, &[#name, "0"], #former); }
        }));
    }
    for (variant, field) in input.stored_fields() {
        let path: Vec<&LitStr> =
            variant.map(|variant| &variant.name).into_iter().chain([&field.name]).collect();
        statements.extend(field.serde.aliases().map(|alias| member(&path, alias)));
        // Without a default of its own, an `Option` gets `None`, unless a function reads it.
        let has_default = field.serde.has(attr::DEFAULT) || input.serde.has(attr::DEFAULT);
        if has_default || field.serde.reads_with().is_some() {
            statements.push(quote! {
                #collector::has_default::<Self>(#types, &[#(#path),*], #has_default);
            });
        }
        statements.extend(field.settings.was_types.iter().map(|name| {
            quote! { #collector::was_type_in::<Self>(#types, &[#(#path),*], #name); }
        }));
    }
    statements
}
