//! Results of tools: limited in size, with counts of what was omitted, and readable.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use shared::pubmed::source::FileSource;
use shared::pubmed::{Article, Item, Splitter};
use shared::tools::readable::plain;
use shared::tools::{Include, RecordView, find};
use simulator::Options;
use tests::http::{Server, World, sync_of};
use tests::sync::pmid;
use tests::{at_once, mcp, real_pubmed_files};

/// The typed records of all real files.
fn real_records() -> Vec<Map<String, Value>> {
    let of_file = |path: &PathBuf| {
        let mut records = Vec::new();
        let source = FileSource::open(path, u64::MAX).expect("opens");
        let mut splitter = Splitter::new(source, 64 << 20);
        while let Some(item) = splitter.next().expect("splits") {
            let Item::Record { bytes, .. } = item else { continue };
            let xml = std::str::from_utf8(bytes).expect("UTF-8");
            let Ok(article) = Article::parse(xml) else { continue };
            records.push(serde_json::to_value(&article).expect("JSON").as_object().expect("an object").clone());
        }
        records
    };
    at_once(&real_pubmed_files(), of_file).into_iter().flatten().collect()
}

fn view(record: &Map<String, Value>, include: &[Include], max_chars: usize) -> Value {
    let n = record["pmid"].as_str().expect("a PMID").parse().expect("a number");
    let found = RecordView { found: true, ..RecordView::nothing(pmid(n)) };
    json!(found.with(record.clone(), include, max_chars))
}

/// Every text and number in a value.
fn scalars<'a>(value: &'a Value, all: &mut Vec<std::borrow::Cow<'a, str>>) {
    match value {
        Value::String(text) => all.push(plain(text)),
        Value::Number(number) => all.push(number.to_string().into()),
        Value::Array(items) => items.iter().for_each(|item| scalars(item, all)),
        Value::Object(fields) => fields.values().for_each(|value| scalars(value, all)),
        Value::Null | Value::Bool(_) => {}
    }
}

#[track_caller]
fn check_said(text: &str, value: &Value) {
    let mut all = Vec::new();
    scalars(value, &mut all);
    for scalar in all {
        assert!(text.contains(scalar.as_ref()), "{scalar:?} is not in {text}");
    }
    let outline = |line: &str| ["#", "**", "- "].iter().any(|start| line.starts_with(start));
    assert!(text.lines().all(outline), "a line of a record's own: {text}");
}

/// The value at a path like `abstract[0].text`.
fn at<'a>(record: &'a Value, path: &str) -> &'a Value {
    path.split(['.', '[']).fold(record, |value, part| match part.strip_suffix(']') {
        Some(n) => &value[n.parse::<usize>().expect("an index")],
        None => &value[part],
    })
}

/// A value without its empty parts, which may be omitted without a count.
fn telling(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), telling(value)));
            Value::Object(
                fields.filter(|(_, value)| !value.is_null() && *value != json!([]) && *value != json!({})).collect(),
            )
        }
        Value::Array(items) => items.iter().map(telling).collect(),
        other => other.clone(),
    }
}

/// The counts are right, and nothing is omitted without a count.
fn check_omitted(record: &Value, view: &Value, name: &str) {
    let omitted = view["omitted"].as_array().expect("a list");
    let count = |value: &Value| value.as_array().map_or(0, Vec::len);
    for one in omitted {
        let (field, total, returned) = (one["field"].as_str().expect("a field"), &one["total"], &one["returned"]);
        match (field, at(record, field)) {
            ("other" | "affiliations", _) => {}
            (_, Value::Array(items)) => {
                assert_eq!(
                    (total, returned),
                    (&json!(items.len()), &json!(count(at(view, field)))),
                    "{field} of {name}"
                );
            }
            (_, Value::String(text)) => {
                let kept = at(view, field).as_str().map_or(0, |kept| kept.chars().count() - 1);
                assert_eq!((total, returned), (&json!(text.chars().count()), &json!(kept)), "{field} of {name}");
            }
            (_, Value::Object(_)) => assert_eq!(returned, 0, "{field} of {name}"),
            _ => assert_eq!((total, returned), (&json!(1), &json!(0)), "{field} of {name}"),
        }
        assert!(returned.as_u64() < total.as_u64(), "{one} of {name}");
    }
    for (field, value) in view.as_object().expect("an object") {
        let is_people = ["authors", "investigators"].contains(&field.as_str());
        let is_cut = |whole: &&Value| !is_people && telling(whole) != telling(value);
        let Some(whole) = record.get(field).filter(is_cut) else { continue };
        let is_counted = omitted.iter().any(|one| {
            let cut = one["field"].as_str().unwrap_or_default();
            cut == "other" || cut.split(['.', '[']).next() == Some(field)
        });
        assert!(is_counted, "{field} of {name} is cut and not counted: {value} of {whole}");
    }
}

