//! A program that takes plugins: starts one from a configuration, calls it, stops it.

use std::{error::Error, io::Write, time::Duration};

use plugbus::{config, host::Bus, supervisor::Supervisor};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = config::load(&["configs/demo.toml"])?;
    let supervisor = Supervisor::start(config.spec).await?;
    supervisor.wait_ready(Duration::from_secs(10)).await?;

    let bus = Bus::at(supervisor.directory())?;
    let reverted: String = bus.call("revert", "Live on time, emit no evil").await?;
    writeln!(std::io::stdout(), "{reverted}")?;

    supervisor.stop().await;
    Ok(())
}
