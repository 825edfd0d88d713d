//! The PostgreSQL tables, as forward-only migrations in `schema/postgres/`.

/// Brings a database up to date; `chat-worker migrate` runs it.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./postgres");

/// The channel on which a committed change wakes the outbox relay.
pub const OUTBOX_CHANNEL: &str = "timingle_outbox";
