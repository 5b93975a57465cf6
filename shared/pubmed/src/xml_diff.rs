//! What differs between two payloads, by path in the XML; and what of it the typed record does not
//! show.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::article::Article;
use super::same_xml::{counts, is_mixed};
use super::text_form::TextForm;
use super::work;
use super::xml_tree::{Child, Element, Tree, TreeError};

/// A difference between two trees: an attribute, a text or an element that was added, removed, moved
/// or changed. The order of attributes and white space between elements do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmlChange {
    /// Where: `/PubmedArticle/…/Author[2]/@ValidYN`; a text has the path of its element. What was
    /// added has its path in the new payload, what was moved has ` (order)` behind its old one.
    pub path: String,
    /// The old value; of an element with markup, its XML.
    pub old: Option<String>,
    /// The new value.
    pub new: Option<String>,
    /// Whether the markup within a text differs, of which plain text shows little.
    pub is_markup: bool,
}

/// How many bytes of XML may be read to find out which changes the typed record shows.
const MAX_READ_BYTES: usize = 64 << 20;

/// Lists longer than this (the product of both lengths) are compared position by position, and all when so much has been
/// compared.
const MAX_CELLS: usize = 4 << 20;

/// The same for all lists of two records.
const MAX_CELLS_OF_ALL: usize = 8 << 20;

/// When there are more changes than this, an element whose parts changed is one change.
const MAX_CHANGES: usize = 20_000;

/// The longest path, but for its last name; what is deeper has the path of an element around it.
const MAX_PATH_BYTES: usize = 1024;

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

/// The differences that the typed record does not show: those that, made to the old payload
/// alone, leave its typed record as it is. Where finding out takes too long, a difference counts
/// as not shown.
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

/// The old payload with some of the changes made.
struct Merge<'p> {
    picks: &'p dyn Fn(usize) -> bool,
    changes: Vec<XmlChange>,
    xml: String,
    /// Hashes of all elements of both trees.
    hashes: (Vec<u64>, Vec<u64>),
    cells: usize,
}

impl<'p> Merge<'p> {
    fn of(old: &Tree<'_>, new: &Tree<'_>, picks: &'p dyn Fn(usize) -> bool) -> Self {
        let hashes = (hashes(old), hashes(new));
        let mut merge = Self { picks, changes: Vec::new(), xml: String::new(), hashes, cells: MAX_CELLS_OF_ALL };
        let (old, new) = (old.root(), new.root());
        let path = format!("/{}", old.name());
        if old.name() == new.name() {
            merge.element(old, new, &path);
        } else {
            merge.one(path, Some(Child::Element(old)), Some(Child::Element(new)));
        }
        merge
    }

    /// Notes a change and says whether it is made.
    fn note(&mut self, path: String, old: Option<String>, new: Option<String>) -> bool {
        self.changes.push(XmlChange { path, old, new, is_markup: false });
        (self.picks)(self.changes.len() - 1)
    }

    /// Notes a child that was added, removed or replaced, and writes what the merged XML has.
    fn one(&mut self, path: String, old: Option<Child<'_, '_>>, new: Option<Child<'_, '_>>) {
        let picked = self.note(path, old.as_ref().map(value), new.as_ref().map(value));
        if let Some(child) = if picked { new } else { old } {
            write(&child, &mut self.xml);
        }
    }

