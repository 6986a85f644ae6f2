//! A plugin and its caller, held to one trait by the compiler.
//!
//! Without an argument it is the plugin; with one it calls it.

use std::error::Error;
use std::io::Write;

use plugbus::host::blocking::Bus;
use plugbus::plugin::Failure;

#[plugbus::interface]
trait Greeter {
    /// Greets somebody by name.
    #[idempotent]
    fn greet(
        &self,
        /// Who it is.
        name: String,
        /// How many times.
        times: u8,
    ) -> Result<Vec<String>, Failure>;
}

struct English;

impl Greeter for English {
    fn greet(&self, name: String, times: u8) -> Result<Vec<String>, Failure> {
        Ok((0..times).map(|_| format!("Hello, {name}!")).collect())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(name) = std::env::args().nth(1) else {
        return Ok(English.into_plugin("0.1.0").serve()?);
    };
    let greeter = BlockingGreeterClient::new(&Bus::open()?);
    for greeting in greeter.greet(name, 2)? {
        writeln!(std::io::stdout(), "{greeting}")?;
    }
    Ok(())
}
