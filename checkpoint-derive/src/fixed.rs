//! Fields with fixed arrays that may be longer than serde knows: the attribute that has the library write and read them.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::visit::{self, Visit};
use syn::{
    Data, DeriveInput, Expr, ExprLit, Field, GenericArgument, Ident, Lit, LitStr, Path, PathArguments, Type,
    parse_quote,
};

use crate::ast;
use crate::attr::{DESERIALIZE_WITH, SERIALIZE_WITH, SKIP, Serde, WITH};

/// The longest fixed array that serde knows.
const LONGEST_OF_SERDE: u64 = 32;

/// The name of the library's type whose functions the attribute names.
const FIXED_ARRAYS: &str = "FixedArrays";

/// A field's type, taken apart.
struct Plan<'a> {
    /// The library's types that stand for how it is made.
    adapter: TokenStream,
    /// The type of the elements.
    leaf: &'a Type,
}

/// Adds `#[serde(with = "…")]` to each field whose type is written as one with a long fixed array.
pub(crate) fn add(input: &mut DeriveInput, library: &Path) {
    let parameters: Vec<Ident> =
        input.generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    let fields: Vec<&mut Field> = match &mut input.data {
        Data::Struct(data) => data.fields.iter_mut().collect(),
        Data::Enum(data) => data.variants.iter_mut().flat_map(|variant| variant.fields.iter_mut()).collect(),
        Data::Union(_) => Vec::new(),
    };
    for field in fields {
        let serde = Serde::new(&field.attrs);
        if [WITH, SERIALIZE_WITH, DESERIALIZE_WITH, SKIP].iter().any(|attribute| serde.has(attribute)) {
            continue;
        }
        let fixed = quote!(#library::__private::fixed);
        // With the attribute serde asks nothing of type parameters any more, so it would not compile with one.
        let Some(plan) = plan(&field.ty, &fixed).filter(|plan| !mentions(plan.leaf, &parameters)) else {
            continue;
        };
        let adapter = plan.adapter;
        let name = Ident::new(FIXED_ARRAYS, Span::call_site());
        let path = quote!(#fixed::#name::<#adapter>).to_string().replace(' ', "");
        let path = LitStr::new(&path, Span::call_site());
        field.attrs.push(parse_quote!(#[serde(with = #path)]));
    }
}

/// The schema of a field that has the attribute, or `None` if it has not.
pub(crate) fn schema(
    field: &ast::Field,
    types: &Ident,
    probe: impl FnOnce(&Type) -> TokenStream,
) -> Option<TokenStream> {
    let (path, leaf) = adapter(field)?;
    let (ty, leaf) = (&field.original.ty, probe(leaf));
    Some(quote!(#path::schema::<#ty>(#types, |#types| #leaf)))
}

/// Gives up the memory of a field that has the attribute, or `None` if it has not.
pub(crate) fn lend(
    field: &ast::Field,
    binding: &Ident,
    pool: &Ident,
    probe: impl FnOnce(&Type, &Ident) -> TokenStream,
) -> Option<TokenStream> {
    let (path, leaf) = adapter(field)?;
    let element = Ident::new("__element", Span::mixed_site());
    let (ty, call) = (&field.original.ty, probe(leaf, &element));
    Some(quote!(#path::lend_arrays::<#ty, #leaf>(#binding, #pool, |#element, #pool| #call);))
}

/// What the attribute names, and the type of the elements.
fn adapter<'a>(field: &'a ast::Field<'_>) -> Option<(Path, &'a Type)> {
    let path: Path = field.serde.text(WITH)?.parse().ok()?;
    let last = path.segments.last().filter(|last| last.ident == FIXED_ARRAYS);
    last.filter(|_| path.segments.iter().any(|segment| segment.ident == "__private"))?;
    let leaf = plan(&field.original.ty, &TokenStream::new())?.leaf;
    Some((path, leaf))
}

fn plan<'a>(ty: &'a Type, fixed: &TokenStream) -> Option<Plan<'a>> {
    let wrapped = |name: &str, plan: Plan<'a>| {
        let (name, inner) = (Ident::new(name, Span::call_site()), plan.adapter);
        Plan { adapter: quote!(#fixed::#name<#inner>), leaf: plan.leaf }
    };
    let (container, inner) = match ty {
        Type::Group(group) => return plan(&group.elem, fixed),
        Type::Paren(paren) => return plan(&paren.elem, fixed),
        Type::Array(_) => return rows(ty, fixed),
        Type::Path(path) if path.qself.is_none() => {
            let last = path.path.segments.last()?;
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
            match arguments.args.first() {
                Some(GenericArgument::Type(inner)) if arguments.args.len() == 1 => (&last.ident, inner),
                _ => return None,
            }
        }
        _ => return None,
    };
    match (container.to_string().as_str(), inner) {
        ("Vec", Type::Array(_)) => Some(wrapped("Rows", rows(inner, fixed)?)),
        ("Box", Type::Array(_)) => Some(wrapped("Boxed", rows(inner, fixed)?)),
        ("Box", Type::Slice(slice)) => Some(wrapped("BoxedRows", rows(&slice.elem, fixed)?)),
        ("Option", _) => Some(wrapped("Maybe", plan(inner, fixed)?)),
        _ => None,
    }
}

/// Of fixed arrays in fixed arrays, one of which may be a long one: a length that is no literal is not known here.
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
    Some(Plan { adapter, leaf })
}

fn mentions(ty: &Type, parameters: &[Ident]) -> bool {
    struct Mentions<'a>(&'a [Ident], bool);

    impl<'ast> Visit<'ast> for Mentions<'_> {
        fn visit_ident(&mut self, ident: &'ast Ident) {
            self.1 |= self.0.contains(ident);
        }

        fn visit_macro(&mut self, mac: &'ast syn::Macro) {
            // What it makes of its tokens is not known.
            self.1 |= !self.0.is_empty();
            visit::visit_macro(self, mac);
        }
    }

    let mut mentions = Mentions(parameters, false);
    mentions.visit_type(ty);
    mentions.1
}
