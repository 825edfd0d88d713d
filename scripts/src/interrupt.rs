//! Ctrl-C, `SIGTERM` and a closed terminal: a command that has started servers ends them before it goes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

static IS_RAISED: AtomicBool = AtomicBool::new(false);

/// From now on none of the three ends anything by itself; [`is_raised`] tells that there was one.
pub(crate) fn catch() -> Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("no runtime for signals")?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                IS_RAISED.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(())
}

/// Whether the user wants this command to end.
pub(crate) fn is_raised() -> bool {
    IS_RAISED.load(Ordering::Relaxed)
}

/// An error once the user wants this command to end.
pub(crate) fn check() -> Result<()> {
    if is_raised() {
        anyhow::bail!("interrupted");
    }
    Ok(())
}
