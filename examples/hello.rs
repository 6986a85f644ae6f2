//! The smallest plugin.

use plugbus::plugin::{Failure, Plugin, ServeError};

fn greet(name: String) -> Result<String, Failure> {
    Ok(format!("Hello, {name}!"))
}

fn main() -> Result<(), ServeError> {
    Plugin::new("hello", "0.1.0").method("greet", "Greets somebody by name.", greet).serve()
}
