//! Recorded exchanges: how the client classifies them, and whether the simulator responds alike.

use std::collections::BTreeSet;

use shared::pubmed::eutils::{Expected, ResponseFault as Seen, classify};
use simulator::{Corpus, Faults, Options, Spread};
use tests::sync::{day, simulator};

use super::small;

/// Real recorded responses are classified correctly.
#[test]
fn recorded_exchanges_are_understood() {
    let Some(data) = tests::real_data() else { return };
    let read = |path: &str| std::fs::read(data.join("eutils").join(path)).expect("readable");
    let check = |expected, status, path: &str, outcome: Result<(), Seen>| {
        assert_eq!(classify(expected, status, &read(path)), outcome, "{path}");
    };
    check(Expected::Search, 200, "errors/http200_esearch_expired_webenv.json", Err(Seen::Backend));
    check(Expected::Records, 400, "errors/http400_efetch_id_list_empty.xml", Err(Seen::NoIds));
    check(Expected::Search, 429, "errors/http429_rate_limit_no_key.json", Err(Seen::Throttled));
    check(Expected::Records, 200, "errors/http429_rate_limit_no_key.json", Err(Seen::Throttled));
    check(Expected::Records, 414, "esummary/error_414_uri_too_large.html", Err(Seen::UriTooLong));
    check(Expected::Records, 200, "efetch/efetch_error_30759ee3ddab.xml", Err(Seen::NoIds));
    let mut sets = 0;
    for entry in std::fs::read_dir(data.join("eutils/json")).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.starts_with("esearch") {
            check(Expected::Search, 200, &format!("json/{name}"), Ok(()));
        }
    }
    for entry in std::fs::read_dir(data.join("pubmed/efetch")).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read(&path).expect("readable");
        let whole =
            text.windows(19).any(|w| w == b"</PubmedArticleSet>") && path.extension().is_some_and(|e| e == "xml");
        let prolog = String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
        if whole && prolog.contains("PubmedArticleSet") {
            assert_eq!(classify(Expected::Records, 200, &text), Ok(()), "{}", path.display());
            sets += 1;
        }
    }
    assert!(sets > 10, "{sets} sets of records were looked at");
}

/// Distinct element names of an XML text in order.
fn elements(xml: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in xml.split('<').skip(1) {
        let name: String = part.chars().take_while(char::is_ascii_alphabetic).collect();
        if !name.is_empty() && !names.contains(&name) && !part.starts_with('!') && !part.starts_with('?') {
            names.push(name);
        }
    }
    names
}

/// The simulator's responses have the structure of the recorded exchanges.
#[tokio::test(flavor = "multi_thread")]
async fn the_simulator_responds_in_recorded_shapes() {
    let Some(data) = tests::real_data() else { return };
    let read = |path: &str| std::fs::read_to_string(data.join("eutils").join(path)).expect("readable");
    let simulator = small(Faults::default()).await;
    let http = tests::sync::http(&simulator);
    let ask = async |program: &str, body: &'static str| {
        let response = http
            .post(format!("{}{program}", simulator.eutils_url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .expect("responds");
        (response.status().as_u16(), response.text().await.expect("text"))
    };
    let keys = |text: &str| -> Vec<String> {
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        value["esearchresult"].as_object().expect("an object").keys().cloned().collect()
    };
    let (_, json) = ask("esearch.fcgi", "db=pubmed&retmode=json&term=all&retmax=3").await;
    let recorded: BTreeSet<String> = keys(&read("json/esearch_darwin.json")).into_iter().collect();
    assert_eq!(keys(&json).into_iter().collect::<BTreeSet<_>>(), recorded);
    let (_, xml) = ask("esearch.fcgi", "db=pubmed&term=all&retmax=3").await;
    assert_eq!(elements(&xml), elements(&read("esearch/esearch1.xml")));
    let (_, xml) = ask("esearch.fcgi", "db=pubmed&term=all&rettype=count").await;
    assert_eq!(elements(&xml), elements(&read("esearch/esearch_ea532f619e56.xml")));
    let (_, xml) = ask("epost.fcgi", "db=pubmed&id=1000,1001").await;
    assert_eq!(elements(&xml), elements(&read("epost/epost1.xml")));
    let (_, xml) = ask("epost.fcgi", "db=pubmed&id=").await;
    assert_eq!(elements(&xml), elements(&read("epost/epost3.xml")));
    let (status, xml) = ask("efetch.fcgi", "db=pubmed&retmode=xml&id=0000").await;
    assert_eq!(
        (status, xml.split_whitespace().collect::<Vec<_>>()),
        (400, read("errors/http400_efetch_id_list_empty.xml").split_whitespace().collect())
    );
    let (_, json) = ask("esummary.fcgi", "db=pubmed&retmode=json&id=99999999").await;
    let mut recorded: serde_json::Value =
        serde_json::from_str(&read("errors/http200_esummary_unknown_uid.json")).expect("JSON");
    recorded["header"]["version"] = "0.3".into();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), recorded);
    let (_, json) = ask("esearch.fcgi", "db=pubmed&retmode=json&term=%231&WebEnv=gone&query_key=1").await;
    assert!(json.contains("Unable to obtain query #1"), "{json}");
    let (status, _) = ask("efetch.fcgi", "db=pubmed&id=1000&api_key=wrong").await;
    assert_eq!(status, 400);
}

/// Silent limits of NCBI that the simulator reproduces: clamped parameters, and pages across the cap.
#[tokio::test(flavor = "multi_thread")]
async fn the_simulator_clamps_silently() {
    let corpus = Corpus::generated(day("2026-03-10"), 1000, 120, 1, Spread::Even(30));
    let simulator = simulator(corpus, Options { cap: 100, ..Options::default() }).await;
    let http = tests::sync::http(&simulator);
    let ask = async |program: &str, query: &str| {
        let response =
            http.get(format!("{}{program}?db=pubmed&{query}", simulator.eutils_url())).send().await.expect("responds");
        (response.status().as_u16(), response.text().await.expect("text"))
    };
    let (_, json) = ask("esearch.fcgi", "retmode=json&term=all&retmax=5000&usehistory=y").await;
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let result = &value["esearchresult"];
    assert_eq!((result["count"].as_str(), result["idlist"].as_array().map(Vec::len)), (Some("120"), Some(100)));
    let session = format!(
        "WebEnv={}&query_key={}",
        result["webenv"].as_str().expect("kept"),
        result["querykey"].as_str().expect("kept")
    );
    let (status, xml) = ask("efetch.fcgi", &format!("{session}&retstart=90&retmax=50")).await;
    assert_eq!((status, xml.matches("<PubmedArticle>").count()), (200, 10), "a page across the cap is cut");
    let (status, _) = ask("efetch.fcgi", &format!("{session}&retstart=100")).await;
    assert_eq!(status, 400);
    let (status, json) = ask("esearch.fcgi", "retmode=json&term=all&retstart=100").await;
    assert_eq!(status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_err(), "the error is not valid JSON: {json}");
    let (status, _) = ask("esearch.fcgi", &format!("term={}", "x".repeat(5000))).await;
    assert_eq!(status, 414);
    let (_, json) = ask("esearch.fcgi", "retmode=json&term=all&mindate=&maxdate=").await;
    assert!(json.contains("\"count\":\"0\""), "empty dates find nothing");
    let (_, json) =
        ask("esummary.fcgi", &format!("id={}", (1..=501).map(|n| n.to_string()).collect::<Vec<_>>().join(","))).await;
    assert!(json.contains("Too many UIDs"));
}
