//! The attributes of an item, a variant or a field: their names and their arguments.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::meta::ParseNestedMeta;
use syn::parse::{ParseStream, Parser as _};
use syn::{
    Attribute, Error, Expr, ExprLit, ExprPath, Lit, LitInt, LitStr, Meta, MetaList, Path, Token, Type,
    parse_quote, token,
};

/// The helper attribute of the derive; `#[checkpointed(…)]` becomes it.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// The attribute macro.
const CHECKPOINTED: &str = "checkpointed";
pub(crate) const SERDE: &str = "serde";

pub(crate) const AS: &str = "as";
pub(crate) const ALIAS: &str = "alias";
pub(crate) const BORROW: &str = "borrow";
pub(crate) const BOUND: &str = "bound";
pub(crate) const CONTENT: &str = "content";
pub(crate) const CRATE: &str = "crate";
pub(crate) const DEFAULT: &str = "default";
/// The mark of the attribute macro for the derive: serde's derives are present, so the type's serde
/// code is not written by hand.
pub(crate) const DERIVED: &str = "__derived";
pub(crate) const DENY_UNKNOWN_FIELDS: &str = "deny_unknown_fields";
pub(crate) const DESERIALIZE: &str = "deserialize";
pub(crate) const DESERIALIZE_WITH: &str = "deserialize_with";
pub(crate) const EXPECTING: &str = "expecting";
pub(crate) const FIELD_IDENTIFIER: &str = "field_identifier";
pub(crate) const FLATTEN: &str = "flatten";
pub(crate) const FROM: &str = "from";
pub(crate) const GETTER: &str = "getter";
pub(crate) const INFERRED: &str = "inferred";
pub(crate) const INTO: &str = "into";
pub(crate) const MIGRATE: &str = "migrate";
pub(crate) const NAME: &str = "name";
pub(crate) const OWNED: &str = "owned";
pub(crate) const OTHER: &str = "other";
pub(crate) const REMOTE: &str = "remote";
pub(crate) const RENAME: &str = "rename";
pub(crate) const RENAME_ALL: &str = "rename_all";
pub(crate) const RENAME_ALL_FIELDS: &str = "rename_all_fields";
pub(crate) const SERIALIZE: &str = "serialize";
pub(crate) const SERIALIZE_WITH: &str = "serialize_with";
pub(crate) const SKIP: &str = "skip";
pub(crate) const SKIP_DESERIALIZING: &str = "skip_deserializing";
pub(crate) const SKIP_SERIALIZING: &str = "skip_serializing";
pub(crate) const SKIP_SERIALIZING_IF: &str = "skip_serializing_if";
pub(crate) const TAG: &str = "tag";
pub(crate) const TRANSPARENT: &str = "transparent";
pub(crate) const TRY_FROM: &str = "try_from";
pub(crate) const UNTAGGED: &str = "untagged";
pub(crate) const VARIANT_IDENTIFIER: &str = "variant_identifier";
pub(crate) const VERSION: &str = "version";
pub(crate) const WAS: &str = "was";
pub(crate) const WAS_TYPE: &str = "was_type";
pub(crate) const WITH: &str = "with";

/// All arguments of serde's attributes, in any place.
pub(crate) const KNOWN_TO_SERDE: [&str; 30] = [
    ALIAS,
    BORROW,
    BOUND,
    CONTENT,
    CRATE,
    DEFAULT,
    DENY_UNKNOWN_FIELDS,
    DESERIALIZE_WITH,
    EXPECTING,
    FIELD_IDENTIFIER,
    FLATTEN,
    FROM,
    GETTER,
    INTO,
    OTHER,
    REMOTE,
    RENAME,
    RENAME_ALL,
    RENAME_ALL_FIELDS,
    SERIALIZE_WITH,
    SKIP,
    SKIP_DESERIALIZING,
    SKIP_SERIALIZING,
    SKIP_SERIALIZING_IF,
    TAG,
    TRANSPARENT,
    TRY_FROM,
    UNTAGGED,
    VARIANT_IDENTIFIER,
    WITH,
];

/// The errors found so far. They are shown all at once.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    /// Adds an error at `place`, with the ways out, each on a line of its own.
    pub(crate) fn refuse(&mut self, place: impl ToTokens, why: impl Display, ways_out: &[&str]) {
        let ways_out: String = ways_out.iter().map(|way| format!("\nhelp: {way}")).collect();
        self.add(Error::new_spanned(place, format!("{why}{ways_out}")));
    }

    pub(crate) fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    pub(crate) fn into_result(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), Err)
    }
}

