//! `#[checkpointed(owned = "State")]`: a struct of references, which is saved, and the state that
//! owns its parts, which is loaded.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Data, DeriveInput, Fields, GenericArgument, GenericParam, Generics, Ident, LitStr, Meta, Path,
    PathArguments, Token, Type, TypeParamBound, WherePredicate, parse_quote,
};

use crate::ast::derived;
use crate::attr::{CHECKPOINT, CRATE, Errors, OWNED, RENAME, SERDE, Serde, Settings, is_checkpointed};
use crate::{attribute, fixed};

/// The arguments of the attribute: that of this module, and the others.
pub(crate) struct Arguments {
    /// The place of the error of a wrong one, and the name, if it is one.
    owned: (TokenStream, Option<Ident>),
    rest: TokenStream,
}

impl Arguments {
    /// `None` if the argument is not there, or if the arguments are malformed: then the derive
    /// shows the errors.
    pub(crate) fn parse(arguments: &TokenStream) -> Option<Arguments> {
        let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
        let all = syn::parse::Parser::parse2(parser, arguments.clone()).ok()?;
        let (owned, rest): (Vec<Meta>, Vec<Meta>) =
            all.into_iter().partition(|argument| argument.path().is_ident(OWNED));
        let [owned] = &owned[..] else {
            let again = owned.get(1)?;
            return Some(Arguments { owned: (again.to_token_stream(), None), rest: quote!(#(#rest),*) });
        };
        let name = match owned {
            Meta::NameValue(pair) => {
                let text: Option<LitStr> = syn::parse2(pair.value.to_token_stream()).ok();
                text.and_then(|text| text.parse().ok())
            }
            _ => None,
        };
        Some(Arguments { owned: (owned.to_token_stream(), name), rest: quote!(#(#rest),*) })
    }
}

/// Expands a struct of references, and makes the state that owns its parts.
pub(crate) fn expand(arguments: &Arguments, mut input: DeriveInput) -> TokenStream {
    let library = Settings::of_macro(&arguments.rest).library;
    let mut errors = Errors::default();
    let owned = twin(arguments, &input, &library, &mut errors);
    borrow_long_arrays(&mut input, &library, &mut errors);
    let Some(owned) = owned else {
        let errors = errors.into_result().err().map(|error| error.to_compile_error());
        let bare = without_ours(input);
        return quote!(#errors #bare);
    };
    if let Err(error) = errors.into_result() {
        let error = error.to_compile_error();
        let bare = without_ours(input);
        return quote!(#error #bare);
    }
    let name = owned.ident.clone();
    let implementation = implementation(&input, &owned, &library);
    let saved = saved(input, &name, &library);
    let loaded = attribute::expand(&arguments.rest, &owned.into_token_stream());
    quote! {
        #saved
        #implementation
        #loaded
    }
}

/// The state that owns the parts.
fn twin(
    arguments: &Arguments,
    input: &DeriveInput,
    library: &Path,
    errors: &mut Errors,
) -> Option<DeriveInput> {
    let (place, name) = &arguments.owned;
    let Some(name) = name else {
        errors.refuse(
            place,
            "expected `owned = \"…\"`, once: the name of the state to make, such as \"State\"",
            &[],
        );
        return None;
    };
    if *name == input.ident {
        let why = format!("the state needs a name of its own: `{name}` is that of the struct of references");
        errors.refuse(place, why, &[]);
        return None;
    }
    if !matches!(input.data, Data::Struct(_)) {
        errors.refuse(
            &input.ident,
            "`owned` goes on a struct of references",
            &["make a struct with a reference to each part, and put it there"],
        );
        return None;
    }
    if input.generics.lifetimes().next().is_none() {
        let why = format!("`{}` has no lifetime, so it owns its parts itself", input.ident);
        errors.refuse(&input.ident, why, &["take `owned` out"]);
        return None;
    }
    let mut owned = input.clone();
    owned.ident = Ident::new(&name.to_string(), name.span());
    keep_derives(&mut owned.attrs, |path| !last_is(path, "Copy"));
    owned.generics = without_lifetimes(&input.generics);
    if let Data::Struct(data) = &mut owned.data {
        for field in &mut data.fields {
            field.ty = owner_of(&field.ty, library, errors);
        }
    }
    Some(owned)
}

/// The struct of references, with what it needs to be written as the state.
fn saved(mut input: DeriveInput, name: &Ident, library: &Path) -> DeriveInput {
    let only_of_owned = ["Default", "Deserialize", "Checkpoint"];
    keep_derives(&mut input.attrs, |path| !only_of_owned.iter().any(|name| last_is(path, name)));
    let has_serialize = input.attrs.iter().any(|attribute| {
        attribute.path().is_ident("derive")
            && derived(attribute).is_ok_and(|paths| paths.iter().any(|path| last_is(path, "Serialize")))
    });
    let serde: Path = parse_quote!(#library::__private::serde);
    let of_serde = Serde::new(&input.attrs);
    let mut added: Vec<Attribute> = Vec::new();
    if !has_serialize {
        added.push(parse_quote!(#[derive(#serde::Serialize)]));
        if !of_serde.has(CRATE) {
            let path = LitStr::new(&serde.to_token_stream().to_string().replace(' ', ""), Span::call_site());
            added.push(parse_quote!(#[serde(crate = #path)]));
        }
    }
    if !of_serde.has(RENAME) {
        let name = LitStr::new(&name.to_string(), name.span());
        added.push(parse_quote!(#[serde(rename = #name)]));
    }
    let place = input.attrs.iter().position(|attribute| attribute.path().is_ident(SERDE));
    let place = place.unwrap_or(input.attrs.len());
    input.attrs.splice(place..place, added);
    without_ours(input)
}

/// The item without the arguments for the derive, which it does not have.
fn without_ours(mut input: DeriveInput) -> DeriveInput {
    let is_theirs =
        |attribute: &Attribute| !is_checkpointed(attribute) && !attribute.path().is_ident(CHECKPOINT);
    if let Data::Struct(data) = &mut input.data {
        data.fields.iter_mut().for_each(|field| field.attrs.retain(is_theirs));
    }
    input
}

fn implementation(input: &DeriveInput, owned: &DeriveInput, library: &Path) -> TokenStream {
    let (borrowing, name) = (&input.ident, &owned.ident);
    let (_, of_owned, _) = owned.generics.split_for_impl();
    let mut generics = input.generics.clone();
    let (_, of_borrowing, _) = input.generics.split_for_impl();
    let serde = quote!(#library::__private::serde);
    let conditions = &mut generics.make_where_clause().predicates;
    if owned.generics.type_params().next().is_some() {
        conditions.push(parse_quote!(#borrowing #of_borrowing: #serde::Serialize));
        conditions.push(parse_quote!(#name #of_owned: #library::Checkpoint));
    }
    let (parameters, _, conditions) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #parameters #library::traits::Borrowed for #borrowing #of_borrowing #conditions {
            type Owned = #name #of_owned;
        }
    }
}

/// The type that owns what this one borrows.
fn owner_of(ty: &Type, library: &Path, errors: &mut Errors) -> Type {
    match ty {
        Type::Reference(reference) => owner_of_borrowed(&reference.elem, library, errors),
        Type::Group(group) => owner_of(&group.elem, library, errors),
        Type::Paren(paren) => owner_of(&paren.elem, library, errors),
        Type::Tuple(tuple) => {
            let mut tuple = tuple.clone();
            tuple.elems.iter_mut().for_each(|member| *member = owner_of(member, library, errors));
            Type::Tuple(tuple)
        }
        Type::Array(array) => {
            let mut array = array.clone();
            *array.elem = owner_of(&array.elem, library, errors);
            Type::Array(array)
        }
        Type::Path(path) => {
            let mut path = path.clone();
            let mut borrows = false;
            let is_cow = last_is(&path.path, "Cow");
            for segment in &mut path.path.segments {
                let PathArguments::AngleBracketed(arguments) = &mut segment.arguments else { continue };
                for argument in &mut arguments.args {
                    match argument {
                        GenericArgument::Lifetime(lifetime) => {
                            borrows = true;
                            *lifetime = parse_quote!('static);
                        }
                        GenericArgument::Type(inner) if is_cow => {
                            return owner_of_borrowed(inner, library, errors);
                        }
                        GenericArgument::Type(inner) => *inner = owner_of(inner, library, errors),
                        _ => {}
                    }
                }
            }
            if borrows {
                parse_quote!(<#path as #library::traits::Borrowed>::Owned)
            } else {
                Type::Path(path)
            }
        }
        other => other.clone(),
    }
}

/// The type that owns a value of this type, which is behind a reference.
fn owner_of_borrowed(ty: &Type, library: &Path, errors: &mut Errors) -> Type {
    match ty {
        Type::Slice(slice) => {
            let element = owner_of(&slice.elem, library, errors);
            parse_quote!(::std::vec::Vec<#element>)
        }
        Type::Path(path) if path.path.is_ident("str") => parse_quote!(::std::string::String),
        Type::Path(path) if ["Path", "OsStr", "CStr"].iter().any(|name| last_is(&path.path, name)) => {
            parse_quote!(<#path as ::std::borrow::ToOwned>::Owned)
        }
        Type::TraitObject(_) => {
            errors.refuse(
                ty,
                "a trait object does not tell its type, so no state can own it",
                &["give the type itself, or an enum of those that it may be"],
            );
            ty.clone()
        }
        ty => owner_of(ty, library, errors),
    }
}

/// Makes the library write fixed arrays that serde does not know, behind a reference too.
fn borrow_long_arrays(input: &mut DeriveInput, library: &Path, errors: &mut Errors) {
    let Data::Struct(data) = &mut input.data else { return };
    let mut others = Errors::default();
    if let Fields::Unit = data.fields {
        return;
    }
    for field in &mut data.fields {
        let owned = owner_of(&field.ty, library, &mut others);
        if fixed::has_functions(field) {
            continue;
        }
        let Some(functions) = fixed::functions(&owned, library) else { continue };
        let is_it = |ty: &Type| ty.to_token_stream().to_string() == owned.to_token_stream().to_string();
        match &field.ty {
            ty if is_it(ty) => {
                let path = LitStr::new(&format!("{functions}::serialize"), Span::call_site());
                field.attrs.push(parse_quote!(#[serde(serialize_with = #path)]));
            }
            Type::Reference(reference) if is_it(&reference.elem) => {
                // With the type, the compiler sees through the reference.
                let ty = &reference.elem;
                let path = format!("{functions}::serialize::<{}, _>", ty.to_token_stream());
                let path = LitStr::new(&path, Span::call_site());
                field.attrs.push(parse_quote!(#[serde(serialize_with = #path)]));
            }
            ty => errors.refuse(
                ty,
                "a fixed array longer than 32 inside of a borrowed slice, or of a reference in a container",
                &[&format!("borrow the whole: `&{}`", quote!(#owned).to_string().replace(' ', ""))],
            ),
        }
    }
}

fn without_lifetimes(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    generics.params = generics
        .params
        .into_iter()
        .filter(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
        .map(|mut parameter| {
            if let GenericParam::Type(parameter) = &mut parameter {
                parameter.bounds = types_of(&parameter.bounds);
            }
            parameter
        })
        .collect();
    if let Some(clause) = &mut generics.where_clause {
        let predicates = std::mem::take(&mut clause.predicates);
        clause.predicates = predicates
            .into_iter()
            .filter_map(|predicate| match predicate {
                WherePredicate::Type(mut bound) => {
                    bound.bounds = types_of(&bound.bounds);
                    (!bound.bounds.is_empty()).then_some(WherePredicate::Type(bound))
                }
                _ => None,
            })
            .collect();
    }
    generics
}

/// The bounds that are no lifetimes.
fn types_of(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Punctuated<TypeParamBound, Token![+]> {
    bounds.iter().filter(|bound| !matches!(bound, TypeParamBound::Lifetime(_))).cloned().collect()
}

/// Takes derives out.
fn keep_derives(attributes: &mut [Attribute], is_kept: impl Fn(&Path) -> bool) {
    for attribute in attributes.iter_mut().filter(|attribute| attribute.path().is_ident("derive")) {
        if let Ok(paths) = derived(attribute) {
            let paths: Vec<Path> = paths.into_iter().filter(|path| is_kept(path)).collect();
            *attribute = parse_quote!(#[derive(#(#paths),*)]);
        }
    }
}

fn last_is(path: &Path, name: &str) -> bool {
    path.segments.last().is_some_and(|segment| segment.ident == name)
}
