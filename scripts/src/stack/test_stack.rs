//! A whole stack that lives as long as one test.

use std::ops::Deref;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{assembly, handle::Stack, plan::Plan, port::PortLease, shared::Shared};

/// A stack of one test: [`Stack`]'s methods, and everything is killed and removed when it is dropped.
#[derive(Debug)]
pub struct TestStack {
    stack: Stack,
    shared: Option<Shared>,
    _leases: Vec<PortLease>,
    _folder: TempDir,
}

impl TestStack {
    /// Starts what `plan` (of [`Plan::for_test`]) says; returns when every process is ready.
    pub async fn start(plan: Plan) -> Result<Self> {
        let start = move || -> Result<Self> {
            let folder = TempDir::with_prefix("timingle-stack-")?;
            let shared = Shared::create()?;
            let plan = Plan { run_dir: Some(folder.path().to_owned()), ..plan };
            let (stack, leases) = assembly::start_on(&plan, Some(&shared))?;
            Ok(Self { stack, shared: Some(shared), _leases: leases, _folder: folder })
        };
        tokio::task::spawn_blocking(start).await.context("the starting thread died")?
    }
}

impl Deref for TestStack {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

impl Drop for TestStack {
    fn drop(&mut self) {
        // A failure leaves processes in the test's group, which the test runner ends.
        drop(self.stack.kill_all());
        drop(self.shared.take());
    }
}
