//! Dates as PubMed writes them. A date that does not exist, such as the 30th of February, is given at the most precise
//! level that exists; the original text is kept beside it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::{NaiveDate, NaiveTime};
use serde::Serialize;

use super::Text;
use super::medline_date::{self, month_of, season_of};
use crate::xml_tree::Element;

/// Date of publication, as precise as in the record.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PubDate<'a> {
    /// The best ISO date: `2024`, `2024-05` or `2024-05-11`; of a range, its start.
    pub date: Option<String>,
    /// `day`, `month`, `season`, `year` or `none`.
    pub precision: &'static str,
    /// The free text of a `MedlineDate`.
    pub medline_date: Option<Text<'a>>,
    /// The season, if any element names one.
    pub season: Option<Text<'a>>,
    /// The original text, if `date` does not represent all of it.
    pub date_text: Option<Text<'a>>,
}

/// A date of electronic publication.
#[derive(Clone, Debug, Serialize)]
pub struct ArticleDate<'a> {
    pub date: Option<String>,
    /// `Electronic` (`DateType`).
    pub r#type: Option<Text<'a>>,
    /// The original text, if `date` does not represent all of it.
    pub date_text: Option<Text<'a>>,
}

/// A date in the record's history.
#[derive(Clone, Debug, Serialize)]
pub struct Stamp<'a> {
    /// What happened (`PubStatus`).
    pub status: Option<Text<'a>>,
    /// `2024-05-11`, or `2024-05-11T06:00` if a time is given.
    pub at: Option<String>,
    /// The original text, if `at` does not represent all of it.
    pub date_text: Option<Text<'a>>,
}

/// Texts of dates that a field cannot represent, by the name of the field.
pub type DateTexts<'a> = BTreeMap<&'static str, Text<'a>>;

/// Year, month and day as far as they exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ymd {
    pub year: Option<i32>,
    pub month: Option<u32>,
    pub day: Option<u32>,
}

impl Ymd {
    /// Drops a month or day that does not exist, and what depends on it.
    pub fn of(year: Option<i32>, month: Option<u32>, day: Option<u32>) -> Self {
        let month = month.filter(|month| year.is_some() && (1..=12).contains(month));
        let exists = |day: &u32| match (year, month) {
            (Some(year), Some(month)) => NaiveDate::from_ymd_opt(year, month, *day).is_some(),
            _ => false,
        };
        Self { year, month, day: day.filter(exists) }
    }

    pub fn iso(&self) -> Option<String> {
        let mut date = format!("{:04}", self.year?);
        for part in [self.month, self.day].into_iter().map_while(|part| part) {
            let _ = write!(date, "-{part:02}");
        }
        Some(date)
    }

    fn precision(&self, has_season: bool) -> &'static str {
        match self {
            Self { day: Some(_), .. } => "day",
            Self { month: Some(_), .. } => "month",
            Self { year: Some(_), .. } if has_season => "season",
            Self { year: Some(_), .. } => "year",
            _ => "none",
        }
    }
}

/// Year, Month, Day and Season children as read and as written.
#[derive(Default)]
struct Written<'a> {
    ymd: Ymd,
    season: Option<String>,
    texts: Vec<Cow<'a, str>>,
    /// Whether the date and the season represent all of the text.
    is_all: bool,
}

impl<'a> Written<'a> {
    fn read(element: Element<'_, 'a>) -> Self {
        let mut written = Self { is_all: true, ..Self::default() };
        let year = written.part(element, "Year", |text| match number(text, 4) {
            Some(year) if text.len() == 4 && year >= 1000 => (Some(year), true),
            _ => (medline_date::read(text).ymd.year.and_then(|year| u32::try_from(year).ok()), false),
        });
        let mut season = None;
        let month = written.part(element, "Month", |text| {
            season = season_of(text).map(str::to_owned);
            let month = number(text, 2).or_else(|| month_of(text));
            let is_all = month.is_some() || season.as_deref() == Some(text);
            (month.or_else(|| medline_date::first_month(text)), is_all)
        });
        let day = written.part(element, "Day", |text| {
            let start = text.split(['-', '/', '\u{2013}']).next().and_then(|start| number(start.trim(), 2));
            (start, number(text, 2).is_some())
        });
        let year = year.and_then(|year| i32::try_from(year).ok());
        written.ymd = Ymd::of(year, month, day);
        written.season = season;
        written.is_all &= (written.ymd.month, written.ymd.day) == (month, day);
        written
    }

    /// Reads a child; `read` returns its value and whether the value represents all of the text.
    fn part(
        &mut self,
        element: Element<'_, 'a>,
        name: &'static str,
        read: impl FnOnce(&str) -> (Option<u32>, bool),
    ) -> Option<u32> {
        let text = element.first_raw_text(name)?;
        let (value, is_all) = read(text.trim());
        self.is_all &= is_all;
        self.texts.push(text);
        value
    }

