//! Organisations, environments, virtual clusters and their keys.

use crate::authorise::{Need, authorise, denied, no_environment, no_organisation, no_tenant, reach};
use crate::decide::command::{Decide, Subject};
use crate::draft::Draft;
use crate::seeds::Seeds;
use millstream_metadata::{
    Actor, Bootstrap, ClusterRow, CreateEnvironment, CreateKey, CreateOrganisation, CreateVirtualCluster,
    EnvironmentRow, Grant, Grants, Image, KeyRow, KeyState, OrganisationRow, Refusal, ReplaceBootstrapKey,
    RevokeKey, Row, SetServiceTopicDefaults, SetTopicDefaults, TopicDefaults, VirtualClusterRow,
};
use millstream_model::TenantId;
use millstream_model::limits::{
    CATALOG_NAME_LENGTH_MAX, ENVIRONMENT_VIRTUAL_CLUSTERS_MAX, ORGANISATION_ENVIRONMENTS_MAX,
    ORGANISATIONS_MAX, TENANT_KEYS_MAX,
};
use std::sync::Arc;

/// The name of what the first start makes.
const FIRST: &str = "default";

impl Decide for CreateOrganisation {
    fn decide(
        &self,
        draft: &mut Draft,
        seeds: &mut Seeds,
        actor: &Actor,
    ) -> Result<Arc<OrganisationRow>, Refusal> {
        let name = self.name.as_str();
        authorise(draft.image(), actor, Need::Operator)?;
        check_name("organization", name)?;
        if draft.image().organisations().any(|row| row.name == name) {
            return Err(exists("organization", name));
        }
        check_room(
            "organizations",
            draft.image().organisations().count(),
            ORGANISATIONS_MAX,
        )?;
        let row = Arc::new(OrganisationRow {
            id: seeds.organisation(),
            name: name.to_owned(),
            created: seeds.now(),
        });
        draft.put(Row::Organisation(Arc::clone(&row)));
        Ok(row)
    }

    fn subject(&self, _image: &Image, _reply: &Arc<OrganisationRow>) -> Option<Subject> {
        Subject::service(&self.name)
    }
}

impl Decide for CreateEnvironment {
    fn decide(
        &self,
        draft: &mut Draft,
        seeds: &mut Seeds,
        actor: &Actor,
    ) -> Result<Arc<EnvironmentRow>, Refusal> {
        let (organisation, name) = (self.organisation, self.name.as_str());
        authorise(draft.image(), actor, Need::Organisation(organisation))?;
        check_name("environment", name)?;
        draft
            .image()
            .organisation(organisation)
            .ok_or_else(|| no_organisation(organisation))?;
        let siblings = || {
            draft
                .image()
                .environments()
                .filter(|row| row.organisation == organisation)
        };
        if siblings().any(|row| row.name == name) {
            return Err(exists("environment", name));
        }
        check_room("environments", siblings().count(), ORGANISATION_ENVIRONMENTS_MAX)?;
        let row = Arc::new(EnvironmentRow {
            id: seeds.environment(),
            organisation,
            name: name.to_owned(),
            created: seeds.now(),
        });
        draft.put(Row::Environment(Arc::clone(&row)));
        Ok(row)
    }

    fn subject(&self, _image: &Image, _reply: &Arc<EnvironmentRow>) -> Option<Subject> {
        Subject::service(&self.name)
    }
}

impl Decide for CreateVirtualCluster {
    fn decide(
        &self,
        draft: &mut Draft,
        seeds: &mut Seeds,
        actor: &Actor,
    ) -> Result<Arc<VirtualClusterRow>, Refusal> {
        let (environment, name) = (self.environment, self.name.as_str());
        let found = draft.image().environment(environment).cloned();
        let organisation = match &found {
            Some(row) => row.organisation,
            None => return Err(no_environment(environment)),
        };
        // Another organisation's environment reads like none at all.
        authorise(draft.image(), actor, Need::Organisation(organisation)).map_err(
            |refusal| match refusal {
                Refusal::NotFound { .. } => no_environment(environment),
                other => other,
            },
        )?;
        check_name("virtual cluster", name)?;
        let siblings = || {
            draft
                .image()
                .virtual_clusters()
                .filter(|row| row.environment == environment)
        };
        if siblings().any(|row| row.name == name) {
            return Err(exists("virtual cluster", name));
        }
        check_room(
            "virtual clusters",
            siblings().count(),
            ENVIRONMENT_VIRTUAL_CLUSTERS_MAX,
        )?;
        let row = Arc::new(VirtualClusterRow {
            id: seeds.tenant(draft.image()),
            organisation,
            environment,
            name: name.to_owned(),
            auto_create_topics: self.auto_create_topics,
            topic_defaults: TopicDefaults::default(),
            leader_epoch_floor: 0,
            sql_version: 0,
            created: seeds.now(),
        });
        draft.put(Row::VirtualCluster(Arc::clone(&row)));
        Ok(row)
    }

