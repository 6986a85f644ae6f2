//! How an implementation becomes a plugin's methods.

use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::ext::IdentExt;

// The names that begin with `__` stand beside an author's own.
use crate::interface::{Interface, Method};

/// The function that adds all methods to a plugin.
pub(crate) fn add_to(interface: &Interface) -> Tokens {
    let methods = interface.methods.iter().map(method);
    quote! {
        /// Adds these methods to a plugin.
        #[must_use]
        fn add_to(self, plugin: ::plugbus::plugin::Plugin) -> ::plugbus::plugin::Plugin
        where
            Self: ::core::marker::Sized,
        {
            let __implementation = ::std::sync::Arc::new(self);
            #(#methods)*
            plugin
        }
    }
}

fn method(method: &Method) -> Tokens {
    let (name, doc, ident, result) = (&method.name, &method.doc, &method.item.sig.ident, &method.result);
    let (parameter, unpack) = parameter(method);
    let given = given(method);
    let (register, body) = match method.item.sig.asyncness {
        Some(_) => (quote!(method_async), quote!(async move { __implementation.#ident(#(#given),*).await })),
        None => (quote!(method), quote!(__implementation.#ident(#(#given),*))),
    };
    let context = method.context.map(|_| quote!(, __context: ::plugbus::plugin::Context));
    let idempotent = method.is_idempotent.then(|| quote!(let plugin = plugin.idempotent(#name);));
    let typical = method
        .typical_ms
        .map(|millis| quote!(let plugin = plugin.typical(#name, ::core::time::Duration::from_millis(#millis));));
    let several = method.arguments.len() > 1;
    let explained = method.arguments.iter().filter(|argument| several && !argument.doc.is_empty()).map(|argument| {
        let (field, doc) = (argument.ident.unraw().to_string(), &argument.doc);
        quote!(let plugin = plugin.explain(#name, #field, #doc);)
    });
    let parameters = several.then(|| parameters(method, &quote!(Deserialize)));
    quote! {
        let plugin = {
            #parameters
            let __implementation = ::std::sync::Arc::clone(&__implementation);
            plugin.#register(#name, #doc, move |#parameter #context| {
                let __implementation = ::std::sync::Arc::clone(&__implementation);
                #unpack
                #body
            })
        };
        let plugin = plugin.returns::<#result>(#name);
        #idempotent
        #typical
        #(#explained)*
    }
}

/// What the handler takes, and how the arguments come out of it.
fn parameter(method: &Method) -> (Tokens, Tokens) {
    match method.arguments.as_slice() {
        [] => (quote!((): ()), Tokens::new()),
        [only] => {
            let (ident, ty) = (&only.ident, &only.ty);
            (quote!(#ident: #ty), Tokens::new())
        }
        several => {
            let names = several.iter().map(|argument| &argument.ident);
            (quote!(__parameters: Parameters), quote!(let Parameters { #(#names),* } = __parameters;))
        }
    }
}

/// The arguments in the order of the trait, the context in its place.
fn given(method: &Method) -> Vec<Tokens> {
    let mut given: Vec<Tokens> =
        method.arguments.iter().map(|argument| &argument.ident).map(|i| quote!(#i)).collect();
    if let Some(at) = method.context {
        given.insert(at, quote!(__context));
    }
    given
}

/// Several arguments travel as one map with their names.
pub(crate) fn parameters(method: &Method, derive: &Tokens) -> Tokens {
    let fields = method.arguments.iter().map(|argument| {
        let (ident, ty) = (&argument.ident, &argument.ty);
        quote!(#ident: #ty)
    });
    quote! {
        #[derive(::plugbus::__private::serde::#derive)]
        #[serde(crate = "::plugbus::__private::serde")]
        struct Parameters { #(#fields),* }
    }
}