/// One of the comma-separated parts of a `#[serde(…)]`.
pub(crate) struct Part {
    pub(crate) path: Path,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    /// `skip`
    None,
    /// `rename = "text"`
    Text(LitStr),
    /// `rename(serialize = "text", deserialize = "text")`; each may be given several times.
    Each { serialize: Vec<LitStr>, deserialize: Vec<LitStr> },
}

impl Value {
    /// The texts for writing and for reading.
    pub(crate) fn each(&self) -> (Option<&LitStr>, Option<&LitStr>) {
        match self {
            Value::None => (None, None),
            Value::Text(text) => (Some(text), Some(text)),
            Value::Each { serialize, deserialize } => (serialize.first(), deserialize.first()),
        }
    }
}

impl ToTokens for Part {
    /// The name alone, because an error is shown there.
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.path.to_tokens(tokens);
    }
}

/// All of serde's attributes in one place.
pub(crate) struct Serde(Vec<Part>);

impl Serde {
    /// Collects the arguments. A malformed one is left out: serde's own derives see the same
    /// attributes, and refuse it.
    pub(crate) fn new(attributes: &[Attribute]) -> Serde {
        let mut parts = Vec::new();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(SERDE)) {
            let _ = attribute.parse_nested_meta(|meta| {
                let path = meta.path.clone();
                parts.push(Part { path, value: value(&meta)? });
                Ok(())
            });
        }
        Serde(parts)
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.0.iter()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Part> {
        self.0.iter().find(|part| part.path.is_ident(name))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The other names under which serde reads this.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = &LitStr> {
        self.0.iter().filter(|part| part.path.is_ident(ALIAS)).filter_map(|part| match &part.value {
            Value::Text(alias) => Some(alias),
            _ => None,
        })
    }

    pub(crate) fn text(&self, name: &str) -> Option<&LitStr> {
        match &self.get(name)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

fn value(meta: &ParseNestedMeta) -> syn::Result<Value> {
    if meta.input.peek(Token![=]) {
        return Ok(Value::Text(text(meta)?));
    }
    if !meta.input.peek(token::Paren) {
        return Ok(Value::None);
    }
    let (mut serialize, mut deserialize) = (Vec::new(), Vec::new());
    meta.parse_nested_meta(|meta| {
        if meta.path.is_ident(SERIALIZE) {
            serialize.push(text(&meta)?);
        } else if meta.path.is_ident(DESERIALIZE) {
            deserialize.push(text(&meta)?);
        } else {
            return Err(meta.error("neither `serialize` nor `deserialize`"));
        }
        Ok(())
    })?;
    Ok(Value::Each { serialize, deserialize })
}

fn text(meta: &ParseNestedMeta) -> syn::Result<LitStr> {
    let mut value: Expr = meta.value()?.parse()?;
    // A `macro_rules!` that passes the text on wraps it in a group.
    while let Expr::Group(group) = value {
        value = *group.expr;
    }
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text),
        other => Err(Error::new_spanned(other, "expected a text, such as \"…\"")),
    }
}

const EXPECTED_ARGUMENTS: &str = "expected `name = \"…\"`, `version = …`, `migrate(from = …, with = …)`, `was_type = \"…\"` or `crate = \"…\"`";
const EXPECTED_OF_FIELD: &str = "expected `as = \"…\"`, the type that gives the stored form of the field, such as \"u32\", or \
    `was_type = \"…\"`, a former name of the type in the field, or `was(\"…\", with = …)`, a former field and the function \
    that takes its value";
const EXPECTED_FORM: &str =
    "expected `as = \"…\"`: the type that gives the stored form of the field, such as \"u32\"";
const EXPECTED_MIGRATION: &str =
    "expected `migrate(from = …, with = …)`: a version, and the function that takes its type";
const EXPECTED_WAS: &str =
    "expected `was(\"…\", with = …)`: the names of former fields, and the function that takes their values";
const EXPECTED_FUNCTION: &str =
    "expected the path of a function, such as `from_v1`, which takes the older type";

/// The author's settings for the type, in `#[checkpointed(…)]`.
pub(crate) struct Settings {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitInt>,
    pub(crate) migrations: Vec<Migration>,
    /// The former names of the type.
    pub(crate) was_types: Vec<LitStr>,
    pub(crate) library: Path,
    pub(crate) is_derived: bool,
}

/// One `migrate(from = …, with = …)`.
pub(crate) struct Migration {
    pub(crate) from: LitInt,
    pub(crate) with: Path,
}

impl Default for Settings {
    fn default() -> Settings {
        let library = parse_quote!(::checkpointed);
        Settings {
            name: None,
            version: None,
            migrations: Vec::new(),
            was_types: Vec::new(),
            library,
            is_derived: false,
        }
    }
}

impl Settings {
    pub(crate) fn new(attributes: &[Attribute], errors: &mut Errors) -> Settings {
        let mut settings = Settings::default();
        let mut given = Vec::new();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(CHECKPOINT)) {
            let parsed = attribute.parse_nested_meta(|meta| {
                settings.argument(&meta)?;
                let name = meta.path.require_ident()?;
                // These may occur once for each older version, or each older name.
                if name == MIGRATE || name == WAS_TYPE {
                    return Ok(());
                }
                if given.contains(name) {
                    return Err(meta.error("given twice"));
                }
                given.push(name.clone());
                Ok(())
            });
            match (parsed, &attribute.meta) {
                // Users are likely to write this, and syn's own message would not help.
                (Err(_), Meta::List(list)) if starts_with_literal(list) => {
                    errors.refuse(&list.tokens, EXPECTED_ARGUMENTS, &[]);
                }
                (Err(error), _) => errors.add(error),
                (Ok(()), _) => {}
            }
        }
        settings
    }

