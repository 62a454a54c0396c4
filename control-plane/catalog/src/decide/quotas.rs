//! Quotas as data.

use crate::authorise::{Need, authorise, no_tenant};
use crate::decide::command::{Decide, Subject};
use crate::decide::tenancy::reaches;
use crate::draft::Draft;
use crate::seeds::Seeds;
use millstream_metadata::{Actor, Image, Quota, QuotaRow, QuotaScope, Refusal, Row, RowKey, SetQuota};
use std::sync::Arc;

impl Decide for SetQuota {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<Arc<QuotaRow>, Refusal> {
        let SetQuota { scope, quota } = *self;
        match scope {
            QuotaScope::Tenant(tenant) => {
                // Hidden first: what the caller may not see does not exist.
                authorise(draft.image(), actor, Need::Manage(tenant))?;
                let row = draft
                    .image()
                    .virtual_cluster(tenant)
                    .ok_or_else(|| no_tenant(tenant))?;
                authorise(draft.image(), actor, Need::Organisation(row.organisation))?;
            }
            QuotaScope::Key(key) => {
                let unknown = || Refusal::NotFound {
                    kind: "key",
                    name: key.to_string(),
                };
                let row = draft.image().key(&key).cloned().ok_or_else(unknown)?;
                authorise(draft.image(), actor, Need::Manage(row.tenant)).map_err(
                    |refusal| match refusal {
                        Refusal::NotFound { .. } => unknown(),
                        other => other,
                    },
                )?;
                reaches(actor, &row.grants)?;
            }
        }
        let zero = |cap: Option<u64>| cap == Some(0);
        if zero(quota.produce_bytes_per_second)
            || zero(quota.fetch_bytes_per_second)
            || zero(quota.requests_per_second)
        {
            let reason = "a rate of 0 would stop the caller for ever: revoke its keys instead".to_owned();
            return Err(Refusal::InvalidRequest { reason });
        }
        let row = Arc::new(QuotaRow { scope, quota });
        if quota == Quota::default() {
            draft.remove(RowKey::Quota(scope));
        } else {
            draft.put(Row::Quota(Arc::clone(&row)));
        }
        Ok(row)
    }

    fn subject(&self, image: &Image, _reply: &Arc<QuotaRow>) -> Option<Subject> {
        match self.scope {
            QuotaScope::Tenant(tenant) => Subject::of(tenant, tenant.account()),
            QuotaScope::Key(key) => Some(Subject {
                tenant: image.key(&key).map(|row| row.tenant),
                resource: key.to_string(),
            }),
        }
    }
}