    /// The original text, if the date does not represent all of it.
    fn rest(&self, element: Element<'_, 'a>) -> Option<Text<'a>> {
        if self.is_all {
            return None;
        }
        let texts: Vec<&str> = self.texts.iter().map(|text| text.trim()).collect();
        Some(element.form().escape(Cow::Owned(texts.join(" "))))
    }
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let fits = !text.is_empty() && text.len() <= digits && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Reads a `PubDate`: Year, Month, Day and Season, else the `MedlineDate`.
pub fn pub_date<'a>(element: Option<Element<'_, 'a>>) -> PubDate<'a> {
    let Some(element) = element else { return PubDate { precision: "none", ..PubDate::default() } };
    let mut written = Written::read(element);
    let mut season = written.season.take().map(|season| element.form().escape(Cow::Owned(season)));
    if let Some(text) = element.first_raw_text("Season") {
        // The season may contain a month.
        if written.ymd.month.is_none()
            && let Some(month) = medline_date::first_month(&text)
        {
            written.ymd = Ymd::of(written.ymd.year, Some(month), None);
            written.is_all = false;
        }
        season = Some(element.form().escape(text.clone()));
        written.texts.push(text);
    }
    let medline_date = element.first_text("MedlineDate");
    if written.ymd.year.is_none()
        && let Some(text) = element.first_raw_text("MedlineDate")
    {
        let found = medline_date::read(&text);
        written.ymd = found.ymd;
        season = season.or_else(|| found.season.map(|season| Cow::Owned(season.to_owned())));
    }
    PubDate {
        date: written.ymd.iso(),
        precision: written.ymd.precision(season.is_some()),
        medline_date,
        season,
        date_text: written.rest(element),
    }
}

/// The ISO date of an element, as far as it exists; a text that it does not represent completely is added to `texts`.
pub fn iso<'a>(
    parent: Option<Element<'_, 'a>>,
    name: &'static str,
    field: &'static str,
    texts: &mut DateTexts<'a>,
) -> Option<String> {
    let element = parent?.first(name)?;
    let written = Written::read(element);
    if let Some(rest) = written.rest(element) {
        texts.insert(field, rest);
    }
    written.ymd.iso()
}

/// The `ArticleDate` children of an element.
pub fn article_dates<'a>(parent: Option<Element<'_, 'a>>) -> Vec<ArticleDate<'a>> {
    let dates = parent.into_iter().flat_map(|parent| parent.all("ArticleDate"));
    dates
        .filter(|element| !element.is_blank())
        .map(|element| {
            let written = Written::read(element);
            ArticleDate {
                date: written.ymd.iso(),
                r#type: element.attribute("DateType"),
                date_text: written.rest(element),
            }
        })
        .collect()
}

/// The history of a `PubmedData` or `PubmedBookData`.
pub fn history<'a>(data: Option<Element<'_, 'a>>) -> Vec<Stamp<'a>> {
    let lists = data.into_iter().flat_map(|data| data.all("History"));
    lists
        .flat_map(|list| list.all("PubMedPubDate"))
        .map(stamp)
        .filter(|stamp| stamp.status.is_some() || stamp.at.is_some() || stamp.date_text.is_some())
        .collect()
}

