//! Fields with fixed arrays that may be longer than serde's longest: adds the attribute that makes
//! the library write and read them.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{
    Data, DeriveInput, Expr, ExprLit, Field, GenericArgument, Ident, Lit, LitStr, Path, PathArguments, Type,
    parse_quote,
};

use crate::ast;
use crate::attr::{BOUND, DESERIALIZE_WITH, INFERRED, SERIALIZE_WITH, SKIP, Serde, WITH};
use crate::bound::bounded;

/// The longest fixed array that serde knows.
const LONGEST_OF_SERDE: u64 = 32;

/// The name of the library's type with the functions in the attribute.
const FIXED_ARRAYS: &str = "FixedArrays";

/// A field's type, taken apart.
struct Plan<'a> {
    /// The library's types that describe its structure.
    adapter: TokenStream,
    /// The type of the elements.
    leaf: &'a Type,
    /// The parts of the schema that the adapter does not know.
    holds: Holds<'a>,
}

/// The maps in a plan: no adapter knows their keys.
enum Holds<'a> {
    NoMap,
    /// An option around a type with a map.
    Maybe(&'a Type),
    /// A map: its key, and its value.
    Map(&'a Type, &'a Type),
}

/// Adds `#[serde(with = "…")]` to each field with a type that is written with a long fixed array.
pub(crate) fn add(input: &mut DeriveInput, library: &Path) {
    let parameters: BTreeSet<Ident> =
        input.generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    let has_bounds = Serde::new(&input.attrs).has(BOUND);
    let mut fields: Vec<(bool, &mut Field)> = match &mut input.data {
        Data::Struct(data) => data.fields.iter_mut().map(|field| (has_bounds, field)).collect(),
        Data::Enum(data) => {
            let variants = data.variants.iter_mut();
            let fields = variants.flat_map(|variant| {
                let has_bounds = has_bounds || Serde::new(&variant.attrs).has(BOUND);
                variant.fields.iter_mut().map(move |field| (has_bounds, field))
            });
            fields.collect()
        }
        Data::Union(_) => Vec::new(),
    };
    let mut is_generic = false;
    for (_, field) in &mut fields {
        if has_functions(field) {
            continue;
        }
        let Some(path) = functions(&field.ty, library) else { continue };
        is_generic |= !bounded(field, &parameters).is_empty();
        let path = LitStr::new(&path, Span::call_site());
        field.attrs.push(parse_quote!(#[serde(with = #path)]));
    }
    if is_generic {
        fields.into_iter().for_each(|(has_bounds, field)| bind(field, has_bounds, &parameters, library));
    }
}

/// True if serde's attributes say how the field is written, or that it is not.
pub(crate) fn has_functions(field: &Field) -> bool {
    let serde = Serde::new(&field.attrs);
    [WITH, SERIALIZE_WITH, DESERIALIZE_WITH, SKIP].iter().any(|attribute| serde.has(attribute))
}

/// The path of the functions for a type that is written with a long fixed array; `None` for others.
pub(crate) fn functions(ty: &Type, library: &Path) -> Option<String> {
    let fixed = quote!(#library::__private::fixed);
    let adapter = plan(ty, &fixed)?.adapter;
    let name = Ident::new(FIXED_ARRAYS, Span::call_site());
    Some(quote!(#fixed::#name::<#adapter>).to_string().replace(' ', ""))
}

/// Tells serde the bounds of a field. It infers none for a field that functions write. A parameter
/// that a function reads in one field, and its own `Deserialize` in another, needs the same bound
/// in both.
fn bind(field: &mut Field, has_bounds: bool, parameters: &BTreeSet<Ident>, library: &Path) {
    let serde = Serde::new(&field.attrs);
    let by_author = serde.reads_with().is_some() && adapter_path(&serde).is_none();
    if has_bounds || by_author || [BOUND, SKIP].iter().any(|attribute| serde.has(attribute)) {
        return;
    }
    let serde = quote!(#library::__private::serde);
    let bounds = bounded(field, parameters);
    if !bounds.is_empty() {
        let bounds =
            quote!(#(#bounds: #serde::Serialize + #serde::de::DeserializeOwned + 'static),*).to_string();
        let bounds = LitStr::new(&bounds, Span::call_site());
        let inferred = Ident::new(INFERRED, Span::call_site());
        field.attrs.push(parse_quote!(#[serde(bound(serialize = #bounds, deserialize = #bounds))]));
        field.attrs.push(parse_quote!(#[checkpoint(#inferred)]));
    }
}

/// The schema of a field with the attribute; `None` for other fields. `fixed` is the path of the
/// adapters.
pub(crate) fn schema(
    field: &ast::Field,
    fixed: &TokenStream,
    types: &Ident,
    probe: impl Fn(&Type) -> TokenStream,
) -> Option<TokenStream> {
    adapter_path(&field.serde)?;
    schema_of(&field.original.ty, fixed, types, &probe)
}

fn schema_of(
    ty: &Type,
    fixed: &TokenStream,
    types: &Ident,
    probe: &impl Fn(&Type) -> TokenStream,
) -> Option<TokenStream> {
    let Plan { adapter, leaf, holds } = plan(ty, fixed)?;
    Some(match holds {
        Holds::NoMap => {
            let (name, leaf) = (Ident::new(FIXED_ARRAYS, Span::call_site()), probe(leaf));
            quote!(#fixed::#name::<#adapter>::schema::<#ty>(#types, |#types| #leaf))
        }
        Holds::Maybe(inner) => {
            let inner = schema_of(inner, fixed, types, probe)?;
            quote!(#fixed::option(#inner))
        }
        Holds::Map(key, value) => {
            let (key, value) = (probe(key), schema_of(value, fixed, types, probe)?);
            quote!(#fixed::map(#key, #value))
        }
    })
}

/// Gives up the memory of a field with the attribute; `None` for other fields.
pub(crate) fn lend(
    field: &ast::Field,
    binding: &Ident,
    pool: &Ident,
    probe: impl FnOnce(&Type, &Ident) -> TokenStream,
) -> Option<TokenStream> {
    let path = adapter_path(&field.serde)?;
    let leaf = plan(&field.original.ty, &TokenStream::new())?.leaf;
    let element = Ident::new("__element", Span::mixed_site());
    let (ty, call) = (&field.original.ty, probe(leaf, &element));
    Some(quote!(#path::lend_arrays::<#ty, #leaf>(#binding, #pool, |#element, #pool| #call);))
}

/// The path in the attribute, if it leads to an adapter.
fn adapter_path(serde: &Serde) -> Option<Path> {
    let path: Path = serde.text(WITH)?.parse().ok()?;
    let is_ours = path.segments.last().is_some_and(|last| last.ident == FIXED_ARRAYS)
        && path.segments.iter().any(|segment| segment.ident == "__private");
    is_ours.then_some(path)
}

fn plan<'a>(ty: &'a Type, fixed: &TokenStream) -> Option<Plan<'a>> {
    let wrapped = |name: &str, plan: Plan<'a>| {
        let (name, inner) = (Ident::new(name, Span::call_site()), plan.adapter);
        Plan { adapter: quote!(#fixed::#name<#inner>), leaf: plan.leaf, holds: Holds::NoMap }
    };
    let (container, arguments) = match ty {
        Type::Group(group) => return plan(&group.elem, fixed),
        Type::Paren(paren) => return plan(&paren.elem, fixed),
        Type::Array(_) => return rows(ty, fixed),
        Type::Path(path) if path.qself.is_none() => {
            let last = path.path.segments.last()?;
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
            let types = arguments.args.iter().map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            });
            (last.ident.to_string(), types.collect::<Option<Vec<&Type>>>()?)
        }
        _ => return None,
    };
    match (container.as_str(), &arguments[..]) {
        ("Vec", [inner @ Type::Array(_)]) => Some(wrapped("Rows", rows(inner, fixed)?)),
        ("Box", [inner @ Type::Array(_)]) => Some(wrapped("Boxed", rows(inner, fixed)?)),
        ("Arc" | "Rc", [inner @ Type::Array(_)]) => Some(wrapped("Shared", rows(inner, fixed)?)),
        ("Box", [Type::Slice(slice)]) => Some(wrapped("BoxedRows", rows(&slice.elem, fixed)?)),
        ("Option", [inner]) => {
            let plan = plan(inner, fixed)?;
            let has_map = !matches!(plan.holds, Holds::NoMap);
            let plan = wrapped("Maybe", plan);
            Some(if has_map { Plan { holds: Holds::Maybe(inner), ..plan } } else { plan })
        }
        ("HashMap" | "BTreeMap", [key, value, ..]) => {
            let plan = wrapped("Values", plan(value, fixed)?);
            Some(Plan { holds: Holds::Map(key, value), ..plan })
        }
        _ => None,
    }
}

/// The plan of fixed arrays inside each other, if one of them may be long: a length that is no
/// literal is not known here.
fn rows<'a>(ty: &'a Type, fixed: &TokenStream) -> Option<Plan<'a>> {
    let mut lengths = Vec::new();
    let mut leaf = ty;
    while let Type::Array(array) = leaf {
        lengths.push(&array.len);
        leaf = &array.elem;
    }
    let is_short = |length: &&Expr| {
        let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = length else { return false };
        number.base10_parse::<u64>().is_ok_and(|number| number <= LONGEST_OF_SERDE)
    };
    if lengths.iter().all(is_short) {
        return None;
    }
    let same = quote!(#fixed::Same);
    let adapter = lengths.iter().fold(same, |inner, _| quote!(#fixed::Fixed<#inner>));
    Some(Plan { adapter, leaf, holds: Holds::NoMap })
}
