//! The one path by which anybody asks the control plane for a change.
//!
//! Each command is a type of its own, and one table says what it is answered by: [`Command`] and [`Reply`], which travel
//! to the controller and back, follow from it.

mod nodes;
mod quotas;
mod recover;
mod sql;
mod tenancy;
mod topics;

pub use nodes::{
    AllocateProducerIds, ConfirmRegistration, EndSession, Heartbeat, ProducerIds, ProposeIsr,
    RaiseFeatureLevel, RegisterNode, ReportDeleted, ReportSnapshot, Resign,
};
pub use quotas::SetQuota;
pub use recover::{GroupsRecovered, RecoverGroups, RecoveredGroup};
pub use sql::{PutSql, WriteSql};
pub use tenancy::{
    Bootstrap, CreateEnvironment, CreateKey, CreateOrganisation, CreateVirtualCluster, ReplaceBootstrapKey,
    RevokeKey, SetServiceTopicDefaults, SetTopicDefaults,
};
pub use topics::{
    AlterTopicConfig, CreatePartitions, CreateTopic, DeleteTopic, EnsureInternalTopics, EnsureSqlChangelog,
    ReplaceTopicConfig,
};

use crate::refusal::Refusal;
use crate::rows::{
    EnvironmentRow, Grants, KeyRow, NodeRow, OrganisationId, OrganisationRow, QuotaRow, TopicRow,
    VirtualClusterRow,
};
use async_trait::async_trait;
use millstream_model::{KeyId, NodeId, TenantId};
use std::sync::Arc;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A client, authenticated by a key or a token of one ([`KeyId::NONE`]: by a token of the tenant itself).
    Key {
        /// The virtual cluster it speaks for.
        tenant: TenantId,
        /// The organisation of that.
        organisation: OrganisationId,
        /// The key.
        key: KeyId,
        /// What it may do.
        grants: Grants,
    },
    /// A broker.
    Node(NodeId),
    /// The service itself.
    System,
}

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed<R = Reply> {
    /// The first version of the image that shows it.
    pub version: u64,
    /// What it made.
    pub reply: R,
}

/// Something to ask for: its type says what it is answered by. A [`Command`] of any kind is answered by any [`Reply`].
pub trait Request: Send {
    /// What it is answered by.
    type Reply;

    /// The command that asks for it.
    fn into_command(self) -> Command;

    /// Its reply, out of the one that its command got.
    fn reply_of(reply: Reply) -> Self::Reply;

    /// Its reply as one of any command's.
    fn into_reply(reply: Self::Reply) -> Reply;
}

/// Where commands go: the controller in this process, or a client of the one that is elsewhere.
#[async_trait]
pub trait Commands: Send + Sync {
    /// Carries out a command, or says why not; the reply is that of the command ([`Request::into_reply`]). Callers use
    /// `submit`, which knows its type.
    async fn carry_out(&self, actor: Actor, command: Command) -> Result<Committed, Refusal>;

    /// Whether a node of the catalog may be alive, as far as is known here beyond its row: a controller that has just begun
    /// gives every node a session before it judges it (log.md 37), and knows meanwhile whom it has not heard yet. Who is no
    /// controller believes the rows.
    fn hears(&self, _node: NodeId) -> bool {
        true
    }
}

impl dyn Commands + '_ {
    /// Has something carried out, or says why not. The reply comes once the decision is durable; the caller's own image
    /// may still be older ([`crate::ImageWatch::wait_for_version`]).
    pub async fn submit<R: Request>(&self, actor: Actor, request: R) -> Result<Committed<R::Reply>, Refusal> {
        let Committed { version, reply } = self.carry_out(actor, request.into_command()).await?;
        Ok(Committed {
            version,
            reply: R::reply_of(reply),
        })
    }
}

impl Request for Command {
    type Reply = Reply;

    fn into_command(self) -> Command {
        self
    }

    fn reply_of(reply: Reply) -> Reply {
        reply
    }

    fn into_reply(reply: Reply) -> Reply {
        reply
    }
}

macro_rules! commands {
    ($($command:ident $name:literal => $reply:ty,)*) => {
        /// What can be asked for, of any kind.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Command {
            $(#[doc = concat!("See [`", stringify!($command), "`].")]
            $command($command),)*
        }

        /// What a command made: the variant has the command's name.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Reply {
            $(#[doc = concat!("To a [`", stringify!($command), "`].")]
            $command($reply),)*
        }

        impl Command {
            /// Its name, for the audit and for metrics.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Command::$command(_) => $name,)*
                }
            }
        }

        $(impl Request for $command {
            type Reply = $reply;

            fn into_command(self) -> Command {
                Command::$command(self)
            }

            fn reply_of(reply: Reply) -> $reply {
                match reply {
                    Reply::$command(reply) => reply,
                    other => panic!("bug: {} was answered by {other:?}", $name),
                }
            }

            fn into_reply(reply: $reply) -> Reply {
                Reply::$command(reply)
            }
        })*
    };
}

commands! {
    CreateOrganisation "CreateOrganization" => Arc<OrganisationRow>,
    CreateEnvironment "CreateEnvironment" => Arc<EnvironmentRow>,
    CreateVirtualCluster "CreateVirtualCluster" => Arc<VirtualClusterRow>,
    SetTopicDefaults "SetTopicDefaults" => Arc<VirtualClusterRow>,
    SetServiceTopicDefaults "SetServiceTopicDefaults" => (),
    CreateKey "CreateKey" => Arc<KeyRow>,
    RevokeKey "RevokeKey" => Arc<KeyRow>,
    CreateTopic "CreateTopic" => Arc<TopicRow>,
    DeleteTopic "DeleteTopic" => Arc<TopicRow>,
    CreatePartitions "CreatePartitions" => Arc<TopicRow>,
    AlterTopicConfig "AlterTopicConfig" => Arc<TopicRow>,
    ReplaceTopicConfig "ReplaceTopicConfig" => Arc<TopicRow>,
    SetQuota "SetQuota" => Arc<QuotaRow>,
    WriteSql "WriteSql" => (),
    RegisterNode "RegisterNode" => Arc<NodeRow>,
    ConfirmRegistration "ConfirmRegistration" => (),
    Heartbeat "Heartbeat" => (),
    EndSession "EndSession" => (),
    ProposeIsr "ProposeIsr" => (),
    Resign "Resign" => (),
    ReportSnapshot "ReportSnapshot" => (),
    ReportDeleted "ReportDeleted" => (),
    RecoverGroups "RecoverGroups" => GroupsRecovered,
    AllocateProducerIds "AllocateProducerIds" => ProducerIds,
    RaiseFeatureLevel "RaiseFeatureLevel" => (),
    EnsureInternalTopics "EnsureInternalTopics" => (),
    EnsureSqlChangelog "EnsureSqlChangelog" => Arc<TopicRow>,
    Bootstrap "Bootstrap" => Option<Arc<KeyRow>>,
    ReplaceBootstrapKey "ReplaceBootstrapKey" => Arc<KeyRow>,
}