    /// The arguments of the attribute macro. The derive refuses invalid ones.
    pub(crate) fn of_macro(arguments: &TokenStream) -> Settings {
        let mut settings = Settings::default();
        let _ = syn::meta::parser(|meta| settings.argument(&meta)).parse2(arguments.clone());
        settings
    }

    fn argument(&mut self, meta: &ParseNestedMeta) -> syn::Result<()> {
        if meta.path.is_ident(NAME) {
            let name = text(meta)?;
            if name.value().is_empty() {
                return Err(Error::new_spanned(name, "the name must not be empty"));
            }
            self.name = Some(name);
        } else if meta.path.is_ident(VERSION) {
            self.version = Some(version(meta)?);
        } else if meta.path.is_ident(DERIVED) {
            self.is_derived = true;
        } else if meta.path.is_ident(MIGRATE) {
            self.migrations.push(Migration::parse(meta)?);
        } else if meta.path.is_ident(WAS_TYPE) {
            self.was_types.push(text(meta)?);
        } else if meta.path.is_ident(CRATE) {
            let library = text(meta)?;
            self.library = library.parse().map_err(|_| {
                Error::new_spanned(&library, "expected the path of the library, such as \"::checkpointed\"")
            })?;
        } else {
            return Err(meta.error(EXPECTED_ARGUMENTS));
        }
        Ok(())
    }
}

/// The author's settings for a field, or for a variant, in `#[checkpointed(…)]`.
#[derive(Default)]
pub(crate) struct FieldSettings {
    /// The type that gives the form in which it is stored.
    pub(crate) form: Option<Type>,
    /// The former names of the types in it.
    pub(crate) was_types: Vec<LitStr>,
    /// True if the bounds on it come from this macro, and not from the author.
    pub(crate) inferred: bool,
    /// The former fields that it is made of.
    pub(crate) was: Option<Was>,
}

/// One `was("…", with = …)`.
pub(crate) struct Was {
    /// The names of the former fields, in the order in which the function takes them.
    pub(crate) names: Vec<LitStr>,
    /// The versions with these fields; by default, the one before the present version.
    pub(crate) from: Option<Versions>,
    pub(crate) with: Path,
}

/// The versions in `from = 2` or `from = 1..=2`.
pub(crate) struct Versions {
    /// The first one, where there are several.
    pub(crate) first: Option<LitInt>,
    pub(crate) last: LitInt,
}

impl FieldSettings {
    pub(crate) fn new(attributes: &[Attribute], errors: &mut Errors) -> FieldSettings {
        let mut settings = FieldSettings::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(CHECKPOINT)) {
            let parsed = attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident(INFERRED) {
                    settings.inferred = true;
                    return Ok(());
                }
                if meta.path.is_ident(WAS_TYPE) {
                    settings.was_types.push(text(&meta)?);
                    return Ok(());
                }
                if meta.path.is_ident(WAS) {
                    return match settings.was.replace(Was::parse(&meta)?) {
                        Some(_) => Err(meta.error("given twice")),
                        None => Ok(()),
                    };
                }
                if !meta.path.is_ident(AS) {
                    return Err(meta.error(EXPECTED_OF_FIELD));
                }
                let form = text(&meta)?;
                let form = form.parse().map_err(|_| Error::new_spanned(&form, EXPECTED_FORM))?;
                match settings.form.replace(form) {
                    Some(_) => Err(meta.error("given twice")),
                    None => Ok(()),
                }
            });
            if let Err(error) = parsed {
                errors.add(error);
            }
        }
        settings
    }
}

