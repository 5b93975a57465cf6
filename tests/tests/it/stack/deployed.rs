//! `sam deploy` of the template into an AWS emulator, then a job through the deployed gateway, queue and worker. The
//! emulator runs the built programs as functions; what it does not support (budgets) is omitted.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use shared::core::Sha256;
use simulator::{Corpus, Options, Spread};
use tests::lambda::free_port;
use tests::{aws, s3};

use super::{json_of, packages, python, said, template};

const TOKEN: &str = "bio-mcp_deployed";
const RECORDS: u32 = 30;

/// A separate emulator with every service; it ends with the test.
struct Emulator {
    process: Child,
    endpoint: String,
}

impl Emulator {
    /// Functions inherit `environment`.
    async fn start(home: &std::path::Path, environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let endpoint = format!("http://127.0.0.1:{port}");
        let log = std::fs::File::create(home.join("emulator.log")).expect("a file");
        let process = Command::new("python3")
            .args(["-m", "ministack"])
            .env_clear()
            .env("PATH", tests::variable("PATH").expect("a PATH"))
            .env("HOME", home)
            .env("PYTHONPATH", tests::root().join(".tools/ministack"))
            .envs([("BIND_HOST", "127.0.0.1"), ("IOT_MTLS_ENABLED", "false")])
            .env("GATEWAY_PORT", port.to_string())
            .envs(aws::environment(&endpoint))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("python3 runs");
        let emulator = Self { process, endpoint };
        for _ in 0..300 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return emulator;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the emulator does not respond");
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        for function in tests::lambda::children_of(self.process.id()) {
            let _ = Command::new("kill").arg(function.to_string()).status();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployed_stack_runs_a_job() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let corpus = Corpus::generated(tests::sync::day("2026-03-10"), 1000, RECORDS, 1, Spread::Even(30));
    let ncbi = tests::sync::simulator(corpus, Options::default()).await;
    let base = ncbi.eutils_url();
    if python("ministack").is_none() || python("sam").is_none() {
        return;
    }
    let environment = [("BIO_MCP_PUBMED_REQUESTS_PER_SECOND", "100")];
    let emulator = Emulator::start(dir.path(), &environment).await;
    let config = s3::config(&emulator.endpoint);
    let database = aws::new_secret(&config, &tests::databases::empty_database().await).await;
    let tokens = aws::new_secret(&config, &Sha256::of(TOKEN.as_bytes()).to_hex()).await;
    let bucket = s3::new_bucket(&s3::client(&emulator.endpoint), false).await;

    let packages = packages(dir.path());
    let sam = |arguments: &[&str]| {
        let mut python = python("sam").expect("it is there");
        python.args(["-m", "samcli"]).args(arguments).current_dir(dir.path()).env("HOME", dir.path());
        python.env("PACKAGES", &packages);
        python.envs(aws::environment(&emulator.endpoint));
        python
    };
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let parameters = [
        format!("DatabaseSecretArn={database}"),
        format!("AuthTokensSecretArn={tokens}"),
        format!("Architecture={architecture}"),
        format!("AwsEndpointUrl={}", emulator.endpoint),
        format!("PubmedBaseUrl={base}"),
        "PubmedEmail=a@example.org".to_owned(),
        "AlarmEmail=a@example.org".to_owned(),
        "MonthlyBudgetUsd=0".to_owned(),
    ];
    let template = template();
    let built = sam(&["build", "--build-dir", "build", "--template", template.to_str().expect("UTF-8")]).output();
    let built = built.expect("python3 runs");
    assert!(built.status.success(), "{}", said(&built));
    let mut deploy = sam(&["deploy", "--template-file", "build/template.yaml", "--stack-name", "bio-mcp"]);
    deploy.args(["--s3-bucket", &bucket, "--capabilities", "CAPABILITY_IAM", "--no-progressbar"]);
    let deployed = deploy.arg("--parameter-overrides").args(&parameters).output().expect("python3 runs");
    let log = || std::fs::read_to_string(dir.path().join("emulator.log")).unwrap_or_default();
    assert!(deployed.status.success(), "{}\n{}", said(&deployed), log());
    let outputs = json_of(&mut sam(&["list", "stack-outputs", "--stack-name", "bio-mcp", "--output", "json"]));
    let output = |name: &str| -> String {
        let found = outputs.as_array().expect("a list").iter().find(|output| output["OutputKey"] == name);
        found.expect(name)["OutputValue"].as_str().expect("text").to_owned()
    };

    let api = output("Url").trim_start_matches("https://").split('.').next().expect("an id").to_owned();
    let host = format!("{api}.execute-api.localhost:{}", emulator.endpoint.rsplit(':').next().expect("a port"));
    // Fails only if a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    let ask = async |request: reqwest::RequestBuilder| -> (u16, Value) {
        let request = request.header("host", &host).bearer_auth(TOKEN).timeout(Duration::from_secs(60));
        let response = request.send().await.expect("responds");
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.expect("whole")).expect("JSON"))
    };
    let jobs = format!("{}/v1/jobs", emulator.endpoint);
    let stranger = http.get(&jobs).header("host", &host).send().await.expect("responds");
    assert_eq!(stranger.status(), 401, "{}", log());
    let pmids: Vec<String> = (1000..1000 + RECORDS).map(|pmid| pmid.to_string()).collect();
    let body = json!({ "tool": "pubmed.sync", "params": { "pmids": pmids } });
    let (status, job) = ask(http.post(&jobs).header("content-type", "application/json").body(body.to_string())).await;
    assert_eq!(status, 202, "{job}\n{}", log());
    let job = format!("{jobs}/{}", job["job_id"].as_str().expect("an id"));
    let ended = async {
        loop {
            let (_, job) = ask(http.get(format!("{job}?wait=5"))).await;
            if ["succeeded", "failed", "cancelled"].iter().any(|state| job["state"] == *state) {
                break job;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(120), ended).await.unwrap_or_else(|_| panic!("{}", log()));
    assert_eq!((&ended["state"], &ended["result"]["archived"]), (&json!("succeeded"), &json!(RECORDS)), "{ended}");
    let kept = s3::client(&emulator.endpoint).list_objects_v2().bucket(output("ArchiveBucket")).prefix("pubmed/raw/");
    assert_eq!(kept.send().await.expect("listed").key_count(), i32::try_from(RECORDS).ok());
}
