//! Differences between two payloads, by path in the XML; and which of them the typed record does not show.

mod children;
mod merge;
mod xml_text;

use self::merge::Merge;
use super::article::Article;
use super::xml_tree::{Tree, TreeError};

/// A difference between two trees: an attribute, a text or an element that was added, removed, moved or changed. The
/// order of attributes and white space between elements are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmlChange {
    /// For example `/PubmedArticle/…/Author[2]/@ValidYN`; a text has the path of its element. An added node has its
    /// path in the new payload, a moved one its old path with ` (order)` appended.
    pub path: String,
    /// The old value; for an element with markup, its XML.
    pub old: Option<String>,
    /// The new value.
    pub new: Option<String>,
    /// Whether the markup within a text differs, which plain text hardly shows.
    pub is_markup: bool,
}

/// Maximum number of bytes of XML read to determine which changes the typed record shows.
const MAX_READ_BYTES: usize = 64 << 20;

/// All differences, in document order.
///
/// ```
/// use bio_mcp_pubmed::xml_diff::changes;
///
/// let changes = changes("<Date><Year>2025</Year></Date>", "<Date><Year>2026</Year></Date>")?;
/// assert_eq!(changes[0].path, "/Date/Year");
/// assert_eq!((changes[0].old.as_deref(), changes[0].new.as_deref()), (Some("2025"), Some("2026")));
/// # Ok::<(), bio_mcp_pubmed::xml_tree::TreeError>(())
/// ```
pub fn changes(old: &str, new: &str) -> Result<Vec<XmlChange>, TreeError> {
    Ok(Merge::of(&Tree::parse(old)?, &Tree::parse(new)?, &|_| false).changes)
}

/// The differences that the typed record does not show: those that, applied alone to the old payload, do not change its
/// typed record. If this takes too long to determine, a difference counts as not shown.
pub fn not_shown(old: &str, new: &str) -> Result<Vec<XmlChange>, TreeError> {
    let trees = (Tree::parse(old)?, Tree::parse(new)?);
    let all = Merge::of(&trees.0, &trees.1, &|_| false).changes;
    let Some(base) = typed(old) else { return Ok(all) };
    let mut shown = vec![false; all.len()];
    let mut left = MAX_READ_BYTES;
    let mut ranges = Vec::from([(0, all.len())]);
    while let Some((start, end)) = ranges.pop() {
        let range = start..end;
        let cost = old.len() + new.len();
        if range.is_empty() || left < cost {
            continue;
        }
        left -= cost;
        let merged = Merge::of(&trees.0, &trees.1, &|n| range.contains(&n)).xml;
        if typed(&merged).as_ref() == Some(&base) {
            continue;
        }
        if range.len() == 1 {
            shown[start] = true;
        } else {
            let middle = start + range.len() / 2;
            ranges.extend([(start, middle), (middle, end)]);
        }
    }
    let not_shown = all.into_iter().zip(shown).filter(|(change, shown)| change.is_markup || !shown);
    Ok(not_shown.map(|(change, _)| change).collect())
}

