//! The item in the macro's view: the fields that serde will write, in order, with their names.

use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::{Attribute, Data, DeriveInput, Error, ExprPath, Ident, LitStr, Token, Type};

use crate::attr::{self, Errors, FieldSettings, Part, Serde, Settings, Value};
use crate::case::Case;

/// A struct, an enum, or a union.
pub(crate) struct Input<'a> {
    pub(crate) original: &'a DeriveInput,
    pub(crate) settings: Settings,
    pub(crate) serde: Serde,
    /// The name of the type in checkpoints.
    pub(crate) name: LitStr,
    pub(crate) body: Body<'a>,
}

pub(crate) enum Body<'a> {
    Struct(Fields<'a>),
    Enum(Vec<Variant<'a>>),
    Union,
}

pub(crate) struct Variant<'a> {
    pub(crate) original: &'a syn::Variant,
    pub(crate) settings: FieldSettings,
    pub(crate) serde: Serde,
    /// The name that serde writes.
    pub(crate) name: LitStr,
    pub(crate) fields: Fields<'a>,
}

pub(crate) struct Fields<'a> {
    pub(crate) style: Style,
    pub(crate) all: Vec<Field<'a>>,
}

/// The way that serde treats the fields of a struct or a variant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Unit,
    Newtype,
    Tuple,
    Named,
}

pub(crate) struct Field<'a> {
    pub(crate) original: &'a syn::Field,
    pub(crate) settings: FieldSettings,
    pub(crate) serde: Serde,
    /// The name that serde writes; its number if it has none.
    pub(crate) name: LitStr,
}

impl<'a> Input<'a> {
    pub(crate) fn new(original: &'a DeriveInput, errors: &mut Errors) -> Input<'a> {
        let settings = Settings::new(&original.attrs, errors);
        let serde = Serde::new(&original.attrs);
        let name = match &settings.name {
            Some(name) => name.clone(),
            None => name(&original.ident, &serde, None, Case::variant),
        };
        let rename_all = case(&serde, attr::RENAME_ALL);
        let body = match &original.data {
            Data::Struct(data) => Body::Struct(Fields::new(&data.fields, rename_all, errors)),
            Data::Enum(data) => {
                let for_fields = case(&serde, attr::RENAME_ALL_FIELDS);
                Body::Enum(
                    data.variants
                        .iter()
                        .map(|variant| Variant::new(variant, rename_all, for_fields, errors))
                        .collect(),
                )
            }
            Data::Union(_) => Body::Union,
        };
        Input { original, settings, serde, name, body }
    }

    pub(crate) fn variants(&self) -> &[Variant<'a>] {
        match &self.body {
            Body::Enum(variants) => variants,
            Body::Struct(_) | Body::Union => &[],
        }
    }

    /// The fields that are not skipped, each with its variant.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (Option<&Variant<'a>>, &Field<'a>)> {
        let own = match &self.body {
            Body::Struct(fields) => Some(fields),
            Body::Enum(_) | Body::Union => None,
        };
        let of_variants = self.variants().iter().filter(|variant| !variant.is_skipped());
        own.map(|fields| (None, fields))
            .into_iter()
            .chain(of_variants.map(|variant| (Some(variant), &variant.fields)))
            .flat_map(|(variant, fields)| fields.stored().map(move |field| (variant, field)))
    }

    /// The fields that serde itself writes and reads: none if the type is converted into another.
    pub(crate) fn stored_fields(&self) -> impl Iterator<Item = (Option<&Variant<'a>>, &Field<'a>)> {
        self.fields().filter(|_| self.conversion().is_none())
    }

    /// The type that this one is converted into before it is written, if any.
    pub(crate) fn conversion(&self) -> Option<&LitStr> {
        self.serde.text(attr::INTO)
    }
}

