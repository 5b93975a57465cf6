//! Records beyond the XML bounds that an earlier version stored: their exact bytes are still served, and whatever
//! parses them reports why it refuses.

use serde_json::{Value, json};
use shared::core::Outcome;
use shared::pubmed::markup::{MAX_ATTRIBUTES, MAX_NAME_BYTES};
use shared::sources::store_records::Origin;
use shared::verify::{self, VerifyRun};
use simulator::{Corpus, Options, Spread};
use tests::forged::{arrive, arrive_record, as_of, check, empty, held, source};
use tests::http::{Server, settings};
use tests::program::Archive;
use tests::record_files::record;
use tests::sync::{client, day, settings as eutils_settings, simulator};

/// A record beyond one bound, and how it is refused.
struct Beyond {
    pmid: u32,
    xml: String,
    why: &'static str,
}

const TITLE: &str = "a title";

/// Records beyond each bound in their title, and wherever a bound can be exceeded before the PMID.
fn beyond() -> Vec<Beyond> {
    let (many, long, deep) = ("more than 64 attributes", "a name of more than 256 bytes", "nest deeper than 256");
    let attributes = (0..=MAX_ATTRIBUTES).map(|n| format!(" a{n}=\"x\"")).collect::<Vec<_>>().concat();
    let name = "a".repeat(MAX_NAME_BYTES + 1);
    let nested = format!("{}x{}", "<i>".repeat(300), "</i>".repeat(300));
    let citation = "<MedlineCitation>";
    let changes = [
        (TITLE, format!("<i{attributes}>x</i>"), many),
        (TITLE, format!("<{name}>x</{name}>"), long),
        (TITLE, format!("<i {name}=\"x\">x</i>"), long),
        (TITLE, nested.clone(), deep),
        ("<PubmedArticle>", format!("<PubmedArticle{attributes}>"), many),
        ("<PubmedArticle>", format!("<PubmedArticle {name}=\"x\">"), long),
        (citation, format!("<i{attributes}/>{citation}"), many),
        (citation, format!("<MedlineCitation{attributes}>"), many),
        ("<PMID ", format!("<{name}>x</{name}><PMID "), long),
        ("<PMID ", format!("<i {name}=\"x\"/><PMID "), long),
        ("<PMID ", format!("{nested}<PMID "), deep),
        ("<PMID ", format!("<PMID{attributes} "), many),
        ("<PMID ", format!("<PMID {name}=\"x\" "), long),
    ];
    let one = |(pmid, (from, to, why)): (u32, (&str, String, &'static str))| {
        let xml = record(pmid, 1, "2026-01-01", TITLE).replacen(from, &to, 1);
        Beyond { pmid, xml, why }
    };
    (1..).zip(changes).map(one).collect()
}

/// The PMID of the record within the bounds.
const FINE: u32 = 99;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_beyond_the_bounds_are_served_raw_and_refused_when_parsed() {
    let archive = Archive::new().await;
    let engine = archive.engine().await;
    let beyond = beyond();
    assert_eq!(arrive(&engine, 1, FINE, 1, Some("fine")).await, Outcome::Archived);
    for Beyond { pmid, xml, why } in &beyond {
        let origin = Origin { source: source(1), as_of: as_of(1), file_number: 260_001, file_id: None };
        let outcome = arrive_record(&engine, origin, *pmid, 1, Some(xml.clone())).await;
        assert_eq!(outcome, Outcome::Archived, "{pmid}: {why}");
    }
    let ncbi = simulator(Corpus::generated(day("2026-03-10"), 1000, 1, 1, Spread::Even(30)), Options::default()).await;
    let server = Server::start(engine.clone(), client(eutils_settings(&ncbi)), &settings(&[])).await;
    let exported = lines(&archive.run(&["export", "--format", "xml"]).expect(0).out);
    assert_eq!(exported.len(), beyond.len() + 1);
    for Beyond { pmid, xml, why } in &beyond {
        let pmid = pmid.to_string();
        assert_eq!(archive.run(&["get", &pmid, "--xml"]).expect(0).out, *xml, "{pmid}: {why}");
        assert!(exported.iter().any(|line| line["pmid"] == pmid.as_str() && line["xml"] == xml.as_str()), "{pmid}");
        for typed in [&["get", &pmid][..], &["get", &pmid, "--json"]] {
            let refused = archive.run(typed).expect(1);
            assert!(refused.err.contains(why) && refused.err.contains("--xml` prints it"), "{refused:?}");
        }
        let call = json!({ "tool": "pubmed.get", "params": { "pmid": pmid } });
        let refused = server.post("/v1/mcp/invoke", &call).await;
        assert_eq!(refused.error(), (400, "VALIDATION_ERROR"), "{why}");
        assert!(refused.body["message"].as_str().is_some_and(|text| text.contains(why)), "{}", refused.body);
        // It affects no other record of the call.
        let call = json!({ "tool": "pubmed.get_many", "params": { "pmids": [pmid, FINE.to_string()] } });
        let many = server.post("/v1/mcp/invoke", &call).await.body["result"]["records"].clone();
        assert!(many[0]["error"].as_str().is_some_and(|text| text.contains(why)), "{many}");
        assert_eq!(many[1]["title"], "fine", "{many}");
    }
    let typed = archive.run(&["export"]).expect(5);
    assert_eq!(lines(&typed.out).len(), 1, "the others are left out");
    for Beyond { pmid, why, .. } in &beyond {
        let left_out = format!("PMID {pmid} omitted: ");
        assert!(typed.err.lines().any(|line| line.contains(&left_out) && line.contains(why)), "{typed:?}");
    }
    assert!(check(&engine).await.is_clean(), "they are what was stored");

    // A rebuild from the objects alone gives the same: their record, version and date.
    let payloads = async || held(&engine).await.into_values().map(|(_, xml)| xml).collect::<Vec<_>>();
    let kept = payloads().await;
    empty(&engine).await;
    verify::repair(&engine.db, &engine.archive, &mut VerifyRun::default()).await.expect("repaired");
    assert_eq!(payloads().await, kept);
    // Bytes that differ from the row's hash are not served.
    let one = beyond[4].pmid;
    std::fs::write(archive.object(one), "other bytes").expect("written");
    let damaged = archive.run(&["get", &one.to_string(), "--xml"]);
    assert!(damaged.code != Some(0) && damaged.out.is_empty(), "{damaged:?}");
}
