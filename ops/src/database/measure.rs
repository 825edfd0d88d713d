//! How long PostgreSQL takes: sqlx says it of each statement and of each wait for a connection, as events of `tracing`;
//! here they become metrics. No query needs code of its own for that, and none can be forgotten.

use std::{fmt, time::Duration};

use metrics::{gauge, histogram};
use sqlx::PgPool;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    layer::Context,
    registry::LookupSpan,
};

const STATEMENTS: &str = "sqlx::query";
const WAITS: &str = "sqlx::pool::acquire";
/// How often the pool is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Counts how long statements and waits take.
pub(crate) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let both = [STATEMENTS, WAITS].map(|target| (target, LevelFilter::DEBUG));
    Times.with_filter(Targets::new().with_targets(both))
}

/// Says how `pool` is used, again and again.
pub(super) async fn watch(pool: PgPool) {
    gauge!("db_pool_max").set(pool.options().get_max_connections());
    loop {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        gauge!("db_pool_connections", "state" => "idle").set(idle);
        gauge!("db_pool_connections", "state" => "busy").set(pool.size().saturating_sub(idle));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

struct Times;

impl<S: Subscriber> Layer<S> for Times {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut found = Found { kind: "other", seconds: None };
        event.record(&mut found);
        let Some(seconds) = found.seconds else { return };
        if event.metadata().target() == STATEMENTS {
            histogram!("db_query_seconds", "statement" => found.kind).record(seconds);
        } else {
            histogram!("db_pool_wait_seconds").record(seconds);
        }
    }
}

/// What counts of an event.
struct Found {
    kind: &'static str,
    seconds: Option<f64>,
}

impl Visit for Found {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if matches!(field.name(), "elapsed_secs" | "acquired_after_secs") {
            self.seconds = Some(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "summary" {
            self.kind = kind(value);
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

/// A statement's first word, if it is one that a label may have.
fn kind(statement: &str) -> &'static str {
    let word = statement.split_whitespace().next().unwrap_or_default();
    ["select", "insert", "update", "delete", "with", "begin", "commit", "rollback"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(word))
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_known_by_its_first_word() {
        assert_eq!(kind("SELECT id FROM …"), "select");
        assert_eq!(kind("\n  insert INTO …"), "insert");
        assert_eq!(kind("VACUUM"), "other");
        assert_eq!(kind(""), "other");
    }
}
