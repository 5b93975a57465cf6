//! The typed record as commands print it: markup, and differences.

use std::path::Path;

use samples::files::FileWriter;
use serde_json::{Value, json};
use shared::pubmed::{Article, is_retracted};
use tests::program::{Archive, text};

const TITLE: &str = "10<sup>-5</sup> M of H<sub>2</sub>O &lt;script&gt; &amp; <i onclick=\"x()\">y</i>";

fn record(title: &str, valid: &str, month: &str, complete: &str) -> String {
    format!(
        "<PubmedArticle><MedlineCitation Status=\"MEDLINE\"><PMID Version=\"1\">7</PMID><DateRevised><Year>2025</Year>\
         <Month>{month}</Month><Day>1</Day></DateRevised><Article><ArticleTitle>{title}</ArticleTitle>\
         <AuthorList CompleteYN=\"{complete}\"><Author{valid}><LastName>A</LastName></Author></AuthorList></Article>\
         </MedlineCitation></PubmedArticle>"
    )
}

fn ingest(archive: &Archive, dir: &Path, number: u32, xml: &str) {
    let path = dir.join(format!("pubmed26n{number:04}.xml.gz"));
    let mut file = FileWriter::create(&path, 1_769_731_200 + number).expect("created");
    file.record(xml).expect("written");
    file.finish(&[]).expect("finished");
    assert_eq!(archive.ingest(&path)["archived"], 1, "{xml}");
}

#[tokio::test]
async fn a_difference_that_no_field_shows_is_named_by_its_path() {
    let archive = Archive::new().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let citation = "/PubmedArticle/MedlineCitation";
    let title = |inside: &str| format!("<ArticleTitle>{inside}</ArticleTitle>");
    let valid = " ValidYN=\"Y\"";
    ingest(&archive, dir.path(), 1, &record("<i>x</i>", valid, "07", "Y"));
    let steps = [
        (
            record("<i>x</i>", "", "07", "Y"),
            vec![(format!("{citation}/Article/AuthorList/Author/@ValidYN"), json!("Y"), Value::Null)],
        ),
        (record("<i>x</i>", "", "7", "Y"), vec![(format!("{citation}/DateRevised/Month"), json!("07"), json!("7"))]),
        (
            record("<b>x</b>", "", "7", "N"),
            vec![
                ("complete.authors".to_owned(), json!(true), json!(false)),
                (format!("{citation}/Article/ArticleTitle"), json!(title("<i>x</i>")), json!(title("<b>x</b>"))),
            ],
        ),
    ];
    for (number, (xml, expect)) in (2..).zip(steps) {
        ingest(&archive, dir.path(), number, &xml);
        let told = archive.run(&["diff", "7"]).expect(0).out;
        let diff = archive.run(&["--output", "json", "diff", "7"]).expect(0).json();
        let changes = diff["changes"].as_array().expect("changes");
        let found: Vec<(String, Value, Value)> = changes
            .iter()
            .map(|c| (c["field"].as_str().expect("a name").to_owned(), c["old"].clone(), c["new"].clone()))
            .collect();
        assert_eq!(found, expect);
        assert!(expect.iter().all(|(name, ..)| told.contains(name)) && !told.contains("spelling"), "{told}");
    }
}

#[tokio::test]
async fn markup_is_plain_text_or_html_that_can_be_shown() {
    let archive = Archive::new().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let xml = record(TITLE, "", "7", "Y");
    let path = dir.path().join("one.xml");
    std::fs::write(&path, format!("<PubmedArticleSet>{xml}</PubmedArticleSet>")).expect("written");
    ingest(&archive, dir.path(), 1, &xml);
    let plain = "10⁻⁵ M of H₂O <script> & y";
    let html = "10<sup>-5</sup> M of H<sub>2</sub>O &lt;script&gt; &amp; <i>y</i>";
    for (markup, expect) in [(None, plain), (Some("text"), plain), (Some("html"), html)] {
        for command in [&["parse", text(&path)][..], &["get", "7", "--json"], &["--output", "json", "get", "7"]] {
            let mut arguments = command.to_vec();
            arguments.extend(markup.iter().flat_map(|markup| ["--markup", markup]));
            let title = archive.run(&arguments).expect(0).json()["title"].clone();
            assert_eq!(title, expect, "{arguments:?}");
        }
    }
    assert!(archive.run(&["get", "7"]).expect(0).out.starts_with(plain), "what a person reads is plain");
    archive.run(&["parse", text(&path), "--markup", "rtf"]).expect(2);
}

#[test]
fn what_the_archive_notes_as_retracted_is_what_the_typed_record_says() {
    let mut retracted = 0;
    for shape in samples::shapes::all() {
        let says = Article::parse(&shape.xml).expect("a record").integrity.status == "retracted";
        assert_eq!(is_retracted(&shape.xml), says, "{}", shape.name);
        retracted += usize::from(says);
    }
    assert_eq!(retracted, 2);
}