    fn subject(&self, _image: &Image, reply: &Arc<VirtualClusterRow>) -> Option<Subject> {
        Subject::of(reply.id, &self.name)
    }
}

impl Decide for SetTopicDefaults {
    fn decide(
        &self,
        draft: &mut Draft,
        _seeds: &mut Seeds,
        actor: &Actor,
    ) -> Result<Arc<VirtualClusterRow>, Refusal> {
        let &SetTopicDefaults { tenant, defaults } = self;
        authorise(draft.image(), actor, Need::Manage(tenant))?;
        check_defaults(&defaults)?;
        let row = draft.image().virtual_cluster(tenant).cloned();
        let row = row.ok_or_else(|| no_tenant(tenant))?;
        if row.topic_defaults == defaults {
            return Ok(row);
        }
        let row = Arc::new(VirtualClusterRow {
            topic_defaults: defaults,
            ..row.as_ref().clone()
        });
        draft.put(Row::VirtualCluster(Arc::clone(&row)));
        Ok(row)
    }

    fn subject(&self, _image: &Image, _reply: &Arc<VirtualClusterRow>) -> Option<Subject> {
        Subject::of(self.tenant, self.tenant.account())
    }
}

impl Decide for SetServiceTopicDefaults {
    /// What the controller's settings say. Nothing changes where they say what they said before.
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<(), Refusal> {
        let defaults = self.defaults;
        authorise(draft.image(), actor, Need::Service)?;
        check_defaults(&defaults)?;
        if draft.image().cluster().topic_defaults != defaults {
            draft.put(Row::Cluster(Arc::new(ClusterRow {
                topic_defaults: defaults,
                ..draft.image().cluster().clone()
            })));
        }
        Ok(())
    }

    fn subject(&self, _image: &Image, _reply: &()) -> Option<Subject> {
        Subject::service("topic defaults")
    }
}

fn check_defaults(defaults: &TopicDefaults) -> Result<(), Refusal> {
    defaults
        .check()
        .map_err(|reason| Refusal::InvalidRequest { reason })
}

impl Decide for CreateKey {
    fn decide(&self, draft: &mut Draft, seeds: &mut Seeds, actor: &Actor) -> Result<Arc<KeyRow>, Refusal> {
        let (tenant, grants) = (self.tenant, &self.grants);
        authorise(draft.image(), actor, Need::Manage(tenant))?;
        check_label(&self.name)?;
        if grants.is_empty() {
            return Err(Refusal::InvalidRequest {
                reason: "a key needs a role".to_owned(),
            });
        }
        reaches(actor, grants)?;
        let keys = draft.image().keys().filter(|row| row.tenant == tenant).count();
        check_room("keys", keys, TENANT_KEYS_MAX)?;
        issue_key(
            draft,
            seeds,
            tenant,
            &self.name,
            grants.clone(),
            self.root_version,
        )
    }

    fn subject(&self, _image: &Image, reply: &Arc<KeyRow>) -> Option<Subject> {
        Subject::of(reply.tenant, reply.id)
    }
}

impl Decide for RevokeKey {
    fn decide(&self, draft: &mut Draft, seeds: &mut Seeds, actor: &Actor) -> Result<Arc<KeyRow>, Refusal> {
        let RevokeKey { tenant, key: id } = self;
        authorise(draft.image(), actor, Need::Manage(*tenant))?;
        let unknown = || Refusal::NotFound {
            kind: "key",
            name: id.to_string(),
        };
        let row = draft
            .image()
            .key(id)
            .filter(|row| row.tenant == *tenant)
            .cloned()
            .ok_or_else(unknown)?;
        reaches(actor, &row.grants)?;
        if row.state != KeyState::Active {
            return Ok(row);
        }
        let row = Arc::new(KeyRow {
            state: KeyState::Revoked { at: seeds.now() },
            ..row.as_ref().clone()
        });
        draft.put(Row::Key(Arc::clone(&row)));
        Ok(row)
    }

    fn subject(&self, _image: &Image, _reply: &Arc<KeyRow>) -> Option<Subject> {
        Subject::of(self.tenant, self.key)
    }
}

