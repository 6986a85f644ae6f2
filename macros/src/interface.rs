//! What a trait says, read and checked.

use proc_macro2::TokenStream as Tokens;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, GenericArgument, Ident, ItemTrait, Lit, LitStr, Meta, MetaNameValue, Pat,
    PathArguments, Result, ReturnType, TraitItem, TraitItemFn, Type,
};

/// A trait whose methods are a plugin's.
pub(crate) struct Interface {
    /// The trait as it was written.
    pub(crate) item: ItemTrait,
    /// The plugin's name.
    pub(crate) plugin: String,
    pub(crate) methods: Vec<Method>,
}

pub(crate) struct Method {
    /// Without the attributes that are ours.
    pub(crate) item: TraitItemFn,
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) is_idempotent: bool,
    pub(crate) typical_ms: Option<u64>,
    pub(crate) arguments: Vec<Argument>,
    /// Which of the parameters after `&self` is the call's context.
    pub(crate) context: Option<usize>,
    /// `T` of `Result<T, E>`, or of `Result<Items<T>, E>`.
    pub(crate) result: Type,
    /// Whether the result comes item by item.
    pub(crate) gives_items: bool,
    /// `T` of the one argument `Input<T>`, which comes item by item.
    pub(crate) input: Option<Type>,
}

pub(crate) struct Argument {
    pub(crate) ident: Ident,
    pub(crate) doc: String,
    pub(crate) ty: Type,
}

impl Interface {
    pub(crate) fn read(arguments: Tokens, item: ItemTrait) -> Result<Self> {
        if !item.generics.params.is_empty() {
            return Err(Error::new(
                item.generics.span(),
                "an interface cannot be generic: callers must know its types",
            ));
        }
        let plugin = match name(arguments)? {
            Some(name) => name,
            None => kebab(&item.ident.unraw().to_string()),
        };
        let mut methods = Vec::new();
        for part in &item.items {
            match part {
                TraitItem::Fn(method) => methods.push(Method::read(method.clone())?),
                other => return Err(Error::new(other.span(), "an interface has methods alone")),
            }
        }
        Ok(Self { item, plugin, methods })
    }
}

impl Method {
    fn read(mut item: TraitItemFn) -> Result<Self> {
        let name = item.sig.ident.unraw().to_string();
        check_name(&item.sig.ident, &name)?;
        if !item.sig.generics.params.is_empty() {
            let problem = "a method cannot be generic: callers must know its types";
            return Err(Error::new(item.sig.generics.span(), problem));
        }
        if let Some(body) = &item.default {
            return Err(Error::new(body.span(), "a method has no body here: it is in the `impl`"));
        }
        let result = result_of(&item)?;
        let (is_idempotent, typical_ms) = take_own(&mut item.attrs)?;
        let (arguments, context) = arguments(&mut item)?;
        let input = input(&arguments)?;
        let (result, gives_items) = match inside(&result, "Items") {
            Some(items) => (items.clone(), true),
            None => (result, false),
        };
        let doc = doc(&item.attrs);
        Ok(Self { item, name, doc, is_idempotent, typical_ms, arguments, context, result, gives_items, input })
    }
}

fn check_name(ident: &Ident, name: &str) -> Result<()> {
    let is_letter = |c: char| c.is_ascii_lowercase();
    let good = name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit() || c == '_');
    let problem = "the name of a method is made of a-z, 0-9 and _, and begins with a letter";
    if good { Ok(()) } else { Err(Error::new(ident.span(), problem)) }
}

/// Takes `#[idempotent]` and `#[typical("10ms")]` off: the compiler does not know them.
fn take_own(attributes: &mut Vec<Attribute>) -> Result<(bool, Option<u64>)> {
    let (mut is_idempotent, mut typical_ms) = (false, None);
    for attribute in attributes.iter() {
        if attribute.path().is_ident("idempotent") {
            attribute.meta.require_path_only()?;
            is_idempotent = true;
        } else if attribute.path().is_ident("typical") {
            typical_ms = Some(millis(&attribute.parse_args::<LitStr>()?)?);
        }
    }
    attributes.retain(|own| !own.path().is_ident("idempotent") && !own.path().is_ident("typical"));
    Ok((is_idempotent, typical_ms))
}

