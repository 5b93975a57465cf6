//! Records beyond the bounds of XML that an earlier version stored: their exact bytes are still served, and whatever
//! reads them as records says why it does not.

use serde_json::{Value, json};
use shared::pubmed::markup::{MAX_ATTRIBUTES, MAX_NAME_BYTES};
use shared::words::Outcome;
use simulator::{Corpus, Options, Spread};
use tests::forged::{arrive, check};
use tests::http::{Server, settings};
use tests::program::Archive;
use tests::record_files::record;
use tests::sync::{client, day, settings as eutils_settings, simulator};

/// What titles hold, and how it is refused.
fn beyond() -> [(String, &'static str); 4] {
    let attributes = (0..=MAX_ATTRIBUTES).map(|n| format!(" a{n}=\"x\"")).collect::<Vec<_>>().concat();
    let name = "a".repeat(MAX_NAME_BYTES + 1);
    [
        (format!("<i{attributes}>x</i>"), "more than 64 attributes"),
        (format!("<{name}>x</{name}>"), "a name of more than 256 bytes"),
        (format!("<i {name}=\"x\">x</i>"), "a name of more than 256 bytes"),
        (format!("{}x{}", "<i>".repeat(300), "</i>".repeat(300)), "nest deeper than 256"),
    ]
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_beyond_the_bounds_is_served_as_it_is_and_refused_as_a_record() {
    let archive = Archive::new().await;
    let engine = archive.engine().await;
    let beyond = beyond();
    assert_eq!(arrive(&engine, 1, 9, 1, Some("fine")).await, Outcome::Archived);
    for (n, (title, _)) in (1..).zip(&beyond) {
        assert_eq!(arrive(&engine, 1, n, 1, Some(title)).await, Outcome::Archived, "{title}");
    }
    let ncbi = simulator(Corpus::generated(day("2026-03-10"), 1000, 1, 1, Spread::Even(30)), Options::default()).await;
    let server = Server::start(engine.clone(), client(eutils_settings(&ncbi)), &settings(&[])).await;
    let exported = lines(&archive.run(&["export", "--format", "xml"]).expect(0).out);
    assert_eq!(exported.len(), beyond.len() + 1);
    for (n, (title, why)) in (1..).zip(&beyond) {
        let (xml, pmid) = (record(n, 1, "2026-01-01", title), n.to_string());
        assert_eq!(archive.run(&["get", &pmid, "--xml"]).expect(0).out, xml, "{why}");
        assert!(exported.iter().any(|line| line["pmid"] == pmid.as_str() && line["xml"] == xml.as_str()), "{why}");
        for typed in [&["get", &pmid][..], &["get", &pmid, "--json"]] {
            let refused = archive.run(typed).expect(1);
            assert!(refused.err.contains(why) && refused.err.contains("--xml` prints it"), "{refused:?}");
        }
        let call = json!({ "tool": "pubmed.get", "params": { "pmid": pmid } });
        let refused = server.post("/v1/mcp/invoke", &call).await;
        assert_eq!(refused.error(), (400, "VALIDATION_ERROR"), "{why}");
        assert!(refused.body["message"].as_str().is_some_and(|text| text.contains(why)), "{}", refused.body);
        // It takes no other record with it.
        let call = json!({ "tool": "pubmed.get_many", "params": { "pmids": [pmid, "9"] } });
        let many = server.post("/v1/mcp/invoke", &call).await.body["result"]["records"].clone();
        assert!(many[0]["error"].as_str().is_some_and(|text| text.contains(why)), "{many}");
        assert_eq!(many[1]["title"], "fine", "{many}");
    }
    let typed = archive.run(&["export"]).expect(5);
    assert_eq!(lines(&typed.out).len(), 1, "the others are left out");
    for (n, (_, why)) in (1..).zip(&beyond) {
        let left_out = format!("PMID {n} omitted: ");
        assert!(typed.err.lines().any(|line| line.contains(&left_out) && line.contains(why)), "{typed:?}");
    }
    assert!(check(&engine).await.is_clean(), "they are what was stored");
}
