//! The part of PubMed's query language that clients of an archive need: words, phrases, fields,
//! `AND`, `OR`, `NOT`, parentheses, ranges of PMIDs and dates. Operators bind from left to right.

use chrono::NaiveDate;

use crate::corpus::{Corpus, Entry};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Records of a topic; 0 for an unknown word.
    Topic(u32),
    /// A range of PMIDs, inclusive.
    Pmids(u32, u32),
    /// A range of days, inclusive.
    Dates(Field, NaiveDate, NaiveDate),
    And(Box<Query>, Box<Query>),
    Or(Box<Query>, Box<Query>),
    /// The first but not the second.
    Not(Box<Query>, Box<Query>),
}

/// A date field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Entry
    Edat,
    /// Creation
    Crdt,
    /// Modification
    Mdat,
    /// Publication; here the first day of the entry's month, as for records with only a month.
    Pdat,
}

impl Field {
    /// Finds a field by its `datetype` or tag.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "edat" => Some(Self::Edat),
            "crdt" => Some(Self::Crdt),
            "mdat" | "lr" => Some(Self::Mdat),
            "pdat" | "dp" => Some(Self::Pdat),
            _ => None,
        }
    }

    fn of(self, entry: &Entry) -> NaiveDate {
        use chrono::Datelike;
        match self {
            Self::Edat => entry.entered,
            Self::Crdt => entry.created,
            Self::Mdat => entry.modified,
            Self::Pdat => entry.entered.with_day(1).unwrap_or(entry.entered),
        }
    }
}

impl Query {
    /// Parses a term; the second value are words that no record has. None if the term is malformed.
    pub fn parse(term: &str, corpus: &Corpus) -> Option<(Self, Vec<String>)> {
        let mut parser = Parser { tokens: tokens(term)?, at: 0, corpus, unknown: Vec::new() };
        let query = parser.expression()?;
        (parser.at == parser.tokens.len()).then_some((query, parser.unknown))
    }

    /// Whether a record matches.
    pub fn finds(&self, pmid: u32, entry: &Entry) -> bool {
        match self {
            Self::Topic(bits) => *bits == u32::MAX || entry.topics & bits != 0,
            Self::Pmids(from, to) => (*from..=*to).contains(&pmid),
            Self::Dates(field, from, to) => (*from..=*to).contains(&field.of(entry)),
            Self::And(a, b) => a.finds(pmid, entry) && b.finds(pmid, entry),
            Self::Or(a, b) => a.finds(pmid, entry) || b.finds(pmid, entry),
            Self::Not(a, b) => a.finds(pmid, entry) && !b.finds(pmid, entry),
        }
    }
}