#[test]
fn real_records_keep_every_bound_and_count_what_they_cut() {
    let get = find("pubmed.get").expect("a tool");
    let records: Vec<_> = real_records().into_iter().enumerate().collect();
    let of_record = |(n, record): &(usize, Map<String, Value>)| {
        let name = format!("PMID {}", record["pmid"]);
        let whole = Value::Object(record.clone());
        let written = whole.to_string();
        let (full, mut usual) = (written.chars().count() / 4, (0, 0));
        let shapes = [
            (&Include::DEFAULT[..], 24_000),
            (&Include::DEFAULT[..], 1_000),
            (&[Include::All], 3_000),
            (&[Include::All], 400_000),
            (&[Include::References, Include::Affiliations], 8_000),
        ];
        // Of the many short records a part covers every structure.
        let all = n % 4 == 0 || written.len() > 20_000;
        for (include, max) in shapes.into_iter().take(if all { shapes.len() } else { 2 }) {
            let view = view(record, include, max);
            let text = (get.to_markdown)(&view);
            let json = view.to_string();
            assert!(json.chars().count() <= max, "{name}: {} of {max}", json.chars().count());
            assert!(text.chars().count() <= max, "{name}: text of {}", text.chars().count());
            assert_eq!(view["integrity"]["status"], record["integrity"]["status"], "{name}");
            check_said(&text, &view);
            check_omitted(&whole, &view, &name);
            if max == 24_000 {
                usual = (json.chars().count() / 4, text.chars().count() / 4);
            }
        }
        (full, usual)
    };
    let (full, sizes): (Vec<usize>, Vec<(usize, usize)>) = at_once(&records, of_record).into_iter().unzip();
    if sizes.is_empty() {
        return;
    }
    let mean = |all: &mut dyn Iterator<Item = usize>| all.sum::<usize>() / sizes.len();
    let (json, text) = (mean(&mut sizes.iter().map(|(json, _)| *json)), mean(&mut sizes.iter().map(|(_, text)| *text)));
    println!("mean tokens (characters / 4): whole {}, JSON {json}, text {text}", mean(&mut full.iter().copied()));
    assert!(json < 1_500 && text < 1_500, "a mean record is {json} tokens as JSON, {text} as text");
}

async fn invoke(server: &Server, tool: &str, params: Value) -> Value {
    let response = server.post("/v1/mcp/invoke", &json!({ "tool": tool, "params": params })).await;
    assert_eq!(response.status, 200, "{}", response.body);
    response.body["result"].clone()
}