fn stamp<'a>(element: Element<'_, 'a>) -> Stamp<'a> {
    let mut written = Written::read(element);
    let mut time = ["Hour", "Minute", "Second"].map(|name| element.first_raw_text(name));
    let numbers = time.each_ref().map(|text| text.as_ref().and_then(|text| number(text.trim(), 2)));
    let mut at = written.ymd.iso();
    let is_read = |n: usize| time[n].is_some() == numbers[n].is_some();
    let clock = match numbers {
        [Some(hour), minute, second] if is_read(1) && (minute.is_some() || time[2].is_none()) => {
            NaiveTime::from_hms_opt(hour, minute.unwrap_or(0), 0)
                .map(|time| (time, second.and_then(|s| NaiveTime::from_hms_opt(hour, minute.unwrap_or(0), s))))
        }
        _ => None,
    };
    match (&mut at, clock) {
        (Some(at), Some((time_of_day, exact))) if written.ymd.day.is_some() => {
            let _ = match exact {
                Some(exact) => write!(at, "T{}", exact.format("%H:%M:%S")),
                None => write!(at, "T{}", time_of_day.format("%H:%M")),
            };
            written.is_all &= time[2].is_some() == exact.is_some();
        }
        _ => written.is_all &= time.iter().all(Option::is_none),
    }
    let clock: Vec<String> = time.iter_mut().filter_map(Option::take).map(|text| text.trim().to_owned()).collect();
    if !clock.is_empty() {
        written.texts.push(Cow::Owned(clock.join(":")));
    }
    Stamp { status: element.attribute("PubStatus"), at, date_text: written.rest(element) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml_tree::Tree;

    fn check(inside: &str, date: Option<&str>, precision: &str, season: Option<&str>, date_text: Option<&str>) {
        let xml = format!("<PubDate>{inside}</PubDate>");
        let tree = Tree::parse(&xml).expect("well-formed");
        let found = pub_date(Some(tree.root()));
        assert_eq!((found.date.as_deref(), found.precision), (date, precision), "{inside}");
        assert_eq!((found.season.as_deref(), found.date_text.as_deref()), (season, date_text), "{inside}");
        assert_eq!(tree.unread(), [], "{inside}");
    }

    #[test]
    fn publication_dates_keep_their_precision() {
        check("<Year>2024</Year>", Some("2024"), "year", None, None);
        check("<Year>2024</Year><Month>May</Month>", Some("2024-05"), "month", None, None);
        check("<Year>2024</Year><Month>05</Month><Day>1</Day>", Some("2024-05-01"), "day", None, None);
        check("<Year>2024</Year><Month>Sept</Month><Day>11</Day>", Some("2024-09-11"), "day", None, None);
        check("<Year>1785</Year><Month>October</Month>", Some("1785-10"), "month", None, None);
        check("<Year>2024</Year><Season>Spring</Season>", Some("2024"), "season", Some("Spring"), None);
        check("<Year>2016</Year><Month>Winter</Month>", Some("2016"), "season", Some("Winter"), None);
        check("<MedlineDate/><Year>2024</Year><Month> </Month>", Some("2024"), "year", None, None);
        check("", None, "none", None, None);
    }

    #[test]
    fn a_date_that_does_not_exist_is_given_as_far_as_it_does() {
        let day = |month: &str, day: &str| format!("<Year>2015</Year><Month>{month}</Month><Day>{day}</Day>");
        check(&day("Feb", "30"), Some("2015-02"), "month", None, Some("2015 Feb 30"));
        check(&day("2", "29"), Some("2015-02"), "month", None, Some("2015 2 29"));
        check(&day("4", "31"), Some("2015-04"), "month", None, Some("2015 4 31"));
        check(&day("13", "1"), Some("2015"), "year", None, Some("2015 13 1"));
        check(&day("00", "00"), Some("2015"), "year", None, Some("2015 00 00"));
        check(&day("May", "first"), Some("2015-05"), "month", None, Some("2015 May first"));
        check(&day("", "7"), Some("2015"), "year", None, Some("2015 7"));
        check("<Year>éé</Year>", None, "none", None, Some("éé"));
        check("<Year>0000</Year><Month>5</Month>", None, "none", None, Some("0000 5"));
    }

    #[test]
    fn a_range_gives_its_start() {
        check("<Year>2016</Year><Month>Jan-Feb</Month>", Some("2016-01"), "month", None, Some("2016 Jan-Feb"));
        check(
            "<Year>2016</Year><Month>Oct</Month><Day>1-15</Day>",
            Some("2016-10-01"),
            "day",
            None,
            Some("2016 Oct 1-15"),
        );
        check("<Year>2016-2017</Year>", Some("2016"), "year", None, Some("2016-2017"));
        check(
            "<Year>2016</Year><Season>Jul-Aug</Season>",
            Some("2016-07"),
            "month",
            Some("Jul-Aug"),
            Some("2016 Jul-Aug"),
        );
        check("<MedlineDate>1990 May-Jun</MedlineDate>", Some("1990-05"), "month", None, None);
        check("<MedlineDate>Fall 2016</MedlineDate>", Some("2016"), "season", Some("Fall"), None);
        check("<MedlineDate>Winter</MedlineDate>", None, "none", Some("Winter"), None);
    }

    #[test]
    fn times_that_do_not_exist_are_left_out_and_kept_as_text() {
        let check = |time: &str, at: &str, text: Option<&str>| {
            let xml = format!("<PubMedPubDate PubStatus='x'><Year>2012</Year><Month>2</Month>{time}</PubMedPubDate>");
            let tree = Tree::parse(&xml).expect("well-formed");
            let found = stamp(tree.root());
            assert_eq!((found.at.as_deref(), found.date_text.as_deref()), (Some(at), text), "{time}");
            assert_eq!(tree.unread(), [], "{time}");
        };
        check("<Day>3</Day>", "2012-02-03", None);
        check("<Day>3</Day><Hour>6</Hour>", "2012-02-03T06:00", None);
        check("<Day>3</Day><Hour>6</Hour><Minute>7</Minute>", "2012-02-03T06:07", None);
        check("<Day>3</Day><Hour>6</Hour><Minute>7</Minute><Second>8</Second>", "2012-02-03T06:07:08", None);
        check("<Day>3</Day><Hour>24</Hour><Minute>60</Minute>", "2012-02-03", Some("2012 2 3 24:60"));
        check("<Day>3</Day><Hour>6</Hour><Minute>60</Minute>", "2012-02-03", Some("2012 2 3 6:60"));
        check(
            "<Day>3</Day><Hour>6</Hour><Minute>7</Minute><Second>61</Second>",
            "2012-02-03T06:07",
            Some("2012 2 3 6:7:61"),
        );
        check("<Day>30</Day><Hour>6</Hour><Minute>0</Minute>", "2012-02", Some("2012 2 30 6:0"));
    }
}
