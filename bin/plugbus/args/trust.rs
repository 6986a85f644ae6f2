//! What the commands about trust take: keys, signatures, pins.

use std::path::PathBuf;

use clap_complete::ArgValueCandidates;

use super::Config;
use crate::complete;

/// What plugins may run from now on.
#[derive(Debug, clap::Args)]
pub(crate) struct Lock {
    /// Whose changes are accepted; everybody's without any
    #[arg(value_name = "PLUGIN", add = ArgValueCandidates::new(complete::plugins))]
    pub(crate) plugins: Vec<String>,
    #[command(flatten)]
    pub(crate) config: Config,
    /// Change nothing, and fail where something would have to be accepted
    #[arg(long)]
    pub(crate) check: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A new key.
#[derive(Debug, clap::Args)]
pub(crate) struct Keygen {
    /// The file of the secret key, which signs
    #[arg(short, long, value_name = "FILE", default_value = "plugbus.key")]
    pub(crate) secret_key: PathBuf,
    /// The file of the public key, which goes to whoever checks
    #[arg(short, long, value_name = "FILE", default_value = "plugbus.pub")]
    pub(crate) public_key: PathBuf,
    #[command(flatten)]
    pub(crate) password: Password,
}

/// How a secret key is kept from whoever has its file.
#[derive(Debug, clap::Args)]
pub(crate) struct Password {
    /// A file with the password in its first line, instead of asking; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "no_password")]
    pub(crate) password_file: Option<PathBuf>,
    /// The key has no password: whoever has its file can sign
    #[arg(short = 'W', long)]
    pub(crate) no_password: bool,
}

/// Signatures.
#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// What is signed; the signature is FILE.minisig
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The file of the secret key, of minisign or `plugbus keygen`
    #[arg(short, long, value_name = "FILE", default_value = "plugbus.key")]
    pub(crate) secret_key: PathBuf,
    #[command(flatten)]
    pub(crate) password: Password,
}

/// Whether files are what was signed.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// What was signed; the signature is FILE.minisig
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// A public key or its file; without any, those of the configuration
    #[arg(short, long, value_name = "KEY|FILE")]
    pub(crate) public_key: Vec<String>,
    #[command(flatten)]
    pub(crate) config: Config,
}
