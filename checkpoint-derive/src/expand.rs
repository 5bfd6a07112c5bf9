//! The implementation of `Checkpoint`.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{DeriveInput, Error, ExprPath, Generics, Ident, LitStr, Type};

use crate::ast::{Body, Field, Fields, Input, Style, Variant};
use crate::attr::{self, Errors, Migration, at};
use crate::{bound, fixed, former, lend, probe, valid, was};

/// `#[derive(Checkpoint)]`.
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    let original: DeriveInput = match syn::parse2(item) {
        Ok(original) => original,
        Err(error) => return error.to_compile_error(),
    };
    let mut errors = Errors::default();
    if let Some(attribute) = original.attrs.iter().find(|attribute| attr::is_checkpointed(attribute)) {
        // The attribute macro runs after the derives above it, and then adds the implementation
        // itself.
        let ways_out = [
            "put it above the derives, and take Checkpoint out of them",
            "or keep the derives alone, and write #[checkpoint(…)] for the arguments",
        ];
        errors.refuse(attribute, "#[checkpointed] derives Checkpoint itself", &ways_out);
        return errors.into_result().map_or_else(|error| error.to_compile_error(), |()| TokenStream::new());
    }
    let input = Input::new(&original, &mut errors);
    valid::check(&input, &mut errors);
    match errors.into_result() {
        Ok(()) => implementation(&input),
        Err(error) => stub(&input, &error),
    }
}

/// Shows the errors. The type still becomes a checkpoint, so that each use of it does not add an
/// error.
fn stub(input: &Input, error: &Error) -> TokenStream {
    let errors = error.to_compile_error();
    let library = &input.settings.library;
    let ident = &input.original.ident;
    let (parameters, arguments, conditions) = input.original.generics.split_for_impl();
    let conditions = conditions.into_iter().flat_map(|conditions| &conditions.predicates);
    quote! {
        #errors

        const _: () = {
            #[automatically_derived]
            impl #parameters #library::Checkpoint for #ident #arguments
            where
                #(#conditions,)*
                // The compiler accepts conditions that are plainly not met only in this form.
                for<'unmet> #ident #arguments:
                    #library::__private::serde::Serialize
                    + #library::__private::serde::de::DeserializeOwned
                    + 'static,
            {
                const NAME: &'static ::std::primitive::str = "";

                fn schema(_: &mut #library::__private::Types) -> #library::__private::Type {
                    ::std::unreachable!()
                }
            }
        };
    }
}

fn implementation(input: &Input) -> TokenStream {
    let generics = bound::generics(input);
    let (parameters, arguments, conditions) = generics.split_for_impl();
    let ident = &input.original.ident;
    let library = &input.settings.library;
    let name = &input.name;
    let version = input.settings.version.as_ref().map(|version| {
        quote! { const VERSION: ::std::primitive::u32 = #version; }
    });
    let types = Ident::new("__types", Span::mixed_site());
    let body = Expansion { input, generics: &generics, types: types.clone() }.body();
    // A conversion is the author's code. So is the serde code of a type that has only this derive.
    let is_derived = input.settings.is_derived && input.conversion().is_none();
    let define = format_ident!("{}", if is_derived { "define_derived" } else { "define" });
    let lend_arrays = lend::method(input);
    let former = former::statements(input, &types);
    let (former_structs, of_fields) = was::migrations(input, &types);
    let migrations = input.settings.migrations.iter().map(|Migration { from, with }| {
        // The compiler infers the older type from the argument of the function.
        quote_spanned! {at(with)=>
            #library::__private::Types::migrate::<#from, Self, _, _, _>(#types, #with);
        }
    });
    quote! {
        const _: () = {
            #(#former_structs)*

            #[automatically_derived]
            #[allow(deprecated, unused_imports, unused_qualifications)]
            impl #parameters #library::Checkpoint for #ident #arguments #conditions {
                const NAME: &'static ::std::primitive::str = #name;
                #version

                fn schema(#types: &mut #library::__private::Types) -> #library::__private::Type {
                    use #library::__private::{ViaCheckpoint as _, ViaParts as _, ViaSerde as _};
                    #library::__private::Types::#define::<Self>(
                        #types,
                        <Self as #library::Checkpoint>::NAME,
                        <Self as #library::Checkpoint>::VERSION,
                        |#types| {
                            #(#migrations)*
                            #(#of_fields)*
                            #(#former)*
                            #body
                        },
                    )
                }

                #lend_arrays
            }
        };
    }
}

/// The data that all parts of the schema's code share.
struct Expansion<'a> {
    input: &'a Input<'a>,
    generics: &'a Generics,
    /// The variable that collects the types. Hygiene separates it from the user's variables, the
    /// underscores from the user's constants.
    types: Ident,
}

