//! Work on hostile XML is linear in its size, whatever its structure. Steps are counted, not seconds:
//! `shared::pubmed::work`. `BIO_MCP_XML_SHAPES` sets the number of random shapes; `make campaign` runs thousands, and
//! prints the duration of the slowest.

use std::time::{Duration, Instant};

use samples::shapes;
use shared::pubmed::article::ArticleError;
use shared::pubmed::markup::{Beyond, MAX_ATTRIBUTES};
use shared::pubmed::xml_tree::TreeError;
use shared::pubmed::{Article, Defect, Item, Splitter, TextForm, identity, is_retracted, same_xml, work, xml_diff};
use tests::random::Random;

/// A shape: the content of a record, of about this many bytes.
type Shape = (&'static str, fn(usize) -> String);

const SHAPES: [Shape; 33] = [
    ("attributes", |n| format!("<a{}/>", numbered(n / 12, |i| format!(" a{i}='x'")))),
    ("one attribute again and again", |n| format!("<a{}/>", " a='x'".repeat(n / 6))),
    ("elements with many attributes", |n| {
        let one = format!("<a{}/>", numbered(MAX_ATTRIBUTES, |i| format!(" a{i}='x'")));
        one.repeat(n / one.len())
    }),
    ("a long name", |n| format!("<{}/>", "a".repeat(n))),
    ("a long name of an attribute", |n| format!("<a {}='x'/>", "a".repeat(n))),
    ("a long value", |n| format!("<a a='{}'/>", "x".repeat(n))),
    ("values with references", |n| format!("<a a='{}'/>", "&amp;x".repeat(n / 6))),
    ("text with references", |n| format!("<a>{}</a>", "&#120;x".repeat(n / 7))),
    ("pieces of a text", |n| format!("<a>{}</a>", "x<!-- --><![CDATA[x]]>".repeat(n / 22))),
    ("siblings", |n| "<a>x</a>".repeat(n / 8)),
    ("siblings of many names", |n| numbered(n / 15, |i| format!("<a{i}>x</a{i}>"))),
    ("too deep", |n| format!("{}{}", "<a>".repeat(n / 7), "</a>".repeat(n / 7))),
    ("deep", |n| nested("a", 200, &"<a>x</a>".repeat(n / 8))),
    ("deep, with long names", |n| nested(&"a".repeat(200), 200, &"<a>x</a>".repeat(n / 8))),
    ("deep and blank", |n| nested("Section", 200, &"<Section> </Section>".repeat(n / 20))),
    ("deep superscripts", |n| title(&nested("sup", 200, &"1x".repeat(n / 2)))),
    ("deep subscripts and bold", |n| title(&nested("sub", 100, &nested("b", 100, &"x".repeat(n))))),
    ("deep rows of a formula", |n| title(&nested("mml:mrow", 200, &"<mml:mi>x</mml:mi>".repeat(n / 18)))),
    ("deep powers of one part", |n| title(&nested("mml:msup", 200, &"<mml:mi>x</mml:mi>".repeat(n / 18)))),
    ("deep powers of two parts", |n| {
        let tail = "<mml:mn>2</mml:mn></mml:msup>".repeat(200);
        title(&format!("{}<mml:mi>{}</mml:mi>{tail}", "<mml:msup>".repeat(200), "x".repeat(n)))
    }),
    ("deep roots", |n| title(&nested("mml:msqrt", 200, &"x".repeat(n)))),
    ("deep fractions", |n| {
        let tail = "<mml:mn>2</mml:mn></mml:mfrac>".repeat(120);
        title(&format!("{}<mml:mi>{}</mml:mi>{tail}", "<mml:mfrac>".repeat(120), "x".repeat(n)))
    }),
    ("markup in a title", |n| title(&"<b>x</b><i>y</i>".repeat(n / 16))),
    ("what a list says of each keyword", |n| {
        let keywords = "<Keyword>x</Keyword>".repeat(n / 40);
        format!("<KeywordList Owner='{}'>{keywords}</KeywordList>", "o".repeat(n / 2))
    }),
    ("what a list says of each author", |n| {
        let authors = "<Author><LastName>x</LastName></Author>".repeat(n / 80);
        format!("<Article><AuthorList Type='{}'>{authors}</AuthorList></Article>", "&amp;".repeat(n / 10))
    }),
    ("dates that are not closed", |n| "<DateRevised></x>".repeat(n / 17)),
    ("sections that are not closed", |n| "<![CDATA[".repeat(n / 9)),
    ("instructions that are not closed", |n| "<?".repeat(n / 2)),
    ("comments that are not closed", |n| "<!--".repeat(n / 4)),
    ("document types that are not closed", |n| "<!DOCTYPE '<!DOCTYPE \" ".repeat(n / 23)),
    ("values that are not closed", |n| "<a b='".repeat(n / 6)),
    ("references that are none", |n| format!("<a><![CDATA[{}]]></a>", "&#".repeat(n / 2))),
    ("tags that do not match", |n| "<a></b>".repeat(n / 7)),
];

fn numbered(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect()
}

fn nested(name: &str, depth: usize, inside: &str) -> String {
    format!("{}{inside}{}", format!("<{name}>").repeat(depth), format!("</{name}>").repeat(depth))
}

fn title(inside: &str) -> String {
    format!("<Article><ArticleTitle>{inside}</ArticleTitle></Article>")
}

fn record(inside: &str) -> String {
    format!(
        "<PubmedArticle><MedlineCitation><PMID>1</PMID>{inside}</MedlineCitation><PubmedData><ReferenceList>\
         <Title>x</Title></ReferenceList></PubmedData></PubmedArticle>"
    )
}

/// All operations on a record; returns the number of bytes written.
fn all(record: &str) -> usize {
    let mut written = 0;
    for (document, limit) in [
        (format!("<PubmedArticleSet>{record}</PubmedArticleSet>"), 1 << 26),
        // It is not closed, and nothing follows.
        (format!("<PubmedArticleSet>{record}"), 1 << 26),
        (format!("<PubmedArticleSet>{record}</PubmedArticleSet>"), 4096),
    ] {
        let mut splitter = Splitter::new(document.as_bytes(), limit);
        while let Ok(Some(item)) = splitter.next() {
            if let Item::Record { bytes, .. } = item {
                let _ = identity::of_record(bytes);
                written += bytes.len();
            }
        }
    }
    for form in [TextForm::Plain, TextForm::Html] {
        if let Ok(article) = Article::parse_as(record, form) {
            written += serde_json::to_vec(&article).expect("JSON").len();
        }
    }
    written += usize::from(is_retracted(record));
    let other = record.replace('x', "y").replace("<a>", "<c>").replace("</a>", "</c>");
    for (old, new) in [(record, record), (record, &other), (&other, record)] {
        written += usize::from(same_xml::same(old, new));
        // `not_shown` tries changes one at a time, up to a limit of bytes read.
        if let Ok(changes) = xml_diff::changes(old, new) {
            let size = |text: &Option<String>| text.as_ref().map_or(0, String::len);
            written += changes.iter().map(|one| one.path.len() + size(&one.old) + size(&one.new)).sum::<usize>();
        }
    }
    written
}

/// Steps and bytes written for a record.
fn work_on(inside: &str) -> u64 {
    let record = record(inside);
    let mut written = 0;
    work::of(|| written = all(&record)) + written as u64
}

/// Twice the size may take a little more than twice the work: some work is limited to small records.
fn assert_linear(name: &str, inside: impl Fn(usize) -> String, size: usize) {
    let (once, twice) = (work_on(&inside(size)), work_on(&inside(2 * size)));
    assert!(twice <= once * 5 / 2 + 50_000, "{name}: {once} steps, of twice the size {twice}");
    let bytes = inside(2 * size).len() as u64;
    assert!(twice <= bytes.max(10_000) * 6_000, "{name}: {twice} steps for {bytes} bytes");
}

#[test]
fn twice_the_size_is_twice_the_work_whatever_the_shape() {
    for (name, inside) in SHAPES {
        assert_linear(name, inside, 20_000);
    }
}

/// The number in an environment variable.
fn number(name: &str, default: u64) -> u64 {
    tests::variable(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn shapes_that_chance_makes_grow_no_faster() {
    let count = number("BIO_MCP_XML_SHAPES", 25);
    let mut slowest = (Duration::ZERO, String::new());
    for seed in 0..count {
        let mut random = Random(seed);
        // Nested and sequential shapes, each with a share of the size.
        let parts: Vec<(Shape, bool, u64)> = (0..=random.below(3))
            .map(|_| {
                let at = usize::try_from(random.below(SHAPES.len() as u64)).expect("small");
                (SHAPES[at], random.percent(40), 2 + random.below(4))
            })
            .collect();
        let inside = |size: usize| {
            parts.iter().fold(String::new(), |before, ((_, shape), is_around, part)| {
                let more = shape(size / usize::try_from(*part).expect("small"));
                if *is_around { more.replacen('>', &format!(">{before}"), 1) } else { before + &more }
            })
        };
        let name = parts.iter().map(|((name, _), ..)| *name).collect::<Vec<_>>().join(" + ");
        let began = Instant::now();
        assert_linear(&format!("{seed}: {name}"), inside, 12_000);
        slowest = slowest.max((began.elapsed(), name));
    }
    println!("{count} shapes; the slowest took {:?}: {}", slowest.0, slowest.1);
}

#[test]
fn records_beyond_the_bounds_are_quarantined_with_the_reason_and_refused_on_reading() {
    let attributes = |count: usize| format!("<a{}/>", numbered(count, |i| format!(" a{i}='x'")));
    let good = record("<a b='1' c='2'/>");
    for (inside, defect, error) in [
        (attributes(100_000), Defect::Beyond(Beyond::Attributes), TreeError::Beyond(Beyond::Attributes)),
        (attributes(MAX_ATTRIBUTES + 1), Defect::Beyond(Beyond::Attributes), TreeError::Beyond(Beyond::Attributes)),
        (format!("<{}/>", "a".repeat(257)), Defect::Beyond(Beyond::Name), TreeError::Beyond(Beyond::Name)),
        (format!("<a {}='1'/>", "a".repeat(257)), Defect::Beyond(Beyond::Name), TreeError::Beyond(Beyond::Name)),
        (nested("a", 300, "x"), Defect::TooDeep, TreeError::TooDeep),
    ] {
        let bad = record(&inside);
        let document = format!("<PubmedArticleSet>{good}{bad}{good}</PubmedArticleSet>");
        let mut splitter = Splitter::new(document.as_bytes(), 1 << 26);
        let mut found = Vec::new();
        while let Some(item) = splitter.next().expect("the document goes on") {
            let Item::Record { bytes, defect } = item else { panic!("a record") };
            found.push((bytes.to_vec(), defect));
        }
        let good = (good.clone().into_bytes(), None);
        assert_eq!(found, [good.clone(), (bad.clone().into_bytes(), Some(defect)), good]);
        assert_eq!(Article::parse(&bad).err(), Some(ArticleError::Xml(error)));
        assert!(Article::parse(&bad).is_err_and(|error| error.is_beyond_bounds()));
        assert!(!same_xml::same(&bad, &bad) && !is_retracted(&bad));
    }
    // Attributes of the record element itself.
    let own = format!("<PubmedArticle{}>x</PubmedArticle>", numbered(100_000, |i| format!(" a{i}='x'")));
    let document = format!("<PubmedArticleSet>{own}{good}</PubmedArticleSet>");
    let mut splitter = Splitter::new(document.as_bytes(), 1 << 26);
    match splitter.next() {
        Ok(Some(Item::Record { bytes, defect: Some(Defect::Beyond(Beyond::Attributes)) })) => {
            assert_eq!(bytes, own.as_bytes());
        }
        other => panic!("{other:?}"),
    }
    assert!(Article::parse(&record(&attributes(MAX_ATTRIBUTES))).is_ok());
    assert!(Article::parse(&record("<a b='1' b='2'/>")).is_err_and(|error| !error.is_beyond_bounds()));
}

/// Every structure that NLM publishes is far within the bounds.
#[test]
fn records_of_every_shape_are_within_the_bounds() {
    for shape in shapes::all() {
        let mut at = 0;
        while let Some(next) = shape.xml[at..].find('<') {
            let tag = &shape.xml[at + next..];
            let tag = &tag[..tag.find('>').unwrap_or(tag.len())];
            assert!(tag.matches("=\"").count() + tag.matches("='").count() <= MAX_ATTRIBUTES / 4, "{tag}");
            at += next + 1;
        }
    }
}
