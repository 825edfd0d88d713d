//! The CQL tables, one a file, in `schema/scylla/`: idempotent statements for a keyspace that is in use.

/// File name and statement of each table, in the order they are to be run.
pub const TABLES: &[(&str, &str)] = &[];
