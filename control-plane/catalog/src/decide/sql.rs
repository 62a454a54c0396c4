//! The rows that the SQL engine keeps here, written all or none.

use crate::authorise::{Need, authorise, no_tenant};
use crate::decide::command::{Decide, Subject};
use crate::draft::Draft;
use crate::seeds::Seeds;
use millstream_metadata::{
    Actor, Image, PutSql, Refusal, Row, RowKey, SqlKey, SqlRow, VirtualClusterRow, WriteSql,
};
use millstream_model::limits::{
    SQL_BODY_BYTES_MAX, SQL_PINNED_TOPICS_MAX, SQL_ROW_KIND_BYTES_MAX, SQL_ROW_NAME_BYTES_MAX,
    SQL_TEXT_BYTES_MAX, SQL_WRITE_ROWS_MAX, TENANT_SQL_BYTES_MAX, TENANT_SQL_ROWS_MAX,
};
use millstream_model::{KeyId, TenantId};
use std::sync::Arc;

impl Decide for WriteSql {
    fn decide(&self, draft: &mut Draft, seeds: &mut Seeds, actor: &Actor) -> Result<(), Refusal> {
        let tenant = self.tenant;
        authorise(draft.image(), actor, Need::Manage(tenant))?;
        let cluster = draft
            .image()
            .virtual_cluster(tenant)
            .cloned()
            .ok_or_else(|| no_tenant(tenant))?;
        if self.put.len() + self.delete.len() > SQL_WRITE_ROWS_MAX {
            return Err(invalid(format!(
                "at most {SQL_WRITE_ROWS_MAX} SQL rows can be written at once"
            )));
        }
        if let Some(expected) = self.expected
            && cluster.sql_version > expected
        {
            let (kind, name) = ("SQL catalog", tenant.account());
            return Err(Refusal::VersionConflict {
                kind,
                name,
                expected,
                found: cluster.sql_version,
            });
        }
        for (kind, name) in &self.delete {
            if draft.image().sql(tenant, kind, name).is_some() {
                draft.remove(RowKey::Sql(SqlKey {
                    tenant,
                    kind: kind.clone(),
                    name: name.clone(),
                }));
            }
        }
        for row in &self.put {
            check(row)?;
            put(draft, seeds, actor, tenant, row);
        }
        check_room(draft, self)?;
        let sql_version = draft.image().version();
        draft.put(Row::VirtualCluster(Arc::new(VirtualClusterRow {
            sql_version,
            ..cluster.as_ref().clone()
        })));
        Ok(())
    }

    fn subject(&self, _image: &Image, _reply: &()) -> Option<Subject> {
        let first = self.put.first().map(|row| &row.name);
        let first = first.or_else(|| self.delete.first().map(|(_, name)| name));
        Subject::of(self.tenant, first.map_or("", String::as_str))
    }
}

/// Who only deletes is let off: that is how room is made.
fn check_room(draft: &Draft, write: &WriteSql) -> Result<(), Refusal> {
    if write.put.is_empty() {
        return Ok(());
    }
    let rows = || draft.image().sql_of(write.tenant);
    let reason = if rows().count() > TENANT_SQL_ROWS_MAX {
        format!("a virtual cluster has at most {TENANT_SQL_ROWS_MAX} SQL rows")
    } else if rows().map(|row| bytes(row)).sum::<usize>() > TENANT_SQL_BYTES_MAX {
        format!("the SQL rows of a virtual cluster have at most {TENANT_SQL_BYTES_MAX} bytes together")
    } else {
        return Ok(());
    };
    Err(Refusal::QuotaExceeded { reason })
}

/// What a row takes in a message, about.
fn bytes(row: &SqlRow) -> usize {
    let pinned: usize = row.pinned_topics.iter().map(|topic| topic.len() + 8).sum();
    row.kind.len() + row.name.len() + row.text.len() + row.body.len() + pinned + 64
}

fn put(draft: &mut Draft, seeds: &Seeds, actor: &Actor, tenant: TenantId, row: &PutSql) {
    let before = draft.image().sql(tenant, &row.kind, &row.name);
    let created = before.map_or(seeds.now(), |before| before.created);
    let version = draft.image().version();
    let owner = match actor {
        Actor::Key { key, .. } => *key,
        Actor::Node(_) | Actor::System => KeyId::NONE,
    };
    draft.put(Row::Sql(Arc::new(SqlRow {
        tenant,
        kind: row.kind.clone(),
        name: row.name.clone(),
        text: row.text.clone(),
        body: row.body.clone(),
        pinned_topics: row.pinned_topics.clone(),
        version,
        owner,
        created,
        updated: seeds.now(),
    })));
}

fn check(row: &PutSql) -> Result<(), Refusal> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if row.kind.is_empty() || row.kind.len() > SQL_ROW_KIND_BYTES_MAX || !row.kind.bytes().all(word) {
        return Err(invalid(format!(
            "a SQL row's kind is a word of at most {SQL_ROW_KIND_BYTES_MAX} letters"
        )));
    }
    if row.name.is_empty()
        || row.name.len() > SQL_ROW_NAME_BYTES_MAX
        || row.name.chars().any(char::is_control)
    {
        return Err(invalid(format!(
            "a SQL row's name has 1 to {SQL_ROW_NAME_BYTES_MAX} bytes, no control characters"
        )));
    }
    if row.text.len() > SQL_TEXT_BYTES_MAX {
        return Err(invalid(format!(
            "a SQL text has at most {SQL_TEXT_BYTES_MAX} bytes"
        )));
    }
    if row.body.len() > SQL_BODY_BYTES_MAX {
        return Err(invalid(format!(
            "a SQL row's body has at most {SQL_BODY_BYTES_MAX} bytes"
        )));
    }
    if row.pinned_topics.len() > SQL_PINNED_TOPICS_MAX
        || row
            .pinned_topics
            .iter()
            .any(|name| name.len() > SQL_ROW_NAME_BYTES_MAX)
    {
        return Err(invalid(format!(
            "a SQL row pins at most {SQL_PINNED_TOPICS_MAX} topics, each named by at most {SQL_ROW_NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

fn invalid(reason: String) -> Refusal {
    Refusal::InvalidRequest { reason }
}
