//! The program, run as a user runs it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use shared::archive::DiskStore;
use shared::deployment;
use shared::ingest::Engine;
use shared::limits::PostgresLimits;

use crate::engine;

/// Path of the built program.
pub fn path() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let program = test.ancestors().nth(2).expect("target/debug/deps/test").join("bio-mcp");
    assert!(program.exists(), "{} is not built: run `make test`", program.display());
    program
}

/// A data directory for the program; its database is on the test server. Clones share both.
#[derive(Clone)]
pub struct Archive {
    pub dir: Arc<tempfile::TempDir>,
    url: Option<String>,
}

/// The result of a run of the program.
#[derive(Debug)]
pub struct Run {
    /// Exit code; none if it was killed.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Run {
    /// The last line of standard output as JSON.
    pub fn json(&self) -> Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    /// Fails the test unless the program exited with `code`.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "often only the code matters")]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Archive {
    /// A new archive with a new database on the test server that has the current schema.
    pub async fn new() -> Self {
        Self::with_database(super::databases::new_database().await)
    }

    /// A new archive with a new empty database on the test server, in which the program creates the schema.
    pub async fn with_empty_database() -> Self {
        Self::with_database(super::databases::empty_database().await)
    }

    fn with_database(url: String) -> Self {
        Self { dir: Arc::new(tempfile::tempdir().expect("a temporary directory")), url: Some(url) }
    }

    /// A new archive with a private Postgres.
    pub fn with_private_postgres() -> Self {
        Self { dir: Arc::new(tempfile::tempdir().expect("a temporary directory")), url: None }
    }

    /// URL of its database, if that is on the test server.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The same data directory with another URL of the database. It is deleted when both values are dropped.
    #[must_use]
    pub fn with_url(&self, url: &str) -> Self {
        Self { dir: self.dir.clone(), url: Some(url.to_owned()) }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A command with this data directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(path());
        command.arg("--data-dir").arg(self.data_dir()).args(arguments);
        command.env_remove("BIO_MCP_DATABASE_URL").current_dir(self.dir.path()).stdin(Stdio::null());
        if let Some(url) = &self.url {
            command.env("BIO_MCP_DATABASE_URL", url);
        }
        command
    }

    /// Runs a command until it exits.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.command(arguments).output().expect("the program starts").into()
    }

    /// Ingests a file and returns the result.
    #[track_caller]
    pub fn ingest(&self, file: &Path) -> Value {
        self.run(&["--output", "json", "ingest", text(file)]).expect(0).json()
    }

    /// Starts a command without waiting.
    pub fn start(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Child {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Path of a record's newest object.
    pub fn object(&self, pmid: u32) -> PathBuf {
        let digits = format!("{pmid:011}");
        let folder = format!("pmid={}/{}/{}", &digits[..3], &digits[3..6], &digits[6..9]);
        self.data_dir().join("archive/pubmed/raw").join(folder).join(format!("{pmid}.json.zst"))
    }

    /// An engine in this process over its database and its objects.
    pub async fn engine(&self) -> Engine {
        let store = Arc::new(DiskStore::new(&self.data_dir().join("archive")));
        let db = engine::pool_on(self.url().expect("a database on the test server"), 8).await;
        let client = deployment::client(&engine::config(&[]), &PostgresLimits(db.clone()));
        let engine = engine::plain(db.clone(), &client);
        Engine { archive: engine::archive(store, 64 << 20), pipelines: Arc::new([]), ..engine }
    }

    /// Connects to its database.
    pub async fn database(&self) -> sqlx::PgPool {
        let url = self.url.as_deref().expect("a database on the test server");
        sqlx::PgPool::connect(url).await.expect("the test server responds")
    }
}

/// The same command with a limit of `ulimit`, such as `-n 400`.
pub fn limited(command: &Command, limit: &str) -> Command {
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(format!("ulimit {limit} && exec \"$0\" \"$@\""));
    limited.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        limited.current_dir(dir);
    }
    limited
}

/// A path as a command-line argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}
