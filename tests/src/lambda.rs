//! A function in a Lambda-like environment: the built `bootstrap` under AWS's runtime interface emulator.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The emulator from the package of the SAM CLI; none, with a message, if it was not fetched.
pub fn emulator() -> Option<PathBuf> {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let path = crate::root().join(format!(".tools/sam/samcli/local/rapid/aws-lambda-rie-{machine}"));
    if !path.exists() {
        eprintln!("SKIPPED: the Lambda runtime interface emulator is not in .tools: run `make test`");
        return None;
    }
    Some(path)
}

/// A built program in the directory of the tests.
pub fn bootstrap(name: &str) -> PathBuf {
    crate::program::path().with_file_name(name)
}

/// A free port that is never assigned automatically: below the range of outgoing connections.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// One execution environment of a function: one request at a time.
pub struct Function {
    emulator: Child,
    log: PathBuf,
    url: String,
    http: reqwest::Client,
    turn: tokio::sync::Mutex<()>,
    _dir: tempfile::TempDir,
}

/// The function did not respond.
#[derive(Debug)]
pub struct Crashed(pub String);

impl Function {
    /// Starts a program as a function, with only these environment variables.
    pub fn start(emulator: &Path, program: &Path, timeout_secs: u64, environment: &[(&str, String)]) -> Self {
        // Fails only if a provider is already installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = dir.path().join("log");
        let (port, api_port) = (free_port(), free_port());
        let file = std::fs::File::create(&log).expect("a file");
        let emulator = Command::new(emulator)
            .args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")])
            .args(["--runtime-api-address", &format!("127.0.0.1:{api_port}")])
            .arg(program)
            .env_clear()
            .env("AWS_LAMBDA_FUNCTION_NAME", program.file_name().expect("a name"))
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", timeout_secs.to_string())
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("the emulator starts");
        let url = format!("http://127.0.0.1:{port}/2015-03-31/functions/function/invocations");
        Self { emulator, log, url, http: reqwest::Client::new(), turn: tokio::sync::Mutex::default(), _dir: dir }
    }

    /// Sends an event and waits for the response.
    pub async fn invoke(&self, event: &Value) -> Result<Value, Crashed> {
        let _turn = self.turn.lock().await;
        let began = Instant::now();
        loop {
            let sent = self.http.post(&self.url).body(event.to_string()).timeout(Duration::from_secs(120)).send();
            match sent.await {
                Ok(response) => {
                    let text = response.text().await.map_err(|error| Crashed(error.to_string()))?;
                    let response = serde_json::from_str(&text).map_err(|_| Crashed(text.clone()))?;
                    let Value::Object(fields) = &response else { return Ok(response) };
                    return if fields.contains_key("errorType") { Err(Crashed(text)) } else { Ok(response) };
                }
                // The emulator has just been started.
                Err(error) if error.is_connect() && began.elapsed() < Duration::from_secs(20) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => return Err(Crashed(error.to_string())),
            }
        }
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The log lines that are JSON.
    pub fn log_lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Sends SIGTERM, like Lambda before it removes an execution environment.
    pub fn terminate(&self) {
        for child in children_of(self.emulator.id()) {
            let _ = Command::new("kill").args(["-TERM", &child.to_string()]).status();
        }
    }

    /// Kills the function, like a failing machine.
    pub fn kill(&mut self) {
        for child in children_of(self.emulator.id()) {
            let _ = Command::new("kill").args(["-9", &child.to_string()]).status();
        }
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

/// The child processes of a process.
pub fn children_of(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in parentheses may contain anything.
        let of = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        if of == Some(parent) {
            found.push(id);
        }
    }
    found
}

impl Drop for Function {
    fn drop(&mut self) {
        self.kill();
    }
}
