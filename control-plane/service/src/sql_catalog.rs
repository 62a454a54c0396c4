//! The rows that the SQL engine keeps, of the caller's virtual cluster. They are its own: what a client writes there
//! its tenant's SQL could no longer read, and what it reads there changes its form with the engine.

use crate::service::Service;
use crate::status::{denied, invalid, refused};
use crate::version::{unveiled, veiled};
use millstream_access::Principal;
use millstream_metadata::{Actor, EnsureSqlChangelog, PutSql, WriteSql};
use millstream_rpc::control as rpc;
use millstream_rpc::control::sql_catalog_server::SqlCatalog;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Request, Response, Status, async_trait};

/// How long a reader may wait for a version.
const VERSION_WAIT_MAX: Duration = Duration::from_secs(10);

/// A node that follows the catalog is never so many versions behind: what is further ahead was made up.
const VERSION_AHEAD_MAX: u64 = 1 << 32;

#[async_trait]
impl SqlCatalog for Service {
    async fn write_sql_rows(
        &self,
        request: Request<rpc::WriteSqlRowsRequest>,
    ) -> Result<Response<rpc::WriteSqlRowsResponse>, Status> {
        let (who, _) = self.caller(&request)?;
        require_service(&who)?;
        let request = request.into_inner();
        let put = |row: rpc::SqlRow| PutSql {
            kind: row.kind,
            name: row.name,
            text: row.text,
            body: row.body,
            pinned_topics: row.pinned_topics,
        };
        let command = WriteSql {
            tenant: who.tenant,
            put: request.put.into_iter().map(put).collect(),
            delete: request
                .delete
                .into_iter()
                .map(|row| (row.kind, row.name))
                .collect(),
            expected: request
                .expected_version
                .map(|version| unveiled(&self.roots, who.tenant, version)),
        };
        let version = self.submit(&who, command).await?.version;
        Ok(Response::new(rpc::WriteSqlRowsResponse {
            version: veiled(&self.roots, who.tenant, version),
        }))
    }

    async fn list_sql_rows(
        &self,
        request: Request<rpc::ListSqlRowsRequest>,
    ) -> Result<Response<rpc::ListSqlRowsResponse>, Status> {
        let (who, _) = self.caller(&request)?;
        require_service(&who)?;
        let version = unveiled(&self.roots, who.tenant, request.get_ref().at_least_version);
        let watch = self.controller.image_watch();
        if version.saturating_sub(watch.image().version()) > VERSION_AHEAD_MAX {
            return Err(invalid(
                "this version was made up: send one that an answer to this key's account had",
            ));
        }
        let image = timeout(VERSION_WAIT_MAX, watch.wait_for_version(version)).await;
        let image = image
            .map_err(|_| Status::deadline_exceeded("this node's catalog has not come to that version"))?
            .map_err(|_| Status::unavailable("the catalog is no longer followed"))?;
        // It may have been a long wait.
        self.caller(&request)?;
        let rows = image.sql_of(who.tenant).map(|row| rpc::SqlRow {
            kind: row.kind.clone(),
            name: row.name.clone(),
            text: row.text.clone(),
            body: row.body.clone(),
            version: veiled(&self.roots, who.tenant, row.version),
            pinned_topics: row.pinned_topics.clone(),
        });
        Ok(Response::new(rpc::ListSqlRowsResponse {
            rows: rows.collect(),
            version: veiled(&self.roots, who.tenant, image.version()),
        }))
    }

    async fn ensure_sql_changelog(
        &self,
        request: Request<rpc::EnsureSqlChangelogRequest>,
    ) -> Result<Response<rpc::EnsureSqlChangelogResponse>, Status> {
        let (who, _) = self.caller(&request)?;
        require_service(&who)?;
        let ensure = EnsureSqlChangelog { tenant: who.tenant };
        let made = self.controller.submit(Actor::System, ensure).await;
        let row = made.map_err(|refusal| refused(&refusal))?.reply;
        Ok(Response::new(rpc::EnsureSqlChangelogResponse {
            topic: row.name.to_string(),
            partitions: u32::try_from(row.partitions.len()).unwrap_or(u32::MAX),
        }))
    }
}

/// Refuses whoever is not the service itself, at work for a tenant: clients write SQL statements.
fn require_service(who: &Principal) -> Result<(), Status> {
    if who.is_service() {
        return Ok(());
    }
    Err(denied(
        "SQL rows are the service's own: write statements (millstream.sql.v1.Sql, or any SQL shell)",
    ))
}