impl Was {
    fn parse(meta: &ParseNestedMeta) -> syn::Result<Was> {
        if !meta.input.peek(token::Paren) {
            return Err(meta.error(EXPECTED_WAS));
        }
        let content;
        syn::parenthesized!(content in meta.input);
        let mut names = Vec::new();
        while content.peek(LitStr) {
            names.push(content.parse()?);
            if content.is_empty() {
                break;
            }
            content.parse::<Token![,]>()?;
        }
        let (mut from, mut with) = (None, None);
        let arguments = content.parse::<TokenStream>()?;
        let place = arguments.clone();
        syn::meta::parser(|meta| {
            let is_again = if meta.path.is_ident(FROM) {
                from.replace(Versions::parse(&meta)?).is_some()
            } else if meta.path.is_ident(WITH) {
                with.replace(function(&meta)?).is_some()
            } else {
                return Err(meta.error(EXPECTED_WAS));
            };
            if is_again { Err(meta.error("given twice")) } else { Ok(()) }
        })
        .parse2(arguments)?;
        match with {
            Some(with) if !names.is_empty() => Ok(Was { names, from, with }),
            _ if place.is_empty() => Err(Error::new_spanned(&meta.path, EXPECTED_WAS)),
            _ => Err(Error::new_spanned(place, EXPECTED_WAS)),
        }
    }
}

impl Migration {
    fn parse(meta: &ParseNestedMeta) -> syn::Result<Migration> {
        let (mut from, mut with) = (None, None);
        if !meta.input.peek(token::Paren) {
            return Err(meta.error(EXPECTED_MIGRATION));
        }
        meta.parse_nested_meta(|meta| {
            let is_again = if meta.path.is_ident(FROM) {
                from.replace(version(&meta)?).is_some()
            } else if meta.path.is_ident(WITH) {
                with.replace(function(&meta)?).is_some()
            } else {
                return Err(meta.error(EXPECTED_MIGRATION));
            };
            if is_again { Err(meta.error("given twice")) } else { Ok(()) }
        })?;
        match (from, with) {
            (Some(from), Some(with)) => Ok(Migration { from, with }),
            (None, _) => {
                Err(Error::new_spanned(&meta.path, "`from` is missing: the version that the function takes"))
            }
            (_, None) => {
                Err(Error::new_spanned(&meta.path, "`with` is missing: the function that takes that version"))
            }
        }
    }
}

impl Versions {
    fn parse(meta: &ParseNestedMeta) -> syn::Result<Versions> {
        let first = version(meta)?;
        if !meta.input.peek(Token![..=]) {
            return Ok(Versions { first: None, last: first });
        }
        meta.input.parse::<Token![..=]>()?;
        Ok(Versions { first: Some(first), last: number(meta.input)? })
    }
}

fn version(meta: &ParseNestedMeta) -> syn::Result<LitInt> {
    number(meta.value()?)
}

fn number(input: ParseStream<'_>) -> syn::Result<LitInt> {
    match input.parse()? {
        Lit::Int(number) if number.base10_parse::<u32>().is_ok() && is_plain(&number) => Ok(number),
        other => Err(Error::new_spanned(other, "the version is a whole number that fits into a u32")),
    }
}

fn function(meta: &ParseNestedMeta) -> syn::Result<Path> {
    let mut value: Expr = meta.value()?.parse()?;
    while let Expr::Group(group) = value {
        value = *group.expr;
    }
    match value {
        Expr::Path(ExprPath { qself: None, path, .. }) => Ok(path),
        other => Err(Error::new_spanned(other, EXPECTED_FUNCTION)),
    }
}

/// True for the attribute macro, under any path.
pub(crate) fn is_checkpointed(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == CHECKPOINTED)
}

fn starts_with_literal(list: &MetaList) -> bool {
    matches!(list.tokens.clone().into_iter().next(), Some(TokenTree::Literal(_)))
}

/// A suffix of another type would be an error in generated code, which the user never sees.
fn is_plain(number: &LitInt) -> bool {
    matches!(number.suffix(), "" | "u32")
}

/// A span for generated code that stands for the user's code there.
///
/// It has the location of that code, so that the compiler shows its errors there, and is marked as
/// generated, so that lints are silent.
pub(crate) fn at(tokens: &impl ToTokens) -> Span {
    let mut tokens = tokens.to_token_stream().into_iter();
    let Some(first) = tokens.next() else {
        return Span::mixed_site();
    };
    let span = tokens.last().and_then(|last| first.span().join(last.span())).unwrap_or(first.span());
    Span::mixed_site().located_at(span)
}
