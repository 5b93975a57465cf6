//! Filters of a search as PubMed's query language. Their values are data: each becomes one quoted phrase with its
//! field, and no value can close the phrase or name another field.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{FieldError, ToolError};

const MAX_VALUE_CHARS: usize = 200;

/// Before and after all dates in PubMed, for a range with one end.
const FIRST_DAY: &str = "1500/01/01";
const LAST_DAY: &str = "3000/12/31";

/// What narrows a search; what is left out does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Filters {
    /// First day, month or year: `2026-03-10`, `2026-03` or `2026`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_from: Option<String>,
    /// Last day, month or year.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_to: Option<String>,
    /// The date that is compared; `pub` if omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_type: Option<DateType>,
    /// Authors, all of whom must match, e.g. `Smith JA`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub authors: Vec<String>,
    /// Journals, any of which must match, by title, abbreviation or ISSN.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub journals: Vec<String>,
    /// MeSH headings, all of which must match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub mesh: Vec<String>,
    /// Publication types, any of which must match, e.g. `Review`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub pub_types: Vec<String>,
    /// Languages, any of which must match, e.g. `english` or `eng`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub languages: Vec<String>,
    /// Species, all of which must match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub species: Option<Species>,
    /// Only records with an abstract.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_abstract: bool,
    /// Only records with free full text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub free_full_text: bool,
    /// Exclude retracted articles.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exclude_retracted: bool,
}

/// Dates of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateType {
    /// Publication.
    Pub,
    /// Entry into PubMed.
    Entry,
    /// Last revision.
    Modified,
    /// First creation.
    Created,
}

impl DateType {
    /// PubMed's field tag.
    fn tag(self) -> &'static str {
        match self {
            Self::Pub => "dp",
            Self::Entry => "edat",
            Self::Modified => "lr",
            Self::Created => "crdt",
        }
    }
}

/// The subjects of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Species {
    /// Humans.
    Humans,
    /// Animals.
    Animals,
}

impl Filters {
    /// Whether no filter is set. A type of date alone is not a filter.
    pub fn is_empty(&self) -> bool {
        Self { date_type: None, ..self.clone() } == Self::default()
    }

    /// The term narrowed by the filters, as it is sent.
    pub fn narrow(&self, term: Option<&str>) -> Result<String, ToolError> {
        let mut faults = Vec::new();
        let mut parts: Vec<String> = term.map(|term| format!("({term})")).into_iter().collect();
        parts.extend(self.dates(&mut faults));
        for (name, values, tag, is_any) in [
            ("authors", &self.authors, "au", false),
            ("journals", &self.journals, "ta", true),
            ("mesh", &self.mesh, "mh", false),
            ("pub_types", &self.pub_types, "pt", true),
            ("languages", &self.languages, "la", true),
        ] {
            let phrases: Vec<String> = values
                .iter()
                .enumerate()
                .filter_map(|(n, value)| match phrase(value) {
                    Ok(phrase) => Some(format!("{phrase}[{tag}]")),
                    Err(reason) => {
                        faults.push(FieldError { pointer: format!("/filters/{name}/{n}"), reason });
                        None
                    }
                })
                .collect();
            match &phrases[..] {
                [] => {}
                [one] => parts.push(one.clone()),
                several if is_any => parts.push(format!("({})", several.join(" OR "))),
                several => parts.extend_from_slice(several),
            }
        }
        parts.extend(self.species.map(|species| match species {
            Species::Humans => "humans[mh]".to_owned(),
            Species::Animals => "animals[mh]".to_owned(),
        }));
        parts.extend(self.has_abstract.then(|| "hasabstract".to_owned()));
        parts.extend(self.free_full_text.then(|| "\"free full text\"[sb]".to_owned()));
        if !faults.is_empty() {
            return Err(ToolError::invalid(faults));
        }
        if !self.exclude_retracted {
            return Ok(match (term, &parts[..]) {
                // Without filters, the caller's query is sent unchanged.
                (Some(term), [_]) => term.to_owned(),
                (_, parts) => parts.join(" AND "),
            });
        }
        if parts.is_empty() {
            parts.push("all[sb]".to_owned());
        }
        Ok(format!("({}) NOT \"retracted publication\"[pt]", parts.join(" AND ")))
    }

    /// The range of dates.
    fn dates(&self, faults: &mut Vec<FieldError>) -> Option<String> {
        let mut read = |name: &str, text: Option<&str>| {
            let read = text.map(day);
            if read == Some(None) {
                let reason = "must be a date such as 2026-03-10, 2026-03 or 2026".to_owned();
                faults.push(FieldError { pointer: format!("/filters/{name}"), reason });
            }
            read.flatten()
        };
        let (from, to) = (read("date_from", self.date_from.as_deref()), read("date_to", self.date_to.as_deref()));
        if let (Some((_, from)), Some((text, to))) = (&from, &to) {
            // A month or a year ends after it begins.
            let is_before = to < from && !from.format("%Y/%m/%d").to_string().starts_with(text.as_str());
            if is_before {
                let reason = "must not be before date_from".to_owned();
                faults.push(FieldError { pointer: "/filters/date_to".to_owned(), reason });
            }
        }
        if from.is_none() && to.is_none() {
            return None;
        }
        let tag = self.date_type.unwrap_or(DateType::Pub).tag();
        let text =
            |day: Option<(String, NaiveDate)>, other: &str| day.map_or_else(|| other.to_owned(), |(text, _)| text);
        Some(format!("(\"{}\"[{tag}] : \"{}\"[{tag}])", text(from, FIRST_DAY), text(to, LAST_DAY)))
    }
}

