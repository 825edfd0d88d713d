//! Processes that are killed, restarted, or wrong about the time.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::Outcome;
use crate::{house::PROCESSES, scene::Scene};

const CLOCK_OFF_MILLIS: i64 = 600_000;

/// Kills `names` at once and starts them again after a while.
pub(super) async fn kill(scene: &Scene, names: &[&str], lasts: Duration) -> Result<Outcome> {
    for name in names {
        scene.house.stack.kill9(name)?;
    }
    sleep(lasts).await;
    for name in names {
        scene.house.stack.restart(name).await?;
    }
    Ok(Outcome::of(format!("{} killed for {lasts:.1?}", names.join(", "))))
}

/// Starts one process after the other with a wrong clock, and then again with the right one.
pub(super) async fn set_clock(scene: &Scene, victims: [&str; 3], is_ahead: bool, lasts: Duration) -> Result<Outcome> {
    let offset = if is_ahead { CLOCK_OFF_MILLIS } else { -CLOCK_OFF_MILLIS };
    for victim in victims {
        scene.house.stack.restart_with(victim, &[("TIMINGLE_CLOCK_OFFSET_MS", &offset.to_string())]).await?;
    }
    sleep(lasts).await;
    for victim in victims {
        scene.house.stack.restart_with(victim, &[("TIMINGLE_CLOCK_OFFSET_MS", "0")]).await?;
    }
    Ok(Outcome::of(format!("{} off by {offset} ms", victims.join(", "))))
}

/// Every process, one after the other.
pub(super) async fn restart_all(scene: &Scene) -> Result<Outcome> {
    for process in PROCESSES {
        scene.house.stack.restart(process).await?;
    }
    Ok(Outcome::of(PROCESSES.join(", ")))
}
