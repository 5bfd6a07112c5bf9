//! `#[step]`: keeps the function, and adds a type of the same name. Its function `step` runs the
//! function as a step of a pipeline.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::{
    Attribute, ConstParam, Expr, ExprLit, FnArg, GenericArgument, GenericParam, Ident, Item, ItemFn, Lit,
    Pat, PatIdent, PatType, Path, PathArguments, ReturnType, Safety, Signature, Token, Type, TypeParam,
    TypePath, TypeReference, parse_quote,
};

use crate::attr::{CRATE, Errors, NAME};

/// The arguments that are methods of `Step`.
const METHODS: [&str; 4] = ["version", "keep", "keep_produced", "read_back"];

/// The marks on parameters, each the name of its role.
const MARKS: [&str; 6] = ["param", "file", "directory", "files", "produces", "context"];

pub(crate) fn expand(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    let function = match syn::parse2(item.clone()) {
        Ok(Item::Fn(function)) => Ok(function),
        Ok(_) => Err(syn::Error::new(Span::call_site(), "#[step] goes on a function")),
        Err(error) => Err(error),
    };
    let mut function = match function {
        Ok(function) => function,
        Err(error) => {
            let error = error.to_compile_error();
            return quote!(#error #item);
        }
    };
    let mut errors = Errors::default();
    let arguments = Arguments::parse(arguments, &mut errors);
    let parameters = parameters(&mut function.sig, &mut errors);
    check(&function.sig, &mut errors);
    let errors = errors.into_result().err().map(|error| error.to_compile_error());
    // No type stands among the functions of an implementation.
    let is_alone = function.sig.receiver().is_none();
    let step = is_alone.then(|| step(&function, &arguments, &parameters, errors.is_some()));
    quote!(#errors #function #step)
}

/// The arguments of the macro.
struct Arguments {
    library: Path,
    name: Option<Expr>,
    /// Calls of the methods of `Step`.
    calls: Vec<TokenStream>,
}

impl Arguments {
    fn parse(arguments: &TokenStream, errors: &mut Errors) -> Arguments {
        let mut parsed = Arguments { library: parse_quote!(::checkpointed), name: None, calls: Vec::new() };
        let mut given: Vec<Ident> = Vec::new();
        let parser = |input: ParseStream<'_>| {
            while !input.is_empty() {
                let name = input.call(Ident::parse_any)?;
                input.parse::<Token![=]>().map_err(|_| unexpected(&name))?;
                let value: Expr = input.parse()?;
                if given.contains(&name) {
                    return Err(syn::Error::new_spanned(name, "given twice"));
                }
                if name == CRATE {
                    parsed.library = library(&value)?;
                } else if name == NAME {
                    parsed.name = Some(value);
                } else if METHODS.iter().any(|method| name == method) {
                    parsed.calls.push(quote!(.#name(#value)));
                } else {
                    return Err(unexpected(&name));
                }
                given.push(name);
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        };
        if let Err(error) = parser.parse2(arguments.clone()) {
            errors.add(error);
        }
        parsed
    }
}

fn unexpected(name: &Ident) -> syn::Error {
    let expected = "expected `name = …`, `version = …`, `keep = …`, `keep_produced = …`, `read_back = …` or \
                    `crate = \"…\"`";
    syn::Error::new_spanned(name, expected)
}

fn library(value: &Expr) -> syn::Result<Path> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text.parse(),
        other => Err(syn::Error::new_spanned(other, "expected a text, such as \"…\"")),
    }
}

/// One parameter of the function.
struct Parameter {
    name: Ident,
    role: Role,
    /// The type that the caller of the step gives.
    given: Type,
}

enum Role {
    /// The output of an earlier step.
    Input,
    Context,
    /// The method of `Step` that declares it: `param`, or one that takes a path.
    Declared(Ident),
}

/// The parameters, with their marks taken off.
fn parameters(signature: &mut Signature, errors: &mut Errors) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for argument in &mut signature.inputs {
        let argument = match argument {
            FnArg::Typed(argument) => argument,
            FnArg::Receiver(receiver) => {
                let ways_out =
                    ["write it outside of the implementation, and take what it needs as parameters"];
                errors.refuse(receiver, "a step is a function without `self`", &ways_out);
                continue;
            }
        };
        let mark = mark(&mut argument.attrs, errors);
        match &*argument.pat {
            Pat::Ident(PatIdent { ident, by_ref: None, subpat: None, .. }) => {
                let name = ident.clone();
                parameters.push(parameter(name, mark, argument, errors));
            }
            pattern => {
                let ways_out = ["give it a name, and take it apart in the function"];
                errors.refuse(pattern, "the parameter of a step has a name", &ways_out);
            }
        }
    }
    parameters
}

/// Takes the mark off.
fn mark(attributes: &mut Vec<Attribute>, errors: &mut Errors) -> Option<Ident> {
    let mut mark = None;
    attributes.retain(|attribute| {
        let Some(name) = attribute.path().get_ident() else { return true };
        if !MARKS.iter().any(|known| name == known) {
            return true;
        }
        if mark.replace(name.clone()).is_some() {
            errors.refuse(attribute, "a parameter has one mark", &[]);
        }
        false
    });
    mark
}

fn parameter(name: Ident, mark: Option<Ident>, argument: &PatType, errors: &mut Errors) -> Parameter {
    let given = (*argument.ty).clone();
    if let Some(mark) = mark {
        if mark != "context" && has_mut(given.to_token_stream()) {
            let ways_out =
                ["take it by value or by a shared reference, and return what the step makes of it"];
            errors.refuse(&given, "a reused step changes no argument", &ways_out);
        }
        let role = if mark == "context" { Role::Context } else { Role::Declared(mark) };
        return Parameter { name, role, given };
    }
    if let Type::Reference(reference) = &given
        && !is_text(&reference.elem)
    {
        if reference.mutability.is_some() {
            let ways_out = ["take it by a shared reference, and return what the step makes of it"];
            errors.refuse(reference, "other steps use the output of a step too", &ways_out);
        }
        let given = input(reference);
        return Parameter { name, role: Role::Input, given };
    }
    if has_mut(given.to_token_stream()) {
        let ways_out = ["take it by value or by a shared reference, and return what the step makes of it"];
        errors.refuse(&given, "a reused step changes no argument", &ways_out);
    }
    let role = Role::Declared(Ident::new("param", Span::call_site()));
    Parameter { name, role, given }
}

/// True for a type with a mutable reference in it.
fn has_mut(ty: TokenStream) -> bool {
    ty.into_iter().any(|token| match token {
        TokenTree::Group(group) => has_mut(group.stream()),
        TokenTree::Ident(ident) => ident == "mut",
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// True for a type that the caller chooses: `impl Trait`, also inside of another.
fn is_chosen(ty: TokenStream) -> bool {
    ty.into_iter().any(|token| match token {
        TokenTree::Group(group) => is_chosen(group.stream()),
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// True for `str` and `Path`, which are behind a reference for another reason than size.
fn is_text(target: &Type) -> bool {
    matches!(target, Type::Path(TypePath { path, .. })
        if path.segments.last().is_some_and(|last| last.ident == "str" || last.ident == "Path"))
}

/// The type of an output, before it is `Output<…>`: a slice is that of a vector.
fn input(reference: &TypeReference) -> Type {
    match &*reference.elem {
        Type::Slice(slice) => {
            let element = &slice.elem;
            parse_quote!(::std::vec::Vec<#element>)
        }
        other => other.clone(),
    }
}

fn check(signature: &Signature, errors: &mut Errors) {
    if let Some(word) = &signature.asyncness {
        let ways_out = ["wait for the future in it, by the runtime's `block_on`"];
        errors.refuse(word, "the function of a step is not async", &ways_out);
    }
    if let Safety::Unsafe(word) = &signature.safety {
        let ways_out = ["call it from a safe function, with the proof there"];
        errors.refuse(word, "the function of a step is safe to call", &ways_out);
    }
}

/// The type with the function `step`. It does nothing if there are errors.
fn step(function: &ItemFn, arguments: &Arguments, parameters: &[Parameter], is_wrong: bool) -> TokenStream {
    let Arguments { library, name, calls } = arguments;
    let ItemFn { attrs, vis, sig, .. } = function;
    let ident = &sig.ident;
    let text = ident.unraw().to_string();
    let conditions: Vec<&Attribute> =
        attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect();

    let given = parameters.iter().filter_map(|Parameter { name, role, given }| match role {
        Role::Input => Some(quote!(#name: &#library::pipeline::Output<#given>)),
        Role::Declared(_) => Some(quote!(#name: #given)),
        Role::Context => None,
    });
    let declared = parameters.iter().filter_map(|Parameter { name, role, .. }| match role {
        Role::Input => Some(quote!(.input(#name))),
        Role::Declared(method) if method == "param" => {
            let text = name.unraw().to_string();
            Some(quote!(.param(#text, &#name)))
        }
        Role::Declared(method) => Some(quote!(.#method(&#name))),
        Role::Context => None,
    });
    let loads = parameters.iter().filter(|parameter| matches!(parameter.role, Role::Input));
    let loads = loads.map(|Parameter { name, .. }| quote!(let #name = #name.load()?;));
    let pipeline = Ident::new("pipeline", Span::mixed_site());
    let context = Ident::new("context", Span::mixed_site());
    let passed = parameters.iter().map(|Parameter { name, role, .. }| match role {
        Role::Input => quote!(&*#name),
        Role::Context => context.to_token_stream(),
        Role::Declared(_) => name.to_token_stream(),
    });

    let (generics, _, bounds) = sig.generics.split_for_impl();
    let types: Vec<_> = sig.generics.params.iter().filter_map(of_call).collect();
    let types = (!types.is_empty()).then(|| quote!(::<#(#types),*>));
    let call = quote!(#ident #types(#(#passed),*));
    let (output, result) = match fallible(&sig.output) {
        Some(output) => (output, quote!(#call.map_err(::core::convert::Into::into))),
        None => (infallible(&sig.output), quote!(::core::result::Result::Ok(#call))),
    };
    // An output that is no checkpoint is an error at its type.
    let run = Ident::new("run", output.span());
    // A name that is given stands for the path too: the user may move the function.
    let path = match name {
        Some(_) => quote!(""),
        None => quote!(::core::concat!(::core::module_path!(), "::", #text)),
    };
    let chosen = sig.generics.params.iter().filter_map(chosen);
    let is_value = |role: &Role| matches!(role, Role::Declared(method) if method == "param");
    let types_of_values = parameters
        .iter()
        .filter(|parameter| is_value(&parameter.role) && is_chosen(parameter.given.to_token_stream()));
    let types_of_values = types_of_values.map(
        |Parameter { name, .. }| quote!(::std::string::String::from(::core::any::type_name_of_val(&#name))),
    );
    let generics_of_call = quote!(&[#(#chosen,)* #(#types_of_values,)*]);
    let name = name.as_ref().map_or_else(|| quote!(#text), |name| quote!(&#name));
    let body = quote! {
        #pipeline.step(#name).function(#path, #generics_of_call)#(#calls)*#(#declared)*.#run(
            move |#context| -> ::core::result::Result<
                #output,
                ::std::boxed::Box<dyn ::std::error::Error + ::core::marker::Send + ::core::marker::Sync>,
            > {
                #(#loads)*
                #result
            },
        )
    };
    // The compiler would only add errors of its own to ours.
    let body = if is_wrong { quote!(::std::unreachable!()) } else { body };
    let step = Ident::new("step", ident.span());
    let about = format!("[`{text}`] as a step of a pipeline.");
    let about_step =
        format!("Runs [`{text}`] as a step of a pipeline, or takes a kept output of it. See `Step::run`.");
    quote! {
        #(#conditions)*
        #[doc = #about]
        #[allow(non_camel_case_types, dead_code, missing_debug_implementations)]
        #vis enum #ident {}

        #(#conditions)*
        #[automatically_derived]
        #[allow(dead_code, unused_variables, clippy::all, clippy::pedantic)]
        impl #ident {
            #[doc = #about_step]
            #vis fn #step #generics (
                #pipeline: &#library::Pipeline,
                #(#given),*
            ) -> ::core::result::Result<#library::pipeline::Output<#output>, #library::Error>
            #bounds
            {
                #body
            }
        }
    }
}

/// A generic parameter as the argument of a call. The compiler finds lifetimes by itself.
fn of_call(parameter: &GenericParam) -> Option<&Ident> {
    match parameter {
        GenericParam::Type(parameter) => Some(&parameter.ident),
        GenericParam::Const(parameter) => Some(&parameter.ident),
        GenericParam::Lifetime(_) => None,
    }
}

/// The text of a generic parameter of this call: two calls with other ones are other steps.
fn chosen(parameter: &GenericParam) -> Option<TokenStream> {
    match parameter {
        GenericParam::Type(TypeParam { ident, .. }) => {
            Some(quote!(::std::string::String::from(::core::any::type_name::<#ident>())))
        }
        GenericParam::Const(ConstParam { ident, .. }) => {
            Some(quote!(::std::string::ToString::to_string(&#ident)))
        }
        GenericParam::Lifetime(_) => None,
    }
}

/// The type in a `Result`, by whatever path. `fmt::Result` has none in sight: it is `()`.
fn fallible(output: &ReturnType) -> Option<Type> {
    let ReturnType::Type(_, output) = output else { return None };
    let Type::Path(TypePath { path, .. }) = &**output else { return None };
    let last = path.segments.last().filter(|last| last.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Some(parse_quote!(())) };
    let mut arguments = arguments.args.iter();
    arguments.find_map(|argument| match argument {
        GenericArgument::Type(output) => Some(output.clone()),
        _ => None,
    })
}

fn infallible(output: &ReturnType) -> Type {
    match output {
        ReturnType::Default => parse_quote!(()),
        ReturnType::Type(_, output) => (**output).clone(),
    }
}
