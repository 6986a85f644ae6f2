//! The attribute `plugbus::interface`; its documentation is in the crate `plugbus`.
//!
//! `interface` is what a trait says, read and checked; from it come the trait as it is compiled (`traits`), the methods
//! of a plugin (`serve`) and the clients (`client`).

mod client;
mod interface;
mod serve;
mod traits;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;

use crate::interface::Interface;

/// Makes a trait the interface of a plugin, for its author and for its callers.
#[proc_macro_attribute]
pub fn interface(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments.into(), item.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(arguments: Tokens, item: Tokens) -> syn::Result<Tokens> {
    let interface = Interface::read(arguments, syn::parse2(item)?)?;
    let (the_trait, clients) = (traits::expand(&interface), client::expand(&interface));
    Ok(quote!(#the_trait #clients))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the compiler says of a trait with this in it.
    fn refused(inside: Tokens) -> String {
        let item = quote!(trait Text { #inside });
        expand(Tokens::new(), item).expect_err("it is to be refused").to_string()
    }

    #[test]
    fn mistakes_are_told_in_words() {
        for (inside, problem) in [
            (
                quote!(
                    fn a(&mut self) -> Result<(), Failure>;
                ),
                "a method takes `&self`: calls run side by side",
            ),
            (
                quote!(
                    fn a() -> Result<(), Failure>;
                ),
                "a method takes `&self`: calls run side by side",
            ),
            (
                quote!(
                    fn a(&self);
                ),
                "a method returns a `Result<T, E>`: every call can fail",
            ),
            (
                quote!(
                    fn a(&self) -> String;
                ),
                "a method returns a `Result<T, E>`: every call can fail",
            ),
            (
                quote!(
                    fn a(&self, text: &str) -> Result<(), Failure>;
                ),
                "an argument comes out of a message, so it is owned: `String` in place of `&str`, `Vec<T>` in place of `&[T]`",
            ),
            (
                quote!(
                    fn a(&self, (b, c): (u8, u8)) -> Result<(), Failure>;
                ),
                "an argument has a name, which callers see",
            ),
            (
                quote!(
                    fn a<T>(&self, b: T) -> Result<(), Failure>;
                ),
                "a method cannot be generic: callers must know its types",
            ),
            (
                quote!(
                    fn Wrap(&self) -> Result<(), Failure>;
                ),
                "the name of a method is made of a-z, 0-9 and _, and begins with a letter",
            ),
            (
                quote!(
                    fn a(&self) -> Result<(), Failure> {
                        Ok(())
                    }
                ),
                "a method has no body here: it is in the `impl`",
            ),
            (
                quote!(
                    fn a(&self, b: Input<u8>, c: u8) -> Result<(), Failure>;
                ),
                "an `Input` is the only argument of its method: what else it needs is its first item",
            ),
            (
                quote!(
                    #[typical("soon")]
                    fn a(&self) -> Result<(), Failure>;
                ),
                "write a time as \"10ms\", \"2s\" or \"1min\"",
            ),
            (
                quote!(
                    const A: u8;
                ),
                "an interface has methods alone",
            ),
        ] {
            assert_eq!(refused(inside), problem);
        }
    }

    #[test]
    fn so_are_mistakes_around_the_methods() {
        let generic = expand(
            Tokens::new(),
            quote!(
                trait Text<T> {}
            ),
        )
        .expect_err("generic")
        .to_string();
        assert_eq!(generic, "an interface cannot be generic: callers must know its types");
        let unknown = expand(
            quote!(nam = "text"),
            quote!(
                trait Text {}
            ),
        )
        .expect_err("unknown")
        .to_string();
        assert_eq!(unknown, "the attribute takes `name = \"PLUGIN\"` alone");
    }

    #[test]
    fn a_plugin_is_called_like_its_trait() {
        let name = |item: Tokens, arguments: Tokens| {
            Interface::read(arguments, syn::parse2(item).expect("a trait")).expect("an interface").plugin
        };
        assert_eq!(
            name(
                quote!(
                    trait TextTools {}
                ),
                Tokens::new()
            ),
            "text-tools"
        );
        assert_eq!(
            name(
                quote!(
                    trait TextTools {}
                ),
                quote!(name = "text")
            ),
            "text"
        );
    }
}
