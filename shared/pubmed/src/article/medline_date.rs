//! `MedlineDate`: dates as free text, such as `1998 Dec-1999 Jan` or `Fall 2016`.

use super::dates::Ymd;

/// The date in a free text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedMedlineDate<'t> {
    /// The start: the first year, with the first month and day of that year.
    pub ymd: Ymd,
    /// The first season in the text.
    pub season: Option<&'t str>,
}

/// A run of digits or of letters.
#[derive(Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    before: Option<char>,
    after: Option<char>,
}

impl Piece<'_> {
    fn number(self, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
        let fits = digits.contains(&self.text.len()) && self.text.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| self.text.parse().ok()).flatten()
    }

    /// The year, if it is within the last five centuries.
    fn year(self) -> Option<i32> {
        self.number(4..=4).filter(|year| (1500..2100).contains(year)).and_then(|year| i32::try_from(year).ok())
    }

    fn follows_a_range_sign(self) -> bool {
        matches!(self.before, Some('-' | '/' | '\u{2013}'))
    }
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let class = |c: char| (c.is_ascii_digit(), c.is_alphabetic());
    let mut pieces = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let length = text[start..].find(|c| class(c) != class(first)).unwrap_or(text.len() - start);
        let end = start + length;
        if class(first) != (false, false) {
            let (before, after) = (text[..start].chars().next_back(), text[end..].chars().next());
            pieces.push(Piece { text: &text[start..end], before, after });
        }
        start = end;
    }
    pieces
}

/// The number of a month by its English name or an abbreviation of at least three letters.
pub fn month_of(text: &str) -> Option<u32> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let text = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let at = NAMES.iter().position(|name| text.len() >= 3 && name.starts_with(&text))?;
    u32::try_from(at + 1).ok()
}

/// The first season in a text.
pub fn season_of(text: &str) -> Option<&str> {
    const NAMES: [&str; 5] = ["spring", "summer", "fall", "autumn", "winter"];
    pieces(text).into_iter().map(|piece| piece.text).find(|word| NAMES.iter().any(|n| word.eq_ignore_ascii_case(n)))
}

/// The first month in a text.
pub fn first_month(text: &str) -> Option<u32> {
    pieces(text).into_iter().find_map(|piece| month_of(piece.text))
}

/// Reads the start of a range of dates. A month after a second year belongs to that year.
pub fn read(text: &str) -> ParsedMedlineDate<'_> {
    let pieces = pieces(text);
    let season = season_of(text);
    let Some(first) = pieces.iter().position(|piece| piece.year().is_some()) else {
        return ParsedMedlineDate { season, ..ParsedMedlineDate::default() };
    };
    let is_later_year =
        |piece: &Piece<'_>| piece.year().is_some() || (piece.follows_a_range_sign() && piece.number(2..=2).is_some());
    let second = match pieces.get(first + 1) {
        // In `1994-95` the second year directly follows the first; elsewhere two digits are a day.
        Some(next) if is_later_year(next) => Some(first + 1),
        _ => pieces.iter().skip(first + 1).position(|piece| piece.year().is_some()).map(|n| first + 1 + n),
    };
    let month_at = pieces
        .iter()
        .position(|piece| month_of(piece.text).is_some())
        .filter(|at| second.is_none_or(|second| *at < second));
    let month = month_at.and_then(|at| month_of(pieces[at].text));
    let day = month_at
        .and_then(|at| pieces.get(at + 1))
        .filter(|piece| !piece.follows_a_range_sign() && !piece.after.is_some_and(char::is_alphabetic));
    ParsedMedlineDate { ymd: Ymd::of(pieces[first].year(), month, day.and_then(|day| day.number(1..=2))), season }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_every_form_is_found() {
        for (text, date, season) in [
            ("1990 May-Jun", "1990-05", None),
            ("2019 Sep/Oct", "2019-09", None),
            ("1998 Dec-1999 Jan", "1998-12", None),
            ("1998Dec-1999Jan", "1998-12", None),
            ("Dec 1998-Jan 1999", "1998-12", None),
            ("1998-1999 Jan", "1998", None),
            ("1994-95", "1994", None),
            ("1994-95 Jan", "1994", None),
            ("1978-1979", "1978", None),
            ("1791-1792", "1791", None),
            ("2000 Dec 23-30", "2000-12-23", None),
            ("2000 Dec 31-2001 Jan 6", "2000-12-31", None),
            ("2021 Jul-Aug 01", "2021-07", None),
            ("2001 Feb 30", "2001-02", None),
            ("Sept. 5, 1988", "1988-09-05", None),
            ("1988 March-April", "1988-03", None),
            ("1990\u{a0}May\u{2013}Jun", "1990-05", None),
            ("Fall 2016", "2016", Some("Fall")),
            ("2000 Spring-Summer", "2000", Some("Spring")),
            ("1976-1977 winter", "1976", Some("winter")),
            ("2012 3rd Quarter", "2012", None),
            ("2012 Mar 3rd Quarter", "2012-03", None),
            ("2004 Suppl Web Exclusives", "2004", None),
            ("2004 Marathon Issue", "2004", None),
            ("1980's", "1980", None),
            ("c1987", "1987", None),
            ("Spring", "", Some("Spring")),
            ("May-Jun", "", None),
            ("", "", None),
            ("№ 12345 é", "", None),
        ] {
            let found = read(text);
            assert_eq!((found.ymd.iso().unwrap_or_default().as_str(), found.season), (date, season), "{text}");
        }
    }
}
