//! `millstream profile …`: named addresses and keys.

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::output::{Listing, OutputFormat, tell};
use crate::profile::Profiles;
use clap::{Args, Subcommand};

/// `millstream profile`.
#[derive(Args, Clone, Debug)]
pub struct ProfileArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Stores --address, --key, --secret and --ca-certificate under a name
    Set {
        /// The profile
        name: String,
    },
    /// Makes a profile the one that is used when none is named
    Use {
        /// The profile
        name: String,
    },
    /// Lists the profiles
    List,
    /// Forgets a profile
    Remove {
        /// The profile
        name: String,
    },
}

pub(super) fn run(
    args: &ProfileArgs,
    connection: &ConnectionArgs,
    output: OutputFormat,
) -> Result<(), Failure> {
    let mut profiles = Profiles::load()?;
    match &args.action {
        Action::Set { name } => {
            let profile = profiles.profile.entry(name.clone()).or_default();
            for (field, given) in [
                (&mut profile.address, &connection.address),
                (&mut profile.key, &connection.key),
                (&mut profile.secret, &connection.secret),
            ] {
                if given.is_some() {
                    field.clone_from(given);
                }
            }
            if let Some(file) = &connection.ca_certificate {
                // The profile is used from other folders too.
                profile.ca_certificate = Some(std::path::absolute(file)?);
            }
            profiles.current.get_or_insert_with(|| name.clone());
        }
        Action::Use { name } if profiles.profile.contains_key(name) => profiles.current = Some(name.clone()),
        Action::Remove { name } if profiles.profile.remove(name).is_some() => {
            profiles.current.take_if(|current| current == name);
        }
        Action::Use { name } | Action::Remove { name } => {
            return Err(Failure::new(format!("there is no profile '{name}'")));
        }
        Action::List => {
            let mut listing = Listing::new(&["name", "current", "address", "key"]);
            for (name, profile) in &profiles.profile {
                let current = profiles.current.as_ref() == Some(name);
                listing.row(vec![
                    name.clone().into(),
                    current.into(),
                    profile.address.clone().into(),
                    profile.key.clone().into(),
                ]);
            }
            return Ok(listing.print(output)?);
        }
    }
    let path = profiles.save()?;
    tell(format_args!("written to {}", path.display()));
    Ok(())
}
