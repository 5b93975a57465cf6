//! A query that can be restricted safely.

use std::fmt;

use bio_mcp_core::Sha256;

/// Maximum length of a query, in characters. PubMed accepts longer ones, but none that long is written by hand.
const MAX_CHARS: usize = 20_000;

/// A PubMed query, trimmed, with balanced parentheses and quotes, so that it can be put into parentheses and restricted
/// without a change of its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query(String);

/// Why a text is not a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuery {
    #[error("the query is empty")]
    Empty,
    #[error("the query is longer than {MAX_CHARS} characters")]
    TooLong,
    /// Line breaks, NUL and other control characters.
    #[error("the query contains control characters")]
    Control,
    #[error("the query's parentheses do not match")]
    Parentheses,
    #[error("the query has a quote (\") without its partner")]
    Quotes,
    /// `&amp;` in place of `&`: PubMed silently finds nothing.
    #[error("the query looks HTML-escaped (it contains &amp;, &lt;, &gt; or &quot;): PubMed would find nothing")]
    Escaped,
}

impl Query {
    /// Checks and trims a query.
    pub fn parse(text: &str) -> Result<Self, InvalidQuery> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidQuery::Empty);
        }
        if text.chars().count() > MAX_CHARS {
            return Err(InvalidQuery::TooLong);
        }
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(InvalidQuery::Control);
        }
        if ["&amp;", "&lt;", "&gt;", "&quot;"].iter().any(|escape| text.contains(escape)) {
            return Err(InvalidQuery::Escaped);
        }
        let (mut depth, mut quoted) = (0i32, false);
        for c in text.chars() {
            match c {
                '"' => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth -= 1,
                _ => {}
            }
            if depth < 0 {
                return Err(InvalidQuery::Parentheses);
            }
        }
        match (quoted, depth) {
            (true, _) => Err(InvalidQuery::Quotes),
            (_, 0) => Ok(Self(text.to_owned())),
            _ => Err(InvalidQuery::Parentheses),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of a query that was given none: the first 16 hex digits of its SHA-256.
    pub fn default_key(&self) -> String {
        let mut key = Sha256::of(self.0.as_bytes()).to_hex();
        key.truncate(16);
        key
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_stand_in_parentheses_is_a_query() {
        let check =
            |text: &str, expected: Option<InvalidQuery>| assert_eq!(Query::parse(text).err(), expected, "{text:?}");
        for fine in ["asthma", " (a OR b) AND \"c)\"[ti] ", "1:7500[UID]", "β-blockers AND 5'-UTR", "hasabstract"] {
            check(fine, None);
        }
        check(" \t ", Some(InvalidQuery::Empty));
        check("a) OR (b", Some(InvalidQuery::Parentheses));
        check("((a)", Some(InvalidQuery::Parentheses));
        check("a \"b", Some(InvalidQuery::Quotes));
        check("a\nb", Some(InvalidQuery::Control));
        check("a\0", Some(InvalidQuery::Control));
        check("AT&amp;T", Some(InvalidQuery::Escaped));
        check(&"x".repeat(MAX_CHARS + 1), Some(InvalidQuery::TooLong));
        check(&"é".repeat(MAX_CHARS), None);
    }

    #[test]
    fn the_default_key_is_that_of_the_trimmed_query() {
        let key = Query::parse(" asthma ").expect("a query").default_key();
        assert_eq!(key, Query::parse("asthma").expect("a query").default_key());
        assert_eq!(key.len(), 16);
    }
}