    /// Compares two elements of one name. Recursion is bounded: a tree is never deeper than
    /// `split::MAX_DEPTH`.
    fn element(&mut self, old: Element<'_, '_>, new: Element<'_, '_>, path: &str) {
        if is_mixed(old) && tags(old) != tags(new) {
            self.one(path.to_owned(), Some(Child::Element(old)), Some(Child::Element(new)));
            if let Some(change) = self.changes.last_mut() {
                change.is_markup = true;
            }
            return;
        }
        let children = (Children::of(old, &self.hashes.0), Children::of(new, &self.hashes.1));
        let steps = align(&children.0, &children.1, &mut self.cells);
        let changed = steps.iter().filter(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => children.0.hashes[*a] != children.1.hashes[*b],
            _ => true,
        });
        if self.changes.len() + changed.count() > MAX_CHANGES {
            self.one(path.to_owned(), Some(Child::Element(old)), Some(Child::Element(new)));
            return;
        }
        self.xml.push('<');
        self.xml.push_str(old.name());
        for (key, value) in old.attributes() {
            let other = new.raw_attribute(key);
            let made = other != Some(value)
                && self.note(format!("{path}/@{key}"), Some(value.to_string()), other.map(ToString::to_string));
            if let Some(value) = if made { other } else { Some(value) } {
                write_attribute(key, value, &mut self.xml);
            }
        }
        for (key, value) in new.attributes() {
            if old.raw_attribute(key).is_none() && self.note(format!("{path}/@{key}"), None, Some(value.to_string())) {
                write_attribute(key, value, &mut self.xml);
            }
        }
        self.xml.push('>');
        self.children(&children.0, &children.1, steps, path);
        self.xml.push_str("</");
        self.xml.push_str(old.name());
        self.xml.push('>');
    }

    fn children(&mut self, old: &Children<'_, '_>, new: &Children<'_, '_>, steps: Vec<Step>, path: &str) {
        let place = |children: &Children<'_, '_>, at: usize| match children.all[at] {
            Child::Text(_) => path.to_owned(),
            Child::Element(_) if path.len() > MAX_PATH_BYTES => path.to_owned(),
            Child::Element(element) => {
                let name = element.name();
                let is_one = old.count(name).max(new.count(name)) == 1;
                let number = if is_one { String::new() } else { format!("[{}]", children.numbers[at]) };
                format!("{path}/{name}{number}")
            }
        };
        // What is removed at one place and added at another was moved: one change, not two.
        let mut moved: HashMap<u64, Vec<usize>> = HashMap::new();
        for step in &steps {
            if let (None, Some(b)) = step {
                moved.entry(new.hashes[*b]).or_default().push(*b);
            }
        }
        let mut moved_from = HashMap::new();
        let mut moved_to = HashMap::new();
        for step in &steps {
            if let (Some(a), None) = step
                && let Some(b) = moved.get_mut(&old.hashes[*a]).and_then(Vec::pop)
            {
                let text = value(&old.all[*a]);
                let made = self.note(format!("{} (order)", place(old, *a)), Some(text.clone()), Some(text));
                moved_from.insert(*a, made);
                moved_to.insert(b, made);
            }
        }
        for step in steps {
            match step {
                (Some(a), Some(b)) => match (old.all[a], new.all[b]) {
                    (one, _) if old.hashes[a] == new.hashes[b] => write(&one, &mut self.xml),
                    (Child::Element(one), Child::Element(other)) => self.element(one, other, &place(old, a)),
                    (one, other) => self.one(place(old, a), Some(one), Some(other)),
                },
                (Some(a), None) => match moved_from.get(&a) {
                    Some(true) => {}
                    Some(false) => write(&old.all[a], &mut self.xml),
                    None => self.one(place(old, a), Some(old.all[a]), None),
                },
                (None, Some(b)) => match moved_to.get(&b) {
                    Some(true) => write(&new.all[b], &mut self.xml),
                    Some(false) => {}
                    None => self.one(place(new, b), None, Some(new.all[b])),
                },
                (None, None) => {}
            }
        }
    }
}

/// The children of an element that count.
struct Children<'t, 'a> {
    all: Vec<Child<'t, 'a>>,
    /// A hash of the XML of each.
    hashes: Vec<u64>,
    /// The number of each among those of its name, from 1.
    numbers: Vec<usize>,
    counts: HashMap<&'a str, usize>,
}

impl<'t, 'a> Children<'t, 'a> {
    /// `of_elements` has the hashes of all elements of the tree.
    fn of(parent: Element<'t, 'a>, of_elements: &[u64]) -> Self {
        let mut children = Self { all: Vec::new(), hashes: Vec::new(), numbers: Vec::new(), counts: HashMap::new() };
        for child in parent.children().filter(|child| counts(parent, child)) {
            let count = children.counts.entry(key(&child)).or_default();
            *count += 1;
            children.numbers.push(*count);
            children.hashes.push(match &child {
                Child::Text(text) => hash(&text),
                Child::Element(element) => of_elements[element.place()],
            });
            children.all.push(child);
        }
        children
    }

    fn count(&self, name: &str) -> usize {
        self.counts.get(name).copied().unwrap_or(0)
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A hash of each element by its place: of what counts in it. Each is made of those of its children, so that nothing is
/// read twice.
fn hashes(tree: &Tree<'_>) -> Vec<u64> {
    let mut all = vec![0; tree.size()];
    hash_element(tree.root(), &mut all);
    all
}

/// Recursion is bounded: a tree is never deeper than `split::MAX_DEPTH`.
fn hash_element(element: Element<'_, '_>, all: &mut [u64]) -> u64 {
    let mut attributes: Vec<_> = element.attributes().iter().collect();
    attributes.sort_unstable();
    let mut hasher = DefaultHasher::new();
    (element.name(), attributes).hash(&mut hasher);
    for child in element.children().filter(|child| counts(element, child)) {
        match child {
            Child::Text(text) => {
                work::add(text.len());
                (true, hash(&text)).hash(&mut hasher);
            }
            Child::Element(child) => {
                work::add(1);
                (false, hash_element(child, all)).hash(&mut hasher);
            }
        }
    }
    all[element.place()] = hasher.finish();
    all[element.place()]
}

/// The name of an element; nothing for a text.
fn key<'a>(child: &Child<'_, 'a>) -> &'a str {
    match child {
        Child::Element(element) => element.name(),
        Child::Text(_) => "",
    }
}

type Step = (Option<usize>, Option<usize>);

/// Which child became which: equal ones first, then those of one name between them.
fn align(old: &Children<'_, '_>, new: &Children<'_, '_>, cells: &mut usize) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut a, mut b) = (0, 0);
    let equal = equal_pairs(&old.hashes, &new.hashes, cells);
    for (next_a, next_b) in equal.into_iter().chain([(old.all.len(), new.all.len())]) {
        // Where those of each name are between the two.
        let mut places: HashMap<&str, VecDeque<usize>> = HashMap::new();
        if a < next_a {
            work::add(next_b.saturating_sub(b));
            (b..next_b).for_each(|at| places.entry(key(&new.all[at])).or_default().push_back(at));
        }
        while a < next_a {
            work::add(1);
            let same = places.get_mut(key(&old.all[a])).and_then(|places| {
                while places.pop_front_if(|at| *at < b).is_some() {
                    work::add(1);
                }
                places.pop_front()
            });
            steps.extend((b..same.unwrap_or(b)).map(|at| (None, Some(at))));
            b = same.map_or(b, |at| at + 1);
            steps.push((Some(a), same));
            a += 1;
        }
        steps.extend((b..next_b).map(|at| (None, Some(at))));
        if next_a < old.all.len() && next_b < new.all.len() {
            steps.push((Some(next_a), Some(next_b)));
        }
        (a, b) = (next_a + 1, next_b + 1);
    }
    steps
}

