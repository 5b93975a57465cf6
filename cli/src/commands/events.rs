//! `events`: the changes of the archive, in order.

use std::io::Write;
use std::time::Duration;

use shared::db::Announcements;
use shared::projections::CHANNEL;
use shared::projections::changes::{FeedFilter, known_query};
use shared::tools::{EventPage, EventView, events};

use super::interrupted;
use crate::args::Events;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::Session;

/// Changes per page.
const PAGE: usize = 1000;

/// How long one request of `--follow` waits.
const WAIT: Duration = Duration::from_secs(25);

pub async fn run(session: &Session, args: &Events, json: bool) -> Result<Exit, CliError> {
    let json = json || args.json;
    if let Some(key) = &args.query_key
        && !known_query(session.db(), key).await?
    {
        return Err(CliError::not_found(format!("query key {key} not found: `bio-mcp status` lists the keys")));
    }
    let _keeper = args.follow.then(|| session.keep_database_alive());
    let filter = FeedFilter { kinds: args.kinds.clone(), query_key: args.query_key.clone() };
    let mut left = args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut after = args.after;
    let stopped = interrupted();
    tokio::pin!(stopped);
    let announced = Announcements::new(session.db().clone(), CHANNEL);
    let is_complete = loop {
        let limit = left.unwrap_or(PAGE).min(PAGE);
        let wait = if args.follow { WAIT } else { Duration::ZERO };
        let reading = events(session.db(), &announced, &filter, after, limit, wait);
        let page = tokio::select! {
            page = reading => page?,
            () = &mut stopped => break true,
        };
        print(&page, json)?;
        let is_stuck = page.next_seq == after;
        after = page.next_seq;
        if let Some(left) = &mut left {
            *left = left.saturating_sub(page.events.len());
            if *left == 0 {
                break true;
            }
        }
        if !args.follow && (page.complete || is_stuck) {
            break page.complete;
        }
    };
    out::note(format_args!("last event: {after}; `--after {after}` prints later changes"));
    if !is_complete {
        out::note("the change feed is behind the event log: run `bio-mcp projections catch-up`");
    }
    Ok(Exit::Done)
}

fn print(page: &EventPage, json: bool) -> Result<(), CliError> {
    for event in &page.events {
        if json {
            out::json(event)?;
        } else {
            out::line(&line(event))?;
        }
    }
    out::stdout().flush()?;
    Ok(())
}

/// Formats a change as one line.
fn line(event: &EventView) -> String {
    let at = event.accepted_at.format("%Y-%m-%d %H:%M:%S");
    let record = match &event.pmid {
        Some(pmid) => pmid.clone(),
        None => out::plain(&format!("{} {}", event.record_type, event.record_id)),
    };
    let mut notices: Vec<String> = event
        .notices
        .iter()
        .map(|notice| {
            let what = notice.pmid.as_deref().or(notice.source.as_deref()).unwrap_or_default();
            out::plain(&format!("{} {what}", notice.ref_type))
        })
        .collect();
    if event.notice_count > notices.len() {
        notices.push(format!("{} more", event.notice_count - notices.len()));
    }
    let said = event.integrity.filter(|status| *status != "ok").map(|status| format!("  {status}")).unwrap_or_default();
    let notices = if notices.is_empty() { String::new() } else { format!(" ({})", notices.join(", ")) };
    format!("{:>10}  {at}  {:<20}  {record}{said}{notices}", event.seq, event.kind.as_str())
}
