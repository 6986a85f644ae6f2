//! A program that its plugin calls back. Both are in this process here; in earnest the plugin is a program of its own.

use std::{error::Error, io::Write};

use plugbus::host::blocking::Bus;
use plugbus::plugin::{Context, Failure, Plugin};

/// The plugin's method: asks whoever called it for the name.
fn greet(greeting: String, context: Context) -> Result<String, Failure> {
    let caller = context.trail().caller().ok_or_else(|| Failure::new("the caller cannot be called back"))?;
    let name: String = context.request("name").instance(caller).call_blocking("of the user")?;
    Ok(format!("{greeting}, {name}!"))
}

/// The program's method.
fn name(whose: String) -> Result<String, Failure> {
    Ok(format!("name {whose}"))
}

fn main() -> Result<(), Box<dyn Error>> {
    // Where `plugbus supervise` runs, or ran.
    let bus = Bus::open()?;
    let _plugin = Plugin::new("greeter", "0.1.0").method("greet", "Greets the user.", greet).join_blocking(&bus)?;
    let program = Plugin::new("program", "0.1.0").method("name", "Knows names.", name).join_blocking(&bus)?;

    let greeted: String = program.bus().call("greeter.greet", "Hello")?;
    writeln!(std::io::stdout(), "{greeted}")?;
    Ok(())
}
