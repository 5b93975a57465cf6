//! Attacks by other users of a machine: run as them, if the tests run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{self, Run};

/// Two unprivileged users that exist on every Linux: `daemon` and `nobody`.
pub const USERS: [u32; 2] = [1, 65_534];

/// A directory that every user can enter, with a copy of the program.
pub struct Shared {
    dir: tempfile::TempDir,
}

/// Whether the tests run as root, which is needed to act as other users; prints a message if not.
pub fn is_root() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        eprintln!("SKIPPED: only root can be other users");
    }
    is_root
}

impl Shared {
    /// Creates a directory, which is deleted when dropped.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        set_mode(dir.path(), 0o755);
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Creates a directory in it, with an owner (by default of this process) and a mode.
    pub fn folder(&self, name: &str, owner: Option<u32>, mode: u32) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).expect("made");
        if let Some(owner) = owner {
            std::os::unix::fs::lchown(&path, Some(owner), Some(owner)).expect("root gives away");
        }
        set_mode(&path, mode);
        path
    }

    /// A copy of the program that every user can run.
    pub fn program(&self) -> PathBuf {
        let path = self.path().join("bin/bio-mcp");
        if !path.exists() {
            self.folder("bin", None, 0o755);
            fs::copy(program::path(), &path).expect("copied");
            set_mode(&path, 0o755);
        }
        path
    }

    /// The program in a directory, without a database on the test server. Its state directory is in this directory too.
    pub fn command(&self, program: &Path, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.path().join("state")).env("SECRET_OF_THE_CALLER", "hunter2");
        for variable in ["BIO_MCP_DATABASE_URL", "BIO_MCP_DATA_DIR", "BIO_MCP_LISTEN"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs the program in a directory.
    pub fn run(&self, folder: &Path, arguments: &[&str]) -> Run {
        self.command(&program::path(), folder, arguments).output().expect("the program starts").into()
    }

    /// The same as another user without a home.
    pub fn run_as(&self, user: u32, folder: &Path, arguments: &[&str]) -> Run {
        let mut command = self.command(&self.program(), folder, arguments);
        command.env("XDG_STATE_HOME", self.folder(&format!("state-{user}"), Some(user), 0o700));
        command.uid(user).gid(user).output().expect("the program starts").into()
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a shell script as another user; returns whether it succeeded.
pub fn shell_as(user: u32, script: &str, parameters: &[&Path]) -> bool {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh"]).args(parameters).current_dir("/").stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.uid(user).gid(user).status().expect("a shell starts").success()
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode is set");
}

pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("there").mode() & 0o7777
}

/// Writes fake Postgres programs that append their user and environment to the file `trace`.
pub fn write_false_postgres(bin: &Path, trace: &Path) {
    fs::create_dir_all(bin).expect("made");
    fs::write(trace, "").expect("written");
    set_mode(trace, 0o666);
    let script = format!(
        "#!/bin/sh\n{{ echo ran \"$0\"; /usr/bin/id -u; /usr/bin/env; }} >> '{}'\necho 'postgres (PostgreSQL) 99.1'\n",
        trace.display()
    );
    for name in ["initdb", "pg_ctl", "postgres"] {
        let path = bin.join(name);
        fs::write(&path, &script).expect("written");
        set_mode(&path, 0o755);
    }
}

/// Owner, mode and content of everything below a directory: what must not change.
pub fn state_of(folder: &Path) -> Vec<String> {
    let metadata = fs::symlink_metadata(folder).expect("there");
    let content = if metadata.is_file() { fs::read_to_string(folder).expect("text") } else { String::new() };
    let own = format!("{} {} {} {:o} {content}", folder.display(), metadata.uid(), metadata.gid(), metadata.mode());
    let mut all = vec![own];
    if metadata.is_dir() {
        let mut below: Vec<PathBuf> = fs::read_dir(folder).expect("listed").map(|e| e.expect("read").path()).collect();
        below.sort();
        all.extend(below.iter().flat_map(|path| state_of(path)));
    }
    all
}
