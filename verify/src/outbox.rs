//! Every row of the outbox is there, in its place, and published; nothing is parked.

use schema::id::RoomId;
use uuid::Uuid;

use crate::{Check, Parts, VerifyError, finding::Place};

/// Lanes of one page.
const LANES_PAGE: i64 = 1_000;

/// What a lane's rows come to.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Row {
    id: Uuid,
    last_position: i64,
    pending: bool,
    rows: i64,
    first: i64,
    last: i64,
    waiting: i64,
    parked: i64,
    error: Option<String>,
    is_late: bool,
}

impl Check<'_> {
    /// Walks the lanes.
    pub(crate) async fn outbox(&mut self) -> Result<(), VerifyError> {
        let only = self.scope.room.map(RoomId::as_uuid);
        let mut after = Uuid::nil();
        loop {
            let lanes = lanes(self.parts, after, only).await?;
            let Some(last) = lanes.last() else { return Ok(()) };
            after = last.id;
            for lane in &lanes {
                self.checked.outbox_rows += u64::try_from(lane.rows).unwrap_or(0);
                for (kind, detail) in judge(lane) {
                    self.findings.add(kind, Place::Lane { lane_id: lane.id }, detail);
                }
            }
            self.tell("outbox");
        }
    }
}

async fn lanes(parts: &Parts, after: Uuid, only: Option<Uuid>) -> Result<Vec<Row>, VerifyError> {
    // A row that waits for a minute is late: the relay polls every second.
    let lanes = sqlx::query_as(
        "SELECT lane.id, lane.last_position, lane.pending, sent.*
         FROM outbox_lane lane CROSS JOIN LATERAL (
             SELECT count(*) AS rows, coalesce(min(position), 1) AS first, coalesce(max(position), 0) AS last,
                 count(*) FILTER (WHERE NOT processed) AS waiting,
                 count(*) FILTER (WHERE NOT processed AND error IS NOT NULL) AS parked,
                 min(error) FILTER (WHERE NOT processed) AS error,
                 coalesce(min(created_at) FILTER (WHERE NOT processed) < now() - interval '1 minute', false) AS is_late
             FROM outbox WHERE lane_id = lane.id
         ) sent
         WHERE lane.id > $1 AND ($2::uuid IS NULL OR lane.id = $2) ORDER BY lane.id LIMIT $3",
    )
    .bind(after)
    .bind(only)
    .bind(LANES_PAGE)
    .fetch_all(&parts.pg)
    .await?;
    Ok(lanes)
}

/// What is wrong with a lane, looked at once more.
pub(crate) async fn look_at(parts: &Parts, lane: Uuid) -> Result<Vec<(&'static str, String)>, VerifyError> {
    Ok(lanes(parts, Uuid::nil(), Some(lane)).await?.first().map(judge).unwrap_or_default())
}

fn judge(lane: &Row) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if (lane.rows, lane.first, lane.last) != (lane.last_position, 1, lane.last_position) {
        let detail = format!("{} rows, but {} were written", lane.rows, lane.last_position);
        wrong.push(("outbox_row_missing", detail));
    }
    if lane.parked > 0 {
        let why = lane.error.as_deref().unwrap_or_default();
        wrong.push(("outbox_parked", format!("{} rows wait behind one that is refused: {why}", lane.waiting)));
    } else if lane.waiting > 0 && (lane.is_late || !lane.pending) {
        wrong.push(("outbox_waits", format!("{} rows are not published, does an api run?", lane.waiting)));
    }
    wrong
}