fn typed(xml: &str) -> Option<String> {
    serde_json::to_string(&Article::parse(xml).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(changes: &[XmlChange]) -> Vec<(&str, Option<&str>, Option<&str>)> {
        changes.iter().map(|c| (c.path.as_str(), c.old.as_deref(), c.new.as_deref())).collect()
    }

    #[test]
    fn every_difference_is_named_by_its_path() {
        for (old, new, expect) in [
            ("<a x='1'>t</a>", "<a x='2'>t</a>", vec![("/a/@x", Some("1"), Some("2"))]),
            ("<a x='1'/>", "<a y='&lt;'/>", vec![("/a/@x", Some("1"), None), ("/a/@y", None, Some("<"))]),
            ("<a>1</a>", "<a>2</a>", vec![("/a", Some("1"), Some("2"))]),
            ("<a>1</a>", "<a/>", vec![("/a", Some("1"), None)]),
            ("<a><b>1</b></a>", "<a><b>1</b>\n<b>2</b></a>", vec![("/a/b[2]", None, Some("2"))]),
            ("<a><b>1</b><b>2</b><b>3</b></a>", "<a><b>1</b><b>3</b></a>", vec![("/a/b[2]", Some("2"), None)]),
            ("<a><b>1</b><b>2</b></a>", "<a><b>1</b><b>3</b></a>", vec![("/a/b[2]", Some("2"), Some("3"))]),
            ("<a><b><c d='1'>x</c></b></a>", "<a><b><c d='2'>x</c></b></a>", vec![("/a/b/c/@d", Some("1"), Some("2"))]),
            (
                "<a><b/></a>",
                "<a><c e='1'/></a>",
                vec![("/a/b", Some(""), None), ("/a/c", None, Some("<c e=\"1\"></c>"))],
            ),
            (
                "<ArticleTitle>x <i>y</i></ArticleTitle>",
                "<ArticleTitle>x <b>y</b></ArticleTitle>",
                vec![(
                    "/ArticleTitle",
                    Some("<ArticleTitle>x <i>y</i></ArticleTitle>"),
                    Some("<ArticleTitle>x <b>y</b></ArticleTitle>"),
                )],
            ),
            (
                "<a><b>1</b><c/><d/></a>",
                "<a><c/><b>1</b><d>2</d></a>",
                vec![("/a/b (order)", Some("1"), Some("1")), ("/a/d", None, Some("2"))],
            ),
            ("<a/>", "<b>1</b>", vec![("/a", Some(""), Some("1"))]),
            ("<a x='1' y='2'> <b>&#956;</b></a>", "<a y='2' x='1'><b>μ</b></a>", vec![]),
        ] {
            assert_eq!(told(&changes(old, new).expect("well-formed")), expect, "{old} {new}");
        }
    }

    #[test]
    fn all_changes_made_give_the_new_payload_and_none_the_old() {
        let old = "<a k='1'><b>x<i>y</i>z</b><c/><d>1</d><d>2</d></a>";
        let new = "<a l='&#10;\"'><b>x<b>y</b></b><d>2</d><d>3</d><e><f/></e></a>";
        let trees = (Tree::parse(old).expect("well-formed"), Tree::parse(new).expect("well-formed"));
        for (picked, expect) in [(true, new), (false, old)] {
            let merged = Merge::of(&trees.0, &trees.1, &|_| picked).xml;
            assert!(crate::same_xml::same(&merged, expect), "{merged}");
        }
    }

    #[test]
    fn only_what_the_typed_record_does_not_show_is_told() {
        let record = |status: &str, inside: &str| {
            format!(
                "<PubmedArticle><MedlineCitation Status=\"{status}\"><PMID Version=\"1\">1</PMID><Article>{inside}\
                 </Article></MedlineCitation></PubmedArticle>"
            )
        };
        let paths = |old: &str, new: &str| -> Vec<String> {
            not_shown(old, new).expect("well-formed").into_iter().map(|change| change.path).collect()
        };
        let article = "/PubmedArticle/MedlineCitation/Article";
        let title = |inside: &str| format!("<ArticleTitle>{inside}</ArticleTitle>");
        let check = |old: &str, new: &str, expect: &[&str]| {
            let expect: Vec<String> = expect.iter().map(|path| format!("{article}{path}")).collect();
            assert_eq!(paths(&record("x", old), &record("x", new)), expect, "{old} {new}");
            // The same, together with changes that the typed record shows.
            let shown = "<Language>eng</Language><Affiliation>y</Affiliation>";
            let (old, new) = (record("x", &format!("{old}{shown}")), record("y", new));
            assert_eq!(paths(&old, &new), expect, "{old} {new}");
        };
        check(&title("x"), &title("y"), &[]);
        check(&title("<i>x</i> y"), &title("<b>x</b> y"), &["/ArticleTitle"]);
        check(&title("<i>x</i> y"), &title("<b>x</b> z"), &["/ArticleTitle"]);
        check(&title("<i>x</i> y"), &title("x y"), &["/ArticleTitle"]);
        let date = |month: &str| format!("<ArticleDate><Year>2020</Year><Month>{month}</Month></ArticleDate>");
        check(&date("5"), &date("05"), &["/ArticleDate/Month"]);
        check(&date("5"), &date("6"), &[]);
        let author =
            |attribute: &str| format!("<AuthorList><Author {attribute}><LastName>A</LastName></Author></AuthorList>");
        check(&author("ValidYN='Y'"), &author(""), &["/AuthorList/Author/@ValidYN"]);
        check(&author("ValidYN='Y'"), &author("ValidYN='N'"), &[]);
        check(&author("EqualContrib='N'"), &author("EqualContrib='?'"), &[]);
        let two = |one: &str, other: &str| format!("<Pagination><{one}>1</{one}><{other}>2</{other}></Pagination>");
        check(
            "<Pagination><StartPage>1</StartPage><EndPage>2</EndPage></Pagination>",
            "<Pagination><EndPage>2</EndPage><StartPage>1</StartPage></Pagination>",
            &["/Pagination/StartPage (order)"],
        );
        check(&two("StartPage", "EndPage"), &two("EndPage", "StartPage"), &[]);
    }
}
