//! `millstream key …`: API keys.

use super::whoami::role_name;
use crate::failure::Failure;
use crate::output::{Listing, OutputFormat, rfc3339, tell};
use clap::{Args, Subcommand, ValueEnum};
use millstream_rust::Client;
use millstream_rust::rpc::control::{Key, KeyState, Role};

/// `millstream key`.
#[derive(Args, Clone, Debug)]
pub struct KeyArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Makes a key; its secret is shown once
    Create {
        /// What the key is for
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value_t = RoleArg::Developer)]
        role: RoleArg,
        /// The virtual cluster's account id [default: the caller's own]
        #[arg(long, default_value = "")]
        account: String,
    },
    /// Lists keys
    List {
        /// The virtual cluster's account id [default: the caller's own]
        #[arg(long, default_value = "")]
        account: String,
    },
    /// Ends a key, its open connections included
    Revoke {
        /// The key's id
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArg {
    /// Everything in the organisation
    OrganizationAdmin,
    /// Everything in the virtual cluster
    Admin,
    /// Produces and consumes
    Developer,
    /// Produces
    Producer,
    /// Consumes
    Consumer,
    /// Asks in SQL: SELECT, SHOW, DESCRIBE, EXPLAIN and PRINT; changes nothing
    SqlReader,
    /// Everything in the service, organisations included
    Operator,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Role {
        match role {
            RoleArg::OrganizationAdmin => Role::OrganizationAdmin,
            RoleArg::Admin => Role::Admin,
            RoleArg::Developer => Role::Developer,
            RoleArg::Producer => Role::Producer,
            RoleArg::Consumer => Role::Consumer,
            RoleArg::SqlReader => Role::SqlReader,
            RoleArg::Operator => Role::Operator,
        }
    }
}

pub(super) async fn run(client: &Client, args: KeyArgs, output: OutputFormat) -> Result<(), Failure> {
    let admin = client.admin();
    match args.action {
        Action::Create { name, role, account } => {
            let made = admin.create_key(&account, &name, role.into()).await?;
            let key = made.key.unwrap_or_default();
            let mut listing = Listing::new(&["id", "secret", "name", "role", "account"]);
            let role = role_name(key.role);
            listing.row(vec![
                key.id.into(),
                made.secret.into(),
                key.name.into(),
                role.into(),
                key.account_id.into(),
            ]);
            listing.print(output)?;
            tell("The secret is not stored and is not shown again.");
        }
        Action::List { account } => keys(admin.list_keys(&account).await?).print(output)?,
        Action::Revoke { id } => {
            let revoked = admin.revoke_key(&id).await?;
            keys(revoked.key.into_iter().collect()).print(output)?;
            if !revoked.unconfirmed_nodes.is_empty() {
                tell(format_args!(
                    "These nodes have not confirmed yet: {:?}",
                    revoked.unconfirmed_nodes
                ));
            }
        }
    }
    Ok(())
}

fn keys(found: Vec<Key>) -> Listing {
    let mut listing = Listing::new(&["id", "name", "role", "account", "state", "created"]);
    for it in found {
        let state = match KeyState::try_from(it.state) {
            Ok(KeyState::Active) => "active",
            Ok(KeyState::Revoked) => "revoked",
            Ok(KeyState::Unspecified) | Err(_) => "unknown",
        };
        let role = role_name(it.role);
        listing.row(vec![
            it.id.into(),
            it.name.into(),
            role.into(),
            it.account_id.into(),
            state.into(),
            rfc3339(it.created_ms),
        ]);
    }
    listing
}