/// Parses a day in the formats of E-utilities: `YYYY/MM/DD`, `YYYY/MM` or `YYYY`; `end` selects the last day of the
/// period.
pub fn day(text: &str, end: bool) -> Option<NaiveDate> {
    let mut parts = text.split('/').map(|part| part.parse::<u32>().ok());
    let year = i32::try_from(parts.next()??).ok()?;
    let (month, day) = (parts.next(), parts.next());
    match (month, day) {
        (Some(month), Some(day)) => NaiveDate::from_ymd_opt(year, month?, day?),
        (Some(month), None) if end => {
            let month = month?;
            let next = if month == 12 {
                NaiveDate::from_ymd_opt(year + 1, 1, 1)
            } else {
                NaiveDate::from_ymd_opt(year, month + 1, 1)
            };
            next?.pred_opt()
        }
        (Some(month), None) => NaiveDate::from_ymd_opt(year, month?, 1),
        (None, _) if end => NaiveDate::from_ymd_opt(year, 12, 31),
        (None, _) => NaiveDate::from_ymd_opt(year, 1, 1),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Colon,
    /// A word or phrase with its field, lower-case.
    Word(String, Option<String>),
}

fn tokens(term: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = term.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = match first {
            '(' | ')' | ':' => {
                found.push(match first {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Colon,
                });
                rest = rest[1..].trim_start();
                continue;
            }
            '"' => {
                let (phrase, after) = rest[1..].split_once('"')?;
                rest = after;
                phrase
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "()[]:\"".contains(c)).unwrap_or(rest.len());
                if end == 0 {
                    return None;
                }
                let (word, after) = rest.split_at(end);
                rest = after;
                word
            }
        };
        let mut field = None;
        if let Some(after) = rest.strip_prefix('[') {
            let (name, after) = after.split_once(']')?;
            field = Some(name.to_lowercase());
            rest = after;
        }
        rest = rest.trim_start();
        found.push(match (word, &field) {
            ("AND", None) => Token::And,
            ("OR", None) => Token::Or,
            ("NOT", None) => Token::Not,
            _ => Token::Word(word.to_lowercase(), field),
        });
    }
    Some(found)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    corpus: &'a Corpus,
    unknown: Vec<String>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn expression(&mut self) -> Option<Query> {
        let mut query = self.primary()?;
        loop {
            let token = match self.peek() {
                Some(Token::And | Token::Or | Token::Not) => {
                    self.at += 1;
                    self.tokens[self.at - 1].clone()
                }
                // Adjacent words are joined by `AND`.
                Some(Token::Open | Token::Word(..)) => Token::And,
                _ => return Some(query),
            };
            let (a, b) = (Box::new(query), Box::new(self.primary()?));
            query = match token {
                Token::Or => Query::Or(a, b),
                Token::Not => Query::Not(a, b),
                _ => Query::And(a, b),
            };
        }
    }

    fn primary(&mut self) -> Option<Query> {
        let token = self.peek()?.clone();
        self.at += 1;
        match token {
            Token::Open => {
                let query = self.expression()?;
                (self.peek() == Some(&Token::Close)).then(|| self.at += 1)?;
                Some(query)
            }
            Token::Word(word, field) => {
                if self.peek() == Some(&Token::Colon) {
                    self.at += 1;
                    let Some(Token::Word(to, last_field)) = self.peek().cloned() else { return None };
                    self.at += 1;
                    return range(&word, &to, last_field.or(field).as_deref());
                }
                Some(self.word(word, field.as_deref()))
            }
            _ => None,
        }
    }

    fn word(&mut self, word: String, field: Option<&str>) -> Query {
        match field {
            Some("uid" | "pmid") => word.parse().map_or(Query::Topic(0), |pmid| Query::Pmids(pmid, pmid)),
            Some(name) if Field::named(name).is_some() => range(&word, &word, field).unwrap_or(Query::Topic(0)),
            _ => {
                let bit = self.corpus.bit_of(&word);
                if bit.is_none() {
                    self.unknown.push(word);
                }
                Query::Topic(bit.unwrap_or(0))
            }
        }
    }
}

fn range(from: &str, to: &str, field: Option<&str>) -> Option<Query> {
    match field? {
        "uid" | "pmid" => Some(Query::Pmids(from.parse().ok()?, to.parse().ok()?)),
        name => Some(Query::Dates(Field::named(name)?, day(from, false)?, day(to, true)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_find_what_they_say() {
        let today = NaiveDate::from_ymd_opt(2026, 3, 10).expect("a date");
        let mut corpus = Corpus::new(today);
        corpus.add(5, "asthma");
        corpus.add(7, "copd");
        corpus.add(9, "asthma").entered = day("2026/02/28", false).expect("a day");
        let check = |term: &str, expected: Option<&[u32]>| {
            let found = Query::parse(term, &corpus).map(|(query, _)| {
                corpus.entries.iter().filter(|(p, e)| query.finds(**p, e)).map(|(p, _)| *p).collect::<Vec<_>>()
            });
            assert_eq!(found.as_deref(), expected, "{term}");
        };
        check("asthma", Some(&[5, 9]));
        check("asthma OR copd NOT 5[uid]", Some(&[7, 9]));
        check("(asthma) AND 6:9[UID]", Some(&[9]));
        check("(\"2026/03/01\"[EDAT] : \"2026/03/31\"[EDAT]) AND all", Some(&[5, 7]));
        check("all 2026/02[edat]", Some(&[9]));
        check("nothing", Some(&[]));
        for malformed in ["((", "asthma AND", "a)", "\"open", "a[ti"] {
            check(malformed, None);
        }
    }
}
