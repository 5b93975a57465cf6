//! The fields by which a record is stored: PMID, Version and `DateRevised`.

use chrono::NaiveDate;

use super::Pmid;
use super::markup::{self, Markup, Scan};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The record's own PMID.
    pub pmid: Pmid,
    /// Version attribute of that PMID; 1 if absent.
    pub version: i32,
    /// `DateRevised`, if it is present and valid.
    pub date_revised: Option<NaiveDate>,
}

/// Why a record has no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// With the offset of the first invalid byte.
    #[error("not UTF-8 at byte {0} of the record")]
    NotUtf8(usize),
    #[error("the record has no PMID")]
    NoPmid,
    #[error("the record's PMID is not a number from 1 to 999999999")]
    BadPmid,
    #[error("the Version of the record's PMID is not a number from 1")]
    BadVersion,
    /// Not a `PubmedArticle` or `PubmedBookArticle`.
    #[error("neither a PubmedArticle nor a PubmedBookArticle")]
    UnknownElement,
}

/// Finds the identity of a well-formed record slice; returns its text too, since it was checked
/// to be UTF-8.
///
/// ```
/// use bio_mcp_core::identity;
///
/// let xml = br#"<PubmedArticle><MedlineCitation><PMID Version="2">31452104</PMID></MedlineCitation></PubmedArticle>"#;
/// let (identity, text) = identity::of_record(xml)?;
/// assert_eq!((identity.pmid.get(), identity.version), (31_452_104, 2));
/// assert_eq!(text.as_bytes(), xml);
/// # Ok::<(), bio_mcp_core::identity::IdentityError>(())
/// ```
pub fn of_record(slice: &[u8]) -> Result<(Identity, &str), IdentityError> {
    let text = std::str::from_utf8(slice).map_err(|e| IdentityError::NotUtf8(e.valid_up_to()))?;
    of_text(text).map(|identity| (identity, text))
}

/// Like [`of_record`], for a slice known to be UTF-8.
pub fn of_text(text: &str) -> Result<Identity, IdentityError> {
    let slice = text.as_bytes();
    let (inner, last) = match root_name(slice) {
        // In an article DateRevised comes before Article, where the long part begins.
        b"PubmedArticle" => (&b"MedlineCitation"[..], Some(&b"Article"[..])),
        b"PubmedBookArticle" => (&b"BookDocument"[..], None),
        _ => return Err(IdentityError::UnknownElement),
    };
    find(slice, inner, last)
}

/// Finds the PMID and Version of a `PMID` element of a `DeleteCitation`; without a Version, every version is deleted.
pub fn of_deletion(element: &[u8]) -> Result<(Pmid, Option<i32>), IdentityError> {
    let Scan::Found(Markup::Open(name), end) = markup::scan(element, 0) else {
        return Err(IdentityError::NoPmid);
    };
    let version = named_version(element, name.end)?;
    pmid(&text_until_close(element, end)).map(|pmid| (pmid, version))
}

/// The markup at a position. Records stored by an earlier version may exceed the present bounds: their identity can
/// still be read.
fn scan(slice: &[u8], at: usize) -> Scan {
    match markup::scan(slice, at) {
        Scan::Beyond(_) => markup::scan_unbounded(slice, at),
        scanned => scanned,
    }
}

fn root_name(slice: &[u8]) -> &[u8] {
    match scan(slice, 0) {
        Scan::Found(Markup::Open(name) | Markup::Empty(name), _) => &slice[name],
        _ => b"",
    }
}

fn pmid(text: &str) -> Result<Pmid, IdentityError> {
    if text.trim().is_empty() {
        return Err(IdentityError::NoPmid);
    }
    Pmid::parse(text.trim()).map_err(|_| IdentityError::BadPmid)
}

/// The Version attribute; 1 if absent.
fn version(tag: &[u8], name_end: usize) -> Result<i32, IdentityError> {
    named_version(tag, name_end).map(|version| version.unwrap_or(1))
}

fn named_version(tag: &[u8], name_end: usize) -> Result<Option<i32>, IdentityError> {
    let Some(value) = markup::attribute_value(tag, name_end, b"Version") else { return Ok(None) };
    std::str::from_utf8(value)
        .ok()
        .and_then(|value| value.trim().parse().ok())
        .filter(|version| *version >= 1)
        .map(Some)
        .ok_or(IdentityError::BadVersion)
}

