//! Each function as Lambda runs it: its sample event, invalid events, invalid environments.

use serde_json::{Value, json};
use shared::core::Sha256;
use tests::aws;
use tests::cloud::{Cloud, ask};
use tests::lambda::{self, Function};

fn sample(name: &str) -> Value {
    let text = std::fs::read_to_string(tests::root().join("events").join(name)).expect("a sample event");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_function_handles_its_sample_event() {
    let Some(cloud) = Cloud::new(5, None).await else { return };
    let api = cloud.function("api", &[]);
    let healthy = api.invoke(&sample("api-healthz.json")).await.expect("responds");
    assert_eq!(healthy["statusCode"], 200, "without a schema it serves what needs none");
    let mut stranger = sample("api-submit.json");
    stranger["headers"]["authorization"] = json!("Bearer another");
    assert_eq!(api.invoke(&stranger).await.expect("responds")["statusCode"], 401);
    let early = api.invoke(&sample("api-submit.json")).await.expect("responds");
    assert_eq!(early["statusCode"], 503, "{early}");
    assert!(early["body"].as_str().expect("text").contains("run its migrations"), "{early}");

    let migrate = cloud.function("migrate", &[]);
    let first = migrate.invoke(&sample("migrate.json")).await.expect("responds");
    assert!(first["from"] == 0 && first["to"].as_i64() >= Some(12), "{first}");
    let again = migrate.invoke(&sample("migrate.json")).await.expect("responds");
    assert_eq!(again["from"], first["to"], "done again, nothing changes");

    let submitted = api.invoke(&sample("api-submit.json")).await.expect("responds");
    assert_eq!(submitted["statusCode"], 202, "the function that ran before the migration goes on: {submitted}");
    assert_eq!(submitted["headers"]["x-trace-id"], "0af7651916cd43dd8448eb211c80319c");

    let latency = api.log_lines().into_iter().rfind(|line| line.get("latency_ms").is_some_and(Value::is_array));
    let latency = latency.unwrap_or_else(|| panic!("no latencies: {}", api.log()));
    assert_eq!(latency["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Unit"], "Milliseconds");
    assert!(latency["latency_ms"].as_array().is_some_and(|all| all.len() == 1 && all[0].is_f64()), "{latency}");
    assert!(!api.log().contains("bio_mcp_"), "CloudWatch's names have no prefix");

    let worker = cloud.function("worker", &[]);
    let unknown = worker.invoke(&sample("worker.json")).await.expect("responds");
    assert_eq!(unknown, json!({ "batchItemFailures": [] }), "a unit that is no more is done with");

    let scheduler = cloud.function("scheduler", &[]);
    let swept = scheduler.invoke(&sample("scheduler-sweep.json")).await.expect("responds");
    assert_eq!(swept["left_to_another"], false);
    let ticked = scheduler.invoke(&sample("scheduler-topics.json")).await.expect("responds");
    assert_eq!(ticked["jobs"], 0);
    let lines = scheduler.log_lines();
    let metric = |name: &str| lines.iter().find(|line| line.get(name).is_some_and(Value::is_number));
    assert_eq!(metric("ready").expect("a metric")["ready"], 1.0, "{}", scheduler.log());
    assert_eq!(metric("jobs_running").expect("a metric")["_aws"]["CloudWatchMetrics"][0]["Namespace"], "bio-mcp");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_message_affects_no_other() {
    let Some(cloud) = Cloud::new(5, None).await else { return };
    cloud.migrate().await;
    let worker = cloud.function("worker", &[]);
    let good = sample("worker.json")["Records"][0].clone();
    let of = |id: &str, body: Value| {
        let mut record = good.clone();
        record["messageId"] = json!(id);
        record["body"] = body;
        record
    };
    let records = json!([
        of("good", good["body"].clone()),
        of("empty", json!("")),
        of("null", Value::Null),
        of("list", json!("[1]")),
        of("half", json!("{\"job_id\": \"019ae000-0000-7000-8000-000000000001\"}")),
        of("long", json!("x".repeat(200_000))),
        of("sql", json!("{\"job_id\": \"' or 1=1\", \"unit_id\": \"\", \"trace_id\": \"\"}")),
    ]);
    let response = worker.invoke(&json!({ "Records": records })).await.expect("responds");
    let failed: Vec<&str> = response["batchItemFailures"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|failure| failure["itemIdentifier"].as_str())
        .collect();
    assert_eq!(failed, ["empty", "null", "list", "half", "long", "sql"]);
    assert!(!worker.log().contains("xxxx"), "what a foreign message holds is not logged");
    let none = worker.invoke(&json!({ "Records": [] })).await.expect("responds");
    assert_eq!(none, json!({ "batchItemFailures": [] }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_messages_are_redelivered_and_reads_fail() {
    let Some(cloud) = Cloud::new(5, None).await else { return };
    let away = [("BIO_MCP_DATABASE_URL", "postgres://nobody@127.0.0.1:9/none")];
    let worker = cloud.function("worker", &away);
    let response = worker.invoke(&sample("worker.json")).await.expect("responds");
    let id = &sample("worker.json")["Records"][0]["messageId"];
    assert_eq!(response["batchItemFailures"], json!([{ "itemIdentifier": id }]), "{response}");
    let api = cloud.function("api", &away);
    assert_eq!(ask(&api, "GET", "/livez", None).await.expect("responds").0, 200);
    let (status, body) = ask(&api, "GET", "/v1/jobs", None).await.expect("responds");
    assert_eq!((status, body["error_code"].as_str()), (503, Some("DATABASE_ERROR")), "{body}");
    let (status, body) = ask(&api, "GET", "/readyz", None).await.expect("responds");
    assert_eq!((status, body["status"].as_str()), (503, Some("not_ready")), "{body}");
    let scheduler = cloud.function("scheduler", &away);
    let failed = scheduler.invoke(&sample("scheduler-sweep.json")).await.expect_err("it cannot sweep");
    assert!(failed.0.contains("errorType"), "{failed:?}");
    let not_ready = scheduler.log_lines().into_iter().find(|line| line.get("ready").is_some());
    assert_eq!(not_ready.expect("the alarm's metric")["ready"], 0.0);
}

#[tokio::test]
async fn a_bad_environment_is_logged_and_prevents_the_start() {
    let Some(emulator) = lambda::emulator() else { return };
    for (name, environment, said) in [
        ("worker", vec![], "BIO_MCP_DATABASE_URL"),
        ("api", vec![("BIO_MCP_DATABASE_URL", "mysql://me:hunter2@host/db")], "must start with postgres://"),
        ("worker", vec![("BIO_MCP_DATABASE_URL", "postgres://u@127.0.0.1/x")], "BIO_MCP_ARCHIVE_BUCKET"),
        (
            "api",
            vec![("BIO_MCP_DATABASE_URL", "postgres://u@127.0.0.1/x"), ("BIO_MCP_ARCHIVE_BUCKET", "bucket")],
            "BIO_MCP_ALLOW_ANONYMOUS",
        ),
    ] {
        let environment: Vec<(&'static str, String)> =
            environment.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        let function = Function::start(&emulator, &lambda::bootstrap(name), 10, &environment);
        let response = function.invoke(&json!({})).await;
        assert!(response.is_err(), "{response:?}");
        let log = function.log();
        assert!(log.contains("cannot start") && log.contains(said), "{said} is missing:\n{log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_read_by_arn_and_again_when_what_they_said_is_refused() {
    let Some(cloud) = Cloud::new(5, None).await else { return };
    let config = tests::s3::config(&aws::endpoint().expect("there"));
    cloud.migrate().await;
    let admin = cloud.database().await;
    // The test server accepts every existing role: a role that does not exist stands for a changed password.
    let role = format!("r_{}", uuid::Uuid::new_v4().simple());
    let create = format!("create role {role} login superuser");
    sqlx::query(sqlx::AssertSqlSafe(create)).execute(&admin).await.expect("created");
    let as_role = |role: &str| json!({ "username": role, "password": "hunter2" }).to_string();
    let arn = aws::new_secret(&config, &as_role("nobody_yet")).await;
    let worker = cloud.function("worker", &[("BIO_MCP_DATABASE_URL_SECRET_ARN", arn.as_str())]);
    let refused = worker.invoke(&sample("worker.json")).await.expect("responds");
    assert_eq!(refused["batchItemFailures"].as_array().map(Vec::len), Some(1), "{refused}");
    aws::change_secret(&config, &arn, &as_role(&role)).await;
    let responded = worker.invoke(&sample("worker.json")).await.expect("responds");
    assert_eq!(responded, json!({ "batchItemFailures": [] }), "{}", worker.log());
    assert!(worker.log().contains("reading the secret again"));
    assert!(!worker.log().contains("hunter2"));

    // The api keeps a connection while the password changes; a new one works after a failure or two.
    let api = cloud.function("api", &[("BIO_MCP_DATABASE_URL_SECRET_ARN", arn.as_str())]);
    let (status, response) =
        ask(&api, "GET", "/v1/jobs/019ae000-0000-7000-8000-000000000001", None).await.expect("asks");
    assert_eq!(status, 404, "{response}");
    let next = format!("{role}_next");
    // Sessions of the old name continue; new ones are refused.
    for sql in [format!("create role {next} login superuser"), format!("alter role {role} rename to {role}_before")] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&admin).await.expect("done");
    }
    aws::change_secret(&config, &arn, &as_role(&next)).await;
    // All its connections are closed: those in the pool, and the sticky one, which still counts as one.
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = $1";
    sqlx::query(end).bind(format!("{role}_before")).execute(&admin).await.expect("ended");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(&api, "GET", "/v1/jobs", None).await.expect("responds").0);
    }
    assert_eq!(statuses.last(), Some(&200), "{statuses:?}\n{}", api.log());

    // Hashes of tokens: an unknown token may have been added since.
    let hash = |token: &str| Sha256::of(token.as_bytes()).to_hex();
    let tokens = aws::new_secret(&config, &hash("bio-mcp_old")).await;
    let environment = [("BIO_MCP_AUTH_TOKENS_SECRET_ARN", tokens.as_str()), ("BIO_MCP_AUTH_TOKENS", "")];
    let api = cloud.function("api", &environment);
    let mut asked = tests::cloud::request("GET", "/v1/jobs", None);
    asked["headers"]["authorization"] = json!("Bearer bio-mcp_old");
    assert_eq!(api.invoke(&asked).await.expect("responds")["statusCode"], 200, "{}", api.log());
    aws::change_secret(&config, &tokens, &format!("new={}", hash("bio-mcp_new"))).await;
    asked["headers"]["authorization"] = json!("Bearer bio-mcp_new");
    assert_eq!(api.invoke(&asked).await.expect("responds")["statusCode"], 200, "{}", api.log());
    for refused in ["bio-mcp_old", "bio-mcp_another"] {
        asked["headers"]["authorization"] = json!(format!("Bearer {refused}"));
        assert_eq!(api.invoke(&asked).await.expect("responds")["statusCode"], 401, "{refused}");
    }
    assert_eq!(
        api.log().matches("reading the secret again").count(),
        1,
        "strangers do not make it read: {}",
        api.log()
    );

    // NCBI's key: refused, read again, and the same request continues.
    let key = aws::new_secret(&config, "revoked-key").await;
    let api = cloud.function("api", &[("BIO_MCP_PUBMED_API_KEY_SECRET_ARN", key.as_str())]);
    let search = json!({ "tool": "pubmed.search", "params": { "term": "all[sb]" } });
    let (status, response) = ask(&api, "POST", "/v1/mcp/invoke", Some(&search)).await.expect("responds");
    assert_eq!((status, &response["error_code"]), (502, &json!("PUBMED_ERROR")), "{response}");
    aws::change_secret(&config, &key, "valid-key").await;
    let (status, response) = ask(&api, "POST", "/v1/mcp/invoke", Some(&search)).await.expect("responds");
    assert_eq!(status, 200, "{response}\n{}", api.log());
    assert!(!api.log().contains("valid-key") && !api.log().contains("revoked-key"), "{}", api.log());

    let missing =
        cloud.function("api", &[("BIO_MCP_AUTH_TOKENS_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:0:secret:no")]);
    missing.invoke(&sample("api-healthz.json")).await.expect_err("it does not start");
    assert!(missing.log().contains("the secret of BIO_MCP_AUTH_TOKENS cannot be read"), "{}", missing.log());
}

/// CloudFormation waits for a response at a URL; deleting a stack deletes no data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudformation_receives_the_result_of_a_migration() {
    let Some(cloud) = Cloud::new(5, None).await else { return };
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel::<Value>();
    let put = axum::routing::put(move |body: String| {
        let told = told.clone();
        async move { told.send(serde_json::from_str(&body).expect("JSON")).expect("the receiver is there") }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}/answer?signature=hunter2", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async move {
        axum::serve(listener, axum::Router::new().route("/answer", put)).await.expect("serves");
    });
    let mut event = sample("migrate-cloudformation.json");
    event["ResponseURL"] = json!(url);
    let migrate = cloud.function("migrate", &[]);
    migrate.invoke(&event).await.expect("responds");
    let response = heard.recv().await.expect("told");
    assert_eq!(response["Status"], "SUCCESS");
    for field in ["StackId", "RequestId", "LogicalResourceId"] {
        assert_eq!(response[field], event[field]);
    }
    event["RequestType"] = json!("Delete");
    migrate.invoke(&event).await.expect("responds");
    assert_eq!(heard.recv().await.expect("told")["Status"], "SUCCESS");
    let version = shared::db::version(&cloud.database().await).await.expect("read");
    assert!(version >= 12, "the schema stays");
    let away = cloud.function("migrate", &[("BIO_MCP_DATABASE_URL", "postgres://nobody@127.0.0.1:9/none")]);
    event["RequestType"] = json!("Update");
    let told = away.invoke(&event).await.expect("CloudFormation was told: it is not to try again");
    assert_eq!(told, Value::Null);
    let response = heard.recv().await.expect("told");
    assert_eq!(response["Status"], "FAILED");
    assert!(response["Reason"].as_str().expect("a reason").contains("cannot be reached"), "{response}");
    assert!(!migrate.log().contains("hunter2") && !away.log().contains("hunter2"), "an address is a permission");
    away.invoke(&json!({})).await.expect_err("Terraform hears of it by the failure");
    // The function cannot start without its secret. Deleting a stack needs none.
    let arn = "arn:aws:secretsmanager:us-east-1:0:secret:no";
    let lost = cloud.function("migrate", &[("BIO_MCP_DATABASE_URL_SECRET_ARN", arn), ("BIO_MCP_LOG_LEVEL", "trace")]);
    lost.invoke(&event).await.expect("who asked was told");
    let response = heard.recv().await.expect("told");
    assert!(
        response["Status"] == "FAILED" && response["Reason"].to_string().contains("BIO_MCP_DATABASE_URL"),
        "{response}"
    );
    event["RequestType"] = json!("Delete");
    lost.invoke(&event).await.expect("responds");
    assert_eq!(heard.recv().await.expect("told")["Status"], "SUCCESS");
    assert!(!lost.log().contains("hunter2"), "at any level: {}", lost.log());
    server.abort();
}

/// One trace from the request through the queue to NCBI; its spans reach a collector, also when the collector fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_reaches_ncbi_and_its_spans_a_collector() {
    let Some(cloud) = Cloud::new(5, None).await else { return };
    cloud.migrate().await;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let post = axum::routing::post(move |body: axum::body::Bytes| {
        let told = told.clone();
        async move { told.send(body.to_vec()).expect("the receiver is there") }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let collector = format!("http://{}", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async move {
        axum::serve(listener, axum::Router::new().route("/v1/traces", post)).await.expect("serves");
    });
    let holds = |spans: &[u8], text: &[u8]| spans.windows(text.len()).any(|window| window == text);
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    // The encoding of an id in OTLP.
    let id: Vec<u8> =
        (0..32).step_by(2).map(|at| u8::from_str_radix(&trace_id[at..at + 2], 16).expect("hex")).collect();
    let to_collector = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str())];

    let api = cloud.function("api", &to_collector);
    let submitted = api.invoke(&sample("api-submit.json")).await.expect("responds");
    assert_eq!(submitted["statusCode"], 202, "{submitted}");
    let spans = heard.recv().await.expect("told before the response");
    for text in [&id[..], b"request", b"/v1/jobs", b"service.name", b"api"] {
        assert!(holds(&spans, text), "{}", String::from_utf8_lossy(text));
    }
    let worker = cloud.function("worker", &to_collector);
    let source = cloud.event_source(1);
    while cloud.ncbi.arrivals().is_empty() {
        source.poll(async |event| worker.invoke(&event).await).await;
    }
    for arrival in cloud.ncbi.arrivals() {
        assert_eq!(arrival.traceparent.as_deref(), Some("00-0af7651916cd43dd8448eb211c80319c-8448eb211c80319c-01"));
    }
    let spans = heard.recv().await.expect("told before the response");
    assert!(holds(&spans, &id) && holds(&spans, b"unit") && holds(&spans, b"pubmed.sync"));

    server.abort();
    let _ = server.await;
    let again = api.invoke(&sample("api-healthz.json")).await.expect("responds");
    assert_eq!(again["statusCode"], 200, "the work is done all the same");
    assert!(api.log().contains("the collector did not accept the spans"), "{}", api.log());
}

/// The owner of the tables is for migrations; the other functions use a role that only reads and writes rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_work_as_a_role_that_owns_nothing() {
    let Some(cloud) = Cloud::new(5, None).await else { return };
    let config = tests::s3::config(&aws::endpoint().expect("there"));
    let role = format!("f_{}", uuid::Uuid::new_v4().simple());
    let secret = json!({ "username": role, "password": "hunter2'" }).to_string();
    let arn = aws::new_secret(&config, &secret).await;
    let migrate = cloud.function("migrate", &[("BIO_MCP_DATABASE_ROLE_SECRET_ARN", arn.as_str())]);
    for _ in 0..2 {
        migrate.invoke(&sample("migrate.json")).await.expect("migrates");
    }
    assert!(!migrate.log().contains("hunter2"), "{}", migrate.log());
    let as_role = [("BIO_MCP_DATABASE_URL_SECRET_ARN", arn.as_str())];
    let api = cloud.function("api", &as_role);
    let job = json!({ "tool": "pubmed.sync.incremental", "params": { "query": "all", "query_key": "all" } });
    let (status, job) = ask(&api, "POST", "/v1/jobs", Some(&job)).await.expect("responds");
    assert_eq!(status, 202, "{job}\n{}", api.log());
    let worker = cloud.function("worker", &as_role);
    let source = cloud.event_source(1);
    let path = format!("/v1/jobs/{}", job["job_id"].as_str().expect("an id"));
    let ended = loop {
        source.poll(async |event| worker.invoke(&event).await).await;
        let (_, job) = ask(&api, "GET", &path, None).await.expect("responds");
        if ["succeeded", "failed"].iter().any(|state| job["state"] == *state) {
            break job;
        }
    };
    assert_eq!((&ended["state"], &ended["result"]["archived"]), (&json!("succeeded"), &json!(5)), "{}", worker.log());
    let scheduler = cloud.function("scheduler", &as_role);
    for tick in ["scheduler-sweep.json", "scheduler-topics.json"] {
        scheduler.invoke(&sample(tick)).await.unwrap_or_else(|error| panic!("{error:?}\n{}", scheduler.log()));
    }
    let options: sqlx::postgres::PgConnectOptions = cloud.url.parse().expect("a URL");
    tests::roles::assert_confined(options.username(&role)).await;
}
