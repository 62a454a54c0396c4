//! A leader's proposal of in-sync replicas on its way to the controller, and what a refusal says about it (log.md 14, 16).

use millstream_metadata::{ProposeIsr as Command, Refusal, Replica};
use millstream_model::GroupId;
use millstream_replication::{Input, ProposeIsr};

/// The command that asks for it.
pub fn proposed_isr(group: GroupId, proposal: ProposeIsr) -> Command {
    let replicas = proposal.isr.iter().map(|member| Replica {
        journal: member.journal,
        registration: member.registration,
    });
    Command {
        group,
        epoch: proposal.epoch,
        base_version: proposal.base_version,
        isr: replicas.collect(),
    }
}

/// What the log is to be told of a refusal. Nothing when an earlier copy of the same proposal may have been taken, now or
/// in an epoch that has ended since: then it counts until a newer row is here.
pub fn proposal_refused(base_version: u64, refusal: &Refusal) -> Option<Input> {
    match refusal {
        Refusal::VersionConflict { found, .. } => Some(Input::ProposalRefused {
            base_version,
            version: *found,
        }),
        // It was held against the very row that it is based on, which still stands.
        Refusal::InvalidRequest { .. } => Some(Input::ProposalRefused {
            base_version,
            version: base_version,
        }),
        _ => None,
    }
}
