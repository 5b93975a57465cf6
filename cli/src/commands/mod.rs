//! One file per command.

mod checkpoints;
mod db;
mod demo;
mod diff;
mod events;
mod export;
mod get;
mod history;
mod ingest;
mod jobs;
mod mcp;
mod parse;
mod projections;
mod purge;
mod quarantine;
mod search;
mod serve;
mod simulator;
mod status;
mod sync;
mod token;
mod tools;
mod topics;
mod up;
mod verify;
mod work;
mod worker;

use std::time::Duration;

use shared::config::Config;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Args, Command, Output, Quarantine};
use crate::data_dir::DataDir;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::Session;

pub async fn run(mut args: Args, config: Config) -> Result<Exit, CliError> {
    let json = args.output == Output::Json;
    let given = args.data_dir.as_deref();
    match args.command {
        Command::Parse(parse) => return parse::run(&parse, &config, json),
        Command::Search(search) => return search::run(&search, given, config, json).await,
        Command::Simulator(args) => return simulator::run(&args, json).await,
        Command::Sync(sync) if sync.dry_run => return sync::dry_run(&sync, given, config, json).await,
        Command::Demo { file, live } => return demo::run(given, file.as_deref(), live, config).await,
        Command::Db(action) => return db::run(action, given, config, json).await,
        Command::Token(token) => return token::run(&token, json),
        Command::Tools { name } => return tools::list(name.as_deref(), json),
        _ => {}
    }
    let creates = matches!(
        args.command,
        Command::Ingest(_)
            | Command::Sync(_)
            | Command::Topics(_)
            | Command::Worker(_)
            | Command::Up(_)
            | Command::Serve(_)
            | Command::Mcp
            | Command::Call { .. }
    );
    if let Command::Ingest(ingest) = &mut args.command {
        ingest.files = ingest::files(&ingest.files)?;
    }
    let data_dir = if creates { DataDir::find_or_create(given, &config)? } else { DataDir::find(given, &config)? };
    let writes_events = matches!(
        args.command,
        Command::Purge(_) | Command::Quarantine(Quarantine::Retry { .. }) | Command::Verify { repair: true, .. }
    );
    let session = Session::open(config, data_dir).await?;
    let result = match args.command {
        Command::Ingest(args) => ingest::run(&session, &args, json).await,
        Command::Sync(args) => sync::run(&session, &args, json).await,
        Command::Topics(action) => topics::run(&session, action, json).await,
        Command::Checkpoints(action) => checkpoints::run(&session, action, json).await,
        Command::Purge(args) => purge::run(&session, &args, json).await,
        Command::Up(args) => up::run(&session, &args).await,
        Command::Serve(args) => serve::run(&session, &args).await,
        Command::Mcp => Box::pin(mcp::run(&session)).await,
        Command::Call { tool, params, then } => tools::call(&session, &tool, &params, &then).await,
        Command::Get(args) => get::run(&session, &args, json).await,
        Command::History { pmid } => history::run(&session, pmid, json).await,
        Command::Diff { pmid, from, to } => diff::run(&session, pmid, from, to, json).await,
        Command::Export(args) => export::run(&session, &args, json).await,
        Command::Events(args) => events::run(&session, &args, json).await,
        Command::Projections(action) => projections::run(&session, action, json).await,
        Command::Status => status::run(&session, json).await,
        Command::Worker(args) => worker::run(&session, args.once).await,
        Command::Jobs(args) => jobs::run(&session, args, json).await,
        Command::Quarantine(args) => quarantine::run(&session, args, json).await,
        Command::Verify { repair, from_objects } => verify::run(&session, repair, from_objects, json).await,
        Command::Parse(_)
        | Command::Demo { .. }
        | Command::Db(_)
        | Command::Search(_)
        | Command::Simulator(_)
        | Command::Token(_)
        | Command::Tools { .. } => {
            unreachable!("handled above")
        }
    };
    let result = result.map_err(|failure| session.explained(failure));
    if writes_events && result.is_ok() {
        projections::after(&session, Duration::ZERO).await;
    }
    session.close().await;
    result
}

/// Resolves when the process receives Ctrl-C or a supervisor's SIGTERM. From the call on, the first signal does not end
/// the process; a second one does so at once.
pub fn interrupted() -> impl Future<Output = ()> + Send + 'static {
    let signals = signal(SignalKind::interrupt()).and_then(|ctrl_c| Ok((ctrl_c, signal(SignalKind::terminate())?)));
    async move {
        let Ok((mut ctrl_c, mut terminate)) = signals else {
            let _ = tokio::signal::ctrl_c().await;
            return;
        };
        next(&mut ctrl_c, &mut terminate).await;
        tokio::spawn(async move {
            next(&mut ctrl_c, &mut terminate).await;
            out::note("stopped immediately; committed records remain");
            std::process::exit(Exit::Interrupted as i32);
        });
    }
}

async fn next(ctrl_c: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = ctrl_c.recv() => {}
        _ = terminate.recv() => {}
    }
}
