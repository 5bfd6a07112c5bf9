//! The schema of a type, and of the types that it seems to be made of.
//!
//! `Vec<(Foreign, u16)>` is taken apart, so that the `u16` is known even if `Foreign` is not. The
//! macro cannot know that `Vec` is the standard library's; the library's `Probe` asks the compiler.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{GenericArgument, Ident, PathArguments, Type};

use crate::attr::at;

/// Names of possible containers of the standard library.
const CONTAINERS: [&str; 20] = [
    "Arc",
    "BTreeMap",
    "BTreeSet",
    "BinaryHeap",
    "Box",
    "Cell",
    "HashMap",
    "HashSet",
    "LinkedList",
    "Mutex",
    "Option",
    "Range",
    "RangeInclusive",
    "Rc",
    "RefCell",
    "Result",
    "Reverse",
    "RwLock",
    "Vec",
    "VecDeque",
];

/// Names of possible types without parts, which need no examination.
const SIMPLE: [&str; 17] = [
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64",
    "u128", "usize", "String",
];

/// The most members of a tuple in serde.
const MEMBERS: usize = 16;

/// An expression for the schema of `ty`. `private` is the library's hidden module, and `types`
/// collects the definitions.
pub(crate) fn schema(ty: &Type, private: &TokenStream, types: &Ident) -> TokenStream {
    call(ty, "schema", private, types)
}

fn call(ty: &Type, method: &str, private: &TokenStream, types: &Ident) -> TokenStream {
    let parts = parts(ty).filter(|parts| !parts.iter().all(|part| is_simple(part))).unwrap_or_default();
    let marks = parts.iter().map(|part| quote!(::std::marker::PhantomData<#part>));
    let marks = quote!((#(#marks,)*));
    let schemas = parts.iter().map(|part| {
        let schema = call(part, "part", private, types);
        quote!(&|#types: &mut #private::Types| #schema)
    });
    let schemas = quote!(&[#(#schemas),*]);
    let method = Ident::new(method, at(ty));
    quote_spanned!(at(ty)=> (&&#private::Probe::<#ty, #marks>::NEW).#method(#types, #schemas))
}

/// The parts of `ty`, if it looks like a container.
fn parts(ty: &Type) -> Option<Vec<&Type>> {
    match ty {
        Type::Group(group) => parts(&group.elem),
        Type::Paren(paren) => parts(&paren.elem),
        Type::Array(array) => Some(vec![&array.elem]),
        Type::Tuple(tuple) if (1..=MEMBERS).contains(&tuple.elems.len()) => {
            Some(tuple.elems.iter().collect())
        }
        Type::Path(path) if path.qself.is_none() => {
            let last = path.path.segments.last()?;
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
            if !CONTAINERS.iter().any(|container| last.ident == container) {
                return None;
            }
            let part = |argument| match argument {
                // A slice has no size, so its elements count.
                &GenericArgument::Type(Type::Slice(ref slice)) => Some(&*slice.elem),
                GenericArgument::Type(part) => Some(part),
                _ => None,
            };
            arguments.args.iter().map(part).collect()
        }
        _ => None,
    }
}

fn is_simple(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => {
            path.path.get_ident().is_some_and(|ident| SIMPLE.iter().any(|name| ident == name))
        }
        _ => parts(ty).is_some_and(|parts| parts.iter().all(|part| is_simple(part))),
    }
}
