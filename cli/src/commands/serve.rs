//! `serve`: only the HTTP server.

use api::{Api, Listener};
use shared::config::AuthSetting;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use super::interrupted;
use crate::args::Listen;
use crate::failure::{CliError, Exit};
use crate::listen::{ListenAddress, SocketFile};
use crate::out;
use crate::session::Session;

/// Serves until stopped; requests in progress are completed.
pub async fn run(session: &Session, args: &Listen) -> Result<Exit, CliError> {
    let _keeper = session.keep_database_alive();
    // Before the socket file exists, and before a supervisor is notified that the server listens.
    let stop = interrupted();
    let (listener, _file) = listen(session, args).await?;
    serve(session, listener, stop).await.map_err(|error| CliError::internal(error.to_string()))??;
    Ok(Exit::Done)
}

/// Binds the port (without credentials only on loopback) or the socket, whose file must be kept while it is served.
pub async fn listen(session: &Session, args: &Listen) -> Result<(Listener, Option<SocketFile>), CliError> {
    let address = match &args.listen {
        ListenAddress::Tcp(address) => *address,
        ListenAddress::Unix(path) => {
            let cannot_listen = |error| CliError::usage(format!("cannot listen on {}: {error}", args.listen));
            let (listener, file) = SocketFile::bind(path).map_err(cannot_listen)?;
            let listener = UnixListener::from_std(listener)?;
            out::line(&format!("listening on unix:{}", file.path().display()))?;
            return Ok((listener.into(), Some(file)));
        }
    };
    if !address.ip().is_loopback() && session.config.http.auth == AuthSetting::None {
        return Err(CliError::usage(format!(
            "{} is reachable from other machines: set BIO_MCP_AUTH_TOKENS first (`bio-mcp token new` creates a token)",
            args.listen
        )));
    }
    let listener = TcpListener::bind(address).await.map_err(|error| {
        CliError::usage(format!("cannot listen on {}: {error}; choose another port with --listen", args.listen))
    })?;
    out::line(&format!("listening on http://{}", listener.local_addr()?))?;
    Ok((listener.into(), None))
}

/// Serves until `stop`, in a separate task: independent of what this process waits for.
pub fn serve(
    session: &Session,
    listener: Listener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<std::io::Result<()>> {
    tokio::spawn(api::serve(listener, api(session), stop))
}

/// The interfaces over the resources of a session.
pub fn api(session: &Session) -> Api {
    Api::new(session.toolbox(), &session.config.http)
}
