//! Who came and who did not: said by who runs the event, and of oneself by everybody who is there.

use schema::{
    change::FieldChange,
    id::{EventId, UserId},
    problem::Code,
    text::Location,
};
use serde_json::{Value, json};

use super::{
    repository::{self, Participant},
    service::tell,
};
use crate::{
    error::ApiError,
    events::{
        model::Status,
        repository as events,
        service::{runs, touch},
    },
    http::{Form, Identity, text},
    state::AppState,
};

/// Marks somebody as there or not there, with the reason; null takes it back. Every mark is a change of the event.
pub(super) async fn mark(
    state: &AppState,
    caller: Identity,
    event: EventId,
    user: Result<UserId, ApiError>,
    form: Result<Form, ApiError>,
) -> Result<Participant, ApiError> {
    let mut tx = state.pg.begin().await?;
    let mut event = events::find_for_update(&mut tx, event, caller).await?.ok_or_else(ApiError::not_a_member)?;
    let is_own = user.as_ref().is_ok_and(|user| *user == caller.user_id);
    let may_run = runs(&mut tx, &event, caller).await?;
    if !may_run && !is_own {
        return Err(ApiError::refused(Code::Forbidden, "only who runs the event says so of others"));
    }
    let user = user?;
    let mut form = form?;
    let mark = form.change("attendance", attendance);
    let reason = form.optional("reason", text(Location::parse));
    if mark.is_none() && !form.has("attendance") {
        form.refuse("attendance", "required");
    }
    if !may_run && mark.flatten() == Some("no_show") {
        form.refuse("attendance", "not_of_oneself");
    }
    form.finish()?;
    match event.status {
        Status::Confirmed | Status::Completed => {}
        Status::Proposed | Status::Cancelled => {
            let detail = format!("nobody comes to an event that is {}", event.status);
            return Err(ApiError::refused(Code::BadTransition, detail));
        }
    }
    let before = repository::find(&mut tx, event.id, user).await?;
    let before = before.ok_or_else(|| ApiError::refused(Code::NotFound, "this person is not in the event"))?;
    let mark = mark.flatten();
    if mark == Some("no_show") && state.clock.now() < event.starts_at {
        return Err(ApiError::refused(Code::Conflict, "it has not begun: nobody is missing yet"));
    }
    let reason = reason.map(String::from).filter(|_| mark.is_some());
    if before.attendance.as_deref() == mark && before.attendance_reason == reason {
        return Ok(before);
    }
    touch(state, &mut event);
    let after = Participant {
        attendance: mark.map(str::to_owned),
        attendance_reason: reason,
        attendance_at: mark.map(|_| event.updated_at),
        ..before.clone()
    };
    repository::set_attendance(&mut tx, event.id, &after).await?;
    let fields = vec![FieldChange::new("attendance", told(&before), told(&after))];
    tell(&mut tx, &mut event, caller.user_id, fields, (vec![], vec![])).await?;
    tx.commit().await?;
    Ok(after)
}

fn told(participant: &Participant) -> Value {
    json!({
        "user_id": participant.user_id,
        "attendance": participant.attendance,
        "reason": participant.attendance_reason,
    })
}

fn attendance(value: &Value) -> Result<&'static str, &'static str> {
    let text = value.as_str().ok_or("not_a_string")?;
    ["checked_in", "no_show"].into_iter().find(|known| *known == text).ok_or("invalid")
}
