//! Where the service is and which key to show: flags, then environment, then a profile.

use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::profile::Profiles;
use clap::Args;
use millstream_rust::{Client, Credentials};
use std::path::PathBuf;

/// Flags that every client command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectionArgs {
    /// The service's HTTP port, HOST:PORT or a URL [default: the profile's, else 127.0.0.1:8080]
    #[arg(long, global = true, env = "MILLSTREAM_ADDRESS", value_name = "ADDRESS")]
    pub address: Option<String>,
    /// The API key's id [default: the profile's]
    #[arg(long, global = true, env = "MILLSTREAM_KEY", value_name = "KEY ID")]
    pub key: Option<String>,
    /// The API key's secret [default: the profile's]
    #[arg(
        long,
        global = true,
        env = "MILLSTREAM_SECRET",
        value_name = "SECRET",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    pub secret: Option<String>,
    /// A file (PEM) with the certificate authority to trust, for an https:// address [default: the profile's, else the
    /// system's authorities]
    #[arg(long, global = true, env = "MILLSTREAM_CA_CERTIFICATE", value_name = "FILE")]
    pub ca_certificate: Option<PathBuf>,
    /// The profile to use [default: the current one]
    #[arg(long, global = true, env = "MILLSTREAM_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
}

/// A resolved connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// `HOST:PORT` or a URL.
    pub address: String,
    /// The key's id.
    pub key: String,
    /// The key's secret.
    pub secret: String,
    /// The certificate authority to trust with `https`; none for the system's.
    pub ca_certificate: Option<PathBuf>,
}

impl ConnectionArgs {
    /// Puts flags, environment and profile together.
    ///
    /// # Errors
    /// When a named profile does not exist, or no key is known.
    pub fn resolve(&self) -> Result<Connection, Failure> {
        let profiles = Profiles::load()?;
        let name = self
            .profile
            .clone()
            .or(profiles.current)
            .unwrap_or_else(|| "default".into());
        let profile = match profiles.profile.get(&name) {
            Some(profile) => profile.clone(),
            None if self.profile.is_some() => {
                return Err(Failure::new(format!(
                    "there is no profile '{name}'; make it with: millstream profile set {name} --address … --key … --secret …"
                )));
            }
            None => Default::default(),
        };
        let missing = |what: &str| {
            Failure::new(format!(
                "no {what} is known; pass --key and --secret, set MILLSTREAM_KEY and MILLSTREAM_SECRET, or run: millstream profile set default --key … --secret …"
            ))
        };
        Ok(Connection {
            address: self
                .address
                .clone()
                .or(profile.address)
                .unwrap_or_else(|| "127.0.0.1:8080".into()),
            key: self.key.clone().or(profile.key).ok_or_else(|| missing("key"))?,
            secret: self
                .secret
                .clone()
                .or(profile.secret)
                .ok_or_else(|| missing("secret"))?,
            ca_certificate: self.ca_certificate.clone().or(profile.ca_certificate),
        })
    }
}

impl Connection {
    /// A client of the service.
    ///
    /// # Errors
    /// When the address is not one, or the certificate authority cannot be read.
    pub fn client(&self) -> Result<Client, Failure> {
        let credentials = Credentials::key(&self.key, &self.secret);
        let Some(file) = &self.ca_certificate else {
            return Ok(Client::connect(&self.address, credentials)?);
        };
        let authorities = std::fs::read(file).map_err(|error| {
            Failure::new(format!(
                "cannot read --ca-certificate {}: {error}",
                file.display()
            ))
        })?;
        Ok(Client::connect_trusting(
            &self.address,
            &authorities,
            credentials,
        )?)
    }
}