fn millis(text: &LitStr) -> Result<u64> {
    let (value, problem) = (text.value(), "write a time as \"10ms\", \"2s\" or \"1min\"");
    let units = [("ms", 1), ("s", 1000), ("min", 60_000)];
    let read =
        |(unit, factor): (&str, u64)| value.strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(factor);
    units.into_iter().find_map(read).ok_or_else(|| Error::new(text.span(), problem))
}

/// The parameters that callers give, and where among them the context stands; their comments are taken off.
fn arguments(item: &mut TraitItemFn) -> Result<(Vec<Argument>, Option<usize>)> {
    let problem = "a method takes `&self`: calls run side by side";
    let span = item.sig.ident.span();
    let mut inputs = item.sig.inputs.iter_mut();
    match inputs.next() {
        Some(FnArg::Receiver(receiver)) if receiver.to_token_stream().to_string() == "& self" => {}
        Some(other) => return Err(Error::new(other.span(), problem)),
        None => return Err(Error::new(span, problem)),
    }
    let (mut found, mut context) = (Vec::new(), None);
    for (at, input) in inputs.enumerate() {
        let FnArg::Typed(typed) = input else { return Err(Error::new(input.span(), problem)) };
        let Pat::Ident(name) = &*typed.pat else {
            return Err(Error::new(typed.pat.span(), "an argument has a name, which callers see"));
        };
        let doc = doc(&typed.attrs);
        typed.attrs.retain(|attribute| !attribute.path().is_ident("doc"));
        if let Type::Reference(reference) = &*typed.ty {
            let problem = "an argument comes out of a message, so it is owned: `String` in place of `&str`, \
                           `Vec<T>` in place of `&[T]`";
            return Err(Error::new(reference.span(), problem));
        }
        match is_context(&typed.ty) {
            true => context = Some(at),
            false => found.push(Argument { ident: name.ident.clone(), doc, ty: (*typed.ty).clone() }),
        }
    }
    Ok((found, context))
}

fn is_context(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Context"))
}

/// What the items of an `Input` are.
fn input(arguments: &[Argument]) -> Result<Option<Type>> {
    let found = arguments.iter().find_map(|argument| Some((argument, inside(&argument.ty, "Input")?)));
    match found {
        Some((argument, _)) if arguments.len() > 1 => {
            let problem = "an `Input` is the only argument of its method: what else it needs is its first item";
            Err(Error::new(argument.ty.span(), problem))
        }
        found => Ok(found.map(|(_, items)| items.clone())),
    }
}

/// `T` of `Name<T, ...>`.
fn inside<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(first) => Some(first),
        _ => None,
    }
}

fn result_of(item: &TraitItemFn) -> Result<Type> {
    let problem = "a method returns a `Result<T, E>`: every call can fail";
    let error = || Error::new(item.sig.span(), problem);
    let ReturnType::Type(_, ty) = &item.sig.output else { return Err(error()) };
    inside(ty, "Result").cloned().ok_or_else(error)
}

/// The comment above something, its lines joined.
fn doc(attributes: &[Attribute]) -> String {
    let line =
        |attribute: &Attribute| match &attribute.meta {
            Meta::NameValue(MetaNameValue {
                path, value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }), ..
            }) if path.is_ident("doc") => Some(text.value().trim().to_owned()),
            _ => None,
        };
    attributes.iter().filter_map(line).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// `name = "PLUGIN"`, where that is said.
fn name(arguments: Tokens) -> Result<Option<String>> {
    let mut name = None;
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("name") {
            return Err(meta.error("the attribute takes `name = \"PLUGIN\"` alone"));
        }
        name = Some(meta.value()?.parse::<LitStr>()?.value());
        Ok(())
    });
    parser.parse2(arguments)?;
    Ok(name)
}

fn kebab(name: &str) -> String {
    let mut text = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