impl Decide for Bootstrap {
    fn decide(
        &self,
        draft: &mut Draft,
        seeds: &mut Seeds,
        actor: &Actor,
    ) -> Result<Option<Arc<KeyRow>>, Refusal> {
        authorise(draft.image(), actor, Need::Service)?;
        if draft.image().organisations().next().is_some() {
            return Ok(None);
        }
        let name = || FIRST.to_owned();
        let organisation = CreateOrganisation { name: name() }.decide(draft, seeds, actor)?;
        let environment = CreateEnvironment {
            organisation: organisation.id,
            name: name(),
        };
        let environment = environment.decide(draft, seeds, actor)?;
        let cluster = CreateVirtualCluster {
            environment: environment.id,
            name: name(),
            auto_create_topics: true,
        };
        let cluster = cluster.decide(draft, seeds, actor)?;
        let grants = operator_grants();
        issue_key(draft, seeds, cluster.id, "bootstrap", grants, self.root_version).map(Some)
    }

    fn subject(&self, _image: &Image, reply: &Option<Arc<KeyRow>>) -> Option<Subject> {
        reply.as_ref().and_then(|key| Subject::of(key.tenant, key.id))
    }
}

impl Decide for ReplaceBootstrapKey {
    fn decide(&self, draft: &mut Draft, seeds: &mut Seeds, actor: &Actor) -> Result<Arc<KeyRow>, Refusal> {
        authorise(draft.image(), actor, Need::Service)?;
        // The oldest is the one that the first start made; ids settle a tie.
        let oldest = draft
            .image()
            .virtual_clusters()
            .min_by_key(|row| (row.created, row.id))
            .map(|row| row.id);
        let tenant = oldest.ok_or_else(|| no_tenant(TenantId::SYSTEM))?;
        issue_key(
            draft,
            seeds,
            tenant,
            "bootstrap",
            operator_grants(),
            self.root_version,
        )
    }

    fn subject(&self, _image: &Image, reply: &Arc<KeyRow>) -> Option<Subject> {
        Subject::of(reply.tenant, reply.id)
    }
}

fn operator_grants() -> Grants {
    Grants::from([Grant::Operator, Grant::Organisation, Grant::Admin])
}

fn issue_key(
    draft: &mut Draft,
    seeds: &mut Seeds,
    tenant: TenantId,
    name: &str,
    grants: Grants,
    root_version: u32,
) -> Result<Arc<KeyRow>, Refusal> {
    let organisation = draft
        .image()
        .virtual_cluster(tenant)
        .ok_or_else(|| no_tenant(tenant))?
        .organisation;
    let row = Arc::new(KeyRow {
        id: seeds.key(draft.image()),
        tenant,
        organisation,
        name: name.to_owned(),
        grants,
        salt: seeds.salt(),
        root_version,
        state: KeyState::Active,
        created: seeds.now(),
    });
    draft.put(Row::Key(Arc::clone(&row)));
    Ok(row)
}

/// Refuses who would give, take or limit more than they have.
pub(super) fn reaches(actor: &Actor, grants: &Grants) -> Result<(), Refusal> {
    match actor {
        Actor::Key { grants: own, .. } if reach(own) < reach(grants) => Err(denied(
            "a key of a higher role is needed to make, revoke or limit such a key",
        )),
        Actor::Key { .. } | Actor::Node(_) | Actor::System => Ok(()),
    }
}

fn check_name(kind: &'static str, name: &str) -> Result<(), Refusal> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !name.is_empty() && name.len() <= CATALOG_NAME_LENGTH_MAX && name.bytes().all(legal) {
        return Ok(());
    }
    let reason = format!("{kind} names have 1 to {CATALOG_NAME_LENGTH_MAX} letters, digits, '.', '_' or '-'");
    Err(Refusal::InvalidName { reason })
}

fn check_label(name: &str) -> Result<(), Refusal> {
    if name.chars().count() <= CATALOG_NAME_LENGTH_MAX && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let reason = format!(
        "a key's name has at most {CATALOG_NAME_LENGTH_MAX} characters, none of them control characters"
    );
    Err(Refusal::InvalidName { reason })
}

fn check_room(what: &str, count: usize, max: usize) -> Result<(), Refusal> {
    if count < max {
        return Ok(());
    }
    Err(Refusal::QuotaExceeded {
        reason: format!("there are {count} {what}, the most allowed"),
    })
}

fn exists(kind: &'static str, name: &str) -> Refusal {
    Refusal::AlreadyExists {
        kind,
        name: name.to_owned(),
    }
}