impl Expansion<'_> {
    /// The path of an item in the library's hidden module.
    fn private(&self, name: &str) -> TokenStream {
        let library = &self.input.settings.library;
        let name = Ident::new(name, Span::call_site());
        quote!(#library::__private::#name)
    }

    fn body(&self) -> TokenStream {
        let body = self.private("Body");
        if let Some(other) = self.input.conversion() {
            return self.wrapper(&self.converted(other));
        }
        match &self.input.body {
            Body::Struct(fields) if self.input.serde.has(attr::TRANSPARENT) => {
                // It is still a definition of its own: it keeps the name and the version, and may
                // be recursive. It is stored, and compared, as the field alone.
                match fields.transparent() {
                    Some(field) => self.wrapper(&self.field(field)),
                    // serde's derives refuse this case.
                    None => self.wrapper(&quote!(::std::unreachable!())),
                }
            }
            Body::Struct(fields) => {
                let fields = self.fields(fields);
                quote!(#body::Struct(#fields))
            }
            Body::Enum(variants) => {
                let variants = variants
                    .iter()
                    .filter(|variant| !variant.is_skipped())
                    .map(|variant| self.variant(variant));
                quote!(#body::Enum(::std::vec![#(#variants),*]))
            }
            Body::Union => quote!(::std::unreachable!()),
        }
    }

    fn wrapper(&self, inner: &TokenStream) -> TokenStream {
        let (body, fields) = (self.private("Body"), self.private("Fields"));
        quote!(#body::Struct(#fields::Newtype(#inner)))
    }

    fn converted(&self, other: &LitStr) -> TokenStream {
        match other.parse::<Type>() {
            Ok(ty) => self.probe(&ty),
            // serde's derives refuse this case.
            Err(_) => quote!(::std::unreachable!()),
        }
    }

    fn variant(&self, variant: &Variant) -> TokenStream {
        let ident = self.private("Variant");
        let name = &variant.name;
        let fields = match variant.serde.reads_with() {
            Some(function) => {
                let fields = self.private("Fields");
                let content = match &variant.settings.form {
                    Some(form) => self.told(form),
                    None => self.traced(&variant.content(), &function),
                };
                quote!(#fields::Newtype(#content))
            }
            None if variant.fields.style == Style::Newtype && variant.fields.stored().next().is_none() => {
                let fields = self.private("Fields");
                quote!(#fields::Unit)
            }
            None => self.fields(&variant.fields),
        };
        quote!(#ident { name: ::std::string::ToString::to_string(#name), fields: #fields })
    }

    fn fields(&self, fields: &Fields) -> TokenStream {
        let ident = self.private("Fields");
        let types = fields.stored().map(|field| self.field(field));
        match fields.style {
            Style::Unit => quote!(#ident::Unit),
            Style::Newtype => quote!(#ident::Newtype(#(#types),*)),
            Style::Tuple => quote!(#ident::Tuple(::std::vec![#(#types),*])),
            Style::Named => {
                let field = self.private("Field");
                let names = fields.stored().map(|field| &field.name);
                quote! {
                    #ident::Named(::std::vec![
                        #(#field { name: ::std::string::ToString::to_string(#names), ty: #types }),*
                    ])
                }
            }
        }
    }

    fn field(&self, field: &Field) -> TokenStream {
        if let Some(form) = &field.settings.form {
            return self.told(form);
        }
        if let Some(schema) = fixed::schema(field, &self.private("fixed"), &self.types, |ty| self.probe(ty)) {
            return schema;
        }
        match field.serde.reads_with() {
            Some(function) => self.traced(&field.original.ty, &function),
            None => self.probe(&field.original.ty),
        }
    }

    /// The schema of the type that the author named. It runs no code of the field's own type.
    fn told(&self, form: &Type) -> TokenStream {
        let (told, types) = (self.private("told"), &self.types);
        quote_spanned!(at(form)=> #told::<#form>(#types))
    }

    /// The schema of a type that either implements `Checkpoint` or only serde's traits.
    fn probe(&self, ty: &Type) -> TokenStream {
        let library = &self.input.settings.library;
        probe::schema(ty, &quote!(#library::__private), &self.types)
    }

    /// The schema of the values that an author's function reads in place of the type's own
    /// `Deserialize`.
    fn traced(&self, ty: &Type, function: &ExprPath) -> TokenStream {
        let (serde, traced, types) = (self.private("serde"), self.private("traced"), &self.types);
        let (parameters, arguments, conditions) = self.generics.split_for_impl();
        let turbofish = arguments.as_turbofish();
        let mut reading = self.generics.clone();
        reading.params.insert(0, syn::parse_quote!('__de));
        let (reading, _, _) = reading.split_for_impl();
        let ident = &self.input.original.ident;
        let item = quote!(#ident #arguments);
        // The schema shows this name if the form cannot be determined.
        let reader = reader_name(function);
        // `Self` would mean the reader.
        let [ty, parameters, reading, conditions] =
            [ty.to_token_stream(), quote!(#parameters), quote!(#reading), quote!(#conditions)]
                .map(|tokens| replace_self(tokens, &item));
        let deserializer = Ident::new("__deserializer", Span::mixed_site());
        let call = quote_spanned!(at(function)=> #function(#deserializer));
        quote! {
            {
                #[allow(non_camel_case_types)]
                struct #reader #parameters (::std::marker::PhantomData<fn() -> #item>) #conditions;

                #[automatically_derived]
                impl #reading #serde::Deserialize<'__de> for #reader #arguments #conditions {
                    fn deserialize<__D>(#deserializer: __D) -> ::std::result::Result<Self, __D::Error>
                    where
                        __D: #serde::Deserializer<'__de>,
                    {
                        ::std::result::Result::map(#call, |_: #ty| #reader(::std::marker::PhantomData))
                    }
                }

                #traced::<#reader #turbofish>(#types)
            }
        }
    }
}

fn reader_name(function: &ExprPath) -> Ident {
    let path: Vec<String> =
        function.path.segments.iter().map(|segment| segment.ident.to_string().replace("r#", "")).collect();
    format_ident!("with_{}", path.join("_"))
}

fn replace_self(tokens: TokenStream, item: &TokenStream) -> TokenStream {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Ident(ident) if ident == "Self" => item.clone(),
            TokenTree::Group(group) => {
                let mut replaced =
                    proc_macro2::Group::new(group.delimiter(), replace_self(group.stream(), item));
                replaced.set_span(group.span());
                TokenTree::Group(replaced).into()
            }
            token => token.into(),
        })
        .collect()
}