async fn archived() -> World {
    let World { simulator, mut server } = World::new(30, Options::default(), &[]).await;
    server.work();
    let job = server.submit(&sync_of(1000..1010)).await;
    assert_eq!(server.ended(&job).await["state"], "succeeded");
    World { simulator, server }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_returns_many_records_and_defers_those_that_do_not_fit() {
    let World { simulator, server } = archived().await;
    let before = simulator.arrivals().len();
    let asked: Vec<u32> = (1000..1020).chain([1000, 999]).collect();
    let many = invoke(&server, "pubmed.get_many", json!({ "pmids": asked, "max_chars": 400_000 })).await;
    let pmids =
        |list: &Value| list.as_array().expect("a list").iter().map(|one| one["pmid"].clone()).collect::<Vec<_>>();
    assert_eq!(
        pmids(&many["records"]),
        (1000..1020).map(|n| json!(n.to_string())).collect::<Vec<_>>(),
        "in order, once"
    );
    assert_eq!((&many["missing"], &many["deferred"], &many["warnings"]), (&json!(["999"]), &json!([]), &json!([])));
    assert_eq!((&many["records"][0]["source"], &many["records"][19]["source"]), (&json!("archive"), &json!("pubmed")));
    assert_eq!(simulator.arrivals().len() - before, 1, "one request for all that is not archived");
    assert_eq!(
        many["records"][3],
        invoke(&server, "pubmed.get", json!({ "pmid": 1003 })).await,
        "as pubmed.get returns it"
    );

    for max in [1_000, 4_000] {
        let (mut left, mut had, mut calls) = ((1000..1020).collect::<Vec<u32>>(), Vec::new(), 0);
        while !left.is_empty() {
            let part = invoke(&server, "pubmed.get_many", json!({ "pmids": left, "max_chars": max })).await;
            let text = (find("pubmed.get_many").expect("a tool").to_markdown)(&part);
            assert!(part.to_string().chars().count() <= max && text.chars().count() <= max, "{part}");
            check_said(&text, &part);
            assert!(!part["records"].as_array().expect("a list").is_empty(), "every call brings one: {part}");
            let here = pmids(&part["records"]);
            left.retain(|n| !here.contains(&json!(n.to_string())));
            had.extend(here);
            let deferred = part["deferred"].as_array().map_or(0, Vec::len);
            let counted = part["omitted"][0]["total"].as_u64().unwrap_or(deferred as u64);
            assert_eq!(
                counted,
                left.len() as u64,
                "what is left is counted, if there is no room for its PMIDs: {part}"
            );
            calls += 1;
        }
        assert_eq!(had.len(), 20, "{max}");
        assert!(calls > 1, "{max}");
    }

    // Archived records are returned without NCBI; the others are deferred, not "missing".
    simulator.faults().is_down = true;
    let client = tests::sync::client(shared::pubmed::eutils::EutilsSettings {
        attempts: 1,
        ..tests::sync::settings(&simulator)
    });
    let http = tests::http::settings(&[]);
    let alone = Server::start(server.engine.clone(), client, &http).await;
    let many = invoke(&alone, "pubmed.get_many", json!({ "pmids": "1001,1015" })).await;
    assert_eq!(
        (pmids(&many["records"]), &many["deferred"], &many["missing"]),
        (vec![json!("1001")], &json!(["1015"]), &json!([]))
    );
    assert!(many["warnings"][0].as_str().is_some_and(|text| text.contains("NCBI was unavailable")), "{many}");
    let at = invoke(&alone, "pubmed.get_many", json!({ "pmids": [1001, 1015], "as_of": "2020-01-01T00:00:00Z" })).await;
    assert_eq!((&at["missing"], &at["deferred"]), (&json!(["1001", "1015"]), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_says_what_its_hits_are_and_what_to_do_where_there_are_none() {
    let World { simulator, server } = archived().await;
    let before = simulator.arrivals().len();
    let found = invoke(&server, "pubmed.search", json!({ "query": "all", "limit": "25" })).await;
    assert_eq!(simulator.arrivals().len() - before, 2, "one request for the hits, one for those that are not archived");
    let summaries = found["summaries"].as_array().expect("a list");
    let pmids: Vec<&Value> = summaries.iter().map(|one| &one["pmid"]).collect();
    assert_eq!(pmids, found["pmids"].as_array().expect("a list").iter().collect::<Vec<_>>());
    for one in summaries {
        let n: u32 = one["pmid"].as_str().expect("text").parse().expect("a number");
        assert_eq!(one["archived"], n < 1010, "{one}");
        assert!(one["title"].is_string() && one["integrity"] == "ok" && one["journal"].is_string(), "{one}");
        assert!(one["authors"].as_array().expect("a list").len() <= 3, "{one}");
    }
    assert_eq!((&found["total_count"], &found["has_more"], &found["notice"]), (&json!(30), &json!(true), &Value::Null));
    let text = (find("pubmed.search").expect("a tool").to_markdown)(&found);
    check_said(&text, &found);

    let filters =
        json!({ "date_from": "2026-03-01", "date_type": "entry", "exclude_retracted": "true", "authors": [] });
    let narrowed =
        invoke(&server, "pubmed.search", json!({ "term": "all", "filters": filters, "summaries": false })).await;
    let query = "((all) AND (\"2026/03/01\"[edat] : \"3000/12/31\"[edat])) NOT \"retracted publication\"[pt]";
    assert_eq!(narrowed["query"], query);
    assert_eq!(
        narrowed["applied_filters"],
        json!({ "date_from": "2026-03-01", "date_type": "entry", "exclude_retracted": true })
    );
    assert!(narrowed["total_count"].as_u64().is_some_and(|n| 0 < n && n < 30), "{narrowed}");
    assert_eq!(narrowed["summaries"], json!([]));
    let only = invoke(&server, "pubmed.search", json!({ "filters": { "date_to": "2026-03" }, "limit": 1 })).await;
    assert_eq!(only["returned_count"], 1);

    let past = invoke(&server, "pubmed.search", json!({ "q": "all", "offset": 30 })).await;
    assert!(past["notice"].as_str().is_some_and(|text| text.contains("past the end of 30")), "{past}");
    assert_eq!((&past["has_more"], &past["pmids"]), (&json!(false), &json!([])));
    let none = invoke(&server, "pubmed.search", json!({ "q": "nothingatall" })).await;
    assert!(none["notice"].as_str().is_some_and(|text| text.starts_with("no results")), "{none}");
    let refused = server.post("/v1/mcp/invoke", &json!({ "tool": "pubmed.search", "params": { "filters": {} } })).await;
    assert_eq!(refused.body["message"], "term: is required unless filters are given");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_every_tool_says_all_that_its_structured_content_says() {
    let World { simulator: _ncbi, mut server } = tests::http::plain().await;
    server.work();
    let call = async |tool: &str, params: Value| {
        let body = mcp::send(&server, "tools/call", json!({ "name": tool, "arguments": params }), false).await.body;
        let result = &body["result"];
        assert_ne!(result["isError"], true, "{body}");
        let text = result["content"][0]["text"].as_str().expect("a text");
        check_said(text, &result["structuredContent"]);
        assert!(serde_json::from_str::<Value>(text).is_err(), "not the same JSON again: {text}");
        result["structuredContent"].clone()
    };
    call("ping", json!({})).await;
    let job = call("pubmed_sync", json!({ "pmids": [1001, 1002] })).await["job_id"].clone();
    server.ended(job.as_str().expect("an id")).await;
    let job = call("job_get", json!({ "job_id": job })).await;
    assert_eq!(job["state"], "succeeded");
    call("job_cancel", json!({ "job_id": job["job_id"] })).await;
    call("pubmed_search", json!({ "q": "all" })).await;
    call("pubmed_get", json!({ "pmid": 1001, "include": ["all"] })).await;
    call("pubmed_get_many", json!({ "pmids": [1001, 1005, 7] })).await;
    call("corpus_checkpoint_create", json!({ "checkpoint_id": "a", "name": "# A\n```", "description": "<b>B</b>" }))
        .await;
    call("corpus_checkpoint_get", json!({ "checkpoint_id": "a", "documents": 2 })).await;
    call("corpus_checkpoint_list", json!({})).await;
    call("corpus_checkpoint_diff", json!({ "from_checkpoint_id": "a", "to_checkpoint_id": "a" })).await;
    call("corpus_checkpoint_delete", json!({ "checkpoint_id": "a" })).await;
}