fn find(slice: &[u8], inner: &[u8], last: Option<&[u8]>) -> Result<Identity, IdentityError> {
    let mut found: Option<(Pmid, i32)> = None;
    let mut date_revised = None;
    let mut depth = 0usize;
    let mut inside = false;
    let mut at = 0;
    while let Some(next) = memchr::memchr(b'<', &slice[at..]) {
        let Scan::Found(markup, end) = scan(slice, at + next) else { break };
        at = end;
        match markup {
            Markup::Open(name) => {
                let start = name.end;
                let name = &slice[name];
                match depth {
                    1 => inside = name == inner,
                    2 if inside && name == b"PMID" && found.is_none() => {
                        let version = version(slice, start)?;
                        found = Some((pmid(&text_until_close(slice, end))?, version));
                    }
                    2 if inside && name == b"DateRevised" => date_revised = date(slice, end),
                    2 if inside && Some(name) == last && found.is_some() => break,
                    _ => {}
                }
                depth += 1;
            }
            Markup::Close(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    let (pmid, version) = found.ok_or(IdentityError::NoPmid)?;
    Ok(Identity { pmid, version, date_revised })
}

/// The text from `at` to the next closing tag, without comments.
fn text_until_close(slice: &[u8], mut at: usize) -> String {
    let mut text = Vec::new();
    while let Some(next) = memchr::memchr(b'<', &slice[at..]) {
        text.extend_from_slice(&slice[at..at + next]);
        match scan(slice, at + next) {
            Scan::Found(Markup::Cdata(inner), end) => {
                text.extend_from_slice(&slice[inner]);
                at = end;
            }
            Scan::Found(Markup::Comment | Markup::Instruction, end) => at = end,
            _ => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The date in Year, Month and Day after `at`, up to the end of the enclosing element; none if it is not a valid date.
fn date(slice: &[u8], mut at: usize) -> Option<NaiveDate> {
    let (mut year, mut month, mut day) = (None, None, None);
    let mut depth = 0_usize;
    while let Some(next) = memchr::memchr(b'<', &slice[at..]) {
        let Scan::Found(markup, end) = scan(slice, at + next) else { break };
        match markup {
            Markup::Open(name) => {
                let number = text_until_close(slice, end).trim().parse::<u32>().ok();
                match &slice[name] {
                    b"Year" => year = number,
                    b"Month" => month = number,
                    b"Day" => day = number,
                    _ => {}
                }
                depth += 1;
            }
            Markup::Close(_) if depth == 0 => break,
            Markup::Close(_) => depth -= 1,
            _ => {}
        }
        at = end;
    }
    NaiveDate::from_ymd_opt(i32::try_from(year?).ok()?, month?, day?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(xml: &str, expect: Result<(u32, i32, &str), IdentityError>) {
        let found = of_record(xml.as_bytes()).map(|(i, _)| i);
        let expect = expect.map(|(pmid, version, date)| Identity {
            pmid: Pmid::new(pmid).expect("a PMID"),
            version,
            date_revised: date.parse().ok(),
        });
        assert_eq!(found, expect, "{xml}");
    }

    #[test]
    fn identity_is_the_records_own() {
        check(
            "<PubmedArticle><MedlineCitation><PMID Version=\"2\">12</PMID><DateRevised><Year>2024</Year><Month>02</Month><Day>29</Day></DateRevised><Article><PMID>9</PMID></Article></MedlineCitation></PubmedArticle>",
            Ok((12, 2, "2024-02-29")),
        );
        check(
            "<PubmedArticle><!-- <PMID>1</PMID> --><MedlineCitation ><PMID\nVersion='1' > <!--x-->3<![CDATA[4]]> </PMID><Article/></MedlineCitation></PubmedArticle>",
            Ok((34, 1, "")),
        );
        check(
            "<PubmedBookArticle><BookDocument><PMID>5</PMID><Book><PMID>6</PMID></Book><DateRevised><Year>2020</Year><Month>1</Month><Day>2</Day></DateRevised></BookDocument></PubmedBookArticle>",
            Ok((5, 1, "2020-01-02")),
        );
    }

    #[test]
    fn a_record_beyond_the_bounds_says_whose_it_is_wherever_it_is_beyond_them() {
        let attributes: String =
            (0..=markup::MAX_ATTRIBUTES).map(|n| format!(" a{n}='x'")).collect::<Vec<_>>().concat();
        let name = "n".repeat(markup::MAX_NAME_BYTES + 1);
        for (beyond, at_root, at_pmid) in [
            (String::new(), attributes.clone(), String::new()),
            (String::new(), String::new(), attributes.clone()),
            (String::new(), String::new(), format!(" {name}='x'")),
            (format!("<a{attributes}/>"), String::new(), String::new()),
            (format!("<{name}>x</{name}>"), String::new(), String::new()),
        ] {
            check(
                &format!(
                    "<PubmedArticle{at_root}>{beyond}<MedlineCitation>{beyond}\
                     <PMID{at_pmid} Version='2'>12</PMID>{beyond}<DateRevised>{beyond}<Year>2024</Year><Month>02</Month><Day>29</Day></DateRevised>\
                     <Article/></MedlineCitation></PubmedArticle>"
                ),
                Ok((12, 2, "2024-02-29")),
            );
        }
    }

    #[test]
    fn a_record_without_identity_says_why() {
        for (inside, expect) in [
            ("<Article/>", IdentityError::NoPmid),
            ("<PMID> </PMID>", IdentityError::NoPmid),
            ("<PMID>01</PMID>", IdentityError::BadPmid),
            ("<PMID Version='x'>1</PMID>", IdentityError::BadVersion),
        ] {
            let xml = format!("<PubmedArticle><MedlineCitation>{inside}</MedlineCitation></PubmedArticle>");
            check(&xml, Err(expect));
        }
        check("<Other><PMID>1</PMID></Other>", Err(IdentityError::UnknownElement));
        assert_eq!(of_record(b"<PubmedArticle>\xff</PubmedArticle>").map(|_| ()), Err(IdentityError::NotUtf8(15)));
    }
}
