//! The initial inputs of fuzzing, built from constructed records: committed in `fuzz/corpus`; a test compares them.

use samples::files::{HEAD, TAIL};
use samples::record::Record;
use samples::shapes;

/// A name and an input.
pub type Seed = (String, Vec<u8>);

/// Larger records are omitted: a corpus of small inputs is searched faster.
const MAX_BYTES: usize = 2500;

pub fn seeds(target: &str) -> Vec<Seed> {
    match target {
        "splitter" => splitter(),
        "tree" => records().into_iter().chain(odd()).map(|(name, xml)| (name, xml.into_bytes())).collect(),
        "same_xml" => same_xml(),
        "envelope" => envelope(),
        "cursor" => cursor(),
        "address" => address(),
        _ => Vec::new(),
    }
}

fn named(seeds: &[(&str, &str)]) -> Vec<Seed> {
    seeds.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

/// Small records, by the name of their shape.
fn records() -> Vec<(String, String)> {
    let small = shapes::all().into_iter().filter(|shape| shape.xml.len() <= MAX_BYTES);
    small
        .map(|shape| (shape.name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-"), shape.xml))
        .collect()
}

/// Elements that are valid, or nearly.
fn odd() -> Vec<(String, String)> {
    [
        ("spellings", "<a x='1' y=\"&quot;2\n\"><b/>&#956;&lt;<![CDATA[<&]]><!-- -- --></a>"),
        ("comments", "<!-- before --><a><!---->x<!-->y--><?p?><??></a><!-- behind -->"),
        ("other-name", "<a><b></b><ab></a></ab></a>"),
        ("empty-cdata", "<ArticleTitle><![CDATA[]]></ArticleTitle>"),
        ("twice", "<a b='1' b='2'/>"),
        ("references", "<a b='&#x41;&apos;'>&amp;&#13;&#x1F9EC;&nbsp;</a>"),
    ]
    .map(|(name, xml)| (name.to_owned(), xml.to_owned()))
    .into()
}

fn splitter() -> Vec<Seed> {
    let record =
        |pmid: u32| format!("<PubmedArticle><MedlineCitation><PMID>{pmid}</PMID></MedlineCitation></PubmedArticle>");
    let set = |inside: &str| format!("<PubmedArticleSet>\n{inside}\n</PubmedArticleSet>");
    let deletions = "<DeleteCitation>\n<PMID Version=\"1\">3</PMID>\n<PMID Version='2'>4</PMID>\n</DeleteCitation>";
    let ordinary = Record { bytes: 3000, ..Record::new(7, 0) }.xml();
    let mut seeds: Vec<Seed> = vec![
        ("file".to_owned(), format!("{HEAD}{ordinary}\n{}\n{deletions}\n{TAIL}", record(2)).into_bytes()),
        ("two-files".to_owned(), format!("{}\n{}", set(&record(1)), set(deletions)).into_bytes()),
        ("bare-records".to_owned(), format!("{}\n{deletions}{}", record(1), record(2)).into_bytes()),
        ("nothing".to_owned(), b"<PubmedArticleSet/>".to_vec()),
    ];
    let bad = [
        ("another-closing-tag", "<PubmedArticle><a></ab></PubmedArticle>"),
        ("an-open-element", "<PubmedArticle><a></PubmedArticle>"),
        ("a-closing-tag-in-cdata", "<PubmedArticle><a><![CDATA[</PubmedArticle>]]></a></PubmedArticle>"),
        ("a-closing-tag-in-a-comment", "<PubmedArticle><!-- </PubmedArticle> --></PubmedArticle>"),
        ("a-closing-tag-in-a-value", "<PubmedArticle a='</PubmedArticle>'/>"),
        ("markup-in-a-value", "<PubmedArticle><a b='>' c=\"/>\"/></PubmedArticle>"),
        ("an-undeclared-entity", "<PubmedArticle>&nope;</PubmedArticle>"),
        ("an-endless-comment", "<PubmedArticle><!-- "),
        ("text-between", "text &amp; more"),
        ("a-deletion-that-is-none", "<DeleteCitation><PMID/>x<PMID>5</PMID></DeleteCitation>"),
    ];
    seeds.extend(
        bad.map(|(name, bad)| (name.to_owned(), set(&format!("{}{bad}{}", record(1), record(2))).into_bytes())),
    );
    seeds.extend(records().into_iter().take(6).map(|(name, xml)| (name, set(&xml).into_bytes())));
    seeds
}

fn same_xml() -> Vec<Seed> {
    let mut seeds = named(&[
        ("order-of-attributes", "<a x='1' y='2'><b/></a>\0<a y=\"2\" x=\"1\">\n  <b></b>\n</a>"),
        ("references", "<a>&#956;&lt;</a>\0<a>μ<![CDATA[<]]></a>"),
        ("line-ends", "<a>1\r\n2</a>\0<a>1\n2<!-- c --></a>"),
        (
            "white-space-in-a-title",
            "<ArticleTitle><i>a</i> <b>b</b></ArticleTitle>\0<ArticleTitle><i>a</i><b>b</b></ArticleTitle>",
        ),
        ("empty-cdata", "<ArticleTitle><![CDATA[]]></ArticleTitle>\0<ArticleTitle/>"),
        ("another-value", "<a x='1'/>\0<a x='2'/>"),
    ]);
    seeds.extend(records().into_iter().take(6).map(|(name, xml)| (name, xml.into_bytes())));
    seeds
}

/// Includes the golden envelopes.
fn envelope() -> Vec<Seed> {
    named(&[
        ("escapes", "<a>\t\"\\/\r\n\u{7f}μ🧬</a>"),
        (
            "tombstone",
            r#"{"pmid":"7","fetched_at":"2026-01-30T00:00:00Z","source":{"api":"bulk_file","endpoint":"x","params":{"version":1,"date_revised":null,"as_of":"2026-01-29T00:00:00Z","file_number":1,"position":2}},"http":{"status":0,"etag":null},"payload":{"format":"tombstone"},"hash":{"algo":"sha256","value":null},"version":1}"#,
        ),
        (
            "wrong-hash",
            r#"{"pmid":"7","fetched_at":"2026-01-30T00:00:00Z","source":{"api":"efetch","endpoint":"x","params":{"version":1,"date_revised":"2026-01-02","as_of":"2026-01-29T00:00:00Z","file_number":1,"position":2,"file_id":"f"}},"http":{"status":200,"etag":"e"},"payload":{"format":"pubmed-xml","xml":"<a/>"},"hash":{"algo":"sha256","value":"00"},"version":1}"#,
        ),
        ("newer", r#"{"version":2}"#),
    ])
}

fn cursor() -> Vec<Seed> {
    named(&[
        ("cursor", "60a24181e4000.0192345678907abc8def0123456789ab"),
        ("hyphens", "60a24181e4000.01923456-7890-7abc-8def-0123456789ab"),
        ("upper-case", "60A24181E4000.0192345678907ABC8DEF0123456789AB"),
        ("leading-zero", "060a24181e4000.0192345678907abc8def0123456789ab"),
        ("negative", "-1.0192345678907abc8def0123456789ab"),
        ("position", "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{0}\u{0}0123456789abcdef"),
    ])
}

fn address() -> Vec<Seed> {
    named(&[
        ("file", "file:///srv/archive/pubmed/raw/pmid=000/300/000/30000001.json.zst?versionId=0123abcd"),
        ("escaped", "file:///tmp/a%20dir/50%25%3F%23/pmid=000/1.json.zst?versionId=0123abcd"),
        ("s3", "s3://bucket/pubmed/raw/pmid=000/300/000/30000001.json.gz?versionId=3sL4kqtJlcpXroDTDmJ"),
        (
            "manifest",
            "file:///a/pubmed/manifests/sync_run=20260130T000000.000000Z-01923456-7890-7abc-8def-0123456789ab.json?versionId=1",
        ),
        ("key", "pubmed/raw/pmid=000/123/456/12345678.json.zst"),
        ("traversal", "pubmed/raw/../../etc/passwd"),
        (
            "pack",
            "s3://bucket/pubmed/packs/pubmed26n0001-0123abcd.1.ndjson.zst?versionId=3sL4kqtJlcpXroDTDmJ#bytes=0-1024&line=7",
        ),
        ("moved", "file:///pubmed/raw/pubmed/raw/pmid=000/123/456/12345678.json.zst?versionId=0123abcd"),
        ("path-and-version", "/srv/a path/with?versionId=and#%/x\0pubmed/raw/a file\0v1"),
    ])
}