impl<'a> Variant<'a> {
    fn new(
        original: &'a syn::Variant,
        rename_all: Option<Case>,
        for_fields: Option<Case>,
        errors: &mut Errors,
    ) -> Variant<'a> {
        let settings = FieldSettings::new(&original.attrs, errors);
        let serde = Serde::new(&original.attrs);
        let name = name(&original.ident, &serde, rename_all, Case::variant);
        let fields = Fields::new(&original.fields, case(&serde, attr::RENAME_ALL).or(for_fields), errors);
        Variant { original, settings, serde, name, fields }
    }

    pub(crate) fn is_skipped(&self) -> bool {
        self.serde.has(attr::SKIP)
    }

    /// The return type of the function in `deserialize_with`: the type of the only field, or a
    /// tuple of all.
    pub(crate) fn content(&self) -> Type {
        let types = self.fields.all.iter().map(|field| &field.original.ty);
        syn::parse_quote!((#(#types),*))
    }
}

impl<'a> Fields<'a> {
    fn new(fields: &'a syn::Fields, rename_all: Option<Case>, errors: &mut Errors) -> Fields<'a> {
        let style = match fields {
            syn::Fields::Unit => Style::Unit,
            syn::Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Style::Newtype,
            syn::Fields::Unnamed(_) => Style::Tuple,
            syn::Fields::Named(_) => Style::Named,
        };
        let fields = fields.iter().enumerate();
        let all = fields.map(|(number, field)| Field::new(field, number, rename_all, errors)).collect();
        Fields { style, all }
    }

    pub(crate) fn stored(&self) -> impl Iterator<Item = &Field<'a>> {
        self.all.iter().filter(|field| !field.is_skipped())
    }

    /// The field that a transparent struct stands for. serde wants exactly one.
    pub(crate) fn transparent(&self) -> Option<&Field<'a>> {
        self.stored().find(|field| !field.is_phantom() && !field.serde.has(attr::DEFAULT))
    }
}

impl<'a> Field<'a> {
    fn new(
        original: &'a syn::Field,
        number: usize,
        rename_all: Option<Case>,
        errors: &mut Errors,
    ) -> Field<'a> {
        let settings = FieldSettings::new(&original.attrs, errors);
        let serde = Serde::new(&original.attrs);
        let name = match &original.ident {
            Some(ident) => name(ident, &serde, rename_all, Case::field),
            None => LitStr::new(&number.to_string(), proc_macro2::Span::call_site()),
        };
        Field { original, settings, serde, name }
    }

    pub(crate) fn is_skipped(&self) -> bool {
        self.serde.has(attr::SKIP)
    }

    fn is_phantom(&self) -> bool {
        match &self.original.ty {
            Type::Path(ty) => ty.path.segments.last().is_some_and(|segment| segment.ident == "PhantomData"),
            _ => false,
        }
    }
}

impl Serde {
    /// The function that replaces the type's own `Deserialize`.
    pub(crate) fn reads_with(&self) -> Option<ExprPath> {
        if let Some(module) = self.text(attr::WITH) {
            let mut path: ExprPath = module.parse().ok()?;
            let function = Ident::new(attr::DESERIALIZE, module.span());
            path.path.segments.push(function.into());
            return Some(path);
        }
        self.text(attr::DESERIALIZE_WITH)?.parse().ok()
    }

    /// Bounds that replace the inferred ones, for writing and for reading.
    pub(crate) fn bounds(&self) -> (Option<&LitStr>, Option<&LitStr>) {
        self.get(attr::BOUND).map_or((None, None), |part| part.value.each())
    }
}

/// `rename`, or otherwise the name that `rename_all` makes. Another check refuses different names
/// for writing and reading.
fn name(ident: &Ident, serde: &Serde, case: Option<Case>, apply: fn(Case, &str) -> String) -> LitStr {
    if let Some((Some(name), _)) = serde.get(attr::RENAME).map(|part| part.value.each()) {
        return name.clone();
    }
    let name = ident.unraw().to_string();
    LitStr::new(&case.map_or(name.clone(), |case| apply(case, &name)), ident.span())
}

fn case(serde: &Serde, attribute: &str) -> Option<Case> {
    let (serialize, _) = serde.get(attribute)?.value.each();
    Case::parse(serialize?)
}

/// The paths in `#[derive(…)]`.
pub(crate) fn derived(attribute: &Attribute) -> Result<Punctuated<syn::Path, Token![,]>, Error> {
    attribute.parse_args_with(Punctuated::parse_terminated)
}

/// True if writing and reading have different texts.
pub(crate) fn differs(part: &Part) -> bool {
    let (serialize, deserialize) = part.value.each();
    !matches!(part.value, Value::None) && serialize.map(LitStr::value) != deserialize.map(LitStr::value)
}
