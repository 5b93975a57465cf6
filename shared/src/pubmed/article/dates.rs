//! Dates as PubMed writes them.

use std::borrow::Cow;

use serde::Serialize;

use super::Text;
use crate::pubmed::xml_tree::Element;

/// When the work was published, as exactly as the record says.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PubDate<'a> {
    /// The best ISO date: `2024`, `2024-05` or `2024-05-11`.
    pub date: Option<String>,
    /// `day`, `month`, `season`, `year` or `none`.
    pub precision: &'static str,
    /// The free text of a `MedlineDate`.
    pub medline_date: Option<Text<'a>>,
    /// The season, where one is given instead of a month.
    pub season: Option<Text<'a>>,
}

/// A date in the record's history.
#[derive(Clone, Debug, Serialize)]
pub struct Stamp<'a> {
    /// What happened (`PubStatus`).
    pub status: Option<Text<'a>>,
    /// When: `2024-05-11`, or `2024-05-11T06:00` where a time is given.
    pub at: Option<String>,
}

/// Reads a `PubDate`.
pub fn pub_date<'a>(element: Option<Element<'_, 'a>>) -> PubDate<'a> {
    let none = PubDate { precision: "none", ..PubDate::default() };
    let Some(element) = element else { return none };
    let medline_date = element.first_text("MedlineDate");
    if let Some(text) = medline_date {
        let date = year_in(&text);
        let precision = if date.is_some() { "year" } else { "none" };
        return PubDate { date, precision, medline_date: Some(text), season: None };
    }
    let season = element.first_text("Season");
    match iso(element) {
        None => PubDate { season, ..none },
        Some(date) if season.is_some() => {
            PubDate { date: Some(date[..4].to_owned()), precision: "season", medline_date: None, season }
        }
        Some(date) => {
            let precision = ["year", "month", "day"][(date.len() - 4) / 3];
            PubDate { date: Some(date), precision, medline_date: None, season: None }
        }
    }
}

/// The ISO date of Year, Month and Day children, as far as they are valid.
pub fn iso(element: Element<'_, '_>) -> Option<String> {
    let year = element.first_text("Year")?;
    let year = year.trim();
    if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let Some(month) = element.first_text("Month").and_then(|m| month(&m)) else { return Some(year.to_owned()) };
    match element.first_text("Day").and_then(|d| number(&d, 31)) {
        Some(day) => Some(format!("{year}-{month:02}-{day:02}")),
        None => Some(format!("{year}-{month:02}")),
    }
}

/// A `PubMedPubDate`.
pub fn stamp<'a>(element: Element<'_, 'a>) -> Stamp<'a> {
    let part = |name| {
        let text = element.first_text(name)?;
        let digits = text.trim();
        (!digits.is_empty() && digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse::<u32>().ok())
            .flatten()
    };
    let at = iso(element).map(|mut at| {
        use std::fmt::Write;
        if let (10, Some(hour)) = (at.len(), part("Hour")) {
            let _ = write!(at, "T{hour:02}:{:02}", part("Minute").unwrap_or(0));
            if let Some(second) = part("Second") {
                let _ = write!(at, ":{second:02}");
            }
        }
        at
    });
    Stamp { status: element.attribute("PubStatus"), at }
}

fn month(text: &str) -> Option<u32> {
    const NAMES: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let text = text.trim().to_ascii_lowercase();
    let named = text.get(..3).and_then(|start| NAMES.iter().position(|name| *name == start));
    match named {
        Some(index) => u32::try_from(index + 1).ok(),
        None => number(&text, 12),
    }
}

fn number(text: &str, max: u32) -> Option<u32> {
    let text = text.trim();
    let digits = !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|n| (1..=max).contains(n))
}

/// The first year from 1800 to 2099 that stands alone in a text.
fn year_in(text: &str) -> Option<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .find(|word| {
            word.len() == 4
                && word.bytes().all(|b| b.is_ascii_digit())
                && ["18", "19", "20"].iter().any(|century| word.starts_with(century))
        })
        .map(Cow::from)
        .map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubmed::xml_tree::Tree;

    fn check(inside: &str, date: Option<&str>, precision: &str) {
        let xml = format!("<PubDate>{inside}</PubDate>");
        let tree = Tree::parse(&xml).expect("well-formed");
        let found = pub_date(Some(tree.root()));
        assert_eq!((found.date.as_deref(), found.precision), (date, precision), "{inside}");
    }

    #[test]
    fn publication_dates_keep_their_precision() {
        check("<Year>2024</Year>", Some("2024"), "year");
        check("<Year>2024</Year><Month>May</Month>", Some("2024-05"), "month");
        check("<Year>2024</Year><Month>05</Month><Day>1</Day>", Some("2024-05-01"), "day");
        check("<Year>2024</Year><Month>Sept</Month><Day>11</Day>", Some("2024-09-11"), "day");
        check("<Year>2024</Year><Season>Spring</Season>", Some("2024"), "season");
        check("<Year>2024</Year><Month>13</Month><Day>1</Day>", Some("2024"), "year");
        check("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", Some("1998"), "year");
        check("<MedlineDate>2021 Jul-Aug 01</MedlineDate>", Some("2021"), "year");
        check("<MedlineDate>1978-1979</MedlineDate>", Some("1978"), "year");
        check("<MedlineDate>Spring</MedlineDate>", None, "none");
        check("<Year>éé</Year>", None, "none");
        check("", None, "none");
    }
}
