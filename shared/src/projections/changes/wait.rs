//! Waiting for the next changes.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::Instant;

use super::feed::{FeedError, FeedFilter, FeedPage, feed};
use crate::db::Announcements;

/// Returns the next page as soon as it has a change; an empty page when the time is up, or waiting has been ended. In
/// both cases the reader continues at its `next_seq`.
pub async fn next_changes(
    db: &PgPool,
    announced: &Announcements,
    filter: &FeedFilter,
    mut after: i64,
    limit: usize,
    longest: Duration,
) -> Result<FeedPage, FeedError> {
    let until = Instant::now() + longest;
    let mut heard = announced.subscribe();
    loop {
        let page = feed(db, filter, after, limit).await?;
        if !page.entries.is_empty() || Instant::now() >= until || announced.is_over() {
            return Ok(page);
        }
        // If the filter matched nothing in a part of the log, the next part is read immediately.
        let is_to_wait = page.is_complete || page.next_seq == after;
        after = page.next_seq;
        if is_to_wait {
            heard.wait(until, |_| true).await;
        }
    }
}
