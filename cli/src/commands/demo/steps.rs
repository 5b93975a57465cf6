//! The steps of a demo: announced, run, counted.

use std::io::Write;

use shared::core::Tally;
use shared::jobs::Job;
use shared::verify;

use crate::commands::{verify as verify_command, work};
use crate::failure::CliError;
use crate::out;
use crate::session::Session;

/// What the demo did: its steps, and a record as an example.
pub struct Tried {
    pub steps: Vec<(String, Tally)>,
    pub look_at: Option<u32>,
}

pub fn say(text: &str) -> Result<(), CliError> {
    out::line(&format!("\n{}", out::bold(text)))?;
    out::stdout().flush()?;
    Ok(())
}

/// Reports how a step ended and adds its counts.
pub fn note(name: &str, job: &Job, steps: &mut Vec<(String, Tally)>) -> Result<(), CliError> {
    work::report(job, false)?;
    steps.push((name.to_owned(), job.result.clone().unwrap_or_default().counts));
    Ok(())
}

/// Checks the whole archive.
pub async fn verified(session: &Session) -> Result<(), CliError> {
    let report = verify::check(session.db(), &session.engine.archive, &verify::VerifyRun::default()).await?;
    verify_command::show(&report)?;
    if report.is_clean() { Ok(()) } else { Err(CliError::internal("verification found problems")) }
}
