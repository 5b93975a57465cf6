//! The command line of bio-mcp: the same library as the deployed functions, on one machine.
//!
//! [`args`] defines the arguments, `commands` has one file per command, `session` opens what a command needs: the data
//! directory, the private Postgres, the archive, the engine.

// Only `out` prints: it handles a closed pipe.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod args;
mod commands;
mod data_dir;
mod failure;
mod input_files;
mod known_dirs;
pub mod listen;
mod out;
mod ownership;
mod postgres;
mod progress;
pub mod record_name;
mod session;
mod users;
mod waiting;
mod workers;

use std::process::ExitCode;

use clap::Parser;
use shared::deployment;
use shared::observability;

pub use failure::{CliError, Exit};

pub fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        // Help is this program's own text: no characters to escape.
        Err(error) if !error.use_stderr() => {
            return match out::help(&error) {
                Ok(()) => Exit::Done.into(),
                Err(failure) => {
                    failure.show(false);
                    failure.exit.into()
                }
            };
        }
        // The message repeats arguments, such as a file name that begins with a dash: `note` escapes it.
        Err(error) => {
            out::note(error.render().to_string().trim_end());
            return u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8).into();
        }
    };
    let json = args.output == args::Output::Json;
    match run(args) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.show(json);
            failure.exit.into()
        }
    }
}

fn run(args: args::Args) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config_threads())
        .enable_all()
        .build()
        .map_err(|error| CliError::internal(format!("cannot start: {error}")))?;
    let config = runtime.block_on(deployment::config())?;
    // People follow a progress bar or read results; the engine's log is shown on request.
    let level = if args.verbose { "debug" } else { &config.log_level };
    let level = if config.json_logs
        || args.verbose
        || matches!(args.command, args::Command::Worker(_) | args::Command::Up(_) | args::Command::Serve(_))
    {
        level.to_owned()
    } else {
        // The library's own crates: `shared` and those whose names start with `bio_mcp_`.
        let library = if level == "info" { "error" } else { level };
        format!("warn,shared={library},bio_mcp_={library}")
    };
    let metrics = match args.command {
        args::Command::Up(_) | args::Command::Serve(_) => observability::Metrics::Prometheus,
        args::Command::Worker(_) if config.json_logs => observability::Metrics::Emf,
        _ => observability::Metrics::None,
    };
    let _log = observability::init(&observability::TelemetryOptions {
        service: "bio-mcp",
        level: &level,
        json: config.json_logs,
        output: observability::LogOutput::Stderr,
        otlp_endpoint: config.otlp_endpoint.as_deref(),
        metrics,
    });
    let result = runtime.block_on(async {
        let result = commands::run(args, config).await;
        observability::flush_spans().await;
        result
    });
    // Remaining blocking work (a worker that was stopped has ended already) is not waited for.
    runtime.shutdown_background();
    result
}

fn config_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).max(2)
}