/// A day, month or year as PubMed writes it, and the first day of it.
fn day(text: &str) -> Option<(String, NaiveDate)> {
    let parts: Vec<&str> = text.trim().split(['-', '/']).collect();
    let number = |text: &str, longest: usize| {
        let fine = (1..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        fine.then(|| text.parse::<u32>().ok()).flatten()
    };
    let year = number(parts[0], 4).filter(|year| (1500..=3000).contains(year))?;
    let part = |n: usize| parts.get(n).map_or(Some(1), |text| number(text, 2));
    let first = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, part(1)?, part(2)?)?;
    let format = ["%Y", "%Y/%m", "%Y/%m/%d"].get(parts.len() - 1)?;
    Some((first.format(format).to_string(), first))
}

/// A value as one quoted phrase. PubMed has no escapes: characters that would end the phrase, name a field or match
/// other words become spaces.
fn phrase(value: &str) -> Result<String, String> {
    if value.chars().count() > MAX_VALUE_CHARS {
        return Err(format!("must be text of at most {MAX_VALUE_CHARS} characters"));
    }
    if ["&amp;", "&lt;", "&gt;", "&quot;"].iter().any(|escape| value.contains(escape)) {
        return Err(
            "looks HTML-escaped (it contains &amp;, &lt;, &gt; or &quot;): PubMed would find nothing".to_owned()
        );
    }
    let has_meaning =
        |c: char| c.is_control() || c.is_whitespace() || matches!(c, '"' | '“' | '”' | '„' | '[' | ']' | '*');
    let words: Vec<&str> = value.split(has_meaning).filter(|word| !word.is_empty()).collect();
    if !words.iter().any(|word| word.chars().any(char::is_alphanumeric)) {
        return Err("holds no word".to_owned());
    }
    Ok(format!("\"{}\"", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubmed::eutils::Query;

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn filters_narrow_the_term_and_nothing_else() {
        let filters = Filters {
            date_from: Some("2024".to_owned()),
            date_to: Some("2024-02-29".to_owned()),
            date_type: Some(DateType::Entry),
            authors: texts(&["Smith J", "Doe A"]),
            journals: texts(&["Nature", "Science (New York, N.Y.)"]),
            species: Some(Species::Humans),
            exclude_retracted: true,
            ..Filters::default()
        };
        assert_eq!(
            filters.narrow(Some("a OR b")).as_deref(),
            Ok("((a OR b) AND (\"2024\"[edat] : \"2024/02/29\"[edat]) AND \"Smith J\"[au] AND \"Doe A\"[au] AND \
                (\"Nature\"[ta] OR \"Science (New York, N.Y.)\"[ta]) AND humans[mh]) NOT \"retracted publication\"[pt]")
        );
        assert_eq!(Filters::default().narrow(Some("a OR b")).as_deref(), Ok("a OR b"));
        let retracted = Filters { exclude_retracted: true, ..Filters::default() };
        assert_eq!(retracted.narrow(None).as_deref(), Ok("(all[sb]) NOT \"retracted publication\"[pt]"));
        assert!(Filters { date_type: Some(DateType::Pub), ..Filters::default() }.is_empty());
    }

    #[test]
    fn no_value_of_a_filter_is_query_syntax() {
        for hostile in [
            "x\"[au] OR all[sb] OR \"",
            "a] OR cancer[ti",
            "a) OR (b",
            "NOT asthma",
            "a\nOR\u{b}b",
            "as*",
            "1:9999[uid]",
            "\u{201c}x\u{201d}",
            "x\" : \"3000\"[dp]",
        ] {
            let filters = Filters { authors: texts(&[hostile]), mesh: texts(&[hostile]), ..Filters::default() };
            let query = filters.narrow(Some("asthma")).expect("a query");
            let rest = query.strip_prefix("(asthma) AND \"").expect("the term first");
            let (author, rest) = rest.split_once("\"[au] AND \"").expect("an author");
            let mesh = rest.strip_suffix("\"[mh]").expect("a heading");
            for value in [author, mesh] {
                assert!(!value.contains(['"', '[', ']', '*']) && !value.chars().any(char::is_control), "{value}");
            }
            assert!(Query::parse(&query).is_ok(), "{query}");
        }
        for nothing in ["\"\"", "[]", " ", "***", "AT&amp;T", &"x".repeat(201)] {
            let filters = Filters { languages: texts(&["english", nothing]), ..Filters::default() };
            let error = filters.narrow(None).expect_err(nothing);
            assert_eq!(error.fields[0].pointer, "/filters/languages/1");
        }
    }

    #[test]
    fn dates_are_days_months_or_years_that_exist() {
        let narrow = |from: &str, to: &str| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Filters { date_from: text(from), date_to: text(to), ..Filters::default() }.narrow(None)
        };
        assert_eq!(narrow("2024/3", "").as_deref(), Ok("(\"2024/03\"[dp] : \"3000/12/31\"[dp])"));
        assert_eq!(narrow("", "2024-03-01").as_deref(), Ok("(\"1500/01/01\"[dp] : \"2024/03/01\"[dp])"));
        assert!(narrow("2024-03-15", "2024-03").is_ok() && narrow("2024-03-15", "2024").is_ok());
        for (from, to) in [
            ("2024-02-30", ""),
            ("24", ""),
            ("2024-1-1-1", ""),
            ("2024-03", "2024-02"),
            ("yesterday", ""),
            ("2024\"", ""),
        ] {
            assert!(narrow(from, to).is_err(), "{from} {to}");
        }
    }
}