/// A longest common subsequence, as pairs of positions.
fn equal_pairs(old: &[u64], new: &[u64], cells: &mut usize) -> Vec<(usize, usize)> {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (rest_old, rest_new) = (&old[start..], &new[start..]);
    let end = rest_old.iter().rev().zip(rest_new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (middle_old, middle_new) = (&rest_old[..rest_old.len() - end], &rest_new[..rest_new.len() - end]);
    let mut pairs: Vec<(usize, usize)> = (0..start).map(|n| (n, n)).collect();
    let (rows, columns) = (middle_old.len(), middle_new.len());
    let of_this = rows.saturating_mul(columns);
    if of_this <= MAX_CELLS.min(*cells) {
        // Not counted as work: there is a bound on all of them.
        *cells -= of_this;
        let mut lengths = vec![0_u32; (rows + 1) * (columns + 1)];
        let at = |row: usize, column: usize| row * (columns + 1) + column;
        for row in (0..rows).rev() {
            for column in (0..columns).rev() {
                lengths[at(row, column)] = if middle_old[row] == middle_new[column] {
                    lengths[at(row + 1, column + 1)] + 1
                } else {
                    lengths[at(row + 1, column)].max(lengths[at(row, column + 1)])
                };
            }
        }
        let (mut row, mut column) = (0, 0);
        while row < rows && column < columns {
            if middle_old[row] == middle_new[column] {
                pairs.push((start + row, start + column));
                (row, column) = (row + 1, column + 1);
            } else if lengths[at(row + 1, column)] >= lengths[at(row, column + 1)] {
                row += 1;
            } else {
                column += 1;
            }
        }
    }
    pairs.extend((0..end).rev().map(|n| (old.len() - 1 - n, new.len() - 1 - n)));
    pairs
}

/// The markup within an element: what is opened and closed, without texts.
fn tags<'a>(element: Element<'_, 'a>) -> Vec<&'a str> {
    let mut tags = Vec::new();
    for child in element.elements() {
        work::add(1);
        tags.push(child.name());
        tags.extend(self::tags(child));
        tags.push("/");
    }
    tags
}

/// A child as a value: its text, or its XML where it has attributes or elements.
fn value(child: &Child<'_, '_>) -> String {
    match child {
        Child::Element(element) if element.attributes().is_empty() && element.elements().next().is_none() => {
            element.raw_text().into_owned()
        }
        Child::Element(_) => {
            let mut xml = String::new();
            write(child, &mut xml);
            xml
        }
        Child::Text(text) => text.to_string(),
    }
}

/// Writes a child as XML: attributes in the order of their names, no white space between elements.
fn write(child: &Child<'_, '_>, out: &mut String) {
    work::add(1);
    match child {
        Child::Text(text) => out.push_str(&TextForm::Html.escape(text.as_ref().into())),
        Child::Element(element) => {
            out.push('<');
            out.push_str(element.name());
            let mut attributes: Vec<_> = element.attributes().iter().collect();
            attributes.sort_unstable();
            for (key, value) in attributes {
                write_attribute(key, value, out);
            }
            out.push('>');
            for child in element.children().filter(|child| counts(*element, child)) {
                write(&child, out);
            }
            out.push_str("</");
            out.push_str(element.name());
            out.push('>');
        }
    }
}

fn write_attribute(key: &str, value: &str, out: &mut String) {
    // White space other than spaces would be read as spaces.
    let value = TextForm::Html.escape(value.into()).replace('\n', "&#10;").replace('\t', "&#9;");
    for part in [" ", key, "=\"", &value, "\""] {
        out.push_str(part);
    }
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
            // The same among changes that the typed record shows.
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
