//! Pages of listings.

/// Rows of a listing, in its order. There is a cursor only where more rows follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    has_more: bool,
}

impl<T> Page<T> {
    /// A page of at most `limit` rows; `rows` was queried with the limit of [`rows_to_read`].
    pub fn of(mut rows: Vec<T>, limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        Self { rows, has_more }
    }

    /// Cursor of the next page: `cursor` of the last row, if more rows follow.
    pub fn next<C>(&self, cursor: impl FnOnce(&T) -> C) -> Option<C> {
        self.rows.last().filter(|_| self.has_more).map(cursor)
    }
}

/// Number of rows to query for a page of at most `limit`: an extra row shows whether more follow.
pub fn rows_to_read(limit: i64) -> i64 {
    limit.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_given_only_where_more_follows() {
        for (there, limit, rows, next) in
            [(0, 3, 0, None), (2, 3, 2, None), (3, 3, 3, None), (4, 3, 3, Some(2)), (9, 3, 3, Some(2)), (1, 0, 0, None)]
        {
            let read = rows_to_read(limit).min(there);
            let page = Page::of((0..read).collect(), limit);
            assert_eq!((page.rows.len(), page.next(|last| *last)), (rows, next), "{limit} of {there}");
        }
    }
}
