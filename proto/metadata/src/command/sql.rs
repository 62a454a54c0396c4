//! Commands about the rows that the SQL engine keeps in the catalog.

use millstream_model::TenantId;

/// A SQL row to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutSql {
    /// What it is.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The statement that made it.
    pub text: String,
    /// The SQL engine's form of it.
    pub body: String,
    /// Topics whose number of partitions it relies on (sql.md 5): they do not grow while it is there.
    pub pinned_topics: Vec<String>,
}

/// Write and delete SQL rows, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteSql {
    /// Whose.
    pub tenant: TenantId,
    /// Rows to write.
    pub put: Vec<PutSql>,
    /// Rows to delete, by kind and name; one that is not there is no error.
    pub delete: Vec<(String, String)>,
    /// Refuse if a SQL row of the tenant was written or deleted after this version; none = whatever.
    pub expected: Option<u64>,
}
