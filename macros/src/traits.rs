//! The trait as it is compiled: what an author implements, and how that becomes a plugin.

use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::ReturnType;

use crate::interface::{Interface, Method};
use crate::serve;

pub(crate) fn expand(interface: &Interface) -> Tokens {
    let item = &interface.item;
    let (attributes, visibility, name, bounds) = (&item.attrs, &item.vis, &item.ident, &item.supertraits);
    let plus = (!bounds.is_empty()).then(|| quote!(+));
    let methods = interface.methods.iter().map(signature);
    let (add_to, plugin) = (serve::add_to(interface), &interface.plugin);
    quote! {
        #(#attributes)*
        #visibility trait #name: #bounds #plus ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*
            #add_to

            /// A plugin of these methods alone, under the name of the interface.
            #[must_use]
            fn into_plugin(self, version: &str) -> ::plugbus::plugin::Plugin
            where
                Self: ::core::marker::Sized,
            {
                self.add_to(::plugbus::plugin::Plugin::new(#plugin, version))
            }
        }
    }
}

/// The method; an async one's future may be run by any thread.
fn signature(method: &Method) -> Tokens {
    let (attributes, mut signature) = (&method.item.attrs, method.item.sig.clone());
    if signature.asyncness.take().is_some()
        && let ReturnType::Type(_, output) = &signature.output
    {
        let output = output.clone();
        signature.output = syn::parse_quote!(
            -> impl ::core::future::Future<Output = #output> + ::core::marker::Send
        );
    }
    quote!(#(#attributes)* #signature;)
}
