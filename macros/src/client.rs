//! What callers of the interface use.

use proc_macro2::{Ident, TokenStream as Tokens};
use quote::{format_ident, quote};

use crate::interface::{Argument, Interface, Method};
use crate::serve;

/// The client and its blocking twin.
pub(crate) fn expand(interface: &Interface) -> Tokens {
    let name = interface.item.ident.clone();
    let waiting = client(interface, &format_ident!("{name}Client"), &quote!(::plugbus::host::Bus), true);
    let blocking =
        client(interface, &format_ident!("Blocking{name}Client"), &quote!(::plugbus::host::blocking::Bus), false);
    quote!(#waiting #blocking)
}

fn client(interface: &Interface, client: &Ident, bus: &Tokens, is_async: bool) -> Tokens {
    let (visibility, plugin, name) = (&interface.item.vis, &interface.plugin, &interface.item.ident);
    let twin = if is_async { "" } else { ", from plain threads" };
    let about = format!("Calls a plugin with the interface [`{name}`]{twin}; a clone shares its connections.");
    let methods = interface.methods.iter().map(|method| call(method, visibility, is_async));
    quote! {
        #[doc = #about]
        #[derive(Debug, Clone)]
        #[allow(dead_code, reason = "a caller uses what it needs")]
        #visibility struct #client {
            bus: #bus,
            plugin: ::std::string::String,
            timeout: ::core::time::Duration,
        }

        #[allow(dead_code, reason = "a caller uses what it needs")]
        impl #client {
            /// For the plugin that is named like the interface, with five seconds for each call.
            #[must_use]
            #visibility fn new(bus: &#bus) -> Self {
                let timeout = ::core::time::Duration::from_secs(5);
                Self { bus: bus.clone(), plugin: #plugin.into(), timeout }
            }

            /// For a plugin of another name.
            #[must_use]
            #visibility fn plugin(mut self, name: impl ::core::convert::Into<::std::string::String>) -> Self {
                self.plugin = name.into();
                self
            }

            /// Sets the time that each call may take.
            #[must_use]
            #visibility fn timeout(mut self, timeout: ::core::time::Duration) -> Self {
                self.timeout = timeout;
                self
            }

            #(#methods)*
        }
    }
}

fn call(method: &Method, visibility: &syn::Visibility, is_async: bool) -> Tokens {
    let (ident, name, doc) = (&method.item.sig.ident, &method.name, &method.doc);
    let (keyword, wait) = if is_async { (quote!(async fn), quote!(.await)) } else { (quote!(fn), Tokens::new()) };
    let Way { arguments, result, prepare, call } = Way::of(method, is_async);
    quote! {
        #[doc = #doc]
        ///
        /// # Errors
        /// As for any call: [`CallError`](::plugbus::host::CallError).
        #visibility #keyword #ident(
            &self #(, #arguments)*
        ) -> ::core::result::Result<#result, ::plugbus::host::CallError> {
            #prepare
            self.bus.request(#name).plugin(&self.plugin).timeout(self.timeout).#call #wait
        }
    }
}

/// How a method is called.
struct Way {
    arguments: Vec<Tokens>,
    result: Tokens,
    /// What makes of the arguments what is sent.
    prepare: Tokens,
    call: Tokens,
}

impl Way {
    fn of(method: &Method, is_async: bool) -> Self {
        let host = if is_async { quote!(::plugbus::host) } else { quote!(::plugbus::host::blocking) };
        let result = &method.result;
        if let Some(items) = &method.input {
            return Self {
                arguments: Vec::new(),
                result: quote!((#host::Writer<#items>, #host::Reader<#result>)),
                prepare: Tokens::new(),
                call: quote!(open()),
            };
        }
        let names: Vec<_> = method.arguments.iter().map(|argument| &argument.ident).collect();
        let owned = method.arguments.iter().filter(|argument| is_string(argument)).map(|argument| &argument.ident);
        let (parameters, value) = match names.as_slice() {
            [] => (None, quote!(&())),
            [only] => (None, quote!(&#only)),
            several => (Some(serve::parameters(method, &quote!(Serialize))), quote!(&Parameters { #(#several),* })),
        };
        let (result, call) = match method.gives_items {
            true => (quote!(#host::Reader<#result>), quote!(stream(#value))),
            false => (quote!(#result), quote!(call(#value))),
        };
        Self {
            arguments: method.arguments.iter().map(typed).collect(),
            result,
            prepare: quote!(#parameters #(let #owned: ::std::string::String = #owned.into();)*),
            call,
        }
    }
}

/// As the trait has it, but for texts: a caller has them in many forms.
fn typed(argument: &Argument) -> Tokens {
    let (ident, ty) = (&argument.ident, &argument.ty);
    match is_string(argument) {
        true => quote!(#ident: impl ::core::convert::Into<::std::string::String>),
        false => quote!(#ident: #ty),
    }
}

fn is_string(argument: &Argument) -> bool {
    matches!(&argument.ty, syn::Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "String"))
}
